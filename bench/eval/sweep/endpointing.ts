/**
 * The endpointing sweep: how often a rule would cut a speaker off against how long it lets an answer wait. A rule gives a causal score (0: goes on, 1: is
 * over) for every 100 ms of a silence; an agent acts when the score has reached a threshold, after a delay, or at a timeout. All combinations are
 * tried on all pauses and ends. Pure.
 */

import { type TurnSettings, turnDefaults } from '../../../src/turn/settings.js';
import { endpointDelayMs } from '../../../src/turn/words.js';
import { publicAnchors, publicSource } from '../report/public-anchors.js';
import type { EndpointingSweep, SweepPoint, SweepRow } from '../result.js';
import type { Pause } from './pauses.js';

export const stepMs = 100;
const timeoutMaxMs = 4000;
const thresholds: readonly number[] = Array.from({ length: 19 }, (_, index) => (index + 1) / 20);
const actionDelaysMs: readonly number[] = Array.from({ length: 31 }, (_, index) => index * 50);
const timeoutsMs: readonly number[] = Array.from({ length: 38 }, (_, index) => 300 + index * 100);
/** Recognition knows the last word this long after its end. */
const wordsKnownMs = 200;

/** Score after `silentMs` of silence. */
export type Rule = {
  readonly name: string;
  readonly score: (pause: Pause, silentMs: number) => number;
  /** It is tried on those pauses only of which it is known what was said. */
  readonly needsText?: true;
};

/** Nothing is known but how long it has been silent. */
export const silenceOnly: Rule = { name: 'silence only', score: () => 1 };

/** What was said, as the engine reads it. */
export function textRule(settings: TurnSettings = turnDefaults): Rule {
  return { name: 'text', needsText: true, score: ({ text }, silentMs) => textScore(text, silentMs, settings) };
}

/** The same without what only a recogniser with punctuation gives. */
export function bareTextRule(settings: TurnSettings = turnDefaults): Rule {
  return {
    name: 'text without punctuation',
    needsText: true,
    score: ({ text }, silentMs) => textScore(text?.replaceAll(/[^\p{L}\p{N}' ]+/gu, ' '), silentMs, settings),
  };
}

function textScore(text: string | undefined, silentMs: number, settings: TurnSettings): number {
  if (text === undefined || silentMs < wordsKnownMs) return 1 - settings.delayNeutralMs / settings.delayMaxMs;
  return 1 - endpointDelayMs(text, '', settings) / settings.delayMaxMs;
}

export function sweepOf(dataset: string, pauses: readonly Pause[], rules: readonly Rule[]): EndpointingSweep {
  return {
    dataset,
    channel: 'wide',
    rows: rules.map((rule) => rowOf(rule, rule.needsText === true ? pauses.filter(({ text }) => text !== undefined) : pauses)),
    anchors: publicAnchors,
    note: `anchor points: ${publicSource}, different data`,
  };
}

function rowOf(rule: Rule, pauses: readonly Pause[]): SweepRow {
  const holds = pauses.filter(({ durationMs }) => durationMs !== undefined);
  const ends = pauses.filter(({ durationMs }) => durationMs === undefined);
  const points = rule === silenceOnly ? silencePoints(holds, ends) : pointsOf(rule, holds, ends);
  const least = (isFit: (point: SweepPoint) => boolean, value: (point: SweepPoint) => number): number | undefined => {
    const fitting = points.filter(isFit).map(value);
    return fitting.length === 0 ? undefined : Math.min(...fitting);
  };
  return {
    name: rule.name,
    holds: holds.length,
    ends: ends.length,
    cutOffAt300Ms: least(
      ({ meanDelayMs }) => meanDelayMs <= 300,
      ({ cutOffRatio }) => cutOffRatio,
    ),
    cutOffAt600Ms: least(
      ({ meanDelayMs }) => meanDelayMs <= 600,
      ({ cutOffRatio }) => cutOffRatio,
    ),
    delayMsAt5Percent: least(
      ({ cutOffRatio }) => cutOffRatio <= 0.05,
      ({ meanDelayMs }) => meanDelayMs,
    ),
    delayMsAt10Percent: least(
      ({ cutOffRatio }) => cutOffRatio <= 0.1,
      ({ meanDelayMs }) => meanDelayMs,
    ),
    frontier: frontierOf(points),
  };
}

function silencePoints(holds: readonly Pause[], ends: readonly Pause[]): SweepPoint[] {
  return timeoutsMs.map((timeoutMs) => ({
    threshold: 1,
    actionDelayMs: 0,
    timeoutMs,
    cutOffRatio: cutOffs(holds, () => timeoutMs),
    meanDelayMs: ends.length === 0 ? 0 : timeoutMs,
  }));
}

function pointsOf(rule: Rule, holds: readonly Pause[], ends: readonly Pause[]): SweepPoint[] {
  // When each threshold is reached first depends on nothing else: once for each pause.
  const scored = new Map([...holds, ...ends].map((pause) => [pause, scoresOf(rule, pause)]));
  return thresholds.flatMap((threshold) => {
    const reached = new Map([...scored].map(([pause, scores]) => [pause, reachedAtMs(scores, threshold)]));
    return actionDelaysMs.flatMap((actionDelayMs) =>
      timeoutsMs
        .filter((timeoutMs) => timeoutMs >= actionDelayMs)
        .map((timeoutMs): SweepPoint => {
          const actsAtMs = (pause: Pause): number => Math.min(timeoutMs, reached.get(pause)! + actionDelayMs);
          const delays = ends.map(actsAtMs);
          return {
            threshold,
            actionDelayMs,
            timeoutMs,
            cutOffRatio: cutOffs(holds, actsAtMs),
            meanDelayMs: delays.length === 0 ? 0 : delays.reduce((sum, delay) => sum + delay, 0) / delays.length,
          };
        }),
    );
  });
}

function scoresOf(rule: Rule, pause: Pause): number[] {
  return Array.from({ length: timeoutMaxMs / stepMs + 1 }, (_, index) => rule.score(pause, index * stepMs));
}

function reachedAtMs(scores: readonly number[], threshold: number): number {
  const index = scores.findIndex((score) => score >= threshold);
  return index === -1 ? Number.POSITIVE_INFINITY : index * stepMs;
}

function cutOffs(holds: readonly Pause[], actsAtMs: (pause: Pause) => number): number {
  if (holds.length === 0) return 0;
  return holds.filter((pause) => actsAtMs(pause) < pause.durationMs!).length / holds.length;
}

/** By rising delay, each with fewer cut-offs than all before it. */
function frontierOf(points: readonly SweepPoint[]): SweepPoint[] {
  const sorted = [...points].sort((left, right) => left.meanDelayMs - right.meanDelayMs || left.cutOffRatio - right.cutOffRatio);
  const frontier: SweepPoint[] = [];
  for (const point of sorted)
    if (point.cutOffRatio < (frontier.at(-1)?.cutOffRatio ?? Number.POSITIVE_INFINITY)) frontier.push(point);
  return frontier;
}
