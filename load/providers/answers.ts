/**
 * What the simulated language model answers: scripted answers first, else a deterministic reply that takes up some of the user's words.
 * Pure apart from the script; runs on the simulator's main thread.
 */
import * as z from 'zod';
import { likeness } from './likeness.js';
import { pickOf, type Random, randomOf } from './seeded.js';

const toolCallSchema = z.strictObject({
  name: z.string().min(1),
  /** An object, or text that is sent as it stands (also when it is not JSON). */
  arguments: z.union([z.string(), z.record(z.string(), z.unknown())]).optional(),
});

export const answerSchema = z.strictObject({
  /**
   * Part of the last user message (case does not matter), `/regular expression/flags`, `~text` for the one of several texts that the end of the
   * message is most like, or `*` for everything else.
   */
  match: z.string().min(1),
  /** Part of the system message, when several agents are told apart. */
  system: z.string().min(1).optional(),
  text: z.string().optional(),
  toolCall: toolCallSchema.optional(),
  toolCalls: z.array(toolCallSchema).max(16).optional(),
  /** What is said when the last message is a tool's result. */
  afterTool: z.string().optional(),
  /** Used up after so many answers. */
  times: z.int().min(1).optional(),
});
export type ScriptedAnswer = z.infer<typeof answerSchema>;

/** More answers than this at a time are a mistake of the test. */
export const answersMax = 10_000;

export type PlannedToolCall = { readonly name: string; readonly argumentsText: string };
export type PlannedAnswer = { readonly text: string; readonly toolCalls: readonly PlannedToolCall[] };

/** The part of a conversation that answers depend on. */
export type Asked = {
  readonly system: string;
  readonly user: string;
  /** The last message is a tool's result: its content. */
  readonly toolResult: string | undefined;
};

/** `degreeOf`: how well the rule fits a text, above 0 if it does at all; the best wins, the first of equals. */
type Rule = { readonly answer: ScriptedAnswer; readonly degreeOf: (text: string) => number; left: number };

/** A part of the message, or an expression, is meant for this message: no likeness is above it. */
const certain = 2;
/** `*` is below every likeness. */
const fallback = Number.MIN_VALUE;

function degreesOf(match: string): (text: string) => number {
  if (match === '*') return () => fallback;
  if (match.startsWith('~')) {
    const wanted = match.slice(1);
    return (text) => likeness(text, wanted);
  }
  const matches = matcherOf(match);
  return (text) => (matches(text) ? certain : 0);
}

function matcherOf(match: string): (text: string) => boolean {
  const [, source, flags] = /^\/(.+)\/([a-z]*)$/s.exec(match) ?? [];
  if (source !== undefined) {
    const expression = new RegExp(source, flags?.replace('g', ''));
    return (text) => expression.test(text);
  }
  const wanted = match.toLowerCase();
  return (text) => text.toLowerCase().includes(wanted);
}

export class AnswerBook {
  #rules: Rule[] = [];

  /** Throws SyntaxError for a regular expression that is none. */
  add(answer: ScriptedAnswer): void {
    this.#rules.push({ answer, degreeOf: degreesOf(answer.match), left: answer.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#rules = [];
  }

  get size(): number {
    return this.#rules.length;
  }

  /** The first answer that matches, then the one whose text is most alike, `*` only when no other does; without any, a reply of our own. */
  answer(asked: Asked, seed: number): PlannedAnswer {
    const rule = this.#bestFor(asked);
    if (asked.toolResult !== undefined) {
      return { text: rule?.answer.afterTool ?? `All right. The result is ${asked.toolResult.slice(0, 80)}.`, toolCalls: [] };
    }
    if (rule === undefined) return { text: replyTo(asked.user, seed), toolCalls: [] };
    rule.left -= 1;
    const { text, toolCall, toolCalls } = rule.answer;
    const calls = [...(toolCall === undefined ? [] : [toolCall]), ...(toolCalls ?? [])].map((call) => ({
      name: call.name,
      argumentsText: typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments ?? {}),
    }));
    return { text: text ?? '', toolCalls: calls };
  }

  #bestFor({ system, user }: Asked): Rule | undefined {
    let best: Rule | undefined;
    let bestDegree = 0;
    for (const rule of this.#rules) {
      if (rule.left <= 0 || (rule.answer.system !== undefined && !system.includes(rule.answer.system))) continue;
      const degree = rule.degreeOf(user);
      if (degree <= bestDegree) continue;
      best = rule;
      bestDegree = degree;
    }
    return best;
  }
}

const openers = [
  'Sure, I can help you with that right away.',
  'Of course, let me have a look at it for you.',
  'Good question, and the answer is fairly simple.',
  'Thanks for telling me, that makes it much clearer.',
  'All right, I have everything that I need now.',
  'Yes, that should not be a problem at all.',
];
const middles = [
  'You mentioned {words}, so I checked our notes and found two good options for you this week.',
  'When it comes to {words}, most people choose the earlier time because it leaves the afternoon free.',
  'I made a note about {words}, and somebody from the team will look after it before tomorrow evening.',
  'As for {words}, the usual way takes about twenty minutes and costs nothing extra for you.',
  'I looked up {words} for you, and everything seems to be in order on our side today.',
];
const closers = [
  'Would you like me to go ahead with it?',
  'Does that sound good to you?',
  'Please tell me if you would rather have it another way.',
  'Is there anything else that I should know about it?',
  'I will send you a short message when it is done.',
];
const chapters = [
  'A long time ago there was a small town by the river where everybody knew everybody else by name.',
  'One morning a young woman found an old map under the floor of her kitchen and wondered who had left it there.',
  'She asked her neighbour about it, and he remembered a sailor who had lived in the house when he was a child.',
  'So they packed some bread and two blankets and followed the river down to the sea.',
  'There they found a box full of letters, all of them written to the people of the town and never sent.',
  'And ever since that day the people of the town meet once a year and read a letter to each other.',
];

const stopWords = new Set(
  'about after again also been before being could does doing down from give going have here hello into just know like long make more much need only over please really right said some story sure take tell than thank thanks that their them then there they thing this those very want wanted well were what when where which while will with would yeah your'.split(
    ' ',
  ),
);

/** Up to three telling words of what the user said, in order. */
function tellingWords(text: string): string[] {
  const words = text.toLowerCase().match(/\p{L}{4,}/gu) ?? [];
  return [...new Set(words.filter((word) => !stopWords.has(word)))].slice(-3);
}

function listed(words: readonly string[], random: Random): string {
  if (words.length === 0) return pickOf(random, ['your request', 'your question', 'what you said']);
  return words.length === 1 ? words[0]! : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

/** Two or three spoken sentences of 25 to 60 words; a long story when the user speaks of a story or of something long. */
export function replyTo(text: string, seed: number): string {
  const random = randomOf(seed, 'reply', text);
  const words = listed(tellingWords(text), random);
  if (/\b(?:story|long)\b/i.test(text)) return [`Here is a story about ${words}.`, ...chapters].join(' ');
  const sentences = [pickOf(random, openers), pickOf(random, middles).replace('{words}', words)];
  if (random() < 0.7 || sentences.join(' ').split(' ').length < 25) sentences.push(pickOf(random, closers));
  return sentences.join(' ');
}

/** Everything that `replyTo` can say apart from the user's own words: for making these words beforehand. */
export const replyTexts: readonly string[] = [
  ...openers,
  ...middles.map((text) => text.replace('{words}', 'your request')),
  ...closers,
  ...chapters,
];
