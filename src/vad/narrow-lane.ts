/**
 * The last second of a signal as echoes are looked for: 8 kHz, with the slope of speech taken out (a first difference), so that every part of the
 * band counts alike. Filled on demand from a ring and kept, so that each sample is converted once; it may be lent to another session
 * and filled again from the rings. VAD thread.
 *
 * The filter is short (16 zero crossings, about 45 dB): what it lets through weakens a likeness a little and costs a fifth of what `Resampler` does.
 */
import { strict as assert } from 'node:assert';

export const narrowRateHz = 8000;
/** Of the longest lane. A power of two. */
export const laneSamples = 8192;
/** Half the filter's length in narrow samples. */
const halfWidth = 8;
const cutoff = 0.46;
/** Share of the sample before that is taken off. */
const slope = 0.9;

/** Copies `count` of the source's samples from `position` on; what is not there reads as silence. */
export type Source = (position: number, into: Int16Array, count: number) => void;

/** One row of taps a phase, as in `Resampler`. `half`: taps before an output's instant. */
type Filter = { readonly phases: number; readonly step: number; readonly half: number; readonly rows: Float32Array };
const filters = new Map<number, Filter>();

/** Shared by all lanes of the thread: a lane's length at 48 kHz, and the filter's. */
let scratch = new Int16Array(0);

export class NarrowLane {
  /** A ring: as long as what is asked for, a power of two. */
  readonly #samples: Float32Array;
  #filter: Filter = filterFor(narrowRateHz);
  #source: Source = (_position, into, count) => into.fill(0, 0, count);
  #to = 0;
  /** The last sample before the slope was taken out. */
  #last = 0;

  /** `reach`: samples before the newest that are asked for, a power of two, `laneSamples` at most. */
  constructor(reach: number) {
    assert(Number.isInteger(Math.log2(reach)) && reach <= laneSamples, 'a power of two, and no more than work is done on');
    this.#samples = new Float32Array(reach);
  }

  /** Forgets everything and takes this source. `rateHz`: its rate, from 8 to 48 kHz. */
  listenTo(rateHz: number, source: Source): void {
    this.#filter = filterFor(rateHz);
    this.#source = source;
    this.#samples.fill(0);
    this.#to = 0;
    this.#last = 0;
  }

  /** One past the newest sample. */
  get to(): number {
    return this.#to;
  }

  /** Takes in what the source has before `sourceEnd`, a position that can go back: what was taken in stays. */
  extend(sourceEnd: number): void {
    const { phases, step, half } = this.#filter;
    const to = Math.floor(((sourceEnd - half) * phases) / step);
    if (to <= this.#to) return;
    const reach = this.#samples.length;
    if (to - this.#to > reach) {
      // One sample more, which the newest takes the place of: the slope of the first needs the one before.
      this.#to = to - reach - 1;
      this.#last = 0;
    }
    this.#fill(to);
  }

  /** Copies `count` samples from `from` on; what is not there any more or not there yet is 0. */
  copy(from: number, into: Float64Array, count: number): void {
    const samples = this.#samples;
    const mask = samples.length - 1;
    const first = Math.min(count, Math.max(0, this.#to - samples.length - from));
    const end = Math.max(first, Math.min(count, this.#to - from));
    into.fill(0, 0, first);
    for (let index = first; index < end; index += 1) into[index] = samples[(from + index) & mask]!;
    into.fill(0, end, count);
  }

  #fill(to: number): void {
    const { phases, step, half, rows } = this.#filter;
    const taps = 2 * half;
    const before = Math.max(0, half - 1);
    const origin = Math.floor((this.#to * step) / phases) - before;
    const needed = Math.floor(((to - 1) * step) / phases) + half + 1 - origin;
    if (scratch.length < needed) scratch = new Int16Array(needed);
    const input = scratch;
    this.#source(origin, input, needed);
    const samples = this.#samples;
    const mask = samples.length - 1;
    let last = this.#last;
    for (let index = this.#to; index < to; index += 1) {
      const at = Math.floor((index * step) / phases);
      const row = (index * step - at * phases) * taps;
      const start = at - before - origin;
      let sum = 0;
      if (half === 0) sum = input[start]!;
      else for (let tap = 0; tap < taps; tap += 1) sum += rows[row + tap]! * input[start + tap]!;
      samples[index & mask] = sum - slope * last;
      last = sum;
    }
    this.#last = last;
    this.#to = to;
  }
}

function filterFor(rateHz: number): Filter {
  const known = filters.get(rateHz);
  if (known !== undefined) return known;
  const divisor = greatestCommonDivisor(rateHz, narrowRateHz);
  const filter = designFilter(narrowRateHz / divisor, rateHz / divisor);
  filters.set(rateHz, filter);
  return filter;
}

function designFilter(phases: number, step: number): Filter {
  if (phases === 1 && step === 1) return { phases, step, half: 0, rows: new Float32Array(0) };
  const stretch = step / phases;
  const half = Math.ceil(halfWidth * stretch);
  const rows = new Float32Array(phases * 2 * half);
  for (let phase = 0; phase < phases; phase += 1) {
    const row = rows.subarray(phase * 2 * half, (phase + 1) * 2 * half);
    let sum = 0;
    for (let tap = 0; tap < row.length; tap += 1) {
      const distance = (phase / phases - (tap - half + 1)) / stretch;
      row[tap] = sinc(2 * cutoff * distance) * hann(distance / halfWidth);
      sum += row[tap]!;
    }
    for (let tap = 0; tap < row.length; tap += 1) row[tap] = row[tap]! / sum;
  }
  return { phases, step, half, rows };
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const hann = (x: number): number => (Math.abs(x) >= 1 ? 0 : 0.5 + 0.5 * Math.cos(Math.PI * x));

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
