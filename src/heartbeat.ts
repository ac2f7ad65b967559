/**
 * Tells a thread that hangs from one that has nothing to do, and from one that is ready and gets no core: each counts up a cell while its loop
 * turns. Pure apart from what it remembers; main thread.
 */

export type HeartRule = {
  /** Looks come this far apart. */
  readonly everyMs: number;
  /** A thread whose count has not moved for this long hangs. */
  readonly hangsAfterMs: number;
};

export type Beat<Name extends string> = {
  readonly name: Name;
  readonly count: number;
  /** How long the thread was ready without a core since it began; asked for only while it stands still. Undefined where nobody keeps account. */
  readonly waitedMs?: () => number | undefined;
};

export class Heartbeat<Name extends string> {
  readonly #rule: HeartRule;
  readonly #seen = new Map<Name, { count: number; stillMs: number; waitedMs: number | undefined }>();
  #lastLookAtMs: number | undefined;

  constructor(rule: HeartRule) {
    this.#rule = rule;
  }

  /**
   * The first thread that hangs. Time in which main itself did not come to look (blocked, or the whole machine asleep) proves nothing
   * about the others: a look that is late counts as one that was in time. Time in which the thread waited for a core does not count either:
   * a new one would wait as long, and its calls would be lost.
   */
  look(beats: readonly Beat<Name>[], atMs: number): Name | undefined {
    const sinceMs = atMs - (this.#lastLookAtMs ?? atMs);
    this.#lastLookAtMs = atMs;
    const stepMs = Math.min(sinceMs, this.#rule.everyMs);
    let hanging: Name | undefined;
    for (const { name, count, waitedMs } of beats) {
      const seen = this.#seen.get(name);
      if (seen === undefined || seen.count !== count) {
        this.#seen.set(name, { count, stillMs: 0, waitedMs: undefined });
        continue;
      }
      const waited = waitedMs?.();
      const waitMs = (waited ?? 0) - (seen.waitedMs ?? waited ?? 0);
      seen.waitedMs = waited;
      seen.stillMs += Math.max(0, stepMs - waitMs);
      if (seen.stillMs >= this.#rule.hangsAfterMs) hanging ??= name;
    }
    return hanging;
  }

  /** Another thread beats from now on. */
  forget(): void {
    this.#seen.clear();
    this.#lastLookAtMs = undefined;
  }
}
