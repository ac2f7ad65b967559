/**
 * What one client is sent: control events in order, and frames of the output ring. Main thread. Here is the last check of every frame: the
 * cells are loaded after the frame was seen, and what is stale is dropped (`<`, so that a cell read late can only drop more).
 */
import { cellMs, msUntil, timerEarlyMs } from '../shared/clock.js';
import { FrameReader, type FrameView } from '../shared/frames.js';
import { Cell, type Slot } from '../shared/slots.js';
import type { Recorder } from '../telemetry/recorder.js';
import { AudioMessageWriter } from '../wire/audio-out.js';
import { encodeServerEvent } from '../wire/encode.js';
import type { AudioFormat, ServerEvent } from '../wire/events.js';
import { describeFormat } from '../wire/formats.js';
import type { Connection } from './port.js';

export const outputLimits = {
  /** Nothing follows the metadata event for this long: clients attach their listeners late. */
  quietMs: 25,
  /** Above this many queued bytes the client counts as too slow and audio stops. */
  slowBytes: 256 * 1024,
  /** A client that stays too slow for this long is given up. */
  slowMaxMs: 5000,
  /** What a client's own playback adds to the way there. */
  clientBufferMs: 30,
} as const;

export type OutputEvents = {
  readonly onFirstFrame: (speech: number, atMs: number) => void;
  /** The oldest frame is not due yet: `drain` is to be called then. */
  readonly onEarly: (dueAtMs: number) => void;
};

export type OutputCounters = { staleFrames: number; supersededFrames: number; sentFrames: number; heldTimes: number };

const audioMessages = new AudioMessageWriter();

export class CallOutput {
  readonly #slot: Slot;
  readonly #generation: number;
  readonly #connection: Connection;
  readonly #frames: FrameReader;
  readonly #recorder: Recorder;
  readonly #counters: OutputCounters;
  readonly #events: OutputEvents;
  readonly #now: () => number;
  readonly #outbox: ServerEvent[] = [];
  /** Notices that wait for the quiet to end; one of a kind, so they are few. */
  readonly #notices: ServerEvent[] = [];
  #rateHz = 16000;
  #sendsAudio = false;
  #quietUntilMs = 0;
  #controlSeen = 0;
  #lastSpeech = 0;
  #slowSinceMs = 0;
  #lastFrameAtMs = 0;
  #isQuiet = false;
  /** The oldest frame was not due yet, and its stamps. */
  #isEarly = false;
  #earlyEpoch = 0;
  #earlyTake = 0;
  /** Frames stood still for a HOLD, and none was sent since. */
  #hasStood = false;
  /** An event did not fit into the socket's queue: the client's picture of the call is wrong from there on. */
  #isEventLost = false;

  constructor(
    slot: Slot,
    generation: number,
    connection: Connection,
    recorder: Recorder,
    counters: OutputCounters,
    events: OutputEvents,
    now: () => number,
  ) {
    this.#slot = slot;
    this.#generation = generation;
    this.#connection = connection;
    this.#frames = new FrameReader(slot);
    this.#recorder = recorder;
    this.#counters = counters;
    this.#events = events;
    this.#now = now;
  }

  begin(outputFormat: AudioFormat, sendsAudio: boolean): void {
    this.#rateHz = describeFormat(outputFormat).rateHz;
    this.#sendsAudio = sendsAudio;
  }

  /** Instant of the last frame handed to the socket, 0 before the first. */
  get lastFrameAtMs(): number {
    return this.#lastFrameAtMs;
  }

  get sentPosition(): number {
    return this.#slot.load(Cell.sentPosition);
  }

  /** Estimated instant at which the client has played everything sent. */
  playEndAtMs(atMs: number): number {
    return this.#lastFrameAtMs === 0 ? atMs : atMs + msUntil(this.#slot.load(Cell.playEndAtMs), atMs);
  }

  /** Sends one event, or keeps it while the quiet after the metadata lasts. Frames that waited for it follow. */
  control(event: ServerEvent): void {
    if (event.type === 'flush_audio' && !this.#sendsAudio) return;
    if (this.#isQuiet) {
      this.#outbox.push(event);
      return;
    }
    this.#sendControl(event);
    if (event.type === 'metadata') this.#beQuiet();
    else this.drain();
  }

  /** One of conversation's that the client does not want to be told of. */
  skip(): void {
    this.#controlSeen += 1;
    this.drain();
  }

  /** An event that main makes itself (a fault of the client's): it is not one of conversation's, so frames do not count it. */
  notice(event: ServerEvent): void {
    if (this.#isQuiet) this.#notices.push(event);
    else this.#sendEvent(event);
  }

  #sendControl(event: ServerEvent): void {
    // The silent chunk behind an interruption is part of it and was not counted by conversation.
    if (event.type !== 'flush_audio') this.#controlSeen += 1;
    this.#sendEvent(event);
  }

  #sendEvent(event: ServerEvent): void {
    if (!this.#connection.sendText(encodeServerEvent(event))) this.#isEventLost = true;
  }

  #beQuiet(): void {
    this.#isQuiet = true;
    this.#quietUntilMs = this.#now() + outputLimits.quietMs;
  }

