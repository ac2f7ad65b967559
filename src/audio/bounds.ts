/** Where the sound of a clip begins and ends: the definitions that labels, latencies and trimming share. Pure. */
import { type Hz, ms, samplesIn } from '../shared/units.js';

/** First and last sample louder than the clip's peak minus `belowPeakDb` (inclusive); undefined for a silent clip. */
export function boundsOf(samples: Int16Array, belowPeakDb = 45): { first: number; last: number } | undefined {
  let peak = 0;
  for (let i = 0; i < samples.length; i++) peak = Math.max(peak, Math.abs(samples[i]!));
  if (peak === 0) return undefined;
  const threshold = peak * 10 ** (-belowPeakDb / 20);
  let first = 0;
  while (Math.abs(samples[first]!) <= threshold) first += 1;
  let last = samples.length - 1;
  while (Math.abs(samples[last]!) <= threshold) last -= 1;
  return { first, last };
}

/**
 * Last sample of the last stretch of at least 60 ms in which every 10 ms are within 35 dB of the clip's loudest 10 ms; -1 when there is none. On a
 * dry clip a little before `boundsOf`'s end (weak final consonants); a click, a breath or noise after the last word does not move it.
 */
export function voiceEndOf(samples: Int16Array, rateHz: Hz): number {
  const windowSamples = samplesIn(ms(10), rateHz);
  const energies = Float64Array.from({ length: Math.floor(samples.length / windowSamples) }, (_, index) => {
    let energy = 0;
    for (let i = index * windowSamples; i < (index + 1) * windowSamples; i++) energy += samples[i]! ** 2;
    return energy;
  });
  const threshold = Math.max(1, energies.reduce((most, energy) => Math.max(most, energy), 0) * 10 ** (-35 / 10));
  let end = -1;
  let run = 0;
  for (const [index, energy] of energies.entries()) {
    run = energy >= threshold ? run + 1 : 0;
    if (run >= 6) end = (index + 1) * windowSamples - 1;
  }
  return end;
}
