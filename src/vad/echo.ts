/**
 * Tells the agent's own voice in the caller's microphone by the samples that were sent: a hop is an echo as far as a short filter over the reference
 * explains it. One a session, VAD thread. Costs nothing until the first hop is asked about.
 *
 * The way there and back is stable for as long as a speech plays: once found, each hop takes the filter, and every eighth what it is learnt from. It
 * is looked for again only when somebody is about to start speaking and the known way does not explain it. docs/decisions/echo.md has the figures.
 */
import { copyReference, referenceSamples } from '../shared/reference.js';
import { Cell, inputRingSamples, type Slot } from '../shared/slots.js';
import { hopSamples, inputRateHz } from '../shared/units.js';
import { EchoPath, type Powers } from './echo-path.js';
import { type Found, findIn } from './echo-search.js';
import { silenceDb } from './level.js';
import { laneSamples, NarrowLane, narrowRateHz } from './narrow-lane.js';

export const echoLimits = {
  /** A newly found way must leave so much less of a hop. */
  leftDb: -6,
  /** A known one so much more than it usually does, in these bounds: rooms that sound on are explained less well than clear ones. */
  usualDb: -10,
  aboveUsualDb: 6,
  leftDbMin: -15,
  leftDbMax: -3.5,
  /** What leaves more than usual by so much is not learnt from: somebody speaks over the echo. */
  learnAboveUsualDb: 10,
  /** A segment with more hops than this that are not explained is not all echo, however well the others are. */
  unexplainedHopsMax: 2,
  /** Such a hop has this much left under the loudest of the segment, or more: the end of a word in a room has less. */
  unexplainedDb: -15,
  /** How fast an echo fades away in a room. */
  fadingDbPerHop: -3,
  /** A way that was learnt from so many hops is only followed, every so many hops. */
  learntHops: 8,
  followHops: 8,
} as const;

const hopNarrow = (hopSamples * narrowRateHz) / inputRateHz;
/** What a search compares. */
const searchNarrow = 4 * hopNarrow;
/** Microphone that is kept: an open segment that is asked about, and what a search compares. */
const microphoneReach = 4096;
const leftMax = 10 ** (echoLimits.leftDb / 10);
/** Share of a new hop in what is usual. */
const usualShare = 0.1;
const unexplainedMin = 10 ** (echoLimits.unexplainedDb / 10);
const fadingRatio = 10 ** (echoLimits.fadingDbPerHop / 10);

/** Of the thread: what is worked on, so that a hop allocates nothing. */
const referenceSpan = new Float64Array(laneSamples);
const microphoneSpan = new Float64Array(searchNarrow);
const place: Found = { at: 0, likeness: 0 };
const powers: Powers = { heard: 0, left: 0 };
/** What a search learns; the session that adopts it leaves its old one here. */
let candidate = new EchoPath();

/** By a way that was just found. */
const isExplained = ({ heard, left }: Powers): boolean => left <= heard * leftMax;

type Lanes = { readonly reference: NarrowLane; readonly microphone: NarrowLane };

/**
 * While no way is known, lanes are only lent: most callers wear headphones or are telephones, and 48 KB for each of them would be kept for nothing.
 * Of the thread, the longest unused first; whoever finds a way keeps its own.
 */
const lent: { readonly ear: EchoEar; readonly lanes: Lanes }[] = [];
const lentMax = 8;

export class EchoEar {
  readonly #slot: Slot;
  readonly #likenessMin: number;
  #lanes: Lanes | undefined;
  #path: EchoPath | undefined;
  /** Hops that the path was found and followed in, and those that were echoes. */
  #pathHops = 0;
  #hops = 0;
  /** What the path leaves of a hop that is an echo, in dB, smoothed. */
  #usualDb: number = echoLimits.usualDb;
  /** Power of the echo in the hop that ended at `#fadingAt`. */
  #fading = 0;
  #fadingAt = 0;

