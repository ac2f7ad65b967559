/**
 * Which sample of a reply's audio is heard at each instant: exact matching of what the ear played against what the synthesiser made. Pure.
 *
 * Speech of the simulated voice is made of words whose sound is always the same, so a window may fit in many places: the longest agreement
 * counts, and of equal ones the one nearest to where the reply should go on. Digital silence fits everywhere and is given to its neighbours.
 */
import type { HeardRun } from '../ear.js';

/** `count` samples from `heardSample` of the call are samples from `sourceSample` of the reference. */
export type SourceRun = { heardSample: number; sourceSample: number; count: number };

export type Heard = {
  /** In the order of hearing. */
  readonly runs: readonly SourceRun[];
  /** Samples played that are nowhere in the reference, silence apart. */
  readonly unknownSamples: number;
};

/** One past the last source sample that was heard; 0 when nothing was. */
export function heardUntil(heard: Heard): number {
  return heard.runs.reduce((most, { sourceSample, count }) => Math.max(most, sourceSample + count), 0);
}

/** Source samples below `until` that were never heard, and those that were heard more than once (each further hearing counts). */
export function gapsAndRepeats(heard: Heard, until: number): { missing: number; repeated: number } {
  const counts = new Uint16Array(until);
  for (const { sourceSample, count } of heard.runs) {
    for (let at = sourceSample; at < Math.min(until, sourceSample + count); at += 1) counts[at]! += 1;
  }
  let missing = 0;
  let repeated = 0;
  for (const count of counts) {
    if (count === 0) missing += 1;
    else repeated += count - 1;
  }
  return { missing, repeated };
}

/** Samples of a window: 4 ms. */
const windowSamples = 64;
/** One window of the reference in so many samples is indexed. */
const strideSamples = 16;
/** Sum of steps between neighbours; a window with less is silence, which fits everywhere. */
const activityMin = 256;
/** A shorter agreement is chance. */
const agreementMin = 128;
/** A fade-in or fade-out changes no more samples than this: 15 ms. */
const fadeSamplesMax = 240;
const candidatesMax = 64;

const base = 0x01000193;

function hashAt(audio: Int16Array, from: number): number {
  let hash = 0;
  for (let index = from; index < from + windowSamples; index += 1) hash = (Math.imul(hash, base) + audio[index]!) | 0;
  return hash;
}

function activityAt(audio: Int16Array, from: number): number {
  let activity = 0;
  for (let index = from + 1; index < from + windowSamples; index += 1) activity += Math.abs(audio[index]! - audio[index - 1]!);
  return activity;
}

/** An index of one reply's audio. */
export class Reference {
  readonly audio: Int16Array;
  readonly #places = new Map<number, number[]>();

  constructor(audio: Int16Array) {
    this.audio = audio;
    for (let at = 0; at + windowSamples <= audio.length; at += strideSamples) {
      if (activityAt(audio, at) < activityMin) continue;
      const hash = hashAt(audio, at);
      const known = this.#places.get(hash);
      if (known === undefined) this.#places.set(hash, [at]);
      else if (known.length < candidatesMax) known.push(at);
    }
  }

  /**
   * Finds what `lane` (16 kHz, from the beginning of the call) holds where the ear played one reply (`played`: its runs, in order).
   * Bounds come from the runs, so a hole in the middle of a pause is not mistaken for the pause.
   */
  find(lane: Int16Array, played: readonly HeardRun[]): Heard {
    const runs: SourceRun[] = [];
    let unknownSamples = 0;
    for (const { heardSample, count } of played) {
      const end = Math.min(lane.length, heardSample + count);
      unknownSamples += this.#findIn(lane, heardSample, end, runs);
    }
    return { runs, unknownSamples };
  }

