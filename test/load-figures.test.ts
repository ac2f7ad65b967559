/** Figures of a load run: histograms merged over processes, what the engine says of itself, growth with its confidence, capacity. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { test } from 'tap';
import { capacityOf, endedBy, nextSessions, type Tried } from '../load/rig/capacity.js';
import { type CostSample, cpuBetween } from '../load/rig/cost-watch.js';
import { askEngine, engineStages, grownCounters } from '../load/rig/engine-figures.js';
import { Report } from '../load/rig/report.js';
import { Series, sumsOfProbes, tellTrends } from '../load/rig/soak-series.js';
import { curveOf, decode, encode, figuresOf, mergeStages, newHistogram, Stages, sinceThen } from '../load/rig/stages.js';
import { trendOf, verdictOf } from '../load/rig/trend.js';
import { loadResult } from './support/load-result.js';

test('histograms of several processes and intervals add up to the histogram of all values', (t) => {
  const values = fc.array(fc.double({ min: 0, max: 5000, noNaN: true }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(fc.array(values, { minLength: 1, maxLength: 5 }), (parts) => {
      const whole = newHistogram();
      const encoded = parts.map((part) => {
        const stages = new Stages();
        for (const value of part) {
          stages.record('first_audio', value);
          whole.recordValue(Math.round(value * 1000));
        }
        const taken = stages.take();
        // What was taken is not told again.
        return Object.keys(stages.take()).length === 0 ? taken : {};
      });
      const merged = mergeStages(encoded).get('first_audio')!;
      return JSON.stringify(figuresOf(merged)) === JSON.stringify(figuresOf(whole));
    }),
    { numRuns: 60 },
  );
  const stages = new Stages();
  stages.record('connect', -3);
  stages.record('connect', 10 ** 9);
  t.match(
    figuresOf(mergeStages([stages.take()]).get('connect')),
    { count: 2, p50: 0 },
    'negative is zero, and a minute is the longest',
  );
  t.ok(Number.isNaN(figuresOf(undefined).p99));
  t.end();
});

test('what lies between two looks is what was recorded in between', (t) => {
  const histogram = newHistogram();
  for (let value = 1; value <= 100; value += 1) histogram.recordValue(value * 1000);
  const before = encode(histogram);
  for (let value = 0; value < 50; value += 1) histogram.recordValue(500_000);
  const between = sinceThen(before, encode(histogram));
  t.equal(between.totalCount, 50);
  t.ok(Math.abs(figuresOf(between).p50 - 500) < 1 && Math.abs(figuresOf(between).max - 500) < 1);
  t.equal(sinceThen(undefined, before).totalCount, 100);
  const curve = curveOf(decode(before));
  t.same([curve[0]![0], curve.at(-1)![0]], [1, 0.01]);
  t.ok(
    curve.every(([, y], index) => index === 0 || y >= curve[index - 1]![1]),
    'a percentile curve only rises',
  );
  t.end();
});

test('an engine is asked for histograms and, where it has none, read as Prometheus text', async (t) => {
  const histogram = newHistogram();
  for (let value = 1; value <= 1000; value += 1) histogram.recordValue(value * 10);
  const answers = [
    {
      histograms: [{ name: 'vad_lag', encoded: encode(histogram) }],
      counters: [{ name: 'a_total', labels: '', value: 2 }],
      gauges: [],
    },
    {
      histograms: [{ name: 'vad_lag', encoded: encode(histogram) }],
      counters: [{ name: 'a_total', labels: '', value: 3 }],
      gauges: [],
    },
  ];
  const text = ['main', 'tts']
    .flatMap((thread, at) => [
      `parley_stage_seconds{thread="${thread}",stage="loop_delay",quantile="0.5"} 0.00${at + 1}`,
      `parley_stage_seconds{thread="${thread}",stage="loop_delay",quantile="0.99"} 0.0${at + 1}`,
      `parley_stage_seconds_count{thread="${thread}",stage="loop_delay"} 7`,
    ])
    .join('\n');
  const server = createServer((request, response) => {
    const isJson = request.url === '/json/metrics' && request.headers.accept?.startsWith('application/json');
    response.writeHead(request.url === '/none/metrics' ? 404 : 200, {
      'content-type': isJson ? 'application/json' : 'text/plain',
    });
    response.end(isJson ? JSON.stringify({ answers }) : text);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const [json, plain, none] = await Promise.all(['json', 'text', 'none'].map((path) => askEngine(`${url}/${path}`)));
  server.close();
  const measured = engineStages(undefined, json);
  t.match(measured, { window: 'measured', stages: { vad_lag: { count: 2000 } } }, 'of all threads together');
  t.same(engineStages(json, json).stages, {}, 'nothing happened since');
  t.same([...grownCounters(undefined, json, ['a_'])], [['a_total', 5]]);
  t.match(
    engineStages(undefined, plain),
    { window: 'since start', stages: { loop_delay: { count: 14, p50: 2, p99: 20 } } },
    'of the worst thread',
  );
  t.equal(none, undefined);
  t.equal(engineStages(undefined, none).window, 'none');
});

test('slope and its interval', (t) => {
  const line = Array.from({ length: 30 }, (_, x) => ({ x, y: 2 * x + 1 }));
  const exact = trendOf(line);
  t.ok(Math.abs(exact.slope - 2) < 1e-9 && exact.high - exact.low < 1e-6);
  for (const points of [line.slice(0, 3), line.map(({ y }) => ({ x: 1, y }))]) t.ok(Number.isNaN(trendOf(points).slope));
  t.same(
    [
      verdictOf({ slope: 1, low: 0.5, high: 1.5, mean: 0, count: 9 }, 2),
      verdictOf({ slope: 3, low: 0.5, high: 5, mean: 0, count: 9 }, 2),
      verdictOf({ slope: 1, low: -4, high: 6, mean: 0, count: 9 }, 2),
      verdictOf(trendOf([]), 2),
    ],
    ['flat', 'grows', 'not shown', 'not shown'],
  );
  t.end();
});

test('the interval holds the true slope as often as it says, also when neighbours resemble each other', (t) => {
  let state = 12_345;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const shareHeld = (kept: number): number => {
    let held = 0;
    for (let round = 0; round < 400; round += 1) {
      let noise = 0;
      const points = Array.from({ length: 120 }, (_, x) => {
        noise = kept * noise + normal();
        return { x, y: 0.3 * x + noise };
      });
      const { low, high } = trendOf(points);
      if (low <= 0.3 && high >= 0.3) held += 1;
    }
    return held / 400;
  };
  const [independent, alike] = [shareHeld(0), shareHeld(0.5)];
  t.ok(independent > 0.91 && independent < 0.98, `independent: ${independent}`);
  t.ok(alike > 0.85, `alike: ${alike}`);
  t.end();
});

test('growth is told per thousand calls, and a leak of one file a call is found', (t) => {
  const series = new Series();
  for (let second = 0; second < 1800; second += 10) {
    series.add('open files', second * 1000, 80 + (second * 4000) / 3600 + (second % 3));
    series.add('sockets', second * 1000, 60 + (second % 7));
  }
  const report = new Report('soak', {});
  tellTrends(report, series, 450_000, 1_800_000, 4000);
  t.match(report.text(), /open files .*slope \+\d+ an hour .* \+1000 per 1000 calls; grows/);
  t.match(report.text(), /sockets .* flat \(\d+ samples\)/);
  t.equal(report.exitCode, 1);
  t.end();
});

test('probes of all threads make one sample', (t) => {
  const series = new Series();
  const line = (thread: number, heap: number, second: number) => ({
    event: 'probe.memory',
    at: new Date(second * 1000).toISOString(),
    thread_id: thread,
    heap_bytes: heap * 2 ** 20,
    external_bytes: 0,
    timers: 1,
    ports: 2,
  });
  const spoken = [line(0, 10, 10), line(1, 5, 10.2), line(0, 11, 20), line(1, 6, 20.2), line(0, 12, 30), line(0, 12, 40)];
  sumsOfProbes([...spoken, line(0, 12, 50)], series, 5000);
  t.same(
    series.points['heap after collection'],
    [
      { x: 5200, y: 15 },
      { x: 15_200, y: 17 },
      { x: 25_000, y: 18 },
      { x: 35_000, y: 18 },
      { x: 45_000, y: 12 },
    ],
    'one that speaks no more has ended',
  );
  t.same(
    series.points['message ports']!.map(({ y }) => y),
    [4, 4, 4, 4, 2],
  );
  t.end();
});

test('the search finds any capacity within its precision, and never tries a number twice', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 900 }), fc.integer({ min: 1, max: 60 }), (capacity, from) => {
      const tried: Tried[] = [];
      const limits = { from, to: 800, precision: 0.05 };
      for (let sessions = nextSessions(tried, limits); sessions !== undefined; sessions = nextSessions(tried, limits)) {
        if (tried.some((each) => each.sessions === sessions) || sessions < 1 || sessions > 800 || tried.length > 40) return false;
        tried.push({ sessions, holds: sessions <= capacity });
      }
      const found = capacityOf(tried);
      return found <= capacity && found >= Math.min(800, capacity) - Math.max(1, Math.round(0.05 * found));
    }),
  );
  t.pass('held');
  t.end();
});

test('what ended it: the generator, a thread, the cores, slots, or nothing that was full', (t) => {
  const cpu = { engine: 60, engineByThread: { vad: 30, main: 20 }, simulator: 10, callers: 15, machineBusy: 50 };
  const withCpu = (change: Partial<typeof cpu>) => {
    const result = loadResult();
    return { ...result, cost: { ...result.cost!, cpu: { ...cpu, ...change } } };
  };
  t.match(endedBy({ ...loadResult(), isValid: false }), /^the load generator/);
  t.match(endedBy(withCpu({ engineByThread: { vad: 91, main: 20 } })), /^the engine’s thread vad \(91 %/);
  t.match(endedBy(withCpu({ machineBusy: 97 })), /^the machine’s cores \(97 % busy/);
  t.match(endedBy({ ...withCpu({}), failures: { 'Unexpected server response: 503': 3 } }), /^slots/);
  const late = loadResult({ vad_lag: 80 });
  t.match(endedBy({ ...late, cost: withCpu({}).cost }), /^no resource was full .*missed: VAD lag p99 \d+\.\d \(60\) ms/);
  t.end();
});

test('CPU is told apart by thread, and what has no name is summed up', (t) => {
  const sample = (atMonotonicMs: number, engineCpuMs: number, threads: [number, number][]): CostSample => ({
    atMonotonicMs,
    engineCpuMs,
    simulatorCpuMs: 0,
    callersCpuMs: atMonotonicMs / 10,
    residentMb: 100,
    calls: 10,
    threads: new Map(threads),
    machine: { busyMs: atMonotonicMs, totalMs: 2 * atMonotonicMs },
  });
  const from = sample(1000, 500, [
    [1, 100],
    [2, 50],
    [3, 5],
  ]);
  const to = sample(2000, 900, [
    [1, 300],
    [2, 150],
    [3, 15],
    [4, 90],
  ]);
  const cost = cpuBetween(
    from,
    to,
    new Map([
      [1, 'main'],
      [2, 'vad'],
    ]),
  );
  t.match(cost, { engine: 40, callers: 10, machineBusy: 50, engineByThread: { main: 20, vad: 10, 'pools and runtime': 10 } });
  t.end();
});
