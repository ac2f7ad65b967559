/** How often pauses are taken for the end against how long a caller waits after a true end: ours while its setting is swept, and public systems. Pure. */
import type { AnchorPoint } from '../result.js';
import { plot, plotted } from './plot.js';
import { element, hint, label, pathOf, trace } from './svg.js';

export type TradeOffLine = {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly { readonly delayMs: number; readonly cutOffRatio: number; readonly note: string }[];
};

/** A single measured operating point: the engine as it is set, in the conversations of this run. */
export type OperatingPoint = { readonly name: string; readonly delayMs: number; readonly cutOffRatio: number };

export const tradeOffRange = { delayMaxMs: 1800, cutOffMax: 0.6 } as const;

/** Names of our lines stand at the upper right, where no line runs. */
const keyFromMs = 1320;
const keyStep = 18;

export function tradeOffChart(
  lines: readonly TradeOffLine[],
  anchors: readonly AnchorPoint[],
  operating: OperatingPoint | undefined,
): string {
  const frame = plot(
    { from: 0, to: tradeOffRange.delayMaxMs, name: 'mean delay after a true end, ms', step: 200 },
    {
      from: 0,
      to: tradeOffRange.cutOffMax,
      name: 'pauses taken for the end',
      step: 0.1,
      format: (value) => `${Math.round(value * 100)} %`,
    },
    880,
    340,
  );
  const { x, y } = frame;
  const named = new Map<string, { delayMs: number; cutOffRatio: number }[]>();
  for (const { name, cutOffRatio, meanDelayMs } of anchors)
    if (meanDelayMs !== undefined) named.set(name, [...(named.get(name) ?? []), { delayMs: meanDelayMs, cutOffRatio }]);
  const publicLines = [...named].map(([name, points]) => {
    const sorted = inRange(points);
    const at = sorted.map((point) => [x(point.delayMs), y(point.cutOffRatio)] as const);
    return element(
      'g',
      { class: 'anchor' },
      element('path', { class: 'line s-other dash', style: 'stroke-width:1.2', d: pathOf(at) }),
      ...at.map(([cx, cy], index) =>
        element(
          'circle',
          { class: 's-other', fill: 'var(--surface)', 'stroke-width': 1.4, cx, cy, r: 3 },
          hint(`${name}: ${percent(sorted[index]!.cutOffRatio)} at ${Math.round(sorted[index]!.delayMs)} ms (different data)`),
        ),
      ),
    );
  });
  const publicNames = [...named].flatMap(([name, points]) => {
    const first = inRange(points)[0];
    if (first === undefined) return [];
    const place = { class: 'tick halo', x: x(first.delayMs) + 8, y: y(first.cutOffRatio) - 4 };
    return [label(`${name} (different data)`, place)];
  });
  const ourLines = lines.map(({ name, colour, points }) => {
    const sorted = inRange(points);
    const at = sorted.map((point) => [x(point.delayMs), y(point.cutOffRatio)] as const);
    return element(
      'g',
      {},
      element('path', { class: `line s-${colour}`, d: pathOf(at) }),
      ...at.map(([cx, cy], index) =>
        element(
          'circle',
          { class: `f-${colour}`, cx, cy, r: 2.4 },
          hint(
            `${name}: ${percent(sorted[index]!.cutOffRatio)} at ${Math.round(sorted[index]!.delayMs)} ms; ${sorted[index]!.note}`,
          ),
        ),
      ),
    );
  });
  const keys = lines.flatMap(({ name, colour }, index) => {
    const [left, middle] = [x(keyFromMs), y(tradeOffRange.cutOffMax) + (index + 1) * keyStep];
    return [
      element('path', { class: `line s-${colour}`, d: trace`M${left} ${middle}h22` }),
      label(name, { class: 'strong halo', x: left + 30, y: middle + 4 }),
    ];
  });
  const here =
    operating === undefined
      ? ''
      : element(
          'g',
          { 'data-kind': 'operating-point' },
          hint(`${operating.name}: ${percent(operating.cutOffRatio)} at ${Math.round(operating.delayMs)} ms`),
          element('path', {
            class: 'f-cut halo',
            d: trace`M${x(operating.delayMs)} ${y(operating.cutOffRatio) - 6}l6 6l-6 6l-6 -6Z`,
          }),
          label(operating.name, { class: 'strong halo f-cut', x: x(operating.delayMs) + 10, y: y(operating.cutOffRatio) - 6 }),
        );
  return plotted('False cut-ins against endpoint delay', frame, ...publicLines, ...ourLines, ...publicNames, ...keys, here);
}

/** What lies outside the picture is not drawn at its edge, where it would be read as a value. */
function inRange<Point extends { readonly delayMs: number; readonly cutOffRatio: number }>(points: readonly Point[]): Point[] {
  return points
    .filter(({ delayMs, cutOffRatio }) => delayMs <= tradeOffRange.delayMaxMs && cutOffRatio <= tradeOffRange.cutOffMax)
    .sort((a, b) => a.delayMs - b.delayMs);
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)} %`;
}
