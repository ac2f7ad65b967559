/** The frame that the small charts share: a box with a grid, a scale each way, and their names. Pure. */
import { niceStep } from '../../../load/rig/charts.js';
import { element, label, picture, type Scale, scale, short, textWidth, ticks } from './svg.js';

export type Plot = {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly x: Scale;
  readonly y: Scale;
  readonly frame: string;
};

export type Axis = {
  readonly from: number;
  readonly to: number;
  readonly name: string;
  readonly step?: number;
  readonly format?: (value: number) => string;
};

/** Where a plot lies inside its picture; tests measure with it. */
export const plotMargin = { left: 52, right: 16, top: 26, bottom: 40 } as const;

export function plot(xAxis: Axis, yAxis: Axis, width: number = 640, height: number = 280): Plot {
  const box = { left: plotMargin.left, right: width - plotMargin.right, top: plotMargin.top, bottom: height - plotMargin.bottom };
  const x = scale(xAxis.from, xAxis.to, box.left, box.right);
  const y = scale(yAxis.from, yAxis.to, box.bottom, box.top);
  const xTicks = ticks(xAxis.from, xAxis.to, xAxis.step ?? niceStep((xAxis.to - xAxis.from) / 8));
  const yTicks = ticks(yAxis.from, yAxis.to, yAxis.step ?? niceStep((yAxis.to - yAxis.from) / 5));
  const frame = [
    ...yTicks.map(
      (value) =>
        element('line', { class: 'grid', x1: box.left, x2: box.right, y1: y(value), y2: y(value) }) +
        label((yAxis.format ?? short)(value), { class: 'tick', x: box.left - 7, y: y(value) + 3.5, 'text-anchor': 'end' }),
    ),
    element('line', { class: 'axis', x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    ...xTicks.map(
      (value) =>
        element('line', { class: 'axis', x1: x(value), x2: x(value), y1: box.bottom, y2: box.bottom + 4 }) +
        tickText((xAxis.format ?? short)(value), x(value), box.bottom + 16, width),
    ),
    label(xAxis.name, { class: 'tick', x: box.right, y: box.bottom + 32, 'text-anchor': 'end' }),
    label(yAxis.name, { class: 'tick', x: 2, y: 10 }),
  ].join('');
  return { width, height, ...box, x, y, frame };
}

/** Centred, or flush with the picture's edge where it would stick out. */
function tickText(text: string, x: number, y: number, width: number): string {
  const sticksOut = x + textWidth(text, 10) / 2 > width - 2;
  return label(text, { class: 'tick', x: sticksOut ? width - 2 : x, y, 'text-anchor': sticksOut ? 'end' : 'middle' });
}

export function plotted(name: string, { width, height, frame }: Plot, ...marks: readonly string[]): string {
  return picture(name, width, height, frame, ...marks);
}

/** A vertical line at a promise, with its name beside it: `share` of the height from the top. */
export function gateLine({ x, top, bottom, right }: Plot, at: number, name: string, share: number = 0): string {
  const isLate = x(at) > right - 90;
  return (
    element('line', { class: 'gate', x1: x(at), x2: x(at), y1: top, y2: bottom }) +
    label(name, {
      class: 'gate-text halo',
      x: x(at) + (isLate ? -4 : 4),
      y: top + 9 + share * (bottom - top),
      'text-anchor': isLate ? 'end' : undefined,
    })
  );
}

/** 1234 → "1 234": thin groups that do not depend on where the report was made. */
export function grouped(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, '\u2009');
}
