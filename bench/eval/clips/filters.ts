/** Small recursive filters that run sample by sample: what a telephone leaves of a voice, and noise that falls with frequency. Each belongs to one stream. */
import type { Random } from '../../../load/providers/seeded.js';
import { inputRateHz } from '../../../src/shared/units.js';

/** Second-order sections in a row, transposed direct form II. */
export class Cascade {
  /** b0, b1, b2, a1, a2 of one section after the other. */
  readonly #coefficients: Float64Array;
  readonly #state: Float64Array;

  constructor(sections: readonly Section[]) {
    this.#coefficients = Float64Array.from(sections.flatMap(({ b0, b1, b2, a1, a2 }) => [b0, b1, b2, a1, a2]));
    this.#state = new Float64Array(2 * sections.length);
  }

  next(input: number): number {
    let value = input;
    const [state, coefficients] = [this.#state, this.#coefficients];
    for (let at = 0, place = 0; at < state.length; at += 2, place += 5) {
      const output = coefficients[place]! * value + state[at]!;
      state[at] = coefficients[place + 1]! * value - coefficients[place + 3]! * output + state[at + 1]!;
      state[at + 1] = coefficients[place + 2]! * value - coefficients[place + 4]! * output;
      value = output;
    }
    return value;
  }
}

type Section = {
  readonly b0: number;
  readonly b1: number;
  readonly b2: number;
  readonly a1: number;
  readonly a2: number;
};

/** A Butterworth filter of even `order`, -3 dB at `cutoffHz`, for `inputRateHz`. Minimum phase: as little delay as its slope allows. */
export function butterworth(kind: 'low' | 'high', order: number, cutoffHz: number): Section[] {
  const warped = Math.tan((Math.PI * cutoffHz) / inputRateHz);
  return Array.from({ length: order / 2 }, (_, index) => {
    const damping = 2 * Math.sin((Math.PI * (2 * index + 1)) / (2 * order));
    const norm = 1 / (1 + damping * warped + warped * warped);
    const gain = kind === 'low' ? warped * warped * norm : norm;
    return {
      b0: gain,
      b1: (kind === 'low' ? 2 : -2) * gain,
      b2: gain,
      a1: 2 * (warped * warped - 1) * norm,
      a2: (1 - damping * warped + warped * warped) * norm,
    };
  });
}

/** Poles and weights of the first-order filters whose sum falls by 3 dB an octave (P. Kellet). */
const pinkPoles = [0.99765, 0.963, 0.57];
const pinkWeights = [0.099046, 0.2965164, 1.0526913];
const pinkDirect = 0.1848;
/** Rumble below speech is left out: it would make the level say little about what is heard. */
const rumbleHz = 80;

/** Noise of a room: falls by 3 dB an octave, root mean square 1 in the long run. */
export class RoomNoise {
  readonly #random: Random;
  readonly #state = new Float64Array(pinkPoles.length);
  readonly #highPass = new Cascade(butterworth('high', 2, rumbleHz));

  constructor(random: Random) {
    this.#random = random;
  }

  next(): number {
    const white = 2 * this.#random() - 1;
    let sum = pinkDirect * white;
    for (let index = 0; index < pinkPoles.length; index += 1) {
      this.#state[index] = pinkPoles[index]! * this.#state[index]! + pinkWeights[index]! * white;
      sum += this.#state[index]!;
    }
    return this.#highPass.next(sum) / roomNoiseRms;
  }
}

/** Of the sum above before it is scaled; measured over a minute. test/eval-clips.test.ts checks it. */
const roomNoiseRms = 1.24;
