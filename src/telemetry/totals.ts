/**
 * Figures since the start, as `/metrics` shows them: the strips of a process added up, lanes together, and in a fleet those of its processes.
 * Nobody is asked for anything. Main thread, and the process that leads a fleet.
 */
import { highestOf, histogramCells, lowestOf, type Pairs } from './interval-histogram.js';
import { type StripMemory, StripReader, type Strips } from './strip.js';

/** Plain data, to cross to another process. Of each stage `[thread, stage, pairs]`; counters and gauges by name, labels in braces. */
export type PlainTotals = {
  readonly stages: readonly (readonly [thread: string, stage: string, pairs: Pairs])[];
  readonly counters: Readonly<Record<string, number>>;
  readonly gauges: Readonly<Record<string, number>>;
};

export const noTotals: PlainTotals = { stages: [], counters: {}, gauges: {} };

/** Counts are doubles, which do not wrap. */
type StageCells = { readonly thread: string; readonly stage: string; readonly cells: Float64Array };

export class Totals {
  readonly #stages = new Map<string, StageCells>();
  readonly #counters = new Map<string, number>();
  readonly #gauges = new Map<string, number>();

  get stages(): readonly StageCells[] {
    return [...this.#stages.values()];
  }

  get counters(): ReadonlyMap<string, number> {
    return this.#counters;
  }

  get gauges(): ReadonlyMap<string, number> {
    return this.#gauges;
  }

  addStage(thread: string, stage: string, pairs: Pairs): void {
    const key = `${thread} ${stage}`;
    let known = this.#stages.get(key);
    if (known === undefined) {
      known = { thread, stage, cells: new Float64Array(histogramCells) };
      this.#stages.set(key, known);
    }
    let cell = 0;
    for (let at = 0; at + 1 < pairs.length; at += 2) {
      cell += pairs[at]!;
      known.cells[cell]! += pairs[at + 1]!;
    }
  }

  /** With 0 the name is known from now on. */
  count(name: string, by: number): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by);
  }

  addGauge(name: string, value: number): void {
    this.#gauges.set(name, (this.#gauges.get(name) ?? 0) + value);
  }

  clearGauges(): void {
    this.#gauges.clear();
  }

  add({ stages, counters, gauges }: PlainTotals): this {
    for (const [thread, stage, pairs] of stages) this.addStage(thread, stage, pairs);
    for (const [name, value] of Object.entries(counters)) this.count(name, value);
    for (const [name, value] of Object.entries(gauges)) this.addGauge(name, value);
    return this;
  }

  plain(): PlainTotals {
    return {
      stages: this.stages.map(({ thread, stage, cells }) => [thread, stage, pairsIn(cells)]),
      counters: Object.fromEntries(this.#counters),
      gauges: Object.fromEntries(this.#gauges),
    };
  }
}

/** A stage in numbers; microseconds. `sum` is as exact as the cells are: 0.4 %. */
export type StageSummary = { readonly count: number; readonly sum: number; readonly quantiles: readonly number[] };

/** One pass over the cells. `wanted`: rising, 0 .. 1. */
export function summaryOf(cells: Float64Array, wanted: readonly number[]): StageSummary {
  let count = 0;
  for (const one of cells) count += one;
  const quantiles: number[] = [];
  let seen = 0;
  let sum = 0;
  for (let cell = 0; cell < cells.length; cell += 1) {
    const own = cells[cell]!;
    if (own === 0) continue;
    seen += own;
    sum += own * ((lowestOf(cell) + highestOf(cell)) / 2);
    while (quantiles.length < wanted.length && seen >= Math.max(1, Math.ceil(wanted[quantiles.length]! * count - 1e-9)))
      quantiles.push(highestOf(cell));
  }
  return { count, sum, quantiles };
}

function pairsIn(cells: Float64Array): number[] {
  const pairs: number[] = [];
  let last = 0;
  for (let cell = 0; cell < cells.length; cell += 1) {
    if (cells[cell] === 0) continue;
    pairs.push(cell - last, cells[cell]!);
    last = cell;
  }
  return pairs;
}

/** Of the threads of this process. The first look must come before 2^31 of anything have happened, and so must every further one. */
export class StripTotals {
  readonly totals = new Totals();
  readonly #threads: readonly { readonly name: string; readonly strip: StripReader }[];

  /** Made before anything is written to the strips. */
  constructor(strips: Strips) {
    const lanes = strips.lanes.flatMap((lane) => Object.entries(lane));
    this.#threads = [['main', strips.main] as const, ...lanes, ['api', strips.api] as const].map(
      ([name, memory]: readonly [string, StripMemory]) => ({ name, strip: new StripReader(memory) }),
    );
  }

  /** Adds what happened since the last look; gauges are those of now. */
  look(): Totals {
    const { totals } = this;
    totals.clearGauges();
    for (const { name: thread, strip } of this.#threads) {
      const { histograms, counters, gauges } = strip.look();
      for (const [stage, pairs] of histograms) totals.addStage(thread, stage, pairs);
      for (const name of strip.counterNames()) totals.count(name, 0);
      for (const [name, by] of counters) totals.count(name, by);
      // The others are facts of one thread, which the dashboard shows.
      for (const [name, value] of gauges) if (name.startsWith('parley_')) totals.addGauge(name, value);
    }
    return totals;
  }
}
