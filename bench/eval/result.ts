/**
 * The figures of the evaluator: what was measured in each scenario, and what all scenarios together come to. Types only; everything in them can be
 * written as JSON (a field that is `undefined` is absent there). Instants are ms since the connect, samples are of 16 kHz.
 */
import type { ClockKind, PlayoutKind } from './run-record.js';
import type { Expectation, Family, Role } from './scenario.js';

export const resultSchemaVersion = 1;

// ---- What one scenario gave -------------------------------------------------------------------------------------------------------------

/** A stretch of one reply that was heard without a break: source sample `sourceFrom + i` at lane sample `heardFrom + i`. */
export type HeardPiece = {
  /** The utterance's reply: the first event id that its audio had, also when the engine spoke it again under another one. */
  readonly eventId: number;
  readonly heardFrom: number;
  readonly sourceFrom: number;
  readonly count: number;
};

/** How the sound stops inside an utterance, or begins again: time between 0.9 and 0.1 of its level. */
export type EdgeFigures = {
  readonly eventId: number;
  readonly kind: 'stop' | 'resume';
  readonly atMs: number;
  readonly edgeMs: number;
};

/** Everything heard of one reply. */
export type UtteranceFigures = {
  readonly eventId: number;
  readonly text: string;
  /** First and last audible sample. */
  readonly onsetMs: number;
  readonly endMs: number;
  readonly pieces: readonly HeardPiece[];
  /** Its last audible sample was heard. */
  readonly isComplete: boolean;
  /** Why it was said: an answer to that turn of the caller, the greeting, or nothing that the caller said. */
  readonly cause: 'answer' | 'greeting' | 'idle_prompt' | 'unprompted';
  /** Of the turn it answers, when it is an answer. */
  readonly turn: string | undefined;
};

/** Where the time of one answer went, in ms; they add up to the gap. Before the commit everything is `endpoint`. */
export type Waterfall = {
  readonly endpointMs: number;
  readonly sttMs: number;
  readonly llmMs: number;
  readonly ttsMs: number;
  readonly engineMs: number;
  /** From the arrival of its first audio to the first audible sample. */
  readonly bufferMs: number;
};

/** One contribution of the caller. */
export type TurnFigures = {
  readonly turn: string;
  readonly role: Role;
  readonly isDictation: boolean;
  /** The first sample of its first part and the last of its last one; absent when what it waits for was never heard, which counts as missed. */
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
  /** The call expects an answer to it; nothing of the turn counts otherwise. */
  readonly isAnswerDue: boolean;
  /** Absent: missed. */
  readonly gapMs: number | undefined;
  readonly isMissed: boolean;
  /** Answered within 3 s and nowhere cut in. */
  readonly isTakeover: boolean;
  /** White box: from the end of the turn to its commit. */
  readonly endpointDelayMs: number | undefined;
  /** gap - endpoint delay - waits for providers after the commit. */
  readonly overheadMs: number | undefined;
  readonly waterfall: Waterfall | undefined;
  /** Replies to this turn that were each heard for a while: 2 is a double answer. */
  readonly answerCount: number;
  /** Words of the turn that the request whose answer was heard did not have; absent when no answer was heard. */
  readonly lostWords: number | undefined;
  /** Messages of the caller's in which that request had them: 1 is a turn told as one; absent like `lostWords`. */
  readonly messageCount: number | undefined;
  readonly wordCount: number;
  /** Silence of both after the first second that an answer may take. */
  readonly deadMs: number;
};

export type HoldStratum = '200-499' | '500-799' | '800-1199' | '1200+';

/** A silence of at least 200 ms inside a turn of the caller. */
export type HoldFigures = {
  readonly turn: string;
  readonly fromMs: number;
  readonly durationMs: number;
  readonly stratum: HoldStratum;
  readonly isCutIn: boolean;
  /** Both audible after the cut-in, until the turn's end. 0 without one. */
  readonly overlapMs: number;
  /** White box: the turn was committed here. */
  readonly isPrematureCommit: boolean;
  /** False: nothing to be learnt, because the agent spoke already, all the way into the hold, or never in the whole call. */
  readonly isMeasured: boolean;
  readonly isPhone: boolean;
};

