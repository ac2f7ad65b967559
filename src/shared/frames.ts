/**
 * The output ring: stamped frames of encoded agent audio from the TTS thread (the one writer) to main (the one reader).
 * Full: `push` answers false, the writer waits and stops reading its provider; nothing is dropped.
 * Stale: the reader compares the stamps with the cells (`main` does it, after it has seen the frame) and skips; skipped frames are counted.
 */
import { strict as assert } from 'node:assert';
import { Cell, frameAlignmentBytes, frameHeaderBytes, framePayloadBytes, outputRingFrames, type Slot } from './slots.js';

/** What is written on a frame. Positions are output samples on the session's timeline. */
export type FrameStamp = {
  readonly generation: number;
  readonly epoch: number;
  readonly take: number;
  /** `event_id` of the reply on the wire. */
  readonly eventId: number;
  /** Which speech of the session; main reports the first frame sent of each. */
  readonly speech: number;
  /** Main sends the frame only after it has sent this many control messages of the session: the order of the wire. */
  readonly afterControl: number;
  readonly position: number;
  readonly sampleCount: number;
  /** 1 on the last frame of a reply. */
  readonly isLast: 0 | 1;
  /** 1 on a short frame that fades out: it is for a HOLD, during which main sends it if it goes on where it stopped, and never otherwise. */
  readonly isTail: 0 | 1;
  /** Instant at which the pacer wants it sent, monotonic ms: a little ahead, or past when it was late itself. */
  readonly scheduledAtMs: number;
};

/** A frame as the reader sees it, valid until `advance`. The arrays are views of the ring, made when they are asked for: most looks only read the stamp. */
export type FrameView = FrameStamp & { readonly payload: Uint8Array; readonly alignment: Uint8Array };

const Field = {
  generation: 0,
  epoch: 1,
  take: 2,
  eventId: 3,
  speech: 4,
  afterControl: 5,
  position: 6,
  sampleCount: 7,
  isLast: 8,
  payloadBytes: 9,
  alignmentBytes: 10,
  isTail: 11,
  /** Where the payload is: its distance from the first one, in bytes. */
  payloadAt: 14,
} as const;
/** Float64 index inside the header: byte 48. */
const scheduledIndex = 6;

type Place = { readonly ints: Int32Array; readonly floats: Float64Array; readonly alignment: Uint8Array };

/** Headers and alignments of all frames come first, payloads behind them. */
const placeBytes = frameHeaderBytes + frameAlignmentBytes;
const payloadsOffset = outputRingFrames * placeBytes;

function placesOf(slot: Slot): Place[] {
  return Array.from({ length: outputRingFrames }, (_, index) => {
    const start = slot.outputByteOffset + index * placeBytes;
    return {
      ints: new Int32Array(slot.buffer, start, frameHeaderBytes / 4),
      floats: new Float64Array(slot.buffer, start, frameHeaderBytes / 8),
      alignment: new Uint8Array(slot.buffer, start + frameHeaderBytes, frameAlignmentBytes),
    };
  });
}

const noBytes = new Uint8Array(0);

export class FrameWriter {
  readonly #slot: Slot;
  readonly #places: Place[];
  readonly #payloads: Uint8Array;
  readonly #payloadBytesMax: number;
  #written: number;

  /** `payloadBytesMax`: of a frame of this session, `framePayloadBytes` at most. Frames lie that close, so that few pages are touched. */
  constructor(slot: Slot, payloadBytesMax: number = framePayloadBytes) {
    assert(payloadBytesMax <= framePayloadBytes, 'a ring of frames fits the slot');
    this.#slot = slot;
    this.#places = placesOf(slot);
    this.#payloadBytesMax = payloadBytesMax;
    this.#payloads = new Uint8Array(slot.buffer, slot.outputByteOffset + payloadsOffset, outputRingFrames * payloadBytesMax);
    this.#written = slot.load(Cell.outputWritten);
  }

