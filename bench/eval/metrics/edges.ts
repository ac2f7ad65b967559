/** How abruptly the sound stops inside a reply, and begins again: the level of the heard lane against the reply's, by least squares. Pure. */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import { samplesPerMs } from './audible.js';
import type { Piece } from './source-match.js';

const fitSamples = samplesIn(ms(1), inputRateHz);
const stepSamples = samplesIn(ms(0.25), inputRateHz);
/** How far from the place where the sound ends its level is looked at, and what it is compared with. */
const reachSamples = samplesIn(ms(60), inputRateHz);
const referenceSamples = samplesIn(ms(20), inputRateHz);
/** The reply must sound on both sides of the place, or there is nothing to be abrupt: -40 dBFS over 5 ms. */
const soundLevel = 32768 * 10 ** (-40 / 20);
const soundSamples = samplesIn(ms(5), inputRateHz);
/** What a cut from one sample to the next looks like after the fit. */
const fitWidthMs = 0.8;
const highGain = 0.9;
const lowGain = 0.1;

/**
 * Time between nine tenths and a tenth of the level, in ms, where `piece` ends (`stop`) or begins (`resume`); undefined when the reply is silent there, so
 * that nothing can be heard of it. A cut from one sample to the next gives 0.
 */
export function edgeMsOf(heard: Int16Array, piece: Piece, kind: 'stop' | 'resume'): number | undefined {
  const { samples } = piece.template;
  const shift = piece.sourceFrom - piece.heardFrom;
  const direction = kind === 'stop' ? -1 : 1;
  const edge = kind === 'stop' ? piece.heardFrom + piece.count : piece.heardFrom;
  const inside = kind === 'stop' ? edge - soundSamples : edge;
  const outside = kind === 'stop' ? edge : edge - soundSamples;
  if (!sounds(samples, inside + shift) || !sounds(samples, outside + shift)) return undefined;
  const reference = gainOf(
    heard,
    samples,
    edge + direction * (referenceSamples / 2) - referenceSamples / 2,
    shift,
    referenceSamples,
  );
  const later = gainOf(heard, samples, edge + direction * reachSamples - referenceSamples / 2, shift, referenceSamples);
  const full = Math.max(reference ?? 0, later ?? 0);
  if (full <= 0) return undefined;
  // From where it is surely gone inwards: where a tenth is crossed, then nine tenths.
  let low: number | undefined;
  let before = { away: -fitSamples, gain: 0 };
  for (let away = -fitSamples; away <= reachSamples; away += stepSamples) {
    const gain = gainOf(heard, samples, edge + direction * away - fitSamples / 2, shift, fitSamples);
    if (gain === undefined) continue;
    const crossing = (level: number): number => {
      const part = gain === before.gain ? 1 : (level * full - before.gain) / (gain - before.gain);
      return before.away + Math.min(1, Math.max(0, part)) * (away - before.away);
    };
    if (low === undefined && gain > lowGain * full) low = crossing(lowGain);
    if (low !== undefined && gain >= highGain * full) {
      const width = (crossing(highGain) - low) / samplesPerMs;
      return Math.sqrt(Math.max(0, width ** 2 - fitWidthMs ** 2));
    }
    before = { away, gain };
  }
  return undefined;
}

/** Least-squares gain of the lane over `count` samples from `at` on; undefined where the reply is too quiet to tell. */
export function gainOf(heard: Int16Array, samples: Float32Array, at: number, shift: number, count: number): number | undefined {
  let [dot, energy] = [0, 0];
  for (let i = Math.max(0, at); i < at + count; i++) {
    const source = samples[i + shift] ?? 0;
    dot += (heard[i] ?? 0) * source;
    energy += source ** 2;
  }
  return energy < count * (soundLevel / 4) ** 2 ? undefined : dot / energy;
}

function sounds(samples: Float32Array, from: number): boolean {
  let energy = 0;
  for (let i = Math.max(0, from); i < from + soundSamples; i++) energy += (samples[i] ?? 0) ** 2;
  return energy >= soundSamples * soundLevel ** 2;
}
