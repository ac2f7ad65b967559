/**
 * Where sentences and clauses end. Works on speakable text (`speakable.ts`), word by word, and says when it cannot know yet. Pure.
 */
import {
  endsBeforeCapital,
  endsBeforeStarter,
  neverEnds,
  openBeforeNumber,
  ordinalFollows,
  sentenceStarters,
} from './abbreviations.js';

/** A sentence end that no space has confirmed counts after this long without a token. */
export const endPatienceMs = 80;
/** The same where a number or an abbreviation may go on ("3." "50", "etc." "and so on"): tokens of one number come close together. */
export const doubtPatienceMs = 250;

/**
 * `open`: the text that decides has not come. When none comes for `patienceMs`, it is an end; Infinity: it never is.
 */
export type EndVerdict =
  | { readonly kind: 'end' }
  | { readonly kind: 'no' }
  | { readonly kind: 'open'; readonly patienceMs: number };

const end: EndVerdict = { kind: 'end' };
const no: EndVerdict = { kind: 'no' };
const open = (patienceMs: number): EndVerdict => ({ kind: 'open', patienceMs });

/** Marks that may stand behind the end of a sentence. German closes with “ and, the other way round, with «. */
const closers = '"\'”’»›)]}）」』】';
const wordClosers = `${closers}“‘«‹`;
const openers = /^["'“”‘’„‚«»‹([{¿¡（「『【]+/u;
/** Marks that end a word by themselves: those of scripts without spaces, and the dash that English sets without them. */
const unspacedMarks = '。！？，、；：—';
const firstUnspacedCode = 0x2014;

export function isSpace(code: number): boolean {
  if (code < 0xa0) return code === 0x20 || (code >= 0x09 && code <= 0x0d);
  return (
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  );
}

/** First index at or after `from` that is no space; the text's length when there is none. */
export function skipSpaces(text: string, from: number): number {
  let at = from;
  while (at < text.length && isSpace(text.charCodeAt(at))) at += 1;
  return at;
}

function skipClosers(text: string, from: number): number {
  let at = from;
  while (at < text.length && closers.includes(text[at]!)) at += 1;
  return at;
}

function withoutClosers(text: string, start: number, wordEnd: number): string {
  let coreEnd = wordEnd;
  while (coreEnd > start && wordClosers.includes(text[coreEnd - 1]!)) coreEnd -= 1;
  return text.slice(start, coreEnd);
}

/** One past the word that begins at `start`: the next space, or what follows a mark that needs none. */
export function endOfWord(text: string, start: number): number {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (isSpace(code)) return at;
    if (code < firstUnspacedCode || !unspacedMarks.includes(text[at]!)) continue;
    let end = at + 1;
    while (end < text.length && unspacedMarks.includes(text[end]!)) end += 1;
    return skipClosers(text, end);
  }
  return text.length;
}

