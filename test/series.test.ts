/** Figures second by second: histograms as pairs, strips in shared memory, the bounded history and who may read it, and what the page makes of it. */
import fc from 'fast-check';
import { build } from 'hdr-histogram-js';
import { test } from 'tap';
import { SeriesCollector } from '../src/api/series-collector.js';
import { SeriesHistory } from '../src/api/series-history.js';
import { Cell, createBlock, Slot } from '../src/shared/slots.js';
import {
  cellOf,
  highestOf,
  highestValue,
  histogramCells,
  lowestOf,
  MergedHistogram,
  pairsOf,
} from '../src/telemetry/interval-histogram.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { type SeriesAnswer, type SeriesBucket, seriesBounds } from '../src/telemetry/series-bucket.js';
import { createStrip, createStrips, StripReader, StripWriter } from '../src/telemetry/strip.js';
import { readSchedStat, readStat } from '../src/telemetry/thread-times.js';
import { heatMapOf, rowOf } from '../web/src/dashboard/heat.js';
import { keptMs, SeriesLog } from '../web/src/dashboard/series-log.js';
import { busyCurve, columnsOf, counted, parseName, quantileCurves, rateCurve } from '../web/src/dashboard/windows.js';
import { createTestRest } from './support/rest.js';

const value = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: highestValue }));

test('cells are those of an HDR histogram: every value within 0.8 %', (t) => {
  fc.assert(
    fc.property(value, (us) => {
      const cell = cellOf(us);
      const [low, high] = [lowestOf(cell), highestOf(cell)];
      return cell < histogramCells && low <= us && us <= high && (high - low) / Math.max(1, low) <= 1 / 128;
    }),
  );
  for (let cell = 1; cell < histogramCells; cell += 1) {
    if (lowestOf(cell) !== highestOf(cell - 1) + 1) t.fail(`a gap before cell ${cell}`);
  }
  t.ok(highestOf(histogramCells - 1) >= highestValue);
  t.end();
});

test('percentiles of merged seconds are those of one HDR histogram of everything', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.array(value), { minLength: 1, maxLength: 6 }),
      fc.double({ min: 0, max: 100, noNaN: true }),
      (seconds, percent) => {
        const whole = build({
          bitBucketSize: 32,
          highestTrackableValue: highestValue,
          numberOfSignificantValueDigits: 2,
          useWebAssembly: false,
        });
        const merged = new MergedHistogram();
        for (const values of seconds) {
          for (const one of values) whole.recordValue(one);
          merged.add(pairsOf(values));
        }
        const again = new MergedHistogram().add(merged.pairs());
        if (whole.totalCount === 0) return merged.at(percent) === undefined && merged.max === 0;
        return (
          merged.count === whole.totalCount &&
          merged.at(percent) === whole.getValueAtPercentile(percent) &&
          again.at(percent) === merged.at(percent) &&
          merged.max === whole.getValueAtPercentile(100)
        );
      },
    ),
  );
  t.end();
});

test('a strip: what was written since the last look is seen once', (t) => {
  const step = fc.record({ name: fc.constantFrom('a', 'b', 'c{x="1"}'), value, isLook: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const memory = createStrip();
      const reader = new StripReader(memory);
      let writer = new StripWriter(memory);
      const seen = { values: new Map<string, MergedHistogram>(), counts: new Map<string, number>() };
      const look = (): void => {
        const { counters, histograms } = reader.look();
        for (const [name, pairs] of histograms)
          seen.values.set(name, (seen.values.get(name) ?? new MergedHistogram()).add(pairs));
        for (const [name, by] of counters) seen.counts.set(name, (seen.counts.get(name) ?? 0) + by);
        // A thread that is started anew finds what it had written.
        writer = new StripWriter(memory);
      };
      for (const { name, value: us, isLook } of steps) {
        writer.record(writer.cell('histogram', name), us);
        writer.add(writer.cell('counter', name), 2);
        if (isLook) look();
      }
      look();
      const names = [...new Set(steps.map(({ name }) => name))];
      return names.every((name) => {
        const values = steps.filter((one) => one.name === name).map((one) => one.value);
        const got = seen.values.get(name)?.pairs() ?? [];
        return String(got) === String(pairsOf(values)) && seen.counts.get(name) === values.length * 2;
      });
    }),
    { numRuns: 50 },
  );
  t.end();
});

