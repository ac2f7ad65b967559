/**
 * Several synthesisers as one: a reply goes to the best of those that are well. One that fails before its first audio is replaced by the next
 * without anybody noticing; one that fails later is reported, and the speech asks again for what was not said. TTS thread.
 */
import { type EngineError, problemOf } from '../shared/errors.js';
import type { Candidate, Candidates } from '../shared/failover.js';
import type { Hz } from '../shared/units.js';
import type { TtsProvider, TtsStream, TtsStreamOptions, TtsVoice } from './port.js';

export class FailoverTts implements TtsProvider {
  readonly name: string;
  readonly #candidates: Candidates<TtsProvider>;

  constructor(candidates: Candidates<TtsProvider>) {
    this.#candidates = candidates;
    this.name = candidates.all.map(({ name }) => name).join(', then ');
  }

  /** The one that will be asked. */
  async warm(voice: TtsVoice, preferredRateHz: Hz): Promise<void> {
    const [next] = this.#candidates.inOrder();
    if (next === undefined) return;
    try {
      await next.provider.warm(voiceFor(next, voice), preferredRateHz);
    } catch (error) {
      const { kind, retryAfterMs } = problemOf(error);
      this.#candidates.failed(next, kind, retryAfterMs);
      throw error;
    }
  }

  openStream(options: TtsStreamOptions): TtsStream {
    return new FailoverStream(this.#candidates, options);
  }

  async close(): Promise<void> {
    await Promise.all(this.#candidates.all.map(({ provider }) => provider.close()));
  }
}

/** Names of voices and models are those of the first choice. */
function voiceFor({ isFirstChoice }: Candidate<TtsProvider>, voice: TtsVoice): TtsVoice {
  return isFirstChoice ? voice : { ...voice, voiceId: '', modelId: '' };
}

class FailoverStream implements TtsStream {
  readonly #candidates: Candidates<TtsProvider>;
  readonly #options: TtsStreamOptions;
  readonly #queue: Candidate<TtsProvider>[];
  /** Everything written so far: the next one is given it again. Emptied when audio came. */
  readonly #texts: string[] = [];
  #stream: TtsStream | undefined;
  /** Grows with each synthesiser that is asked; callbacks of an older one are not heard. */
  #attempt = 0;
  #hasAudio = false;
  #isFinished = false;
  #isPaused = false;
  #isOver = false;

  constructor(candidates: Candidates<TtsProvider>, options: TtsStreamOptions) {
    this.#candidates = candidates;
    this.#options = options;
    this.#queue = [...candidates.inOrder()];
    this.#openNext();
  }

  write(text: string): void {
    if (this.#isOver) return;
    if (!this.#hasAudio) this.#texts.push(text);
    this.#stream?.write(text);
  }

  finish(): void {
    if (this.#isOver) return;
    this.#isFinished = true;
    this.#stream?.finish();
  }

  abort(): void {
    this.#isOver = true;
    this.#attempt += 1;
    this.#stream?.abort();
    this.#stream = undefined;
  }

  setPaused(paused: boolean): void {
    this.#isPaused = paused;
    this.#stream?.setPaused(paused);
  }

  #openNext(): void {
    const candidate = this.#queue.shift();
    if (candidate === undefined) return;
    if (!candidate.isFirstChoice) this.#candidates.countFallback(candidate);
    this.#attempt += 1;
    const attempt = this.#attempt;
    const stream = candidate.provider.openStream({
      voice: voiceFor(candidate, this.#options.voice),
      preferredRateHz: this.#options.preferredRateHz,
      onChunk: (chunk) => {
        if (attempt !== this.#attempt) return;
        if (!this.#hasAudio) {
          this.#hasAudio = true;
          this.#texts.length = 0;
          this.#candidates.succeeded(candidate);
        }
        this.#options.onChunk(chunk);
      },
      onEnd: () => {
        if (attempt !== this.#attempt) return;
        this.#isOver = true;
        this.#options.onEnd();
      },
      onProblem: (error) => {
        if (attempt === this.#attempt) this.#failed(candidate, error);
      },
    });
    // It may have failed already, and another one been opened.
    if (attempt !== this.#attempt) {
      stream.abort();
      return;
    }
    this.#stream = stream;
    if (this.#isPaused) stream.setPaused(true);
    for (const text of [...this.#texts]) {
      if (attempt === this.#attempt) stream.write(text);
    }
    if (this.#isFinished && attempt === this.#attempt) stream.finish();
  }

  #failed(candidate: Candidate<TtsProvider>, error: EngineError): void {
    const { kind, retryAfterMs } = problemOf(error);
    this.#candidates.failed(candidate, kind, retryAfterMs);
    this.#stream = undefined;
    this.#attempt += 1;
    if (!this.#hasAudio && this.#queue.length > 0) {
      this.#openNext();
      return;
    }
    this.#isOver = true;
    this.#options.onProblem(error);
  }
}
