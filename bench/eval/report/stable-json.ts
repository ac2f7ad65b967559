/**
 * JSON whose bytes depend on nothing but the values: numbers rounded to what the instrument can tell, no number written as 1e-7 or -0, what was
 * not measured as null, keys in an order of their own. Pure.
 */

/** Microseconds of a millisecond, ten-thousandths of a score: below what any of these numbers mean. */
const decimals = 4;

/** Null for what is not a finite number. */
export function rounded(value: number): number | null {
  if (!Number.isFinite(value)) return null;
  const scaled = 10 ** decimals;
  const whole = Math.round(value * scaled);
  if (!Number.isSafeInteger(whole)) return value;
  return whole === 0 ? 0 : whole / scaled;
}

/**
 * Two-space indentation; arrays of plain numbers on one line; a newline at the end. Keys that `first` names come first and in its order, the others
 * by alphabet.
 */
export function stableJson(value: unknown, first: readonly string[]): string {
  const ranks = new Map(first.map((key, rank) => [key, rank]));
  const rankOf = (key: string): number => ranks.get(key) ?? first.length;
  const byRank = (a: string, b: string): number => rankOf(a) - rankOf(b) || (a < b ? -1 : 1);
  return `${written(value, '', byRank)}\n`;
}

function written(value: unknown, indent: string, byRank: (a: string, b: string) => number): string {
  if (typeof value === 'number') return String(rounded(value));
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    const items = value.map((item: unknown) => written(item, inner, byRank));
    if (value.every((item) => typeof item === 'number')) return `[${items.join(', ')}]`;
    return `[\n${items.map((item) => inner + item).join(',\n')}\n${indent}]`;
  }
  if (typeof value === 'object') {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => byRank(a, b));
    if (entries.length === 0) return '{}';
    const lines = entries.map(([key, item]) => `${inner}${JSON.stringify(key)}: ${written(item, inner, byRank)}`);
    return `{\n${lines.join(',\n')}\n${indent}}`;
  }
  throw new TypeError(`a ${typeof value} has no place in a report`);
}
