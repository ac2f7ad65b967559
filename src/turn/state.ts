/** State, events and actions of the conversation as data. Times are milliseconds of the input clock of the session. */

/** `throughMs`: the last speech sample before the pause. `probability`: that the caller is done, 0..1; undefined until the model answers. */
export type Judgement = { readonly throughMs: number; readonly askedAtMs: number; readonly probability: number | undefined };

/** The user turn that is open: from its first speech until commit or drop. */
export type OpenTurn = {
  readonly startMs: number;
  /** A speech segment is open right now. */
  readonly isSpeaking: boolean;
  /** Instant of the last speech sample so far; it moves when speech goes on. */
  readonly t0Ms: number;
  /** When the gate reported the end of the last segment. */
  readonly endedAtMs: number;
  /** Gated speech in closed segments, and in the open one. */
  readonly closedSpeechMs: number;
  readonly segmentSpeechMs: number;
  /** Evidence of the open segment. */
  readonly continuousMs: number;
  readonly meanProbability: number;
  /** Level of the open segment over what the caller speaks at usually; 0 while that is not known. */
  readonly levelOverCallerDb: number;
  /** The highest that `levelOverCallerDb` was at the end of a segment of the turn; 0 before the first. */
  readonly loudestDb: number;
  /** The open segment was found to be somebody else's: it neither interrupts nor is it answered, unless it becomes as loud as the caller. */
  readonly isOther: boolean;
  /** Newest transcript; `throughMs` says up to which input instant it covers. */
  readonly text: string;
  readonly isFinal: boolean;
  readonly throughMs: number;
  readonly hasTranscript: boolean;
  readonly hasProblem: boolean;
  /** What a learned model said of the newest pause, or that it was asked. */
  readonly judgement: Judgement | undefined;
  /** Text of the turn before, when this one continues it (the reply between was not heard). */
  readonly prefix: string;
  /** A reply generated before commit, and how many were begun. */
  readonly draft: { readonly speech: number; readonly key: string } | undefined;
  readonly draftCount: number;
  /** The speech that the caller could not interrupt when this was said: it is heard out first. 0: there is none. */
  readonly waitsFor: number;
};

export type SpeechKind = 'first' | 'reply' | 'idle' | 'apology' | 'farewell';

export type Agent =
  | { readonly phase: 'idle' }
  /** A reply is on its way; nothing of it was sent. */
  | {
      readonly phase: 'thinking';
      readonly speech: number;
      readonly kind: SpeechKind;
      readonly isHeldBack: boolean;
      readonly sinceMs: number;
    }
  | { readonly phase: 'speaking'; readonly speech: number; readonly kind: SpeechKind; readonly startedMs: number }
  /** Audio is on HOLD until a verdict. */
  | {
      readonly phase: 'held';
      readonly speech: number;
      readonly kind: SpeechKind;
      readonly startedMs: number;
      readonly hold: number;
      readonly sinceMs: number;
    };

export type TurnState = {
  /** Number of the open or next user turn, from 1; recognition counts along. */
  readonly turn: number;
  readonly epoch: number;
  /** Number of the last speech begun. */
  readonly speech: number;
  readonly open: OpenTurn | undefined;
  readonly agent: Agent;
  /** What the agent says or said last, as far as it is known: echo and endpointing look at it. */
  readonly agentText: string;
  readonly agentTextSpeech: number;
  /** Speeches ever begun to be heard. */
  readonly spokenCount: number;
  /** The last committed turn, while its reply may still turn out unheard. */
  readonly lastCommit: { readonly text: string; readonly speech: number } | undefined;
  /** A CUT made on sound alone, which words or silence can still prove wrong. */
  readonly undo:
    | { readonly speech: number; readonly kind: SpeechKind; readonly startedMs: number; readonly untilMs: number }
    | undefined;
  readonly hasUndone: boolean;
  readonly falseHoldsAtMs: readonly number[];
  /** Since when both sides are silent; undefined while anything goes on. */
  readonly idleSinceMs: number | undefined;
  readonly idlePrompts: number;
  /** Last sign of life of the caller. */
  readonly callerAtMs: number;
  readonly startHops: 2 | 3 | 4;
  readonly quietUntilMs: number;
  /** The speech after which the call ends. */
  readonly endAfterSpeech: number | undefined;
  /** The speech whose tools are running: nobody is late meanwhile. */
  readonly toolsOf: number | undefined;
  /** The speech that the caller cannot interrupt, because of a tool of its. */
  readonly protectedSpeech: number | undefined;
  /** What was typed during such a speech, and is answered when that is over. */
  readonly waitingTyped: { readonly speech: number; readonly texts: readonly string[] } | undefined;
  /** The agent chose to wait in silence until the caller says something. */
  readonly isSkipping: boolean;
  readonly failures: number;
  readonly isEnded: boolean;
};

