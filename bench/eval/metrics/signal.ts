/** The heard lane as numbers that are asked for again and again: energies, and how well it agrees with a reply at a place. Pure. */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import { windowSamples } from './audible.js';
import { prefixSquares, type Template } from './template.js';

/** Root mean square of a window below which neither lane nor reply say anything: -60 dBFS. */
const quietLevel = 32768 * 10 ** (-60 / 20);
/** The same as the energy of a window. */
export const quietEnergy = quietLevel ** 2 * windowSamples;
/** What goes on along the reply has at least this correlation in each window of 5 ms. */
const followCorrelation = 0.85;
const silenceWindows = samplesIn(ms(10), inputRateHz) / windowSamples;

export class Signal {
  readonly samples: Float32Array;
  readonly #squares: Float64Array;

  constructor(samples: Int16Array) {
    this.samples = Float32Array.from(samples);
    this.#squares = prefixSquares(this.samples);
  }

  get length(): number {
    return this.samples.length;
  }

  /** Of samples [from, to), which lie in the lane. */
  energy(from: number, to: number): number {
    return this.#squares[to]! - this.#squares[from]!;
  }

  isQuiet(at: number): boolean {
    return this.energy(at, at + windowSamples) < quietEnergy;
  }

  /** How much can be heard from `at` on before at least 10 ms of nothing; at most `countMax`. */
  soundingFrom(at: number, countMax: number): number {
    const length = Math.min(countMax, this.length - at);
    let silent = 0;
    for (let i = 0; i + windowSamples <= length; i += windowSamples) {
      silent = this.isQuiet(at + i) ? silent + 1 : 0;
      if (silent === silenceWindows) return i - (silenceWindows - 1) * windowSamples;
    }
    return length;
  }

  /** Normalised, of `count` samples from `at` on and those of the reply from `source` on; where the reply has none it is silent. */
  correlation(at: number, { samples, squares }: Template, source: number, count: number): number {
    const shift = source - at;
    const from = Math.max(at, -shift);
    const to = Math.min(at + count, this.length, samples.length - shift);
    if (to <= from) return 0;
    const lane = this.samples;
    let dot = 0;
    for (let i = from; i < to; i++) dot += lane[i]! * samples[i + shift]!;
    const energy = this.energy(at, Math.min(this.length, at + count));
    const sourceEnergy = squares[to + shift]! - squares[from + shift]!;
    return energy <= 0 || sourceEnergy <= 0 ? 0 : dot / Math.sqrt(energy * sourceEnergy);
  }

  /** Whether the 5 ms from `at` on are those of the reply from `source` on. */
  verdict(at: number, template: Template, source: number): 'follows' | 'parts' | 'silent' {
    const energy = this.energy(at, at + windowSamples);
    const { samples, squares } = template;
    const from = Math.min(samples.length, Math.max(0, source));
    const to = Math.min(samples.length, Math.max(0, source + windowSamples));
    const sourceEnergy = squares[to]! - squares[from]!;
    if (energy < quietEnergy && sourceEnergy < quietEnergy) return 'silent';
    // A faint window that lies beside silence says little: it may be the codec's.
    if (energy < quietEnergy / 4 || sourceEnergy < quietEnergy / 4)
      return Math.max(energy, sourceEnergy) < 4 * quietEnergy ? 'silent' : 'parts';
    return this.correlation(at, template, source, windowSamples) >= followCorrelation ? 'follows' : 'parts';
  }
}
