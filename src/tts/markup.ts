/** What markup looks like in a model's text: tags, emoji, marks that nobody can speak. Pure patterns for `speakable.ts`. */

const attribute = String.raw`\s+[\w:@.-]+=(?:"[^"<\n]*"|'[^'<\n]*'|[^\s"'<>]+)`;
const wholeTag = new RegExp(String.raw`^<(\/?)([a-zA-Z][\w:-]*)(?:${attribute})*\s*(\/?)>$`);
const attributeSoFar = String.raw`\s+(?:[\w:@.-]+(?:=(?:"[^"<\n]*|'[^'<\n]*|[^\s"'<>]*)?)?)?`;
const tagSoFar = new RegExp(String.raw`^<(?:!-?|\/?(?:[a-zA-Z][\w:-]*(?:(?:${attribute})*(?:${attributeSoFar}|\s*\/)?)?)?)$`);
const autolinkStart = /^<(?:https?:\/\/|[\w+-]+@)$/i;

/** Tags that divide words; others stand inside them. */
const dividingTags = /^(?:br|p|div|li|ul|ol|h[1-6]|tr|td|th|table|hr|break)$/i;
/** Tags whose content is not for the caller either. */
const hiddenTags = /^(?:think|thinking|thought|reasoning|scratchpad|script|style)$/i;

/**
 * What text that begins with `<` is, as far as it goes: `open` while more letters decide; a tag, `until` telling what ends the content that
 * is hidden with it; the start of a link in angle brackets; or no markup.
 */
export type TagVerdict =
  | { readonly kind: 'open' }
  | { readonly kind: 'tag'; readonly isDividing: boolean; readonly until: string }
  | { readonly kind: 'autolink' }
  | { readonly kind: 'text' };

export function judgeTag(soFar: string): TagVerdict {
  if (soFar === '<!--') return { kind: 'tag', isDividing: true, until: '-->' };
  const [whole, closing, name = '', empty] = wholeTag.exec(soFar) ?? [];
  if (whole !== undefined) {
    const isHiding = closing === '' && empty === '' && hiddenTags.test(name);
    return { kind: 'tag', isDividing: isHiding || dividingTags.test(name), until: isHiding ? `</${name.toLowerCase()}>` : '' };
  }
  if (autolinkStart.test(soFar)) return { kind: 'autolink' };
  return { kind: tagSoFar.test(soFar) ? 'open' : 'text' };
}

/** Whether what stands behind an opening bracket is, as far as it goes, a footnote or, where a line begins, a checkbox. */
export function mayBeFootnote(content: string, isLineBegin: boolean): boolean {
  return /^(?:\^[^\]\n]{0,40}|\d{0,3})$/.test(content) || (isLineBegin && /^[xX ]$/.test(content));
}

/** Marks that a line can begin with before its text does. */
const lineMarks = /[ \t#>*+\-_=|:•]/;
const linePrefix = /^(?:[ \t]|>)*(?:(?:#{1,6}|[-*+])[ \t]+|•[ \t]*)*\|*[ \t]*/;

export function isLineMark(letter: string): boolean {
  return lineMarks.test(letter);
}

/** How many of the marks at the beginning of a line are a quote, a heading, a bullet or a table's bar. */
export function linePrefixLength(marks: string): number {
  return linePrefix.exec(marks)?.[0].length ?? 0;
}

const wordLetter = /[\p{L}\p{N}]/u;

/** 2 * 3, 2*3, snake_case and ~5 keep their marks; between other letters they are emphasis or a rule. */
export function isLiteralMark(mark: string, count: number, previous: string, next: string): boolean {
  if (mark === '~') return count === 1;
  if (mark === '_') return wordLetter.test(previous) && wordLetter.test(next);
  return count === 1 && ((/\s/.test(previous) && /[^\S\n]/.test(next)) || (/\d/.test(previous) && /\d/.test(next)));
}

const spokenSigns = '\u00a9\u00ae\u2122\u203c\u2049\u2194\u2195';
const keycap = '\u20e3';
const emoji = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u{e0020}-\u{e007f}]/u;
/** Control characters, soft hyphens, marks without width, variation selectors, the replacement character. */
const unspoken = /\p{Cc}|\u00ad|\u200b|\u2060|\ufe0e|\ufe0f|\ufeff|\ufffd/u;

/** Letters below are never emoji on their own. */
const firstEmojiCode = 0x203c;

export function isEmoji(letter: string): boolean {
  if (letter.codePointAt(0)! < firstEmojiCode || spokenSigns.includes(letter)) return false;
  return letter === keycap || emoji.test(letter);
}

export function isUnspoken(letter: string): boolean {
  return unspoken.test(letter);
}
