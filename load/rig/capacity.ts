/** The search for the largest number of calls at which every promise holds, and what stood in the way of more. Pure. */
import { type LoadResult, promises } from './load-result.js';
import { type Bar, latenessMaxMs } from './report.js';

export type Tried = { readonly sessions: number; readonly holds: boolean };

export type SearchLimits = {
  readonly from: number;
  readonly to: number;
  /** The search ends when the answer is known to this share. */
  readonly precision: number;
};

/** What to try next: twice as many until one fails, then halfway between; undefined when the answer is known. */
export function nextSessions(tried: readonly Tried[], { from, to, precision }: SearchLimits): number | undefined {
  const good = Math.max(0, ...tried.filter(({ holds }) => holds).map(({ sessions }) => sessions));
  const bad = Math.min(Number.POSITIVE_INFINITY, ...tried.filter(({ holds }) => !holds).map(({ sessions }) => sessions));
  if (tried.length === 0) return from;
  if (good >= to) return undefined;
  if (bad === Number.POSITIVE_INFINITY) return Math.min(to, good * 2);
  const gap = bad - good;
  if (gap <= Math.max(1, Math.round(good * precision))) return undefined;
  return good + Math.max(1, Math.floor(gap / 2));
}

/** The largest that held; 0 when none did. */
export function capacityOf(tried: readonly Tried[]): number {
  return Math.max(0, ...tried.filter(({ holds }) => holds).map(({ sessions }) => sessions));
}

/** Shares of a core, and of the machine, from which on something counts as full. */
const [threadFull, machineFull] = [85, 92];

/** Which promise was missed, and which resource was full, in one line. `result` has not passed. */
export function endedBy(result: LoadResult): string {
  const lateness = result.callers['generator_lateness']?.p99 ?? Number.NaN;
  const missed = promises(result).filter(({ holds }) => !holds);
  const why = missed.length === 0 ? '' : `; missed: ${missed.map(missedText).join(', ')}`;
  if (!result.isValid)
    return `the load generator (its lateness p99 ${lateness.toFixed(1)} ms, more than ${latenessMaxMs} ms)${why}`;
  return `${fullResource(result)}${why}`;
}

function fullResource({ cost, failures, tally }: LoadResult): string {
  const isRefused = Object.keys(failures).some((reason) => /\b503\b|capacity|places/i.test(reason));
  if (isRefused) return `slots: ${tally.callsFailed} calls were refused or failed`;
  if (cost === undefined) return 'unknown: the server is not ours to look at';
  const { cpu } = cost;
  const [thread, share] = Object.entries(cpu.engineByThread).sort(([, a], [, b]) => b - a)[0] ?? ['', 0];
  const spread = `engine ${cpu.engine.toFixed(0)}, simulator ${cpu.simulator.toFixed(0)}, callers ${cpu.callers.toFixed(0)} % of a core`;
  if (share >= threadFull) return `the engine’s thread ${thread} (${share.toFixed(0)} % of a core; ${spread})`;
  if (cpu.machineBusy >= machineFull) return `the machine’s cores (${cpu.machineBusy.toFixed(0)} % busy; ${spread})`;
  return `no resource was full (machine ${cpu.machineBusy.toFixed(0)} % busy, busiest thread ${thread} ${share.toFixed(0)} %; ${spread})`;
}

function missedText({ name, value, limit, unit }: Bar): string {
  return `${name} ${Number.isNaN(value) ? 'not measured' : `${value.toFixed(1)} (${limit}) ${unit}`.trimEnd()}`;
}
