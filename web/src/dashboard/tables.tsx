/** What is better read than looked at: stages, providers, errors, what happened at the edges. */

import type { SeriesBucket } from '../../../src/telemetry/series-bucket.js';
import type { FeedState } from './feed.js';
import { amount, clockOf, milliseconds } from './formats.js';
import { inOrder, isTimed, stageLabel } from './stage-names.js';
import { counted, histogramNames, merged, parseName, quantileNames, quantiles } from './windows.js';

type Buckets = { readonly buckets: readonly SeriesBucket[] };

/** Those that something is known of, and the chosen one in any case. */
export function stageNames(buckets: Buckets['buckets'], chosen: string): string[] {
  return inOrder(histogramNames(buckets).add(chosen));
}

export function StageTable({ buckets, chosen, onChoose }: Buckets & { chosen: string; onChoose: (name: string) => void }) {
  const names = stageNames(buckets, chosen);
  return (
    <div class="wide panel">
      <table class="stages">
        <caption class="unseen">Stages in this range. Choose one to see it over time.</caption>
        <thead>
          <tr>
            <th scope="col">Stage</th>
            <th scope="col" class="number">
              Count
            </th>
            {quantileNames.map((name) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {names.map((name) => {
            const sum = merged(buckets, name);
            return (
              <tr key={name} aria-current={name === chosen ? 'true' : undefined}>
                <th scope="row">
                  <button type="button" class="stage" aria-pressed={name === chosen} onClick={() => onChoose(name)}>
                    {stageLabel(name)}
                  </button>
                </th>
                <td class="number">{amount(sum.count)}</td>
                {quantiles.map((percent) => {
                  const value = sum.at(percent);
                  const text = value === undefined ? '–' : isTimed(name) ? milliseconds(value / 1000) : amount(value);
                  return (
                    <td key={percent} class="number">
                      {text}
                    </td>
                  );
                })}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

const providerStages = [
  { stage: 'stt', label: 'Recognition', latency: 'speech_end_to_final' },
  { stage: 'llm', label: 'Language model', latency: 'commit_to_first_token' },
  { stage: 'tts', label: 'Synthesis', latency: 'first_segment_to_first_chunk' },
] as const;
/** A provider is judged by its last minute. */
const judgedMs = 60_000;

export function ProviderTable({ buckets, providers }: Buckets & { providers: FeedState['providers'] }) {
  const newest = buckets.at(-1);
  const lately = buckets.filter(({ at_ms: atMs }) => atMs > (newest?.at_ms ?? 0) - judgedMs);
  const breakers = Object.entries(newest?.gauges ?? {})
    .map(([key, value]) => ({ ...parseName(key), value }))
    .filter(({ name }) => name === 'parley_provider_open_lanes');
  const lanes = newest?.gauges['parley_lanes_up'] ?? 0;
  return (
    <div class="wide panel">
      <table>
        <caption>Providers, last minute</caption>
        <thead>
          <tr>
            <th scope="col">Stage</th>
            <th scope="col">By, breaker</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Answers
            </th>
            <th scope="col" class="number">
              p50
            </th>
            <th scope="col" class="number">
              p99
            </th>
            <th scope="col" class="number">
              Errors
            </th>
          </tr>
        </thead>
        <tbody>
          {providerStages.map(({ stage, label, latency }) => {
            const answers = merged(lately, latency);
            const errors = counted(lately, (name) => isErrorOf(name, stage));
            const at = (percent: number): string => (answers.count === 0 ? '–' : milliseconds((answers.at(percent) ?? 0) / 1000));
            const own = breakers.filter(({ labels }) => labels['stage'] === stage);
            const [state, look] = judge(answers.count, errors);
            return (
              <tr key={stage}>
                <th scope="row">{label}</th>
                <td>
                  {own.map(({ labels, value }) => (
                    <div key={labels['provider']}>
                      {labels['provider']} {breaker(value, lanes)}
                    </div>
                  ))}
                  {own.length === 0 && (providers?.[stage] ?? '–')}
                </td>
                <td>
                  <span class={`health health-${look}`}>{state}</span>
                </td>
                <td class="number">{amount(answers.count)}</td>
                <td class="number">{at(50)}</td>
                <td class="number">{at(99)}</td>
                <td class="number">{errors}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** Each lane has a breaker of its own. Open: requests do not go there. */
function breaker(openCount: number, lanes: number) {
  const isOpen = openCount > 0;
  const text = !isOpen ? 'closed' : openCount < lanes ? `open in ${openCount} of ${lanes} lanes` : 'open';
  return <span class={`health health-${isOpen ? 'bad' : 'idle'}`}>{text}</span>;
}

function isErrorOf(key: string, stage: string): boolean {
  return key.startsWith('parley_errors_total{') && parseName(key).labels['stage'] === stage;
}

function judge(answers: number, errors: number): readonly [string, 'good' | 'bad' | 'idle'] {
  if (errors > 0) return answers > errors ? ['some errors', 'bad'] : ['failing', 'bad'];
  return answers > 0 ? ['well', 'good'] : ['idle', 'idle'];
}

export function ErrorTable({ buckets }: Buckets) {
  const kinds = new Map<string, { count: number; lastMs: number }>();
  for (const { at_ms: atMs, counters } of buckets) {
    for (const [key, by] of Object.entries(counters)) {
      if (!key.startsWith('parley_errors_total{') && !key.startsWith('parley_refused_total{')) continue;
      const known = kinds.get(key);
      kinds.set(key, { count: (known?.count ?? 0) + by, lastMs: atMs });
    }
  }
  const rows = [...kinds].sort((left, right) => right[1].count - left[1].count);
  return (
    <div class="wide panel">
      <table>
        <caption>Errors and refusals by kind</caption>
        <thead>
          <tr>
            <th scope="col">Where</th>
            <th scope="col">Kind</th>
            <th scope="col" class="number">
              Count
            </th>
            <th scope="col" class="number">
              Last
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([key, { count, lastMs }]) => {
            const { labels } = parseName(key);
            return (
              <tr key={key}>
                <th scope="row">{labels['stage'] ?? 'refused'}</th>
                <td>{labels['error_type'] ?? labels['reason'] ?? key}</td>
                <td class="number">{amount(count)}</td>
                <td class="number">{clockOf(lastMs)}</td>
              </tr>
            );
          })}
          {rows.length === 0 && (
            <tr>
              <td colSpan={4} class="quiet">
                None in this range.
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </div>
  );
}

/** What the rings and the pacer did where they ended: counter, and what it means. */
const edges: readonly (readonly [counter: string, means: string])[] = [
  ['parley_input_overrun_samples_total', 'samples a reader came too late for'],
  ['parley_output_ring_full_total', 'frames that waited for room'],
  ['parley_pacer_underruns_total', 'holes: synthesis came too late'],
  ['parley_frames_stale_total', 'frames of before a CUT, dropped'],
  ['parley_frames_superseded_total', 'frames of before a resume, dropped'],
  ['parley_holds_obeyed_total', 'HOLDs that stopped the sending'],
  ['parley_undone_cuts_total', 'CUTs that were undone'],
  ['parley_timeline_disorder_total', 'turns whose instants were out of order'],
  ['parley_store_lost_total', 'records that could not be stored'],
];

export function EdgeTable({ buckets }: Buckets) {
  return (
    <div class="wide panel">
      <table>
        <caption>At the edges</caption>
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col" class="number">
              Count
            </th>
          </tr>
        </thead>
        <tbody>
          {edges.map(([counter, means]) => (
            <tr key={counter}>
              <th scope="row">{means}</th>
              <td class="number">{amount(counted(buckets, (key) => parseName(key).name === counter))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
