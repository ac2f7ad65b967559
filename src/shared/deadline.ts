/**
 * One abort signal with two causes: the caller's own signal, and a deadline that can be moved while the work goes on.
 * The deadline only aborts; whoever waits for the work sees it fail and asks `expired` why. Any evented thread.
 */
import type { Cancel, Timers } from './timers.js';
import type { Ms } from './units.js';

export class Deadline {
  /** True once the deadline, not the caller, ended the work. */
  expired = false;
  readonly #controller = new AbortController();
  readonly #timers: Timers;
  readonly #parent: AbortSignal;
  readonly #onParentAbort = () => this.#controller.abort();
  #cancelTimer: Cancel | undefined;

  /** `parent`: the caller's signal; may be aborted already. `clear` must be called at the end, or the parent keeps this object alive. */
  constructor(timers: Timers, parent: AbortSignal) {
    this.#timers = timers;
    this.#parent = parent;
    if (parent.aborted) this.#controller.abort();
    else parent.addEventListener('abort', this.#onParentAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The work has `delayMs` from now; replaces what was set before. */
  arm(delayMs: Ms): void {
    this.disarm();
    this.#cancelTimer = this.#timers.after(delayMs, () => {
      this.expired = true;
      this.#controller.abort();
    });
  }

  /** No deadline for now: the next step is not the provider's. */
  disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  abort(): void {
    this.#controller.abort();
  }

  /** Ends the watch: no timer and no listener is left. Does not abort. */
  clear(): void {
    this.disarm();
    this.#parent.removeEventListener('abort', this.#onParentAbort);
  }
}
