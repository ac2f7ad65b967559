/**
 * Finds registered audio inside received audio whose samples were changed on the way: another level, a telephone codec, a resampler.
 * Fingerprints propose where, correlation decides, 20 ms at a time. Slower than `exact-match.ts`; asked only for audible audio
 * which that could not place. Runs on the simulator's main thread.
 */
import type { Clip } from './clips.js';
import type { Segment } from './exact-match.js';
import { decimation, fingerprintsOf, frameSamples, hopSamples, narrowbandOf, noFingerprint } from './narrowband.js';

/** A compared frame: 20 ms at 4 kHz. */
const stepSamples = 80;
/** Correlation that a frame needs: the source as strong as everything else together. */
const correlationMin = 0.7;
/** Correlation of a proposed place over a longer stretch, which may contain frames that fail. */
const placeCorrelationMin = 0.7;
/** Received frames below this level (RMS, about -66 dBFS in this band) are silence. */
const audibleLevelMin = 16;
/** A registered frame is weak when it is below this level, or this much below the loudest within 160 ms: it follows its neighbours. */
const weakLevel = 60;
const weakRatio = 0.18;
const neighbourFrames = 8;
/** The received level may differ from the registered one by 30 dB either way. */
const gainMax = 32;
/** Strong frames in a row that may fail before tracking ends: 300 ms. */
const lostFramesMax = 15;
/** How much of the audio proposes places at once, how much of it must agree, and the step to the next try. */
const proposeSamples = 2400;
const agreeSamples = 800;
const retrySamples = 1200;
/** Places that are checked by correlation, best first, and the votes each needs. */
const proposalsMax = 5;
const votesMin = 3;
/** Fingerprints that many clips share are looked up only so far. */
const occurrencesMax = 100;
/** Distances are known to a hop. */
const searchSamples = 34;

/** The narrow band of received audio, with the running sum of its squares, so that the power of any stretch is one subtraction. */
export class Signal {
  readonly samples: Float32Array;
  readonly #squares: Float64Array;

  /** `samples`: as `narrowbandOf` makes them. */
  constructor(samples: Float32Array) {
    this.samples = samples;
    this.#squares = new Float64Array(samples.length + 1);
    for (let index = 0; index < samples.length; index += 1)
      this.#squares[index + 1] = this.#squares[index]! + samples[index]! ** 2;
  }

  get length(): number {
    return this.samples.length;
  }

  power(from: number, count: number): number {
    return this.#squares[from + count]! - this.#squares[from]!;
  }

  level(from: number): number {
    return Math.sqrt(this.power(from, stepSamples) / stepSamples);
  }
}

type Band = {
  readonly clip: Clip;
  readonly signal: Signal;
  /** Level that a frame must have to count by itself, per `stepSamples`. */
  readonly strongLevels: Float32Array;
};
/** `distance`: from a received sample to the registered one, in samples of the narrow band. */
type Place = { readonly band: Band; readonly distance: number };
type Step = { readonly at: number; readonly distance: number };

/**
 * How a stretch of a clip arrived. `correlation`: 1 when nothing else sounded and nothing was missing; 0.87 when it was 5 dB stronger than
 * all the rest. `gainDb`: how much louder than registered.
 */
export type Fit = { readonly correlation: number; readonly gainDb: number };

/** Normalised correlation of `count` samples; 0 where one of the two ends before. */
function correlationOf(left: Signal, leftFrom: number, right: Signal, rightFrom: number, count: number): number {
  if (leftFrom < 0 || rightFrom < 0 || leftFrom + count > left.length || rightFrom + count > right.length) return 0;
  const a = left.samples;
  const b = right.samples;
  let product = 0;
  for (let index = 0; index < count; index += 1) product += a[leftFrom + index]! * b[rightFrom + index]!;
  const scale = Math.sqrt(left.power(leftFrom, count) * right.power(rightFrom, count));
  return scale > 0 ? product / scale : 0;
}

function strongLevelsOf(signal: Signal): Float32Array {
  const count = Math.floor(signal.length / stepSamples);
  const levels = Float32Array.from({ length: count }, (_, frame) => signal.level(frame * stepSamples));
  return levels.map((_, frame) => {
    let loudest = 0;
    const last = Math.min(count - 1, frame + neighbourFrames);
    for (let other = Math.max(0, frame - neighbourFrames); other <= last; other += 1) loudest = Math.max(loudest, levels[other]!);
    return Math.max(weakLevel, loudest * weakRatio);
  });
}

export class CorrelationIndex {
  readonly #bands = new Map<Clip, Band>();
  /** Fingerprint → where it occurs. */
  readonly #occurrences = new Map<number, { band: Band; frame: number }[]>();

