/** Who has the floor: HOLD, the verdict on it, the CUT and its undoing, and a reply that waits while the caller makes a sound. Conversation thread. */
import { answered } from './failure.js';
import { say } from './idle.js';
import { judge, judgeSilence, judgeWords, type LadderContext, type Verdict } from './ladder.js';
import { covers } from './open-turn.js';
import type { Agent, CutReason, OpenTurn, ResumeReason, SpeechKind } from './state.js';
import { hasSpeech, isIgnorable, wordsOf } from './words.js';
import { dropTurn, isProtected, nextSpeech, openWith, type Work } from './work.js';

/** A HOLD was raised, numbered `hold`; 0 when none was. */
export function held(work: Work, hold: number): void {
  if (hold === 0) return;
  const { agent } = work.state;
  if (agent.phase === 'speaking') {
    const { speech, kind, startedMs } = agent;
    work.state.agent = { phase: 'held', speech, kind, startedMs, hold, sinceMs: work.atMs };
  } else if (agent.phase === 'thinking') {
    // A HOLD is raised only over audible audio: the reply's first frame is out, the word of it still under way.
    const { speech, kind } = agent;
    work.state.agent = { phase: 'held', speech, kind, startedMs: work.atMs, hold, sinceMs: work.atMs };
    work.state.spokenCount += 1;
  } else if (agent.phase === 'held') {
    work.state.agent = { ...agent, hold: Math.max(hold, agent.hold) };
  } else {
    work.actions.push({ type: 'release_hold', hold });
  }
}

/** The segment was the agent's own voice: a false alarm, and nothing of what the caller may have said before. */
export function echoEnded(work: Work): void {
  const { agent, open } = work.state;
  if (open === undefined) return;
  openWith(work, { isSpeaking: false, endedAtMs: work.atMs, segmentSpeechMs: 0, continuousMs: 0 });
  if (open.closedSpeechMs > 0) return;
  if (agent.phase === 'held') resume(work, agent.speech, agent.hold, 'echo');
  dropTurn(work, 'echo');
}

export function judgeInterruption(work: Work): void {
  const { agent, open } = work.state;
  if (isProtected(work)) {
    if (agent.phase === 'held') resume(work, agent.speech, agent.hold, 'protected');
    ignoreSidelong(work);
    return;
  }
  if (agent.phase === 'held' && open === undefined) {
    resume(work, agent.speech, agent.hold, 'no_words');
    return;
  }
  if (open === undefined) return;
  const { isInterruptible, isFirstInterruptible } = work.settings;
  if (!isInterruptible || (agent.phase !== 'idle' && agent.kind === 'first' && !isFirstInterruptible)) {
    ignoreSidelong(work);
    return;
  }
  if (open.isOther && (agent.phase === 'held' || agent.phase === 'speaking')) {
    judgeOther(work, open, agent);
    return;
  }
  if (agent.phase === 'held') {
    const verdict = judge(open, ladder(work, agent.kind, agent.startedMs));
    if (verdict.is === 'real') cut(work, verdict.reason);
    if (verdict.is === 'false') {
      resume(work, agent.speech, agent.hold, verdict.reason);
      // A short sound may still turn out to be a word ("stop"): its transcript is waited for while the agent speaks on.
      if (verdict.reason === 'other_talker') openWith(work, { isOther: true });
      else if (verdict.reason !== 'short') dropTurn(work, verdict.reason);
    }
  } else if (agent.phase === 'speaking' && !open.isSpeaking && open.waitsFor !== agent.speech) {
    // The caller had stopped before our audio began, so there was no HOLD: words decide, silence drops the turn.
    const verdict = judgeLateWords(work, open, ladder(work, agent.kind, agent.startedMs));
    if (verdict.is === 'real') cut(work, verdict.reason);
    if (verdict.is === 'false') dropTurn(work, verdict.reason);
  }
}

/** What would not have interrupted is no turn either when nothing can: an "mm-hmm" is not answered once the agent has finished. */
function ignoreSidelong(work: Work): void {
  const { agent, open } = work.state;
  if (agent.phase !== 'speaking' || open === undefined || open.isSpeaking) return;
  const verdict = judgeWords(open, ladder(work, agent.kind, agent.startedMs));
  if (verdict.is === 'false') dropTurn(work, verdict.reason);
}

