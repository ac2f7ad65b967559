/** The page of a run that was nothing but a sweep: recordings of people, on which there is no conversation to score. Pure. */
import { escapeText } from '../../../load/rig/charts.js';
import type { EndpointingSweep } from '../result.js';
import { figure, htmlPage, section } from './page-parts.js';
import { sweepPicture } from './page-pictures.js';

/** `missing`: a line for each thing that was left out, and why. */
export function sweepPage(sweep: EndpointingSweep, missing: readonly string[]): string {
  const { svg } = sweepPicture(sweep);
  const note = `${sweep.dataset}, ${sweep.channel}; ${sweep.note}. Lower left is better.`;
  const left = missing.map((line) => `<li>${escapeText(line)}</li>`).join('');
  return htmlPage(`Endpointing on ${sweep.dataset}`, [
    `<header><p class="kind">Parley conversation evaluation</p><h1>Endpointing on ${escapeText(sweep.dataset)}</h1></header>`,
    '<p>When is a pause the end? A rule scores every 100 ms of each silence; all thresholds, delays and timeouts are tried on all pauses and ends. No conversation took place here, so there is no score.</p>',
    section('Cut-offs against delay', [figure('Cut-ins against delay', svg, escapeText(note)), sweepTable(sweep)]),
    section('Left out', [left === '' ? '<p>Nothing was left out.</p>' : `<ul>${left}</ul>`]),
  ]);
}

function sweepTable({ rows, anchors }: EndpointingSweep): string {
  const share = (value: number | undefined): string => (value === undefined ? '–' : `${(100 * value).toFixed(1)} %`);
  const delay = (value: number | undefined): string => (value === undefined ? '–' : `${Math.round(value)} ms`);
  const head =
    '<tr><th></th><th>cut-offs at 300 ms</th><th>at 600 ms</th><th>delay at 5 %</th><th>at 10 %</th><th>pauses</th><th>ends</th></tr>';
  const own = rows.map(({ name, holds, ends, ...row }) => {
    const values = [
      share(row.cutOffAt300Ms),
      share(row.cutOffAt600Ms),
      delay(row.delayMsAt5Percent),
      delay(row.delayMsAt10Percent),
    ];
    return tableRow(name, [...values, String(holds), String(ends)]);
  });
  const publicRows = [...new Set(anchors.map(({ name }) => name))].map((name) => {
    const points = anchors.filter((point) => point.name === name);
    const cutOffAt = (delayMs: number): string => share(points.find(({ meanDelayMs }) => meanDelayMs === delayMs)?.cutOffRatio);
    const delayAt = (ratio: number): string => delay(points.find(({ cutOffRatio }) => cutOffRatio === ratio)?.meanDelayMs);
    return tableRow(`${name} (public, different data)`, [cutOffAt(300), cutOffAt(600), delayAt(0.05), delayAt(0.1), '', '']);
  });
  return `<div class="scroll"><table>${head}${own.join('')}${publicRows.join('')}</table></div>`;
}

function tableRow(name: string, cells: readonly string[]): string {
  return `<tr><th>${escapeText(name)}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
}
