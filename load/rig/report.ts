/**
 * What a rig found: figures, bars that must hold, notes, where and on what it ran; as a table for people and as JSON. Pure but for `machine`
 * and writing the file.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';

/** The nearest-rank percentile (`percent` 0..100) of `values`; NaN when there are none. */
export function percentile(values: readonly number[], percent: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.ceil((percent / 100) * sorted.length);
  return sorted[Math.max(0, Math.min(sorted.length - 1, rank - 1))]!;
}

export type Spread = {
  readonly count: number;
  readonly min: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
};

export function spreadOf(values: readonly number[]): Spread {
  const at = (percent: number): number => percentile(values, percent);
  return { count: values.length, min: at(0), p50: at(50), p95: at(95), p99: at(99), max: at(100) };
}

/** Slope of the least-squares line through `points`; NaN for fewer than two different x. */
export function slopeOf(points: readonly { readonly x: number; readonly y: number }[]): number {
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / points.length;
  let covariance = 0;
  let variance = 0;
  for (const { x, y } of points) {
    covariance += (x - meanX) * (y - meanY);
    variance += (x - meanX) ** 2;
  }
  return variance === 0 ? Number.NaN : covariance / variance;
}

export type Bar = {
  readonly name: string;
  readonly value: number;
  readonly is: 'at most' | 'below' | 'at least';
  readonly limit: number;
  readonly unit: string;
  readonly holds: boolean;
};

export function holds(value: number, is: Bar['is'], limit: number): boolean {
  if (is === 'at least') return value >= limit;
  return is === 'below' ? value < limit : value <= limit;
}

/** A run in which the callers themselves were later than this proves nothing about the engine. */
export const latenessMaxMs = 8;

export type ExitCode = 0 | 1 | 3;

export class Report {
  readonly #title: string;
  readonly #settings: Readonly<Record<string, string | number>>;
  readonly #spreads: { readonly section: string; readonly name: string; readonly unit: string; readonly spread: Spread }[] = [];
  readonly #facts: { readonly section: string; readonly text: string }[] = [];
  readonly #bars: Bar[] = [];
  readonly #notes: string[] = [];
  readonly #startedAt = new Date();
  #section = '';
  #lateness: { readonly p99Ms: number; readonly maxMs: number } | undefined;
  #details: unknown;

  constructor(title: string, settings: Readonly<Record<string, string | number>>) {
    this.#title = title;
    this.#settings = settings;
  }

  /** What follows belongs to `name`. */
  section(name: string): void {
    this.#section = name;
  }

  /** A row of the table. Milliseconds unless `unit` says otherwise. */
  spread(name: string, values: readonly number[], unit = 'ms'): Spread {
    const spread = spreadOf(values);
    this.#spreads.push({ section: this.#section, name, unit, spread });
    return spread;
  }

  /** A line below the table of its section. */
  fact(text: string): void {
    this.#facts.push({ section: this.#section, text });
  }

  /** A promise: the run fails when it does not hold. A figure that could not be taken (NaN) does not hold. */
  bar(name: string, value: number, is: Bar['is'], limit: number, unit = 'ms'): void {
    this.#bars.push({ name, value, is, limit, unit, holds: holds(value, is, limit) });
  }

  /** Something the reader must know. */
  note(text: string): void {
    this.#notes.push(text);
  }

  /** How late the callers were; to be told wherever a figure depends on it. */
  lateness(p99Ms: number, maxMs: number): void {
    this.#lateness = { p99Ms, maxMs };
  }

  /** Everything behind the figures, for the JSON file. */
  details(value: unknown): void {
    this.#details = value;
  }

