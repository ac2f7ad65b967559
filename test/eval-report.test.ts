/** The evaluator's report: bytes that depend on the result alone, marks where they belong, nothing fetched, nothing hidden. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { test } from 'tap';
import { compare, comparisonText, type Scorer } from '../bench/eval/report/baseline.js';
import { ecdfChart, ecdfSteps } from '../bench/eval/report/ecdf-chart.js';
import { envelopeOf } from '../bench/eval/report/envelope.js';
import { eventLines } from '../bench/eval/report/event-lines.js';
import { gapBins, gapChart } from '../bench/eval/report/gap-chart.js';
import { matrixGeometry, matrixLeft } from '../bench/eval/report/matrix.js';
import { metricGroups } from '../bench/eval/report/metric-names.js';
import {
  ecdfPictures,
  gapPicture,
  scorePicture,
  selectivityPicture,
  tradeOffPictures,
  variationPicture,
  waterfallPictures,
} from '../bench/eval/report/page-pictures.js';
import { plotMargin } from '../bench/eval/report/plot.js';
import { parseReport, reportJson } from '../bench/eval/report/report-json.js';
import { barGeometry, trendChart } from '../bench/eval/report/score-bars.js';
import { stableJson } from '../bench/eval/report/stable-json.js';
import { levelsOf } from '../bench/eval/report/svg.js';
import { placeOf, rowMsOf, timelineFile, timelineGeometry, timelinePicture } from '../bench/eval/report/timeline.js';
import { timelineOf } from '../bench/eval/report/timeline-of-run.js';
import { tradeOffRange } from '../bench/eval/report/trade-off.js';
import { waterfallGeometry } from '../bench/eval/report/waterfall.js';
import { writeReport } from '../bench/eval/report/write-report.js';
import { metricIds, type ScenarioFigures } from '../bench/eval/result.js';
import type { PlainScores } from '../bench/eval/score.js';
import { drawsOf } from '../bench/eval/statistics.js';
import { readWav } from '../src/audio/wav.js';
import { evaluationResult, eventFigures, runWithEverything, scenarioFigures, turnFigures } from './support/eval-result.js';
import { pick, readXml, type XmlElement } from './support/xml.js';

function numberOf(element: XmlElement, attribute: string): number {
  return Number(element.attributes[attribute]);
}

function ofKind(root: XmlElement, kind: string): XmlElement[] {
  return pick(root, ({ attributes }) => attributes['data-kind'] === kind);
}

/** Same values, keys and arrays built in another order. */
function shuffled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shuffled);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, shuffled(item)]),
  );
}

