/**
 * The VAD thread: one Silero call a pass for all sessions with a hop to judge, the speech gate of each, and the HOLD cell.
 * Blocking: it sleeps in `Atomics.wait` and reads its ports between passes; the one promise it waits for is the model's.
 */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { nowMs } from '../src/shared/clock.js';
import type { FromVad, MetricsAsk, Released, SlotOrder, SpeechEvent } from '../src/shared/links.js';
import { InputReader } from '../src/shared/ring.js';
import { Board, Cell, Slot } from '../src/shared/slots.js';
import { hopSamples } from '../src/shared/units.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { startOf, type VadStart } from '../src/thread-start.js';
import { SpeechDetector } from '../src/vad/detector.js';
import { Listener } from '../src/vad/listener.js';
import { SileroModel } from '../src/vad/model.js';

const start = startOf<VadStart>('vad');
const { board } = start;
const { main, conversation, stt } = start.ports;
const recorder = new Recorder('vad', start.strip);
const slots = Array.from({ length: start.block.slotCount }, (_, index) => new Slot(start.block, index));
const model = await SileroModel.load(start.modelPath);
const detector = new SpeechDetector(model, start.block.slotCount);
const listeners = new Map<number, Listener>();
const hop = new Int16Array(hopSamples);

function emit(slot: number, generation: number, event: SpeechEvent): void {
  const message: FromVad = { slot, generation, ...event };
  conversation.postMessage(message);
  if (event.type !== 'score') stt.postMessage(message);
}

function obey(order: SlotOrder): void {
  const { slot, generation } = order;
  if (order.type === 'open') {
    detector.reset(slot);
    const view = slots[slot]!;
    listeners.set(
      slot,
      new Listener(
        view,
        generation,
        new InputReader(view, Cell.vadRead),
        (event) => emit(slot, generation, event),
        (onsetToHoldMs) => {
          ringMain();
          recorder.record('onset_to_hold', onsetToHoldMs);
        },
      ),
    );
    return;
  }
  if (listeners.get(slot)?.generation === generation) listeners.delete(slot);
  main.postMessage({ type: 'released', slot, generation } satisfies Released);
}

/** A HOLD was raised: main must see it even if no frame comes. */
function ringMain(): void {
  if (Atomics.exchange(board, Board.mainBell, 1) === 0) main.postMessage({ type: 'ring' });
}

function readPorts(): void {
  drain(main, (message) => obey(message as SlotOrder));
  drain(start.control, (message) => {
    const order = message as MetricsAsk | { type: 'stop' };
    if (order.type === 'metrics') start.control.postMessage(recorder.answer(order, gauges(), counters()));
  });
}

function drain(port: MessagePort, handle: (message: unknown) => void): void {
  for (let received = receiveMessageOnPort(port); received !== undefined; received = receiveMessageOnPort(port)) {
    handle(received.message);
  }
}

let batchSize = 0;
const gauges = (): { name: string; labels: string; value: number }[] => [
  { name: 'parley_vad_batch_size', labels: '', value: batchSize },
  { name: 'parley_vad_sessions', labels: '', value: listeners.size },
];
const counters = (): { name: string; labels: string; value: number }[] => {
  let overrun = 0;
  for (const listener of listeners.values()) overrun += listener.overrunSamples;
  return [{ name: 'parley_input_overrun_samples_total', labels: 'reader="vad"', value: overrun }];
};

/** Judges one hop of every session that has one. Returns whether any session has another hop waiting. */
async function pass(): Promise<boolean> {
  const startedAtMs = nowMs();
  for (const [slot, listener] of listeners) {
    if (listener.read(hop)) detector.stage(slot, hop);
  }
  batchSize = detector.stagedCount;
  if (batchSize === 0) return false;
  Atomics.store(board, Board.vadInRun, 1);
  try {
    // Main ends this thread only when it has stored `stop` and then seen us outside: one of the two sees the other.
    if (Atomics.load(board, Board.stop) === 1) return false;
    await detector.run();
  } finally {
    Atomics.store(board, Board.vadInRun, 0);
  }
  const atMs = nowMs();
  let isBehind = false;
  for (const [slot, listener] of listeners) {
    if (!listener.hasStaged) continue;
    recorder.record('vad_lag', listener.lagMs(atMs));
    if (listener.judge(detector.probability(slot), atMs)) detector.reset(slot);
    isBehind ||= listener.isReady;
  }
  recorder.record('vad_pass', atMs - startedAtMs);
  recorder.recordSize('vad_batch', batchSize);
  return isBehind;
}

function hasWork(): boolean {
  for (const listener of listeners.values()) if (listener.isReady) return true;
  return false;
}

recorder.figures = () => ({ gauges: gauges(), counters: counters() });
start.control.postMessage({ type: 'ready', says: [`speech detection: ${model.path.split('/').at(-1)}`] });

/** Only the bell ends the sleep before; the beat still goes. */
const idleWaitMs = 100;
while (Atomics.load(board, Board.stop) === 0) {
  const bell = Atomics.load(board, Board.vadBell);
  readPorts();
  Atomics.add(board, Board.vadBeat, 1);
  const startedAtMs = nowMs();
  recorder.sample(startedAtMs, false);
  const isBehind = await pass();
  if (isBehind) continue;
  // Hops that come meanwhile are one batch. The first after that wakes the thread at once.
  if (batchSize > 0) Atomics.wait(board, Board.stop, 0, Math.max(0, startedAtMs + start.passMs - nowMs()));
  Atomics.store(board, Board.vadIdle, 1);
  // Whoever completed a hop before the store did not ring.
  if (!hasWork()) Atomics.wait(board, Board.vadBell, bell, idleWaitMs);
  Atomics.store(board, Board.vadIdle, 0);
}
await model.close();
for (const port of [main, conversation, stt, start.control]) port.close();
