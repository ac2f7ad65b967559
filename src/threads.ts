/**
 * All threads of the process: the lanes (`lane.ts`, kept alive by `lane-keeper.ts`) and the API thread (`api-thread.ts`). Main thread.
 * Sessions are spread over the lanes by slot, and lanes do not know of each other.
 */
import type { MessagePort } from 'node:worker_threads';
import type { FromApiToMain, ToApiFromMain } from './api/links.js';
import { type ApiEnds, ApiThread, beget } from './api-thread.js';
import { type Config, fixed } from './config.js';
import type { FromConversation } from './conversation/links.js';
import { type Beat, Heartbeat } from './heartbeat.js';
import { Lane, providersOf, readiness, startThread, type Thread, type ThreadName, waitFor } from './lane.js';
import { LaneKeeper, type LaneRule } from './lane-keeper.js';
import { ProviderHealth } from './provider-health.js';
import type { Lanes } from './server/calls.js';
import { nowMs } from './shared/clock.js';
import type { MetricsAnswer, MetricsAsk, Released, SessionFailed } from './shared/links.js';
import { Board, Cell, type SharedBlock } from './shared/slots.js';
import { hopSamples } from './shared/units.js';
import type { AgentConfig } from './store/agents.js';
import { threadIdOf } from './telemetry/strip.js';
import { threadTime } from './telemetry/thread-times.js';
import type { ApiRenewed, ApiStart } from './thread-start.js';

export type ThreadEvents = {
  readonly onConversation: (message: FromConversation) => void;
  readonly onReleased: (message: Released) => void;
  readonly onRing: () => void;
  /** A bug hit one session. */
  readonly onSessionFailed: (message: SessionFailed) => void;
  /** A thread of a lane died: the calls of these slots cannot go on. `isForGood`: the lane is not started anew. */
  readonly onLaneDown: (isOfLane: (slot: number) => boolean, thread: ThreadName, error: Error, isForGood: boolean) => void;
  /** A new lane serves these slots. */
  readonly onLaneUp: (isOfLane: (slot: number) => boolean) => void;
  readonly onApi: (message: FromApiToMain) => void;
  /** The API thread died: calls go on. `restartsInMs`: when there is a new one; undefined: never. */
  readonly onApiDeath: (error: Error, restartsInMs: number | undefined) => void;
};

/** What the API thread is started with, besides what the settings say. */
export type ApiFacts = Pick<ApiStart, 'version' | 'signingKey' | 'isLoopback' | 'processStartedAtMs' | 'strips' | 'fleet'>;

const laneRule: LaneRule = {
  farewellMs: fixed.laneFarewellMs,
  graceMs: fixed.laneGraceMs,
  max: fixed.laneRestartsMax,
  windowMs: fixed.laneRestartWindowMs,
  heart: { everyMs: fixed.heartbeatEveryMs, hangsAfterMs: fixed.laneHangsAfterMs },
};

export class Threads {
  /** What the threads said of themselves when they were ready, one line each. */
  readonly says: readonly string[];
  readonly lanes: Lanes;
  readonly #keepers: readonly LaneKeeper[];
  readonly #api: ApiThread;
  readonly #heart: NodeJS.Timeout;
  readonly #health: ProviderHealth;
  #metricsId = 0;

