/** The user turn from its first sound to its commit: what recognition heard of it, the reply begun early, and when it is over. Conversation thread. */
import { commitAtMs } from './deadlines.js';
import { failed } from './failure.js';
import { forgetUndo, stopAgent } from './floor.js';
import { keepQuiet } from './idle.js';
import { turnDelayMs } from './judgement.js';
import { covers, mergedText, newOpenTurn } from './open-turn.js';
import type { OpenTurn, TurnEvent } from './state.js';
import { asksToWait, hasSpeech, keyOf } from './words.js';
import { becomeIdle, discardDraft, dropTurn, isProtected, nextSpeech, openWith, type Work } from './work.js';

export function speechStarted(work: Work, startMs: number): void {
  work.state.callerAtMs = work.atMs;
  work.state.isSkipping = false;
  work.state.idleSinceMs = undefined;
  const segment = {
    ...{ isSpeaking: true, isFinal: false, isOther: false },
    ...{ segmentSpeechMs: 0, continuousMs: 0, meanProbability: 0, levelOverCallerDb: 0 },
  };
  if (work.state.open !== undefined) {
    openWith(work, segment);
  } else {
    work.state.open = newOpenTurn(startMs);
  }
  const { agent } = work.state;
  openWith(work, { waitsFor: isProtected(work) ? (work.state.protectedSpeech ?? 0) : 0 });
  if (agent.phase === 'thinking' && !agent.isHeldBack && !isProtected(work)) {
    work.state.agent = { ...agent, isHeldBack: true };
    work.actions.push({ type: 'hold_back', speech: agent.speech });
  }
}

export function speechWentOn(work: Work, event: Extract<TurnEvent, { type: 'speech_hop' }>): void {
  openWith(work, {
    t0Ms: work.atMs,
    segmentSpeechMs: event.speechMs,
    continuousMs: event.continuousMs,
    meanProbability: event.meanProbability,
    levelOverCallerDb: event.levelOverCallerDb,
  });
}

export function speechEnded(work: Work, event: Extract<TurnEvent, { type: 'speech_end' }>): void {
  const { t0Ms, speechMs, levelOverCallerDb } = event;
  const { open } = work.state;
  if (open === undefined) return;
  openWith(work, {
    isSpeaking: false,
    t0Ms,
    endedAtMs: work.atMs,
    closedSpeechMs: open.closedSpeechMs + speechMs,
    levelOverCallerDb,
    loudestDb: open.closedSpeechMs === 0 ? levelOverCallerDb : Math.max(open.loudestDb, levelOverCallerDb),
    segmentSpeechMs: 0,
    continuousMs: 0,
    isFinal: open.throughMs >= t0Ms && open.hasTranscript ? open.isFinal : false,
  });
}

export function transcribed(work: Work, event: Extract<TurnEvent, { type: 'transcript' }>): void {
  if (work.state.open === undefined) {
    if (!hasSpeech(event.text)) return;
    // Two ports, no order between them: recognition may speak of a turn before the gate's word of it is here, or of speech that began as the
    // turn before it was closed. The words open a turn that is silent already; if the speech goes on, the gate's next event says so.
    work.state.open = newOpenTurn(event.throughMs);
    openWith(work, { isSpeaking: false, t0Ms: event.throughMs, endedAtMs: work.atMs });
  }
  const open = work.state.open!;
  if (event.throughMs < open.throughMs) return;
  const changed = keyOf(event.text) !== keyOf(open.text);
  openWith(work, { text: event.text, isFinal: event.isFinal, throughMs: event.throughMs, hasTranscript: true });
  if (!changed) return;
  work.actions.push({ type: 'tentative', turn: work.state.turn, text: event.text });
  if (open.draft !== undefined && open.draft.key !== keyOf(mergedText(work.state.open!))) discardDraft(work);
}

export function typed(work: Work, text: string): void {
  work.state.callerAtMs = work.atMs;
  if (isProtected(work)) {
    const speech = work.state.protectedSpeech ?? 0;
    work.state.waitingTyped = { speech, texts: [...(work.state.waitingTyped?.texts ?? []), text] };
    return;
  }
  // What the agent was kept quiet for is here.
  work.state.quietUntilMs = work.atMs;
  work.state.isSkipping = false;
  stopAgent(work, 'typed');
  if (work.state.open !== undefined) dropTurn(work, 'typed');
  commit(work, text, text, { isMerged: false, isTyped: true, startMs: work.atMs, t0Ms: work.atMs, delayMs: 0, draft: undefined });
}

