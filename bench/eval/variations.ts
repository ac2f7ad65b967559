/** What breaking one thing of the engine, or leaving one idea out, does to its scores. Pure. */
import { dimIds, type GateFigures, type ScenarioFigures, type Scores, type VariationFigures } from './result.js';

/** A target must fall by this much, in points of ten, or be a gate that fails; nothing else may move by more than `otherMax`. */
export const targetMin = 3;
export const otherMax = 1.5;

/** The gates that stand for a dimension: a target among them is met when one of them is lost. */
const gatesOf: Readonly<Record<string, readonly string[]>> = {
  D1: ['G1'],
  D2: ['G4'],
  D3: ['G2', 'G3', 'G6'],
  D4: ['G8'],
  D5: ['G5', 'G7'],
  D6: [],
};

/** What mutants call the terms of a dimension. */
const partNames: Readonly<Record<string, string>> = {
  'D4 echo': 'echo',
  'D5 repeat': 'false starts',
  'D5 skip': 'false starts',
  'D5 ctx': 'context',
  'D5 dbl': 'split turns',
  'D6 stut': 'stutter',
  'D6 edge': 'edges',
  'D6 idle': 'idle',
};

export type Varied = { readonly name: string; readonly kind: VariationFigures['kind']; readonly target: readonly string[] };

/** How a set of runs was scored, and the runs. */
export type Judged = { readonly scores: Scores; readonly figures: readonly ScenarioFigures[] };

export function variationFigures({ name, kind, target }: Varied, varied: Judged, unbroken: Judged): VariationFigures {
  const { scores } = varied;
  const base = unbroken.scores;
  const dims = dimIds.map((id) => {
    const score = dimScore(scores, id);
    const before = dimScore(base, id);
    return { id, score, delta: score === undefined || before === undefined ? undefined : score - before };
  });
  const falls = target.filter((name) => !isGate(name)).map((name) => (pointsOf(scores, name) ?? 0) - (pointsOf(base, name) ?? 0));
  const gates = target.flatMap((name) => (isGate(name) ? [name] : (gatesOf[name.slice(0, 2)] ?? [])));
  const failedGates = scores.gates.filter((gate) => isFailed(gate)).map(({ id }) => id);
  const isGateLost = gates.some((id) => failedGates.some((failed) => failed === id) && isMetIn(base, id));
  return {
    name,
    kind,
    target,
    isCaught: kind === 'ablation' ? undefined : isGateLost || falls.some((fall) => fall <= -targetMin),
    total: scores.total.raw,
    totalDelta: scores.total.raw - base.total.raw,
    dims,
    targetDelta: falls.length === 0 ? undefined : Math.min(...falls),
    failedGates,
    unexpected: [...failedIn(varied)].filter((id) => !failedIn(unbroken).has(id)).sort(),
  };
}

function failedIn({ figures }: Judged): Set<string> {
  return new Set(figures.filter(({ isPassed }) => !isPassed).map(({ id }) => id));
}

/** Dimensions other than the targets that moved too far, with how much. */
export function crossEffects({ target, dims }: VariationFigures): string[] {
  const own = new Set(target.map((name) => name.slice(0, 2)));
  return dims.flatMap(({ id, delta }) =>
    own.has(id) || delta === undefined || Math.abs(delta) <= otherMax ? [] : [`${id} ${delta > 0 ? '+' : ''}${delta.toFixed(1)}`],
  );
}

function isGate(name: string): boolean {
  return name.startsWith('G');
}

/** Whether the clock allows to judge it or not. */
function isFailed({ isMet, conditions }: GateFigures): boolean {
  return !isMet && conditions.some(({ value }) => value !== undefined);
}

function isMetIn(scores: Scores, id: string): boolean {
  return scores.gates.some((gate) => gate.id === id && gate.isMet);
}

function dimScore(scores: Scores, id: string): number | undefined {
  return scores.dims.find((dim) => dim.id === id)?.score;
}

function pointsOf(scores: Scores, name: string): number | undefined {
  const part = partNames[name];
  if (part === undefined) return dimScore(scores, name);
  return scores.dims.find(({ id }) => name.startsWith(id))?.parts.find((one) => one.name === part)?.score;
}
