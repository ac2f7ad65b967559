/** From where to where the heard lane runs along a reply, to the sample: windows of 5 ms that follow it, then single samples. Pure. */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import { windowSamples } from './audible.js';
import type { Signal } from './signal.js';
import { acceptCorrelation } from './source-search.js';
import type { Template } from './template.js';

/** A break shorter than this at the same lag is no break of the source. */
const bridgeSamples = samplesIn(ms(40), inputRateHz);
/** So many samples in a row that are not the reply's end it: about one period of a high sound. */
const breakSamples = 12;
/** Beside a sound that is cut off a telephone line rings with up to this share of its level, for a few samples. */
const phoneRingRatio = 0.025;
const ringReach = 8;
/** A sample of the lane up to this may stand for silence. */
const silentSample = 2;

/** Lane sample i goes with the reply's sample i + `shift`. */
export type Along = { readonly signal: Signal; readonly template: Template; readonly shift: number; readonly isPhone: boolean };

/** The sample after the last one of what goes along the reply from `at` on. */
export function endAlong(along: Along, at: number): number {
  const { signal, template, shift } = along;
  const limit = Math.min(signal.length, template.samples.length - shift);
  let end = at;
  let place = at;
  for (; place + windowSamples <= limit; place += windowSamples) {
    const verdict = signal.verdict(place, template, place + shift);
    if (verdict === 'follows') end = place + windowSamples;
    if (verdict !== 'parts' || place === at) continue;
    const next = place + windowSamples;
    const goesOn =
      next + bridgeSamples <= limit && signal.correlation(next, template, next + shift, bridgeSamples) >= acceptCorrelation;
    if (!goesOn) break;
  }
  // Quiet sounds beyond the last window that follows may still be the reply's.
  let last = Math.max(at, end - 2 * windowSamples);
  let away = 0;
  for (let i = last; i < Math.min(limit, place + windowSamples) && away <= breakSamples; i++) {
    away = isAlong(along, i) ? 0 : away + 1;
    if (away === 0 && isSound(along, i)) last = i + 1;
  }
  return last;
}

/** The first sample of what goes along the reply up to `at`; not before `floor`. */
export function beginAlong(along: Along, at: number, floor: number): number {
  const { signal, template, shift } = along;
  const lowest = Math.max(floor, -shift);
  let begin = at + windowSamples;
  let place = at;
  for (; place >= lowest; place -= windowSamples) {
    const verdict = signal.verdict(place, template, place + shift);
    if (verdict === 'follows') begin = place;
    if (verdict === 'parts' && place !== at) break;
  }
  let first = Math.min(begin + 2 * windowSamples, signal.length - 1);
  let away = 0;
  for (let i = first; i >= Math.max(lowest, place) && away <= breakSamples; i--) {
    away = isAlong(along, i) ? 0 : away + 1;
    if (away === 0 && isSound(along, i)) first = i;
  }
  return first;
}

/** More than the ringing of a telephone line beside a sound that was cut off. */
function isSound({ signal, template, shift, isPhone }: Along, i: number): boolean {
  const value = Math.abs(signal.samples[i]!);
  if (value === 0 || !isPhone) return value > 0;
  let peak = 0;
  for (let j = i + shift - ringReach; j <= i + shift + ringReach; j++) peak = Math.max(peak, Math.abs(template.samples[j] ?? 0));
  return value > phoneRingRatio * peak;
}

/** At a lower level, too: the sound may be fading. */
function isAlong({ signal, template, shift }: Along, i: number): boolean {
  const value = signal.samples[i]!;
  const source = template.samples[i + shift] ?? 0;
  const tolerance = 6 + 0.15 * Math.abs(source);
  if (Math.abs(value) <= silentSample) return Math.abs(source) <= tolerance;
  return value >= Math.min(0, source) - tolerance && value <= Math.max(0, source) + tolerance;
}
