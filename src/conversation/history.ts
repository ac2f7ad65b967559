/**
 * What was said, as it was truly heard: the one source of what the language model is told. Conversation thread.
 * An interrupted reply holds only the words the caller heard; a reply of which nothing was heard is not in it at all.
 */
import type { ChatMessage } from '../llm/port.js';

export type Entry = {
  readonly role: 'user' | 'agent';
  readonly text: string;
  /** The speech it belongs to; 0 for the user. */
  readonly speech: number;
  readonly isInterrupted: boolean;
};

/** Messages beyond are forgotten, oldest first, so that a call of hours cannot grow without bound. */
const entriesMax = 400;

export class History {
  readonly #entries: Entry[] = [];
  readonly #contexts = new Map<string, string>();
  #unnamedContexts = 0;
  /** Grows with every change, so that a reply generated from an older version is known to be stale. */
  version = 0;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  addUser(text: string): void {
    this.#push({ role: 'user', text, speech: 0, isInterrupted: false });
  }

  /** The last user turn goes on: its text is replaced, and what little was heard of a reply in between is dropped. */
  replaceUser(text: string): void {
    const index = this.#entries.findLastIndex((entry) => entry.role === 'user');
    if (index >= 0) this.#entries.length = index;
    this.addUser(text);
  }

  addAgent(speech: number, text: string, isInterrupted: boolean): void {
    if (text.trim() === '') return;
    this.#push({ role: 'agent', text, speech, isInterrupted });
  }

  /** A false CUT is taken back: the speech will be heard on. */
  removeInterrupted(speech: number): void {
    const last = this.#entries.at(-1);
    if (last?.speech !== speech || !last.isInterrupted) return;
    this.#entries.pop();
    this.version += 1;
  }

  /** Background for the next replies; of several with one id only the newest counts. */
  setContext(id: string | undefined, text: string): void {
    const key = id ?? `unnamed ${++this.#unnamedContexts}`;
    this.#contexts.delete(key);
    this.#contexts.set(key, text);
    const oldest = this.#contexts.keys().next();
    if (this.#contexts.size > contextsMax && !oldest.done) this.#contexts.delete(oldest.value);
    this.version += 1;
  }

  /**
   * Messages of a request that answers `userText`, which is not part of the history yet. With `isMerged` it stands in place of the
   * last user turn and what followed it.
   */
  messages(systemPrompt: string, userText: string, isMerged: boolean): ChatMessage[] {
    const end = isMerged ? this.#entries.findLastIndex((entry) => entry.role === 'user') : this.#entries.length;
    const said = this.#entries.slice(0, end < 0 ? this.#entries.length : end);
    const contexts = [...this.#contexts.values()];
    const background =
      contexts.length === 0 ? '' : `\n\nBackground, newest last:\n${contexts.map((text) => `- ${text}`).join('\n')}`;
    return [
      { role: 'system', content: systemPrompt + background },
      ...said.map((entry): ChatMessage => ({ role: entry.role === 'user' ? 'user' : 'assistant', content: entry.text })),
      { role: 'user', content: userText },
    ];
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    if (this.#entries.length > entriesMax) this.#entries.splice(0, this.#entries.length - entriesMax);
    this.version += 1;
  }
}

const contextsMax = 50;
