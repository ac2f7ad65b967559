/** `/metrics`: strips of all threads added up, as text and as exact histograms, and what a scrape may cost. */
import fc from 'fast-check';
import { test } from 'tap';
import { mergeStages } from '../load/rig/stages.js';
import { EngineFigures, figuresMaxAgeMs } from '../src/engine-figures.js';
import type { MetricsAnswer } from '../src/shared/links.js';
import { pairsOf } from '../src/telemetry/interval-histogram.js';
import { prometheusText } from '../src/telemetry/prometheus.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { createStrips } from '../src/telemetry/strip.js';
import { StripTotals, summaryOf, Totals } from '../src/telemetry/totals.js';
import { startStack } from './support/engine.js';

const values = fc.array(fc.integer({ min: 0, max: 5_000_000 }), { minLength: 1, maxLength: 40 });

test('totals: whatever is added in whatever order, over lanes and processes, is the histogram of all', (t) => {
  fc.assert(
    fc.property(fc.array(values, { minLength: 1, maxLength: 5 }), (parts) => {
      const [left, right] = [new Totals(), new Totals()];
      for (const [index, part] of parts.entries()) (index % 2 === 0 ? left : right).addStage('vad', 'vad_lag', pairsOf(part));
      const both = new Totals().add(left.plain()).add(right.plain());
      const all = parts.flat().sort((a, b) => a - b);
      const { count, sum, quantiles } = summaryOf(both.stages[0]!.cells, [0.5, 1]);
      const exact = all.reduce((total, value) => total + value, 0);
      const [median, most] = [all[Math.ceil(all.length / 2) - 1]!, all.at(-1)!];
      return (
        count === all.length &&
        Math.abs(sum - exact) <= exact * 0.004 + all.length &&
        quantiles[0]! >= median &&
        quantiles[0]! <= median * 1.008 + 1 &&
        quantiles[1]! >= most
      );
    }),
  );
  t.end();
});

test('totals of strips: lanes together, counts that wrap, counters that are still zero, gauges of now', (t) => {
  const strips = createStrips(2);
  const totals = new StripTotals(strips);
  const recorders = strips.lanes.map(({ vad }) => new Recorder('vad', vad));
  for (const recorder of recorders) recorder.record('vad_lag', 10);
  recorders[0]!.figures = () => ({
    gauges: [{ name: 'parley_vad_sessions', labels: '', value: 3 }],
    counters: [{ name: 'parley_input_overrun_samples_total', labels: 'reader="vad"', value: 0 }],
  });
  recorders[0]!.renew();
  recorders[1]!.count('parley_errors_total', 'stage="x"', 2 ** 31 - 1);
  totals.look();
  recorders[1]!.count('parley_errors_total', 'stage="x"', 2 ** 31 - 1);
  const text = prometheusText(totals.look());
  t.match(text, 'parley_stage_seconds_count{thread="vad",stage="vad_lag"} 2\n');
  t.match(text, 'parley_input_overrun_samples_total{reader="vad"} 0\n');
  t.match(text, `parley_errors_total{stage="x"} ${2 ** 32 - 2}\n`);
  t.match(text, 'parley_vad_sessions 3\n');
  const names = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')));
  t.equal(new Set(names).size, names.length, 'no line comes twice, whatever the number of lanes');
  t.end();
});

test('a scrape reads memory a few times a second at most, and asks the threads once a second at most', async (t) => {
  const strips = createStrips(1);
  const recorder = new Recorder('main', strips.main);
  let atMs = 0;
  let askedCount = 0;
  const figures = new EngineFigures(
    strips,
    recorder,
    async () => {
      askedCount += 1;
      return [recorder.answer({ id: askedCount })];
    },
    () => atMs,
  );
  recorder.count('parley_calls_total');
  const before = figures.text();
  recorder.count('parley_calls_total');
  t.equal(figures.text(), before);
  atMs += figuresMaxAgeMs;
  t.match(figures.text(), 'parley_calls_total 2\n');
  await Promise.all([figures.answers(), figures.answers()]);
  t.equal(askedCount, 1);
  atMs += 1000;
  await figures.answers();
  t.equal(askedCount, 2);
});

test('over HTTP: text for Prometheus, histograms for rigs, and the OpenAPI document is made once', async (t) => {
  const stack = await startStack();
  t.teardown(() => stack.stop());
  const ask = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${stack.http}${path}`, { headers });
  const text = await ask('/metrics', { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1' });
  t.match(text.headers.get('content-type'), 'text/plain');
  t.match(await text.text(), /^parley_slots_free 4$/m);
  const json = await ask('/metrics', { accept: 'application/json, text/plain;q=0.5' });
  t.match(json.headers.get('content-type'), 'application/json');
  const { answers } = (await json.json()) as { answers: MetricsAnswer[] };
  t.same(
    answers.map(({ thread }) => thread).sort(),
    ['api', 'conversation', 'lanes', 'main', 'stt', 'tts', 'vad'],
    'every thread, once',
  );
  const merged = mergeStages(
    answers.map(({ histograms }) => Object.fromEntries(histograms.map(({ name, encoded }) => [name, encoded]))),
  );
  t.ok(merged.get('loop_delay')!.totalCount > 0, 'and they can be merged');
  t.ok(answers.some(({ gauges }) => gauges.some(({ name, value }) => name === 'parley_slots_free' && value === 4)));

  const document = await ask('/openapi.json', { 'accept-encoding': 'identity' });
  const tag = document.headers.get('etag') ?? '';
  t.match(await document.json(), { openapi: '3.1.0' });
  t.match(document.headers.get('access-control-allow-origin'), '*');
  t.equal((await ask('/openapi.json', { 'accept-encoding': 'identity', 'if-none-match': tag })).status, 304);
  const small = await ask('/openapi.json', { 'accept-encoding': 'br' });
  t.equal(small.headers.get('content-encoding'), 'br');
  t.match(await small.json(), { openapi: '3.1.0' });
  t.equal((await fetch(`${stack.http}/openapi.json`, { method: 'DELETE' })).status, 405);
});
