/** What becomes of the agent's speeches: text, first audio, end, failure, and what of them was heard. Conversation thread. */
import { answered, failed, unspoken } from './failure.js';
import { endCall } from './idle.js';
import type { TurnEvent } from './state.js';
import { becomeIdle, discardDraft, openWith, type Work } from './work.js';

/** A reply's text that is kept for echo and endpointing: some minutes of speech. */
const agentTextMax = 8000;

export function agentSaid(work: Work, speech: number, text: string): void {
  const before = work.state.agentTextSpeech === speech ? work.state.agentText : '';
  work.state.agentText = (before + text).slice(0, agentTextMax);
  work.state.agentTextSpeech = speech;
}

export function audioStarted(work: Work, speech: number): void {
  const { agent } = work.state;
  if (agent.phase !== 'thinking' || agent.speech !== speech) return;
  work.state.agent = { phase: 'speaking', speech, kind: agent.kind, startedMs: work.atMs };
  work.state.spokenCount += 1;
}

export function replyEnded(work: Work, event: Extract<TurnEvent, { type: 'reply_end' }>): void {
  const { speech, isEmpty, endsCall, isSkip } = event;
  if (!isLive(work, speech)) return;
  if (endsCall) work.state.endAfterSpeech = speech;
  if (isSkip === true) work.state.isSkipping = true;
  if (!isEmpty || work.state.agent.phase !== 'thinking') return;
  if (endsCall) endCall(work, 'agent');
  else becomeIdle(work);
}

/** While its tools run a reply is not late, and it has its whole time again when they have ended. */
export function toolsRan(work: Work, event: Extract<TurnEvent, { type: 'tools' }>): void {
  const { speech, areRunning, protects = 'nothing' } = event;
  const { agent, toolsOf } = work.state;
  if (areRunning) {
    work.state.toolsOf = speech;
    if (protects !== 'nothing') protect(work, speech);
    return;
  }
  if (toolsOf === speech) work.state.toolsOf = undefined;
  if (protects === 'nothing' && work.state.protectedSpeech === speech) work.state.protectedSpeech = undefined;
  if (agent.phase === 'thinking' && agent.speech === speech) work.state.agent = { ...agent, sinceMs: work.atMs };
}

/** From now on the caller cannot interrupt the speech; who has begun to speak already does not hold it back any more. */
function protect(work: Work, speech: number): void {
  const { agent } = work.state;
  work.state.protectedSpeech = speech;
  openWith(work, { waitsFor: speech });
  if (agent.phase !== 'thinking' || agent.speech !== speech || !agent.isHeldBack) return;
  work.state.agent = { ...agent, isHeldBack: false };
  work.actions.push({ type: 'release', speech });
}

export function replyFailed(work: Work, speech: number, isHeard: boolean): void {
  const { open, agent } = work.state;
  if (open?.draft?.speech === speech) {
    openWith(work, { draft: undefined });
    return;
  }
  if (isHeard || agent.phase !== 'thinking' || agent.speech !== speech) return;
  failed(work, 'llm_failed');
}

/** How much was heard of the speech that was cut. */
export function heard(work: Work, speech: number, heardMs: number): void {
  const { open, lastCommit } = work.state;
  if (lastCommit?.speech !== speech || heardMs >= work.settings.mergeHeardMs || open === undefined) return;
  if (open.prefix === '') openWith(work, { prefix: lastCommit.text });
}

/** A speech that made no sound at all (nothing in it can be spoken) is drained while it is still thought about. */
export function drained(work: Work, speech: number, isBroken: boolean): void {
  const { agent } = work.state;
  if (agent.phase === 'idle' || agent.speech !== speech) return;
  if (agent.phase === 'held') work.actions.push({ type: 'release_hold', hold: agent.hold });
  if (!isBroken) answered(work, agent.kind);
  if (work.state.endAfterSpeech === speech) endCall(work, 'agent');
  else if (isBroken) unspoken(work, agent.kind);
  else becomeIdle(work);
}

export function ttsFailed(work: Work, speech: number, isHeard: boolean): void {
  const { agent, open } = work.state;
  if (open?.draft?.speech === speech) {
    discardDraft(work);
    return;
  }
  // What there is of it is heard first, and `drained` follows.
  if (isHeard || agent.phase !== 'thinking' || agent.speech !== speech) return;
  if (work.state.endAfterSpeech === speech) endCall(work, 'agent');
  else unspoken(work, agent.kind);
}

/** Whoever is asked for a reply has deadlines of its own; this is the last one. */
export function judgeThinking(work: Work): void {
  const { agent } = work.state;
  if (agent.phase !== 'thinking' || agent.isHeldBack || work.state.toolsOf === agent.speech) return;
  if (work.atMs < agent.sinceMs + work.settings.thinkingMaxMs) return;
  work.actions.push({ type: 'discard', speech: agent.speech });
  failed(work, 'llm_failed');
}

function isLive(work: Work, speech: number): boolean {
  const { agent } = work.state;
  return (agent.phase !== 'idle' && agent.speech === speech) || work.state.open?.draft?.speech === speech;
}
