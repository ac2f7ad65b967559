/**
 * Which sample of which reply was heard when: the heard lane is cut into pieces, each of which runs along one reply at one lag. Where something
 * audible is not explained yet, 60 ms of it are looked for in the replies by normalised correlation (first where it is likely, then everywhere); what
 * is found is followed to both sides, 5 ms at a time, until lane and reply part, and the place where they do is found to the sample. Pure.
 */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import type { AudioArrival, SynthesisedReply } from '../run-record.js';
import { type Audible, samplesPerMs, windowSamples } from './audible.js';
import { coarseOf, coarseStep, prefixSquares, type Template, templateOf } from './template.js';

/** Lane samples [heardFrom, heardFrom + count) are source samples from `sourceFrom` on. */
export type Piece = { readonly template: Template; heardFrom: number; sourceFrom: number; count: number };

export type SourceMatch = {
  readonly templates: readonly Template[];
  readonly pieces: readonly Piece[];
  /** Audible windows that pieces explain. */
  readonly matchedRatio: number;
};

const searchSamples = samplesIn(ms(60), inputRateHz);
const shortSearchSamples = samplesIn(ms(10), inputRateHz);
/** The longest fade at a beginning that is reckoned with. */
const fadeSamples = samplesIn(ms(15), inputRateHz);
/** A candidate is told from the same word elsewhere in the reply by as much of what follows as is heard, up to this. */
const confirmSamples = samplesIn(ms(800), inputRateHz);
const longSearchSamples = samplesIn(ms(300), inputRateHz);
const acceptCorrelation = 0.9;
/** Enough when nearly all that follows goes along: the beginning is faded. */
const acceptFadedCorrelation = 0.8;
/** Short stretches resemble each other more. */
const acceptShortCorrelation = 0.97;
/** With this score (of 2) the likeliest place needs no rival. */
const sureScore = 1.85;
const coarseCorrelation = 0.5;
const rivalCorrelation = 0.7;
const roughPlacesMax = 30;
const candidatesMax = 16;
/** What goes on along the reply has at least this correlation in each window of 5 ms. */
const followCorrelation = 0.85;
/** Root mean square of a window below which neither lane nor reply say anything: -60 dBFS. */
const quietLevel = 32768 * 10 ** (-60 / 20);
const quietEnergy = quietLevel ** 2 * windowSamples;
/** A break shorter than this at the same lag is no break of the source. */
const bridgeSamples = samplesIn(ms(40), inputRateHz);
/** What a place loses by lying this far from where the reply was left, or further. */
const detourMax = 0.03;
const detourSamples = samplesIn(ms(2000), inputRateHz);
/** Where a reply is likely to go on: this far behind and ahead of where it was left. */
const backSamples = samplesIn(ms(1500), inputRateHz);
const aheadSamples = samplesIn(ms(1000), inputRateHz);
/** Where a reply begins, beyond its first audible sample. */
const startSamples = samplesIn(ms(60), inputRateHz);
/** After this many looks everywhere in vain only every tenth window is looked for everywhere. */
const vainLooksMax = 10;
/** Beside a sound that is cut off a telephone line rings with up to this share of its level, for a few samples. */
const phoneRingRatio = 0.025;
const ringReach = 8;
/** A sample of the lane up to this may stand for silence. */
const silentSample = 2;
/** A piece that agrees this well with where the next one comes from belongs to it. */
const refitCorrelation = 0.97;

/** `score`: correlation of what follows, plus the share of it that goes along the reply. */
type Found = { readonly template: Template; readonly source: number; readonly correlation: number; readonly score: number };

export function matchSources(
  heard: Int16Array,
  audible: Audible,
  replies: readonly SynthesisedReply[],
  audio: readonly AudioArrival[],
  isPhone: boolean,
): SourceMatch {
  const templates = replies.filter(({ samples }) => samples.length > 0).map((reply) => templateOf(reply, isPhone));
  const matcher = new Matcher(heard, audible, templates, arrivalsOf(audio), isPhone ? phoneRingRatio : 0);
  const pieces = matcher.run();
  return { templates, pieces, matchedRatio: matchedRatio(audible, pieces) };
}

