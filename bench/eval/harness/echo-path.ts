/**
 * The way from the caller's loudspeaker back into their microphone: echo(t) = g · (heard * h)(t − d), with h a decaying random response of 64 taps
 * and unit energy. Pure.
 */
import { normalOf, randomOf } from '../../../load/providers/seeded.js';

const tapCount = 64;
/** The response falls by 60 dB over its length. */
const decayDb = 60;
const samplesPerMs = 16;

/** `limit_dbfs`: what the loudspeaker cannot exceed; nearer to it and beyond it distorts. */
export type EchoSetting = { readonly db: number; readonly delay_ms: number; readonly limit_dbfs?: number | undefined };

export class EchoPath {
  readonly #taps: Float64Array;
  readonly #delaySamples: number;
  readonly #limit: number;

  /** `db`: level of the echo under what is heard. */
  constructor(setting: EchoSetting, seed: number) {
    this.#taps = responseOf(10 ** (setting.db / 20), seed);
    this.#delaySamples = Math.round(setting.delay_ms * samplesPerMs);
    this.#limit = 32768 * 10 ** ((setting.limit_dbfs ?? Number.POSITIVE_INFINITY) / 20);
  }

  /** Adds to `out`, whose first sample is `from` of the clock, the echo of `heard` (which begins at 0 and reaches at least to where `out` ends). */
  addTo(out: Float64Array, from: number, heard: Int16Array): void {
    const taps = this.#taps;
    const first = from - this.#delaySamples - tapCount + 1;
    const loud = Float64Array.from({ length: out.length + tapCount - 1 }, (_, index) => this.#limited(heard[first + index] ?? 0));
    for (let index = 0; index < out.length; index += 1) {
      let sum = 0;
      for (let tap = 0; tap < tapCount; tap += 1) sum += taps[tap]! * loud[index + tapCount - 1 - tap]!;
      out[index]! += sum;
    }
  }

  #limited(sample: number): number {
    return this.#limit === Number.POSITIVE_INFINITY ? sample : this.#limit * Math.tanh(sample / this.#limit);
  }
}

function responseOf(gain: number, seed: number): Float64Array {
  const random = randomOf(seed, 'echo');
  const taps = Float64Array.from({ length: tapCount }, (_, tap) => normalOf(random) * 10 ** ((-decayDb * tap) / tapCount / 20));
  const energy = taps.reduce((sum, tap) => sum + tap * tap, 0);
  return taps.map((tap) => (gain * tap) / Math.sqrt(energy));
}
