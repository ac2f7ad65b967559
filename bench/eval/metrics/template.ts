/**
 * A reply as the synthesiser made it, ready to be looked for in what the caller heard: energies of any stretch at once, and a copy of an eighth of
 * the rate for the first rough look. Pure.
 */
import { decodeMulaw, encodeMulaw } from '../../../src/audio/mulaw.js';
import { resample } from '../../../src/audio/resample.js';
import { hz, inputRateHz } from '../../../src/shared/units.js';
import type { SynthesisedReply } from '../run-record.js';
import { Audible } from './audible.js';

const phoneRateHz = hz(8000);
export const coarseStep = 8;
/** Taps of the running sum before samples are left out: its first zero lies at 1 kHz, half of the coarse rate. */
const coarseTaps = 16;

export type Template = {
  readonly eventId: number;
  readonly samples: Float32Array;
  /** `squares[i]`: energy of all samples before i. */
  readonly squares: Float64Array;
  readonly coarse: Float32Array;
  readonly coarseSquares: Float64Array;
  /** The first and last audible sample; 0 and -1 when there is none. */
  readonly firstAudible: number;
  readonly lastAudible: number;
};

/** `isPhone`: as it sounds after a line of 8 kHz µ-law. */
export function templateOf(reply: SynthesisedReply, isPhone: boolean): Template {
  const heard = isPhone ? throughPhone(reply.samples) : reply.samples;
  const samples = Float32Array.from(heard);
  const coarse = coarseOf(samples, 0, Math.floor(samples.length / coarseStep));
  const audible = new Audible(heard);
  return {
    eventId: reply.eventId,
    samples,
    squares: prefixSquares(samples),
    coarse,
    coarseSquares: prefixSquares(coarse),
    firstAudible: audible.firstIn(0, heard.length) ?? 0,
    lastAudible: audible.lastIn(0, heard.length) ?? -1,
  };
}

function throughPhone(samples: Int16Array): Int16Array {
  const narrow = resample(samples, inputRateHz, phoneRateHz);
  return resample(decodeMulaw(encodeMulaw(narrow)), phoneRateHz, inputRateHz).subarray(0, samples.length);
}

/** `count` samples of an eighth of the rate, the first one at `from`. */
export function coarseOf(samples: Float32Array, from: number, count: number): Float32Array {
  const coarse = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = from + i * coarseStep;
    const end = Math.min(samples.length, at + coarseTaps);
    let sum = 0;
    for (let j = at; j < end; j++) sum += samples[j]!;
    coarse[i] = sum;
  }
  return coarse;
}

export function prefixSquares(samples: Float32Array): Float64Array {
  const squares = new Float64Array(samples.length + 1);
  for (let i = 0; i < samples.length; i++) squares[i + 1] = squares[i]! + samples[i]! ** 2;
  return squares;
}