test('a strip: wrapping counts, sums that fall, no room', (t) => {
  const memory = createStrip();
  const writer = new StripWriter(memory);
  const counter = writer.cell('counter', 'frames');
  writer.set(counter, 0x7fff_fffe);
  const reader = new StripReader(memory);
  writer.add(counter, 5);
  t.same(reader.look().counters, [['frames', 5]], 'over the end of 32 bits');
  const sum = writer.cell('counter', 'overrun');
  writer.set(sum, 100);
  t.same(reader.look().counters, [['overrun', 100]]);
  writer.set(sum, 40);
  t.same(reader.look().counters, [], 'calls ended, nothing happened');
  const cells = Array.from({ length: 400 }, (_, index) => writer.cell('histogram', `stage ${index}`));
  const lost = cells.filter((cell) => cell < 0).length;
  t.ok(lost > 0 && lost < 400);
  for (const cell of cells) writer.record(cell, 7);
  const { histograms, lost: told } = reader.look();
  t.equal(histograms.length, 400 - lost, 'the others are as they were');
  t.equal(told, lost);
  t.end();
});

test('the collector puts threads and lanes together', (t) => {
  const strips = createStrips(2);
  const block = createBlock(3);
  const slots = [0, 1, 2].map((index) => new Slot(block, index));
  const collector = new SeriesCollector(strips, slots, 1000);
  const recorders = [new Recorder('vad', strips.lanes[0]!.vad), new Recorder('vad', strips.lanes[1]!.vad)];
  for (const [lane, recorder] of recorders.entries()) {
    recorder.record('vad_lag', 10 * (lane + 1));
    recorder.record('loop_delay', lane);
    recorder.count('parley_turns_total', 'kind="spoken"', 3);
    recorder.figures = () => ({ gauges: [{ name: 'parley_vad_sessions', labels: '', value: 2 }], counters: [] });
    recorder.sample(1000, lane === 0);
  }
  slots[1]!.store(Cell.inputWritten, 3200);
  slots[1]!.store(Cell.vadRead, 1600);
  slots[1]!.store(Cell.outputWritten, 5);
  slots[1]!.store(Cell.outputRead, 2);
  const bucket = collector.look(2000, 1_700_000_000_000);
  t.same(new MergedHistogram().add(bucket.histograms['vad_lag']!).cells(), [
    [cellOf(10_000), 1],
    [cellOf(20_000), 1],
  ]);
  t.same(bucket.histograms['loop_delay/vad'], [0, 1]);
  t.same(bucket.histograms['loop_delay/vad 2'], [cellOf(1000), 1]);
  t.same(bucket.histograms['input_ring'], [cellOf(100_000), 1], 'one call, 100 ms unread; the other slots are silent');
  t.same(bucket.histograms['output_ring_frames'], [3, 1]);
  t.match(bucket, {
    duration_ms: 1000,
    counters: { 'parley_turns_total{kind="spoken"}': 6 },
    gauges: { parley_vad_sessions: 4 },
  });
  t.notOk('heap_kib' in bucket.gauges, 'facts of threads stay with them');
  t.ok((bucket.threads['vad 2']?.heap_kib ?? 0) > 1000);
  t.ok('loop_permille' in bucket.threads['vad']! && !('loop_permille' in bucket.threads['vad 2']!));
  const next = collector.look(3500, 1_700_000_001_500);
  t.match(next, { duration_ms: 1500, counters: {}, histograms: {} });
  t.same(Object.keys(next.histograms), [], 'nothing twice');
  t.end();
});

test('the system’s account of threads', (t) => {
  t.same(readSchedStat('359333169 17856180 336\n'), { cpuMs: 359.333169, waitMs: 17.85618 });
  t.equal(readSchedStat(''), undefined);
  t.same(readStat('28216 (a (b) c) R 1 2 3 4 5 6 7 8 9 10 34 1 0 0 20'), { cpuMs: 350, waitMs: undefined });
  t.equal(readStat('nonsense'), undefined);
  t.end();
});

