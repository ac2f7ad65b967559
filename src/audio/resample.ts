/**
 * Changes the sample rate of 16-bit mono audio: a polyphase windowed-sinc filter, used wherever two rates meet (telephone input, synthesiser
 * output, files). A `Resampler` belongs to one stream and one thread; filters are computed once per pair of rates and thread and then shared.
 *
 * The filter, with `lower` the lower of the two rates: 72 taps at `lower` (more at a higher input rate, so that the filter is equally long
 * in time), Kaiser window of beta 7.86, -6 dB at 0.465 `lower`. Flat within 0.01 dB up to 0.43 `lower` (3.4 kHz of 8 kHz, 6.9 kHz of
 * 16 kHz), at least 80 dB down from 0.5 `lower` on, hence no alias louder than that. Linear phase: every frequency is equally late.
 * `bench/resample.ts` shows the response and the price.
 */
import { EngineError } from '../shared/errors.js';
import type { Hz } from '../shared/units.js';

/** Half the filter's length, in samples at the lower rate. */
const halfWidth = 36;
const kaiserBeta = 7.86;
/** The -6 dB point, as a share of the lower rate. */
const cutoff = 0.465;
/** Bounds the table: 1000 phases of 72 taps are 0.6 MB. Every pair of usual rates needs at most 640. */
const phasesMax = 1000;

type Filter = {
  /** The rates' ratio is `phases` / `step` in lowest terms: outputs are 1/`phases` input samples times `step` apart. */
  readonly phases: number;
  readonly step: number;
  /** Taps of one phase, even: half of them lie after the output's instant. */
  readonly taps: number;
  /** `phases` rows of `taps`, each adding up to 1. */
  readonly rows: Float64Array;
};

const filters = new Map<string, Filter>();

/**
 * Feed a stream in chunks of any size: the outputs joined are the same, sample for sample, as of one big chunk. Output k is the input's
 * value at k / `toHz` seconds: nothing is shifted; the delay shows only in that an output appears once the input has come
 * `latencySamples` past its instant. `flush` gives what is left, in all ceil(samples * toHz / fromHz) outputs.
 */
export class Resampler {
  readonly fromHz: Hz;
  readonly toHz: Hz;
  /** Input samples beyond an output's instant that are needed to compute it: 36 at the lower rate, 0 when the rates are equal. */
  readonly latencySamples: number;
  readonly #filter: Filter;
  /** The last input samples, oldest first; `#held` of them are valid and the next output begins at `#start`. */
  #input: Float64Array;
  #held = 0;
  #start = 0;
  #phase = 0;
  #fedSamples = 0;
  #madeSamples = 0;

  /** Whole rates whose ratio in lowest terms has at most 1000 as its numerator; others fail with `config`. */
  constructor(fromHz: Hz, toHz: Hz) {
    this.fromHz = fromHz;
    this.toHz = toHz;
    this.#filter = filterFor(fromHz, toHz);
    this.latencySamples = this.#filter.taps / 2;
    this.#input = new Float64Array(4 * this.#filter.taps);
    this.reset();
  }

  /** Outputs that this chunk completes; the caller owns them, and `chunk` is not kept. May be empty. */
  process(chunk: Int16Array): Int16Array {
    if (this.fromHz === this.toHz) return chunk.slice();
    this.#fedSamples += chunk.length;
    return this.#run(chunk);
  }

