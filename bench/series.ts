/**
 * What the dashboard costs each thread: writing to its strip beside the histogram it fills anyway, its facts once a second, and the API
 * thread's collecting and answering, at what 1,000 calls record in a second. `node dist/bench/series.js [--json FILE]`; about 5 s.
 * One thread, warm. Not measured: that writer and reader share the memory's cache lines while both run.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { build } from 'hdr-histogram-js';
import { SeriesCollector } from '../src/api/series-collector.js';
import { SeriesHistory } from '../src/api/series-history.js';
import { Cell, createBlock, Slot } from '../src/shared/slots.js';
import { Recorder, stages } from '../src/telemetry/recorder.js';
import { seriesBounds } from '../src/telemetry/series-bucket.js';
import { createStrip, createStrips, StripWriter } from '../src/telemetry/strip.js';
import { quantile, seeded } from './vad-data.js';

const calls = 1000;
/** Hops of 32 ms a second; frames of 40 ms while the agent speaks, taken for always. */
const hopsPerSecond = Math.round((calls * 1000) / 32);
const framesPerSecond = Math.round((calls * 1000) / 40);
const loopTurnsPerSecond = 50;
const passesPerSecond = 100;

const random = seeded(1);
/** Latencies in milliseconds: most small, a long tail. */
const latencies = Array.from({ length: 4096 }, () => Math.exp(random() * 4 - 1) + (random() < 0.01 ? random() * 200 : 0));

/** Nanoseconds a call, the best of some rounds. */
function priceNs(count: number, call: (index: number) => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 12; round += 1) {
    const start = process.hrtime.bigint();
    for (let index = 0; index < count; index += 1) call(index);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / count);
  }
  return best;
}

type Spread = { readonly p50Us: number; readonly p99Us: number };
function spreadOf(rounds: number, prepare: () => void, call: () => void): Spread {
  const timesUs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    prepare();
    const start = process.hrtime.bigint();
    call();
    if (round >= rounds / 5) timesUs.push(Number(process.hrtime.bigint() - start) / 1000);
  }
  return { p50Us: quantile(timesUs, 0.5), p99Us: quantile(timesUs, 0.99) };
}

const microseconds = latencies.map((value) => Math.round(value * 1000));
const hdr = build({
  bitBucketSize: 32,
  highestTrackableValue: 60_000_000,
  numberOfSignificantValueDigits: 3,
  useWebAssembly: false,
});
const hdrNs = priceNs(200_000, (index) => hdr.recordValue(microseconds[index & 4095]!));
const writer = new StripWriter(createStrip());
const cell = writer.cell('histogram', 'vad_lag');
const stripNs = priceNs(200_000, (index) => writer.record(cell, microseconds[index & 4095]!));

const strips = createStrips(1);
const recorders = {
  main: new Recorder('main', strips.main),
  vad: new Recorder('vad', strips.lanes[0]!.vad),
  stt: new Recorder('stt', strips.lanes[0]!.stt),
  conversation: new Recorder('conversation', strips.lanes[0]!.conversation),
  tts: new Recorder('tts', strips.lanes[0]!.tts),
  api: new Recorder('api', strips.api),
};
let sampleAtMs = 0;
const sample = spreadOf(
  1000,
  () => {
    sampleAtMs += 1001;
  },
  () => recorders.conversation.sample(sampleAtMs, true),
);

const block = createBlock(calls);
const slots = Array.from({ length: calls }, (_, index) => new Slot(block, index));
const collector = new SeriesCollector(strips, slots, 0);
let at = 0;
const latency = (): number => latencies[(at = (at + 1) & 4095)]!;
function second(): void {
  for (let index = 0; index < hopsPerSecond; index += 1) recorders.vad.record('vad_lag', latency());
  for (let index = 0; index < passesPerSecond; index += 1) {
    recorders.vad.record('vad_pass', latency());
    recorders.vad.recordSize('vad_batch', Math.round(latency() * 6));
  }
  for (let index = 0; index < framesPerSecond; index += 1) recorders.main.record('pacing_jitter', latency());
  for (const recorder of Object.values(recorders)) {
    for (let index = 0; index < loopTurnsPerSecond; index += 1) recorder.record('loop_delay', latency());
    recorder.count('parley_turns_total', 'kind="spoken"', 40);
  }
  // Each call has a turn in ten seconds: every other stage gets a value for it.
  for (const stage of stages) for (let index = 0; index < calls / 10; index += 1) recorders.conversation.record(stage, latency());
  for (const slot of slots) {
    slot.store(Cell.inputWritten, slot.load(Cell.inputWritten) + 16_000);
    slot.store(Cell.vadRead, slot.load(Cell.inputWritten) - 256);
  }
}
const history = new SeriesHistory('bench');
let atMs = 0;
const collect = spreadOf(60, second, () => {
  atMs += 1000;
  history.add(collector.look(atMs, atMs));
});
const [text = ''] = history.after(history.newestSeq - 1, 1);
const answer = spreadOf(
  200,
  () => undefined,
  () => new TextEncoder().encode(history.after(0, seriesBounds.bucketsPerAnswerMax).join(',')),
);

const perSecondUs = {
  vad: ((hopsPerSecond + 2 * passesPerSecond) * stripNs) / 1000 + sample.p50Us,
  main: ((framesPerSecond + loopTurnsPerSecond) * stripNs) / 1000 + sample.p50Us,
  conversation: ((stages.length * (calls / 10) + loopTurnsPerSecond) * stripNs) / 1000 + sample.p50Us,
  stt: (loopTurnsPerSecond * stripNs) / 1000 + sample.p50Us,
  tts: (loopTurnsPerSecond * stripNs) / 1000 + sample.p50Us,
  api: collect.p50Us,
};
const report = { calls, hdrNs, stripNs, sample, collect, answer, bucketBytes: text.length, perSecondUs };
console.log(`a value: HDR histogram ${hdrNs.toFixed(1)} ns, strip beside it ${stripNs.toFixed(1)} ns`);
console.log(`a thread's facts, once a second: p50 ${sample.p50Us.toFixed(1)} us, p99 ${sample.p99Us.toFixed(1)} us`);
console.log(
  `collecting at ${calls} calls, once a second, API thread: p50 ${collect.p50Us.toFixed(0)} us, p99 ${collect.p99Us.toFixed(0)} us`,
);
console.log(
  `a bucket: ${text.length} bytes; an answer of ${seriesBounds.bucketsPerAnswerMax}: p50 ${answer.p50Us.toFixed(0)} us`,
);
for (const [thread, us] of Object.entries(perSecondUs)) {
  console.log(`${thread.padEnd(14)}${us.toFixed(0).padStart(7)} us a second, ${(us / 10_000).toFixed(4)} % of a core`);
}
const { values } = parseArgs({ options: { json: { type: 'string' } } });
if (values.json !== undefined) await writeFile(values.json, JSON.stringify(report, null, 2));
