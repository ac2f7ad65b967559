/** What the engine's process uses while calls go on, shared out among them. Runs in the process that leads the run. */
import { type Cost, type Stack, stageMs } from '../../../load/rig/stack.js';
import { nowMs } from '../../../src/shared/clock.js';
import type { RunRecord } from '../run-record.js';

const sampleMs = 500;

type Sample = Cost & { readonly atMs: number };
/** On the monotonic clock. */
type Span = { readonly fromMs: number; readonly toMs: number };

export class EngineCost {
  readonly #stack: Stack;
  readonly #samples: Sample[] = [];
  readonly #timer: NodeJS.Timeout;

  /** Samples until `stop`. */
  constructor(stack: Stack) {
    this.#stack = stack;
    this.#sample();
    this.#timer = setInterval(() => this.#sample(), sampleMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#sample();
  }

  /** What each call cost: at every instant the calls under way bear the engine's CPU in equal parts. `loopDelayP99Ms` is that of the whole run. */
  async costs(calls: readonly Span[]): Promise<RunRecord['cost'][]> {
    const loopDelayP99Ms = numberOr(stageMs(await this.#stack.metrics(), 'loop_delay', '0.99'));
    return calls.map((call) => ({
      cpuRatio: this.#cpuRatio(call, calls),
      loopDelayP99Ms,
      memoryBytes: this.#memoryBytes(call.toMs),
    }));
  }

  #sample(): void {
    this.#samples.push({ atMs: nowMs(), ...this.#stack.engineCost() });
  }

  #cpuRatio(call: Span, calls: readonly Span[]): number | undefined {
    let cpuMs = 0;
    let coveredMs = 0;
    for (const [index, sample] of this.#samples.entries()) {
      const before = this.#samples[index - 1];
      if (before === undefined) continue;
      const own = overlapMs(call, before.atMs, sample.atMs);
      if (own === 0) continue;
      const all = calls.reduce((sum, other) => sum + overlapMs(other, before.atMs, sample.atMs), 0);
      cpuMs += (sample.cpuMs - before.cpuMs) * (own / all);
      coveredMs += own;
    }
    return coveredMs === 0 ? undefined : cpuMs / coveredMs;
  }

  #memoryBytes(atMs: number): number | undefined {
    const sample = this.#samples.find((each) => each.atMs >= atMs) ?? this.#samples.at(-1);
    return sample === undefined || sample.residentMb === 0 ? undefined : Math.round(sample.residentMb * 2 ** 20);
  }
}

function overlapMs({ fromMs, toMs }: Span, from: number, to: number): number {
  return Math.max(0, Math.min(toMs, to) - Math.max(fromMs, from));
}

function numberOr(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}
