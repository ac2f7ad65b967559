/**
 * `npm run faults`: the table of docs/failure-modes.md against real engine processes and SIMULATED providers. Each row breaks one thing, looks at
 * what callers get, and says what was promised, what was observed, and whether that is the same. Ends with 1 when a row fails.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { callerGroups } from './faults/callers.js';
import { insideGroups } from './faults/inside.js';
import { providerGroups } from './faults/providers.js';
import { Bench, type Group, holeMaxMs, lateness, type Row } from './faults/row.js';

const usage = [
  'Breaks providers, callers, threads and the process itself, and compares what callers get with what is promised.',
  '  --only TEXT   rows whose name holds TEXT (several: separated by commas)',
  '  --json FILE   everything as JSON',
  '  --jobs N      engines at once (2; 1..8)',
].join('\n');

/** A row that hangs must not keep the others from running. */
const rowMaxMs = 90_000;

type Result = {
  readonly group: string;
  readonly what: string;
  readonly promised: string;
  readonly observed: string;
  readonly isPassed: boolean;
  readonly tookMs: number;
};

async function runGroup(group: Group, rows: readonly Row[], onResult: (result: Result) => void): Promise<void> {
  let bench: Bench;
  try {
    bench = await Bench.start(group.options);
  } catch (error) {
    const observed = `the engine did not start: ${messageOf(error)}`;
    for (const { what, promised } of rows) onResult({ group: group.title, what, promised, observed, isPassed: false, tookMs: 0 });
    return;
  }
  try {
    for (const row of rows) {
      const startedAtMs = performance.now();
      const { observed, isPassed } = await outcomeOf(bench, group, row);
      const tookMs = Math.round(performance.now() - startedAtMs);
      onResult({ group: group.title, what: row.what, promised: row.promised, observed, isPassed, tookMs });
    }
  } finally {
    await bench.stack.stop();
  }
}

async function outcomeOf(bench: Bench, group: Group, row: Row): Promise<{ observed: string; isPassed: boolean }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not over after ${rowMaxMs / 1000} s`)), rowMaxMs);
  });
  try {
    const startedAtMs = performance.now();
    const beside = group.hasBeside ? await bench.begin('beside') : undefined;
    await beside?.event('audio');
    const observed = await Promise.race([row.run(bench), late]);
    if (beside === undefined) return { observed, isPassed: true };
    const { holeMs } = beside.playback();
    const isCalm =
      beside.closed === undefined && holeMs <= holeMaxMs + lateness.since(startedAtMs) && beside.of('error').length === 0;
    await beside.close();
    const calm =
      beside.closed?.code === 1000 || isCalm ? `hole of ${Math.round(holeMs)} ms` : `ended with ${beside.closed?.code}`;
    return { observed: isCalm ? observed : `${observed}; but the call beside: ${calm}`, isPassed: isCalm };
  } catch (error) {
    return { observed: messageOf(error), isPassed: false };
  } finally {
    clearTimeout(timer);
    await bench.stack.simulator?.orderFaults([]).catch(() => undefined);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function print({ what, promised, observed, isPassed, tookMs }: Result): void {
  console.log(`${isPassed ? 'pass' : 'FAIL'}  ${what}  (${(tookMs / 1000).toFixed(1)} s)`);
  console.log(`      promised: ${promised}`);
  console.log(`      observed: ${observed}`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, json: { type: 'string' }, jobs: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help === true) {
    console.log(usage);
    return 0;
  }
  const jobs = Number(values.jobs ?? '2');
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > 8) {
    console.error(`--jobs ${values.jobs}: a whole number from 1 to 8`);
    return 2;
  }
  const wanted = (values.only ?? '')
    .toLowerCase()
    .split(',')
    .map((text) => text.trim());
  const isWanted = (group: Group, row: Row): boolean =>
    wanted.some((text) => `${group.title}: ${row.what}`.toLowerCase().includes(text));
  const queue = [...providerGroups, ...callerGroups, ...insideGroups]
    .map((group) => ({ group, rows: group.rows.filter((row) => isWanted(group, row)) }))
    .filter(({ rows }) => rows.length > 0);
  if (queue.length === 0) {
    console.error(`--only ${values.only}: no row is called so`);
    return 2;
  }
  const startedAtMs = performance.now();
  const results: Result[] = [];
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      await runGroup(next.group, next.rows, (result) => {
        results.push(result);
        print(result);
      });
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  const failed = results.filter(({ isPassed }) => !isPassed);
  const seconds = Math.round((performance.now() - startedAtMs) / 1000);
  console.log(`\n${results.length - failed.length} of ${results.length} rows pass, ${seconds} s, SIMULATED providers.`);
  for (const { what, observed } of failed) console.log(`FAIL  ${what}: ${observed}`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ seconds, results }, undefined, 2)}\n`);
  return failed.length === 0 ? 0 : 1;
}

process.exit(await main());
