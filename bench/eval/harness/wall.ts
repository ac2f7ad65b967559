/**
 * Runs scenarios in real time: the engine as a process of its own, the simulated providers as another, the callers as a third, several calls at once.
 * Latencies of the machine are in the records; whether it kept up is in their `timing`.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Entry, LlmRequest } from '../../../load/providers/journal.js';
import { type Simulator, Stack } from '../../../load/rig/stack.js';
import { EngineError } from '../../../src/shared/errors.js';
import { ClipMaker } from '../clips/clip-maker.js';
import type { RunRecord } from '../run-record.js';
import type { Scenario } from '../scenario.js';
import { clipFolder, prepareClips } from '../suite.js';
import { voiceOfProcess } from '../virtual/voice-here.js';
import type { DriverOptions } from './caller-driver.js';
import { EngineCost } from './engine-cost.js';
import { modelRequestsOf, repliesOf, waitsOf } from './provider-truth.js';
import { callPath, checkCaller, type RunSettings, recordOf, runSeedOf } from './run-scenario.js';
import { markOf, type ScenarioSetup, setupOf } from './scenario-agent.js';
import type { FromCallers, ToCallers, WallCallDone } from './wall-messages.js';

export type WallOptions = {
  /** Calls at once; default 6. */
  readonly parallel?: number;
  /** As calls end. */
  readonly onDone?: (index: number) => void;
};

const defaultParallel = 6;
/** Calls begin so far apart, not all at the same instant. */
const spacingMs = 370;
/** First calls are slower than all others, at the engine's end and at ours; so many are made once more before anything counts. */
const warmUps = 3;
/** Providers go on with what they were asked for this long after a call; with anything of an earlier call of the scenario they are done before it. */
const journalTailMs = 3000;
const speakTimeoutMs = 60_000;

type Prepared = { readonly scenario: Scenario; readonly setup: ScenarioSetup; readonly driver: DriverOptions };

/** Records in the order of `scenarios`, each of which may be there once. Rejects when a part does not start, or a call fails. */
export async function runWall(
  scenarios: readonly Scenario[],
  settings: RunSettings,
  { parallel = defaultParallel, onDone = () => undefined }: WallOptions = {},
): Promise<RunRecord[]> {
  const prepared = await prepare(scenarios, settings);
  const stack = await Stack.start({
    profile: settings.profile,
    seed: settings.seed,
    sessionsMax: 2 * parallel,
    agents: prepared.map(({ setup }) => setup.agent),
    providers: 'simulated',
  });
  const callers = new Callers();
  try {
    await teach(stack.simulator!, prepared);
    await callers.ready;
    await callAll(callers, stack.url, prepared.slice(0, warmUps), parallel, () => undefined);
    const cost = new EngineCost(stack);
    const calls = await callAll(callers, stack.url, prepared, parallel, onDone);
    cost.stop();
    const costs = await cost.costs(calls.map((call) => ({ fromMs: call.zeroMonotonicMs, toMs: call.endMonotonicMs })));
    await wait(journalTailMs);
    const journal = { entries: await stack.simulator!.journal(), requests: await stack.simulator!.llmRequests() };
    const records: RunRecord[] = [];
    for (const [index, call] of calls.entries()) {
      records.push(await wallRecord(prepared[index]!.scenario, settings, call, journal, costs[index]!));
    }
    return records;
  } finally {
    callers.stop();
    await stack.stop();
  }
}

async function prepare(scenarios: readonly Scenario[], { seed, playout, voices }: RunSettings): Promise<Prepared[]> {
  const maker = await ClipMaker.open({ folder: clipFolder });
  const voice = await voiceOfProcess();
  const prepared: Prepared[] = [];
  for (const scenario of scenarios) {
    const clips = await prepareClips(scenario, maker, voices);
    const runSeed = runSeedOf(scenario, seed);
    const setup = setupOf(scenario, clips, voice, runSeed, playout);
    const { format, known } = setup;
    prepared.push({ scenario, setup, driver: { scenario, clips, seed: runSeed, playout, format, known } });
  }
  await maker.close();
  return prepared;
}

/** The providers learn what there is to understand and to answer, and make every word of the answers before the first call. */
async function teach(simulator: Simulator, prepared: readonly Prepared[]): Promise<void> {
  await simulator.registerClips(prepared.flatMap(({ setup }) => setup.registrations));
  await simulator.addAnswers(prepared.flatMap(({ setup }) => setup.answers));
  const texts = new Set(prepared.flatMap(({ setup }) => [...setup.known.keys()]));
  for (const text of texts) {
    const answer = await fetch(`${simulator.url}/_simulator/speak`, {
      method: 'POST',
      body: JSON.stringify({ text }),
      signal: AbortSignal.timeout(speakTimeoutMs),
    });
    if (!answer.ok) throw new EngineError('broken', `the simulator does not say "${text}": ${await answer.text()}`);
  }
}

