/** Quantiles, shares and intervals over scenarios. Pure; what is drawn is drawn from a seed. */
import { randomOf } from '../../load/providers/seeded.js';
import type { Interval, Statistic } from './result.js';

/** Draws for each interval. */
export const drawsMax = 1000;

/** Linear between the two nearest of `sorted` (ascending); undefined when there is none. */
export function quantile(sorted: readonly number[], share: number): number | undefined {
  if (sorted.length === 0) return undefined;
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low]! + (sorted[high]! - sorted[low]!) * (at - low);
}

export function ascending(values: Iterable<number>): number[] {
  return [...values].sort((left, right) => left - right);
}

/** What one scenario adds to a metric. The mean over scenarios is the sum of `sum` by the sum of `weight`. */
export type Share = { readonly values: readonly number[]; readonly sum: number; readonly weight: number };

export function shareOf(values: readonly number[]): Share {
  return { values, sum: values.reduce((sum, value) => sum + value, 0), weight: values.length };
}

/** `draws`: as of `drawsOf(shares.length, …)`. */
export function statisticOf(shares: readonly Share[], draws: readonly Uint32Array[]): Statistic {
  const sorted = ascending(shares.flatMap(({ values }) => values));
  const meanOf = (chosen: Iterable<number>): number | undefined => {
    let [sum, weight] = [0, 0];
    for (const index of chosen) {
      sum += shares[index]!.sum;
      weight += shares[index]!.weight;
    }
    return weight === 0 ? undefined : sum / weight;
  };
  return {
    n: sorted.length,
    mean: meanOf(shares.keys()),
    p50: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    p95: quantile(sorted, 0.95),
    interval: sorted.length === 0 ? undefined : intervalOf(draws.map(meanOf)),
  };
}

/** The middle 95 % of what was drawn. */
export function intervalOf(drawn: readonly (number | undefined)[]): Interval | undefined {
  const sorted = ascending(drawn.filter((value) => value !== undefined));
  const [low, high] = [quantile(sorted, 0.025), quantile(sorted, 0.975)];
  return low === undefined || high === undefined ? undefined : { low, high };
}

/** Choices of `count` of `count` items, with repetition; the same for the same seed. */
export function drawsOf(count: number, seed: number, draws: number = drawsMax): Uint32Array[] {
  const random = randomOf(seed, 'bootstrap');
  return Array.from({ length: count === 0 ? 0 : draws }, () =>
    Uint32Array.from({ length: count }, () => Math.floor(random() * count)),
  );
}
