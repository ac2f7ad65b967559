/** `report.html`: one file that fetches nothing and runs nothing, for the screen (light and dark), the telephone and paper. Pure. */
import { escapeText } from '../../../load/rig/charts.js';
import type { EvaluationResult, GateFigures, ScenarioFigures, Scores } from '../result.js';
import { type Comparison, dropMax, listed, signed } from './baseline.js';
import { honesty } from './honesty.js';
import { inUnit, metricGroups } from './metric-names.js';
import { figure, htmlPage, section } from './page-parts.js';
import {
  ecdfPictures,
  gapPicture,
  scorePicture,
  selectivityPicture,
  tradeOffPictures,
  variationPicture,
  waterfallPictures,
} from './page-pictures.js';
import { publicSource } from './public-anchors.js';
import { type TrendPoint, totalMin, trendChart } from './score-bars.js';

export type PageTimeline = { readonly name: string; readonly figures: ScenarioFigures; readonly svg: string };

export type PageExtras = {
  readonly comparison: Comparison | undefined;
  /** From the oldest version to this one. */
  readonly trend: readonly TrendPoint[];
  /** Conversations that are shown on the page itself. */
  readonly timelines: readonly PageTimeline[];
  /** Name of a run's files in the folders beside the page. */
  readonly nameOf: (figures: ScenarioFigures) => string;
};

export function reportPage(result: EvaluationResult, extras: PageExtras): string {
  const { scores } = result;
  const title = `Conversation evaluation of ${result.engineVersion}`;
  const body = [
    header(result),
    verdict(result),
    `<div class="top">${figure('', scorePicture(result, extras.comparison), scoreNote(extras.comparison !== undefined))}${gates(scores)}</div>`,
    honest(result),
    extras.comparison === undefined ? '' : comparisonSection(extras.comparison),
    section('How long callers wait', [
      figure('Response gaps', gapPicture(result), gapLegend),
      `<div class="pair">${waterfallPictures(result)
        .map((svg) => figure('', svg))
        .join('')}</div>`,
      '<p class="quiet">Two real answers: the middle one, and the one that 95 of 100 are not slower than. Stages add up to the gap.</p>',
    ]),
    section('How well it waits', [
      ...tradeOffPictures(result).map(({ caption, svg }) =>
        figure(
          'Cut-ins against delay',
          svg,
          `${caption}. Grey: public systems on different data (${publicSource}), for orientation only. Lower left is better.`,
        ),
      ),
    ]),
    section('How fast it yields', [
      `<div class="pair">${ecdfPictures(result)
        .map((svg) => figure('', svg))
        .join('')}</div>`,
      '<p class="quiet">Share of interruptions that were over within the time. Red rings: where the curve must have passed.</p>',
    ]),
    section('What it takes no notice of', [
      figure(
        'Selectivity',
        selectivityPicture(result),
        'Mean credit (1: ignored; up to 0.7: paused and resumed; 0: stopped or answered). Below: strictly ignored of all.',
      ),
    ]),
    variations(result),
    trend(extras.trend),
    statistics(scores),
    parts(result),
    sensitivity(scores),
    conversations(result, extras),
    scenarioTable(result, extras),
    footer(result),
  ];
  return htmlPage(title, body);
}

function scoreNote(isCompared: boolean): string {
  return `Weights are exponents of a geometric mean. Whiskers: 95 %, by drawing conversations anew.${isCompared ? ' Amber: before.' : ''}`;
}

const gapLegend =
  '<span class="key"><i class="b-agent"></i>plain turns</span><span class="key"><i class="b-hold"></i>dictation (0.7 s more are allowed)</span><span class="key"><i class="b-caller"></i>after an interruption</span> p50 and p95: every turn that is judged by its gap.';

