/** `report.json`: the whole result as a file that is the same, byte for byte, when the result is; and back. Pure. */
import { type CostFigures, type EvaluationResult, resultSchemaVersion, type Scores, type Statistic } from '../result.js';
import { stableJson } from './stable-json.js';

const kind = 'parley-evaluation';

/** What a reader looks for first; other keys follow by alphabet. */
const keyOrder = [
  'kind',
  'schemaVersion',
  'id',
  'name',
  'engineVersion',
  'suite',
  'hash',
  'profile',
  'seed',
  'clock',
  'playouts',
  'voices',
  'mutant',
  'timing',
  'scenarioCount',
  'total',
  'gates',
  'dims',
  'statistics',
  'n',
  'mean',
  'scores',
  'parts',
  'variations',
  'sweeps',
  'cost',
  'scenarios',
];

/**
 * Scenarios stand by id and playout, however they were run. On the virtual clock cost is left out: engine, caller and providers share one thread
 * there, and how long it took is a fact about the machine.
 */
export function reportJson(result: EvaluationResult): string {
  const told = result.clock === 'virtual' ? withoutCost(result) : result;
  const scenarios = [...told.scenarios].sort((a, b) => order(a.id, b.id) || order(a.playout, b.playout));
  return stableJson({ kind, ...told, scenarios }, keyOrder);
}

const noCost: CostFigures = { cpuRatio: undefined, loopDelayP99Ms: undefined, memoryBytes: undefined };
const noStatistic: Statistic = { n: 0, mean: undefined, p50: undefined, p90: undefined, p95: undefined, interval: undefined };

function withoutCost(result: EvaluationResult): EvaluationResult {
  const strip = (scores: Scores): Scores => ({
    ...scores,
    statistics: { ...scores.statistics, cpuRatio: noStatistic, loopDelayP99Ms: noStatistic, memoryBytes: noStatistic },
  });
  return {
    ...result,
    cost: noCost,
    scores: strip(result.scores),
    parts: result.parts.map(({ part, scores }) => ({ part, scores: strip(scores) })),
    scenarios: result.scenarios.map((figures) => ({ ...figures, cost: noCost })),
  };
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export type ParsedReport =
  | { readonly ok: true; readonly result: EvaluationResult }
  | { readonly ok: false; readonly problem: string };

/** Reads what `reportJson` wrote. Numbers that were not finite come back as NaN. Before reports named their voices, there was one choice. */
export function parseReport(text: string): ParsedReport {
  let value: unknown;
  try {
    value = JSON.parse(text, (_, item: unknown) => (item === null ? Number.NaN : item));
  } catch (error) {
    return { ok: false, problem: `not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  if (typeof value !== 'object' || value === null || !('kind' in value) || value.kind !== kind)
    return { ok: false, problem: `not a report of this evaluator: "kind" is not "${kind}"` };
  const version = 'schemaVersion' in value ? value.schemaVersion : undefined;
  if (version !== resultSchemaVersion)
    return {
      ok: false,
      problem: `report of schema version ${String(version)}; this evaluator reads version ${resultSchemaVersion}`,
    };
  const missing = ['suite', 'scores', 'scenarios', 'timing'].filter((key) => !(key in value));
  if (missing.length > 0) return { ok: false, problem: `report without ${missing.join(', ')}` };
  const { kind: _, ...result } = value as EvaluationResult & { kind: string };
  return { ok: true, result: { ...result, voices: result.voices ?? 'flite' } };
}
