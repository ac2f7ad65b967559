/**
 * One thread's figures: latency histograms (HDR, microseconds, three digits), counters and gauges. Each thread keeps its own; main asks
 * for them and merges. Histograms are merged, never averaged. What the dashboard shows is written to shared memory beside (`strip.ts`).
 */
import { existsSync, readlinkSync } from 'node:fs';
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js';
import type { MetricsAnswer, MetricsAsk } from '../shared/links.js';
import { highestValue } from './interval-histogram.js';
import { createStrip, type StripMemory, StripWriter } from './strip.js';

/** Stages of a turn and of the machine (docs/architecture.md says where each is taken). Values are milliseconds. */
export const stages = [
  'onset_to_hold',
  'hold_to_verdict',
  'decision_to_last_frame',
  'decision_to_interruption_sent',
  'estimated_tail',
  'resume_hole',
  'speech_end_to_final',
  'turn_model',
  'speech_end_to_commit',
  'commit_to_first_token',
  'first_token_to_first_segment',
  'first_segment_to_first_chunk',
  'first_chunk_to_first_frame_sent',
  'speech_end_to_first_frame_sent',
  'endpoint_lateness',
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

/** What is counted and not timed; for the dashboard alone. */
export type Size = 'vad_batch';

/** Counters and gauges that are not counted here, but known elsewhere when somebody asks. */
export type Figures = Pick<MetricsAnswer, 'counters' | 'gauges'>;

/** Facts of the strip are renewed this often. */
const samplePeriodMs = 1000;
/** Longer values are recorded as this: a minute. */
const highestUs = highestValue;
const options = {
  bitBucketSize: 32,
  lowestDiscernibleValue: 1,
  highestTrackableValue: highestUs,
  numberOfSignificantValueDigits: 3,
  useWebAssembly: false,
} as const;

export class Recorder {
  readonly #thread: string;
  readonly #histograms = new Map<Stage, { readonly whole: Histogram; readonly cell: number }>();
  readonly #counters = new Map<string, { name: string; labels: string; value: number; readonly cell: number }>();
  readonly #strip: StripWriter;
  #loopBefore: EventLoopUtilization;
  #sampleAtMs = 0;
  /** For `sample`. */
  figures: () => Figures = () => ({ counters: [], gauges: [] });

  /** `thread`: whose figures these are. `strip`: where the dashboard finds them. Made in the thread itself. */
  constructor(thread = 'main', strip: StripMemory = createStrip()) {
    this.#thread = thread;
    this.#strip = new StripWriter(strip);
    this.#strip.threadId = threadId();
    this.#loopBefore = performance.eventLoopUtilization();
  }

  /** Negative durations (clocks of estimates may cross) count as zero. */
  record(stage: Stage, durationMs: number): void {
    let histogram = this.#histograms.get(stage);
    if (histogram === undefined) {
      histogram = { whole: build(options), cell: this.#strip.cell('histogram', stage) };
      this.#histograms.set(stage, histogram);
    }
    const us = Math.min(highestUs, Math.max(0, Math.round(durationMs * 1000)));
    histogram.whole.recordValue(us);
    this.#strip.record(histogram.cell, us);
  }

  recordSize(name: Size, size: number): void {
    this.#strip.record(this.#strip.cell('histogram', name), size);
  }

  /** To be called often: once a second it writes the facts of the thread to its strip (a few microseconds). `isEvented`: it lives on its event loop. */
  sample(atMs: number, isEvented: boolean): void {
    if (atMs < this.#sampleAtMs) return;
    this.#sampleAtMs = atMs + samplePeriodMs;
    const strip = this.#strip;
    const { used_heap_size: heapBytes, external_memory: externalBytes } = getHeapStatistics();
    strip.set(strip.cell('gauge', 'heap_kib'), heapBytes / 1024);
    strip.set(strip.cell('gauge', 'external_kib'), externalBytes / 1024);
    if (isEvented) {
      const loop = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(loop, this.#loopBefore);
      this.#loopBefore = loop;
      strip.set(strip.cell('gauge', 'loop_permille'), utilization * 1000);
    }
    this.renew();
  }

  /** Writes `figures` to the strip now. */
  renew(): void {
    const strip = this.#strip;
    const { counters, gauges } = this.figures();
    for (const { name, labels, value } of gauges) strip.set(strip.cell('gauge', keyOf(name, labels)), value);
    // A count that is known as a whole is stored as one.
    for (const { name, labels, value } of counters) strip.set(strip.cell('counter', keyOf(name, labels)), value);
  }

  /** `labels` as Prometheus writes them, without braces: `kind="echo"`. */
  count(name: string, labels = '', by = 1): void {
    const key = keyOf(name, labels);
    let counter = this.#counters.get(key);
    if (counter === undefined) {
      counter = { name, labels, value: 0, cell: this.#strip.cell('counter', key) };
      this.#counters.set(key, counter);
    }
    counter.value += by;
    this.#strip.add(counter.cell, by);
  }

  /** With every histogram: for those who ask now and then. Whoever asks often reads the strips (`totals.ts`). */
  answer(
    { id }: Pick<MetricsAsk, 'id'>,
    gauges: MetricsAnswer['gauges'] = [],
    extra: MetricsAnswer['counters'] = [],
  ): MetricsAnswer {
    const histograms = [...this.#histograms].map(([name, { whole }]) => ({ name, encoded: encodeIntoCompressedBase64(whole) }));
    const counters = [...this.#counters.values()].map(({ name, labels, value }) => ({ name, labels, value }));
    return { type: 'metrics', id, thread: this.#thread, histograms, counters: [...counters, ...extra], gauges };
  }
}

function keyOf(name: string, labels: string): string {
  return labels === '' ? name : `${name}{${labels}}`;
}

/** The operating system's id of the thread that asks; 0 where it does not tell (elsewhere than on Linux). */
function threadId(): number {
  const link = '/proc/thread-self';
  return existsSync(link) ? Number(readlinkSync(link).split('/').at(-1)) : 0;
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
