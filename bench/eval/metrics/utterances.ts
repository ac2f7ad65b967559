/** What the caller heard, reply by reply: pieces of the source, onset and end, breaks, edges. Pure. */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import type { RunRecord } from '../run-record.js';
import { Audible, type Span, samplesPerMs } from './audible.js';
import { edgeMsOf } from './edges.js';
import { matchSources, type Piece, type SourceMatch } from './source-match.js';
import { type Template, templateOf } from './template.js';
import { wordsOf } from './words.js';

/** A place where the source of an utterance stood still, jumped or came back. */
export type Break = {
  /** Lane samples: the end of what was heard before, the beginning of what was heard after. */
  readonly from: number;
  /** The latest instant at which it can have begun: the reply's own silence may have been played before. */
  readonly fromMax: number;
  readonly to: number;
  readonly stallMs: number;
  /** From where the reply was left to where it was taken up, in samples; silence of its own included. */
  readonly sourceJump: number;
  /** Source ms that were never heard, or heard twice. */
  readonly skipMs: number;
  readonly repeatMs: number;
};

export type Utterance = {
  readonly eventId: number;
  readonly text: string;
  /** In order. */
  readonly pieces: readonly Piece[];
  readonly breaks: readonly Break[];
  /** First audible sample, and the sample after the last one. */
  readonly from: number;
  readonly to: number;
  /** The latest instant at which it can have been stopped: `to`, and the reply's own silence after it. */
  readonly toMax: number;
  /** The last audible sample of the reply was heard. */
  readonly isComplete: boolean;
};

export type Edge = { readonly eventId: number; readonly kind: 'stop' | 'resume'; readonly at: number; readonly edgeMs: number };

export type HeardLane = {
  readonly audible: Audible;
  /** In order of their onsets. */
  readonly utterances: readonly Utterance[];
  readonly edges: readonly Edge[];
  readonly matchedRatio: number;
  /** Sources could not be told: utterances are stretches of energy. */
  readonly isFallback: boolean;
};

/** Below this share of explained windows the energy is used instead. */
const matchedRatioMin = 0.9;
/** Below this the other kind of line is tried, too. */
const matchedRatioGood = 0.97;
/** Of the last audible sample of a reply that need not be heard for it to be complete. */
const completeSlack = samplesIn(ms(30), inputRateHz);
/** Silence that ends an utterance when sources cannot be told. */
const fallbackSilence = samplesIn(ms(700), inputRateHz);
/** A sample of the reply is silent below this: -60 dBFS. */
const silentLevel = 32768 * 10 ** (-60 / 20);
const endSamples = samplesIn(ms(20), inputRateHz);
/** A break shorter than this is no stop that could have edges. */
const joinSamples = samplesIn(ms(20), inputRateHz);

export function heardLaneOf(record: RunRecord): HeardLane {
  const { heard } = record.lanes;
  const audible = new Audible(heard);
  const isPhone = record.scenario.channel.kind === 'phone';
  const match = bestMatch(record, audible, isPhone);
  if (match.matchedRatio < matchedRatioMin) {
    return {
      audible,
      utterances: utterancesByEnergy(record, audible),
      edges: [],
      matchedRatio: match.matchedRatio,
      isFallback: true,
    };
  }
  const byId = new Map<number, Piece[]>();
  for (const piece of match.pieces) {
    const from = audible.firstIn(piece.heardFrom, piece.heardFrom + piece.count);
    if (from === undefined) continue;
    const pieces = byId.get(piece.template.eventId) ?? [];
    byId.set(piece.template.eventId, pieces);
    pieces.push(piece);
  }
  const texts = new Map(record.replies.map(({ eventId, words }) => [eventId, words.map(({ text }) => text).join(' ')]));
  const utterances = [...byId].map(([eventId, pieces]) => utteranceOf(eventId, texts.get(eventId) ?? '', pieces, audible));
  utterances.sort((left, right) => left.from - right.from);
  const edges = utterances.flatMap((utterance) => edgesOf(heard, utterance)).sort((left, right) => left.at - right.at);
  return { audible, utterances, edges, matchedRatio: match.matchedRatio, isFallback: false };
}

/** Id under which a reply went on after a cut that was taken back → the one that it had at first. */
export function firstIdsOf({ whiteBox }: RunRecord): Map<number, number> {
  const firstIds = new Map<number, number>();
  for (const { kind, event_id: id, new_event_id: newId } of whiteBox)
    if (kind === 'undo' && id !== undefined && newId !== undefined) firstIds.set(newId, firstIds.get(id) ?? id);
  return firstIds;
}

function bestMatch(record: RunRecord, audible: Audible, isPhone: boolean): SourceMatch {
  const firstIds = firstIdsOf(record);
  const known = new Set(record.replies.map(({ eventId }) => eventId));
  const replies = record.replies.filter(({ eventId }) => !known.has(firstIds.get(eventId) ?? Number.NaN));
  const first = matchSources(record.lanes.heard, audible, replies, record.audio, isPhone);
  if (first.matchedRatio >= matchedRatioGood) return first;
  const second = matchSources(record.lanes.heard, audible, replies, record.audio, !isPhone);
  return second.matchedRatio > first.matchedRatio ? second : first;
}

