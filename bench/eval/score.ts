/**
 * What the figures of all scenarios come to: six dimensions, a total, statistics of every metric with intervals over scenarios, and how much the
 * weights matter. Pure, and the same for the same figures.
 */

import { type GateSetting, gatesOf } from './gates.js';
import { isGoodEdge, measures } from './measures.js';
import { gapCredit, ramp } from './ramp.js';
import {
  type DimFigures,
  type DimId,
  type DimPart,
  dimIds,
  type InterruptionFigures,
  type MetricId,
  metricIds,
  type ScenarioFigures,
  type Scores,
  type SelectivityClass,
  type Sensitivity,
  type Statistic,
  selectivityClasses,
} from './result.js';
import { ascending, drawsOf, intervalOf, quantile, type Share, statisticOf } from './statistics.js';

export const weights: Readonly<Record<DimId, number>> = { D1: 0.2, D2: 0.25, D3: 0.2, D4: 0.15, D5: 0.1, D6: 0.1 };
export const dimNames: Readonly<Record<DimId, string>> = {
  D1: 'promptness',
  D2: 'not cutting in',
  D3: 'yielding',
  D4: 'selectivity',
  D5: 'recovery',
  D6: 'flow',
};
/** A failed gate takes the total down to this. */
export const failedGateTotal = 7.9;
const bootstrapSeed = 1;

/** Sum and number of something; nothing counted is nothing known. */
type Mean = { sum: number; count: number };

/** What one scenario adds to the dimensions. */
type Tally = {
  readonly promptness: Mean;
  readonly holds: Mean;
  /** Holds there were, measured or not. */
  readonly holdCount: number;
  readonly overlap: Mean;
  readonly stop: Mean;
  readonly tails: readonly number[];
  readonly gapAfter: Mean;
  readonly talkOver: Mean;
  readonly classes: Readonly<Record<SelectivityClass, Mean>>;
  readonly falseStarts: Mean;
  readonly context: Mean;
  readonly split: Mean;
  readonly unstale: Mean;
  readonly deadMs: Mean;
  readonly stutters: Mean;
  /** Stutters are to be expected of an agent that was to speak. */
  readonly isSpeechDue: boolean;
  readonly edges: Mean;
  readonly isAnyYielded: boolean;
  readonly isAnyInterruption: boolean;
  readonly idle: Mean;
};

function meanOf(values: readonly number[]): Mean {
  return { sum: values.reduce((sum, value) => sum + value, 0), count: values.length };
}

function share(values: readonly boolean[]): Mean {
  return { sum: values.filter(Boolean).length, count: values.length };
}

function tallyOf(figures: ScenarioFigures): Tally {
  const { turns, holds, partCutIns, interruptions, events, family } = figures;
  const due = turns.filter(({ isAnswerDue }) => isAnswerDue);
  const measured = holds.filter(({ isMeasured }) => isMeasured);
  const creditsOf = (kind: SelectivityClass | undefined): Mean =>
    meanOf(events.filter((event) => event.class === kind).map(({ credit }) => credit));
  const splits = family === 'K' ? due : [];
  const isDictation = turns.some((turn) => turn.isDictation);
  return {
    promptness: meanOf(due.filter(({ role }) => role !== 'interrupt').map((turn) => gapCredit(turn.gapMs, turn.isDictation))),
    holds: { sum: measured.filter(({ isCutIn }) => isCutIn).length + partCutIns.length, count: measured.length },
    holdCount: holds.length,
    overlap: {
      sum: [...measured, ...partCutIns].reduce((sum, { overlapMs }) => sum + Math.min(1, overlapMs / 2000), 0),
      count: measured.length,
    },
    stop: meanOf(interruptions.map(({ stopMs }) => (stopMs === undefined ? 0 : ramp(stopMs, 250, 1500)))),
    tails: interruptions.flatMap(({ tailMs }) => tailMs ?? []),
    gapAfter: meanOf(interruptions.filter((one) => one.isAnswerDue).map(({ gapMs }) => gapCredit(gapMs, isDictation))),
    talkOver: meanOf(interruptions.map((one) => talkOverShare(one))),
    classes: Object.fromEntries(selectivityClasses.map((kind) => [kind, creditsOf(kind)])) as Record<SelectivityClass, Mean>,
    falseStarts: creditsOf(undefined),
    context: share(interruptions.map(({ context }) => context?.isTrue === true)),
    split: share(splits.map(({ isMissed, answerCount, lostWords }) => !isMissed && answerCount <= 1 && lostWords === 0)),
    unstale: share(interruptions.map(({ eventId, staleCount }) => eventId !== undefined && staleCount === 0)),
    deadMs: { sum: figures.deadMs, count: figures.durationMs },
    stutters: { sum: figures.stutters.length, count: figures.agentSpeechMs / 60_000 },
    isSpeechDue: due.length > 0,
    edges: share(figures.edges.map(isGoodEdge)),
    isAnyYielded: interruptions.some(({ isYielded }) => isYielded),
    isAnyInterruption: interruptions.length > 0,
    idle: share(figures.idle.map(({ isMet }) => isMet)),
  };
}

