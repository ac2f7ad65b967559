/**
 * The one place that makes a client of the OpenAI SDK, for OpenAI and every server that speaks its protocol. As in `groq-client.ts`, what the
 * SDK would decide by itself is decided by us; above all, keys and organisation names that the environment holds for OpenAI do not travel
 * to somebody else's server. Evented threads that host providers.
 */
import OpenAI from 'openai';
import type { SdkClientOptions } from './groq-client.js';

export const openAiBaseUrl = 'https://api.openai.com/v1';

/** An empty `apiKey`: a server that wants none; no `authorization` header is sent. */
export function openAiClient(options: SdkClientOptions): OpenAI {
  const keyless = options.apiKey === '';
  return new OpenAI({
    // The SDK insists on a key; the header that would carry it is taken away.
    apiKey: keyless ? 'none' : options.apiKey,
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    baseURL: options.baseUrl,
    timeout: options.timeoutMs,
    maxRetries: 0,
    fetch: options.fetch,
    logLevel: 'off',
    defaultHeaders: { ...options.headers, ...(keyless ? { authorization: null } : {}) },
  });
}
