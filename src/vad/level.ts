/** Level of a stretch of samples. Pure; used by the VAD thread once per hop and by the benches. */

/** What digital silence reads as: one bit of a 512-sample hop is -117 dB, so nothing real is quieter. */
export const silenceDb = -120;

/**
 * Root mean square of `pcm[from, to)` in dB relative to full scale, a square wave at full scale being 0 dB and a sine -3 dB.
 * All zeros, or an empty range, reads `silenceDb`. `from` and `to` must lie inside `pcm`.
 */
export function rmsLevelDb(pcm: Int16Array, from = 0, to = pcm.length): number {
  // Two sums, so that one addition need not wait for the other. Whole numbers: their order does not matter.
  let even = 0;
  let odd = 0;
  let index = from;
  for (; index + 1 < to; index += 2) {
    const first = pcm[index]!;
    const second = pcm[index + 1]!;
    even += first * first;
    odd += second * second;
  }
  if (index < to) even += pcm[index]! * pcm[index]!;
  const sumOfSquares = even + odd;
  if (sumOfSquares === 0) return silenceDb;
  return 10 * Math.log10(sumOfSquares / (to - from) / (32768 * 32768));
}
