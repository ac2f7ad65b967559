/**
 * What a caller hears: a playout device fed with the server's audio and interruptions. Pure: every call carries its instant on the clock of
 * the call (0 = the socket opened), instants never go back, and what is heard depends on them alone, not on how often one looks.
 *
 * `buffered` is the stock web client: it plays what it has, one chunk right after the other, starts again with the first chunk after a gap, fades
 * out over 2 s on `interruption` while it goes on playing, drops its queue then or, earlier, when the next audio arrives. (A browser that
 * counts the ramp from the last chunk's arrival is quieter sooner; this is the louder of the two.)
 * `paced` is a telephone: 40 ms of jitter buffer at each start, and `interruption` empties it at once.
 * Both work in blocks of 10 ms: what arrives counts from the next block on.
 */
import { strict as assert } from 'node:assert';
import { Resampler } from '../src/audio/resample.js';
import { type Hz, inputRateHz, ms, samplesIn } from '../src/shared/units.js';

export type EarKind = 'buffered' | 'paced';

const blockSamples = samplesIn(ms(10), inputRateHz);
const jitterSamples = samplesIn(ms(40), inputRateHz);
const fadeSamples = samplesIn(ms(2000), inputRateHz);
/** The web client's fade ends at this gain. */
const fadeEndGain = 0.0001;
/** A window of 5 ms is audible from -50 dBFS on (root mean square). */
const windowSamples = samplesIn(ms(5), inputRateHz);
const audibleLevel = 32768 * 10 ** (-50 / 20);
const samplesPerMs = inputRateHz / 1000;

/** A stretch of one reply played without a break. Samples are of 16 kHz; `sourceSample` counts from the reply's first. */
export type HeardRun = { readonly eventId: number; readonly sourceSample: number; readonly heardSample: number; count: number };

/** All audio of one event id. Instants are ms since the socket opened; undefined until it happens. */
export type HeardReply = {
  readonly eventId: number;
  readonly firstChunkAtMs: number;
  lastChunkAtMs: number;
  /** Received so far, at 16 kHz. */
  receivedSamples: number;
  /** Played so far, silence included. */
  playedSamples: number;
  /** First and last audible sample. */
  onsetMs: number | undefined;
  lastAudibleMs: number | undefined;
};

/** Audio of a reply that had been interrupted before: there must be none. */
export type StaleChunk = {
  readonly atMs: number;
  readonly eventId: number;
  readonly interruptionId: number;
  readonly sampleCount: number;
};

type Queued = { readonly reply: HeardReply; readonly samples: Int16Array; readonly sourceSample: number; used: number };

export class Ear {
  readonly kind: EarKind;
  readonly runs: HeardRun[] = [];
  /** In order of their first chunk. */
  readonly replies = new Map<number, HeardReply>();
  readonly stale: StaleChunk[] = [];
  readonly #resampler: Resampler;
  #queue: Queued[] = [];
  /** Whose audio the resampler still holds the end of. */
  #resampling: HeardReply | undefined;
  /** Samples played so far: where the next block begins. */
  #position = 0;
  #lastAtMs = 0;
  /** The device has nothing to play and will wait for its jitter buffer again, if it has one. */
  #isDry = true;
  #startsAt = 0;
  #fadeFrom: number | undefined;
  /** A second interruption during a fade does not begin it anew, but puts off the end. */
  #dropAt = Number.POSITIVE_INFINITY;
  #interruptionId = Number.NEGATIVE_INFINITY;
  #lane: Int16Array | undefined;
  readonly #block = new Int16Array(blockSamples);

  /** `sourceRateHz`: of the chunks to come. `keepsLane`: remember every sample heard (1.9 MB a minute), for `lane`. */
  constructor(kind: EarKind, sourceRateHz: Hz, keepsLane: boolean) {
    this.kind = kind;
    this.#resampler = new Resampler(sourceRateHz, inputRateHz);
    this.#lane = keepsLane ? new Int16Array(60 * inputRateHz) : undefined;
  }

  /** Audio waiting to be played, in ms. */
  get queuedMs(): number {
    return this.#queue.reduce((sum, { samples, used }) => sum + samples.length - used, 0) / samplesPerMs;
  }

