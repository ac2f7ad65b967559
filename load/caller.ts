/**
 * A caller: a client of the public protocol that speaks in real time, hears through a playout device, and writes everything down on one clock
 * (ms, and samples at 16 kHz, since its socket opened). Any number of callers share one `Beat`; all runs on the thread that calls.
 *
 * A script is ordinary code: `say` a clip at an instant, `waitFor` something heard or received, `hangUp`. Clips said at a future instant
 * start at exactly that sample, which is how "800 ms after the agent's onset" is meant.
 */
import WebSocket from 'ws';
import { EngineError } from '../src/shared/errors.js';
import { inputRateHz, type Ms, ms } from '../src/shared/units.js';
import type { AudioFormat } from '../src/wire/events.js';
import { describeFormat } from '../src/wire/formats.js';
import type { Beat } from './beat.js';
import { decodeAudio, frameEncoder, type Metadata, parseEvent, parseMetadata } from './client-messages.js';
import type { Clip } from './clip.js';
import { Ear, type EarKind, type HeardReply } from './ear.js';
import { frameSamples, Microphone } from './microphone.js';
import { Waiters } from './waiters.js';

const samplesPerMs = inputRateHz / 1000;

const defaultEventsMax = 100_000;
const problemsMax = 100;
/** How long a server may take to answer our close frame. */
const hangUpTimeoutMs = ms(2000);
const defaultConnectTimeoutMs = ms(10_000);

export type CallerOptions = {
  /** Of the server, such as `ws://127.0.0.1:8080`; a path and query, when given, are taken as they are (signed URLs). */
  readonly url: string;
  readonly agentId?: string;
  readonly beat: Beat;
  /** Default `buffered`. */
  readonly ear?: EarKind;
  /** Remember both lanes for `heardLane` and `saidLane`; default true. Load without recordings sets it to false. */
  readonly keepsLanes?: boolean;
  /** Received events that are remembered, the oldest first; later ones are acted upon and only counted. Default 100 000; ten minutes need some 20 000. */
  readonly eventsMax?: number;
  /** More fields for `conversation_initiation_client_data`. */
  readonly initiation?: Readonly<Record<string, unknown>>;
  /** For the connection and the metadata each; default 10 s. */
  readonly connectTimeoutMs?: Ms;
  /** Of the handshake. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Told of every event after it was recorded. */
  readonly onEvent?: (event: ReceivedEvent, caller: Caller) => void;
};

/** `details` are the event's own fields as they came; of audio, how many samples instead of the samples. */
export type ReceivedEvent = {
  readonly atMs: number;
  readonly type: string;
  readonly eventId: number | undefined;
  readonly details: Readonly<Record<string, unknown>>;
};

/** Where a clip went: instants on the caller's clock of the samples that `Clip` names. */
export type Said = {
  readonly clip: Clip;
  readonly startMs: number;
  readonly speechStartMs: number;
  readonly speechEndMs: number;
  readonly voiceEndMs: number;
};

export type Closed = { readonly code: number; readonly reason: string; readonly atMs: number };

export class Caller {
  readonly conversationId: string;
  readonly inputFormat: AudioFormat;
  readonly outputFormat: AudioFormat;
  readonly ear: Ear;
  readonly microphone: Microphone;
  readonly events: ReceivedEvent[] = [];
  /** What the server did against the protocol; empty for a good one. */
  readonly problems: string[] = [];
  /** Events beyond `CallerOptions.eventsMax`. */
  eventsNotKept = 0;
  /** Set once the connection has ended. */
  closed: Closed | undefined;
  readonly #socket: WebSocket;
  readonly #options: CallerOptions;
  readonly #openedAtMs: number;
  readonly #encode: (frame: Int16Array | undefined) => string;
  readonly #leaveBeat: () => void;
  readonly #waiters = new Waiters(() => ({ nowMs: this.nowMs, isOver: this.closed !== undefined }));
  #resumeTimer: NodeJS.Timeout | undefined;
  #interruptionId = Number.NEGATIVE_INFINITY;
  #audioId = Number.NEGATIVE_INFINITY;