/** Taken for somebody else by its level: goes by unless it grows loud, or its words are for the agent. */
function judgeOther(work: Work, open: OpenTurn, agent: Extract<Agent, { phase: 'held' | 'speaking' }>): void {
  const verdict = judgeWords(open, ladder(work, agent.kind, agent.startedMs));
  if (isLoudAfterAll(open, work)) becomeCaller(work, 'strong_speech');
  else if (verdict.is === 'real' && isCallersWord(open, verdict.reason, work)) becomeCaller(work, verdict.reason);
  else if (!open.isSpeaking && (isSurelyOther(open, work) || isTranscriptDue(work, open))) dropTurn(work, 'other_talker');
  if (agent.phase === 'held' && work.state.agent.phase === 'held') resume(work, agent.speech, agent.hold, 'other_talker');
}

/** After so long a hole everybody has heard it: going on and being stopped again by the caller's next word would be worse. */
const earlyResumeMaxMs = 200;

/**
 * The first 64 ms of quiet in a sound over the agent. A short one is most often a cough or the like: the agent goes on at once instead of at the end
 * of the pause, so that hardly anything of the hole is heard. If there was a word in it after all, the transcript says so.
 */
export function dipped(work: Work, speechMs: number): void {
  const { agent, open } = work.state;
  if (agent.phase !== 'held' || open === undefined || !work.settings.isInterruptible) return;
  if (wordsOf(open.text).length > 0 || open.closedSpeechMs + speechMs >= work.settings.falseAlarmMs) return;
  if (work.atMs - agent.sinceMs > earlyResumeMaxMs) return;
  resume(work, agent.speech, agent.hold, 'short');
}

export function judgeUndo(work: Work): void {
  const { undo, open, agent } = work.state;
  if (undo === undefined) return;
  if (work.atMs > undo.untilMs || agent.phase !== 'idle' || open === undefined) {
    forgetUndo(work);
    return;
  }
  const verdict = judgeLateWords(work, open, { ...ladder(work, undo.kind, undo.startedMs), isGuarded: false });
  if (verdict.is === 'real') forgetUndo(work);
  if (verdict.is !== 'false' || open.isSpeaking) return;
  const newSpeech = nextSpeech(work);
  work.actions.push({ type: 'undo', speech: undo.speech, newSpeech, reason: verdict.reason });
  dropTurn(work, verdict.reason);
  if (work.state.endAfterSpeech === undo.speech) work.state.endAfterSpeech = newSpeech;
  if (work.state.lastCommit?.speech === undo.speech) work.state.lastCommit = { ...work.state.lastCommit, speech: newSpeech };
  work.state.agent = { phase: 'thinking', speech: newSpeech, kind: undo.kind, isHeldBack: false, sinceMs: work.atMs };
  work.state.idleSinceMs = undefined;
  work.state.undo = undefined;
  work.state.hasUndone = true;
  countFalseHold(work);
}

/** The caller made a sound while a reply is on its way: words throw it away, anything else only delays it. */
export function judgeHeldBack(work: Work): void {
  const { agent, open, lastCommit } = work.state;
  if (agent.phase !== 'thinking' || !agent.isHeldBack) return;
  if (open === undefined || isProtected(work)) {
    if (work.atMs < work.state.quietUntilMs) return;
    work.state.agent = { ...agent, isHeldBack: false };
    work.actions.push({ type: 'release', speech: agent.speech });
    return;
  }
  // One word of a partial may be a phantom of the recogniser's: it takes a final, or two, to throw a reply away.
  const isSure = open.isFinal || wordsOf(open.text).length >= 2;
  const saysNothing = !hasSpeech(open.text) || !isSure || isIgnorable(open.text, work.settings);
  if (!saysNothing) {
    work.actions.push({ type: 'discard', speech: agent.speech });
    if (lastCommit?.speech === agent.speech) openWith(work, { prefix: lastCommit.text });
    work.state.agent = { phase: 'idle' };
    return;
  }
  const isOver = covers(open) || work.atMs >= open.t0Ms + work.settings.sttWaitMs;
  if (open.isSpeaking || !isOver) return;
  dropTurn(work, hasSpeech(open.text) ? 'backchannel' : 'no_words');
  judgeHeldBack(work);
}

/** After false HOLDs in a row a HOLD needs more speech. */
export function chooseStartHops(work: Work): void {
  const recent = work.state.falseHoldsAtMs.filter((at) => work.atMs - at < work.settings.falseHoldWindowMs);
  const hops = recent.length < 2 ? 2 : recent.length === 2 ? 3 : 4;
  if (recent.length !== work.state.falseHoldsAtMs.length) work.state.falseHoldsAtMs = recent;
  if (hops === work.state.startHops) return;
  work.state.startHops = hops;
  work.actions.push({ type: 'start_hops', hops });
}

