/** Chooses the synthesiser by its setting. TTS thread. */

import { EngineError } from '../shared/errors.js';
import { ElevenLabsTts } from './elevenlabs.js';
import { fliteVoices } from './embedded/flite.js';
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
      return voice === '' ? new EmbeddedTts() : new EmbeddedTts({ defaultVoice: embeddedVoice(voice) });
    case 'elevenlabs':
      return new ElevenLabsTts({ apiKey, ...chosen });
    case 'openai':
      return new OpenAiSpeech({ apiKey, ...chosen });
  }
}

function embeddedVoice(name: string): (typeof fliteVoices)[number] {
  const voice = fliteVoices.find((candidate) => candidate === name);
  if (voice !== undefined) return voice;
  throw new EngineError('config', `PARLEY_TTS_VOICE="${name}" is not an embedded voice. Allowed: ${fliteVoices.join(', ')}.`);
}