  /**
   * Opens the connection and resolves when the metadata is there. Fails with `refused`, `timeout`, `garbage`, or `rejected` when
   * the server closed instead (fields `code`, `reason`).
   */
  static connect(options: CallerOptions): Promise<Caller> {
    const timeoutMs = options.connectTimeoutMs ?? defaultConnectTimeoutMs;
    const socket = new WebSocket(addressOf(options), ['convai'], {
      perMessageDeflate: false,
      handshakeTimeout: timeoutMs,
      ...(options.headers === undefined ? {} : { headers: options.headers }),
    });
    return new Promise((resolve, reject) => {
      let openedAtMs = 0;
      let caller: Caller | undefined;
      let timer: NodeJS.Timeout | undefined;
      const fail = (error: EngineError): void => {
        clearTimeout(timer);
        socket.terminate();
        reject(error);
      };
      socket.on('open', () => {
        openedAtMs = options.beat.nowMs;
        const start = { type: 'conversation_initiation_client_data', conversation_config_override: {}, ...options.initiation };
        socket.send(JSON.stringify(start));
        timer = setTimeout(() => fail(new EngineError('timeout', `no metadata within ${timeoutMs} ms`)), timeoutMs);
      });
      socket.on('message', (data, isBinary) => {
        const atMs = options.beat.nowMs - openedAtMs;
        if (caller !== undefined) {
          caller.#receive(data.toString(), isBinary, atMs);
          return;
        }
        const metadata = parseMetadata(data.toString());
        if (metadata === undefined) {
          fail(new EngineError('garbage', `the first message is not valid metadata: ${data.toString().slice(0, 200)}`));
          return;
        }
        clearTimeout(timer);
        caller = new Caller(options, socket, openedAtMs, metadata);
        resolve(caller);
      });
      socket.on('close', (code, data) => {
        const reason = data.toString();
        if (caller !== undefined) caller.#end({ code, reason, atMs: options.beat.nowMs - openedAtMs });
        else
          fail(
            new EngineError('rejected', `the server closed with ${code}: ${reason || 'no reason'}`, { fields: { code, reason } }),
          );
      });
      socket.on('error', (cause) => {
        if (caller !== undefined) caller.#problem(`connection: ${cause.message}`);
        else fail(new EngineError('refused', `cannot connect to ${options.url}: ${cause.message || cause.name}`, { cause }));
      });
    });
  }

  private constructor(options: CallerOptions, socket: WebSocket, openedAtMs: number, metadata: Metadata) {
    this.#options = options;
    this.#socket = socket;
    this.#openedAtMs = openedAtMs;
    this.conversationId = metadata.conversationId;
    this.inputFormat = metadata.inputFormat;
    this.outputFormat = metadata.outputFormat;
    const keepsLanes = options.keepsLanes ?? true;
    this.ear = new Ear(options.ear ?? 'buffered', describeFormat(metadata.outputFormat).rateHz, keepsLanes);
    this.#encode = frameEncoder(metadata.inputFormat);
    this.#record('conversation_initiation_metadata', metadata.details, undefined, this.nowMs);
    const firstSample = Math.ceil(this.nowMs * samplesPerMs);
    this.microphone = new Microphone(firstSample);
    const firstDueAtMs = openedAtMs + (firstSample + frameSamples) / samplesPerMs;
    this.#leaveBeat = options.beat.join(ms(firstDueAtMs), () => this.#onBeat());
  }

  /** Zero of this caller's clock on the monotonic clock, which all processes of a machine share. */
  get openedAtMonotonicMs(): number {
    return this.#openedAtMs;
  }

  /** Now, on this caller's clock. */
  get nowMs(): number {
    return this.#options.beat.nowMs - this.#openedAtMs;
  }

  /** Says `clip` from `atMs` on; at once (with the next frame) when that is past. */
  say(clip: Clip, atMs = 0): Said {
    const startSample = this.microphone.place(clip.samples, Math.round(atMs * samplesPerMs));
    return {
      clip,
      startMs: startSample / samplesPerMs,
      speechStartMs: (startSample + clip.firstSample) / samplesPerMs,
      speechEndMs: (startSample + clip.lastSample) / samplesPerMs,
      voiceEndMs: (startSample + clip.voiceEndSample) / samplesPerMs,
    };
  }

