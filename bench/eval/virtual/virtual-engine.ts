/**
 * The engine in one thread on a virtual clock: the code of every thread, the providers' adapters and the simulated providers, in one process
 * and without any input or output of the operating system. The same run gives the same bytes. Computing takes no time: what a machine adds to
 * a latency is not in its figures.
 *
 * While one is open, timers, clocks and random numbers of the process are virtual; `close` puts the real ones back. One at a time.
 */
import type { ScriptedAnswer } from '../../../load/providers/answers.js';
import type { ClipRegistration } from '../../../load/providers/clips.js';
import { registerClips } from '../../../load/providers/control.js';
import { Dealer, type Profile, type ProfileName, profiles } from '../../../load/providers/profile.js';
import { createProviders, type ProviderServer } from '../../../load/providers/server.js';
import type { Services } from '../../../load/providers/services.js';
import { fixed } from '../../../src/config.js';
import { signingKeyOf } from '../../../src/server/access.js';
import { Calls, type Visitor } from '../../../src/server/calls.js';
import type { Connection } from '../../../src/server/port.js';
import { nowMs } from '../../../src/shared/clock.js';
import { createBlock } from '../../../src/shared/slots.js';
import type { AgentConfig } from '../../../src/store/agents.js';
import type { Log } from '../../../src/telemetry/log.js';
import { Recorder } from '../../../src/telemetry/recorder.js';
import { SileroModel } from '../../../src/vad/model.js';
import { LaneHere } from './lane-here.js';
import { MemorySocket } from './memory-socket.js';
import type { EngineVariation } from './variation.js';
import { VirtualClock } from './virtual-clock.js';
import { VoiceHere } from './voice-here.js';

/** A caller's WebSocket. Handlers are called while time is moved (`advanceTo`), never from within `send` or `close`. */
export type AgentLine = {
  send(text: string): void;
  close(code: number, reason: string): void;
  onMessage: (text: string) => void;
  /** Once, whichever side closed. */
  onClose: (code: number, reason: string) => void;
};

export type VirtualEngineOptions = {
  readonly profile: ProfileName | Profile;
  /** Of everything that is drawn: the providers' delays and errors, ids. */
  readonly seed: number;
  readonly agents: readonly AgentConfig[];
  readonly answers?: readonly ScriptedAnswer[];
  /** What the recogniser understands; `providers.recogniser` takes more at any time. */
  readonly clips?: readonly ClipRegistration[];
  /** Share of words that the recogniser gets wrong. */
  readonly wordErrorRatio?: number;
  /** As in `load/providers/faults.ts`. */
  readonly faults?: unknown;
  readonly variation?: EngineVariation;
  /** Gets the engine's log, `debug` too. */
  readonly log?: Log;
};

/** Calls at once. */
const slots = 8;
/** Closing takes no longer than this, in virtual time. */
const closeMaxMs = 60_000;
/** Time is moved by this much while something is waited for. */
const stepMs = 10;

/** Loaded once: it holds nothing of a session. */
let modelLoading: Promise<SileroModel> | undefined;

export class VirtualEngine {
  /** The simulated providers: recogniser (clips), answers, journal of requests with their instants, voice, profile. */
  readonly providers: Services;
  readonly #clock: VirtualClock;
  readonly #simulator: ProviderServer;
  readonly #sockets: ReadonlySet<MemorySocket>;
  readonly #lane: LaneHere;
  readonly #calls: Calls;
  readonly #sweeper: NodeJS.Timeout;
  readonly #variation: EngineVariation;
  /** After `close`: timers that the engine or the simulator forgot. */
  timersLeft = 0;

  private constructor(parts: {
    clock: VirtualClock;
    simulator: ProviderServer;
    sockets: ReadonlySet<MemorySocket>;
    lane: LaneHere;
    calls: Calls;
    variation: EngineVariation;
  }) {
    this.providers = parts.simulator.services;
    this.#clock = parts.clock;
    this.#simulator = parts.simulator;
    this.#sockets = parts.sockets;
    this.#lane = parts.lane;
    this.#calls = parts.calls;
    this.#variation = parts.variation;
    this.#sweeper = setInterval(() => parts.calls.sweep(), fixed.sweepMs);
    parts.calls.isOpen = true;
  }

