/** The rings between two real threads: sequence numbers, no sleeping; both sides meet through cells. */

import { Worker } from 'node:worker_threads';
import { test } from 'tap';
import { FrameReader } from '../src/shared/frames.js';
import { InputWriter } from '../src/shared/ring.js';
import { Cell, claim, createBlock, inputRingSamples, Slot } from '../src/shared/slots.js';
import { type Report, sample, totalFrames, totalSamples } from './support/ring-worker.js';

const epochEvery = 50;
/** A little more than readers let a writer be ahead. */
const aheadMax = inputRingSamples - 3072;

function startWorker<Answer>(data: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./support/ring-worker.js', import.meta.url), { workerData: data });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

test('input ring: a real writer and a real reader agree on every sample', async (t) => {
  const block = createBlock(1);
  const slot = new Slot(block, 0);
  const generation = claim(slot);
  const answer = startWorker<Report>({ block, job: 'input', generation });
  const writer = new InputWriter(slot);
  const chunk = new Int16Array(320);
  while (writer.written < totalSamples) {
    // A fast writer, but one that mostly lets the reader keep up: overruns happen and are told, not the rule.
    if (writer.written - slot.load(Cell.vadRead) > aheadMax && writer.written % 640_000 !== 0) {
      await new Promise(setImmediate);
      if (writer.written - slot.load(Cell.vadRead) > aheadMax) continue;
    }
    for (let index = 0; index < chunk.length; index++) chunk[index] = sample(writer.written + index);
    writer.write(chunk);
  }
  const report = await answer;
  t.equal(report.wrong, 0, 'no torn or misplaced sample');
  t.ok(report.samples > totalSamples / 2, `most samples were read (${report.samples}, skipped ${report.skipped})`);
  t.ok(report.samples + report.skipped >= totalSamples - 512, 'read and skipped add up to what was written');
});

test('output ring: after the reader has seen a new epoch, no older frame gets past it', async (t) => {
  const block = createBlock(1);
  const slot = new Slot(block, 0);
  const generation = claim(slot);
  const answer = startWorker<number>({ block, job: 'frames', generation });
  const reader = new FrameReader(slot);
  let seen = 0;
  let stale = 0;
  let leaked = 0;
  let wrong = 0;
  while (seen < totalFrames) {
    const frame = reader.peek();
    if (frame === undefined) {
      await new Promise(setImmediate);
      continue;
    }
    const epoch = slot.load(Cell.epoch);
    if (frame.position !== seen || frame.eventId !== seen) wrong += 1;
    if (frame.payload.some((byte) => byte !== (seen & 0xff))) wrong += 1;
    if (frame.epoch < epoch) stale += 1;
    else if (frame.epoch !== epoch) leaked += 1;
    seen += 1;
    reader.advance();
    if (seen % epochEvery === 0) slot.store(Cell.epoch, epoch + 1);
  }
  const waited = await answer;
  t.equal(wrong, 0, 'every frame once, in order, whole');
  t.equal(leaked, 0, 'no frame of a future epoch');
  t.ok(stale > 0, `stale frames were seen and dropped (${stale})`);
  t.ok(waited > 0, `a full ring made the writer wait (${waited} times)`);
});