  /** The outputs that still waited for input, computed with silence after the end. The resampler is then ready for a new stream. */
  flush(): Int16Array {
    if (this.fromHz === this.toHz) return new Int16Array(0);
    const total = Math.ceil((this.#fedSamples * this.#filter.phases) / this.#filter.step);
    const missing = total - this.#madeSamples;
    const rest = this.#run(new Int16Array(this.latencySamples)).subarray(0, missing);
    this.reset();
    return rest;
  }

  /** Forgets everything heard so far. */
  reset(): void {
    const { taps } = this.#filter;
    // Silence before the beginning: the first output needs half a filter of it.
    this.#held = taps === 0 ? 0 : taps / 2 - 1;
    this.#input.fill(0, 0, this.#held);
    this.#start = 0;
    this.#phase = 0;
    this.#fedSamples = 0;
    this.#madeSamples = 0;
  }

  #run(chunk: Int16Array): Int16Array {
    this.#append(chunk);
    const { phases, step, taps, rows } = this.#filter;
    const spare = this.#held - taps - this.#start;
    const count = spare < 0 ? 0 : Math.floor(((spare + 1) * phases - 1 - this.#phase) / step) + 1;
    const out = new Int16Array(count);
    const input = this.#input;
    let start = this.#start;
    let phase = this.#phase;
    for (let k = 0; k < count; k++) {
      const sum = weighted(rows, phase * taps, input, start, taps);
      out[k] = sum >= 32767 ? 32767 : sum <= -32768 ? -32768 : Math.round(sum);
      phase += step;
      while (phase >= phases) {
        phase -= phases;
        start += 1;
      }
    }
    this.#start = start;
    this.#phase = phase;
    this.#madeSamples += count;
    return out;
  }

  /** Drops what no output needs any more and puts `chunk` behind the rest. */
  #append(chunk: Int16Array): void {
    const kept = this.#held - this.#start;
    this.#input.copyWithin(0, this.#start, this.#held);
    this.#start = 0;
    if (kept + chunk.length > this.#input.length) {
      const larger = new Float64Array(2 * (kept + chunk.length));
      larger.set(this.#input.subarray(0, kept));
      this.#input = larger;
    }
    this.#input.set(chunk, kept);
    this.#held = kept + chunk.length;
  }
}

/** All of `input` at another rate, aligned: ceil(length * toHz / fromHz) samples. A copy when the rates are equal. */
export function resample(input: Int16Array, fromHz: Hz, toHz: Hz): Int16Array {
  const resampler = new Resampler(fromHz, toHz);
  const body = resampler.process(input);
  const tail = resampler.flush();
  const out = new Int16Array(body.length + tail.length);
  out.set(body);
  out.set(tail, body.length);
  return out;
}

/** Four sums instead of one: the additions need not wait for each other. */
function weighted(rows: Float64Array, row: number, input: Float64Array, start: number, taps: number): number {
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  for (let i = 0; i < taps; i += 4) {
    a += rows[row + i]! * input[start + i]!;
    b += rows[row + i + 1]! * input[start + i + 1]!;
    c += rows[row + i + 2]! * input[start + i + 2]!;
    d += rows[row + i + 3]! * input[start + i + 3]!;
  }
  return a + b + (c + d);
}

function filterFor(fromHz: Hz, toHz: Hz): Filter {
  if (fromHz === toHz) return { phases: 1, step: 1, taps: 0, rows: new Float64Array(0) };
  const key = `${fromHz}/${toHz}`;
  const known = filters.get(key);
  if (known !== undefined) return known;
  const divisor = greatestCommonDivisor(fromHz, toHz);
  const phases = toHz / divisor;
  if (!Number.isInteger(fromHz) || !Number.isInteger(toHz) || fromHz <= 0 || phases > phasesMax) {
    throw new EngineError('config', `cannot resample from ${fromHz} Hz to ${toHz} Hz`, { fields: { fromHz, toHz } });
  }
  const filter = designFilter(phases, fromHz / divisor);
  filters.set(key, filter);
  return filter;
}

function designFilter(phases: number, step: number): Filter {
  // Input samples for each sample at the lower rate.
  const stretch = Math.max(1, step / phases);
  const half = 2 * Math.ceil((halfWidth * stretch) / 2);
  const taps = 2 * half;
  const rows = new Float64Array(phases * taps);
  for (let phase = 0; phase < phases; phase++) {
    const row = rows.subarray(phase * taps, (phase + 1) * taps);
    let sum = 0;
    for (let i = 0; i < taps; i++) {
      // Distance from the output's instant to this input sample.
      const distance = (phase / phases - (i - half + 1)) / stretch;
      row[i] = sinc(2 * cutoff * distance) * kaiser(distance / halfWidth);
      sum += row[i]!;
    }
    // Every phase passes a constant unchanged; otherwise the phases would modulate it.
    for (let i = 0; i < taps; i++) row[i] = row[i]! / sum;
  }
  return { phases, step, taps, rows };
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** Kaiser window over -1..1, 1 in the middle, 0 outside. */
function kaiser(x: number): number {
  return Math.abs(x) > 1 ? 0 : bessel(kaiserBeta * Math.sqrt(1 - x * x)) / bessel(kaiserBeta);
}

/** Modified Bessel function of the first kind and order 0, as its power series. */
function bessel(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-16; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
