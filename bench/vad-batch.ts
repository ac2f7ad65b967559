/**
 * Price of a hop of speech detection by batch size: the graph of the model's file, the plain graph that is used in its place, and that with staging,
 * gathering and scattering around it; and what padding to powers of two and onnxruntime's memory settings would change. `node dist/bench/vad-batch.js [--json FILE]`; about 20 s.
 * One thread, warm, medians. Not measured: many threads at once, a cache shared with other work, and waiting for the batch to fill.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { InferenceSession } from 'onnxruntime-node';
import { hopSamples } from '../src/shared/units.js';
import { SpeechDetector } from '../src/vad/detector.js';
import { flatSilero } from '../src/vad/flat-silero.js';
import { defaultModelPath, ModelBatch, SileroModel } from '../src/vad/model.js';
import { quantile, seeded, whiteNoise } from './vad-data.js';

const sizes = [1, 2, 4, 8, 16, 32, 64, 128];
const rowsMax = 128;
const hops = Array.from({ length: rowsMax }, (_, index) => whiteNoise(hopSamples, -30, seeded(index + 1)));

type Price = { readonly p50Us: number; readonly p99Us: number };
const roundsFor = (rows: number): number => 100 + Math.round(4000 / rows);

async function priceOf(rounds: number, call: () => Promise<unknown>): Promise<Price> {
  const timesUs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const start = process.hrtime.bigint();
    await call();
    if (round >= 20) timesUs.push(Number(process.hrtime.bigint() - start) / 1000);
  }
  return { p50Us: quantile(timesUs, 0.5), p99Us: quantile(timesUs, 0.99) };
}

export type BatchReport = {
  readonly bySize: readonly { readonly rows: number; readonly file: Price; readonly model: Price; readonly detector: Price }[];
  /** A promise resolved by `setImmediate`, which is how onnxruntime hands over its result. */
  readonly handOver: Price;
  /** Mean per hop (best of twelve rounds) when the number of sessions with a hop changes from pass to pass, evenly from 1 to `upTo`. */
  readonly changing: readonly { readonly upTo: number; readonly exactUs: number; readonly paddedUs: number }[];
  readonly settings: readonly { readonly name: string; readonly p50UsByRows: Readonly<Record<number, number>> }[];
};

async function changingSizes(model: SileroModel, batch: ModelBatch, upTo: number): Promise<BatchReport['changing'][number]> {
  const random = seeded(7);
  const counts = Array.from({ length: 60 }, () => 1 + Math.floor(random() * upTo));
  const meanUs = async (rowsFor: (count: number) => number): Promise<number> => {
    const perHop: number[] = [];
    for (let round = 0; round < 12; round += 1) {
      const start = process.hrtime.bigint();
      for (const count of counts) await model.run(batch, rowsFor(count));
      perHop.push(Number(process.hrtime.bigint() - start) / 1000 / counts.reduce((sum, count) => sum + count, 0));
    }
    return Math.min(...perHop);
  };
  return { upTo, exactUs: await meanUs((count) => count), paddedUs: await meanUs((count) => 2 ** Math.ceil(Math.log2(count))) };
}

async function settingsPrices(batch: ModelBatch): Promise<BatchReport['settings']> {
  const prices: { name: string; p50UsByRows: Record<number, number> }[] = [];
  const graph = flatSilero(await readFile(defaultModelPath()))!;
  for (const enableMemPattern of [true, false]) {
    for (const enableCpuMemArena of [true, false]) {
      const session = await InferenceSession.create(graph, {
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        logSeverityLevel: 3,
        enableMemPattern,
        enableCpuMemArena,
      });
      const p50UsByRows: Record<number, number> = {};
      for (const rows of [1, 16, 64]) {
        const { feeds, fetches } = batch.call(rows);
        p50UsByRows[rows] = (await priceOf(roundsFor(rows), () => session.run(feeds, fetches))).p50Us;
      }
      await session.release();
      prices.push({
        name: `memory pattern ${enableMemPattern ? 'on' : 'off'}, arena ${enableCpuMemArena ? 'on' : 'off'}`,
        p50UsByRows,
      });
    }
  }
  return prices;
}

export async function runBatch(): Promise<BatchReport> {
  const model = await SileroModel.load();
  const asItIs = await SileroModel.loadAsItIs(defaultModelPath(), await readFile(defaultModelPath()));
  const batch = new ModelBatch(rowsMax);
  const detector = new SpeechDetector(model, rowsMax);
  const bySize: { rows: number; file: Price; model: Price; detector: Price }[] = [];
  for (const rows of sizes) {
    bySize.push({
      rows,
      file: await priceOf(roundsFor(rows), () => asItIs.run(batch, rows)),
      model: await priceOf(roundsFor(rows), () => model.run(batch, rows)),
      detector: await priceOf(roundsFor(rows), () => {
        for (let slot = 0; slot < rows; slot += 1) detector.stage(slot, hops[slot]!);
        return detector.run();
      }),
    });
  }
  const handOver = await priceOf(5000, () => new Promise((resolve) => setImmediate(resolve)));
  const changing = [await changingSizes(model, batch, 8), await changingSizes(model, batch, 64)];
  await model.close();
  await asItIs.close();
  return { bySize, handOver, changing, settings: await settingsPrices(batch) };
}

const { values } = parseArgs({ options: { json: { type: 'string' } } });
const report = await runBatch();
console.log('us a hop, p50:  rows      file     graph  detector');
for (const { rows, file, model, detector } of report.bySize) {
  const perHop = [file, model, detector].map(({ p50Us }) => (p50Us / rows).toFixed(1).padStart(10));
  console.log(`${String(rows).padStart(20)}${perHop.join('')}`);
}
console.log(`handing over through setImmediate: ${report.handOver.p50Us.toFixed(1)} us`);
for (const { upTo, exactUs, paddedUs } of report.changing) {
  console.log(
    `1 to ${upTo} rows, changing: exact ${exactUs.toFixed(1)} us a hop, padded to powers of two ${paddedUs.toFixed(1)} us`,
  );
}
for (const { name, p50UsByRows } of report.settings) {
  const calls = Object.entries(p50UsByRows).map(([rows, us]) => `${rows} rows ${us.toFixed(0)} us`);
  console.log(`${name}: ${calls.join(', ')}`);
}
if (values.json !== undefined) await writeFile(values.json, JSON.stringify(report, null, 2));
