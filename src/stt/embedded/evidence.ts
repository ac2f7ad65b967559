/**
 * Was it really this sentence? The grammar search always finds one; here it is held against the search over bare sounds, which explains any
 * speech. Where the words explain the sounds nearly as well, they were said. Pure; STT pool thread.
 */

/** A stretch of the audio as a search understood it. Frames are 10 ms. */
export type Piece = {
  readonly word: string;
  readonly start: number;
  readonly frames: number;
  /** Natural logarithm of its likelihood, against the best sound of each frame: 0 is perfect. */
  readonly score: number;
};

export type Evidence = {
  /** Frames in which the search over sounds heard speech. */
  readonly soundFrames: number;
  /** Mean over the frames of all words of the likelihood ratio to bare sounds (natural logarithm). */
  readonly fit: number;
  /** The same of the worst word. */
  readonly worstFit: number;
  /** Loud frames outside the words, of all loud frames. */
  readonly worstSum: number;
  readonly uncoveredRatio: number;
  readonly uncoveredFrames: number;
  readonly longestWordFrames: number;
  readonly wordCount: number;
  /** Why it is not believed. */
  readonly reason: 'nothing' | 'fit' | 'worst word' | 'left over' | 'drawn out' | undefined;
  /** 0..1 */
  readonly confidence: number;
};

const isSilence = (word: string): boolean => word === '<sil>' || word === '<s>' || word === '</s>';
const isNoise = (word: string): boolean => word.startsWith('[');

export function judge(words: readonly Piece[], sounds: readonly Piece[], isLoud: readonly boolean[]): Evidence {
  const soundScore = new Float64Array(isLoud.length + 8);
  let soundFrames = 0;
  for (const { word, start, frames, score } of sounds) {
    if (!isSilence(word) && !isNoise(word)) soundFrames += frames;
    soundScore.fill(score / frames, start, start + frames);
  }
  const covered = new Uint8Array(isLoud.length);
  let ratioSum = 0;
  let wordFrames = 0;
  let worstFit = 0;
  let worstSum = 0;
  let longestWordFrames = 0;
  let wordCount = 0;
  for (const { word, start, frames, score } of words) {
    if (isSilence(word) || isNoise(word)) continue;
    const ratio = score - soundScore.subarray(start, start + frames).reduce((sum, value) => sum + value, 0);
    covered.fill(1, start, start + frames);
    ratioSum += ratio;
    wordFrames += frames;
    wordCount += 1;
    worstSum = Math.min(worstSum, ratio);
    worstFit = Math.min(worstFit, ratio / frames);
    longestWordFrames = Math.max(longestWordFrames, frames);
  }
  const fit = wordFrames === 0 ? 0 : ratioSum / wordFrames;
  const loudFrames = isLoud.filter(Boolean).length;
  const uncoveredFrames = isLoud.filter((loud, frame) => loud && covered[frame] === 0).length;
  const uncoveredRatio = uncoveredFrames / Math.max(1, loudFrames);
  const evidence = { soundFrames, fit, worstFit, worstSum, uncoveredRatio, uncoveredFrames, longestWordFrames, wordCount };
  return { ...evidence, reason: undefined, confidence: 1 };
}
