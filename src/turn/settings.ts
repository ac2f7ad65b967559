/** Settings of turn-taking, per agent. Pure data; every decision of `machine.ts` reads them from here. */

export type TurnSettings = {
  /** Silence after the last speech sample before a turn is committed, by what the transcript looks like (ms). */
  readonly delayCompleteMs: number;
  readonly delayShortAnswerMs: number;
  readonly delayNeutralMs: number;
  readonly delayUnfinishedMs: number;
  readonly delaySpellingMs: number;
  /** The same after a group of digits or letters, or a part of an address, that is not the last. */
  readonly delayDictationMs: number;
  /** No turn stays open longer than this after its last speech sample. */
  readonly delayMaxMs: number;
  readonly delayMinMs: number;
  /**
   * With a learned model in place of the words: the silence before a commit when it is sure that the caller is done (probability of
   * `doneProbability` or more), and when it is sure that he is not (`notDoneProbability` or less); linear between (ms).
   */
  readonly delayDoneMs: number;
  readonly delayNotDoneMs: number;
  readonly doneProbability: number;
  readonly notDoneProbability: number;
  /** How long a commit that is due waits for the answer of a model that was asked; then the words decide. */
  readonly turnModelWaitMs: number;
  /** Multiplies every delay: eager .7, normal 1, patient 1.6. */
  readonly delayRatio: number;
  /** How long a final transcript is waited for after the last speech sample; then the newest partial counts. */
  readonly sttWaitMs: number;
  /** The same when there is no word at all and recognition has not said why; longer than its own deadline. */
  readonly sttLostMs: number;
  /** Interruption ladder: speech that is surely speech, and any speech, for this long without a break is a real interruption. */
  readonly cutStrongMs: number;
  readonly cutStrongProbability: number;
  readonly cutAnyMs: number;
  /** Words (neither backchannel nor echo) that make an interruption while the caller still speaks; a finished utterance needs one. */
  readonly cutWordsMin: number;
  /** Speech shorter than this without words is a false alarm as soon as it ends. */
  readonly falseAlarmMs: number;
  /** A finished utterance without a verdict is a false alarm after this. */
  readonly verdictMs: number;
  /** How long a CUT made on sound alone can be undone. */
  readonly undoMs: number;
  /** While the first speech of a call is this young only words interrupt it: echo cancellation is still settling. */
  readonly firstSpeechGuardMs: number;
  /** A reply of which less than this was heard does not count as an answer: the caller's next words join the same turn. */
  readonly mergeHeardMs: number;
  /** Speech over the agent that is this much quieter than the caller's own, measured over `otherTalkerMs`, is somebody else's. */
  readonly otherTalkerDb: number;
  readonly otherTalkerMs: number;
  /** The same for a whole utterance into the agent's silence. */
  readonly otherTalkerSilentDb: number;
  /** Share of an utterance's words that must match the agent's recent words, in order, to call it echo. */
  readonly echoRatio: number;
  /** A reply that has not begun to be heard after this has failed. */
  readonly thinkingMaxMs: number;
  readonly speculationsMax: number;
  readonly speculationSpeechMaxMs: number;
  /** Two false HOLDs inside this window make the next ones need more hops. */
  readonly falseHoldWindowMs: number;
  /** Typing holds the agent's next start back for this long. */
  readonly activityHoldMs: number;
  /** Silence of both sides before the agent speaks again; negative: never. */
  readonly idleMs: number;
  /** The same before the caller and the agent have said anything. */
  readonly firstWaitMs: number;
  readonly idlePromptsMax: number;
  /** Silence of both sides that ends the call; negative: never. */
  readonly silenceEndMs: number;
  /** Whether the caller can interrupt at all. */
  readonly isInterruptible: boolean;
  /** The same for the first message. */
  readonly isFirstInterruptible: boolean;
  /** Utterances that never interrupt, besides the backchannels of the language. */
  readonly ignoredTerms: readonly string[];
  /** ISO 639-1; chooses the word lists. */
  readonly language: string;
};