/** Addresses, paths and names of code keep their dots and capitals. */
function isAddress(word: string): boolean {
  return /[@/\\_=]|^["'(]*www\./i.test(word);
}

/** Ends inside a word, where a model forgot the space: "One.Two". Each is one past the mark and its closing quotes. */
export function endsInside(text: string, start: number, wordEnd: number): number[] {
  const word = text.slice(start, wordEnd);
  if (!/[.!?]./u.test(word) || isAddress(word)) return [];
  const joints = /(?<=\p{Ll}{2}|\p{N}{4}|[)"”’»])[.!?]+["”’»)]*(?=["“„«(]?\p{Lu}(?:[\p{Ll}'’ ,]|$))/gu;
  return [...word.matchAll(joints)].map((joint) => start + joint.index + joint[0].length);
}

type Ending =
  /** A plain end. */
  | 'end'
  /** A number and a full stop: decimals go on without a space. */
  | 'number'
  | 'before_capital'
  | 'before_starter'
  | 'before_number'
  /** An end, unless the quotation is closed after a space, as French does. */
  | 'in_quotation'
  /** An abbreviation, an initial, a list number, dots: no end whatever follows. */
  | 'never'
  | 'none';

function wordBefore(text: string, start: number): string {
  return /(\S*)\s*$/u.exec(text.slice(Math.max(0, start - 40), start))?.[1] ?? '';
}

/** "1. Apples": at the beginning of a line, or after a sentence or a colon. */
function isListNumber(text: string, start: number): boolean {
  let before = start;
  while (before > 0 && isSpace(text.charCodeAt(before - 1))) before -= 1;
  if (before === 0 || text.slice(before, start).includes('\n') || text[before - 1] === ':') return true;
  let wordStart = before;
  while (wordStart > 0 && !isSpace(text.charCodeAt(wordStart - 1))) wordStart -= 1;
  const ending = endingOf(text, wordStart, before);
  return ending === 'end' || ending === 'number' || ending === 'in_quotation';
}

function isInQuotation(text: string, wordEnd: number): boolean {
  const before = text.slice(0, wordEnd);
  return before.lastIndexOf('«') > before.lastIndexOf('»');
}

function endingOf(text: string, start: number, wordEnd: number): Ending {
  const core = withoutClosers(text, start, wordEnd);
  // Only closing quotes: they belong to what stands before the space.
  if (core === '') return closers.includes(text[start]!) && /[.!?]$/.test(wordBefore(text, start)) ? 'end' : 'none';
  const marks = /[.!?…。！？؟।]+$/u.exec(core)?.[0];
  if (marks === undefined) return 'none';
  if (/[^.…]/u.test(marks)) return isInQuotation(text, wordEnd) ? 'in_quotation' : 'end';
  if (marks !== '.') return 'never';

  const ending = endingOfBody(text, start, core.slice(0, -1).replace(openers, ''));
  return ending === 'end' && isInQuotation(text, wordEnd) ? 'in_quotation' : ending;
}

/** What one full stop behind `body` is. */
function endingOfBody(text: string, start: number, body: string): Ending {
  if (/^\d{1,3}$/.test(body)) {
    if (isListNumber(text, start)) return 'never';
    const before = wordBefore(text, start);
    return before.endsWith(',') || ordinalFollows.has(before.toLowerCase()) ? 'never' : 'number';
  }
  if (/\d$/.test(body)) return 'number';
  const lastPart = body.slice(Math.max(body.lastIndexOf('-'), body.lastIndexOf('/')) + 1);
  const names = [body.toLowerCase(), lastPart.toLowerCase()];
  const isOneOf = (list: ReadonlySet<string>): boolean => names.some((name) => list.has(name));
  if (isOneOf(endsBeforeCapital) || /^[IVXLC]{2,}$/.test(body)) return 'before_capital';
  if (isOneOf(endsBeforeStarter)) return 'before_starter';
  if (isOneOf(neverEnds) || /\p{L}str$/iu.test(body)) return 'never';
  if (isOneOf(openBeforeNumber)) return 'before_number';
  const isInitials = /^(?:\p{L}\.-?)+\p{L}$/u.test(body) || (/^\p{L}$/u.test(lastPart) && lastPart !== 'I');
  return isInitials ? 'never' : 'end';
}

const beginsCapital = /^["'“„«(]?\p{Lu}/u;
const firstWord = /^["'“„«(]?(\p{L}+)[^\p{L}]/u;
/** Letters of the text behind a word that are looked at. */
const aheadMax = 40;

/** Whether the word after an abbreviation likes to begin sentences; open until it is complete. */
function judgeStarter(ahead: string): EndVerdict {
  if (!beginsCapital.test(ahead)) return no;
  const word = firstWord.exec(ahead)?.[1];
  if (word === undefined) return ahead.length < aheadMax ? open(doubtPatienceMs) : no;
  return sentenceStarters.has(word.toLowerCase()) ? end : no;
}

/** The text after the spaces decides what the word and its mark left undecided. */
function resolved(ending: Ending, word: string, spaces: string, ahead: string): EndVerdict {
  const newlines = spaces.split('\n').length - 1;
  switch (ending) {
    case 'end':
    case 'number':
      return end;
    case 'before_capital':
      return newlines > 0 || beginsCapital.test(ahead) ? end : no;
    case 'before_starter':
      return newlines > 0 ? end : judgeStarter(ahead);
    case 'before_number':
      return newlines === 0 && /^[\d\p{Ll}]/u.test(ahead) ? no : end;
    case 'in_quotation':
      return ahead.startsWith('»') ? no : end;
    case 'never':
    case 'none':
      // A line without a mark is an end too, unless it was only wrapped.
      if (ending === 'never' && !/[.…]{2}$|…$/.test(word)) return no;
      return newlines > 1 || (newlines === 1 && !/^\p{Ll}/u.test(ahead) && !/[,;–—-]$/.test(word)) ? end : no;
  }
}

/** How long a word that nothing follows yet waits, `spaces` being what has come behind it. */
function patienceMs(ending: Ending, word: string, spaces: string): number {
  switch (ending) {
    case 'end':
    case 'in_quotation':
      return endPatienceMs;
    case 'number':
    case 'before_capital':
    case 'before_starter':
    case 'before_number':
      return spaces.includes('\n') ? endPatienceMs : doubtPatienceMs;
    case 'never':
    case 'none':
      return resolved(ending, word, spaces, '').kind === 'end' ? endPatienceMs : Number.POSITIVE_INFINITY;
  }
}

/** Does a sentence end with the word at `start` .. `wordEnd`? What is known of the text after it is looked at. */
export function judgeEnd(text: string, start: number, wordEnd: number): EndVerdict {
  const ending = endingOf(text, start, wordEnd);
  const next = skipSpaces(text, wordEnd);
  const word = text.slice(start, wordEnd);
  const spaces = text.slice(wordEnd, next);
  if (wordEnd < text.length && (ending === 'end' || ending === 'number')) return end;
  if (next === text.length) return open(patienceMs(ending, word, spaces));
  return resolved(ending, word, spaces, text.slice(next, next + aheadMax));
}

/** Does a clause end with the word, which a space follows? A comma, semicolon, colon or dash. */
export function isClauseEnd(text: string, start: number, wordEnd: number): boolean {
  const core = withoutClosers(text, start, wordEnd);
  return /[,;:—，、；：]$/u.test(core) || /^(?:-|–|--)$/.test(core);
}