/** A part of a turn into which the agent began to speak, away from its holds. */
export type PartCutIn = { readonly turn: string; readonly atMs: number; readonly overlapMs: number; readonly isPhone: boolean };

/** The caller speaks, meaning to stop the agent. */
export type InterruptionFigures = {
  readonly turn: string;
  /** Its first sample; absent when it never began because what it waits for was never heard. */
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
  /** The utterance it interrupts; absent when the agent was silent, which counts as missed. */
  readonly eventId: number | undefined;
  /** Last heard sample - start. */
  readonly stopMs: number | undefined;
  readonly isYielded: boolean;
  /** White box, from the decision that silenced the utterance (its hold, or the cut if there was none). */
  readonly detectMs: number | undefined;
  readonly cutMs: number | undefined;
  readonly tailMs: number | undefined;
  /** Both audible from the start until the interruption's last sample. */
  readonly talkOverMs: number;
  /** Stretches of the utterance that came back more than 300 ms after it had yielded. */
  readonly staleCount: number;
  /** Of the answer to the interruption; absent: missed. Counts only if an answer is due. */
  readonly gapMs: number | undefined;
  readonly isAnswerDue: boolean;
  readonly context: ContextFigures | undefined;
};

export type ContextFigures = {
  /** Words of the utterance in the next request's history, and those that were heard. */
  readonly requestWords: number;
  readonly heardWords: number;
  readonly isTrue: boolean;
};

export type SelectivityClass = 'backchannel' | 'body' | 'room' | 'echo' | 'talkers';
export const selectivityClasses: readonly SelectivityClass[] = ['backchannel', 'body', 'room', 'echo', 'talkers'];

/** Something that the agent has to take no notice of, or at most a short pause. */
export type EventFigures = {
  /** Of the event, or `step N`, or `echo of N`. */
  readonly id: string;
  /** Of the event, or the role of the step, or `echo`. */
  readonly kind: string;
  /** Absent: a false start, which counts for recovery. */
  readonly class: SelectivityClass | undefined;
  readonly expect: Expectation;
  readonly fromMs: number | undefined;
  readonly toMs: number | undefined;
  /** `absent`: it was to fall on the agent's speech and there was none, by the agent's own doing. */
  readonly effect: 'ignored' | 'paused' | 'stopped' | 'absent';
  readonly isUnderSpeech: boolean;
  readonly stallMs: number;
  /** An answer that it caused was heard. */
  readonly isSpurious: boolean;
  /** Of the resume, when it was paused: from the event's end; source ms never and twice heard. */
  readonly resumeDelayMs: number | undefined;
  readonly skipMs: number | undefined;
  readonly repeatMs: number | undefined;
  /** 0 to 1. */
  readonly credit: number;
};

/** The source stood still for at least 60 ms and nothing on the caller's side caused it. */
export type StutterFigures = { readonly eventId: number; readonly atMs: number; readonly durationMs: number };

/** One thing that idle conduct asks for. */
export type IdleCheck = {
  readonly kind: 'prompt_on_time' | 'nothing_unprompted' | 'silent_while_waiting';
  readonly isMet: boolean;
  /** How far the prompt was off its time. */
  readonly offMs?: number;
};

/** One thing that the scenario's `expect` asks for. */
export type ExpectationCheck = { readonly name: string; readonly isMet: boolean; readonly detail: string };

export type ScenarioFigures = {
  readonly id: string;
  readonly family: Family;
  readonly title: string;
  readonly part: 'open' | 'held';
  readonly channel: string;
  readonly playout: PlayoutKind;
  readonly durationMs: number;
  readonly turns: readonly TurnFigures[];
  readonly holds: readonly HoldFigures[];
  readonly partCutIns: readonly PartCutIn[];
  readonly interruptions: readonly InterruptionFigures[];
  readonly events: readonly EventFigures[];
  readonly stutters: readonly StutterFigures[];
  readonly edges: readonly EdgeFigures[];
  readonly idle: readonly IdleCheck[];
  readonly utterances: readonly UtteranceFigures[];
  /** Time during which the agent was audible; both were; silence over a second that an answer was owed. */
  readonly agentSpeechMs: number;
  readonly bothAudibleMs: number;
  readonly deadMs: number;
  /** Audible frames of the heard lane that the source matching explains, 0 to 1; `isFallback`: too few, energy was used instead. */
  readonly matchedRatio: number;
  readonly isFallback: boolean;
  readonly expectations: readonly ExpectationCheck[];
  readonly isPassed: boolean;
  readonly timing: { readonly realTimeRatio: number; readonly frameLatenessP99Ms: number };
  readonly cost: CostFigures;
};