/** An agent that was silent, so that nothing was there to interrupt, has not shown that it does not talk over anybody. */
function talkOverShare({ eventId, talkOverMs }: InterruptionFigures): number {
  return eventId === undefined ? 1 : Math.min(1, talkOverMs / 2000);
}

function added(means: readonly Mean[]): Mean {
  const all = { sum: 0, count: 0 };
  for (const { sum, count } of means) {
    all.sum += sum;
    all.count += count;
  }
  return all;
}

type Term = { readonly name: string; readonly weight: number; readonly value: number | undefined };

/** Terms that the scenarios say nothing about leave their weight to the others. */
function dimPartsOf(terms: readonly Term[]): DimPart[] {
  return terms.flatMap(({ name, weight, value }) => (value === undefined ? [] : [{ name, weight, score: 10 * value }]));
}

function scoreOfParts(parts: readonly DimPart[]): number | undefined {
  const weight = parts.reduce((sum, part) => sum + part.weight, 0);
  return weight === 0 ? undefined : parts.reduce((sum, part) => sum + part.weight * part.score, 0) / weight;
}

function ratio({ sum, count }: Mean): number | undefined {
  return count === 0 ? undefined : sum / count;
}

function partsOf(tallies: readonly Tally[]): Record<DimId, DimPart[]> {
  const over = (pick: (tally: Tally) => Mean): Mean => added(tallies.map(pick));
  const hold = over(({ holds }) => holds);
  const holdCount = tallies.reduce((sum, tally) => sum + tally.holdCount, 0);
  const cutIn = ratio(hold);
  const overlap = ratio(over((tally) => tally.overlap));
  // Holds of which none tells anything, because the agent never was silent or never spoke, are no merit.
  const unheld = holdCount === 0 ? undefined : 0;
  const interruptionCount = over(({ stop }) => stop).count;
  const tail95 = quantile(ascending(tallies.flatMap(({ tails }) => tails)), 0.95);
  const talkOver = ratio(over((tally) => tally.talkOver));
  const dead = tallies.some(({ isSpeechDue }) => isSpeechDue) ? ratio(over(({ deadMs }) => deadMs)) : undefined;
  const stutter = ratio(over(({ stutters }) => stutters));
  const isSpeechDue = tallies.some((tally) => tally.isSpeechDue);
  const noEdges =
    tallies.some((tally) => tally.isAnyInterruption) && !tallies.some((tally) => tally.isAnyYielded) ? 0 : undefined;
  return {
    D1: dimPartsOf([{ name: 'gap', weight: 1, value: ratio(over(({ promptness }) => promptness)) }]),
    D2: dimPartsOf([
      { name: 'cut-ins', weight: 0.8, value: cutIn === undefined ? unheld : ramp(cutIn, 0.02, 0.35) },
      { name: 'overlap', weight: 0.2, value: overlap === undefined ? unheld : Math.max(0, 1 - overlap) },
    ]),
    D3: dimPartsOf([
      { name: 'stop', weight: 0.55, value: ratio(over(({ stop }) => stop)) },
      {
        name: 'tail',
        weight: 0.15,
        value: tail95 === undefined ? (interruptionCount === 0 ? undefined : 0) : ramp(tail95, 100, 500),
      },
      { name: 'gap after', weight: 0.15, value: ratio(over(({ gapAfter }) => gapAfter)) },
      { name: 'talk-over', weight: 0.15, value: talkOver === undefined ? undefined : 1 - talkOver },
    ]),
    D4: dimPartsOf(
      selectivityClasses.map((kind) => ({ name: kind, weight: 1, value: ratio(over(({ classes }) => classes[kind])) })),
    ),
    D5: dimPartsOf([
      { name: 'false starts', weight: 1, value: ratio(over(({ falseStarts }) => falseStarts)) },
      { name: 'context', weight: 1, value: ratio(over(({ context }) => context)) },
      { name: 'split turns', weight: 1, value: ratio(over(({ split }) => split)) },
      { name: 'stale', weight: 1, value: ratio(over(({ unstale }) => unstale)) },
    ]),
    D6: dimPartsOf([
      { name: 'dead air', weight: 0.35, value: dead === undefined ? undefined : ramp(dead, 0.05, 0.35) },
      { name: 'stutter', weight: 0.25, value: stutter === undefined ? (isSpeechDue ? 0 : undefined) : ramp(stutter, 0, 3) },
      { name: 'edges', weight: 0.2, value: ratio(over(({ edges }) => edges)) ?? noEdges },
      { name: 'idle', weight: 0.2, value: ratio(over(({ idle }) => idle)) },
    ]),
  };
}

