/** Which stretches of a lane can be heard: windows of 5 ms whose level is at least -50 dBFS. Pure. */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';

export const samplesPerMs = inputRateHz / 1000;
/** Half open, in samples. */
export type Span = { readonly from: number; readonly to: number };

export const windowSamples = samplesIn(ms(5), inputRateHz);
export const audibleLevel = 32768 * 10 ** (-50 / 20);

/** One flag for each window of a lane. A rest shorter than a window belongs to none. */
export class Audible {
  readonly #flags: Uint8Array;
  /** How many windows before each are audible. */
  readonly #counts: Uint32Array;
  readonly #samples: Int16Array;

  constructor(samples: Int16Array) {
    this.#samples = samples;
    const count = Math.floor(samples.length / windowSamples);
    this.#flags = new Uint8Array(count);
    this.#counts = new Uint32Array(count + 1);
    const bound = audibleLevel ** 2 * windowSamples;
    for (let window = 0; window < count; window++) {
      let energy = 0;
      for (let i = window * windowSamples; i < (window + 1) * windowSamples; i++) energy += samples[i]! ** 2;
      this.#flags[window] = energy >= bound ? 1 : 0;
      this.#counts[window + 1] = this.#counts[window]! + this.#flags[window]!;
    }
  }

  /** Windows of the lane. */
  get windowCount(): number {
    return this.#flags.length;
  }

  isWindow(window: number): boolean {
    return this.#flags[window] === 1;
  }

  /** Audible time in [from, to), whole windows. */
  msIn(from: number, to: number): number {
    const first = this.#window(from);
    const last = this.#window(to);
    return last <= first ? 0 : ((this.#counts[last]! - this.#counts[first]!) * windowSamples) / samplesPerMs;
  }

  /** Where both lanes are audible in [from, to), in ms. */
  msWith(other: Audible, from: number, to: number): number {
    const last = Math.min(this.#window(to), other.windowCount);
    let count = 0;
    for (let window = this.#window(from); window < last; window++)
      if (this.isWindow(window) && other.isWindow(window)) count += 1;
    return (count * windowSamples) / samplesPerMs;
  }

  /** The first audible sample in [from, to). */
  firstIn(from: number, to: number): number | undefined {
    const last = Math.min(this.windowCount, Math.ceil(to / windowSamples));
    for (let window = Math.max(0, Math.floor(from / windowSamples)); window < last; window++) {
      if (!this.isWindow(window)) continue;
      const begin = Math.max(from, window * windowSamples);
      const end = Math.min(to, (window + 1) * windowSamples);
      for (let i = begin; i < end; i++) if (Math.abs(this.#samples[i]!) >= audibleLevel) return i;
    }
    return undefined;
  }

  /** The last audible sample in [from, to). */
  lastIn(from: number, to: number): number | undefined {
    const first = Math.max(0, Math.floor(from / windowSamples));
    for (let window = Math.min(this.windowCount, Math.ceil(to / windowSamples)) - 1; window >= first; window--) {
      if (!this.isWindow(window)) continue;
      const begin = Math.max(from, window * windowSamples);
      const end = Math.min(to, (window + 1) * windowSamples);
      for (let i = end - 1; i >= begin; i--) if (Math.abs(this.#samples[i]!) >= audibleLevel) return i;
    }
    return undefined;
  }

  #window(sample: number): number {
    return Math.min(this.windowCount, Math.max(0, Math.round(sample / windowSamples)));
  }
}
