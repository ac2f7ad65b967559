/** Whether a series grows: slope by least squares, with a confidence interval that knows that neighbouring samples resemble each other. Pure. */

export type Point = { readonly x: number; readonly y: number };

/** `low` and `high` bound the slope with 95 % confidence. NaN for fewer than four points or one x. */
export type Trend = {
  readonly slope: number;
  readonly low: number;
  readonly high: number;
  readonly mean: number;
  readonly count: number;
};

const normal975 = 1.959964;

/** The 97.5 % point of Student's distribution, to three digits from three degrees of freedom on (Cornish and Fisher's expansion). */
function student975(freedom: number): number {
  const z = normal975;
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92_160,
  ];
  return terms.reduce((sum, term, index) => sum + term / freedom ** (index + 1), z);
}

/**
 * Slope of `points`, in y per x. The standard error is Newey and West's with a rule-of-thumb lag, so that a sawtooth of the garbage collector does not
 * pass for hundreds of independent samples.
 */
export function trendOf(points: readonly Point[]): Trend {
  const count = points.length;
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / count;
  const mean = points.reduce((sum, { y }) => sum + y, 0) / count;
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  if (count < 4 || spread === 0) return { slope: Number.NaN, low: Number.NaN, high: Number.NaN, mean, count };
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - mean), 0) / spread;
  const scores = points.map(({ x, y }) => (x - meanX) * (y - mean - slope * (x - meanX)));
  const lagMax = Math.min(count - 2, Math.floor(4 * (count / 100) ** (2 / 9)) + 1);
  let variance = scores.reduce((sum, score) => sum + score ** 2, 0);
  for (let lag = 1; lag <= lagMax; lag += 1) {
    const weight = 2 * (1 - lag / (lagMax + 1));
    for (let index = lag; index < count; index += 1) variance += weight * scores[index]! * scores[index - lag]!;
  }
  const error = Math.sqrt((Math.max(0, variance) * count) / (count - 2)) / spread;
  const reach = student975(count - 2) * error;
  return { slope, low: slope - reach, high: slope + reach, mean, count };
}

/** `flat`: no more than `limit` even at the upper bound. `grows`: above zero even at the lower bound, and above the limit. */
export type Verdict = 'flat' | 'grows' | 'not shown';

export function verdictOf({ slope, low, high }: Trend, limit: number): Verdict {
  if (high <= limit) return 'flat';
  return low > 0 && slope > limit ? 'grows' : 'not shown';
}
