/** What a load run found: as data for a file, and as a table for people. Pure. */
import type { Tally } from './behaviour.js';
import type { EngineStages } from './engine-figures.js';
import type { Knocks } from './knocker.js';
import { type Bar, barText, holds, latenessMaxMs, type Machine, machineText } from './report.js';
import { callerStageNames, type Figures, noFigures } from './stages.js';

export type CallerFigures = Figures & { readonly encoded: string };

/** In % of one core, over the measured time. */
export type CpuCost = {
  readonly engine: number;
  readonly engineByThread: Readonly<Record<string, number>>;
  readonly simulator: number;
  readonly callers: number;
  /** Of all cores together, everything on the machine included. */
  readonly machineBusy: number;
};

export type LoadCost = {
  /** Calls that were going on, on average. */
  readonly calls: number;
  readonly cpu: CpuCost;
  readonly cpuPerCall: number;
  /** Resident: freshly started, idle after a few calls, and at the end of the measured time. */
  readonly coldMb: number;
  readonly idleMb: number;
  readonly loadedMb: number;
  readonly memoryPerCallMb: number;
};

export type SeriesPoint = {
  /** Since the run began: the end of the interval. */
  readonly atMs: number;
  readonly calls: number;
  readonly stages: Readonly<Record<string, Figures>>;
  /** In % of one core; NaN where unknown. */
  readonly engineCpu: number;
  readonly simulatorCpu: number;
  readonly callersCpu: number;
  readonly residentMb: number;
};

export type LoadSettings = {
  readonly sessions: number;
  readonly seconds: number;
  readonly profile: string;
  readonly seed: number;
  readonly rampSeconds: number;
  readonly measuredFromSeconds: number;
  readonly churnRatio: number;
  readonly processes: number;
  readonly heardCalls: number;
  readonly url: string;
};

export type LoadResult = {
  readonly kind: 'parley-load';
  readonly version: 1;
  readonly startedAt: string;
  readonly machine: Machine;
  readonly settings: LoadSettings;
  /** False: the callers themselves were too late, so no figure counts. */
  readonly isValid: boolean;
  readonly exitCode: 0 | 1 | 3;
  readonly bars: readonly Bar[];
  readonly notes: readonly string[];
  readonly callers: Readonly<Record<string, CallerFigures>>;
  readonly engine: EngineStages;
  readonly tally: Tally;
  /** Undefined when nobody knocked beyond capacity. */
  readonly knocks?: Knocks | undefined;
  readonly failures: Readonly<Record<string, number>>;
  /** Engine counters that say that something went wrong, as far as they grew. */
  readonly engineCounters: Readonly<Record<string, number>>;
  /** Undefined when the server's processes are not ours to look at. */
  readonly cost: LoadCost | undefined;
  readonly series: readonly SeriesPoint[];
};

/** Limits of `npm run load`; milliseconds unless named otherwise. */
export const limits = {
  onsetToLastFrameP50: 100,
  decisionToLastFrameP99: 5,
  decisionToLastFrameP999: 15,
  vadLagP99: 60,
  pacingJitterP99: 5,
  overheadP50: 5,
  overheadP99: 25,
  refusalP99: 50,
  firstAudioP50: 1000,
  firstAudioP95: 1500,
  cpuPerCallPercent: 0.35,
  memoryPerCallMb: 0.5,
} as const;

export type Measured = Pick<LoadResult, 'callers' | 'engine' | 'tally' | 'knocks' | 'cost' | 'settings'>;

function bar(name: string, value: number, is: Bar['is'], limit: number, unit = 'ms'): Bar {
  return { name, value, is, limit, unit, holds: holds(value, is, limit) };
}

