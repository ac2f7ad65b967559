/**
 * The voice of the simulated synthesisers: every word is synthesised by itself, trimmed, and set at a known millisecond, so that the exact
 * time of each word and character is known and what was heard can be told from what was sent. Pure apart from the cache of `Voice`;
 * runs in tests and benches as a library, and behind `voice-thread.ts` in the simulator.
 */
import type { Flite, FliteVoice } from '../../src/tts/embedded/flite.js';
import { fliteRateHz, fliteVoices, loadFlite } from '../../src/tts/embedded/flite.js';
import { spokenEdges } from '../../src/tts/embedded/silence.js';
import { tokensOf } from '../../src/tts/embedded/word-times.js';

/** Rate of all speech made here. */
export const voiceRateHz = fliteRateHz;
const samplesPerMs = voiceRateHz / 1000;

/** Silence between two words, after a clause, after a sentence. */
const wordGapMs = 40;
const clausePauseMs = 120;
const sentencePauseMs = 250;
/** Words spoken one by one are drawn out; this much faster they come at the pace of a sentence. */
const paceRatio = 1.2;

export type VoiceStyle = { readonly voice: FliteVoice; readonly speed: number };
export const defaultStyle: VoiceStyle = { voice: 'slt', speed: 1 };

/** A voice id that names one of the embedded voices gets it; any other is spoken by the default one. */
export function styleOf(voiceId: string, speed = 1): VoiceStyle {
  return { voice: fliteVoices.find((voice) => voice === voiceId) ?? defaultStyle.voice, speed };
}

/** Characters (code points) of a text with whole milliseconds; each begins where the one before it ends. */
export type TimedText = { readonly chars: string[]; readonly startMs: number[]; readonly durationMs: number[] };

export type SpokenWord = { readonly word: string; readonly startMs: number; readonly endMs: number };

export type Speech = {
  readonly text: string;
  /** Mono at `voiceRateHz`. Shared: not to be written to. */
  readonly audio: Int16Array;
  readonly durationMs: number;
  /** Each stretch of the text without white space that has a sound, with its punctuation; the times are those of the sound alone. */
  readonly words: readonly SpokenWord[];
  /** The text as sent. */
  readonly chars: TimedText;
  /** The text as spoken: numbers written out, a space before it. */
  readonly normalized: TimedText;
};

/** A stretch of text without white space: marks, what is said, marks, and the white space after it. */
type Token = {
  readonly lead: string;
  readonly core: string;
  readonly tail: string;
  readonly gap: string;
  /** The words to synthesise for `core`, and how each is written in the normalised text. */
  readonly spoken: readonly { readonly word: string; readonly form: string }[];
};

const ones = [
  ...['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve', 'thirteen'],
  ...['fourteen', 'fifteen', 'sixteen', 'seventeen', 'eighteen', 'nineteen'],
];
const tens = ['', '', 'twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety'];

/** A whole number below a million in words. */
export function numberWords(value: number): string[] {
  if (value < 20) return [ones[value]!];
  if (value < 100) return value % 10 === 0 ? [tens[value / 10]!] : [tens[Math.floor(value / 10)]!, ones[value % 10]!];
  const [unit, name] = value < 1000 ? [100, 'hundred'] : [1000, 'thousand'];
  const rest = value % unit;
  return [...numberWords(Math.floor(value / unit)), name, ...(rest === 0 ? [] : numberWords(rest))];
}

function spokenOf(core: string): Token['spoken'] {
  if (/^\d{1,6}$/.test(core)) return numberWords(Number(core)).map((word) => ({ word, form: word }));
  return [{ word: core.toLowerCase(), form: core }];
}

function tokensOfText(text: string): { before: string; tokens: Token[] } {
  const places = tokensOf(text);
  const tokens = places.map((place, index) => {
    const written = text.slice(place.startIndex, place.endIndex);
    const [, lead = '', core = '', tail = ''] = /^([^\p{L}\p{N}]*)(.*?)([^\p{L}\p{N}]*)$/su.exec(written) ?? [];
    const gap = text.slice(place.endIndex, places[index + 1]?.startIndex ?? text.length);
    // Marks alone are a pause.
    return core === '' ? { lead: '', core, tail: lead, gap, spoken: [] } : { lead, core, tail, gap, spoken: spokenOf(core) };
  });
  return { before: text.slice(0, places[0]?.startIndex ?? text.length), tokens };
}

