/**
 * What the embedded recogniser is given to hear: the speech alone, always equally loud, between short stretches of almost silence.
 * Its acoustic model normalises over the whole utterance, so that the same word with more silence around it, or louder, would score
 * differently; short words suffer most (`docs/decisions/embedded-recognition.md` has figures). Pure; STT pool thread.
 */

const frameSamples = 160;
/** Kept before and after the speech; quiet consonants lie there. */
const marginSamples = 3200;
/** Root mean square that loud frames are brought to, of 32768. */
const loudRms = 1500;
/** Frames this far below the peak count as loud. */
const loudRangeDb = 15;
/** Of the noise put under everything. Digital silence has no logarithm, and more noise hides the ends of words. */
const floorRms = 1;
/** Speech is what is above the quiet part by this, but never more than `speechRangeDb` below the peak. */
const aboveQuietDb = 12;
const speechRangeDb = 30;
const atLeastBelowPeakDb = 6;
/** A frame that is no more than this below the peak cannot be breath or background. */
const plainRangeDb = 20;
/** An utterance whose loudest frames are below this (first difference, root mean square of 32768) is no speech. */
const audibleRms = 8;
const emphasis = 0.98;

export type Levelled = {
  /** -1..1, at the input's rate. */
  readonly audio: Float32Array;
  /** Frames of 10 ms between the first and the last loud one. */
  readonly speechFrames: number;
  /** For each frame of `audio`: whether it is as loud as the plain part of speech. */
  readonly isLoud: readonly boolean[];
};

/** `audio`: 16 kHz mono. Undefined when there is nothing to hear. */
export function levelled(audio: Int16Array): Levelled | undefined {
  const levels = smooth(frameLevels(audio));
  const sorted = Float32Array.from(levels).sort();
  const count = sorted.length;
  if (count < 3) return undefined;
  const quiet = sorted[Math.floor(count * 0.1)]!;
  const peak = sorted[Math.min(count - 1, Math.floor(count * 0.98))]!;
  if (peak < 20 * Math.log10(audibleRms)) return undefined;
  const threshold = Math.max(peak - speechRangeDb, Math.min(quiet + aboveQuietDb, peak - atLeastBelowPeakDb));
  const first = levels.findIndex((level) => level >= threshold);
  const last = levels.findLastIndex((level) => level >= threshold);
  const gain = loudRms / rmsAbove(levels.subarray(first, last + 1), peak - loudRangeDb);
  const from = first * frameSamples - marginSamples;
  const out = new Float32Array((last + 1) * frameSamples + marginSamples - from);
  for (let i = 0; i < out.length; i++) {
    out[i] = ((audio[from + i] ?? 0) * gain + floorRms * noise[i % noise.length]!) / 32768;
  }
  const marginFrames = marginSamples / frameSamples;
  const isLoud = Array.from({ length: out.length / frameSamples }, (_, frame) => {
    const at = frame - marginFrames + first;
    return at >= first && at <= last && levels[at]! >= peak - plainRangeDb;
  });
  return { audio: out, speechFrames: last - first + 1, isLoud };
}

/** Level of each frame in dB, after a first difference that takes off hum and offset. */
function frameLevels(audio: Int16Array): Float32Array {
  const levels = new Float32Array(Math.floor(audio.length / frameSamples));
  let before = audio[0] ?? 0;
  let held = 0;
  for (let frame = 0; frame < levels.length; frame++) {
    let power = 1;
    for (let i = frame * frameSamples; i < (frame + 1) * frameSamples; i++) {
      const sample = audio[i]!;
      held = sample - before + emphasis * held;
      before = sample;
      power += (held * held) / frameSamples;
    }
    levels[frame] = 10 * Math.log10(power);
  }
  return levels;
}

/** Mean of each frame with two before and two after. */
function smooth(levels: Float32Array): Float32Array {
  return levels.map((_, frame) => {
    const near = levels.subarray(Math.max(0, frame - 2), frame + 3);
    return near.reduce((sum, level) => sum + level, 0) / near.length;
  });
}

function rmsAbove(levels: Float32Array, least: number): number {
  let power = 0;
  let count = 0;
  for (const level of levels) {
    if (level <= least) continue;
    power += 10 ** (level / 10);
    count += 1;
  }
  return Math.sqrt(power / Math.max(1, count));
}

/** The same noise every time, nearly Gaussian (sum of twelve), so that the same audio gives the same words. */
const noise = ((): Float32Array => {
  let state = 1;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: 16_384 }, () => {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += next();
    return sum;
  });
})();