/** exp(Σ w ln max(1, D)); dimensions about which nothing is known leave their weight to the others. 0 when nothing is known at all. */
export function totalOf(
  scores: Readonly<Partial<Record<DimId, number | undefined>>>,
  weighted: Readonly<Record<DimId, number>> = weights,
): number {
  let [sum, weight] = [0, 0];
  for (const id of dimIds) {
    const score = scores[id];
    if (score === undefined) continue;
    sum += weighted[id] * Math.log(Math.max(1, score));
    weight += weighted[id];
  }
  return weight === 0 ? 0 : Math.exp(sum / weight);
}

function scoresOfParts(parts: Readonly<Record<DimId, readonly DimPart[]>>): Record<DimId, number | undefined> {
  return Object.fromEntries(dimIds.map((id) => [id, scoreOfParts(parts[id])])) as Record<DimId, number | undefined>;
}

/** `draws`: of the bootstrap; fewer are quicker. */
export function scoresOf(figures: readonly ScenarioFigures[], setting: GateSetting, draws?: number): Scores {
  // Runs of one scenario with several devices are drawn together.
  const groups = groupsOf(figures);
  const drawn = drawsOf(groups.length, bootstrapSeed, draws);
  const tallies = groups.map((group) => group.map(tallyOf));
  const parts = partsOf(tallies.flat());
  const scores = scoresOfParts(parts);
  const statistics = statisticsOf(groups, drawn);
  const gates = gatesOf(figures, statistics, setting);
  const raw = totalOf(scores);
  const isFailed = gates.some(({ isJudged, isMet }) => isJudged && !isMet);
  const capped = (value: number): number => (isFailed ? Math.min(value, failedGateTotal) : value);
  const samples = drawn.map((choice) => scoresOfParts(partsOf(Array.from(choice, (index) => tallies[index]!).flat())));
  const rawInterval = intervalOf(samples.map((sample) => totalOf(sample))) ?? { low: raw, high: raw };
  const dims = dimIds.map(
    (id): DimFigures => ({
      id,
      name: dimNames[id],
      weight: weights[id],
      score: scores[id],
      interval: scores[id] === undefined ? undefined : intervalOf(samples.map((sample) => sample[id])),
      parts: parts[id],
    }),
  );
  return {
    scenarioCount: groups.length,
    statistics,
    dims,
    total: {
      raw,
      total: capped(raw),
      rawInterval,
      totalInterval: { low: capped(rawInterval.low), high: capped(rawInterval.high) },
    },
    gates,
    sensitivity: sensitivityOf(scores),
    selectivity: selectivityOf(figures),
  };
}

