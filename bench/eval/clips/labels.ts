/** The labels of a clip, read off its dry samples: its bounds, its words in them, the silences inside. Pure. */
import { boundsOf } from '../../../src/audio/bounds.js';
import { EngineError } from '../../../src/shared/errors.js';
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import type { Clip, Word } from '../run-record.js';

/** Below the clip's peak: what is quieter is silence. */
export const belowPeakDb = 45;
const silenceMin = samplesIn(ms(100), inputRateHz);

/** The clip that `samples` are, cut to their bounds. `words` are given in `samples`. Fails with `garbage` when there is nothing but silence. */
export function labelledClip(id: string, text: string, samples: Int16Array, words: readonly Word[]): Clip {
  const bounds = boundsOf(samples, belowPeakDb);
  if (bounds === undefined) throw new EngineError('garbage', `"${text}" makes no sound`);
  const length = bounds.last + 1 - bounds.first;
  const within = (sample: number): number => Math.min(Math.max(0, sample - bounds.first), length);
  const kept = words
    .map((word) => ({ text: word.text, from: within(word.from), to: within(word.to) }))
    .filter((word) => word.to > word.from);
  const cut = samples.slice(bounds.first, bounds.last + 1);
  return { id, text, samples: cut, words: kept, silences: innerSilences(cut) };
}

/** Stretches of at least 100 ms in which no sample is within 45 dB of the peak. Of a clip that begins and ends with sound. */
export function innerSilences(samples: Int16Array): { readonly from: number; readonly to: number }[] {
  let peak = 0;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  const threshold = peak * 10 ** (-belowPeakDb / 20);
  const silences: { from: number; to: number }[] = [];
  let from = 0;
  for (let at = 0; at < samples.length; at += 1) {
    if (Math.abs(samples[at]!) <= threshold) continue;
    if (at - from >= silenceMin) silences.push({ from, to: at });
    from = at + 1;
  }
  return silences;
}
