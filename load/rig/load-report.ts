/** The report of a load run as one HTML file: nothing is fetched, nothing runs. `old` stands beside it: dashed in charts, "then" in tables. Pure. */
import { escapeText, type Line, percentileChart, timeChart } from './charts.js';
import { costLines, type LoadResult, type SeriesPoint } from './load-result.js';
import { latenessMaxMs, machineText } from './report.js';
import { callerStageNames, callerStages, curveOf, decode, type Figures } from './stages.js';

type Curve = { readonly title: string; readonly stages: readonly string[]; readonly of: 'callers' | 'engine' };

const curves: readonly Curve[] = [
  { title: 'End of speech → first audio', stages: ['first_audio', 'first_audio_after_long'], of: 'callers' },
  { title: 'Onset of an interruption →', stages: ['onset_to_last_frame', 'onset_to_notice', 'onset_to_silence'], of: 'callers' },
  { title: 'Planned start → metadata; our close frame → theirs', stages: ['connect', 'close'], of: 'callers' },
  {
    title: 'Jitter of audio messages; lateness of the callers themselves',
    stages: ['frame_jitter', 'generator_lateness'],
    of: 'callers',
  },
  { title: 'In the engine: speech detection, pacing', stages: ['vad_lag', 'pacing_jitter'], of: 'engine' },
  { title: 'In the engine: own part of first audio, loop', stages: ['engine_overhead', 'loop_delay'], of: 'engine' },
];

