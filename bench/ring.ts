/**
 * The rings and the ways to wake a thread: samples a second through the input ring on one thread and across two, frames a second through the
 * output ring, and the time until another thread has noticed a bell and answered (there and back). Best of several rounds for
 * throughput, percentiles for wake-ups. `npm run bench -- ring`. Not measured: more readers than one, cores under load.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { nowMs } from '../src/shared/clock.js';
import { FrameReader, FrameWriter } from '../src/shared/frames.js';
import { InputReader, InputWriter } from '../src/shared/ring.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import type { RingJob } from './ring-worker.js';

const wakeUps = 2000;

function freshSlot(): { slot: Slot; block: ReturnType<typeof createBlock>; generation: number } {
  const block = createBlock(1);
  const slot = new Slot(block, 0);
  return { slot, block, generation: claim(slot) };
}

/** Millions a second: the best of five rounds. */
function rate(count: number, body: () => void): number {
  let best = 0;
  for (let round = 0; round < 5; round++) {
    const startedAtMs = nowMs();
    body();
    best = Math.max(best, count / (nowMs() - startedAtMs) / 1000);
  }
  return best;
}

function oneThread(): number {
  const total = 8_000_000;
  return rate(total, () => {
    const { slot } = freshSlot();
    const writer = new InputWriter(slot);
    const reader = new InputReader(slot, Cell.vadRead);
    const chunk = new Int16Array(320);
    const hop = new Int16Array(512);
    while (writer.written < total) {
      writer.write(chunk);
      while (reader.read(hop) >= 0) reader.publish();
    }
  });
}

function frames(): number {
  const total = 200_000;
  return rate(total, () => {
    const { slot, generation } = freshSlot();
    const writer = new FrameWriter(slot);
    const reader = new FrameReader(slot);
    const payload = new Uint8Array(1280);
    for (let position = 0; position < total; position++) {
      const stamp = { generation, epoch: 0, take: 0, eventId: 1, speech: 1, afterControl: 0, position, sampleCount: 640 };
      writer.push({ ...stamp, isLast: 0, isTail: 0, scheduledAtMs: 0 }, payload);
      if (reader.peek() !== undefined) reader.advance();
    }
  });
}

async function startWorker(job: RingJob, port: MessagePort): Promise<Worker> {
  const worker = new Worker(new URL('./ring-worker.js', import.meta.url), { workerData: job, transferList: [job.port] });
  await new Promise((resolve) => {
    port.once('message', resolve);
  });
  return worker;
}

async function twoThreads(): Promise<{ millions: number; overrun: number }> {
  const totalSamples = 16_000_000;
  const { slot, block } = freshSlot();
  const { port1, port2 } = new MessageChannel();
  const worker = await startWorker({ job: 'read', block, totalSamples, port: port2 }, port1);
  const done = new Promise<number>((resolve) => {
    port1.once('message', resolve);
  });
  const writer = new InputWriter(slot);
  const chunk = new Int16Array(320);
  const startedAtMs = nowMs();
  while (writer.written < totalSamples) {
    while (writer.written - slot.load(Cell.vadRead) > 32_000);
    writer.write(chunk);
  }
  const overrun = await done;
  const millions = totalSamples / (nowMs() - startedAtMs) / 1000;
  await worker.terminate();
  port1.close();
  return { millions, overrun };
}

type WakeUp = { readonly way: string; readonly p50Us: number; readonly p95Us: number; readonly p99Us: number };

async function wakeUp(way: 'wait' | 'waitAsync' | 'port'): Promise<WakeUp> {
  const cells = new Int32Array(new SharedArrayBuffer(8));
  const { port1, port2 } = new MessageChannel();
  const worker = await startWorker({ job: way, cells, port: port2 }, port1);
  const times: number[] = [];
  for (let round = 1; round <= wakeUps; round++) {
    // Long enough for the other thread to be asleep again.
    Atomics.wait(cells, 1, round - 1, 1);
    const startedAtMs = nowMs();
    if (way === 'port') {
      port1.postMessage(round);
    } else {
      Atomics.store(cells, 0, round);
      Atomics.notify(cells, 0);
    }
    Atomics.wait(cells, 1, round - 1, 1000);
    times.push((nowMs() - startedAtMs) * 1000);
  }
  const over = new Promise((resolve) => worker.once('exit', resolve));
  if (way === 'port') port1.postMessage(-1);
  Atomics.store(cells, 0, -1);
  Atomics.notify(cells, 0);
  await over;
  port1.close();
  times.sort((a, b) => a - b);
  const at = (ratio: number): number => times[Math.floor(times.length * ratio)]!;
  return { way, p50Us: at(0.5), p95Us: at(0.95), p99Us: at(0.99) };
}

const { values } = parseArgs({ options: { json: { type: 'string' } } });
const ways: WakeUp[] = [];
const oneThreadMillions = oneThread();
const across = await twoThreads();
const frameMillions = frames();
for (const way of ['wait', 'waitAsync', 'port'] as const) ways.push(await wakeUp(way));
console.log(
  `input ring, one thread           ${oneThreadMillions.toFixed(1)} million samples/s (${Math.round(oneThreadMillions * 62.5)} calls in real time)`,
);
console.log(
  `input ring, two threads          ${across.millions.toFixed(1)} million samples/s, ${across.overrun} samples overrun`,
);
console.log(`output ring, one thread          ${frameMillions.toFixed(2)} million frames/s`);
console.log('waking a thread and its answer        p50       p95       p99   (µs)');
for (const { way, p50Us, p95Us, p99Us } of ways) {
  console.log(`  ${way.padEnd(30)}${[p50Us, p95Us, p99Us].map((value) => value.toFixed(0).padStart(9)).join(' ')}`);
}
if (values.json !== undefined) {
  writeFileSync(values.json, JSON.stringify({ oneThreadMillions, twoThreads: across, frameMillions, wakeUps: ways }, null, 2));
}
