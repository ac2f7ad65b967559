/**
 * Starts the worker threads and links them to each other; the only place that does. Main thread.
 * A lane is one set of the four: sessions are spread over the lanes by slot, and lanes do not know of each other. The API thread is one a
 * process (`api-thread.ts`).
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { FromApiToMain, ToApiFromMain } from './api/links.js';
import { type ApiEnds, ApiThread, beget } from './api-thread.js';
import { type Config, fixed } from './config.js';
import type { ProviderNames } from './conversation/context.js';
import type { FromConversation } from './conversation/links.js';
import type { Lanes } from './server/calls.js';
import { EngineError, type Problem } from './shared/errors.js';
import type { MetricsAnswer, MetricsAsk, Released, SessionFailed } from './shared/links.js';
import { Board, Cell, createBoard, type SharedBlock } from './shared/slots.js';
import { hopSamples } from './shared/units.js';
import type { AgentConfig } from './store/agents.js';
import type { Strips } from './telemetry/strip.js';
import type { ApiRenewed, ApiStart, ConversationStart, SttStart, ThreadStart, TtsStart, VadStart } from './thread-start.js';

type ThreadName = ThreadStart['thread'];
export type Thread = {
  readonly name: ThreadName;
  readonly worker: Worker;
  readonly control: MessagePort;
};
type FromThread =
  | MetricsAnswer
  | { readonly type: 'ready'; readonly says: readonly string[] }
  | { readonly type: 'failed'; readonly problem: Problem };

export type ThreadEvents = {
  readonly onConversation: (message: FromConversation) => void;
  readonly onReleased: (message: Released) => void;
  readonly onRing: () => void;
  /** A bug hit one session. */
  readonly onSessionFailed: (message: SessionFailed) => void;
  /** A thread of a lane died: its calls cannot go on. */
  readonly onDeath: (thread: ThreadName, error: Error) => void;
  readonly onApi: (message: FromApiToMain) => void;
  /** The API thread died: calls go on. `restartsInMs`: when there is a new one; undefined: never. */
  readonly onApiDeath: (error: Error, restartsInMs: number | undefined) => void;
};

/** What the API thread is started with, besides what the settings say. */
export type ApiFacts = Pick<ApiStart, 'version' | 'signingKey' | 'isLoopback' | 'processStartedAtMs' | 'strips'>;

export class Threads {
  /** What the threads said of themselves when they were ready, one line each. */
  readonly says: readonly string[];
  readonly lanes: Lanes;
  readonly #laneThreads: readonly Thread[];
  readonly #boards: readonly Int32Array[];
  readonly #api: ApiThread;
  readonly #close: () => void;
  #isStopping = false;
  #metricsId = 0;

