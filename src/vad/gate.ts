/**
 * The speech gate: from the model's probability and the level of each hop to speech that starts, goes on and ends. Runs on the VAD thread.
 * Pure: the state is all there is, time is the input clock in the hops, the same hops give the same events. `step` changes the
 * state it is given and allocates nothing but the event. docs/decisions/speech-gate.md has the measurements behind the numbers.
 */
import { strict as assert } from 'node:assert';
import type { SpeechEvent } from '../shared/links.js';
import { hopSamples, inputRateHz } from '../shared/units.js';
import { type FloorSettings, type FloorState, floorDb, floorDefaults, newFloor, trackFloor } from './floor.js';

export type GateSettings = {
  /** A hop may begin speech from `onProbability` on. Lower than that but not below `offProbability` it only keeps speech going. */
  readonly onProbability: number;
  readonly offProbability: number;
  /** While agent audio can be heard, the hop that completes a start needs this: echo and side talk are the usual false alarms. */
  readonly onProbabilityWhileAgentSpeaks: number;
  /** Hops in a row that start speech while the agent is silent. While it speaks, each hop says how many, but never less than the other. */
  readonly startHops: number;
  readonly startHopsWhileAgentSpeaksMin: number;
  /** A hop this likely and this far above the floor counts as two: clear speech starts 32 ms earlier. */
  readonly sureProbability: number;
  readonly sureAboveFloorDb: number;
  /** Energy guard: how far above the noise floor a hop must be to begin speech, and to count as speech once it goes on. */
  readonly startAboveFloorDb: number;
  readonly speechAboveFloorDb: number;
  /** Hops in a row below `offProbability` that are worth a candidate transcript, and that end the speech. */
  readonly dipHops: number;
  /** Hops in a row that do not count as speech, most often because they are no louder than the floor: as good as `dipHops`, and sooner in a quiet room. */
  readonly faintDipHops: number;
  readonly softPauseHops: number;
  /** Speech also ends when the model goes on hearing it for this long in what is no louder than the floor. */
  readonly faintHopsMax: number;
  /** Hops in a row that may fail without breaking `continuousMs`. */
  readonly continuousGapHops: number;
  /** The model hears onsets later the longer it has heard none: 5 s of silence, and again every 5 s, are reported. */
  readonly staleHops: number;
  /** After so many hops without speech, a hop that is less than this far above the floor is not shown to the model: it could not begin speech. */
  readonly restAfterHops: number;
  readonly restBelowFloorDb: number;
  /**
   * Once the caller's level is known, what is this much quieter does not begin speech: somebody else in the room, a television, the echo of the agent.
   * While the agent speaks the bar is higher, because quiet speech is then hardly ever meant for it.
   */
  readonly belowCallerDb: number;
  readonly belowCallerWhileAgentSpeaksDb: number;
  /** A segment says how loud the caller is when it has this many hops of speech, all while the agent is silent. */
  readonly levelHopsMin: number;
  /** How like the agent's own audio a hop must be to be looked at as its echo (`EchoEar`), 0..1; above 1: none is. */
  readonly echoLikenessMin: number;
  readonly floor: FloorSettings;
};

export const gateDefaults: GateSettings = {
  onProbability: 0.5,
  offProbability: 0.35,
  onProbabilityWhileAgentSpeaks: 0.6,
  startHops: 2,
  startHopsWhileAgentSpeaksMin: 2,
  sureProbability: 0.9,
  sureAboveFloorDb: 10,
  startAboveFloorDb: 6,
  speechAboveFloorDb: 3,
  dipHops: 2,
  faintDipHops: 2,
  softPauseHops: 6,
  faintHopsMax: 31,
  continuousGapHops: 1,
  staleHops: 156,
  restAfterHops: 16,
  restBelowFloorDb: 3,
  belowCallerDb: 18,
  belowCallerWhileAgentSpeaksDb: 10,
  levelHopsMin: 9,
  echoLikenessMin: 0.4,
  floor: floorDefaults,
};

/** What the gate is told of one hop. */
export type GateHop = {
  /** The model's, 0 to 1. */
  readonly probability: number;
  /** `rmsLevelDb` of the hop. */
  readonly levelDb: number;
  /** Input clock: one past the hop's last sample. Grows by `hopSamples` from hop to hop. */
  readonly endSample: number;
  /** Agent audio can be heard by the caller now, and so by the microphone. */
  readonly agentAudible: boolean;
  readonly startHopsWhileAgentSpeaks: 2 | 3 | 4;
  /** Level of what is left of the hop when the echo of the agent is taken out (`echo.ts`); undefined where no echo is known of. */
  readonly leftDb?: number | undefined;
};

