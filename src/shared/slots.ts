/**
 * The shared memory taken at start: one block with a slot a session, all of the same size, and a board of cells for each lane of threads.
 * A slot is a header of Int32 cells, an input ring, an output ring and a reference ring. The operating system commits a page when it is first touched,
 * so idle slots cost nothing. Used by every thread; each gets only the halves it needs (`ring.ts`, `frames.ts`,
 * `reference.ts`).
 */
import { strict as assert } from 'node:assert';

/**
 * Cells of one session slot. Each has one writer; a writer's cells share a cache line of their own, so that two threads never write the
 * same line. Readers compare, nobody clears while the slot is in use; `claim` zeroes a slot before it is given out.
 *
 * main writes
 *   generation     grows when the slot is given out; 0 = never used. Data carries the generation it was written for.
 *   inputWritten   samples ever written to the input ring (16 kHz). The input clock.
 *   inputAtMs      when it last wrote there (as playEndAtMs).
 *   outputRead     frames ever taken from the output ring.
 *   sentPosition   one past the last output sample handed to the socket, on the session's output timeline.
 *   playEndAtMs    estimated instant at which everything sent will have been played at the client (whole ms, wraps with Int32).
 *   holdSeen       the highest `holdsRaised` that main has obeyed: from then until release it sends no frame but one tail.
 * vad writes
 *   holdsRaised    plus one at each HOLD. Held while holdsRaised > holdsReleased.
 *   vadRead        samples judged so far. Turn timers run on it: when it says t, every event up to t has been posted.
 * conversation writes
 *   epoch          plus one at each CUT; work of an older epoch is stale.
 *   holdsReleased  catches up with holdsRaised on a verdict: resume or cut.
 *   startHops      hops of gated speech that raise a HOLD while the agent speaks (2, backed off to 4).
 *   oneWayMs       half the smoothed ping round trip.
 *   linkJitterMs   half the spread of the last round trips.
 *   wantsScores    1 when the session's client wants vad_score events.
 * tts writes
 *   take           plus one when a resume re-writes frames; frames of an older take are superseded.
 *   outputWritten  frames ever written to the output ring.
 *   floor          0 no agent audio on the floor, 1 audible and interruptible, 2 audible and protected.
 *   referenceHz    rate of the output timeline and of the reference ring; 0 until there is one.
 * stt writes
 *   sttRead        samples read so far (statistics only).
 * api writes
 *   recordRead     samples recorded so far, when the session is recorded.
 */
export const Cell = {
  generation: 0,
  inputWritten: 1,
  outputRead: 2,
  sentPosition: 3,
  playEndAtMs: 4,
  holdSeen: 5,
  inputAtMs: 6,
  holdsRaised: 16,
  vadRead: 17,
  epoch: 32,
  holdsReleased: 33,
  startHops: 34,
  oneWayMs: 35,
  wantsScores: 36,
  linkJitterMs: 37,
  take: 48,
  outputWritten: 49,
  floor: 50,
  referenceHz: 51,
  sttRead: 64,
  recordRead: 80,
} as const;
export type CellIndex = (typeof Cell)[keyof typeof Cell];

/** Cells of one lane of threads, one cache line each. Bells are rung by storing and notifying; the rest are facts. */
export const Board = {
  /** VAD sleeps on it while it has nothing to judge: plus one when a hop is complete, a call starts or ends, figures are wanted, or it is to stop. */
  vadBell: 0,
  /** 1 while VAD sleeps for want of a hop: whoever completes one takes it to 0 and rings the bell. */
  vadIdle: 8,
  /** 1 while a wake-up message to main is under way, so that many frames cost one message. */
  mainBell: 16,
  /** 1 = every thread should come to its end. Written by main. */
  stop: 32,
  /** 1 while the VAD thread is inside the model, where it must not be terminated. */
  vadInRun: 48,
  /** Heartbeats: grow about ten times a second while the thread's loop turns. */
  vadBeat: 64,
  sttBeat: 80,
  conversationBeat: 96,
  ttsBeat: 112,
} as const;

const boardBytes = 128 * 4;
export const headerCells = 96;
const headerBytes = headerCells * 4;

/** Input ring: 53,248 samples = 3.328 s at 16 kHz: a burst of 2 s, the pre-roll of .5 s before it, the distance that readers keep, and time to read. */
export const inputRingSamples = 53_248;
/** Output ring: frames of at most 40 ms. Eight hold 320 ms, more than the largest lead. A power of two. */
export const outputRingFrames = 8;
/** 40 ms at 48 kHz, 16 bits. */
export const framePayloadBytes = 3840;
/** Alignment of one frame as JSON text; longer ones are left out. */
export const frameAlignmentBytes = 512;
export const frameHeaderBytes = 64;
/**
 * Reference ring: what was framed for the client, before it was encoded, at its output position. A session uses as much of it as 1.36 s
 * at its rate need (`referenceSamples`), at most this.
 */
export const referenceRingSamples = 65536;
export const frameBytes = frameHeaderBytes + framePayloadBytes + frameAlignmentBytes;

const slotBytes = headerBytes + inputRingSamples * 2 + outputRingFrames * frameBytes + referenceRingSamples * 2;

export type SharedBlock = { readonly buffer: SharedArrayBuffer; readonly slotCount: number };

/** Takes the memory for `slotCount` sessions (1 .. 4096). */
export function createBlock(slotCount: number): SharedBlock {
  assert(Number.isInteger(slotCount) && slotCount >= 1 && slotCount <= 4096, 'slotCount is 1..4096');
  return { buffer: new SharedArrayBuffer(slotCount * slotBytes), slotCount };
}

/** The cells of one lane. */
export function createBoard(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(boardBytes));
}

/** One thread's view of one slot. */
export class Slot {
  readonly index: number;
  readonly cells: Int32Array;
  readonly input: Int16Array;
  readonly outputByteOffset: number;
  readonly reference: Int16Array;
  readonly buffer: SharedArrayBuffer;

  constructor(block: SharedBlock, index: number) {
    assert(index >= 0 && index < block.slotCount, 'slot index is inside the block');
    const start = index * slotBytes;
    this.index = index;
    this.buffer = block.buffer;
    this.cells = new Int32Array(block.buffer, start, headerCells);
    this.input = new Int16Array(block.buffer, start + headerBytes, inputRingSamples);
    this.outputByteOffset = start + headerBytes + inputRingSamples * 2;
    this.reference = new Int16Array(block.buffer, this.outputByteOffset + outputRingFrames * frameBytes, referenceRingSamples);
  }

  load(cell: CellIndex): number {
    return Atomics.load(this.cells, cell);
  }

  /** Only the cell's one writer may call it. */
  store(cell: CellIndex, value: number): void {
    Atomics.store(this.cells, cell, value);
  }

  get held(): boolean {
    return Atomics.load(this.cells, Cell.holdsRaised) > Atomics.load(this.cells, Cell.holdsReleased);
  }
}

/**
 * Gives the slot out: zeroes its cells and grows its generation. Main only, and only when every thread has released the slot.
 * Returns the new generation.
 */
export function claim(slot: Slot): number {
  const generation = slot.load(Cell.generation) + 1;
  for (let index = 0; index < headerCells; index++) if (index !== Cell.generation) Atomics.store(slot.cells, index, 0);
  Atomics.store(slot.cells, Cell.startHops, 2);
  Atomics.store(slot.cells, Cell.generation, generation);
  return generation;
}
