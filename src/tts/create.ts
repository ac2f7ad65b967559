/** Chooses the synthesisers by their settings. TTS thread. */
import { nowMs } from '../shared/clock.js';
import { EngineError } from '../shared/errors.js';
import { Candidates, type FailoverReport, type WithFallbacks } from '../shared/failover.js';
import type { KeepAliveOptions } from '../shared/keep-alive-http.js';
import { hz } from '../shared/units.js';
import { ElevenLabsTts } from './elevenlabs.js';
import { fliteVoices } from './embedded/flite.js';
import { EmbeddedTts } from './embedded/provider.js';
import { FailoverTts } from './failover.js';
import { OpenAiSpeech } from './openai-speech.js';
import type { TtsProvider, TtsVoice } from './port.js';

export type TtsSetup = {
  readonly provider: 'embedded' | 'elevenlabs' | 'openai';
  readonly apiKey: string;
  /** Empty: the vendor's own. */
  readonly baseUrl: string;
  /** Empty: the adapter's default. */
  readonly model: string;
  readonly voice: string;
};

/** What a synthesiser is warmed and probed with when no agent asks for a voice. */
export const plainVoice: TtsVoice = {
  voiceId: '',
  modelId: '',
  language: 'en',
  speed: 1,
  stability: 0.5,
  similarityBoost: 0.8,
};

/** With fallbacks: all of them behind one face. */
export function createTts(
  setup: WithFallbacks<TtsSetup>,
  report: FailoverReport,
  connections: KeepAliveOptions = {},
): TtsProvider {
  if (setup.fallbacks.length === 0) return oneTts(setup, connections);
  const providers = [setup, ...setup.fallbacks].map((one) => ({ name: one.provider, provider: oneTts(one, connections) }));
  const probe = (provider: TtsProvider): Promise<void> => provider.warm(plainVoice, hz(16_000));
  return new FailoverTts(new Candidates('tts', providers, probe, report, nowMs));
}

function oneTts({ provider, apiKey, baseUrl, model, voice }: TtsSetup, connections: KeepAliveOptions): TtsProvider {
  const chosen = {
    ...(baseUrl === '' ? {} : { baseUrl }),
    ...(model === '' ? {} : { defaultModelId: model }),
    ...(voice === '' ? {} : { defaultVoiceId: voice }),
  };
  switch (provider) {
    case 'embedded':
      return voice === '' ? new EmbeddedTts() : new EmbeddedTts({ defaultVoice: embeddedVoice(voice) });
    case 'elevenlabs':
      return new ElevenLabsTts({ apiKey, connect: connections.connect, ...chosen });
    case 'openai':
      return new OpenAiSpeech({ apiKey, connections, ...chosen });
  }
}

function embeddedVoice(name: string): (typeof fliteVoices)[number] {
  const voice = fliteVoices.find((candidate) => candidate === name);
  if (voice !== undefined) return voice;
  throw new EngineError('config', `PARLEY_TTS_VOICE="${name}" is not an embedded voice. Allowed: ${fliteVoices.join(', ')}.`);
}
