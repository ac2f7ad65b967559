/** Figures as Prometheus text (exposition format 0.0.4): stages as summaries in seconds, counters and gauges as they are. Main thread. */
import type { MetricsAnswer } from '../shared/links.js';
import { mergeHistograms } from './recorder.js';

const quantiles = [0.5, 0.95, 0.99, 0.999] as const;
const usPerSecond = 1e6;

export function prometheusText(answers: readonly MetricsAnswer[]): string {
  const lines: string[] = [
    '# HELP parley_stage_seconds Duration of each stage of a turn and of the machine.',
    '# TYPE parley_stage_seconds summary',
  ];
  for (const [name, histogram] of mergeHistograms(answers)) {
    const label = `stage="${name}"`;
    for (const quantile of quantiles) {
      const value = histogram.getValueAtPercentile(quantile * 100) / usPerSecond;
      lines.push(`parley_stage_seconds{${label},quantile="${quantile}"} ${value}`);
    }
    lines.push(`parley_stage_seconds_sum{${label}} ${(histogram.mean * histogram.totalCount) / usPerSecond}`);
    lines.push(`parley_stage_seconds_count{${label}} ${histogram.totalCount}`);
  }
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
