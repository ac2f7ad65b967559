/**
 * Which characters of a reply sound where in its audio. One timeline a speech, TTS thread. Characters are indices into the reply's
 * original text (before markdown was stripped for synthesis); samples count from the start of the speech's audio.
 *
 * From provider alignment where there is one; otherwise a piece's characters are spread evenly over its voiced samples.
 */
import type { CharTime } from './port.js';

/** A word is heard when this share of its samples was played. */
const heardRatio = 0.6;
/** Samples below this are silence for spreading characters: about -46 dBFS. */
const voicedAmplitude = 160;

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
    for (const offset of offsets) this.#originalIndex.push(offset);
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
        const start = first + (startMs * this.#rateHz) / 1000;
        this.#place(charIndex, start, start + (durationMs * this.#rateHz) / 1000);
        const piece = this.#pieces.find((candidate) => charIndex >= candidate.start && charIndex < candidate.end);
        if (piece !== undefined) piece.isAligned = true;
      }
      return;
    }
    const piece = pieceIndex === undefined ? this.#pieces.find((candidate) => !candidate.isAligned) : this.#pieces[pieceIndex];
    if (piece === undefined || piece.isAligned) return;
    const [voicedStart, voicedEnd] = voicedBounds(audio);
    if (piece.firstSample < 0) piece.firstSample = first + voicedStart;
    piece.endSample = first + voicedEnd;
    const count = piece.end - piece.start;
    const perChar = (piece.endSample - piece.firstSample) / Math.max(1, count);
    for (let index = 0; index < count; index++) {
      const start = piece.firstSample + index * perChar;
      this.#place(piece.start + index, start, start + perChar, true);
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

  *#words(): Generator<{ start: number; end: number; lastChar: number }> {
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
      yield { start, end, lastChar: match.index + match[0].length };
    }
  }
}

/** First voiced sample and one past the last; the whole range when nothing is voiced. */
function voicedBounds(audio: Int16Array): [number, number] {
  let start = 0;
  while (start < audio.length && Math.abs(audio[start]!) < voicedAmplitude) start++;
  let end = audio.length;
  while (end > start && Math.abs(audio[end - 1]!) < voicedAmplitude) end--;
  return start < end ? [start, end] : [0, audio.length];
}
