/**
 * Which sample of which reply was heard when: the heard lane is cut into pieces, each of which runs along one reply at one lag. Where something
 * audible is not explained yet its source is looked for (`source-search.ts`); what is found is followed to both sides until lane and reply part
 * (`source-bounds.ts`). Pure.
 */
import type { AudioArrival, SynthesisedReply } from '../run-record.js';
import { type Audible, samplesPerMs, windowSamples } from './audible.js';
import { quietEnergy, Signal } from './signal.js';
import { type Along, beginAlong, endAlong } from './source-bounds.js';
import { findSource, type Known } from './source-search.js';
import { type Template, templateOf } from './template.js';

/** Lane samples [heardFrom, heardFrom + count) are source samples from `sourceFrom` on. */
export type Piece = {
  readonly template: Template;
  readonly heardFrom: number;
  readonly sourceFrom: number;
  readonly count: number;
};

/** `matchedRatio`: of the audible windows, those that pieces explain. */
export type SourceMatch = { readonly pieces: readonly Piece[]; readonly matchedRatio: number };

/** After this many looks everywhere in vain only every tenth window is looked for everywhere. */
const vainLooksMax = 10;
/** A piece that agrees this well with where the next one comes from belongs to it. */
const refitCorrelation = 0.97;

/** `isPhone`: the line back to the caller is one of 8 kHz µ-law. */
export function matchSources(
  heard: Int16Array,
  audible: Audible,
  replies: readonly SynthesisedReply[],
  audio: readonly AudioArrival[],
  isPhone: boolean,
): SourceMatch {
  const templates = replies.filter(({ samples }) => samples.length > 0).map((reply) => templateOf(reply, isPhone));
  const signal = new Signal(heard);
  const found = piecesOf(signal, audible, templates, arrivalsOf(audio), isPhone);
  const pieces = joined(refitted(found, signal, isPhone), signal);
  return { pieces, matchedRatio: matchedRatio(audible, pieces) };
}

/** First arrival of each id, in samples of the lane. */
function arrivalsOf(audio: readonly AudioArrival[]): Map<number, number> {
  const arrivals = new Map<number, number>();
  for (const { atMs, eventId } of audio) if (!arrivals.has(eventId)) arrivals.set(eventId, atMs * samplesPerMs);
  return arrivals;
}

function piecesOf(
  signal: Signal,
  audible: Audible,
  templates: readonly Template[],
  arrivals: ReadonlyMap<number, number>,
  isPhone: boolean,
): Piece[] {
  const pieces: Piece[] = [];
  const leftAt = new Map<Template, number>();
  let [window, end, vain] = [0, 0, 0];
  while (window < audible.windowCount) {
    // From a sample that sounds on: before it the reply may have gone on unheard.
    const at = audible.firstIn(Math.max(window * windowSamples, end), (window + 1) * windowSamples);
    if (at === undefined) {
      window += 1;
      continue;
    }
    const known = templates.map(
      (template): Known => ({
        template,
        arrivedAt: arrivals.get(template.eventId) ?? Number.NEGATIVE_INFINITY,
        leftAt: leftAt.get(template),
      }),
    );
    const found = findSource(signal, at, known, vain < vainLooksMax || vain % 10 === 0);
    if (found === undefined) {
      vain += 1;
      window += 1;
      continue;
    }
    vain = 0;
    const piece = pieceAlong({ signal, template: found.template, shift: found.source - at, isPhone }, at, end);
    pieces.push(piece);
    end = endOf(piece);
    leftAt.set(piece.template, piece.sourceFrom + piece.count);
    window = Math.max(window, Math.floor(end / windowSamples));
  }
  return pieces;
}

function pieceAlong(along: Along, at: number, floor: number): Piece {
  const to = endAlong(along, at);
  const from = beginAlong(along, at, floor);
  return { template: along.template, heardFrom: from, sourceFrom: from + along.shift, count: Math.max(1, to - from) };
}

function endOf({ heardFrom, count }: Piece): number {
  return heardFrom + count;
}

function shiftOf({ heardFrom, sourceFrom }: Piece): number {
  return sourceFrom - heardFrom;
}

/** One word sounds like another: a piece that might as well go before the next one, without a jump, does. */
function refitted(found: readonly Piece[], signal: Signal, isPhone: boolean): Piece[] {
  const pieces = [...found];
  for (let index = pieces.length - 2; index >= 0; index--) {
    const [piece, next] = [pieces[index]!, pieces[index + 1]!];
    const { template } = next;
    const shift = shiftOf(next);
    if (piece.template === template && shiftOf(piece) === shift) continue;
    if (signal.correlation(piece.heardFrom, template, piece.heardFrom + shift, piece.count) < refitCorrelation) continue;
    const before = pieces[index - 1];
    const from = beginAlong({ signal, template, shift, isPhone }, piece.heardFrom, before === undefined ? 0 : endOf(before));
    pieces[index] = { template, heardFrom: from, sourceFrom: from + shift, count: endOf(piece) - from };
  }
  return pieces;
}

/** Pieces of one reply at one lag with nothing audible missing between them are one. */
function joined(pieces: readonly Piece[], signal: Signal): Piece[] {
  const result: Piece[] = [];
  for (const piece of pieces) {
    const last = result.at(-1);
    if (
      last !== undefined &&
      last.template === piece.template &&
      shiftOf(last) === shiftOf(piece) &&
      !isMissed(last, piece, signal)
    )
      result[result.length - 1] = { ...last, count: endOf(piece) - last.heardFrom };
    else result.push(piece);
  }
  return result;
}

/** The reply sounds between the two, and the lane does not. */
function isMissed(left: Piece, right: Piece, signal: Signal): boolean {
  const { squares } = right.template;
  const gap = Math.max(windowSamples, right.heardFrom - endOf(left));
  const missed = squares[right.sourceFrom]! - squares[left.sourceFrom + left.count]!;
  return missed > (quietEnergy / windowSamples) * gap && signal.energy(endOf(left), right.heardFrom) <= missed / 4;
}

function matchedRatio(audible: Audible, pieces: readonly Piece[]): number {
  let [all, explained] = [0, 0];
  let index = 0;
  for (let window = 0; window < audible.windowCount; window++) {
    if (!audible.isWindow(window)) continue;
    all += 1;
    const from = window * windowSamples;
    while (index < pieces.length && endOf(pieces[index]!) <= from) index += 1;
    const piece = pieces[index];
    if (piece !== undefined && piece.heardFrom < from + windowSamples) explained += 1;
  }
  return all === 0 ? 1 : explained / all;
}
