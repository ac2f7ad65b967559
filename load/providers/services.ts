/** What every part of the simulator shares. One set for each started simulator. */
import type { AnswerBook } from './answers.js';
import type { MessageMemory } from './context-audio.js';
import type { FaultBook } from './faults.js';
import type { Journal } from './journal.js';
import type { Dealer } from './profile.js';
import type { Recogniser } from './recognise.js';
import type { Schedule } from './schedule.js';
import type { Speech, VoiceStyle } from './voice.js';

/** Sent with every HTTP response and every upgrade, so that nobody takes the simulator for the real thing. */
export const simulatorName = 'parley-simulated-providers';

/** What speaks: a thread of its own (`voice-thread.ts`), or whatever a run in one thread has in its place. */
export type SimulatedVoice = {
  speak(text: string, style: VoiceStyle): Promise<Speech>;
  /** Has the words of `text` made beforehand, when there is time. */
  prepare(text: string): void;
  close(): Promise<void>;
};

export type Services = {
  readonly schedule: Schedule;
  readonly journal: Journal;
  readonly faults: FaultBook;
  readonly answers: AnswerBook;
  readonly recogniser: Recogniser;
  readonly voice: SimulatedVoice;
  readonly memory: MessageMemory;
  /** Replaced when the profile or the seed is. */
  dealer: Dealer;
  /** Share of words the recogniser gets wrong. */
  wordErrorRatio: number;
};

/** Keys are not checked, except that one with "invalid" in it is refused, so that refusal can be tested. */
export function isKeyAccepted(key: string): boolean {
  return key !== '' && !key.includes('invalid');
}
