/** Figures of benches side by side: found in reports of any shape, compared by what is better, noise apart. */
import { test } from 'tap';
import { betterIs, compare, comparedText, figuresIn, medianOf, roundsOf } from '../bench/figures.js';

test('figures are found by a path that does not depend on the order of rows', (t) => {
  const report = {
    oneThreadMillions: 3,
    rows: [
      { format: 'pcm_16000', calls: 2, decodeUs: 0.5, isFine: true },
      { format: 'ulaw_8000', calls: 2, decodeUs: 0.25, note: 'x' },
    ],
    plain: [4, 5],
    nothing: null,
  };
  const figures = figuresIn(report);
  t.equal(figures['rows[ulaw_8000 2].decodeUs'], 0.25);
  t.match(figures, { oneThreadMillions: 3, 'plain[1]': 5 });
  t.same(figuresIn({ ...report, rows: [...report.rows].reverse() }), figures);
  t.same(figuresIn(undefined), {});
  t.end();
});

test('what is better follows from the name', (t) => {
  for (const path of ['a.decodeUs', 'b[x].cpuUsPerMessage', 'p50Us', 'settings[x].p50UsByRows.16', 's[clean].realTimeFactor'])
    t.equal(betterIs(path), 'less', path);
  for (const path of ['messagesPerSecond', 'oneThreadMillions', 'twoThreads.millions', 'frameMillions'])
    t.equal(betterIs(path), 'more', path);
  for (const path of ['rows[x].right', 'eventCount', 'messageMs']) t.equal(betterIs(path), undefined, path);
  t.end();
});

test('changes within the noise of the rounds are the same', (t) => {
  const before = roundsOf([
    { aUs: 10, bUs: 10, ratePerSecond: 100, count: 4, gone: 1 },
    { aUs: 11, bUs: 10, ratePerSecond: 101, count: 4 },
  ]);
  const now = roundsOf([
    { aUs: 12, bUs: 14, ratePerSecond: 150, count: 5, fresh: 1 },
    { aUs: 11, bUs: 14.1, ratePerSecond: 151, count: 5 },
  ]);
  const verdicts = new Map(compare(before, now).map(({ path, verdict }) => [path, verdict]));
  t.same([...verdicts].sort(), [
    ['aUs', 'same'],
    ['bUs', 'worse'],
    ['count', 'differs'],
    ['ratePerSecond', 'better'],
  ]);
  const single = compare(roundsOf([{ aUs: 10 }]), roundsOf([{ aUs: 10.8 }]));
  t.match(single, [{ verdict: 'same', band: 0.1 }], 'one round each: a tenth is noise');
  const text = comparedText(compare(before, now));
  t.match(text, /worse {3}bUs .* 1\.41 ×/);
  t.match(text, /1 better, 1 worse, 1 within the noise/);
  t.notMatch(text, /aUs/);
  t.same([medianOf([3, 1, 2]), medianOf([1, 2, 3, 4])], [2, 2.5]);
  t.end();
});
