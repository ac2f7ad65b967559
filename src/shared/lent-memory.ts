/**
 * Memory that is needed for some hundred milliseconds and again soon after: one store a thread. What lives that long has become old for the garbage
 * collector when it is dropped, and old garbage waits for a full collection, of which a thread with small objects makes few: the audio of
 * requests came to 20 MB of it and more (docs/decisions/memory-per-call.md).
 */

/** Sizes are rounded up to whole steps, so that few differ. */
const stepBytes = 32_768;
/** What is lent again is kept up to this much; the rest, and single pieces as large, are left to the collector. */
const spareBytesMax = 2 * 1024 * 1024;
/** A spare piece is lent for what is smaller, but not for much less than it could hold. */
const fitRatioMax = 2;

/** By size, the smallest first. */
const spare: ArrayBuffer[] = [];
let spareBytes = 0;

/** At least `bytes` long, with anything in it. To be given back with `giveBack`, or dropped. */
export function lend(bytes: number): ArrayBuffer {
  const size = Math.max(1, Math.ceil(bytes / stepBytes)) * stepBytes;
  const at = spare.findIndex(({ byteLength }) => byteLength >= size);
  const known = at < 0 ? undefined : spare[at];
  if (known === undefined || known.byteLength > fitRatioMax * size) return new ArrayBuffer(size);
  spare.splice(at, 1);
  spareBytes -= known.byteLength;
  return known;
}

/** Nobody reads or writes `memory`, which was lent, from now on. Once only. */
export function giveBack(memory: ArrayBuffer): void {
  const size = memory.byteLength;
  if (spareBytes + size > spareBytesMax) return;
  spareBytes += size;
  const at = spare.findIndex(({ byteLength }) => byteLength >= size);
  spare.splice(at < 0 ? spare.length : at, 0, memory);
}
