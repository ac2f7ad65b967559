/** Measures how late this thread's event loop turns, into the stage `loop_delay`, and keeps its facts for the dashboard fresh. Every evented thread. */
import { nowMs } from '../shared/clock.js';
import type { Recorder } from './recorder.js';

const periodMs = 20;

/** The timer does not keep the thread alive. `onDelay` is told each time. */
export function watchLoop(recorder: Recorder, onDelay: (delayMs: number) => void = () => undefined): { stop(): void } {
  let dueAtMs = nowMs() + periodMs;
  const timer = setInterval(() => {
    const atMs = nowMs();
    recorder.record('loop_delay', atMs - dueAtMs);
    onDelay(atMs - dueAtMs);
    dueAtMs = atMs + periodMs;
    recorder.sample(atMs, true);
  }, periodMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
