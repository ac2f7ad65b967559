/**
 * Takes out of a model's text what nobody should hear: markdown, emoji, code blocks, HTML and thinking tags, link targets. Works on a stream,
 * one UTF-16 unit at a time, and knows for each unit that is left where it stood. Pure.
 *
 * What is left is the original letters in their order; a space stands in where a block, an emoji or a table bar divided two words.
 */
import { isEmoji, isLineMark, isLiteralMark, isUnspoken, judgeTag, linePrefixLength, mayBeFootnote } from './markup.js';
import { isSpace } from './sentence-end.js';

/** Longest tag, and longest run of marks, that is kept while more letters decide. */
const heldMax = 200;
const zeroWidthJoiner = '\u200d';

type Mode =
  | 'text'
  /** At the beginning of a line, holding what may be a heading, a bullet, a quote, a rule. */
  | 'line_start'
  /** Holding a run of one mark: asterisks, underscores, backquotes, tildes. */
  | 'marks'
  /** Holding a backslash. */
  | 'escape'
  /** Holding what may be a tag. */
  | 'tag'
  /** Holding an opening bracket and what may be a footnote or a checkbox. */
  | 'bracket'
  /** After a closing bracket. */
  | 'bracket_end'
  /** Inside the target of a link, `#depth` brackets deep; inside its reference. */
  | 'link_target'
  | 'link_reference'
  /** Inside a code block, and behind the marks that close it. */
  | 'fence'
  | 'fence_end'
  /** Inside what ends with `#hiddenUntil`. */
  | 'hidden';

type Held = { readonly letter: string; readonly index: number };

/** Whether there is anything in a text, or in one character of it, that makes a sound. */
export function isSpeakable(text: string): boolean {
  return /[\p{L}\p{N}]/u.test(text);
}

export class SpeakableText {
  /** What is left and not yet taken. Never begins with a space. */
  text = '';
  /** Index in the original of each unit of `text`; ascending. */
  offsets: number[] = [];

  #mode: Mode = 'line_start';
  #held: Held[] = [];
  /** Units of the original seen. */
  #seen = 0;
  #highSurrogate = '';
  /** The last letter left in, to tell `snake_case` and 2*3 from emphasis. */
  #previous = '\n';
  #isInCode = false;
  #isAutolink = false;
  /** Where something was taken out that divides words; it becomes a space when none is there. -1: nothing was. */
  #gapIndex = -1;
  #depth = 0;
  #fenceMark = '`';
  #fenceRun = 0;
  #hiddenUntil = '';
  #hiddenTail = '';

  /** Original index up to which everything has been left in or taken out for good; what is held back begins here. */
  get settledIndex(): number {
    return this.#held[0]?.index ?? this.#seen - this.#highSurrogate.length;
  }

  /** The next unit of the original. */
  push(unit: string): void {
    const index = this.#seen;
    this.#seen += 1;
    const high = this.#highSurrogate;
    this.#highSurrogate = '';
    const code = unit.charCodeAt(0);
    if (code < 0xd800 || code > 0xdfff) this.#see(unit, index);
    else if (code < 0xdc00) this.#highSurrogate = unit;
    else if (high !== '') this.#see(high + unit, index - 1);
    // Half a pair without the other half cannot be spoken.
  }

  /** No more text. Marks that open nothing are not spoken; what looked like a tag is, and the content of a bracket. */
  end(): void {
    const held = this.#release();
    const spoken = this.#mode === 'tag' ? held : this.#mode === 'bracket' ? held.slice(1) : [];
    for (const { letter, index } of spoken) this.#leave(letter, index);
    this.#highSurrogate = '';
    this.#mode = 'text';
  }

  /** Removes the first `length` units, and the spaces behind them. */
  take(length: number): void {
    let from = length;
    while (from < this.text.length && isSpace(this.text.charCodeAt(from))) from += 1;
    this.text = this.text.slice(from);
    this.offsets.splice(0, from);
  }

