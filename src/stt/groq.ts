/** Whisper at Groq, through its SDK. STT thread. */
import type Groq from 'groq-sdk';
import { EngineError } from '../shared/errors.js';
import { groqBaseUrl, groqClient } from '../shared/groq-client.js';
import { KeepAliveHttp, type KeepAliveOptions } from '../shared/keep-alive-http.js';
import { systemTimers, type Timers } from '../shared/timers.js';
import { type Ms, ms } from '../shared/units.js';
import type { Recognition, SttSettings, TranscribeRequest, Transcriber } from './port.js';
import { answerOver, transcribeUpload, whisperUpload } from './whisper-http.js';

export type GroqTranscriberOptions = {
  readonly apiKey: string;
  readonly model?: string;
  /** Host part only; the SDK adds `/openai/v1/…`. */
  readonly baseUrl?: string;
  /** One request, from sending to the last byte of its answer. */
  readonly timeoutMs?: Ms;
  readonly connections?: KeepAliveOptions;
  readonly timers?: Timers;
};

export class GroqTranscriber implements Transcriber {
  readonly name = 'groq';
  readonly http: KeepAliveHttp;
  readonly #client: Groq;
  readonly #model: string;
  readonly #limits: { who: string; timers: Timers; timeoutMs: Ms };

  constructor(options: GroqTranscriberOptions) {
    if (options.apiKey === '') throw new EngineError('config', 'speech recognition at Groq needs an API key');
    const timeoutMs = options.timeoutMs ?? ms(5000);
    this.http = new KeepAliveHttp(options.connections);
    this.#client = groqClient({
      apiKey: options.apiKey,
      baseUrl: options.baseUrl ?? groqBaseUrl,
      timeoutMs,
      fetch: this.http.fetch,
    });
    this.#model = options.model ?? 'whisper-large-v3-turbo';
    this.#limits = { who: this.name, timers: options.timers ?? systemTimers, timeoutMs };
  }

  /** Opens a connection and proves the key, with the cheapest request there is. Throws like `transcribe`. */
  async warm(_settings: SttSettings): Promise<void> {
    await answerOver((signal) => this.#client.models.list({ signal }).asResponse(), new AbortController().signal, this.#limits);
  }

  transcribe(request: TranscribeRequest): Promise<Recognition> {
    const upload = whisperUpload(request, this.#model, 'verbose_json');
    return transcribeUpload(
      upload,
      (options) => this.#client.post('/openai/v1/audio/transcriptions', options).asResponse(),
      request.signal,
      this.#limits,
    );
  }

  async close(): Promise<void> {
    this.http.close();
  }
}
