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
/** Strong frames that may fail, less those that did not since, before tracking ends: 120 ms. Here and there one agrees by chance. */
const lostFramesMax = 6;
/** How much of the audio proposes places at once, how much of it must agree, and the step to the next try. */
const proposeSamples = 2400;
const agreeSamples = 800;
const retrySamples = 1200;
/** Places that are checked by correlation, best first, and the votes each needs. */
const proposalsMax = 5;
const votesMin = 3;
/** So many registered spectra (two minutes) are all compared with what is received, which finds places in noise that change every fingerprint. */
const comparedFramesMax = 15_000;
/** Fingerprints that must lie over one another for a comparison. */
const comparedPrintsMin = 6;
/** Share of their bits that may differ; half of them do by chance. */
const wrongBitsMax = 0.4;
/** Fingerprints that many clips share are looked up only so far. */
const occurrencesMax = 100;
/** Correlation of a part of a clip next to a place where something was left out. */
const gapCorrelationMin = 0.5;
/** A frame that is this much weaker than what is received may be there, hidden. */
const maskedRatio = 0.7;
/** Distances of neighbours that differ by no more belong to one unbroken stretch. */
const driftSamplesMax = 2;
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
  readonly prints: Int32Array;
  /** Level that a frame must have to count by itself, per `stepSamples`. */
  readonly strongLevels: Float32Array;
};
/** `distance`: from a received sample to the registered one, in samples of the narrow band. */
type Place = { readonly band: Band; readonly distance: number };
/** `hops`: where in the clip the searched sample would be. */
type Proposal = { readonly band: Band; readonly hops: number; readonly weight: number };
type Step = { readonly at: number; readonly distance: number };

/** How a stretch of a clip arrived. */
export type Fit = {
  /** By how much it is stronger than everything else that sounded meanwhile. */
  readonly snrDb: number;
  /** How much louder it is than registered. */
  readonly gainDb: number;
  /** How much louder everything that sounded meanwhile is than the stretch as registered. */
  readonly totalDb: number;
  /** Share of its energy that was left out where what came before and after it lie closer together than in the clip. */
  readonly missingRatio: number;
};
const noFit: Fit = { snrDb: Number.NEGATIVE_INFINITY, gainDb: 0, totalDb: Number.NEGATIVE_INFINITY, missingRatio: 1 };