/** Scores without intervals; `raw`: the total before the cap. */
export type PlainScores = { readonly raw: number; readonly dims: Readonly<Record<DimId, number | undefined>> };

/**
 * Scores of all `figures`, and of `draws` drawings of the scenarios; the same drawings for the same scenarios, so that two versions can be compared
 * draw by draw.
 */
export function plainScoresOf(
  figures: readonly ScenarioFigures[],
  draws?: number,
): { readonly exact: PlainScores; readonly drawn: readonly PlainScores[] } {
  const tallies = groupsOf(figures).map((group) => group.map(tallyOf));
  const plain = (chosen: readonly Tally[]): PlainScores => {
    const dims = scoresOfParts(partsOf(chosen));
    return { raw: totalOf(dims), dims };
  };
  const drawn = drawsOf(tallies.length, bootstrapSeed, draws);
  return {
    exact: plain(tallies.flat()),
    drawn: drawn.map((choice) => plain(Array.from(choice, (index) => tallies[index]!).flat())),
  };
}

/** By id, in order of the ids. */
function groupsOf(figures: readonly ScenarioFigures[]): ScenarioFigures[][] {
  const groups = new Map<string, ScenarioFigures[]>();
  for (const one of figures) groups.set(one.id, [...(groups.get(one.id) ?? []), one]);
  return [...groups].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, group]) => group);
}

function sensitivityOf(scores: Readonly<Record<DimId, number | undefined>>): Sensitivity[] {
  return dimIds.flatMap((dim) =>
    ([0.75, 1.25] as const).map((factor): Sensitivity => {
      const changed = weights[dim] * factor;
      const rest = (1 - changed) / (1 - weights[dim]);
      const weighted = Object.fromEntries(dimIds.map((id) => [id, id === dim ? changed : weights[id] * rest])) as Record<
        DimId,
        number
      >;
      return { dim, factor, raw: totalOf(scores, weighted) };
    }),
  );
}

function selectivityOf(figures: readonly ScenarioFigures[]): Scores['selectivity'] {
  return selectivityClasses.map((kind) => {
    const events = figures.flatMap((one) => one.events.filter((event) => event.class === kind));
    const n = events.length;
    const credit = n === 0 ? 0 : events.reduce((sum, event) => sum + event.credit, 0) / n;
    const ignored = events.filter(({ effect, isSpurious }) => effect === 'ignored' && !isSpurious).length;
    return { class: kind, n, credit, ignoredRatio: n === 0 ? 0 : ignored / n };
  });
}

function statisticsOf(
  groups: readonly (readonly ScenarioFigures[])[],
  draws: readonly Uint32Array[],
): Record<MetricId, Statistic> {
  const statistics = metricIds.map((id) => {
    const perGroup = groups.map((group): Share => {
      const own = group.map(measures[id]);
      return {
        values: own.flatMap(({ values }) => values),
        sum: own.reduce((sum, one) => sum + one.sum, 0),
        weight: own.reduce((sum, one) => sum + one.weight, 0),
      };
    });
    return [id, statisticOf(perGroup, draws)] as const;
  });
  return Object.fromEntries(statistics) as Record<MetricId, Statistic>;
}
