/** Level of a stretch of samples. Pure; used by the VAD thread once per hop and by the benches. */

/** What digital silence reads as: one bit of a 512-sample hop is -117 dB, so nothing real is quieter. */
export const silenceDb = -120;

/**
 * Root mean square of `pcm[from, to)` in dB relative to full scale, a square wave at full scale being 0 dB and a sine -3 dB.
 * All zeros, or an empty range, reads `silenceDb`. `from` and `to` must lie inside `pcm`.
 */
export function rmsLevelDb(pcm: Int16Array, from = 0, to = pcm.length): number {
  let sumOfSquares = 0;
  for (let index = from; index < to; index += 1) {
    const sample = pcm[index]!;
    sumOfSquares += sample * sample;
  }
  if (sumOfSquares === 0) return silenceDb;
  return 10 * Math.log10(sumOfSquares / (to - from) / (32768 * 32768));
}
