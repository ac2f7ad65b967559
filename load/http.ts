/**
 * `npm run load:http`: what REST calls and pages cost the conversations beside them. The same calls are made twice, first alone, then while autocannon
 * asks one route after the other; both results stand beside each other. Exit status as in `npm run load`, 2 when autocannon is missing.
 */
import { writeFileSync } from 'node:fs';
import { profileNames } from './providers/profile.js';
import { fire, type HttpFigures, hasAutocannon } from './rig/autocannon.js';
import { readFlags } from './rig/flags.js';
import { resultText } from './rig/load-result.js';
import { httpUrlOf, openTarget, runLoad, type Target } from './rig/load-run.js';
import { stopOnSignal, targetOf, targetTexts } from './rig/load-settings.js';
import { Progress } from './rig/progress.js';

const usage = `Asks REST and page routes while calls go on, and shows the calls' figures with and without that.`;
const flags = {
  sessions: { fallback: 50, min: 1, max: 4096, means: 'calls at once' },
  minutes: { fallback: 1.5, min: 0.5, max: 600, means: 'of each of the two runs', isDecimal: true },
  rate: { fallback: 50, min: 1, max: 10_000, means: 'HTTP requests a second' },
  connections: { fallback: 10, min: 1, max: 1000, means: 'HTTP connections' },
  churn: { fallback: 20, min: 0, max: 100, means: '% of the callers who hang up in the middle and call again' },
  seed: { fallback: 1, min: 0, max: 4_294_967_295, means: 'of behaviour and delays' },
} as const;
const texts = { ...targetTexts, profile: { means: 'delays of the simulated providers', allowed: profileNames } } as const;

/** What a console and a balancer ask for. */
const paths = ['/', '/healthz', '/metrics', '/openapi.json', '/v1/convai/agents', '/v1/convai/conversations'];

type Settings = NonNullable<ReturnType<typeof readFlags<keyof typeof flags, keyof typeof texts>>>;

async function askAll(target: Target, settings: Settings, secondsEach: number): Promise<HttpFigures[]> {
  const figures: HttpFigures[] = [];
  const { rate, connections } = settings;
  for (const path of paths) {
    const order = { url: `${httpUrlOf(target.url)}${path}`, connections, rate, seconds: secondsEach, headers: target.headers };
    figures.push(await fire(order));
  }
  return figures;
}

async function run(): Promise<number> {
  const settings = readFlags(usage, flags, process.argv.slice(2), texts);
  if (settings === undefined) return 0;
  if (!hasAutocannon()) throw new Error('npm run load:http needs the package autocannon: npm install --no-save autocannon');
  const { sessions, seed } = settings;
  const signal = stopOnSignal();
  const target = await openTarget(targetOf(settings, sessions));
  try {
    const common = {
      sessions,
      seed,
      seconds: settings.minutes * 60,
      churnRatio: settings.churn / 100,
      progress: new Progress(),
      signal,
    };
    const alone = await runLoad(target, { ...common, label: 'calls alone' });
    // Of a run the first half at most is not measured; what is left is shared by the routes.
    const secondsEach = Math.max(1, Math.floor((settings.minutes * 60 - alone.settings.measuredFromSeconds - 1) / paths.length));
    let asking: Promise<HttpFigures[] | Error> = Promise.resolve([]);
    const beside = await runLoad(target, {
      ...common,
      label: 'calls and HTTP',
      onMeasure: (isBeginning) => {
        if (isBeginning)
          asking = askAll(target, settings, secondsEach).catch((error: unknown) =>
            error instanceof Error ? error : new Error(String(error)),
          );
      },
    });
    const http = await asking;
    if (http instanceof Error) throw http;
    console.log(resultText(beside, alone));
    console.log(httpText(http, settings.rate));
    if (settings.json !== undefined)
      writeFileSync(settings.json, `${JSON.stringify({ kind: 'parley-load-http', version: 1, alone, beside, http }, null, 1)}\n`);
    const areAnswered = http.every(({ non2xx, errors }) => non2xx === 0 && errors === 0);
    return beside.exitCode === 0 && !areAnswered ? 1 : beside.exitCode;
  } finally {
    await target.stack?.stop();
  }
}

function httpText(figures: readonly HttpFigures[], rate: number): string {
  const rows = figures.map(
    ({ path, requests, p50, p99, max, non2xx, errors }) =>
      `  ${path.padEnd(32)}${[requests, p50, p99, max, non2xx, errors].map((value) => String(value).padStart(10)).join('')}`,
  );
  const head = `  ${`HTTP at ${rate} a second (ms)`.padEnd(32)}${['n', 'p50', 'p99', 'max', 'not 2xx', 'errors'].map((name) => name.padStart(10)).join('')}`;
  return `${[head, ...rows].join('\n')}\n`;
}

try {
  process.exitCode = await run();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
