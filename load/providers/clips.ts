/**
 * The caller audio that the simulated recogniser can understand: clips with the time of every word in them. Whoever makes callers
 * registers here what it will send; audio that nobody registered has no words. Runs on the simulator's main thread.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import * as z from 'zod';
import { readFlac } from '../../src/audio/flac.js';
import { monoOf, type Recording } from '../../src/audio/recording.js';
import { resample } from '../../src/audio/resample.js';
import { readWav } from '../../src/audio/wav.js';
import { hz, inputRateHz } from '../../src/shared/units.js';

/** All clips together: ten hours. */
export const clipSamplesMax = 10 * 3600 * 16000;
/** Below this peak (about -60 dBFS) a word would be registered where the clip is silent, which is a mistake of the caller. */
const wordPeakMin = 33;
/** Rounding of the caller's own clock may put the end of the last word past the audio, by up to 20 ms. */
const lateSamplesMax = 320;

export type ClipWord = { readonly startSample: number; readonly endSample: number; readonly text: string };

export type Clip = {
  readonly id: string;
  /** 16 kHz; valid up to `length`, room to grow behind it. */
  audio: Int16Array;
  length: number;
  /** In order of their start. */
  readonly words: ClipWord[];
  /** Only requests whose prompt names it hear the clip; empty: those that name no known group. */
  readonly group: string;
  /** How much louder the clip is expected to arrive than it was registered, in dB; unknown: anything within 30 dB. */
  readonly gainDb: number | undefined;
  /** By how much it must be stronger than everything else to be understood, in place of the recogniser's 5 dB. */
  readonly snrMinDb: number | undefined;
  /** Share of its words that are misheard, in place of the simulator's own. */
  readonly wordErrorRatio: number | undefined;
};

export const clipSchema = z
  .strictObject({
    id: z.string().min(1).max(200),
    rateHz: z.int().min(8000).max(48000).optional(),
    pcmBase64: z.string().optional(),
    path: z.string().optional(),
    /** [startMs, endMs, word], from the start of the clip; words carry their own punctuation and case. */
    words: z.array(z.tuple([z.number().min(0), z.number().min(0), z.string().min(1).max(100)])),
    /** The audio continues the clip of that id (16 kHz only); words may lie anywhere in the whole. */
    append: z.boolean().optional(),
    /** For several callers at once whose words must not be mistaken for one another's: see `Clip`. */
    group: z
      .string()
      .regex(/^[\w:-]{1,100}$/)
      .optional(),
    gainDb: z.number().min(-60).max(30).optional(),
    snrMinDb: z.number().min(-20).max(60).optional(),
    wordErrorRatio: z.number().min(0).max(1).optional(),
  })
  .refine((clip) => (clip.pcmBase64 === undefined) !== (clip.path === undefined), 'give either pcmBase64 or path')
  .refine((clip) => clip.pcmBase64 === undefined || clip.rateHz !== undefined, 'pcmBase64 needs rateHz');
export type ClipRegistration = z.infer<typeof clipSchema>;

/** Little-endian 16-bit samples as a copy of their own; an odd last byte is dropped. */
function samplesOf(bytes: Uint8Array): Int16Array {
  const audio = new Int16Array(bytes.length >> 1);
  new Uint8Array(audio.buffer).set(bytes.subarray(0, audio.byteLength));
  return audio;
}

/** A sound file by its first bytes: WAV or FLAC. Throws `garbage` for anything else. */
export async function readRecording(bytes: Uint8Array): Promise<Recording> {
  const isFlac = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(4, bytes.length)).toString('latin1') === 'fLaC';
  return isFlac ? await readFlac(bytes) : readWav(bytes);
}

async function recordingOf(registration: ClipRegistration, folder: string): Promise<Recording> {
  const rateHz = hz(registration.rateHz ?? inputRateHz);
  if (registration.pcmBase64 !== undefined)
    return { channels: [samplesOf(Buffer.from(registration.pcmBase64, 'base64'))], rateHz };
  const path = resolve(folder, registration.path ?? '');
  const bytes = await readFile(path);
  return /\.(?:pcm|raw)$/.test(path) ? { channels: [samplesOf(bytes)], rateHz } : await readRecording(bytes);
}

export class ClipLibrary {
  readonly #clips = new Map<string, Clip>();
  #samples = 0;

