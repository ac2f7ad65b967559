/** How much what somebody said is like a text that they were to say, word by word. Pure. */

/** Likeness below this is chance: two sentences of one language share words. */
const likenessMin = 0.34;
/** Words that are in every other sentence: one of them alone is a likeness to none. */
const commonWords = new Set(
  'a an and are at do for i in is it my of on or so that the then this to was we what you your'.split(' '),
);
/** Words of one message that are looked at; of a longer one the end. */
const wordsMax = 200;

function wordsOf(text: string): string[] {
  return (text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? []).slice(-wordsMax);
}

/**
 * 0 .. 1: the share of words that the end of `said` and `text` have in common, in order, of all that they have. Misheard, missing and further
 * words cost their share. The end may begin anywhere: what was said before, which the engine may have joined to it, costs nothing; so of two texts
 * that were said one after the other the last one is more alike. All of `said` being a small part of `text` is a likeness, too: the engine may
 * have asked too soon. 0 for what is not alike.
 */
export function likeness(said: string, text: string): number {
  const [heard, wanted] = [wordsOf(said), wordsOf(text)];
  if (heard.length === 0 || wanted.length === 0) return 0;
  let best = 0;
  // Row i of the table: common words, in order, of the last i words heard and the end of the text from each of its words on.
  let row = new Uint16Array(wanted.length + 1);
  for (let from = heard.length - 1; from >= 0; from -= 1) {
    const next = new Uint16Array(wanted.length + 1);
    for (let index = wanted.length - 1; index >= 0; index -= 1) {
      next[index] = heard[from] === wanted[index] ? row[index + 1]! + 1 : Math.max(row[index]!, next[index + 1]!);
    }
    row = next;
    best = Math.max(best, (2 * row[0]!) / (heard.length - from + wanted.length));
  }
  const isTelling = row[0]! > 1 || heard.some((word) => wanted.includes(word) && !commonWords.has(word));
  const [precision, recall] = [row[0]! / heard.length, row[0]! / wanted.length];
  // The weighted mean of the two in which precision counts more (F with β = ½).
  if (row[0]! > 0 && isTelling) best = Math.max(best, (1.25 * precision * recall) / (0.25 * precision + recall));
  return best >= likenessMin ? best : 0;
}