export type TurnEvent =
  | { readonly type: 'started'; readonly firstMessage: string }
  | { readonly type: 'speech_start'; readonly startMs: number; readonly hold: number }
  | {
      readonly type: 'speech_hop';
      readonly speechMs: number;
      readonly continuousMs: number;
      readonly meanProbability: number;
      readonly levelOverCallerDb: number;
      readonly hold: number;
    }
  /** A pause that may become the end. */
  | { readonly type: 'speech_dip'; readonly t0Ms: number; readonly speechMs: number }
  /** `isEcho`: all of the segment was the agent's own voice. */
  | {
      readonly type: 'speech_end';
      readonly t0Ms: number;
      readonly speechMs: number;
      /** Of the whole segment: hops into the agent's silence are not all told. */
      readonly levelOverCallerDb: number;
      readonly isEcho?: true;
    }
  | {
      readonly type: 'transcript';
      readonly turn: number;
      readonly text: string;
      readonly isFinal: boolean;
      readonly throughMs: number;
    }
  | { readonly type: 'stt_problem'; readonly turn: number }
  /** A learned model was asked whether the caller is done, about the pause that began at `throughMs`. */
  | { readonly type: 'turn_asked'; readonly turn: number; readonly throughMs: number }
  /** Its answer, 0..1; undefined: it has none, or was too late. */
  | { readonly type: 'turn_score'; readonly turn: number; readonly throughMs: number; readonly probability: number | undefined }
  | { readonly type: 'typed'; readonly text: string }
  | { readonly type: 'activity' }
  /** Something the next reply must see has changed: a speculative reply is stale. */
  | { readonly type: 'context_changed' }
  | { readonly type: 'agent_text'; readonly speech: number; readonly text: string }
  | { readonly type: 'audio_started'; readonly speech: number }
  /** The reply's text is complete. `endsCall`: hang up once it was heard. `isEmpty`: there is nothing to hear. `isSkip`: the agent wants to wait. */
  | {
      readonly type: 'reply_end';
      readonly speech: number;
      readonly isEmpty: boolean;
      readonly endsCall: boolean;
      readonly isSkip?: boolean;
    }
  /** Tools of a reply began to run, or all have ended. `protects`: what the caller cannot interrupt from now on, until the tools end or to the end. */
  | {
      readonly type: 'tools';
      readonly speech: number;
      readonly areRunning: boolean;
      readonly protects?: 'nothing' | 'tool' | 'turn';
    }
  /** The call's time is over: say this and hang up. */
  | { readonly type: 'last_words'; readonly text: string }
  | { readonly type: 'reply_failed'; readonly speech: number; readonly isHeard: boolean }
  | { readonly type: 'heard'; readonly speech: number; readonly heardMs: number }
  /** `isBroken`: synthesis failed before its end. */
  | { readonly type: 'drained'; readonly speech: number; readonly isBroken: boolean }
  /** `isHeard`: some of it is audio, which is heard before `drained` comes. */
  | { readonly type: 'tts_failed'; readonly speech: number; readonly isHeard: boolean }
  | { readonly type: 'time' };

export type CutReason = 'stop_word' | 'words' | 'strong_speech' | 'long_speech' | 'typed' | 'committed';
export type ResumeReason = 'short' | 'no_words' | 'backchannel' | 'false_start' | 'echo' | 'other_talker' | 'protected';
export type DropReason = ResumeReason | 'no_transcript' | 'stt_failed' | 'typed';

export type Action =
  /** Ask the language model; the speech stays unheard until `commit` or `release`. */
  | {
      readonly type: 'generate';
      readonly speech: number;
      readonly text: string;
      readonly isSpeculative: boolean;
      readonly isMerged: boolean;
    }
  | { readonly type: 'discard'; readonly speech: number }
  /**
   * The turn is over: `text` is what was newly said, `mergedText` with the part before. `speech` answers it (0: no reply is due);
   * it was generated before when `isAdopted`, else a `generate` follows.
   */
  | {
      readonly type: 'commit';
      readonly turn: number;
      readonly text: string;
      readonly mergedText: string;
      readonly isMerged: boolean;
      readonly isTyped: boolean;
      readonly speech: number;
      readonly isAdopted: boolean;
      /** First and last speech sample of the turn. */
      readonly startMs: number;
      readonly t0Ms: number;
      readonly delayMs: number;
    }
  | { readonly type: 'drop_turn'; readonly turn: number; readonly reason: DropReason; readonly text: string }
  | { readonly type: 'tentative'; readonly turn: number; readonly text: string }
  | { readonly type: 'say'; readonly speech: number; readonly kind: SpeechKind; readonly text: string }
  | { readonly type: 'hold_back'; readonly speech: number }
  | { readonly type: 'release'; readonly speech: number }
  /** Nothing to decide: clear the HOLD. */
  | { readonly type: 'release_hold'; readonly hold: number }
  | { readonly type: 'resume'; readonly speech: number; readonly hold: number; readonly reason: ResumeReason }
  /** An undoable CUT keeps its speech until `undo` or `discard`. */
  | {
      readonly type: 'cut';
      readonly epoch: number;
      readonly speech: number;
      readonly reason: CutReason;
      readonly isUndoable: boolean;
    }
  | { readonly type: 'undo'; readonly speech: number; readonly newSpeech: number; readonly reason: ResumeReason }
  /** How many hops of gated speech raise a HOLD from now on. */
  | { readonly type: 'start_hops'; readonly hops: 2 | 3 | 4 }
  | { readonly type: 'end_call'; readonly reason: 'agent' | 'silence' | 'llm_failed' | 'tts_failed' | 'stt_failed' };

export const initialState: TurnState = {
  turn: 1,
  epoch: 0,
  speech: 0,
  open: undefined,
  agent: { phase: 'idle' },
  agentText: '',
  agentTextSpeech: 0,
  spokenCount: 0,
  lastCommit: undefined,
  undo: undefined,
  hasUndone: false,
  falseHoldsAtMs: [],
  idleSinceMs: undefined,
  idlePrompts: 0,
  callerAtMs: 0,
  startHops: 2,
  quietUntilMs: 0,
  endAfterSpeech: undefined,
  toolsOf: undefined,
  protectedSpeech: undefined,
  waitingTyped: undefined,
  isSkipping: false,
  failures: 0,
  isEnded: false,
};
