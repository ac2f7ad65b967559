/**
 * Where in the replies a sound comes from: rough places by a copy of an eighth of the rate, refined to the sample, told apart by what follows and by how far
 * they lie from where the reply was left. First where it is likely, then everywhere. Pure.
 */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import { windowSamples } from './audible.js';
import type { Signal } from './signal.js';
import { coarseOf, coarseStep, type Template } from './template.js';

/** `score`: correlation of what follows, plus the share of it that goes along the reply. */
export type Found = {
  readonly template: Template;
  readonly source: number;
  readonly correlation: number;
  readonly score: number;
};

/** What the search knows of each reply: its first arrival at the device, and the source sample after the last one heard. In lane samples. */
export type Known = { readonly template: Template; readonly arrivedAt: number; readonly leftAt: number | undefined };

const searchSamples = samplesIn(ms(60), inputRateHz);
const shortSearchSamples = samplesIn(ms(10), inputRateHz);
const longSearchSamples = samplesIn(ms(300), inputRateHz);
/** The longest fade at a beginning that is reckoned with. */
const fadeSamples = samplesIn(ms(15), inputRateHz);
/** A place is told from the same word elsewhere by as much of what follows as is heard, up to this. */
const confirmSamples = samplesIn(ms(800), inputRateHz);
export const acceptCorrelation = 0.9;
/** Enough when nearly all that follows goes along: the beginning is faded. */
const acceptFadedCorrelation = 0.8;
/** Short stretches resemble each other more. */
const acceptShortCorrelation = 0.97;
/** With this score (of 2) the likeliest place needs no rival. */
const sureScore = 1.85;
const roughCorrelation = 0.5;
const rivalCorrelation = 0.7;
const roughPlacesMax = 30;
const rivalsMax = 16;
/** Where a reply is likely to go on: this far behind and ahead of where it was left. */
const backSamples = samplesIn(ms(1500), inputRateHz);
const aheadSamples = samplesIn(ms(1000), inputRateHz);
/** Where a reply begins: this far around its first audible sample. */
const startSamples = samplesIn(ms(60), inputRateHz);
/** What a place loses by lying this far from where the reply was left, or further. */
const detourMax = 0.03;
const detourSamples = samplesIn(ms(2000), inputRateHz);

type Range = Known & { readonly from: number; readonly to: number };

/** The source of what sounds from lane sample `at` on; `everywhere`: also where it is not likely. */
export function findSource(signal: Signal, at: number, replies: readonly Known[], everywhere: boolean): Found | undefined {
  const known = replies
    .filter(({ arrivedAt }) => arrivedAt <= at + windowSamples)
    .sort((left, right) => right.arrivedAt - left.arrivedAt);
  const sounding = signal.soundingFrom(at, fadeSamples + searchSamples);
  if (sounding < shortSearchSamples) return undefined;
  // The beginning may be faded, which makes it look like other places.
  const begin = sounding === fadeSamples + searchSamples ? at + fadeSamples : at;
  const search = new Search(signal, at, begin);
  // What sounds shorter than the window may be the end of a word before a gap, or all that was heard before a stop.
  const found =
    search.find(Math.min(searchSamples, signal.length - begin), known, everywhere) ??
    (sounding < searchSamples ? search.find(sounding, known, everywhere) : undefined);
  return found && { ...found, source: found.source - (begin - at) };
}

class Search {
  readonly #signal: Signal;
  readonly #at: number;
  readonly #lateSamples: number;

  /** What is compared begins at `begin`, a little after the sound does. */
  constructor(signal: Signal, soundAt: number, begin: number) {
    this.#signal = signal;
    this.#at = begin;
    this.#lateSamples = begin - soundAt;
  }

  /** Compares `count` samples. */
  find(count: number, known: readonly Known[], everywhere: boolean): Found | undefined {
    const likely = this.#best(count, known.map(likelyIn));
    if (likely !== undefined && likely.score >= sureScore) return likely;
    const all = everywhere ? this.#best(count, known.map(wholeOf)) : undefined;
    const best = all !== undefined && all.score > (likely?.score ?? 0) + 0.01 ? all : likely;
    if (best === undefined) return undefined;
    const whole = best.score >= sureScore ? acceptFadedCorrelation : acceptCorrelation;
    return best.correlation >= (count < searchSamples ? acceptShortCorrelation : whole) ? best : undefined;
  }