  clear(): void {
    this.#bands.clear();
    this.#occurrences.clear();
  }

  /**
   * Segments of received audio found in `clips`, in order. `narrow`: its narrow band, of which samples `from` .. `to` (of 16 kHz, multiples of 4)
   * are searched; `neighbour` is a segment whose distance is tried first.
   */
  find(clips: Iterable<Clip>, narrow: Signal, from: number, to: number, neighbour: Segment | undefined): Segment[] {
    for (const clip of clips) this.#build(clip);
    const origin = from;
    const received = new Signal(narrow.samples.subarray(from / decimation, Math.floor(to / decimation)));
    const segments: Segment[] = [];
    let floor = 0;
    let known = neighbour && this.#placeOf(neighbour, origin);
    for (let at = floor; at + stepSamples <= received.length; ) {
      if (received.level(at) < audibleLevelMin) {
        at += stepSamples;
        continue;
      }
      const place = this.#acquire(received, at, known);
      if (place === undefined) {
        at += retrySamples;
        continue;
      }
      const run = track(received, at, floor, place);
      for (const step of run.steps) segments.push(segmentOf(place.band.clip, step, origin, to));
      floor = Math.max(run.end, at + stepSamples);
      at = floor;
      known = run.place;
    }
    return segments;
  }

  /** How samples `from` .. `to` of the clip of `segments` arrived, each 20 ms where the segment nearest to it in the clip says. */
  fit(narrow: Signal, segments: readonly Segment[], from: number, to: number): Fit {
    const [first] = segments;
    const band = first && this.#bands.get(first.clip);
    if (band === undefined) return { correlation: 0, gainDb: 0 };
    let product = 0;
    let clipPower = 0;
    let power = 0;
    const end = Math.min(Math.floor(to / decimation), band.signal.length);
    for (let at = Math.ceil(from / decimation); at < end; at += stepSamples) {
      const distance = distanceAt(segments, at * decimation);
      for (let index = at; index < Math.min(at + stepSamples, end); index += 1) {
        const [own, received] = [band.signal.samples[index]!, narrow.samples[index - distance] ?? 0];
        product += own * received;
        clipPower += own * own;
        power += received * received;
      }
    }
    if (!(product > 0)) return { correlation: 0, gainDb: 0 };
    return { correlation: product / Math.sqrt(clipPower * power), gainDb: 20 * Math.log10(product / clipPower) };
  }

  #build(clip: Clip): void {
    const known = this.#bands.get(clip);
    // A clip that grew is built anew; its old occurrences point to a band that no longer counts.
    if (known !== undefined && known.signal.length === Math.floor(clip.length / decimation)) return;
    const samples = narrowbandOf(clip.audio.subarray(0, clip.length));
    const signal = new Signal(samples);
    const band: Band = { clip, signal, strongLevels: strongLevelsOf(signal) };
    this.#bands.set(clip, band);
    for (const [frame, print] of fingerprintsOf(samples).entries()) {
      if (print === noFingerprint) continue;
      const occurrences = this.#occurrences.get(print);
      if (occurrences === undefined) this.#occurrences.set(print, [{ band, frame }]);
      else occurrences.push({ band, frame });
    }
  }

  #placeOf(neighbour: Segment, origin: number): Place | undefined {
    const band = this.#bands.get(neighbour.clip);
    if (band === undefined) return undefined;
    return { band, distance: Math.round((neighbour.clipFrom - neighbour.from + origin) / decimation) };
  }

  /** The place of what is received at `at`: the `known` one if it holds, else by vote of the fingerprints there and then by correlation. */
  #acquire(received: Signal, at: number, known: Place | undefined): Place | undefined {
    if (known !== undefined && fits(received, at, known)) return known;
    let best: Place | undefined;
    let bestCorrelation = placeCorrelationMin;
    for (const { band, hops } of this.#proposals(received, at)) {
      for (let shift = -searchSamples; shift <= searchSamples; shift += 1) {
        const distance = hops * hopSamples - at + shift;
        const skip = Math.max(0, -(at + distance));
        const count = Math.min(agreeSamples, received.length - at - skip, band.signal.length - (at + skip + distance));
        if (count < stepSamples * 4) continue;
        const correlation = correlationOf(received, at + skip, band.signal, at + skip + distance, count);
        if (correlation <= bestCorrelation) continue;
        bestCorrelation = correlation;
        best = { band, distance };
      }
    }
    return best;
  }

  /** Where the fingerprints of `received` from `at` on occur in the same order; `hops`: where in the clip `at` would be. */
  #proposals(received: Signal, at: number): { band: Band; hops: number; votes: number }[] {
    const prints = fingerprintsOf(received.samples.subarray(at, at + proposeSamples + frameSamples));
    const votes = new Map<Band, Map<number, number>>();
    for (const [frame, print] of prints.entries()) {
      const occurrences = print === noFingerprint ? undefined : this.#occurrences.get(print);
      if (occurrences === undefined) continue;
      for (let index = Math.max(0, occurrences.length - occurrencesMax); index < occurrences.length; index += 1) {
        const { band, frame: clipFrame } = occurrences[index]!;
        if (this.#bands.get(band.clip) !== band || band.clip.length === 0) continue;
        let hops = votes.get(band);
        if (hops === undefined) votes.set(band, (hops = new Map<number, number>()));
        hops.set(clipFrame - frame, (hops.get(clipFrame - frame) ?? 0) + 1);
      }
    }
    const proposals: { band: Band; hops: number; votes: number }[] = [];
    for (const [band, counts] of votes) {
      for (const [hops, count] of counts) {
        // Received and registered hops do not fall together: a neighbouring distance votes for the same place.
        const together = count + Math.max(counts.get(hops - 1) ?? 0, counts.get(hops + 1) ?? 0);
        if (together >= votesMin) proposals.push({ band, hops, votes: together });
      }
    }
    return proposals.sort((left, right) => right.votes - left.votes).slice(0, proposalsMax);
  }
}

