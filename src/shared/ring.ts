/**
 * The input ring: 16 kHz mono samples from main (the one writer) to any number of readers, each with a cursor of its own.
 * Lock-free; the writer never waits.
 *
 * Overrun (a reader is too slow): the reader jumps to the newest second, and the samples it missed are counted and reported as a gap.
 * Underrun (a reader is too fast): it gets fewer samples than it asked for, at the least none.
 * Positions are counts of samples since the session began; they fit an Int32 for 37 hours.
 */
import { Cell, type CellIndex, inputRingSamples, type Slot } from './slots.js';
import { inputRateHz, type Samples } from './units.js';

/** Readers keep this distance from the writer, so that a copy in progress is not overwritten under them as a rule. */
const guardSamples = 4096;
/** The writer publishes pieces of at most this many samples: half the guard, so that no piece reaches a guarded reader. */
const pieceSamples = 2048;

export class InputWriter {
  readonly #slot: Slot;
  #written: number;

  constructor(slot: Slot) {
    this.#slot = slot;
    this.#written = slot.load(Cell.inputWritten);
  }

  get written(): Samples {
    return this.#written as Samples;
  }

  /** Copies `chunk` of any length and publishes it in pieces. The samples are stored first, the count after them. */
  write(chunk: Int16Array): void {
    const { input } = this.#slot;
    for (let offset = 0; offset < chunk.length; offset += pieceSamples) {
      const count = Math.min(pieceSamples, chunk.length - offset);
      const start = this.#written % inputRingSamples;
      const head = Math.min(count, inputRingSamples - start);
      input.set(head === chunk.length ? chunk : chunk.subarray(offset, offset + head), start);
      if (head < count) input.set(chunk.subarray(offset + head, offset + count), 0);
      this.#publish(count);
    }
  }

  /** Writes `count` samples of digital silence. */
  writeSilence(count: number): void {
    const { input } = this.#slot;
    for (let left = count; left > 0; left -= pieceSamples) {
      const piece = Math.min(pieceSamples, left);
      const start = this.#written % inputRingSamples;
      const head = Math.min(piece, inputRingSamples - start);
      input.fill(0, start, start + head);
      if (head < piece) input.fill(0, 0, piece - head);
      this.#publish(piece);
    }
  }

  #publish(count: number): void {
    this.#written += count;
    this.#slot.store(Cell.inputWritten, this.#written);
  }
}

export class InputReader {
  readonly #slot: Slot;
  readonly #cursorCell: CellIndex;
  #position: number;
  #overrunSamples = 0;

  /** `cursorCell` is the cell in which this reader publishes how far it is; it is its one writer. Starts at the writer's position. */
  constructor(slot: Slot, cursorCell: CellIndex) {
    this.#slot = slot;
    this.#cursorCell = cursorCell;
    this.#position = slot.load(cursorCell);
  }

  /** Position of the next sample to be read. */
  get position(): Samples {
    return this.#position as Samples;
  }

  /** Samples this reader has ever missed. */
  get overrunSamples(): number {
    return this.#overrunSamples;
  }

  available(): number {
    return this.#slot.load(Cell.inputWritten) - this.#position;
  }

  /**
   * Reads exactly `into.length` samples, or none. Returns the number of samples that were skipped just before them because this
   * reader was overrun (0 as a rule), or -1 when not enough are there. Does not publish the cursor: see `publish`.
   */
  read(into: Int16Array): number {
    let skipped = this.#skipIfOverrun();
    for (;;) {
      if (this.available() < into.length) {
        return -1;
      }
      if (copyOut(this.#slot, this.#position, into)) {
        this.#position += into.length;
        return skipped;
      }
      skipped += this.#skipIfOverrun();
    }
  }

  /** Says that everything up to here has been dealt with. Call it after the effects of the samples (events) are posted. */
  publish(): void {
    this.#slot.store(this.#cursorCell, this.#position);
  }

  /** Moves on without reading, at most to the writer's position. */
  skipTo(position: number): void {
    this.#position = Math.max(this.#position, Math.min(position, this.#slot.load(Cell.inputWritten)));
  }

  #skipIfOverrun(): number {
    const written = this.#slot.load(Cell.inputWritten);
    if (written - this.#position <= inputRingSamples - guardSamples) return 0;
    const target = written - inputRateHz;
    const skipped = target - this.#position;
    this.#position = target;
    this.#overrunSamples += skipped;
    return skipped;
  }
}

/**
 * Copies `into.length` samples from `position` without moving any cursor. False when they are not (or no longer) all there:
 * the writer's count is compared again after the copy, so a true answer means that nothing was overwritten meanwhile.
 */
export function copyOut(slot: Slot, position: number, into: Int16Array): boolean {
  const written = slot.load(Cell.inputWritten);
  if (position < 0 || position + into.length > written || written - position > inputRingSamples) return false;
  const start = position % inputRingSamples;
  const head = Math.min(into.length, inputRingSamples - start);
  into.set(slot.input.subarray(start, start + head));
  if (head < into.length) into.set(slot.input.subarray(0, into.length - head), head);
  // The writer fills the samples before it publishes the count: a chunk of up to a guard's length may already be half written.
  return slot.load(Cell.inputWritten) + guardSamples - position <= inputRingSamples;
}
