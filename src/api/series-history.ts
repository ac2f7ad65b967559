/**
 * The last quarter of an hour, second by second, for those who ask what they missed. Bounded; API thread. Buckets are kept as the JSON they
 * are sent as: made once, however many ask.
 */
import { type SeriesAnswer, type SeriesBucket, seriesBounds } from '../telemetry/series-bucket.js';

/** What somebody who has seen some of it asks for. `run`: of the numbers that are known. */
export type SeriesQuery = { readonly after: number; readonly run: string | undefined; readonly limit: number };
/** What an answer says besides. */
export type SeriesFacts = Pick<SeriesAnswer, 'sessions_max' | 'providers'>;

export class SeriesHistory {
  /** Names this history; a new API thread begins a new one. */
  readonly run: string;
  readonly #bucketsMax: number;
  /** A ring: bucket `seq` is at `seq % bucketsMax`. */
  readonly #texts: string[] = [];
  #newestSeq = 0;

  constructor(run: string, bucketsMax: number = seriesBounds.bucketsMax) {
    this.run = run;
    this.#bucketsMax = bucketsMax;
  }

  /** 0: there is none yet. */
  get newestSeq(): number {
    return this.#newestSeq;
  }

  get oldestSeq(): number {
    return this.#newestSeq === 0 ? 0 : Math.max(1, this.#newestSeq - this.#bucketsMax + 1);
  }

  add(bucket: Omit<SeriesBucket, 'seq'>): void {
    this.#newestSeq += 1;
    this.#texts[this.#newestSeq % this.#bucketsMax] = JSON.stringify({ seq: this.#newestSeq, ...bucket });
  }

  /** JSON of the buckets that follow `seq` and are still kept, the oldest first, at most `countMax`. */
  after(seq: number, countMax: number): string[] {
    const first = Math.max(this.oldestSeq, seq + 1);
    const count = Math.max(0, Math.min(countMax, this.#newestSeq - first + 1));
    if (this.#newestSeq === 0) return [];
    return Array.from({ length: count }, (_, index) => this.#texts[(first + index) % this.#bucketsMax]!);
  }

  /** A whole `SeriesAnswer`, as JSON. */
  answer({ after, run, limit }: SeriesQuery, facts: SeriesFacts): string {
    // Numbers of another run, or of the future, are no place in this one.
    const from = (run !== undefined && run !== this.run) || after > this.#newestSeq ? 0 : after;
    const head = JSON.stringify({
      ...{ run: this.run, interval_ms: seriesBounds.intervalMs, oldest_seq: this.oldestSeq, newest_seq: this.#newestSeq },
      ...facts,
    });
    return `${head.slice(0, -1)},"buckets":[${this.after(from, limit).join(',')}]}`;
  }
}
