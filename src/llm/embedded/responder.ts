/**
 * The demo agent's answers without a language model: the last user message is read with the agent's grammar, and the reply of the intent
 * it fits is filled in. No state of its own: the same messages at the same minute give the same answer. Conversation thread.
 */
import { EngineError } from '../../shared/errors.js';
import { demoGrammar } from '../../stt/embedded/demo-grammar.js';
import { type Grammar, parseGrammar, placeholderPattern, type Understood, understand } from '../../stt/embedded/grammar.js';
import { numberInWords } from '../../stt/embedded/numbers.js';
import { unintelligible } from '../../stt/port.js';
import type { ChatMessage, LlmDelta, LlmProvider, LlmRequest } from '../port.js';

export type EmbeddedResponderOptions = {
  /** The local time that replies tell. */
  readonly now?: () => Date;
};

/** Compiled grammars kept; all are forgotten when there are more. */
const grammarsMax = 64;

export class EmbeddedResponder implements LlmProvider {
  readonly name = 'embedded';
  readonly #now: () => Date;
  readonly #grammars = new Map<unknown, Grammar>();

  constructor(options: EmbeddedResponderOptions = {}) {
    this.#now = options.now ?? (() => new Date());
  }

  async *stream(request: LlmRequest): AsyncGenerator<LlmDelta, void, undefined> {
    const answer = answerTo(request.messages, this.#grammarOf(request.grammar ?? demoGrammar), this.#now());
    for (const text of piecesOf(answer.text)) {
      // The consumer's turn to act between two pieces: an abort takes effect before the next one.
      await Promise.resolve();
      refuseAborted(request.signal);
      yield { type: 'text', text };
    }
    refuseAborted(request.signal);
    if (answer.endsCall) {
      const reason = 'The caller said goodbye.';
      yield {
        type: 'tool_call',
        call: { id: `end_call_${request.messages.length}`, name: 'end_call', argumentsJson: JSON.stringify({ reason }) },
      };
    }
    yield { type: 'end', finish: answer.endsCall ? 'tool_calls' : 'stop' };
  }

  /** Nothing to connect to. */
  async warm(): Promise<void> {}

  async close(): Promise<void> {
    this.#grammars.clear();
  }

  #grammarOf(json: unknown): Grammar {
    let grammar = this.#grammars.get(json);
    if (grammar === undefined) {
      grammar = parseGrammar(json);
      if (this.#grammars.size >= grammarsMax) this.#grammars.clear();
      this.#grammars.set(json, grammar);
    }
    return grammar;
  }
}

function refuseAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new EngineError('aborted', 'The reply was aborted');
}

export type Answer = { readonly text: string; readonly endsCall: boolean };

/** The whole answer to the last user message. Throws nothing; a conversation without one gets the first reply for what is not understood. */
export function answerTo(messages: readonly ChatMessage[], grammar: Grammar, now: Date): Answer {
  const lastUser = messages.findLastIndex(({ role }) => role === 'user');
  const said = messages[lastUser]?.content ?? '';
  const turn = messages.slice(0, lastUser).filter(({ role }) => role === 'user').length;
  const understood = said.includes(unintelligible) ? undefined : understand(grammar, said);
  if (understood === undefined)
    return { text: nthOf(grammar.notUnderstood, missedBefore(messages.slice(0, lastUser), grammar)), endsCall: false };
  const { intent, slots } = understood;
  const previous = messages
    .slice(0, Math.max(0, lastUser))
    .findLast(({ role, content }) => role === 'assistant' && content.trim() !== '');
  const values = { ...spokenSlots(grammar, slots), ...facts(understood, previous?.content, now) };
  const text = nthOf(intent.replies, turn).replace(
    placeholderPattern,
    (placeholder, name: string) => values[name] ?? placeholder,
  );
  return { text: sentenceCase(text), endsCall: intent.ends_call };
}

/** How often the caller was not understood so far. */
function missedBefore(messages: readonly ChatMessage[], grammar: Grammar): number {
  return messages.filter(({ role, content }) => role === 'assistant' && grammar.notUnderstood.includes(content)).length;
}

function nthOf(texts: readonly string[], index: number): string {
  return texts[index % texts.length]!;
}

/** The values of the slots as one says them. */
function spokenSlots(grammar: Grammar, slots: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(slots).map(([name, value]) => {
      const type = grammar.slots[name]!.type;
      if (type === 'number') return [name, numberInWords(Number(value))];
      if (type === 'digits') return [name, [...value].map((digit) => numberInWords(Number(digit))).join(' ')];
      if (type === 'letters') return [name, [...value.toUpperCase()].join(', ')];
      return [name, value];
    }),
  );
}

function facts({ slots }: Understood, previous: string | undefined, now: Date): Record<string, string> {
  return {
    result: resultOf(slots),
    time: timeInWords(now),
    date: dateInWords(now),
    previous: previous ?? 'I have not said anything yet.',
  };
}

/** Of the slots `first`, `operator` and `second`. */
function resultOf(slots: Readonly<Record<string, string>>): string {
  const first = Number(slots['first']);
  const second = Number(slots['second']);
  switch (slots['operator']) {
    case 'plus':
      return numberInWords(first + second);
    case 'minus':
      return numberInWords(first - second);
    case 'times':
    case 'multiplied by':
      return numberInWords(first * second);
    case 'divided by':
      return quotientInWords(first, second);
    default:
      return 'not something I can work out';
  }
}

function quotientInWords(first: number, second: number): string {
  if (second === 0) return 'not defined';
  const whole = Math.floor(first / second);
  const rest = first % second;
  return rest === 0 ? numberInWords(whole) : `${numberInWords(whole)}, remainder ${numberInWords(rest)}`;
}

/** "five past", but without figures: "three fifteen p m", "three oh five p m", "three o'clock p m". */
function timeInWords(now: Date): string {
  const hour = numberInWords(now.getHours() % 12 === 0 ? 12 : now.getHours() % 12);
  const minutes = now.getMinutes();
  const half = now.getHours() < 12 ? 'a m' : 'p m';
  if (minutes === 0) return `${hour} o'clock ${half}`;
  return `${hour} ${minutes < 10 ? 'oh ' : ''}${numberInWords(minutes)} ${half}`;
}

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const ordinals = [
  'first',
  'second',
  'third',
  'fourth',
  'fifth',
  'sixth',
  'seventh',
  'eighth',
  'ninth',
  'tenth',
  'eleventh',
  'twelfth',
];

function dateInWords(now: Date): string {
  return `${days[now.getDay()]}, ${months[now.getMonth()]} the ${ordinalInWords(now.getDate())}`;
}

/** 1 .. 31 */
function ordinalInWords(value: number): string {
  if (value <= 12) return ordinals[value - 1]!;
  if (value < 20) return `${numberInWords(value)}th`;
  if (value % 10 === 0) return value === 20 ? 'twentieth' : 'thirtieth';
  return `${value < 30 ? 'twenty' : 'thirty'} ${ordinals[(value % 10) - 1]!}`;
}

function sentenceCase(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A few words each, as a language model would give them. */
function piecesOf(text: string): string[] {
  return text.match(/\S+\s*(?:\S+\s*){0,2}/g) ?? [];
}
