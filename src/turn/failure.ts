/** Replies that fail: an apology, and after some of them in a row the end of the call. Conversation thread. */
import { endCall, say } from './idle.js';
import type { SpeechKind } from './state.js';
import { becomeIdle, type Work } from './work.js';

/** Turns in a row without an answer that end the call. */
const failuresMax = 3;

export function failed(work: Work, reason: 'llm_failed' | 'stt_failed' | 'tts_failed'): void {
  work.state.failures += 1;
  if (work.state.failures >= failuresMax) endCall(work, reason);
  else say(work, 'apology', work.phrases.apology);
}

/** An apology that cannot be spoken either belongs to the failure before it. */
export function unspoken(work: Work, kind: SpeechKind): void {
  if (kind === 'apology') becomeIdle(work);
  else failed(work, 'tts_failed');
}

/** A reply was heard, to its end or until it was interrupted: the next failure is the first one again. */
export function answered(work: Work, kind: SpeechKind): void {
  if (kind === 'reply') work.state.failures = 0;
}
