/**
 * Runs one scenario on the virtual clock and gives the record of it. The engine is opened for this scenario alone, so the record depends on the scenario
 * and the settings, not on what ran before it or beside it. Other agents than the engine can take its place.
 */
import type { ProfileName } from '../../../load/providers/profile.js';
import { hashOf } from '../../../load/providers/seeded.js';
import { EngineError } from '../../../src/shared/errors.js';
import type { VoiceSet } from '../clips/voice-set.js';
import type { PlayoutKind, RunRecord, WhiteBoxEvent } from '../run-record.js';
import type { Scenario } from '../scenario.js';
import type { ScenarioClips } from '../suite.js';
import type { EngineVariation } from '../virtual/variation.js';
import { type AgentLine, VirtualEngine } from '../virtual/virtual-engine.js';
import { voiceOfProcess } from '../virtual/voice-here.js';
import { CallerDriver, type CallerRecord, type Outgoing } from './caller-driver.js';
import { modelRequestsOf, repliesOf, waitsOf } from './provider-truth.js';
import { markOf, type ScenarioSetup, setupOf } from './scenario-agent.js';

export type RunSettings = {
  readonly profile: ProfileName;
  /** With the scenario it decides every delay, error and noise of the run. */
  readonly seed: number;
  readonly playout: PlayoutKind;
  /** What the callers speak with; flite unless something else is said. */
  readonly voices?: VoiceSet;
};

/** After the call, until the journal of the providers is complete: the longest answer is synthesised in less. */
const restMs = 3000;

/** What only the agent's side knows of a call. */
export type AgentTruth = Pick<RunRecord, 'replies' | 'requests' | 'waits'>;

/** An agent on a virtual clock that can be called once. */
export type AgentHost = {
  /** `path` with its query. Handlers of the line are called while time is moved. */
  connect(path: string): AgentLine;
  nowMs(): number;
  /** Runs everything that is due before and at `atMs`, in order. */
  advanceTo(atMs: number): Promise<void>;
  /** After the call; `zeroMs`: the connect, on this clock. */
  truth(caller: CallerRecord, zeroMs: number): AgentTruth;
  close(): Promise<void>;
};

/** `seed`: of this scenario's run. */
export type HostOpener = (scenario: Scenario, setup: ScenarioSetup, settings: RunSettings, seed: number) => Promise<AgentHost>;

/** The engine, with the simulated providers of `settings.profile`. */
export function engineOpener(variation?: EngineVariation): HostOpener {
  return async (scenario, { agent, answers, registrations }, { profile }, seed) => {
    const engine = await VirtualEngine.open({
      profile,
      seed,
      agents: [agent],
      answers,
      clips: registrations,
      ...(variation === undefined ? {} : { variation }),
    });
    const voice = await voiceOfProcess();
    return {
      connect: (path) => engine.connect(path),
      nowMs: () => engine.nowMs(),
      advanceTo: (atMs) => engine.advanceTo(atMs),
      truth: ({ audio, messages }, zeroMs) => {
        const journal = { entries: engine.providers.journal.entries(), requests: engine.providers.journal.llmRequests(), zeroMs };
        return {
          replies: repliesOf(scenario.id, journal, audio, messages, voice),
          requests: modelRequestsOf(markOf(scenario), journal),
          waits: waitsOf(scenario.id, markOf(scenario), journal),
        };
      },
      close: () => engine.close(),
    };
  };
}

/** Rejects when the agent refuses the call or breaks the protocol, or something that a run needs is missing. */
export async function runScenario(
  scenario: Scenario,
  clips: ScenarioClips,
  settings: RunSettings,
  open: HostOpener = engineOpener(),
): Promise<RunRecord> {
  const seed = runSeedOf(scenario, settings.seed);
  const setup = setupOf(scenario, clips, await voiceOfProcess(), seed, settings.playout);
  const host = await open(scenario, setup, settings, seed);
  try {
    const { playout } = settings;
    const driver = new CallerDriver({ scenario, clips, seed, playout, format: setup.format, known: setup.known });
    const zeroMs = await play(driver, host, callPath(scenario));
    await host.advanceTo(host.nowMs() + restMs);
    const caller = driver.record();
    checkCaller(scenario, caller);
    const cost = { cpuRatio: undefined, loopDelayP99Ms: undefined, memoryBytes: undefined };
    return recordOf(scenario, settings, caller, host.truth(caller, zeroMs), {
      clock: 'virtual',
      timing: { realTimeRatio: 1, frameLatenessP99Ms: 0 },
      cost,
    });
  } finally {
    await host.close();
  }
}

