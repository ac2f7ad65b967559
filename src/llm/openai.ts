/** Language models behind any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, a customer's own. Conversation thread. */
import type OpenAI from 'openai';
import type { Deadline } from '../shared/deadline.js';
import { KeepAliveHttp, type KeepAliveOptions } from '../shared/keep-alive-http.js';
import { openAiClient } from '../shared/openai-client.js';
import { systemTimers, type Timers } from '../shared/timers.js';
import { anyPart, bodyMessages, bodyTools } from './chat-body.js';
import { type ChatLimits, chatLimitDefaults, streamChat } from './chat-stream.js';
import type { LlmDelta, LlmProvider, LlmRequest } from './port.js';

export type OpenAiLlmOptions = {
  /** What stands before `/chat/completions`, usually up to and with `/v1`. */
  readonly baseUrl: string;
  /** For requests that name none. */
  readonly model: string;
  /** None for servers without keys. */
  readonly apiKey?: string;
  /** Extra request headers, as a customer configured them. */
  readonly headers?: Readonly<Record<string, string>>;
  /** A customer's own server: it gets `user_id` and `elevenlabs_extra_body`. Others may refuse fields they do not know. */
  readonly custom?: boolean;
  /**
   * The field that limits the answer. OpenAI itself wants `max_completion_tokens` (its newer models refuse the other); Ollama, LM Studio and
   * older servers know only `max_tokens` and would ignore the limit. So by default the host decides: `max_completion_tokens` for
   * `*.openai.com` and Azure, else `max_tokens`, which all compatible servers still take.
   */
  readonly tokenLimitField?: 'max_tokens' | 'max_completion_tokens';
  /** False for models that refuse any temperature but their own (OpenAI's reasoning models). */
  readonly sendsTemperature?: boolean;
  readonly limits?: Partial<ChatLimits>;
  readonly connections?: KeepAliveOptions;
  readonly timers?: Timers;
};

export class OpenAiLlm implements LlmProvider {
  readonly name: string;
  readonly http: KeepAliveHttp;
  readonly #client: OpenAI;
  readonly #options: OpenAiLlmOptions;
  readonly #limits: ChatLimits;
  readonly tokenLimitField: 'max_tokens' | 'max_completion_tokens';
  readonly #open = new Set<Deadline>();

  constructor(options: OpenAiLlmOptions) {
    this.name = options.custom === true ? 'custom' : 'openai';
    this.http = new KeepAliveHttp(options.connections);
    this.#limits = { ...chatLimitDefaults, ...options.limits };
    this.#client = openAiClient({
      apiKey: options.apiKey ?? '',
      baseUrl: options.baseUrl,
      timeoutMs: this.#limits.firstTokenMs,
      fetch: this.http.fetch,
      ...(options.headers === undefined ? {} : { headers: options.headers }),
    });
    this.#options = options;
    this.tokenLimitField = options.tokenLimitField ?? tokenLimitFieldOf(options.baseUrl);
  }

  async warm(): Promise<void> {
    const response = await this.#client.models.list().asResponse();
    await response.arrayBuffer();
  }

  stream(request: LlmRequest): AsyncIterable<LlmDelta> {
    const body = this.#body(request);
    return streamChat(async (signal) => await this.#client.chat.completions.create(body, { signal }).asResponse(), {
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

  #body(request: LlmRequest) {
    const { custom, sendsTemperature, model } = this.#options;
    return {
      model: request.model === '' ? model : request.model,
      messages: bodyMessages(request.messages, anyPart),
      ...bodyTools(request.tools),
      ...(sendsTemperature === false ? {} : { temperature: request.temperature }),
      [this.tokenLimitField]: request.maxTokens,
      stream: true as const,
      ...(request.onUsage === undefined ? {} : { stream_options: { include_usage: true } }),
      ...(custom !== true || request.userId === undefined ? {} : { user_id: request.userId }),
      ...(custom !== true || request.extraBody === undefined ? {} : { elevenlabs_extra_body: request.extraBody }),
    };
  }
}

function tokenLimitFieldOf(baseUrl: string): 'max_tokens' | 'max_completion_tokens' {
  const host = new URL(baseUrl).hostname;
  return /(^|\.)(openai\.com|openai\.azure\.com)$/.test(host) ? 'max_completion_tokens' : 'max_tokens';
}
