/** Music as a waiting line or a radio plays it: four chords, a melody over them, a bass and a brushed beat. Pure. */
import type { Random } from '../../../load/providers/seeded.js';
import { inputRateHz } from '../../../src/shared/units.js';

const beatMs = 520;
const chordBeats = 4;
/** Semitones over the key note: I, vi, IV, V with their basses. */
const chords = [
  [0, 4, 7, 12],
  [-3, 0, 4, 9],
  [5, 9, 12, 17],
  [7, 11, 14, 19],
];
const keyHz = 220;
/** Strengths of the harmonics of a soft plucked string. */
const harmonics = [1, 0.5, 0.28, 0.18, 0.1, 0.06];
const fadeMs = 15;

/** `durMs` of it, always beginning with the first chord. */
export function makeMusic(random: Random, durMs: number): Float64Array {
  const sum = new Float64Array(Math.round((durMs * inputRateHz) / 1000));
  for (let beat = 0; beat * beatMs < durMs; beat += 1) {
    const chord = chords[Math.floor(beat / chordBeats) % chords.length]!;
    if (beat % chordBeats === 0) for (const step of chord) pluck(sum, beat * beatMs, keyHz * 2 ** (step / 12), 0.18, 900);
    pluck(sum, beat * beatMs, (keyHz / 2) * 2 ** (chord[0]! / 12), 0.3, 400);
    for (const half of [0, 0.5]) {
      const step = chord[Math.floor(random() * chord.length)]! + 12;
      if (random() < 0.75) pluck(sum, (beat + half) * beatMs, keyHz * 2 ** (step / 12), 0.28, 350);
      brush(sum, (beat + half) * beatMs, half === 0 ? 0.05 : 0.09, random);
    }
  }
  const fade = Math.round((fadeMs * inputRateHz) / 1000);
  for (let at = 0; at < Math.min(fade, sum.length); at += 1) {
    sum[at]! *= at / fade;
    sum[sum.length - 1 - at]! *= at / fade;
  }
  return sum;
}

function pluck(sum: Float64Array, atMs: number, pitchHz: number, gain: number, decayMs: number): void {
  const from = Math.round((atMs * inputRateHz) / 1000);
  for (let at = from; at < Math.min(sum.length, from + (4 * decayMs * inputRateHz) / 1000); at += 1) {
    const sinceMs = ((at - from) * 1000) / inputRateHz;
    const phase = (2 * Math.PI * pitchHz * sinceMs) / 1000;
    let value = 0;
    for (const [index, strength] of harmonics.entries()) {
      const order = index + 1;
      if (order * pitchHz < inputRateHz / 2) value += strength * Math.sin(order * phase) * Math.exp((-order * sinceMs) / decayMs);
    }
    sum[at]! += gain * value * Math.min(1, sinceMs / 4);
  }
}

function brush(sum: Float64Array, atMs: number, gain: number, random: Random): void {
  const from = Math.round((atMs * inputRateHz) / 1000);
  let last = 0;
  for (let at = from; at < Math.min(sum.length, from + inputRateHz / 12); at += 1) {
    const white = 2 * random() - 1;
    sum[at]! += gain * (white - last) * Math.exp((-(at - from) * 60) / inputRateHz);
    last = white;
  }
}
