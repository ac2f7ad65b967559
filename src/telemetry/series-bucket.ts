/** What the dashboard gets: the figures of one second of the whole process. The API thread makes it, the browser reads it. */
import type { Pairs } from './interval-histogram.js';

/** How often, and for how long it is kept. */
export const seriesBounds = {
  intervalMs: 1000,
  /** A quarter of an hour. */
  bucketsMax: 900,
  /** In one answer; whoever wants more asks again. Main copies an answer at once, so it is kept small. */
  bucketsPerAnswerMax: 60,
} as const;

/** Of one thread: `main`, `api`, `vad`, `vad 2` for the second lane, …; `others` for what has no strip (pools, garbage collection, the kernel's work). */
export type ThreadFigures = {
  /** Processor time used. Absent where the operating system does not tell it by thread. */
  readonly cpu_ms?: number;
  /** Ready to run, but no core was free. */
  readonly wait_ms?: number;
  readonly heap_kib?: number;
  readonly external_kib?: number;
  /** Share of the time that the event loop did not wait for events. */
  readonly loop_permille?: number;
};

export type SeriesBucket = {
  /** Plus one each; a gap means that something is not kept any more. */
  readonly seq: number;
  /** Unix; when the interval ended. */
  readonly at_ms: number;
  /** How long it truly was. */
  readonly duration_ms: number;
  readonly cpu_ms: number;
  readonly resident_kib: number;
  readonly threads: Readonly<Record<string, ThreadFigures>>;
  /** Stages in microseconds; `vad_batch` and `output_ring_frames` in counts. What each thread has is named with it: `loop_delay/tts`. */
  readonly histograms: Readonly<Record<string, Pairs>>;
  /** How much they grew: only those that did. Named as in `/metrics`, labels in braces. */
  readonly counters: Readonly<Record<string, number>>;
  /** Sums over the threads. */
  readonly gauges: Readonly<Record<string, number>>;
};

export type SeriesAnswer = {
  /** Another one means that counting began anew: sequence numbers of before mean nothing. */
  readonly run: string;
  readonly interval_ms: number;
  /** Of what is kept; 0 when nothing is. */
  readonly oldest_seq: number;
  readonly newest_seq: number;
  readonly sessions_max: number;
  readonly providers: { readonly stt: string; readonly llm: string; readonly tts: string };
  /** In order. When the last is older than `newest_seq`, there is more to ask for. */
  readonly buckets: readonly SeriesBucket[];
};
