/**
 * Memory that is needed for some hundred milliseconds and again soon after: one store a thread. What lives that long has become old for the garbage
 * collector when it is dropped, and old garbage waits for a full collection, of which a thread with small objects makes few: the audio of
 * requests came to 40 MB of it (docs/decisions/memory-per-call.md).
 */

const pieceBytesMin = 16_384;
/** What is lent again is kept up to this much; the rest, and single pieces as large, are left to the collector. */
const spareBytesMax = 4 * 1024 * 1024;

const spare = new Map<number, ArrayBuffer[]>();
let spareBytes = 0;

/** At least `bytes` long, a power of two, with anything in it. To be given back with `giveBack`, or dropped. */
export function lend(bytes: number): ArrayBuffer {
  const size = Math.max(pieceBytesMin, 2 ** Math.ceil(Math.log2(bytes)));
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
