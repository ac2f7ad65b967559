/** The figures of this process for `/metrics`: read out of shared memory, at most a few times a second however many ask. Main thread. */
import { processGauges } from './server/calls-metrics.js';
import type { MetricsAnswer } from './shared/links.js';
import { prometheusText } from './telemetry/prometheus.js';
import type { Recorder } from './telemetry/recorder.js';
import type { Strips } from './telemetry/strip.js';
import { StripTotals, type Totals } from './telemetry/totals.js';

/** An answer may be this old. Reading all strips takes about half a millisecond, in which main does nothing else. */
export const figuresMaxAgeMs = 250;
/** So may the histograms of all threads: each encodes its own, which takes some milliseconds. */
export const answersMaxAgeMs = 1000;

export class EngineFigures {
  readonly #strips: StripTotals;
  readonly #recorder: Recorder;
  readonly #ask: () => Promise<readonly MetricsAnswer[]>;
  readonly #now: () => number;
  #takenAtMs = Number.NEGATIVE_INFINITY;
  #text: string | undefined;
  #answers: { readonly atMs: number; readonly answers: Promise<readonly MetricsAnswer[]> } | undefined;

  /** Made before anything is written to the strips. `recorder`: main's own. `ask`: asks every thread. `now`: monotonic. */
  constructor(strips: Strips, recorder: Recorder, ask: () => Promise<readonly MetricsAnswer[]>, now: () => number) {
    this.#strips = new StripTotals(strips);
    this.#recorder = recorder;
    this.#ask = ask;
    this.#now = now;
  }

  /** The same object each time. */
  totals(): Totals {
    const atMs = this.#now();
    if (atMs - this.#takenAtMs < figuresMaxAgeMs) return this.#strips.totals;
    this.#takenAtMs = atMs;
    this.#text = undefined;
    this.#recorder.renew();
    const totals = this.#strips.look();
    for (const { name, value } of processGauges()) totals.addGauge(name, value);
    return totals;
  }

  /** For Prometheus. */
  text(): string {
    const totals = this.totals();
    this.#text ??= prometheusText(totals);
    return this.#text;
  }

  /** Exact to three digits, for rigs. */
  answers(): Promise<readonly MetricsAnswer[]> {
    const atMs = this.#now();
    if (this.#answers === undefined || atMs - this.#answers.atMs >= answersMaxAgeMs) {
      this.#answers = { atMs, answers: this.#ask() };
    }
    return this.#answers.answers;
  }
}
