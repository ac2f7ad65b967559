/** The pictures of the page, each from the part of the result that it shows. Pure. */
import { percentile } from '../../../load/rig/report.js';
import {
  dimIds,
  type EndpointingSweep,
  type EvaluationResult,
  type EventFigures,
  type InterruptionFigures,
  type ScenarioFigures,
  selectivityClasses,
  type TurnFigures,
  type VariationFigures,
} from '../result.js';
import type { Comparison } from './baseline.js';
import { ecdfChart } from './ecdf-chart.js';
import { gapChart } from './gap-chart.js';
import { type Cell, type MatrixRow, matrix } from './matrix.js';
import { publicAnchors } from './public-anchors.js';
import { type ScoreBar, scoreBars } from './score-bars.js';
import { type TradeOffLine, tradeOffChart } from './trade-off.js';
import { type WaterfallStage, waterfallPicture } from './waterfall.js';

export function scorePicture({ scores }: EvaluationResult, comparison: Comparison | undefined): string {
  const before = (name: string): number | undefined => comparison?.deltas.find((delta) => delta.name === name)?.before;
  const bars: ScoreBar[] = scores.dims.map(({ id, name, weight, score, interval, parts }) => ({
    name: `${id} ${name}`,
    weight,
    score,
    interval,
    before: before(id),
    note: parts.map((part) => `${part.name} ${part.score.toFixed(2)} × ${part.weight}`).join(', '),
  }));
  const { raw, rawInterval } = scores.total;
  return scoreBars([
    ...bars,
    { name: 'Total before gates', weight: undefined, score: raw, interval: rawInterval, before: before('total'), isTotal: true },
  ]);
}

type Turn = { readonly scenario: string; readonly turn: TurnFigures };

/** Those that an answer is due to. */
function turnsOf(scenarios: readonly ScenarioFigures[]): Turn[] {
  return scenarios.flatMap(({ id, turns }) =>
    turns.filter(({ isAnswerDue }) => isAnswerDue).map((turn) => ({ scenario: id, turn })),
  );
}

function isPlain({ turn }: Turn): boolean {
  return turn.role !== 'interrupt' && !turn.isDictation;
}

export function gapPicture({ scenarios, scores }: EvaluationResult): string {
  const turns = turnsOf(scenarios);
  const gaps = (which: (turn: Turn) => boolean): number[] => turns.filter(which).flatMap(({ turn }) => turn.gapMs ?? []);
  const { p50, p95 } = scores.statistics.gapMs;
  return gapChart(
    [
      { name: 'plain turns', colour: 'agent', gapsMs: gaps(isPlain) },
      {
        name: 'dictation (0.7 s more are allowed)',
        colour: 'hold',
        gapsMs: gaps(({ turn }) => turn.isDictation && turn.role !== 'interrupt'),
      },
      { name: 'after an interruption', colour: 'caller', gapsMs: gaps(({ turn }) => turn.role === 'interrupt') },
    ],
    p50 ?? Number.NaN,
    p95 ?? Number.NaN,
    turns.filter(({ turn }) => turn.isMissed).length,
  );
}

/** The answers of the middle and of the 95th percentile, on one scale. */
export function waterfallPictures({ scenarios }: EvaluationResult): string[] {
  const turns = turnsOf(scenarios).flatMap((each) =>
    isPlain(each) && each.turn.gapMs !== undefined && each.turn.waterfall !== undefined
      ? [{ scenario: each.scenario, gapMs: each.turn.gapMs, parts: each.turn.waterfall, turn: each.turn.turn }]
      : [],
  );
  const gaps = turns.map(({ gapMs }) => gapMs);
  const chosen = [50, 95].flatMap((percent) => {
    const turn = turns.find(({ gapMs }) => gapMs === percentile(gaps, percent));
    return turn === undefined ? [] : [{ ...turn, percent, stages: stagesOf(turn.parts) }];
  });
  const ends = chosen.flatMap(({ stages, gapMs }) => [gapMs, ...stages.flatMap(({ fromMs, toMs }) => [fromMs, toMs])]);
  const [fromMs, toMs] = [Math.min(0, ...ends), Math.max(1, ...ends)];
  return chosen.map(({ percent, scenario, turn, gapMs, stages }) =>
    waterfallPicture({ title: `p${percent}: turn ${turn} of ${scenario}`, gapMs, stages }, fromMs, toMs),
  );
}

