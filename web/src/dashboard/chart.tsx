/** One picture of curves over time (uPlot), with its legend: values at the cursor, curves switched on and off by click or key. */
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { coloursOf, onColoursChanged } from '../theme.js';
import { axisMilliseconds, clockOf } from './formats.js';
import type { Curve } from './windows.js';

export const plotColours = ['plot-1', 'plot-2', 'plot-3', 'plot-4', 'plot-5', 'plot-6', 'plot-7', 'plot-8'] as const;
export type PlotColour = (typeof plotColours)[number];
const frameColours = ['quiet', 'line'] as const;

export type ChartCurve = { readonly label: string; readonly values: Curve; readonly colour?: PlotColour };
export type ChartProps = {
  readonly title: string;
  /** Unix seconds. */
  readonly times: readonly number[];
  readonly curves: readonly ChartCurve[];
  readonly format: (value: number) => string;
  readonly heightPx?: number;
  readonly isLogarithmic?: boolean;
  /** Where the picture of values begins and ends at the least. */
  readonly ceiling?: number;
};

const cursorGroup = uPlot.sync('dashboard');
const font = '11px system-ui, sans-serif';
/** A logarithmic picture has no zero: what is less is drawn here. */
const logarithmicFloor = 0.01;

export function Chart({ title, times, curves, format, heightPx = 170, isLogarithmic = false, ceiling = 0 }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const latest = useRef({ times, curves, format });
  latest.current = { times, curves, format };
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [index, setIndex] = useState<number | undefined>(undefined);
  const [colourChange, setColourChange] = useState(0);
  const colourOf = (at: number): PlotColour => curves[at]?.colour ?? plotColours[at % plotColours.length]!;
  // What needs a new picture; all else is new data for the old one.
  const shape = JSON.stringify([
    curves.map(({ label }, at) => [label, colourOf(at)]),
    heightPx,
    isLogarithmic,
    ceiling,
    colourChange,
  ]);

  useEffect(() => onColoursChanged(() => setColourChange((count) => count + 1)), []);

  useEffect(() => {
    const target = place.current!;
    const colours = coloursOf([...plotColours, ...frameColours]);
    const axis = {
      stroke: colours.quiet,
      font,
      grid: { stroke: colours.line, width: 1 },
      ticks: { stroke: colours.line, width: 1, size: 4 },
    };
    const made = new uPlot(
      {
        width: Math.max(160, target.clientWidth),
        height: heightPx,
        padding: [8, 22, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: cursorGroup.key }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
        scales: {
          y: isLogarithmic
            ? { distr: 3, log: 10 }
            : { range: (_plot, _min, max) => [0, Math.max(ceiling, (max ?? 0) * 1.08) || 1] },
        },
        axes: [
          {
            ...axis,
            size: 28,
            space: 70,
            values: (_plot, splits) =>
              splits.map((atS) => clockOf(atS * 1000).slice(0, splits.length > 1 && splits[1]! - splits[0]! < 60 ? 8 : 5)),
          },
          {
            ...axis,
            size: 58,
            gap: 4,
            values: (_plot, splits) =>
              splits.map((value) => (value === null ? '' : (isLogarithmic ? axisMilliseconds : latest.current.format)(value))),
          },
        ],
        series: [
          {},
          ...latest.current.curves.map(({ label }, at) => ({
            label,
            stroke: colours[colourOf(at)],
            width: 1.5,
            points: { show: isLonely, size: 4, stroke: colours[colourOf(at)], fill: colours[colourOf(at)] },
          })),
        ],
        hooks: {
          setCursor: [(self) => setIndex((self.cursor.left ?? -1) < 0 ? undefined : (self.cursor.idx ?? undefined))],
        },
      },
      dataOf(latest.current, isLogarithmic),
      target,
    );
    plot.current = made;
    cursorGroup.sub(made);
    const resize = new ResizeObserver(() => made.setSize({ width: Math.max(160, target.clientWidth), height: heightPx }));
    resize.observe(target);
    return () => {
      resize.disconnect();
      cursorGroup.unsub(made);
      made.destroy();
      plot.current = undefined;
    };
  }, [shape]);

  useEffect(() => plot.current?.setData(dataOf({ times, curves }, isLogarithmic)), [times, curves]);

  useEffect(() => {
    for (const [at, { label }] of curves.entries()) {
      const show = !hidden.has(label);
      if (plot.current?.series[at + 1]?.show !== show) plot.current?.setSeries(at + 1, { show });
    }
  }, [hidden, shape]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const self = plot.current;
    const last = times.length - 1;
    if (self === undefined || last < 0) return;
    const moves: Record<string, number> = {
      ArrowLeft: (index ?? last + 1) - 1,
      ArrowRight: (index ?? last) + 1,
      Home: 0,
      End: last,
    };
    const wanted = moves[event.key];
    if (event.key === 'Escape') self.setCursor({ left: -10, top: -10 });
    else if (wanted === undefined) return;
    else self.setCursor({ left: self.valToPos(times[Math.max(0, Math.min(last, wanted))]!, 'x'), top: 0 });
    event.preventDefault();
  };

  const shown = index !== undefined && index < times.length ? index : undefined;
  const valueAt = ({ values }: ChartCurve): number | null => (shown === undefined ? newestOf(values) : (values[shown] ?? null));
  const said = curves.map((curve) => `${curve.label} ${sayValue(valueAt(curve), format)}`).join(', ');
  return (
    <section class="chart panel">
      <div class="chart-head">
        <h2>{title}</h2>
        <span class="quiet time">{shown === undefined ? 'now' : clockOf(times[shown]! * 1000)}</span>
      </div>
      <div
        ref={place}
        class="plot"
        style={{ height: `${heightPx}px` }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys move its cursor
        tabIndex={0}
        role="img"
        aria-label={`${title}. ${said}. Arrow keys move the cursor.`}
        onKeyDown={onKeyDown}
        onBlur={() => plot.current?.setCursor({ left: -10, top: -10 })}
      />
      <ul class="curves">
        {curves.map((curve, at) => (
          <li key={curve.label}>
            <button
              type="button"
              class={`curve ${colourOf(at)}`}
              aria-pressed={!hidden.has(curve.label)}
              onClick={() => setHidden(toggled(hidden, curve.label))}
            >
              <span>{curve.label}</span> <b class="number">{sayValue(valueAt(curve), format)}</b>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A value without neighbours makes no line, and would not be seen: where there are such, all have a dot. */
function isLonely(self: uPlot, seriesIndex: number): boolean {
  const values = self.data[seriesIndex]!;
  return values.some((value, at) => value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null);
}

function dataOf({ times, curves }: Pick<ChartProps, 'times' | 'curves'>, isLogarithmic: boolean): uPlot.AlignedData {
  const raised = (value: number | null): number | null => (value === null ? null : Math.max(logarithmicFloor, value));
  return [[...times], ...curves.map(({ values }) => (isLogarithmic ? values.map(raised) : values))];
}

function newestOf(values: Curve): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

function sayValue(value: number | null, format: (value: number) => string): string {
  return value === null ? '–' : format(value);
}

function toggled(set: ReadonlySet<string>, item: string): ReadonlySet<string> {
  return new Set(set.has(item) ? [...set].filter((other) => other !== item) : [...set, item]);
}
