/** Figures as Prometheus text (exposition format 0.0.4): stages as summaries in seconds, counters and gauges as they are. Main thread. */
import type { MetricsAnswer } from '../shared/links.js';
import { mergeHistograms } from './recorder.js';

export function prometheusText(answers: readonly MetricsAnswer[]): string {
  const lines: string[] = [
    '# HELP parley_stage_seconds Duration of each stage of a turn and of the machine, by the thread that measures it.',
    '# TYPE parley_stage_seconds summary',
    ...answers.map((answer) => answer.text).filter((text) => text !== ''),
  ];
  for (const [kind, key] of [
    ['counter', 'counters'],
    ['gauge', 'gauges'],
  ] as const) {
    const sums = new Map<string, Map<string, number>>();
    for (const answer of answers) {
      for (const { name, labels, value } of answer[key]) {
        const byLabels = sums.get(name) ?? new Map<string, number>();
        byLabels.set(labels, (byLabels.get(labels) ?? 0) + value);
        sums.set(name, byLabels);
      }
    }
    for (const [name, byLabels] of sums) {
      lines.push(`# TYPE ${name} ${kind}`);
      for (const [labels, value] of byLabels) lines.push(labels === '' ? `${name} ${value}` : `${name}{${labels}} ${value}`);
    }
  }
  return `${lines.join('\n')}\n`;
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
