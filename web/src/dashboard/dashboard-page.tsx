/** The dashboard: what the engine does now and did in the last minutes. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { KeyDialog } from '../key-dialog.js';
import { useStore } from '../store.js';
import { ThemeButton } from '../theme-button.js';
import { Chart } from './chart.js';
import { Feed } from './feed.js';
import { amount, clockOf, mebibytes, milliseconds, percent, perSecond } from './formats.js';
import { HeatView } from './heat-view.js';
import type { SeriesLog } from './series-log.js';
import { isTimed, stageLabel } from './stage-names.js';
import { EdgeTable, ErrorTable, ProviderTable, StageTable, stageNames } from './tables.js';
import {
  busyCurve,
  type Column,
  columnSeconds,
  columnsOf,
  counted,
  highestCurve,
  histogramNames,
  merged,
  parseName,
  quantileCurves,
  quantileNames,
  quantiles,
  rateCurve,
  threadNames,
} from './windows.js';

const ranges = [
  { seconds: 120, label: '2 min' },
  { seconds: 300, label: '5 min' },
  { seconds: 900, label: '15 min' },
] as const;
const firstStage = 'speech_end_to_first_frame_sent';

const feed = new Feed();

export function DashboardPage() {
  const { version, problem, providers, sessionsMax } = useStore(feed.store);
  const [rangeS, setRangeS] = useState<number>(ranges[0].seconds);
  const [stage, setStage] = useState(firstStage);
  /** Unix; the end of the picture while it stands still. */
  const [heldAtMs, setHeldAtMs] = useState<number | undefined>(undefined);
  useEffect(() => {
    feed.open();
    return () => feed.close();
  }, []);

  const newestMs = feed.log.buckets.at(-1)?.at_ms ?? 0;
  const endMs = heldAtMs ?? newestMs;
  const stepS = columnSeconds(rangeS);
  const view = useMemo(() => {
    const buckets = feed.log.buckets.filter(({ at_ms: atMs }) => atMs > endMs - rangeS * 1000 && atMs <= endMs);
    const columns = columnsOf(buckets, endMs, rangeS, stepS);
    return { buckets, columns, times: columns.map(({ atS }) => atS) };
  }, [heldAtMs === undefined ? version : heldAtMs, rangeS]);
  const isEmpty = view.buckets.length === 0;

  return (
    <>
      <header class="top">
        <a class="brand" href="/">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M6 13v6M11 9v14M16 12v8M21 7v18M26 13v6" />
          </svg>
          <span>Parley</span>
        </a>
        <nav aria-label="Views">
          <a href="/">Console</a>
          <a href="/dashboard" aria-current="page">
            Dashboard
          </a>
        </nav>
        <ThemeButton />
      </header>
      <main class="dashboard">
        <div class="page-head">
          <h1>Dashboard</h1>
          <p class={`feed ${problem === '' ? '' : 'feed-lost'}`} role="status">
            {problem !== '' ? problem : heldAtMs !== undefined ? `Held at ${clockOf(heldAtMs)}` : isEmpty ? 'Waiting …' : 'Live'}
          </p>
          <fieldset class="segments">
            <legend class="unseen">Range</legend>
            {ranges.map(({ seconds, label }) => (
              <button
                key={seconds}
                type="button"
                class="small"
                aria-pressed={seconds === rangeS}
                onClick={() => setRangeS(seconds)}
              >
                {label}
              </button>
            ))}
          </fieldset>
          <button
            type="button"
            class="small"
            aria-pressed={heldAtMs !== undefined}
            onClick={() => setHeldAtMs(heldAtMs === undefined ? newestMs : undefined)}
          >
            Hold still
          </button>
        </div>
        <Gaps log={feed.log} sinceMs={endMs - rangeS * 1000} />
        {!isEmpty && (
          <>
            <Tiles buckets={view.buckets} sessionsMax={sessionsMax} />
            <Pictures {...view} sessionsMax={sessionsMax} />
            <h2 class="section">Stages</h2>
            <div class="stage-area">
              <div class="stage-pictures">
                <label class="stage-choice">
                  <span>Over time</span>
                  <select value={stage} onChange={(event) => setStage(event.currentTarget.value)}>
                    {stageNames(view.buckets, stage).map((name) => (
                      <option key={name} value={name}>
                        {stageLabel(name)}
                      </option>
                    ))}
                  </select>
                </label>
                <StageChart name={stage} {...view} />
                <HeatView name={stage} title={stageLabel(stage)} columns={view.columns} stepS={stepS} />
              </div>
              <StageTable buckets={view.buckets} chosen={stage} onChoose={setStage} />
            </div>
            <h2 class="section">Health</h2>
            <div class="tables">
              <ProviderTable buckets={view.buckets} providers={providers} />
              <ErrorTable buckets={view.buckets} />
              <EdgeTable buckets={view.buckets} />
            </div>
          </>
        )}
      </main>
      <KeyDialog />
    </>
  );
}

