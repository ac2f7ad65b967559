/**
 * The reference ring: the very samples that were framed for the client, at their position on the session's output timeline and at its rate. The TTS
 * thread writes, the VAD thread looks for them in the caller's microphone. Nobody waits and nothing is published: the writer is ahead of
 * `sentPosition`, and the reader asks for what lies before that. A resume writes the same samples at the same positions again.
 *
 * What is read may be torn where writer and reader meet, which is more than a second away; it would only look less like an echo.
 */
import { strict as assert } from 'node:assert';
import { Cell, referenceRingSamples, type Slot } from './slots.js';
import type { Hz } from './units.js';

/** How far back from `sentPosition` samples are there, whatever is framed ahead of it. */
export const referenceMs = 1040;
/** That, and a ring of frames. */
const keptMs = referenceMs + 320;

/** Samples of the ring that are used at `rateHz`, 48 kHz at most. Not rounded up: what is not used is never touched, and costs nothing. */
export function referenceSamples(rateHz: number): number {
  return Math.min(Math.ceil((rateHz * keptMs) / 1000), referenceRingSamples);
}

export class ReferenceWriter {
  readonly #ring: Int16Array;

  constructor(slot: Slot, rateHz: Hz) {
    assert((rateHz * referenceMs) / 1000 <= referenceRingSamples, 'the ring holds what is looked back on');
    this.#ring = slot.reference.subarray(0, referenceSamples(rateHz));
    slot.store(Cell.referenceHz, rateHz);
  }

  /** At most a ring of samples, copied. `position`: of the first, on the session's output timeline. */
  write(position: number, samples: Int16Array): void {
    const start = position % this.#ring.length;
    const head = Math.min(samples.length, this.#ring.length - start);
    this.#ring.set(samples.subarray(0, head), start);
    if (head < samples.length) this.#ring.set(samples.subarray(head), 0);
  }
}

/**
 * Copies `count` samples of the reference from `position` on, which lies in the last `referenceMs` before `sentPosition`; what is before 0 reads as
 * silence. `ringSamples`: `referenceSamples` of the rate. Makes no views, because it is called for each hop that is looked at.
 */
export function copyReference(slot: Slot, ringSamples: number, position: number, into: Int16Array, count: number): void {
  const ring = slot.reference;
  const before = Math.min(count, Math.max(0, -position));
  into.fill(0, 0, before);
  let at = (position + before) % ringSamples;
  for (let index = before; index < count; index += 1) {
    into[index] = ring[at]!;
    at += 1;
    if (at === ringSamples) at = 0;
  }
}
