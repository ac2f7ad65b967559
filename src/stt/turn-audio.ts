/** The audio of one open turn: one stretch of the input clock, growing at its end, shortened at its start. STT thread. */
import type { Samples } from '../shared/units.js';

export class TurnAudio {
  /** Input clock: the first sample that is kept, and one past the last. Equal when empty. */
  firstSample = 0 as Samples;
  endSample = 0 as Samples;
  readonly #samplesMax: number;
  #buffer: Int16Array;
  #started = false;

  /** `startSamples`: memory taken at once; it doubles as the turn grows, up to `samplesMax`. */
  constructor(samplesMax: number, startSamples: number) {
    this.#samplesMax = samplesMax;
    this.#buffer = new Int16Array(Math.min(startSamples, samplesMax));
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
    this.#reserve(chunkEnd - this.firstSample);
    const from = Math.max(firstSample, this.endSample, this.firstSample);
    this.#buffer.fill(0, this.length, from - this.firstSample);
    this.#buffer.set(chunk.subarray(from - firstSample), from - this.firstSample);
    this.endSample = chunkEnd as Samples;
    return added;
  }

  /** Forgets what is before `sample`; the clock may be moved past the end. */
  dropBefore(sample: Samples): void {
    if (sample <= this.firstSample) return;
    if (sample < this.endSample) this.#buffer.copyWithin(0, sample - this.firstSample, this.length);
    else this.endSample = sample;
    this.firstSample = sample;
  }

  /** A copy of what is kept before `endSample`. */
  copyUntil(endSample: Samples): Int16Array {
    return this.#buffer.slice(0, Math.max(0, Math.min(endSample, this.endSample) - this.firstSample));
  }

  #reserve(samples: number): void {
    if (samples <= this.#buffer.length) return;
    const larger = new Int16Array(Math.min(this.#samplesMax, Math.max(samples, this.#buffer.length * 2)));
    larger.set(this.#buffer.subarray(0, this.length));
    this.#buffer = larger;
  }
}
