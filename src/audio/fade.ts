/** Short fades that keep a start, a stop or a join from clicking (8 to 10 ms in the engine). Pure; used where frames are made. */

/** Half a raised cosine: 0 before `index` 0, 1 from `count` on, without a corner at either end. */
function weightAt(index: number, count: number): number {
  return 0.5 - 0.5 * Math.cos((Math.PI * (index + 0.5)) / count);
}

/** Fades the first `count` samples in, in place; all of them when there are fewer. */
export function fadeIn(samples: Int16Array, count: number): void {
  const length = Math.min(count, samples.length);
  for (let i = 0; i < length; i++) samples[i] = Math.round(samples[i]! * weightAt(i, length));
}

/**
 * Fades the last `count` samples out, in place; all of them when there are fewer. Along a straight line: what comes at the end of a stop must be
 * short, and of a line four fifths lie between nine tenths and a tenth of the level, of half a cosine three.
 */
export function fadeOut(samples: Int16Array, count: number): void {
  const length = Math.min(count, samples.length);
  for (let i = 0; i < length; i++) {
    const at = samples.length - 1 - i;
    samples[at] = Math.round((samples[at]! * (i + 0.5)) / length);
  }
}

/**
 * Writes to `out` the passage from `from` to `to` over its whole length; both are at least as long. The weights add up to 1, which is
 * right for two takes of one sound and never clips. `out` may be either of them.
 */
export function crossFade(out: Int16Array, from: Int16Array, to: Int16Array): void {
  for (let i = 0; i < out.length; i++) {
    const weight = weightAt(i, out.length);
    out[i] = Math.round(from[i]! * (1 - weight) + to[i]! * weight);
  }
}
