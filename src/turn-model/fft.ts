/** Discrete Fourier transform of complex signals whose length has only small prime factors (400 = 2⁴ · 5²). Pure; pool threads. */

export class Fft {
  readonly #length: number;
  readonly #factors: readonly number[];
  /** cos and -sin of 2π k / length. */
  readonly #cos: Float64Array;
  readonly #sin: Float64Array;
  readonly #workRe: Float64Array;
  readonly #workIm: Float64Array;

  constructor(length: number) {
    this.#length = length;
    this.#factors = factorsOf(length);
    this.#cos = Float64Array.from({ length }, (_, k) => Math.cos((2 * Math.PI * k) / length));
    this.#sin = Float64Array.from({ length }, (_, k) => -Math.sin((2 * Math.PI * k) / length));
    this.#workRe = new Float64Array(length);
    this.#workIm = new Float64Array(length);
  }

  /** Replaces `re` + i `im` by its transform. */
  run(re: Float64Array, im: Float64Array): void {
    let [fromRe, fromIm, toRe, toIm] = [re, im, this.#workRe, this.#workIm];
    let done = 1;
    for (const factor of this.#factors) {
      this.#pass(fromRe, fromIm, toRe, toIm, done, factor);
      [fromRe, fromIm, toRe, toIm] = [toRe, toIm, fromRe, fromIm];
      done *= factor;
    }
    if (fromRe === re) return;
    re.set(fromRe);
    im.set(fromIm);
  }

  /**
   * One Stockham pass: transforms of length `done` become transforms of length `done * factor`. They lie interleaved, so that the output ends
   * in natural order without a shuffle.
   */
  #pass(fromRe: Float64Array, fromIm: Float64Array, toRe: Float64Array, toIm: Float64Array, done: number, factor: number): void {
    const length = this.#length;
    const groups = length / (done * factor);
    const turn = length / (done * factor);
    for (let k = 0; k < done * factor; k++) {
      const inner = k % done;
      for (let group = 0; group < groups; group++) {
        let sumRe = 0;
        let sumIm = 0;
        for (let part = 0; part < factor; part++) {
          const at = (inner * factor + part) * groups + group;
          const angle = (part * k * turn) % length;
          const cos = this.#cos[angle]!;
          const sin = this.#sin[angle]!;
          sumRe += fromRe[at]! * cos - fromIm[at]! * sin;
          sumIm += fromRe[at]! * sin + fromIm[at]! * cos;
        }
        toRe[k * groups + group] = sumRe;
        toIm[k * groups + group] = sumIm;
      }
    }
  }
}

function factorsOf(length: number): number[] {
  const factors: number[] = [];
  let rest = length;
  for (let factor = 2; rest > 1; factor++) {
    for (; rest % factor === 0; rest /= factor) factors.push(factor);
  }
  return factors;
}
