/**
 * `npm run soak -- --minutes M --sessions N`: calls that start and end for a long time, and what is left behind. Memory (resident, heap and outside of
 * it, after a collection), open files, sockets, timers, message ports and slots are sampled; after warm-up each must be flat: the upper bound of
 * its slope's 95 % interval stays below what a leak would be. Not a measurement of latency: the collections that are asked for take time.
 */
import { nowMs } from '../src/shared/clock.js';
import { profileNames } from './providers/profile.js';
import { askEngine } from './rig/engine-figures.js';
import { readFlags } from './rig/flags.js';
import { httpUrlOf, openTarget, runLoad, slotsFor, type Target } from './rig/load-run.js';
import { stopOnSignal, targetOf, targetTexts } from './rig/load-settings.js';
import { openFiles } from './rig/machine-cost.js';
import { Progress } from './rig/progress.js';
import { Report } from './rig/report.js';
import { leftovers, Series, sumsOfProbes, tellTrends } from './rig/soak-series.js';

const usage = `Lets calls start and end for a long time and shows whether anything grows.`;
const flags = {
  sessions: { fallback: 50, min: 1, max: 4096, means: 'calls at once' },
  minutes: { fallback: 30, min: 0.5, max: 1440, means: 'from the first call to the last', isDecimal: true },
  warmup: { fallback: 25, min: 5, max: 80, means: '% of the time that is not judged: code is compiled, pools fill' },
  churn: { fallback: 100, min: 0, max: 100, means: '% of the callers who hang up in the middle and call again' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of behaviour and delays' },
} as const;
const texts = { ...targetTexts, profile: { means: 'delays of the simulated providers', allowed: profileNames } } as const;

const samplesWanted = 240;
const [sampleMinMs, sampleMaxMs] = [1000, 30_000];
const [probeMinSeconds, probeMaxSeconds] = [2, 30];
/** The dashboard's history of a quarter of an hour is full by then, too; of a short run this much at most is given up for it. */
const historyFullMs = 16 * 60_000;
const historyShareMax = 0.55;
/** The store is full of them within the warm-up, so that it does not look like a leak. */
const conversationsKept = 100;
/** After the last call: until every slot has been given back. */
const settleMs = 3000;

/** Takes what can be seen from outside the engine's threads. */
async function sample(target: Target, slots: number, series: Series): Promise<void> {
  const atMs = nowMs();
  const put = (name: string, value: number | undefined): void => {
    if (value !== undefined && Number.isFinite(value)) series.add(name, atMs, value);
  };
  const seen = await askEngine(httpUrlOf(target.url), target.headers);
  const free = seen?.values.get('parley_slots_free');
  const live = seen?.values.get('parley_calls');
  if (target.stack === undefined) {
    put('resident memory', (seen?.values.get('parley_resident_bytes') ?? Number.NaN) / 2 ** 20);
    return;
  }
  const { files, sockets } = openFiles(target.stack.enginePid);
  put('resident memory', target.stack.engineCost().residentMb);
  put('open files', files);
  // Each live call has one of its own and some at the providers; what is left over when there are fewer calls shows.
  put('sockets', sockets);
  put('threads', target.stack.engineHandles().threads);
  if (free !== undefined && live !== undefined) put('slots not given back', slots - free - live);
}

async function run(): Promise<number> {
  const settings = readFlags(usage, flags, process.argv.slice(2), texts);
  if (settings === undefined) return 0;
  const { sessions, minutes, seed } = settings;
  const totalMs = minutes * 60_000;
  const probeSeconds = Math.min(probeMaxSeconds, Math.max(probeMinSeconds, Math.round(totalMs / 1000 / 60)));
  const report = new Report(`${sessions} calls that come and go for ${minutes} minutes`, {
    sessions,
    minutes,
    churn: settings.churn,
    seed,
  });
  const target = await openTarget({
    ...targetOf(settings, sessions),
    // What is kept of conversations is full before anything is judged.
    environment: { PARLEY_PROBE_SECONDS: `${probeSeconds}`, PARLEY_STORE: `memory:${conversationsKept}` },
  });
  const series = new Series();
  let sampling: Promise<void> = Promise.resolve();
  const startedAtMs = nowMs();
  await sample(target, slotsFor(sessions), series);
  const before = target.stack === undefined ? undefined : openFiles(target.stack.enginePid);
  const timer = setInterval(
    () => {
      sampling = sample(target, slotsFor(sessions), series);
    },
    Math.min(sampleMaxMs, Math.max(sampleMinMs, totalMs / samplesWanted)),
  );
  try {
    const result = await runLoad(target, {
      sessions,
      seconds: totalMs / 1000,
      seed,
      churnRatio: settings.churn / 100,
      progress: new Progress(),
      signal: stopOnSignal(),
    });
    clearInterval(timer);
    await sampling;
    if (target.stack !== undefined) sumsOfProbes(target.stack.processLog, series);
    const warmUpMs = Math.max((totalMs * settings.warmup) / 100, Math.min(historyFullMs, totalMs * historyShareMax));
    const judgedFromMs = startedAtMs + warmUpMs;
    const judgedUntilMs = startedAtMs + totalMs;
    const callsPerHour = (result.tally.callsEnded / totalMs) * 3_600_000;
    report.section('calls');
    report.fact(
      `${result.tally.callsStarted} calls, ${result.tally.callsFailed} failed, ${callsPerHour.toFixed(0)} an hour; ${result.tally.turns} turns`,
    );
    report.bar('calls that failed', result.tally.callsFailed, 'at most', 0, '');
    tellTrends(report, series, judgedFromMs, judgedUntilMs, callsPerHour);
    await new Promise((resolve) => {
      setTimeout(resolve, settleMs);
    });
    const after = await askEngine(httpUrlOf(target.url), target.headers);
    const files = target.stack === undefined ? undefined : openFiles(target.stack.enginePid);
    leftovers(report, slotsFor(sessions), after, before, files);
    for (const note of result.notes) report.note(note);
    for (const [reason, count] of Object.entries(result.failures)) report.note(`${count} × ${reason}`);
    report.details({ series: series.points, load: result });
    return report.finish(settings.json);
  } finally {
    clearInterval(timer);
    await target.stack?.stop();
  }
}

try {
  process.exitCode = await run();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
