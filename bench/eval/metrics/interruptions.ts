/** How the agent yields when it is interrupted (metrics stop, det, cut, tail, tot, stale, ctx). Pure. */

import type { ContextFigures, InterruptionFigures } from '../result.js';
import type { WhiteBoxEvent } from '../run-record.js';
import { samplesPerMs } from './audible.js';
import type { CallerTurn, Scene } from './scene.js';
import type { Piece } from './source-match.js';
import { answerTo } from './turns.js';
import type { Utterance } from './utterances.js';
import { commonStart, wordsOf } from './words.js';

/** The agent must be silent this long after the interruption's first sample at the latest. */
const yieldMaxMs = 2000;
/** An utterance that begins this soon after the caller was meant by neither: both started together. */
const collisionMs = 500;
/** A stall of the source up to this is no stop. */
const stopSilenceMs = 300;
/** What comes back of a stopped utterance: up to this it is stale audio, more is the utterance going on. */
const staleMaxMs = 500;
/** A device that holds more than this has been sent audio ahead: it stops only when it is told to. */
const sentAheadMs = 400;
const contextWordsMax = 1;

/** Undefined when the agent had just finished by itself: then there was nothing to interrupt. */
export function interruptionFigures(scene: Scene, turn: CallerTurn): InterruptionFigures | undefined {
  const begin = turn.from;
  const answer = answerTo(scene, turn);
  const gapMs = answer === undefined ? undefined : (answer.utterance.from - turn.to!) / samplesPerMs;
  const missed: InterruptionFigures = {
    turn: turn.name,
    startMs: begin === undefined ? undefined : begin / samplesPerMs,
    endMs: turn.to === undefined ? undefined : turn.to / samplesPerMs,
    eventId: undefined,
    stopMs: undefined,
    isYielded: false,
    detectMs: undefined,
    cutMs: undefined,
    tailMs: undefined,
    talkOverMs: 0,
    staleCount: 0,
    gapMs,
    isAnswerDue: turn.isAnswerDue,
    context: undefined,
  };
  if (begin === undefined) return missed;
  const utterance = utteranceAt(scene, begin);
  if (utterance === undefined) {
    const isOver = scene.lane.utterances.some(
      ({ to, isComplete }) => isComplete && to <= begin && to > begin - collisionMs * samplesPerMs,
    );
    return isOver ? undefined : missed;
  }
  const stop = stopOf(scene, utterance, begin);
  const stopMs = (stop.at - begin) / samplesPerMs;
  const isYielded = !stop.goesOn && stopMs <= yieldMaxMs;
  const white = isYielded ? decisionOf(scene, utterance, begin, stop.at) : undefined;
  return {
    ...missed,
    eventId: utterance.eventId,
    stopMs: isYielded ? Math.max(0, stopMs) : undefined,
    isYielded,
    detectMs: white === undefined ? undefined : white.atMs - begin / samplesPerMs,
    cutMs: white === undefined ? undefined : cutMsOf(scene, utterance, white, stop.at),
    tailMs: white === undefined ? undefined : Math.max(0, stop.at / samplesPerMs - white.atMs),
    talkOverMs: scene.lane.audible.msWith(scene.caller, begin, turn.to ?? scene.length),
    staleCount: isYielded ? stop.staleCount : 0,
    context: contextOf(scene, utterance, stop, turn),
  };
}

/** The one that sounds, or that had fallen silent unfinished so shortly before that it had only stalled. */
function utteranceAt(scene: Scene, begin: number): Utterance | undefined {
  const { utterances } = scene.lane;
  return (
    utterances.findLast(({ from, toMax }) => from < begin + collisionMs * samplesPerMs && toMax > begin) ??
    utterances.findLast(({ to, isComplete }) => !isComplete && to <= begin && to > begin - stopSilenceMs * samplesPerMs)
  );
}

/** `at`: after the last sample heard before the stop. `source`: how far into the reply that is. */
type Stop = { readonly at: number; readonly source: number; readonly goesOn: boolean; readonly staleCount: number };

function stopOf(scene: Scene, { pieces, eventId }: Utterance, begin: number): Stop {
  const { audible, utterances } = scene.lane;
  const latest = begin + collisionMs * samplesPerMs;
  let index = Math.max(
    0,
    pieces.findLastIndex(({ heardFrom }) => heardFrom <= latest),
  );
  // Of several pieces that began by then the first that still sounds after the caller's first sample counts.
  while (index > 0 && endOf(pieces[index - 1]!) > begin) index -= 1;
  const silence = stopSilenceMs * samplesPerMs;
  while (index + 1 < pieces.length && pieces[index + 1]!.heardFrom - endOf(pieces[index]!) <= silence) index += 1;
  const piece = pieces[index]!;
  const at = (audible.lastIn(piece.heardFrom, endOf(piece)) ?? piece.heardFrom) + 1;
  const later = pieces.slice(index + 1);
  const other =
    utterances.find((candidate) => candidate.eventId !== eventId && candidate.from > at)?.from ?? Number.POSITIVE_INFINITY;
  const before = later.filter(({ heardFrom }) => heardFrom < other);
  const beforeMs = before.reduce((sum, { count }) => sum + count, 0) / samplesPerMs;
  const goesOn = beforeMs > staleMaxMs;
  return { at, source: piece.sourceFrom + (at - piece.heardFrom), goesOn, staleCount: goesOn ? 0 : later.length };
}

