/**
 * `npm run load:hostile`: good calls beside a thousand malformed and hostile messages a second. Good calls are held twice by the same engine, with
 * the same words at the same moments: first in peace (the control), then beside hostile clients (`load/hostile/`), which send on a schedule of
 * their own whatever the engine does and come back whenever it ends them. Providers are SIMULATED without delays, so that the two runs differ in
 * hostility alone; what is compared is what the engine adds. Afterwards memory, connections and sessions must be where they were.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { nowMs } from '../src/shared/clock.js';
import { EngineError } from '../src/shared/errors.js';
import { Beat } from './beat.js';
import { Caller } from './caller.js';
import type { SenderStart, Tally } from './hostile/sender.js';
import { randomOf } from './providers/seeded.js';
import { readFlags } from './rig/flags.js';
import { type Held, holdTrial, type Outcome, outcomeOf } from './rig/interruptions.js';
import { probePath } from './rig/load-run.js';
import { CallerVoice } from './rig/phrases.js';
import { percentile, Report, slopeOf } from './rig/report.js';
import { Series, sumsOfProbes } from './rig/soak-series.js';
import { type Cost, costOf, type Handles, plainAgent, Stack } from './rig/stack.js';
import type { Point } from './rig/trend.js';
import { planTrials, type TrialPlan } from './rig/trials.js';

const usage = 'Holds good calls with and without hostile clients beside them, SIMULATED providers without delays, and compares.';
const flags = {
  calls: { fallback: 20, min: 1, max: 200, means: 'good calls at once' },
  seconds: { fallback: 60, min: 5, max: 3600, means: 'of each of the two runs' },
  rate: { fallback: 1000, min: 1, max: 20_000, means: 'hostile messages a second' },
  sockets: { fallback: 40, min: 1, max: 500, means: 'hostile clients at once' },
  slow: { fallback: 28, min: 0, max: 500, means: 'connections at once that take their time' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of trials and hostile messages' },
};
type Settings = Record<keyof typeof flags, number> & { readonly json: string | undefined };

/** Good calls begin over this time, so that they do not speak at once. */
const rampMs = 5000;
const settleMs = 800;
const [delayMinMs, delayMaxMs] = [600, 4000];
/** Some calls and all hostility before the control, so that code is compiled and heaps have the size they want: growth after it is a leak. */
const [warmUpCalls, warmUpMs] = [4, 20_000];
const afterwardsMs = 5000;
const sampleMs = 1000;
const sessionsSpare = 64;
/** After the hostile clients have gone the engine has this long to let go of everything. */
const recoveryMs = 40_000;
const recoveryStepMs = 1000;

/** A p99 beside hostile clients may be this much above that of the control: the scatter of two runs in peace. */
const p99ExcessMaxMs = 25;
const firstAudioExcessMaxMs = 50;
/** Share of the wanted rate that must have been sent, or the run proves little. */
const rateShareMin = 0.95;
/**
 * Memory that is still in use after a collection of garbage, in all threads of the engine. What the process has from the system says little: it grows
 * with the garbage of a busy minute and is given back late.
 */
const liveSlopeMaxMb = 20;
const liveGrowthMaxMb = 40;
const collectionSeconds = 4;
/** The memory store keeps its newest conversations, up to a bound; it is full by then. */
const pointsLeftOut = 4;
const filesGrowthMax = 4;

type Sample = { readonly atMs: number; readonly engine: Cost };
type Phase = {
  readonly held: Held[];
  readonly outcomes: readonly Outcome[];
  readonly failures: string[];
  readonly problems: readonly string[];
  readonly conversations: ReadonlySet<string>;
  readonly staleChunks: number;
  readonly samples: readonly Sample[];
  /** Of a core, engine and callers with the hostile sender. */
  readonly engineCpuPercent: number;
  readonly rigCpuPercent: number;
};