/** How strong the speech is, over its present unbroken run (see `continuousGapHops`); means are over the hops that count as speech. */
export type SpeechEvidence = {
  /** Speech in the segment so far, pauses left out. */
  readonly speechMs: number;
  /** From the start of the unbroken run until now. */
  readonly continuousMs: number;
  readonly meanProbability: number;
  readonly levelOverFloorDb: number;
  /** Of the whole segment so far; 0 while it is not known how loud the caller is. */
  readonly levelOverCallerDb: number;
};

export type SpeechEnd = Extract<SpeechEvent, { readonly type: 'speech_end' }>;

/** At most one per hop. `atSample` is the end of the hop that decided it; all samples are on the input clock. */
export type GateEvent =
  /** `startSample`: start of the first hop of speech. */
  | (SpeechEvidence & { readonly type: 'speech_start'; readonly atSample: number; readonly startSample: number })
  /** Each further hop that counts as speech. */
  | (SpeechEvidence & { readonly type: 'speech_hop'; readonly atSample: number; readonly startSample: number })
  /** A pause that may become the end. `lastSpeechSample` as in `speech_end`. */
  | {
      readonly type: 'speech_dip';
      readonly atSample: number;
      readonly lastSpeechSample: number;
      readonly speechMs: number;
      /** The model hears no speech either; a closure in the middle of a word is quiet, too. */
      readonly isSure: boolean;
    }
  /** The soft pause. */
  | SpeechEnd
  /** The model should forget what it heard (`SpeechDetector.reset`). */
  | { readonly type: 'model_stale'; readonly atSample: number };

/** Hops of speech in a row. `weight` is their number with sure hops counted twice. */
type Run = { startSample: number; hops: number; weight: number; probabilitySum: number; aboveFloorSumDb: number };

/**
 * How loud a voice is: the mean level of its hops no more than `activeRangeDb` below the loudest, so that closures, soft consonants and the tail of a
 * short word do not make it quieter (in the manner of the active speech level of ITU-T P.56).
 */
type ActiveLevel = { loudestDb: number; sumDb: number; hops: number };

/** Before a start: the run that may become one, empty at most times. */
type Quiet = { readonly phase: 'quiet'; readonly run: Run; silentHops: number };
type Open = {
  readonly phase: 'open';
  readonly startSample: number;
  readonly run: Run;
  speechHops: number;
  readonly level: ActiveLevel;
  wasAgentAudible: boolean;
  lastSpeechSample: number;
  /** In a row: hops below `offProbability`, those and hops that were echo, and hops that did not count as speech. */
  silentHops: number;
  lowHops: number;
  uncountedHops: number;
  /** The present pause was reported as a dip. */
  hasDipped: boolean;
};

export type GateState = {
  readonly settings: GateSettings;
  readonly floor: FloorState;
  /** How loud the caller is, once known. */
  callerDb: number | undefined;
  now: Quiet | Open;
};

const hopMs = (hopSamples * 1000) / inputRateHz;

export function newGate(settings: GateSettings = gateDefaults): GateState {
  assert(settings.offProbability <= settings.onProbability, 'speech is harder to begin than to keep going');
  assert(settings.onProbability <= settings.onProbabilityWhileAgentSpeaks, 'the agent speaking does not make it easier');
  assert(settings.speechAboveFloorDb <= settings.startAboveFloorDb, 'the guard is not stricter once speech goes on');
  assert(settings.dipHops < settings.softPauseHops, 'a dip comes before the pause');
  assert(settings.restBelowFloorDb <= settings.startAboveFloorDb, 'what may begin speech is shown to the model');
  return { settings, floor: newFloor(settings.floor), callerDb: undefined, now: quietAt() };
}

/** Whether the model must hear the next hop. If not, its probability counts as 0. */
export function needsModel(state: GateState, levelDb: number): boolean {
  const { now, settings } = state;
  if (now.phase === 'open' || now.silentHops < settings.restAfterHops) return true;
  return levelDb - floorDb(state.floor) >= settings.restBelowFloorDb;
}

/** Whether this hop is the last that a start needs, if it is no echo. */
export function isAboutToStart(state: GateState, hop: GateHop): boolean {
  const { now } = state;
  if (now.phase === 'open') return false;
  const aboveFloorDb = hop.levelDb - floorDb(state.floor);
  return (
    mayBegin(state, hop, aboveFloorDb) && completes(state, hop, now.run.weight + weightOf(hop, aboveFloorDb, state.settings))
  );
}

