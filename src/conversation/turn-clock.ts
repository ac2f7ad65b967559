/** The instants of the open turn and of the replies under way, from the caller's last sample to the first frame. Conversation thread. */
import { Cell, type Slot } from '../shared/slots.js';
import { inputRateHz } from '../shared/units.js';
import type { Recorder } from '../telemetry/recorder.js';
import type { SessionLinks } from './session-links.js';
import { TurnTimes } from './times.js';

export const toMs = (samples: number): number => (samples * 1000) / inputRateHz;
const toSamples = (milliseconds: number): number => (milliseconds * inputRateHz) / 1000;

export class TurnClock {
  readonly #slot: Slot;
  readonly #recorder: Recorder;
  readonly #links: SessionLinks;
  readonly #now: () => number;
  #open = new TurnTimes(1);
  readonly #ofSpeech = new Map<number, TurnTimes>();

  constructor(slot: Slot, recorder: Recorder, links: SessionLinks, now: () => number) {
    this.#slot = slot;
    this.#recorder = recorder;
    this.#links = links;
    this.#now = now;
  }

  /** Of the open turn. */
  get open(): TurnTimes {
    return this.#open;
  }

  of(speech: number): TurnTimes | undefined {
    return this.#ofSpeech.get(speech);
  }

  /** A speech answers the open turn, unless it is known already whose answer it is. */
  bind(speech: number): TurnTimes {
    const times = this.#ofSpeech.get(speech) ?? this.#open;
    this.#ofSpeech.set(speech, times);
    return times;
  }

  forget(speech: number): void {
    this.#ofSpeech.delete(speech);
  }

  closeTurn(turn: number): void {
    this.#open = new TurnTimes(turn + 1);
  }

  committed(t0Ms: number, delayMs: number): void {
    this.#open.mark('committed', this.#now());
    this.#open.dueAtMs = this.instantOf(toSamples(t0Ms)) + delayMs;
  }

  /** The word of main and that of the pacer come over different ports: whichever is second completes the turn's instants. */
  complete(speech: number): TurnTimes | undefined {
    const times = this.#ofSpeech.get(speech);
    if (times?.get('firstFrame') === undefined || times.get('firstChunk') === undefined) return undefined;
    this.#ofSpeech.delete(speech);
    times.record(this.#recorder);
    const { turn, finalThroughMs, pauseThroughMs } = times;
    const through = { final_through_ms: finalThroughMs, pause_through_ms: pauseThroughMs };
    this.#links.log('turn.answered', { turn, ...through, ...times.fields() });
    const disorder = times.disorder();
    if (disorder !== undefined) this.#links.log('turn.disorder', { turn: times.turn, disorder });
    return times;
  }

  /** Monotonic instant at which input sample `sample` arrived, if the client streams in real time. */
  instantOf(sample: number): number {
    return this.#now() - toMs(this.#slot.load(Cell.inputWritten) - sample);
  }
}
