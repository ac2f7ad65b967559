/**
 * What was said, as it was truly heard, and what tools did: the one source of what the language model is told. Conversation thread.
 * An interrupted reply holds only the words the caller heard; a reply of which nothing was heard and that did nothing is not in it at all.
 */
import type { ChatFile, ChatMessage, ToolCall } from '../llm/port.js';
import type { Round } from './reply.js';
import { argumentsOf } from './tools.js';

export type Entry = {
  readonly role: 'user' | 'agent';
  readonly text: string;
  /** The speech it belongs to; 0 for the user. */
  readonly speech: number;
  readonly isInterrupted: boolean;
  /** Tools that the agent used before it said `text`, each round with the words before it. */
  readonly rounds: readonly Round[];
  readonly files: readonly ChatFile[];
};

/** Messages beyond are forgotten, oldest first, so that a call of hours cannot grow without bound. */
const entriesMax = 400;
const contextsMax = 50;

export class History {
  readonly #entries: Entry[] = [];
  readonly #contexts = new Map<string, string>();
  #unnamedContexts = 0;
  /** Grows with every change, so that a reply generated from an older version is known to be stale. */
  version = 0;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  addUser(text: string, files: readonly ChatFile[] = []): void {
    this.#push({ role: 'user', text, speech: 0, isInterrupted: false, rounds: [], files });
  }

  /** The last user turn goes on: its text is replaced, and what little was heard of a reply in between is dropped. */
  replaceUser(text: string): void {
    const index = this.#continued();
    if (index >= 0) this.#entries.length = index;
    this.addUser(text);
  }

  /** One entry a speech: what is known of it later (a tool that ended after a CUT) takes the place of what was known before. */
  addAgent(speech: number, text: string, isInterrupted: boolean, rounds: readonly Round[] = []): void {
    if (text.trim() === '' && rounds.length === 0) return;
    const entry: Entry = { role: 'agent', text, speech, isInterrupted, rounds, files: [] };
    const known = this.#entries.findLastIndex((other) => other.role === 'agent' && other.speech === speech);
    if (known < 0) {
      this.#push(entry);
      return;
    }
    this.#entries[known] = entry;
    this.version += 1;
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
  messages(systemPrompt: string, userText: string, isMerged: boolean, files: readonly ChatFile[] = []): ChatMessage[] {
    const end = isMerged ? this.#continued() : this.#entries.length;
    const said = this.#entries.slice(0, end < 0 ? this.#entries.length : end);
    // Files are large: the model gets the newest, and of older ones the names.
    const withFiles = said.findLastIndex((entry) => entry.files.length > 0);
    const contexts = [...this.#contexts.values()];
    const background =
      contexts.length === 0 ? '' : `\n\nBackground, newest last:\n${contexts.map((text) => `- ${text}`).join('\n')}`;
    return [
      { role: 'system', content: systemPrompt + background },
      ...said.flatMap((entry, index) => messagesOf(entry, index === withFiles && files.length === 0)),
      { role: 'user', content: userText, ...(files.length === 0 ? {} : { files }) },
    ];
  }

  /** Where the user turn begins that a merged one replaces; -1 when it must stay, because tools ran after it and would run again. */
  #continued(): number {
    const index = this.#entries.findLastIndex((entry) => entry.role === 'user');
    return this.#entries.slice(index + 1).some(({ rounds }) => rounds.length > 0) ? -1 : index;
  }

  #push(entry: Entry): void {
    this.#entries.push(entry);
    if (this.#entries.length > entriesMax) this.#entries.splice(0, this.#entries.length - entriesMax);
    this.version += 1;
  }
}

function messagesOf(entry: Entry, withFiles: boolean): ChatMessage[] {
  if (entry.role === 'user' && entry.files.length > 0) {
    if (withFiles) return [{ role: 'user', content: entry.text, files: entry.files }];
    return [{ role: 'user', content: `${entry.text}\n(Files: ${entry.files.map(({ name }) => name).join(', ')})` }];
  }
  if (entry.role === 'user') return [{ role: 'user', content: entry.text }];
  const messages = entry.rounds.flatMap(roundMessages);
  return entry.text.trim() === '' ? messages : [...messages, { role: 'assistant', content: entry.text }];
}

/** One round as the model's protocol wants it: the calls, then an answer for each of them. */
export function roundMessages({ text, calls, results }: Round): ChatMessage[] {
  return [
    { role: 'assistant', content: text.trim(), toolCalls: calls.map(readable) },
    ...calls.map((call): ChatMessage => {
      const result = results.find(({ toolCallId }) => toolCallId === call.id);
      return { role: 'tool', toolCallId: call.id, content: result?.result ?? 'No result.' };
    }),
  ];
}

/** Servers read the arguments of old calls too, and refuse what is no JSON. */
function readable(call: ToolCall): ToolCall {
  return argumentsOf(call.argumentsJson) === undefined ? { ...call, argumentsJson: '{}' } : call;
}