function header(result: EvaluationResult): string {
  const { suite, profile, seed, clock, playouts, voices, scenarios } = result;
  const minutes = scenarios.reduce((sum, { durationMs }) => sum + durationMs, 0) / 60_000;
  const facts = [
    `suite ${suite.name} (${suite.hash.slice(0, 12)})`,
    `${scenarios.length} conversations, ${minutes.toFixed(1)} min`,
    `providers simulated, profile “${profile}”`,
    `${clock} clock`,
    `seed ${seed}`,
    `playout ${playouts.join(' and ')}`,
    `callers’ voices ${voices}`,
  ];
  return `<header><p class="kind">Parley conversation evaluation</p><h1>${escapeText(result.engineVersion)}</h1><p class="quiet">${facts.map(escapeText).join(' · ')}</p></header>`;
}

function verdict({ scores, timing, scenarios, suite }: EvaluationResult): string {
  if (!timing.isValid)
    return `<div class="verdict bad"><p class="number">invalid</p><p><b>The timing of this run is not valid, so nothing in it counts.</b> ${escapeText(timing.problem ?? '')}</p></div>`;
  const { total, raw, totalInterval } = scores.total;
  const lost = scores.gates.filter(({ isJudged, isMet }) => isJudged && !isMet);
  const open = scores.gates.filter(({ isJudged }) => !isJudged);
  const isGood = total >= totalMin && lost.length === 0;
  const asExpected = scenarios.filter(({ isPassed }) => isPassed).length;
  const leftOut = suite.leftOut.reduce((sum, { scenarios: ids }) => sum + ids.length, 0);
  const lines = [
    lost.length === 0
      ? `<b>All ${scores.gates.length - open.length} judged gates hold.</b>`
      : `<b>Gates missed: ${lost.map(({ id, name }) => `${id} ${escapeText(name)}`).join(', ')}.</b>`,
    raw.toFixed(2) === total.toFixed(2) ? '' : `Without the cap that a missed gate sets the total is ${raw.toFixed(2)}.`,
    open.length === 0 ? '' : `Not judged: ${open.map(({ id }) => id).join(', ')}.`,
    `${asExpected} of ${scenarios.length} conversations went as expected.`,
    leftOut === 0 ? '' : `<b>${leftOut} left out</b>, see below.`,
  ];
  return `<div class="verdict ${isGood ? 'good' : 'bad'}"><p class="number">${total.toFixed(2)}<small> of 10</small><small class="range">95 %: ${totalInterval.low.toFixed(2)}–${totalInterval.high.toFixed(2)}</small></p><p>${lines.filter((line) => line !== '').join(' ')}</p></div>`;
}

function gates({ gates: all }: Scores): string {
  const rows = all.map((gate) => {
    const [word, tone] = gateWord(gate);
    const conditions = gate.conditions.map(
      ({ name, value, limit, isMost, isMet }) =>
        `<span class="condition${isMet || !gate.isJudged ? '' : ' bad'}">${escapeText(name)} <b>${value === undefined ? '–' : plain(value)}</b> ${isMost ? '≤' : '≥'} ${plain(limit)}</span>`,
    );
    return `<tr><td class="${tone}">${word}</td><th>${gate.id} ${escapeText(gate.name)}</th><td class="text">${conditions.join('')}${gate.note === undefined ? '' : `<span class="condition quiet">${escapeText(gate.note)}</span>`}</td></tr>`;
  });
  return section('Gates', [`<div class="scroll"><table class="gates">${rows.join('')}</table></div>`]);
}

function gateWord({ isJudged, isMet }: GateFigures): readonly [string, string] {
  if (!isJudged) return ['not judged', 'quiet'];
  return isMet ? ['holds', 'good'] : ['missed', 'bad'];
}

function plain(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Math.round(value * 1000) / 1000);
}

function honest(result: EvaluationResult): string {
  const { real, simulated, runNotes } = honesty(result);
  const list = (items: readonly string[]): string => `<ul>${items.map((item) => `<li>${escapeText(item)}</li>`).join('')}</ul>`;
  const { leftOut } = result.suite;
  const out =
    leftOut.length === 0
      ? '<p>Nothing was left out of the suite.</p>'
      : list(leftOut.map(({ reason, scenarios }) => `${reason}: ${scenarios.join(', ')}`));
  return `<section><h2>What is measured, what is simulated, what was left out</h2><div class="columns"><div><h3>Real</h3>${list(real)}</div><div><h3>Simulated, or limited</h3>${list(simulated)}</div><div><h3>This run</h3>${list(runNotes)}<h3>Left out</h3>${out}</div></div></section>`;
}

