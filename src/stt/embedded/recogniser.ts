/**
 * The embedded recogniser: SoundSwallower (a small PocketSphinx) in WebAssembly with the US English model inside its package. It finds the
 * sentence of a grammar that fits the audio best, whatever was said; a second search over bare sounds tells how well that is.
 *
 * Synchronous but for loading. Only on a pool thread: the package installs a handler for uncaught exceptions of its thread.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import createModule from 'soundswallower';
import { EngineError } from '../../shared/errors.js';
import { unintelligible } from '../port.js';
import { type Evidence, judge, type Piece } from './evidence.js';
import { dictionaryWords, type Grammar, isDecoy, jsgfOf, letterWords, parseGrammar, transcriptOf } from './grammar.js';
import { levelled } from './level.js';
import { letterSounds, phones } from './sounds.js';

/** Longer speech is no sentence of a grammar: it is rejected unheard, which bounds the time of one call to about two seconds. */
const audioSamplesMax = 20 * 16_000;

export type Decoded = {
  /** As in `Recognition`: words, `unintelligible`, or empty for no speech. */
  readonly text: string;
  /** 0..1 */
  readonly confidence: number;
  readonly rejected: boolean;
  /** What the grammar search heard, rejected or not, and why: for benches and logs of counts. */
  readonly heard: string;
  readonly evidence: Evidence | undefined;
};

type Module = Awaited<ReturnType<typeof createModule>>;
type Decoder = InstanceType<Module['Decoder']>;

/** What all recognisers of one thread share. */
type Engine = { readonly module: Module; readonly dictionary: string; readonly soundLoop: Decoder };

let engine: Promise<Engine> | undefined;

/** Word penalties (natural logarithm of their probability): what one more word, or one more sound, must gain to be believed. */
export const wordPenalty = Math.log(1e-10);
export const soundPenalty = Math.log(1e-2);

const settings = {
  samprate: 16_000,
  loglevel: 'FATAL',
  bestpath: false,
  lw: 1,
  silprob: 0.1,
  beam: 1e-64,
  pbeam: 1e-64,
  wbeam: 1e-50,
};

export class GrammarRecogniser {
  readonly #soundLoop: Decoder;
  readonly #decoder: Decoder;

  private constructor(soundLoop: Decoder, decoder: Decoder) {
    this.#soundLoop = soundLoop;
    this.#decoder = decoder;
  }

  /** `grammar`: plain JSON. Throws `config` when it is wrong or has unknown words, `missing` when the package cannot be loaded. */
  static async load(grammar: unknown): Promise<GrammarRecogniser> {
    const parsed = parseGrammar(grammar);
    engine ??= loadEngine();
    const { module, dictionary, soundLoop } = await engine;
    const words = pronunciations(parsed, dictionary);
    const decoder = await newDecoder(module, Math.exp(wordPenalty), words);
    decoder.set_grammar(jsgfOf(parsed));
    return new GrammarRecogniser(soundLoop, decoder);
  }

  /** `audio`: 16 kHz mono; only read. */
  decode(audio: Int16Array): Decoded {
    const silence: Decoded = { text: '', confidence: 1, rejected: false, heard: '', evidence: undefined };
    const unheard: Decoded = { text: unintelligible, confidence: 0, rejected: true, heard: '', evidence: undefined };
    const speech = levelled(audio);
    if (speech === undefined) return silence;
    if (speech.audio.length > audioSamplesMax) return unheard;
    const sounds = search(this.#soundLoop, speech.audio);
    const words = search(this.#decoder, speech.audio);
    const evidence = judge(words.pieces, sounds.pieces, speech.isLoud, isDecoy(words.text));
    if (evidence.soundFrames === 0) return silence;
    const heard = transcriptOf(words.text);
    const rejected = evidence.doubt !== undefined;
    return { text: rejected ? unintelligible : heard, confidence: rejected ? 0 : evidence.confidence, rejected, heard, evidence };
  }

  /** Frees the memory of the search. */
  close(): void {
    this.#decoder.delete();
  }
}

async function loadEngine(): Promise<Engine> {
  try {
    const folder = dirname(fileURLToPath(import.meta.resolve('soundswallower')));
    const modelBase = `${join(folder, 'model')}/`;
    const quiet = (): void => {};
    // Its messages repeat what it throws.
    const module = await createModule({ modelBase, print: quiet, printErr: quiet } as object);
    const dictionary = await readFile(join(modelBase, 'en-us', 'dict.txt'), 'utf8');
    const soundLoop = await newDecoder(
      module,
      Math.exp(soundPenalty),
      phones.map((phone) => [soundWord(phone), phone]),
    );
    soundLoop.set_grammar(`#JSGF V1.0;\ngrammar sounds;\npublic <any> = (${phones.map(soundWord).join(' | ')})+;\n`);
    return { module, dictionary, soundLoop };
  } catch (cause) {
    throw new EngineError('missing', 'The embedded recogniser could not be loaded; is the package soundswallower installed?', {
      cause,
    });
  }
}

const soundWord = (phone: string): string => `sound_${phone.toLowerCase()}`;

async function newDecoder(module: Module, wip: number, words: readonly [string, string][]): Promise<Decoder> {
  const hmm = module.get_model_path('en-us');
  // Its own dictionary of 134 000 words costs 100 ms and 20 MB each time; we bring the few words we need.
  const decoder = new module.Decoder({ ...settings, hmm, wip, dict: join(hmm, 'none') });
  await decoder.initialize();
  decoder.add_words(...words);
  return decoder;
}

/** How each word of the grammar can be said: the author's ways first, then those of the dictionary. */
function pronunciations(grammar: Grammar, dictionary: string): [string, string][] {
  const wanted = dictionaryWords(grammar);
  const found = new Map<string, string[]>();
  for (const [word, ways] of Object.entries(grammar.pronunciations)) if (wanted.has(word)) found.set(word, [...ways]);
  for (const [, word, sounds] of dictionary.matchAll(/^(\S+?)(?:\(\d+\))? (.+)$/gm)) {
    if (!wanted.has(word!)) continue;
    const ways = found.get(word!) ?? [];
    if (!ways.includes(sounds!)) found.set(word!, [...ways, sounds!]);
  }
  for (const [word, where] of wanted) {
    if (!found.has(word)) {
      throw new EngineError(
        'config',
        `grammar: ${where}: "${word}": not in the dictionary; say how it sounds under pronunciations`,
      );
    }
  }
  for (const [letter, word] of letterWords(grammar)) found.set(word, [...letterSounds[letter]!]);
  return [...found].flatMap(([word, ways]) =>
    ways.map((sounds, way): [string, string] => [way === 0 ? word : `${word}(${way + 1})`, sounds]),
  );
}

function search(decoder: Decoder, audio: Float32Array): { text: string; pieces: Piece[] } {
  decoder.start();
  decoder.process_audio(audio, false, true);
  decoder.stop();
  const text = decoder.get_text();
  // Without a sentence there is no alignment either, and asking for one would throw.
  if (text === '') return { text, pieces: [] };
  const frames = (seconds: number): number => Math.round(seconds * 100);
  const pieces = (decoder.get_alignment().w ?? [])
    .filter(({ t }) => t !== '(NULL)')
    .map(({ t, b, d, p }) => ({
      word: t,
      start: Math.max(0, frames(b)),
      frames: frames(d),
      score: Math.log(Math.max(p, 0.0005)) * 1024,
    }));
  return { text, pieces };
}
