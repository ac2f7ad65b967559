/**
 * A conversation's session alone: the messages it sends to the other threads are kept as they are, those it gets are given by the test, the
 * clock is moved by hand. The language model is a scripted one behind the real port.
 */
import type { FromApi, ToApi } from '../../src/api/links.js';
import type { FromConversation, HandshakeFacts } from '../../src/conversation/links.js';
import { Session } from '../../src/conversation/session.js';
import type { SessionLinks } from '../../src/conversation/session-links.js';
import type { ReadTurn } from '../../src/conversation/turn-reader.js';
import type { LlmDelta, LlmProvider, LlmRequest, LlmUsage, ToolCall } from '../../src/llm/port.js';
import type { FromTts, ToStt, ToTts } from '../../src/shared/links.js';
import { Cell, claim, createBlock, Slot } from '../../src/shared/slots.js';
import { type AgentConfig, parseAgent } from '../../src/store/agents.js';
import { Recorder } from '../../src/telemetry/recorder.js';
import type { ClientEvent, Initiation, ServerEvent } from '../../src/wire/events.js';

/** What the model answers to one request, all at once. */
export type Answer = {
  readonly text?: string;
  readonly calls?: readonly (Pick<ToolCall, 'name' | 'argumentsJson'> & { readonly id?: string })[];
  /** Nothing of it comes before this. */
  readonly after?: Promise<void>;
  /** The model's own count, which comes behind the end of the answer, and not before this. */
  readonly usage?: LlmUsage & { readonly after?: Promise<void> };
};

export class ScriptedLlm implements LlmProvider {
  readonly name = 'scripted';
  readonly requests: LlmRequest[] = [];
  readonly #answers: Answer[];
  #callCount = 0;

  constructor(answers: readonly Answer[]) {
    this.#answers = [...answers];
  }

  async warm(): Promise<void> {}

  async close(): Promise<void> {}

  async *stream(request: LlmRequest): AsyncGenerator<LlmDelta> {
    this.requests.push(request);
    const { text = '', calls = [], after, usage } = this.#answers.shift() ?? { text: 'Nothing is left of the script.' };
    await after;
    if (text !== '') yield { type: 'text', text };
    for (const call of calls) {
      this.#callCount += 1;
      yield { type: 'tool_call', call: { id: `call_${this.#callCount}`, ...call } };
    }
    if (usage !== undefined) void (usage.after ?? Promise.resolve()).then(() => request.onUsage?.(usage));
    yield { type: 'end', finish: calls.length > 0 ? 'tool_calls' : 'stop' };
  }
}

type Sent<Union> = Union extends unknown ? Omit<Union, 'slot' | 'generation' | 'conversationId'> : never;

const noEvents: Initiation = { overrides: {}, dynamicVariables: {} };

export class LoneSession {
  readonly llm: ScriptedLlm;
  readonly session: Session;
  readonly slot: Slot;
  readonly main: Sent<FromConversation>[] = [];
  readonly api: Sent<ToApi>[] = [];
  readonly stt: Sent<ToStt>[] = [];
  readonly tts: Sent<ToTts>[] = [];
  nowMs = 1000;
  readonly #address: { readonly slot: number; readonly generation: number };

  readonly agent: AgentConfig;

