/** A cough: 200 ms of noise shaped like one, always the same samples. It must not make an agent give up its turn. */
import { inputRateHz, ms, samplesIn } from '../src/shared/units.js';
import { type Clip, clipOf } from './clip.js';

const peak = 0.3 * 32768;
/** The explosion and the weaker burst that follows it. */
const bursts = [
  { atMs: 0, level: 1, decayMs: 35 },
  { atMs: 95, level: 0.5, decayMs: 40 },
];
const attackMs = 3;
/** Resonances of the throat: centre and width. */
const resonances = [
  { centreHz: 550, widthHz: 300 },
  { centreHz: 1700, widthHz: 600 },
];

export function cough(): Clip {
  const length = samplesIn(ms(200), inputRateHz);
  const noise = whiteNoise(length);
  const shaped = new Float64Array(length);
  for (const { centreHz, widthHz } of resonances) {
    const radius = Math.exp((-Math.PI * widthHz) / inputRateHz);
    const [first, second] = [2 * radius * Math.cos((2 * Math.PI * centreHz) / inputRateHz), -radius * radius];
    let [last, beforeLast] = [0, 0];
    for (let i = 0; i < length; i++) {
      const value = noise[i]! + first * last + second * beforeLast;
      shaped[i]! += value;
      beforeLast = last;
      last = value;
    }
  }
  for (let i = 0; i < length; i++) shaped[i]! *= loudnessAt((i / inputRateHz) * 1000);
  const loudest = shaped.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return clipOf(
    'cough',
    Int16Array.from(shaped, (value) => Math.round((value / loudest) * peak)),
  );
}

function loudnessAt(atMs: number): number {
  let loudness = 0;
  for (const burst of bursts) {
    const sinceMs = atMs - burst.atMs;
    if (sinceMs >= 0) loudness += burst.level * Math.min(1, sinceMs / attackMs) * Math.exp(-sinceMs / burst.decayMs);
  }
  return loudness;
}

function whiteNoise(length: number): Float64Array {
  let state = 1;
  return Float64Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
}
