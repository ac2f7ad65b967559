/**
 * The evidence ladder: somebody made a sound over the agent; is it a real interruption? Pure; conversation thread.
 * While it is open the agent is on HOLD, which costs nothing to undo, so each rung only has to be right, not early.
 */
import type { TurnSettings } from './settings.js';
import type { CutReason, OpenTurn, ResumeReason } from './state.js';
import { echoRatio, hasAsked, hasStopWord, isFalseStart, isIgnorable, spokenLately, wordsOf } from './words.js';

export type Verdict =
  | { readonly is: 'real'; readonly reason: CutReason }
  | { readonly is: 'false'; readonly reason: ResumeReason }
  | { readonly is: 'open' };

const real = (reason: CutReason): Verdict => ({ is: 'real', reason });
const falseAlarm = (reason: ResumeReason): Verdict => ({ is: 'false', reason });
const undecided: Verdict = { is: 'open' };

export type LadderContext = {
  readonly settings: TurnSettings;
  readonly atMs: number;
  /** What the agent is saying. */
  readonly agentText: string;
  /** Since when it can be heard. */
  readonly startedMs: number;
  /** Only words count: the first seconds of a call, where echo cancellation is still settling. */
  readonly isGuarded: boolean;
  /** After an undone CUT, sound alone needs the longer time. */
  readonly isWary: boolean;
};

/** What the words alone say; undecided when there are none or too few. */
export function judgeWords(open: OpenTurn, context: LadderContext): Verdict {
  const { settings, agentText, atMs, startedMs } = context;
  const words = wordsOf(open.text);
  if (words.length === 0) return undecided;
  // More words may follow, of the caller's own after an echo too: only a whole utterance wants nothing.
  const nothing = (reason: ResumeReason): Verdict => (isWhole(open, settings, atMs) ? falseAlarm(reason) : undecided);
  const spoken = spokenLately(agentText, atMs - startedMs);
  const isStop = hasStopWord(open.text, settings.language);
  if ((words.length >= 2 || !isStop) && echoRatio(open.text, spoken) >= settings.echoRatio) return nothing('echo');
  if (isIgnorable(open.text, settings) && !hasAsked(agentText, atMs - startedMs)) return nothing('backchannel');
  if (isStop) return real('stop_word');
  if (isFalseStart(open.text, settings.language)) return nothing('false_start');
  if (words.length >= settings.cutWordsMin) return real('words');
  // One word counts when nothing more will come of it: the final, a failed recogniser, or time.
  const isDue = open.isFinal || open.hasProblem || atMs >= open.endedAtMs + settings.verdictMs;
  return !open.isSpeaking && isDue ? real('words') : undecided;
}

/** No word is shorter. */
const wordMs = 100;

/** The speech is over, and all of its words are known or will not be any more. */
function isWhole(open: OpenTurn, settings: TurnSettings, atMs: number): boolean {
  if (open.isSpeaking) return false;
  return open.hasProblem || open.throughMs >= open.t0Ms - wordMs || atMs >= open.endedAtMs + settings.verdictMs;
}

/** The whole ladder, for speech over audible agent audio. */
export function judge(open: OpenTurn, context: LadderContext): Verdict {
  const { settings, atMs, isGuarded, isWary } = context;
  const byWords = judgeWords(open, context);
  if (byWords.is !== 'open') return byWords;
  if (open.isSpeaking) {
    if (isOfAnother(open, settings)) return falseAlarm('other_talker');
    if (isGuarded) return undecided;
    const isStrong = open.continuousMs >= settings.cutStrongMs && open.meanProbability >= settings.cutStrongProbability;
    if (isStrong && !isWary) return real('strong_speech');
    return open.continuousMs >= settings.cutAnyMs ? real('long_speech') : undecided;
  }
  return judgeSilence(open, settings, atMs);
}

/** Too quiet for the caller: somebody else in the room, a television, an echo. */
function isOfAnother(open: OpenTurn, settings: TurnSettings): boolean {
  return open.segmentSpeechMs >= settings.otherTalkerMs && open.levelOverCallerDb <= -settings.otherTalkerDb;
}

/** The speech is over and brought no deciding words: short, empty, or nothing heard in time. */
export function judgeSilence(open: OpenTurn, settings: TurnSettings, atMs: number): Verdict {
  if (wordsOf(open.text).length > 0) return undecided;
  if (open.closedSpeechMs < settings.falseAlarmMs) return falseAlarm('short');
  const isEmptyFinal = open.isFinal && open.hasTranscript && open.throughMs >= open.t0Ms && open.text.trim() === '';
  if (isEmptyFinal || atMs >= open.endedAtMs + settings.verdictMs) return falseAlarm('no_words');
  return undecided;
}
