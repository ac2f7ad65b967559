/**
 * An agent's grammar: what a caller may say, what it means, and what is answered. It comes as plain JSON from the agent's file.
 * From it follow the text that the recogniser searches in (JSGF) and the reading of a transcript. Pure; STT pool and conversation thread.
 */
import { z } from 'zod';
import { EngineError } from '../../shared/errors.js';
import { strictObject } from '../../shared/strict-object.js';
import { digitOf, digitWords, numberMax, numbersAt, teenWords, tensWords } from './numbers.js';
import { nothing, type Phrase, parsePhrase, slotsIn, wordsIn } from './phrase.js';
import { letters, phones } from './sounds.js';

const intentsMax = 200;
const phrasesMax = 100;
const phraseLengthMax = 400;
const repliesMax = 20;
const replyLengthMax = 6000;
const slotLengthMax = 32;
/** A transcript with more words is not one of the grammar's sentences: read back digits stay below. */
const spokenWordsMax = 64;

const slotSchema = z.discriminatedUnion('type', [
  /** A number in words or figures, 0 .. `max`. Its value is written in figures. */
  strictObject({ type: z.literal('number'), max: z.number().int().min(1).max(numberMax).default(numberMax) }),
  /** Digits one by one; "oh" is zero. The value is a string of figures. */
  strictObject({
    type: z.literal('digits'),
    min: z.number().int().min(1).max(slotLengthMax).default(2),
    max: z.number().int().min(1).max(slotLengthMax).default(16),
  }),
  /** Letters one by one. Many sound alike on a telephone: leave out those the caller will not need. */
  strictObject({
    type: z.literal('letters'),
    letters: z
      .string()
      .regex(/^[a-z]+$/, 'small letters only')
      .default(letters.join('')),
    min: z.number().int().min(1).max(slotLengthMax).default(1),
    max: z.number().int().min(1).max(slotLengthMax).default(16),
  }),
  /** One of these, each one word or several. The value is the text given here. */
  strictObject({ type: z.literal('choice'), values: z.array(z.string().max(phraseLengthMax)).min(1).max(phrasesMax) }),
]);

const phraseSchema = z.string().min(1).max(phraseLengthMax);
const replySchema = z.string().min(1).max(replyLengthMax);

const intentSchema = strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]*$/, 'small letters, digits and _'),
  /** What is listened for, in the notation of `phrase.ts`. */
  phrases: z.array(phraseSchema).max(phrasesMax).default([]),
  /** Understood when typed, but not listened for: words too short or too alike to be told apart by ear. */
  typed: z.array(phraseSchema).max(phrasesMax).default([]),
  /** How likely it is beside the others. Very small values (1e-8) for what is not to be heard in place of something shorter. */
  weight: z.number().min(1e-30).max(1).default(1),
  /** Answers; the next one is taken with each turn. May hold `{slot}`, `{result}`, `{time}`, `{date}`, `{previous}`. */
  replies: z.array(replySchema).min(1).max(repliesMax),
  /** Hang up after the answer. */
  ends_call: z.boolean().default(false),
});

