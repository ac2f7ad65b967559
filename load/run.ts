/**
 * `npm run load -- --sessions N --minutes M [--url URL] [--json FILE] [--compare OLD.json]`: many calls at once against an engine of one's own, or
 * against one that is started here with SIMULATED providers. Callers run in processes of their own, start and speak on a schedule drawn
 * beforehand, and say when they were the bottleneck themselves. `docs/load.md` explains every figure.
 *
 * Exit status: 0 every promise holds, 1 one does not, 2 a wrong flag or no start, 3 the callers were too late for the figures to count.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { profileNames } from './providers/profile.js';
import { readFlags } from './rig/flags.js';
import { reportHtml } from './rig/load-report.js';
import { type LoadResult, parseResult, resultJson, resultText } from './rig/load-result.js';
import { openTarget, runLoad } from './rig/load-run.js';
import { stopOnSignal, targetOf, targetTexts } from './rig/load-settings.js';
import { Progress } from './rig/progress.js';

const usage = `Holds many calls at once and checks that every promise of one call still holds.
Without --url the engine and SIMULATED providers are started here; an API key for --url is read from PARLEY_API_KEY.`;

const flags = {
  sessions: { fallback: 50, min: 1, max: 4096, means: 'calls at once' },
  minutes: { fallback: 2, min: 0.25, max: 1440, means: 'from the first call to the last', isDecimal: true },
  churn: { fallback: 20, min: 0, max: 100, means: '% of the callers who hang up in the middle and call again' },
  processes: { fallback: 0, min: 0, max: 64, means: 'processes of callers; 0: by the cores' },
  knocks: { fallback: 0, min: 0, max: 200, means: 'callers a second who knock while every place is taken (churn is 0 then)' },
  heard: { fallback: 12, min: 0, max: 200, means: 'calls that are heard by an ear' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of behaviour and delays' },
} as const;
const texts = {
  ...targetTexts,
  profile: { means: 'delays of the simulated providers', allowed: profileNames },
  html: { means: 'file for the report (default: beside the JSON)' },
  compare: { means: 'an older result to stand beside this one' },
} as const;

async function run(): Promise<number> {
  const settings = readFlags(usage, flags, process.argv.slice(2), texts);
  if (settings === undefined) return 0;
  const old = settings.compare === undefined ? undefined : readResult(settings.compare);
  const { sessions, seed, knocks } = settings;
  if (knocks > 0 && settings.url !== undefined)
    throw new Error('--knocks is for an engine that is started here: elsewhere they may find a place');
  // A place that is free for a moment would be taken by whoever knocks, and somebody planned would find none.
  const [churn, slots] = knocks === 0 ? [settings.churn, undefined] : [0, sessions];
  const target = await openTarget({ ...targetOf(settings, sessions), slots });
  try {
    const result = await runLoad(target, {
      sessions,
      seconds: settings.minutes * 60,
      seed,
      churnRatio: churn / 100,
      knocksPerSecond: knocks,
      processes: settings.processes === 0 ? undefined : settings.processes,
      heardMax: settings.heard,
      progress: new Progress(),
      signal: stopOnSignal(),
    });
    console.log(resultText(result, old));
    if (settings.json !== undefined) writeFileSync(settings.json, resultJson(result));
    const html = settings.html ?? settings.json?.replace(/(?:\.json)?$/, '.html');
    if (html !== undefined) {
      writeFileSync(html, reportHtml(result, old));
      console.log(`  report: ${html}\n`);
    }
    return result.exitCode;
  } finally {
    await target.stack?.stop();
  }
}

function readResult(path: string): LoadResult {
  const result = parseResult(readFileSync(path, 'utf8'));
  if (result === undefined) throw new Error(`${path} is no result of npm run load`);
  return result;
}

try {
  process.exitCode = await run();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