function comparisonSection(comparison: Comparison): string {
  const rows = comparison.deltas.map(({ name, before, now, delta, interval }) => {
    const isSure = interval !== undefined && (interval.high < 0 || interval.low > 0);
    const tone = isSure && delta !== undefined ? (delta < 0 ? 'bad' : 'good') : '';
    const range = interval === undefined ? '–' : `${signed(interval.low)} to ${signed(interval.high)}`;
    return `<tr><th>${name}</th><td>${before?.toFixed(2) ?? '–'}</td><td>${now?.toFixed(2) ?? '–'}</td><td class="${tone}">${signed(delta)}</td><td class="quiet">${range}</td></tr>`;
  });
  const lists = [
    ['Gates lost', comparison.gatesLost],
    ['Gates won', comparison.gatesWon],
    ['No longer as expected', comparison.scenariosLost],
    ['As expected now', comparison.scenariosWon],
    ['Only before', comparison.onlyBefore],
    ['Only now', comparison.onlyNow],
  ] as const;
  const items = [
    ...comparison.notes,
    ...lists.flatMap(([name, ids]) => (ids.length === 0 ? [] : [`${name}: ${listed(ids)}`])),
  ].map((item) => `<li>${escapeText(item)}</li>`);
  const word = comparison.isWorse
    ? `<b class="bad">The total fell by more than ${dropMax}, and not by chance.</b>`
    : `<b>No significant fall of more than ${dropMax}.</b>`;
  return section(`Beside ${comparison.beforeVersion}`, [
    `<p>${word} ${comparison.common} conversations of both runs, both scored by today’s formulas, before the cap of gates. Coloured: the whole interval lies on one side of zero.</p>`,
    `<div class="scroll"><table><tr><th></th><th>before</th><th>now</th><th>difference</th><th>95 %</th></tr>${rows.join('')}</table></div>`,
    items.length === 0 ? '' : `<ul>${items.join('')}</ul>`,
  ]);
}

function variations(result: EvaluationResult): string {
  const mutants = result.variations.filter(({ kind }) => kind === 'mutant');
  const caught = mutants.filter(({ isCaught }) => isCaught === true).length;
  return section('Does the evaluator notice?', [
    figure(
      'Engines broken on purpose',
      variationPicture(result, 'mutant'),
      `${caught} of ${mutants.length} caught. Difference to the unbroken engine, below it the score; framed: what the break aims at.`,
    ),
    figure(
      'Ideas taken away',
      variationPicture(result, 'ablation'),
      'What each idea of the engine brings: a negative number is what is lost without it.',
    ),
  ]);
}

function trend(points: readonly TrendPoint[]): string {
  const svg = trendChart(points);
  return section('Over versions', [
    svg === ''
      ? '<p class="quiet">No older report was given, so there is no trend to show.</p>'
      : figure('Trend', svg, 'Thick: total before gates, with its interval.'),
  ]);
}