/** Fails with `garbage` when the agent broke the protocol. */
export function checkCaller({ id }: Scenario, { problems }: CallerRecord): void {
  if (problems.length > 0) throw new EngineError('garbage', `${id}: the agent broke the protocol: ${problems.join('; ')}`);
}

export function callPath({ id }: Scenario): string {
  return `/v1/convai/conversation?agent_id=${id}`;
}

/** Scenarios do not meet the same delays in the same order. */
export function runSeedOf({ id }: Scenario, seed: number): number {
  return hashOf(id, (seed ^ 0x5bd1e995) >>> 0);
}

export function recordOf(
  scenario: Scenario,
  { seed, profile, playout }: RunSettings,
  caller: CallerRecord,
  truth: AgentTruth,
  run: Pick<RunRecord, 'clock' | 'timing' | 'cost'>,
): RunRecord {
  const { lanes, placed, played, audio, messages, closed } = caller;
  const whiteBox = caller.turnEvents.map((event) => moved(event, caller.serverZeroMs ?? 0));
  return { scenario, seed, profile, playout, ...run, lanes, placed, played, audio, messages, whiteBox, ...truth, closed };
}

/** `event` on the caller's clock, on which the agent's zero is `zeroMs`. */
function moved(event: WhiteBoxEvent, zeroMs: number): WhiteBoxEvent {
  const instants = Object.entries(event.instants ?? {}).map(([name, atMs]) => [name, atMs + zeroMs]);
  return {
    ...event,
    at_ms: event.at_ms + zeroMs,
    sent_at_ms: event.sent_at_ms + zeroMs,
    ...(event.instants === undefined ? {} : { instants: Object.fromEntries(instants) }),
  };
}

/** Lets `driver` call `host` until one of the two hangs up. Resolves with the connect's instant on the host's clock. */
export async function play(
  driver: CallerDriver,
  host: Pick<AgentHost, 'connect' | 'nowMs' | 'advanceTo'>,
  path: string,
): Promise<number> {
  const zeroMs = host.nowMs();
  const nowMs = (): number => host.nowMs() - zeroMs;
  /** In the order of their instants, as the driver gives them. */
  const outgoing: Outgoing[] = [driver.opening];
  let isByCaller = false;
  const line = host.connect(path);
  const sendDue = (): void => {
    while (!driver.isClosed && outgoing[0] !== undefined && outgoing[0].atMs <= nowMs()) line.send(outgoing.shift()!.text);
  };
  line.onMessage = (text) => {
    outgoing.push(...driver.receive(text, nowMs()));
    sendDue();
  };
  line.onClose = (code) => driver.close(code, nowMs(), isByCaller);
  sendDue();
  while (!driver.isClosed) {
    const sendAtMs = Math.ceil(outgoing[0]?.atMs ?? Number.POSITIVE_INFINITY);
    if (sendAtMs < driver.nextTickMs) {
      await host.advanceTo(zeroMs + sendAtMs);
      sendDue();
      continue;
    }
    await host.advanceTo(zeroMs + driver.nextTickMs);
    if (driver.isClosed) break;
    outgoing.push(...driver.tick(driver.nextTickMs));
    sendDue();
    if (!driver.wantsToHangUp) continue;
    isByCaller = true;
    line.close(1000, 'User ended conversation');
    await host.advanceTo(host.nowMs());
    driver.close(1000, nowMs(), true);
  }
  return zeroMs;
}