  /** Takes nothing from its socket for so long. */
  pauseReading(durationMs: number): void {
    this.#socket.pause();
    clearTimeout(this.#resumeTimer);
    this.#resumeTimer = setTimeout(() => this.#socket.resume(), durationMs);
  }

  /** Any other message of the protocol. */
  send(message: Readonly<Record<string, unknown>>): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /**
   * The first answer of `look` that is not undefined; it is asked after every message and every 20 ms. Undefined when `timeoutMs` have passed or
   * the connection ends.
   */
  waitFor<T>(look: () => T | undefined, timeoutMs: number): Promise<T | undefined> {
    return this.#waiters.waitFor(look, timeoutMs);
  }

  /** The first reply of which anything became audible at `afterMs` or later. Its onset is known at most 30 ms after it. */
  onset(afterMs: number, timeoutMs: number): Promise<HeardReply | undefined> {
    return this.waitFor(() => {
      for (const reply of this.ear.replies.values()) if (reply.onsetMs !== undefined && reply.onsetMs >= afterMs) return reply;
      return undefined;
    }, timeoutMs);
  }

  /**
   * When nothing has been audible for `quietMs` and nothing is queued: the reply, whose `lastAudibleMs` then is its end. A server that
   * falls silent for longer in the middle of a reply is taken to have ended it.
   */
  endOf(reply: HeardReply, quietMs: number, timeoutMs: number): Promise<HeardReply | undefined> {
    return this.waitFor(
      () => (this.nowMs - (reply.lastAudibleMs ?? this.nowMs) >= quietMs && this.ear.queuedMs === 0 ? reply : undefined),
      timeoutMs,
    );
  }

  /** Until `atMs` on this caller's clock, or the end of the connection. */
  async until(atMs: number): Promise<void> {
    await this.waitFor(() => (this.nowMs >= atMs ? true : undefined), Number.POSITIVE_INFINITY);
  }

  /** Closes as the web client does, and resolves when the server has answered or 2 s have passed. */
  async hangUp(): Promise<Closed> {
    this.#socket.resume();
    this.#socket.close(1000, 'User ended conversation');
    await this.waitFor(() => this.closed, hangUpTimeoutMs);
    if (this.closed === undefined) {
      this.#problem(`no answer to our close frame within ${hangUpTimeoutMs} ms`);
      this.#socket.terminate();
      this.#end({ code: 1006, reason: 'close frame not answered', atMs: this.nowMs });
    }
    return this.closed!;
  }

  /** What was heard, 16 kHz from the socket's opening on; empty when lanes are not kept. */
  heardLane(): Int16Array {
    return this.ear.lane();
  }

  /** What was said, on the same clock. */
  saidLane(): Int16Array {
    return this.microphone.lane();
  }

  #onBeat(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(this.#encode(this.microphone.takeFrame()));
    this.ear.advanceTo(this.nowMs);
    this.#waiters.ask();
  }

  #end(closed: Closed): void {
    if (this.closed !== undefined) return;
    this.closed = closed;
    clearTimeout(this.#resumeTimer);
    this.#leaveBeat();
    this.ear.advanceTo(closed.atMs);
    this.#waiters.ask();
  }

  #receive(text: string, isBinary: boolean, atMs: number): void {
    const event = isBinary ? undefined : parseEvent(text);
    if (event === undefined) {
      this.#problem(`not an event: ${text.slice(0, 100)}`);
      return;
    }
    const { type, details, eventId } = event;
    if (eventId !== undefined && !Number.isInteger(eventId)) this.#problem(`event id ${eventId} of ${type} is not an integer`);
    if (type === 'ping') this.send({ type: 'pong', event_id: eventId });
    if (type === 'audio') this.#hear(details, eventId, atMs);
    else this.#record(type, details, eventId, atMs);
    if (type === 'interruption') this.#interrupt(eventId, atMs);
    if (type === 'conversation_initiation_metadata') this.#problem('metadata came twice');
    this.#waiters.ask();
  }

  #hear(details: Readonly<Record<string, unknown>>, eventId: number | undefined, atMs: number): void {
    const { audio_base_64: base64, ...rest } = details;
    const samples = typeof base64 === 'string' ? decodeAudio(base64, this.outputFormat) : undefined;
    this.#record('audio', { ...rest, sampleCount: samples?.length ?? 0 }, eventId, atMs);
    if (samples === undefined || samples.length === 0 || eventId === undefined) {
      this.#problem('audio event without whole samples or without event id');
      return;
    }
    if (eventId <= this.#interruptionId) this.#problem(`audio ${eventId} after interruption ${this.#interruptionId}`);
    if (eventId < this.#audioId) this.#problem(`audio ${eventId} after audio ${this.#audioId}`);
    this.#audioId = Math.max(this.#audioId, eventId);
    this.ear.audio(eventId, samples, atMs);
  }

  #interrupt(eventId: number | undefined, atMs: number): void {
    if (eventId === undefined) {
      this.#problem('interruption without event id');
      return;
    }
    if (eventId <= this.#audioId) this.#problem(`interruption ${eventId} is not above audio ${this.#audioId}`);
    this.#interruptionId = Math.max(this.#interruptionId, eventId);
    this.ear.interruption(eventId, atMs);
  }

  #record(type: string, details: Readonly<Record<string, unknown>>, eventId: number | undefined, atMs: number): void {
    const event: ReceivedEvent = { atMs, type, eventId, details };
    if (this.events.length < (this.#options.eventsMax ?? defaultEventsMax)) this.events.push(event);
    else this.eventsNotKept += 1;
    this.#options.onEvent?.(event, this);
  }

  #problem(message: string): void {
    if (this.problems.length < problemsMax) this.problems.push(`${this.nowMs.toFixed(0)} ms: ${message}`);
  }
}

/** Where to connect: the protocol's path unless the URL has one. */
export function addressOf(options: { readonly url: string; readonly agentId?: string }): URL {
  const url = new URL(options.url);
  if (url.pathname === '/') url.pathname = '/v1/convai/conversation';
  if (options.agentId !== undefined) url.searchParams.set('agent_id', options.agentId);
  return url;
}
