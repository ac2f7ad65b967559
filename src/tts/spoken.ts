/**
 * What the client was truly sent of the agent's audio, and when it heard it: the agent's side of a recording. One a recorded session, TTS
 * thread; a session that is not recorded has none and pays nothing.
 *
 * A frame that was pushed may still be dropped: cut, or superseded by a resume. So frames wait here until main has dealt with them, and then
 * become part of a run of unbroken audio that is posted in pieces. What main did is read from its cells and from `cut_sent`:
 * - it has taken every frame, and the epoch has not grown: all were sent, but perhaps for a tail (`look`);
 * - it stands still (HOLD, the end of the call), or has said what it had sent (`cut_sent`): `sentPosition` is the end of the last frame sent.
 */
import { SampleQueue } from '../audio/sample-queue.js';
import { msUntil } from '../shared/clock.js';
import type { CutSent } from '../shared/links.js';
import { Cell, outputRingFrames, type Slot } from '../shared/slots.js';
import { type Hz, inputRateHz, ms, samplesIn } from '../shared/units.js';
import { InputClock } from './input-clock.js';
import { pacing } from './pacing.js';

export type SpokenPiece = {
  /** Input clock: the sample that the caller's microphone took when the first of these was heard, by the playhead estimate. */
  readonly atSample: number;
  readonly rateHz: number;
  /** Belongs to whoever gets it. */
  readonly pcm: Int16Array<ArrayBuffer>;
  /** Nothing comes after it; it may be empty. */
  readonly isLast: boolean;
};

export const spokenLimits = {
  pieceMs: 500,
  /** The newest audio is kept until it must have been played, for a CUT may take it back: more than the greatest lead and the way. */
  keptMs: 500,
  /** The playhead estimate is in whole milliseconds: what differs by less is no hole. */
  holeMinMs: 2,
  /** Frames whose fate is not known: a ring full of cut ones, and one of those that came after them. */
  waitingMax: 2 * outputRingFrames,
} as const;

type Framed = { epoch: number; end: number; count: number; readonly samples: Int16Array };

/** Audio without a gap. `atSample` is fixed when its first piece is posted. */
type Run = { readonly fromMs: number; atSample: number | undefined; samples: number };

export class SpokenTrack {
  readonly #slot: Slot;
  readonly #rateHz: Hz;
  readonly #now: () => number;
  readonly #post: (piece: SpokenPiece) => void;
  readonly #clock: InputClock;
  /** In the order of the ring. */
  readonly #waiting: Framed[] = [];
  readonly #spare: Framed[] = [];
  /** End of the run that is not posted yet: from `#postedTo` on. */
  readonly #held = new SampleQueue();
  #postedTo = 0;
  readonly #pieceSamples: number;
  readonly #heldSamplesMax: number;
  #run: Run | undefined;
  /** Where `sentPosition` stood when frames were last sorted out. */
  #sentPosition = 0;
  /** Main has said what it sent before this epoch. Frames of a newer one wait until it says so: they may come first. */
  #cutEpoch: number;

  constructor(slot: Slot, rateHz: Hz, now: () => number, post: (piece: SpokenPiece) => void) {
    this.#slot = slot;
    this.#rateHz = rateHz;
    this.#now = now;
    this.#post = post;
    this.#clock = new InputClock(slot);
    this.#cutEpoch = slot.load(Cell.epoch);
    this.#pieceSamples = samplesIn(ms(spokenLimits.pieceMs), rateHz);
    this.#heldSamplesMax = samplesIn(ms(spokenLimits.pieceMs + spokenLimits.keptMs + pacing.frameMs), rateHz);
  }

