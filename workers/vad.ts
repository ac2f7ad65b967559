/**
 * The VAD thread (`src/hosts/vad-host.ts`). Blocking: it sleeps in `Atomics.wait` and reads its ports between passes; the one promise it waits
 * for is the model's.
 */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { VadHost } from '../src/hosts/vad-host.js';
import { nowMs } from '../src/shared/clock.js';
import type { MetricsAsk, SlotOrder } from '../src/shared/links.js';
import { takePriority } from '../src/shared/priority.js';
import { Board } from '../src/shared/slots.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { startOf, type VadStart } from '../src/thread-start.js';
import { SileroModel } from '../src/vad/model.js';

const start = startOf<VadStart>('vad');
if (start.isPriorityTaken) takePriority('media');
const { block, board } = start;
const { main, conversation, stt } = start.ports;
const recorder = new Recorder('vad', start.strip);
const model = await SileroModel.load(start.modelPath);
const host = new VadHost(
  { block, board, model, recorder },
  {
    toMain: (message) => main.postMessage(message),
    toConversation: (message) => conversation.postMessage(message),
    toStt: (message) => stt.postMessage(message),
  },
);

function readPorts(): void {
  drain(main, (message) => host.fromMain(message as SlotOrder));
  drain(start.control, (message) => {
    const order = message as MetricsAsk | { type: 'stop' };
    if (order.type !== 'metrics') return;
    const { gauges, counters } = host.figures();
    start.control.postMessage(recorder.answer(order, gauges, counters));
  });
}

function drain(port: MessagePort, handle: (message: unknown) => void): void {
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port)) {
    handle(received.message);
  }
}

start.control.postMessage({ type: 'ready', says: [`speech detection: ${model.path.split('/').at(-1)}`] });

/** Only the bell ends the sleep before; the beat still goes. */
const idleWaitMs = 100;
while (Atomics.load(board, Board.stop) === 0) {
  const bell = Atomics.load(board, Board.vadBell);
  readPorts();
  Atomics.add(board, Board.vadBeat, 1);
  const startedAtMs = nowMs();
  recorder.sample(startedAtMs, false);
  const isBehind = await host.pass();
  if (isBehind) continue;
  // Hops that come meanwhile are one batch. The first after that wakes the thread at once.
  if (host.batchSize > 0) Atomics.wait(board, Board.stop, 0, Math.max(0, startedAtMs + start.passMs - nowMs()));
  Atomics.store(board, Board.vadIdle, 1);
  // Whoever completed a hop before the store did not ring.
  if (!host.hasWork()) Atomics.wait(board, Board.vadBell, bell, idleWaitMs);
  Atomics.store(board, Board.vadIdle, 0);
}
await model.close();
for (const port of [main, conversation, stt, start.control]) port.close();
