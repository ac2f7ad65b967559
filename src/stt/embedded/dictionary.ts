/** The recogniser's dictionary: words of US English and their sounds, 134,000 of them, as the package `soundswallower` ships it. STT pool; API thread. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../../shared/errors.js';
import { dictionaryWords, type Grammar, type GrammarIssue, nothingToHear } from './grammar.js';

/** Folder of the model, with a slash at its end. */
export function modelFolder(): string {
  return `${join(dirname(fileURLToPath(import.meta.resolve('soundswallower'))), 'model')}/`;
}

/** 3 MB of text, a line a word. Throws `missing` when the package is not there. */
export function readDictionary(): string {
  try {
    return readFileSync(join(modelFolder(), 'en-us', 'dict.txt'), 'utf8');
  } catch (cause) {
    throw new EngineError(
      'missing',
      'The dictionary of the embedded recogniser could not be read; is the package soundswallower installed?',
      {
        cause,
      },
    );
  }
}

/** The ways in which each of the words is said, as far as the dictionary has them. */
export function soundsOf(words: ReadonlyMap<string, unknown>, dictionary: string): Map<string, string[]> {
  const sounds = new Map<string, string[]>();
  for (const [, word, ways] of dictionary.matchAll(/^(\S+?)(?:\(\d+\))? (.+)$/gm)) {
    if (words.has(word!)) sounds.set(word!, [...(sounds.get(word!) ?? []), ways!]);
  }
  return sounds;
}

/** Why the recogniser could not listen with this grammar: it has no phrases, or words of which nobody says how they sound. */
export function hearingIssues(grammar: Grammar, dictionary: string = readDictionary()): GrammarIssue[] {
  const silent = nothingToHear(grammar);
  if (silent !== undefined) return [silent];
  const wanted = [...dictionaryWords(grammar)].filter(([word]) => grammar.pronunciations[word] === undefined);
  return wanted
    .filter(([word]) => !dictionary.startsWith(`${word} `) && !dictionary.includes(`\n${word} `))
    .map(([word, place]) => ({ path: place.split('.'), value: word, rule: notInDictionary }));
}

export const notInDictionary = 'not in the dictionary; say how it sounds under pronunciations';
