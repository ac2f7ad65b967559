/**
 * A growing row of samples of which the oldest may be forgotten: the audio of one speech on its way to the caller, or of one turn of the caller's.
 *
 * The samples are copied into blocks that all queues of the thread share. A queue lives for seconds, which makes its memory old in the eyes of
 * the garbage collector, and what is old and forgotten is only given back by a full collection: with blocks it is used again at once
 * (docs/decisions/memory-per-call.md).
 */

/** An eighth of a second at 16 kHz, 4 KB: what is kept too much at either end is little, and blocks are few. */
const blockSamples = 2048;
/** Memory is taken for so many at once, half a megabyte: nothing else lies between them, and pages that were never used are not there. */
const blocksAtOnce = 128;
/** So often: 32 MB, which is kept for ever. What is needed beyond it, as with hundreds of long turns while recognition is down, is taken by the block, and left to the collector. */
const slabsMax = 64;
let slabCount = 0;
/** Blocks for the next queue. */
const spareBlocks: Int16Array[] = [];

export class SampleQueue {
  /** All but the last are full; the first begins at sample `#base`. */
  readonly #blocks: Int16Array[] = [];
  #base = 0;
  #end = 0;

  /** Index of the oldest sample that is still there. */
  get start(): number {
    return this.#base;
  }

  /** One past the newest sample; counts from the first ever appended. */
  get end(): number {
    return this.#end;
  }

  /** Copies `chunk` to the end. */
  append(chunk: Int16Array): void {
    for (let done = 0; done < chunk.length; ) {
      const [block, at] = this.#last();
      const count = Math.min(blockSamples - at, chunk.length - done);
      block.set(count === chunk.length ? chunk : chunk.subarray(done, done + count), at);
      this.#end += count;
      done += count;
    }
  }

  /** `count` samples of digital silence. */
  appendSilence(count: number): void {
    for (let left = count; left > 0; ) {
      const [block, at] = this.#last();
      const piece = Math.min(blockSamples - at, left);
      block.fill(0, at, at + piece);
      this.#end += piece;
      left -= piece;
    }
  }

  /** Copies samples from index `from` on into `into` and returns how many there were; none when `from` is not there any more. */
  copy(from: number, into: Int16Array): number {
    const count = from < this.#base ? 0 : Math.max(0, Math.min(into.length, this.#end - from));
    for (let done = 0; done < count; ) {
      const offset = from + done - this.#base;
      const at = offset % blockSamples;
      const piece = Math.min(blockSamples - at, count - done);
      into.set(this.#blocks[(offset - at) / blockSamples]!.subarray(at, at + piece), done);
      done += piece;
    }
    return count;
  }

  /** Drops everything from index `end` on; what is older than `start` is gone anyway. */
  truncate(end: number): void {
    this.#end = Math.max(this.#base, Math.min(this.#end, end));
    const needed = Math.ceil((this.#end - this.#base) / blockSamples);
    while (this.#blocks.length > needed) keep(this.#blocks.pop()!);
  }

  /** Forgets whole blocks that lie before `index`. */
  forgetBefore(index: number): void {
    while (this.#base + blockSamples <= Math.min(index, this.#end)) {
      keep(this.#blocks.shift()!);
      this.#base += blockSamples;
    }
  }

  /** Forgets all samples; positions stay, and more may be appended. */
  clear(): void {
    for (const block of this.#blocks.splice(0)) keep(block);
    this.#base = this.#end;
  }

  /** The block that the next sample belongs into, and its place there. */
  #last(): readonly [block: Int16Array, at: number] {
    const at = (this.#end - this.#base) % blockSamples;
    const index = (this.#end - this.#base - at) / blockSamples;
    const block = this.#blocks[index] ?? spareBlocks.pop() ?? newBlock();
    if (index === this.#blocks.length) this.#blocks.push(block);
    return [block, at];
  }
}

function newBlock(): Int16Array {
  if (slabCount === slabsMax) return new Int16Array(blockSamples);
  slabCount += 1;
  const memory = new Int16Array(blocksAtOnce * blockSamples);
  for (let at = blocksAtOnce - 1; at > 0; at -= 1) keep(memory.subarray(at * blockSamples, (at + 1) * blockSamples));
  return memory.subarray(0, blockSamples);
}

function keep(block: Int16Array): void {
  const isAlone = block.byteLength === block.buffer.byteLength;
  if (!isAlone) spareBlocks.push(block);
}
