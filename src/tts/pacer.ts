/**
 * Frames the speech on the floor into the output ring. One pacer a session, TTS thread.
 *
 * It keeps an absolute schedule: `playEnd` is when the client will have played all that was framed, and the next frame is due when no more
 * than the lead is left. Frames are written a little before they are due, and main sends each at its instant. A late tick writes what is due
 * and catches up without ever exceeding the lead.
 */
import { fadeIn, fadeOut } from '../audio/fade.js';
import { encodeMulaw } from '../audio/mulaw.js';
import { msUntil } from '../shared/clock.js';
import { FrameWriter } from '../shared/frames.js';
import { ReferenceWriter } from '../shared/reference.js';
import { Cell, type Slot } from '../shared/slots.js';
import { type Hz, ms, samplesIn } from '../shared/units.js';
import { Lateness } from './lateness.js';
import { type Pacing, pacing } from './pacing.js';
import type { Speech } from './speech.js';
import type { SpokenTrack } from './spoken.js';
import type { CharSpans } from './timeline.js';

/** What the client hears, and how its alignment is written on the wire. */
export type OutputFormat = {
  readonly rateHz: Hz;
  readonly encoding: 'pcm' | 'ulaw';
  readonly alignmentJson: (spans: CharSpans) => string;
};

export type TtsCounters = { underruns: number; frames: number; rewinds: number; framesWaited: number };

/** A speech that may be heard, and how far it is. */
export type OnFloor = {
  readonly speech: Speech;
  readonly epoch: number;
  readonly eventId: number;
  readonly afterControl: number;
  /** Session position of the speech's sample 0. */
  readonly base: number;
  hasStarted: boolean;
  /** Audio framed so far. */
  framedMs: number;
  /** The frame with the last sample was pushed. */
  isFramed: boolean;
  fadesIn: boolean;
};

const noBytes = new Uint8Array(0);

export class Pacer {
  readonly #slot: Slot;
  readonly #generation: number;
  readonly #format: OutputFormat;
  readonly #counters: TtsCounters;
  readonly #ringMain: () => void;
  /** Follows what becomes of the frames, when the session is recorded. */
  readonly #track: SpokenTrack | undefined;
  readonly #pacing: Pacing;
  readonly #writer: FrameWriter;
  /** The detector finds our own voice in the caller's microphone by it. */
  readonly #reference: ReferenceWriter;
  readonly #samples: Int16Array;
  readonly #bytes: Uint8Array;
  #playEndMs = 0;
  /** When the next frame is to go by the lead of the last one; undefined: when it can. */
  #dueMs: number | undefined;
  #nextPosition = 0;
  #wasHeld = false;
  /** Session position from which on what was framed is one piece and is not superseded; undefined: nothing is. */
  #pieceStart: number | undefined;
  readonly #lateness = new Lateness();
  /** What was given a tail and has not gone on since, and the session position behind the newest tail. */
  #tailOf: OnFloor | undefined;
  #tailEnd = -1;

  constructor(
    slot: Slot,
    generation: number,
    format: OutputFormat,
    counters: TtsCounters,
    ringMain: () => void,
    track: SpokenTrack | undefined,
    chosen: Pacing = pacing,
  ) {
    this.#slot = slot;
    this.#generation = generation;
    this.#format = format;
    this.#counters = counters;
    this.#ringMain = ringMain;
    this.#track = track;
    this.#pacing = chosen;
    this.#reference = new ReferenceWriter(slot, format.rateHz);
    this.#samples = new Int16Array(samplesIn(ms(this.#pacing.frameMs), format.rateHz));
    this.#bytes = new Uint8Array(this.#samples.length * (format.encoding === 'pcm' ? 2 : 1));
    this.#writer = new FrameWriter(slot, this.#bytes.length);
  }

  /** Session position behind everything that was ever framed. */
  get nextPosition(): number {
    return this.#nextPosition;
  }

  /** A tick of the grid that was due at `dueAtMs`. */
  ticked(atMs: number, dueAtMs: number): void {
    this.#lateness.ticked(atMs, dueAtMs);
  }

  /** Nothing that was framed goes on: the next frame begins a schedule of its own. */
  stop(): void {
    this.#playEndMs = 0;
    this.#dueMs = undefined;
    this.#tailOf = undefined;
    this.#pieceStart = undefined;
  }

  /** Whether a HOLD forbids frames. After one the schedule does not reach back into it. */
  isHeld(atMs: number): boolean {
    const isHeld = this.#slot.held;
    if (this.#wasHeld && !isHeld) {
      this.#playEndMs = Math.max(this.#playEndMs, atMs);
      this.#dueMs = undefined;
    }
    this.#wasHeld = isHeld;
    return isHeld;
  }

