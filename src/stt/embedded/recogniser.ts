/**
 * The embedded recogniser: SoundSwallower (a small PocketSphinx) in WebAssembly with the US English model inside its package. It finds the
 * sentence of a grammar that fits the audio best, whatever was said; a second search over bare sounds tells how well that is.
 *
 * Synchronous but for loading. Only on a pool thread: the package installs a handler for uncaught exceptions of its thread.
 */
import { join } from 'node:path';
import createModule from 'soundswallower';
import { EngineError } from '../../shared/errors.js';
import { unintelligible } from '../port.js';
import { modelFolder, notInDictionary, readDictionary, soundsOf } from './dictionary.js';
import { type Evidence, judge, type Piece } from './evidence.js';
import { dictionaryWords, grammarProblem, isDecoy, jsgfOf, letterWords, ownWord, parseGrammar, transcriptOf } from './grammar.js';
import { levelled } from './level.js';
import { letterSounds, phones } from './sounds.js';

/** Longer speech is no sentence of a grammar: it is rejected unheard, which bounds the time of one call to about two seconds. */
const audioSamplesMax = 20 * 16_000;
/** Grammars kept ready, the least recently used one goes first. Changing between ready ones takes 5 ms. */
const grammarsMax = 64;

/** Probability of one more word, or one more sound: what it must gain to be believed. */
const wordProbability = 1e-10;
const soundProbability = 1e-2;
/** The search goes on with whatever is this close to the best, as probability. Wide enough that a grammar's end is always reached. */
const beams = { beam: 1e-64, pbeam: 1e-64, wbeam: 1e-50 };
const settings = { samprate: 16_000, loglevel: 'FATAL', bestpath: false, lw: 1, silprob: 0.1, ...beams };

export type Decoded = {
  /** As in `Recognition`: words, `unintelligible`, or empty for no speech. */
  readonly text: string;
  /** 0..1 */
  readonly confidence: number;
  readonly rejected: boolean;
  /** What the grammar search heard, rejected or not, and how well it fits: for benches. */
  readonly heard: string;
  readonly evidence: Evidence | undefined;
};

type Module = Awaited<ReturnType<typeof createModule>>;
type Decoder = InstanceType<Module['Decoder']>;

export class Recogniser {
  readonly #words: Decoder;
  readonly #sounds: Decoder;
  readonly #dictionary: string;
  readonly #known = new Set<string>();
  readonly #ownSounds = new Map<string, number>();
  /** By grammar key, the text that the search is set to. */
  readonly #grammars = new Map<string, string>();
  #current = '';

  private constructor(words: Decoder, sounds: Decoder, dictionary: string) {
    this.#words = words;
    this.#sounds = sounds;
    this.#dictionary = dictionary;
  }

  /** Takes about 150 ms and 60 MB. Throws `missing` when the package cannot be loaded. */
  static async load(): Promise<Recogniser> {
    try {
      const quiet = (): void => {};
      // What it prints repeats what it throws.
      const module = await createModule({ modelBase: modelFolder(), print: quiet, printErr: quiet } as object);
      const dictionary = readDictionary();
      const words = await newDecoder(module, wordProbability);
      const sounds = await newDecoder(module, soundProbability);
      sounds.add_words(...phones.map((phone): [string, string] => [soundWord(phone), phone]));
      sounds.set_grammar(`#JSGF V1.0;\ngrammar sounds;\npublic <any> = (${phones.map(soundWord).join(' | ')})+;\n`);
      return new Recogniser(words, sounds, dictionary);
    } catch (cause) {
      throw new EngineError('missing', 'The embedded recogniser could not be loaded; is the package soundswallower installed?', {
        cause,
      });
    }
  }

