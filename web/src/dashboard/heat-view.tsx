/** Draws the heat map of a stage. The column under the pointer, or the one chosen by the arrow keys, is told in words. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { coloursOf, onColoursChanged } from '../theme.js';
import { amount, clockOf, milliseconds } from './formats.js';
import { bottomOf, type HeatMap, heatMapOf } from './heat.js';
import { isTimed } from './stage-names.js';
import { type Column, merged } from './windows.js';

const heatColours = ['accent', 'quiet', 'ink', 'raised'] as const;
/** Room for the scale. */
const scalePx = 62;
const clockPx = 18;
/** So that one value in a column of thousands can still be seen. */
const faintest = 0.16;

type Props = { readonly name: string; readonly title: string; readonly columns: readonly Column[]; readonly stepS: number };

export function HeatView({ name, title, columns, stepS }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [index, setIndex] = useState<number | undefined>(undefined);
  const [redraw, setRedraw] = useState(0);
  const map = heatMapOf(columns, name);

  useEffect(() => {
    const again = (): void => setRedraw((count) => count + 1);
    const resize = new ResizeObserver(again);
    resize.observe(canvas.current!);
    const stop = onColoursChanged(again);
    return () => {
      resize.disconnect();
      stop();
    };
  }, []);

  useEffect(() => draw(canvas.current!, map, index, sizeText(name)), [columns, name, index, redraw]);

  const last = columns.length - 1;
  const shown = index === undefined ? undefined : columns[Math.min(index, last)];
  const onKeyDown = (event: KeyboardEvent): void => {
    const moves: Record<string, number> = {
      ArrowLeft: (index ?? last + 1) - 1,
      ArrowRight: (index ?? last) + 1,
      Home: 0,
      End: last,
    };
    const wanted = moves[event.key];
    if (event.key === 'Escape') setIndex(undefined);
    else if (wanted === undefined) return;
    else setIndex(Math.max(0, Math.min(last, wanted)));
    event.preventDefault();
  };
  const onPointerMove = (event: PointerEvent): void => {
    const { left, width } = canvas.current!.getBoundingClientRect();
    const at = Math.floor(((event.clientX - left - scalePx) / (width - scalePx)) * columns.length);
    setIndex(at < 0 || at > last ? undefined : at);
  };
  return (
    <section class="chart panel">
      <div class="chart-head">
        <h2>Heat map: {title}</h2>
        <span class="quiet time">{`${stepS} s a column`}</span>
      </div>
      <canvas
        ref={canvas}
        class="heat"
        tabIndex={0}
        role="img"
        aria-label={`Heat map of ${title} over time. ${shown === undefined ? '' : columnText(shown, name)} Arrow keys choose a column.`}
        onKeyDown={onKeyDown}
        onPointerMove={onPointerMove}
        onPointerLeave={() => setIndex(undefined)}
        onBlur={() => setIndex(undefined)}
      />
      <p class="quiet heat-note">
        {shown === undefined ? 'The stronger the colour, the more values, on a logarithmic scale.' : columnText(shown, name)}
      </p>
    </section>
  );
}

function sizeText(name: string): (value: number) => string {
  return isTimed(name) ? (us) => milliseconds(us / 1000) : amount;
}

function columnText({ atS, buckets }: Column, name: string): string {
  const sum = merged(buckets, name);
  const at = (percent: number): string => sizeText(name)(sum.at(percent) ?? 0);
  const values = sum.count === 0 ? 'nothing' : `${amount(sum.count)} values, p50 ${at(50)}, p99 ${at(99)}, max ${at(100)}`;
  return `${clockOf(atS * 1000)}: ${values}.`;
}

function draw(target: HTMLCanvasElement, map: HeatMap, chosen: number | undefined, text: (value: number) => string): void {
  const context = target.getContext('2d')!;
  const { clientWidth: widthPx, clientHeight: heightPx } = target;
  const scale = devicePixelRatio;
  target.width = Math.round(widthPx * scale);
  target.height = Math.round(heightPx * scale);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  const colours = coloursOf(heatColours);
  const { columns, lowestRow, highestRow, countMax } = map;
  const rows = highestRow - lowestRow + 1;
  const [mapWidthPx, mapHeightPx] = [widthPx - scalePx, heightPx - clockPx];
  const [columnPx, rowPx] = [mapWidthPx / columns.length, mapHeightPx / rows];
  const xOf = (at: number): number => scalePx + at * columnPx;
  const yOf = (row: number): number => mapHeightPx - (row - lowestRow) * rowPx;
  context.fillStyle = colours.raised;
  context.fillRect(scalePx, 0, mapWidthPx, mapHeightPx);
  context.fillStyle = colours.accent;
  for (const [at, { counts }] of columns.entries()) {
    for (const [row, count] of counts) {
      context.globalAlpha = countMax <= 1 ? 1 : faintest + (1 - faintest) * (Math.log(count) / Math.log(countMax));
      // A little wider than it is: no seams between columns.
      context.fillRect(xOf(at), yOf(row + 1), columnPx + 0.4, rowPx + 0.4);
    }
  }
  context.globalAlpha = 1;
  context.font = '11px system-ui, sans-serif';
  context.fillStyle = colours.quiet;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  const labelEvery = Math.max(1, Math.ceil(rows / Math.max(1, Math.floor(mapHeightPx / 22))));
  for (let row = lowestRow; row <= highestRow; row += labelEvery) {
    const y = Math.min(mapHeightPx - 6, Math.max(6, yOf(row)));
    context.fillText(text(bottomOf(row)), scalePx - 6, y);
  }
  context.textBaseline = 'bottom';
  context.textAlign = 'center';
  const clocks = Math.max(2, Math.floor(mapWidthPx / 90));
  for (let at = 1; at < clocks; at += 1) {
    const column = Math.floor((at / clocks) * columns.length);
    context.fillText(clockOf(columns[column]!.atS * 1000), xOf(column), heightPx - 2);
  }
  if (chosen === undefined) return;
  context.strokeStyle = colours.ink;
  context.strokeRect(xOf(Math.min(chosen, columns.length - 1)) + 0.5, 0.5, Math.max(2, columnPx), mapHeightPx - 1);
}
