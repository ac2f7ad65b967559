/**
 * Speech from any server with OpenAI's `/audio/speech`: one HTTP request for each piece of text, answered with raw samples as they are
 * made. While one piece is being received the request for the next one is already out. There is no alignment. Runs on the TTS thread.
 *
 * A request that fails is not repeated here: the engine knows what has sounded and begins another stream.
 */
import type OpenAI from 'openai';
import { EngineError } from '../shared/errors.js';
import { engineErrorOf, field } from '../shared/http-errors.js';
import { KeepAliveHttp, type KeepAliveOptions } from '../shared/keep-alive-http.js';
import { openAiBaseUrl, openAiClient } from '../shared/openai-client.js';
import { type Hz, hz } from '../shared/units.js';
import type { TtsProvider, TtsStream, TtsStreamOptions } from './port.js';
import { SampleJoiner } from './sample-joiner.js';
import { isSpeakable } from './speakable.js';

export type OpenAiSpeechOptions = {
  /** Empty for servers without keys. */
  readonly apiKey: string;
  /** With the version in the path, like `https://api.openai.com/v1`. */
  readonly baseUrl?: string;
  readonly defaultVoiceId?: string;
  readonly defaultModelId?: string;
  /** Rate of the server's `pcm` format. OpenAI's is 24 kHz. */
  readonly rateHz?: Hz;
  /** From a request to the head of its answer, and from there to the first byte of its audio. */
  readonly firstAudioDeadlineMs?: number;
  /** Between two parts of the audio of one request. */
  readonly gapDeadlineMs?: number;
  readonly connections?: KeepAliveOptions;
};

const who = 'the speech provider';

/** Text of one reply. */
const replyCharsMax = 65_536;
/** Longest audio of one piece of text. */
const pieceAudioMsMax = 300_000;
/** Requests of one stream that are under way: the piece being received and the one after it. */
const requestsMax = 2;

export class OpenAiSpeech implements TtsProvider {
  readonly name = 'openai-speech';
  readonly #http: KeepAliveHttp;
  readonly #client: OpenAI;
  readonly #settings: StreamSettings;
  readonly #streams = new Set<SpeechStream>();

  constructor(options: OpenAiSpeechOptions) {
    const firstAudioDeadlineMs = options.firstAudioDeadlineMs ?? 3000;
    this.#http = new KeepAliveHttp(options.connections);
    this.#client = openAiClient({
      apiKey: options.apiKey,
      baseUrl: options.baseUrl ?? openAiBaseUrl,
      timeoutMs: firstAudioDeadlineMs,
      fetch: this.#http.fetch,
    });
    this.#settings = {
      client: this.#client,
      defaultVoiceId: options.defaultVoiceId ?? 'alloy',
      defaultModelId: options.defaultModelId ?? 'gpt-4o-mini-tts',
      rateHz: options.rateHz ?? hz(24000),
      firstAudioDeadlineMs,
      gapDeadlineMs: options.gapDeadlineMs ?? 3000,
    };
  }

  /** Opens a connection by asking for the list of models. A server without such a list is warm all the same. */
  async warm(): Promise<void> {
    try {
      await this.#client.models.list();
    } catch (error) {
      const status = field(error, 'status');
      if (status !== 404 && status !== 405 && status !== 501) throw engineErrorOf(error, who);
    }
  }

  openStream(options: TtsStreamOptions): TtsStream {
    const stream: SpeechStream = new SpeechStream(options, this.#settings, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    return stream;
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) stream.abort();
    this.#http.close();
  }
}

type StreamSettings = {
  readonly client: OpenAI;
  readonly defaultVoiceId: string;
  readonly defaultModelId: string;
  readonly rateHz: Hz;
  readonly firstAudioDeadlineMs: number;
  readonly gapDeadlineMs: number;
};

/** A request that is out. Its failure waits in the promise until its turn comes. */
type Request = { readonly pieceIndex: number; readonly reader: Promise<AudioReader | EngineError> };
type AudioReader = ReadableStreamDefaultReader<Uint8Array>;

class SpeechStream implements TtsStream {
  readonly #options: TtsStreamOptions;
  readonly #settings: StreamSettings;
  readonly #forget: () => void;
  readonly #stop = new AbortController();
  readonly #pieces: string[] = [];
  readonly #requests: Request[] = [];
  #pieceCount = 0;
  #charCount = 0;
  #isFinished = false;
  #isOver = false;
  #isReceiving = false;
  #isPaused = false;
  #resume: (() => void) | undefined;

  constructor(options: TtsStreamOptions, settings: StreamSettings, forget: () => void) {
    this.#options = options;
    this.#settings = settings;
    this.#forget = forget;
  }