function Gaps({ log, sinceMs }: { log: SeriesLog; sinceMs: number }) {
  const gaps = log.gaps.filter(({ toMs }) => toMs > sinceMs);
  if (gaps.length === 0) return null;
  const texts = gaps.map(({ fromMs, toMs }) => `${clockOf(fromMs)} to ${clockOf(toMs)}`);
  return <p class="problem">Nothing is known of {texts.join(', ')}: the engine no longer had it when this page asked.</p>;
}

type View = { readonly buckets: SeriesLog['buckets']; readonly columns: readonly Column[]; readonly times: readonly number[] };

/** Tiles tell of the last ten seconds. */
const tileBuckets = 10;

function Tiles({ buckets, sessionsMax }: { buckets: View['buckets']; sessionsMax: number }) {
  const lately = buckets.slice(-tileBuckets);
  const newest = lately.at(-1)!;
  const seconds = lately.reduce((sum, bucket) => sum + bucket.duration_ms, 0) / 1000;
  const p99 = (name: string): string => {
    const value = merged(lately, name).at(99);
    return value === undefined ? '–' : milliseconds(value / 1000);
  };
  const loop = Math.max(...threadNames(buckets).map((name) => merged(lately, `loop_delay/${name}`).at(99) ?? 0));
  const errors = counted(buckets, (key) => parseName(key).name === 'parley_errors_total');
  const tiles: readonly (readonly [label: string, value: string, note: string])[] = [
    ['Calls', amount(newest.gauges['parley_calls'] ?? 0), `of ${sessionsMax}`],
    ['CPU', percent(lately.reduce((sum, bucket) => sum + bucket.cpu_ms, 0) / 10 / seconds), 'of a core'],
    ['Memory', mebibytes(newest.resident_kib / 1024), 'resident'],
    ['VAD lag', p99('vad_lag'), 'p99'],
    ['Pacing jitter', p99('pacing_jitter'), 'p99'],
    ['Event loop', milliseconds(loop / 1000), 'worst p99'],
    ['Errors', amount(errors), 'in this range'],
  ];
  return (
    <dl class="tiles">
      {tiles.map(([label, value, note]) => (
        <div key={label} class="tile panel">
          <dt>{label}</dt>
          <dd>
            <b class="number">{value}</b> <span class="quiet">{note}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

const named =
  (...wanted: readonly string[]) =>
  (key: string): boolean =>
    wanted.includes(parseName(key).name);

const gaugeCurve = (columns: readonly Column[], name: string) => highestCurve(columns, ({ gauges }) => gauges[name]);

function Pictures({ buckets, columns, times }: View & { sessionsMax: number }) {
  const quantileSet = (name: string, percents: readonly number[], divisor: number) =>
    quantileCurves(columns, name, percents, divisor);
  const [lag50, lag99, lagMax] = quantileSet('vad_lag', [50, 99, 100], 1000);
  const [batch50, batchMax] = quantileSet('vad_batch', [50, 100], 1);
  const [jitter50, jitter99, jitter999, jitterMax] = quantileSet('pacing_jitter', [50, 99, 99.9, 100], 1000);
  const [input50, input99, inputMax] = quantileSet('input_ring', [50, 99, 100], 1000);
  const [output50, outputMax] = quantileSet('output_ring_frames', [50, 100], 1);
  const names = histogramNames(buckets);
  const threads = threadNames(buckets);
  const stages = ['stt', 'llm', 'tts', 'client', 'engine', 'rest', 'store'];
  return (
    <div class="charts">
      <Chart
        title="Calls"
        times={times}
        format={amount}
        curves={[
          { label: 'calls', values: gaugeCurve(columns, 'parley_calls') },
          { label: 'conversations', values: gaugeCurve(columns, 'parley_conversation_sessions') },
          { label: 'detected', values: gaugeCurve(columns, 'parley_vad_sessions') },
        ]}
      />
      <Chart
        title="Rates"
        times={times}
        format={perSecond}
        curves={[
          { label: 'calls begun', values: rateCurve(columns, named('parley_calls_total')) },
          { label: 'turns', values: rateCurve(columns, named('parley_turns_total')) },
          { label: 'frames sent', values: rateCurve(columns, named('parley_frames_sent_total')) },
          { label: 'refused', values: rateCurve(columns, named('parley_refused_total')) },
        ]}
      />
      <Chart
        title="VAD lag"
        times={times}
        format={milliseconds}
        curves={[
          { label: 'p50', values: lag50! },
          { label: 'p99', values: lag99! },
          { label: 'max', values: lagMax! },
        ]}
      />
      <Chart
        title="VAD batch"
        times={times}
        format={amount}
        curves={[
          { label: 'p50', values: batch50! },
          { label: 'max', values: batchMax! },
        ]}
      />
      <Chart
        title="Pacing jitter"
        times={times}
        format={milliseconds}
        curves={[
          { label: 'p50', values: jitter50! },
          { label: 'p99', values: jitter99! },
          { label: 'p99.9', values: jitter999! },
          { label: 'max', values: jitterMax! },
        ]}
      />
      <Chart
        title="Event-loop delay, p99"
        times={times}
        format={milliseconds}
        curves={threads
          .filter((name) => names.has(`loop_delay/${name}`))
          .map((name) => ({ label: name, values: quantileSet(`loop_delay/${name}`, [99], 1000)[0]! }))}
      />
      <Chart
        title="CPU per thread, of a core"
        times={times}
        format={percent}
        curves={threads.map((name) => ({ label: name, values: busyCurve(columns, (bucket) => bucket.threads[name]) }))}
      />
      <Chart
        title="Waiting for a core"
        times={times}
        format={percent}
        curves={threads
          .filter((name) => !name.endsWith('others'))
          .map((name) => ({
            label: name,
            values: busyCurve(columns, (bucket) => {
              const waitMs = bucket.threads[name]?.wait_ms;
              return waitMs === undefined ? undefined : { cpu_ms: waitMs };
            }),
          }))}
      />
      <Chart
        title="Memory"
        times={times}
        format={mebibytes}
        curves={[
          { label: 'resident', values: highestCurve(columns, (bucket) => bucket.resident_kib / 1024) },
          ...threads
            .filter((name) => !name.endsWith('others'))
            .map((name) => ({
              label: `heap ${name}`,
              values: highestCurve(columns, ({ threads: figures }) => {
                const kib = figures[name]?.heap_kib;
                return kib === undefined ? undefined : kib / 1024;
              }),
            })),
        ]}
      />
      <Chart
        title="Input ring, unread audio"
        times={times}
        format={milliseconds}
        curves={[
          { label: 'p50', values: input50! },
          { label: 'p99', values: input99! },
          { label: 'max', values: inputMax! },
        ]}
      />
      <Chart
        title="Output ring, frames of 8"
        times={times}
        format={amount}
        ceiling={8}
        curves={[
          { label: 'p50', values: output50! },
          { label: 'max', values: outputMax! },
        ]}
      />
      <Chart
        title="Errors"
        times={times}
        format={perSecond}
        curves={stages.map((stage) => ({
          label: stage,
          values: rateCurve(columns, (key) => {
            const { name, labels } = parseName(key);
            return name === 'parley_errors_total' && labels['stage'] === stage;
          }),
        }))}
      />
    </div>
  );
}

function StageChart({ name, columns, times }: { name: string; columns: View['columns']; times: View['times'] }) {
  const isTime = isTimed(name);
  const curves = quantileCurves(columns, name, quantiles, isTime ? 1000 : 1);
  return (
    <Chart
      title={stageLabel(name)}
      times={times}
      format={isTime ? milliseconds : amount}
      heightPx={230}
      isLogarithmic={isTime}
      curves={curves.map((values, at) => ({ label: quantileNames[at]!, values }))}
    />
  );
}
