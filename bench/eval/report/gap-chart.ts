/** How long callers waited: every gap between the end of a turn and the first sound of its answer, with the bands it is judged by. Pure. */
import { gateLine, grouped, plot, plotted } from './plot.js';
import { element, hint, label, trace } from './svg.js';

export type GapGroup = { readonly name: string; readonly colour: string; readonly gapsMs: readonly number[] };

export type GapBins = { readonly fromMs: number; readonly counts: readonly number[] }[];

/** Width of a bar, and the range that is drawn; what lies beyond is counted in the last bar of its side. */
export const gapBinMs = 100;
export const gapRange = { fromMs: -500, toMs: 4000 } as const;

/** Bars from left to right, for each the count of every group. */
export function gapBins(groups: readonly GapGroup[]): GapBins {
  const count = (gapRange.toMs - gapRange.fromMs) / gapBinMs;
  return Array.from({ length: count }, (_, index) => {
    const fromMs = gapRange.fromMs + index * gapBinMs;
    const isIn = (gapMs: number): boolean => {
      const held = Math.max(gapRange.fromMs, Math.min(gapRange.toMs - 1, gapMs));
      return held >= fromMs && held < fromMs + gapBinMs;
    };
    return { fromMs, counts: groups.map(({ gapsMs }) => gapsMs.filter(isIn).length) };
  });
}

/** `p50Ms`, `p95Ms`: of the gaps that the promise is about; NaN when there are none. */
export function gapChart(groups: readonly GapGroup[], p50Ms: number, p95Ms: number, missedCount: number): string {
  const bins = gapBins(groups);
  const highest = Math.max(1, ...bins.map(({ counts }) => counts.reduce((sum, count) => sum + count, 0)));
  const frame = plot(
    { from: gapRange.fromMs, to: gapRange.toMs, name: 'gap, ms', step: 500 },
    { from: 0, to: highest * 1.18, name: 'turns' },
    880,
    300,
  );
  const { x, y, top, bottom } = frame;
  const band = element(
    'rect',
    { class: 'shade f-good', x: x(0), y: top, width: x(300) - x(0), height: bottom - top },
    hint('People answer each other after 0 to 300 ms'),
  );
  const bars = bins.flatMap(({ fromMs, counts }) => {
    let below = 0;
    return counts.map((count, index) => {
      const { name, colour } = groups[index]!;
      const from = below;
      below += count;
      return count === 0
        ? ''
        : element(
            'rect',
            {
              class: `f-${colour}`,
              x: x(fromMs) + 0.75,
              y: y(below),
              width: x(fromMs + gapBinMs) - x(fromMs) - 1.5,
              height: y(from) - y(below),
            },
            hint(`${count} × ${fromMs} to ${fromMs + gapBinMs} ms, ${name}`),
          );
    });
  });
  const marker = (atMs: number, name: string): string =>
    Number.isFinite(atMs)
      ? element(
          'path',
          { class: 'f-ink', 'data-kind': name, d: trace`M${x(atMs)} ${bottom - 1}l-4.5 8h9Z` },
          hint(`${name} ${Math.round(atMs)} ms`),
        )
      : '';
  const figures = [
    ...(Number.isFinite(p50Ms) ? [`p50 ${grouped(p50Ms)} ms`, `p95 ${grouped(p95Ms)} ms`] : []),
    `missed ${missedCount}`,
  ];
  return plotted(
    'Distribution of response gaps',
    frame,
    band,
    label('people', { class: 'gate-text halo', style: 'fill:var(--good)', x: x(150), y: top + 9, 'text-anchor': 'middle' }),
    ...bars,
    gateLine(frame, 1000, 'p50 ≤ 1.0 s'),
    gateLine(frame, 1500, 'p95 ≤ 1.5 s'),
    marker(p50Ms, 'p50'),
    marker(p95Ms, 'p95'),
    label(figures.join(' · '), { class: 'strong', x: frame.right, y: top - 10, 'text-anchor': 'end' }),
  );
}
