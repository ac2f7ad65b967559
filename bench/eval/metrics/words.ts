/** Words as they are compared: without case and punctuation. Pure. */

export function wordsOf(text: string): string[] {
  return text
    .toLowerCase()
    .normalize('NFKD')
    .replaceAll(/['’]/g, '')
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '');
}

/** Length of the longest common subsequence. */
export function commonCount(left: readonly string[], right: readonly string[]): number {
  let before = new Uint16Array(right.length + 1);
  for (const word of left) {
    const row = new Uint16Array(right.length + 1);
    for (let j = 0; j < right.length; j++) row[j + 1] = right[j] === word ? before[j]! + 1 : Math.max(before[j + 1]!, row[j]!);
    before = row;
  }
  return before[right.length]!;
}

/** How many words both begin with. */
export function commonStart(left: readonly string[], right: readonly string[]): number {
  let count = 0;
  while (count < left.length && count < right.length && left[count] === right[count]) count += 1;
  return count;
}

const fillers = new Set(['uh', 'um', 'er', 'erm', 'ah', 'hm', 'hmm', 'mm', 'mhm']);

/** What is said, without fillers and without what a speaker only says again: `a um, a battery` is `a battery`. */
export function meantWords(text: string): string[] {
  return wordsOf(text)
    .filter((word) => !fillers.has(word))
    .filter((word, index, words) => word !== words[index - 1]);
}
