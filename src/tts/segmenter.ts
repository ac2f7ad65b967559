/**
 * Cuts the text of one reply into pieces to synthesise while the model still writes it: a short piece soon, then whole sentences. Time comes
 * in with the text, so the cuts are a function of what was written and when. Pure; one per reply, TTS thread.
 */
import { strict as assert } from 'node:assert';
import { endOfWord, endPatienceMs, endsInside, isClauseEnd, judgeEnd, skipSpaces } from './sentence-end.js';
import { isSpeakable, SpeakableText } from './speakable.js';

/** Lengths in UTF-16 units of speakable text. */
export const segmentLimits = {
  firstSentenceMin: 12, // "Sure, I can." says something and takes long enough to hide the next request
  firstClauseMin: 40,
  firstGapMin: 60, // only when the model pauses
  sentencesMin: 80, // shorter requests sound choppy and cost a round trip each
  max: 300,
} as const;

/** Without a token for this long: the model pauses, and what can be spoken is. */
export const pausePatienceMs = 250;

export type Segment = {
  /** To be synthesised: no markup, no emoji, spaces collapsed. Empty when this part of the original says nothing. */
  readonly text: string;
  /** The part of the reply's text it stands for, in UTF-16 units. Consecutive segments leave no gap. */
  readonly originalStart: number;
  readonly originalEnd: number;
  /** For each UTF-16 unit of `text`: its index in the original. Ascending; a space may point at the markup it replaced. */
  readonly offsets: Uint32Array;
};

/** A cut that is made when no token comes for `afterMs`. */
type PauseCut = { readonly afterMs: number; readonly at: number };

/** Collapses runs of spaces to one, a line break if there was one, and trims. */
function tidied(text: string, offsets: readonly number[]): { text: string; offsets: Uint32Array } {
  if (!isSpeakable(text)) return { text: '', offsets: new Uint32Array(0) };
  let tidy = '';
  const kept: number[] = [];
  for (let at = 0; at < text.length; ) {
    const next = skipSpaces(text, at);
    if (next === at) {
      tidy += text[at];
      kept.push(offsets[at]!);
      at += 1;
      continue;
    }
    const newline = text.slice(at, next).indexOf('\n');
    if (tidy !== '' && next < text.length) {
      tidy += newline < 0 ? ' ' : '\n';
      kept.push(offsets[at + Math.max(0, newline)]!);
    }
    at = next;
  }
  return { text: tidy, offsets: Uint32Array.from(kept) };
}

export class Segmenter {
  readonly #speakable = new SpeakableText();
  #isFirst = true;
  #isOver = false;
  #originalStart = 0;
  #originalLength = 0;
  #lastTokenAtMs = Number.NEGATIVE_INFINITY;
  /** In the pending text: where the first word begins that is not judged yet, and the last places passed where a cut could be. 0: none. */
  #word = 0;
  #sentenceEnd = 0;
  #clauseEnd = 0;
  #gap = 0;

