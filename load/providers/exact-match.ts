/**
 * Finds registered audio inside received audio, sample by sample: a rolling hash finds a first window, comparison extends it both ways.
 * Audio that passed through untouched is found to the last sample, at the price of a memory comparison. Pure apart from its index; runs on
 * the simulator's main thread.
 */
import type { Clip } from './clips.js';

/** Received samples `from`..`to` (exclusive) are clip samples `clipFrom`.. of `clip`. */
export type Segment = { readonly clip: Clip; readonly from: number; readonly to: number; readonly clipFrom: number };

/** Samples in a window. */
const windowSamples = 64;
/** A shorter agreement is chance: rounding often leaves a few neighbours unchanged (16 ms). */
const segmentSamplesMin = 256;
/** One window in so many samples is indexed, so a surviving 20 ms frame (320 samples) always holds a whole one. */
const strideSamples = 160;
/** Sum of the steps between neighbours in a window; less is silence, which identifies nothing (64 steps of 4). */
const activityMin = 256;
/** Windows that many clips share are compared with only so many of them. */
const candidatesMax = 16;

/** Bits of the hash that the filter in front of the index looks at: half a megabyte, which stays in the processor's cache. */
const filterBits = 22;

const base = 0x01000193;
const baseToWindow = (() => {
  let power = 1;
  for (let index = 1; index < windowSamples; index += 1) power = Math.imul(power, base);
  return power;
})();

/** Hash and activity of a window that moves one sample at a time. */
class RollingWindow {
  hash = 0;
  activity = 0;
  readonly #audio: Int16Array;

  constructor(audio: Int16Array) {
    this.#audio = audio;
  }

  /** Jumps to the window that begins at `from`. */
  moveTo(from: number): void {
    const audio = this.#audio;
    let hash = 0;
    let activity = 0;
    for (let index = from; index < from + windowSamples; index += 1) {
      hash = (Math.imul(hash, base) + audio[index]!) | 0;
      if (index > from) activity += Math.abs(audio[index]! - audio[index - 1]!);
    }
    this.hash = hash;
    this.activity = activity;
  }

  /** From the window that begins at `from` to the next one. */
  advance(from: number): void {
    const audio = this.#audio;
    const leaving = audio[from]!;
    const entering = audio[from + windowSamples]!;
    this.hash = (Math.imul(this.hash - Math.imul(leaving, baseToWindow), base) + entering) | 0;
    this.activity += Math.abs(entering - audio[from + windowSamples - 1]!) - Math.abs(audio[from + 1]! - leaving);
  }
}

function agreeing(audio: Int16Array, from: number, to: number, clip: Clip, clipFrom: number): number {
  const length = Math.min(to - from, clip.length - clipFrom);
  const other = clip.audio;
  let count = 0;
  while (count < length && audio[from + count] === other[clipFrom + count]) count += 1;
  return count;
}

function agreeingBackwards(audio: Int16Array, from: number, floor: number, clip: Clip, clipFrom: number): number {
  const length = Math.min(from - floor, clipFrom);
  const other = clip.audio;
  let count = 0;
  while (count < length && audio[from - 1 - count] === other[clipFrom - 1 - count]) count += 1;
  return count;
}

export class ExactIndex {
  /** Hash → newest entry; entries chain to older ones of the same hash. */
  readonly #heads = new Map<number, number>();
  #entries: { clip: Clip; at: number; next: number }[] = [];
  /** 1 where some entry's hash begins with these bits: spares unregistered audio a look-up for each sample. */
  readonly #filter = new Int32Array(2 ** (filterBits - 5));
  readonly #indexed = new Map<Clip, number>();

  /** Indexes what of `clip` is not indexed yet. */
  add(clip: Clip): void {
    let at = this.#indexed.get(clip) ?? 0;
    const window = new RollingWindow(clip.audio);
    for (; at + windowSamples <= clip.length; at += strideSamples) {
      window.moveTo(at);
      if (window.activity < activityMin) continue;
      this.#entries.push({ clip, at, next: this.#heads.get(window.hash) ?? -1 });
      this.#heads.set(window.hash, this.#entries.length - 1);
      const bit = window.hash >>> (32 - filterBits);
      this.#filter[bit >> 5] = this.#filter[bit >> 5]! | (1 << (bit & 31));
    }
    this.#indexed.set(clip, at);
  }

  clear(): void {
    this.#heads.clear();
    this.#filter.fill(0);
    this.#entries = [];
    this.#indexed.clear();
  }

  /** Segments of `audio` that are registered, in order and without overlap. */
  find(audio: Int16Array): Segment[] {
    const segments: Segment[] = [];
    const window = new RollingWindow(audio);
    let floor = 0;
    let at = 0;
    if (audio.length < windowSamples) return segments;
    window.moveTo(0);
    for (;;) {
      const segment = this.#segmentAt(audio, at, floor, window, segments.at(-1));
      if (segment !== undefined) {
        segments.push(segment);
        floor = segment.to;
        at = segment.to;
        if (at + windowSamples > audio.length) return segments;
        window.moveTo(at);
        continue;
      }
      if (at + windowSamples >= audio.length) return segments;
      window.advance(at);
      at += 1;
    }
  }

  #segmentAt(
    audio: Int16Array,
    at: number,
    floor: number,
    window: RollingWindow,
    last: Segment | undefined,
  ): Segment | undefined {
    if (window.activity < activityMin) return undefined;
    // Where a lost frame was filled with silence, the same clip goes on at the same distance.
    const continued = last === undefined ? undefined : { clip: last.clip, at: last.clipFrom + at - last.from };
    let best = continued;
    let bestLength = continued === undefined ? 0 : agreeing(audio, at, audio.length, continued.clip, continued.at);
    if (bestLength < windowSamples) {
      const bit = window.hash >>> (32 - filterBits);
      if ((this.#filter[bit >> 5]! & (1 << (bit & 31))) === 0) return undefined;
      bestLength = 0;
      let candidates = 0;
      for (let entry = this.#heads.get(window.hash) ?? -1; entry >= 0 && candidates < candidatesMax; candidates += 1) {
        const candidate = this.#entries[entry]!;
        const length = agreeing(audio, at, audio.length, candidate.clip, candidate.at);
        const isLonger = length > bestLength || (length === bestLength && candidate.clip === last?.clip);
        if (length >= windowSamples && isLonger) {
          best = candidate;
          bestLength = length;
        }
        entry = candidate.next;
      }
    }
    if (best === undefined || bestLength < windowSamples) return undefined;
    const before = agreeingBackwards(audio, at, floor, best.clip, best.at);
    if (before + bestLength < segmentSamplesMin) return undefined;
    return { clip: best.clip, from: at - before, to: at + bestLength, clipFrom: best.at - before };
  }
}
