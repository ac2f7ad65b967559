/**
 * One way of our own voice back to us, as a short filter: which samples of the reference, in which shares, make what the microphone hears. Learnt by
 * least squares from the hops in which it explains the microphone; old ones are forgotten. VAD thread, pure.
 */
import { laneSamples, type NarrowLane } from './narrow-lane.js';

/** 6 ms. */
export const pathTaps = 48;
/** Taps before the place of the highest likeness. */
const tapsAhead = 8;
/** Share of what was learnt that is kept from hop to hop. */
const keptRatio = 0.9;
/** Of the reference's power, added to the diagonal: keeps the filter from explaining what is not there. */
const steadyRatio = 1e-3;

/** Power of a hop, and of what is left of it without the echo; per sample, full scale being 1. */
export type Powers = { heard: number; left: number };

/** Most of the slope that `NarrowLane` takes out is put back: all of it would count the rumble of rooms, none of it the hiss of lines. */
const slopeBack = 0.8;
/** Samples in which what came before is forgotten when it is: 0.8 ** 32 is a thousandth. */
const settleSamples = 32;

const covariance = new Float64Array(pathTaps * pathTaps);
const factor = new Float64Array(pathTaps * pathTaps);
/** Reference, and microphone, that are worked on. */
const excerpt = new Float64Array(pathTaps + laneSamples);
const heardSpan = new Float64Array(laneSamples);

export class EchoPath {
  /** Index in the reference of the microphone's sample 0, for tap 0. */
  #distance = 0;
  readonly #covariance = new Float64Array(pathTaps * pathTaps);
  readonly #products = new Float64Array(pathTaps);
  readonly #taps = new Float64Array(pathTaps);

  /** Forgets what was learnt. `distance`: from a sample of the microphone to the one of the reference that is most like it. */
  begin(distance: number): void {
    this.#distance = distance + tapsAhead;
    this.#covariance.fill(0);
    this.#products.fill(0);
  }

  /** Learns from `count` samples of the microphone from `from` on. False: there is nothing to learn from. */
  learn(reference: NarrowLane, microphone: NarrowLane, from: number, count: number): boolean {
    this.#excerptOf(reference, microphone, from, count);
    const sums = this.#covariance;
    const end = pathTaps + count;
    covariance.fill(0);
    for (let tap = 0; tap < pathTaps; tap += 1) {
      let own = 0;
      let product = 0;
      for (let index = pathTaps; index < end; index += 1) {
        const value = excerpt[index - tap]!;
        own += excerpt[index]! * value;
        product += heardSpan[index - pathTaps]! * value;
      }
      covariance[tap] = own;
      this.#products[tap] = this.#products[tap]! * keptRatio + product;
    }
    // Each element is its upper left neighbour with one product more and one less.
    for (let row = 1; row < pathTaps; row += 1) {
      for (let column = row; column < pathTaps; column += 1) {
        covariance[row * pathTaps + column] =
          covariance[(row - 1) * pathTaps + column - 1]! +
          excerpt[pathTaps - row]! * excerpt[pathTaps - column]! -
          excerpt[end - row]! * excerpt[end - column]!;
      }
    }
    for (let index = 0; index < sums.length; index += 1) sums[index] = sums[index]! * keptRatio + covariance[index]!;
    return this.#solve();
  }

  /**
   * Of `count` samples of the microphone from `from` on, with most of the slope of speech put back: in the even spectrum that the filter
   * is learnt from, a whisper of noise is much. Written into `powers`.
   */
  measure(reference: NarrowLane, microphone: NarrowLane, from: number, count: number, powers: Powers): void {
    const first = from - settleSamples;
    const taps = this.#taps;
    this.#excerptOf(reference, microphone, first, settleSamples + count);
    let heardSum = 0;
    let leftSum = 0;
    let heard = 0;
    let left = 0;
    for (let index = 0; index < settleSamples + count; index += 1) {
      let difference = heardSpan[index]!;
      heard = difference + slopeBack * heard;
      for (let tap = 0; tap < pathTaps; tap += 1) difference -= taps[tap]! * excerpt[pathTaps + index - tap]!;
      left = difference + slopeBack * left;
      if (index < settleSamples) continue;
      heardSum += heard * heard;
      leftSum += left * left;
    }
    const scale = count * 32768 * 32768;
    powers.heard = heardSum / scale;
    powers.left = leftSum / scale;
  }

  #excerptOf(reference: NarrowLane, microphone: NarrowLane, from: number, count: number): void {
    reference.copy(from + this.#distance - pathTaps, excerpt, pathTaps + count);
    microphone.copy(from, heardSpan, count);
  }

  /** Cholesky. */
  #solve(): boolean {
    const sums = this.#covariance;
    const steady = sums[0]! * steadyRatio;
    if (!(steady > 0)) return false;
    const taps = this.#taps;
    for (let row = 0; row < pathTaps; row += 1) {
      for (let column = 0; column <= row; column += 1) {
        let sum = sums[column * pathTaps + row]! + (row === column ? steady : 0);
        for (let index = 0; index < column; index += 1)
          sum -= factor[row * pathTaps + index]! * factor[column * pathTaps + index]!;
        if (row === column && !(sum > 0)) return false;
        factor[row * pathTaps + column] = row === column ? Math.sqrt(sum) : sum / factor[column * pathTaps + column]!;
      }
    }
    for (let row = 0; row < pathTaps; row += 1) {
      let sum = this.#products[row]!;
      for (let index = 0; index < row; index += 1) sum -= factor[row * pathTaps + index]! * taps[index]!;
      taps[row] = sum / factor[row * pathTaps + row]!;
    }
    for (let row = pathTaps - 1; row >= 0; row -= 1) {
      let sum = taps[row]!;
      for (let index = row + 1; index < pathTaps; index += 1) sum -= factor[index * pathTaps + row]! * taps[index]!;
      taps[row] = sum / factor[row * pathTaps + row]!;
    }
    return true;
  }
}
