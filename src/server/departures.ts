/**
 * Who has a frame to send, and when: one timer for all calls. Main thread. Few of them wait at a time and none for long, so that all are looked at
 * each time; that is cheaper than keeping them in order.
 */
import { timerEarlyMs } from '../shared/clock.js';

/** `Item`: a call. `depart` is called once for each `add`, at the instant, or before it by `timerEarlyMs` at most. */
export class Departures<Item> {
  readonly #now: () => number;
  readonly #depart: (item: Item) => void;
  readonly #dueAtMs = new Map<Item, number>();
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(now: () => number, depart: (item: Item) => void) {
    this.#now = now;
    this.#depart = depart;
  }

  /** In place of what was told of the item before. */
  add(item: Item, dueAtMs: number): void {
    this.#dueAtMs.set(item, dueAtMs);
    if (dueAtMs < this.#timerAtMs) this.#arm(dueAtMs);
  }

  delete(item: Item): void {
    this.#dueAtMs.delete(item);
  }

  #arm(dueAtMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = dueAtMs;
    this.#timer = setTimeout(() => this.#fired(), Math.max(1, Math.floor(dueAtMs - this.#now())));
  }

  #fired(): void {
    const untilMs = this.#now() + timerEarlyMs;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const due: Item[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [item, dueAtMs] of this.#dueAtMs) {
      if (dueAtMs <= untilMs) due.push(item);
      else nextMs = Math.min(nextMs, dueAtMs);
    }
    for (const item of due) {
      this.#dueAtMs.delete(item);
      this.#depart(item);
    }
    if (nextMs < this.#timerAtMs) this.#arm(nextMs);
  }
}
