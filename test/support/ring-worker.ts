/** The other thread of `shared-threads.test.ts`: reads samples, or writes frames, as fast as it can. */
import { parentPort, workerData } from 'node:worker_threads';
import { FrameWriter } from '../../src/shared/frames.js';
import { InputReader } from '../../src/shared/ring.js';
import { Cell, type SharedBlock, Slot } from '../../src/shared/slots.js';

export const totalSamples = 4_000_000;
export const totalFrames = 20_000;
export const sample = (index: number): number => ((index * 7) & 0x7fff) - 0x4000;

export type Report = { readonly samples: number; readonly skipped: number; readonly wrong: number };

/** Reads as fast as it can until the last sample; after an overrun it must be exactly where it says it is. */
function readInput(slot: Slot): Report {
  const reader = new InputReader(slot, Cell.vadRead);
  const hop = new Int16Array(512);
  let wrong = 0;
  let samples = 0;
  while (reader.position + hop.length <= totalSamples) {
    const gap = reader.read(hop);
    if (gap < 0) continue;
    const start = reader.position - hop.length;
    for (let index = 0; index < hop.length; index++) if (hop[index] !== sample(start + index)) wrong += 1;
    samples += hop.length;
    reader.publish();
  }
  return { samples, skipped: reader.overrunSamples, wrong };
}

/** The TTS side: frames of an epoch that the other thread raises meanwhile; it stamps what it last saw. */
function writeFrames(slot: Slot, generation: number): number {
  const writer = new FrameWriter(slot);
  const payload = new Uint8Array(1280);
  let full = 0;
  for (let position = 0; position < totalFrames; ) {
    const epoch = slot.load(Cell.epoch);
    payload.fill(position & 0xff);
    const pushed = writer.push(
      {
        generation,
        epoch,
        take: 0,
        eventId: position,
        speech: 1,
        afterControl: 0,
        position,
        sampleCount: 640,
        isLast: 0,
        isTail: 0,
        scheduledAtMs: position,
      },
      payload,
    );
    if (pushed) position += 1;
    else full += 1;
  }
  return full;
}

if (parentPort !== null && workerData?.job !== undefined) {
  const { block, job, generation } = workerData as { block: SharedBlock; job: 'input' | 'frames'; generation: number };
  const slot = new Slot(block, 0);
  parentPort.postMessage(job === 'input' ? readInput(slot) : writeFrames(slot, generation));
}