function stagesOf(parts: NonNullable<TurnFigures['waterfall']>): WaterfallStage[] {
  const stages = [
    ['endpoint', 'last word → turn committed', 'caller', parts.endpointMs],
    ['recognition', 'waiting for the transcript after the commit', 'hold', parts.sttMs],
    ['model', 'waiting for the first words', 'request', parts.llmMs],
    ['voice', 'waiting for the first sound', 'agent', parts.ttsMs],
    ['engine', 'everything that was no wait for others', 'cut', parts.engineMs],
    ['playout', 'link, jitter buffer, silence at the start of the voice', 'other', parts.bufferMs],
  ] as const;
  let at = 0;
  return stages.map(([name, means, colour, ms]) => {
    const from = at;
    at += ms;
    return { name, means, colour, fromMs: Math.min(from, at), toMs: Math.max(from, at) };
  });
}

export function ecdfPictures({ scenarios }: EvaluationResult): string[] {
  const all = scenarios.flatMap(({ interruptions, playout }) => interruptions.map((figures) => ({ figures, playout })));
  const values = (of: (figures: InterruptionFigures) => number | undefined): number[] =>
    all.flatMap(({ figures }) => of(figures) ?? []);
  const missedCount = all.filter(({ figures }) => !figures.isYielded).length;
  return [
    ecdfChart({
      name: 'det',
      means: 'onset → decision',
      colour: 'hold',
      valuesMs: values(({ detectMs }) => detectMs),
      missedCount: 0,
      gates: [],
    }),
    ecdfChart({
      name: 'cut',
      means: 'decision → last old frame sent',
      colour: 'cut',
      valuesMs: values(({ cutMs }) => cutMs),
      missedCount: 0,
      gates: [{ name: 'G2: p95 ≤ 80', atMs: 80, share: 0.95 }],
    }),
    ecdfChart({
      name: 'tail',
      means: 'decision → last sample heard',
      colour: 'request',
      valuesMs: values(({ tailMs }) => tailMs),
      missedCount: 0,
      gates: [{ name: 'G3: p95 < 100', atMs: 100, share: 0.95 }],
    }),
    ecdfChart({
      name: 'stop',
      means: 'onset → last sample heard',
      colour: 'agent',
      valuesMs: all.filter(({ figures }) => figures.isYielded).flatMap(({ figures }) => figures.stopMs ?? []),
      missedCount,
      gates: [{ name: 'G6: 95 % in 2 s', atMs: 2000, share: 0.95 }],
    }),
  ];
}

/** One picture a sweep; without one, our single operating point among the public ones. */
export function tradeOffPictures(result: EvaluationResult): { readonly caption: string; readonly svg: string }[] {
  const { endpointDelayMs, falseCutInRatio } = result.scores.statistics;
  const here =
    endpointDelayMs.mean === undefined || falseCutInRatio.mean === undefined
      ? undefined
      : { name: 'this engine, as set', delayMs: endpointDelayMs.mean, cutOffRatio: falseCutInRatio.mean };
  if (result.sweeps.length === 0)
    return here === undefined
      ? []
      : [
          {
            caption: 'No sweep was run: the one setting in use, in the conversations of this suite',
            svg: tradeOffChart([], publicAnchors, here),
          },
        ];
  return result.sweeps.map(sweepPicture);
}

export function sweepPicture(sweep: EndpointingSweep): { readonly caption: string; readonly svg: string } {
  return {
    caption: `${sweep.dataset}, ${sweep.channel}. ${sweep.note}`,
    svg: tradeOffChart(sweepLines(sweep), sweep.anchors.length > 0 ? sweep.anchors : publicAnchors, undefined),
  };
}

const sweepColours = ['agent', 'caller', 'request', 'hold', 'resume', 'cut'];

