/** Chooses the synthesiser by its setting. TTS thread. */
import { ElevenLabsTts } from './elevenlabs.js';
import { EmbeddedTts } from './embedded/provider.js';
import { OpenAiSpeech } from './openai-speech.js';
import type { TtsProvider } from './port.js';

export type TtsSetup = {
  readonly provider: 'embedded' | 'elevenlabs' | 'openai';
  readonly apiKey: string;
  /** Empty: the vendor's own. */
  readonly baseUrl: string;
  /** Empty: the adapter's default. */
  readonly model: string;
  readonly voice: string;
};

export function createTts({ provider, apiKey, baseUrl, model, voice }: TtsSetup): TtsProvider {
  const chosen = {
    ...(baseUrl === '' ? {} : { baseUrl }),
    ...(model === '' ? {} : { defaultModelId: model }),
    ...(voice === '' ? {} : { defaultVoiceId: voice }),
  };
  switch (provider) {
    case 'embedded':
      return new EmbeddedTts();
    case 'elevenlabs':
      return new ElevenLabsTts({ apiKey, ...chosen });
    case 'openai':
      return new OpenAiSpeech({ apiKey, ...chosen });
  }
}
