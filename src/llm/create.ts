/** Chooses the language model by its setting. Conversation thread. */
import { EmbeddedResponder } from './embedded/responder.js';
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

export function createLlm({ provider, apiKey, baseUrl, model }: LlmSetup): LlmProvider {
  switch (provider) {
    case 'embedded':
      return new EmbeddedResponder();
    case 'groq':
      return new GroqLlm({ apiKey, ...(baseUrl === '' ? {} : { baseUrl }), ...(model === '' ? {} : { model }) });
    case 'openai': {
      const isOwnServer = baseUrl !== '' && !/\.openai\.com|\.azure\.com/.test(baseUrl);
      return new OpenAiLlm({
        apiKey,
        baseUrl: baseUrl || 'https://api.openai.com/v1',
        model: model || 'gpt-4.1-mini',
        custom: isOwnServer,
      });
    }
  }
}