/** What was typed while the agent could not be interrupted is answered when that is over: the protected reply was heard out, or failed. */
export function judgeWaitingTyped(work: Work): void {
  const { agent, waitingTyped } = work.state;
  if (waitingTyped === undefined || (agent.phase !== 'idle' && agent.speech === waitingTyped.speech)) return;
  work.state.waitingTyped = undefined;
  for (const text of waitingTyped.texts) typed(work, text);
}

/** Ask for the reply as soon as the words are there, before the turn is committed. */
export function speculate(work: Work): void {
  const { open, agent } = work.state;
  const settings = work.settings;
  if (open === undefined || open.isSpeaking || agent.phase !== 'idle' || work.state.undo !== undefined) return;
  if (isOfAnother(open, work)) return;
  if (open.draft !== undefined || open.draftCount >= settings.speculationsMax) return;
  if (!covers(open) || !hasSpeech(open.text) || open.closedSpeechMs > settings.speculationSpeechMaxMs) return;
  const text = mergedText(open);
  if (asksToWait(text, settings.language)) return;
  const speech = nextSpeech(work);
  openWith(work, { draft: { speech, key: keyOf(text) }, draftCount: open.draftCount + 1 });
  work.actions.push({ type: 'generate', speech, text, isSpeculative: true, isMerged: open.prefix !== '' });
}

/** All of the turn was too quiet for the caller. What continues a turn of the caller's is believed. */
function isOfAnother(open: OpenTurn, { settings }: Work): boolean {
  return open.prefix === '' && open.loudestDb <= -(open.isOther ? settings.otherTalkerDb : settings.otherTalkerSilentDb);
}

export function judgeCommit(work: Work): void {
  const { open, agent } = work.state;
  if (open === undefined || open.isSpeaking || agent.phase !== 'idle') return;
  if (isOfAnother(open, work)) {
    dropTurn(work, 'other_talker');
    becomeIdle(work);
    return;
  }
  // A CUT that may still be undone is decided first, at the latest when its time is over.
  if (work.state.undo !== undefined && !hasSpeech(open.text)) return;
  if (work.atMs < commitAtMs(work.state, open, work.settings)) return;
  // What this turn continues is still unanswered, whether it continues it with words or not.
  if (!hasSpeech(open.text) && open.prefix === '') {
    dropTurn(work, open.hasProblem ? 'stt_failed' : 'no_transcript');
    if (open.hasProblem) failed(work, 'stt_failed');
    else becomeIdle(work);
    return;
  }
  const text = mergedText(open);
  const delayMs = turnDelayMs(work.state, open, work.settings);
  const draft = open.draft?.key === keyOf(text) ? open.draft : undefined;
  if (draft === undefined) discardDraft(work);
  commit(work, open.text, text, {
    isMerged: open.prefix !== '',
    isTyped: false,
    startMs: open.startMs,
    t0Ms: open.t0Ms,
    delayMs,
    draft,
  });
}

/** The turn is over: `text` is what was newly said, `wholeText` with the part before. */
function commit(
  work: Work,
  text: string,
  wholeText: string,
  how: { isMerged: boolean; isTyped: boolean; startMs: number; t0Ms: number; delayMs: number; draft: OpenTurn['draft'] },
): void {
  const { isMerged, isTyped, startMs, t0Ms, delayMs, draft } = how;
  const isWait = !isTyped && asksToWait(wholeText, work.settings.language);
  const speech = isWait ? 0 : (draft?.speech ?? nextSpeech(work));
  const isAdopted = draft !== undefined && !isWait;
  const { turn } = work.state;
  work.actions.push({
    type: 'commit',
    turn,
    text,
    mergedText: wholeText,
    isMerged,
    isTyped,
    speech,
    isAdopted,
    startMs,
    t0Ms,
    delayMs,
  });
  work.state.open = undefined;
  work.state.turn += 1;
  forgetUndo(work);
  work.state.hasUndone = false;
  work.state.idlePrompts = 0;
  work.state.endAfterSpeech = undefined;
  work.state.lastCommit = { text: wholeText, speech };
  if (isWait) {
    becomeIdle(work);
    return;
  }
  if (!isAdopted) work.actions.push({ type: 'generate', speech, text: wholeText, isSpeculative: false, isMerged });
  work.state.agent = { phase: 'thinking', speech, kind: 'reply', isHeldBack: false, sinceMs: work.atMs };
  work.state.idleSinceMs = undefined;
  keepQuiet(work);
}