  private constructor(
    keepers: readonly LaneKeeper[],
    api: ApiThread,
    apiBeat: () => Beat<'api'>,
    health: ProviderHealth,
    says: readonly string[],
  ) {
    this.#health = health;
    this.#keepers = keepers;
    this.#api = api;
    this.says = says;
    this.lanes = lanesOf(keepers);
    const apiHeart = new Heartbeat({ everyMs: fixed.heartbeatEveryMs, hangsAfterMs: fixed.apiHangsAfterMs });
    this.#heart = setInterval(() => {
      for (const keeper of keepers) keeper.look();
      const { current } = api;
      if (current === undefined) apiHeart.forget();
      else if (apiHeart.look([apiBeat()], nowMs()) !== undefined) {
        apiHeart.forget();
        // Its end is seen by whoever starts it anew.
        void current.worker.terminate();
      }
    }, fixed.heartbeatEveryMs);
    this.#heart.unref();
  }

  /** Resolves when every thread can work; fails with what the first one said that cannot. */
  static async start(
    config: Config,
    agents: readonly AgentConfig[],
    block: SharedBlock,
    facts: ApiFacts,
    events: ThreadEvents,
  ): Promise<Threads> {
    const beat = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const { logLevel, isPriorityTaken } = config;
    const spawn = (ports: ApiEnds): Thread =>
      startThread({
        ...facts,
        ...{ thread: 'api', beat, block, logLevel, isPriorityTaken, agents, setup: config.api, ports },
        ...{ strip: facts.strips.api, providers: providersOf(config) },
      });
    const born = beget(config.lanes, spawn);
    const first = born.conversations.map(
      (conversation, index) =>
        new Lane(config, agents, block, facts.strips.lanes[index]!, { conversation, voice: born.voices[index]! }),
    );
    const says = await Promise.all([...first.map((lane) => lane.ready()), readiness(born.thread)]);
    const keepers: LaneKeeper[] = [];
    const health = new ProviderHealth(config);
    const relink = (conversations: readonly MessagePort[], voices: readonly MessagePort[]): void => {
      const renew = (control: MessagePort, port: MessagePort): void =>
        control.postMessage({ type: 'api_renewed', port } satisfies ApiRenewed, [port]);
      for (const { index, lane } of keepers) {
        for (const { name, control } of lane.threads) {
          if (name === 'conversation') renew(control, conversations[index]!);
          if (name === 'tts') renew(control, voices[index]!);
        }
      }
    };
    const { apiRestartDelayMs: delayMs, apiRestartsMax: max, apiRestartWindowMs: windowMs } = fixed;
    const api = new ApiThread(born, spawn, { delayMs, max, windowMs }, relink, {
      onMessage: events.onApi,
      onDeath: events.onApiDeath,
    });
    const isOf =
      (index: number) =>
      (slot: number): boolean =>
        slot % config.lanes === index;
    for (const [index, lane] of first.entries()) {
      const begin = (): Lane => {
        const next = new Lane(config, agents, block, facts.strips.lanes[index]!, api.linkLane(index));
        listen(next, events);
        health.watch(index, next);
        return next;
      };
      listen(lane, events);
      health.watch(index, lane);
      const laneEvents = {
        onDown: (_index: number, thread: ThreadName, error: Error, isForGood: boolean) =>
          events.onLaneDown(isOf(index), thread, error, isForGood),
        onUp: () => events.onLaneUp(isOf(index)),
      };
      keepers.push(new LaneKeeper(index, lane, begin, laneRule, laneEvents, nowMs));
    }
    const apiBeat = (): Beat<'api'> => ({
      name: 'api',
      count: Atomics.load(beat, 0),
      waitedMs: () => threadTime(threadIdOf(facts.strips.api))?.waitMs,
    });
    return new Threads(keepers, api, apiBeat, health, [...new Set(says.flat())]);
  }

  /** False while there is no API thread. */
  toApi(message: ToApiFromMain): boolean {
    return this.#api.send(message);
  }

  /** Those that can be asked. */
  get #threads(): readonly Thread[] {
    const { current } = this.#api;
    const ofLanes = this.#keepers.filter(({ isUp }) => isUp).flatMap(({ lane }) => lane.threads);
    return current === undefined ? ofLanes : [...ofLanes, current];
  }

  /** Lanes that serve, and in how many of them requests do not go to a provider. */
  gauges(): MetricsAnswer['gauges'] {
    const upCount = this.#keepers.filter(({ isUp }) => isUp).length;
    return [...this.#health.gauges(), { name: 'parley_lanes_up', labels: '', value: upCount }];
  }

  /** Of each stage, its providers and whether calls go to them. */
  providers(): Readonly<Record<string, Readonly<Record<string, string>>>> {
    return this.#health.table();
  }

  /** Histograms and counters of every thread; one that does not answer in time is left out. */
  async metrics(timeoutMs: number): Promise<MetricsAnswer[]> {
    const id = ++this.#metricsId;
    const answers = this.#threads.map(({ control }) => {
      const answer = waitFor(control, (message) => message.type === 'metrics' && message.id === id, timeoutMs);
      control.postMessage({ type: 'metrics', id } satisfies MetricsAsk);
      return answer;
    });
    for (const { lane } of this.#keepers) lane.ring();
    const known = (await Promise.all(answers)).filter((answer): answer is MetricsAnswer => answer?.type === 'metrics');
    return [...known, { type: 'metrics', id, thread: 'lanes', histograms: [], counters: [], gauges: this.gauges() }];
  }

  /** Asks every thread to come to its end. None is terminated while it may be inside the model. */
  async stop(): Promise<void> {
    clearInterval(this.#heart);
    this.#api.stop();
    const { current } = this.#api;
    // What the lanes say of calls that have just ended is still written, and told.
    await Promise.all(this.#keepers.map((keeper) => keeper.stop(fixed.stopTimeoutMs)));
    if (current !== undefined) await stopThread(current);
    this.#api.close();
  }
}

async function stopThread({ worker, control }: Thread): Promise<void> {
  const exit = new Promise<boolean>((resolve) => {
    worker.once('exit', () => resolve(true));
  });
  control.postMessage({ type: 'stop' });
  if (!(await Promise.race([exit, delay(fixed.stopTimeoutMs).then(() => false)]))) await worker.terminate();
}

function listen({ main, board }: Lane, events: ThreadEvents): void {
  main.conversation.on('message', events.onConversation);
  for (const port of [main.vad, main.stt, main.tts]) {
    port.on('message', (message: Released | SessionFailed | { readonly type: 'ring' }) => {
      if (message.type === 'released') {
        events.onReleased(message);
        return;
      }
      if (message.type === 'session_failed') {
        events.onSessionFailed(message);
        return;
      }
      // Cleared before the rings are looked at: a frame written after this rings again.
      Atomics.store(board, Board.mainBell, 0);
      events.onRing();
    });
  }
}

function lanesOf(keepers: readonly LaneKeeper[]): Lanes {
  const laneOf = (slot: number): Lane => keepers[slot % keepers.length]!.lane;
  return {
    toConversation: (message) => laneOf(message.slot).main.conversation.postMessage(message),
    toTts: (message) => laneOf(message.slot).main.tts.postMessage(message),
    toStt: (message) => laneOf(message.slot).main.stt.postMessage(message),
    toVad: (message) => {
      const lane = laneOf(message.slot);
      lane.main.vad.postMessage(message);
      lane.ring();
    },
    audio: (slot) => {
      if (slot.load(Cell.inputWritten) - slot.load(Cell.vadRead) < hopSamples) return;
      const lane = laneOf(slot.index);
      const { board } = lane;
      if (Atomics.load(board, Board.vadIdle) === 1 && Atomics.exchange(board, Board.vadIdle, 0) === 1) lane.ring();
    },
  };
}

function delay(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs).unref();
  });
}
