/** Shares of interruptions that were over within so many ms: detection, cut, tail and stop, with the line each must not cross. Pure. */
import { niceStep } from '../../../load/rig/charts.js';
import { gateLine, grouped, plot, plotted } from './plot.js';
import { element, hint, label, short } from './svg.js';

export type EcdfGate = { readonly name: string; readonly atMs: number; readonly share: number };
export type Ecdf = {
  readonly name: string;
  readonly means: string;
  readonly colour: string;
  readonly valuesMs: readonly number[];
  /** Never happened (not yielded): they keep the curve below 1. */
  readonly missedCount: number;
  readonly gates: readonly EcdfGate[];
};

/** Steps of the curve: after each value the share of all (the missed included) at or below it. */
export function ecdfSteps(valuesMs: readonly number[], missedCount: number): (readonly [number, number])[] {
  const sorted = [...valuesMs].sort((a, b) => a - b);
  const all = sorted.length + missedCount;
  return sorted.map((value, index) => [value, (index + 1) / all] as const);
}

export function ecdfChart({ name, means, colour, valuesMs, missedCount, gates }: Ecdf): string {
  const steps = ecdfSteps(valuesMs, missedCount);
  const largest = Math.max(10, ...valuesMs, ...gates.map(({ atMs }) => atMs * 1.15));
  const step = niceStep(largest / 6);
  const frame = plot(
    { from: Math.min(0, ...valuesMs), to: Math.ceil(largest / step) * step, name: 'ms', step },
    { from: 0, to: 1, name: `${name}: ${means}`, step: 0.25, format: (share) => `${Math.round(share * 100)} %` },
    440,
    230,
  );
  const { x, y, right, bottom } = frame;
  let path = `M${short(frame.left)} ${short(bottom)}`;
  for (const [value, share] of steps) path += `H${short(x(value))}V${short(y(share))}`;
  if (steps.length > 0) path += `H${short(right)}`;
  const lines = gates.map(
    (gate) =>
      gateLine(frame, gate.atMs, gate.name, 0.45) +
      element('circle', {
        class: 's-cut',
        fill: 'var(--surface)',
        'stroke-width': 1.6,
        cx: x(gate.atMs),
        cy: y(gate.share),
        r: 3.2,
      }),
  );
  const counted = `n ${valuesMs.length}${missedCount > 0 ? `, missed ${missedCount}` : ''}`;
  return plotted(
    `Share of ${name} within a time`,
    frame,
    element('path', { class: `line s-${colour}`, d: path }, hint(`${name}, ${counted}`)),
    ...lines,
    label(steps.length === 0 ? 'none measured' : `${counted}, max ${grouped(steps.at(-1)![0])} ms`, {
      class: 'tick',
      x: right,
      y: 10,
      'text-anchor': 'end',
    }),
  );
}
