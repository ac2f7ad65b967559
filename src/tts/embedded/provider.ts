/**
 * Speech without a key: Flite on a pool thread of its own. Runs on the TTS thread, which only waits here.
 *
 * Each stream has at most one piece in the pool, so conversations take turns, and the first piece of a reply goes before later pieces of
 * others: nobody waits for a first word behind a long story. A running piece cannot be stopped; its audio is thrown away on arrival.
 */
import { Piscina } from 'piscina';
import { EngineError } from '../../shared/errors.js';
import type { Hz, Ms } from '../../shared/units.js';
import { ms } from '../../shared/units.js';
import type { CharTime, TtsChunk, TtsProvider, TtsStream, TtsStreamOptions, TtsVoice } from '../port.js';
import type { FliteVoice, Speech, SynthesisOptions } from './flite.js';
import { fliteVoices } from './flite.js';
import { charTimes } from './word-times.js';

/** Like `SynthesisJob` of `workers/synthesise.ts`, which this folder may not import. */
type Job = SynthesisOptions & { readonly text: string };

export type EmbeddedTtsOptions = {
  /** Threads of the pool, 1 .. 16. One thread speaks about fifty conversations at once. */
  readonly threadCount?: number;
  /** Longest time for one piece; beyond it the thread is replaced and the stream fails with `timeout`. */
  readonly pieceDeadlineMs?: Ms;
  /** Streams that may wait for the pool; the next one fails with `rate_limited`. */
  readonly streamsWaitingMax?: number;
  /** Used when a reply names a voice of another provider. */
  readonly defaultVoice?: FliteVoice;
};

/** Chunks are cut to this length, so that back-pressure takes hold soon and an alignment is short. */
const chunkMs = 400;
/** Text of one reply that may wait to be spoken. */
const waitingCharsMax = 65_536;

export class EmbeddedTts implements TtsProvider {
  readonly name = 'embedded';
  readonly #pool: Piscina<Job, Speech>;
  readonly #threadCount: number;
  readonly #pieceDeadlineMs: number;
  readonly #streamsWaitingMax: number;
  readonly #defaultVoice: FliteVoice;
  readonly #firstPieces: EmbeddedStream[] = [];
  readonly #laterPieces: EmbeddedStream[] = [];
  #runningCount = 0;
  #isClosed = false;
  #warming: Promise<void> | undefined;

