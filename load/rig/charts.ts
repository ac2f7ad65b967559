/** Charts as SVG text for the report: percentile curves and lines over time. No script, no outside file. Pure. */

export type Line = {
  readonly name: string;
  /** One of the report's colours: 1..6. */
  readonly colour: number;
  readonly isOld?: boolean;
  readonly points: readonly (readonly [number, number])[];
};

const [width, height] = [640, 240];
const margin = { left: 56, right: 14, top: 12, bottom: 34 };
const innerWidth = width - margin.left - margin.right;
const innerHeight = height - margin.top - margin.bottom;

export function escapeText(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
}

/** x: share of values above (1 … 0.0001), drawn as percentiles on a logarithmic scale; y: ms. */
export function percentileChart(title: string, lines: readonly Line[]): string {
  const smallest = Math.min(0.01, ...lines.flatMap(({ points }) => points.map(([above]) => above)));
  const decades = -Math.log10(smallest);
  const xOf = (above: number): number => margin.left + (-Math.log10(Math.min(1, above)) / decades) * innerWidth;
  const ticks = [1, 0.5, 0.1, 0.05, 0.01, 0.001, 0.0001, 0.00001].filter((above) => above >= smallest);
  const names = new Map([
    [1, 'p0'],
    [0.5, 'p50'],
    [0.1, 'p90'],
    [0.05, 'p95'],
    [0.01, 'p99'],
    [0.001, 'p99.9'],
    [0.0001, 'p99.99'],
    [0.00001, 'p99.999'],
  ]);
  return chart(
    title,
    lines,
    xOf,
    ticks.map((above) => [xOf(above), names.get(above) ?? '']),
    'ms',
  );
}

/** x: ms since the run began. */
export function timeChart(title: string, lines: readonly Line[], unit: string, totalMs: number): string {
  const xOf = (atMs: number): number => margin.left + (Math.min(atMs, totalMs) / totalMs) * innerWidth;
  const stepMs = niceStep(totalMs / 60_000 / 6) * 60_000;
  const ticks: [number, string][] = [];
  for (let atMs = 0; atMs <= totalMs; atMs += stepMs) {
    const label = stepMs < 60_000 ? `${Math.round(atMs / 1000)} s` : `${Math.round((atMs / 60_000) * 10) / 10} min`;
    ticks.push([xOf(atMs), label]);
  }
  return chart(title, lines, xOf, ticks, unit);
}

function chart(
  title: string,
  lines: readonly Line[],
  xOf: (x: number) => number,
  xTicks: readonly (readonly [number, string])[],
  unit: string,
): string {
  const shown = lines.map((line) => ({ ...line, points: line.points.filter(([, y]) => Number.isFinite(y)) }));
  const largest = Math.max(1e-9, ...shown.flatMap(({ points }) => points.map(([, y]) => y)));
  const step = niceStep(largest / 4);
  const top = Math.ceil(largest / step) * step;
  const yOf = (y: number): number => margin.top + innerHeight - (Math.max(0, y) / top) * innerHeight;
  const grid: string[] = [];
  for (let y = 0; y <= top + step / 2; y += step) {
    const at = yOf(y).toFixed(1);
    grid.push(`<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${at}" y2="${at}"/>`);
    grid.push(`<text class="tick" text-anchor="end" x="${margin.left - 6}" y="${at}" dy=".32em">${trimmed(y, step)}</text>`);
  }
  for (const [x, label] of xTicks)
    grid.push(
      `<text class="tick" text-anchor="middle" x="${x.toFixed(1)}" y="${height - margin.bottom + 16}">${escapeText(label)}</text>`,
    );
  const paths = shown.map(({ name, colour, isOld, points }) => {
    if (points.length === 0) return '';
    const path = points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${xOf(x).toFixed(1)} ${yOf(y).toFixed(1)}`).join('');
    const label = `<title>${escapeText(name)}</title>`;
    const dot =
      points.length === 1
        ? `<circle class="c${colour}" cx="${xOf(points[0]![0]).toFixed(1)}" cy="${yOf(points[0]![1]).toFixed(1)}" r="2.5"/>`
        : '';
    return `<g><path class="line c${colour}${isOld === true ? ' old' : ''}" d="${path}">${label}</path>${dot}</g>`;
  });
  const legend = shown
    .filter(({ points }) => points.length > 0)
    .map(
      ({ name, colour, isOld }) =>
        `<span class="key"><i class="k${colour}${isOld === true ? ' old' : ''}"></i>${escapeText(name)}</span>`,
    );
  const label = escapeText(`${title}, ${unit}`);
  return `<figure><figcaption>${escapeText(title)} <span class="unit">${escapeText(unit)}</span></figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">${grid.join('')}${paths.join('')}</svg><div class="legend">${legend.join('')}</div></figure>`;
}

/** The nearest of 1, 2, 5 times a power of ten that is not below. */
export function niceStep(least: number): number {
  if (!(least > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= least * 0.999999) ?? 10);
}

function trimmed(value: number, step: number): string {
  return value.toFixed(Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
}