  /** A frame is in the ring; `samples` are copied. `position`: of its first sample, on the session's output timeline. */
  framed(epoch: number, position: number, samples: Int16Array): void {
    // Main's word came before conversation's order: this frame is dropped.
    if (epoch < this.#cutEpoch) return;
    if (this.#waiting.length === spokenLimits.waitingMax) this.#spare.push(this.#waiting.shift()!);
    const frame = this.#spare.pop() ?? { epoch, end: 0, count: 0, samples: new Int16Array(this.#frameSamples) };
    frame.epoch = epoch;
    frame.count = samples.length;
    frame.end = position + samples.length;
    frame.samples.set(samples);
    this.#waiting.push(frame);
  }

  /** Called at every tick: sorts out the frames if main has taken all of them. */
  look(atMs: number): void {
    this.#clock.look(atMs);
    const first = this.#waiting[0];
    if (first === undefined || this.#slot.load(Cell.outputRead) !== this.#slot.load(Cell.outputWritten)) return;
    // Loaded after the count: if it has not grown by now, it had not when main dealt with them. Otherwise `cut_sent` will tell.
    if (this.#slot.load(Cell.epoch) > first.epoch || first.epoch > this.#cutEpoch) return;
    const sentPosition = this.#slot.load(Cell.sentPosition);
    // Main drops a tail that comes too late; there is nothing else beside it then.
    const sent = this.#waiting.at(-1)!.end === sentPosition ? this.#waiting.length : 0;
    this.#sort(this.#waiting.length, sent, sentPosition, this.#playEndMs(atMs));
  }

  /** What is in the ring is not sent any more. Main stands still; where it does not, one frame that it is just sending may be missed. */
  superseded(atMs: number): void {
    this.#sortBy(this.#waiting.length, this.#slot.load(Cell.sentPosition), this.#playEndMs(atMs));
  }

  /** What the client has not played of the older epochs it throws away. */
  cutSent(message: CutSent): void {
    this.#cutEpoch = message.epoch;
    let older = 0;
    while (older < this.#waiting.length && this.#waiting[older]!.epoch < message.epoch) older++;
    this.#sortBy(older, message.sentPosition, message.playEndAtMs);
    this.#dropUnplayed(message.playEndAtMs - message.atMs);
    this.#endRun();
  }

  /** A speech has been heard to its end. */
  drained(atMs: number): void {
    this.look(atMs);
    this.#endRun();
  }

  /** The call is over, and with it what the client had still to play. Posts the last piece in any case. */
  close(atMs: number): void {
    const playEndMs = this.#playEndMs(atMs);
    this.#sortBy(this.#waiting.length, this.#slot.load(Cell.sentPosition), playEndMs);
    this.#dropUnplayed(playEndMs - atMs);
    this.#postPiece(this.#heldSamples, true);
    this.#run = undefined;
  }

  #dropUnplayed(unplayedMs: number): void {
    if (this.#run === undefined) return;
    const unplayed = Math.round((Math.max(0, unplayedMs) * this.#rateHz) / 1000);
    const dropped = Math.min(unplayed, this.#heldSamples);
    this.#held.truncate(this.#held.end - dropped);
    this.#run.samples -= dropped;
  }

  get #heldSamples(): number {
    return this.#held.end - this.#postedTo;
  }

  get #frameSamples(): number {
    return samplesIn(ms(pacing.frameMs), this.#rateHz);
  }

  #playEndMs(atMs: number): number {
    return Math.round(atMs) + msUntil(this.#slot.load(Cell.playEndAtMs), atMs);
  }

  /** Of the first `count` frames those were sent that end with the one at `sentPosition`; none, if it has not moved. */
  #sortBy(count: number, sentPosition: number, playEndMs: number): void {
    let sent = 0;
    if (sentPosition !== this.#sentPosition) {
      for (let index = 0; index < count; index++) if (this.#waiting[index]!.end === sentPosition) sent = index + 1;
    }
    this.#sort(count, sent, sentPosition, playEndMs);
  }

  /** Takes the first `count` frames out; the first `sent` of them were sent, and the client has played them at `playEndMs`. */
  #sort(count: number, sent: number, sentPosition: number, playEndMs: number): void {
    this.#sentPosition = sentPosition;
    let samples = 0;
    for (let index = 0; index < sent; index++) samples += this.#waiting[index]!.count;
    if (samples > 0) this.#goOn(playEndMs - (samples * 1000) / this.#rateHz);
    for (let index = 0; index < sent; index++)
      this.#append(this.#waiting[index]!.samples.subarray(0, this.#waiting[index]!.count));
    if (count > 0) this.#spare.push(...this.#waiting.splice(0, count));
  }

  /** The next audio was heard at `fromMs`: it goes on with the run, behind silence where the client had nothing to play, or begins one. */
  #goOn(fromMs: number): void {
    const run = this.#run;
    if (run !== undefined) {
      const holeMs = fromMs - run.fromMs - (run.samples * 1000) / this.#rateHz;
      if (Math.abs(holeMs) < spokenLimits.holeMinMs) return;
      if (holeMs > 0 && holeMs <= spokenLimits.keptMs) {
        this.#appendSilence(samplesIn(ms(holeMs), this.#rateHz));
        return;
      }
      this.#endRun();
    }
    this.#run = { fromMs, atSample: undefined, samples: 0 };
  }

  /** Within the run, so that a CUT finds what is unplayed on either side of the hole. */
  #appendSilence(count: number): void {
    const silence = new Int16Array(this.#frameSamples);
    for (let left = count; left > 0; left -= silence.length) this.#append(silence.subarray(0, left));
  }

  #append(samples: Int16Array): void {
    if (this.#heldSamples + samples.length > this.#heldSamplesMax) this.#postPiece(this.#pieceSamples, false);
    this.#held.append(samples);
    this.#run!.samples += samples.length;
  }

  #endRun(): void {
    if (this.#heldSamples > 0) this.#postPiece(this.#heldSamples, false);
    this.#run = undefined;
  }

  /** Posts the oldest `count` held samples. */
  #postPiece(count: number, isLast: boolean): void {
    const run = this.#run;
    let atSample = 0;
    if (run !== undefined) {
      this.#clock.look(this.#now());
      // A greeting may be heard before the caller's first sample: it stands at the beginning then.
      run.atSample ??= Math.max(0, this.#clock.sampleAt(run.fromMs) ?? 0);
      const posted = run.samples - this.#heldSamples;
      atSample = run.atSample + Math.round((posted * inputRateHz) / this.#rateHz);
    }
    const pcm = new Int16Array(count);
    this.#held.copy(this.#postedTo, pcm);
    this.#postedTo += count;
    if (this.#postedTo === this.#held.end) this.#held.clear();
    else this.#held.forgetBefore(this.#postedTo);
    this.#post({ atSample, rateHz: this.#rateHz, pcm, isLast });
  }
}
