/**
 * The engine's own figures, from `GET /metrics`. An engine that gives its histograms as JSON (`accept: application/json`) can be asked twice and what
 * lies between the answers is measured; of Prometheus text there are only percentiles since its start.
 */

import { parseMetrics, stageMs } from './stack.js';
import { encode, type Figures, figuresOf, mergeStages, noFigures, sinceThen } from './stages.js';

const timeoutMs = 10_000;

export type EngineSnapshot = {
  /** Prometheus names with labels. */
  readonly values: ReadonlyMap<string, number>;
  /** Stage → encoded histogram of all threads; empty when the engine has given only text. */
  readonly encoded: Readonly<Record<string, string>>;
};

type Answer = {
  readonly histograms: readonly { readonly name: string; readonly encoded: string }[];
  readonly counters: readonly { readonly name: string; readonly labels: string; readonly value: number }[];
  readonly gauges: readonly { readonly name: string; readonly labels: string; readonly value: number }[];
};

/** `url`: http(s). Undefined when this server gives no figures. */
export async function askEngine(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<EngineSnapshot | undefined> {
  try {
    const answer = await fetch(`${url}/metrics`, {
      headers: { ...headers, accept: 'application/json, text/plain;q=0.5' },
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!answer.ok) return undefined;
    const isJson = answer.headers.get('content-type')?.includes('json') === true;
    if (!isJson) return { values: parseMetrics(await answer.text()), encoded: {} };
    return snapshotOf(((await answer.json()) as { answers?: readonly Answer[] }).answers ?? []);
  } catch {
    // No figures, or not in time: the report says so.
    return undefined;
  }
}

function snapshotOf(answers: readonly Answer[]): EngineSnapshot {
  const values = new Map<string, number>();
  for (const { counters, gauges } of answers) {
    for (const { name, labels, value } of [...counters, ...gauges]) {
      const key = labels === '' ? name : `${name}{${labels}}`;
      values.set(key, (values.get(key) ?? 0) + value);
    }
  }
  const parts = answers.map(({ histograms }) => Object.fromEntries(histograms.map(({ name, encoded }) => [name, encoded])));
  return { values, encoded: Object.fromEntries([...mergeStages(parts)].map(([name, histogram]) => [name, encode(histogram)])) };
}

export type EngineStage = Figures & { readonly encoded?: string };
export type EngineStages = {
  readonly window: 'measured' | 'since start' | 'none';
  readonly stages: Readonly<Record<string, EngineStage>>;
};

/** What the engine measured between two looks at it. */
export function engineStages(before: EngineSnapshot | undefined, after: EngineSnapshot | undefined): EngineStages {
  if (after === undefined) return { window: 'none', stages: {} };
  const names = Object.keys(after.encoded);
  if (names.length > 0) {
    const stages = names.map((name): [string, EngineStage] => {
      const histogram = sinceThen(before?.encoded[name], after.encoded[name]!);
      return [name, { ...figuresOf(histogram), encoded: encode(histogram) }];
    });
    return { window: 'measured', stages: Object.fromEntries(stages.filter(([, { count }]) => count > 0)) };
  }
  const told = new Set(
    [...after.values.keys()].flatMap((name) => /^parley_stage_seconds_count\{.*stage="([^"]+)"/.exec(name)?.[1] ?? []),
  );
  return { window: 'since start', stages: Object.fromEntries([...told].map((stage) => [stage, figuresIn(after.values, stage)])) };
}

/** Of the thread where it is worst. */
function figuresIn(values: ReadonlyMap<string, number>, stage: string): Figures {
  let count = 0;
  for (const [name, value] of values)
    if (name.startsWith('parley_stage_seconds_count{') && name.includes(`stage="${stage}"`)) count += value;
  if (count === 0) return noFigures;
  const at = (quantile: string): number => stageMs(values, stage, quantile);
  return { count, p50: at('0.5'), p95: at('0.95'), p99: at('0.99'), p999: at('0.999'), max: Number.NaN };
}

/** How much counters (names that begin with one of `prefixes`) have grown; those that have not are left out. */
export function grownCounters(
  before: EngineSnapshot | undefined,
  after: EngineSnapshot | undefined,
  prefixes: readonly string[],
): Map<string, number> {
  const grown = new Map<string, number>();
  for (const [name, value] of after?.values ?? []) {
    const growth = value - (before?.values.get(name) ?? 0);
    if (growth > 0 && prefixes.some((prefix) => name.startsWith(prefix))) grown.set(name, growth);
  }
  return grown;
}