  get exitCode(): ExitCode {
    if (this.#lateness !== undefined && this.#lateness.p99Ms > latenessMaxMs) return 3;
    return this.#bars.every((bar) => bar.holds) ? 0 : 1;
  }

  text(): string {
    const sections = [...new Set([...this.#spreads, ...this.#facts].map(({ section }) => section))];
    return [
      '',
      this.#title,
      ...sections.flatMap((section) => this.#sectionText(section)),
      '',
      ...this.#bars.map(barText),
      ...this.#notes.map((note) => `  note: ${note}`),
      this.#lateness === undefined
        ? ''
        : `  callers late by ${this.#lateness.p99Ms.toFixed(1)} ms (p99), ${this.#lateness.maxMs.toFixed(1)} ms (max)`,
      this.exitCode === 3
        ? `  TIMING INVALID: the callers were late by more than ${latenessMaxMs} ms (p99); no figure counts`
        : '',
      `  ${Object.entries(this.#settings)
        .map(([name, value]) => `${name} ${value}`)
        .join(', ')}`,
      `  ${machine()}`,
      '',
    ]
      .filter((line, index, all) => line !== '' || all[index - 1] !== '')
      .join('\n');
  }

  json(): string {
    const rounded = (_: string, item: unknown) => (typeof item === 'number' ? Math.round(item * 1000) / 1000 : item);
    const body = {
      title: this.#title,
      startedAt: this.#startedAt.toISOString(),
      exitCode: this.exitCode,
      bars: this.#bars,
      figures: this.#spreads.map(({ section, name, unit, spread }) => ({ section, name, unit, ...spread })),
      facts: this.#facts,
      notes: this.#notes,
      callersLateP99Ms: this.#lateness?.p99Ms,
      callersLateMaxMs: this.#lateness?.maxMs,
      settings: this.#settings,
      machine: machine(),
      details: this.#details,
    };
    return `${JSON.stringify(body, rounded, 1)}\n`;
  }

  /** Prints the table, writes the file if one is wanted, and answers with the exit status. */
  finish(jsonPath: string | undefined): ExitCode {
    console.log(this.text());
    if (jsonPath !== undefined) writeFileSync(jsonPath, this.json());
    return this.exitCode;
  }

  #sectionText(section: string): string[] {
    const spreads = this.#spreads.filter((row) => row.section === section);
    const facts = this.#facts.filter((row) => row.section === section);
    const rows = spreads.map(({ name, unit, spread }) => {
      const cells = [spread.min, spread.p50, spread.p95, spread.p99, spread.max].map(cellOf);
      return `  ${`${name} (${unit})`.padEnd(nameWidth)}${String(spread.count).padStart(6)}${cells.join('')}`;
    });
    const head = `  ${section.padEnd(nameWidth)}${'n'.padStart(6)}${['min', 'p50', 'p95', 'p99', 'max'].map((name) => name.padStart(cellWidth)).join('')}`;
    return ['', spreads.length > 0 ? head : `  ${section}`, ...rows, ...facts.map(({ text }) => `  ${text}`)];
  }
}

const nameWidth = 58;
const cellWidth = 9;

function cellOf(value: number): string {
  const digits = Math.abs(value) >= 1000 ? 0 : 1;
  return (Number.isNaN(value) ? '-' : value.toFixed(digits)).padStart(cellWidth);
}

export function barText({ name, value, is, limit, unit, holds: isHeld }: Bar): string {
  const measured = Number.isNaN(value) ? 'not measured' : `${cellOf(value).trim()}`;
  return `  ${isHeld ? 'ok    ' : 'MISSED'} ${name}: ${measured}, must be ${is} ${limit} ${unit}`.trimEnd();
}

/** Machine, runtime and commit on which something ran. */
export type Machine = {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGb: number;
  /** Over 1, 5 and 15 minutes. */
  readonly load: readonly number[];
  readonly node: string;
  readonly platform: string;
  readonly commit: string;
};

export function machineFacts(): Machine {
  const cores = cpus();
  return {
    processor: cores[0]?.model.trim() ?? 'unknown processor',
    cores: cores.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    load: loadavg(),
    node: process.versions.node,
    platform: process.platform,
    commit: commit(),
  };
}

export function machineText({ processor, cores, memoryGb, load, node, platform, commit: from }: Machine): string {
  const loads = load.map((value) => value.toFixed(1)).join(' ');
  return `${processor} × ${cores}, ${memoryGb} GB, load ${loads}; Node ${node}, ${platform}; commit ${from}`;
}

export function machine(): string {
  return machineText(machineFacts());
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: new URL('.', import.meta.url), stdio: ['ignore', 'pipe', 'ignore'] })
        .toString()
        .trim();
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : ' with changes'}`;
  } catch {
    return 'none';
  }
}
