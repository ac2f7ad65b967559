/**
 * The people of the scenarios: who speaks with which of the embedded voices, and how far from it. None of them is the voice that the simulated
 * synthesiser gives to agents. Pure.
 */
import type { FliteVoice } from '../../../src/tts/embedded/flite.js';

export type CallerVoice = {
  readonly flite: Exclude<FliteVoice, 'slt'>;
  /** How fast, of the voice's own pace. */
  readonly pace: number;
  /** Percent: all resonances and the pitch are moved by it, as a shorter or longer throat does. 80 .. 125. */
  readonly tractPercent: number;
  /** The pitch is moved by it on top. */
  readonly pitchRatio: number;
};

export const callerVoices = {
  'caller-m1': { flite: 'rms', pace: 1.06, tractPercent: 100, pitchRatio: 1 },
  'caller-m2': { flite: 'awb', pace: 1, tractPercent: 95, pitchRatio: 0.9 },
  'caller-f1': { flite: 'awb', pace: 1.02, tractPercent: 115, pitchRatio: 1.2 },
  'caller-f2': { flite: 'rms', pace: 1.08, tractPercent: 118, pitchRatio: 1.4 },
  'bystander-m': { flite: 'awb', pace: 1.08, tractPercent: 104, pitchRatio: 1 },
  'bystander-f': { flite: 'rms', pace: 1.12, tractPercent: 113, pitchRatio: 1.5 },
} as const satisfies Readonly<Record<string, CallerVoice>>;

export type CallerVoiceName = keyof typeof callerVoices;

export function isCallerVoice(name: string): name is CallerVoiceName {
  return Object.hasOwn(callerVoices, name);
}