test('report.json: the same bytes for the same result, whatever the order in which it was made', (t) => {
  const result = evaluationResult();
  const text = reportJson(result);
  const again = shuffled({ ...result, scenarios: [...result.scenarios].reverse() }) as typeof result;
  t.equal(reportJson(again), text);
  t.not(reportJson(evaluationResult(2)), text);
  t.match(text, /^\{\n {2}"kind": "parley-evaluation",\n {2}"schemaVersion": 1,\n/);
  t.notMatch(text, /\d{4}-\d\d-\d\dT/, 'no time of day');
  t.notMatch(text, /"cpuRatio": \d|"memoryBytes": (\d|\{\s*"n": [1-9])/, 'cost of a shared thread is no result');
  t.match(reportJson({ ...result, clock: 'wall' }), /"cpuRatio": 0.01/);
  t.end();
});

test('report.json reads back, and refuses what it is not', (t) => {
  const result = evaluationResult();
  const parsed = parseReport(reportJson(result));
  t.ok(parsed.ok);
  if (parsed.ok) {
    t.equal(reportJson(parsed.result), reportJson(result));
    t.equal(parsed.result.scores.dims[5]!.score, undefined, 'not measured stays not measured');
  }
  const problemOf = (text: string): string => {
    const bad = parseReport(text);
    return bad.ok ? 'none' : bad.problem;
  };
  t.match(problemOf('{'), /not JSON/);
  t.match(problemOf('{"kind":"parley-load"}'), /"kind" is not/);
  t.match(problemOf('{"kind":"parley-evaluation","schemaVersion":2}'), /version 2; this evaluator reads version 1/);
  t.match(problemOf('{"kind":"parley-evaluation","schemaVersion":1,"suite":{}}'), /without scores, scenarios, timing/);
  t.end();
});

test('numbers in JSON are rounded, finite and never odd', (t) => {
  t.equal(
    stableJson({ b: 1.23456, a: [1e-9, -0.00001, Number.NaN], first: undefined, c: { z: true } }, ['c']),
    '{\n  "c": {\n    "z": true\n  },\n  "a": [0, 0, null],\n  "b": 1.2346\n}\n',
  );
  t.throws(() => stableJson({ when: new Map().get('x'), what: () => 1 }, []), /no place/);
  fc.assert(
    fc.property(fc.double(), (value) => {
      const read: unknown = JSON.parse(stableJson(value, []));
      if (!Number.isFinite(value)) t.equal(read, null);
      else if (typeof read !== 'number' || Math.abs(read - value) > 0.00005 + Math.abs(value) * 1e-12)
        throw new Error(String(read));
    }),
    { numRuns: 300 },
  );
  t.end();
});

test('timeline: every mark, bar and shade stands at its instant', (t) => {
  const { record, figures } = runWithEverything();
  const timeline = timelineOf(record, figures);
  const root = readXml(timelinePicture(timeline));
  const { left, pxPerSecond } = timelineGeometry;
  t.same([rowMsOf(14_000), rowMsOf(1000), rowMsOf(12_000), rowMsOf(25_100)], [7000, 3000, 12_000, 8500]);
  t.same(placeOf(7500, 7000), { row: 1, x: left + pxPerSecond / 2 });
  const xsOf = (kind: string): number[] =>
    ofKind(root, kind).map((group) => numberOf(pick(group, ({ name }) => name === 'line')[0]!, 'x1'));
  const xOf = (atMs: number): number => left + ((atMs % 7000) * pxPerSecond) / 1000;
  t.same(xsOf('commit'), [1810, 3520, 8250].map(xOf));
  t.same(xsOf('detect'), [5080, 7090].map(xOf));
  t.same(xsOf('cut'), [2380, 7100].map(xOf));
  t.same(xsOf('resume'), [5640].map(xOf));
  t.same(
    xsOf('request'),
    [1812, 3430, 8252].map((atMs) => Number(xOf(atMs).toFixed(2))),
  );
  t.same(xsOf('first audio'), [2100, 4100, 10_400].map(xOf));
  t.same(xsOf('skip'), [5700].map(xOf), 'the reply went on 200 ms further');
  const [cutIn] = ofKind(root, 'cut-in');
  t.same([numberOf(cutIn!, 'x'), numberOf(cutIn!, 'width')], [xOf(2100), 15], 'from the onset, wide enough to be seen');
  const talkOver = ofKind(root, 'talk-over');
  t.same(
    talkOver.map((shade) => [numberOf(shade, 'x'), numberOf(shade, 'width')]),
    [
      [xOf(2300), 12],
      [xOf(7000), 18],
    ],
  );
  const [dead] = ofKind(root, 'dead air');
  t.same([numberOf(dead!, 'x'), numberOf(dead!, 'width')], [xOf(8900), 150]);
  const lanes = pick(root, ({ attributes }) => attributes['class']?.startsWith('wave') === true);
  t.equal(lanes.length, 4, 'two lanes in each of two rows');
  t.match(lanes[0]!.attributes['d']!, new RegExp(`^M${xOf(500)} `), 'sound begins where it was placed');
  t.match(
    pick(root, ({ name }) => name === 'text')
      .map(({ text }) => text)
      .join('\n'),
    /No, on Monday\.[\s\S]*Sure, there is a flight[\s\S]*skipped 200/,
  );
  const sources = pick(root, ({ name, attributes }) => name === 'path' && attributes['class'] === 'line s-agent');
  t.equal(sources.length, 5, 'four stretches, one of them over the end of a row');
  const file = readXml(timelineFile(timeline));
  t.equal(file.attributes['xmlns'], 'http://www.w3.org/2000/svg');
  t.equal(timelineFile(timelineOf(record, figures)), timelineFile(timeline));
  t.end();
});

test('envelope: columns see their own samples, decibels above the floor', (t) => {
  const samples = new Int16Array(400);
  samples[100] = 32_767;
  samples[250] = -1036;
  const heights = envelopeOf(samples, 0, 400, 4);
  t.same(
    [...heights].map((height) => Math.round(height * 100)),
    [0, 100, 40, 0],
    '-30 dBFS is two fifths of the way up from -50',
  );
  t.same([...envelopeOf(samples, 395, 805, 2)], [0, 0], 'beyond the end there is nothing');
  t.end();
});

test('labels do not overlap on their level while there is one free', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 80 })), { maxLength: 30 }), (pairs) => {
      const intervals = pairs.map(([from, length]) => ({ from, to: from + length })).sort((a, b) => a.from - b.from);
      const levels = levelsOf(intervals, intervals.length);
      for (const [i, a] of intervals.entries())
        for (const [j, b] of intervals.entries())
          if (i < j && levels[i] === levels[j] && b.from < a.to) throw new Error('overlap');
    }),
  );
  t.same(
    levelsOf(
      [
        { from: 0, to: 10 },
        { from: 1, to: 5 },
        { from: 2, to: 9 },
      ],
      2,
    ),
    [0, 1, 1],
    'full: the one that is free first',
  );
  t.end();
});

