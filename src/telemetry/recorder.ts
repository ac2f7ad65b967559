/**
 * One thread's figures: latency histograms (HDR, microseconds, three digits), counters and gauges. Each thread keeps its own; main asks
 * for them and merges. Histograms are merged, never averaged.
 */
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js';
import type { MetricsAnswer, MetricsAsk } from '../shared/links.js';

/** Stages of a turn and of the machine (docs/architecture.md says where each is taken). Values are milliseconds. */
export const stages = [
  'onset_to_hold',
  'hold_to_verdict',
  'decision_to_last_frame',
  'decision_to_interruption_sent',
  'estimated_tail',
  'resume_hole',
  'speech_end_to_final',
  'speech_end_to_commit',
  'commit_to_first_token',
  'first_token_to_first_segment',
  'first_segment_to_first_chunk',
  'first_chunk_to_first_frame_sent',
  'speech_end_to_first_frame_sent',
  'engine_overhead',
  'vad_lag',
  'vad_pass',
  'pacing_jitter',
  'tool_call',
  'client_round_trip',
  'store_write',
  'rest_request',
  'loop_delay',
] as const;
export type Stage = (typeof stages)[number];

/** Longer values are recorded as this: a minute. */
const highestUs = 60_000_000;
const options = {
  bitBucketSize: 32,
  lowestDiscernibleValue: 1,
  highestTrackableValue: highestUs,
  numberOfSignificantValueDigits: 3,
  useWebAssembly: false,
} as const;

const quantiles = [0.5, 0.95, 0.99, 0.999] as const;
const usPerSecond = 1e6;

export class Recorder {
  readonly #thread: string;
  readonly #histograms = new Map<Stage, Histogram>();
  readonly #counters = new Map<string, { name: string; labels: string; value: number }>();

  /** `thread`: whose figures these are, as a label. */
  constructor(thread = 'main') {
    this.#thread = thread;
  }

  /** Negative durations (clocks of estimates may cross) count as zero. */
  record(stage: Stage, durationMs: number): void {
    let histogram = this.#histograms.get(stage);
    if (histogram === undefined) {
      histogram = build(options);
      this.#histograms.set(stage, histogram);
    }
    histogram.recordValue(Math.min(highestUs, Math.max(0, Math.round(durationMs * 1000))));
  }

  /** `labels` as Prometheus writes them, without braces: `kind="echo"`. */
  count(name: string, labels = '', by = 1): void {
    const key = `${name}{${labels}}`;
    const counter = this.#counters.get(key);
    if (counter === undefined) this.#counters.set(key, { name, labels, value: by });
    else counter.value += by;
  }

  answer(
    { id, form }: Pick<MetricsAsk, 'id' | 'form'>,
    gauges: MetricsAnswer['gauges'] = [],
    extra: MetricsAnswer['counters'] = [],
  ): MetricsAnswer {
    const histograms =
      form === 'encoded'
        ? [...this.#histograms].map(([name, histogram]) => ({ name, encoded: encodeIntoCompressedBase64(histogram) }))
        : [];
    const text = form === 'text' ? this.#text() : '';
    return { type: 'metrics', id, text, histograms, counters: [...this.#counters.values(), ...extra], gauges };
  }

  /** The stages as Prometheus summaries in seconds. Figures of several threads stay apart: percentiles cannot be added. */
  #text(): string {
    const lines: string[] = [];
    for (const [name, histogram] of this.#histograms) {
      const label = `thread="${this.#thread}",stage="${name}"`;
      for (const quantile of quantiles) {
        const seconds = histogram.getValueAtPercentile(quantile * 100) / usPerSecond;
        lines.push(`parley_stage_seconds{${label},quantile="${quantile}"} ${seconds}`);
      }
      lines.push(`parley_stage_seconds_sum{${label}} ${(histogram.mean * histogram.totalCount) / usPerSecond}`);
      lines.push(`parley_stage_seconds_count{${label}} ${histogram.totalCount}`);
    }
    return lines.join('\n');
  }
}

/** Adds up the histograms of several threads (or processes) by name. */
export function mergeHistograms(answers: readonly Pick<MetricsAnswer, 'histograms'>[]): Map<string, Histogram> {
  const merged = new Map<string, Histogram>();
  for (const answer of answers) {
    for (const { name, encoded } of answer.histograms) {
      const sum = merged.get(name) ?? build(options);
      sum.add(decodeFromCompressedBase64(encoded, 32, false));
      merged.set(name, sum);
    }
  }
  return merged;
}
