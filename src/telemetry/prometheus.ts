/** Figures as Prometheus text (exposition format 0.0.4): stages as summaries in seconds, counters and gauges as they are. Main thread. */
import type { MetricsAnswer } from '../shared/links.js';
import { mergeHistograms, stages } from './recorder.js';
import { summaryOf, type Totals } from './totals.js';

const quantiles = [0.5, 0.95, 0.99, 0.999] as const;
const usPerSecond = 1e6;
/** In order, and without what is counted in other units. */
const stageOrder = new Map<string, number>(stages.map((stage, index) => [stage, index]));

export function prometheusText(totals: Totals): string {
  const lines: string[] = [
    '# HELP parley_stage_seconds Duration of each stage of a turn and of the machine, by the thread that measures it.',
    '# TYPE parley_stage_seconds summary',
  ];
  const timed = totals.stages.filter(({ stage }) => stageOrder.has(stage));
  timed.sort((left, right) => stageOrder.get(left.stage)! - stageOrder.get(right.stage)!);
  for (const { thread, stage, cells } of timed) {
    const label = `thread="${thread}",stage="${stage}"`;
    const { count, sum, quantiles: values } = summaryOf(cells, quantiles);
    for (const [index, us] of values.entries())
      lines.push(`parley_stage_seconds{${label},quantile="${quantiles[index]}"} ${us / usPerSecond}`);
    lines.push(`parley_stage_seconds_sum{${label}} ${sum / usPerSecond}`);
    lines.push(`parley_stage_seconds_count{${label}} ${count}`);
  }
  for (const [kind, values] of [
    ['counter', totals.counters],
    ['gauge', totals.gauges],
  ] as const) {
    let family = '';
    const names = [...values.keys()].sort(byFamily);
    for (const name of names) {
      const own = familyOf(name);
      if (own !== family) lines.push(`# TYPE ${own} ${kind}`);
      family = own;
      lines.push(`${name} ${values.get(name)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function familyOf(name: string): string {
  const brace = name.indexOf('{');
  return brace < 0 ? name : name.slice(0, brace);
}

/** All of one family stand together. */
function byFamily(left: string, right: string): number {
  const [leftFamily, rightFamily] = [familyOf(left), familyOf(right)];
  if (leftFamily !== rightFamily) return leftFamily < rightFamily ? -1 : 1;
  return left < right ? -1 : 1;
}

/** The stages as a table for people, in milliseconds; empty when nothing was recorded. */
export function stageTable(answers: readonly MetricsAnswer[]): string {
  const rows = [...mergeHistograms(answers)].map(([name, histogram]) => {
    const at = (percent: number): string => (histogram.getValueAtPercentile(percent) / 1000).toFixed(2).padStart(9);
    const max = (histogram.maxValue / 1000).toFixed(2).padStart(9);
    return `  ${name.padEnd(34)}${String(histogram.totalCount).padStart(8)}${at(50)}${at(95)}${at(99)}${max}`;
  });
  if (rows.length === 0) return '';
  const head = `  ${'stage (ms)'.padEnd(34)}${'count'.padStart(8)}${'p50'.padStart(9)}${'p95'.padStart(9)}${'p99'.padStart(9)}${'max'.padStart(9)}`;
  return [head, ...rows.sort()].join('\n');
}