test('gap distribution: every gap is in one bar, outliers at the ends', (t) => {
  const gapsMs = [-900, 250, 299, 300, 1049, 1500, 9000];
  const bins = gapBins([{ name: 'all', colour: 'agent', gapsMs }]);
  const at = (fromMs: number): number => bins.find((bin) => bin.fromMs === fromMs)!.counts[0]!;
  t.same([at(-500), at(200), at(300), at(1000), at(1500), at(3900)], [1, 2, 1, 1, 1, 1]);
  t.equal(
    bins.reduce((sum, { counts }) => sum + counts[0]!, 0),
    gapsMs.length,
  );
  const root = readXml(gapChart([{ name: 'all', colour: 'agent', gapsMs }], 1000, 1500, 3));
  const xOf = (ms: number): number => plotMargin.left + ((ms + 500) / 4500) * (880 - plotMargin.left - plotMargin.right);
  const gates = pick(root, ({ attributes }) => attributes['class'] === 'gate').map((line) => numberOf(line, 'x1'));
  t.same(
    gates,
    [1000, 1500].map((ms) => Number(xOf(ms).toFixed(2))),
  );
  t.match(ofKind(root, 'p50')[0]!.attributes['d']!, new RegExp(`^M${Number(xOf(1000).toFixed(2))} `));
  t.match(JSON.stringify(root), /missed 3/);
  t.end();
});

test('ECDF: rises by one share a value, and what was missed keeps it low', (t) => {
  t.same(ecdfSteps([30, 10, 20], 1), [
    [10, 0.25],
    [20, 0.5],
    [30, 0.75],
  ]);
  const chart = { name: 'tail', means: '', colour: 'agent', gates: [{ name: 'G3', atMs: 100, share: 0.95 }], missedCount: 0 };
  const root = readXml(ecdfChart({ ...chart, valuesMs: [50, 90] }));
  const ring = pick(root, ({ name }) => name === 'circle')[0]!;
  const gate = pick(root, ({ attributes }) => attributes['class'] === 'gate')[0]!;
  t.equal(ring.attributes['cx'], gate.attributes['x1']);
  t.match(JSON.stringify(readXml(ecdfChart({ ...chart, valuesMs: [] }))), /none measured/);
  t.end();
});