  /** Appends the source of `lane[from..end)` to `runs`; returns how many samples have none. */
  #findIn(lane: Int16Array, from: number, end: number, runs: SourceRun[]): number {
    const earlier = runs.at(-1);
    let expected = earlier === undefined ? 0 : earlier.sourceSample + earlier.count;
    let floor = from;
    let unknown = 0;
    let at = from;
    while (at < end) {
      const place = this.#placeOf(lane, at, end, expected);
      if (place === undefined) {
        at += 1;
        continue;
      }
      const before = this.#backwards(lane, at, floor, place.source);
      const [start, source] = [at - before, place.source - before];
      unknown += soundIn(lane, floor, start);
      let length = place.count + before;
      length += this.#fading(lane, start + length, end, source + length);
      const last = runs.at(-1);
      const goesOn = last !== undefined && last.heardSample + last.count === start && last.sourceSample + last.count === source;
      if (goesOn) last.count += length;
      else runs.push({ heardSample: start, sourceSample: source, count: length });
      expected = source + length;
      floor = start + length;
      at = floor;
    }
    return unknown + soundIn(lane, floor, end);
  }

  /** Where the window at `at` comes from, and how far it agrees. */
  #placeOf(lane: Int16Array, at: number, end: number, expected: number): { source: number; count: number } | undefined {
    // A run may begin or end in silence: where the reply goes on, silence agrees, too.
    const goingOn = this.#agreeing(lane, at, end, expected);
    const isToEnd = goingOn > 0 && at + goingOn === end;
    if (isToEnd || goingOn >= agreementMin) {
      if (isToEnd || activityOver(lane, at, goingOn) >= activityMin) return { source: expected, count: goingOn };
    }
    if (at + windowSamples > end || activityAt(lane, at) < activityMin) return undefined;
    let best: { source: number; count: number } | undefined;
    for (const source of this.#places.get(hashAt(lane, at)) ?? []) {
      const count = this.#agreeing(lane, at, end, source);
      if (count < agreementMin && at + count < end) continue;
      const isNearer = best !== undefined && Math.abs(source - expected) < Math.abs(best.source - expected);
      if (best === undefined || count > best.count || (count === best.count && isNearer)) best = { source, count };
    }
    return best;
  }

  #agreeing(lane: Int16Array, at: number, end: number, source: number): number {
    const length = Math.min(end - at, this.audio.length - source);
    let count = 0;
    while (count < length && lane[at + count] === this.audio[source + count]) count += 1;
    return count;
  }

  /** How many samples before `at` come from before `source`: equal ones, then faded ones. */
  #backwards(lane: Int16Array, at: number, floor: number, source: number): number {
    const length = Math.min(at - floor, source);
    let count = 0;
    while (count < length && lane[at - 1 - count] === this.audio[source - 1 - count]) count += 1;
    let faded = 0;
    while (count < length && faded < fadeSamplesMax && isFaded(lane[at - 1 - count]!, this.audio[source - 1 - count]!)) {
      count += 1;
      faded += 1;
    }
    return count;
  }

  /** How many samples from `at` on are those from `source` on, faded. */
  #fading(lane: Int16Array, at: number, end: number, source: number): number {
    const length = Math.min(end - at, this.audio.length - source, fadeSamplesMax);
    let count = 0;
    while (count < length && isFaded(lane[at + count]!, this.audio[source + count]!)) count += 1;
    return at + count === end ? count : 0;
  }
}

/** Quieter, on the same side of zero. */
function isFaded(heard: number, source: number): boolean {
  return heard === 0 || (Math.sign(heard) === Math.sign(source) && Math.abs(heard) <= Math.abs(source) + 1);
}

function activityOver(lane: Int16Array, from: number, count: number): number {
  let activity = 0;
  for (let index = from + 1; index < from + count; index += 1) activity += Math.abs(lane[index]! - lane[index - 1]!);
  return activity;
}

/** Samples that are not zero. */
function soundIn(lane: Int16Array, from: number, end: number): number {
  let count = 0;
  for (let at = from; at < end; at += 1) if (lane[at] !== 0) count += 1;
  return count;
}