const grammarSchema = strictObject({
  slots: z.record(z.string().regex(/^[a-z][a-z0-9_]*$/, 'small letters, digits and _'), slotSchema).default({}),
  intents: z.array(intentSchema).min(1).max(intentsMax),
  /** Answers to speech that was heard but not understood; the next one is taken with each turn. */
  not_understood: z.array(replySchema).min(1).max(repliesMax).default(['I did not catch that.']),
  /** Sounds of words that the dictionary lacks, or other ways to say those it has: `{ "parley": ["P AA R L IY"] }`. */
  pronunciations: z
    .record(
      z.string().regex(/^[a-z][a-z'-]*$/, 'one word in small letters'),
      z
        .array(
          z
            .string()
            .regex(new RegExp(`^(?:${phones.join('|')})(?: (?:${phones.join('|')}))*$`), 'ARPAbet phones with one space between'),
        )
        .min(1)
        .max(8),
    )
    .default({}),
});

/** The JSON, checked and with defaults filled in. */
export type GrammarJson = z.infer<typeof grammarSchema>;
/** What an author writes. */
export type GrammarInput = z.input<typeof grammarSchema>;
export type Slot = z.infer<typeof slotSchema>;

export type Intent = GrammarJson['intents'][number] & {
  readonly spoken: readonly Phrase[];
  readonly readable: readonly Phrase[];
};

export type Grammar = {
  readonly slots: Readonly<Record<string, Slot>>;
  readonly intents: readonly Intent[];
  readonly notUnderstood: readonly string[];
  readonly pronunciations: Readonly<Record<string, readonly string[]>>;
  /** Choices of `choice` slots, as phrases. */
  readonly choices: Readonly<Record<string, readonly { value: string; phrase: Phrase }[]>>;
};

/** What a transcript means: the first intent of the grammar that it fits, and the values of the slots. */
export type Understood = { readonly intent: Intent; readonly slots: Readonly<Record<string, string>> };

/** Placeholders of replies that are not slots. */
export const replyWords = ['result', 'time', 'date', 'previous'] as const;
export const placeholderPattern = /\{([a-z][a-z0-9_]*)\}/g;

/** One place of a grammar that breaks a rule. */
export type GrammarIssue = { readonly path: readonly string[]; readonly value: unknown; readonly rule: string };

export type CheckedGrammar =
  | { readonly ok: true; readonly grammar: Grammar }
  | { readonly ok: false; readonly issues: readonly GrammarIssue[] };

/** Checks and compiles a grammar. Throws `config`, naming path, value and rule. */
export function parseGrammar(value: unknown): Grammar {
  const checked = checkGrammar(value);
  if (checked.ok) return checked.grammar;
  throw grammarProblem(checked.issues[0]!);
}

export function grammarProblem({ path, value, rule }: GrammarIssue): EngineError {
  const shown = JSON.stringify(value)?.slice(0, 80) ?? 'nothing';
  return new EngineError('config', `grammar: ${path.join('.') || '(root)'}: ${shown}: ${rule}`);
}

/** Checks and compiles a grammar; all that is wrong with it, unless its shape already is. */
export function checkGrammar(value: unknown): CheckedGrammar {
  const result = grammarSchema.safeParse(value, { reportInput: true });
  if (!result.success) {
    const issues = result.error.issues.map((issue) => ({ path: pathOf(issue), value: foundAt(issue), rule: issue.message }));
    return { ok: false, issues };
  }
  const json = result.data;
  const issues: GrammarIssue[] = [];
  const compile = (text: string, path: readonly string[], slots: Readonly<Record<string, Slot>>): Phrase => {
    try {
      const phrase = parsePhrase(text);
      for (const name of slotsIn(phrase)) if (!Object.hasOwn(slots, name)) throw new Error(`there is no slot '${name}' here`);
      return phrase;
    } catch (error) {
      issues.push({ path, value: text, rule: (error as Error).message });
      return nothing;
    }
  };
  const choices = Object.fromEntries(
    Object.entries(json.slots).flatMap(([name, slot]) => {
      if (slot.type !== 'choice') return [];
      const phraseOf = (text: string, index: number): Phrase => compile(text, ['slots', name, 'values', String(index)], {});
      return [[name, slot.values.map((text, index) => ({ value: text, phrase: phraseOf(text, index) }))]];
    }),
  );
  const names = new Set<string>();
  const intents = json.intents.map((intent, index) => {
    const path = ['intents', String(index)];
    if (names.has(intent.name))
      issues.push({ path: [...path, 'name'], value: intent.name, rule: 'each intent has a name of its own' });
    names.add(intent.name);
    if (intent.phrases.length + intent.typed.length === 0)
      issues.push({ path: [...path, 'phrases'], value: intent.phrases, rule: 'at least one phrase, or one under typed' });
    const spoken = intent.phrases.map((text, at) => compile(text, [...path, 'phrases', String(at)], json.slots));
    const typed = intent.typed.map((text, at) => compile(text, [...path, 'typed', String(at)], json.slots));
    for (const [at, reply] of intent.replies.entries()) {
      for (const [, name] of reply.matchAll(placeholderPattern)) {
        if ((replyWords as readonly string[]).includes(name!) || Object.hasOwn(json.slots, name!)) continue;
        const rule = `neither a slot nor one of ${replyWords.join(', ')}`;
        issues.push({ path: [...path, 'replies', String(at)], value: `{${name}}`, rule });
      }
    }
    return { ...intent, spoken, readable: [...spoken, ...typed] };
  });
  if (issues.length > 0) return { ok: false, issues };
  const { slots, not_understood: notUnderstood, pronunciations } = json;
  return { ok: true, grammar: { slots, intents, notUnderstood, pronunciations, choices } };
}

/** Of unknown keys: the first of them. */
function pathOf(issue: z.core.$ZodIssue): string[] {
  return [...issue.path, ...(issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [])].map(String);
}

function foundAt(issue: z.core.$ZodIssue): unknown {
  if (issue.code !== 'unrecognized_keys') return issue.input;
  return (issue.input as Readonly<Record<string, unknown>> | undefined)?.[issue.keys[0] ?? ''];
}

/**
 * Names of words in the recogniser that are more than the word: letters, so that they are not taken for the article or the pronoun; letters that
 * are not listened for; and words with sounds of the author's own. Words of a grammar have no underscore.
 */
const letterPrefix = 'letter_';
const decoyPrefix = 'other_';
const ownPrefix = 'own';

/** The recogniser's words as a transcript. */
export function transcriptOf(recognised: string): string {
  return recognised.trim().replace(/(?:letter|own\d+)_/g, '');
}

/** A word whose sounds differ from the dictionary's, as set `index` of such sounds has them. */
export function ownWord(word: string, index: number): string {
  return `${ownPrefix}${index}_${word}`;
}

/** Whether the recogniser's words are a letter that the agent does not listen for. */
export function isDecoy(recognised: string): boolean {
  return recognised.trim().startsWith(decoyPrefix);
}

/** The words whose sounds must come from the dictionary, each with the first place that uses it; letters have sounds of their own. */
export function dictionaryWords(grammar: Grammar): Map<string, string> {
  const words = new Map<string, string>();
  const add = (word: string, where: string): void => {
    if (!words.has(word)) words.set(word, where);
  };
  grammar.intents.forEach((intent, index) => {
    intent.spoken.forEach((phrase, at) => {
      for (const word of wordsIn(phrase)) add(word, `intents.${index}.phrases.${at}`);
    });
  });
  for (const [name, slot] of usedSlots(grammar)) {
    if (slot.type === 'digits') for (const word of [...digitWords, 'oh']) add(word, `slots.${name}`);
    if (slot.type === 'number') {
      for (const word of [...digitWords, ...teenWords, ...tensWords, 'a', 'hundred', 'and']) add(word, `slots.${name}`);
    }
    if (slot.type === 'choice')
      for (const { phrase } of grammar.choices[name]!) for (const word of wordsIn(phrase)) add(word, `slots.${name}`);
  }
  return words;
}

/**
 * Every letter as a word of the recogniser. Those that the agent does not listen for are decoys: a caller who says "b" is then not
 * understood, instead of being understood as "three".
 */
export function letterWords(grammar: Grammar): Map<string, string> {
  const spoken = new Set(usedSlots(grammar).flatMap(([, slot]) => (slot.type === 'letters' ? [...slot.letters] : [])));
  return new Map(letters.map((letter) => [letter, (spoken.has(letter) ? letterPrefix : decoyPrefix) + letter]));
}

/** What is wrong with a grammar that is to be listened with; undefined: nothing. Typed words alone are enough for a conversation in text. */
export function nothingToHear({ intents }: Grammar): GrammarIssue | undefined {
  if (intents.some(({ spoken }) => spoken.length > 0)) return undefined;
  return { path: ['intents'], value: intents.map(({ name }) => name), rule: 'at least one of them has a phrase to listen for' };
}

function usedSlots(grammar: Grammar): [string, Slot][] {
  const used = new Set(grammar.intents.flatMap((intent) => intent.spoken.flatMap(slotsIn)));
  return Object.entries(grammar.slots).filter(([name]) => used.has(name));
}

/**
 * Beside a single digit, a longer number is this likely: an unclear "three" is not to become "thirty". Against the likelihoods of whole
 * words, which differ by factors of 1e20 and more, this is a slight preference. Chosen with `bench/embedded-stt.ts`.
 */
const longNumberWeight = '0.000000000000000001';

/** The same for decoys. More would catch more letters and lose more digits. */
const decoyWeight = '0.000000000001';

/** The grammar in the Java Speech Grammar Format. `nameOf`: what the recogniser calls a word. */
export function jsgfOf(grammar: Grammar, nameOf: (word: string) => string = (word) => word): string {
  const problem = nothingToHear(grammar);
  if (problem !== undefined) throw grammarProblem(problem);
  const intents = grammar.intents.filter((intent) => intent.spoken.length > 0);
  const alternatives = intents.map(
    (intent) => `/${intent.weight.toFixed(30)}/ (${intent.spoken.map((phrase) => jsgfPhrase(phrase, nameOf)).join(' | ')})`,
  );
  const anyOf = (words: readonly string[]): string => words.map(nameOf).join(' | ');
  const decoys = [...letterWords(grammar).values()].filter(isDecoy);
  if (decoys.length > 0) alternatives.push(`/${decoyWeight}/ (${decoys.join(' | ')})`);
  return [
    '#JSGF V1.0;',
    'grammar agent;',
    `public <said> = ${alternatives.join('\n  | ')};`,
    `<digit> = ${anyOf(digitWords)};`,
    `<digit_or_oh> = ${anyOf([...digitWords, 'oh'])};`,
    `<one_to_nine> = ${anyOf(digitWords.slice(1))};`,
    `<ten_to_ninety_nine> = ${anyOf(teenWords)} | (${anyOf(tensWords)}) [<one_to_nine>];`,
    `<hundreds> = (<one_to_nine> | ${nameOf('a')}) ${nameOf('hundred')} [[${nameOf('and')}] (<one_to_nine> | <ten_to_ninety_nine>)];`,
    ...usedSlots(grammar).map(([name, slot]) => `<slot_${name}> = ${jsgfSlot(slot, grammar.choices[name] ?? [], nameOf)};`),
    '',
  ].join('\n');
}

function jsgfPhrase(phrase: Phrase, nameOf: (word: string) => string): string {
  if (phrase.type === 'word') return nameOf(phrase.word);
  if (phrase.type === 'slot') return `<slot_${phrase.name}>`;
  if (phrase.type === 'sequence') return phrase.parts.map((part) => jsgfPhrase(part, nameOf)).join(' ');
  const some = phrase.options.filter((option) => option.type !== 'sequence' || option.parts.length > 0);
  const text = some.map((option) => jsgfPhrase(option, nameOf)).join(' | ');
  return some.length < phrase.options.length ? `[${text}]` : `(${text})`;
}

function jsgfSlot(slot: Slot, choices: readonly { phrase: Phrase }[], nameOf: (word: string) => string): string {
  if (slot.type === 'choice') return choices.map(({ phrase }) => jsgfPhrase(phrase, nameOf)).join(' | ');
  if (slot.type === 'number') {
    const longer = [...(slot.max > 9 ? ['<ten_to_ninety_nine>'] : []), ...(slot.max > 99 ? ['<hundreds>'] : [])];
    return `/1/ <digit>${longer.map((rule) => ` | /${longNumberWeight}/ ${rule}`).join('')}`;
  }
  const one =
    slot.type === 'digits' ? '<digit_or_oh>' : `(${[...slot.letters].map((letter) => letterPrefix + letter).join(' | ')})`;
  return `${`${one} `.repeat(slot.min - 1)}${one}${slot.max > slot.min ? '+' : ''}`;
}

/** Small talk around a sentence that does not change its meaning. */
const politeness = new Set(['please', 'um', 'uh', 'er', 'erm', 'well', 'so', 'now', 'hey', 'then', 'just']);
const figureSigns: Readonly<Record<string, string>> = {
  '+': ' plus ',
  '×': ' times ',
  '*': ' times ',
  '÷': ' divided by ',
  '/': ' divided by ',
};

/** Words of a transcript or of typed text: small letters, no punctuation, `+` and its like written out. */
export function spokenWords(text: string): string[] {
  return text
    .toLowerCase()
    .replace(/[’‘`]/g, "'")
    .replace(/[+×*÷/]/g, (sign) => figureSigns[sign]!)
    .replace(/(\d)\s*[-−]\s*(?=\d)/g, '$1 minus ')
    .replace(/[^a-z0-9']+/g, ' ')
    .split(' ')
    .map((word) => word.replace(/^'+|'+$/g, ''))
    .filter((word) => word !== '');
}

/** What the text means, or undefined when it fits no phrase. Tolerates case, punctuation, figures and small talk at the edges. */
export function understand(grammar: Grammar, text: string): Understood | undefined {
  const words = spokenWords(text);
  if (words.length === 0 || words.length > spokenWordsMax) return undefined;
  const exact = fit(grammar, words);
  if (exact !== undefined) return exact;
  const first = words.findIndex((word) => !politeness.has(word));
  const last = words.findLastIndex((word) => !politeness.has(word));
  return first < 0 || (first === 0 && last === words.length - 1) ? undefined : fit(grammar, words.slice(first, last + 1));
}

type Fit = { readonly end: number; readonly slots: Readonly<Record<string, string>> };

function fit(grammar: Grammar, words: readonly string[]): Understood | undefined {
  for (const intent of grammar.intents) {
    for (const phrase of intent.readable) {
      for (const { end, slots } of fits(grammar, phrase, words, 0)) if (end === words.length) return { intent, slots };
    }
  }
  return undefined;
}

/** Every way in which the phrase can be read from `words[from]` on. */
function fits(grammar: Grammar, phrase: Phrase, words: readonly string[], from: number): Fit[] {
  if (phrase.type === 'word') return words[from] === phrase.word ? [{ end: from + 1, slots: {} }] : [];
  if (phrase.type === 'choice') return distinct(phrase.options.flatMap((option) => fits(grammar, option, words, from)));
  if (phrase.type === 'slot') {
    return slotFits(grammar, phrase.name, words, from).map(({ end, value }) => ({ end, slots: { [phrase.name]: value } }));
  }
  let ways: Fit[] = [{ end: from, slots: {} }];
  for (const part of phrase.parts) {
    ways = distinct(
      ways.flatMap((way) =>
        fits(grammar, part, words, way.end).map(({ end, slots }) => ({ end, slots: { ...way.slots, ...slots } })),
      ),
    );
  }
  return ways;
}

/** Ways that end at the same word differ in nothing that matters later: the first is kept, so that their number stays below that of the words. */
function distinct(ways: readonly Fit[]): Fit[] {
  const ends = new Set<number>();
  return ways.filter(({ end }) => !ends.has(end) && ends.add(end));
}

function slotFits(grammar: Grammar, name: string, words: readonly string[], from: number): { end: number; value: string }[] {
  const slot = grammar.slots[name]!;
  if (slot.type === 'number') {
    return numbersAt(words, from)
      .filter(({ value }) => value <= slot.max)
      .map(({ value, end }) => ({ end, value: String(value) }));
  }
  if (slot.type === 'choice') {
    return grammar.choices[name]!.flatMap(({ value, phrase }) =>
      fits(grammar, phrase, words, from).map(({ end }) => ({ end, value })),
    );
  }
  const found: { end: number; value: string }[] = [];
  let value = '';
  for (let at = from; at < words.length && value.length < slot.max; at++) {
    const word = words[at]!;
    const more = slot.type === 'digits' ? digitsIn(word) : lettersIn(word, slot.letters);
    if (more === undefined || value.length + more.length > slot.max) break;
    value += more;
    if (value.length >= slot.min) found.unshift({ end: at + 1, value });
  }
  return found;
}

function digitsIn(word: string): string | undefined {
  if (/^\d+$/.test(word)) return word;
  return digitOf(word)?.toString();
}

function lettersIn(word: string, allowed: string): string | undefined {
  return word.length === 1 && allowed.includes(word) ? word : undefined;
}
