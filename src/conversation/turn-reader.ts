/**
 * Asks a learned model that reads whether the caller is done: once in each pause, as soon as its words are there, and again when they change.
 * Conversation thread.
 */
import { covers, mergedText } from '../turn/open-turn.js';
import type { TurnEvent, TurnState } from '../turn/state.js';
import { hasSpeech } from '../turn/words.js';
import type { History } from './history.js';

export type ReadLine = { readonly role: 'agent' | 'caller'; readonly text: string };

/** Probability that the caller is done with the last line; undefined when there is no answer in time. Never fails. */
export type ReadTurn = (lines: readonly ReadLine[]) => Promise<number | undefined>;

/** Lines before the open turn that the model may look at. */
const linesMax = 12;

export class TurnReader {
  readonly #read: ReadTurn;
  readonly #history: History;
  readonly #feed: (event: TurnEvent) => void;
  #asked = { turn: 0, throughMs: 0, text: '' };

  constructor(read: ReadTurn, history: History, feed: (event: TurnEvent) => void) {
    this.#read = read;
    this.#history = history;
    this.#feed = feed;
  }

  /** To be called when the state has changed. */
  look({ turn, open }: TurnState): void {
    if (open === undefined || open.isSpeaking || !covers(open) || !hasSpeech(open.text)) return;
    const text = mergedText(open);
    const { t0Ms: throughMs } = open;
    if (this.#asked.turn === turn && this.#asked.throughMs === throughMs && this.#asked.text === text) return;
    this.#asked = { turn, throughMs, text };
    this.#feed({ type: 'turn_asked', turn, throughMs });
    void this.#read([...this.#before(open.prefix), { role: 'caller', text }]).then((probability) => {
      // Asked about other words meanwhile: only the answer to those counts.
      if (this.#asked.text === text) this.#feed({ type: 'turn_score', turn, throughMs, probability });
    });
  }

  /** What was said before the open turn; `prefix`: the turn that it continues, which is part of it now. */
  #before(prefix: string): ReadLine[] {
    const said = this.#history.entries
      .slice(-linesMax)
      .filter(({ text }) => text.trim() !== '')
      .map(({ role, text }): ReadLine => ({ role: role === 'user' ? 'caller' : 'agent', text }));
    const continued = prefix === '' ? -1 : said.findLastIndex(({ role, text }) => role === 'caller' && text === prefix);
    return continued < 0 ? said : said.slice(0, continued);
  }
}
