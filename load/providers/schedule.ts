/**
 * A schedule of absolute instants behind a single timer. Hundreds of streams cost one armed timeout, and a late wake-up never delays
 * what follows it, because every instant was fixed beforehand. Runs on the simulator's main thread.
 */
import { nowMs } from '../../src/shared/clock.js';

/** Node's timers count whole milliseconds: what is due within this much runs now rather than a millisecond late. */
const earlyMs = 0.5;

export type Appointment = { readonly atMs: number; readonly order: number; run: (() => void) | undefined };

function isBefore(left: Appointment, right: Appointment): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

export class Schedule {
  /** Binary heap, earliest first; instants that are equal keep their order. */
  readonly #heap: Appointment[] = [];
  #orders = 0;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #armedAtMs = Number.POSITIVE_INFINITY;
  #isClosed = false;

  /** Runs `run` once, at `atMs` of the monotonic clock or as soon after as the loop allows; never inside this call. */
  at(atMs: number, run: () => void): Appointment {
    const appointment: Appointment = { atMs, order: (this.#orders += 1), run };
    if (this.#isClosed) return appointment;
    this.#insert(appointment);
    if (atMs < this.#armedAtMs) this.#arm();
    return appointment;
  }

  cancel(appointment: Appointment): void {
    appointment.run = undefined;
  }

  /** Forgets everything; later appointments are never kept. */
  close(): void {
    this.#isClosed = true;
    this.#heap.length = 0;
    this.#disarm();
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#timer = undefined;
    this.#immediate = undefined;
    this.#armedAtMs = Number.POSITIVE_INFINITY;
  }

  #arm(): void {
    this.#disarm();
    const first = this.#heap[0];
    if (first === undefined) return;
    this.#armedAtMs = first.atMs;
    const delayMs = first.atMs - nowMs();
    if (delayMs <= earlyMs) this.#immediate = setImmediate(() => this.#runDue());
    else this.#timer = setTimeout(() => this.#runDue(), delayMs);
  }

  #runDue(): void {
    const dueMs = nowMs() + earlyMs;
    // While it runs, nothing may arm the timer: it is armed once, at the end.
    this.#armedAtMs = Number.NEGATIVE_INFINITY;
    for (let first = this.#heap[0]; first !== undefined && first.atMs <= dueMs; first = this.#heap[0]) {
      this.#removeFirst();
      first.run?.();
    }
    this.#arm();
  }

  #insert(appointment: Appointment): void {
    const heap = this.#heap;
    let index = heap.push(appointment) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(appointment, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = appointment;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}
