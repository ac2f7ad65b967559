/** Whisper behind any server that speaks OpenAI's transcription protocol: OpenAI, faster-whisper servers, vLLM. STT thread. */
import type OpenAI from 'openai';
import { EngineError } from '../shared/errors.js';
import { field } from '../shared/http-errors.js';
import { KeepAliveHttp, type KeepAliveOptions } from '../shared/keep-alive-http.js';
import { openAiClient } from '../shared/openai-client.js';
import { systemTimers, type Timers } from '../shared/timers.js';
import { type Ms, ms } from '../shared/units.js';
import type { Recognition, SttSettings, TranscribeRequest, Transcriber } from './port.js';
import { answerOver, transcribeUpload, whisperUpload } from './whisper-http.js';

export type OpenAiTranscriberOptions = {
  /** Up to and with `/v1`, or whatever stands before `/audio/transcriptions`. */
  readonly baseUrl: string;
  readonly model: string;
  /** None for servers without keys. */
  readonly apiKey?: string;
  /** `verbose_json` carries the estimate of silence; OpenAI's newer models and some servers know only `json`. */
  readonly responseFormat?: 'verbose_json' | 'json';
  /** One request, from sending to the last byte of its answer. */
  readonly timeoutMs?: Ms;
  readonly connections?: KeepAliveOptions;
  readonly timers?: Timers;
};

export class OpenAiTranscriber implements Transcriber {
  readonly name = 'openai';
  readonly http: KeepAliveHttp;
  readonly #client: OpenAI;
  readonly #model: string;
  readonly #format: 'verbose_json' | 'json';
  readonly #limits: { who: string; timers: Timers; timeoutMs: Ms };

  constructor(options: OpenAiTranscriberOptions) {
    const timeoutMs = options.timeoutMs ?? ms(5000);
    this.http = new KeepAliveHttp(options.connections);
    this.#client = openAiClient({
      apiKey: options.apiKey ?? '',
      baseUrl: options.baseUrl,
      timeoutMs,
      fetch: this.http.fetch,
    });
    this.#model = options.model;
    this.#format = options.responseFormat ?? 'verbose_json';
    this.#limits = { who: this.name, timers: options.timers ?? systemTimers, timeoutMs };
  }

  /** Opens a connection. A server without a list of models is warm too: it answered. Otherwise throws like `transcribe`. */
  async warm(_settings: SttSettings): Promise<void> {
    try {
      await answerOver((signal) => this.#client.models.list({ signal }).asResponse(), new AbortController().signal, this.#limits);
    } catch (error) {
      const status = error instanceof EngineError ? field(error.fields, 'status') : undefined;
      if (status !== 404 && status !== 405) throw error;
    }
  }

  transcribe(request: TranscribeRequest): Promise<Recognition> {
    const upload = whisperUpload(request, this.#model, this.#format);
    return transcribeUpload(
      upload,
      async (options) => await this.#client.post('/audio/transcriptions', options).asResponse(),
      request.signal,
      this.#limits,
    );
  }

  async close(): Promise<void> {
    this.http.close();
  }
}