export type CostFigures = {
  readonly cpuRatio: number | undefined;
  readonly loopDelayP99Ms: number | undefined;
  readonly memoryBytes: number | undefined;
};

// ---- What all scenarios come to ---------------------------------------------------------------------------------------------------------

export type Interval = { readonly low: number; readonly high: number };

/** `interval`: of the mean, 95 %, by drawing scenarios anew. All undefined when n is 0. */
export type Statistic = {
  readonly n: number;
  readonly mean: number | undefined;
  readonly p50: number | undefined;
  readonly p90: number | undefined;
  readonly p95: number | undefined;
  readonly interval: Interval | undefined;
};

/** Shares are 0 or 1 for each item, so their mean is the share. */
export const metricIds = [
  'gapMs',
  'missRatio',
  'takeoverRatio',
  'falseCutInRatio',
  'falseCutInRatio200',
  'falseCutInRatio500',
  'falseCutInRatio800',
  'falseCutInRatio1200',
  'falseCutInRatioPhone',
  'falseCutInOverlapMs',
  'prematureCommitRatio',
  'endpointDelayMs',
  'overheadMs',
  'stopMs',
  'yieldedRatio',
  'detectMs',
  'cutMs',
  'tailMs',
  'tailPacedMs',
  'tailBufferedMs',
  'talkOverMs',
  'talkOverMsPerMinute',
  'interruptionGapMs',
  'staleCount',
  'contextErrorWords',
  'contextTrueRatio',
  'ignoredRatio',
  'ignoredOrResumedRatio',
  'spuriousRatio',
  'resumeDelayMs',
  'resumeSkipMs',
  'resumeRepeatMs',
  'doubleAnswerRatio',
  'lostWords',
  'deadRatio',
  'stuttersPerMinute',
  'edgeMs',
  'edgeGoodRatio',
  'idleRatio',
  'cpuRatio',
  'loopDelayP99Ms',
  'memoryBytes',
] as const;
export type MetricId = (typeof metricIds)[number];

export const dimIds = ['D1', 'D2', 'D3', 'D4', 'D5', 'D6'] as const;
export type DimId = (typeof dimIds)[number];

/** A term of a dimension's formula. `score`: 0 to 10, before its weight. */
export type DimPart = { readonly name: string; readonly weight: number; readonly score: number };

/** `score` is 0 to 10; undefined when the scenarios that ran hold nothing it is made of (never because of the agent). */
export type DimFigures = {
  readonly id: DimId;
  readonly name: string;
  readonly weight: number;
  readonly score: number | undefined;
  readonly interval: Interval | undefined;
  readonly parts: readonly DimPart[];
};

export const gateIds = ['G1', 'G2', 'G3', 'G4', 'G5', 'G6', 'G7', 'G8'] as const;
export type GateId = (typeof gateIds)[number];

/** `value` and `limit` in the unit that `name` says; `isMost`: the limit is an upper one. */
export type GateCondition = {
  readonly name: string;
  readonly value: number | undefined;
  readonly limit: number;
  readonly isMost: boolean;
  readonly isMet: boolean;
};

/**
 * `isMet`: all its conditions are. `isJudged`: it counts; G1 to G3 need the clock `wall`, G1 the profile `reference`, and every gate something to
 * measure among the scenarios that ran; `note` says what is missing.
 */
export type GateFigures = {
  readonly id: GateId;
  readonly name: string;
  readonly conditions: readonly GateCondition[];
  readonly isMet: boolean;
  readonly isJudged: boolean;
  readonly note: string | undefined;
};

