/**
 * One lane: the four threads that serve the sessions of its slots, the board and the ports between them. A lane lives and dies as a whole: a
 * thread that is gone takes the state of its sessions with it, so the other three are ended too, and `lane-keeper.ts` starts a fresh lane.
 * Main thread.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { type Config, fixed } from './config.js';
import type { ProviderNames } from './conversation/context.js';
import type { Beat } from './heartbeat.js';
import { EngineError, type Problem } from './shared/errors.js';
import type { MetricsAnswer } from './shared/links.js';
import { Board, createBoard, type SharedBlock } from './shared/slots.js';
import { youngGenerationMb } from './shared/young-generation.js';
import type { AgentConfig } from './store/agents.js';
import { type Strips, threadIdOf } from './telemetry/strip.js';
import { threadTime } from './telemetry/thread-times.js';
import type { ConversationStart, ProviderState, SttStart, ThreadStart, TtsStart, VadStart } from './thread-start.js';

export type ThreadName = ThreadStart['thread'];
export type Thread = {
  readonly name: ThreadName;
  readonly worker: Worker;
  readonly control: MessagePort;
};
export type FromThread =
  | MetricsAnswer
  | ProviderState
  | { readonly type: 'ready'; readonly says: readonly string[] }
  | { readonly type: 'failed'; readonly problem: Problem };

/** The near ends of the lane's links to the API thread. */
export type LaneApiPorts = { readonly conversation: MessagePort; readonly voice: MessagePort };

/** Which cell of the board each thread's heart beats in. */
const beatOf = { vad: Board.vadBeat, stt: Board.sttBeat, conversation: Board.conversationBeat, tts: Board.ttsBeat } as const;
type LaneThreadName = keyof typeof beatOf;
const laneThreadNames = Object.keys(beatOf) as LaneThreadName[];

export class Lane {
  readonly board = createBoard();
  readonly threads: readonly Thread[];
  readonly main: {
    readonly vad: MessagePort;
    readonly stt: MessagePort;
    readonly conversation: MessagePort;
    readonly tts: MessagePort;
  };
  readonly #strips: Strips['lanes'][number];
  #isStopping = false;
  readonly #exits: readonly Promise<void>[];
  readonly #gone = new Set<Thread>();