  write(text: string): void {
    if (this.#isFinished || this.#isOver) return;
    this.#pieces.push(text);
    this.#charCount += text.length;
    if (this.#charCount > replyCharsMax) {
      this.#fail(new EngineError('garbage', 'A reply is too long to be spoken.'));
      return;
    }
    this.#advance();
  }

  finish(): void {
    if (this.#isFinished || this.#isOver) return;
    this.#isFinished = true;
    // Not at once: the caller is not yet prepared for an end while it is still calling.
    queueMicrotask(() => this.#advance());
  }

  abort(): void {
    if (this.#isOver) return;
    this.#leave();
    this.#stop.abort();
  }

  setPaused(paused: boolean): void {
    this.#isPaused = paused;
    if (!paused) this.#resume?.();
  }

  /** Sends requests up to the bound, receives the oldest one, ends when there is none and no more text. */
  #advance(): void {
    while (this.#requests.length + (this.#isReceiving ? 1 : 0) < requestsMax) {
      const text = this.#pieces.shift();
      if (text === undefined) break;
      const pieceIndex = this.#pieceCount;
      this.#pieceCount += 1;
      if (isSpeakable(text)) this.#requests.push({ pieceIndex, reader: this.#request(text) });
    }
    if (this.#isReceiving || this.#isOver) return;
    const request = this.#requests.shift();
    if (request !== undefined) void this.#receive(request);
    else if (this.#isFinished) {
      this.#leave();
      this.#options.onEnd();
    }
  }

  async #request(text: string): Promise<AudioReader | EngineError> {
    const { client, defaultVoiceId, defaultModelId, firstAudioDeadlineMs } = this.#settings;
    const { voice } = this.#options;
    try {
      const response = await client.audio.speech.create(
        {
          model: voice.modelId || defaultModelId,
          voice: voice.voiceId || defaultVoiceId,
          input: text,
          response_format: 'pcm',
          ...(voice.speed === 1 ? {} : { speed: voice.speed }),
        },
        { signal: this.#stop.signal, timeout: firstAudioDeadlineMs, maxRetries: 0 },
      );
      const type = response.headers.get('content-type') ?? '';
      if (response.body === null || /json|text|html|mpeg|wav/.test(type)) {
        return new EngineError('garbage', 'The speech provider answered with something that is not raw audio.');
      }
      return response.body.getReader();
    } catch (error) {
      return engineErrorOf(error, who);
    }
  }

  async #receive(request: Request): Promise<void> {
    this.#isReceiving = true;
    const reader = await request.reader;
    const error = reader instanceof EngineError ? reader : await this.#read(reader, request.pieceIndex);
    this.#isReceiving = false;
    if (error !== undefined) this.#fail(error);
    else this.#advance();
  }

  /** Hands over one piece's audio as it comes. Reading on only when the receiver wants more is what slows the server down. */
  async #read(reader: AudioReader, pieceIndex: number): Promise<EngineError | undefined> {
    const { rateHz, firstAudioDeadlineMs, gapDeadlineMs } = this.#settings;
    const joiner = new SampleJoiner();
    let sampleCount = 0;
    for (;;) {
      const part = await partOf(reader, sampleCount === 0 ? firstAudioDeadlineMs : gapDeadlineMs);
      if (part instanceof EngineError) return part;
      if (part === undefined) break;
      const audio = joiner.push(part);
      sampleCount += audio.length;
      if ((sampleCount * 1000) / rateHz > pieceAudioMsMax) {
        return new EngineError('garbage', 'The speech provider sends audio without end.');
      }
      await this.#whileUnpaused();
      if (this.#isOver) return undefined;
      if (audio.length > 0) this.#options.onChunk({ audio, rateHz, pieceIndex });
      if (this.#isOver) return undefined;
    }
    if (sampleCount === 0) return new EngineError('broken', 'The speech provider answered without audio.');
    return undefined;
  }

  async #whileUnpaused(): Promise<void> {
    while (this.#isPaused && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
      });
    }
    this.#resume = undefined;
  }

  #leave(): void {
    this.#isOver = true;
    this.#pieces.length = 0;
    this.#requests.length = 0;
    this.#resume?.();
    this.#forget();
  }

  #fail(error: EngineError): void {
    if (this.#isOver) return;
    this.abort();
    this.#options.onProblem(error);
  }
}

/** The next bytes; `undefined` at the end; an error when they fail or do not come. The caller then ends the request by its signal. */
async function partOf(reader: AudioReader, deadlineMs: number): Promise<Uint8Array | EngineError | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<EngineError>((resolve) => {
    const error = new EngineError('timeout', 'The speech provider stopped in the middle of a piece.');
    timer = setTimeout(() => resolve(error), deadlineMs);
  });
  try {
    const part = await Promise.race([late, reader.read()]);
    if (part instanceof EngineError) return part;
    return part.done ? undefined : part.value;
  } catch (cause) {
    return new EngineError('broken', 'The audio of the speech provider ended early.', { cause });
  } finally {
    clearTimeout(timer);
  }
}
