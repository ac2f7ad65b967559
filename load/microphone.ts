/**
 * What a caller says, sample by sample, on the 16 kHz clock of the call (sample 0 = the socket opened). Pure: whoever sends decides when a
 * frame is taken. Like a real microphone it always delivers, silence between clips included, and a frame is complete only once
 * its last sample has been spoken; so a sample's instant is its index / 16 ms, and it is on the wire up to 20 ms later.
 */
import { inputRateHz, samplesIn } from '../src/shared/units.js';
import { framePeriodMs } from './beat.js';

export const frameSamples = samplesIn(framePeriodMs, inputRateHz);

type Placed = { readonly samples: Int16Array; readonly startSample: number };

export class Microphone {
  /** Everything ever said, in the order of the calls. */
  readonly #placed: Placed[] = [];
  /** Those of it that frames to come still need. */
  #ahead: Placed[] = [];
  /** Where on the clock of the call the first frame begins: what the server counts as sample 0. */
  readonly firstSample: number;
  #nextSample: number;

  constructor(firstSample: number) {
    this.firstSample = firstSample;
    this.#nextSample = firstSample;
  }

  /** First sample that is not yet in a frame. */
  get nextSample(): number {
    return this.#nextSample;
  }

  /**
   * Says `samples` from `atSample` on, or at once if that is past, over whatever else is said there. Returns where they begin.
   * The microphone keeps the array.
   */
  place(samples: Int16Array, atSample: number): number {
    const startSample = Math.max(Math.ceil(atSample), this.#nextSample);
    const placed = { samples, startSample };
    this.#placed.push(placed);
    this.#ahead.push(placed);
    return startSample;
  }

  /** The next 20 ms; undefined means silence. The receiver owns the array. */
  takeFrame(): Int16Array | undefined {
    const from = this.#nextSample;
    const to = from + frameSamples;
    this.#nextSample = to;
    let frame: Int16Array | undefined;
    for (const placed of this.#ahead) {
      if (placed.startSample >= to) continue;
      frame ??= new Int16Array(frameSamples);
      mix(frame, from, placed);
    }
    if (frame !== undefined) this.#ahead = this.#ahead.filter((placed) => placed.startSample + placed.samples.length > to);
    return frame;
  }

  /** All that was said up to now, from the beginning of the call. */
  lane(): Int16Array {
    const lane = new Int16Array(this.#nextSample);
    for (const placed of this.#placed) mix(lane, 0, placed);
    return lane;
  }
}

/** Adds to `out`, whose first sample is `outStart` of the clock, the part of `placed` that falls into it. Loud sums are clipped. */
function mix(out: Int16Array, outStart: number, placed: Placed): void {
  const from = Math.max(outStart, placed.startSample);
  const to = Math.min(outStart + out.length, placed.startSample + placed.samples.length);
  for (let i = from; i < to; i++) {
    const sum = out[i - outStart]! + placed.samples[i - placed.startSample]!;
    out[i - outStart] = Math.max(-32768, Math.min(32767, sum));
  }
}