async function run(settings: Settings): Promise<number> {
  const { calls, seconds, rate, sockets, slow, seed } = settings;
  const report = new Report(`${calls} good calls beside ${rate} hostile messages a second (SIMULATED providers, no delays)`, {
    calls,
    seconds,
    rate,
    sockets,
    slow,
    seed,
  });
  const voice = await CallerVoice.load();
  const stack = await Stack.start({
    profile: 'instant',
    seed,
    sessionsMax: calls + sockets + slow + sessionsSpare,
    agents: [plainAgent()],
    providers: 'simulated',
    environment: {
      PARLEY_PROBE_SECONDS: `${collectionSeconds}`,
      NODE_OPTIONS: [process.env['NODE_OPTIONS'], `--import=${probePath}`].filter(Boolean).join(' '),
    },
  });
  try {
    const plans = await planTrials(stack, voice, seed);
    const beat = new Beat();
    const hold = (count: number, forMs: number): Promise<Phase> => holdCalls({ stack, beat, plans, seed, count, forMs });
    const hostility = { address: addressOf(stack.url), perSecond: rate, sockets, slowSockets: slow, seed };
    const first = await Sender.start(hostility);
    await hold(Math.min(calls, warmUpCalls), warmUpMs);
    await first.stop();
    await recovered(stack);
    const control = await hold(calls, seconds * 1000);
    const before = await recovered(stack);
    const sender = await Sender.start(hostility);
    const hostileFromMs = nowMs();
    const hostile = await hold(calls, seconds * 1000);
    const hostileUntilMs = nowMs();
    const tally = await sender.stop();
    const after = await recovered(stack, before.handles.files + filesGrowthMax);
    await wait(5 * collectionSeconds * 1000);
    const live = liveMemory(stack);
    const [last] = stack.engineDied ? [] : (await hold(1, afterwardsMs)).held;
    tellHostility(report, tally, rate);
    compare(report, control, hostile);
    tellHealth(report, control, hostile, { before, after });
    tellMemory(report, live, hostileFromMs, hostileUntilMs);
    report.bar('answers after it is over', last?.answer === undefined ? 0 : 1, 'at least', 1, '');
    report.bar('engine died', stack.engineDied ? 1 : 0, 'at most', 0, '');
    report.bar('complaints on standard error', stack.complaints.length, 'at most', 0, '');
    for (const line of stack.complaints.slice(0, 5)) report.note(line);
    const own = stack.problems.filter(({ conversation_id: id }) => hostile.conversations.has(String(id)));
    if (own.length > 0) report.note(`the engine logged ${own.length} problems of good calls: ${JSON.stringify(own[0])}`);
    report.lateness(beat.latenessUs.getValueAtPercentile(99) / 1000, beat.latenessUs.maxValue / 1000);
    report.details({ tally, control: detailsOf(control), hostile: detailsOf(hostile), before, after });
    return report.finish(settings.json);
  } finally {
    await stack.stop();
  }
}

type Calls = {
  readonly stack: Stack;
  readonly beat: Beat;
  readonly plans: readonly TrialPlan[];
  readonly seed: number;
  readonly count: number;
  readonly forMs: number;
};

/** The same words at the same moments each time it is called with the same seed. */
async function holdCalls({ stack, beat, plans, seed, count, forMs }: Calls): Promise<Phase> {
  const startMs = beat.nowMs;
  const samples: Sample[] = [];
  const sample = (): void => void samples.push({ atMs: beat.nowMs - startMs, engine: stack.engineCost() });
  const rigBefore = costOf(process.pid);
  sample();
  const sampler = setInterval(sample, sampleMs);
  const held: Held[] = [];
  const callers: Caller[] = [];
  const failures: string[] = [];
  await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      await wait((index * rampMs) / count);
      try {
        const caller = await Caller.connect({ url: stack.url, beat, keepsLanes: false });
        callers.push(caller);
        await converse(caller, plans, randomOf(seed, 'caller', index), startMs + forMs - beat.nowMs, held);
        if (caller.closed !== undefined) failures.push(`the engine closed: ${caller.closed.code} ${caller.closed.reason}`);
        await caller.hangUp();
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }),
  );
  clearInterval(sampler);
  sample();
  const [first, last] = [samples[0]!, samples.at(-1)!];
  const percent = (cpuMs: number): number => (cpuMs / (last.atMs - first.atMs)) * 100;
  return {
    held,
    outcomes: held.flatMap((one) => outcomeOf(one, stack.logOf(one.caller.conversationId)) ?? []),
    failures,
    problems: callers.flatMap(({ problems }) => problems),
    conversations: new Set(callers.map(({ conversationId }) => conversationId)),
    staleChunks: callers.reduce((sum, { ear }) => sum + ear.stale.length, 0),
    samples,
    engineCpuPercent: percent(last.engine.cpuMs - first.engine.cpuMs),
    rigCpuPercent: percent(costOf(process.pid).cpuMs - rigBefore.cpuMs),
  };
}

