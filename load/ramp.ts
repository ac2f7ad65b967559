/**
 * `npm run load:ramp`: how many calls at once this machine holds with every promise kept. Twice as many each time until a promise is missed, then
 * halfway between; a number of calls that failed is tried once more before it counts. Prints what stood in the way of more.
 * Each step is a run as in `npm run load`, with an engine of its own unless `--url` names one.
 */
import { writeFileSync } from 'node:fs';
import { profileNames } from './providers/profile.js';
import { capacityOf, endedBy, nextSessions, type Tried } from './rig/capacity.js';
import { readFlags } from './rig/flags.js';
import { type LoadResult, promises } from './rig/load-result.js';
import { openTarget, runLoad } from './rig/load-run.js';
import { stopOnSignal, targetOf, targetTexts } from './rig/load-settings.js';
import { Progress } from './rig/progress.js';
import { machine } from './rig/report.js';

const usage = `Finds the largest number of calls at which barge-in, pacing, VAD lag and first audio keep their promises.`;
const flags = {
  from: { fallback: 25, min: 1, max: 4096, means: 'calls of the first step' },
  to: { fallback: 800, min: 1, max: 4096, means: 'calls of the last step at most' },
  seconds: { fallback: 75, min: 20, max: 3600, means: 'of each step, filling up included' },
  precision: { fallback: 5, min: 1, max: 50, means: '% to which the answer is wanted' },
  churn: { fallback: 20, min: 0, max: 100, means: '% of the callers who hang up in the middle and call again' },
  processes: { fallback: 0, min: 0, max: 64, means: 'processes of callers; 0: by the cores' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of behaviour and delays' },
} as const;
const texts = { ...targetTexts, profile: { means: 'delays of the simulated providers', allowed: profileNames } } as const;
const triesMax = 2;

type Settings = NonNullable<ReturnType<typeof readFlags<keyof typeof flags, keyof typeof texts>>>;

async function step(settings: Settings, sessions: number, label: string, signal: AbortSignal): Promise<LoadResult> {
  const { seed } = settings;
  const target = await openTarget(targetOf(settings, sessions));
  try {
    return await runLoad(target, {
      sessions,
      seconds: settings.seconds,
      seed,
      churnRatio: settings.churn / 100,
      processes: settings.processes === 0 ? undefined : settings.processes,
      progress: new Progress(),
      label,
      signal,
    });
  } finally {
    await target.stack?.stop();
  }
}

async function run(): Promise<number> {
  const settings = readFlags(usage, flags, process.argv.slice(2), texts);
  if (settings === undefined) return 0;
  const limits = { from: settings.from, to: settings.to, precision: settings.precision / 100 };
  const signal = stopOnSignal();
  const tried: Tried[] = [];
  const results: LoadResult[] = [];
  console.log(head());
  for (let sessions = nextSessions(tried, limits); sessions !== undefined; sessions = nextSessions(tried, limits)) {
    let holds = false;
    for (let attempt = 1; attempt <= triesMax && !holds && !signal.aborted; attempt += 1) {
      const result = await step(settings, sessions, `${sessions} calls, try ${attempt}`, signal);
      results.push(result);
      holds = result.isValid && promises(result).every((bar) => bar.holds);
      console.log(row(result, holds));
    }
    if (signal.aborted) break;
    tried.push({ sessions, holds });
  }
  const capacity = capacityOf(tried);
  const smallestBad = Math.min(...tried.filter(({ holds }) => !holds).map(({ sessions }) => sessions));
  const ending = results.findLast(({ settings: { sessions } }) => sessions === smallestBad);
  const isGenerator = ending !== undefined && !ending.isValid;
  const isLowerBound = ending === undefined || isGenerator;
  const found =
    capacity === 0
      ? 'none: not even the smallest number of calls kept every promise'
      : `${isLowerBound ? 'at least ' : ''}${capacity} calls with every promise kept`;
  const ended = ending === undefined ? (signal.aborted ? 'the search was stopped' : 'the search ended there') : endedBy(ending);
  console.log(`\n  capacity: ${found}\n  ended by: ${ended}\n  ${machine()}\n`);
  if (settings.json !== undefined)
    writeFileSync(
      settings.json,
      `${JSON.stringify({ kind: 'parley-ramp', version: 1, capacity, isLowerBound, ended, results }, null, 1)}\n`,
    );
  return isGenerator ? 3 : capacity > 0 ? 0 : 1;
}

const columns = [
  'calls',
  'holds',
  'onset→last p50',
  'decision p99',
  'VAD lag p99',
  'jitter p99',
  'first p50/p95',
  'overhead p99',
  'CPU/call %',
  'late p99',
];

function head(): string {
  return `\n${columns.map((name) => name.padStart(16)).join('')}`;
}

function row({ settings, callers, engine, cost, isValid }: LoadResult, holds: boolean): string {
  const shown = (value: number | undefined, digits = 1): string =>
    value === undefined || Number.isNaN(value) ? '-' : value.toFixed(digits);
  const first = callers['first_audio'];
  return [
    String(settings.sessions),
    holds ? 'yes' : isValid ? 'no' : 'invalid',
    shown(callers['onset_to_last_frame']?.p50),
    shown(engine.stages['decision_to_last_frame']?.p99),
    shown(engine.stages['vad_lag']?.p99),
    shown(engine.stages['pacing_jitter']?.p99),
    `${shown(first?.p50, 0)}/${shown(first?.p95, 0)}`,
    shown(engine.stages['engine_overhead']?.p99),
    shown(cost?.cpuPerCall, 3),
    shown(callers['generator_lateness']?.p99),
  ]
    .map((cell) => cell.padStart(16))
    .join('');
}

try {
  process.exitCode = await run();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
