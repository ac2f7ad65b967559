/** Which synthesiser the callers of a run speak with. Everybody around them always has one of the embedded voices. */
import { EngineError } from '../../../src/shared/errors.js';
import { espeakVersion } from './espeak.js';

export const voiceSets = ['flite', 'espeak'] as const;
export type VoiceSet = (typeof voiceSets)[number];

/** The voice of `set` for a caller whose scenario names `voice`. Pure. */
export function voiceIn(set: VoiceSet, voice: string): string {
  return set === 'flite' ? voice : voice.replace(/^caller-/, 'espeak-');
}

/** What results call `set`: the program, with its version where that is the machine's. Fails with `missing` when it is not installed. */
export async function programOf(set: VoiceSet): Promise<string> {
  if (set === 'flite') return 'flite';
  const version = await espeakVersion();
  if (version === undefined)
    throw new EngineError(
      'missing',
      'The voices "espeak" need the program espeak-ng, which is not installed: no caller could speak.',
    );
  return `espeak-ng ${version}`;
}