test('waterfall: the stages of the median and the p95 answer follow each other up to the gap', (t) => {
  const gaps = Array.from({ length: 20 }, (_, index) => 600 + 50 * index);
  const parts = (gapMs: number) => ({ endpointMs: 300, sttMs: 20, llmMs: gapMs - 500, ttsMs: 100, engineMs: 10, bufferMs: 70 });
  const scenarios = gaps.map((gapMs, index) =>
    scenarioFigures(`a-${index}`, { turns: [turnFigures({ gapMs, waterfall: parts(gapMs) })] }),
  );
  const pictures = waterfallPictures({ ...evaluationResult(), scenarios }).map(readXml);
  t.equal(pictures.length, 2);
  const { left, right, width } = waterfallGeometry;
  for (const [picture, gapMs] of [
    [pictures[0]!, 1050],
    [pictures[1]!, 1500],
  ] as const) {
    const stages = pick(picture, ({ attributes }) => attributes['data-stage'] !== undefined);
    t.same(
      stages.map(({ attributes }) => attributes['data-stage']),
      ['endpoint', 'recognition', 'model', 'voice', 'engine', 'playout'],
    );
    const perMs = (width - left - right) / 1500;
    t.ok(Math.abs(numberOf(stages[0]!, 'x') - left) < 0.01);
    for (const [index, stage] of stages.entries())
      if (index > 0)
        t.ok(Math.abs(numberOf(stage, 'x') - numberOf(stages[index - 1]!, 'x') - numberOf(stages[index - 1]!, 'width')) < 0.02);
    const last = stages.at(-1)!;
    t.ok(Math.abs(numberOf(last, 'x') + numberOf(last, 'width') - left - gapMs * perMs) < 0.02, 'ends at the gap');
  }
  t.same(waterfallPictures({ ...evaluationResult(), scenarios: [] }), []);
  t.end();
});

test('trade-off: ours and the public points at their places, and "different data" beside them', (t) => {
  const result = evaluationResult();
  const [{ svg, caption }] = tradeOffPictures(result) as [{ svg: string; caption: string }];
  const root = readXml(svg);
  const innerWidth = 880 - plotMargin.left - plotMargin.right;
  const innerHeight = 340 - plotMargin.top - plotMargin.bottom;
  const dots = pick(root, ({ name }) => name === 'circle').map((dot) => ({
    delayMs: Math.round(((numberOf(dot, 'cx') - plotMargin.left) / innerWidth) * tradeOffRange.delayMaxMs),
    cutOff: Math.round((1 - (numberOf(dot, 'cy') - plotMargin.top) / innerHeight) * tradeOffRange.cutOffMax * 1000) / 1000,
    text: pick(dot, ({ name }) => name === 'title')[0]!.text,
  }));
  t.ok(dots.some(({ delayMs, cutOff, text }) => delayMs === 600 && cutOff === 0.217 && /different data/.test(text)));
  t.ok(dots.some(({ delayMs, cutOff, text }) => delayMs === 600 && cutOff === 0.07 && /text rules.*threshold 0.6/.test(text)));
  t.match(caption, /Different data/);
  const [alone] = tradeOffPictures({ ...result, sweeps: [] });
  t.equal(ofKind(readXml(alone!.svg), 'operating-point').length, 1, 'without a sweep: the setting in use');
  t.end();
});

test('score bars: as long as the score, whiskers at the interval, the old value beside it', (t) => {
  const result = evaluationResult();
  const comparison = compare(result, evaluationResult(1, { engineVersion: 'old' }), scoreByGap);
  const root = readXml(scorePicture(result, comparison));
  const { left, right, width } = barGeometry;
  const perPoint = (width - left - right) / 10;
  const bars = pick(root, ({ name }) => name === 'rect');
  t.same(
    bars.map((bar) => Math.round((numberOf(bar, 'width') / perPoint) * 100) / 100),
    [8.6, 7.2, 8.9, 7.7, 9.1, Math.round(result.scores.total.raw * 100) / 100],
  );
  t.match(JSON.stringify(root), /not measured/);
  const old = pick(root, ({ attributes }) => attributes['class'] === 's-hold');
  t.equal(old.length, 2, 'total and D1 are known of the older run');
  t.end();
});

test('selectivity: class by channel, mean credit in the cell', (t) => {
  const scenarios = [
    scenarioFigures('f-1', {
      channel: 'wide',
      events: [eventFigures({ class: 'backchannel' }), eventFigures({ class: 'backchannel', effect: 'stopped', credit: 0 })],
    }),
    scenarioFigures('h-1', { channel: 'phone', events: [eventFigures({ class: 'echo', credit: 0.25, effect: 'paused' })] }),
  ];
  const root = readXml(selectivityPicture({ ...evaluationResult(), scenarios }));
  const texts = pick(root, ({ name, attributes }) => name === 'text' && attributes['text-anchor'] === 'middle').map(
    ({ text }) => text,
  );
  t.same(texts.slice(0, 3), ['phone', 'wide', 'all']);
  t.same(
    texts.slice(3).filter((text) => text !== ''),
    ['0.50', '1/2', '0.50', '1/2', '0.25', '0/1', '0.25', '0/1'],
  );
  t.end();
});