  get clips(): readonly Clip[] {
    return [...this.#clips.values()];
  }

  /**
   * Adds a clip, replaces the one of that id, or continues it (`append`). `folder` is where relative paths begin. Throws RangeError when
   * the registration contradicts itself (a word beyond the audio or where there is no sound, an odd rate to append, too much audio), and what
   * reading a file throws.
   */
  async register(registration: ClipRegistration, folder = '.'): Promise<Clip> {
    const given = await recordingOf(registration, folder);
    const known = this.#clips.get(registration.id);
    if (registration.append === true && given.rateHz !== inputRateHz) throw new RangeError('only 16 kHz audio can be appended');
    const audio = resample(monoOf(given), given.rateHz, inputRateHz);
    if (this.#samples + audio.length > clipSamplesMax) throw new RangeError(`more than ${clipSamplesMax} samples of clips`);

    if (registration.append === true && known !== undefined) {
      makeRoom(known, audio);
      known.words.push(...wordsOf(registration, known.audio, known.length + audio.length));
      known.words.sort(byStart);
      known.length += audio.length;
      this.#samples += audio.length;
      return known;
    }
    const words = wordsOf(registration, audio, audio.length);
    const { id, group = '', gainDb, snrMinDb, wordErrorRatio } = registration;
    const way = { group, gainDb, snrMinDb, wordErrorRatio };
    const isSameWay = known !== undefined && Object.entries(way).every(([name, value]) => known[name as keyof Clip] === value);
    if (known !== undefined && isSameWay && isEqual(known, audio)) {
      // The same audio again (a load program that is run twice) keeps its place in the indexes.
      known.words.splice(0, known.words.length, ...words);
      return known;
    }
    if (known !== undefined) this.#retire(known);
    const clip: Clip = { id, audio, length: audio.length, words, ...way };
    this.#clips.set(clip.id, clip);
    this.#samples += audio.length;
    return clip;
  }

  clear(): void {
    for (const clip of this.#clips.values()) this.#retire(clip);
    this.#clips.clear();
  }

  /** Indexes may still refer to it: nothing is found in a clip of length 0. */
  #retire(clip: Clip): void {
    this.#samples -= clip.length;
    clip.audio = new Int16Array(0);
    clip.length = 0;
    clip.words.length = 0;
  }
}

/** Writes `audio` behind the valid part of `clip`, which it does not become by that. */
function makeRoom(clip: Clip, audio: Int16Array): void {
  const length = clip.length + audio.length;
  if (length > clip.audio.length) {
    const grown = new Int16Array(Math.max(length, clip.audio.length * 2));
    grown.set(clip.audio.subarray(0, clip.length));
    clip.audio = grown;
  }
  clip.audio.set(audio, clip.length);
}

function isEqual(clip: Clip, audio: Int16Array): boolean {
  return clip.length === audio.length && audio.every((sample, index) => sample === clip.audio[index]);
}

function byStart(left: ClipWord, right: ClipWord): number {
  return left.startSample - right.startSample;
}

/** The labels as words of `audio[0..length)`, in order. Throws RangeError for one that cannot be there. */
function wordsOf(registration: ClipRegistration, audio: Int16Array, length: number): ClipWord[] {
  return registration.words
    .map(([startMs, endMs, text]) => {
      const problem = (what: string): RangeError => new RangeError(`clip ${registration.id}: ${what} "${text}"`);
      const startSample = Math.round(startMs * 16);
      const endSample = Math.min(length, Math.round(endMs * 16));
      if (endMs <= startMs) throw problem('there is no duration for');
      if (startSample >= length || endMs * 16 > length + lateSamplesMax) throw problem('beyond the audio lies');
      const isSounding = audio.subarray(startSample, endSample).some((sample) => Math.abs(sample) >= wordPeakMin);
      if (!isSounding) throw problem('there is no sound at');
      return { startSample, endSample, text };
    })
    .sort(byStart);
}

/** Reads registrations from a JSON file (one, a list, or `{clips: […]}`) or from every JSON file of a folder. */
export async function readClipFiles(path: string): Promise<{ registration: ClipRegistration; folder: string }[]> {
  if ((await stat(path)).isDirectory()) {
    const names = (await readdir(path)).filter((name) => name.endsWith('.json')).sort();
    return (await Promise.all(names.map((name) => readClipFiles(join(path, name))))).flat();
  }
  const folder = dirname(path);
  return parseClips(JSON.parse(await readFile(path, 'utf8'))).map((registration) => ({ registration, folder }));
}

/** One registration, a list of them, or `{clips: […]}`. Throws ZodError. */
export function parseClips(body: unknown): ClipRegistration[] {
  if (typeof body === 'object' && body !== null && 'clips' in body)
    return z.strictObject({ clips: z.array(clipSchema) }).parse(body).clips;
  return Array.isArray(body) ? z.array(clipSchema).parse(body) : [clipSchema.parse(body)];
}
