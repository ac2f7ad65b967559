/**
 * Keeps one lane alive: when a thread of it dies or hangs, what is left of the lane is ended and a new one is started, a bounded number of
 * times. Calls of other lanes do not notice. Main thread.
 */
import { Heartbeat, type HeartRule } from './heartbeat.js';
import type { Lane, ThreadName } from './lane.js';
import { EngineError } from './shared/errors.js';

export type LaneRule = {
  /** Between the death and the end of what is left: close frames leave, and records are written. */
  readonly farewellMs: number;
  /** What is left has this long to come to its end by itself. */
  readonly graceMs: number;
  /** At most so many new lanes in this time; one death more and the lane is given up. */
  readonly max: number;
  readonly windowMs: number;
  readonly heart: HeartRule;
};

export type LaneEvents = {
  /** The calls of the lane cannot go on. `isForGood`: no new one is started. */
  readonly onDown: (index: number, thread: ThreadName, error: Error, isForGood: boolean) => void;
  /** A new lane serves the slots, and nothing of the old one is left. */
  readonly onUp: (index: number, lane: Lane) => void;
};

export class LaneKeeper {
  readonly index: number;
  readonly #begin: () => Lane;
  readonly #rule: LaneRule;
  readonly #events: LaneEvents;
  readonly #now: () => number;
  readonly #heartbeat: Heartbeat<ThreadName>;
  readonly #deathsAtMs: number[] = [];
  #lane: Lane;
  #isUp = true;
  #isStopping = false;
  #renewal: Promise<void> | undefined;

  /** `lane` is ready. `begin` starts another one. */
  constructor(index: number, lane: Lane, begin: () => Lane, rule: LaneRule, events: LaneEvents, now: () => number) {
    this.index = index;
    this.#lane = lane;
    this.#begin = begin;
    this.#rule = rule;
    this.#events = events;
    this.#now = now;
    this.#heartbeat = new Heartbeat(rule.heart);
    this.#watch(lane);
  }

  /** The newest one. What is posted to one that is down is lost. */
  get lane(): Lane {
    return this.#lane;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Looks at the beats of the threads. */
  look(): void {
    if (!this.#isUp || this.#isStopping) return;
    const hanging = this.#heartbeat.look(this.#lane.beats(), this.#now());
    if (hanging === undefined) return;
    const forMs = this.#rule.heart.hangsAfterMs;
    this.#died(hanging, new EngineError('timeout', `the ${hanging} thread has not moved for ${forMs} ms`));
  }

  /** No new lane is started from now on. Resolves when the threads are gone, or cannot be ended. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    await this.#renewal;
    await this.#lane.stop(graceMs);
  }

  #watch(lane: Lane): void {
    lane.watch((thread, error) => {
      if (lane === this.#lane) this.#died(thread, error);
    });
  }

  #died(thread: ThreadName, error: Error): void {
    if (this.#isStopping || !this.#isUp) return;
    this.#isUp = false;
    const isForGood = !this.#mayRestart();
    this.#events.onDown(this.index, thread, error, isForGood);
    if (!isForGood) this.#renewal = this.#renew();
  }

  #mayRestart(): boolean {
    const { max, windowMs } = this.#rule;
    const atMs = this.#now();
    while (this.#deathsAtMs.length > 0 && atMs - this.#deathsAtMs[0]! > windowMs) this.#deathsAtMs.shift();
    this.#deathsAtMs.push(atMs);
    return this.#deathsAtMs.length <= max;
  }

  /** Never rejects. */
  async #renew(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#rule.farewellMs));
    const isGone = await this.#lane.stop(this.#rule.graceMs);
    if (this.#isStopping) return;
    if (!isGone) {
      // The old thread may still write into the slots, so they cannot be given out again.
      this.#events.onDown(this.index, 'vad', new EngineError('broken', 'the vad thread does not come out of the model'), true);
      return;
    }
    const lane = this.#begin();
    this.#lane = lane;
    this.#heartbeat.forget();
    try {
      await lane.ready();
    } catch (error) {
      if (this.#isStopping) return;
      const isForGood = !this.#mayRestart();
      const cause = error instanceof Error ? error : new Error(String(error));
      this.#events.onDown(this.index, lane.threads[0]!.name, cause, isForGood);
      if (!isForGood) await this.#renew();
      return;
    }
    this.#watch(lane);
    if (this.#isStopping) return;
    this.#isUp = true;
    this.#events.onUp(this.index, lane);
  }
}
