/**
 * One load run from beginning to end: engine and simulated providers (unless a URL is given), processes of callers, figures. Used by `load`,
 * `load:ramp`, `load:http` and `soak`. Runs in the process that leads the run.
 */
import { nowMs } from '../../src/shared/clock.js';
import { addressOf } from '../caller.js';
import type { ProfileName } from '../providers/profile.js';
import { newTally } from './behaviour.js';
import { planCalls, plannedAt } from './call-plan.js';
import { type CostSample, CostWatch, cpuBetween, threadNames } from './cost-watch.js';
import { Crew, type CrewEnd, processesFor } from './crew.js';
import { askEngine, type EngineSnapshot, engineStages, grownCounters } from './engine-figures.js';
import { Knocker } from './knocker.js';
import {
  type CallerFigures,
  costBars,
  exitCodeOf,
  generatorIsLate,
  type LoadCost,
  type LoadResult,
  type LoadSettings,
  type Measured,
  promises,
  type SeriesPoint,
} from './load-result.js';
import type { Progress } from './progress.js';
import { machineFacts } from './report.js';
import { prepareSpeech, type SpeechSet } from './speech-set.js';
import { plainAgent, Simulator, Stack } from './stack.js';
import { type Encoded, encode, figuresOf, mergeStages } from './stages.js';

/** Calls that begin in a second while the run fills up. */
const startsPerSecond = 10;
const rampMinMs = 2000;
const warmUpMs = 10_000;
/** Of a short run, this much at most is filling up and warming up. */
const unmeasuredMax = 0.5;
const intervalsWanted = 60;
const [intervalMinMs, intervalMaxMs] = [1000, 30_000];
/** Between "go" and the first call. */
const headStartMs = 500;
/** The last look at the engine is taken while every call is still there. */
const lastLookMs = 500;
const defaultHeardMax = 12;
/** An ear costs the generator some time, and few calls need one. */
const heardAtMostOneIn = 4;
const spareSlotsRatio = 0.05;
/** Before memory is read for the first time, so that what is loaded and compiled once counts as idle: so many calls, for so long, and then none. */
const warmUpCalls = 20;
const warmUpCallsMs = 20_000;
const settleMs = 4000;
/** A fault, unless somebody knocks beyond capacity. */
const refusals = 'parley_refused_total';
const counterPrefixes = [
  'parley_errors_total',
  'parley_timeline_disorder_total',
  'parley_input_overrun_samples_total',
  'parley_output_ring_full_total',
  'parley_pacer_underruns_total',
  'parley_frames_stale_total',
];

/** Where the calls go. */
export type Target = {
  /** Of the engine, `ws://…`. */
  readonly url: string;
  readonly agentId: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** The engine when it is ours. */
  readonly stack: Stack | undefined;
  readonly profile: string;
  readonly speech: SpeechSet;
  readonly notes: readonly string[];
  /** Resident memory of the engine: freshly started, and after a few calls with none going on. */
  readonly coldMb: number;
  readonly idleMb: number;
};

/** Slots of an engine that is started for `sessions` calls: a seat is taken again a second after it was left, and nobody should be refused meanwhile. */
export function slotsFor(sessions: number): number {
  return sessions + Math.max(2, Math.ceil(sessions * spareSlotsRatio));
}

export type TargetOptions = {
  /** Undefined: engine and simulated providers are started. */
  readonly url: string | undefined;
  readonly agentId: string | undefined;
  /** Control interface of simulated providers that somebody else has started. */
  readonly simulatorUrl: string | undefined;
  /** For `xi-api-key`; from the environment, never from the command line, where every process could read it. */
  readonly apiKey: string | undefined;
  readonly profile: ProfileName;
  /** Calls at once; an engine that is started here gets some slots more, or just `slots`. */
  readonly sessions: number;
  readonly slots?: number | undefined;
  readonly seed: number;
  readonly environment?: Readonly<Record<string, string>>;
};

export const probePath = new URL('./probe.js', import.meta.url).href;

