/**
 * The conversation as a state machine: who has the floor, when a turn is over, what an interruption was. One pure function,
 * `step(state, event, atMs) -> { state, actions }`: no clock, no promise, no randomness, so a recorded list of events reaches the same
 * decisions again. Runs on the conversation thread; `atMs` is the session's input clock.
 */
import { deadlines } from './deadlines.js';
import {
  judgeCommit,
  judgeWaitingTyped,
  speculate,
  speechEnded,
  speechStarted,
  speechWentOn,
  transcribed,
  typed,
} from './endpoint.js';
import { chooseStartHops, dipped, echoEnded, held, judgeHeldBack, judgeInterruption, judgeUndo, lastWords } from './floor.js';
import { activity, judgeIdle, say } from './idle.js';
import { modelAnswered, modelAsked } from './judgement.js';
import { agentSaid, audioStarted, drained, heard, judgeThinking, replyEnded, replyFailed, toolsRan, ttsFailed } from './reply.js';
import type { TurnSettings } from './settings.js';
import type { Action, TurnEvent, TurnState } from './state.js';
import { becomeIdle, discardDraft, openWith, type Phrases, type Work } from './work.js';

export type StepResult = { readonly state: TurnState; readonly actions: readonly Action[] };

export function step(state: TurnState, event: TurnEvent, atMs: number, settings: TurnSettings, phrases: Phrases): StepResult {
  if (state.isEnded) return { state, actions: [] };
  const work: Work = { state: { ...state }, actions: [], atMs, settings, phrases };
  apply(work, event);
  decide(work);
  return { state: work.state, actions: work.actions };
}

/**
 * The next instant after `servedMs` at which `time` must be fed, or undefined while only events can change anything. An instant that was served
 * and changed nothing does not hide those after it.
 */
export function nextDeadlineMs(
  state: TurnState,
  settings: TurnSettings,
  servedMs = Number.NEGATIVE_INFINITY,
): number | undefined {
  if (state.isEnded) return undefined;
  let next = Number.POSITIVE_INFINITY;
  for (const candidate of deadlines(state, settings)) if (candidate > servedMs && candidate < next) next = candidate;
  return Number.isFinite(next) ? next : undefined;
}

function apply(work: Work, event: TurnEvent): void {
  switch (event.type) {
    case 'started':
      // After a handover the caller may be speaking already, or be answered.
      if (work.state.agent.phase !== 'idle') return;
      if (event.firstMessage === '' || work.state.open !== undefined) becomeIdle(work);
      else say(work, 'first', event.firstMessage);
      return;
    case 'speech_start':
      held(work, event.hold);
      speechStarted(work, event.startMs);
      return;
    case 'speech_hop':
      speechWentOn(work, event);
      held(work, event.hold);
      return;
    case 'speech_dip':
      dipped(work, event.speechMs);
      return;
    case 'speech_end':
      if (event.isEcho === true) echoEnded(work);
      else speechEnded(work, event);
      return;
    case 'transcript':
      if (event.turn === work.state.turn) transcribed(work, event);
      return;
    case 'stt_problem':
      if (event.turn === work.state.turn) openWith(work, { hasProblem: true });
      return;
    case 'turn_asked':
      if (event.turn === work.state.turn) modelAsked(work, event);
      return;
    case 'turn_score':
      if (event.turn === work.state.turn) modelAnswered(work, event);
      return;
    case 'typed':
      typed(work, event.text);
      return;
    case 'activity':
      activity(work);
      return;
    case 'context_changed':
      discardDraft(work);
      return;
    case 'agent_text':
      agentSaid(work, event.speech, event.text);
      return;
    case 'audio_started':
      audioStarted(work, event.speech);
      return;
    case 'reply_end':
      replyEnded(work, event);
      return;
    case 'tools':
      toolsRan(work, event);
      return;
    case 'last_words':
      lastWords(work, event.text);
      return;
    case 'reply_failed':
      replyFailed(work, event.speech, event.isHeard);
      return;
    case 'heard':
      heard(work, event.speech, event.heardMs);
      return;
    case 'drained':
      drained(work, event.speech, event.isBroken);
      return;
    case 'tts_failed':
      ttsFailed(work, event.speech, event.isHeard);
      return;
    case 'time':
      return;
  }
}

/** Whatever is due now, in the order of its importance. Runs after every event. */
function decide(work: Work): void {
  judgeInterruption(work);
  judgeUndo(work);
  judgeHeldBack(work);
  judgeThinking(work);
  judgeWaitingTyped(work);
  speculate(work);
  judgeCommit(work);
  judgeIdle(work);
  chooseStartHops(work);
}