  /** `config`: of the agent, without its id. `isKnown`: the thread has the agent; else the API thread is asked for it. */
  constructor(
    config: Readonly<Record<string, unknown>>,
    answers: readonly Answer[],
    others: readonly AgentConfig[] = [],
    {
      isKnown = true,
      llmFor,
      readTurn,
    }: {
      readonly isKnown?: boolean;
      readonly llmFor?: (agent: AgentConfig) => LlmProvider;
      readonly readTurn?: ReadTurn;
    } = {},
  ) {
    this.llm = new ScriptedLlm(answers);
    const agent = parseAgent({ agent_id: 'a', ...config }, 'test');
    this.agent = agent;
    const block = createBlock(1);
    this.slot = new Slot(block, 0);
    this.#address = { slot: 0, generation: claim(this.slot) };
    const links: SessionLinks = {
      toMain: (message) => this.main.push(message),
      toStt: (message) => this.stt.push(message),
      toTts: (message) => this.tts.push(message),
      toApi: (message) => this.api.push(message),
      log: () => undefined,
    };
    const facts: HandshakeFacts = {
      conversationId: 'conv_1',
      agentId: 'a',
      source: 'test',
      version: '1',
      environment: '',
      branchId: '',
      origin: '',
      access: { kind: 'none' },
      agentCalls: 1,
    };
    this.session = new Session(this.#address, this.slot, facts, links, {
      agents: new Map([...(isKnown ? [agent] : []), ...others].map((item) => [item.agent_id, item])),
      versionOf: () => 0,
      llmFor: llmFor ?? (() => this.llm),
      providers: { stt: 'scripted', llm: 'scripted', tts: 'scripted' },
      limits: { initiationGraceMs: 1000, pingIntervalMs: 1e9, heardWaitMs: 100, heardAtEndWaitMs: 100, agentWaitMs: 1000 },
      readTurn,
      recorder: new Recorder(),
      now: () => this.nowMs,
      wallNow: () => 1_700_000_000_000 + this.nowMs,
    });
  }

  start(initiation: Partial<Initiation> = {}): void {
    this.client({ type: 'initiation', initiation: { ...noEvents, ...initiation } });
  }

  client(event: ClientEvent): void {
    this.session.fromMain({ type: 'client_event', ...this.#address, event });
  }

  fromApi(message: Sent<FromApi>): void {
    this.session.fromApi({ conversationId: 'conv_1', ...message } as FromApi);
  }

  /** Lets time go by: the detector has judged everything until then. */
  pass(durationMs: number): void {
    for (let left = durationMs; left > 0; left -= 10) {
      this.nowMs += Math.min(10, left);
      const samples = Math.round((this.nowMs - 1000) * 16);
      this.slot.store(Cell.inputWritten, samples);
      this.slot.store(Cell.vadRead, samples);
      this.session.readClock();
      this.session.tick();
    }
  }

  /** Sample of the input clock at this moment. */
  get sample(): number {
    return Math.round((this.nowMs - 1000) * 16);
  }

  /** A caller says `text` for `durationMs`; the final transcript is there after the pause that the gate waits for. */
  says(text: string, turn: number, durationMs = 600): void {
    const address = this.#address;
    const startSample = this.sample;
    this.session.fromVad({
      ...address,
      type: 'speech_start',
      startSample,
      atSample: startSample,
      hold: 0,
      decidedAtMs: this.nowMs,
    });
    this.pass(durationMs);
    const lastSpeechSample = this.sample;
    this.pass(128);
    const atSample = this.sample;
    this.session.fromVad({
      ...address,
      type: 'speech_end',
      startSample,
      atSample,
      lastSpeechSample,
      speechMs: durationMs,
      levelOverCallerDb: 0,
    });
    const instants = { askedAtMs: this.nowMs, answeredAtMs: this.nowMs };
    const transcript = { type: 'transcript', turn, text, isFinal: true, lastSample: atSample, confidence: 1 } as const;
    this.session.fromStt({ ...address, ...transcript, ...instants });
  }

  /** The first frame of a speech was sent: from now on the caller hears it. */
  isHeard(speech: number): void {
    this.session.fromMain({ ...this.#address, type: 'first_frame', speech, atMs: this.nowMs });
  }

  /** Strong speech over the agent: a HOLD, and a CUT on sound alone. */
  speaksOver(hold: number): void {
    const address = this.#address;
    const startSample = this.sample;
    const start = { type: 'speech_start', startSample, atSample: startSample, hold, decidedAtMs: this.nowMs } as const;
    this.slot.store(Cell.holdsRaised, hold);
    this.session.fromVad({ ...address, ...start });
    for (let speechMs = 32; speechMs <= 544; speechMs += 32) {
      this.pass(32);
      const evidence = {
        speechMs,
        continuousMs: speechMs,
        meanProbability: 0.95,
        levelOverFloorDb: 20,
        levelOverCallerDb: 0,
        hold: 0,
      };
      this.session.fromVad({ ...address, type: 'speech_hop', atSample: this.sample, startSample, ...evidence });
    }
  }

  /** The pause after it, and its final transcript. */
  fallsSilent(text: string, turn: number): void {
    const address = this.#address;
    const lastSpeechSample = this.sample;
    this.pass(128);
    const atSample = this.sample;
    const end = { type: 'speech_end', startSample: 0, atSample, lastSpeechSample, speechMs: 544, levelOverCallerDb: 0 } as const;
    this.session.fromVad({ ...address, ...end });
    const transcript = { type: 'transcript', turn, text, isFinal: true, lastSample: atSample, confidence: 1 } as const;
    this.session.fromStt({ ...address, ...transcript, askedAtMs: this.nowMs, answeredAtMs: this.nowMs });
  }

  fromTts(message: Sent<FromTts>): void {
    this.session.fromTts({ ...this.#address, ...message } as FromTts);
  }

  close(code = 1000): void {
    this.session.fromMain({ ...this.#address, type: 'close', code, reason: '' });
  }

  /** Everything synthesis was given of one speech. */
  spoken(speech: number): string {
    return this.tts.flatMap((message) => (message.type === 'text' && message.speech === speech ? [message.delta] : [])).join('');
  }

  /** The scripted model streams through promises: they get the time they need. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  }

  /** What the client was told, in order. */
  get events(): readonly ServerEvent[] {
    return this.main.flatMap((message) => {
      if (message.type === 'control') return [message.event];
      return message.type === 'interruption' && message.event !== undefined ? [message.event] : [];
    });
  }

  /** Types of what the client was told since the beginning, without those that every session has. */
  get told(): readonly string[] {
    const common: readonly string[] = ['metadata', 'ping', 'parley_turn_event'];
    return this.events
      .filter(({ type }) => !common.includes(type))
      .map((event) => (event.type === 'agent_chat_response_part' ? `part ${event.part}` : event.type));
  }

  event<Type extends ServerEvent['type']>(type: Type): Extract<ServerEvent, { type: Type }> | undefined {
    return this.events.findLast((event) => event.type === type) as Extract<ServerEvent, { type: Type }> | undefined;
  }

  apiMessages<Type extends ToApi['type']>(type: Type): Extract<Sent<ToApi>, { type: Type }>[] {
    return this.api.filter((message) => message.type === type) as Extract<Sent<ToApi>, { type: Type }>[];
  }
}
