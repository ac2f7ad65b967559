/**
 * What the page knows: the buckets it was sent, in their order. Says what to ask for next, and what is lost for good because the server
 * no longer has it. Pure.
 */
import type { SeriesAnswer, SeriesBucket } from '../../../src/telemetry/series-bucket.js';

/** As long as the server's own history. */
export const keptMs = 15 * 60_000;

export type Gap = {
  /** Unix; the end of the bucket before it and the start of the one after. */
  readonly fromMs: number;
  readonly toMs: number;
};

export class SeriesLog {
  readonly buckets: SeriesBucket[] = [];
  readonly gaps: Gap[] = [];
  #run = '';
  #lastSeq = 0;

  /** Of the next request. */
  get query(): string {
    return new URLSearchParams(this.#run === '' ? {} : { after: String(this.#lastSeq), run: this.#run }).toString();
  }

  /** Returns whether the server has more that is not known here. Buckets that are known already are passed over. */
  take(answer: SeriesAnswer): boolean {
    if (answer.run !== this.#run) {
      this.#run = answer.run;
      this.#lastSeq = 0;
    }
    for (const bucket of answer.buckets) {
      if (bucket.seq <= this.#lastSeq) continue;
      const before = this.buckets.at(-1);
      const fromMs = bucket.at_ms - bucket.duration_ms;
      // The first of another run may lie before the end of the last one kept (a clock that was set); that is no gap.
      const isAfterGap = this.#lastSeq > 0 ? bucket.seq > this.#lastSeq + 1 : before !== undefined && fromMs > before.at_ms;
      if (before !== undefined && isAfterGap) this.gaps.push({ fromMs: before.at_ms, toMs: fromMs });
      this.#lastSeq = bucket.seq;
      this.buckets.push(bucket);
    }
    this.#forget();
    return this.#lastSeq < answer.newest_seq && answer.buckets.length > 0;
  }

  #forget(): void {
    const sinceMs = (this.buckets.at(-1)?.at_ms ?? 0) - keptMs;
    const first = this.buckets.findIndex((bucket) => bucket.at_ms > sinceMs);
    if (first > 0) this.buckets.splice(0, first);
    while (this.gaps[0] !== undefined && this.gaps[0].toMs <= sinceMs) this.gaps.shift();
  }
}