export function reportHtml(result: LoadResult, old?: LoadResult): string {
  const { settings } = result;
  const title = `${settings.sessions} calls, ${settings.seconds} s`;
  const body = [
    `<header><p class="kind">Parley load</p><h1>${escapeText(title)}</h1><p>${escapeText(result.startedAt)} · ${escapeText(machineText(result.machine))}</p></header>`,
    verdict(result),
    bars(result, old),
    stageTable(
      'At the callers',
      Object.fromEntries(
        callerStageNames.flatMap((name) => (result.callers[name] === undefined ? [] : [[name, result.callers[name]]])),
      ),
      old?.callers,
    ),
    stageTable(`In the engine, ${result.engine.window}`, result.engine.stages, old?.engine.stages),
    `<section><h2>Percentiles</h2><div class="charts">${curves.map((curve) => curveChart(curve, result, old)).join('')}</div></section>`,
    `<section><h2>Over time</h2><div class="charts">${timeCharts(result, old).join('')}</div></section>`,
    costSection(result, old),
    facts(result, old),
  ];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeText(`Parley load: ${title}`)}</title><style>${style}</style></head><body><main>${body.join('\n')}</main></body></html>\n`;
}

function verdict(result: LoadResult): string {
  const missed = result.bars.filter(({ holds }) => !holds).length;
  if (!result.isValid) {
    const late = shown(result.callers['generator_lateness']?.p99);
    return `<p class="verdict bad">Invalid: the load generator was the bottleneck. It was ${late} ms late (p99), more than ${latenessMaxMs} ms. No figure counts.</p>`;
  }
  if (missed > 0) return `<p class="verdict bad">${missed} of ${result.bars.length} promises missed.</p>`;
  return `<p class="verdict good">All ${result.bars.length} promises held.</p>`;
}

function bars(result: LoadResult, old: LoadResult | undefined): string {
  const rows = result.bars.map(({ name, value, is, limit, unit, holds }) => {
    const then = old?.bars.find((bar) => bar.name === name);
    const beside = old === undefined ? '' : `<td>${shown(then?.value)}</td>`;
    return `<tr><td class="${holds ? 'good' : 'bad'}">${holds ? 'held' : 'missed'}</td><th>${escapeText(name)}</th><td>${shown(value)}</td>${beside}<td class="limit">${is} ${limit} ${escapeText(unit)}</td></tr>`;
  });
  const head = `<tr><th></th><th></th><th>measured</th>${old === undefined ? '' : '<th>then</th>'}<th>bar</th></tr>`;
  return `<section><h2>Promises</h2><table>${head}${rows.join('')}</table></section>`;
}

function stageTable(
  title: string,
  stages: Readonly<Record<string, Figures>>,
  old: Readonly<Record<string, Figures>> | undefined,
): string {
  if (Object.keys(stages).length === 0) return '';
  const rows = Object.entries(stages).map(([name, now]) => {
    const then = old?.[name];
    const means = name in callerStages ? callerStages[name as keyof typeof callerStages] : '';
    const cells = [now.p50, now.p95, now.p99, now.p999, now.max].map((value) => `<td>${shown(value)}</td>`).join('');
    const beside =
      old === undefined ? '' : `<td>${shown(then?.p50)}</td><td>${shown(then?.p99)}</td><td>${ratio(now.p99, then?.p99)}</td>`;
    return `<tr><th title="${escapeText(means)}">${escapeText(name)}</th><td>${now.count}</td>${cells}${beside}</tr>`;
  });
  const beside = old === undefined ? '' : '<th>p50 then</th><th>p99 then</th><th>p99 ratio</th>';
  const head = `<tr><th></th><th>n</th><th>p50</th><th>p95</th><th>p99</th><th>p99.9</th><th>max</th>${beside}</tr>`;
  return `<section><h2>${escapeText(title)} <span class="unit">ms</span></h2><table>${head}${rows.join('')}</table></section>`;
}

function curveChart({ title, stages, of }: Curve, result: LoadResult, old: LoadResult | undefined): string {
  const encodedIn = (from: LoadResult | undefined, stage: string): string | undefined =>
    of === 'callers' ? from?.callers[stage]?.encoded : from?.engine.stages[stage]?.encoded;
  const lines = stages.flatMap((stage, index): Line[] => {
    const [now, then] = [encodedIn(result, stage), encodedIn(old, stage)];
    const colour = index + 1;
    return [
      ...(now === undefined ? [] : [{ name: stage, colour, points: curveOf(decode(now)) }]),
      ...(then === undefined ? [] : [{ name: `${stage}, then`, colour, isOld: true, points: curveOf(decode(then)) }]),
    ];
  });
  return lines.length === 0 ? '' : percentileChart(title, lines);
}

type Pick = readonly [string, (point: SeriesPoint) => number];

function timeCharts(result: LoadResult, old: LoadResult | undefined): string[] {
  const totalMs = Math.max(...[result, old].flatMap((each) => each?.series.at(-1)?.atMs ?? []), 1000);
  const at = (stage: string, figure: 'p50' | 'p99' | 'max'): Pick => [
    `${stage} ${figure}`,
    (point) => point.stages[stage]?.[figure] ?? Number.NaN,
  ];
  const draw = (title: string, unit: string, picks: readonly Pick[]): string => {
    const lines = picks.flatMap(([name, pick], index): Line[] => [
      { name, colour: index + 1, points: result.series.map((point) => [point.atMs, pick(point)] as const) },
      ...(old === undefined
        ? []
        : [
            {
              name: `${name}, then`,
              colour: index + 1,
              isOld: true,
              points: old.series.map((point) => [point.atMs, pick(point)] as const),
            },
          ]),
    ]);
    const isEmpty = lines.every(({ points }) => points.every(([, y]) => !Number.isFinite(y)));
    return isEmpty ? '' : timeChart(title, lines, unit, totalMs);
  };
  return [
    draw('Calls', 'at once', [['calls', ({ calls }) => calls]]),
    draw('End of speech → first audio', 'ms', [at('first_audio', 'p50'), at('first_audio', 'p99')]),
    draw('Onset of an interruption → last frame', 'ms', [at('onset_to_last_frame', 'p50'), at('onset_to_last_frame', 'p99')]),
    draw('Jitter and holes', 'ms', [at('frame_jitter', 'p99'), at('playback_hole', 'max')]),
    draw('Lateness of the callers themselves', 'ms', [at('generator_lateness', 'p99'), at('generator_lateness', 'max')]),
    draw('CPU', '% of a core', [
      ['engine', ({ engineCpu }) => engineCpu],
      ['simulator', ({ simulatorCpu }) => simulatorCpu],
      ['callers', ({ callersCpu }) => callersCpu],
    ]),
    draw('Memory of the engine', 'MB resident', [['resident', ({ residentMb }) => residentMb]]),
    draw('CPU for each call', '% of a core', [
      ['engine', ({ engineCpu, calls }) => (calls === 0 ? Number.NaN : engineCpu / calls)],
    ]),
  ];
}

function costSection(result: LoadResult, old: LoadResult | undefined): string {
  const lines = [
    ...(result.cost === undefined ? [] : costLines(result.cost)),
    ...(old?.cost === undefined ? [] : ['Then:', ...costLines(old.cost)]),
  ];
  return lines.length === 0
    ? ''
    : `<section><h2>Cost</h2>${lines.map((line) => `<p>${escapeText(line.trim())}</p>`).join('')}</section>`;
}

function facts(result: LoadResult, old: LoadResult | undefined): string {
  const { tally, settings } = result;
  const rows = (entries: readonly (readonly [string, string | number])[]): string =>
    `<table class="facts">${entries.map(([name, value]) => `<tr><th>${escapeText(name)}</th><td>${escapeText(String(value))}</td></tr>`).join('')}</table>`;
  const problems = [...Object.entries(result.failures), ...Object.entries(result.engineCounters)];
  const knocks = Object.entries(result.knocks?.answers ?? {});
  const then =
    old === undefined ? [] : [`Compared with ${old.settings.sessions} calls, ${old.startedAt}, ${machineText(old.machine)}.`];
  const notes = [...result.notes, ...then].map((note) => `<li>${escapeText(note)}</li>`).join('');
  return `<section class="columns"><div><h2>Counted</h2>${rows(Object.entries(tally))}${knocks.length === 0 ? '' : `<h2>Answers beyond capacity</h2>${rows(knocks)}`}</div><div><h2>Settings</h2>${rows(Object.entries(settings))}${problems.length === 0 ? '' : `<h2>Went wrong</h2>${rows(problems)}`}</div></section><section><h2>Notes</h2><ul>${notes}</ul></section>`;
}

function shown(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  return value.toFixed(Math.abs(value) >= 1000 ? 0 : Math.abs(value) >= 100 ? 1 : 2);
}

function ratio(now: number, then: number | undefined): string {
  return then === undefined || !(then > 0) || !Number.isFinite(now) ? '–' : `${(now / then).toFixed(2)} ×`;
}

const style = `
:root{color-scheme:light dark;--ink:#1b2430;--quiet:#5b6675;--paper:#fbfbf9;--rule:#d9dcd8;--good:#1f7a4d;--bad:#b3362b;--c1:#2c6fbb;--c2:#c2571a;--c3:#3a8a5f;--c4:#8a4fa3;--c5:#a88a12;--c6:#5b6675}
@media (prefers-color-scheme:dark){:root{--ink:#e7eaee;--quiet:#9aa5b3;--paper:#14181d;--rule:#313842;--good:#5fc08c;--bad:#ef8377;--c1:#74aef0;--c2:#f09a5f;--c3:#7dcfa2;--c4:#c796dd;--c5:#dcc05a;--c6:#9aa5b3}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1360px;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.9rem;margin:.1rem 0}h2{font-size:1.05rem;margin:2rem 0 .5rem}
header p,.unit,.limit,.kind{color:var(--quiet);margin:0;font-weight:400}
.verdict{border-left:4px solid;padding:.4rem .8rem;font-size:1.1rem;margin:1.25rem 0}
.good{color:var(--good)}.bad{color:var(--bad)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
td,th{padding:.2rem .7rem .2rem 0;text-align:right;border-bottom:1px solid var(--rule);font-weight:400;white-space:nowrap}
th:first-child,td:first-child,td+th,.limit{text-align:left}tr:first-child th{color:var(--quiet)}.facts td{text-align:right}.facts tr:first-child th{color:inherit}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:1.25rem 2rem}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));gap:0 2rem}
figure{margin:0}figcaption{font-weight:600}svg{width:100%;height:auto;display:block}
.grid{stroke:var(--rule);stroke-width:1}.tick{fill:var(--quiet);font-size:11px}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.line.old{stroke-dasharray:4 4;opacity:.65}
${[1, 2, 3, 4, 5, 6].map((colour) => `.c${colour}{stroke:var(--c${colour})}circle.c${colour}{fill:var(--c${colour})}.k${colour}{background:var(--c${colour})}`).join('')}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.85rem;color:var(--quiet)}.key i{display:inline-block;width:.9em;height:.2em;vertical-align:middle;margin-right:.4em}.key i.old{opacity:.5}
`.replace(/\n/g, '');
