/**
 * When each word of a text sounds, found from what the embedded synthesiser can print: the sounds of the whole text with their times, and
 * the sounds of each word spoken alone. The two lists are laid side by side (they differ where a word is read in its context: "the end",
 * "Dr. Smith"), and every timed sound is given to a word. Pure; runs wherever `flite.ts` runs.
 */
import type { Ms } from '../../shared/units.js';
import { ms } from '../../shared/units.js';
import type { CharTime } from '../port.js';
import { isSpeakable } from '../speakable.js';

/** A stretch of text without white space: UTF-16 indices, `endIndex` exclusive. */
export type Token = { readonly startIndex: number; readonly endIndex: number };

/** Times in milliseconds from the first sample. Tokens without a sound of their own ("—") take no time. */
export type WordTime = Token & { readonly startMs: Ms; readonly endMs: Ms };

/** One sound as printed: `pau` is a pause. */
export type Segment = { readonly phone: string; readonly startMs: number; readonly endMs: number };

const pause = 'pau';
const vowel = /^(?:aa|ae|ah|ao|aw|ax|axr|ay|eh|er|ey|ih|iy|ow|oy|uh|uw)$/;

/** Price of giving a sound no partner; two of them cost more than pairing sounds of the same kind and as much as pairing any two. */
const skipCost = 2;
const sameKindCost = 2;
const otherKindCost = 4;

/** Splits at white space. */
export function tokensOf(text: string): Token[] {
  return [...text.matchAll(/\S+/g)].map((match) => ({ startIndex: match.index, endIndex: match.index + match[0].length }));
}

/** `phonesOfTokens`: the sounds of each token spoken alone, in the order of `tokens`; pauses in it are ignored. Times are kept as given. */
export function wordTimes(
  tokens: readonly Token[],
  phonesOfTokens: readonly (readonly string[])[],
  segments: readonly Segment[],
): WordTime[] {
  const spoken = segments.filter((segment) => segment.phone !== pause);
  const expected: { phone: string; token: number }[] = [];
  for (const [token, phones] of phonesOfTokens.entries()) {
    for (const phone of phones) if (phone !== pause) expected.push({ phone, token });
  }
  const partners = align(
    expected.map((sound) => sound.phone),
    spoken.map((segment) => segment.phone),
  );

  const starts = new Array<number | undefined>(tokens.length).fill(undefined);
  const ends = new Array<number | undefined>(tokens.length).fill(undefined);
  let token = expected[0]?.token;
  for (const [index, segment] of spoken.entries()) {
    // A sound without a partner belongs to the word before it.
    const partner = partners[index];
    if (partner !== undefined) token = expected[partner]?.token;
    if (token === undefined) continue;
    starts[token] ??= segment.startMs;
    ends[token] = segment.endMs;
  }

  let previousEndMs = spoken[0]?.startMs ?? 0;
  return tokens.map((place, index) => {
    const startMs = starts[index] ?? previousEndMs;
    const endMs = ends[index] ?? previousEndMs;
    previousEndMs = endMs;
    return { startIndex: place.startIndex, endIndex: place.endIndex, startMs: ms(startMs), endMs: ms(endMs) };
  });
}

/**
 * The times of the characters of `text`, one entry for each UTF-16 unit that takes time: a word's time is shared by its letters and
 * digits, white space takes the time up to the next word, other marks take none and are left out. `audioMs` bounds everything.
 */
export function charTimes(text: string, words: readonly WordTime[], audioMs: number): CharTime[] {
  const times: CharTime[] = [];
  let index = 0;
  let atMs = 0;
  for (const word of words) {
    const startMs = Math.min(Math.max(atMs, word.startMs), audioMs);
    const endMs = Math.min(Math.max(startMs, word.endMs), audioMs);
    spread(times, text, { startIndex: index, endIndex: word.startIndex }, atMs, startMs);
    spread(times, text, word, startMs, endMs);
    index = word.endIndex;
    atMs = endMs;
  }
  return times;
}

function spread(times: CharTime[], text: string, place: Token, startMs: number, endMs: number): void {
  const all = Array.from({ length: place.endIndex - place.startIndex }, (_, offset) => place.startIndex + offset);
  const letters = all.filter((index) => isSpeakable(text[index] ?? ''));
  const sharing = letters.length === 0 ? all : letters;
  const durationMs = (endMs - startMs) / sharing.length;
  if (durationMs <= 0) return;
  for (const [rank, charIndex] of sharing.entries()) {
    times.push({ charIndex, startMs: ms(startMs + rank * durationMs), durationMs: ms(durationMs) });
  }
}

function pairCost(one: string, other: string): number {
  if (one === other) return 0;
  return vowel.test(one) === vowel.test(other) ? sameKindCost : otherKindCost;
}

/** For each sound of `spoken` the index of its partner in `expected`, or `undefined`. Cheapest order-keeping pairing (Needleman–Wunsch). */
function align(expected: readonly string[], spoken: readonly string[]): (number | undefined)[] {
  const width = spoken.length + 1;
  const costs = new Uint32Array((expected.length + 1) * width);
  const cost = (row: number, column: number): number => costs[row * width + column] ?? 0;
  for (let column = 1; column < width; column += 1) costs[column] = column * skipCost;
  for (let row = 1; row <= expected.length; row += 1) {
    costs[row * width] = row * skipCost;
    for (let column = 1; column < width; column += 1) {
      costs[row * width + column] = Math.min(
        cost(row - 1, column - 1) + pairCost(expected[row - 1] ?? '', spoken[column - 1] ?? ''),
        cost(row - 1, column) + skipCost,
        cost(row, column - 1) + skipCost,
      );
    }
  }
  const partners = new Array<number | undefined>(spoken.length).fill(undefined);
  let row = expected.length;
  let column = spoken.length;
  while (row > 0 && column > 0) {
    const here = cost(row, column);
    if (here === cost(row - 1, column - 1) + pairCost(expected[row - 1] ?? '', spoken[column - 1] ?? '')) {
      partners[column - 1] = row - 1;
      row -= 1;
      column -= 1;
    } else if (here === cost(row, column - 1) + skipCost) column -= 1;
    else row -= 1;
  }
  return partners;
}
