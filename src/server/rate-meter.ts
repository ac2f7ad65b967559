/** Compares the audio a client sends with the time that passes: finds a wrong sample rate and a flood. Pure; main thread. */

const windowMs = 2000;
/** Ratios of common rates to each other; a client that sends 48 kHz as 16 kHz is 3 times too fast. */
const knownRatios = [3, 2.756, 2, 1.5, 1.378, 0.5, 2 / 3, 1 / 3] as const;
const ratioTolerance = 0.04;
/** Audio may come this much faster than real time, after this much to begin with (a stalled link that catches up). */
const floodRatio = 2;
const floodStartMs = 10_000;

export type RateFinding = 'fine' | 'wrong_rate' | 'flood';

export class RateMeter {
  readonly #rateHz: number;
  #startMs = -1;
  #totalMs = 0;
  #windowStartMs = 0;
  #windowAudioMs = 0;
  #suspectWindows = 0;
  /** Rate that the last suspicious window suggests. */
  suggestedHz = 0;

  constructor(rateHz: number) {
    this.#rateHz = rateHz;
  }

  /** `samples` arrived at `atMs`. `flood`: they are too much and should be dropped. */
  arrived(samples: number, atMs: number): RateFinding {
    const audioMs = (samples * 1000) / this.#rateHz;
    if (this.#startMs < 0) {
      this.#startMs = atMs;
      this.#windowStartMs = atMs;
    }
    if (this.#totalMs + audioMs > (atMs - this.#startMs) * floodRatio + floodStartMs) return 'flood';
    this.#totalMs += audioMs;
    this.#windowAudioMs += audioMs;
    const elapsedMs = atMs - this.#windowStartMs;
    if (elapsedMs < windowMs) return 'fine';
    const ratio = this.#windowAudioMs / elapsedMs;
    this.#windowStartMs = atMs;
    this.#windowAudioMs = 0;
    const known = knownRatios.find((candidate) => Math.abs(ratio / candidate - 1) < ratioTolerance);
    this.#suspectWindows = known === undefined ? 0 : this.#suspectWindows + 1;
    if (known === undefined || this.#suspectWindows !== suspectWindowsMin) return 'fine';
    this.suggestedHz = Math.round((this.#rateHz * known) / 50) * 50;
    return 'wrong_rate';
  }
}

/** One odd window may be a burst after a stall; two in a row are a rate. */
const suspectWindowsMin = 2;
