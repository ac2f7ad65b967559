/** Makes a streaming provider of a recogniser that answers whole requests. STT thread. */
import { systemTimers, type Timers } from '../shared/timers.js';
import type { SttProvider, SttSettings, SttTurn, SttTurnOptions, Transcriber } from './port.js';
import { type AllowanceSettings, allowanceDefaults, RequestAllowance, type RequestCounts } from './request-allowance.js';
import { type RequestContext, RequestTurn, type RequestTurnSettings, requestTurnDefaults } from './request-turn.js';

export type RequestProviderOptions = {
  readonly turn?: Partial<RequestTurnSettings>;
  readonly allowance?: Partial<AllowanceSettings>;
  readonly timers?: Timers;
  readonly random?: () => number;
};

export class RequestProvider implements SttProvider {
  readonly name: string;
  readonly #context: RequestContext;
  readonly #turns = new Set<SttTurn>();

  /** Owns `transcriber`: `close` closes it. */
  constructor(transcriber: Transcriber, options: RequestProviderOptions = {}) {
    this.name = transcriber.name;
    this.#context = {
      transcriber,
      timers: options.timers ?? systemTimers,
      allowance: new RequestAllowance({ ...allowanceDefaults, ...options.allowance }),
      settings: { ...requestTurnDefaults, ...options.turn },
      random: options.random ?? Math.random,
    };
  }

  get counts(): Readonly<RequestCounts> {
    return this.#context.allowance.counts;
  }

  warm(settings: SttSettings): Promise<void> {
    return this.#context.transcriber.warm(settings);
  }

  openTurn(options: SttTurnOptions): SttTurn {
    const turn = new RequestTurn(this.#context, options);
    const turns = this.#turns;
    turns.add(turn);
    return {
      push: (chunk, firstSample) => turn.push(chunk, firstSample),
      pause: (speechMs) => turn.pause(speechMs),
      resume: () => turn.resume(),
      close() {
        turns.delete(turn);
        turn.close();
      },
    };
  }

  /** Ends the turns that are still open, then closes the recogniser. */
  async close(): Promise<void> {
    for (const turn of this.#turns) turn.close();
    this.#turns.clear();
    await this.#context.transcriber.close();
  }
}