/** What must hold at any load up to capacity: barge-in, pacing, VAD lag, first audio, and nobody refused or wronged. */
export function promises({ callers, engine, tally, knocks, settings }: Measured): Bar[] {
  const heard = (stage: string): Figures => callers[stage] ?? noFigures;
  const own = (stage: string): Figures => engine.stages[stage] ?? noFigures;
  const bars = [
    bar('interruption: onset to last frame p50', heard('onset_to_last_frame').p50, 'at most', limits.onsetToLastFrameP50),
    bar('interruptions not yielded to', tally.notYielded, 'at most', 0, ''),
    bar('stale frames and breaches of the protocol', tally.staleFrames + tally.problems, 'at most', 0, ''),
    bar('calls that failed', tally.callsFailed, 'at most', 0, ''),
    bar('questions without an answer', tally.unanswered, 'at most', 0, ''),
  ];
  if (engine.window !== 'none') {
    bars.push(
      bar('decision to last frame p99', own('decision_to_last_frame').p99, 'at most', limits.decisionToLastFrameP99),
      bar('decision to last frame p99.9', own('decision_to_last_frame').p999, 'at most', limits.decisionToLastFrameP999),
      bar('VAD lag p99', own('vad_lag').p99, 'at most', limits.vadLagP99),
      bar('pacing jitter p99', own('pacing_jitter').p99, 'at most', limits.pacingJitterP99),
      bar('engine overhead on first audio p50', own('engine_overhead').p50, 'at most', limits.overheadP50),
      bar('engine overhead on first audio p99', own('engine_overhead').p99, 'at most', limits.overheadP99),
    );
  }
  if (knocks !== undefined)
    bars.push(
      bar(
        'calls beyond capacity refused as documented',
        knocks.refused,
        'at least',
        Math.max(1, knocks.count),
        `of ${knocks.count}`,
      ),
      bar('refusal p99', heard('refusal').p99, 'at most', limits.refusalP99),
    );
  // Other profiles, and real providers, have delays of their own.
  if (settings.profile === 'reference')
    bars.push(
      bar('first audio p50', heard('first_audio').p50, 'at most', limits.firstAudioP50),
      bar('first audio p95', heard('first_audio').p95, 'at most', limits.firstAudioP95),
    );
  return bars;
}

/** What a call may cost. */
export function costBars({ cost }: Measured): Bar[] {
  if (cost === undefined) return [];
  return [
    bar('engine CPU per call', cost.cpuPerCall, 'at most', limits.cpuPerCallPercent, '% of a core'),
    bar('engine memory per call over idle', cost.memoryPerCallMb, 'at most', limits.memoryPerCallMb, 'MB'),
  ];
}

/** The generator's own lateness at the 99th percentile; a run in which it was never measured proves nothing either. */
export function generatorIsLate(callers: LoadResult['callers']): boolean {
  const p99 = callers['generator_lateness']?.p99;
  return p99 === undefined || !(p99 <= latenessMaxMs);
}

export function exitCodeOf(isValid: boolean, bars: readonly Bar[]): LoadResult['exitCode'] {
  if (!isValid) return 3;
  return bars.every((each) => each.holds) ? 0 : 1;
}

/** JSON with at most three decimals; NaN becomes null. */
export function resultJson(result: LoadResult): string {
  const rounded = (_: string, item: unknown) => (typeof item === 'number' ? Math.round(item * 1000) / 1000 : item);
  return `${JSON.stringify(result, rounded, 1)}\n`;
}

/** Undefined for anything but a result of this program. Missing figures come back as NaN. */
export function parseResult(text: string): LoadResult | undefined {
  const revive = (key: string, item: unknown): unknown => (item === null && key !== 'cost' ? Number.NaN : item);
  let value: unknown;
  try {
    value = JSON.parse(text, revive);
  } catch {
    return undefined;
  }
  const isOurs = typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'parley-load';
  return isOurs ? (value as LoadResult) : undefined;
}

const nameWidth = 30;