/** Asks, interrupts the long answer, hears the next one out, until `untilMs` from now. */
async function converse(
  caller: Caller,
  plans: readonly TrialPlan[],
  random: () => number,
  untilMs: number,
  held: Held[],
): Promise<void> {
  const endMs = caller.nowMs + untilMs;
  await caller.until(caller.nowMs + settleMs);
  do {
    const plan = plans[Math.floor(random() * plans.length)]!;
    held.push(await holdTrial(caller, { ...plan, delayMs: delayMinMs + random() * (delayMaxMs - delayMinMs) }));
  } while (caller.nowMs < endMs && caller.closed === undefined);
}

/** The hostile clients, on their thread. */
class Sender {
  readonly #worker: Worker;
  #failure: Error | undefined;

  static async start(start: SenderStart): Promise<Sender> {
    const worker = new Worker(new URL('./hostile/sender.js', import.meta.url), { workerData: start, name: 'hostile' });
    await new Promise<void>((resolve, reject) => {
      worker.once('online', resolve);
      worker.once('error', reject);
    });
    return new Sender(worker);
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('error', (error) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    });
  }

  async stop(): Promise<Tally> {
    if (this.#failure !== undefined) throw new EngineError('broken', 'the hostile sender failed', { cause: this.#failure });
    const tally = new Promise<Tally>((resolve, reject) => {
      this.#worker.once('message', resolve);
      this.#worker.once('error', reject);
    });
    this.#worker.postMessage('stop');
    const answer = await tally;
    await this.#worker.terminate();
    return answer;
  }
}

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

type Rest = { readonly sessions: number; readonly handles: Handles; readonly residentMb: number; readonly afterMs: number };

/** Waits until no session and no connection is left, as long as that may take, and says what the engine holds then. */
async function recovered(stack: Stack, filesAtMost = Number.POSITIVE_INFINITY): Promise<Rest> {
  const startedAtMs = performance.now();
  for (;;) {
    await wait(recoveryStepMs);
    const metrics = stack.engineDied ? new Map<string, number>() : await stack.metrics();
    let sessions = 0;
    for (const [name, value] of metrics) if (/^parley_(?:conversation|vad)_sessions/.test(name)) sessions += value;
    const afterMs = performance.now() - startedAtMs;
    const handles = stack.engineHandles();
    if ((sessions === 0 && handles.files <= filesAtMost) || afterMs > recoveryMs || stack.engineDied) {
      return { sessions, handles, residentMb: stack.engineCost().residentMb, afterMs };
    }
  }
}

function tellHostility(report: Report, tally: Tally, rate: number): void {
  report.section('hostile clients');
  const perSecond = tally.sent / tally.seconds;
  report.fact(`${tally.sent} messages in ${tally.seconds.toFixed(1)} s; ${tally.unsent} found no open connection`);
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ');
  report.fact(list(tally.byKind));
  report.fact(`${tally.opened} connections opened; ended with: ${list(tally.endings) || 'none'}`);
  report.fact(`slow connections ended by the engine: ${list(tally.slowEnded) || 'none'}`);
  report.bar('hostile messages a second', perSecond, 'at least', rate * rateShareMin, '');
}

