/**
 * A caller that costs next to nothing: it sends frames made beforehand, counts what comes instead of playing it, and remembers only what a
 * figure needs. Any number share one `Beat`. What it lacks beside `Caller`: an ear (so "began" means received), lanes, and a list of events.
 * Clips begin with a frame: up to 20 ms after the instant asked for, and `Said` tells which.
 */
import type { Socket } from 'node:net';
import WebSocket from 'ws';
import { EngineError } from '../../src/shared/errors.js';
import { type Ms, ms } from '../../src/shared/units.js';
import type { AudioFormat } from '../../src/wire/events.js';
import { describeFormat } from '../../src/wire/formats.js';
import { type Beat, framePeriodMs } from '../beat.js';
import type { Closed, Said } from '../caller.js';
import { addressOf } from '../caller.js';
import { type Metadata, parseEvent, parseMetadata } from '../client-messages.js';
import type { Clip } from '../clip.js';
import { frameSamples } from '../microphone.js';
import { Waiters } from '../waiters.js';
import { AudioScan } from './audio-scan.js';
import type { Party, Reply } from './party.js';
import { type PreparedAudio, textFrame } from './prepared-audio.js';
import type { Stages } from './stages.js';

const samplesPerMs = frameSamples / framePeriodMs;
const problemsMax = 20;
/** Replies that are remembered: nobody asks for older ones. */
const repliesMax = 8;
const hangUpTimeoutMs = 2000;
/** After a sound of ours the agent may stand still, and rightly: such gaps are no jitter. */
const ownSoundMs = 1500;
/** A reply begins with several frames at once, which says nothing about its pace. */
const youngMs = 600;

export type LeanOptions = {
  readonly url: string;
  readonly agentId?: string;
  readonly beat: Beat;
  /** By format, shared by all callers of a process. */
  readonly audio: (format: AudioFormat) => PreparedAudio;
  readonly stages: Stages;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: Ms;
};

type Heard = {
  readonly eventId: number;
  readonly firstChunkAtMs: number;
  lastChunkAtMs: number;
  readonly onsetMs: number;
  isComplete: boolean;
  /** When everything received has been played by a device that began at once. */
  playEndMs: number;
  lastChunkMs: number;
};
type Speaking = { readonly frames: readonly Uint8Array[]; readonly firstFrame: number };

export class LeanCaller implements Party {
  readonly problems: string[] = [];
  closed: Closed | undefined;
  staleCount = 0;
  readonly openedAtMonotonicMs: number;
  readonly conversationId: string;
  readonly #options: LeanOptions;
  readonly #socket: WebSocket;
  readonly #raw: Socket;
  readonly #audio: PreparedAudio;
  readonly #scan: AudioScan;
  readonly #leaveBeat: () => void;
  readonly #waiters = new Waiters(() => ({ nowMs: this.nowMs, isOver: this.closed !== undefined }));
  readonly #replies = new Map<number, Heard>();
  readonly #firstSample: number;
  #nextFrame = 0;
  #speaking: Speaking | undefined;
  #next: Speaking | undefined;
  #soundUntilMs = 0;
  #interruptions: number[] = [];
  #interruptionId = Number.NEGATIVE_INFINITY;
  #audioId = Number.NEGATIVE_INFINITY;
  #resumeTimer: NodeJS.Timeout | undefined;

