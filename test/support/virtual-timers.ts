/** Time that a test moves by hand. */
import type { Cancel, Timers } from '../../src/shared/timers.js';
import { type Ms, ms } from '../../src/shared/units.js';

export class VirtualTimers implements Timers {
  #nowMs = 0;
  #entries: { atMs: number; run: () => void }[] = [];

  readonly nowMs = (): Ms => ms(this.#nowMs);

  readonly after = (delayMs: Ms, run: () => void): Cancel => {
    const entry = { atMs: this.#nowMs + delayMs, run };
    this.#entries.push(entry);
    return () => {
      this.#entries = this.#entries.filter((other) => other !== entry);
    };
  };

  /** Timers that wait. */
  get pending(): number {
    return this.#entries.length;
  }

  /** Moves time on and runs what falls due on the way, in order, each followed by everything that promises have left to do. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      const next = this.#entries.filter((entry) => entry.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined) break;
      this.#entries = this.#entries.filter((entry) => entry !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await settled();
    }
    this.#nowMs = untilMs;
  }
}

/** After everything that promises have left to do. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
