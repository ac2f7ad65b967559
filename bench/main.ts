/**
 * `npm run bench -- [NAME…] [--rounds N] [--json FILE] [--compare OLD.json]`: runs some benches or all of them, each in a process of its own. The JSON
 * holds machine, commit and, for each bench, its report (or its printed lines, where it makes none) and every figure of every round. `--compare` prints how
 * the figures changed; with several rounds in both results it knows how much of that is noise.
 *
 * Exit status: 1 when a bench misses a bar of its own; a figure that became worse is only told.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machineFacts, machineText } from '../load/rig/report.js';
import { compare, comparedText, figuresIn, type Rounds, roundsOf } from './figures.js';

const folder = fileURLToPath(new URL('.', import.meta.url));
/** Files here that are no bench by themselves. */
const helpers = new Set(['main', 'figures', 'timing', 'ring-worker', 'vad-data', 'vad-listen']);
const roundsMax = 50;

const names = readdirSync(folder)
  .filter((file) => file.endsWith('.js'))
  .map((file) => file.slice(0, -3))
  .filter((name) => !helpers.has(name))
  .sort();

type Round = { readonly exitCode: number; readonly lines: string[]; readonly report: unknown };
type Bench = Round & { readonly name: string; readonly figures: Rounds };
type Result = { readonly machine: ReturnType<typeof machineFacts>; readonly rounds: number; readonly benches: readonly Bench[] };

async function runOnce(name: string, scratch: string): Promise<Round> {
  const json = join(scratch, `${name}.json`);
  rmSync(json, { force: true });
  const child = spawn(process.execPath, [join(folder, `${name}.js`), '--json', json], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    output += text;
    process.stdout.write(text);
  });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  const report: unknown = existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : undefined;
  return { exitCode: exitCode ?? 1, lines: output.trimEnd().split('\n'), report };
}

async function run(name: string, rounds: number, scratch: string): Promise<Bench> {
  const all: Round[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    console.log(`\n## ${name}${rounds > 1 ? `, round ${round} of ${rounds}` : ''}`);
    all.push(await runOnce(name, scratch));
  }
  const exitCode = Math.max(...all.map((round) => round.exitCode));
  return { ...all.at(-1)!, name, exitCode, figures: roundsOf(all.map(({ report }) => figuresIn(report))) };
}

/** Results of before figures were kept have reports only. */
function figuresOf(bench: Omit<Bench, 'figures'> & Partial<Pick<Bench, 'figures'>>): Rounds {
  return bench.figures ?? roundsOf([figuresIn(bench.report)]);
}

function stopWith(message: string): never {
  console.error(message);
  process.exit(2);
}

const { values, positionals } = parseArgs({
  options: {
    json: { type: 'string' },
    compare: { type: 'string' },
    rounds: { type: 'string', default: '1' },
    help: { type: 'boolean' },
  },
  allowPositionals: true,
});
if (values.help === true) {
  console.log(`Runs some benches or all of them, each in a process of its own.

  npm run bench -- [NAME…] [options]

  --rounds N       so often (1; 1..${roundsMax})
  --json FILE      everything behind the figures
  --compare FILE   the JSON of an earlier run: how the figures have changed

Benches: ${names.join(', ')}.`);
  process.exit(0);
}
const unknown = positionals.find((name) => !names.includes(name));
if (unknown !== undefined) stopWith(`There is no bench "${unknown}". There are: ${names.join(', ')}.`);
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1 || rounds > roundsMax)
  stopWith(`--rounds ${values.rounds}: a whole number from 1 to ${roundsMax}`);
if (values.compare !== undefined && !existsSync(values.compare)) stopWith(`--compare ${values.compare}: there is no such file`);

const scratch = mkdtempSync(join(tmpdir(), 'parley-bench-'));
const benches: Bench[] = [];
try {
  for (const name of positionals.length > 0 ? positionals : names) benches.push(await run(name, rounds, scratch));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const result: Result = { machine: machineFacts(), rounds, benches };
console.log(`\n${machineText(result.machine)}`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 1)}\n`);
if (values.compare !== undefined) {
  const old = JSON.parse(readFileSync(values.compare, 'utf8')) as Result;
  for (const bench of benches) {
    const then = old.benches.find(({ name }) => name === bench.name);
    console.log(`\n## ${bench.name}, compared`);
    console.log(then === undefined ? '  not in the older result' : comparedText(compare(figuresOf(then), bench.figures)));
  }
}
process.exit(benches.some((bench) => bench.exitCode !== 0) ? 1 : 0);
