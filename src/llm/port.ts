/** What the conversation thread wants of a language model: a stream of deltas that can be aborted at any time. */

export type ToolCall = { readonly id: string; readonly name: string; readonly argumentsJson: string };

/** An uploaded file that goes with a typed turn. */
export type ChatFile = { readonly name: string; readonly mimeType: string; readonly base64: string };

export type ChatMessage =
  | { readonly role: 'system'; readonly content: string }
  | { readonly role: 'user'; readonly content: string; readonly files?: readonly ChatFile[] }
  | { readonly role: 'assistant'; readonly content: string; readonly toolCalls?: readonly ToolCall[] }
  | { readonly role: 'tool'; readonly content: string; readonly toolCallId: string };

export type ToolSpec = {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of the arguments. */
  readonly parameters: Readonly<Record<string, unknown>>;
};

export type LlmRequest = {
  readonly messages: readonly ChatMessage[];
  readonly tools: readonly ToolSpec[];
  /** Empty: the adapter's default model. */
  readonly model: string;
  readonly temperature: number;
  readonly maxTokens: number;
  /** Passed on to custom models as `user_id`. */
  readonly userId?: string;
  /** Passed on as `elevenlabs_extra_body` to a custom model. */
  readonly extraBody?: Readonly<Record<string, unknown>>;
  /** Only the embedded responder: the agent's grammar, as plain JSON. */
  readonly grammar?: unknown;
  readonly signal: AbortSignal;
  /** Called at most once, usually after `end`: providers count when the answer is complete. Never when they do not say. */
  readonly onUsage?: (usage: LlmUsage) => void;
};

/** As the provider counts; absent when it does not say. */
export type LlmUsage = { readonly inputTokens: number; readonly outputTokens: number };

export type LlmDelta =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'tool_call'; readonly call: ToolCall }
  | { readonly type: 'end'; readonly finish: 'stop' | 'length' | 'tool_calls' };

/**
 * `stream` yields deltas in order and ends with exactly one `end`; a stream that breaks before it throws `EngineError` (`broken`), as do
 * time-outs (`timeout`), 429 (`rate_limited`, field `retryAfterMs` when told) and the rest. After `signal` aborts it throws `aborted`.
 */
export interface LlmProvider {
  readonly name: string;
  /** Opens the connection that the first request would otherwise wait for. Throws `EngineError` or what the SDK throws. */
  warm(): Promise<void>;
  stream(request: LlmRequest): AsyncIterable<LlmDelta>;
  close(): Promise<void>;
}
