/**
 * What all turns that use one provider key share: how many hedges they may send, and how long the provider asked to be left alone.
 * STT thread.
 */
import { type Ms, ms } from '../shared/units.js';

export type AllowanceSettings = {
  /** Hedges per request, at most. */
  readonly hedgeRatioMax: number;
  /** Over how many of the last requests that is measured. A fresh window allows no hedge before 1 / `hedgeRatioMax` requests were made. */
  readonly windowRequests: number;
  /** Longest time that an answer 429 keeps requests back. */
  readonly holdMaxMs: Ms;
};

export const allowanceDefaults: AllowanceSettings = { hedgeRatioMax: 0.05, windowRequests: 400, holdMaxMs: ms(60_000) };

/** Since the start of this object. They only grow. */
export type RequestCounts = {
  /** First requests for a partial or a final, without retries and hedges. */
  requests: number;
  retries: number;
  hedges: number;
  /** Hedges that were due and over the ratio. */
  hedgesRefused: number;
  /** Requests that failed for good. */
  failures: number;
  /** Turns that reached their audio bound without a pause, and the samples that were lost by it. */
  audioOverruns: number;
  droppedSamples: number;
};

export class RequestAllowance {
  readonly counts: RequestCounts = {
    requests: 0,
    retries: 0,
    hedges: 0,
    hedgesRefused: 0,
    failures: 0,
    audioOverruns: 0,
    droppedSamples: 0,
  };
  readonly #settings: AllowanceSettings;
  /** Hedges sent while that request was the newest, by request number modulo the window. */
  readonly #hedgesAt: Uint16Array;
  #hedgesInWindow = 0;
  #heldUntilMs = 0;

  constructor(settings: AllowanceSettings = allowanceDefaults) {
    this.#settings = settings;
    this.#hedgesAt = new Uint16Array(settings.windowRequests);
  }

  /** A first request is being sent. */
  noteRequest(): void {
    const at = this.counts.requests % this.#hedgesAt.length;
    this.#hedgesInWindow -= this.#hedgesAt[at]!;
    this.#hedgesAt[at] = 0;
    this.counts.requests += 1;
  }

  /** True when a second request for the same audio may be sent now; it is counted as sent. */
  takeHedge(): boolean {
    const inWindow = Math.min(this.counts.requests, this.#hedgesAt.length);
    if (this.#hedgesInWindow + 1 > this.#settings.hedgeRatioMax * inWindow) {
      this.counts.hedgesRefused += 1;
      return false;
    }
    const at = (this.counts.requests - 1) % this.#hedgesAt.length;
    this.#hedgesAt[at] = this.#hedgesAt[at]! + 1;
    this.#hedgesInWindow += 1;
    this.counts.hedges += 1;
    return true;
  }

  /** The provider wants no request for `waitMs`. */
  hold(nowMs: Ms, waitMs: number): void {
    this.#heldUntilMs = Math.max(this.#heldUntilMs, nowMs + Math.min(waitMs, this.#settings.holdMaxMs));
  }

  /** How long requests are still to be kept back; 0 when they may go. */
  heldMs(nowMs: Ms): Ms {
    return ms(Math.max(0, this.#heldUntilMs - nowMs));
  }
}