/** `raw` before, `total` after the cap that a failed gate sets. */
export type TotalFigures = {
  readonly raw: number;
  readonly total: number;
  readonly rawInterval: Interval;
  readonly totalInterval: Interval;
};

/** The raw total when one weight is a quarter lower or higher and the others share the difference. */
export type Sensitivity = { readonly dim: DimId; readonly factor: 0.75 | 1.25; readonly raw: number };

/** Scores of a set of scenarios. */
export type Scores = {
  readonly scenarioCount: number;
  readonly statistics: Readonly<Record<MetricId, Statistic>>;
  readonly dims: readonly DimFigures[];
  readonly total: TotalFigures;
  readonly gates: readonly GateFigures[];
  readonly sensitivity: readonly Sensitivity[];
  /** Mean credit and strictly ignored share for each class; `n` 0: nothing ran. */
  readonly selectivity: readonly {
    readonly class: SelectivityClass;
    readonly n: number;
    readonly credit: number;
    readonly ignoredRatio: number;
  }[];
};

/** What did not run, and why; `scenarios` are ids, or another name of what is missing. */
export type LeftOut = { readonly reason: string; readonly scenarios: readonly string[] };

/** An engine with one thing broken on purpose, or one idea taken away. Deltas are its scores minus the unbroken engine's on the same scenarios. */
export type VariationFigures = {
  readonly name: string;
  readonly kind: 'mutant' | 'ablation';
  /** What must fall: a dimension, a part of one (`D6 edges`), a gate. Empty for ablations. */
  readonly target: readonly string[];
  readonly isCaught: boolean | undefined;
  readonly total: number;
  readonly totalDelta: number;
  readonly dims: readonly { readonly id: DimId; readonly score: number | undefined; readonly delta: number | undefined }[];
  readonly targetDelta: number | undefined;
  readonly failedGates: readonly GateId[];
  /** Scenarios that went as their files expect before, and do not now. */
  readonly unexpected: readonly string[];
};

/** One setting of the endpointing sweep. */
export type SweepPoint = {
  readonly threshold: number;
  readonly actionDelayMs: number;
  readonly timeoutMs: number;
  readonly cutOffRatio: number;
  readonly meanDelayMs: number;
};

export type SweepRow = {
  readonly name: string;
  readonly holds: number;
  readonly ends: number;
  /** Undefined where no setting reaches it. */
  readonly cutOffAt300Ms: number | undefined;
  readonly cutOffAt600Ms: number | undefined;
  readonly delayMsAt5Percent: number | undefined;
  readonly delayMsAt10Percent: number | undefined;
  /** The settings that no other beats, by rising delay. */
  readonly frontier: readonly SweepPoint[];
};

/** Published figures: different data, for orientation only. */
export type AnchorPoint = { readonly name: string; readonly cutOffRatio: number; readonly meanDelayMs: number | undefined };

export type EndpointingSweep = {
  readonly dataset: string;
  readonly channel: string;
  readonly rows: readonly SweepRow[];
  readonly anchors: readonly AnchorPoint[];
  /** Says "different data". */
  readonly note: string;
};

export type EvaluationResult = {
  readonly schemaVersion: typeof resultSchemaVersion;
  readonly engineVersion: string;
  readonly suite: { readonly name: string; readonly hash: string; readonly leftOut: readonly LeftOut[] };
  readonly profile: string;
  readonly seed: number;
  readonly clock: ClockKind;
  readonly playouts: readonly PlayoutKind[];
  /** What synthesised the callers: `flite`, or `espeak-ng` with its version. */
  readonly voices: string;
  readonly mutant: string | undefined;
  /** Of the harness: a run on `wall` whose callers were late gives no score. */
  readonly timing: {
    readonly isValid: boolean;
    readonly problem: string | undefined;
    readonly realTimeRatioMin: number;
    readonly frameLatenessP99MsMax: number;
  };
  readonly cost: CostFigures;
  readonly scores: Scores;
  /** The same of each part of the suite that ran. */
  readonly parts: readonly { readonly part: 'open' | 'held'; readonly scores: Scores }[];
  readonly scenarios: readonly ScenarioFigures[];
  readonly variations: readonly VariationFigures[];
  readonly sweeps: readonly EndpointingSweep[];
};
