/**
 * Figures second by second of a whole fleet: the buckets of its processes put together. The process that leads the fleet. Collectors look on
 * whole seconds of the wall clock, so buckets of one second belong together.
 */
import { MergedHistogram } from '../telemetry/interval-histogram.js';
import { type SeriesBucket, seriesBounds, type ThreadFigures } from '../telemetry/series-bucket.js';

export type Bucket = Omit<SeriesBucket, 'seq'>;

/** A bucket that is not there this long after its second is left out. */
const lateMs = 700;
/** Seconds that wait for buckets. */
const openMax = 5;

/** Gauges of the fleet that are no sums of its processes'. */
export type FleetGauges = () => Readonly<Record<string, number>>;

export class FleetSeries {
  readonly #take: (bucket: Bucket) => void;
  readonly #gauges: FleetGauges;
  /** Unix second → member → its bucket. */
  readonly #open = new Map<number, Map<number, Bucket>>();
  #doneSecond = 0;

  /** `take` gets each second once, in order. */
  constructor(take: (bucket: Bucket) => void, gauges: FleetGauges) {
    this.#take = take;
    this.#gauges = gauges;
  }

  /** `members`: those that are expected to send one a second. `unixMs`: now. */
  add(member: number, bucket: Bucket, members: ReadonlySet<number>, unixMs: number): void {
    const second = Math.round(bucket.at_ms / seriesBounds.intervalMs);
    if (second <= this.#doneSecond) return; // too late: it would be counted as another second
    const own = this.#open.get(second) ?? new Map<number, Bucket>();
    own.set(member, bucket);
    this.#open.set(second, own);
    this.look(members, unixMs);
  }

  /** Hands on what is complete, or will not be. */
  look(members: ReadonlySet<number>, unixMs: number): void {
    const seconds = [...this.#open.keys()].sort((left, right) => left - right);
    for (const [index, second] of seconds.entries()) {
      const parts = this.#open.get(second)!;
      const isWhole = [...members].every((member) => parts.has(member));
      const isLate = unixMs > second * seriesBounds.intervalMs + lateMs || seconds.length - index > openMax;
      if (!isWhole && !isLate) return;
      this.#open.delete(second);
      this.#doneSecond = second;
      this.#take(mergedBucket(second * seriesBounds.intervalMs, parts, this.#gauges()));
    }
  }
}

/** Threads are named with their process: `1 main`, `2 vad`. */
export function mergedBucket(
  atMs: number,
  parts: ReadonlyMap<number, Bucket>,
  fleetGauges: Readonly<Record<string, number>>,
): Bucket {
  const histograms = new Map<string, MergedHistogram>();
  const counters: Record<string, number> = {};
  const gauges: Record<string, number> = {};
  const threads: Record<string, ThreadFigures> = {};
  let [durationMs, cpuMs, residentKib] = [0, 0, 0];
  for (const [member, bucket] of [...parts].sort(([left], [right]) => left - right)) {
    durationMs = Math.max(durationMs, bucket.duration_ms);
    cpuMs += bucket.cpu_ms;
    residentKib += bucket.resident_kib;
    for (const [name, figures] of Object.entries(bucket.threads)) threads[`${member} ${name}`] = figures;
    for (const [name, pairs] of Object.entries(bucket.histograms)) {
      const key = nameInFleet(name, member);
      histograms.set(key, (histograms.get(key) ?? new MergedHistogram()).add(pairs));
    }
    for (const [name, by] of Object.entries(bucket.counters)) counters[name] = (counters[name] ?? 0) + by;
    for (const [name, value] of Object.entries(bucket.gauges)) gauges[name] = (gauges[name] ?? 0) + value;
  }
  return {
    at_ms: atMs,
    duration_ms: durationMs,
    cpu_ms: cpuMs,
    resident_kib: residentKib,
    threads,
    histograms: Object.fromEntries([...histograms].map(([name, merged]) => [name, merged.pairs()])),
    counters,
    gauges: { ...gauges, ...fleetGauges },
  };
}

/** `loop_delay/main` is one thread's, so it stays with its process: `loop_delay/1 main`. */
function nameInFleet(name: string, member: number): string {
  const slash = name.indexOf('/');
  return slash < 0 ? name : `${name.slice(0, slash + 1)}${member} ${name.slice(slash + 1)}`;
}
