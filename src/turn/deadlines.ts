/** When time alone changes something. Pure; conversation thread; all instants are of the session's input clock. */
import { answerDueMs, turnDelayMs } from './judgement.js';
import { covers } from './open-turn.js';
import type { TurnSettings } from './settings.js';
import type { OpenTurn, TurnState } from './state.js';
import { hasSpeech } from './words.js';

/** Every instant at which something may be due, past ones too, in no order. */
export function* deadlines(state: TurnState, settings: TurnSettings): Generator<number> {
  const { open, agent } = state;
  if (open !== undefined && !open.isSpeaking) {
    yield commitAtMs(state, open, settings);
    if (agent.phase === 'held' || agent.phase === 'speaking' || state.undo !== undefined)
      yield open.endedAtMs + settings.verdictMs;
    if (agent.phase === 'thinking' && agent.isHeldBack) yield open.t0Ms + settings.sttWaitMs;
  }
  if (state.undo !== undefined) yield state.undo.untilMs + 1;
  if (agent.phase === 'thinking' && agent.isHeldBack && (open === undefined || state.protectedSpeech === agent.speech))
    yield state.quietUntilMs;
  if (agent.phase === 'thinking' && !agent.isHeldBack && state.toolsOf !== agent.speech) {
    yield agent.sinceMs + settings.thinkingMaxMs;
  }
  if (open === undefined && agent.phase === 'idle' && state.idleSinceMs !== undefined) {
    const promptAtMs = idlePromptAtMs(state, settings);
    if (promptAtMs !== undefined) yield promptAtMs;
    if (settings.silenceEndMs > 0) yield silenceEndAtMs(state, settings);
  }
}

/** When the open turn, silent now, will be committed or dropped if nothing more happens. */
export function commitAtMs(state: TurnState, open: OpenTurn, settings: TurnSettings): number {
  if (!hasSpeech(open.text)) {
    if (covers(open)) return open.t0Ms + settings.delayNeutralMs;
    // Somebody spoke and there is no word of it: recognition is late, and says itself when it has failed.
    return open.t0Ms + (open.hasProblem ? settings.sttWaitMs : settings.sttLostMs);
  }
  const delayMs = turnDelayMs(state, open, settings);
  const overMs = open.t0Ms + (covers(open) ? delayMs : Math.max(delayMs, settings.sttWaitMs));
  return Math.max(overMs, answerDueMs(open, settings));
}

/** When the call ends because the caller says nothing. Only while both sides are silent. */
export function silenceEndAtMs(state: TurnState, settings: TurnSettings): number {
  return Math.max(state.callerAtMs, state.idleSinceMs ?? 0) + settings.silenceEndMs;
}

/** When the agent speaks into the silence; undefined: it does not. Only while both sides are silent. */
export function idlePromptAtMs(state: TurnState, settings: TurnSettings): number | undefined {
  const isFirst = state.spokenCount === 0 && state.lastCommit === undefined;
  const waitMs = isFirst ? settings.firstWaitMs : settings.idleMs;
  if (waitMs <= 0 || state.idlePrompts >= settings.idlePromptsMax || state.isSkipping) return undefined;
  return Math.max((state.idleSinceMs ?? 0) + waitMs, state.quietUntilMs);
}
