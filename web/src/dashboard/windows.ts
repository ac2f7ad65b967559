/** Buckets put together into the columns of a picture, and the curves made of them. Pure. */
import { MergedHistogram } from '../../../src/telemetry/interval-histogram.js';
import type { SeriesBucket, ThreadFigures } from '../../../src/telemetry/series-bucket.js';

/** One column. Columns begin at multiples of their length, so that those that are over never change. */
export type Column = { readonly atS: number; readonly buckets: readonly SeriesBucket[] };
/** `null`: nothing to draw there. */
export type Curve = (number | null)[];

/** About as many columns as a small screen has room for. */
const columnsMax = 150;
export const columnSeconds = (rangeS: number): number => Math.max(1, Math.ceil(rangeS / columnsMax));

/** Columns of `stepS` seconds that cover the `rangeS` seconds before `endMs` (Unix); those without buckets are there, and empty. */
export function columnsOf(buckets: readonly SeriesBucket[], endMs: number, rangeS: number, stepS: number): Column[] {
  const last = Math.ceil(endMs / 1000 / stepS) - 1;
  const first = last - Math.ceil(rangeS / stepS) + 1;
  const columns = Array.from({ length: last - first + 1 }, (_, index) => ({
    atS: (first + index) * stepS,
    buckets: [] as SeriesBucket[],
  }));
  // By its middle: a bucket that ended a moment late is still of its second.
  const columnOf = (bucket: SeriesBucket): number => Math.floor((bucket.at_ms - bucket.duration_ms / 2) / 1000 / stepS) - first;
  for (const bucket of buckets) columns[columnOf(bucket)]?.buckets.push(bucket);
  return columns;
}

export function merged(buckets: readonly SeriesBucket[], name: string): MergedHistogram {
  const sum = new MergedHistogram();
  for (const { histograms } of buckets) {
    const pairs = histograms[name];
    if (pairs !== undefined) sum.add(pairs);
  }
  return sum;
}

export const quantiles = [50, 95, 99, 99.9, 100] as const;
export const quantileNames: readonly string[] = ['p50', 'p95', 'p99', 'p99.9', 'max'];

/** A curve for each of `percents`, divided by `divisor` (1000: microseconds to milliseconds). */
export function quantileCurves(columns: readonly Column[], name: string, percents: readonly number[], divisor: number): Curve[] {
  const sums = columns.map(({ buckets }) => merged(buckets, name));
  return percents.map((percent) =>
    sums.map((sum) => {
      const value = sum.at(percent);
      return value === undefined ? null : value / divisor;
    }),
  );
}

const secondsOf = (buckets: readonly SeriesBucket[]): number =>
  buckets.reduce((sum, bucket) => sum + bucket.duration_ms, 0) / 1000;

/** Sum of the counters that `isWanted` names. */
export function counted(buckets: readonly SeriesBucket[], isWanted: (name: string) => boolean): number {
  let sum = 0;
  for (const { counters } of buckets) for (const [name, by] of Object.entries(counters)) if (isWanted(name)) sum += by;
  return sum;
}

/** A second. */
export function rateCurve(columns: readonly Column[], isWanted: (name: string) => boolean): Curve {
  return columns.map(({ buckets }) => (buckets.length === 0 ? null : counted(buckets, isWanted) / secondsOf(buckets)));
}

/** The highest of each column: what is looked for is what was too much. */
export function highestCurve(columns: readonly Column[], figureOf: (bucket: SeriesBucket) => number | undefined): Curve {
  return columns.map(({ buckets }) => {
    const values = buckets.map(figureOf).filter((value) => value !== undefined);
    return values.length === 0 ? null : Math.max(...values);
  });
}

/** Per cent of a core. Where the operating system does not account by thread: of the event loop's time. */
export function busyCurve(columns: readonly Column[], figuresOf: (bucket: SeriesBucket) => ThreadFigures | undefined): Curve {
  return columns.map(({ buckets }) => {
    let busyMs = 0;
    let wholeMs = 0;
    for (const bucket of buckets) {
      const figures = figuresOf(bucket);
      const ms = figures?.cpu_ms ?? ((figures?.loop_permille ?? Number.NaN) / 1000) * bucket.duration_ms;
      if (!Number.isFinite(ms)) continue;
      busyMs += ms;
      wholeMs += bucket.duration_ms;
    }
    return wholeMs === 0 ? null : (busyMs / wholeMs) * 100;
  });
}

/** Name and labels of a counter or gauge as `/metrics` writes them. */
export function parseName(text: string): { readonly name: string; readonly labels: Readonly<Record<string, string>> } {
  const [, name = text, inside = ''] = /^([^{]*)\{(.*)\}$/.exec(text) ?? [];
  return { name, labels: Object.fromEntries([...inside.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key!, value!])) };
}

/** Threads that any of the buckets tells of, in the order of the last. */
export function threadNames(buckets: readonly SeriesBucket[]): string[] {
  return Object.keys(buckets.at(-1)?.threads ?? {});
}

/** Histograms that any of the buckets has. */
export function histogramNames(buckets: readonly SeriesBucket[]): Set<string> {
  const names = new Set<string>();
  for (const { histograms } of buckets) for (const name of Object.keys(histograms)) names.add(name);
  return names;
}