  /**
   * Makes a grammar the one that `decode` listens for. `grammar`: plain JSON; `key`: equal for equal grammars.
   * Throws `config` when it is wrong or has words that nobody knows how to say; the grammar before it then stays.
   */
  listenFor(key: string, grammar: unknown): void {
    if (key === this.#current) return;
    const jsgf = this.#grammars.get(key) ?? this.#prepare(grammar);
    this.#words.set_grammar(jsgf);
    this.#current = key;
    this.#grammars.delete(key);
    this.#grammars.set(key, jsgf);
    if (this.#grammars.size > grammarsMax) this.#grammars.delete(this.#grammars.keys().next().value!);
  }

  /** `audio`: 16 kHz mono; only read. Takes about a twelfth of its length. */
  decode(audio: Int16Array): Decoded {
    const nothing = { heard: '', evidence: undefined };
    const speech = levelled(audio);
    if (speech === undefined) return { text: '', confidence: 1, rejected: false, ...nothing };
    if (speech.audio.length > audioSamplesMax) return { text: unintelligible, confidence: 0, rejected: true, ...nothing };
    const sounds = search(this.#sounds, speech.audio);
    const words = search(this.#words, speech.audio);
    const evidence = judge(words.pieces, sounds.pieces, speech.isLoud, isDecoy(words.text));
    const heard = transcriptOf(words.text);
    if (evidence.soundFrames === 0) return { text: '', confidence: 1, rejected: false, heard, evidence };
    const rejected = evidence.doubt !== undefined;
    return { text: rejected ? unintelligible : heard, confidence: rejected ? 0 : evidence.confidence, rejected, heard, evidence };
  }

  #prepare(json: unknown): string {
    const grammar = parseGrammar(json);
    const wanted = dictionaryWords(grammar);
    const sounds = soundsOf(wanted, this.#dictionary);
    const names = new Map<string, string>();
    for (const [word, where] of wanted) {
      const own = grammar.pronunciations[word];
      const ways = [...new Set([...(own ?? []), ...(sounds.get(word) ?? [])])];
      if (ways.length === 0) throw grammarProblem({ path: [where], value: word, rule: notInDictionary });
      // Another grammar may have other sounds for the same word.
      const name = own === undefined ? word : ownWord(word, this.#indexOf(ways));
      names.set(word, name);
      this.#learn(name, ways);
    }
    for (const [letter, name] of letterWords(grammar)) this.#learn(name, letterSounds[letter]!);
    return jsgfOf(grammar, (word) => names.get(word) ?? word);
  }

  /** The same number for the same sounds. */
  #indexOf(ways: readonly string[]): number {
    const key = ways.join('|');
    const index = this.#ownSounds.get(key) ?? this.#ownSounds.size;
    this.#ownSounds.set(key, index);
    return index;
  }

  #learn(name: string, ways: readonly string[]): void {
    if (this.#known.has(name)) return;
    this.#known.add(name);
    this.#words.add_words(...ways.map((way, index): [string, string] => [index === 0 ? name : `${name}(${index + 1})`, way]));
  }
}

const soundWord = (phone: string): string => `sound_${phone.toLowerCase()}`;

async function newDecoder(module: Module, wip: number): Promise<Decoder> {
  const hmm = module.get_model_path('en-us');
  // The dictionary of 134 000 words would cost each search 100 ms and 20 MB; it gets the few words it needs.
  const decoder = new module.Decoder({ ...settings, hmm, wip, dict: join(hmm, 'none') });
  await decoder.initialize();
  return decoder;
}

function search(decoder: Decoder, audio: Float32Array): { text: string; pieces: Piece[] } {
  decoder.start();
  decoder.process_audio(audio, false, true);
  decoder.stop();
  const text = decoder.get_text();
  // Without a sentence there is no alignment either, and asking for one would throw.
  if (text === '') return { text, pieces: [] };
  const pieces = (decoder.get_alignment().w ?? [])
    .filter(({ t }) => t !== '(NULL)')
    .map(({ t, b, d, p }) => ({ word: t, start: Math.max(0, framesIn(b)), frames: framesIn(d), score: scoreOf(p) }));
  return { text, pieces };
}

const framesIn = (seconds: number): number => Math.round(seconds * 100);

/** It gives probabilities whose logarithm is divided by 1024, to three places. The least that can be told from 0 stands for all below. */
const scoreOf = (probability: number): number => 1024 * Math.log(Math.max(probability, 0.0005));