function sweepLines({ rows }: EndpointingSweep): TradeOffLine[] {
  return rows.map(({ name, frontier }, index) => ({
    name,
    colour: sweepColours[index % sweepColours.length]!,
    points: frontier.map(({ meanDelayMs, cutOffRatio, threshold, actionDelayMs, timeoutMs }) => ({
      delayMs: meanDelayMs,
      cutOffRatio,
      note: `threshold ${threshold}, after ${actionDelayMs} ms, at the latest after ${timeoutMs} ms`,
    })),
  }));
}

/** Mean credit of each class of event on each channel; below it how many, and how many were not even paused for. */
export function selectivityPicture({ scenarios }: EvaluationResult): string {
  const events = scenarios.flatMap(({ channel, events: of }) => of.map((event) => ({ channel, event })));
  const channels = [...new Set(events.map(({ channel }) => channel))].sort();
  const cellOf = (which: readonly EventFigures[]): Cell => {
    if (which.length === 0) return { text: '', shade: undefined };
    const credit = which.reduce((sum, event) => sum + event.credit, 0) / which.length;
    const ignored = which.filter(({ effect, isSpurious }) => effect === 'ignored' && !isSpurious).length;
    return {
      text: credit.toFixed(2),
      below: `${ignored}/${which.length}`,
      shade: 2 * credit - 1,
      note: `mean credit ${credit.toFixed(2)}; ${ignored} of ${which.length} strictly ignored; ${which
        .filter(({ effect }) => effect !== 'ignored')
        .map(({ kind, effect }) => `${kind} ${effect}`)
        .join(', ')}`,
    };
  };
  const names = {
    backchannel: 'backchannel',
    body: 'body noise',
    room: 'room noise',
    echo: 'own echo',
    talkers: 'other talkers',
  } as const;
  const rows = selectivityClasses.map((name): MatrixRow => {
    const own = events.filter(({ event }) => event.class === name);
    return {
      name: names[name],
      cells: [
        ...channels.map((each) => cellOf(own.filter(({ channel }) => channel === each).map(({ event }) => event))),
        cellOf(own.map(({ event }) => event)),
      ],
    };
  });
  return matrix('Selectivity by class and channel', [...channels, 'all'], rows);
}

export function variationPicture(result: EvaluationResult, kind: VariationFigures['kind']): string {
  const variations = result.variations.filter((variation) => variation.kind === kind);
  if (variations.length === 0) return '';
  const full = 3;
  const rows = variations.map((variation): MatrixRow => {
    const isTarget = (id: string): boolean => variation.target.some((target) => target.startsWith(id));
    const gates = variation.failedGates;
    return {
      name: variation.name,
      ...(variation.isCaught === undefined ? {} : { mark: variation.isCaught ? ('good' as const) : ('bad' as const) }),
      cells: [
        ...dimIds.map((id): Cell => {
          const dim = variation.dims.find((each) => each.id === id);
          if (dim?.score === undefined || dim.delta === undefined) return { text: '', shade: undefined, isTarget: isTarget(id) };
          return { text: deltaText(dim.delta), below: dim.score.toFixed(1), shade: dim.delta / full, isTarget: isTarget(id) };
        }),
        { text: deltaText(variation.totalDelta), below: variation.total.toFixed(1), shade: variation.totalDelta / full },
        {
          text: gates.length === 0 ? 'none' : gates.slice(0, 3).join(' '),
          ...(gates.length > 3 ? { below: gates.slice(3).join(' ') } : {}),
          shade: gates.length === 0 ? 0 : -0.4,
          isTarget: gates.some(isTarget),
        },
        ...(kind === 'mutant' ? [targetCell(variation, full)] : []),
      ],
    };
  });
  const columns = [...dimIds, 'total', 'gates lost'];
  return kind === 'mutant'
    ? matrix('Mutants by dimension', [...columns, 'aimed at'], rows)
    : matrix('Ablations by dimension', columns, rows);
}

/** The part of a dimension that a mutant aims at falls by more than the dimension. */
function targetCell({ target, targetDelta }: VariationFigures, full: number): Cell {
  const below = target.join(', ');
  if (targetDelta === undefined) return { text: '', below, shade: 0 };
  return { text: deltaText(targetDelta), below, shade: targetDelta / full };
}

function deltaText(delta: number): string {
  const text = Math.abs(delta).toFixed(1);
  return text === '0.0' ? '0' : `${delta < 0 ? '−' : '+'}${text}`;
}