  constructor(options: EmbeddedTtsOptions = {}) {
    this.#threadCount = options.threadCount ?? 1;
    this.#pieceDeadlineMs = options.pieceDeadlineMs ?? 10_000;
    this.#streamsWaitingMax = options.streamsWaitingMax ?? 256;
    this.#defaultVoice = options.defaultVoice ?? 'rms';
    this.#pool = new Piscina<Job, Speech>({
      filename: new URL('../../../workers/synthesise.js', import.meta.url).href,
      name: 'synthesise',
      minThreads: this.#threadCount,
      maxThreads: this.#threadCount,
      // Warming may meet the first pieces while the threads are still starting.
      maxQueue: 2 * this.#threadCount,
    });
  }

  /** Speaks one word into the void on each thread: the module is loaded, compiled and its memory touched. */
  warm(): Promise<void> {
    this.#warming ??= this.#warmThreads();
    return this.#warming;
  }

  openStream(options: TtsStreamOptions): TtsStream {
    return new EmbeddedStream(options, (stream) => this.#enqueue(stream));
  }

  /** Ends the threads; streams that are still open get no callback any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const stream of [...this.#firstPieces.splice(0), ...this.#laterPieces.splice(0)]) stream.abort();
    await this.#pool.destroy();
  }

  async #warmThreads(): Promise<void> {
    try {
      const jobs = Array.from({ length: this.#threadCount }, () => this.#run({ text: 'Ready.', voice: this.#defaultVoice }));
      await Promise.all(jobs);
    } catch (error) {
      this.#warming = undefined;
      throw error;
    }
  }

  #enqueue(stream: EmbeddedStream): void {
    if (this.#isClosed) {
      stream.abort();
      return;
    }
    if (this.#firstPieces.length + this.#laterPieces.length >= this.#streamsWaitingMax) {
      stream.fail(new EngineError('rate_limited', 'Too many replies wait for the embedded voice.'));
      return;
    }
    (stream.hasSpoken ? this.#laterPieces : this.#firstPieces).push(stream);
    this.#startJobs();
  }

  #startJobs(): void {
    while (this.#runningCount < this.#threadCount) {
      const stream = this.#firstPieces.shift() ?? this.#laterPieces.shift();
      if (stream === undefined) return;
      const text = stream.nextText();
      if (text !== undefined) void this.#speak(stream, text);
    }
  }

  async #speak(stream: EmbeddedStream, text: string): Promise<void> {
    this.#runningCount += 1;
    try {
      const named = fliteVoices.find((name) => name === stream.voice.voiceId);
      stream.take(await this.#run({ text, voice: named ?? this.#defaultVoice, speed: stream.voice.speed }));
    } catch (error) {
      if (this.#isClosed) stream.abort();
      stream.fail(
        error instanceof EngineError
          ? error
          : new EngineError('broken', 'The embedded voice failed on a text.', { cause: error }),
      );
    } finally {
      this.#runningCount -= 1;
      this.#startJobs();
    }
  }

  async #run(job: Job): Promise<Speech> {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#pieceDeadlineMs);
    try {
      return await this.#pool.run(job, { signal: deadline.signal });
    } catch (cause) {
      if (deadline.signal.aborted) throw new EngineError('timeout', 'The embedded voice took too long for a text.', { cause });
      throw cause;
    } finally {
      clearTimeout(timer);
    }
  }
}

type Piece = { readonly text: string; readonly index: number; readonly charIndex: number };

/** `open`: text may come. `finishing`: no more text, audio still to come. `closed`: no callback any more. */
type Phase = 'open' | 'finishing' | 'closed';

class EmbeddedStream implements TtsStream {
  readonly #options: TtsStreamOptions;
  readonly #enqueue: (stream: EmbeddedStream) => void;
  readonly #pieces: Piece[] = [];
  readonly #ready: TtsChunk[] = [];
  #phase: Phase = 'open';
  #pieceCount = 0;
  #writtenChars = 0;
  #waitingChars = 0;
  /** The piece that waits for the pool or is in it. */
  #current: Piece | undefined;
  #isPaused = false;
  /** Whether a piece of this reply has been in the pool already. */
  hasSpoken = false;

  constructor(options: TtsStreamOptions, enqueue: (stream: EmbeddedStream) => void) {
    this.#options = options;
    this.#enqueue = enqueue;
  }

  get voice(): TtsVoice {
    return this.#options.voice;
  }

  write(text: string): void {
    if (this.#phase !== 'open') return;
    this.#pieces.push({ text, index: this.#pieceCount, charIndex: this.#writtenChars });
    this.#pieceCount += 1;
    this.#writtenChars += text.length;
    this.#waitingChars += text.length;
    if (this.#waitingChars > waitingCharsMax) {
      this.fail(new EngineError('garbage', 'A reply is too long to be spoken.'));
      return;
    }
    this.#advance();
  }

  finish(): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'finishing';
    // Not at once: the caller is not yet prepared for an end while it is still calling.
    queueMicrotask(() => this.#advance());
  }

  abort(): void {
    this.#phase = 'closed';
    this.#pieces.length = 0;
    this.#ready.length = 0;
  }

  setPaused(paused: boolean): void {
    this.#isPaused = paused;
    if (!paused) this.#advance();
  }

  /** Called by the provider when it is this stream's turn; `undefined`: aborted meanwhile. */
  nextText(): string | undefined {
    this.hasSpoken = true;
    return this.#phase === 'closed' ? undefined : this.#current?.text;
  }

  /** Called by the provider with the audio of the piece that `nextText` gave. */
  take(speech: Speech): void {
    const piece = this.#current;
    this.#current = undefined;
    if (piece === undefined || this.#phase === 'closed') return;
    this.#waitingChars -= piece.text.length;
    this.#ready.push(...chunksOf(piece, speech));
    this.#advance();
  }

  fail(error: EngineError): void {
    if (this.#phase === 'closed') return;
    this.abort();
    this.#options.onProblem(error);
  }

  /** Hands over what is ready, then asks for the next piece, then ends; each only when the one before is done. */
  #advance(): void {
    while (!this.#isPaused && this.#phase !== 'closed') {
      const chunk = this.#ready.shift();
      if (chunk === undefined) break;
      this.#options.onChunk(chunk);
    }
    if (this.#phase === 'closed' || this.#ready.length > 0 || this.#current !== undefined) return;
    this.#current = this.#pieces.shift();
    if (this.#current !== undefined) this.#enqueue(this);
    else if (this.#phase === 'finishing' && !this.#isPaused) {
      this.#phase = 'closed';
      this.#options.onEnd();
    }
  }
}

/** Cuts a piece's audio into chunks that own their samples, and gives each its characters. */
function chunksOf(piece: Piece, speech: Speech): TtsChunk[] {
  const { audio, rateHz } = speech;
  const times = charTimes(piece.text, speech.words, durationMsOf(audio.length, rateHz));
  const chunkSamples = Math.round((chunkMs * rateHz) / 1000);
  const chunks: TtsChunk[] = [];
  let timeIndex = 0;
  for (let start = 0; start < audio.length; start += chunkSamples) {
    const end = Math.min(audio.length, start + chunkSamples);
    const startMs = durationMsOf(start, rateHz);
    const endMs = end === audio.length ? Number.POSITIVE_INFINITY : durationMsOf(end, rateHz);
    const alignment: CharTime[] = [];
    for (let time = times[timeIndex]; time !== undefined && time.startMs < endMs; time = times[timeIndex]) {
      const { charIndex, durationMs } = time;
      alignment.push({ charIndex: piece.charIndex + charIndex, startMs: ms(time.startMs - startMs), durationMs });
      timeIndex += 1;
    }
    chunks.push({ audio: audio.slice(start, end), rateHz, alignment, pieceIndex: piece.index });
  }
  return chunks;
}

function durationMsOf(sampleCount: number, rateHz: Hz): number {
  return (sampleCount * 1000) / rateHz;
}
