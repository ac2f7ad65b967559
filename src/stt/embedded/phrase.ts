/**
 * The phrase notation of an agent's grammar: words, `[optional]`, `(one | other)` and `{slot}`. Text in, tree out. Pure; any thread.
 * `[what is | what's] {first} plus {second}` is four ways to ask for a sum, counting the one without a question.
 */

export type Phrase =
  | { readonly type: 'word'; readonly word: string }
  | { readonly type: 'slot'; readonly name: string }
  | { readonly type: 'sequence'; readonly parts: readonly Phrase[] }
  | { readonly type: 'choice'; readonly options: readonly Phrase[] };

/** Nothing to say: the second way of every optional part. */
export const nothing: Phrase = { type: 'sequence', parts: [] };

/** Brackets in brackets, at most. */
const depthMax = 8;
const tokenPattern = /\s+|([[\](){}|])|([^\s[\](){}|]+)/gy;
const wordPattern = /^[a-z]+(?:['-][a-z]+)*'?$/;
const slotPattern = /^[a-z][a-z0-9_]*$/;

/** Throws an `Error` whose message says what is wrong and where. */
export function parsePhrase(text: string): Phrase {
  const tokens = [...text.toLowerCase().matchAll(tokenPattern)].map(([token]) => token.trim()).filter((token) => token !== '');
  let at = 0;

  const choice = (closing: string | undefined, depth: number): Phrase => {
    if (depth > depthMax) throw new Error(`brackets are nested deeper than ${depthMax}`);
    const options: Phrase[] = [];
    for (;;) {
      options.push(sequence(depth));
      if (tokens[at] === '|') at += 1;
      else break;
    }
    if (tokens[at] !== closing) {
      throw new Error(closing === undefined ? `'${tokens[at]}' closes nothing` : `'${closing}' is missing at the end`);
    }
    at += 1;
    return options.length === 1 ? options[0]! : { type: 'choice', options };
  };

  const sequence = (depth: number): Phrase => {
    const parts: Phrase[] = [];
    for (;;) {
      const token = tokens[at];
      if (token === '[' || token === '(') {
        at += 1;
        const inner = choice(token === '[' ? ']' : ')', depth + 1);
        parts.push(token === '[' ? { type: 'choice', options: [inner, nothing] } : inner);
      } else if (token === '{') {
        parts.push(slot(tokens[at + 1], tokens[at + 2]));
        at += 3;
      } else if (token === undefined || token === '|' || token === ']' || token === ')') {
        break;
      } else {
        if (!wordPattern.test(token))
          throw new Error(`'${token}' is not a word: letters, apostrophes and hyphens only; write numbers out`);
        parts.push({ type: 'word', word: token });
        at += 1;
      }
    }
    if (parts.length === 0) throw new Error('a part of it is empty');
    return parts.length === 1 ? parts[0]! : { type: 'sequence', parts };
  };

  const phrase = choice(undefined, 0);
  if (canBeEmpty(phrase)) throw new Error('it can be said by saying nothing');
  return phrase;
}

/** Every word of the phrase, in order of reading. */
export function wordsIn(phrase: Phrase): string[] {
  return leavesOf(phrase).flatMap((leaf) => (leaf.type === 'word' ? [leaf.word] : []));
}

/** Every slot of the phrase, in order of reading. */
export function slotsIn(phrase: Phrase): string[] {
  return leavesOf(phrase).flatMap((leaf) => (leaf.type === 'slot' ? [leaf.name] : []));
}

type Leaf = Extract<Phrase, { type: 'word' | 'slot' }>;

function leavesOf(phrase: Phrase): Leaf[] {
  if (phrase.type === 'sequence') return phrase.parts.flatMap(leavesOf);
  if (phrase.type === 'choice') return phrase.options.flatMap(leavesOf);
  return [phrase];
}

function canBeEmpty(phrase: Phrase): boolean {
  if (phrase.type === 'sequence') return phrase.parts.every(canBeEmpty);
  if (phrase.type === 'choice') return phrase.options.some(canBeEmpty);
  return false;
}

function slot(name: string | undefined, closing: string | undefined): Phrase {
  if (name === undefined || !slotPattern.test(name) || closing !== '}') {
    throw new Error("after '{' comes one slot name (small letters, digits, _) and '}'");
  }
  return { type: 'slot', name };
}