/** From a received sample to that of the clip, in narrow-band samples, around sample `at` (of 16 kHz) of the clip. */
function distanceAt(segments: readonly Segment[], at: number): number {
  let nearest = segments[0]!;
  let gap = Number.POSITIVE_INFINITY;
  for (const segment of segments) {
    const away = Math.max(segment.clipFrom - at, at - (segment.clipFrom + segment.to - segment.from), 0);
    if (away >= gap) continue;
    nearest = segment;
    gap = away;
  }
  return Math.round((nearest.clipFrom - nearest.from) / decimation);
}

function fits(received: Signal, at: number, place: Place): boolean {
  const count = Math.min(agreeSamples, received.length - at);
  return correlationOf(received, at, place.band.signal, at + place.distance, count) >= placeCorrelationMin;
}

/** Frames around `at` that agree with `place`, as far as it holds; and where the last of them ends. */
function track(received: Signal, at: number, floor: number, place: Place): { steps: Step[]; end: number; place: Place } {
  const backward = walk(received, at - stepSamples, floor, -1, place);
  const forward = walk(received, at, floor, 1, place);
  const steps = [...backward.steps.reverse(), ...forward.steps];
  return { steps, end: (steps.at(-1)?.at ?? at) + stepSamples, place: { band: place.band, distance: forward.distance } };
}

function walk(
  received: Signal,
  start: number,
  floor: number,
  direction: 1 | -1,
  place: Place,
): { steps: Step[]; distance: number } {
  const { signal, strongLevels } = place.band;
  const steps: Step[] = [];
  let distance = place.distance;
  let lost = 0;
  let wasHeard = true;
  for (let index = start; index >= floor && index + stepSamples <= received.length; index += direction * stepSamples) {
    const other = index + distance;
    if (other < 1 || other + stepSamples + 1 > signal.length || lost > lostFramesMax) break;
    const clipLevel = signal.level(other);
    if (clipLevel < strongLevels[Math.floor(other / stepSamples)]!) {
      if (wasHeard) steps.push({ at: index, distance });
      continue;
    }
    const level = received.level(index);
    const isLevel = level >= audibleLevelMin && level < clipLevel * gainMax && level * gainMax > clipLevel;
    const here = isLevel ? correlationOf(received, index, signal, other, stepSamples) : 0;
    // Clocks drift by parts in ten thousand: one sample at a time, and only where the neighbour is plainly better.
    const before = isLevel ? correlationOf(received, index, signal, other - 1, stepSamples) : 0;
    const after = isLevel ? correlationOf(received, index, signal, other + 1, stepSamples) : 0;
    const best = Math.max(here, before, after);
    wasHeard = best >= correlationMin;
    if (!wasHeard) {
      lost += 1;
      continue;
    }
    lost = 0;
    if (best > here + 0.02) distance += before > after ? -1 : 1;
    steps.push({ at: index, distance });
  }
  return { steps, distance };
}

function segmentOf(clip: Clip, step: Step, origin: number, length: number): Segment {
  const begin = origin + step.at * decimation;
  const clipFrom = Math.max(0, (step.at + step.distance) * decimation);
  return { clip, from: begin, to: Math.min(length, begin + stepSamples * decimation), clipFrom };
}