function statistics({ statistics: all }: Scores): string {
  const head = '<tr><th></th><th>n</th><th>mean</th><th>95 % of the mean</th><th>p50</th><th>p90</th><th>p95</th></tr>';
  const body = metricGroups.map(({ title, metrics }) => {
    const rows = metrics.flatMap(([id, { name, unit, means }]) => {
      const { n, mean, p50, p90, p95, interval } = all[id];
      if (n === 0) return [];
      const range = interval === undefined ? '–' : `${inUnit(interval.low, unit)} – ${inUnit(interval.high, unit)}`;
      const isShare = unit === '%' && id !== 'deadRatio' && id !== 'cpuRatio';
      const spread = isShare ? ['', '', ''] : [p50, p90, p95].map((value) => inUnit(value, unit));
      return [
        `<tr><th title="${escapeText(means)}">${escapeText(name)} <span class="quiet">${unit === '%' ? '' : unit}</span></th><td class="quiet">${n}</td><td>${inUnit(mean, unit)}</td><td class="quiet">${range}</td>${spread.map((cell) => `<td>${cell}</td>`).join('')}</tr>`,
      ];
    });
    return rows.length === 0 ? '' : `<tr class="head"><th colspan="7">${escapeText(title)}</th></tr>${rows.join('')}`;
  });
  const without = metricGroups.flatMap(({ metrics }) => metrics.filter(([id]) => all[id].n === 0).map(([, { name }]) => name));
  return section('Every metric', [
    `<div class="scroll"><table class="stats">${head}${body.join('')}</table></div>`,
    without.length === 0 ? '' : `<p class="quiet">Nothing to measure for: ${escapeText(without.join(', '))}.</p>`,
  ]);
}

function parts({ parts: all, scores }: EvaluationResult): string {
  if (all.length < 2) return '';
  const dims = scores.dims.map(({ id }) => id);
  const head = `<tr><th></th><th>conversations</th><th>total</th><th>before gates</th>${dims.map((id) => `<th>${id}</th>`).join('')}</tr>`;
  const rows = all.map(({ part, scores: own }) => {
    const cells = own.dims.map(({ score }) => `<td>${score?.toFixed(2) ?? '–'}</td>`).join('');
    return `<tr><th>${part === 'open' ? 'open: settings were tuned on these' : 'held out: never tuned on'}</th><td>${own.scenarioCount}</td><td>${own.total.total.toFixed(2)}</td><td>${own.total.raw.toFixed(2)}</td>${cells}</tr>`;
  });
  return section('Open and held-out texts', [`<div class="scroll"><table>${head}${rows.join('')}</table></div>`]);
}

function sensitivity({ sensitivity: all, total }: Scores): string {
  if (all.length === 0) return '';
  const ids = [...new Set(all.map(({ dim }) => dim))];
  const rows = ([0.75, 1.25] as const).map(
    (factor) =>
      `<tr><th>${factor === 0.75 ? 'a quarter less' : 'a quarter more'}</th>${ids
        .map((id) => `<td>${all.find(({ dim, factor: own }) => dim === id && own === factor)?.raw.toFixed(2) ?? '–'}</td>`)
        .join('')}</tr>`,
  );
  const raws = all.map(({ raw }) => raw);
  return section('If the weights were others', [
    `<p>Total before gates ${total.raw.toFixed(2)}; between ${Math.min(...raws).toFixed(2)} and ${Math.max(...raws).toFixed(2)} when one weight is changed by a quarter.</p>`,
    `<div class="scroll"><table><tr><th>weight of</th>${ids.map((id) => `<th>${id}</th>`).join('')}</tr>${rows.join('')}</table></div>`,
  ]);
}

function conversations(result: EvaluationResult, { timelines }: PageExtras): string {
  if (timelines.length === 0) return '';
  const shown = timelines.map(({ figures, svg }, index) => {
    const mark = figures.isPassed ? '<b class="good">✓</b>' : '<b class="bad">✗</b>';
    return `<details${index < 2 ? ' open' : ''}><summary>${mark} ${escapeText(figures.id)} <span class="quiet">${escapeText(figures.title)}</span></summary><div class="scroll wide">${svg}</div></details>`;
  });
  const failed = result.scenarios.filter(({ isPassed }) => !isPassed).length;
  const inlined = timelines.filter(({ figures }) => !figures.isPassed).length;
  return section('Conversations', [
    `<p class="quiet">${failed === 0 ? 'All went as expected; a few examples.' : `${inlined} of the ${failed} that did not go as expected, then examples that did.`} Levels are drawn in decibels above −50 dBFS. The folder “timelines” has all of them.</p>`,
    ...shown,
  ]);
}

