/** The result of a load run as text, as JSON and as a page: complete, readable again, and in need of nothing else. */
import { test } from 'tap';
import { niceStep, percentileChart, timeChart } from '../load/rig/charts.js';
import { readFlags } from '../load/rig/flags.js';
import { reportHtml } from '../load/rig/load-report.js';
import { exitCodeOf, generatorIsLate, parseResult, promises, resultJson, resultText } from '../load/rig/load-result.js';
import { barOf, Progress } from '../load/rig/progress.js';
import { loadResult } from './support/load-result.js';

test('promises: all hold, one is missed, or the generator was too late to tell', (t) => {
  const good = loadResult();
  t.ok(promises(good).every(({ holds }) => holds));
  t.match(good.bars.map(({ name }) => name).join('\n'), /VAD lag p99[\s\S]*first audio p95/);
  const slow = loadResult({ pacing_jitter: 9 });
  t.same(
    promises(slow).flatMap(({ name, holds }) => (holds ? [] : [name])),
    ['pacing jitter p99'],
  );
  t.equal(generatorIsLate(good.callers), false);
  t.equal(generatorIsLate(loadResult({ generator_lateness: 9 }).callers), true);
  t.equal(generatorIsLate({}), true, 'a generator that was not watched proves nothing');
  t.same([exitCodeOf(true, good.bars), exitCodeOf(true, slow.bars), exitCodeOf(false, good.bars)], [0, 1, 3]);
  const other = { ...good, settings: { ...good.settings, profile: 'slow' }, engine: { window: 'none' as const, stages: {} } };
  t.notOk(
    promises(other).some(({ name }) => /first audio|VAD/.test(name)),
    'delays of others are no promise of ours',
  );
  const missedWith = (refused: number): string[] =>
    promises({ ...loadResult({ refusal: 4 }), knocks: { count: 9, refused, answers: {} } }).flatMap(({ name, holds }) =>
      holds ? [] : [name],
    );
  t.same(missedWith(9), []);
  t.same(missedWith(8), ['calls beyond capacity refused as documented']);
  t.end();
});

test('JSON goes round, and what was not measured stays not measured', (t) => {
  const result = loadResult({ first_audio: 1234.5678 });
  const again = parseResult(resultJson(result))!;
  t.equal(again.callers['first_audio']!.encoded, result.callers['first_audio']!.encoded);
  t.ok(Number.isNaN(again.series[0]!.engineCpu));
  t.equal(again.settings.sessions, 10);
  t.match(resultText(again), /first_audio {2,}.* 200 /);
  t.equal(parseResult(resultJson({ ...result, cost: undefined }))!.cost, undefined);
  for (const text of ['', '{}', '[]', '{"kind":"other"}']) t.equal(parseResult(text), undefined);
  t.end();
});

test('the text names what went wrong and stands beside an older result', (t) => {
  const result = { ...loadResult({ vad_lag: 70 }), failures: { 'Unexpected server response: 503': 2 } };
  const text = resultText(result, loadResult());
  t.match(text, /2 × Unexpected server response: 503/);
  t.match(text, /MISSED VAD lag p99/);
  t.match(text, /p99 then/);
  t.notMatch(text, /INVALID/);
  t.match(resultText({ ...result, isValid: false }), /INVALID: the load generator was the bottleneck/);
  t.end();
});

test('the page is one file that fetches nothing and runs nothing', (t) => {
  const html = reportHtml(loadResult({ vad_lag: 70 }), loadResult());
  t.match(html, /^<!doctype html>/);
  t.notMatch(html, /<script|src=|href=|@import|url\(|http:\/\/|https:\/\//);
  t.match(html, /made up &lt;for&gt; a test &amp; nothing else/);
  t.match(html, /1 of \d+ promises missed/);
  t.notMatch(html, /NaN|undefined|Infinity/);
  t.ok((html.match(/<svg/g) ?? []).length >= 8, 'curves and series');
  t.match(html, /class="line c1 old"/, 'the older result is dashed');
  t.equal(
    (html.match(/<(?:table|svg|section|div)[ >]/g) ?? []).length,
    (html.match(/<\/(?:table|svg|section|div)>/g) ?? []).length,
  );
  t.match(reportHtml({ ...loadResult(), isValid: false }), /Invalid: the load generator was the bottleneck/);
  t.match(
    reportHtml({ ...loadResult(), cost: undefined, series: [], engine: { window: 'none', stages: {} } }),
    /All \d+ promises held/,
  );
  t.end();
});

test('charts stay inside their frame', (t) => {
  const points = [
    [1, 1],
    [0.1, 20],
    [0.001, Number.NaN],
    [0.00005, 300],
  ] as const;
  const inside = (svg: string): boolean =>
    [...svg.matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)].every(
      ([, x, y]) => Number(x) >= 0 && Number(x) <= 640 && Number(y) >= 0 && Number(y) <= 240,
    );
  const curve = percentileChart('a < b', [{ name: 'x', colour: 1, points }]);
  t.ok(inside(curve));
  t.match(curve, /a &lt; b[\s\S]*p99\.9</);
  t.ok(
    inside(
      timeChart(
        't',
        [
          {
            name: 'x',
            colour: 1,
            points: [
              [0, 0],
              [90_000, 5],
            ],
          },
        ],
        'ms',
        60_000,
      ),
    ),
    'also what came after the end',
  );
  t.ok(inside(timeChart('empty', [{ name: 'x', colour: 1, points: [] }], 'ms', 60_000)));
  t.same([0.3, 1, 1.1, 4, 60, 0].map(niceStep), [0.5, 1, 2, 5, 100, 1]);
  t.end();
});

test('a progress bar is redrawn on a terminal and written now and then elsewhere', (t) => {
  const written: string[] = [];
  const out = (isTTY: boolean) => ({ write: (text: string) => written.push(text), isTTY, columns: 60 });
  let atMs = 0;
  const terminal = new Progress(out(true), () => atMs);
  terminal.show(0.5, 'half');
  terminal.end();
  const clear = '\r\x1b[2K';
  t.equal(written.join(''), `${clear}[${'█'.repeat(15)}${'·'.repeat(15)}]  50 % half${clear}`);
  written.length = 0;
  const file = new Progress(out(false), () => atMs);
  for (; atMs < 25_000; atMs += 1000) file.show(atMs / 25_000, 'x');
  t.equal(written.length, 3);
  t.ok(barOf(7).includes('100 %') && barOf(-1).includes('  0 %'));
  t.end();
});

test('flags: decimals and texts', (t) => {
  const numbers = { minutes: { fallback: 2, min: 0.25, max: 60, means: 'm', isDecimal: true } } as const;
  const texts = { url: { means: 'u' }, profile: { means: 'p', allowed: ['a', 'b'] } } as const;
  t.same(readFlags('', numbers, ['--minutes', '0.5', '--profile', 'b'], texts), {
    minutes: 0.5,
    url: undefined,
    profile: 'b',
    json: undefined,
  });
  t.end();
});