test('mutants: targets framed, gates named, what was not caught is marked', (t) => {
  const root = readXml(variationPicture(evaluationResult(), 'mutant'));
  const framed = pick(root, ({ attributes }) => attributes['class'] === 's-ink');
  const left = matrixLeft([{ name: 'stops at any energy, never resumes', cells: [] }]);
  t.same(
    framed.map((frame) => (numberOf(frame, 'x') - left) / matrixGeometry.cellWidth),
    [0, 1, 2, 3, 4],
  );
  const texts = pick(root, ({ name }) => name === 'text').map(({ text }) => text);
  t.equal(texts.filter((text) => text === '✓').length, 4);
  t.equal(texts.filter((text) => text === '✗').length, 1);
  t.ok(texts.includes('G4 G6 G7') && texts.includes('G8'));
  t.equal(variationPicture({ ...evaluationResult(), variations: [] }, 'mutant'), '');
  t.end();
});

test('trend: nothing from one version, a line from two', (t) => {
  const point = { version: '1', total: 7, totalInterval: undefined, dims: { D1: 8 } };
  t.equal(trendChart([point]), '');
  t.equal(pick(readXml(trendChart([point, { ...point, version: '2', total: 7.5 }])), ({ name }) => name === 'circle').length, 2);
  t.end();
});

/** Ten less the mean gap in half seconds; drawn like the real scores. */
function scoreByGap(scenarios: readonly ScenarioFigures[], draws = 400): ReturnType<Scorer> {
  const plain = (chosen: readonly ScenarioFigures[]): PlainScores => {
    const gaps = chosen.flatMap(({ turns }) => turns.flatMap(({ gapMs }) => gapMs ?? []));
    const raw = 10 - gaps.reduce((sum, gap) => sum + gap, 0) / Math.max(1, gaps.length) / 500;
    return { raw, dims: { D1: raw, D2: undefined, D3: undefined, D4: undefined, D5: undefined, D6: undefined } };
  };
  const drawn = drawsOf(scenarios.length, 1, draws).map((choice) => plain(Array.from(choice, (index) => scenarios[index]!)));
  return { exact: plain(scenarios), drawn };
}

test('baseline: paired differences, significant only when the whole interval says so', (t) => {
  const before = evaluationResult(1);
  const slower = (ms: number) => ({
    ...before,
    scenarios: before.scenarios.map((figures) => ({
      ...figures,
      turns: figures.turns.map((turn) => ({ ...turn, gapMs: turn.gapMs! + ms })),
    })),
  });
  const same = compare(before, before, scoreByGap);
  t.same([same.deltas[0]!.delta, same.deltas[0]!.interval, same.isWorse], [0, { low: 0, high: 0 }, false]);
  const worse = compare(slower(250), before, scoreByGap);
  t.ok(Math.abs(worse.deltas[0]!.delta! + 0.5) < 1e-9);
  t.ok(Math.abs(worse.deltas[0]!.interval!.high + 0.5) < 1e-9, 'the same fall everywhere: no spread');
  t.ok(worse.isWorse);
  t.match(comparisonText(worse), /WORSE: the total fell by more than 0\.3/);
  t.notOk(compare(slower(100), before, scoreByGap).isWorse, 'a fall of 0.2 is allowed');
  const oneBad = {
    ...before,
    scenarios: before.scenarios.map((figures, index) =>
      index === 0 ? { ...figures, turns: [{ ...figures.turns[0]!, gapMs: figures.turns[0]!.gapMs! + 10_000 }] } : figures,
    ),
  };
  const chance = compare(oneBad, before, scoreByGap);
  t.ok(chance.deltas[0]!.delta! < -0.3 && chance.deltas[0]!.interval!.high === 0);
  t.notOk(chance.isWorse, 'one conversation of forty is not a trend');
  t.end();
});

