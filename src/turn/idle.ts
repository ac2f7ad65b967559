/** What the agent does by itself: its own sentences, silence while the caller types, the prompt into silence, the end of the call. Conversation thread. */
import { idlePromptAtMs, silenceEndAtMs } from './deadlines.js';
import type { Action, SpeechKind } from './state.js';
import { nextSpeech, type Work } from './work.js';

export function say(work: Work, kind: SpeechKind, text: string): void {
  const speech = nextSpeech(work);
  work.state.agent = { phase: 'thinking', speech, kind, isHeldBack: false, sinceMs: work.atMs };
  work.state.idleSinceMs = undefined;
  work.state.agentText = text;
  work.state.agentTextSpeech = speech;
  work.actions.push({ type: 'say', speech, kind, text });
  keepQuiet(work);
}

/** A sign of life that is not speech: the caller types. */
export function activity(work: Work): void {
  work.state.callerAtMs = work.atMs;
  work.state.isSkipping = false;
  work.state.quietUntilMs = work.atMs + work.settings.activityHoldMs;
  if (work.state.idleSinceMs !== undefined) work.state.idleSinceMs = work.atMs;
  keepQuiet(work);
}

/** Nothing is begun to be said before `quietUntilMs`. */
export function keepQuiet(work: Work): void {
  const { agent } = work.state;
  if (agent.phase !== 'thinking' || agent.isHeldBack || work.atMs >= work.state.quietUntilMs) return;
  work.state.agent = { ...agent, isHeldBack: true };
  work.actions.push({ type: 'hold_back', speech: agent.speech });
}

export function judgeIdle(work: Work): void {
  const { agent, open, idleSinceMs } = work.state;
  const settings = work.settings;
  if (work.state.isEnded || agent.phase !== 'idle' || open !== undefined || idleSinceMs === undefined) return;
  if (settings.silenceEndMs > 0 && work.atMs >= silenceEndAtMs(work.state, settings)) {
    endCall(work, 'silence');
    return;
  }
  const promptAtMs = idlePromptAtMs(work.state, settings);
  if (promptAtMs === undefined || work.atMs < promptAtMs || work.phrases.idle.length === 0) return;
  const text = work.phrases.idle[work.state.idlePrompts % work.phrases.idle.length]!;
  work.state.idlePrompts += 1;
  say(work, 'idle', text);
}

export function endCall(work: Work, reason: Extract<Action, { type: 'end_call' }>['reason']): void {
  work.actions.push({ type: 'end_call', reason });
  work.state.agent = { phase: 'idle' };
  work.state.isEnded = true;
}
