/** A run made ready for the metrics: the caller's turns with their truth, what was heard, and why the agent said each thing. Pure. */
import type { ModelRequest, PlacedEvent, PlacedPart, RunRecord, WhiteBoxEvent } from '../run-record.js';
import type { EventClass, Role, Step } from '../scenario.js';
import { Audible, samplesPerMs } from './audible.js';
import { firstIdsOf, type HeardLane, heardLaneOf, type Utterance } from './utterances.js';
import { commonStart, wordsOf } from './words.js';

/** An answer may begin this long before the caller has finished. */
export const earlyMs = 250;
/** An answer that begins later than this after the turn's end is none. */
export const missedMs = 4000;

/** Parts meant as one contribution. Samples of the call; `from` and `to` are undefined when not all of it was said. */
export type CallerTurn = {
  readonly name: string;
  readonly role: Role;
  readonly steps: readonly Step[];
  readonly parts: readonly PlacedPart[];
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** Where the caller's next turn begins, or the call ends. */
  readonly until: number;
  readonly isAnswerDue: boolean;
};

export type Cause = 'answer' | 'greeting' | 'idle_prompt' | 'unprompted';
export type Said = { readonly utterance: Utterance; readonly cause: Cause; readonly turn: CallerTurn | undefined };

export type Scene = {
  readonly record: RunRecord;
  readonly lane: HeardLane;
  readonly caller: Audible;
  /** In order of the script. */
  readonly turns: readonly CallerTurn[];
  /** In order of onsets. */
  readonly said: readonly Said[];
  /** Later id of a reply → its first. */
  readonly firstIds: ReadonlyMap<number, number>;
  /** Parts that are no turns, and events, in order. */
  readonly asides: readonly (PlacedPart | PlacedEvent)[];
  readonly length: number;
  /** The script gives the agent a reason to speak. */
  readonly isSpeechDue: boolean;
};

/** What begins sooner after the caller cannot be meant for what the caller says. */
const reactMs = 200;
/** Silence of both sides that makes unprompted speech an idle prompt. */
const idleSilenceMs = 3000;

export function sceneOf(record: RunRecord): Scene {
  const lane = heardLaneOf(record);
  const turns = turnsOf(record);
  const caller = new Audible(record.lanes.caller);
  const { scenario, placed } = record;
  const asides = placed.filter((item) => (item.kind === 'event' ? hasSound(item.class) : !isTurnRole(item.role)));
  const isSpeechDue =
    scenario.agent.greeting !== null || scenario.expect.answers > 0 || scenario.expect.idle_prompt_ms !== undefined;
  return {
    record,
    lane,
    caller,
    turns,
    said: saidOf(record, lane, turns, asides),
    firstIds: firstIdsOf(record),
    asides,
    length: record.lanes.heard.length,
    isSpeechDue,
  };
}

function hasSound(kind: EventClass): boolean {
  return kind !== 'silence' && kind !== 'hang_up';
}

export function isTurnRole(role: Role): boolean {
  return role === 'turn' || role === 'interrupt';
}

function turnsOf(record: RunRecord): CallerTurn[] {
  const { scenario, placed } = record;
  const parts = new Map(placed.flatMap((item) => (item.kind === 'part' ? [[item.step, item] as const] : [])));
  const groups = new Map<string, number[]>();
  for (const [index, step] of scenario.steps.entries()) {
    if (!isTurnRole(step.role)) continue;
    const name = step.turn ?? `step ${index}`;
    groups.set(name, [...(groups.get(name) ?? []), index]);
  }
  const hangUp = placed.find((item) => item.kind === 'event' && item.class === 'hang_up')?.from ?? Number.POSITIVE_INFINITY;
  const end = Math.min(record.lanes.heard.length, hangUp);
  const turns = [...groups].map(([name, indexes]) => {
    const said = indexes.flatMap((index) => parts.get(index) ?? []);
    const isWhole = said.length === indexes.length;
    return {
      name,
      role: scenario.steps[indexes[0]!]!.role,
      steps: indexes.map((index) => scenario.steps[index]!),
      parts: said,
      from: said[0]?.from,
      to: isWhole ? said.at(-1)!.to : undefined,
    };
  });
  const whole = turns.map((turn) => {
    const next = turns.filter(({ from }) => from !== undefined && turn.from !== undefined && from > turn.from);
    return { ...turn, until: Math.min(end, ...next.map(({ from }) => from!)) };
  });
  const due = dueTurns(whole, scenario.expect.answers);
  return whole.map((turn) => ({ ...turn, isAnswerDue: due.has(turn.name) }));
}

