/**
 * What the conversation thread does, without its ports: the turn machine of every session, language-model streams, history. It owns the epoch
 * and holdsReleased cells. Evented: woken by messages and by one timer for all sessions.
 */
import type { AgentChanged, FromApi, ToApi } from '../api/links.js';
import type { ProviderNames, SessionLimits } from '../conversation/context.js';
import type { FromConversation, ToConversation } from '../conversation/links.js';
import { customLlmOf } from '../conversation/profile.js';
import { Session, type SessionHost } from '../conversation/session.js';
import type { SessionLinks } from '../conversation/session-links.js';
import type { ReadTurn } from '../conversation/turn-reader.js';
import type { LlmPool } from '../llm/pool.js';
import { nowMs } from '../shared/clock.js';
import { guarded } from '../shared/guard.js';
import type { FromStt, FromTts, FromVad, MetricsAnswer, ToStt, ToTts } from '../shared/links.js';
import { Board, type SharedBlock, Slot } from '../shared/slots.js';
import type { AgentConfig } from '../store/agents.js';
import type { Log } from '../telemetry/log.js';
import type { Recorder } from '../telemetry/recorder.js';

export type ConversationLinks = {
  readonly toMain: (message: FromConversation) => void;
  readonly toStt: (message: ToStt) => void;
  readonly toTts: (message: ToTts) => void;
  readonly toApi: (message: ToApi) => void;
  /** Hands over every event of the detector that was posted until now. */
  readonly drainVad: (handle: (message: FromVad) => void) => void;
};

export type ConversationHostOptions = {
  readonly block: SharedBlock;
  readonly board: Int32Array;
  /** Stays the caller's to close. */
  readonly llms: LlmPool;
  readonly agents: readonly AgentConfig[];
  readonly providers: ProviderNames;
  readonly limits: SessionLimits;
  readonly tickMs: number;
  readonly recorder: Recorder;
  readonly log: Log;
  /** A learned model of turn-taking that reads. */
  readonly readTurn?: ReadTurn | undefined;
};

export class ConversationHost {
  readonly #links: ConversationLinks;
  readonly #board: Int32Array;
  readonly #log: Log;
  readonly #slots: readonly Slot[];
  readonly #agents: Map<string, AgentConfig>;
  /** Versions of those that came from the store. */
  readonly #versions = new Map<string, number>();
  readonly #sessions = new Map<number, Session>();
  /** The API thread knows sessions by their conversation. */
  readonly #slotOf = new Map<string, number>();
  readonly #host: SessionHost;
  readonly #ticker: NodeJS.Timeout;

  constructor(options: ConversationHostOptions, links: ConversationLinks) {
    const { block, board, llms, agents, providers, limits, tickMs, recorder, log } = options;
    this.#links = links;
    this.#board = board;
    this.#log = log;
    this.#slots = Array.from({ length: block.slotCount }, (_, index) => new Slot(block, index));
    this.#agents = new Map(agents.map((agent) => [agent.agent_id, agent]));
    this.#host = {
      agents: this.#agents,
      versionOf: (agentId) => this.#versions.get(agentId) ?? 0,
      llmFor: (agent) => llms.of(customLlmOf(agent)),
      providers,
      limits,
      readTurn: options.readTurn,
      recorder,
      now: nowMs,
      wallNow: () => Date.now(),
    };
    this.#ticker = setInterval(() => this.#tick(), tickMs);
    recorder.figures = () => this.figures();
  }

  fromMain(message: ToConversation): void {
    const { slot, generation } = message;
    if (message.type === 'open') {
      this.#open(message);
      return;
    }
    const session = this.#sessions.get(slot);
    if (session?.generation === generation) guarded(message, this.#links.toMain, () => session.fromMain(message));
    if (message.type === 'close' && (session?.generation !== generation || session.isGone)) this.#release(slot, generation);
  }

  fromVad(message: FromVad): void {
    const session = this.#sessions.get(message.slot);
    if (session?.generation === message.generation) guarded(message, this.#links.toMain, () => session.fromVad(message));
  }

  fromStt(message: FromStt): void {
    const session = this.#sessions.get(message.slot);
    if (session?.generation === message.generation) guarded(message, this.#links.toMain, () => session.fromStt(message));
  }

  fromTts(message: FromTts): void {
    const session = this.#sessions.get(message.slot);
    if (session?.generation === message.generation) guarded(message, this.#links.toMain, () => session.fromTts(message));
  }

  /** An answer of the API thread is for one session; a changed agent is for calls to come. */
  fromApi(message: FromApi | AgentChanged): void {
    if (message.type === 'agent_changed' || (message.type === 'agent' && message.agent !== undefined)) {
      this.#keepAgent(message.agentId, message.agent, message.version);
    }
    if (message.type === 'agent_changed') return;
    const session = this.#sessions.get(this.#slotOf.get(message.conversationId) ?? -1);
    if (session !== undefined) guarded(session.address, this.#links.toMain, () => session.fromApi(message));
  }

  figures(): Pick<MetricsAnswer, 'gauges' | 'counters'> {
    return { gauges: [{ name: 'parley_conversation_sessions', labels: '', value: this.#sessions.size }], counters: [] };
  }

  /** Ends its timer and every session. */
  close(): void {
    clearInterval(this.#ticker);
    for (const session of this.#sessions.values()) session.close();
  }

  #open(message: Extract<ToConversation, { type: 'open' }>): void {
    const { slot, generation, conversationId } = message;
    const address = { slot, generation };
    const { toMain, toStt, toTts, toApi } = this.#links;
    this.#slotOf.set(conversationId, slot);
    const links: SessionLinks = {
      toMain: (body) => toMain({ ...address, ...body } as FromConversation),
      toStt: (body) => toStt({ ...address, ...body } as ToStt),
      toTts: (body) => toTts({ ...address, ...body } as ToTts),
      toApi: (body) => toApi({ conversationId, ...body } as ToApi),
      log: (event, fields) => this.#log(event, { conversation_id: conversationId, slot, ...fields }),
    };
    guarded(address, toMain, () =>
      this.#sessions.set(slot, new Session(address, this.#slots[slot]!, message, links, this.#host)),
    );
  }

  /** Nothing is left of the session here. */
  #release(slot: number, generation: number): void {
    const session = this.#sessions.get(slot);
    if (session?.generation === generation) {
      this.#sessions.delete(slot);
      this.#slotOf.delete(session.conversationId);
    }
    this.#links.toMain({ type: 'released', slot, generation });
  }

  #keepAgent(agentId: string, agent: AgentConfig | undefined, version: number): void {
    if (agent === undefined) {
      this.#agents.delete(agentId);
      this.#versions.delete(agentId);
    } else {
      this.#agents.set(agentId, agent);
      this.#versions.set(agentId, version);
    }
  }

  #tick(): void {
    for (const session of this.#sessions.values()) session.readClock();
    // Events of the detector that were posted before its cursor moved are dealt with before the timers look at the cursor.
    this.#links.drainVad((message) => this.fromVad(message));
    for (const [slot, session] of this.#sessions) {
      guarded(session.address, this.#links.toMain, () => session.tick());
      if (session.isGone) this.#release(slot, session.generation);
    }
    Atomics.add(this.#board, Board.conversationBeat, 1);
  }
}
