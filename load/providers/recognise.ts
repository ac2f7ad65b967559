/**
 * The simulated recogniser: which registered words received audio contains. A word is heard only if four fifths of its samples arrived unchanged,
 * or if it arrived changed but stronger than everything else; audio that nobody registered, and silence, have no words. Runs on the simulator's
 * main thread.
 */
import type { Clip, ClipLibrary, ClipWord } from './clips.js';
import { CorrelationIndex, type Fit, Signal } from './correlation-match.js';
import { ExactIndex, type Segment } from './exact-match.js';
import { narrowbandOf } from './narrowband.js';
import { pickOf, randomOf } from './seeded.js';

/** Share of a word's samples that must have arrived. */
const coverageMin = 0.8;
/** A word that was changed on the way must be this much stronger than the rest, in dB, together with what is said around it. */
const snrMinDb = 5;
/** By itself it may be weaker: a listener guesses a swallowed "the". */
const ownSlackDb = 8;
/** What is said around it: so much in all. */
const contextSamples = 9600;
/** How far its level may be from what its clip is expected to arrive with, and from the registered one when nothing is said. */
const gainToleranceDb = 6;
const gainMaxDb = 30;
/** Level of a clip's words (root mean square) as they arrive: below it nobody hears them. */
const wordLevelMinDb = -50;
/** So much of a clip around what was found of it is looked at as well: in noise most of a word may be hidden. */
const reachSamples = 16_000;
/** One word found in two ways lies no further apart. */
const sameWordSamples = 1600;
/** Two hearings of one clip do not overlap by more: where it was lost in between, its place is only known to some samples. */
const overlapSamplesMax = 160;
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
  const ratio = clip.wordErrorRatio ?? errors.ratio;
  if (ratio <= 0) return text;
  const random = randomOf(errors.seed, 'word', clip.id, index);
  if (random() >= ratio) return text;
  if (random() < 0.3) return '';
  const punctuation = /[.,!?;:…]*$/.exec(text)?.[0] ?? '';
  return pickOf(random, confusions) + punctuation;
}

/** `samples`: how many were found unchanged. `isFound`: some part of it was found. */
type Coverage = {
  readonly word: ClipWord;
  readonly index: number;
  samples: number;
  isChanged: boolean;
  readonly isFound: boolean;
  readonly atSample: number;
};
/** One hearing of one clip: words of a clip that is played twice are heard twice. */
type Pass = { readonly clip: Clip; readonly segments: Segment[]; clipEnd: number; readonly coverages: Map<number, Coverage> };

/** Clips that are heard together, and where to look for them. */
type Group = { readonly clips: Set<Clip>; readonly exact: ExactIndex; readonly correlation: CorrelationIndex };

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

function cover(pass: Pass, segment: Segment, isExact: boolean): void {
  const clipTo = segment.clipFrom + segment.to - segment.from;
  const { words } = segment.clip;
  for (let index = indexOfFirstWordEndingAfter(words, segment.clipFrom); index < words.length; index += 1) {
    const word = words[index]!;
    if (word.startSample >= clipTo) break;
    const samples = Math.min(word.endSample, clipTo) - Math.max(word.startSample, segment.clipFrom);
    if (samples <= 0) continue;
    let coverage = pass.coverages.get(index);
    if (coverage === undefined) {
      const atSample = segment.from + word.startSample - segment.clipFrom;
      coverage = { word, index, samples: 0, isChanged: false, isFound: true, atSample };
      pass.coverages.set(index, coverage);
    }
    if (isExact) coverage.samples += samples;
    else coverage.isChanged = true;
  }
  pass.clipEnd = clipTo;
}

/** `segments` in order; those in `exact` were found unchanged. */
function passesOf(segments: readonly Segment[], exact: ReadonlySet<Segment>): Pass[] {
  const passes: Pass[] = [];
  for (const segment of segments) {
    const last = passes.at(-1);
    const goesOn = last !== undefined && last.clip === segment.clip && segment.clipFrom >= last.clipEnd - overlapSamplesMax;
    const pass = goesOn ? last : { clip: segment.clip, segments: [], clipEnd: 0, coverages: new Map<number, Coverage>() };
    if (!goesOn) passes.push(pass);
    pass.segments.push(segment);
    cover(pass, segment, exact.has(segment));
  }
  for (const pass of passes) if (pass.segments.some((segment) => !exact.has(segment))) reach(pass);
  return passes;
}

/** Adds the words around and between what was found of a clip that arrived changed. */
function reach(pass: Pass): void {
  const [first, last] = [pass.segments[0]!, pass.segments.at(-1)!];
  for (const [index, word] of pass.clip.words.entries()) {
    if (pass.coverages.has(index)) continue;
    if (word.endSample < first.clipFrom - reachSamples || word.startSample > pass.clipEnd + reachSamples) continue;
    const near = pass.segments.findLast(({ clipFrom }) => clipFrom <= word.startSample) ?? first;
    const atSample = word.startSample - near.clipFrom + near.from;
    if (atSample < first.from - reachSamples || atSample > last.to + reachSamples) continue;
    pass.coverages.set(index, { word, index, samples: 0, isChanged: true, isFound: false, atSample });
  }
}

/** In dBFS, of all its words. */
function levelOf({ audio, words }: Clip): number {
  let energy = 0;
  let count = 0;
  for (const { startSample, endSample } of words) {
    for (let index = startSample; index < endSample; index += 1) energy += audio[index]! ** 2;
    count += endSample - startSample;
  }
  return 10 * Math.log10(energy / count / 32768 ** 2);
}

