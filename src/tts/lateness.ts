/**
 * How late the pacer's ticks come, as far as more audio must be kept ahead for it. Pure; TTS thread.
 *
 * Frames are in the ring before they are due, so that a late tick is often not heard; but where the pacer waits for a core, so does main, which has
 * nothing in hand. What is late once has done its harm: audio kept ahead from then on helps nobody and is heard after the next HOLD. So what counts
 * is the second worst of late, which is nothing until lateness comes back.
 */

export const lateness = {
  /** A steady machine is as late as this, too. */
  freeMs: 3,
  /** Kept ahead at most: with `leadMinMs` and a tail it makes 100 ms that a caller hears after a HOLD. */
  maxMs: 20,
  /** Half of it is forgotten in a second. */
  keptRatioPerMs: 0.5 ** (1 / 1000),
} as const;

export class Lateness {
  #worstMs = 0;
  #secondMs = 0;
  #atMs = 0;

  /** A tick came at `atMs` that was due at `dueAtMs`. */
  ticked(atMs: number, dueAtMs: number): void {
    const kept = lateness.keptRatioPerMs ** Math.max(0, atMs - this.#atMs);
    this.#atMs = atMs;
    this.#worstMs *= kept;
    this.#secondMs *= kept;
    const lateMs = Math.max(0, atMs - dueAtMs - lateness.freeMs);
    if (lateMs > this.#worstMs) {
      this.#secondMs = this.#worstMs;
      this.#worstMs = lateMs;
    } else if (lateMs > this.#secondMs) this.#secondMs = lateMs;
  }

  /** How much more audio is to be kept ahead, 0 .. `maxMs`. */
  get marginMs(): number {
    return Math.min(lateness.maxMs, this.#secondMs);
  }
}