  /** Rejects when the voice or the detector's model is missing, or an option is malformed. */
  static async open(options: VirtualEngineOptions): Promise<VirtualEngine> {
    const { profile, seed, variation = { name: 'none' }, log = () => undefined } = options;
    modelLoading ??= SileroModel.load();
    const model = await modelLoading;
    const voice = await VoiceHere.load();
    const clock = new VirtualClock(seed);
    try {
      const simulator = await createProviders(
        {
          seed,
          wordErrorRatio: options.wordErrorRatio ?? 0,
          ...(options.faults === undefined ? {} : { faults: options.faults }),
        },
        voice,
      );
      const { services, server } = simulator;
      services.dealer = new Dealer(typeof profile === 'string' ? profiles[profile] : profile, seed);
      for (const answer of options.answers ?? []) services.answers.add(answer);
      await registerClips(services, options.clips ?? []);
      const sockets = new Set<MemorySocket>();
      const connect = (): MemorySocket => {
        const pair = MemorySocket.pair();
        for (const socket of [pair.client, pair.server]) {
          sockets.add(socket);
          socket.on('close', () => sockets.delete(socket));
        }
        server.emit('connection', pair.server);
        return pair.client;
      };
      const block = createBlock(slots);
      const agents = options.agents.map((agent) => variation.agent?.(agent) ?? agent);
      const reached: { calls: Calls | undefined } = { calls: undefined };
      const lane = new LaneHere(
        { block, model, agents, connections: { connect }, log, variation },
        {
          onConversation: (message) => reached.calls?.fromConversation(message),
          onReleased: (message) => reached.calls?.released(message),
          onRing: () => reached.calls?.ring(),
          onSessionFailed: (message) => reached.calls?.failed(message),
        },
      );
      const keys = { apiKey: '', signingKey: signingKeyOf('virtual', '') };
      const calls = new Calls(block, lane.lanes, new Recorder('main'), log, nowMs, keys);
      reached.calls = calls;
      return new VirtualEngine({ clock, simulator, sockets, lane, calls, variation });
    } catch (error) {
      clock.uninstall();
      throw error;
    }
  }

  /** A call, opened at this instant. `path` with its query: `/v1/convai/conversation?agent_id=…`. Throws when the engine refuses it. */
  connect(path: string): AgentLine {
    const [pathname = '', query = ''] = path.split('?', 2);
    const remoteAddress = '127.0.0.1';
    const answer = this.#calls.upgrade({
      path: pathname,
      query,
      header: () => undefined,
      protocols: [],
      remoteAddress,
    });
    if (!answer.accept) throw new Error(`the engine refused the call with status ${answer.response.status}`);
    const calls = this.#calls;
    const visitor: Visitor = answer.session;
    let isOpen = true;
    const closed = (code: number, reason: string): void => {
      if (!isOpen) return;
      isOpen = false;
      setImmediate(() => {
        calls.closed(visitor, code);
        line.onClose(code, reason);
      });
    };
    const line: AgentLine = {
      send: (text) => {
        const bytes = Buffer.from(text);
        if (isOpen) setImmediate(() => calls.message(visitor, bytes, false));
      },
      close: closed,
      onMessage: () => undefined,
      onClose: () => undefined,
    };
    const send = (text: string): void => {
      setImmediate(() => line.onMessage(text));
    };
    const deliver = this.#variation.client?.(send) ?? send;
    const connection: Connection = {
      remoteAddress,
      sendText: (text) => {
        if (!isOpen) return false;
        const copy = typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
        deliver(copy);
        return true;
      },
      bufferedBytes: () => 0,
      ping: () => undefined,
      close: closed,
      terminate: () => closed(1006, ''),
      cork: (body) => body(),
    };
    calls.opened(visitor, connection);
    return line;
  }

  /** The clock that the engine and the providers' journal use: monotonic, whole milliseconds. */
  nowMs(): number {
    return this.#clock.nowMs;
  }

  /** Runs everything that is due before and at `atMs`, in order, each to rest. `atMs` may be `nowMs()`. */
  advanceTo(atMs: number): Promise<void> {
    return this.#clock.advanceTo(atMs);
  }

  /** Ends the calls and leaves nothing behind. */
  async close(): Promise<void> {
    this.#calls.isOpen = false;
    this.#calls.endAll(1001, 'The run is over.');
    await this.#until(() => this.#calls.freeCount === slots);
    clearInterval(this.#sweeper);
    let isClosed = false;
    const closing = this.#lane.close().finally(() => {
      isClosed = true;
    });
    await this.#until(() => isClosed);
    await this.#simulator.close();
    for (const socket of this.#sockets) socket.destroy();
    await this.advanceTo(this.nowMs());
    this.timersLeft = this.#clock.uninstall();
    await closing;
  }

  async #until(isDone: () => boolean): Promise<void> {
    const deadlineMs = this.nowMs() + closeMaxMs;
    await this.advanceTo(this.nowMs());
    while (!isDone()) {
      if (this.nowMs() >= deadlineMs) throw new Error(`the engine was not closed within ${closeMaxMs} virtual milliseconds`);
      await this.advanceTo(this.nowMs() + stepMs);
    }
  }
}
