/**
 * The simulated recogniser: which registered words received audio contains. A word is heard only if four fifths of its samples arrived;
 * audio that nobody registered, and silence, have no words. Runs on the simulator's main thread.
 */
import type { Clip, ClipLibrary, ClipWord } from './clips.js';
import { CorrelationIndex } from './correlation-match.js';
import { ExactIndex, type Segment } from './exact-match.js';
import { pickOf, randomOf } from './seeded.js';

/** Share of a word's samples that must have arrived. */
const coverageMin = 0.8;
/** A word that sounds this near the end makes the audio unfinished (a partial), not paused. */
const partialTailSamples = 1600;
/** 20 ms blocks; one above this RMS (-50 dBFS) is audible. */
const blockSamples = 320;
const audibleLevelMin = 104;
/** Audible audio that could not be placed is searched by correlation from this length on: 140 ms. */
const searchBlocksMin = 7;
/** Pauses up to 400 ms do not divide such a stretch. */
const bridgeBlocks = 20;

export type HeardWord = { readonly text: string; readonly startMs: number; readonly endMs: number };

export type Heard = {
  readonly words: readonly HeardWord[];
  /** Some block of the audio is audible. */
  readonly isAudible: boolean;
  /** The audio ends in a pause: nothing registered sounds in its last 100 ms. */
  readonly isPaused: boolean;
  /** Share of the samples that were found unchanged. */
  readonly exactRatio: number;
};

/** Words a recogniser writes when it errs. */
const confusions = [
  'the',
  'a',
  'and',
  'it',
  'for',
  'there',
  'know',
  'right',
  'four',
  'two',
  'weather',
  'our',
  'sure',
  'then',
  'buy',
  'meet',
];

export type WordErrors = { readonly ratio: number; readonly seed: number };

/** What becomes of a word; the same word of the same clip always meets the same fate, so partials agree with finals. */
function spelled(clip: Clip, index: number, text: string, errors: WordErrors): string {
  if (errors.ratio <= 0) return text;
  const random = randomOf(errors.seed, 'word', clip.id, index);
  if (random() >= errors.ratio) return text;
  if (random() < 0.3) return '';
  const punctuation = /[.,!?;:…]*$/.exec(text)?.[0] ?? '';
  return pickOf(random, confusions) + punctuation;
}

type Coverage = { readonly word: ClipWord; readonly index: number; samples: number; readonly atSample: number };
/** One hearing of one clip: words of a clip that is played twice are heard twice. */
type Pass = { readonly clip: Clip; clipEnd: number; readonly coverages: Map<number, Coverage> };

function indexOfFirstWordEndingAfter(words: readonly ClipWord[], sample: number): number {
  // Words are ordered by their start and may overlap, so the ends are only nearly ordered: a few words back is far enough.
  let low = 0;
  let high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle]!.startSample <= sample) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 8);
}

function cover(pass: Pass, segment: Segment): void {
  const clipTo = segment.clipFrom + segment.to - segment.from;
  const { words } = segment.clip;
  for (let index = indexOfFirstWordEndingAfter(words, segment.clipFrom); index < words.length; index += 1) {
    const word = words[index]!;
    if (word.startSample >= clipTo) break;
    const samples = Math.min(word.endSample, clipTo) - Math.max(word.startSample, segment.clipFrom);
    if (samples <= 0) continue;
    const coverage = pass.coverages.get(index);
    if (coverage !== undefined) coverage.samples += samples;
    else pass.coverages.set(index, { word, index, samples, atSample: segment.from + word.startSample - segment.clipFrom });
  }
  pass.clipEnd = clipTo;
}

function passesOf(segments: readonly Segment[]): Pass[] {
  const passes: Pass[] = [];
  for (const segment of segments) {
    const last = passes.at(-1);
    const goesOn = last !== undefined && last.clip === segment.clip && segment.clipFrom >= last.clipEnd;
    const pass = goesOn ? last : { clip: segment.clip, clipEnd: 0, coverages: new Map<number, Coverage>() };
    if (!goesOn) passes.push(pass);
    cover(pass, segment);
  }
  return passes;
}

