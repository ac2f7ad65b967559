/** Pieces of SVG as text: elements, scales, bands and short numbers. The same input gives the same bytes. Pure. */
import { escapeText } from '../../../load/rig/charts.js';

export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** A number with at most two decimals: finer than any screen, and no longer than needed. */
export function short(value: number): string {
  const text = value.toFixed(2);
  const bare = text.replace(/\.?0+$/, '');
  return bare === '-0' ? '0' : bare;
}

/** One element; `children` are SVG text already. Attributes that are undefined are left out. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const written = Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [` ${key}="${typeof value === 'number' ? short(value) : escapeText(value)}"`],
  );
  const open = `<${name}${written.join('')}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join('')}</${name}>`;
}

export function label(content: string, attributes: Attributes): string {
  return element('text', attributes, escapeText(content));
}

/** What a pointer over the surrounding element shows, and what a screen reader says. */
export function hint(content: string): string {
  return element('title', {}, escapeText(content));
}

/** Path data with its numbers kept short. */
export function trace(text: TemplateStringsArray, ...numbers: readonly number[]): string {
  return text.map((part, index) => part + (index < numbers.length ? short(numbers[index]!) : '')).join('');
}

/** Several line segments as one path. */
export function pathOf(points: readonly (readonly [number, number])[]): string {
  return points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${short(x)} ${short(y)}`).join('');
}

export type Scale = (value: number) => number;

/** Linear, from [`from`, `to`] to [`low`, `high`]; values outside are held at the ends. */
export function scale(from: number, to: number, low: number, high: number): Scale {
  const span = to - from;
  return (value) => {
    const share = span === 0 ? 0 : (Math.max(Math.min(from, to), Math.min(Math.max(from, to), value)) - from) / span;
    return low + share * (high - low);
  };
}

/** Multiples of `step` in [`from`, `to`]. */
export function ticks(from: number, to: number, step: number): number[] {
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => (first + index) * step);
}

/** On a wide page a picture grows by no more than this: letters should not be larger than the text around them. */
const growMax = 1.35;

/** A picture with a name for those who cannot see it. */
export function picture(name: string, width: number, height: number, ...children: readonly string[]): string {
  const size = { viewBox: `0 0 ${short(width)} ${short(height)}`, style: `max-width:${short(width * growMax)}px` };
  return element('svg', { ...size, role: 'img', 'aria-label': name }, ...children);
}

/** Width of `text` in a proportional sans-serif of `size`, near enough to keep labels apart (lower case runs at .53 em). */
export function textWidth(text: string, size: number): number {
  return text.length * size * 0.53;
}

/**
 * Puts intervals of x into levels so that none of one level overlap: for each, in the order given, its level from 0. With `levelsMax` levels
 * full it takes the one that is free first.
 */
export function levelsOf(intervals: readonly { readonly from: number; readonly to: number }[], levelsMax: number): number[] {
  const freeFrom: number[] = [];
  return intervals.map(({ from, to }) => {
    let level = freeFrom.findIndex((free) => free <= from);
    if (level < 0 && freeFrom.length < levelsMax) level = freeFrom.length;
    if (level < 0) level = freeFrom.indexOf(Math.min(...freeFrom));
    freeFrom[level] = to;
    return level;
  });
}
