/**
 * Recognition without a key: the grammar recogniser on a pool thread of its own. Runs on the STT thread, which only waits here.
 *
 * One utterance at a time goes to each pool thread and the others wait here, in order, where an abort can still take them out. One that is being
 * worked on cannot be stopped without losing the thread and its loaded grammars: its answer is thrown away on arrival.
 */
import { Piscina } from 'piscina';
import { EngineError, type Problem } from '../../shared/errors.js';
import { inputRateHz, type Ms, ms } from '../../shared/units.js';
import type { Recognition, SttSettings, TranscribeRequest, Transcriber } from '../port.js';
import { demoGrammar } from './demo-grammar.js';
import type { Decoded } from './recogniser.js';

/** Like `RecogniseJob` and `RecogniseResult` of `workers/recognise.ts`, which this folder may not import. */
type Job = { readonly grammarKey: string; readonly grammar: unknown; readonly audio?: Int16Array };
type Result = { readonly decoded: Decoded | undefined } | { readonly problem: Problem };

type Waiting = { readonly job: Job; readonly settle: (result: Result | EngineError) => void };

export type EmbeddedTranscriberOptions = {
  /** Threads of the pool, 1 .. 16. One thread keeps up with about ten callers who speak all the time. */
  readonly threadCount?: number;
  /** Utterances that may wait for a thread; the next one fails with `rate_limited`. */
  readonly waitingMax?: number;
  /** Longest time for one utterance; beyond it the thread is replaced and the request fails with `timeout`. */
  readonly deadlineMs?: Ms;
};

export class EmbeddedTranscriber implements Transcriber {
  readonly name = 'embedded';
  readonly #pool: Piscina<Job, Result>;
  readonly #threadCount: number;
  readonly #waitingMax: number;
  readonly #deadlineMs: Ms;
  readonly #waiting: Waiting[] = [];
  readonly #keys = new WeakMap<object, string>();
  #runningCount = 0;
  #isClosed = false;

  constructor(options: EmbeddedTranscriberOptions = {}) {
    this.#threadCount = options.threadCount ?? 1;
    this.#waitingMax = options.waitingMax ?? 256;
    this.#deadlineMs = options.deadlineMs ?? ms(10_000);
    this.#pool = new Piscina<Job, Result>({
      filename: new URL('../../../workers/recognise.js', import.meta.url).href,
      name: 'recognise',
      minThreads: this.#threadCount,
      maxThreads: this.#threadCount,
      // Threads that are still starting take their first job from here.
      maxQueue: this.#threadCount,
    });
  }

  /** Loads the model and the grammar on every thread. Throws `config` when the grammar is wrong, `missing` when the package is. */
  async warm(settings: SttSettings): Promise<void> {
    const job = this.#jobFor(settings);
    await Promise.all(Array.from({ length: this.#threadCount }, () => this.#ask(job)));
  }

  async transcribe(request: TranscribeRequest): Promise<Recognition> {
    const { audio, rateHz, settings, signal } = request;
    if (rateHz !== inputRateHz) throw new EngineError('config', `The embedded recogniser takes ${inputRateHz} Hz, not ${rateHz}`);
    const result = await this.#ask({ ...this.#jobFor(settings), audio: audio.slice() }, signal);
    const { text, confidence } = result.decoded!;
    return { text, confidence, noSpeechRatio: text === '' ? 1 : 0 };
  }

  /** Ends the threads; what is still open fails with `aborted`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { settle } of this.#waiting.splice(0)) settle(closed());
    await this.#pool.destroy();
  }

  #jobFor(settings: SttSettings): Job {
    const grammar = settings.grammar ?? demoGrammar;
    if (typeof grammar !== 'object') return { grammarKey: String(grammar), grammar };
    let grammarKey = this.#keys.get(grammar);
    if (grammarKey === undefined) {
      grammarKey = JSON.stringify(grammar);
      this.#keys.set(grammar, grammarKey);
    }
    return { grammarKey, grammar };
  }

  #ask(job: Job, signal?: AbortSignal): Promise<Extract<Result, { decoded: unknown }>> {
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        const index = this.#waiting.indexOf(waiting);
        if (index >= 0) this.#waiting.splice(index, 1);
        settle(new EngineError('aborted', 'The recognition was aborted'));
      };
      const settle = (result: Result | EngineError): void => {
        signal?.removeEventListener('abort', aborted);
        if (result instanceof EngineError) reject(result);
        else if ('problem' in result) reject(new EngineError(result.problem.kind, result.problem.message));
        else resolve(result);
      };
      const waiting: Waiting = { job, settle };
      if (this.#isClosed) return settle(closed());
      if (signal?.aborted === true) return aborted();
      if (this.#waiting.length >= this.#waitingMax) {
        return settle(new EngineError('rate_limited', `${this.#waitingMax} utterances are waiting for the embedded recogniser`));
      }
      signal?.addEventListener('abort', aborted, { once: true });
      this.#waiting.push(waiting);
      this.#next();
    });
  }

  #next(): void {
    while (this.#runningCount < this.#threadCount && this.#waiting.length > 0) {
      this.#runningCount += 1;
      void this.#run(this.#waiting.shift()!);
    }
  }

  /** Never throws. */
  async #run({ job, settle }: Waiting): Promise<void> {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#deadlineMs);
    try {
      settle(await this.#pool.run(job, { signal: deadline.signal }));
    } catch (cause) {
      if (this.#isClosed) settle(closed());
      else if (deadline.signal.aborted)
        settle(new EngineError('timeout', `No answer from the embedded recogniser in ${this.#deadlineMs} ms`));
      else settle(new EngineError('broken', 'The thread of the embedded recogniser ended', { cause }));
    } finally {
      clearTimeout(timer);
      this.#runningCount -= 1;
      this.#next();
    }
  }
}

function closed(): EngineError {
  return new EngineError('aborted', 'The embedded recogniser is closed');
}