/** First arrival of each id, in samples of the lane. */
function arrivalsOf(audio: readonly AudioArrival[]): Map<number, number> {
  const arrivals = new Map<number, number>();
  for (const { atMs, eventId } of audio) if (!arrivals.has(eventId)) arrivals.set(eventId, atMs * samplesPerMs);
  return arrivals;
}

function matchedRatio(audible: Audible, pieces: readonly Piece[]): number {
  let [all, explained] = [0, 0];
  let index = 0;
  for (let window = 0; window < audible.windowCount; window++) {
    if (!audible.isWindow(window)) continue;
    all += 1;
    const from = window * windowSamples;
    while (index < pieces.length && pieces[index]!.heardFrom + pieces[index]!.count <= from) index += 1;
    const piece = pieces[index];
    if (piece !== undefined && piece.heardFrom < from + windowSamples) explained += 1;
  }
  return all === 0 ? 1 : explained / all;
}

class Matcher {
  readonly #lane: Float32Array;
  readonly #squares: Float64Array;
  readonly #audible: Audible;
  readonly #templates: readonly Template[];
  readonly #arrivals: ReadonlyMap<number, number>;
  /** Share of the reply's level below which a sample is the line's own ringing. */
  readonly #ringRatio: number;
  readonly #pieces: Piece[] = [];

  constructor(
    heard: Int16Array,
    audible: Audible,
    templates: readonly Template[],
    arrivals: ReadonlyMap<number, number>,
    ringRatio: number,
  ) {
    this.#lane = Float32Array.from(heard);
    this.#squares = prefixSquares(this.#lane);
    this.#audible = audible;
    this.#templates = templates;
    this.#arrivals = arrivals;
    this.#ringRatio = ringRatio;
  }

