/** A false alarm: the speech on the floor goes on, from where the client stopped or from the word before. One a session, TTS thread. */
import { msUntil } from '../shared/clock.js';
import { Cell, type Slot } from '../shared/slots.js';
import { type Hz, ms, samplesIn } from '../shared/units.js';
import type { OnFloor, Pacer, TtsCounters } from './pacer.js';
import { pacing } from './pacing.js';
import type { Speech } from './speech.js';

export type Resumed = { readonly type: 'resume_ready'; readonly hold: number; readonly rewoundSamples: number };

/** Sample of the speech from which it goes on. `sent`: one past what the client got; `holeMs`: how long it has had nothing to play. */
export type ResumePoint = (speech: Speech, sent: number, holeMs: number, rateHz: Hz) => number;

/** After a short hole the next sample; after a longer one the word before it is said again. */
export const resumePoint: ResumePoint = (speech, sent, holeMs, rateHz) =>
  holeMs <= pacing.holeMs ? sent : rewound(speech, sent, rateHz);

export class Resume {
  readonly #slot: Slot;
  readonly #rateHz: Hz;
  readonly #pacer: Pacer;
  readonly #counters: TtsCounters;
  /** How long the client had nothing to play. */
  readonly #onHole: (holeMs: number) => void;
  readonly #ringMain: () => void;
  readonly #pointOf: ResumePoint;
  #hold = 0;
  /** How far the speech was when it last went back. What was said twice is not said a third time: echo after echo must not keep the agent from getting on. */
  #repeated: { readonly speech: Speech; readonly through: number } | undefined;

  constructor(
    slot: Slot,
    rateHz: Hz,
    pacer: Pacer,
    counters: TtsCounters,
    onHole: (holeMs: number) => void,
    ringMain: () => void,
    pointOf: ResumePoint = resumePoint,
  ) {
    this.#slot = slot;
    this.#rateHz = rateHz;
    this.#pacer = pacer;
    this.#counters = counters;
    this.#onHole = onHole;
    this.#ringMain = ringMain;
    this.#pointOf = pointOf;
  }

  /** Ordered, and not possible yet. */
  get isPending(): boolean {
    return this.#hold > 0;
  }

  /** The HOLD numbered `hold` was for nothing. */
  order(hold: number): void {
    this.#hold = hold;
  }

  cancel(): void {
    this.#hold = 0;
  }

  /** Waits until main has said that it obeys the HOLD, and has dealt with a tail, so that what was sent is known to the sample; then frames from there again. */
  attempt(floor: OnFloor | undefined, atMs: number): Resumed | undefined {
    const hold = this.#hold;
    const isObeyed = this.#slot.load(Cell.holdSeen) >= hold || !this.#slot.held;
    if (!isObeyed || this.#pacer.isTailOnWay) {
      this.#ringMain();
      return undefined;
    }
    this.#hold = 0;
    const rewoundSamples = floor?.hasStarted === true ? this.#goOn(floor, atMs) : 0;
    return { type: 'resume_ready', hold, rewoundSamples };
  }

  #goOn(floor: OnFloor, atMs: number): number {
    const sent = Math.max(0, this.#slot.load(Cell.sentPosition) - floor.base);
    const holeMs = -msUntil(this.#slot.load(Cell.playEndAtMs), atMs);
    this.#onHole(Math.max(0, holeMs));
    const { speech } = floor;
    const wanted = this.#pointOf(speech, sent, holeMs, this.#rateHz);
    const isThirdTime = this.#repeated?.speech === speech && wanted < this.#repeated.through;
    const from = isThirdTime ? sent : wanted;
    if (from < sent) {
      this.#counters.rewinds += 1;
      this.#repeated = { speech, through: sent };
    }
    this.#pacer.reframe(floor, from, holeMs, atMs);
    return sent - from;
  }
}

/** Start of the word before `sample`, at most the rewind limit back. */
function rewound(speech: Speech, sample: number, rateHz: Hz): number {
  const limit = samplesIn(ms(pacing.rewindMaxMs), rateHz);
  const start = speech.timeline.wordStartBefore(sample);
  return Math.max(0, speech.audio.start, sample - start <= limit ? start : sample);
}
