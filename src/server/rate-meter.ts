/** Compares the audio a client sends with the time that passes: finds a wrong sample rate and a flood. Pure; main thread. */

/** Rates that clients have; one of them sent as another is what is looked for. */
const commonRatesHz = [8000, 16_000, 22_050, 24_000, 44_100, 48_000] as const;
const windowMs = 2000;
const ratioTolerance = 0.04;
/** One odd window may be a burst after a stall; two in a row are a rate. */
const suspectWindowsMin = 2;
/** Audio may come this much faster than real time, … */
const floodRatio = 2;
/** … and this much faster still at any time (a stalled link that catches up). */
const floodCreditMs = 10_000;

export type RateFinding = 'fine' | 'wrong_rate' | 'flood';

export class RateMeter {
  readonly #rateHz: number;
  #lastAtMs = -1;
  /** Audio that was accepted beyond what `floodRatio` allows. */
  #excessMs = 0;
  #windowStartMs = 0;
  #windowAudioMs = 0;
  #suspectWindows = 0;
  #isTold = false;
  /** Rate that the last suspicious windows suggest. */
  suggestedHz = 0;

  constructor(rateHz: number) {
    this.#rateHz = rateHz;
  }

  /** `samples` arrived at `atMs`. `flood`: they are too much and should be dropped. `wrong_rate`: once, and they should be kept. */
  arrived(samples: number, atMs: number): RateFinding {
    const audioMs = (samples * 1000) / this.#rateHz;
    if (this.#lastAtMs < 0) {
      this.#lastAtMs = atMs;
      this.#windowStartMs = atMs;
    }
    this.#watchRate(audioMs, atMs);
    const allowedMs = (atMs - this.#lastAtMs) * floodRatio;
    this.#lastAtMs = atMs;
    this.#excessMs = Math.max(0, this.#excessMs - allowedMs);
    if (this.#excessMs + audioMs > floodCreditMs) return 'flood';
    this.#excessMs += audioMs;
    if (this.#isTold || this.#suspectWindows < suspectWindowsMin) return 'fine';
    this.#isTold = true;
    return 'wrong_rate';
  }

  /** All that comes counts here, also what is dropped as a flood: the rate is that of the client, not of what we keep. */
  #watchRate(audioMs: number, atMs: number): void {
    const elapsedMs = atMs - this.#windowStartMs;
    if (elapsedMs >= windowMs) {
      const sentHz = (this.#windowAudioMs / elapsedMs) * this.#rateHz;
      const isNear = (rateHz: number): boolean => Math.abs(sentHz / rateHz - 1) < ratioTolerance;
      const found = isNear(this.#rateHz) ? undefined : commonRatesHz.find(isNear);
      this.#suspectWindows = found === undefined || found === this.#rateHz ? 0 : this.#suspectWindows + 1;
      if (found !== undefined) this.suggestedHz = found;
      this.#windowStartMs = atMs;
      this.#windowAudioMs = 0;
    }
    this.#windowAudioMs += audioMs;
  }
}