  /** An `audio` event. `samples` are of the source's rate and are kept. */
  audio(eventId: number, samples: Int16Array, atMs: number): void {
    this.advanceTo(atMs);
    const isStale = eventId <= this.#interruptionId;
    if (isStale) this.stale.push({ atMs, eventId, interruptionId: this.#interruptionId, sampleCount: samples.length });
    if (this.#fadeFrom !== undefined) this.#clear();
    if (this.#resampling?.eventId !== eventId) this.#takeTail();
    if (this.#isDry && this.kind === 'paced') this.#startsAt = this.#position + jitterSamples;
    this.#isDry = false;
    const reply = this.#replyOf(eventId, atMs);
    reply.lastChunkAtMs = atMs;
    this.#resampling = reply;
    this.#enqueue(reply, this.#resampler.process(samples));
  }

  /** An `interruption` event. */
  interruption(eventId: number, atMs: number): void {
    this.advanceTo(atMs);
    this.#interruptionId = Math.max(this.#interruptionId, eventId);
    if (this.kind === 'paced') {
      this.#clear();
      return;
    }
    this.#fadeFrom ??= this.#position;
    this.#dropAt = this.#position + fadeSamples;
  }

  /** Plays every block that begins before `atMs`. */
  advanceTo(atMs: number): void {
    assert(atMs >= this.#lastAtMs, 'instants must not go back');
    this.#lastAtMs = atMs;
    while (this.#position < atMs * samplesPerMs) this.#playBlock();
  }

  /** Everything heard so far, one sample for each of the clock; empty unless kept. */
  lane(): Int16Array {
    if (this.#lane === undefined) return new Int16Array(0);
    this.#lane = grown(this.#lane, this.#position);
    return this.#lane.subarray(0, this.#position);
  }

  #replyOf(eventId: number, atMs: number): HeardReply {
    const known = this.replies.get(eventId);
    if (known !== undefined) return known;
    const times = { firstChunkAtMs: atMs, lastChunkAtMs: atMs, onsetMs: undefined, lastAudibleMs: undefined };
    const reply: HeardReply = { eventId, ...times, receivedSamples: 0, playedSamples: 0 };
    this.replies.set(eventId, reply);
    return reply;
  }

  #enqueue(reply: HeardReply, samples: Int16Array): void {
    if (samples.length === 0) return;
    this.#queue.push({ reply, samples, sourceSample: reply.receivedSamples, used: 0 });
    reply.receivedSamples += samples.length;
  }

  /** The end of a chunk stays in the resampler until it knows what follows; at a gap or before another reply nothing does. */
  #takeTail(): void {
    if (this.#resampling === undefined) return;
    this.#enqueue(this.#resampling, this.#resampler.flush());
    this.#resampling = undefined;
  }

  #clear(): void {
    this.#queue = [];
    this.#resampler.reset();
    this.#resampling = undefined;
    this.#isDry = true;
    this.#fadeFrom = undefined;
    this.#dropAt = Number.POSITIVE_INFINITY;
  }

  #playBlock(): void {
    const start = this.#position;
    if (start >= this.#dropAt) this.#clear();
    const filled = start < this.#startsAt ? 0 : this.#fill(start);
    if (filled > 0) {
      this.#block.fill(0, filled);
      this.#listen(start);
      this.#keep(start);
    }
    this.#position = start + blockSamples;
  }

  /** Moves what is queued into the block; returns how many samples there were. */
  #fill(start: number): number {
    let filled = 0;
    while (filled < blockSamples) {
      if (this.#queue.length === 0) this.#takeTail();
      const head = this.#queue[0];
      if (head === undefined) {
        this.#isDry = true;
        break;
      }
      const count = Math.min(blockSamples - filled, head.samples.length - head.used);
      this.#block.set(head.samples.subarray(head.used, head.used + count), filled);
      this.#fade(filled, count);
      this.#note(head, start + filled, count);
      head.used += count;
      filled += count;
      if (head.used === head.samples.length) this.#queue.shift();
    }
    return filled;
  }

  #fade(from: number, count: number): void {
    if (this.#fadeFrom === undefined) return;
    for (let i = from; i < from + count; i++) {
      const progress = Math.min(1, (this.#position + i - this.#fadeFrom) / fadeSamples);
      this.#block[i] = Math.round(this.#block[i]! * fadeEndGain ** progress);
    }
  }

  #note(head: Queued, heardSample: number, count: number): void {
    const { eventId } = head.reply;
    const sourceSample = head.sourceSample + head.used;
    const last = this.runs.at(-1);
    const goesOn =
      last?.eventId === eventId &&
      last.heardSample + last.count === heardSample &&
      last.sourceSample + last.count === sourceSample;
    if (goesOn) last.count += count;
    else this.runs.push({ eventId, sourceSample, heardSample, count });
    head.reply.playedSamples += count;
  }

  /** Looks for audible windows in the block. A window in which one reply follows another counts for both. */
  #listen(start: number): void {
    for (let from = 0; from < blockSamples; from += windowSamples) {
      let energy = 0;
      for (let i = from; i < from + windowSamples; i++) energy += this.#block[i]! ** 2;
      if (energy < audibleLevel ** 2 * windowSamples) continue;
      let [first, last] = [from, from + windowSamples - 1];
      while (Math.abs(this.#block[first]!) < audibleLevel) first += 1;
      while (Math.abs(this.#block[last]!) < audibleLevel) last -= 1;
      this.#noteAudible(start + first);
      this.#noteAudible(start + last);
    }
  }

  #noteAudible(heardSample: number): void {
    const run = this.runs.findLast((candidate) => candidate.heardSample <= heardSample)!;
    const reply = this.replies.get(run.eventId)!;
    reply.onsetMs ??= heardSample / samplesPerMs;
    reply.lastAudibleMs = heardSample / samplesPerMs;
  }

  #keep(start: number): void {
    if (this.#lane === undefined) return;
    this.#lane = grown(this.#lane, start + blockSamples);
    this.#lane.set(this.#block, start);
  }
}

/** `samples`, or a copy of at least twice the length when `length` do not fit. */
function grown(samples: Int16Array, length: number): Int16Array {
  if (length <= samples.length) return samples;
  const larger = new Int16Array(Math.max(2 * samples.length, length));
  larger.set(samples);
  return larger;
}