  private constructor(
    started: readonly Lane[],
    api: ApiThread,
    lanes: Lanes,
    says: readonly string[],
    events: ThreadEvents,
    close: () => void,
  ) {
    this.#laneThreads = started.flatMap((lane) => lane.threads);
    this.#boards = started.map((lane) => lane.board);
    this.#api = api;
    this.lanes = lanes;
    this.says = says;
    this.#close = close;
    for (const { name, worker } of this.#laneThreads) {
      worker.on('error', (error) => {
        if (!this.#isStopping) events.onDeath(name, error);
      });
      worker.on('exit', (code) => {
        if (!this.#isStopping) events.onDeath(name, new Error(`the ${name} thread ended with code ${code}`));
      });
    }
  }

  /** Resolves when every thread can work; fails with what the first one said that cannot. */
  static async start(
    config: Config,
    agents: readonly AgentConfig[],
    block: SharedBlock,
    facts: ApiFacts,
    events: ThreadEvents,
  ): Promise<Threads> {
    const { logLevel } = config;
    const spawn = (ends: ApiEnds): Thread =>
      startThread({
        ...facts,
        ...{ thread: 'api', block, logLevel, agents, setup: config.api, ports: ends },
        ...{ strip: facts.strips.api, providers: providersOf(config) },
      });
    const born = beget(config.lanes, spawn);
    const started = Array.from({ length: config.lanes }, (_, index) =>
      startLane(config, agents, block, facts.strips.lanes[index]!, born.conversations[index]!, born.voices[index]!),
    );
    const says = await Promise.all([...started.flatMap((lane) => lane.threads), born.thread].map(readiness));
    const relink = (conversations: readonly MessagePort[], voices: readonly MessagePort[]): void => {
      const renew = (control: MessagePort, port: MessagePort): void =>
        control.postMessage({ type: 'api_renewed', port } satisfies ApiRenewed, [port]);
      for (const [index, { threads }] of started.entries()) {
        for (const { name, control } of threads) {
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
    for (const { main, board } of started) {
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
    const laneOf = (slot: number): Lane => started[slot % started.length]!;
    const lanes: Lanes = {
      toConversation: (message) => laneOf(message.slot).main.conversation.postMessage(message),
      toTts: (message) => laneOf(message.slot).main.tts.postMessage(message),
      toStt: (message) => laneOf(message.slot).main.stt.postMessage(message),
      toVad: (message) => {
        const lane = laneOf(message.slot);
        lane.main.vad.postMessage(message);
        ring(lane.board);
      },
      audio: (slot) => {
        if (slot.load(Cell.inputWritten) - slot.load(Cell.vadRead) < hopSamples) return;
        const { board } = laneOf(slot.index);
        if (Atomics.load(board, Board.vadIdle) === 1 && Atomics.exchange(board, Board.vadIdle, 0) === 1) ring(board);
      },
    };
    const close = (): void => {
      for (const { main } of started) for (const port of Object.values(main)) port.close();
    };
    return new Threads(started, api, lanes, [...new Set(says.flat())], events, close);
  }

  /** False while there is no API thread. */
  toApi(message: ToApiFromMain): boolean {
    return this.#api.send(message);
  }

  get #threads(): readonly Thread[] {
    const { current } = this.#api;
    return current === undefined ? this.#laneThreads : [...this.#laneThreads, current];
  }

  /** Histograms and counters of every thread; one that does not answer in time is left out. */
  async metrics(form: MetricsAsk['form'], timeoutMs: number): Promise<MetricsAnswer[]> {
    const id = ++this.#metricsId;
    const answers = this.#threads.map(({ control }) => {
      const answer = waitFor(control, (message) => message.type === 'metrics' && message.id === id, timeoutMs);
      control.postMessage({ type: 'metrics', id, form } satisfies MetricsAsk);
      return answer;
    });
    this.#ringAll();
    return (await Promise.all(answers)).filter((answer): answer is MetricsAnswer => answer?.type === 'metrics');
  }

  #ringAll(): void {
    for (const board of this.#boards) ring(board);
  }

  /** Asks every thread to come to its end. None is terminated while it may be inside the model. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#api.stop();
    for (const board of this.#boards) Atomics.store(board, Board.stop, 1);
    this.#ringAll();
    const ends = this.#threads.map(async ({ name, worker, control }, index) => {
      const exit = new Promise<void>((resolve) => {
        worker.once('exit', () => resolve());
      });
      control.postMessage({ type: 'stop' });
      const isOver = await Promise.race([exit.then(() => true), delay(fixed.stopTimeoutMs).then(() => false)]);
      const isInModel = name === 'vad' && Atomics.load(this.#boardOf(index), Board.vadInRun) === 1;
      if (!isOver && !isInModel) await worker.terminate();
    });
    await Promise.all(ends);
    this.#close();
    for (const { control } of this.#laneThreads) control.close();
    this.#api.close();
  }

  /** Of the lane of a thread. */
  #boardOf(threadIndex: number): Int32Array {
    return this.#boards[Math.floor(threadIndex / (this.#laneThreads.length / this.#boards.length))]!;
  }
}

/** Wakes the VAD thread of a lane. */
function ring(board: Int32Array): void {
  Atomics.add(board, Board.vadBell, 1);
  Atomics.notify(board, Board.vadBell);
}

type Lane = {
  readonly board: Int32Array;
  readonly threads: readonly Thread[];
  readonly main: {
    readonly vad: MessagePort;
    readonly stt: MessagePort;
    readonly conversation: MessagePort;
    readonly tts: MessagePort;
  };
};

function startLane(
  config: Config,
  agents: readonly AgentConfig[],
  block: SharedBlock,
  strips: Strips['lanes'][number],
  conversationApi: MessagePort,
  ttsApi: MessagePort,
): Lane {
  const board = createBoard();
  const link = (): [MessagePort, MessagePort] => {
    const { port1, port2 } = new MessageChannel();
    return [port1, port2];
  };
  const [mainVad, vadMain] = link();
  const [mainStt, sttMain] = link();
  const [mainConversation, conversationMain] = link();
  const [mainTts, ttsMain] = link();
  const [vadConversation, conversationVad] = link();
  const [vadStt, sttVad] = link();
  const [sttConversation, conversationStt] = link();
  const [conversationTts, ttsConversation] = link();
  const common = { block, board, logLevel: config.logLevel };
  const vad: Omit<VadStart, 'control'> = {
    ...common,
    thread: 'vad',
    strip: strips.vad,
    modelPath: config.vadModelPath,
    passMs: fixed.vadPassMs,
    ports: { main: vadMain, conversation: vadConversation, stt: vadStt },
  };
  const stt: Omit<SttStart, 'control'> = {
    ...common,
    thread: 'stt',
    strip: strips.stt,
    stt: config.stt,
    pullMs: fixed.sttPullMs,
    warmGrammar: agents.find((agent) => agent.agent_id === 'default')?.parley.grammar,
    ports: { main: sttMain, vad: sttVad, conversation: sttConversation },
  };
  const conversation: Omit<ConversationStart, 'control'> = {
    ...common,
    thread: 'conversation',
    strip: strips.conversation,
    llm: config.llm,
    agents,
    providers: providersOf(config),
    limits: {
      initiationGraceMs: fixed.initiationGraceMs,
      pingIntervalMs: fixed.pingIntervalMs,
      heardWaitMs: fixed.heardWaitMs,
      agentWaitMs: fixed.agentWaitMs,
    },
    tickMs: fixed.conversationTickMs,
    ports: { main: conversationMain, vad: conversationVad, stt: conversationStt, tts: conversationTts, api: conversationApi },
  };
  const tts: Omit<TtsStart, 'control'> = {
    ...common,
    thread: 'tts',
    strip: strips.tts,
    tts: config.tts,
    ports: { main: ttsMain, conversation: ttsConversation, api: ttsApi },
  };
  return {
    board,
    threads: [startThread(vad), startThread(stt), startThread(conversation), startThread(tts)],
    main: { vad: mainVad, stt: mainStt, conversation: mainConversation, tts: mainTts },
  };
}

function providersOf({ stt, llm, tts }: Config): ProviderNames {
  return { stt: stt.provider, llm: llm.provider, tts: tts.provider };
}

type Ports = Readonly<Record<string, MessagePort | readonly MessagePort[]>>;
type WithoutControl<Start> = Start extends unknown ? Omit<Start, 'control'> : never;

function startThread(start: WithoutControl<ThreadStart> & { readonly ports: Ports }): Thread {
  const { port1: control, port2 } = new MessageChannel();
  const worker = new Worker(new URL(`../workers/${start.thread}.js`, import.meta.url), {
    name: `parley-${start.thread}`,
    workerData: { ...start, control: port2 },
    transferList: [port2, ...Object.values(start.ports).flat()],
  });
  return { name: start.thread, worker, control };
}

/** What a thread says when it is ready. */
async function readiness({ name, worker, control }: Thread): Promise<readonly string[]> {
  const failure = new Promise<never>((_resolve, reject) => {
    worker.once('error', (cause) =>
      reject(new EngineError('broken', `the ${name} thread failed to start: ${cause.message}`, { cause })),
    );
    worker.once('exit', () => reject(new EngineError('broken', `the ${name} thread ended before it was ready`)));
  });
  const first = waitFor(control, (message) => message.type === 'ready' || message.type === 'failed', fixed.readyTimeoutMs);
  const answer = await Promise.race([first, failure]);
  if (answer?.type === 'ready') return answer.says;
  if (answer?.type === 'failed') throw new EngineError(answer.problem.kind, `${name}: ${answer.problem.message}`);
  throw new EngineError('timeout', `the ${name} thread was not ready in ${fixed.readyTimeoutMs / 1000} s`);
}

function waitFor(
  port: MessagePort,
  matches: (message: FromThread) => boolean,
  timeoutMs: number,
): Promise<FromThread | undefined> {
  return new Promise((resolve) => {
    const finish = (message: FromThread | undefined): void => {
      clearTimeout(timer);
      port.off('message', listen);
      resolve(message);
    };
    const listen = (message: FromThread): void => {
      if (matches(message)) finish(message);
    };
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    port.on('message', listen);
  });
}

function delay(durationMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, durationMs).unref();
  });
}