function utteranceOf(eventId: number, text: string, pieces: readonly Piece[], audible: Audible): Utterance {
  const [first, last] = [pieces[0]!, pieces.at(-1)!];
  const from = audible.firstIn(first.heardFrom, first.heardFrom + first.count)!;
  const to = audible.lastIn(last.heardFrom, last.heardFrom + last.count)! + 1;
  const heardTo = Math.max(...pieces.map(({ sourceFrom, count }) => sourceFrom + count));
  const breaks = pieces.slice(1).map((piece, index) => breakBetween(pieces[index]!, piece));
  const isComplete = heardTo >= first.template.lastAudible - completeSlack;
  const toMax = isComplete ? to : to + silenceAfter(last.template, last.sourceFrom + to - last.heardFrom);
  return { eventId, text, pieces, breaks, from, to, toMax, isComplete };
}

/** How long the reply is silent from sample `at` on. */
function silenceAfter({ samples }: Template, at: number): number {
  let end = at;
  while (end < samples.length && Math.abs(samples[end]!) < silentLevel) end += 1;
  return end - at;
}

/**
 * The place where one piece ends in the reply and where the next begins are known up to the reply's own silence there, of which it does not matter how
 * much was heard: what is skipped or repeated counts from sound to sound.
 */
export function breakBetween(before: Piece, after: Piece): Break {
  const { samples } = before.template;
  const isSilent = (at: number): boolean => Math.abs(samples[at] ?? 0) < silentLevel;
  const left = before.sourceFrom + before.count;
  const right = after.sourceFrom;
  const from = before.heardFrom + before.count;
  const to = after.heardFrom;
  let [last, first] = [left, right];
  while (last > before.sourceFrom && isSilent(last - 1)) last -= 1;
  while (first < right + after.count && isSilent(first)) first += 1;
  let [low, high] = [last, first];
  while (low < high && isSilent(low)) low += 1;
  while (high > low && isSilent(high - 1)) high -= 1;
  const skipped = Math.max(0, high - low);
  // Sound that was left out does not make the hole shorter that was heard in its place.
  const silentJump = Math.max(0, right - left) - skipped;
  const stall = Math.max(0, to - from - silentJump);
  return {
    from,
    fromMax: Math.min(to, from + silenceAfter(before.template, left)),
    to,
    stallMs: stall / samplesPerMs,
    sourceJump: right - left,
    skipMs: skipped / samplesPerMs,
    repeatMs: Math.max(0, last - first) / samplesPerMs,
  };
}

function edgesOf(heard: Int16Array, utterance: Utterance): Edge[] {
  const { eventId, pieces, breaks } = utterance;
  const edges: Edge[] = [];
  const add = (piece: Piece, kind: Edge['kind'], at: number): void => {
    const edgeMs = edgeMsOf(heard, piece, kind);
    // Where the call ends everything ends.
    if (edgeMs !== undefined && at < heard.length - endSamples) edges.push({ eventId, kind, at, edgeMs });
  };
  for (const [index, { from, to }] of breaks.entries()) {
    if (to - from < joinSamples) continue;
    add(pieces[index]!, 'stop', from);
    add(pieces[index + 1]!, 'resume', to);
  }
  const last = pieces.at(-1)!;
  if (!utterance.isComplete) add(last, 'stop', last.heardFrom + last.count);
  return edges;
}

/** Audible stretches with short silences in between, each of the reply whose audio arrived last before it. */
function utterancesByEnergy(record: RunRecord, audible: Audible): Utterance[] {
  const stretches: Span[] = [];
  const length = record.lanes.heard.length;
  for (let at = audible.firstIn(0, length); at !== undefined; ) {
    let end = audible.lastIn(at, Math.min(length, at + fallbackSilence)) ?? at;
    for (let next = audible.lastIn(end + 1, Math.min(length, end + fallbackSilence)); next !== undefined; ) {
      end = next;
      next = audible.lastIn(end + 1, Math.min(length, end + fallbackSilence));
    }
    stretches.push({ from: at, to: end + 1 });
    at = audible.firstIn(end + 1, length);
  }
  return stretches.map(({ from, to }, index) => {
    const arrival = record.audio.findLast(({ atMs }) => atMs * samplesPerMs <= from);
    const reply = record.replies.find(({ eventId }) => eventId === arrival?.eventId);
    const eventId = arrival?.eventId ?? -1 - index;
    const template = templateOf(reply ?? { eventId, samples: record.lanes.heard.slice(from, to), words: [] }, false);
    const text = reply === undefined ? '' : wordsOf(reply.words.map((word) => word.text).join(' ')).join(' ');
    return {
      eventId,
      text,
      pieces: [{ template, heardFrom: from, sourceFrom: 0, count: to - from }],
      breaks: [],
      from,
      to,
      toMax: to,
      isComplete: true,
    };
  });
}

/** Lane samples during which the utterance sounded, or ran on through a silence of its own. */
export function playedIn(utterance: Utterance, from: number, to: number): number {
  let count = 0;
  for (const piece of utterance.pieces)
    count += Math.max(0, Math.min(to, piece.heardFrom + piece.count) - Math.max(from, piece.heardFrom));
  return count;
}