/** The settings that an agent may choose under `parley.turn`. */
export type TurnSettingName = {
  [Name in keyof TurnSettings]: TurnSettings[Name] extends number ? Name : never;
}[keyof TurnSettings];

/** What an agent may choose. docs/agents.md has the table for people. */
export const turnRanges: Readonly<Record<TurnSettingName, readonly [min: number, max: number]>> = {
  delayCompleteMs: [0, 10_000],
  delayShortAnswerMs: [0, 10_000],
  delayNeutralMs: [0, 10_000],
  delayUnfinishedMs: [0, 10_000],
  delaySpellingMs: [0, 10_000],
  delayDictationMs: [0, 10_000],
  delayDoneMs: [0, 10_000],
  delayNotDoneMs: [0, 10_000],
  doneProbability: [0, 1],
  notDoneProbability: [0, 1],
  turnModelWaitMs: [0, 10_000],
  delayMaxMs: [100, 30_000],
  delayMinMs: [0, 10_000],
  delayRatio: [0.1, 10],
  sttWaitMs: [0, 30_000],
  sttLostMs: [0, 60_000],
  cutStrongMs: [32, 10_000],
  cutStrongProbability: [0, 1],
  cutAnyMs: [32, 60_000],
  cutWordsMin: [1, 20],
  falseAlarmMs: [0, 10_000],
  verdictMs: [0, 10_000],
  undoMs: [0, 10_000],
  firstSpeechGuardMs: [0, 60_000],
  mergeHeardMs: [0, 60_000],
  otherTalkerDb: [0, 60],
  otherTalkerMs: [0, 10_000],
  otherTalkerSilentDb: [0, 90],
  echoRatio: [0, 2],
  thinkingMaxMs: [500, 600_000],
  speculationsMax: [0, 20],
  speculationSpeechMaxMs: [0, 600_000],
  falseHoldWindowMs: [0, 600_000],
  activityHoldMs: [0, 60_000],
  idleMs: [-1, 600_000],
  firstWaitMs: [-1, 600_000],
  idlePromptsMax: [0, 100],
  silenceEndMs: [-1, 3_600_000],
};

/** Where the numbers come from is said in docs/architecture.md, "Decisions are a pure function". */
export const turnDefaults: TurnSettings = {
  delayCompleteMs: 300,
  delayShortAnswerMs: 300,
  delayNeutralMs: 500,
  delayUnfinishedMs: 1500,
  delaySpellingMs: 1300,
  delayDictationMs: 2000,
  delayMaxMs: 3000,
  delayMinMs: 200,
  delayDoneMs: 250,
  delayNotDoneMs: 1500,
  doneProbability: 0.7,
  notDoneProbability: 0.3,
  turnModelWaitMs: 1000,
  delayRatio: 1,
  sttWaitMs: 1500,
  sttLostMs: 3800,
  cutStrongMs: 512,
  cutStrongProbability: 0.8,
  cutAnyMs: 704,
  cutWordsMin: 2,
  falseAlarmMs: 256,
  verdictMs: 700,
  undoMs: 1200,
  firstSpeechGuardMs: 3000,
  mergeHeardMs: 400,
  otherTalkerDb: 9,
  otherTalkerMs: 224,
  otherTalkerSilentDb: 13,
  echoRatio: 0.7,
  thinkingMaxMs: 20000,
  speculationsMax: 3,
  speculationSpeechMaxMs: 10000,
  falseHoldWindowMs: 30000,
  activityHoldMs: 2000,
  idleMs: 7000,
  firstWaitMs: 7000,
  idlePromptsMax: 2,
  silenceEndMs: -1,
  isInterruptible: true,
  isFirstInterruptible: true,
  ignoredTerms: [],
  language: 'en',
};
