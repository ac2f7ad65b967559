/**
 * What callers of a load run measure: HDR histograms by stage (microseconds, three digits), handed from process to process in their encoded form
 * and merged, never averaged. Pure.
 */
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js';

/**
 * Stage → what it is. All in milliseconds at the caller, from the instant at which something was *meant* to happen: a caller that waits is not
 * left out, so a server that stands still is seen in every figure.
 */
export const callerStages = {
  connect: 'planned start of the call → metadata received',
  first_audio: 'end of the caller’s speech → first audio of the answer received',
  first_audio_after_long: 'the same after a long turn',
  onset_to_last_frame: 'first sample of an interruption → last audio of the interrupted answer received',
  onset_to_notice: 'first sample of an interruption → its event received',
  onset_to_silence: 'first sample of an interruption → last audible sample at the ear (heard calls)',
  audible: 'end of the caller’s speech → answer audible at the ear (heard calls)',
  playback_hole: 'how long the caller had nothing to play before an audio message came; most are 0',
  frame_jitter: 'distance of two audio messages against the length of the first',
  close: 'our close frame → the server’s',
  refusal: 'a call that finds every place taken: planned → refused',
  generator_lateness: 'a microphone frame was due → it was sent: the load generator’s own part',
} as const;
export type CallerStage = keyof typeof callerStages;
export const callerStageNames = Object.keys(callerStages) as CallerStage[];

/** Longer values count as this: a minute. */
const highestUs = 60_000_000;
const histogramOptions = {
  bitBucketSize: 32,
  lowestDiscernibleValue: 1,
  highestTrackableValue: highestUs,
  numberOfSignificantValueDigits: 3,
  useWebAssembly: false,
} as const;

export function newHistogram(): Histogram {
  return build(histogramOptions);
}

/** Stage → encoded histogram. */
export type Encoded = Readonly<Record<string, string>>;

/** The figures of one process, taken interval by interval. */
export class Stages {
  readonly #histograms = new Map<CallerStage, Histogram>();

  /** Negative durations count as zero. */
  record(stage: CallerStage, durationMs: number): void {
    this.histogram(stage).recordValue(Math.min(highestUs, Math.max(0, Math.round(durationMs * 1000))));
  }

  histogram(stage: CallerStage): Histogram {
    let histogram = this.#histograms.get(stage);
    if (histogram === undefined) {
      histogram = newHistogram();
      this.#histograms.set(stage, histogram);
    }
    return histogram;
  }

  /** What was recorded since the last call. */
  take(): Encoded {
    const encoded: Record<string, string> = {};
    for (const [stage, histogram] of this.#histograms) {
      if (histogram.totalCount === 0) continue;
      encoded[stage] = encodeIntoCompressedBase64(histogram);
      histogram.reset();
    }
    return encoded;
  }
}

export function encode(histogram: Histogram): string {
  return encodeIntoCompressedBase64(histogram);
}

export function decode(encoded: string): Histogram {
  return decodeFromCompressedBase64(encoded, 32, false);
}

/** Adds up histograms of several processes or intervals by stage. */
export function mergeStages(parts: Iterable<Encoded>): Map<string, Histogram> {
  const merged = new Map<string, Histogram>();
  for (const part of parts) {
    for (const [stage, encoded] of Object.entries(part)) {
      const sum = merged.get(stage) ?? newHistogram();
      sum.add(decode(encoded));
      merged.set(stage, sum);
    }
  }
  return merged;
}

/** What lies between two cumulative histograms of one stage; `before` undefined: everything. */
export function sinceThen(before: string | undefined, after: string): Histogram {
  const histogram = newHistogram();
  histogram.add(decode(after));
  if (before !== undefined) histogram.subtract(decode(before));
  return histogram;
}

/** Milliseconds; NaN when nothing was recorded. */
export type Figures = {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
};

export const noFigures: Figures = {
  count: 0,
  p50: Number.NaN,
  p95: Number.NaN,
  p99: Number.NaN,
  p999: Number.NaN,
  max: Number.NaN,
};

export function figuresOf(histogram: Histogram | undefined): Figures {
  if (histogram === undefined || histogram.totalCount === 0) return noFigures;
  const at = (percent: number): number => histogram.getValueAtPercentile(percent) / 1000;
  return { count: histogram.totalCount, p50: at(50), p95: at(95), p99: at(99), p999: at(99.9), max: at(100) };
}

/** Points of a percentile curve: [share of values above, 1 … 1/count, ms]; denser towards the tail. */
export function curveOf(histogram: Histogram): [number, number][] {
  const points: [number, number][] = [];
  const last = 1 / Math.max(1, histogram.totalCount);
  for (let above = 1; above > last * 0.999; above *= 0.8)
    points.push([above, histogram.getValueAtPercentile(100 * (1 - above)) / 1000]);
  points.push([last, histogram.getValueAtPercentile(100) / 1000]);
  return points;
}
