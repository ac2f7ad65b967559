/** English numbers as words: what a speaker may say for one, and what was meant. Pure; any thread. */

export const digitWords = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'] as const;
export const teenWords = [
  'ten',
  'eleven',
  'twelve',
  'thirteen',
  'fourteen',
  'fifteen',
  'sixteen',
  'seventeen',
  'eighteen',
  'nineteen',
] as const;
export const tensWords = ['twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety'] as const;

/** Largest number that a `number` slot takes. */
export const numberMax = 999;

const valueOfDigit = new Map<string, number>([...digitWords.map((word, value) => [word, value] as const), ['oh', 0], ['o', 0]]);
const valueOfSmall = new Map<string, number>([
  ...digitWords.map((word, value) => [word, value] as const),
  ...teenWords.map((word, index) => [word, index + 10] as const),
]);
const valueOfTens = new Map<string, number>(tensWords.map((word, index) => [word, (index + 2) * 10]));

/** The digit that a word names, "oh" included, or undefined. */
export function digitOf(word: string): number | undefined {
  return valueOfDigit.get(word);
}

/** A number that starts at `words[from]`: its value, and the index after it. Shorter readings come after longer ones. */
export function numbersAt(words: readonly string[], from: number): { value: number; end: number }[] {
  const word = words[from];
  if (word === undefined) return [];
  if (/^\d{1,3}$/.test(word)) return [{ value: Number(word), end: from + 1 }];
  const found: { value: number; end: number }[] = below100At(words, from);
  const hundreds = word === 'a' ? 1 : (digitOf(word) ?? 0);
  if (hundreds > 0 && words[from + 1] === 'hundred') {
    found.push({ value: hundreds * 100, end: from + 2 });
    const rest = words[from + 2] === 'and' ? from + 3 : from + 2;
    for (const { value, end } of below100At(words, rest)) if (value > 0) found.push({ value: hundreds * 100 + value, end });
  }
  return found.sort((one, other) => other.end - one.end);
}

function below100At(words: readonly string[], from: number): { value: number; end: number }[] {
  const word = words[from] ?? '';
  const small = valueOfSmall.get(word);
  if (small !== undefined) return [{ value: small, end: from + 1 }];
  const tens = valueOfTens.get(word);
  if (tens === undefined) return [];
  const ones = valueOfSmall.get(words[from + 1] ?? '') ?? 0;
  const both = ones > 0 && ones < 10 ? [{ value: tens + ones, end: from + 2 }] : [];
  return [...both, { value: tens, end: from + 1 }];
}

/** 0 .. 999 999 in words, as one says it: 305 is "three hundred and five". Others come back in figures. */
export function numberInWords(value: number): string {
  if (!Number.isInteger(value) || Math.abs(value) > 999_999) return String(value);
  if (value < 0) return `minus ${numberInWords(-value)}`;
  if (value < 10) return digitWords[value]!;
  if (value < 20) return teenWords[value - 10]!;
  if (value < 100) {
    const tens = tensWords[Math.floor(value / 10) - 2]!;
    return value % 10 === 0 ? tens : `${tens} ${digitWords[value % 10]!}`;
  }
  const [unit, name] = value < 1000 ? ([100, 'hundred'] as const) : ([1000, 'thousand'] as const);
  const rest = value % unit;
  const head = `${numberInWords(Math.floor(value / unit))} ${name}`;
  if (rest === 0) return head;
  return `${head} ${rest < 100 ? 'and ' : ''}${numberInWords(rest)}`;
}
