/** How many calls one address may have, and how many it may begin in a second. Main thread. */

export type AddressRule = {
  /** Calls at once; 0: any number. */
  readonly callsMax: number;
  /** New calls a second, and as many at once after a quiet second; 0: any number. */
  readonly newPerSecond: number;
};

/** Addresses whose last calls are remembered; beyond it the one that was silent longest is forgotten. */
const addressesMax = 10_000;

type Bucket = { left: number; atMs: number };

/** Calls that begin, by address: a bucket each that fills by `newPerSecond`. */
export class NewCallRate {
  readonly #perSecond: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(newPerSecond: number) {
    this.#perSecond = newPerSecond;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** False: too many. `atMs`: monotonic. */
  take(address: string, atMs: number): boolean {
    if (this.#perSecond === 0) return true;
    const bucket = this.#bucket(address, atMs);
    if (bucket.left < 1) return false;
    bucket.left -= 1;
    return true;
  }

  /** The map is in the order in which addresses were last seen. */
  #bucket(address: string, atMs: number): Bucket {
    const known = this.#buckets.get(address) ?? { left: this.#perSecond, atMs };
    known.left = Math.min(this.#perSecond, known.left + ((atMs - known.atMs) / 1000) * this.#perSecond);
    known.atMs = atMs;
    this.#buckets.delete(address);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size >= addressesMax && oldest !== undefined) this.#buckets.delete(oldest);
    this.#buckets.set(address, known);
    return known;
  }
}
