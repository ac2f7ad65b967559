/** What was truly heard of a speech that did not come to its end. One a session, TTS thread. */
import { msUntil } from '../shared/clock.js';
import type { CutSent, FromTts } from '../shared/links.js';
import { Cell, type Slot } from '../shared/slots.js';
import type { Hz } from '../shared/units.js';
import type { OnFloor } from './pacer.js';
import type { Speech } from './speech.js';

type Heard = Omit<Extract<FromTts, { type: 'heard' }>, 'slot' | 'generation'>;

/**
 * It takes two words to know it: conversation's order to cut, and main's on what it had sent. They come over different ports, in either order.
 * A cut speech that may be undone is kept until it is discarded, any other until it is told what was heard of it.
 */
export class CutSpeech {
  readonly #rateHz: Hz;
  readonly #answer: (answer: Heard) => void;
  #cut: (Place & { readonly isUndoable: boolean; heardSample: number }) | undefined;
  #sent: CutSent | undefined;

  constructor(rateHz: Hz, answer: (answer: Heard) => void) {
    this.#rateHz = rateHz;
    this.#answer = answer;
  }

  /** The order. `base`: session position of the speech's sample 0. */
  ordered(speech: Speech, epoch: number, base: number, isUndoable: boolean): void {
    if (this.#cut?.speech !== speech) this.clear();
    this.#cut = { speech, epoch, base, isUndoable, heardSample: -1 };
    this.#tellHeard();
  }

  /** An order for a speech of which nothing is there. */
  orderedNothing(speech: number, epoch: number): void {
    this.#answer({ type: 'heard', speech, epoch, heardChars: 0, heardMs: 0, totalChars: 0 });
  }

  sent(message: CutSent): void {
    this.#sent = message;
    this.#tellHeard();
  }

  /** It will not be undone. */
  forget(speech: number): void {
    if (this.#cut?.speech.number === speech) this.clear();
  }

  /** Its audio goes with it. */
  clear(): void {
    this.#cut?.speech.drop();
    this.#cut = undefined;
  }

  /** The speech goes on after all: it, and how many of its samples were heard. Undefined when another or none was cut last. */
  undo(speech: number): { readonly speech: Speech; readonly heardSample: number } | undefined {
    const cut = this.#cut;
    if (cut === undefined || cut.speech.number !== speech) return undefined;
    this.#cut = undefined;
    return { speech: cut.speech, heardSample: Math.max(0, cut.heardSample) };
  }

  #tellHeard(): void {
    const cut = this.#cut;
    const sent = this.#sent;
    if (cut === undefined || sent === undefined || cut.heardSample >= 0 || sent.epoch !== cut.epoch) return;
    this.#sent = undefined;
    cut.heardSample = heardSampleOf(cut, this.#rateHz, sent.sentPosition, sent.playEndAtMs - sent.atMs);
    this.#answer(heardOf(cut, this.#rateHz, cut.heardSample));
    if (!cut.isUndoable) this.clear();
  }
}

/** How much of a speech the client had heard when it went. */
export function heardAtEnd(floor: OnFloor, slot: Slot, rateHz: Hz, atMs: number): Heard {
  const unplayedMs = msUntil(slot.load(Cell.playEndAtMs), atMs);
  return heardOf(floor, rateHz, heardSampleOf(floor, rateHz, slot.load(Cell.sentPosition), unplayedMs));
}

type Place = { readonly speech: Speech; readonly epoch: number; readonly base: number };

function heardSampleOf({ speech, base }: Place, rateHz: Hz, sentPosition: number, unplayedMs: number): number {
  const heardPosition = sentPosition - (Math.max(0, unplayedMs) * rateHz) / 1000;
  return Math.max(0, Math.min(speech.audio.end, Math.round(heardPosition - base)));
}

function heardOf({ speech, epoch }: Place, rateHz: Hz, heardSample: number): Heard {
  const { number, timeline } = speech;
  return {
    type: 'heard',
    speech: number,
    epoch,
    heardChars: timeline.heardChars(heardSample),
    heardMs: (heardSample * 1000) / rateHz,
    totalChars: timeline.text.length,
  };
}
