/** The heat map of one stage: columns of time, rows of latency (four to a doubling), how many values fell into each. Pure. */
import { lowestOf } from '../../../src/telemetry/interval-histogram.js';
import { type Column, merged } from './windows.js';

export const rowsPerDoubling = 4;
/** All below this share the lowest row. */
const lowestUs = 16;

export const rowOf = (value: number): number => Math.floor(Math.log2(Math.max(lowestUs, value)) * rowsPerDoubling);
/** Where a row begins. */
export const bottomOf = (row: number): number => 2 ** (row / rowsPerDoubling);

export type HeatMap = {
  readonly columns: readonly { readonly atS: number; readonly counts: ReadonlyMap<number, number> }[];
  /** Inclusive; equal when there is nothing. */
  readonly lowestRow: number;
  readonly highestRow: number;
  readonly countMax: number;
};

export function heatMapOf(columns: readonly Column[], name: string): HeatMap {
  let [lowestRow, highestRow, countMax] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  const made = columns.map(({ atS, buckets }) => {
    const counts = new Map<number, number>();
    for (const [cell, count] of merged(buckets, name).cells()) {
      const row = rowOf(lowestOf(cell));
      const sum = (counts.get(row) ?? 0) + count;
      counts.set(row, sum);
      lowestRow = Math.min(lowestRow, row);
      highestRow = Math.max(highestRow, row);
      countMax = Math.max(countMax, sum);
    }
    return { atS, counts };
  });
  if (countMax === 0) [lowestRow, highestRow] = [rowOf(1000), rowOf(1000)];
  return { columns: made, lowestRow, highestRow, countMax };
}