function endOf({ heardFrom, count }: Piece): number {
  return heardFrom + count;
}

type Decision = { readonly atMs: number; readonly cut: WhiteBoxEvent | undefined };

/** The engine's decision that silenced the utterance: the hold that ended in its cut, or the cut itself. */
function decisionOf(scene: Scene, { eventId }: Utterance, begin: number, stop: number): Decision | undefined {
  const { whiteBox } = scene.record;
  const beginMs = begin / samplesPerMs;
  const cut = whiteBox.find(
    ({ kind, at_ms: atMs, event_id: id }) =>
      kind === 'cut' && atMs >= beginMs && id !== undefined && (scene.firstIds.get(id) ?? id) === eventId,
  );
  const until = cut === undefined ? Number.POSITIVE_INFINITY : whiteBox.indexOf(cut);
  const hold = whiteBox.findLast(({ kind, at_ms: atMs }, index) => kind === 'hold' && atMs >= beginMs && index < until);
  const isUndone =
    hold !== undefined &&
    whiteBox.some(
      ({ kind }, index) => (kind === 'resume' || kind === 'release') && index > whiteBox.indexOf(hold) && index < until,
    );
  const decision = hold !== undefined && !isUndone ? hold : cut;
  // An utterance that had ended by then ended by itself.
  if (decision === undefined || decision.at_ms > stop / samplesPerMs + stopSilenceMs) return undefined;
  return { atMs: decision.at_ms, cut };
}

/** From the decision to the last frame of the utterance, or to what tells a device that was sent audio ahead to drop it. */
function cutMsOf(scene: Scene, { eventId, pieces }: Utterance, { atMs }: Decision, stop: number): number {
  const { audio, messages } = scene.record;
  const own = audio.filter(({ eventId: id }) => (scene.firstIds.get(id) ?? id) === eventId);
  const lastMs = Math.max(...own.map((arrival) => arrival.atMs));
  const sentMs =
    own.filter((arrival) => arrival.atMs <= atMs).reduce((sum, { sampleCount }) => sum + sampleCount, 0) / samplesPerMs;
  const playedMs =
    pieces.reduce((sum, piece) => sum + Math.max(0, Math.min(endOf(piece), atMs * samplesPerMs) - piece.heardFrom), 0) /
    samplesPerMs;
  const clear = messages.find(
    ({ type, atMs: at }) => type === 'interruption' && at >= atMs && at <= stop / samplesPerMs + stopSilenceMs,
  );
  const toldMs = sentMs - playedMs > sentAheadMs && clear !== undefined ? clear.atMs : Number.NEGATIVE_INFINITY;
  return Math.max(0, lastMs - atMs, toldMs - atMs);
}

/** What the next request says that was heard of the utterance, against what was. */
function contextOf(scene: Scene, utterance: Utterance, stop: Stop, turn: CallerTurn): ContextFigures | undefined {
  const { record } = scene;
  const reply = record.replies.find(({ eventId }) => eventId === utterance.eventId);
  if (reply === undefined) return undefined;
  const words = wordsOf(utterance.text);
  const source = stop.goesOn ? Math.max(...utterance.pieces.map(({ sourceFrom, count }) => sourceFrom + count)) : stop.source;
  const heardWords = reply.words.filter(({ to }) => to <= source).flatMap(({ text }) => wordsOf(text)).length;
  const begin = turn.from!;
  const answer = scene.said.find(({ utterance: { from, eventId } }) => from > begin && eventId !== utterance.eventId);
  const fromMs = begin / samplesPerMs;
  const untilMs = answer === undefined ? Number.POSITIVE_INFINITY : answer.utterance.from / samplesPerMs;
  const asked = record.requests.filter(({ atMs }) => atMs > fromMs && atMs <= untilMs);
  const request = asked.findLast((candidate) => candidate.answer !== '') ?? asked.at(-1);
  if (request === undefined) return undefined;
  // Other replies may have been said since; the utterance's own message begins as it does.
  const kept = request.messages
    .filter(({ role }) => role === 'assistant')
    .map(({ content }) => wordsOf(content))
    .map((content) => ({ content, common: commonStart(content, words) }))
    .filter(({ content, common }) => common > 0 && common === Math.min(content.length, words.length));
  const requestWords = kept.at(-1)?.common ?? 0;
  return { requestWords, heardWords, isTrue: Math.abs(requestWords - heardWords) <= contextWordsMax };
}