export async function openTarget(options: TargetOptions): Promise<Target> {
  const { url, agentId, seed, profile, sessions, apiKey } = options;
  const headers = apiKey === undefined ? {} : { 'xi-api-key': apiKey };
  if (url !== undefined) {
    const simulator = options.simulatorUrl === undefined ? undefined : new Simulator(options.simulatorUrl);
    const { speech, notes } = await prepareSpeech(seed, simulator);
    const told = simulator === undefined ? 'the providers are not simulated by us: first audio is theirs, too' : '';
    return {
      url: url.replace(/^http/, 'ws'),
      agentId,
      headers,
      stack: undefined,
      profile: simulator === undefined ? 'real' : profile,
      speech,
      notes: [...notes, told].filter((note) => note !== ''),
      coldMb: Number.NaN,
      idleMb: Number.NaN,
    };
  }
  const stack = await Stack.start({
    profile,
    seed,
    sessionsMax: options.slots ?? slotsFor(sessions),
    agents: [plainAgent()],
    providers: 'simulated',
    environment: {
      PARLEY_LOG: 'error',
      NODE_OPTIONS: [process.env['NODE_OPTIONS'], `--import=${probePath}`].filter(Boolean).join(' '),
      ...options.environment,
    },
  });
  try {
    const { speech, notes } = await prepareSpeech(seed, stack.simulator);
    const target = { url: stack.url, agentId, headers, stack, profile, speech, notes };
    const { residentMb: coldMb } = stack.engineCost();
    await warmUp(target, Math.min(sessions, warmUpCalls), seed);
    return { ...target, coldMb, idleMb: stack.engineCost().residentMb };
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

async function warmUp(
  { url, agentId, headers, speech }: Omit<Target, 'coldMb' | 'idleMb'>,
  sessions: number,
  seed: number,
): Promise<void> {
  const totalMs = warmUpCallsMs;
  const calls = planCalls({ sessions, rampMs: rampMinMs, totalMs, churnRatio: 0, heardMax: 0, seed });
  const start = { url, agentId, headers, seed, calls, speech, intervalMs: intervalMaxMs };
  const crew = await Crew.start(start, 1, { onInterval: () => undefined, onTick: () => undefined });
  await crew.run(nowMs() + headStartMs, totalMs);
  await new Promise((resolve) => setTimeout(resolve, settleMs));
}

export type RunOptions = {
  readonly sessions: number;
  readonly seconds: number;
  readonly seed: number;
  readonly churnRatio: number;
  /** Processes of callers; undefined: as many as the cores suggest. */
  readonly processes?: number | undefined;
  readonly heardMax?: number;
  /** Callers a second who knock, in the measured time, while every place is taken. */
  readonly knocksPerSecond?: number;
  readonly progress: Progress;
  readonly label?: string;
  /** Told when the measured time begins and when it ends. */
  readonly onMeasure?: (isBeginning: boolean) => void;
  readonly signal?: AbortSignal;
};

type Interval = { readonly index: number; readonly stages: Encoded };

export async function runLoad(target: Target, options: RunOptions): Promise<LoadResult> {
  const { sessions, seed, churnRatio, seconds } = options;
  const startedAt = new Date().toISOString();
  const totalMs = seconds * 1000;
  const rampMs = Math.min(Math.max(rampMinMs, (sessions / startsPerSecond) * 1000), (totalMs * unmeasuredMax) / 2);
  const intervalMs = Math.round(Math.min(intervalMaxMs, Math.max(intervalMinMs, totalMs / intervalsWanted)));
  const firstMeasured = Math.ceil(Math.min(rampMs + warmUpMs, totalMs * unmeasuredMax) / intervalMs);
  const heardMax = Math.min(Math.ceil(sessions / heardAtMostOneIn), options.heardMax ?? defaultHeardMax);
  const calls = planCalls({ sessions, rampMs, totalMs, churnRatio, heardMax, seed });
  const processes = options.processes ?? processesFor(sessions);
  const intervals: Interval[] = [];
  const { url, agentId, headers, speech, stack } = target;
  let beginMs = 0;
  const crew = await Crew.start({ url, agentId, headers, seed, calls, speech, intervalMs }, processes, {
    onInterval: (interval) => intervals.push(interval),
    onTick: () => options.progress.show((nowMs() - beginMs) / totalMs, progressText(crew, sessions, options.label)),
  });
  const watch = stack === undefined ? undefined : new CostWatch(stack, nowMs, () => crew);
  const looks: { before: EngineSnapshot | undefined; after: EngineSnapshot | undefined } = {
    before: undefined,
    after: undefined,
  };
  const httpUrl = httpUrlOf(url);
  const stop = (): void => {
    knocker?.rest();
    crew.stop();
  };
  options.signal?.addEventListener('abort', stop, { once: true });
  const timers: NodeJS.Timeout[] = [];
  let end: CrewEnd = { tally: newTally(), failures: new Map() };
  const pending: Promise<void>[] = [];
  const { knocksPerSecond = 0 } = options;
  const door = addressOf({ url, ...(agentId === undefined ? {} : { agentId }) });
  const knocker = knocksPerSecond === 0 ? undefined : new Knocker(door, headers, knocksPerSecond);
  const at = (ms: number, run: () => Promise<void> | void): void => {
    timers.push(setTimeout(() => void pending.push(Promise.resolve(run())), headStartMs + ms));
  };
  try {
    beginMs = nowMs() + headStartMs;
    at(firstMeasured * intervalMs, async () => {
      options.onMeasure?.(true);
      knocker?.start();
      looks.before = await askEngine(httpUrl, headers);
    });
    at(totalMs - lastLookMs, async () => {
      knocker?.rest();
      options.onMeasure?.(false);
      looks.after = await askEngine(httpUrl, headers);
    });
    end = await crew.run(beginMs, totalMs);
    await Promise.all(pending);
  } finally {
    for (const timer of timers) clearTimeout(timer);
    options.signal?.removeEventListener('abort', stop);
    watch?.stop();
    crew.kill();
    options.progress.end();
  }
  const settings: LoadSettings = {
    sessions,
    seconds,
    profile: target.profile,
    seed,
    rampSeconds: rampMs / 1000,
    measuredFromSeconds: (firstMeasured * intervalMs) / 1000,
    churnRatio,
    processes,
    heardCalls: new Set(calls.filter(({ isHeard }) => isHeard).map(({ seat }) => seat)).size,
    url: stack === undefined ? url : '',
  };
  const samples = watch?.samples ?? [];
  const knocks = await knocker?.answers();
  const refusal = knocker === undefined ? [] : [{ stages: { refusal: encode(knocker.delays) } }];
  const callers = callerFigures([...intervals.filter(({ index }) => index >= firstMeasured), ...refusal]);
  const measuredFromMs = beginMs + firstMeasured * intervalMs;
  const names = stack === undefined ? new Map<number, string>() : threadNames(stack);
  const cost = costOver(
    samples.filter(({ atMonotonicMs }) => atMonotonicMs >= measuredFromMs && atMonotonicMs <= beginMs + totalMs),
    names,
    target,
  );
  const measured: Measured = {
    callers,
    engine: engineStages(looks.before, looks.after),
    tally: end.tally,
    knocks,
    cost,
    settings,
  };
  const bars = [...promises(measured), ...costBars(measured)];
  const isValid = !generatorIsLate(callers);
  return {
    kind: 'parley-load',
    version: 1,
    startedAt,
    machine: machineFacts(),
    isValid,
    exitCode: exitCodeOf(isValid, bars),
    bars,
    notes: [...target.notes, ...notesOf(measured, target, options)],
    failures: Object.fromEntries(end.failures),
    engineCounters: Object.fromEntries(
      grownCounters(looks.before, looks.after, knocker === undefined ? [...counterPrefixes, refusals] : counterPrefixes),
    ),
    series: seriesOf(intervals, intervalMs, beginMs, samples, (atMs) => plannedAt(calls, atMs)),
    ...measured,
  };
}

function progressText(crew: Crew, sessions: number, label: string | undefined): string {
  const { tally, live } = crew;
  const trouble = tally.callsFailed + tally.unanswered + tally.problems;
  return `${label === undefined ? '' : `${label}: `}${live} of ${sessions} calls, ${tally.turns} turns, ${tally.interruptions} interruptions, trouble ${trouble}`;
}

export function httpUrlOf(url: string): string {
  const { protocol, host } = new URL(url);
  return `${protocol === 'wss:' || protocol === 'https:' ? 'https' : 'http'}://${host}`;
}

function callerFigures(intervals: readonly Pick<Interval, 'stages'>[]): Record<string, CallerFigures> {
  const merged = mergeStages(intervals.map(({ stages }) => stages));
  return Object.fromEntries(
    [...merged].map(([stage, histogram]) => [stage, { ...figuresOf(histogram), encoded: encode(histogram) }]),
  );
}

function costOver(
  samples: readonly CostSample[],
  names: ReadonlyMap<number, string>,
  { coldMb, idleMb }: Target,
): LoadCost | undefined {
  const [first, last] = [samples[0], samples.at(-1)];
  if (first === undefined || last === undefined || samples.length < 3) return undefined;
  const cpu = cpuBetween(first, last, names);
  const calls = samples.reduce((sum, sample) => sum + sample.calls, 0) / samples.length;
  const { residentMb: loadedMb } = last;
  return { calls, cpu, cpuPerCall: cpu.engine / calls, coldMb, idleMb, loadedMb, memoryPerCallMb: (loadedMb - idleMb) / calls };
}

function notesOf({ engine, settings }: Measured, { stack }: Target, { signal }: RunOptions): string[] {
  const notes = [`${settings.heardCalls} calls were heard by an ear, the others counted events and frames`];
  if (engine.window === 'none') notes.push('this server gave no figures of its own at /metrics');
  if (engine.window === 'since start') notes.push('the engine’s own figures count from its start: filling up is in them');
  if (signal?.aborted === true) notes.push('the run was stopped before its end');
  if (stack !== undefined) {
    if (stack.problems.length > 0)
      notes.push(`the engine logged ${stack.problems.length} problems: ${JSON.stringify(stack.problems[0])}`);
    for (const complaint of stack.complaints.slice(0, 3)) notes.push(`the engine wrote: ${complaint}`);
  }
  return notes;
}

function seriesOf(
  intervals: readonly Interval[],
  intervalMs: number,
  beginMs: number,
  samples: readonly CostSample[],
  planned: (atMs: number) => number,
): SeriesPoint[] {
  const last = intervals.reduce((most, { index }) => Math.max(most, index), -1);
  return Array.from({ length: last + 1 }, (_, index) => {
    const merged = mergeStages(intervals.filter((interval) => interval.index === index).map(({ stages }) => stages));
    const [fromMs, toMs] = [beginMs + index * intervalMs, beginMs + (index + 1) * intervalMs];
    const own = samples.filter(({ atMonotonicMs }) => atMonotonicMs >= fromMs - 1000 && atMonotonicMs <= toMs);
    const [first, final] = [own[0], own.at(-1)];
    const share = (pick: (sample: CostSample) => number): number =>
      first === undefined || final === undefined || first === final
        ? Number.NaN
        : ((pick(final) - pick(first)) / (final.atMonotonicMs - first.atMonotonicMs)) * 100;
    return {
      atMs: (index + 1) * intervalMs,
      calls: final?.calls ?? planned((index + 1) * intervalMs - 1),
      stages: Object.fromEntries([...merged].map(([stage, histogram]) => [stage, figuresOf(histogram)])),
      engineCpu: share(({ engineCpuMs }) => engineCpuMs),
      simulatorCpu: share(({ simulatorCpuMs }) => simulatorCpuMs),
      callersCpu: share(({ callersCpuMs }) => callersCpuMs),
      residentMb: final?.residentMb ?? Number.NaN,
    };
  });
}
