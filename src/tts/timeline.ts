/**
 * Which characters of a reply sound where in its audio. One timeline a speech, TTS thread. Characters are indices into the reply's
 * original text (before markdown was stripped for synthesis); samples count from the start of the speech's audio.
 *
 * From provider alignment where there is one; otherwise a piece's characters are spread evenly over its voiced samples.
 */
import type { CharTime } from './port.js';
import { isSpeakable } from './speakable.js';

/** A word is heard when this share of its samples was played. */
const heardRatio = 0.6;
/** Samples below this are silence for spreading characters: about -46 dBFS. */
const voicedAmplitude = 160;
/** Fast speech, for how much of a piece without alignment may have sounded when it broke off: rather a word twice than one lost. */
const charMsMin = 50;

/** Characters and when each sounds, in whole milliseconds from the start of a frame. The three arrays have one length. */
export type CharSpans = {
  readonly chars: readonly string[];
  readonly startMs: readonly number[];
  readonly durationMs: readonly number[];
};

type Piece = { readonly start: number; readonly end: number; firstSample: number; endSample: number; isAligned: boolean };

export class Timeline {
  readonly #rateHz: number;
  #original = '';
  /** For each character written to the synthesiser: its index in the original. */
  readonly #originalIndex: number[] = [];
  readonly #pieces: Piece[] = [];
  /** For each character of the original: first sample and one past the last, -1 while unknown. */
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  /** For each character of the original: it is spoken, and its times are the provider's own. */
  readonly #isSpoken: boolean[] = [];
  readonly #isExact: boolean[] = [];
  #samples = 0;

  constructor(rateHz: number) {
    this.#rateHz = rateHz;
  }

  /** Samples of audio known so far. */
  get samples(): number {
    return this.#samples;
  }

  get text(): string {
    return this.#original;
  }

  /** More of the original text has become known. */
  addText(delta: string): void {
    this.#original += delta;
  }

  /** A piece of text goes to the synthesiser. `offsets[i]`: index in the original of its character i. */
  addPiece(offsets: Uint32Array): void {
    const start = this.#originalIndex.length;
    for (const offset of offsets) {
      this.#originalIndex.push(offset);
      this.#isSpoken[offset] = true;
    }
    this.#pieces.push({ start, end: this.#originalIndex.length, firstSample: -1, endSample: -1, isAligned: false });
  }

  /**
   * Audio arrived: `audio` at this timeline's rate, appended. `alignment` counts characters over all written text. Without it
   * `pieceIndex` says which piece sounds; without that, the first piece that has no alignment yet is taken to go on.
   */
  addAudio(audio: Int16Array, alignment: readonly CharTime[] | undefined, pieceIndex: number | undefined): void {
    const first = this.#samples;
    this.#samples += audio.length;
    if (alignment !== undefined && alignment.length > 0) {
      for (const { charIndex, startMs, durationMs } of alignment) {
        const piece = this.#pieces.find((candidate) => charIndex >= candidate.start && charIndex < candidate.end);
        if (piece !== undefined && !piece.isAligned) this.#forgetGuess(piece);
        const start = first + (startMs * this.#rateHz) / 1000;
        this.#place(charIndex, start, start + (durationMs * this.#rateHz) / 1000);
      }
      return;
    }
    const piece = pieceIndex === undefined ? this.#pieces.find((candidate) => !candidate.isAligned) : this.#pieces[pieceIndex];
    if (piece === undefined || piece.isAligned) return;
    const voiced = voicedBounds(audio);
    // Nothing is said in silence: it may be the end of the piece before.
    if (voiced === undefined) return;
    if (piece.firstSample < 0) piece.firstSample = first + voiced.start;
    piece.endSample = first + voiced.end;
    const count = piece.end - piece.start;
    const perChar = (piece.endSample - piece.firstSample) / Math.max(1, count);
    for (let index = 0; index < count; index++) {
      const start = piece.firstSample + index * perChar;
      this.#place(piece.start + index, start, start + perChar, true);
    }
  }

  /** The last samples of a resampler: they belong to no character. */
  addTail(samples: number): void {
    this.#samples += samples;
  }

  /** From now on the provider's own times count for `piece`, and not what was spread before they came. */
  #forgetGuess(piece: Piece): void {
    piece.isAligned = true;
    if (piece.firstSample < 0) return;
    for (let index = piece.start; index < piece.end; index++) {
      const original = this.#originalIndex[index]!;
      this.#starts[original] = -1;
      this.#ends[original] = -1;
    }
  }

