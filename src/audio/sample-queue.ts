/** A growing row of samples of which the oldest may be forgotten: the audio of one speech on its way to the caller. */
export class SampleQueue {
  readonly #chunks: Int16Array[] = [];
  #firstKept = 0;
  #end = 0;

  /** Index of the oldest sample that is still there. */
  get start(): number {
    return this.#firstKept;
  }

  /** One past the newest sample; counts from the first ever appended. */
  get end(): number {
    return this.#end;
  }

  /** The queue keeps `chunk` as it is. */
  append(chunk: Int16Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#end += chunk.length;
  }

  /** Copies samples from index `from` on into `into` and returns how many there were. */
  copy(from: number, into: Int16Array): number {
    let chunkStart = this.#firstKept;
    let done = 0;
    for (const chunk of this.#chunks) {
      const chunkEnd = chunkStart + chunk.length;
      const wanted = from + done;
      if (wanted < chunkEnd && wanted >= chunkStart) {
        const piece = chunk.subarray(wanted - chunkStart, Math.min(chunk.length, from + into.length - chunkStart));
        into.set(piece, done);
        done += piece.length;
        if (done === into.length) break;
      }
      chunkStart = chunkEnd;
    }
    return done;
  }

  /** Drops everything from index `end` on; what is older than `start` is gone anyway. */
  truncate(end: number): void {
    for (let last = this.#chunks.at(-1); last !== undefined && this.#end > end; last = this.#chunks.at(-1)) {
      const kept = Math.max(0, last.length - (this.#end - end));
      this.#chunks.pop();
      if (kept > 0) this.#chunks.push(last.subarray(0, kept));
      this.#end -= last.length - kept;
    }
  }

  /** Forgets whole chunks that lie before `index`. */
  forgetBefore(index: number): void {
    let first = this.#chunks[0];
    while (first !== undefined && this.#firstKept + first.length <= index) {
      this.#firstKept += first.length;
      this.#chunks.shift();
      first = this.#chunks[0];
    }
  }
}