const bucketAt = (atMs: number, more: Partial<SeriesBucket> = {}): Omit<SeriesBucket, 'seq'> => ({
  at_ms: atMs,
  duration_ms: 1000,
  cpu_ms: 0,
  resident_kib: 0,
  threads: {},
  histograms: {},
  counters: {},
  gauges: {},
  ...more,
});

test('the history is bounded and answers by number', (t) => {
  const history = new SeriesHistory('run', 5);
  const seqs = (after: number, most = 100): number[] =>
    history.after(after, most).map((text) => (JSON.parse(text) as SeriesBucket).seq);
  t.same([history.oldestSeq, history.newestSeq, seqs(0)], [0, 0, []]);
  for (let count = 0; count < 3; count += 1) history.add(bucketAt(count));
  t.same([history.oldestSeq, seqs(0), seqs(2), seqs(3), seqs(9)], [1, [1, 2, 3], [3], [], []]);
  for (let count = 0; count < 9; count += 1) history.add(bucketAt(count));
  t.same([history.oldestSeq, history.newestSeq], [8, 12]);
  t.same(
    [seqs(0), seqs(9), seqs(0, 2)],
    [
      [8, 9, 10, 11, 12],
      [10, 11, 12],
      [8, 9],
    ],
    'the oldest first',
  );
  t.end();
});

test('GET /v1/parley/series', async (t) => {
  const history = new SeriesHistory('run');
  for (let count = 1; count <= 70; count += 1) history.add(bucketAt(count * 1000));
  const rest = createTestRest({ history, apiKey: 'a key of ours' });
  const ask = async (query: string, headers: Record<string, string> = { 'xi-api-key': 'a key of ours' }) => {
    const { status, bytes } = await rest.ask('GET', `/v1/parley/series${query}`, { headers });
    return { status, body: bytes === undefined ? undefined : (JSON.parse(Buffer.from(bytes).toString()) as SeriesAnswer) };
  };
  t.equal((await ask('', {})).status, 401, 'the key rule of REST');
  const first = (await ask('')).body!;
  t.match(first, { run: 'run', oldest_seq: 1, newest_seq: 70, sessions_max: 4, providers: { stt: 'embedded' } });
  t.equal(first.buckets.length, seriesBounds.bucketsPerAnswerMax);
  t.same(
    (await ask('?after=68')).body?.buckets.map(({ seq }) => seq),
    [69, 70],
  );
  t.same((await ask('?after=70&run=run')).body?.buckets, []);
  t.equal((await ask('?after=70&run=before')).body?.buckets[0]?.seq, 1, 'numbers of another run mean nothing');
  t.equal((await ask('?after=999')).body?.buckets[0]?.seq, 1, 'nor do those of the future');
  for (const wrong of ['?after=-1', '?after=x', '?after=1.5', '?limit=1000']) t.equal((await ask(wrong)).status, 422, wrong);
});

function answerOf(run: string, buckets: readonly SeriesBucket[], newestSeq: number): SeriesAnswer {
  return {
    run,
    interval_ms: 1000,
    oldest_seq: 1,
    newest_seq: newestSeq,
    sessions_max: 4,
    providers: { stt: 'embedded', llm: 'embedded', tts: 'embedded' },
    buckets,
  };
}
const run = (from: number, to: number, startMs = 0): SeriesBucket[] =>
  Array.from({ length: to - from + 1 }, (_, index) => ({ seq: from + index, ...bucketAt(startMs + (from + index) * 1000) }));