  /** A resume: frames again from the speech's sample `from` on, for a client that has had nothing to play for `holeMs` (negative: has some left). */
  reframe(floor: OnFloor, from: number, holeMs: number, atMs: number): void {
    this.#track?.superseded(atMs);
    this.#slot.store(Cell.take, this.#slot.load(Cell.take) + 1);
    this.#pieceStart = undefined;
    floor.speech.cursor = from;
    floor.isFramed = false;
    floor.fadesIn = holeMs > 0 || this.#endsInTail;
    this.#tailOf = undefined;
    this.#playEndMs = atMs + Math.max(0, -holeMs);
    this.#dueMs = undefined;
    this.frame(floor, atMs);
  }

  /**
   * A HOLD, under which the client plays what it has and then stops, in the middle of a wave. As soon as main stands still, what it has not sent of
   * the speech is superseded, and it gets a tail to send: a short frame that fades out. Once a HOLD, and only while the client has something to
   * play before it. Not where the speech ends by itself.
   */
  tail(floor: OnFloor, atMs: number): void {
    const isStill = this.#slot.load(Cell.holdSeen) >= this.#slot.load(Cell.holdsRaised);
    if (!isStill || this.#tailOf === floor || this.#endsInTail) return;
    const { speech } = floor;
    const sent = this.#slot.load(Cell.sentPosition) - floor.base;
    const leftMs = this.#playEndMs - ((speech.cursor - sent) * 1000) / this.#format.rateHz - atMs;
    if (sent <= 0 || leftMs <= 0) return;
    const length = samplesIn(ms(this.#pacing.tailMs), this.#format.rateHz);
    const count = speech.audio.copy(sent, this.#samples.subarray(0, length));
    if (length === 0 || count < length || (speech.isComplete && sent + count >= speech.audio.end)) return;
    this.supersede(atMs);
    this.#tailOf = floor;
    speech.cursor = sent;
    floor.isFramed = false;
    this.#playEndMs = atMs + leftMs;
    fadeOut(this.#samples.subarray(0, count), count);
    // With a full ring unsent the client would have nothing left.
    if (this.#push(floor, count, 'tail', atMs)) {
      speech.cursor += count;
      this.#tailEnd = floor.base + speech.cursor;
    }
    this.#ringMain();
  }

  /** The last that the client was sent is a tail. */
  get #endsInTail(): boolean {
    return this.#tailEnd === this.#slot.load(Cell.sentPosition);
  }

  /** Main has not dealt with a tail yet: what was sent is not known before it has. */
  get isTailOnWay(): boolean {
    return this.#tailOf !== undefined && !this.#writer.isAllRead;
  }

  /** A HOLD was released without a resume: the speech goes on behind what was sent, with the tail or without. */
  goOn(floor: OnFloor, atMs: number): void {
    if (this.isTailOnWay) {
      this.#ringMain();
      return;
    }
    if (this.#tailOf === floor) {
      floor.speech.cursor = this.#slot.load(Cell.sentPosition) - floor.base;
      floor.fadesIn = this.#endsInTail || msUntil(this.#slot.load(Cell.playEndAtMs), atMs) <= 0;
      this.#tailOf = undefined;
    }
    this.frame(floor, atMs);
  }

  /** What is framed of the speech on the floor is superseded, a tail too: nobody may hear it any more. */
  supersede(atMs: number): void {
    this.#slot.store(Cell.take, this.#slot.load(Cell.take) + 1);
    this.#track?.superseded(atMs);
    this.#tailOf = undefined;
    this.#pieceStart = undefined;
  }

  /** Pushes every frame that is due, or soon will be. */
  frame(floor: OnFloor, atMs: number): void {
    const { speech } = floor;
    let pushed = false;
    this.#allowForUnsent(floor, atMs);
    while (!floor.isFramed) {
      const leftMs = this.#playEndMs - atMs;
      const untilDueMs = leftMs - (this.#leadMs(floor) - this.#pacing.frameMs);
      if (untilDueMs > this.#pacing.earlyMs) break;
      const count = speech.audio.copy(speech.cursor, this.#samples);
      const isLast = speech.isComplete && speech.cursor + count >= speech.audio.end;
      if (count < this.#samples.length && !isLast && (count === 0 || leftMs > this.#pacing.shortFrameMs)) {
        if (untilDueMs <= 0) this.#dueMs = undefined;
        if (leftMs < 0 && floor.hasStarted && this.#playEndMs > 0) this.#underrun(speech);
        speech.feed();
        break;
      }
      if (isLast && count === 0) {
        floor.isFramed = true;
        break;
      }
      if (!this.#push(floor, count, isLast ? 'last' : 'more', atMs)) {
        this.#counters.framesWaited += 1;
        break;
      }
      pushed = true;
      speech.cursor += count;
      floor.isFramed = isLast;
    }
    if (!pushed) return;
    speech.audio.forgetBefore(speech.cursor - samplesIn(ms(this.#pacing.keptMs), this.#format.rateHz));
    speech.feed();
    this.#ringMain();
  }

  /** While main sends nothing, time passes and what is in the ring does not get less: the client will have all of it to play from now on. */
  #allowForUnsent(floor: OnFloor, atMs: number): void {
    if (this.#pieceStart === undefined) return;
    const sent = Math.max(this.#pieceStart, this.#slot.load(Cell.sentPosition));
    const unsent = floor.base + floor.speech.cursor - sent;
    const leastMs = atMs + (unsent * 1000) / this.#format.rateHz;
    if (unsent <= 0 || leastMs <= this.#playEndMs) return;
    this.#playEndMs = leastMs;
    this.#dueMs = undefined;
  }

  /** Audio to keep ahead: the start's while the speech is young, then as little as link and timers allow. */
  #leadMs(floor: OnFloor): number {
    const isYoung = floor.framedMs < this.#pacing.leadStartMs;
    const unsteadyMs = this.#slot.load(Cell.linkJitterMs) + this.#lateness.marginMs;
    const leadMs = Math.min(this.#pacing.leadMaxMs, this.#pacing.leadMinMs + unsteadyMs);
    return isYoung ? Math.max(this.#pacing.leadStartMs, leadMs) : leadMs;
  }

  /** The synthesiser was too slow: the caller hears a hole. Counted once a hole. While a tool runs there is nothing to hear. */
  #underrun(speech: Speech): void {
    if (!speech.isAwaitingText) this.#counters.underruns += 1;
    this.#playEndMs = 0;
  }

  #push(floor: OnFloor, count: number, kind: 'more' | 'last' | 'tail', atMs: number): boolean {
    const { rateHz, encoding } = this.#format;
    const { speech } = floor;
    const samples = this.#samples.subarray(0, count);
    if (floor.fadesIn) fadeIn(samples, Math.min(count, samplesIn(ms(this.#pacing.fadeInMs), rateHz)));
    const payload =
      encoding === 'ulaw'
        ? encodeMulaw(samples, this.#bytes.subarray(0, count))
        : new Uint8Array(samples.buffer, samples.byteOffset, count * 2);
    const scheduledAtMs = kind === 'tail' ? atMs : this.#scheduledAtMs(floor, atMs);
    const durationMs = (count * 1000) / rateHz;
    const position = floor.base + speech.cursor;
    // Before the frame: what main may send is there to be compared with.
    this.#reference.write(position, samples);
    const isAccepted = this.#writer.push(
      {
        generation: this.#generation,
        epoch: floor.epoch,
        take: this.#slot.load(Cell.take),
        eventId: floor.eventId,
        speech: speech.number,
        afterControl: floor.afterControl,
        position,
        sampleCount: count,
        isLast: kind === 'last' ? 1 : 0,
        isTail: kind === 'tail' ? 1 : 0,
        scheduledAtMs,
      },
      payload,
      this.#alignmentOf(speech, count, kind === 'last'),
    );
    if (!isAccepted) return false;
    this.#track?.framed(floor.epoch, position, samples);
    this.#playEndMs = Math.max(this.#playEndMs, scheduledAtMs) + durationMs;
    this.#nextPosition = Math.max(this.#nextPosition, position + count);
    this.#pieceStart ??= position;
    this.#counters.frames += 1;
    floor.framedMs += durationMs;
    // A lead that has just grown, as at the start, makes nothing due before now but what was.
    const nextMs = Math.max(this.#wantedMs(floor), Math.min(atMs, scheduledAtMs + durationMs));
    this.#dueMs = kind === 'tail' ? undefined : nextMs;
    floor.fadesIn = false;
    if (!floor.hasStarted) {
      floor.hasStarted = true;
      this.#slot.store(Cell.floor, speech.isProtected ? 2 : 1);
    }
    return true;
  }

  /** Before now: the tick came late. */
  #scheduledAtMs(floor: OnFloor, atMs: number): number {
    const earliestMs = Math.max(atMs, this.#wantedMs(floor));
    const dueMs = this.#playEndMs > atMs ? this.#dueMs : undefined;
    return Math.min(earliestMs, dueMs ?? earliestMs);
  }

  /** When no more than the lead is left. */
  #wantedMs(floor: OnFloor): number {
    return this.#playEndMs - (this.#leadMs(floor) - this.#pacing.frameMs);
  }

  /** Empty: nothing begins to sound in the frame, or the synthesiser does not say when. */
  #alignmentOf(speech: Speech, count: number, isLast: boolean): Uint8Array {
    const spans = speech.timeline.charsBetween(speech.cursor, speech.cursor + count, isLast);
    return spans.chars.length === 0 ? noBytes : Buffer.from(this.#format.alignmentJson(spans));
  }
}