function compare(report: Report, control: Phase, hostile: Phase): void {
  const since = (from: number | undefined, to: number | undefined): number[] =>
    from === undefined || to === undefined ? [] : [to - from];
  const figures: [string, (phase: Phase) => number[], number][] = [
    ['onset → HOLD', ({ outcomes }) => outcomes.flatMap(({ onsetAtMs, holdAtMs }) => since(onsetAtMs, holdAtMs)), p99ExcessMaxMs],
    [
      'HOLD → silence at the ear',
      ({ outcomes }) =>
        outcomes.flatMap(({ holdAtMs, heldSilentAtMs }) => since(holdAtMs, heldSilentAtMs).map((value) => Math.max(0, value))),
      p99ExcessMaxMs,
    ],
    [
      'end of speech → first audio',
      ({ held }) =>
        held.flatMap(({ asked, reply, said, answer }) => [
          ...since(asked.speechEndMs, reply?.firstChunkAtMs),
          ...since(said?.speechEndMs, answer?.firstChunkAtMs),
        ]),
      firstAudioExcessMaxMs,
    ],
  ];
  for (const [title, phase] of [
    ['good calls in peace', control],
    ['good calls beside hostile clients', hostile],
  ] as const) {
    report.section(title);
    for (const [name, values] of figures) report.spread(name, values(phase));
    const unanswered = phase.held.filter(({ reply }) => reply === undefined).length;
    report.fact(`${phase.held.length} questions, ${unanswered} without an answer`);
    report.fact(`CPU, % of a core: engine ${phase.engineCpuPercent.toFixed(1)}, callers ${phase.rigCpuPercent.toFixed(1)}`);
  }
  for (const [name, values, excessMaxMs] of figures) {
    const excess = percentile(values(hostile), 99) - percentile(values(control), 99);
    report.bar(`${name} p99, above the control`, excess, 'at most', excessMaxMs);
  }
}

function tellHealth(report: Report, control: Phase, hostile: Phase, rest: { readonly before: Rest; readonly after: Rest }): void {
  const { before, after } = rest;
  report.section('the engine afterwards');
  report.fact(
    `resident memory: ${before.residentMb.toFixed(0)} MB before, ${hostile.samples.at(-1)!.engine.residentMb.toFixed(0)} MB at the end, ${after.residentMb.toFixed(0)} MB ${(after.afterMs / 1000).toFixed(0)} s later`,
  );
  report.fact(
    `open files ${before.handles.files} → ${after.handles.files}, threads ${before.handles.threads} → ${after.handles.threads}`,
  );
  const failed = [...control.failures, ...hostile.failures];
  const problems = [...control.problems, ...hostile.problems];
  const unanswered = hostile.held.filter(({ reply }) => reply === undefined).length;
  report.bar('good calls that failed', failed.length, 'at most', 0, '');
  report.bar('their questions without an answer', unanswered, 'at most', 0, '');
  report.bar('stale frames and breaches of the protocol', hostile.staleChunks + problems.length, 'at most', 0, '');
  report.bar('sessions left', after.sessions, 'at most', 0, '');
  report.bar('open files left', after.handles.files - before.handles.files, 'at most', filesGrowthMax, '');
  report.bar('threads left', after.handles.threads - before.handles.threads, 'at most', 0, '');
  for (const problem of [...failed, ...problems].slice(0, 5)) report.note(problem);
}

/** MB in use after each collection, by the monotonic clock. */
function liveMemory(stack: Stack): Point[] {
  const series = new Series();
  sumsOfProbes(stack.processLog, series);
  const heap = series.points['heap after collection'] ?? [];
  const outside = series.points['memory outside the heap'] ?? [];
  return heap.map(({ x, y }, index) => ({ x, y: y + (outside[index]?.y ?? 0) }));
}

function tellMemory(report: Report, live: readonly Point[], fromMs: number, untilMs: number): void {
  const before = live.filter(({ x }) => x < fromMs).slice(-3);
  const beside = live.filter(({ x }) => x >= fromMs && x <= untilMs).slice(pointsLeftOut);
  const after = live.filter(({ x }) => x > untilMs);
  const least = (points: readonly Point[]): number => Math.min(...points.map(({ y }) => y));
  const slope = slopeOf(beside.map(({ x, y }) => ({ x: x / 60_000, y })));
  report.fact(
    `in use after a collection: ${least(before).toFixed(1)} MB before, slope ${slope.toFixed(1)} MB a minute beside hostile clients (${beside.length} points), ${least(after).toFixed(1)} MB after`,
  );
  report.bar('memory in use left', least(after) - least(before), 'at most', liveGrowthMaxMb, 'MB');
  // A slope through fewer points than a line needs says nothing.
  if (beside.length > 3) report.bar('its slope', slope, 'at most', liveSlopeMaxMb, 'MB/min');
  else report.note('too short a run for a slope of memory');
}

function detailsOf({ outcomes, samples, failures, problems }: Phase): object {
  return { outcomes: outcomes.map((outcome) => ({ ...outcome, log: undefined })), samples, failures, problems };
}

const settings = readFlags(usage, flags);
if (settings !== undefined) process.exitCode = await run(settings);
