/**
 * One wish for a transcript of one stretch of audio: the request for it, its one retry and its hedge, of which the first answer counts,
 * under one deadline. STT thread.
 */
import { EngineError } from '../shared/errors.js';
import { engineErrorOf } from '../shared/http-errors.js';
import type { Cancel, Timers } from '../shared/timers.js';
import { type Ms, ms, type Samples } from '../shared/units.js';
import type { RequestAllowance } from './request-allowance.js';

export type AskSettings = {
  /** A final without an answer for this long is asked for a second time, if the allowance permits. */
  readonly hedgeAfterMs: Ms;
  /** The request, its retry and its hedge together. */
  readonly deadlineMs: Ms;
  /** Wait before the one retry: evenly spread between the two. */
  readonly retryMinMs: Ms;
  readonly retryMaxMs: Ms;
  /** A `Retry-After` up to this is waited for; a longer one fails the request at once. */
  readonly retryAfterMaxMs: Ms;
  /** When an answer 429 does not say how long. */
  readonly retryAfterUnknownMs: Ms;
};

export type AskContext = {
  /** Of the recogniser, for error messages. */
  readonly who: string;
  readonly timers: Timers;
  readonly allowance: RequestAllowance;
  readonly settings: AskSettings;
  /** 0 ≤ x < 1, for the jitter of retries. */
  readonly random: () => number;
};

export type AskEvents<Answer> = {
  /** Sends one request. Called again for the retry and for the hedge. */
  readonly send: (signal: AbortSignal) => Promise<Answer>;
  /** One of the two is called, once, and not after `drop`. All other requests of the ask are aborted by then. */
  readonly onAnswer: (answer: Answer) => void;
  readonly onFailure: (error: EngineError) => void;
};

export class Ask<Answer> {
  readonly endSample: Samples;
  #isFinal: boolean;
  readonly #context: AskContext;
  readonly #events: AskEvents<Answer>;
  /** The requests under way, oldest first: one, or two after a hedge. */
  readonly #attempts = new Set<AbortController>();
  #sentAtMs: Ms;
  #retriesLeft = 1;
  #cancelDeadline: Cancel | undefined;
  #cancelHedge: Cancel | undefined;
  #cancelRetry: Cancel | undefined;

  constructor(isFinal: boolean, endSample: Samples, context: AskContext, events: AskEvents<Answer>) {
    this.endSample = endSample;
    this.#isFinal = isFinal;
    this.#context = context;
    this.#events = events;
    this.#sentAtMs = context.timers.nowMs();
  }

  /** If no speech follows, the answer is the final of the turn. */
  get isFinal(): boolean {
    return this.#isFinal;
  }

  /** Sends the request, now or when the provider takes requests again. May call back before it returns. */
  start(): void {
    const { timers, allowance, settings, who } = this.#context;
    const heldMs = allowance.heldMs(timers.nowMs());
    if (heldMs > settings.retryAfterMaxMs) {
      this.#fail(new EngineError('rate_limited', `${who} asked for fewer requests`, { fields: { retryAfterMs: heldMs } }));
      return;
    }
    this.#cancelDeadline = timers.after(settings.deadlineMs, () =>
      this.#fail(new EngineError('timeout', `${who} did not answer within ${settings.deadlineMs} ms`)),
    );
    if (heldMs > 0) this.#cancelRetry = timers.after(ms(heldMs + this.#jitterMs()), () => this.#begin());
    else this.#begin();
  }

  /** A partial that turns out to cover all there is at a pause. */
  makeFinal(): void {
    this.#isFinal = true;
    this.#armHedge();
  }

  /** A final that speech has overtaken: not worth two requests, the hedge goes. */
  makePartial(): void {
    this.#isFinal = false;
    this.#cancelHedge?.();
    for (const hedge of [...this.#attempts].slice(1)) this.#abort(hedge);
  }

  /** Nothing of it is left, no timer and no request, and it calls back no more. */
  drop(): void {
    this.#cancelDeadline?.();
    this.#cancelHedge?.();
    this.#cancelRetry?.();
    for (const attempt of [...this.#attempts]) this.#abort(attempt);
  }

  #begin(): void {
    this.#cancelRetry = undefined;
    this.#sentAtMs = this.#context.timers.nowMs();
    this.#context.allowance.noteRequest();
    if (this.#isFinal) this.#armHedge();
    void this.#attempt();
  }

  #armHedge(): void {
    const { timers, settings, allowance } = this.#context;
    const waitedMs = timers.nowMs() - this.#sentAtMs;
    this.#cancelHedge = timers.after(ms(Math.max(0, settings.hedgeAfterMs - waitedMs)), () => {
      // While the retry waits nothing is under way, and the retry is the second request.
      if (this.#attempts.size === 1 && allowance.takeHedge()) void this.#attempt();
    });
  }

  async #attempt(): Promise<void> {
    const attempt = new AbortController();
    this.#attempts.add(attempt);
    let answer: Answer;
    try {
      answer = await this.#events.send(attempt.signal);
    } catch (error) {
      this.#failed(attempt, engineErrorOf(error, this.#context.who));
      return;
    }
    // Not in the set: aborted, and answered all the same. Taken out before the rest is aborted: an answered request keeps its connection.
    if (!this.#attempts.delete(attempt)) return;
    this.drop();
    this.#events.onAnswer(answer);
  }

  #failed(attempt: AbortController, error: EngineError): void {
    if (!this.#attempts.delete(attempt)) return;
    const { timers, allowance, settings } = this.#context;
    const told = error.fields['retryAfterMs'];
    const wishedMs = typeof told === 'number' ? told : error.kind === 'rate_limited' ? settings.retryAfterUnknownMs : 0;
    if (error.kind === 'rate_limited') allowance.hold(timers.nowMs(), wishedMs);
    if (this.#attempts.size > 0) return;
    const retryable =
      ['refused', 'server', 'broken', 'rate_limited'].includes(error.kind) && wishedMs <= settings.retryAfterMaxMs;
    if (!retryable || this.#retriesLeft === 0) {
      this.#fail(error);
      return;
    }
    this.#retriesLeft -= 1;
    this.#cancelRetry = timers.after(ms(wishedMs + this.#jitterMs()), () => {
      allowance.counts.retries += 1;
      void this.#attempt();
    });
  }

  #fail(error: EngineError): void {
    this.drop();
    this.#context.allowance.counts.failures += 1;
    this.#events.onFailure(error);
  }

  #abort(attempt: AbortController): void {
    this.#attempts.delete(attempt);
    attempt.abort();
  }

  #jitterMs(): number {
    const { settings, random } = this.#context;
    return settings.retryMinMs + random() * (settings.retryMaxMs - settings.retryMinMs);
  }
}