  #see(letter: string, index: number): void {
    switch (this.#mode) {
      case 'text':
        this.#seeText(letter, index);
        break;
      case 'line_start':
        this.#seeLineStart(letter, index);
        break;
      case 'marks':
        this.#seeMarks(letter, index);
        break;
      case 'escape':
        this.#seeEscaped(letter, index);
        break;
      case 'tag':
        this.#seeTag(letter, index);
        break;
      case 'bracket':
        this.#seeBracket(letter, index);
        break;
      case 'bracket_end':
        this.#mode = letter === '(' ? 'link_target' : letter === '[' ? 'link_reference' : 'text';
        this.#depth = 1;
        if (this.#mode === 'text') this.#seeText(letter, index);
        break;
      default:
        this.#skip(letter, index);
    }
  }

  /** Inside what is not spoken at all. */
  #skip(letter: string, index: number): void {
    switch (this.#mode) {
      case 'link_target':
      case 'link_reference':
        if (letter === '(') this.#depth += 1;
        if (letter === ')') this.#depth -= 1;
        if (this.#depth === 0 || letter === '\n' || (letter === ']' && this.#mode === 'link_reference')) this.#mode = 'text';
        if (letter === '\n') this.#seeText(letter, index);
        break;
      case 'fence':
        this.#fenceRun = letter === this.#fenceMark ? this.#fenceRun + 1 : 0;
        if (this.#fenceRun === 3) this.#mode = 'fence_end';
        break;
      case 'fence_end':
        if (letter === this.#fenceMark) break;
        this.#mode = 'text';
        this.#seeText(letter, index);
        break;
      case 'hidden':
        this.#hiddenTail = (this.#hiddenTail + letter.toLowerCase()).slice(-this.#hiddenUntil.length);
        if (this.#hiddenTail === this.#hiddenUntil) this.#mode = 'text';
    }
  }

  #seeText(letter: string, index: number): void {
    if (letter === '\n') {
      this.#isInCode = false;
      this.#isAutolink = false;
      this.#leave(letter, index);
      this.#mode = 'line_start';
    } else if (letter === '`') this.#hold('marks', letter, index);
    else if (this.#isInCode) this.#leave(letter, index);
    else if (letter === '*' || letter === '_' || letter === '~') this.#hold('marks', letter, index);
    else if (letter === '\\') this.#hold('escape', letter, index);
    else if (letter === '<') this.#hold('tag', letter, index);
    else if (letter === '[') {
      this.#takeBackImageMark(index);
      this.#hold('bracket', letter, index);
    } else if (letter === ']') this.#mode = 'bracket_end';
    else if (letter === '|') this.#divide(index);
    else if (letter === '>' && this.#isAutolink) this.#isAutolink = false;
    else this.#leave(letter, index);
  }

  #seeLineStart(letter: string, index: number): void {
    if (isLineMark(letter)) {
      // A longer run is a rule or a drawing; its beginning stands for all of it.
      if (this.#held.length < heldMax) this.#held.push({ letter, index });
      return;
    }
    const held = this.#release();
    this.#mode = 'text';
    // Rules, the second row of a table, bullets without text: nothing to say.
    if (letter !== '\n' && held.length < heldMax) {
      const marks = held.map((one) => one.letter).join('');
      this.#seeAll(held.slice(linePrefixLength(marks)));
    }
    this.#see(letter, index);
  }

  #seeMarks(letter: string, index: number): void {
    const [first] = this.#held;
    const mark = first!.letter;
    if (letter === mark) {
      if (this.#held.length < heldMax) this.#held.push({ letter, index });
      return;
    }
    const held = this.#release();
    this.#mode = 'text';
    if (held.length >= 3 && (mark === '`' || mark === '~')) {
      this.#divide(first!.index);
      this.#mode = 'fence';
      this.#fenceMark = mark;
      this.#fenceRun = 0;
      return;
    }
    if (mark === '`') this.#isInCode = !this.#isInCode;
    else if (isLiteralMark(mark, held.length, this.#previous, letter)) for (const one of held) this.#leave(one.letter, one.index);
    this.#see(letter, index);
  }

  #seeEscaped(letter: string, index: number): void {
    const [backslash] = this.#release();
    this.#mode = 'text';
    if (/[!-/:-@[-`{-~]/.test(letter)) this.#leave(letter, index);
    else {
      if (letter !== '\n') this.#leave('\\', backslash!.index);
      this.#seeText(letter, index);
    }
  }

  #seeTag(letter: string, index: number): void {
    this.#held.push({ letter, index });
    const verdict = judgeTag(this.#held.map((one) => one.letter).join(''));
    if (verdict.kind === 'open' && this.#held.length < heldMax) return;
    const held = this.#release();
    this.#mode = 'text';
    if (verdict.kind === 'tag') {
      if (verdict.isDividing) this.#divide(held[0]!.index);
      if (verdict.until === '') return;
      this.#mode = 'hidden';
      this.#hiddenUntil = verdict.until;
      this.#hiddenTail = '';
      return;
    }
    if (verdict.kind === 'autolink') this.#isAutolink = true;
    else this.#leave('<', held[0]!.index);
    this.#seeAll(held.slice(1));
  }

  #seeBracket(letter: string, index: number): void {
    if (letter === ']') {
      this.#divide(this.#release()[0]!.index);
      this.#mode = 'bracket_end';
      return;
    }
    this.#held.push({ letter, index });
    const inside = this.#held.slice(1);
    const isLineBegin = this.text === '' || this.text.endsWith('\n');
    if (mayBeFootnote(inside.map((one) => one.letter).join(''), isLineBegin)) return;
    this.#release();
    this.#mode = 'text';
    this.#seeAll(inside);
  }

  /** "![" begins an image: its mark is no exclamation. */
  #takeBackImageMark(index: number): void {
    if (!this.text.endsWith('!') || this.offsets.at(-1) !== index - 1) return;
    this.text = this.text.slice(0, -1);
    this.offsets.pop();
  }

  #seeAll(letters: readonly Held[]): void {
    for (const { letter, index } of letters) this.#see(letter, index);
  }

  #hold(mode: Mode, letter: string, index: number): void {
    this.#mode = mode;
    this.#held = [{ letter, index }];
  }

  #release(): Held[] {
    const held = this.#held;
    this.#held = [];
    return held;
  }

  #divide(index: number): void {
    if (this.#gapIndex < 0) this.#gapIndex = index;
  }

  /** Leaves a letter in, unless it cannot be spoken. */
  #leave(letter: string, index: number): void {
    this.#previous = letter;
    if (isSpace(letter.charCodeAt(0))) {
      if (letter !== '\r') this.#append(letter, index);
    } else if (isEmoji(letter) || (letter === zeroWidthJoiner && this.#gapIndex >= 0)) this.#divide(index);
    else if (!isUnspoken(letter)) {
      if (this.#gapIndex >= 0) this.#closeGap(letter);
      this.#append(letter, index);
    }
  }

  /** Two words that something stood between stay apart; a mark moves up to its word. */
  #closeGap(next: string): void {
    const index = this.#gapIndex;
    this.#gapIndex = -1;
    if (/[.,!?;:)…]/.test(next)) {
      while (this.text.endsWith(' ')) {
        this.text = this.text.slice(0, -1);
        this.offsets.pop();
      }
    } else if (this.text !== '' && !isSpace(this.text.charCodeAt(this.text.length - 1))) this.#append(' ', index);
  }

  /** Of several spaces the first stays, and two line breaks. */
  #append(letter: string, index: number): void {
    const { text } = this;
    if (isSpace(letter.charCodeAt(0))) {
      const isAfterSpace = text === '' || isSpace(text.charCodeAt(text.length - 1));
      if (isAfterSpace && (text === '' || letter !== '\n' || text.endsWith('\n\n'))) return;
    }
    this.text = text + letter;
    for (let unit = 0; unit < letter.length; unit++) this.offsets.push(index + unit);
  }
}
