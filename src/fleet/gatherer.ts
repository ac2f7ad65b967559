/** Puts the figures of all engine processes together when somebody wants them. The process that leads the fleet. */
import type { MetricsAnswer } from '../shared/links.js';
import type { EngineProcess } from './engine-process.js';
import type { FiguresForm, FromMember } from './links.js';

/** Whoever has not answered by then is shown as it last was. */
const answerMs = 1000;
/** What was put together holds for so long. */
const maxAgeMs: Readonly<Record<FiguresForm, number>> = { totals: 250, histograms: 1000 };

export type Gathered = { readonly answers: readonly MetricsAnswer[] };

export class Gatherer<Settings> {
  readonly #members: () => readonly EngineProcess<Settings>[];
  readonly #now: () => number;
  readonly #waiting = new Map<
    number,
    (message: Extract<FromMember, { type: 'figures' }>, from: EngineProcess<Settings>) => void
  >();
  readonly #newest = new Map<FiguresForm, { readonly atMs: number; readonly gathered: Promise<Gathered> }>();
  #lastId = 0;

  /** `members`: those that are up. `now`: monotonic. */
  constructor(members: () => readonly EngineProcess<Settings>[], now: () => number) {
    this.#members = members;
    this.#now = now;
  }

  /** Resolves when the totals of every member are fresh, or as fresh as they get. */
  gather(form: FiguresForm): Promise<Gathered> {
    const atMs = this.#now();
    const newest = this.#newest.get(form);
    if (newest !== undefined && atMs - newest.atMs < maxAgeMs[form]) return newest.gathered;
    const gathered = this.#askAll(form);
    this.#newest.set(form, { atMs, gathered });
    return gathered;
  }

  take(message: Extract<FromMember, { type: 'figures' }>, from: EngineProcess<Settings>): void {
    from.totals = message.totals;
    this.#waiting.get(message.id)?.(message, from);
  }

  #askAll(form: FiguresForm): Promise<Gathered> {
    this.#lastId += 1;
    const id = this.#lastId;
    const missing = new Set(this.#members());
    const answers: MetricsAnswer[] = [];
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve({ answers });
      };
      const timer = setTimeout(finish, answerMs);
      this.#waiting.set(id, (message, from) => {
        missing.delete(from);
        for (const answer of message.answers) answers.push({ ...answer, thread: `${from.number} ${answer.thread}` });
        if (missing.size === 0) finish();
      });
      for (const member of missing) member.send({ type: 'ask', id, form });
      if (missing.size === 0) finish();
    });
  }
}
