/**
 * One lane in one thread: the four hosts, joined by links as their threads are by ports. What the VAD thread does by sleeping is done by a timer
 * here. Everything else is the engine's own code.
 */
import { fixed } from '../../../src/config.js';
import type { FromConversation, ToConversation } from '../../../src/conversation/links.js';
import { ConversationHost } from '../../../src/hosts/conversation-host.js';
import { SttHost } from '../../../src/hosts/stt-host.js';
import { TtsHost } from '../../../src/hosts/tts-host.js';
import { VadHost } from '../../../src/hosts/vad-host.js';
import { createLlm } from '../../../src/llm/create.js';
import { LlmPool } from '../../../src/llm/pool.js';
import type { Lanes } from '../../../src/server/calls.js';
import { nowMs } from '../../../src/shared/clock.js';
import type { FailoverReport } from '../../../src/shared/failover.js';
import type { KeepAliveOptions } from '../../../src/shared/keep-alive-http.js';
import type {
  CutSent,
  FromStt,
  FromTts,
  FromVad,
  InputGap,
  Released,
  SessionFailed,
  SlotOrder,
  ToStt,
  ToTts,
} from '../../../src/shared/links.js';
import { Board, Cell, createBoard, type SharedBlock } from '../../../src/shared/slots.js';
import { hopSamples } from '../../../src/shared/units.js';
import type { AgentConfig } from '../../../src/store/agents.js';
import { createStt } from '../../../src/stt/create.js';
import type { SttProvider } from '../../../src/stt/port.js';
import type { Log } from '../../../src/telemetry/log.js';
import { Recorder } from '../../../src/telemetry/recorder.js';
import { createTts } from '../../../src/tts/create.js';
import { pacing } from '../../../src/tts/pacing.js';
import type { TtsProvider } from '../../../src/tts/port.js';
import { gateDefaults } from '../../../src/vad/gate.js';
import type { SileroModel } from '../../../src/vad/model.js';
import { Link } from './link.js';
import type { EngineVariation } from './variation.js';

/** What the hosts tell main. */
export type MainEvents = {
  readonly onConversation: (message: FromConversation) => void;
  readonly onReleased: (message: Released) => void;
  readonly onRing: () => void;
  readonly onSessionFailed: (message: SessionFailed) => void;
};

export type LaneHereOptions = {
  readonly block: SharedBlock;
  readonly model: SileroModel;
  readonly agents: readonly AgentConfig[];
  readonly connections: KeepAliveOptions;
  readonly log: Log;
  readonly variation: EngineVariation;
};

const ring = { type: 'ring' } as const;
type ToMain = Released | SessionFailed | typeof ring;

const setup = { apiKey: 'simulated', model: '', fallbacks: [] };
/** The connections lead to the simulator, whatever the host is called. */
const host = 'simulator.invalid';

export class LaneHere {
  readonly lanes: Lanes;
  readonly #vad: VadHost;
  readonly #stt: SttHost;
  readonly #conversation: ConversationHost;
  readonly #tts: TtsHost;
  readonly #providers: readonly [SttProvider, LlmPool, TtsProvider];
  #vadTimer: NodeJS.Timeout | undefined;
  #vadState: 'idle' | 'passing' | 'resting' = 'idle';