  /** As `Caller.connect`. */
  static connect(options: LeanOptions): Promise<LeanCaller> {
    const { timeoutMs, beat, headers } = options;
    const socket = new WebSocket(addressOf(options), ['convai'], {
      perMessageDeflate: false,
      handshakeTimeout: timeoutMs,
      skipUTF8Validation: true,
      ...(headers === undefined ? {} : { headers }),
    });
    return new Promise((resolve, reject) => {
      let openedAtMs = 0;
      let raw: Socket | undefined;
      let caller: LeanCaller | undefined;
      const fail = (error: EngineError): void => {
        clearTimeout(timer);
        socket.terminate();
        reject(error);
      };
      const timer = setTimeout(() => fail(new EngineError('timeout', `no metadata within ${timeoutMs} ms`)), timeoutMs);
      socket.on('upgrade', (response) => {
        raw = response.socket;
      });
      socket.on('open', () => {
        openedAtMs = beat.nowMs;
        socket.send(JSON.stringify({ type: 'conversation_initiation_client_data', conversation_config_override: {} }));
      });
      socket.on('message', (data, isBinary) => {
        const bytes = data as Buffer;
        if (caller !== undefined) {
          caller.#receive(bytes, isBinary, beat.nowMs - openedAtMs);
          return;
        }
        const metadata = parseMetadata(bytes.toString());
        if (metadata === undefined || raw === undefined) {
          fail(new EngineError('garbage', `the first message is not valid metadata: ${bytes.toString().slice(0, 200)}`));
          return;
        }
        clearTimeout(timer);
        caller = new LeanCaller(options, socket, raw, openedAtMs, metadata);
        resolve(caller);
      });
      socket.on('close', (code, data) => {
        const reason = data.toString();
        if (caller !== undefined) caller.#end({ code, reason, atMs: beat.nowMs - openedAtMs });
        else fail(new EngineError('rejected', `closed with ${code}: ${reason || 'no reason'}`, { fields: { code, reason } }));
      });
      socket.on('error', (cause) => {
        if (caller !== undefined) caller.#problem(`connection: ${cause.message}`);
        else fail(new EngineError('refused', `cannot connect: ${cause.message || cause.name}`, { cause }));
      });
    });
  }

  private constructor(
    options: LeanOptions,
    socket: WebSocket,
    raw: Socket,
    openedAtMs: number,
    { conversationId, inputFormat, outputFormat }: Pick<Metadata, 'conversationId' | 'inputFormat' | 'outputFormat'>,
  ) {
    this.conversationId = conversationId;
    this.#options = options;
    this.#socket = socket;
    this.#raw = raw;
    this.openedAtMonotonicMs = openedAtMs;
    this.#audio = options.audio(inputFormat);
    const { rateHz, bytesPerSample } = describeFormat(outputFormat);
    this.#scan = new AudioScan((rateHz * bytesPerSample) / 1000);
    this.#firstSample = Math.ceil(this.nowMs * samplesPerMs);
    const firstDueAtMs = openedAtMs + this.#frameMs(1);
    this.#leaveBeat = options.beat.join(ms(firstDueAtMs), () => this.#onBeat());
  }

  get nowMs(): number {
    return this.#options.beat.nowMs - this.openedAtMonotonicMs;
  }

