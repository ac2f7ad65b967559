/**
 * This run beside an older one. Both are scored again, by today's formulas, on the scenarios that both have; the interval of a difference comes from
 * drawing those scenarios anew, the same for both sides, so that what is hard in a scenario cancels out. Pure.
 */
import { dimIds, type EvaluationResult, type GateId, type Interval, type ScenarioFigures } from '../result.js';
import { type PlainScores, plainScoresOf } from '../score.js';

/** How scenarios are scored: all of them, and drawn anew `draws` times, the same way for the same scenarios. Totals are those before the cap. */
export type Scorer = typeof plainScoresOf;

/** A fall of the total by more than this, with its whole interval below zero, fails the run. */
export const dropMax = 0.3;
const draws = 400;

export type Delta = {
  readonly name: string;
  readonly before: number | undefined;
  readonly now: number | undefined;
  readonly delta: number | undefined;
  /** 95 % of the difference. */
  readonly interval: Interval | undefined;
};

export type Comparison = {
  readonly beforeVersion: string;
  readonly common: number;
  readonly onlyBefore: readonly string[];
  readonly onlyNow: readonly string[];
  /** The total, then the dimensions. */
  readonly deltas: readonly Delta[];
  readonly gatesLost: readonly GateId[];
  readonly gatesWon: readonly GateId[];
  readonly scenariosLost: readonly string[];
  readonly scenariosWon: readonly string[];
  /** What makes the two less alike than they should be. */
  readonly notes: readonly string[];
  readonly isWorse: boolean;
};

export function compare(now: EvaluationResult, before: EvaluationResult, score: Scorer = plainScoresOf): Comparison {
  const [nowBy, beforeBy] = [byKey(now), byKey(before)];
  const common = [...nowBy.keys()].filter((key) => beforeBy.has(key)).sort();
  const figuresOf = (by: ReadonlyMap<string, ScenarioFigures>, keys: readonly string[]) => keys.map((key) => by.get(key)!);
  const deltas =
    common.length === 0 ? [] : deltasOf(score(figuresOf(nowBy, common), draws), score(figuresOf(beforeBy, common), draws));
  const total = deltas[0];
  const gateOf = (result: EvaluationResult, isMet: boolean): GateId[] =>
    result.scores.gates.filter((gate) => gate.isJudged && gate.isMet === isMet).map(({ id }) => id);
  const passedIn = (by: ReadonlyMap<string, ScenarioFigures>, key: string): boolean => by.get(key)!.isPassed;
  return {
    beforeVersion: before.engineVersion,
    common: common.length,
    onlyBefore: [...beforeBy.keys()].filter((key) => !nowBy.has(key)).sort(),
    onlyNow: [...nowBy.keys()].filter((key) => !beforeBy.has(key)).sort(),
    deltas,
    gatesLost: gateOf(now, false).filter((id) => gateOf(before, true).includes(id)),
    gatesWon: gateOf(now, true).filter((id) => gateOf(before, false).includes(id)),
    scenariosLost: common.filter((key) => passedIn(beforeBy, key) && !passedIn(nowBy, key)),
    scenariosWon: common.filter((key) => !passedIn(beforeBy, key) && passedIn(nowBy, key)),
    notes: notesOf(now, before),
    isWorse: total?.delta !== undefined && total.delta < -dropMax && total.interval !== undefined && total.interval.high < 0,
  };
}

function byKey(result: EvaluationResult): ReadonlyMap<string, ScenarioFigures> {
  return new Map(result.scenarios.map((figures) => [`${figures.id} (${figures.playout})`, figures]));
}

function deltasOf(now: ReturnType<Scorer>, before: ReturnType<Scorer>): Delta[] {
  const names = ['total', ...dimIds] as const;
  const read = (scores: PlainScores, name: (typeof names)[number]): number | undefined =>
    name === 'total' ? scores.raw : scores.dims[name];
  return names.map((name): Delta => {
    const differences = now.drawn
      .flatMap((scores, index) => difference(read(scores, name), read(before.drawn[index]!, name)) ?? [])
      .sort((a, b) => a - b);
    const [nowScore, beforeScore] = [read(now.exact, name), read(before.exact, name)];
    const count = differences.length;
    return {
      name,
      before: beforeScore,
      now: nowScore,
      delta: difference(nowScore, beforeScore),
      interval:
        count < draws / 2
          ? undefined
          : { low: differences[Math.floor(0.025 * count)]!, high: differences[Math.ceil(0.975 * count) - 1]! },
    };
  });
}

function difference(now: number | undefined, before: number | undefined): number | undefined {
  const delta = now === undefined || before === undefined ? Number.NaN : now - before;
  return Number.isNaN(delta) ? undefined : delta;
}

function notesOf(now: EvaluationResult, before: EvaluationResult): string[] {
  const differing = (name: string, a: string, b: string): string[] => (a === b ? [] : [`${name}: ${b} before, ${a} now`]);
  return [
    ...(now.suite.hash === before.suite.hash ? [] : ['The suite itself changed: the same id may be another conversation.']),
    ...differing('profile', now.profile, before.profile),
    ...differing('clock', now.clock, before.clock),
    ...differing('seed', String(now.seed), String(before.seed)),
    ...differing('suite', now.suite.name, before.suite.name),
    ...differing("callers' voices", now.voices, before.voices),
    ...differing('playout', now.playouts.join(' and '), before.playouts.join(' and ')),
    ...(before.timing.isValid ? [] : ['The older run had no valid timing.']),
  ];
}

/** For the terminal. */
export function comparisonText(comparison: Comparison): string {
  const { beforeVersion, common, onlyBefore, onlyNow, deltas, gatesLost, gatesWon, scenariosLost, scenariosWon, notes } =
    comparison;
  const list = (name: string, ids: readonly string[]): string[] => (ids.length === 0 ? [] : [`  ${name}: ${listed(ids)}`]);
  return [
    `Compared with ${beforeVersion}, on ${common} scenarios of both:`,
    ...deltas.map(({ name, before, now, delta, interval }) => {
      const range = interval === undefined ? '' : `  [${signed(interval.low)}, ${signed(interval.high)}]`;
      return `  ${name.padEnd(6)}${shown(before).padStart(6)} → ${shown(now).padStart(5)}  ${signed(delta)}${range}`;
    }),
    ...list('gates lost', gatesLost),
    ...list('gates won', gatesWon),
    ...list('no longer as expected', scenariosLost),
    ...list('as expected now', scenariosWon),
    ...list('only before', onlyBefore),
    ...list('only now', onlyNow),
    ...notes.map((note) => `  note: ${note}`),
    comparison.isWorse ? `  WORSE: the total fell by more than ${dropMax}, and not by chance` : '  no significant drop',
    '',
  ].join('\n');
}

/** More than this can be looked up in the reports. */
const listMax = 12;

/** The names, up to `listMax` of them, and how many more there are. */
export function listed(names: readonly string[]): string {
  const more = names.length - listMax;
  return `${names.slice(0, listMax).join(', ')}${more > 0 ? `, and ${more} more` : ''}`;
}

export function signed(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  const text = Math.abs(value).toFixed(2);
  return text === '0.00' ? '0.00' : `${value < 0 ? '−' : '+'}${text}`;
}

function shown(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? '–' : value.toFixed(2);
}