  constructor(options: LaneHereOptions, events: MainEvents) {
    const { block, model, agents, connections, log, variation } = options;
    const board = createBoard();
    const recorders = {
      vad: new Recorder('vad'),
      stt: new Recorder('stt'),
      conversation: new Recorder('conversation'),
      tts: new Recorder('tts'),
    };
    const report = (recorder: Recorder): FailoverReport => ({
      count: (name, labels) => recorder.count(name, labels),
      onState: () => undefined,
    });
    const stt = createStt({ ...setup, provider: 'groq', baseUrl: `http://${host}` }, report(recorders.stt), connections);
    const llms = new LlmPool(
      createLlm(
        { ...setup, provider: 'groq', baseUrl: `http://${host}`, isHedged: false },
        report(recorders.conversation),
        connections,
      ),
    );
    const adapter = createTts(
      { ...setup, provider: 'elevenlabs', baseUrl: `ws://${host}`, voice: '' },
      report(recorders.tts),
      connections,
    );
    const tts = variation.tts?.(adapter) ?? adapter;
    this.#providers = [stt, llms, tts];

    const changes = variation.messages?.() ?? {};
    const mainToVad = new Link<SlotOrder>();
    const mainToStt = new Link<SlotOrder | InputGap>();
    const mainToConversation = new Link<ToConversation>();
    const mainToTts = new Link<SlotOrder | CutSent>();
    const toMain = new Link<ToMain>();
    const conversationToMain = new Link<FromConversation>(changes.conversationToMain);
    const vadToConversation = new Link<FromVad>(changes.vadToConversation);
    const vadToStt = new Link<FromVad>(changes.vadToStt);
    const sttToConversation = new Link<FromStt>(changes.sttToConversation);
    const conversationToStt = new Link<ToStt>(changes.conversationToStt);
    const conversationToTts = new Link<ToTts>(changes.conversationToTts);
    const ttsToConversation = new Link<FromTts>(changes.ttsToConversation);

    this.#vad = new VadHost(
      {
        ...{ block, board, recorder: recorders.vad, gate: { ...gateDefaults, ...variation.gate } },
        model: variation.model?.(model) ?? model,
      },
      { toMain: toMain.post, toConversation: vadToConversation.post, toStt: vadToStt.post },
    );
    this.#stt = new SttHost(
      { block, board, provider: stt, recorder: recorders.stt, pullMs: fixed.sttPullMs },
      { toMain: toMain.post, toConversation: sttToConversation.post },
    );
    const { initiationGraceMs, pingIntervalMs, heardWaitMs, heardAtEndWaitMs, agentWaitMs } = fixed;
    this.#conversation = new ConversationHost(
      {
        ...{ block, board, llms, agents, log, recorder: recorders.conversation, tickMs: fixed.conversationTickMs },
        providers: { stt: stt.name, llm: llms.main.name, tts: tts.name },
        limits: { initiationGraceMs, pingIntervalMs, heardWaitMs, heardAtEndWaitMs, agentWaitMs },
      },
      {
        toMain: conversationToMain.post,
        toStt: conversationToStt.post,
        toTts: conversationToTts.post,
        // Nothing is kept; there is no store.
        toApi: () => undefined,
        drainVad: (handle) => vadToConversation.drain(handle),
      },
    );
    const rules = {
      pacing: { ...pacing, ...variation.pacing },
      ...(variation.resumePoint === undefined ? {} : { resumePoint: variation.resumePoint }),
    };
    this.#tts = new TtsHost(
      { block, board, provider: tts, recorder: recorders.tts, rules },
      { toMain: toMain.post, toConversation: ttsToConversation.post, toApi: () => undefined },
    );

    mainToVad.listen((message) => {
      this.#vad.fromMain(message);
      this.#wakeVad();
    });
    mainToStt.listen((message) => this.#stt.fromMain(message));
    mainToConversation.listen((message) => this.#conversation.fromMain(message));
    mainToTts.listen((message) => this.#tts.fromMain(message));
    vadToStt.listen((message) => this.#stt.fromVad(message));
    vadToConversation.listen((message) => this.#conversation.fromVad(message));
    sttToConversation.listen((message) => this.#conversation.fromStt(message));
    conversationToStt.listen((message) => this.#stt.fromConversation(message));
    conversationToTts.listen((message) => this.#tts.fromConversation(message));
    ttsToConversation.listen((message) => this.#conversation.fromTts(message));
    conversationToMain.listen(events.onConversation);
    toMain.listen((message) => {
      if (message.type === 'released') return events.onReleased(message);
      if (message.type === 'session_failed') return events.onSessionFailed(message);
      // Cleared before the rings are looked at, as in `src/threads.ts`.
      Atomics.store(board, Board.mainBell, 0);
      events.onRing();
    });

    this.lanes = {
      toConversation: mainToConversation.post,
      toTts: mainToTts.post,
      toStt: mainToStt.post,
      toVad: mainToVad.post,
      audio: (slot) => {
        if (slot.load(Cell.inputWritten) - slot.load(Cell.vadRead) >= hopSamples) this.#wakeVad();
      },
    };
    // Not waited for, as in the workers.
    for (const warmth of [stt.warm({ language: 'en', keywords: [] }), llms.main.warm()]) {
      warmth.catch((error: unknown) => log('provider.problem', { message: String(error) }));
    }
  }

  /** Ends every session and lets go of the providers; the model stays the caller's. */
  async close(): Promise<void> {
    clearTimeout(this.#vadTimer);
    this.#stt.close();
    this.#conversation.close();
    this.#tts.close();
    await Promise.all(this.#providers.map((provider) => provider.close()));
  }

  /** The bell: the thread would wake if it sleeps. */
  #wakeVad(): void {
    if (this.#vadState !== 'idle') return;
    this.#vadState = 'passing';
    setImmediate(() => void this.#passes());
  }

  /** The loop of `workers/vad.ts`: passes until no hop is left, then a rest until the next may begin. */
  async #passes(): Promise<void> {
    const startedAtMs = nowMs();
    while (await this.#vad.pass());
    if (this.#vad.batchSize === 0) {
      this.#vadState = 'idle';
      return;
    }
    this.#vadState = 'resting';
    this.#vadTimer = setTimeout(
      () => {
        this.#vadState = 'idle';
        if (this.#vad.hasWork()) this.#wakeVad();
      },
      Math.max(0, startedAtMs + fixed.vadPassMs - nowMs()),
    );
  }
}