/** All calls, in order of `prepared`, at most `parallel` at once. */
async function callAll(
  callers: Callers,
  url: string,
  prepared: readonly Prepared[],
  parallel: number,
  onDone: (index: number) => void,
): Promise<WallCallDone[]> {
  const calls: number[] = [];
  for (const { scenario, driver } of prepared) calls.push(await callers.order(`${url}${callPath(scenario)}`, driver));
  let next = 0;
  const workOff = async (seat: number): Promise<void> => {
    await wait(seat * spacingMs);
    while (next < calls.length) {
      const index = next;
      next += 1;
      await callers.begin(calls[index]!);
      onDone(index);
    }
  };
  await Promise.all(Array.from({ length: parallel }, (_, seat) => workOff(seat)));
  const done: WallCallDone[] = [];
  for (const call of calls) done.push(await callers.collect(call));
  return done;
}

async function wallRecord(
  scenario: Scenario,
  settings: RunSettings,
  call: WallCallDone,
  journal: { readonly entries: readonly Entry[]; readonly requests: readonly LlmRequest[] },
  cost: RunRecord['cost'],
): Promise<RunRecord> {
  const { caller, zeroMonotonicMs: zeroMs, endMonotonicMs, realTimeRatio, frameLatenessP99Ms } = call;
  checkCaller(scenario, caller);
  const isOfCall = (atMs: number): boolean => atMs >= zeroMs && atMs <= endMonotonicMs + journalTailMs;
  const own = {
    entries: journal.entries.filter(({ atMonotonicMs }) => isOfCall(atMonotonicMs.received)),
    requests: journal.requests.filter(({ atMonotonicMs }) => isOfCall(atMonotonicMs)),
    zeroMs,
  };
  const truth = {
    replies: repliesOf(scenario.id, own, caller.audio, caller.messages, await voiceOfProcess()),
    requests: modelRequestsOf(markOf(scenario), own),
    waits: waitsOf(scenario.id, markOf(scenario), own),
  };
  return recordOf(scenario, settings, caller, truth, { clock: 'wall', timing: { realTimeRatio, frameLatenessP99Ms }, cost });
}

type Answer = Exclude<FromCallers, { type: 'ready' }>;

/** The process of callers. */
class Callers {
  readonly ready: Promise<void>;
  readonly #process: ChildProcess;
  /** By the number of the call. */
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>();
  #count = 0;

  constructor() {
    this.#process = fork(fileURLToPath(new URL('./wall-callers.js', import.meta.url)), [], { serialization: 'advanced' });
    this.ready = new Promise((resolve, reject) => {
      this.#process.on('message', (message: FromCallers) => {
        if (message.type === 'ready') resolve();
        else this.#receive(message);
      });
      this.#process.once('exit', (code, signal) => {
        const error = new EngineError('broken', `the process of callers ended (${signal ?? code})`);
        reject(error);
        for (const { reject: fail } of this.#waiting.values()) fail(error);
        this.#waiting.clear();
      });
    });
    // Whoever waits for it gets the failure; nobody may.
    this.ready.catch(() => undefined);
  }

  /** A call to be made later; gives its number. */
  async order(url: string, driver: DriverOptions): Promise<number> {
    const index = this.#count;
    this.#count += 1;
    await this.#ask({ type: 'order', index, url, driver });
    return index;
  }

  /** Resolves when the call is over. */
  async begin(index: number): Promise<void> {
    await this.#ask({ type: 'begin', index });
  }

  async collect(index: number): Promise<WallCallDone> {
    const answer = await this.#ask({ type: 'collect', index });
    if (answer.type !== 'done') throw new EngineError('broken', `the callers answered ${answer.type} for a record`);
    return answer;
  }

  stop(): void {
    this.#process.kill();
  }

  #ask(message: ToCallers): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(message.index, { resolve, reject });
      this.#process.send(message);
    });
  }

  #receive(answer: Answer): void {
    const waiting = this.#waiting.get(answer.index);
    this.#waiting.delete(answer.index);
    if (answer.type === 'failed') waiting?.reject(new EngineError('broken', answer.problem));
    else waiting?.resolve(answer);
  }
}

function wait(durationMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