/** First sample of the open segment; undefined while there is none. */
export function openSince(state: GateState): number | undefined {
  return state.now.phase === 'open' ? state.now.startSample : undefined;
}

/** Takes the next hop of the session; the state is changed in place. */
export function step(state: GateState, hop: GateHop): GateEvent | undefined {
  const aboveFloorDb = hop.levelDb - floorDb(state.floor);
  trackFloor(state.floor, hop.levelDb, hop.probability < state.settings.offProbability);
  return state.now.phase === 'quiet'
    ? stepQuiet(state, state.now, hop, aboveFloorDb)
    : stepOpen(state, state.now, hop, aboveFloorDb);
}

/** Takes the next hop, instead of `step`, where the open segment has turned out to be all echo: it ends. */
export function endAsEcho(state: GateState, hop: GateHop): GateEvent {
  const { now } = state;
  assert(now.phase === 'open', 'a segment is open');
  trackFloor(state.floor, hop.levelDb, hop.probability < state.settings.offProbability);
  state.now = quietAt();
  return { ...endOf(state, now, hop.endSample), isEcho: true };
}

function endOf(state: GateState, { startSample, lastSpeechSample, speechHops, level }: Open, atSample: number): SpeechEnd {
  const strength = { speechMs: speechHops * hopMs, levelOverCallerDb: overCallerDb(state, level) };
  return { type: 'speech_end', atSample, startSample, lastSpeechSample, ...strength };
}

function stepQuiet(state: GateState, now: Quiet, hop: GateHop, aboveFloorDb: number): GateEvent | undefined {
  const { settings } = state;
  const { run } = now;
  if (mayBegin(state, hop, aboveFloorDb)) {
    now.silentHops = 0;
    extend(run, hop, aboveFloorDb, settings);
    if (!completes(state, hop, run.weight)) return undefined;
    const { startSample, hops } = run;
    const lastSpeechSample = hop.endSample;
    const level = { loudestDb: hop.levelDb, sumDb: hop.levelDb, hops: 1 };
    const wasAgentAudible = hop.agentAudible;
    state.now = {
      ...{ phase: 'open', startSample, run, speechHops: hops, level, wasAgentAudible },
      ...{ lastSpeechSample, silentHops: 0, lowHops: 0, uncountedHops: 0, hasDipped: false },
    };
    return { type: 'speech_start', atSample: hop.endSample, startSample, ...evidence(state, state.now, hop.endSample) };
  }
  empty(run);
  now.silentHops = hop.probability < settings.offProbability ? now.silentHops + 1 : 0;
  if (now.silentHops < settings.staleHops) return undefined;
  now.silentHops = 0;
  return { type: 'model_stale', atSample: hop.endSample };
}

/**
 * The model alone keeps the segment open; energy decides which hops count. So a pause is not reported early in soft speech, while t0
 * is where the voice stopped and not where the model stopped hearing its echo in the room.
 */
function stepOpen(state: GateState, now: Open, hop: GateHop, aboveFloorDb: number): GateEvent | undefined {
  const { settings } = state;
  const isEcho = hop.leftDb !== undefined && hop.leftDb - floorDb(state.floor) < settings.speechAboveFloorDb;
  const isVoice = hop.probability >= settings.offProbability;
  const isHeard = isVoice && !isEcho;
  now.silentHops = isVoice ? 0 : now.silentHops + 1;
  now.lowHops = isHeard ? 0 : now.lowHops + 1;
  if (isHeard && aboveFloorDb >= settings.speechAboveFloorDb) {
    if (now.uncountedHops > settings.continuousGapHops) empty(now.run);
    extend(now.run, hop, aboveFloorDb, settings);
    now.uncountedHops = 0;
    now.hasDipped = false;
    now.speechHops += 1;
    takeLevel(now.level, hop.levelDb);
    now.wasAgentAudible ||= hop.agentAudible;
    now.lastSpeechSample = hop.endSample;
    const strength = evidence(state, now, hop.endSample);
    return { type: 'speech_hop', atSample: hop.endSample, startSample: now.startSample, ...strength };
  }
  now.uncountedHops += 1;
  if (isOver(now, settings)) {
    const end = endOf(state, now, hop.endSample);
    learnCaller(state, now);
    state.now = quietAt();
    return end;
  }
  // Under an echo the caller may be speaking on.
  const isSure = now.silentHops === settings.dipHops;
  if (!isSure && (now.hasDipped || now.uncountedHops < settings.faintDipHops)) return undefined;
  now.hasDipped = true;
  const { lastSpeechSample, speechHops } = now;
  return { type: 'speech_dip', atSample: hop.endSample, lastSpeechSample, speechMs: speechHops * hopMs, isSure };
}

