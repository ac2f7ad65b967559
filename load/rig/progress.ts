/** One line that says how far a run is: redrawn in place on a terminal, now and then a line of its own elsewhere. */
import type { Output } from '../screen.js';

const barWidth = 30;
const lineEveryMs = 10_000;

export class Progress {
  readonly #out: Output;
  readonly #now: () => number;
  #shownAtMs = Number.NEGATIVE_INFINITY;

  constructor(out: Output = process.stderr, now: () => number = Date.now) {
    this.#out = out;
    this.#now = now;
  }

  /** `done`: 0..1. */
  show(done: number, text: string): void {
    const line = `${barOf(done)} ${text}`;
    if (this.#out.isTTY === true) {
      this.#out.write(`\r\x1b[2K${line.slice(0, (this.#out.columns ?? 120) - 1)}`);
    } else if (this.#now() - this.#shownAtMs >= lineEveryMs) {
      this.#shownAtMs = this.#now();
      this.#out.write(`${line}\n`);
    }
  }

  /** Takes the line away. */
  end(): void {
    if (this.#out.isTTY === true) this.#out.write('\r\x1b[2K');
  }
}

export function barOf(done: number): string {
  const full = Math.round(Math.max(0, Math.min(1, done)) * barWidth);
  return `[${'█'.repeat(full)}${'·'.repeat(barWidth - full)}] ${`${Math.floor(Math.max(0, Math.min(1, done)) * 100)}`.padStart(3)} %`;
}