  /** `likenessMin`: of 128 ms of microphone and the reference, 0..1: what is less alike is not looked at more closely; above 1: nothing is. */
  constructor(slot: Slot, likenessMin: number) {
    this.#slot = slot;
    this.#likenessMin = likenessMin;
  }

  /** Whether the agent was ever heard in this call. */
  get isKnown(): boolean {
    return this.#path !== undefined;
  }

  /** Hops that were echoes. */
  get hops(): number {
    return this.#hops;
  }

  /**
   * Level of what is left of the hop that ends at input sample `endSample` when the echo is taken out, up to 4 kHz; `silenceDb` when it is nothing
   * but echo, undefined while no echo was ever found. `isSearching`: it is worth a search when the known way does not explain it.
   */
  leftDb(endSample: number, isSearching: boolean): number | undefined {
    const known = this.#path;
    if (known === undefined && !isSearching) return undefined;
    const lanes = this.#extend(endSample);
    if (lanes === undefined) return undefined;
    const { reference, microphone } = lanes;
    const from = microphone.to - hopNarrow;
    if (known !== undefined) {
      known.measure(reference, microphone, from, hopNarrow, powers);
      if (this.#isEcho(powers, endSample)) {
        this.#follow(known, lanes, powers, from);
        return silenceDb;
      }
    }
    const leftDb = known === undefined ? undefined : levelOf(Math.min(powers.left, powers.heard));
    // The place may be the known one, learnt anew: rooms change when somebody moves.
    if (!isSearching || !this.#search(lanes)) return leftDb;
    candidate.measure(reference, microphone, from, hopNarrow, powers);
    if (!isExplained(powers)) return leftDb;
    this.#adopt();
    this.#isEcho(powers, endSample);
    return silenceDb;
  }

  /** The room goes on sounding for a while: what is left of that is none of the caller's either. */
  #isEcho({ heard, left }: Powers, endSample: number): boolean {
    const hops = (endSample - this.#fadingAt) / hopSamples;
    const fading = this.#fading * fadingRatio ** hops;
    const { aboveUsualDb, leftDbMin, leftDbMax } = echoLimits;
    const allowedDb = Math.min(leftDbMax, Math.max(leftDbMin, this.#usualDb + aboveUsualDb));
    const isEcho = left <= Math.max(heard, fading) * 10 ** (allowedDb / 10);
    if (left < heard / 2 && isEcho) this.#usualDb += (10 * Math.log10(left / heard) - this.#usualDb) * usualShare;
    this.#fading = Math.max(fading, isEcho ? heard - left : 0);
    this.#fadingAt = endSample;
    if (isEcho) this.#hops += 1;
    return isEcho;
  }

  #follow(path: EchoPath, { reference, microphone }: Lanes, { heard, left }: Powers, from: number): void {
    if (left > heard / 2 || 10 * Math.log10(left / heard) > this.#usualDb + echoLimits.learnAboveUsualDb) return;
    this.#pathHops += 1;
    if (this.#pathHops <= echoLimits.learntHops || this.#pathHops % echoLimits.followHops === 0)
      path.learn(reference, microphone, from, hopNarrow);
  }

  /** Whether all of the microphone from `fromSample` to `endSample` is an echo. */
  explains(fromSample: number, endSample: number): boolean {
    const lanes = this.#extend(endSample);
    if (lanes === undefined) return false;
    const from = Math.floor((fromSample * narrowRateHz) / inputRateHz);
    if (this.#path !== undefined && isExplainedBy(this.#path, lanes, from)) return true;
    if (!this.#search(lanes) || !isExplainedBy(candidate, lanes, from)) return false;
    this.#adopt();
    return true;
  }

  /** The candidate is the way now. */
  #adopt(): void {
    const old = this.#path;
    if (this.#lanes === undefined) this.#lanes = this.#returned()!.lanes;
    this.#path = candidate;
    candidate = old ?? new EchoPath();
    this.#pathHops = 0;
    this.#usualDb = echoLimits.usualDb;
  }

  /** Whether the end of the microphone has come some way; that is in `candidate` then. */
  #search({ reference, microphone }: Lanes): boolean {
    const from = microphone.to - searchNarrow;
    const first = reference.to - laneSamples;
    reference.copy(first, referenceSpan, laneSamples);
    microphone.copy(from, microphoneSpan, searchNarrow);
    findIn(referenceSpan, microphoneSpan, place);
    if (place.likeness < this.#likenessMin) return false;
    candidate.begin(first + place.at - from);
    if (!candidate.learn(reference, microphone, from, searchNarrow)) return false;
    // Voices are alike for a hop by chance: it must explain all that it was learnt from.
    candidate.measure(reference, microphone, from, searchNarrow, powers);
    return isExplained(powers);
  }

  /** Both signals up to now; undefined before the agent has said anything. */
  #extend(endSample: number): Lanes | undefined {
    const slot = this.#slot;
    const rateHz = slot.load(Cell.referenceHz);
    if (rateHz === 0) return undefined;
    const lanes = this.#lanes ?? this.#borrow(rateHz);
    lanes.reference.extend(slot.load(Cell.sentPosition));
    lanes.microphone.extend(endSample);
    return lanes;
  }

  /** What was lent to this session. */
  #returned(): { readonly ear: EchoEar; readonly lanes: Lanes } | undefined {
    const at = lent.findIndex(({ ear }) => ear === this);
    return at < 0 ? undefined : lent.splice(at, 1)[0];
  }

  /** Those of before, unless another session has them now: then they are filled again. */
  #borrow(rateHz: number): Lanes {
    const known = this.#returned();
    if (known !== undefined) {
      lent.push(known);
      return known.lanes;
    }
    const slot = this.#slot;
    const ringSamples = referenceSamples(rateHz);
    const free = lent.length < lentMax ? undefined : lent.shift();
    const lanes = free?.lanes ?? { reference: new NarrowLane(laneSamples), microphone: new NarrowLane(microphoneReach) };
    lanes.reference.listenTo(rateHz, (at, into, count) => copyReference(slot, ringSamples, at, into, count));
    lanes.microphone.listenTo(inputRateHz, (at, into, count) => copyInput(slot, at, into, count));
    lent.push({ ear: this, lanes });
    return lanes;
  }
}

/** As a whole, and in all but a few hops: two loud ones that are explained well must not hide a caller's word before them. */
function isExplainedBy(path: EchoPath, { reference, microphone }: Lanes, from: number): boolean {
  let [heardSum, leftSum, loudest] = [0, 0, 0];
  const unexplained: number[] = [];
  for (let at = from; at < microphone.to; at += hopNarrow) {
    path.measure(reference, microphone, at, Math.min(hopNarrow, microphone.to - at), powers);
    const { heard, left } = powers;
    heardSum += heard;
    leftSum += left;
    loudest = Math.max(loudest, heard);
    if (!isExplained(powers)) unexplained.push(left);
  }
  const leastLeft = loudest * unexplainedMin;
  return leftSum <= heardSum * leftMax && unexplained.filter((left) => left >= leastLeft).length <= echoLimits.unexplainedHopsMax;
}

const levelOf = (power: number): number => (power > 0 ? 10 * Math.log10(power) : silenceDb);

/** What the ring does not hold reads as silence. What is torn would only look less like an echo. */
function copyInput(slot: Slot, position: number, into: Int16Array, count: number): void {
  const ring = slot.input;
  const end = slot.load(Cell.inputWritten);
  const first = Math.max(0, end - inputRingSamples);
  for (let index = 0; index < count; index += 1) {
    const at = position + index;
    into[index] = at < first || at >= end ? 0 : ring[at % inputRingSamples]!;
  }
}
