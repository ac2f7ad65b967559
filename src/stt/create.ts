/** Chooses the recogniser by its setting. STT thread. */
import { EmbeddedTranscriber } from './embedded/transcriber.js';
import { GroqTranscriber } from './groq.js';
import { OpenAiTranscriber } from './openai-compatible.js';
import type { SttProvider, Transcriber } from './port.js';
import { RequestProvider } from './request-provider.js';

export type SttSetup = {
  readonly provider: 'embedded' | 'groq' | 'openai';
  readonly apiKey: string;
  /** Empty: the vendor's own. */
  readonly baseUrl: string;
  /** Empty: the adapter's default. */
  readonly model: string;
};

export function createStt(setup: SttSetup): SttProvider {
  return new RequestProvider(transcriberOf(setup));
}

function transcriberOf({ provider, apiKey, baseUrl, model }: SttSetup): Transcriber {
  const chosen = { ...(baseUrl === '' ? {} : { baseUrl }), ...(model === '' ? {} : { model }) };
  switch (provider) {
    case 'embedded':
      return new EmbeddedTranscriber();
    case 'groq':
      return new GroqTranscriber({ apiKey, ...chosen });
    case 'openai':
      return new OpenAiTranscriber({ apiKey, baseUrl: baseUrl || 'https://api.openai.com/v1', model: model || 'whisper-1' });
  }
}