  run(): Piece[] {
    let vain = 0;
    for (let window = 0; window < this.#audible.windowCount; ) {
      if (!this.#audible.isWindow(window)) {
        window += 1;
        continue;
      }
      // From a sample that sounds on: before it the reply may have gone on unheard.
      const at = this.#audible.firstIn(Math.max(window * windowSamples, this.#end()), (window + 1) * windowSamples);
      if (at === undefined) {
        window += 1;
        continue;
      }
      const found = this.#find(at, vain < vainLooksMax || vain % 10 === 0);
      if (found === undefined) {
        vain += 1;
        window += 1;
        continue;
      }
      vain = 0;
      const piece = this.#follow(at, found);
      this.#pieces.push(piece);
      window = Math.max(window, Math.floor(this.#end() / windowSamples));
    }
    return joined(this.#refitted(), this.#squares);
  }

  /** One word sounds like another: a piece that might as well go before the next one, without a jump, does. */
  #refitted(): Piece[] {
    const pieces = [...this.#pieces];
    for (let index = pieces.length - 2; index >= 0; index--) {
      const [piece, next] = [pieces[index]!, pieces[index + 1]!];
      const shift = next.sourceFrom - next.heardFrom;
      if (piece.template === next.template && piece.sourceFrom - piece.heardFrom === shift) continue;
      const { heardFrom, count } = piece;
      if (this.#correlation(heardFrom, next.template, heardFrom + shift, count) < refitCorrelation) continue;
      const before = pieces[index - 1];
      const floor = Math.max(before === undefined ? 0 : before.heardFrom + before.count, -shift);
      const from = this.#firstSample(heardFrom, next.template, shift, floor);
      const to = heardFrom + count;
      pieces[index] = { template: next.template, heardFrom: from, sourceFrom: from + shift, count: to - from };
    }
    return pieces;
  }

  /** Where what is explained so far ends. */
  #end(): number {
    const last = this.#pieces.at(-1);
    return last === undefined ? 0 : last.heardFrom + last.count;
  }

  /** Where in the replies the sound at `at` comes from. */
  #find(at: number, everywhere: boolean): Found | undefined {
    const known = this.#templates
      .filter(({ eventId }) => (this.#arrivals.get(eventId) ?? Number.NEGATIVE_INFINITY) <= at + windowSamples)
      .sort((left, right) => (this.#arrivals.get(right.eventId) ?? 0) - (this.#arrivals.get(left.eventId) ?? 0));
    const sounding = this.#soundingFrom(at, fadeSamples + searchSamples);
    if (sounding < shortSearchSamples) return undefined;
    // The beginning may be faded, which makes it look like other places.
    const begin = sounding === fadeSamples + searchSamples ? at + fadeSamples : at;
    // What sounds shorter than the window may be the end of a word before a gap, or all that was heard before a stop.
    const found =
      this.#findWith(begin, Math.min(searchSamples, this.#lane.length - begin), known, everywhere) ??
      (sounding < searchSamples ? this.#findWith(begin, sounding, known, everywhere) : undefined);
    return found && { ...found, source: found.source - (begin - at) };
  }

  #findWith(at: number, count: number, known: readonly Template[], everywhere: boolean): Found | undefined {
    const likely = this.#best(
      at,
      count,
      known.flatMap((template) => this.#likely(template)),
    );
    if (likely !== undefined && likely.score >= sureScore) return likely;
    const all = everywhere ? this.#best(at, count, known.map(wholeOf)) : undefined;
    const best = all !== undefined && all.score > (likely?.score ?? 0) + 0.01 ? all : likely;
    if (best === undefined) return undefined;
    const accept =
      count < searchSamples ? acceptShortCorrelation : best.score >= sureScore ? acceptFadedCorrelation : acceptCorrelation;
    return best.correlation >= accept ? best : undefined;
  }

  /** How much of the lane from `at` on can be heard before at least 10 ms of nothing. */
  #soundingFrom(at: number, countMax: number): number {
    const length = Math.min(countMax, this.#lane.length - at);
    let silent = 0;
    for (let i = 0; i + windowSamples <= length; i += windowSamples) {
      silent = this.#squares[at + i + windowSamples]! - this.#squares[at + i]! < quietEnergy ? silent + 1 : 0;
      if (silent === 2) return i - windowSamples;
    }
    return length;
  }

  #likely(template: Template): Range[] {
    const last = this.#pieces.findLast((piece) => piece.template === template);
    if (last === undefined)
      return [{ template, from: Math.max(0, template.firstAudible - startSamples), to: template.firstAudible + startSamples }];
    const end = last.sourceFrom + last.count;
    return [{ template, from: Math.max(0, end - backSamples), to: Math.min(template.samples.length, end + aheadSamples) }];
  }

  #best(at: number, count: number, ranges: readonly Range[]): Found | undefined {
    const candidates: Found[] = [];
    const rough = coarseOf(this.#lane, at, Math.floor(count / coarseStep));
    for (const range of ranges) {
      const last = this.#pieces.findLast((piece) => piece.template === range.template);
      if (last !== undefined) candidates.push(...this.#refined(at, count, range.template, this.#nextOf(last, at)));
      for (const source of roughPlaces(rough, range)) candidates.push(...this.#refined(at, count, range.template, source));
    }
    candidates.sort((left, right) => right.correlation - left.correlation);
    const rivals = candidates.slice(0, candidatesMax);
    // The same sound occurs more than once, word for word: what follows decides, and of equals the one named first.
    let best: Found | undefined;
    for (const rival of rivals) {
      const score = this.#correlationBeyond(at, rival) + this.#followedFrom(at, rival) - this.#detour(at, rival);
      if (best === undefined || score > best.score + 0.001) best = { ...rival, score };
    }
    return best;
  }

  /** Where `piece` goes on when nothing is left out, for a search that begins a little after the sound. */
  #nextOf(piece: Piece, at: number): number {
    const begun = this.#squares[at]! - this.#squares[Math.max(0, at - fadeSamples)]! > 0;
    return piece.sourceFrom + piece.count + (begun ? fadeSamples : 0);
  }

  /** The best place within two rough samples of `source`. */
  #refined(at: number, count: number, template: Template, source: number): Found[] {
    let best: Found | undefined;
    const tryPlace = (place: number): void => {
      const correlation = this.#correlation(at, template, place, count);
      if (best === undefined || correlation > best.correlation)
        best = { template, source: place, correlation, score: correlation };
    };
    for (let place = source - coarseStep; place <= source + coarseStep; place += 2) tryPlace(place);
    const middle = (best as Found | undefined)?.source ?? source;
    tryPlace(middle - 1);
    tryPlace(middle + 1);
    const found = best as Found | undefined;
    return found === undefined || found.correlation < rivalCorrelation ? [] : [found];
  }

  #correlation(at: number, template: Template, source: number, count: number): number {
    const [from, to] = clipped(at, template, source, count, this.#lane.length);
    if (to <= from) return 0;
    const lane = this.#lane;
    const samples = template.samples;
    const shift = source - at;
    let dot = 0;
    for (let i = from; i < to; i++) dot += lane[i]! * samples[i + shift]!;
    const energy = this.#squares[Math.min(lane.length, at + count)]! - this.#squares[at]!;
    const sourceEnergy = template.squares[to + shift]! - template.squares[from + shift]!;
    return energy <= 0 || sourceEnergy <= 0 ? 0 : dot / Math.sqrt(energy * sourceEnergy);
  }

  /** Between places that are equally good the one wins that is nearer to where the reply was left. */
  #detour(at: number, { template, source }: Found): number {
    const last = this.#pieces.findLast((piece) => piece.template === template);
    const away = last === undefined ? 0 : Math.abs(source - this.#nextOf(last, at));
    return detourMax * Math.min(1, away / detourSamples);
  }

  /** The correlation of all that sounds on. */
  #correlationBeyond(at: number, { template, source, correlation }: Found): number {
    const count = this.#soundingFrom(at, longSearchSamples);
    return count < searchSamples ? correlation : this.#correlation(at, template, source, count);
  }

  /** Share of what sounds from `at` on that goes along the reply. That the reply goes on where nothing sounds says nothing: it was stopped. */
  #followedFrom(at: number, { template, source }: Found): number {
    let [followed, all] = [0, 0];
    for (let i = 0; i < confirmSamples && at + i + windowSamples <= this.#lane.length; i += windowSamples) {
      if (this.#squares[at + i + windowSamples]! - this.#squares[at + i]! < quietEnergy) continue;
      all += 1;
      if (this.#verdict(at + i, template, source + i) !== 'parts') followed += 1;
    }
    return followed / Math.max(1, all);
  }

  #verdict(at: number, template: Template, source: number): 'follows' | 'parts' | 'silent' {
    const energy = this.#squares[at + windowSamples]! - this.#squares[at]!;
    const from = Math.min(template.samples.length, Math.max(0, source));
    const to = Math.min(template.samples.length, Math.max(0, source + windowSamples));
    const sourceEnergy = template.squares[to]! - template.squares[from]!;
    if (energy < quietEnergy && sourceEnergy < quietEnergy) return 'silent';
    // A faint window that lies beside silence says little: it may be the codec's.
    if (energy < quietEnergy / 4 || sourceEnergy < quietEnergy / 4)
      return Math.max(energy, sourceEnergy) < 4 * quietEnergy ? 'silent' : 'parts';
    return this.#correlation(at, template, source, windowSamples) >= followCorrelation ? 'follows' : 'parts';
  }

  #follow(at: number, found: Found): Piece {
    const { template } = found;
    const shift = found.source - at;
    const to = this.#lastSample(at, template, shift);
    const from = this.#firstSample(at, template, shift, Math.max(this.#end(), -shift));
    return { template, heardFrom: from, sourceFrom: from + shift, count: Math.max(1, to - from) };
  }

  /** The end of what goes along the reply from `at` on. */
  #lastSample(at: number, template: Template, shift: number): number {
    const limit = Math.min(this.#lane.length, template.samples.length - shift);
    let end = at;
    let place = at;
    for (; place + windowSamples <= limit; place += windowSamples) {
      const verdict = this.#verdict(place, template, place + shift);
      if (verdict === 'follows') end = place + windowSamples;
      if (verdict !== 'parts' || place === at) continue;
      const next = place + windowSamples;
      const goesOn =
        next + bridgeSamples <= limit && this.#correlation(next, template, next + shift, bridgeSamples) >= acceptCorrelation;
      if (!goesOn) break;
    }
    // Quiet sounds beyond the last window that follows may still be the reply's.
    let last = Math.max(at, end - 2 * windowSamples);
    let away = 0;
    for (let i = last; i < Math.min(limit, place + windowSamples) && away <= shortBreakSamples; i++) {
      away = this.#isAlong(i, template.samples[i + shift]!) ? 0 : away + 1;
      if (away === 0 && this.#isSound(i, template, shift)) last = i + 1;
    }
    return last;
  }

  #firstSample(at: number, template: Template, shift: number, floor: number): number {
    let begin = at + windowSamples;
    let place = at;
    for (; place >= floor; place -= windowSamples) {
      const verdict = this.#verdict(place, template, place + shift);
      if (verdict === 'follows') begin = place;
      if (verdict === 'parts' && place !== at) break;
    }
    let first = Math.min(begin + 2 * windowSamples, this.#lane.length - 1);
    let away = 0;
    for (let i = first; i >= Math.max(floor, place) && away <= shortBreakSamples; i--) {
      away = this.#isAlong(i, template.samples[i + shift] ?? 0) ? 0 : away + 1;
      if (away === 0 && this.#isSound(i, template, shift)) first = i;
    }
    return first;
  }

  /** More than the ringing of a telephone line beside a sound that was cut off. */
  #isSound(i: number, { samples }: Template, shift: number): boolean {
    const value = Math.abs(this.#lane[i]!);
    if (value === 0 || this.#ringRatio === 0) return value > 0;
    let peak = 0;
    for (let j = i + shift - ringReach; j <= i + shift + ringReach; j++) peak = Math.max(peak, Math.abs(samples[j] ?? 0));
    return value > this.#ringRatio * peak;
  }

  /** At a lower level, too: the sound may be fading. */
  #isAlong(i: number, source: number): boolean {
    const value = this.#lane[i]!;
    const tolerance = 6 + 0.15 * Math.abs(source);
    if (Math.abs(value) <= silentSample) return Math.abs(source) <= tolerance;
    return value >= Math.min(0, source) - tolerance && value <= Math.max(0, source) + tolerance;
  }
}

/** So many samples that are not the reply's end it: about one period of a high sound. */
const shortBreakSamples = 12;

type Range = { readonly template: Template; readonly from: number; readonly to: number };

function wholeOf(template: Template): Range {
  return { template, from: 0, to: template.samples.length };
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
    if (here >= coarseCorrelation && here >= before && here >= next) places.push({ at: (k - 1) * coarseStep, correlation: here });
    [before, here] = [here, next];
  }
  return places
    .sort((left, right) => right.correlation - left.correlation)
    .slice(0, roughPlacesMax)
    .map(({ at }) => at);
}

/** The part of [at, at + count) for which both lane and reply have samples. */
function clipped(at: number, template: Template, source: number, count: number, length: number): [number, number] {
  const shift = source - at;
  return [Math.max(at, -shift), Math.min(at + count, length, template.samples.length - shift)];
}

/** Pieces of one reply at one lag with nothing audible missing between them are one. */
function joined(pieces: readonly Piece[], lane: Float64Array): Piece[] {
  const result: Piece[] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if (last !== undefined && last.template === piece.template) {
      const shift = piece.sourceFrom - piece.heardFrom;
      const lastShift = last.sourceFrom - last.heardFrom;
      const end = last.heardFrom + last.count;
      const { squares } = piece.template;
      const missed =
        squares[Math.max(0, piece.sourceFrom)]! - squares[Math.min(squares.length - 1, Math.max(0, end + lastShift))]!;
      const sounded = lane[piece.heardFrom]! - lane[end]!;
      const bound = (quietEnergy / windowSamples) * Math.max(windowSamples, piece.heardFrom - end);
      if (shift === lastShift && (missed <= bound || sounded > missed / 4)) {
        last.count = piece.heardFrom + piece.count - last.heardFrom;
        continue;
      }
    }
    result.push({ ...piece });
  }
  return result;
}