  /** Frames that can be pushed now. */
  room(): number {
    return outputRingFrames - (this.#written - this.#slot.load(Cell.outputRead));
  }

  /** The reader has dealt with every frame. */
  get isAllRead(): boolean {
    return this.#written === this.#slot.load(Cell.outputRead);
  }

  /** Copies the frame in and publishes it last. False when the ring is full. Alignment longer than its place is left out. */
  push(stamp: FrameStamp, payload: Uint8Array, alignment: Uint8Array = noBytes): boolean {
    assert(payload.length <= this.#payloadBytesMax, 'a frame fits its place');
    if (this.room() <= 0) return false;
    const index = this.#written & (outputRingFrames - 1);
    const place = this.#places[index]!;
    const payloadAt = index * this.#payloadBytesMax;
    const alignmentBytes = alignment.length <= frameAlignmentBytes ? alignment.length : 0;
    const { ints } = place;
    ints[Field.generation] = stamp.generation;
    ints[Field.epoch] = stamp.epoch;
    ints[Field.take] = stamp.take;
    ints[Field.eventId] = stamp.eventId;
    ints[Field.speech] = stamp.speech;
    ints[Field.afterControl] = stamp.afterControl;
    ints[Field.position] = stamp.position;
    ints[Field.sampleCount] = stamp.sampleCount;
    ints[Field.isLast] = stamp.isLast;
    ints[Field.isTail] = stamp.isTail;
    ints[Field.payloadBytes] = payload.length;
    ints[Field.alignmentBytes] = alignmentBytes;
    place.floats[scheduledIndex] = stamp.scheduledAtMs;
    ints[Field.payloadAt] = payloadAt;
    this.#payloads.set(payload, payloadAt);
    if (alignmentBytes > 0) place.alignment.set(alignment);
    this.#written += 1;
    this.#slot.store(Cell.outputWritten, this.#written);
    return true;
  }
}

class PeekedFrame implements FrameView {
  generation = 0;
  epoch = 0;
  take = 0;
  eventId = 0;
  speech = 0;
  afterControl = 0;
  position = 0;
  sampleCount = 0;
  isLast: 0 | 1 = 0;
  isTail: 0 | 1 = 0;
  scheduledAtMs = 0;
  readonly #slot: Slot;
  readonly #payloadsStart: number;
  #place: Place;

  constructor(slot: Slot, place: Place) {
    this.#slot = slot;
    this.#place = place;
    this.#payloadsStart = slot.outputByteOffset + payloadsOffset;
  }

  get payload(): Uint8Array {
    const { ints } = this.#place;
    return new Uint8Array(this.#slot.buffer, this.#payloadsStart + ints[Field.payloadAt]!, ints[Field.payloadBytes]);
  }

  get alignment(): Uint8Array {
    const { ints, alignment } = this.#place;
    return alignment.subarray(0, ints[Field.alignmentBytes]);
  }

  read(place: Place): void {
    const { ints } = place;
    this.#place = place;
    this.generation = ints[Field.generation]!;
    this.epoch = ints[Field.epoch]!;
    this.take = ints[Field.take]!;
    this.eventId = ints[Field.eventId]!;
    this.speech = ints[Field.speech]!;
    this.afterControl = ints[Field.afterControl]!;
    this.position = ints[Field.position]!;
    this.sampleCount = ints[Field.sampleCount]!;
    this.isLast = ints[Field.isLast] === 1 ? 1 : 0;
    this.isTail = ints[Field.isTail] === 1 ? 1 : 0;
    this.scheduledAtMs = place.floats[scheduledIndex]!;
  }
}

export class FrameReader {
  readonly #slot: Slot;
  readonly #places: Place[];
  /** Used again for every frame. */
  readonly #frame: PeekedFrame;
  #read: number;

  constructor(slot: Slot) {
    this.#slot = slot;
    this.#places = placesOf(slot);
    this.#frame = new PeekedFrame(slot, this.#places[0]!);
    this.#read = slot.load(Cell.outputRead);
  }

  /** The oldest frame, or undefined. It stays in the ring until `advance`. */
  peek(): FrameView | undefined {
    if (this.#slot.load(Cell.outputWritten) === this.#read) return undefined;
    this.#frame.read(this.#places[this.#read & (outputRingFrames - 1)]!);
    return this.#frame;
  }

  /** Gives the place of the peeked frame back to the writer. */
  advance(): void {
    this.#read += 1;
    this.#slot.store(Cell.outputRead, this.#read);
  }
}