/** Audible blocks of `audio`, as bits. */
function audibleBlocks(audio: Int16Array): Uint8Array {
  const blocks = new Uint8Array(Math.ceil(audio.length / blockSamples));
  for (let block = 0; block < blocks.length; block += 1) {
    const end = Math.min(audio.length, (block + 1) * blockSamples);
    let power = 0;
    for (let index = block * blockSamples; index < end; index += 1) power += audio[index]! ** 2;
    blocks[block] = power >= audibleLevelMin ** 2 * (end - block * blockSamples) ? 1 : 0;
  }
  return blocks;
}

export class Recogniser {
  readonly library: ClipLibrary;
  readonly #exact = new ExactIndex();
  readonly #correlation = new CorrelationIndex();

  constructor(library: ClipLibrary) {
    this.library = library;
  }

  /** To be called after each registration. */
  index(clip: Clip): void {
    this.#exact.add(clip);
  }

  clear(): void {
    this.library.clear();
    this.#exact.clear();
    this.#correlation.clear();
  }

  /** The words in `audio` (16 kHz, mono), in its order. */
  hear(audio: Int16Array, errors: WordErrors): Heard {
    const blocks = audibleBlocks(audio);
    const exact = this.#exact.find(audio);
    const exactSamples = exact.reduce((sum, segment) => sum + segment.to - segment.from, 0);
    const segments = this.#withCorrelated(audio, blocks, exact);
    const words: (HeardWord & { readonly atSample: number })[] = [];
    let isPaused = true;
    for (const pass of passesOf(segments)) {
      for (const { word, index, samples, atSample } of pass.coverages.values()) {
        const length = word.endSample - word.startSample;
        const endsAt = atSample + length;
        if (endsAt > audio.length - partialTailSamples) isPaused = false;
        if (samples < coverageMin * length) continue;
        const whole = endsAt <= audio.length ? word.text : word.text.replace(/[.,!?;:…]+$/, '');
        const text = spelled(pass.clip, index, whole, errors);
        if (text !== '') words.push({ text, startMs: atSample / 16, endMs: Math.min(endsAt, audio.length) / 16, atSample });
      }
    }
    words.sort((left, right) => left.atSample - right.atSample);
    return {
      words: words.map(({ text, startMs, endMs }) => ({ text, startMs: Math.max(0, startMs), endMs })),
      isAudible: blocks.includes(1),
      isPaused,
      exactRatio: audio.length === 0 ? 1 : exactSamples / audio.length,
    };
  }

  /** `exact` and what correlation finds in the audible stretches between. */
  #withCorrelated(audio: Int16Array, blocks: Uint8Array, exact: readonly Segment[]): Segment[] {
    if (this.library.clips.length === 0) return [];
    const segments = [...exact];
    for (const stretch of unplacedStretches(blocks, audio.length, exact)) {
      const neighbour = exact.findLast((segment) => segment.to <= stretch.to) ?? exact[0];
      const found = this.#correlation.find(this.library.clips, audio, stretch.from, stretch.to, neighbour);
      // What was found exactly is true; correlation only fills what lies between.
      segments.push(...found.filter((each) => !exact.some((other) => other.from < each.to && each.from < other.to)));
    }
    return segments.sort((left, right) => left.from - right.from);
  }
}

/** Stretches of audible blocks that no exact segment covers; those less than `bridgeBlocks` apart
 * are one stretch, and the quiet edges of words around it belong to it. */
function unplacedStretches(blocks: Uint8Array, length: number, exact: readonly Segment[]): { from: number; to: number }[] {
  const open = blocks.slice();
  for (const segment of exact) {
    open.fill(0, Math.ceil(segment.from / blockSamples), Math.floor(segment.to / blockSamples));
  }
  const stretches: { from: number; to: number; count: number }[] = [];
  for (const [block, isOpen] of open.entries()) {
    if (isOpen === 0) continue;
    const last = stretches.at(-1);
    const [from, to] = [block * blockSamples, (block + 1) * blockSamples];
    if (last === undefined || from - last.to > bridgeBlocks * blockSamples) stretches.push({ from, to, count: 1 });
    else {
      last.to = to;
      last.count += 1;
    }
  }
  const margin = bridgeBlocks * blockSamples;
  return stretches
    .filter((stretch) => stretch.count >= searchBlocksMin)
    .map(({ from, to }) => ({ from: Math.max(0, from - margin), to: Math.min(length, to + margin) }));
}