  #best(count: number, ranges: readonly Range[]): Found | undefined {
    const rivals: (Found & { readonly leftAt: number | undefined })[] = [];
    const rough = coarseOf(this.#signal.samples, this.#at, Math.floor(count / coarseStep));
    for (const range of ranges) {
      const { template, leftAt } = range;
      const places = roughPlaces(rough, range);
      if (leftAt !== undefined) places.unshift(leftAt + this.#lateSamples);
      for (const place of places) {
        const refined = this.#refined(count, template, place);
        if (refined !== undefined) rivals.push({ ...refined, leftAt });
      }
    }
    rivals.sort((left, right) => right.correlation - left.correlation);
    // The same sound occurs more than once, word for word: what follows decides, and of equals the one named first.
    let best: Found | undefined;
    for (const { leftAt, ...rival } of rivals.slice(0, rivalsMax)) {
      const score = this.#correlationBeyond(rival) + this.#followedShare(rival) - this.#detour(rival.source, leftAt);
      if (best === undefined || score > best.score + 0.001) best = { ...rival, score };
    }
    return best;
  }

  /** The best place within a rough sample of `place`. */
  #refined(count: number, template: Template, place: number): Found | undefined {
    let [source, correlation] = [place, -1];
    const tryAt = (candidate: number): void => {
      const value = this.#signal.correlation(this.#at, template, candidate, count);
      if (value > correlation) [source, correlation] = [candidate, value];
    };
    for (let candidate = place - coarseStep; candidate <= place + coarseStep; candidate += 2) tryAt(candidate);
    const middle = source;
    tryAt(middle - 1);
    tryAt(middle + 1);
    return correlation < rivalCorrelation ? undefined : { template, source, correlation, score: correlation };
  }

  /** Between places that are equally good the one wins that is nearer to where the reply was left. */
  #detour(source: number, leftAt: number | undefined): number {
    const away = leftAt === undefined ? 0 : Math.abs(source - leftAt - this.#lateSamples);
    return detourMax * Math.min(1, away / detourSamples);
  }

  /** The correlation of all that sounds on. */
  #correlationBeyond({ template, source, correlation }: Found): number {
    const count = this.#signal.soundingFrom(this.#at, longSearchSamples);
    return count < searchSamples ? correlation : this.#signal.correlation(this.#at, template, source, count);
  }

  /** Share of what sounds on that goes along the reply. That the reply goes on where nothing sounds says nothing: it was stopped. */
  #followedShare({ template, source }: Found): number {
    let [followed, all] = [0, 0];
    const count = Math.min(confirmSamples, this.#signal.length - this.#at);
    for (let i = 0; i + windowSamples <= count; i += windowSamples) {
      if (this.#signal.isQuiet(this.#at + i)) continue;
      all += 1;
      if (this.#signal.verdict(this.#at + i, template, source + i) !== 'parts') followed += 1;
    }
    return followed / Math.max(1, all);
  }
}

function likelyIn(known: Known): Range {
  const { template, leftAt } = known;
  const [from, to] =
    leftAt === undefined
      ? [template.firstAudible - startSamples, template.firstAudible + startSamples]
      : [leftAt - backSamples, leftAt + aheadSamples];
  return { ...known, from: Math.max(0, from), to: Math.min(template.samples.length, to) };
}

function wholeOf(known: Known): Range {
  return { ...known, from: 0, to: known.template.samples.length };
}

/** Source samples at which the rough copies agree, the best first. */
function roughPlaces(rough: Float32Array, { template, from, to }: Range): number[] {
  let energy = 0;
  for (const value of rough) energy += value ** 2;
  if (energy === 0) return [];
  const { coarse, coarseSquares } = template;
  const first = Math.floor(from / coarseStep);
  const last = Math.min(Math.ceil(to / coarseStep), coarse.length - rough.length);
  const places: { at: number; correlation: number }[] = [];
  let [before, here] = [0, 0];
  for (let k = first; k <= last + 1; k++) {
    let next = 0;
    if (k <= last) {
      let dot = 0;
      for (let j = 0; j < rough.length; j++) dot += rough[j]! * coarse[k + j]!;
      const sourceEnergy = coarseSquares[k + rough.length]! - coarseSquares[k]!;
      next = sourceEnergy <= 0 ? 0 : dot / Math.sqrt(energy * sourceEnergy);
    }
    if (here >= roughCorrelation && here >= before && here >= next) places.push({ at: (k - 1) * coarseStep, correlation: here });
    [before, here] = [here, next];
  }
  return places
    .sort((left, right) => right.correlation - left.correlation)
    .slice(0, roughPlacesMax)
    .map(({ at }) => at);
}
