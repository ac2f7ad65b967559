/**
 * Histograms of one second, as they are kept and sent: the cells of an HDR histogram of two digits (a value is known to 0.8 %), written as
 * pairs of numbers. Pure; every thread, and the dashboard in the browser.
 */

/** Values above are counted as this. Microseconds: a minute. */
export const highestValue = 60_000_000;
/** Values below this have a cell each; above, every doubling has half as many. */
const subCells = 256;
const halfCells = subCells / 2;
/** Enough for `highestValue`. */
export const histogramCells = cellOf(highestValue) + 1;

/** Cell of a whole number from 0 to `highestValue`. */
export function cellOf(value: number): number {
  if (value < subCells) return value;
  const shift = 24 - Math.clz32(value);
  return shift * halfCells + (value >>> shift);
}

/** The smallest value of a cell. */
export function lowestOf(cell: number): number {
  if (cell < subCells) return cell;
  const shift = Math.floor(cell / halfCells) - 1;
  return (cell - shift * halfCells) * 2 ** shift;
}

/** The largest value of a cell: what HDR histograms report for it. */
export function highestOf(cell: number): number {
  return cell < subCells ? cell : lowestOf(cell) + 2 ** (Math.floor(cell / halfCells) - 1) - 1;
}

/** `[steps from the cell before, count, …]`: the filled cells in their order; the first step is from cell 0. Empty: nothing happened. */
export type Pairs = readonly number[];

/** What `now` has more than `before`, which becomes `now`. Counts are 32 bits and may wrap. */
export function pairsSince(before: Int32Array, now: Int32Array): number[] {
  const pairs: number[] = [];
  let last = 0;
  for (let cell = 0; cell < now.length; cell += 1) {
    const value = now[cell]!;
    if (value === before[cell]) continue;
    pairs.push(cell - last, (value - before[cell]!) | 0);
    before[cell] = value;
    last = cell;
  }
  return pairs;
}

/** Several intervals as one histogram. Adding is exact: percentiles of sums, never averages of percentiles. */
export class MergedHistogram {
  readonly #counts = new Map<number, number>();
  #sorted: readonly (readonly [number, number])[] | undefined;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** The highest value of the highest filled cell; 0 when there is none. */
  get max(): number {
    const last = this.cells().at(-1);
    return last === undefined ? 0 : highestOf(last[0]);
  }

  add(pairs: Pairs): this {
    let cell = 0;
    for (let at = 0; at + 1 < pairs.length; at += 2) {
      cell += pairs[at]!;
      const count = pairs[at + 1]!;
      this.#counts.set(cell, (this.#counts.get(cell) ?? 0) + count);
      this.#count += count;
    }
    this.#sorted = undefined;
    return this;
  }

  /** Filled cells in their order, with their counts. */
  cells(): readonly (readonly [cell: number, count: number])[] {
    this.#sorted ??= [...this.#counts].sort((left, right) => left[0] - right[0]);
    return this.#sorted;
  }

  /** The value that `percent` (0 .. 100) of the values do not exceed; undefined when there are none. */
  at(percent: number): number | undefined {
    if (this.#count === 0) return undefined;
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.#count - 1e-9));
    let seen = 0;
    for (const [cell, count] of this.cells()) {
      seen += count;
      if (seen >= wanted) return highestOf(cell);
    }
    return this.max;
  }

  pairs(): number[] {
    let last = 0;
    return this.cells().flatMap(([cell, count]) => {
      const step = cell - last;
      last = cell;
      return [step, count];
    });
  }
}

/** Values that one thread has at hand, as pairs. */
export function pairsOf(values: Iterable<number>): number[] {
  const cells = new Map<number, number>();
  for (const value of values) {
    const cell = cellOf(Math.min(highestValue, Math.max(0, Math.round(value))));
    cells.set(cell, (cells.get(cell) ?? 0) + 1);
  }
  const merged = new MergedHistogram();
  for (const [cell, count] of cells) merged.add([cell, count]);
  return merged.pairs();
}
