/**
 * Once a second, what happened in every thread, out of their strips, the cells of the slots and the operating system's account. API thread;
 * no other thread is asked for anything.
 */
import { nowMs } from '../shared/clock.js';
import { Cell, type Slot } from '../shared/slots.js';
import { inputRateHz } from '../shared/units.js';
import { MergedHistogram, pairsOf } from '../telemetry/interval-histogram.js';
import { type SeriesBucket, seriesBounds, type ThreadFigures } from '../telemetry/series-bucket.js';
import { StripReader, type Strips } from '../telemetry/strip.js';
import { type ThreadTime, threadTime } from '../telemetry/thread-times.js';

/** Each thread's own is worth a look; of the others the sum is. */
const byThread = new Set(['loop_delay']);
/** Facts of a thread, not of the process. */
const threadGauges = new Set(['heap_kib', 'external_kib', 'loop_permille']);

type Watched = { readonly name: string; readonly strip: StripReader; time: ThreadTime | undefined };

export class SeriesCollector {
  readonly #threads: readonly Watched[];
  readonly #rings: RingDepths;
  #atMs: number;
  #cpuMs = processCpuMs();

  constructor(strips: Strips, slots: readonly Slot[], atMs: number) {
    const lanes = strips.lanes.flatMap((lane, index) =>
      (['vad', 'stt', 'conversation', 'tts'] as const).map(
        (name) => [index === 0 ? name : `${name} ${index + 1}`, lane[name]] as const,
      ),
    );
    this.#threads = [['main', strips.main] as const, ...lanes, ['api', strips.api] as const].map(([name, memory]) => {
      const strip = new StripReader(memory);
      return { name, strip, time: threadTime(strip.threadId) };
    });
    this.#rings = new RingDepths(slots);
    this.#atMs = atMs;
  }

  /** The time since the last look. `atMs`: monotonic; `unixMs`: the same instant. */
  look(atMs: number, unixMs: number): Omit<SeriesBucket, 'seq'> {
    const durationMs = atMs - this.#atMs;
    this.#atMs = atMs;
    const histograms = new Map<string, MergedHistogram>();
    const counters: Record<string, number> = {};
    const gauges: Record<string, number> = {};
    const threads: Record<string, ThreadFigures> = {};
    let knownCpuMs = 0;
    for (const thread of this.#threads) {
      const { name } = thread;
      const seen = thread.strip.look();
      for (const [stage, pairs] of seen.histograms) {
        const key = byThread.has(stage) ? `${stage}/${name}` : stage;
        const merged = histograms.get(key) ?? new MergedHistogram();
        histograms.set(key, merged.add(pairs));
      }
      for (const [key, by] of seen.counters) counters[key] = (counters[key] ?? 0) + by;
      for (const [key, value] of seen.gauges) if (!threadGauges.has(key)) gauges[key] = (gauges[key] ?? 0) + value;
      const time = threadTime(thread.strip.threadId);
      threads[name] = {
        ...Object.fromEntries(seen.gauges.filter(([key]) => threadGauges.has(key))),
        ...spent(thread.time, time),
      };
      knownCpuMs += threads[name].cpu_ms ?? 0;
      thread.time = time;
    }
    const cpuMs = processCpuMs();
    const usedMs = cpuMs - this.#cpuMs;
    this.#cpuMs = cpuMs;
    if (knownCpuMs > 0) threads['others'] = { cpu_ms: rounded(Math.max(0, usedMs - knownCpuMs)) };
    return {
      at_ms: Math.round(unixMs),
      duration_ms: rounded(durationMs),
      cpu_ms: rounded(usedMs),
      resident_kib: Math.round(process.memoryUsage.rss() / 1024),
      threads,
      histograms: {
        ...Object.fromEntries([...histograms].map(([key, merged]) => [key, merged.pairs()])),
        ...this.#rings.look(),
      },
      counters,
      gauges,
    };
  }
}

/** Looks once a second. The timer does not keep the thread alive. */
export function collectSeries(
  strips: Strips,
  slots: readonly Slot[],
  take: (bucket: Omit<SeriesBucket, 'seq'>) => void,
): { stop(): void } {
  const collector = new SeriesCollector(strips, slots, nowMs());
  // On whole seconds of the wall clock, so that a bucket is of one second and not of two halves.
  let dueAtMs = nowMs() - (Date.now() % seriesBounds.intervalMs);
  let timer: NodeJS.Timeout;
  const next = (): void => {
    // A late look does not shift the ones that follow; those that were missed are not made up for.
    dueAtMs += seriesBounds.intervalMs;
    while (dueAtMs <= nowMs()) dueAtMs += seriesBounds.intervalMs;
    timer = setTimeout(() => {
      take(collector.look(nowMs(), Date.now()));
      next();
    }, dueAtMs - nowMs());
    timer.unref();
  };
  next();
  return { stop: () => clearTimeout(timer) };
}

/** How much waits in the rings of the calls under way, out of the slots' cells. */
class RingDepths {
  readonly #slots: readonly Slot[];
  /** A slot whose input stands still has no call. */
  readonly #written: Int32Array;

  constructor(slots: readonly Slot[]) {
    this.#slots = slots;
    this.#written = Int32Array.from(slots, (slot) => slot.load(Cell.inputWritten));
  }

  look(): Record<string, number[]> {
    const vadUs: number[] = [];
    const frames: number[] = [];
    for (const [index, slot] of this.#slots.entries()) {
      const written = slot.load(Cell.inputWritten);
      if (written === this.#written[index]) continue;
      this.#written[index] = written;
      vadUs.push(((written - slot.load(Cell.vadRead)) / inputRateHz) * 1e6);
      frames.push(slot.load(Cell.outputWritten) - slot.load(Cell.outputRead));
    }
    return frames.length === 0 ? {} : { input_ring: pairsOf(vadUs), output_ring_frames: pairsOf(frames) };
  }
}

function spent(before: ThreadTime | undefined, now: ThreadTime | undefined): Pick<ThreadFigures, 'cpu_ms' | 'wait_ms'> {
  if (before === undefined || now === undefined) return {};
  const cpu = { cpu_ms: rounded(Math.max(0, now.cpuMs - before.cpuMs)) };
  if (before.waitMs === undefined || now.waitMs === undefined) return cpu;
  return { ...cpu, wait_ms: rounded(Math.max(0, now.waitMs - before.waitMs)) };
}

function processCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
