/** The voice of the simulated synthesisers on the calling thread: the same samples, made before anybody goes on. Words are remembered by the process. */
import type { SimulatedVoice } from '../../../load/providers/services.js';
import { loadVoice, type Speech, type Voice, type VoiceStyle } from '../../../load/providers/voice.js';

let loading: Promise<Voice> | undefined;

/** The one of this process: what it said before costs nothing. Rejects with `missing` when the embedded voice is not installed. */
export function voiceOfProcess(): Promise<Voice> {
  loading ??= loadVoice();
  return loading;
}

export class VoiceHere implements SimulatedVoice {
  readonly #voice: Voice;

  private constructor(voice: Voice) {
    this.#voice = voice;
  }

  /** Rejects with `missing` when the embedded voice is not installed. */
  static async load(): Promise<VoiceHere> {
    return new VoiceHere(await voiceOfProcess());
  }

  async speak(text: string, style: VoiceStyle): Promise<Speech> {
    return this.#voice.speak(text, style);
  }

  /** Nothing is saved by it here. */
  prepare(): void {}

  async close(): Promise<void> {}
}
