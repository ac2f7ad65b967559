/**
 * Several language models as one: the next is asked when one fails before its first delta, or (within a budget) when it is later than usual.
 * After the first delta the stream belongs to one model: an answer is never put together from two. Conversation thread.
 */
import { type EngineError, problemOf } from '../shared/errors.js';
import { type Candidate, type Candidates, HedgeBudget, Lateness } from '../shared/failover.js';
import { engineErrorOf } from '../shared/http-errors.js';
import { systemTimers, type Timers } from '../shared/timers.js';
import { ms } from '../shared/units.js';
import type { LlmDelta, LlmProvider, LlmRequest } from './port.js';

/** Second requests are not sent earlier than this, … */
const hedgeMinMs = 400;
/** … nor earlier than this while it is not known how long answers take. */
const hedgeUnknownMs = 1500;

export type FailoverLlmOptions = { readonly isHedged: boolean; readonly timers?: Timers };

/** One request to one model, up to its first delta. */
type Attempt = {
  readonly candidate: Candidate<LlmProvider>;
  readonly controller: AbortController;
  readonly deltas: AsyncIterator<LlmDelta>;
  readonly askedAtMs: number;
  readonly first: Promise<First>;
};
type First = { readonly attempt: () => Attempt } & (
  | { readonly result: IteratorResult<LlmDelta> }
  | { readonly error: EngineError }
);

export class FailoverLlm implements LlmProvider {
  readonly name: string;
  readonly #candidates: Candidates<LlmProvider>;
  readonly #isHedged: boolean;
  readonly #timers: Timers;
  readonly #budget = new HedgeBudget();
  readonly #lateness = new Lateness(hedgeMinMs, hedgeUnknownMs);

  constructor(candidates: Candidates<LlmProvider>, options: FailoverLlmOptions) {
    this.#candidates = candidates;
    this.#isHedged = options.isHedged;
    this.#timers = options.timers ?? systemTimers;
    this.name = candidates.all.map(({ name }) => name).join(', then ');
  }

  /** The first choice must be warm; that another is away shows when it is needed. */
  async warm(): Promise<void> {
    const [first] = this.#candidates.all;
    await first?.provider.warm();
  }

  async *stream(request: LlmRequest): AsyncGenerator<LlmDelta, void, undefined> {
    const running = new Set<Attempt>();
    const end = (attempt: Attempt): void => {
      running.delete(attempt);
      attempt.controller.abort();
    };
    const onAbort = (): void => {
      for (const attempt of running) attempt.controller.abort();
    };
    request.signal.addEventListener('abort', onAbort, { once: true });
    let winner: Attempt | undefined;
    try {
      const won = await this.#firstOf(request, running, () => winner);
      winner = won.attempt;
      for (const attempt of [...running]) if (attempt !== winner) end(attempt);
      this.#candidates.succeeded(winner.candidate);
      yield* this.#rest(winner, won.result);
      running.delete(winner);
    } finally {
      request.signal.removeEventListener('abort', onAbort);
      // Whoever leaves the loop early leaves the provider with nobody to listen.
      for (const attempt of [...running]) end(attempt);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#candidates.all.map(({ provider }) => provider.close()));
  }

  /** The first delta of whichever model gives one. Throws the last error when none does. */
  async #firstOf(
    request: LlmRequest,
    running: Set<Attempt>,
    winner: () => Attempt | undefined,
  ): Promise<{ attempt: Attempt; result: IteratorResult<LlmDelta> }> {
    const queue = [...this.#candidates.inOrder()];
    const startNext = (): Attempt | undefined => {
      const candidate = queue.shift();
      if (candidate === undefined) return undefined;
      if (!candidate.isFirstChoice) this.#candidates.countFallback(candidate);
      const attempt = this.#start(candidate, request, winner);
      running.add(attempt);
      return attempt;
    };
    startNext();
    this.#budget.request();
    let isHedgeDue = this.#isHedged && queue.length > 0;
    for (;;) {
      const hedge = isHedgeDue ? this.#after(this.#lateness.p95Ms) : undefined;
      const first = await Promise.race([...[...running].map(({ first }) => first), ...(hedge === undefined ? [] : [hedge.due])]);
      hedge?.cancel();
      isHedgeDue = false;
      if (first === undefined) {
        if (this.#budget.take()) this.#candidates.countHedge(startNext()!.candidate);
        continue;
      }
      const attempt = first.attempt();
      if ('result' in first) {
        this.#lateness.note(this.#timers.nowMs() - attempt.askedAtMs);
        return { attempt, result: first.result };
      }
      running.delete(attempt);
      if (request.signal.aborted) throw first.error;
      this.#note(attempt, first.error);
      if (running.size === 0 && startNext() === undefined) throw first.error;
    }
  }

  #start(candidate: Candidate<LlmProvider>, request: LlmRequest, winner: () => Attempt | undefined): Attempt {
    const controller = new AbortController();
    if (request.signal.aborted) controller.abort();
    const { onUsage } = request;
    const stream = candidate.provider.stream({
      ...request,
      // A name that an agent gives is one of the first choice's models.
      ...(candidate.isFirstChoice ? {} : { model: '' }),
      ...(onUsage === undefined
        ? {}
        : {
            onUsage: (usage) => {
              if (winner() === attempt) onUsage(usage);
            },
          }),
      signal: controller.signal,
    });
    const deltas = stream[Symbol.asyncIterator]();
    const self = (): Attempt => attempt;
    const first: Promise<First> = deltas.next().then(
      (result) => ({ attempt: self, result }),
      (error: unknown) => ({ attempt: self, error: engineErrorOf(error, candidate.name) }),
    );
    const attempt: Attempt = { candidate, controller, deltas, askedAtMs: this.#timers.nowMs(), first };
    return attempt;
  }

  async *#rest(attempt: Attempt, first: IteratorResult<LlmDelta>): AsyncGenerator<LlmDelta, void, undefined> {
    let isOver = false;
    try {
      for (let result = first; result.done !== true; result = await attempt.deltas.next()) yield result.value;
      isOver = true;
    } catch (error) {
      isOver = true;
      this.#note(attempt, engineErrorOf(error, attempt.candidate.name));
      throw error;
    } finally {
      if (!isOver) await attempt.deltas.return?.();
    }
  }

  #note(attempt: Attempt, error: EngineError): void {
    const { kind, retryAfterMs } = problemOf(error);
    this.#candidates.failed(attempt.candidate, kind, retryAfterMs);
  }

  #after(delayMs: number): { readonly due: Promise<undefined>; readonly cancel: () => void } {
    let cancel = (): void => undefined;
    const due = new Promise<undefined>((resolve) => {
      cancel = this.#timers.after(ms(delayMs), () => resolve(undefined));
    });
    return { due, cancel };
  }
}