  /** When the quiet ends, if it lasts. */
  get quietUntilMs(): number | undefined {
    return this.#isQuiet ? this.#quietUntilMs : undefined;
  }

  endQuiet(): void {
    this.#isQuiet = false;
    for (const event of this.#outbox.splice(0)) this.#sendControl(event);
    for (const event of this.#notices.splice(0)) this.#sendEvent(event);
    this.drain();
  }

  /** Sends every frame that may go now and is due. Called when the bell rings, when a frame is due, and after control events. */
  drain(): void {
    this.#isEarly = false;
    if (this.#isQuiet) return;
    for (let frame = this.#frames.peek(); frame !== undefined; frame = this.#frames.peek()) {
      if (this.#isStale(frame)) {
        this.#frames.advance();
        continue;
      }
      if (frame.isTail === 1) {
        if (this.#isHeld() && this.#mayFollow(frame)) this.#send(frame);
        this.#frames.advance();
        continue;
      }
      if (this.#isHeld()) {
        this.#hasStood = true;
        return;
      }
      if (frame.afterControl > this.#controlSeen || this.#isTooSlow()) return;
      if (frame.scheduledAtMs > this.#now() + timerEarlyMs) {
        this.#isEarly = true;
        this.#earlyEpoch = frame.epoch;
        this.#earlyTake = frame.take;
        this.#events.onEarly(frame.scheduledAtMs);
        return;
      }
      this.#send(frame);
      this.#frames.advance();
    }
  }

  /** The oldest frame waits for its instant, and nothing made it stale since. Plain loads, as in `Call.isRung`. */
  get isEarly(): boolean {
    const { cells } = this.#slot;
    return this.#isEarly && cells[Cell.epoch]! <= this.#earlyEpoch && cells[Cell.take]! <= this.#earlyTake;
  }

  #isStale(frame: FrameView): boolean {
    if (frame.generation !== this.#generation || frame.epoch < this.#slot.load(Cell.epoch)) {
      this.#counters.staleFrames += 1;
      return true;
    }
    if (frame.take < this.#slot.load(Cell.take)) {
      this.#counters.supersededFrames += 1;
      return true;
    }
    return false;
  }

  /** A tail is the end of what the client has: it goes on exactly there, at once, or it is of no use. */
  #mayFollow(tail: FrameView): boolean {
    const isNext = tail.position === this.#slot.load(Cell.sentPosition) && tail.afterControl <= this.#controlSeen;
    return isNext && !this.#isTooSlow();
  }

  /**
   * Says in a cell which HOLD it obeys: from then until its release nothing but a tail is handed over, so what was sent is known to the sample
   * when there is no tail in the ring.
   */
  #isHeld(): boolean {
    const raised = this.#slot.load(Cell.holdsRaised);
    if (raised <= this.#slot.load(Cell.holdsReleased)) return false;
    this.obeyHold();
    return true;
  }

  obeyHold(): void {
    const raised = this.#slot.load(Cell.holdsRaised);
    if (raised <= this.#slot.load(Cell.holdsReleased) || this.#slot.load(Cell.holdSeen) >= raised) return;
    this.#slot.store(Cell.holdSeen, raised);
    this.#counters.heldTimes += 1;
  }

  #isTooSlow(): boolean {
    if (this.#connection.bufferedBytes() <= outputLimits.slowBytes) {
      this.#slowSinceMs = 0;
      return false;
    }
    if (this.#slowSinceMs === 0) this.#slowSinceMs = this.#now();
    return true;
  }

  /** The client has not been taking what it is sent for too long, or so slowly that an event was lost. */
  isGivenUp(atMs: number): boolean {
    if (this.#isEventLost) return true;
    return this.#isTooSlow() && atMs - this.#slowSinceMs > outputLimits.slowMaxMs;
  }

  #send(frame: FrameView): void {
    if (this.#sendsAudio) {
      const alignment = frame.alignment.length > 0 ? frame.alignment : undefined;
      this.#connection.sendText(audioMessages.write(frame.payload, frame.eventId, alignment, frame.isLast === 1));
    }
    const atMs = this.#now();
    this.#lastFrameAtMs = atMs;
    this.#counters.sentFrames += 1;
    // What a HOLD delayed was not late.
    if (!this.#hasStood)
      this.#recorder.record('pacing_jitter', Math.abs(atMs - Math.max(frame.scheduledAtMs, this.#quietUntilMs)));
    this.#hasStood = false;
    const wayMs = this.#slot.load(Cell.oneWayMs) + outputLimits.clientBufferMs;
    const leftMs = Math.max(wayMs, msUntil(this.#slot.load(Cell.playEndAtMs), atMs));
    const isFirst = this.#lastSpeech !== frame.speech;
    const durationMs = (frame.sampleCount * 1000) / this.#rateHz;
    this.#slot.store(Cell.playEndAtMs, cellMs(atMs + (isFirst ? wayMs : leftMs) + durationMs));
    this.#slot.store(Cell.sentPosition, frame.position + frame.sampleCount);
    if (isFirst) {
      this.#lastSpeech = frame.speech;
      this.#events.onFirstFrame(frame.speech, atMs);
    }
  }
}
