/** The six dimensions and the total as bars from 0 to 10 with their intervals, and how they moved from version to version. Pure. */
import type { DimId, Interval } from '../result.js';
import { plot, plotted } from './plot.js';
import { element, hint, label, pathOf, picture, scale, textWidth, trace } from './svg.js';

export type ScoreBar = {
  readonly name: string;
  readonly weight: number | undefined;
  readonly score: number | undefined;
  readonly interval: Interval | undefined;
  /** The same of the version it is compared with. */
  readonly before: number | undefined;
  readonly note?: string;
  readonly isTotal?: boolean;
};

export const barGeometry = { left: 148, right: 96, top: 22, rowHeight: 27, width: 540 } as const;
/** The total that has to be reached. */
export const totalMin = 8;

export function scoreBars(bars: readonly ScoreBar[]): string {
  const { left, right, top, rowHeight, width } = barGeometry;
  const x = scale(0, 10, left, width - right);
  const bottom = top + bars.length * rowHeight;
  const grid = [0, 2, 4, 6, 8, 10].map(
    (value) =>
      element('line', { class: value === totalMin ? 'gate' : 'grid', x1: x(value), x2: x(value), y1: top - 4, y2: bottom }) +
      label(String(value), { class: 'tick', x: x(value), y: top - 9, 'text-anchor': 'middle' }),
  );
  const rows = bars.map(({ name, weight, score, interval, before, note, isTotal }, index) => {
    const y = top + index * rowHeight;
    const middle = y + rowHeight / 2;
    const colour = isTotal === true ? 'ink' : 'agent';
    const drawn =
      score === undefined
        ? label('not measured', { class: 'tick', x: left + 6, y: middle + 4 })
        : element('rect', {
            class: `f-${colour}`,
            style: isTotal === true ? 'fill:var(--ink)' : undefined,
            'fill-opacity': isTotal === true ? 0.8 : 0.62,
            x: left,
            y: y + 6,
            width: Math.max(1, x(score) - left),
            height: rowHeight - 12,
            rx: 1.5,
          });
    const whisker =
      interval === undefined
        ? ''
        : element('path', {
            fill: 'none',
            stroke: 'var(--ink)',
            'stroke-width': 1.3,
            d: trace`M${x(interval.low)} ${middle - 4}v8M${x(interval.low)} ${middle}H${x(interval.high)}M${x(interval.high)} ${middle - 4}v8`,
          });
    const old =
      before === undefined
        ? ''
        : element(
            'path',
            { class: 's-hold', 'stroke-width': 2.2, d: trace`M${x(before)} ${y + 3}v${rowHeight - 6}` },
            hint(`before: ${before.toFixed(2)}`),
          );
    return element(
      'g',
      {},
      hint(`${name} ${score === undefined ? 'not measured' : score.toFixed(2)}${note === undefined ? '' : `; ${note}`}`),
      label(name, { class: isTotal === true ? 'strong' : undefined, x: 0, y: middle + 4 }),
      weight === undefined
        ? ''
        : label(weight.toFixed(2).slice(1), { class: 'tick', x: left - 12, y: middle + 4, 'text-anchor': 'end' }),
      drawn,
      whisker,
      old,
      label(score === undefined ? '–' : score.toFixed(2), { class: 'strong', x: width - right + 12, y: middle + 4 }),
      interval === undefined
        ? ''
        : label(`${interval.low.toFixed(1)}–${interval.high.toFixed(1)}`, {
            class: 'tick',
            x: width,
            y: middle + 4,
            'text-anchor': 'end',
          }),
    );
  });
  return picture(
    'Scores by dimension',
    width,
    bottom + 4,
    label('weight', { class: 'tick', x: left - 12, y: top - 9, 'text-anchor': 'end' }),
    ...grid,
    ...rows,
  );
}

export type TrendPoint = {
  readonly version: string;
  readonly total: number;
  readonly totalInterval: Interval | undefined;
  readonly dims: Readonly<Partial<Record<DimId, number>>>;
};

/** Versions from the oldest to this one. Empty for fewer than two: one point shows no movement. */
export function trendChart(points: readonly TrendPoint[]): string {
  if (points.length < 2) return '';
  const scores = points.flatMap(({ total, dims }) => [total, ...Object.values(dims)]);
  const lowest = Math.max(0, Math.min(6, Math.floor(Math.min(...scores)) - 1));
  const frame = plot(
    {
      from: 0,
      to: points.length - 1,
      name: 'version',
      step: Math.max(1, Math.ceil(points.length / 10)),
      format: (index) => points[index]?.version ?? '',
    },
    { from: lowest, to: 10, name: 'score', step: 1 },
    880,
    300,
  );
  const { x, y } = frame;
  const colours: Readonly<Record<DimId, string>> = {
    D1: 'caller',
    D2: 'cut',
    D3: 'hold',
    D4: 'resume',
    D5: 'request',
    D6: 'other',
  };
  const ends: { text: string; at: number; colour: string }[] = [];
  const dims = Object.entries(colours).map(([id, colour]) => {
    const known = points.flatMap((point, index) => {
      const score = point.dims[id as DimId];
      return score === undefined ? [] : [[x(index), y(score)] as const];
    });
    if (known.length > 0) ends.push({ text: id, at: known.at(-1)![1], colour });
    return element('path', { class: `line s-${colour}`, style: 'stroke-width:1.1', d: pathOf(known) });
  });
  const band = [
    ...points.map(({ total, totalInterval }, index) => [x(index), y(totalInterval?.high ?? total)] as const),
    ...points.map(({ total, totalInterval }, index) => [x(index), y(totalInterval?.low ?? total)] as const).reverse(),
  ];
  const total = points.map((point, index) => [x(index), y(point.total)] as const);
  ends.push({ text: 'total', at: total.at(-1)![1], colour: 'ink' });
  return plotted(
    'Scores over versions',
    frame,
    element('path', { style: 'fill:var(--ink)', class: 'shade', d: `${pathOf(band)}Z` }),
    element('line', { class: 'gate', x1: frame.left, x2: frame.right, y1: y(totalMin), y2: y(totalMin) }),
    ...dims,
    element('path', { class: 'line', style: 'stroke:var(--ink);stroke-width:2.2', d: pathOf(total) }),
    ...total.map(([cx, cy]) => element('circle', { style: 'fill:var(--ink)', cx, cy, r: 2.6 })),
    ...spread(ends).map(({ text, at, colour }) =>
      label(text, { class: `small halo strong f-${colour}`, x: frame.right - textWidth(text, 9.5) - 10, y: at - 3 }),
    ),
  );
}

/** Labels at the same height are moved apart, in order of height. */
function spread<Label extends { readonly at: number }>(labels: readonly Label[]): Label[] {
  let last = Number.NEGATIVE_INFINITY;
  return [...labels]
    .sort((a, b) => a.at - b.at)
    .map((each) => {
      last = Math.max(each.at, last + 11);
      return { ...each, at: last };
    });
}