/** Typed words take the floor at once. */
export function stopAgent(work: Work, reason: CutReason): void {
  const { agent } = work.state;
  if (agent.phase === 'thinking') work.actions.push({ type: 'discard', speech: agent.speech });
  cut(work, reason);
  work.state.agent = { phase: 'idle' };
}

/** The call's time is over: whatever is going on ends, and so does the call when this was heard. */
export function lastWords(work: Work, text: string): void {
  stopAgent(work, 'typed');
  if (work.state.open !== undefined) dropTurn(work, 'typed');
  say(work, 'farewell', text);
  work.state.endAfterSpeech = work.state.speech;
}

/** The CUT stands. */
export function forgetUndo(work: Work): void {
  if (work.state.undo === undefined) return;
  work.actions.push({ type: 'discard', speech: work.state.undo.speech });
  work.state.undo = undefined;
}

function cut(work: Work, reason: CutReason): void {
  const { agent } = work.state;
  if (agent.phase !== 'held' && agent.phase !== 'speaking') return;
  const isOnSoundAlone = reason === 'strong_speech' || reason === 'long_speech';
  const isUndoable = isOnSoundAlone && !work.state.hasUndone;
  work.state.epoch += 1;
  work.actions.push({ type: 'cut', epoch: work.state.epoch, speech: agent.speech, reason, isUndoable });
  answered(work, agent.kind);
  work.state.agent = { phase: 'idle' };
  work.state.idleSinceMs = undefined;
  forgetUndo(work);
  if (isUndoable)
    work.state.undo = {
      speech: agent.speech,
      kind: agent.kind,
      startedMs: agent.startedMs,
      untilMs: work.atMs + work.settings.undoMs,
    };
}

function resume(work: Work, speech: number, hold: number, reason: ResumeReason): void {
  const { agent } = work.state;
  if (agent.phase !== 'held') return;
  work.state.agent = { phase: 'speaking', speech, kind: agent.kind, startedMs: agent.startedMs };
  work.actions.push({ type: 'resume', speech, hold, reason });
  countFalseHold(work);
}

function becomeCaller(work: Work, reason: CutReason): void {
  openWith(work, { isOther: false });
  cut(work, reason);
}

/** Whom we took for somebody else at first speaks on as loudly as the caller does. */
function isLoudAfterAll(open: OpenTurn, { settings }: Work): boolean {
  return open.continuousMs >= settings.cutStrongMs && open.levelOverCallerDb > surelyCaller * settings.otherTalkerDb;
}
const surelyCaller = -0.5;

/** The client's echo canceller makes a caller quieter who speaks over the agent. "Stop" is believed of all but the faintest. */
function isCallersWord(open: OpenTurn, reason: CutReason, work: Work): boolean {
  if (reason === 'stop_word') return !isSurelyOther(open, work);
  return open.levelOverCallerDb > -work.settings.otherTalkerDb;
}

function isSurelyOther(open: OpenTurn, { settings }: Work): boolean {
  return open.levelOverCallerDb <= -settings.otherTalkerSilentDb;
}

/** Nothing stands still for it, so a short sound is given the time that its transcript needs. */
function judgeLateWords(work: Work, open: OpenTurn, context: LadderContext): Verdict {
  const byWords = judgeWords(open, context);
  if (byWords.is !== 'open') return byWords;
  const bySilence = judgeSilence(open, work.settings, work.atMs);
  const isWaiting = bySilence.is === 'false' && bySilence.reason === 'short' && !isTranscriptDue(work, open);
  return isWaiting ? { is: 'open' } : bySilence;
}

function isTranscriptDue(work: Work, open: OpenTurn): boolean {
  return covers(open) || work.atMs >= open.endedAtMs + work.settings.verdictMs;
}

function ladder(work: Work, kind: SpeechKind, startedMs: number): LadderContext {
  const guardMs = work.settings.firstSpeechGuardMs;
  return {
    settings: work.settings,
    atMs: work.atMs,
    agentText: work.state.agentText,
    startedMs,
    isGuarded: kind === 'first' && work.atMs - startedMs < guardMs,
    isWary: work.state.hasUndone,
  };
}

function countFalseHold(work: Work): void {
  work.state.falseHoldsAtMs = [...work.state.falseHoldsAtMs, work.atMs];
}
