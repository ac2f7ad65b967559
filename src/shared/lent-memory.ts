/**
 * Memory that is needed for some hundred milliseconds and again soon after: one store a thread. What lives that long has become old for the garbage
 * collector when it is dropped, and old garbage waits for a full collection, of which a thread with small objects makes few: the audio of
 * requests came to 20 MB of it and more (docs/decisions/memory-per-call.md).
 */

/** Sizes are rounded up to whole steps, so that few differ. */
const stepBytes = 32_768;
/** What is lent again is kept up to this much; the rest, and single pieces as large, are left to the collector. */
const spareBytesMax = 4 * 1024 * 1024;

const spare = new Map<number, ArrayBuffer[]>();
let spareBytes = 0;

/** At least `bytes` long, with anything in it. To be given back with `giveBack`, or dropped. */
export function lend(bytes: number): ArrayBuffer {
  const size = Math.max(1, Math.ceil(bytes / stepBytes)) * stepBytes;
  const known = spare.get(size)?.pop();
  if (known === undefined) return new ArrayBuffer(size);
  spareBytes -= size;
  return known;
}

/** Nobody reads or writes `memory`, which was lent, from now on. Once only. */
export function giveBack(memory: ArrayBuffer): void {
  const size = memory.byteLength;
  if (spareBytes + size > spareBytesMax) return;
  spareBytes += size;
  const pieces = spare.get(size);
  if (pieces === undefined) spare.set(size, [memory]);
  else pieces.push(memory);
}
