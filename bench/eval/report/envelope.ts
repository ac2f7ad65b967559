/** The outline of a lane: the loudest sample of each column, on a scale of decibels so that a voice at -38 dBFS can still be seen. Pure. */
import { element, short } from './svg.js';

/** Peaks below this are not drawn. */
export const floorDbfs = -50;
const columnWidth = 2;

/** Share of the lane's height, 0..1, for each of `columns` equal stretches of `samples` from `from` to `to` (sample numbers, may be fractions). */
export function envelopeOf(samples: Int16Array, from: number, to: number, columns: number): Float64Array {
  const heights = new Float64Array(columns);
  const width = (to - from) / columns;
  for (let column = 0; column < columns; column++) {
    const first = Math.max(0, Math.round(from + column * width));
    const last = Math.min(samples.length, Math.round(from + (column + 1) * width));
    let peak = 0;
    for (let at = first; at < last; at++) peak = Math.max(peak, Math.abs(samples[at]!));
    heights[column] = heightOf(peak);
  }
  return heights;
}

function heightOf(peak: number): number {
  if (peak === 0) return 0;
  const dbfs = 20 * Math.log10(peak / 32768);
  return Math.max(0, Math.min(1, (dbfs - floorDbfs) / -floorDbfs));
}

export type LaneBox = { readonly left: number; readonly width: number; readonly middle: number; readonly halfHeight: number };

/** Samples [`from`, `to`) mirrored about the middle of `box`. Silence is left out, so a quiet lane costs few bytes. */
export function envelopePath(samples: Int16Array, from: number, to: number, box: LaneBox, className: string): string {
  const heights = envelopeOf(samples, from, to, Math.max(1, Math.round(box.width / columnWidth)));
  const step = box.width / heights.length;
  const paths: string[] = [];
  for (let start = 0; start < heights.length; start++) {
    if (heights[start] === 0) continue;
    let end = start;
    while (end < heights.length && heights[end]! > 0) end++;
    const stretch = Array.from(heights.subarray(start, end), (height) =>
      Math.max(0.5, Math.round(height * box.halfHeight * 2) / 2),
    );
    const top = stretch.map((height) => `V${short(box.middle - height)}h${short(step)}`).join('');
    const bottom = stretch
      .reverse()
      .map((height) => `V${short(box.middle + height)}h${short(-step)}`)
      .join('');
    paths.push(`M${short(box.left + start * step)} ${short(box.middle)}${top}${bottom}Z`);
    start = end;
  }
  return paths.length === 0 ? '' : element('path', { class: className, d: paths.join('') });
}
