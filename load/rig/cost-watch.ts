/** Samples what the engine, the simulator and the whole machine use while a run goes on. Runs in the process that leads the run. */

import type { CpuCost } from './load-result.js';
import { machineTime, processCost, threadCosts } from './machine-cost.js';
import type { Stack } from './stack.js';

const sampleMs = 1000;

export type CostSample = {
  readonly atMonotonicMs: number;
  readonly engineCpuMs: number;
  readonly simulatorCpuMs: number;
  readonly callersCpuMs: number;
  readonly residentMb: number;
  readonly calls: number;
  readonly threads: ReadonlyMap<number, number>;
  readonly machine: { readonly busyMs: number; readonly totalMs: number };
};

export class CostWatch {
  readonly samples: CostSample[] = [];
  readonly #stack: Stack;
  readonly #nowMs: () => number;
  readonly #callers: () => { readonly cpuMs: number; readonly live: number };
  readonly #timer: NodeJS.Timeout;

  constructor(stack: Stack, nowMs: () => number, callers: () => { readonly cpuMs: number; readonly live: number }) {
    this.#stack = stack;
    this.#nowMs = nowMs;
    this.#callers = callers;
    this.#timer = setInterval(() => this.samples.push(this.#sample()), sampleMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #sample(): CostSample {
    const engine = processCost(this.#stack.enginePid);
    const { cpuMs, live } = this.#callers();
    return {
      atMonotonicMs: this.#nowMs(),
      engineCpuMs: engine.cpuMs,
      simulatorCpuMs: this.#stack.simulatorPid === 0 ? 0 : processCost(this.#stack.simulatorPid).cpuMs,
      callersCpuMs: cpuMs,
      residentMb: engine.residentMb,
      calls: live,
      threads: threadCosts(this.#stack.enginePid),
      machine: machineTime(),
    };
  }
}

/** `names`: the system's number of a thread → what it is; threads without a name (model, garbage collector, file system) are summed up. */
export function cpuBetween(from: CostSample, to: CostSample, names: ReadonlyMap<number, string>): CpuCost {
  const spanMs = to.atMonotonicMs - from.atMonotonicMs;
  const share = (before: number, after: number): number => ((after - before) / spanMs) * 100;
  const byThread = new Map<string, number>();
  for (const [id, cpuMs] of to.threads) {
    const name = names.get(id) ?? 'pools and runtime';
    byThread.set(name, (byThread.get(name) ?? 0) + share(from.threads.get(id) ?? 0, cpuMs));
  }
  return {
    engine: share(from.engineCpuMs, to.engineCpuMs),
    engineByThread: Object.fromEntries([...byThread].sort(([, a], [, b]) => b - a)),
    simulator: share(from.simulatorCpuMs, to.simulatorCpuMs),
    callers: share(from.callersCpuMs, to.callersCpuMs),
    machineBusy: ((to.machine.busyMs - from.machine.busyMs) / Math.max(1, to.machine.totalMs - from.machine.totalMs)) * 100,
  };
}

/** The system's numbers of the engine's threads, as its probes said them. */
export function threadNames(stack: Stack): Map<number, string> {
  const names = new Map<number, string>();
  for (const { event, thread, system_id: id } of stack.processLog)
    if (event === 'probe.thread') names.set(Number(id), String(thread));
  return names;
}
