/** Chooses the language models by their settings. Conversation thread. */
import { nowMs } from '../shared/clock.js';
import { Candidates, type FailoverReport, type WithFallbacks } from '../shared/failover.js';
import type { KeepAliveOptions } from '../shared/keep-alive-http.js';
import { EmbeddedResponder } from './embedded/responder.js';
import { FailoverLlm } from './failover.js';
import { GroqLlm } from './groq.js';
import { OpenAiLlm } from './openai.js';
import type { LlmProvider } from './port.js';

export type LlmSetup = {
  readonly provider: 'embedded' | 'groq' | 'openai';
  readonly apiKey: string;
  /** Empty: the vendor's own. */
  readonly baseUrl: string;
  /** Empty: the adapter's default. */
  readonly model: string;
};

/** With fallbacks: all of them behind one face. */
export function createLlm(
  setup: WithFallbacks<LlmSetup> & { readonly isHedged: boolean },
  report: FailoverReport,
  connections: KeepAliveOptions = {},
): LlmProvider {
  if (setup.fallbacks.length === 0) return oneLlm(setup, connections);
  const providers = [setup, ...setup.fallbacks].map((one) => ({ name: one.provider, provider: oneLlm(one, connections) }));
  const candidates = new Candidates<LlmProvider>('llm', providers, (provider) => provider.warm(), report, nowMs);
  return new FailoverLlm(candidates, { isHedged: setup.isHedged });
}

function oneLlm({ provider, apiKey, baseUrl, model }: LlmSetup, connections: KeepAliveOptions): LlmProvider {
  switch (provider) {
    case 'embedded':
      return new EmbeddedResponder();
    case 'groq':
      return new GroqLlm({ apiKey, connections, ...(baseUrl === '' ? {} : { baseUrl }), ...(model === '' ? {} : { model }) });
    case 'openai': {
      const isOwnServer = baseUrl !== '' && !/\.openai\.com|\.azure\.com/.test(baseUrl);
      return new OpenAiLlm({
        apiKey,
        baseUrl: baseUrl || 'https://api.openai.com/v1',
        model: model || 'gpt-4.1-mini',
        custom: isOwnServer,
        connections,
      });
    }
  }
}
