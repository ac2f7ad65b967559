/** Chooses the recognisers by their settings. STT thread. */
import { nowMs } from '../shared/clock.js';
import { Candidates, type FailoverReport, type WithFallbacks } from '../shared/failover.js';
import type { KeepAliveOptions } from '../shared/keep-alive-http.js';
import { EmbeddedTranscriber } from './embedded/transcriber.js';
import { FailoverTranscriber } from './failover.js';
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

/** With fallbacks: all of them behind one face. */
export function createStt(
  setup: WithFallbacks<SttSetup>,
  report: FailoverReport,
  connections: KeepAliveOptions = {},
): SttProvider {
  if (setup.fallbacks.length === 0) return new RequestProvider(transcriberOf(setup, connections));
  const providers = [setup, ...setup.fallbacks].map((one) => ({
    name: one.provider,
    provider: transcriberOf(one, connections),
  }));
  const probe = (provider: Transcriber): Promise<void> => provider.warm({ language: 'en', keywords: [] });
  return new RequestProvider(new FailoverTranscriber(new Candidates('stt', providers, probe, report, nowMs)));
}

function transcriberOf({ provider, apiKey, baseUrl, model }: SttSetup, connections: KeepAliveOptions): Transcriber {
  const chosen = { connections, ...(baseUrl === '' ? {} : { baseUrl }), ...(model === '' ? {} : { model }) };
  switch (provider) {
    case 'embedded':
      return new EmbeddedTranscriber();
    case 'groq':
      return new GroqTranscriber({ apiKey, ...chosen });
    case 'openai':
      return new OpenAiTranscriber({
        apiKey,
        baseUrl: baseUrl || 'https://api.openai.com/v1',
        model: model || 'whisper-1',
        connections,
      });
  }
}