  /** One clip is on its way at most, and one waits: a third takes the place of the second. */
  say(clip: Clip, atMs: number): Said {
    const wanted = Math.ceil((atMs * samplesPerMs - this.#firstSample) / frameSamples);
    const firstFrame = Math.max(wanted, this.#nextFrame);
    const speaking = { frames: this.#audio.framesOf(clip), firstFrame };
    if (this.#speaking === undefined || firstFrame === this.#nextFrame) this.#speaking = speaking;
    else this.#next = speaking;
    const startMs = this.#frameMs(firstFrame);
    return {
      clip,
      startMs,
      speechStartMs: startMs + clip.firstSample / samplesPerMs,
      speechEndMs: startMs + clip.lastSample / samplesPerMs,
      voiceEndMs: startMs + clip.voiceEndSample / samplesPerMs,
    };
  }

  /** A turn that is typed. */
  type(text: string): void {
    const message = JSON.stringify({ type: 'user_message', text });
    if (this.#socket.readyState === WebSocket.OPEN) this.#raw.write(textFrame(message));
  }

  waitFor<T>(look: () => T | undefined, timeoutMs: number): Promise<T | undefined> {
    return this.#waiters.waitFor(look, timeoutMs);
  }

  async until(atMs: number): Promise<void> {
    await this.waitFor(() => (this.nowMs >= atMs ? true : undefined), Number.POSITIVE_INFINITY);
  }

  replyFrom(afterMs: number): Reply | undefined {
    for (const reply of this.#replies.values()) if (reply.firstChunkAtMs >= afterMs) return reply;
    return undefined;
  }

  interruptionFrom(afterMs: number): number | undefined {
    return this.#interruptions.find((atMs) => atMs >= afterMs);
  }

  lastAudibleMs(): undefined {
    return undefined;
  }

  pauseReading(durationMs: number): void {
    this.#socket.pause();
    // What comes late because of us is not the server's jitter.
    this.#soundUntilMs = Math.max(this.#soundUntilMs, this.nowMs + durationMs + ownSoundMs);
    clearTimeout(this.#resumeTimer);
    this.#resumeTimer = setTimeout(() => this.#socket.resume(), durationMs);
  }

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

  #frameMs(frame: number): number {
    return (this.#firstSample + frame * frameSamples) / samplesPerMs;
  }

  #onBeat(): void {
    const frame = this.#nextFrame;
    this.#nextFrame += 1;
    if (this.#next !== undefined && frame >= this.#next.firstFrame) {
      this.#speaking = this.#next;
      this.#next = undefined;
    }
    let bytes = this.#audio.silence;
    if (this.#speaking !== undefined && frame >= this.#speaking.firstFrame) {
      bytes = this.#speaking.frames[frame - this.#speaking.firstFrame] ?? bytes;
      this.#soundUntilMs = Math.max(this.#soundUntilMs, this.#frameMs(frame) + ownSoundMs);
      if (frame - this.#speaking.firstFrame >= this.#speaking.frames.length) this.#speaking = undefined;
    }
    if (this.#socket.readyState === WebSocket.OPEN) this.#raw.write(bytes);
    this.#waiters.ask();
  }

  #end(closed: Closed): void {
    if (this.closed !== undefined) return;
    this.closed = closed;
    clearTimeout(this.#resumeTimer);
    this.#leaveBeat();
    this.#waiters.ask();
  }

  #receive(bytes: Buffer, isBinary: boolean, atMs: number): void {
    if (!isBinary && this.#scan.read(bytes)) {
      this.#hear(this.#scan, atMs);
      return;
    }
    const event = isBinary ? undefined : parseEvent(bytes.toString());
    if (event === undefined) {
      this.#problem(`not an event: ${bytes.toString().slice(0, 100)}`);
      return;
    }
    const { type, eventId } = event;
    if (type === 'ping') this.#raw.write(textFrame(`{"type":"pong","event_id":${eventId}}`));
    if (type === 'audio') this.#problem('audio event without audio or without event id');
    if (type === 'interruption') this.#interrupt(eventId, atMs);
    this.#waiters.ask();
  }

  #hear({ eventId, durationMs, isFinal, isSilent }: AudioScan, atMs: number): void {
    if (eventId <= this.#interruptionId) {
      this.staleCount += 1;
      this.#problem(`audio ${eventId} after interruption ${this.#interruptionId}`);
    }
    if (eventId < this.#audioId) this.#problem(`audio ${eventId} after audio ${this.#audioId}`);
    this.#audioId = Math.max(this.#audioId, eventId);
    const reply = this.#replies.get(eventId);
    if (reply === undefined) {
      // A reply begins with its first sound.
      if (!isSilent) this.#begin(eventId, durationMs, isFinal, atMs);
      return;
    }
    if (atMs > this.#soundUntilMs) {
      const { stages } = this.#options;
      stages.record('playback_hole', atMs - reply.playEndMs);
      const gapMs = atMs - reply.lastChunkAtMs;
      if (atMs - reply.firstChunkAtMs > youngMs) stages.record('frame_jitter', Math.abs(gapMs - reply.lastChunkMs));
    }
    reply.playEndMs = Math.max(reply.playEndMs, atMs) + durationMs;
    reply.lastChunkAtMs = atMs;
    reply.lastChunkMs = durationMs;
    reply.isComplete ||= isFinal;
  }

  #begin(eventId: number, durationMs: number, isFinal: boolean, atMs: number): void {
    const times = { firstChunkAtMs: atMs, lastChunkAtMs: atMs, onsetMs: atMs, playEndMs: atMs + durationMs };
    this.#replies.set(eventId, { eventId, ...times, lastChunkMs: durationMs, isComplete: isFinal });
    if (this.#replies.size > repliesMax) this.#replies.delete(this.#replies.keys().next().value!);
    this.#waiters.ask();
  }

  #interrupt(eventId: number | undefined, atMs: number): void {
    if (eventId === undefined) {
      this.#problem('interruption without event id');
      return;
    }
    if (eventId <= this.#audioId) this.#problem(`interruption ${eventId} is not above audio ${this.#audioId}`);
    this.#interruptionId = Math.max(this.#interruptionId, eventId);
    this.#interruptions = [...this.#interruptions.slice(1 - repliesMax), atMs];
  }

  #problem(message: string): void {
    if (this.problems.length < problemsMax) this.problems.push(`${this.nowMs.toFixed(0)} ms: ${message}`);
  }
}
