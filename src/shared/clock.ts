/**
 * The monotonic clock. One origin for all threads of the process (and, on one machine, for other processes): the system's monotonic
 * clock as `process.hrtime` reads it, so instants of different threads can be subtracted. System clock steps do not move it.
 */
import type { Ms } from './units.js';

/** Milliseconds on the system's monotonic clock, with sub-microsecond resolution. */
export function nowMs(): Ms {
  const [seconds, nanoseconds] = process.hrtime();
  return (seconds * 1000 + nanoseconds / 1e6) as Ms;
}

/** Timers count whole milliseconds. One that would be a fraction late is set a fraction early instead, and what is due within this goes with it. */
export const timerEarlyMs = 1;

/** An instant as a cell holds it: whole milliseconds, wrapped to 32 bits. Compare with `msUntil`. */
export function cellMs(instantMs: number): number {
  return Math.round(instantMs) | 0;
}

/** Milliseconds from `instantMs` until the instant in a cell; negative when it is past. Right for differences under 24 days. */
export function msUntil(cell: number, instantMs: number): number {
  return (cell - (Math.round(instantMs) | 0)) | 0;
}