/** `old`: a result to stand beside this one. */
export function resultText(result: LoadResult, old?: LoadResult): string {
  const { settings, callers, engine, tally, cost, bars } = result;
  const head = (title: string): string =>
    `  ${title.padEnd(nameWidth)}${'n'.padStart(8)}${['p50', 'p95', 'p99', 'p99.9', 'max'].map((name) => name.padStart(10)).join('')}${old === undefined ? '' : '   p50 then   p99 then'}`;
  const row = (name: string, now: Figures, then: Figures | undefined): string => {
    const cells = [now.p50, now.p95, now.p99, now.p999, now.max].map((value) => cell(value, 10)).join('');
    const beside = old === undefined ? '' : `${cell(then?.p50 ?? Number.NaN, 11)}${cell(then?.p99 ?? Number.NaN, 11)}`;
    return `  ${name.padEnd(nameWidth)}${String(now.count).padStart(8)}${cells}${beside}`;
  };
  const callerRows = callerStageNames.flatMap((stage) =>
    callers[stage] === undefined ? [] : [row(stage, callers[stage], old?.callers[stage])],
  );
  const engineRows = Object.entries(engine.stages).map(([stage, figures]) => row(stage, figures, old?.engine.stages[stage]));
  return [
    '',
    `${settings.sessions} calls for ${settings.seconds} s, profile ${settings.profile}${settings.url === '' ? ' (SIMULATED providers)' : ` at ${settings.url}`}`,
    '',
    head('at the callers (ms)'),
    ...callerRows,
    '',
    ...(engineRows.length === 0 ? [] : [head(`in the engine (ms), ${engine.window}`), ...engineRows, '']),
    `  ${tally.callsStarted} calls, ${tally.callsFailed} failed; ${tally.turns} turns, ${tally.unanswered} unanswered; ${tally.interruptions} interruptions, ${tally.notYielded} not yielded to`,
    `  ${tally.falseAlarmsSurvived} of ${tally.falseAlarms} answers went on after a noise; agent cut into ${tally.cutIns} of ${tally.longTurns} long turns, spoke into ${tally.spokenInto} of ${tally.silences} silences; ${tally.slowReads} slow reads`,
    ...Object.entries(result.knocks?.answers ?? {}).map(([answer, count]) => `    beyond capacity: ${count} × ${answer}`),
    ...Object.entries(result.failures).map(([reason, count]) => `    ${count} × ${reason}`),
    ...Object.entries(result.engineCounters).map(([name, count]) => `    engine: ${name} ${count}`),
    ...(cost === undefined ? [] : costLines(cost)),
    '',
    ...bars.map(barText),
    ...result.notes.map((note) => `  note: ${note}`),
    ...(result.isValid
      ? []
      : [
          `  INVALID: the load generator was the bottleneck. Its own lateness was ${cell(callers['generator_lateness']?.p99 ?? Number.NaN, 0)} ms (p99), more than ${latenessMaxMs} ms; no figure counts.`,
        ]),
    `  ${machineText(result.machine)}`,
    '',
  ].join('\n');
}

export function costLines({ calls, cpu, cpuPerCall, coldMb, idleMb, loadedMb, memoryPerCallMb }: LoadCost): string[] {
  const threads = Object.entries(cpu.engineByThread)
    .sort(([, a], [, b]) => b - a)
    .map(([name, share]) => `${name} ${share.toFixed(1)}`);
  return [
    `  CPU, % of a core: engine ${cpu.engine.toFixed(1)} (${threads.join(', ')}), simulator ${cpu.simulator.toFixed(1)}, callers ${cpu.callers.toFixed(1)}; machine ${cpu.machineBusy.toFixed(0)} % busy`,
    `  per call: ${cpuPerCall.toFixed(3)} % of a core, ${memoryPerCallMb.toFixed(2)} MB over idle (${coldMb.toFixed(0)} MB when started, ${idleMb.toFixed(0)} idle after a few calls, ${loadedMb.toFixed(0)} with ${calls.toFixed(0)})`,
  ];
}

function cell(value: number, width: number): string {
  return (Number.isNaN(value) ? '-' : value.toFixed(Math.abs(value) >= 1000 ? 0 : 2)).padStart(width);
}