/** `fitOf`: how samples of the clip arrived. */
function isUnderstood(clip: Clip, word: ClipWord, fitOf: (from: number, to: number) => Fit): boolean {
  const reach = Math.max(0, contextSamples - (word.endSample - word.startSample)) / 2;
  const context = fitOf(Math.max(0, Math.floor(word.startSample - reach)), Math.ceil(word.endSample + reach));
  const own = fitOf(word.startSample, word.endSample);
  const snrDb = clip.snrMinDb ?? snrMinDb;
  if (context.snrDb < snrDb || own.snrDb < snrDb - ownSlackDb) return false;
  // What was gated away has no energy; what was lost has no place.
  if (own.totalDb < context.gainDb - gainToleranceDb || own.missingRatio > 1 - coverageMin) return false;
  const expectedDb = clip.gainDb ?? 0;
  if (Math.abs(context.gainDb - expectedDb) > (clip.gainDb === undefined ? gainMaxDb : gainToleranceDb)) return false;
  return levelOf(clip) + context.gainDb >= wordLevelMinDb;
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
  readonly #groups = new Map<string, Group>();

  constructor(library: ClipLibrary) {
    this.library = library;
  }

  /** To be called after each registration. */
  index(clip: Clip): void {
    let group = this.#groups.get(clip.group);
    if (group === undefined) {
      group = { clips: new Set(), exact: new ExactIndex(), correlation: new CorrelationIndex() };
      this.#groups.set(clip.group, group);
    }
    group.clips.add(clip);
    group.exact.add(clip);
  }

  clear(): void {
    this.library.clear();
    this.#groups.clear();
  }

  /** The known group of clips that `prompt` names; empty without one. */
  groupOf(prompt: string): string {
    return prompt.split(/[,\s]+/).find((name) => this.#groups.has(name)) ?? '';
  }

  /** The words in `audio` (16 kHz, mono), in its order. `prompt`: of the request; may name a group of clips. */
  hear(audio: Int16Array, errors: WordErrors, prompt = ''): Heard {
    const isAudible = audibleBlocks(audio).includes(1);
    const group = this.#groups.get(this.groupOf(prompt));
    if (group === undefined) return { words: [], isAudible, isPaused: true, exactRatio: audio.length === 0 ? 1 : 0 };
    const exact = group.exact.find(audio);
    const exactSamples = exact.reduce((sum, segment) => sum + segment.to - segment.from, 0);
    const stretches = isAudible ? unplacedStretches(audio, exact) : [];
    const narrow = stretches.length === 0 ? undefined : new Signal(narrowbandOf(audio));
    const segments = narrow === undefined ? exact : withCorrelated(group, narrow, stretches, exact);
    const words: (HeardWord & { readonly word: ClipWord; readonly atSample: number })[] = [];
    let isPaused = true;
    for (const { clip, coverages, segments: places } of passesOf(segments, new Set(exact))) {
      for (const { word, index, samples, isChanged, isFound, atSample } of coverages.values()) {
        const length = word.endSample - word.startSample;
        const endsAt = atSample + length;
        if (isFound && endsAt > audio.length - partialTailSamples) isPaused = false;
        if (samples < coverageMin * length) {
          if (!isChanged || narrow === undefined) continue;
          if (!isUnderstood(clip, word, (from, to) => group.correlation.fit(narrow, places, from, to))) continue;
        }
        const whole = endsAt <= audio.length ? word.text : word.text.replace(/[.,!?;:…]+$/, '');
        const text = spelled(clip, index, whole, errors);
        const isTwice = words.some((other) => other.word === word && Math.abs(other.atSample - atSample) < sameWordSamples);
        if (text !== '' && !isTwice)
          words.push({ text, startMs: atSample / 16, endMs: Math.min(endsAt, audio.length) / 16, atSample, word });
      }
    }
    words.sort((left, right) => left.atSample - right.atSample);
    return {
      words: words.map(({ text, startMs, endMs }) => ({ text, startMs: Math.max(0, startMs), endMs })),
      isAudible,
      isPaused,
      exactRatio: audio.length === 0 ? 1 : exactSamples / audio.length,
    };
  }
}

/** `exact` and what correlation finds in the audible stretches between. */
function withCorrelated(group: Group, narrow: Signal, stretches: readonly Stretch[], exact: readonly Segment[]): Segment[] {
  const segments = [...exact];
  for (const { from, to } of stretches) {
    const neighbour = exact.findLast((segment) => segment.to <= to) ?? exact[0];
    const found = group.correlation.find(group.clips, narrow, from, to, neighbour);
    // What was found exactly is true; correlation only fills what lies between.
    segments.push(...found.filter((each) => !exact.some((other) => other.from < each.to && each.from < other.to)));
  }
  return segments.sort((left, right) => left.from - right.from);
}

type Stretch = { readonly from: number; readonly to: number };

/**
 * Stretches of blocks that are audible without what exact segments cover: a hole in exact audio holds nothing to be found. Those less than
 * `bridgeBlocks` apart are one stretch, and the quiet edges of words around it belong to it.
 */
function unplacedStretches(audio: Int16Array, exact: readonly Segment[]): Stretch[] {
  const { length } = audio;
  const rest = exact.length === 0 ? audio : audio.slice();
  for (const segment of exact) rest.fill(0, segment.from, segment.to);
  const stretches: { from: number; to: number; count: number }[] = [];
  for (const [block, isOpen] of audibleBlocks(rest).entries()) {
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
