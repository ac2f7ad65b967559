/** The eight conditions that no average may hide. Pure. */

import { judgedGapMs } from './ramp.js';
import type { GateCondition, GateFigures, MetricId, ScenarioFigures, Statistic } from './result.js';
import { selectivityClasses } from './result.js';
import type { ClockKind } from './run-record.js';
import { ascending, quantile } from './statistics.js';

export type GateSetting = { readonly clock: ClockKind; readonly profile: string };

/** `at most` unless it says otherwise; a condition about which nothing was measured is not met. */
function atMost(name: string, value: number | undefined, limit: number): GateCondition {
  return { name, value, limit, isMost: true, isMet: value !== undefined && value <= limit };
}

function below(name: string, value: number | undefined, limit: number): GateCondition {
  return { name, value, limit, isMost: true, isMet: value !== undefined && value < limit };
}

function atLeast(name: string, value: number | undefined, limit: number): GateCondition {
  return { name, value, limit, isMost: false, isMet: value !== undefined && value >= limit };
}

type Drafted = Pick<GateFigures, 'id' | 'name' | 'conditions'> & {
  /** The scenarios give it something to measure. */
  readonly isAsked: boolean;
  readonly needsWall?: boolean;
  readonly needsReference?: boolean;
  readonly note?: string | undefined;
};

export function gatesOf(
  figures: readonly ScenarioFigures[],
  statistics: Readonly<Record<MetricId, Statistic>>,
  setting: GateSetting,
): GateFigures[] {
  return drafts(figures, statistics).map(({ id, name, conditions, isAsked, needsWall, needsReference, note }) => {
    const notes = [
      isAsked ? undefined : 'no scenario that ran asks for it',
      needsWall === true && setting.clock !== 'wall' ? 'judged on the clock "wall" only' : undefined,
      needsReference === true && setting.profile !== 'reference' ? 'judged with the profile "reference" only' : undefined,
    ].filter((text) => text !== undefined);
    const all = note === undefined ? notes : [...notes, note];
    return {
      id,
      name,
      conditions,
      isMet: conditions.every(({ isMet }) => isMet),
      isJudged: notes.length === 0,
      note: all.length === 0 ? undefined : all.join('; '),
    };
  });
}

function drafts(figures: readonly ScenarioFigures[], statistics: Readonly<Record<MetricId, Statistic>>): Drafted[] {
  const due = figures.flatMap(({ turns }) => turns.filter(({ isAnswerDue }) => isAnswerDue));
  const gaps = ascending(due.flatMap(({ gapMs, isDictation }) => (gapMs === undefined ? [] : judgedGapMs(gapMs, isDictation))));
  const interruptions = figures.flatMap((one) => one.interruptions);
  const holds = figures.flatMap((one) => one.holds);
  const hasPhone = holds.some(({ isPhone }) => isPhone);
  const hasShort = holds.some(({ stratum }) => stratum === '200-499');
  const playouts = new Set(figures.filter((one) => one.interruptions.length > 0).map(({ playout }) => playout));
  const tails = (['paced', 'buffered'] as const).filter((playout) => playouts.has(playout));
  const missing = (['paced', 'buffered'] as const).filter((playout) => !playouts.has(playout));
  const alarms = figures.flatMap(({ events }) => events.filter(({ isUnderSpeech }) => isUnderSpeech));
  const isHandled = alarms.map(({ effect, isSpurious }) => (effect === 'ignored' || effect === 'paused') && !isSpurious);
  const paused = alarms.filter(({ effect }) => effect === 'paused');
  const delays = ascending(paused.flatMap(({ resumeDelayMs }) => resumeDelayMs ?? []));
  const skips = ascending(paused.flatMap(({ skipMs }) => skipMs ?? []));
  const classRatios = selectivityClasses.flatMap((kind) => {
    const events = figures.flatMap((one) => one.events.filter((event) => event.class === kind));
    const ignored = events.filter(({ effect, isSpurious }) => effect === 'ignored' && !isSpurious).length;
    return events.length === 0 ? [] : [ignored / events.length];
  });
  const isInterrupted = interruptions.length > 0;
  return [
    {
      id: 'G1',
      name: 'first audio',
      isAsked: due.length > 0,
      needsWall: true,
      needsReference: true,
      conditions: [atMost('gap p50, ms', quantile(gaps, 0.5), 1000), atMost('gap p95, ms', quantile(gaps, 0.95), 1500)],
    },
    {
      id: 'G2',
      name: 'cut',
      isAsked: isInterrupted,
      needsWall: true,
      conditions: [atMost('cut p95, ms', statistics.cutMs.p95, 80)],
    },
    {
      id: 'G3',
      name: 'tail',
      isAsked: isInterrupted,
      needsWall: true,
      conditions: tails.map((playout) =>
        below(`tail p95 ${playout}, ms`, statistics[playout === 'paced' ? 'tailPacedMs' : 'tailBufferedMs'].p95, 100),
      ),
      note: isInterrupted && missing.length > 0 ? `${missing.join(', ')} did not run` : undefined,
    },
    {
      id: 'G4',
      name: 'cut-ins',
      isAsked: holds.length > 0,
      conditions: [
        atMost('false cut-ins', statistics.falseCutInRatio.mean, 0.1),
        ...(hasShort ? [atMost('false cut-ins, holds under 500 ms', statistics.falseCutInRatio200.mean, 0.05)] : []),
        ...(hasPhone ? [atMost('false cut-ins, phone', statistics.falseCutInRatioPhone.mean, 0.15)] : []),
      ],
    },
    {
      id: 'G5',
      name: 'resume',
      isAsked: alarms.length > 0,
      conditions: [
        atLeast('false alarms ignored or resumed', alarms.length === 0 ? undefined : shareOfTrue(isHandled), 0.9),
        ...(paused.length === 0
          ? []
          : [atMost('resume delay p50, ms', quantile(delays, 0.5), 600), atMost('skip p95, ms', quantile(skips, 0.95), 20)]),
      ],
    },
    {
      id: 'G6',
      name: 'reach',
      isAsked: due.length > 0 || isInterrupted,
      conditions: [
        ...(due.length === 0 ? [] : [atMost('missed turns', statistics.missRatio.mean, 0.02)]),
        ...(isInterrupted ? [atLeast('interruptions yielded to', statistics.yieldedRatio.mean, 0.95)] : []),
      ],
    },
    {
      id: 'G7',
      name: 'truth',
      isAsked: isInterrupted,
      conditions: [
        atMost(
          'stale stretches',
          interruptions.reduce((sum, { staleCount }) => sum + staleCount, 0),
          0,
        ),
        atLeast('context true', statistics.contextTrueRatio.mean, 0.95),
      ],
    },
    {
      id: 'G8',
      name: 'selectivity',
      isAsked: classRatios.length > 0,
      conditions: [
        atLeast(
          'strictly ignored, mean of classes',
          classRatios.length === 0 ? undefined : classRatios.reduce((sum, value) => sum + value, 0) / classRatios.length,
          0.6,
        ),
      ],
    },
  ];
}

function shareOfTrue(values: readonly boolean[]): number {
  return values.filter(Boolean).length / values.length;
}
