/** The audio of one open turn: one stretch of the input clock, growing at its end, shortened at its start. STT thread. */
import { SampleQueue } from '../audio/sample-queue.js';
import type { Samples } from '../shared/units.js';

export class TurnAudio {
  /** Input clock: the first sample that is kept, and one past the last. Equal when empty. */
  firstSample = 0 as Samples;
  endSample = 0 as Samples;
  readonly #samplesMax: number;
  readonly #queue = new SampleQueue();
  #started = false;

  constructor(samplesMax: number) {
    this.#samplesMax = samplesMax;
  }

  get length(): number {
    return this.endSample - this.firstSample;
  }

  /** How many samples too many there would be after `append` of a chunk that ends before `endSample`. */
  excess(endSample: number): number {
    return this.#started ? Math.max(0, endSample - this.firstSample - this.#samplesMax) : 0;
  }

  /**
   * Copies `chunk` to the end. What was there already is skipped (a replay), a hole is filled with silence. Returns how many new samples of
   * the input clock that is. The caller makes room first; of what is still too long the newest `samplesMax` are kept.
   */
  append(chunk: Int16Array, firstSample: Samples): number {
    if (!this.#started) {
      this.firstSample = this.endSample = firstSample;
      this.#started = true;
    }
    const chunkEnd = firstSample + chunk.length;
    const added = chunkEnd - this.endSample;
    if (added <= 0) return 0;
    const excess = this.excess(chunkEnd);
    if (excess > 0) this.dropBefore((this.firstSample + excess) as Samples);
    const from = Math.max(firstSample, this.endSample);
    this.#queue.appendSilence(from - this.endSample);
    this.#queue.append(chunk.subarray(from - firstSample));
    this.endSample = chunkEnd as Samples;
    return added;
  }

  /** Forgets what is before `sample`; the clock may be moved past the end. */
  dropBefore(sample: Samples): void {
    if (sample <= this.firstSample) return;
    if (sample < this.endSample) {
      this.#queue.forgetBefore(this.#queue.end - (this.endSample - sample));
    } else {
      this.#queue.clear();
      this.endSample = sample;
    }
    this.firstSample = sample;
  }

  /** A copy of what is kept before `endSample`; `allocate` gives the memory for it. */
  copyUntil(
    endSample: Samples,
    allocate = (count: number): Int16Array<ArrayBuffer> => new Int16Array(count),
  ): Int16Array<ArrayBuffer> {
    const copy = allocate(Math.max(0, Math.min(endSample, this.endSample) - this.firstSample));
    this.#queue.copy(this.#queue.end - this.length, copy);
    return copy;
  }

  /** The turn is over: its memory is used for another. */
  clear(): void {
    this.#queue.clear();
    this.firstSample = this.endSample;
  }
}
