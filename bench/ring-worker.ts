/** The other thread of `ring.ts`: reads samples as fast as it can, or answers each wake-up as soon as it comes. */
import { type MessagePort, workerData } from 'node:worker_threads';
import { InputReader } from '../src/shared/ring.js';
import { Cell, type SharedBlock, Slot } from '../src/shared/slots.js';

export type RingJob =
  | { readonly job: 'read'; readonly block: SharedBlock; readonly totalSamples: number; readonly port: MessagePort }
  | { readonly job: 'wait' | 'waitAsync' | 'port'; readonly cells: Int32Array; readonly port: MessagePort };

/** Cells of a wake-up: [0] is rung by the bench, [1] by the answer. */
function answer(cells: Int32Array): void {
  Atomics.add(cells, 1, 1);
  Atomics.notify(cells, 1);
}

async function answerAsync(cells: Int32Array): Promise<void> {
  for (let seen = 0; Atomics.load(cells, 0) >= 0; ) {
    const waiting = Atomics.waitAsync(cells, 0, seen);
    if (waiting.async) await waiting.value;
    seen = Atomics.load(cells, 0);
    if (seen >= 0) answer(cells);
  }
}

const data = workerData as RingJob;
if (data.job === 'read') {
  const reader = new InputReader(new Slot(data.block, 0), Cell.vadRead);
  const hop = new Int16Array(512);
  data.port.postMessage('ready');
  while (reader.position + hop.length <= data.totalSamples) if (reader.read(hop) >= 0) reader.publish();
  data.port.postMessage(reader.overrunSamples);
} else if (data.job === 'wait') {
  data.port.postMessage('ready');
  for (let seen = 0; seen >= 0; seen = Atomics.load(data.cells, 0)) {
    if (seen > 0) answer(data.cells);
    Atomics.wait(data.cells, 0, seen);
  }
} else if (data.job === 'port') {
  data.port.on('message', (message: number) => {
    if (message < 0) data.port.close();
    else answer(data.cells);
  });
  data.port.postMessage('ready');
} else {
  // A pending waitAsync does not keep a thread alive; an open port does.
  data.port.ref();
  data.port.on('message', () => undefined);
  data.port.postMessage('ready');
  await answerAsync(data.cells);
  data.port.close();
}