/** When fewer answers are expected than there are turns, those that leave the least time for one expect none. */
function dueTurns(turns: readonly Omit<CallerTurn, 'isAnswerDue'>[], answers: number): Set<string> {
  const room = (turn: Omit<CallerTurn, 'isAnswerDue'>): number => turn.until - (turn.to ?? Number.NEGATIVE_INFINITY);
  const byRoom = [...turns].sort((left, right) => room(right) - room(left));
  return new Set(byRoom.slice(0, answers).map(({ name }) => name));
}

function saidOf(
  record: RunRecord,
  { utterances }: HeardLane,
  turns: readonly CallerTurn[],
  asides: readonly (PlacedPart | PlacedEvent)[],
): Said[] {
  const greeting = record.scenario.agent.greeting === null ? [] : wordsOf(record.scenario.agent.greeting);
  const hasWhiteBox = record.whiteBox.length > 0;
  const said: Said[] = [];
  for (const utterance of utterances) {
    const { from } = utterance;
    const turn = turns.findLast((candidate) => candidate.from !== undefined && candidate.from + reactMs * samplesPerMs <= from);
    const words = wordsOf(utterance.text);
    const isGreeting =
      greeting.length > 0 &&
      !said.some(({ cause }) => cause === 'greeting') &&
      (commonStart(words, greeting) >= Math.min(3, greeting.length) || turn === undefined);
    if (isGreeting) {
      said.push({ utterance, cause: 'greeting', turn: undefined });
      continue;
    }
    said.push({ utterance, ...causeOf(utterance, turn) });
  }
  return said;

  function causeOf(utterance: Utterance, turn: CallerTurn | undefined): Pick<Said, 'cause' | 'turn'> {
    const { from } = utterance;
    const unprompted = { cause: silenceBefore(from) >= idleSilenceMs ? 'idle_prompt' : 'unprompted', turn: undefined } as const;
    if (turn === undefined) return unprompted;
    const properFrom = (turn.to ?? Number.POSITIVE_INFINITY) - earlyMs * samplesPerMs;
    const earlier = said.findLast((one) => one.turn === turn && one.utterance.from >= properFrom);
    const since = earlier === undefined ? turn.from! : earlier.utterance.from;
    const isCommitted =
      !hasWhiteBox || commitsOf(record).some(({ at_ms: atMs }) => atMs * samplesPerMs > since && atMs * samplesPerMs <= from);
    if (earlier === undefined) {
      const isLate = turn.to !== undefined && from > turn.to + missedMs * samplesPerMs;
      return isLate && (!isCommitted || !hasWhiteBox) ? unprompted : { cause: 'answer', turn };
    }
    // The turn has its answer: this is a second one, or was caused by something else, or by nothing.
    const isByAside = asides.some((aside) => aside.from > turn.from! && aside.from < from && aside.to > since);
    if (isByAside)
      return { cause: silenceBefore(from) >= idleSilenceMs && !isCommitted ? 'idle_prompt' : 'unprompted', turn: undefined };
    if (!hasWhiteBox && silenceBefore(from) >= idleSilenceMs) return unprompted;
    return isCommitted || isOneMoreReply(utterance, turn) ? { cause: 'answer', turn } : unprompted;
  }

  /** The turn was committed more than once before anything was heard, and the model was asked for this one as well. */
  function isOneMoreReply(utterance: Utterance, turn: CallerTurn): boolean {
    const asked = repliesWith(record, utterance).filter(({ atMs }) => atMs * samplesPerMs > turn.from!);
    const heard = said.filter((one) => one.turn === turn && isReplyWith(one.utterance.text, utterance));
    return asked.length > heard.length;
  }

  /** How long both sides had been silent at `sample`, in ms. */
  function silenceBefore(sample: number): number {
    const ends = [0, ...utterances.filter(({ from }) => from < sample).map(({ to }) => Math.min(to, sample))];
    for (const item of record.placed) if (item.kind === 'part' && item.from < sample) ends.push(Math.min(item.to, sample));
    return (sample - Math.max(...ends)) / samplesPerMs;
  }
}

/** In order. */
export function commitsOf(record: RunRecord): WhiteBoxEvent[] {
  return record.whiteBox.filter(({ kind }) => kind === 'commit').sort((left, right) => left.at_ms - right.at_ms);
}

/** The request whose answer `utterance` was: the last one before its onset that was answered with its words. */
export function requestOf(record: RunRecord, utterance: Utterance): ModelRequest | undefined {
  return repliesWith(record, utterance).at(-1);
}

/** All requests before the onset that were answered so. */
function repliesWith(record: RunRecord, utterance: Utterance): ModelRequest[] {
  return record.requests.filter(({ atMs, answer }) => atMs * samplesPerMs <= utterance.from && isReplyWith(answer, utterance));
}

function isReplyWith(text: string, utterance: Utterance): boolean {
  const words = wordsOf(utterance.text);
  const other = wordsOf(text);
  const common = commonStart(words, other);
  return common > 0 && common >= Math.min(words.length, other.length, 6);
}