/** The words that must be synthesised for `text`. */
export function wordsToSay(text: string): string[] {
  return [...new Set(tokensOfText(text).tokens.flatMap((token) => token.spoken.map(({ word }) => word)))];
}

class Timing {
  readonly timed: TimedText = { chars: [], startMs: [], durationMs: [] };
  atMs = 0;

  /** `text` shares `durationMs`, in whole milliseconds. */
  spread(text: string, durationMs: number): void {
    const characters = [...text];
    for (const [index, character] of characters.entries()) {
      const from = Math.round((index * durationMs) / characters.length);
      const to = Math.round(((index + 1) * durationMs) / characters.length);
      this.timed.chars.push(character);
      this.timed.startMs.push(this.atMs + from);
      this.timed.durationMs.push(to - from);
    }
    if (characters.length > 0) this.atMs += durationMs;
  }

  /** All of `durationMs` for the first character, none for the others. */
  first(text: string, durationMs: number): void {
    const [head = '', ...rest] = [...text];
    this.spread(head, durationMs);
    for (const character of rest) this.spread(character, 0);
  }
}

function pauseMsOf(token: Token): number {
  if (/[.!?…]/.test(token.tail)) return sentencePauseMs;
  if (/[,;:—–-]/.test(token.tail)) return clausePauseMs;
  return wordGapMs;
}

/** `text` as speech, of the sounds that `soundOf` gives for the words of `wordsToSay(text)`. */
export function composeSpeech(text: string, soundOf: (word: string) => Int16Array): Speech {
  const { before, tokens } = tokensOfText(text);
  const written = new Timing();
  const spoken = new Timing();
  const words: SpokenWord[] = [];
  const placed: { audio: Int16Array; atMs: number }[] = [];
  written.first(before, 0);
  spoken.first(' ', 0);
  for (const token of tokens) {
    const startMs = written.atMs;
    written.first(token.lead, 0);
    spoken.first(token.lead, 0);
    for (const [index, { word, form }] of token.spoken.entries()) {
      if (index > 0) spoken.first(' ', wordGapMs);
      const audio = soundOf(word);
      placed.push({ audio, atMs: spoken.atMs });
      spoken.spread(form, Math.ceil(audio.length / samplesPerMs));
    }
    const endMs = spoken.atMs;
    written.spread(token.core, endMs - startMs);
    if (endMs > startMs) words.push({ word: token.lead + token.core + token.tail, startMs, endMs });
    const gapMs = token.gap === '' ? 0 : wordGapMs;
    const tailMs = token.tail === '' ? 0 : pauseMsOf(token) - wordGapMs;
    for (const timing of [written, spoken]) {
      timing.first(token.tail, tailMs);
      timing.first(token.gap, gapMs);
    }
  }
  const durationMs = written.atMs;
  const audio = new Int16Array(durationMs * samplesPerMs);
  for (const sound of placed) audio.set(sound.audio, sound.atMs * samplesPerMs);
  return { text, audio, durationMs, words, chars: written.timed, normalized: spoken.timed };
}

/** One word by itself, cut to its sound; empty when there is nothing to say. */
export function synthesiseWord(flite: Flite, word: string, style: VoiceStyle): Int16Array<ArrayBuffer> {
  const { audio } = flite.synthesise(word, { voice: style.voice, speed: style.speed * paceRatio, wantWords: false });
  const edges = spokenEdges(audio, voiceRateHz);
  return edges === undefined ? new Int16Array(0) : audio.slice(edges.start, edges.end);
}

/** The voice as a library: synchronous, on the calling thread, remembering words. */
export class Voice {
  readonly #flite: Flite;
  readonly #sounds = new Map<string, Int16Array>();

  /** Use `loadVoice()`. */
  constructor(flite: Flite) {
    this.#flite = flite;
  }

  /** Exactly what the simulator sends for `text` given as one piece, before it is encoded. About 15 ms for each new word. */
  speak(text: string, style: VoiceStyle = defaultStyle): Speech {
    return composeSpeech(text, (word) => {
      const key = soundKey(word, style);
      const known = this.#sounds.get(key);
      if (known !== undefined) return known;
      const sound = synthesiseWord(this.#flite, word, style);
      this.#sounds.set(key, sound);
      return sound;
    });
  }
}

export function soundKey(word: string, style: VoiceStyle): string {
  return `${style.voice} ${style.speed} ${word}`;
}

/** Throws `missing` when the embedded voice is not installed. */
export async function loadVoice(): Promise<Voice> {
  return new Voice(await loadFlite());
}
