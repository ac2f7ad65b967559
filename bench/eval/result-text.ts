/** The result as lines for a terminal. Pure. */
import type { EndpointingSweep, EvaluationResult, GateFigures, Interval, Scores, Statistic, VariationFigures } from './result.js';
import { crossEffects } from './variations.js';

export function resultText(result: EvaluationResult): string {
  const { scores, parts, suite } = result;
  const passed = result.scenarios.filter(({ isPassed }) => isPassed).length;
  return [
    `engine ${result.engineVersion}${result.mutant === undefined ? '' : `, mutant ${result.mutant}`}, suite ${suite.name} (${suite.hash}), profile ${result.profile}, seed ${result.seed}, clock ${result.clock}, ${result.playouts.join(' and ')}, voices ${result.voices}`,
    `${passed} of ${result.scenarios.length} runs of ${scores.scenarioCount} scenarios went as their files expect`,
    '',
    ...dimLines(scores),
    '',
    ...scores.gates.flatMap(gateLines),
    '',
    ...metricLines(scores),
    ...timingLines(result),
    ...costLines(result),
    '',
    ...parts.map(
      ({ part, scores: own }) =>
        `${part} texts: total ${own.total.raw.toFixed(2)} ${range(own.total.rawInterval)} of ${own.scenarioCount} scenarios`,
    ),
    sensitivityLine(scores),
    `total ${scores.total.total.toFixed(2)} ${range(scores.total.totalInterval)}, before the gates' cap ${scores.total.raw.toFixed(2)} ${range(scores.total.rawInterval)}`,
    ...result.variations.map(variationLine),
    ...result.sweeps.flatMap(sweepLines),
    ...suite.leftOut.map(({ reason, scenarios }) => `left out: ${scenarios.join(', ')}: ${reason}`),
  ].join('\n');
}

function dimLines({ dims }: Scores): string[] {
  return dims.map(({ id, name, weight, score, interval, parts }) => {
    const terms = parts.map((part) => `${part.name} ${part.score.toFixed(1)}`).join(', ');
    const value = score === undefined ? '   -' : score.toFixed(2).padStart(5);
    return `${id} ${name.padEnd(15)} × ${weight.toFixed(2)}  ${value}  ${range(interval).padEnd(14)} ${terms}`;
  });
}

function gateLines({ id, name, conditions, isMet, isJudged, note }: GateFigures): string[] {
  const verdict = isJudged ? (isMet ? 'pass' : 'FAIL') : isMet ? '(ok)' : '(not)';
  const values = conditions
    .map((one) => `${one.name} ${short(one.value)} (${one.isMost ? '≤' : '≥'} ${short(one.limit)})`)
    .join('; ');
  return [`${id} ${name.padEnd(12)} ${verdict.padEnd(5)} ${values}${note === undefined ? '' : ` [${note}]`}`];
}

const shownMetrics = [
  ['gapMs', 'gap, ms'],
  ['endpointDelayMs', 'endpoint delay, ms'],
  ['overheadMs', 'engine overhead, ms'],
  ['stopMs', 'stop, ms'],
  ['detectMs', 'detect, ms'],
  ['cutMs', 'cut, ms'],
  ['tailMs', 'tail, ms'],
  ['resumeDelayMs', 'resume delay, ms'],
] as const;

function metricLines({ statistics }: Scores): string[] {
  const line = (name: string, one: Statistic): string =>
    `${name.padEnd(22)} n ${String(one.n).padStart(4)}  mean ${short(one.mean).padStart(6)} ${range(one.interval).padEnd(16)} p50 ${short(one.p50).padStart(6)}  p90 ${short(one.p90).padStart(6)}  p95 ${short(one.p95).padStart(6)}`;
  return shownMetrics.map(([id, name]) => line(name, statistics[id]));
}

/** What the callers themselves were late is the error bar of every latency. */
function timingLines({ clock, timing }: EvaluationResult): string[] {
  if (clock !== 'wall') return [];
  return [
    `each latency ± ${short(timing.frameLatenessP99MsMax)} ms (callers, 99th percentile); real-time ratio ${timing.realTimeRatioMin.toFixed(4)}`,
  ];
}

/** Only where it can be told apart from everything else. */
function costLines({ cost }: EvaluationResult): string[] {
  if (cost.cpuRatio === undefined) return [];
  const memory = cost.memoryBytes === undefined ? '-' : `${Math.round(cost.memoryBytes / 1048576)} MB`;
  return [
    `cost: ${(100 * cost.cpuRatio).toFixed(1)} % of a core a call, loop delay p99 ${short(cost.loopDelayP99Ms)} ms, memory ${memory}`,
  ];
}

function sensitivityLine({ sensitivity }: Scores): string {
  const values = sensitivity.map(({ raw }) => raw);
  return `total with any weight a quarter less or more: ${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)}`;
}

export function variationLine(figures: VariationFigures): string {
  const { name, kind, target, isCaught, total, totalDelta, targetDelta, failedGates, unexpected } = figures;
  const isMutant = kind === 'mutant';
  const dims = figures.dims.map(({ id, delta }) => `${id} ${delta === undefined ? '-' : signed(delta)}`).join(' ');
  const cross = isMutant ? crossEffects(figures) : [];
  return [
    `${kind} ${name.padEnd(20)} total ${total.toFixed(2)} (${signed(totalDelta, 2)}) ${dims}`,
    target.length === 0 ? '' : ` target ${target.join(', ')}`,
    targetDelta === undefined ? '' : ` ${signed(targetDelta)}`,
    isMutant ? (isCaught === true ? ' caught' : ' NOT CAUGHT') : '',
    failedGates.length === 0 ? '' : `, fails ${failedGates.join(' ')}`,
    cross.length === 0 ? '' : `; besides: ${cross.join(', ')}`,
    isMutant || unexpected.length === 0 ? '' : `; not as expected: ${unexpected.join(', ')}`,
  ].join('');
}

export function sweepLines({ dataset, rows, anchors, note }: EndpointingSweep): string[] {
  const percent = (value: number | undefined): string =>
    (value === undefined ? '-' : `${(100 * value).toFixed(1)} %`).padStart(7);
  const delay = (value: number | undefined): string => (value === undefined ? '-' : `${Math.round(value)} ms`).padStart(8);
  return [
    `endpointing, ${dataset}: cut-offs at a mean delay of 300 and 600 ms, mean delay at 5 and 10 % of cut-offs`,
    ...rows.map(
      (row) =>
        `  ${row.name.padEnd(26)} ${percent(row.cutOffAt300Ms)} ${percent(row.cutOffAt600Ms)} ${delay(row.delayMsAt5Percent)} ${delay(row.delayMsAt10Percent)}   ${row.holds} pauses, ${row.ends} ends`,
    ),
    ...anchors.map(
      ({ name, cutOffRatio, meanDelayMs }) =>
        `  different data: ${name}: ${percent(cutOffRatio).trim()} at ${delay(meanDelayMs).trim()}`,
    ),
    `  ${note}`,
  ];
}

function range(interval: Interval | undefined): string {
  return interval === undefined ? '' : `[${short(interval.low)}, ${short(interval.high)}]`;
}

function short(value: number | undefined): string {
  if (value === undefined) return '-';
  return Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function signed(value: number, digits = 1): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;
}
