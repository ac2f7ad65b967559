/**
 * A turn model on a pool thread of its own. Runs on the thread that asks, which only waits here, and never longer than the budget: an answer that
 * comes later is thrown away, and one that is wanted while too many wait is refused at once.
 */
import { Piscina } from 'piscina';
import { EngineError, type Problem } from '../shared/errors.js';
import { inputRateHz } from '../shared/units.js';
import { turnModelKind } from './kind.js';
import { type TurnModel, type TurnModelKind, type TurnQuestion, windowSeconds } from './port.js';

/** Like `JudgeJob` and `JudgeResult` of `workers/judge-turn.ts`, which this folder may not import. */
type Job = { readonly kind: TurnModelKind; readonly path: string; readonly question: TurnQuestion };
type Result = { readonly name: string; readonly probability: number } | { readonly problem: Problem };

export type Outcome = 'answered' | 'failed' | 'late' | 'busy';

export type PooledTurnModelOptions = {
  /** How each question ended, and after how long. `problem` says why it failed. */
  readonly onOutcome?: (outcome: Outcome, tookMs: number, problem: string | undefined) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** An answer that takes longer is none. */
  readonly budgetMs?: number;
  /** Questions that may be under way or wait; more are refused, since they would be late. */
  readonly waitingMax?: number;
  /** A question that keeps the thread for longer than this costs it: it is replaced. */
  readonly stuckMs?: number;
};

export class PooledTurnModel implements TurnModel {
  readonly kind: TurnModelKind;
  readonly #path: string;
  readonly #pool: Piscina<Job, Result>;
  readonly #now: () => number;
  readonly #onOutcome: NonNullable<PooledTurnModelOptions['onOutcome']>;
  readonly #budgetMs: number;
  readonly #waitingMax: number;
  readonly #stuckMs: number;
  #name = '';
  #underWay = 0;
  #isClosed = false;

  private constructor(path: string, options: PooledTurnModelOptions) {
    this.kind = turnModelKind(path);
    this.#path = path;
    this.#now = options.now;
    this.#onOutcome = options.onOutcome ?? (() => undefined);
    this.#budgetMs = options.budgetMs ?? 1000;
    this.#waitingMax = options.waitingMax ?? 8;
    this.#stuckMs = options.stuckMs ?? 10_000;
    this.#pool = new Piscina<Job, Result>({
      filename: new URL('../../workers/judge-turn.js', import.meta.url).href,
      name: 'judge',
      minThreads: 1,
      maxThreads: 1,
      maxQueue: this.#waitingMax,
    });
  }

  /**
   * Loads the model and asks it twice, so that a file that is none stops the start and the first caller does not wait. Fails with `missing`,
   * `config` or `garbage`; nothing is left then.
   */
  static async open(path: string, options: PooledTurnModelOptions): Promise<PooledTurnModel> {
    const model = new PooledTurnModel(path, options);
    try {
      for (let trial = 0; trial < 2; trial++) {
        const askedAtMs = options.now();
        const result = await model.#pool.run({ kind: model.kind, path, question: trialOf(model.kind) });
        if ('problem' in result) throw new EngineError(result.problem.kind, `PARLEY_TURN_MODEL: ${result.problem.message}`);
        model.#name = `${model.kind} (${result.name}, ${Math.round(options.now() - askedAtMs)} ms)`;
      }
      return model;
    } catch (error) {
      await model.close();
      throw error;
    }
  }

  get name(): string {
    return this.#name;
  }

  async judge(question: TurnQuestion): Promise<number | undefined> {
    const askedAtMs = this.#now();
    const ended = (outcome: Outcome, problem?: string): void => this.#onOutcome(outcome, this.#now() - askedAtMs, problem);
    if (this.#isClosed) return undefined;
    if (this.#underWay >= this.#waitingMax) {
      ended('busy');
      return undefined;
    }
    let budget: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      budget = setTimeout(() => resolve('late'), this.#budgetMs);
    });
    const result = await Promise.race([this.#run({ kind: this.kind, path: this.#path, question }), late]);
    clearTimeout(budget);
    if (this.#isClosed) return undefined;
    if (result === 'late') {
      ended('late');
      return undefined;
    }
    if ('problem' in result) {
      ended('failed', result.problem.message);
      return undefined;
    }
    ended('answered');
    return result.probability;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#pool.destroy();
  }

  /** Never throws. Goes on after the budget is over, because a thread at work cannot be stopped without losing it and its model. */
  async #run(job: Job): Promise<Result> {
    this.#underWay += 1;
    const stuck = new AbortController();
    const timer = setTimeout(() => stuck.abort(), this.#stuckMs);
    timer.unref();
    try {
      return await this.#pool.run(job, { signal: stuck.signal });
    } catch (error) {
      return { problem: { kind: 'broken', message: error instanceof Error ? error.message : String(error) } };
    } finally {
      clearTimeout(timer);
      this.#underWay -= 1;
    }
  }
}

function trialOf(kind: TurnModelKind): TurnQuestion {
  if (kind === 'audio') return { kind, audio: new Int16Array(windowSeconds * inputRateHz) };
  return { kind, lines: [{ role: 'caller', text: 'Hello.' }] };
}
