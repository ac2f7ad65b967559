/**
 * Which sample of the input ring the caller's microphone took at an instant: the bridge from the monotonic clock to the input clock.
 * One a recorded session, TTS thread.
 *
 * Audio comes in chunks that are late by a different amount each. The least late of the last seconds counts: a late one would put the
 * agent's voice before its time, and so would a look at the two cells while main is between them.
 */
import { msUntil } from '../shared/clock.js';
import { Cell, type Slot } from '../shared/slots.js';
import { inputRateHz } from '../shared/units.js';

const samplesPerMs = inputRateHz / 1000;
/** A chunk is forgotten after one to two of these, so that clocks may drift and samples be lost. */
const windowMs = 2000;

export class InputClock {
  readonly #slot: Slot;
  /** Positions that instant 0 would have: the highest of this window and of the one before. */
  #recent = Number.NEGATIVE_INFINITY;
  #older = Number.NEGATIVE_INFINITY;
  #sinceMs = Number.NEGATIVE_INFINITY;

  constructor(slot: Slot) {
    this.#slot = slot;
  }

  /** Looks at how far the input is. The more often, the better; two loads. */
  look(atMs: number): void {
    // In this order: main stores the instant first, so what is read in between is too low and never counts.
    const written = this.#slot.load(Cell.inputWritten);
    if (written === 0) return;
    const arrivedAtMs = Math.round(atMs) + msUntil(this.#slot.load(Cell.inputAtMs), atMs);
    const ageMs = atMs - this.#sinceMs;
    if (ageMs > windowMs) {
      this.#older = ageMs > 2 * windowMs ? Number.NEGATIVE_INFINITY : this.#recent;
      this.#recent = Number.NEGATIVE_INFINITY;
      this.#sinceMs = atMs;
    }
    this.#recent = Math.max(this.#recent, written - arrivedAtMs * samplesPerMs);
  }

  /** The sample taken at `instantMs`, on its way since; it may still have to come. Undefined before the caller's first one. */
  sampleAt(instantMs: number): number | undefined {
    const zero = Math.max(this.#recent, this.#older);
    if (zero === Number.NEGATIVE_INFINITY) return undefined;
    return Math.round(zero + (instantMs + this.#slot.load(Cell.oneWayMs)) * samplesPerMs);
  }
}
