/** Where the time of one answer went, from the caller's last sample to the first sound: who waited for whom, drawn to scale. Pure. */
import { niceStep } from '../../../load/rig/charts.js';
import { element, hint, label, picture, scale, textWidth, ticks } from './svg.js';

export type WaterfallStage = {
  readonly name: string;
  readonly means: string;
  readonly colour: string;
  /** Since the end of the caller's turn; a stage that never was is left out. */
  readonly fromMs: number;
  readonly toMs: number;
};
export type Waterfall = { readonly title: string; readonly gapMs: number; readonly stages: readonly WaterfallStage[] };

export const waterfallGeometry = { left: 84, right: 44, top: 34, rowHeight: 22, width: 470 } as const;

/** `fromMs`, `toMs`: the range of all the waterfalls that are shown together, so that they can be compared. */
export function waterfallPicture({ title, gapMs, stages }: Waterfall, fromMs: number, toMs: number): string {
  const { left, right, top, rowHeight, width } = waterfallGeometry;
  const x = scale(fromMs, toMs, left, width - right);
  const bottom = top + stages.length * rowHeight;
  const step = niceStep((toMs - fromMs) / 5);
  const grid = ticks(fromMs, toMs, step).map(
    (atMs) =>
      element('line', { class: 'grid', x1: x(atMs), x2: x(atMs), y1: top - 4, y2: bottom }) +
      label(String(Math.round(atMs)), { class: 'tick', x: x(atMs), y: bottom + 14, 'text-anchor': 'middle' }),
  );
  const rows = stages.map(({ name, means, colour, fromMs: start, toMs: end }, index) => {
    const y = top + index * rowHeight;
    const length = `${Math.round(end - start)}`;
    // Beyond the line of the first sound nothing is written.
    const hasRoom = x(end) + textWidth(length, 10) + 6 < x(gapMs) || x(start) - textWidth(length, 10) < x(0) + 4;
    return (
      element(
        'rect',
        {
          class: `f-${colour}`,
          'data-stage': name,
          x: x(start),
          y: y + 4,
          width: Math.max(1.5, x(end) - x(start)),
          height: rowHeight - 9,
          rx: 2,
        },
        hint(`${name}: ${means}; ${length} ms`),
      ) +
      label(name, { x: left - 8, y: y + 15, 'text-anchor': 'end' }) +
      label(length, {
        class: 'tick halo',
        y: y + 15,
        ...(hasRoom ? { x: x(end) + 4 } : { x: x(start) - 4, 'text-anchor': 'end' }),
      })
    );
  });
  const first = element('line', { class: 's-audio', 'stroke-width': 1.6, x1: x(gapMs), x2: x(gapMs), y1: top - 10, y2: bottom });
  const zero = element('line', { class: 's-caller', 'stroke-width': 1.6, x1: x(0), x2: x(0), y1: top - 10, y2: bottom });
  const firstText = `first sound ${Math.round(gapMs)} ms`;
  return picture(
    title,
    width,
    bottom + 20,
    label(title, { class: 'strong', x: 0, y: 12 }),
    ...grid,
    zero,
    first,
    label('last word ends', { class: 'small f-caller', x: x(0) + 3, y: top - 6 }),
    label(firstText, {
      class: 'small f-audio',
      x: Math.min(x(gapMs) - 3, width - 4),
      y: top - 6,
      'text-anchor': x(gapMs) - textWidth(firstText, 9.5) < x(0) + 70 ? 'start' : 'end',
    }),
    ...rows,
  );
}