/** Bits that are set, by 16-bit number. */
const bitCounts = Uint8Array.from({ length: 65_536 }, (_, value) => value.toString(2).replaceAll('0', '').length);

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
  #frameCount = 0;

  clear(): void {
    this.#bands.clear();
    this.#occurrences.clear();
    this.#frameCount = 0;
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
      // It may begin later than what proposed it.
      const start = Math.max(at, 1 - place.distance);
      const run = track(received, start, floor, place);
      for (const step of run.steps) segments.push(segmentOf(place.band.clip, step, origin, to));
      floor = Math.max(run.end, start + stepSamples);
      at = floor;
      known = run.place;
    }
    return segments;
  }

  /** How samples `from` .. `to` of the clip of `segments`, which say where parts of it are, arrived. */
  fit(narrow: Signal, segments: readonly Segment[], from: number, to: number): Fit {
    const [first] = segments;
    const band = first && this.#bands.get(first.clip);
    if (band === undefined) return noFit;
    let product = 0;
    let clipPower = 0;
    let power = 0;
    let missing = 0;
    const end = Math.min(Math.floor(to / decimation), band.signal.length);
    for (let at = Math.ceil(from / decimation); at < end; at += stepSamples) {
      const count = Math.min(stepSamples, end - at);
      const distance = this.#placeIn(narrow, band.signal, at, count, distancesAt(segments, at * decimation));
      if (distance === undefined) {
        missing += band.signal.power(at, count);
        continue;
      }
      for (let index = at; index < at + count; index += 1) {
        const [own, received] = [band.signal.samples[index]!, narrow.samples[index - distance] ?? 0];
        product += own * received;
        clipPower += own * own;
        power += received * received;
      }
    }
    if (!(product > 0)) return noFit;
    const own = product ** 2 / clipPower;
    return {
      snrDb: 10 * Math.log10(own / Math.max(power - own, Number.MIN_VALUE)),
      gainDb: 20 * Math.log10(product / clipPower),
      totalDb: 10 * Math.log10(power / clipPower),
      missingRatio: missing / (missing + clipPower),
    };
  }

  /** Where something was left out, a part of the clip may lie as before or as after it, or be what is missing. */
  #placeIn(narrow: Signal, own: Signal, at: number, count: number, distances: readonly number[]): number | undefined {
    if (distances.length === 1) return distances[0];
    let best: number | undefined;
    let bestCorrelation = gapCorrelationMin;
    for (const distance of distances) {
      const correlation = correlationOf(narrow, at - distance, own, at, count);
      if (correlation <= bestCorrelation) continue;
      best = distance;
      bestCorrelation = correlation;
    }
    return best;
  }

  #build(clip: Clip): void {
    const known = this.#bands.get(clip);
    // A clip that grew is built anew; its old occurrences point to a band that no longer counts.
    if (known !== undefined && known.signal.length === Math.floor(clip.length / decimation)) return;
    const samples = narrowbandOf(clip.audio.subarray(0, clip.length));
    const signal = new Signal(samples);
    const prints = fingerprintsOf(samples);
    const band: Band = { clip, signal, prints, strongLevels: strongLevelsOf(signal) };
    this.#frameCount += prints.length - (known?.prints.length ?? 0);
    this.#bands.set(clip, band);
    for (const [frame, print] of prints.entries()) {
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
    const tryAround = (band: Band, centre: number): void => {
      for (let distance = centre - searchSamples; distance <= centre + searchSamples; distance += 1) {
        const skip = Math.max(0, -(at + distance));
        const count = Math.min(agreeSamples, received.length - at - skip, band.signal.length - (at + skip + distance));
        if (count < stepSamples * 4) continue;
        const correlation = correlationOf(received, at + skip, band.signal, at + skip + distance, count);
        if (correlation <= bestCorrelation) continue;
        bestCorrelation = correlation;
        best = { band, distance };
      }
    };
    for (const { band, hops } of this.#proposals(received, at)) tryAround(band, hops * hopSamples - at);
    // The true place may lie beyond what was proposed, a period of the voice further.
    for (let centre = best; centre !== undefined; ) {
      tryAround(centre.band, centre.distance);
      centre = best === centre ? undefined : best;
    }
    return best;
  }

  /** Where in the clips the audio from `at` on may be, the likeliest first. */
  #proposals(received: Signal, at: number): Proposal[] {
    const prints = fingerprintsOf(received.samples.subarray(at, at + proposeSamples + frameSamples));
    const proposals = this.#frameCount <= comparedFramesMax ? this.#compared(prints) : this.#voted(prints);
    return proposals.sort((left, right) => right.weight - left.weight).slice(0, proposalsMax);
  }

  /** Every place at which the fingerprints agree better than chance. */
  #compared(prints: Int32Array): Proposal[] {
    const proposals: Proposal[] = [];
    for (const band of this.#bands.values()) {
      if (band.clip.length === 0) continue;
      for (let hops = comparedPrintsMin - prints.length; hops <= band.prints.length - comparedPrintsMin; hops += 1) {
        let count = 0;
        let wrong = 0;
        const end = Math.min(prints.length, band.prints.length - hops);
        for (let frame = Math.max(0, -hops); frame < end; frame += 1) {
          const [print, other] = [prints[frame]!, band.prints[frame + hops]!];
          if (print === noFingerprint || other === noFingerprint) continue;
          count += 1;
          wrong += bitCounts[print ^ other]!;
        }
        const ratio = wrong / (16 * count);
        if (count >= comparedPrintsMin && ratio <= wrongBitsMax) {
          // Deviations from chance shrink with the root of the count.
          proposals.push({ band, hops, weight: (0.5 - ratio) * Math.sqrt(count) });
        }
      }
    }
    return proposals;
  }

  /** Places at which equal fingerprints occur in the same order. */
  #voted(prints: Int32Array): Proposal[] {
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
    const proposals: Proposal[] = [];
    for (const [band, counts] of votes) {
      for (const [hops, count] of counts) {
        // Received and registered hops do not fall together: a neighbouring distance votes for the same place.
        const together = count + Math.max(counts.get(hops - 1) ?? 0, counts.get(hops + 1) ?? 0);
        if (together >= votesMin) proposals.push({ band, hops, weight: together });
      }
    }
    return proposals;
  }
}

/**
 * From a received sample to that of the clip, in narrow-band samples, at sample `at` (of 16 kHz) of the clip. Two possibilities between segments that
 * disagree: there something was left out.
 */
function distancesAt(segments: readonly Segment[], at: number): number[] {
  let before: Segment | undefined;
  for (const segment of segments) {
    if (segment.clipFrom > at) {
      if (before === undefined) return [distanceOf(segment)];
      const [last, next] = [distanceOf(before), distanceOf(segment)];
      const isInside = at < before.clipFrom + before.to - before.from;
      return isInside || Math.abs(last - next) <= driftSamplesMax ? [last] : [last, next];
    }
    before = segment;
  }
  return before === undefined ? [] : [distanceOf(before)];
}

function distanceOf({ clipFrom, from }: Segment): number {
  return Math.round((clipFrom - from) / decimation);
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
  /** As things stood when nothing was lost. */
  let [sureSteps, sureDistance] = [0, distance];
  for (let index = start; index >= floor && index + stepSamples <= received.length; index += direction * stepSamples) {
    const other = index + distance;
    if (other < 1 || other + stepSamples + 1 > signal.length) break;
    if (lost > lostFramesMax) {
      steps.length = sureSteps;
      return { steps, distance: sureDistance };
    }
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
      if (level * maskedRatio < clipLevel) lost += 1;
      continue;
    }
    if (best > here + 0.02) distance += before > after ? -1 : 1;
    steps.push({ at: index, distance });
    lost = Math.max(0, lost - 1);
    if (lost === 0) [sureSteps, sureDistance] = [steps.length, distance];
  }
  return { steps, distance };
}

function segmentOf(clip: Clip, step: Step, origin: number, length: number): Segment {
  const begin = origin + step.at * decimation;
  const clipFrom = Math.max(0, (step.at + step.distance) * decimation);
  return { clip, from: begin, to: Math.min(length, begin + stepSamples * decimation), clipFrom };
}
