/** Collects the body of one request, for both socket adapters, within the bounds of its path and of all bodies together. Main thread. */

/** Bytes of bodies that are not complete yet, over all requests of a server. */
export class BodyBudget {
  readonly #bytesMax: number;
  #heldBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** False when they do not fit any more. */
  take(bytes: number): boolean {
    if (this.#heldBytes + bytes > this.#bytesMax) return false;
    this.#heldBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#heldBytes -= bytes;
  }
}

export type Collected = 'more' | 'complete' | 'too_large' | 'busy';

export class BodyCollector {
  readonly #bytesMax: number;
  readonly #declaredBytes: number | undefined;
  readonly #budget: BodyBudget;
  /** Of a declared length: filled in place. The system gives its pages only as they are written. */
  readonly #whole: Uint8Array | undefined;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  /** `declaredBytes`: undefined when only the end of the body will tell. */
  constructor(declaredBytes: number | undefined, bytesMax: number, budget: BodyBudget) {
    this.#declaredBytes = declaredBytes;
    this.#bytesMax = bytesMax;
    this.#budget = budget;
    this.#whole = declaredBytes === undefined ? undefined : new Uint8Array(Math.min(declaredBytes, bytesMax));
  }

  /** Copies `chunk`. After `too_large` and `busy` nothing more may be pushed. */
  push(chunk: Uint8Array): Collected {
    const { byteLength } = chunk;
    if (this.#bytes + byteLength > (this.#declaredBytes ?? this.#bytesMax)) return 'too_large';
    if (!this.#budget.take(byteLength)) return 'busy';
    if (this.#whole === undefined) this.#chunks.push(new Uint8Array(chunk));
    else this.#whole.set(chunk, this.#bytes);
    this.#bytes += byteLength;
    return this.#bytes === this.#declaredBytes ? 'complete' : 'more';
  }

  /** What came, in a buffer of its own that belongs to the caller. */
  finish(): Uint8Array {
    const body = this.#whole?.subarray(0, this.#bytes) ?? new Uint8Array(this.#bytes);
    let offset = 0;
    for (const chunk of this.#chunks) {
      body.set(chunk, offset);
      offset += chunk.byteLength;
    }
    this.drop();
    return body;
  }

  /** The client broke off, or was refused. */
  drop(): void {
    this.#budget.give(this.#bytes);
    this.#bytes = 0;
    this.#chunks.length = 0;
  }
}