  #place(charIndex: number, start: number, end: number, replaces = false): void {
    const original = this.#originalIndex[charIndex];
    if (original === undefined) return;
    const known = this.#starts[original];
    if (known !== undefined && known >= 0 && !replaces) {
      this.#starts[original] = Math.min(known, start);
      this.#ends[original] = Math.max(this.#ends[original]!, end);
      return;
    }
    while (this.#starts.length <= original) {
      this.#starts.push(-1);
      this.#ends.push(-1);
    }
    this.#starts[original] = start;
    this.#ends[original] = end;
    this.#isExact[original] = !replaces;
  }

  /**
   * The characters that begin to sound in samples `from` to `end` (not included), in the order of the text, by the provider's own times;
   * what was only spread is not told. Spoken characters without a time of their own (spaces, marks) stand with no length before the
   * character that follows them; `isLast` adds those behind the last one.
   */
  charsBetween(from: number, end: number, isLast: boolean): CharSpans {
    const spans = { chars: [] as string[], startMs: [] as number[], durationMs: [] as number[] };
    const msAt = (sample: number): number => Math.round((Math.max(0, sample - from) * 1000) / this.#rateHz);
    const add = (index: number, startMs: number, durationMs: number): void => {
      const char = charAt(this.#original, index);
      if (char === undefined) return;
      spans.chars.push(char);
      spans.startMs.push(startMs);
      spans.durationMs.push(durationMs);
    };
    let firstSilent = 0;
    for (let index = 0; index < this.#starts.length; index++) {
      const start = this.#starts[index]!;
      if (start < 0) continue;
      if (start >= from && start < end && this.#isExact[index] === true) {
        const startMs = msAt(start);
        for (let silent = firstSilent; silent < index; silent++) if (this.#isSpoken[silent] === true) add(silent, startMs, 0);
        add(index, startMs, msAt(this.#ends[index]!) - startMs);
      }
      firstSilent = index + 1;
    }
    if (isLast && this.#isExact[firstSilent - 1] === true) {
      for (let silent = firstSilent; silent < this.#original.length; silent++)
        if (this.#isSpoken[silent] === true) add(silent, msAt(end), 0);
    }
    return spans;
  }

  /** Length of the prefix of the original text that was heard when the first `heardSamples` samples were played; ends with a word. */
  heardChars(heardSamples: number): number {
    let heard = 0;
    for (const word of this.#words()) {
      if (word.start < 0) {
        // A word that makes no sound (an emoji, a dash) belongs to what was heard before it, once something is heard after it.
        continue;
      }
      const played = Math.min(heardSamples, word.end) - word.start;
      // A word that the provider gave no time of its own was heard once the next sample after it was.
      const isHeard =
        word.end > word.start ? played > 0 && played >= heardRatio * (word.end - word.start) : heardSamples > word.start;
      if (!isHeard) break;
      heard = word.lastChar;
    }
    return heard;
  }

  /**
   * How much of the last piece that was given to the synthesiser sounds: all of it by the provider's own times; where it gives none, nobody
   * knows more than that some of it does.
   */
  lastPieceSounds(): 'whole' | 'begun' | 'no' {
    const piece = this.#pieces.at(-1);
    if (piece === undefined) return 'no';
    for (let index = piece.end - 1; index >= piece.start; index--) {
      const original = this.#originalIndex[index]!;
      if (!isSpeakable(this.#original[original]!)) continue;
      if ((this.#starts[original] ?? -1) < 0) return 'no';
      return this.#isExact[original] === true ? 'whole' : 'begun';
    }
    return 'whole';
  }

  /** First sample of the last word that begins at or before `sample`; `sample` itself when no word is known there. */
  wordStartBefore(sample: number): number {
    let best = -1;
    for (const word of this.#words()) {
      if (word.start < 0) continue;
      if (word.start > sample) break;
      best = word.start;
    }
    return best < 0 ? sample : Math.round(best);
  }

  /**
   * The synthesiser broke off, and `framed` samples are beyond recall. Returns how many characters of the original sound to their end, and up
   * to which sample; what was known beyond is forgotten. Half a word does not count.
   */
  breakOff(framed: number): { readonly chars: number; readonly endSample: number } {
    const spread = this.#pieces.findLast((piece) => piece.endSample >= 0);
    if (spread?.isAligned === false) this.#breakPiece(spread, framed);
    const last = [...this.#words()].findLast((word) => word.start >= 0);
    if (last === undefined) return { chars: 0, endSample: this.#samples };
    if (this.#soundsToItsEnd(last.firstChar, last.lastChar)) return { chars: last.lastChar, endSample: this.#samples };
    this.#forget(last.firstChar);
    this.#dropFrom(Math.max(framed, Math.round(last.start)));
    return { chars: last.firstChar, endSample: this.#samples };
  }

  /** Its characters were spread over all its audio so far. One of which nothing is framed begins again, else its length decides how far it got. */
  #breakPiece(piece: Piece, framed: number): void {
    const count = piece.end - piece.start;
    const soundMs = ((piece.endSample - piece.firstSample) * 1000) / this.#rateHz;
    const isFramed = framed > piece.firstSample;
    const sounded = isFramed ? Math.min(count, Math.floor(soundMs / charMsMin)) : 0;
    piece.isAligned = true;
    if (sounded === count) return;
    this.#forget(this.#originalIndex[piece.start + sounded]!);
    if (!isFramed) this.#dropFrom(Math.max(framed, piece.firstSample));
  }

  /** Characters from `firstChar` of the original on have no sound. */
  #forget(firstChar: number): void {
    for (let index = firstChar; index < this.#starts.length; index++) {
      this.#starts[index] = -1;
      this.#ends[index] = -1;
    }
  }

  #dropFrom(sample: number): void {
    this.#samples = Math.min(this.#samples, sample);
  }

  /** Marks at the end of a word make no sound: its last letter or digit decides. */
  #soundsToItsEnd(firstChar: number, lastChar: number): boolean {
    for (let index = lastChar - 1; index >= firstChar; index--) {
      if (isSpeakable(this.#original[index]!)) return (this.#starts[index] ?? -1) >= 0;
    }
    return true;
  }

  *#words(): Generator<{ start: number; end: number; firstChar: number; lastChar: number }> {
    const pattern = /\S+/g;
    for (let match = pattern.exec(this.#original); match !== null; match = pattern.exec(this.#original)) {
      let start = -1;
      let end = -1;
      for (let index = match.index; index < match.index + match[0].length; index++) {
        const from = this.#starts[index];
        if (from === undefined || from < 0) continue;
        start = start < 0 ? from : Math.min(start, from);
        end = Math.max(end, this.#ends[index]!);
      }
      yield { start, end, firstChar: match.index, lastChar: match.index + match[0].length };
    }
  }
}

/** The whole character that begins at `index`; undefined for the second half of a pair. Halves without a partner become U+FFFD. */
function charAt(text: string, index: number): string | undefined {
  const isSecondHalf = index > 0 && text.codePointAt(index - 1)! > 0xffff;
  const char = String.fromCodePoint(text.codePointAt(index)!);
  return isSecondHalf ? undefined : char.replace(/\p{Surrogate}/u, '\ufffd');
}

/** First voiced sample and one past the last; undefined when nothing is voiced. */
function voicedBounds(audio: Int16Array): { start: number; end: number } | undefined {
  let start = 0;
  while (start < audio.length && Math.abs(audio[start]!) < voicedAmplitude) start++;
  let end = audio.length;
  while (end > start && Math.abs(audio[end - 1]!) < voicedAmplitude) end--;
  return start < end ? { start, end } : undefined;
}
