/**
 * Units. Plain numbers carry a suffix in their name; where two kinds of number meet in one call they are branded,
 * so that milliseconds cannot be handed over where samples are wanted. Used by every thread.
 */
declare const unit: unique symbol;
type Unit<Name extends string> = number & { readonly [unit]: Name };

/** A duration or an instant in milliseconds. Instants are on the monotonic clock of `clock.ts` unless said otherwise. */
export type Ms = Unit<'ms'>;
/** A rate in samples per second. */
export type Hz = Unit<'hz'>;
/** A count of mono samples. */
export type Samples = Unit<'samples'>;

export const ms = (value: number): Ms => value as Ms;
export const hz = (value: number): Hz => value as Hz;
export const samples = (value: number): Samples => value as Samples;

/** The rate of every input ring, of the speech detector and of the recognisers. */
export const inputRateHz = 16000 as Hz;

/** What the speech detector judges at a time: 32 ms, the only window its model knows. */
export const hopSamples = 512 as Samples;

/** Nearest whole number of samples in `duration` at `rate`. */
export function samplesIn(duration: Ms, rate: Hz): Samples {
  return Math.round((duration * rate) / 1000) as Samples;
}

/** Duration of `count` samples at `rate`; not rounded. */
export function durationOf(count: Samples, rate: Hz): Ms {
  return ((count * 1000) / rate) as Ms;
}
