/**
 * The one place that makes a client of the Groq SDK, so that what the SDK would decide by itself is decided by us: no retries of its own,
 * a time limit, no words or keys in logs, nothing from environment variables. Evented threads that host providers.
 */
import Groq from 'groq-sdk';

export type SdkClientOptions = {
  readonly apiKey: string;
  /** Without a trailing slash. */
  readonly baseUrl: string;
  /** Until the headers of an answer; the caller limits the rest with its signal. */
  readonly timeoutMs: number;
  readonly fetch: typeof globalThis.fetch;
  readonly headers?: Readonly<Record<string, string>>;
};

/** The SDK adds `/openai/v1/…` itself. */
export const groqBaseUrl = 'https://api.groq.com';

export function groqClient(options: SdkClientOptions): Groq {
  return new Groq({
    apiKey: options.apiKey,
    baseURL: options.baseUrl,
    timeout: options.timeoutMs,
    maxRetries: 0,
    fetch: options.fetch,
    logLevel: 'off',
    defaultHeaders: { ...options.headers },
  });
}
