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
  /** Instant at which the pacer wanted it sent, monotonic ms. */
  readonly scheduledAtMs: number;
};

/** A frame as the reader sees it; the arrays are views, valid until `advance`. One object is used again for every frame. */
export type FrameView = {
  -readonly [Key in keyof FrameStamp]: FrameStamp[Key];
} & { payload: Uint8Array; alignment: Uint8Array };

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

export class FrameReader {
  readonly #slot: Slot;
  readonly #places: Place[];
  readonly #payloadsStart: number;
  readonly #view: FrameView;
  #read: number;

  constructor(slot: Slot) {
    this.#slot = slot;
    this.#places = placesOf(slot);
    this.#payloadsStart = slot.outputByteOffset + payloadsOffset;
    this.#read = slot.load(Cell.outputRead);
    this.#view = {
      generation: 0,
      epoch: 0,
      take: 0,
      eventId: 0,
      speech: 0,
      afterControl: 0,
      position: 0,
      sampleCount: 0,
      isLast: 0,
      isTail: 0,
      scheduledAtMs: 0,
      payload: noBytes,
      alignment: noBytes,
    };
  }

  /** The oldest frame, or undefined. It stays in the ring until `advance`. */
  peek(): FrameView | undefined {
    if (this.#slot.load(Cell.outputWritten) === this.#read) return undefined;
    const place = this.#places[this.#read & (outputRingFrames - 1)]!;
    const { ints } = place;
    const view = this.#view;
    view.generation = ints[Field.generation]!;
    view.epoch = ints[Field.epoch]!;
    view.take = ints[Field.take]!;
    view.eventId = ints[Field.eventId]!;
    view.speech = ints[Field.speech]!;
    view.afterControl = ints[Field.afterControl]!;
    view.position = ints[Field.position]!;
    view.sampleCount = ints[Field.sampleCount]!;
    view.isLast = ints[Field.isLast] === 1 ? 1 : 0;
    view.isTail = ints[Field.isTail] === 1 ? 1 : 0;
    view.scheduledAtMs = place.floats[scheduledIndex]!;
    view.payload = new Uint8Array(this.#slot.buffer, this.#payloadsStart + ints[Field.payloadAt]!, ints[Field.payloadBytes]);
    view.alignment = place.alignment.subarray(0, ints[Field.alignmentBytes]);
    return view;
  }

  /** Gives the place of the peeked frame back to the writer. */
  advance(): void {
    this.#read += 1;
    this.#slot.store(Cell.outputRead, this.#read);
  }
}