test('baseline: what cannot be compared is said', (t) => {
  const now = evaluationResult(1, {
    profile: 'fast',
    voices: 'espeak-ng 1.51',
    suite: { name: 'open', hash: 'other', leftOut: [] },
  });
  const [first, ...others] = now.scenarios;
  const changed = { ...now, scenarios: [{ ...first!, id: 'new-1' }, { ...others[0]!, isPassed: false }, ...others.slice(1)] };
  const comparison = compare(changed, evaluationResult(1), scoreByGap);
  t.same([comparison.common, comparison.onlyNow, comparison.onlyBefore], [39, ['new-1 (paced)'], [`${first!.id} (paced)`]]);
  t.same(comparison.scenariosLost, [`${others[0]!.id} (paced)`]);
  t.match(
    comparison.notes.join('\n'),
    /suite itself changed[\s\S]*profile: reference before, fast now[\s\S]*callers' voices: flite before, espeak-ng 1\.51 now/,
  );
  const apart = compare({ ...now, scenarios: [] }, evaluationResult(1), scoreByGap);
  t.same([apart.deltas, apart.isWorse], [[], false]);
  t.end();
});

test('events: one JSON object a line, in order of time', (t) => {
  const { record, figures } = runWithEverything();
  const lines = eventLines(record, figures)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.same([lines[0]!['source'], lines[0]!['scenario']], ['run', 'z-everything']);
  const times = lines.slice(1).map(({ atMs }) => Number(atMs));
  t.same(
    times,
    [...times].sort((a, b) => a - b),
  );
  t.same([...new Set(lines.map(({ source }) => source))].sort(), [
    'caller',
    'closed',
    'engine',
    'heard',
    'model',
    'provider',
    'run',
    'wire',
  ]);
  t.end();
});

test('every metric has a name, once', (t) => {
  t.same(metricGroups.flatMap(({ metrics }) => metrics.map(([id]) => id)).sort(), [...metricIds].sort());
  t.end();
});

test('the folder: page, JSON and the files of each conversation; the page fetches and runs nothing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-report-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const { record, figures } = runWithEverything();
  const some = evaluationResult();
  const result = { ...some, scenarios: [...some.scenarios, figures] };
  const baseline = evaluationResult(3, { engineVersion: 'older', seed: 1 });
  const comparison = await writeReport(folder, result, [record], { baseline });
  t.equal(comparison?.common, 40);
  const text = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
  t.equal(await text('report.json'), reportJson(result));
  const heard = readWav(await readFile(join(folder, 'lanes', 'z-everything.a.wav')));
  t.same(heard.channels[0], record.lanes.heard);
  t.equal(readWav(await readFile(join(folder, 'lanes', 'z-everything.u.wav'))).rateHz, 16_000);
  t.match(await text('events/z-everything.jsonl'), /"kind":"commit"/);
  const html = await text('report.html');
  t.notMatch(html, /<script|src=|@import|url\(|<link|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  t.notMatch(html, /NaN|undefined|Infinity|\[object/);
  t.match(html, /7\.90<small> of 10/);
  t.match(html, /Gates missed: G4 cut-ins/);
  t.match(html, /SIMULATED, profile “reference”/, 'what is simulated is said');
  t.match(html, /no recordings: real-1, real-2/, 'what was left out is said');
  t.match(html, /Virtual clock: [^<]* G1 to G3 are not judged/);
  t.match(html, /A question &lt;and&gt; its answer/);
  t.match(html, /href="timelines\/z-everything\.svg"/);
  t.match(html, /<details open><summary><b class="bad">✗<\/b> z-everything/, 'what went wrong is on the page');
  const pictures = html.match(/<svg .*?<\/svg>/gs)!;
  t.ok(pictures.length >= 12);
  for (const picture of pictures) readXml(picture);
  await writeReport(folder, { ...result, timing: { ...result.timing, isValid: false, problem: 'caller frames 12 ms late' } }, []);
  t.match(await text('report.html'), /nothing in it counts.*caller frames 12 ms late/);
});

test('pictures of an empty result are still pictures', (t) => {
  const empty = { ...evaluationResult(), scenarios: [] };
  for (const picture of [gapPicture(empty), selectivityPicture(empty), scorePicture(empty, undefined), ...ecdfPictures(empty)])
    t.notMatch(JSON.stringify(readXml(picture)), /NaN|Infinity/);
  t.end();
});