/** Half a pause must be silence to the model too: under an echo the caller may be speaking on. Longer than twice a pause no echo is waited for. */
function isOver({ lowHops, silentHops, uncountedHops }: Open, { softPauseHops, faintHopsMax }: GateSettings): boolean {
  const isPause = lowHops >= softPauseHops && (2 * silentHops >= softPauseHops || lowHops >= 2 * softPauseHops);
  return isPause || uncountedHops >= faintHopsMax;
}

/** What the hop is without the echo is likely and loud enough to be one of those that begin speech. */
function mayBegin(state: GateState, hop: GateHop, aboveFloorDb: number): boolean {
  const { settings } = state;
  const echoDb = hop.levelDb - (hop.leftDb ?? hop.levelDb);
  return (
    hop.probability >= settings.onProbability &&
    aboveFloorDb - echoDb >= settings.startAboveFloorDb &&
    hop.levelDb - echoDb >= leastCallerDb(state, hop.agentAudible)
  );
}

/** Whether a run of this weight, of which `hop` is the last, is speech. */
function completes({ settings }: GateState, hop: GateHop, weight: number): boolean {
  const isLikely = !hop.agentAudible || hop.probability >= settings.onProbabilityWhileAgentSpeaks;
  const startHops = hop.agentAudible
    ? Math.max(settings.startHopsWhileAgentSpeaksMin, hop.startHopsWhileAgentSpeaks)
    : settings.startHops;
  return isLikely && weight >= startHops;
}

/** The quietest hop that may begin speech of the caller's. */
function leastCallerDb({ settings, callerDb }: GateState, agentAudible: boolean): number {
  if (callerDb === undefined) return Number.NEGATIVE_INFINITY;
  return callerDb - (agentAudible ? settings.belowCallerWhileAgentSpeaksDb : settings.belowCallerDb);
}

const activeRangeDb = 15;

function takeLevel(level: ActiveLevel, levelDb: number): void {
  level.loudestDb = Math.max(level.loudestDb, levelDb);
  const bottomDb = level.loudestDb - activeRangeDb;
  if (levelDb < bottomDb) return;
  // What came before the voice was a breath, or the first edge of it.
  if (meanDb(level) < bottomDb) {
    level.sumDb = 0;
    level.hops = 0;
  }
  level.sumDb += levelDb;
  level.hops += 1;
}

const meanDb = ({ sumDb, hops }: ActiveLevel): number => sumDb / hops;

/** Share of a new segment in the caller's level: one segment may be of somebody else, or into a hand. */
const newShare = 0.2;

function learnCaller(state: GateState, { speechHops, level, wasAgentAudible }: Open): void {
  if (wasAgentAudible || speechHops < state.settings.levelHopsMin) return;
  const levelDb = meanDb(level);
  if (state.callerDb === undefined) state.callerDb = levelDb;
  else state.callerDb += (levelDb - state.callerDb) * newShare;
}

function quietAt(): Quiet {
  return { phase: 'quiet', run: { startSample: 0, hops: 0, weight: 0, probabilitySum: 0, aboveFloorSumDb: 0 }, silentHops: 0 };
}

function empty(run: Run): void {
  run.hops = 0;
  run.weight = 0;
  run.probabilitySum = 0;
  run.aboveFloorSumDb = 0;
}

function extend(run: Run, hop: GateHop, aboveFloorDb: number, settings: GateSettings): void {
  if (run.hops === 0) run.startSample = hop.endSample - hopSamples;
  run.hops += 1;
  run.weight += weightOf(hop, aboveFloorDb, settings);
  run.probabilitySum += hop.probability;
  run.aboveFloorSumDb += aboveFloorDb;
}

function weightOf(hop: GateHop, aboveFloorDb: number, settings: GateSettings): number {
  return hop.probability >= settings.sureProbability && aboveFloorDb >= settings.sureAboveFloorDb ? 2 : 1;
}

function overCallerDb({ callerDb }: GateState, level: ActiveLevel): number {
  return callerDb === undefined ? 0 : meanDb(level) - callerDb;
}

function evidence(state: GateState, { run, speechHops, level }: Open, atSample: number): SpeechEvidence {
  return {
    speechMs: speechHops * hopMs,
    continuousMs: ((atSample - run.startSample) * 1000) / inputRateHz,
    meanProbability: run.probabilitySum / run.hops,
    levelOverFloorDb: run.aboveFloorSumDb / run.hops,
    levelOverCallerDb: overCallerDb(state, level),
  };
}
