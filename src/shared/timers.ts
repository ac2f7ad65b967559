/**
 * Time as a parameter: what waits for a provider takes its clock and its timers from here, so that a test moves time by hand.
 * Pure contract plus the real one; any evented thread.
 */
import { nowMs } from './clock.js';
import type { Ms } from './units.js';

/** Stops a timer. Harmless after it fired, and when called twice. */
export type Cancel = () => void;

export type Timers = {
  /** Monotonic. */
  readonly nowMs: () => Ms;
  /** Runs `run` once, not before `delayMs` (≥ 0) have passed. */
  readonly after: (delayMs: Ms, run: () => void) => Cancel;
};

export const systemTimers: Timers = {
  nowMs,
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
