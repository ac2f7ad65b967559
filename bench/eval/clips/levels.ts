/** How loud samples are and how to set it: one definition for speech, one for short sounds. Pure. */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';

const fullScale = 32768;
const speechBlock = samplesIn(ms(10), inputRateHz);
const soundBlock = samplesIn(ms(50), inputRateHz);
/** Blocks this far below the loudest one are pauses. */
const activeRatio = 0.01;

/** Root mean square in dB of full scale of speech: of the 10 ms blocks within 20 dB of the loudest one. -Infinity for silence. */
export function speechLevelDb(samples: ArrayLike<number>): number {
  const powers = blockPowers(samples, speechBlock, speechBlock);
  const loudest = Math.max(0, ...powers);
  const active = powers.filter((power) => power > 0 && power >= activeRatio * loudest);
  return decibels(active.reduce((sum, power) => sum + power, 0) / Math.max(1, active.length));
}

/** Of a sound: of its loudest 50 ms. -Infinity for silence. */
export function soundLevelDb(samples: ArrayLike<number>): number {
  return decibels(Math.max(0, ...blockPowers(samples, soundBlock, speechBlock)));
}

/** Rounded and limited at full scale. */
export function scaled(samples: ArrayLike<number>, gainDb: number): Int16Array {
  const gain = 10 ** (gainDb / 20);
  return Int16Array.from(samples, (value) => limited(value * gain));
}

export function limited(value: number): number {
  return Math.max(-fullScale, Math.min(fullScale - 1, Math.round(value)));
}

/** Mean squares of blocks of `length` that begin every `step` samples; what is shorter than a block is filled up with silence. */
function blockPowers(samples: ArrayLike<number>, length: number, step: number): number[] {
  const powers: number[] = [];
  for (let from = 0; from === 0 || from + length <= samples.length; from += step) {
    let energy = 0;
    for (let at = from; at < Math.min(samples.length, from + length); at += 1) energy += samples[at]! ** 2;
    powers.push(energy / length);
  }
  return powers;
}

function decibels(power: number): number {
  return 10 * Math.log10(power / fullScale ** 2);
}