function scenarioTable({ scenarios }: EvaluationResult, { nameOf }: PageExtras): string {
  const inOrder = [...scenarios].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : a.playout < b.playout ? -1 : 1));
  const families = [...new Set(inOrder.map(({ family }) => family))].sort();
  const head =
    '<tr><th></th><th>conversation</th><th>channel</th><th>gaps, ms</th><th>cut-ins</th><th>stops, ms</th><th>events</th><th>source matched</th><th>files</th></tr>';
  const blocks = families.map((family) => {
    const own = inOrder.filter((figures) => figures.family === family);
    const passed = own.filter(({ isPassed }) => isPassed).length;
    const rows = own.map((figures) => scenarioRow(figures, nameOf(figures)));
    return `<tr class="head"><th colspan="9">${family} · ${familyNames[family]} <span class="quiet">${passed} of ${own.length} as expected</span></th></tr>${rows.join('')}`;
  });
  return section('Every conversation', [`<div class="scroll"><table class="scenarios">${head}${blocks.join('')}</table></div>`]);
}

const familyNames: Readonly<Record<ScenarioFigures['family'], string>> = {
  A: 'plain question and answer',
  B: 'hesitation inside a sentence',
  C: 'long utterance',
  D: 'dictation',
  E: 'true interruption',
  F: 'backchannels',
  G: 'sounds under the agent’s speech',
  H: 'own echo',
  I: 'others talking',
  J: 'false start',
  K: 'split and double turns',
  L: 'collisions',
  M: 'idle',
  N: 'channel stress',
};

function scenarioRow(figures: ScenarioFigures, name: string): string {
  const { isPassed, id, title, channel, playout, turns, holds, partCutIns, interruptions, events, expectations } = figures;
  const failed = expectations.filter(({ isMet }) => !isMet).map((check) => `${check.name}: ${check.detail}`);
  const list = (values: readonly (number | undefined)[]): string =>
    values.map((value) => (value === undefined ? '<b class="bad">missed</b>' : value.toFixed(0))).join(' ');
  const measured = holds.filter(({ isMeasured }) => isMeasured);
  const cutIns = measured.filter(({ isCutIn }) => isCutIn).length + partCutIns.length;
  const due = turns.filter(({ isAnswerDue }) => isAnswerDue);
  const effects = events.map(({ effect }) => effect);
  const counted = [...new Set(effects)]
    .map((effect) => `${effects.filter((each) => each === effect).length} ${effect}`)
    .join(', ');
  const link = (folder: string, ending: string, text: string): string =>
    `<a href="${folder}/${escapeText(name)}${ending}">${text}</a>`;
  const stops = interruptions.map(({ isYielded, stopMs }) => (isYielded ? stopMs : undefined));
  return `<tr><td class="${isPassed ? 'good' : 'bad'}">${isPassed ? '✓' : '✗'}</td><th>${escapeText(id)} <span class="quiet">${escapeText(title)}</span>${failed.map((each) => `<br><span class="bad">${escapeText(each)}</span>`).join('')}</th><td>${escapeText(channel)}, ${playout}</td><td>${list(due.map(({ gapMs }) => gapMs))}</td><td${cutIns > 0 ? ' class="bad"' : ''}>${measured.length + partCutIns.length === 0 ? '' : `${cutIns} of ${measured.length}`}</td><td>${list(stops)}</td><td>${counted}</td><td>${figures.isFallback ? '<span class="bad">energy only</span>' : `${(figures.matchedRatio * 100).toFixed(1)} %`}</td><td>${link('timelines', '.svg', 'timeline')} ${link('lanes', '.u.wav', 'said')} ${link('lanes', '.a.wav', 'heard')} ${link('events', '.jsonl', 'events')}</td></tr>`;
}

function footer({ schemaVersion, timing }: EvaluationResult): string {
  return `<footer class="quiet"><p>Schema ${schemaVersion}. Harness: real-time ratio at least ${timing.realTimeRatioMin.toFixed(3)}, caller frames late by at most ${timing.frameLatenessP99MsMax.toFixed(1)} ms (p99). Everything behind this page is in report.json and the folders beside it.</p></footer>`;
}
