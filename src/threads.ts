/**
 * Starts the worker threads and links them to each other; the only place that does. Main thread.
 * A lane is one set of the four: sessions are spread over the lanes by slot, and lanes do not know of each other.
 */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { type Config, fixed } from './config.js';
import type { FromConversation } from './conversation/links.js';
import type { Lanes } from './server/calls.js';
import { EngineError, type Problem } from './shared/errors.js';
import type { MetricsAnswer, MetricsAsk, Released, SessionFailed } from './shared/links.js';
import { Board, Cell, createBoard, type SharedBlock } from './shared/slots.js';
import { hopSamples } from './shared/units.js';
import type { AgentConfig } from './store/agents.js';
import type { ConversationStart, SttStart, ThreadStart, TtsStart, VadStart } from './thread-start.js';

type ThreadName = ThreadStart['thread'];
type Thread = {
  readonly name: ThreadName;
  readonly worker: Worker;
  readonly control: MessagePort;
  /** Of its lane. */
  readonly board: Int32Array;
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
  /** A thread died: its calls cannot go on. */
  readonly onDeath: (thread: ThreadName, error: Error) => void;
};

export class Threads {
  /** What the threads said of themselves when they were ready, one line each. */
  readonly says: readonly string[];
  readonly lanes: Lanes;
  readonly #threads: readonly Thread[];
  readonly #close: () => void;
  #isStopping = false;
  #metricsId = 0;

  private constructor(
    threads: readonly Thread[],
    lanes: Lanes,
    says: readonly string[],
    events: ThreadEvents,
    close: () => void,
  ) {
    this.#threads = threads;
    this.lanes = lanes;
    this.says = says;
    this.#close = close;
    for (const { name, worker } of threads) {
      worker.on('error', (error) => {
        if (!this.#isStopping) events.onDeath(name, error);
      });
      worker.on('exit', (code) => {
        if (!this.#isStopping) events.onDeath(name, new Error(`the ${name} thread ended with code ${code}`));
      });
    }
  }

  /** Resolves when every thread can work; fails with what the first one said that cannot. */
  static async start(config: Config, agents: readonly AgentConfig[], block: SharedBlock, events: ThreadEvents): Promise<Threads> {
    const started = Array.from({ length: config.lanes }, () => startLane(config, agents, block));
    const threads = started.flatMap((lane) => lane.threads);
    const says = await Promise.all(threads.map(readiness));
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
    return new Threads(threads, lanes, [...new Set(says.flat())], events, close);
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
    for (const { name, board } of this.#threads) if (name === 'vad') ring(board);
  }

  /** Asks every thread to come to its end. None is terminated while it may be inside the model. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const { board } of this.#threads) Atomics.store(board, Board.stop, 1);
    this.#ringAll();
    const ends = this.#threads.map(async ({ name, worker, control, board }) => {
      const exit = new Promise<void>((resolve) => {
        worker.once('exit', () => resolve());
      });
      control.postMessage({ type: 'stop' });
      const isOver = await Promise.race([exit.then(() => true), delay(fixed.stopTimeoutMs).then(() => false)]);
      const isInModel = name === 'vad' && Atomics.load(board, Board.vadInRun) === 1;
      if (!isOver && !isInModel) await worker.terminate();
    });
    await Promise.all(ends);
    this.#close();
    for (const { control } of this.#threads) control.close();
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

function startLane(config: Config, agents: readonly AgentConfig[], block: SharedBlock): Lane {
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
    modelPath: config.vadModelPath,
    passMs: fixed.vadPassMs,
    ports: { main: vadMain, conversation: vadConversation, stt: vadStt },
  };
  const stt: Omit<SttStart, 'control'> = {
    ...common,
    thread: 'stt',
    stt: config.stt,
    pullMs: fixed.sttPullMs,
    warmGrammar: agents.find((agent) => agent.agent_id === 'default')?.parley.grammar,
    ports: { main: sttMain, vad: sttVad, conversation: sttConversation },
  };
  const conversation: Omit<ConversationStart, 'control'> = {
    ...common,
    thread: 'conversation',
    llm: config.llm,
    agents,
    providers: { stt: config.stt.provider, llm: config.llm.provider, tts: config.tts.provider },
    limits: {
      initiationGraceMs: fixed.initiationGraceMs,
      pingIntervalMs: fixed.pingIntervalMs,
      heardWaitMs: fixed.heardWaitMs,
    },
    tickMs: fixed.conversationTickMs,
    ports: { main: conversationMain, vad: conversationVad, stt: conversationStt, tts: conversationTts },
  };
  const tts: Omit<TtsStart, 'control'> = {
    ...common,
    thread: 'tts',
    tts: config.tts,
    ports: { main: ttsMain, conversation: ttsConversation },
  };
  return {
    board,
    threads: [startThread(vad), startThread(stt), startThread(conversation), startThread(tts)],
    main: { vad: mainVad, stt: mainStt, conversation: mainConversation, tts: mainTts },
  };
}

function startThread(start: Omit<ThreadStart, 'control'> & { readonly ports: Record<string, MessagePort> }): Thread {
  const { port1: control, port2 } = new MessageChannel();
  const worker = new Worker(new URL(`../workers/${start.thread}.js`, import.meta.url), {
    name: `parley-${start.thread}`,
    workerData: { ...start, control: port2 },
    transferList: [port2, ...Object.values(start.ports)],
  });
  return { name: start.thread, worker, control, board: start.board };
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
