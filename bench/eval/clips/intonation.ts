/**
 * How a part ends in pitch. The embedded voices let every sentence fall, whatever its mark; people keep their pitch up when they are going to go on,
 * and a listener that hears only the fall would be told that every hesitation is an end. Pure.
 */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import { pitchOf, pitchStep, withPitch } from './pitch.js';

/** At the last voiced sample, over (or under) the pitch of the stretch before the end. */
const unfinishedSemitones = 2;
const finishedSemitones = -3;
/** The end is the last so much of the voiced frames; the stretch before it is what it is compared with. */
const endFrames = samplesIn(ms(260), inputRateHz) / pitchStep;
const beforeFrames = samplesIn(ms(700), inputRateHz) / pitchStep;
/** Beyond these the voice would no longer sound like one. */
const ratioMin = 0.62;
const ratioMax = 1.75;

/** Whether `text` says that its speaker is going to go on. */
export function isUnfinished(text: string): boolean {
  return /[,…]$/.test(text);
}

/** `samples` spoken `pitchRatio` higher, with the end that `text` asks for. Of the same length: words stay where they are. */
export function intoned(samples: Int16Array, text: string, pitchRatio: number): Int16Array {
  const wave = Float64Array.from(samples);
  const pitch = pitchOf(wave);
  const ratios = endRatios(pitch, isUnfinished(text) ? unfinishedSemitones : finishedSemitones);
  const moved = withPitch(wave, pitch, (at) => pitchRatio * (ratios[Math.floor(at / pitchStep)] ?? 1));
  return Int16Array.from(moved, (value) => Math.max(-32768, Math.min(32767, Math.round(value))));
}

/** For each frame of `pitch` what to multiply it by, so that its end is `semitones` from the stretch before. */
function endRatios(pitch: Float64Array, semitones: number): Float64Array {
  const ratios = new Float64Array(pitch.length).fill(1);
  const voiced = [...pitch.keys()].filter((frame) => pitch[frame]! > 0);
  const end = voiced.slice(-endFrames);
  const [first, last] = [end[0], end.at(-1)];
  if (first === undefined || last === undefined || last === first) return ratios;
  const before = voiced.slice(-(endFrames + beforeFrames), -endFrames);
  const reference = medianOf((before.length > 0 ? before : end).map((frame) => pitch[frame]!));
  const target = reference * 2 ** (semitones / 12);
  // A fall that the voice made by itself and that is deep enough stays as it is.
  if (semitones < 0 && pitch[last]! <= target) return ratios;
  const start = pitch[first]!;
  for (const frame of end) {
    const wanted = start * (target / start) ** ((frame - first) / (last - first));
    ratios[frame] = Math.min(ratioMax, Math.max(ratioMin, wanted / pitch[frame]!));
  }
  // Frames without voice in between have neighbours with one; the marks there take the ratio of the frame that they lie in.
  for (let frame = first + 1; frame < pitch.length; frame += 1) if (pitch[frame] === 0) ratios[frame] = ratios[frame - 1]!;
  return ratios;
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
