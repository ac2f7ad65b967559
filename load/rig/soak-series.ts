/** What a long run sampled, and whether it grows. Pure. */
import type { EngineSnapshot } from './engine-figures.js';
import type { OpenFiles } from './machine-cost.js';
import type { Report } from './report.js';
import type { LogLine } from './stack.js';
import { type Point, trendOf, verdictOf } from './trend.js';

/** Quantity → how much of it a thousand calls may leave behind, and its unit. Less than a leak of one for each call in every row. */
const allowedPerThousandCalls: Readonly<Record<string, { readonly limit: number; readonly unit: string }>> = {
  'resident memory': { limit: 2, unit: 'MB' },
  'heap after collection': { limit: 0.5, unit: 'MB' },
  'memory outside the heap': { limit: 0.5, unit: 'MB' },
  'open files': { limit: 5, unit: '' },
  sockets: { limit: 5, unit: '' },
  threads: { limit: 0.5, unit: '' },
  timers: { limit: 10, unit: '' },
  'message ports': { limit: 1, unit: '' },
  'slots not given back': { limit: 0.5, unit: '' },
};
const hourMs = 3_600_000;
/** After the last call, besides what was open before the first: connections to providers that are kept for the next call. */
const keptFilesMax = 64;

export class Series {
  readonly points: Record<string, Point[]> = {};

  /** `atMs`: monotonic. */
  add(name: string, atMs: number, value: number): void {
    this.points[name] ??= [];
    this.points[name].push({ x: atMs, y: value });
  }
}

const quantities = {
  'heap after collection': ['heap_bytes', 2 ** 20],
  'memory outside the heap': ['external_bytes', 2 ** 20],
  timers: ['timers', 1],
  'message ports': ['ports', 1],
} as const;

/** A thread that has been silent for so many rounds has ended, and what it had is gone with it. */
const silentRoundsMax = 2.5;

/**
 * Adds what the probes said, summed over all threads. Each speaks at its own time, about once a round; a round is over when one that has spoken in
 * it speaks again. Who is late counts with what it said last.
 */
export function sumsOfProbes(log: readonly LogLine[], series: Series, clockOffsetMs = monotonicOffsetMs()): void {
  const latest = new Map<string | number, { line: LogLine; atMs: number }>();
  const inRound = new Set<string | number>();
  let roundMs = 0;
  let endedAtMs = Number.NaN;
  const end = (): void => {
    if (inRound.size === 0) return;
    const atMs = Math.max(...[...inRound].map((thread) => latest.get(thread)!.atMs));
    roundMs = Number.isNaN(endedAtMs) ? Number.POSITIVE_INFINITY : atMs - endedAtMs;
    endedAtMs = atMs;
    inRound.clear();
    const living = [...latest.values()].filter((said) => said.atMs >= atMs - silentRoundsMax * roundMs);
    for (const [name, [field, scale]] of Object.entries(quantities)) {
      const sum = living.reduce((total, { line }) => total + Number(line[field]), 0);
      series.add(name, atMs, sum / scale);
    }
  };
  for (const line of log) {
    if (line.event !== 'probe.memory') continue;
    const thread = line['thread_id']!;
    if (inRound.has(thread)) end();
    inRound.add(thread);
    latest.set(thread, { line, atMs: Date.parse(String(line['at'])) - clockOffsetMs });
  }
  end();
}

/** Wall clock minus monotonic clock: log lines carry the first. */
function monotonicOffsetMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return Date.now() - (seconds * 1000 + nanoseconds / 1e6);
}

/** A line and a bar for each quantity, of what was sampled between the two instants. */
export function tellTrends(report: Report, series: Series, fromMs: number, untilMs: number, callsPerHour: number): void {
  report.section('growth after warm-up');
  for (const [name, all] of Object.entries(series.points)) {
    const allowed = allowedPerThousandCalls[name];
    if (allowed === undefined) continue;
    const judged = all.filter(({ x }) => x >= fromMs && x <= untilMs).map(({ x, y }) => ({ x: (x - fromMs) / hourMs, y }));
    const trend = trendOf(judged);
    const thousandsPerHour = callsPerHour / 1000;
    const [low, slope, high] = [trend.low, trend.slope, trend.high].map((perHour) => perHour / thousandsPerHour) as [
      number,
      number,
      number,
    ];
    const { limit, unit } = allowed;
    const verdict = verdictOf({ ...trend, slope, low, high }, limit);
    report.fact(
      `${name.padEnd(24)} ${`mean ${trend.mean.toFixed(1)} ${unit}`.trimEnd().padEnd(18)} slope ${signed(trend.slope)} an hour [${signed(trend.low)}, ${signed(trend.high)}], ${signed(slope)} per 1000 calls; ${verdict} (${trend.count} samples)`,
    );
    report.bar(`${name}: growth per 1000 calls, upper bound`, high, 'at most', limit, unit);
  }
}

/** What must be back when the last call is over. */
export function leftovers(
  report: Report,
  slots: number,
  after: EngineSnapshot | undefined,
  before: OpenFiles | undefined,
  files: OpenFiles | undefined,
): void {
  report.section('after the last call');
  const live = after?.values.get('parley_calls') ?? Number.NaN;
  const free = after?.values.get('parley_slots_free') ?? Number.NaN;
  report.fact(
    `${live} calls, ${free} slots free${files === undefined ? '' : `, ${files.files} open files (${before?.files} before the first call)`}`,
  );
  report.bar('calls still open', live, 'at most', 0, '');
  if (files === undefined || before === undefined) return;
  report.bar('slots free', free, 'at least', slots, '');
  report.bar('open files over those before the first call', files.files - before.files, 'at most', keptFilesMax, '');
}

function signed(value: number): string {
  return `${value >= 0 ? '+' : ''}${value.toFixed(Math.abs(value) >= 100 ? 0 : 2)}`;
}