test('the page: asks for what it missed, and says what is lost', (t) => {
  const log = new SeriesLog();
  t.equal(log.query, '');
  t.equal(log.take(answerOf('one', run(1, 60), 100)), true, 'there is more');
  t.equal(log.query, 'after=60&run=one');
  t.equal(log.take(answerOf('one', run(55, 100), 100)), false);
  t.same(
    log.buckets.map(({ seq }) => seq),
    run(1, 100).map(({ seq }) => seq),
    'nothing twice',
  );
  t.same(log.gaps, []);
  log.take(answerOf('one', run(301, 400), 400));
  t.same(log.gaps, [{ fromMs: 100_000, toMs: 300_000 }], 'the tab slept for longer than the server remembers');
  log.take(answerOf('two', run(1, 10, 405_000), 10));
  t.equal(log.query, 'after=10&run=two');
  t.same(log.gaps.at(-1), { fromMs: 400_000, toMs: 405_000 }, 'the engine was started anew');
  log.take(answerOf('two', run(11, 12, 405_000 + keptMs), 12));
  t.ok(
    log.buckets.every(({ at_ms: atMs }) => atMs > 405_000 + 12_000),
    'what is older than the history is let go',
  );
  t.same(log.gaps, [], 'and the gaps in it');
  t.equal(log.take(answerOf('two', [], 13)), false, 'an empty answer ends the asking');
  t.end();
});

test('the page: whatever the answers are cut into, every bucket is there once', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 12 }), (sizes) => {
      const history = new SeriesHistory('run', 1000);
      const log = new SeriesLog();
      for (const size of sizes) {
        for (let count = 0; count < size; count += 1) history.add(bucketAt((history.newestSeq + 1) * 1000));
        for (let isMore = true; isMore; ) {
          const after = Number(new URLSearchParams(log.query).get('after') ?? 0);
          const buckets = history.after(after, 7).map((text) => JSON.parse(text) as SeriesBucket);
          isMore = log.take(answerOf('run', buckets, history.newestSeq));
        }
      }
      const total = sizes.reduce((sum, size) => sum + size, 0);
      return log.gaps.length === 0 && String(log.buckets.map(({ seq }) => seq)) === String(run(1, total).map(({ seq }) => seq));
    }),
  );
  t.end();
});

test('the page: columns, curves, heat', (t) => {
  const at = (atMs: number, us: number[], turns: number): SeriesBucket => ({
    seq: atMs,
    ...bucketAt(atMs, {
      histograms: { vad_lag: pairsOf(us) },
      counters: { 'parley_turns_total{kind="spoken"}': turns },
      threads: { vad: { cpu_ms: 250 }, main: { loop_permille: 100 } },
    }),
  });
  const buckets = [at(10_003, [1000], 1), at(10_998, [3000, 4000], 2), at(14_001, [90_000], 7)];
  const columns = columnsOf(buckets, 14_001, 6, 2);
  t.same(
    columns.map(({ atS, buckets: own }) => [atS, own.length]),
    [
      [10, 1],
      [12, 1],
      [14, 0],
    ].map((pair) => pair),
    'a bucket belongs to the second of its middle',
  );
  const fine = columnsOf(buckets, 14_001, 6, 1);
  t.same(
    fine.map(({ atS }) => atS),
    [9, 10, 11, 12, 13, 14],
  );
  t.same(
    quantileCurves(fine, 'vad_lag', [100], 1000)[0]?.map((one) => one !== null),
    [true, true, false, false, true, false],
  );
  t.equal(quantileCurves(fine, 'vad_lag', [50], 1000)[0]?.[1], highestOf(cellOf(3000)) / 1000);
  const turns = (key: string): boolean => parseName(key).name === 'parley_turns_total';
  t.same(rateCurve(fine, turns), [1, 2, null, null, 7, null]);
  t.equal(counted(buckets, turns), 10);
  t.same(busyCurve(fine, ({ threads }) => threads['vad'])[0], 25);
  t.same(busyCurve(fine, ({ threads }) => threads['main'])[0], 10, 'where the system does not tell');
  t.same(busyCurve(fine, ({ threads }) => threads['tts'])[0], null);
  const heat = heatMapOf(fine, 'vad_lag');
  t.equal(heat.highestRow, rowOf(90_000));
  t.equal(
    heat.columns.reduce((sum, { counts }) => sum + [...counts.values()].reduce((all, count) => all + count, 0), 0),
    4,
  );
  t.equal(heatMapOf(fine, 'nothing').countMax, 0);
  t.same(parseName('parley_errors_total{stage="llm",error_type="timeout"}'), {
    name: 'parley_errors_total',
    labels: { stage: 'llm', error_type: 'timeout' },
  });
  t.end();
});