  /** A piece of the model's text that arrived at `atMs` (monotonic). First makes the cuts that were due before it. */
  push(delta: string, atMs: number): Segment[] {
    assert(!this.#isOver, 'no text after the end');
    const segments = this.idle(atMs);
    if (delta === '') return segments;
    this.#lastTokenAtMs = atMs;
    // Unit by unit, so that the cuts do not depend on how the text was divided.
    for (let unit = 0; unit < delta.length; unit++) {
      this.#speakable.push(delta[unit]!);
      this.#originalLength += 1;
      this.#cutAll(segments);
    }
    return segments;
  }

  /** No token has come until `atMs`: makes the cuts that a pause makes. */
  idle(atMs: number): Segment[] {
    const segments: Segment[] = [];
    for (let cut = this.#pauseCut(); cut !== undefined; cut = this.#pauseCut()) {
      if (atMs < this.#lastTokenAtMs + cut.afterMs) break;
      segments.push(this.#cut(cut.at));
      this.#cutAll(segments);
    }
    return segments;
  }

  /** The instant at which `idle` will have something to do if no text comes; `undefined`: never. */
  nextDeadlineMs(): number | undefined {
    const cut = this.#pauseCut();
    return cut === undefined ? undefined : this.#lastTokenAtMs + cut.afterMs;
  }

  /** The reply is complete: everything left, as one segment or, after a very long sentence, several. */
  end(): Segment[] {
    const segments: Segment[] = [];
    if (this.#isOver) return segments;
    this.#isOver = true;
    this.#speakable.end();
    this.#cutAll(segments);
    while (this.#speakable.text.length > segmentLimits.max) segments.push(this.#cut(this.#forcedCut()));
    if (this.#originalStart < this.#originalLength) segments.push(this.#cut(this.#speakable.text.length));
    return segments;
  }

  /** No text comes for a while, and none is on its way: what there is is cut off as it stands. */
  pause(): Segment[] {
    const segments: Segment[] = [];
    if (this.#isOver) return segments;
    this.#cutAll(segments);
    while (this.#speakable.text.length > segmentLimits.max) segments.push(this.#cut(this.#forcedCut()));
    if (this.#speakable.text.length > 0) segments.push(this.#cut(this.#speakable.text.length));
    return segments;
  }

  #sentenceMin(): number {
    return this.#isFirst ? segmentLimits.firstSentenceMin : segmentLimits.sentencesMin;
  }

  #cutAll(segments: Segment[]): void {
    for (let at = this.#nextCut(); at !== undefined; at = this.#nextCut()) segments.push(this.#cut(at));
  }

  /** Judges complete words until a cut is due; `undefined`: more text is needed. */
  #nextCut(): number | undefined {
    const { text } = this.#speakable;
    const sentenceMin = this.#sentenceMin();
    for (;;) {
      const start = skipSpaces(text, Math.min(this.#word, text.length));
      const end = endOfWord(text, start);
      if (end > segmentLimits.max) return this.#forcedCut();
      if (end === text.length) return undefined;
      for (const inside of endsInside(text, start, end)) {
        if (inside >= sentenceMin) return inside;
        this.#sentenceEnd = inside;
      }
      const verdict = judgeEnd(text, start, end);
      if (verdict.kind === 'end' && end >= sentenceMin) return end;
      if (isClauseEnd(text, start, end)) {
        if (this.#isFirst && end >= segmentLimits.firstClauseMin) return end;
        this.#clauseEnd = end;
      }
      this.#gap = end;
      if (verdict.kind === 'open') return undefined;
      if (verdict.kind === 'end') this.#sentenceEnd = end;
      this.#word = end;
    }
  }

  /** The earliest cut that a pause would make, and of several the one that takes most text. */
  #pauseCut(): PauseCut | undefined {
    const { text } = this.#speakable;
    const cuts: PauseCut[] = [];
    const consider = (at: number, patienceMs: number): void => {
      // A finished sentence that is too short waits for company, but not longer than a pause.
      const afterMs = at >= this.#sentenceMin() ? patienceMs : Math.max(patienceMs, pausePatienceMs);
      if (at > 0 && Number.isFinite(afterMs)) cuts.push({ afterMs, at });
    };
    const start = skipSpaces(text, Math.min(this.#word, text.length));
    if (start < text.length) {
      const end = endOfWord(text, start);
      for (const inside of endsInside(text, start, end)) consider(inside, endPatienceMs);
      const verdict = judgeEnd(text, start, end);
      if (verdict.kind === 'open') consider(end, verdict.patienceMs);
    }
    if (this.#isFirst && this.#gap >= segmentLimits.firstGapMin) cuts.push({ afterMs: pausePatienceMs, at: this.#gap });
    consider(this.#sentenceEnd, pausePatienceMs);
    return cuts.reduce<PauseCut | undefined>(
      (best, cut) =>
        best === undefined || cut.afterMs < best.afterMs || (cut.afterMs === best.afterMs && cut.at > best.at) ? cut : best,
      undefined,
    );
  }

  /** Where to cut text that is longer than a segment may be: after a sentence, else a clause, else a word, else anywhere. */
  #forcedCut(): number {
    const { max, sentencesMin } = segmentLimits;
    if (this.#sentenceEnd > 0) return this.#sentenceEnd;
    if (this.#clauseEnd >= sentencesMin) return this.#clauseEnd;
    if (this.#gap >= sentencesMin) return this.#gap;
    const splitsPair = /[\ud800-\udbff]/.test(this.#speakable.text[max - 1]!);
    return splitsPair ? max - 1 : max;
  }

  #cut(at: number): Segment {
    const speakable = this.#speakable;
    const originalStart = this.#originalStart;
    const isRest = at >= speakable.text.length;
    const originalEnd = isRest ? (this.#isOver ? this.#originalLength : speakable.settledIndex) : speakable.offsets[at]!;
    const tidy = tidied(speakable.text.slice(0, at), speakable.offsets);
    speakable.take(at);
    this.#originalStart = originalEnd;
    this.#isFirst = false;
    this.#word = 0;
    this.#sentenceEnd = 0;
    this.#clauseEnd = 0;
    this.#gap = 0;
    return { text: tidy.text, originalStart, originalEnd, offsets: tidy.offsets };
  }
}
