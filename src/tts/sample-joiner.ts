/** Puts samples together whose two bytes came in two parts of a stream. Pure; used by adapters on the TTS thread. */
export class SampleJoiner {
  #carried: number | undefined;

  /** Little-endian bytes to samples; an odd last byte waits for the next call. `bytes` are the caller's no more: the samples may be a view of them. */
  push(bytes: Uint8Array): Int16Array {
    const isWhole = this.#carried === undefined && bytes.length % 2 === 0 && bytes.byteLength === bytes.buffer.byteLength;
    if (isWhole) return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
    const carriedCount = this.#carried === undefined ? 0 : 1;
    const sampleCount = (carriedCount + bytes.length) >> 1;
    const audio = new Int16Array(sampleCount);
    const target = new Uint8Array(audio.buffer);
    const taken = Math.max(0, 2 * sampleCount - carriedCount);
    if (sampleCount > 0) {
      if (this.#carried !== undefined) target[0] = this.#carried;
      target.set(bytes.subarray(0, taken), carriedCount);
      this.#carried = undefined;
    }
    if (bytes.length > taken) this.#carried = bytes[taken];
    return audio;
  }
}
