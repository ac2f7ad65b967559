/** Language models at Groq, through its SDK. Conversation thread. */
import type Groq from 'groq-sdk';
import type { Deadline } from '../shared/deadline.js';
import { EngineError } from '../shared/errors.js';
import { groqBaseUrl, groqClient } from '../shared/groq-client.js';
import { KeepAliveHttp, type KeepAliveOptions } from '../shared/keep-alive-http.js';
import { systemTimers, type Timers } from '../shared/timers.js';
import { bodyMessages, bodyTools, imagePart } from './chat-body.js';
import { type ChatLimits, chatLimitDefaults, streamChat } from './chat-stream.js';
import type { LlmDelta, LlmProvider, LlmRequest } from './port.js';

export type GroqLlmOptions = {
  readonly apiKey: string;
  /** For requests that name none. */
  readonly model?: string;
  /** Host part only; the SDK adds `/openai/v1/…`. */
  readonly baseUrl?: string;
  readonly limits?: Partial<ChatLimits>;
  readonly connections?: KeepAliveOptions;
  readonly timers?: Timers;
};

/** Groq's own replacement for `llama-3.3-70b-versatile`, which it no longer serves since August 2026. */
const defaultModel = 'openai/gpt-oss-120b';
/** Models that think first count their thoughts against the limit of the answer; this is added, so that words are left for the answer. */
const thoughtTokens = 512;

export class GroqLlm implements LlmProvider {
  readonly name = 'groq';
  readonly http: KeepAliveHttp;
  readonly #client: Groq;
  readonly #options: GroqLlmOptions;
  readonly #limits: ChatLimits;
  readonly #open = new Set<Deadline>();

  constructor(options: GroqLlmOptions) {
    if (options.apiKey === '') throw new EngineError('config', 'language models at Groq need an API key');
    this.http = new KeepAliveHttp(options.connections);
    this.#limits = { ...chatLimitDefaults, ...options.limits };
    this.#client = groqClient({
      apiKey: options.apiKey,
      baseUrl: options.baseUrl ?? groqBaseUrl,
      timeoutMs: this.#limits.firstTokenMs,
      fetch: this.http.fetch,
    });
    this.#options = options;
  }

  async warm(): Promise<void> {
    const response = await this.#client.models.list().asResponse();
    await response.arrayBuffer();
  }

  stream(request: LlmRequest): AsyncIterable<LlmDelta> {
    const model = request.model === '' ? (this.#options.model ?? defaultModel) : request.model;
    const thinking = thinkingOf(model);
    const body = {
      model,
      messages: bodyMessages(request.messages, imagePart),
      ...bodyTools(request.tools),
      temperature: request.temperature,
      max_completion_tokens: request.maxTokens + (thinking.reasoning_effort === 'low' ? thoughtTokens : 0),
      ...thinking,
      stream: true as const,
    };
    return streamChat((signal) => this.#client.chat.completions.create(body, { signal }).asResponse(), {
      who: this.name,
      limits: this.#limits,
      timers: this.#options.timers ?? systemTimers,
      signal: request.signal,
      onUsage: request.onUsage,
      open: this.#open,
    });
  }

  /** Ends every stream: those under way throw `aborted`. */
  async close(): Promise<void> {
    for (const deadline of this.#open) deadline.abort();
    this.http.close();
  }
}

/** Nobody waits on the telephone for thoughts: as few as the model permits, and none of them sent. */
function thinkingOf(model: string): { reasoning_effort?: 'low' | 'none'; include_reasoning?: boolean } {
  if (model.startsWith('openai/gpt-oss')) return { reasoning_effort: 'low', include_reasoning: false };
  if (model.startsWith('qwen/qwen3')) return { reasoning_effort: 'none' };
  return {};
}