  constructor(
    config: Config,
    agents: readonly AgentConfig[],
    block: SharedBlock,
    strips: Strips['lanes'][number],
    api: LaneApiPorts,
  ) {
    this.#strips = strips;
    const { board } = this;
    const [mainVad, vadMain] = link();
    const [mainStt, sttMain] = link();
    const [mainConversation, conversationMain] = link();
    const [mainTts, ttsMain] = link();
    const [vadConversation, conversationVad] = link();
    const [vadStt, sttVad] = link();
    const [sttConversation, conversationStt] = link();
    const [conversationTts, ttsConversation] = link();
    const common = { block, board, logLevel: config.logLevel, isPriorityTaken: config.isPriorityTaken };
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
      turnModel: config.turnModel?.kind === 'audio' ? config.turnModel : undefined,
      warmGrammar: agents.find((agent) => agent.agent_id === 'default')?.parley.grammar,
      ports: { main: sttMain, vad: sttVad, conversation: sttConversation },
    };
    const conversation: Omit<ConversationStart, 'control'> = {
      ...common,
      thread: 'conversation',
      strip: strips.conversation,
      llm: { ...config.llm, isHedged: config.isHedged },
      agents,
      providers: providersOf(config),
      limits: {
        initiationGraceMs: fixed.initiationGraceMs,
        pingIntervalMs: fixed.pingIntervalMs,
        heardWaitMs: fixed.heardWaitMs,
        heardAtEndWaitMs: fixed.heardAtEndWaitMs,
        agentWaitMs: fixed.agentWaitMs,
      },
      tickMs: fixed.conversationTickMs,
      turnModel: config.turnModel?.kind === 'text' ? config.turnModel : undefined,
      ports: {
        main: conversationMain,
        vad: conversationVad,
        stt: conversationStt,
        tts: conversationTts,
        api: api.conversation,
      },
    };
    const tts: Omit<TtsStart, 'control'> = {
      ...common,
      thread: 'tts',
      strip: strips.tts,
      tts: config.tts,
      isRecording: config.api.recordingsPath !== undefined,
      ports: { main: ttsMain, conversation: ttsConversation, api: api.voice },
    };
    this.main = { vad: mainVad, stt: mainStt, conversation: mainConversation, tts: mainTts };
    this.threads = [startThread(vad), startThread(stt), startThread(conversation), startThread(tts)];
    this.#exits = this.threads.map(
      (thread) =>
        new Promise((resolve) => {
          thread.worker.once('exit', () => {
            this.#gone.add(thread);
            resolve();
          });
        }),
    );
  }

  /** What the threads say when all of them can work. Fails with what the first one said that cannot. */
  async ready(): Promise<readonly string[]> {
    return (await Promise.all(this.threads.map(readiness))).flat();
  }

  /** Calls `run` once, when the first of the threads dies without having been told to. */
  watch(run: (thread: ThreadName, error: Error) => void): void {
    let isTold = false;
    const tell = (name: ThreadName, error: Error): void => {
      if (isTold || this.#isStopping) return;
      isTold = true;
      run(name, error);
    };
    for (const { name, worker } of this.threads) {
      worker.on('error', (error: Error) => tell(name, error));
      worker.on('exit', (code) => tell(name, new Error(`the ${name} thread ended with code ${code}`)));
    }
  }

  /** The beat of each thread, to be compared with an earlier one. */
  beats(): readonly Beat<ThreadName>[] {
    return laneThreadNames.map((name) => ({
      name,
      count: Atomics.load(this.board, beatOf[name]),
      waitedMs: () => threadTime(threadIdOf(this.#strips[name]))?.waitMs,
    }));
  }

  ring(): void {
    Atomics.add(this.board, Board.vadBell, 1);
    Atomics.notify(this.board, Board.vadBell);
  }

  /**
   * Asks every thread to come to its end and terminates those that do not within `graceMs`. VAD is never terminated inside the model, which
   * would abort the process: it gets `graceMs` more to come out. Resolves with whether all are gone; then nobody writes to the slots.
   */
  async stop(graceMs: number): Promise<boolean> {
    this.#isStopping = true;
    Atomics.store(this.board, Board.stop, 1);
    Atomics.notify(this.board, Board.stop);
    this.ring();
    for (const { control } of this.threads) control.postMessage({ type: 'stop' });
    const isOver = await Promise.all(this.threads.map((thread, index) => this.#end(thread, this.#exits[index]!, graceMs)));
    for (const port of Object.values(this.main)) port.close();
    for (const { control } of this.threads) control.close();
    return isOver.every(Boolean);
  }

  async #end(thread: Thread, exit: Promise<void>, graceMs: number): Promise<boolean> {
    if (this.#gone.has(thread) || (await within(exit, graceMs))) return true;
    // From here on VAD does not enter the model: it looks at `stop` after it has said that it will.
    const isInModel = (): boolean => thread.name === 'vad' && Atomics.load(this.board, Board.vadInRun) === 1;
    if (isInModel() && (await within(exit, graceMs))) return true;
    if (isInModel()) return false;
    await thread.worker.terminate();
    return true;
  }
}

export function providersOf({ stt, llm, tts }: Config): ProviderNames {
  return { stt: stt.provider, llm: llm.provider, tts: tts.provider };
}

function link(): [MessagePort, MessagePort] {
  const { port1, port2 } = new MessageChannel();
  return [port1, port2];
}

type Ports = Readonly<Record<string, MessagePort | readonly MessagePort[]>>;
type WithoutControl<Start> = Start extends unknown ? Omit<Start, 'control'> : never;

export function startThread(start: WithoutControl<ThreadStart> & { readonly ports: Ports }): Thread {
  const { port1: control, port2 } = new MessageChannel();
  const worker = new Worker(new URL(`../workers/${start.thread}.js`, import.meta.url), {
    name: `parley-${start.thread}`,
    workerData: { ...start, control: port2 },
    transferList: [port2, ...Object.values(start.ports).flat()],
    resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
  });
  return { name: start.thread, worker, control };
}

/** What a thread says when it is ready. */
export async function readiness({ name, worker, control }: Thread): Promise<readonly string[]> {
  const failure = new Promise<never>((_resolve, reject) => {
    worker.once('error', (cause: Error) =>
      reject(new EngineError('broken', `the ${name} thread failed to start: ${cause.message}`, { cause })),
    );
    worker.once('exit', () => reject(new EngineError('broken', `the ${name} thread ended before it was ready`)));
  });
  // It loses the race when the thread dies later.
  failure.catch(() => undefined);
  const first = waitFor(control, (message) => message.type === 'ready' || message.type === 'failed', fixed.readyTimeoutMs);
  const answer = await Promise.race([first, failure]);
  if (answer?.type === 'ready') return answer.says;
  if (answer?.type === 'failed') throw new EngineError(answer.problem.kind, `${name}: ${answer.problem.message}`);
  throw new EngineError('timeout', `the ${name} thread was not ready in ${fixed.readyTimeoutMs / 1000} s`);
}

/** The first message that matches; undefined when none comes in time. */
export function waitFor(
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

/** Whether `promise` resolved in time. */
async function within(promise: Promise<void>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), timeoutMs);
  });
  const isInTime = await Promise.race([promise.then(() => true), late]);
  clearTimeout(timer);
  return isInTime;
}
