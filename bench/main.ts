/**
 * `npm run bench -- [NAME] [--json FILE]`: runs one bench or all of them, each in a process of its own. The JSON holds machine, commit and, for
 * each bench, its report (or its printed lines, where it makes none).
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const folder = fileURLToPath(new URL('.', import.meta.url));
/** Files here that are no bench by themselves. */
const helpers = new Set(['main', 'ring-worker', 'vad-data', 'vad-listen']);

const names = readdirSync(folder)
  .filter((file) => file.endsWith('.js'))
  .map((file) => file.slice(0, -3))
  .filter((name) => !helpers.has(name))
  .sort();

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

async function run(name: string, scratch: string): Promise<{ name: string; exitCode: number; lines: string[]; report: unknown }> {
  const json = join(scratch, `${name}.json`);
  const child = spawn(process.execPath, [join(folder, `${name}.js`), '--json', json], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    output += text;
    process.stdout.write(text);
  });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  const report: unknown = existsSync(json) ? JSON.parse(readFileSync(json, 'utf8')) : undefined;
  return { name, exitCode: exitCode ?? 1, lines: output.trimEnd().split('\n'), report };
}

const { values, positionals } = parseArgs({ options: { json: { type: 'string' } }, allowPositionals: true });
const unknown = positionals.find((name) => !names.includes(name));
if (unknown !== undefined) {
  console.error(`There is no bench "${unknown}". There are: ${names.join(', ')}.`);
  process.exit(2);
}
const scratch = mkdtempSync(join(tmpdir(), 'parley-bench-'));
const benches: Awaited<ReturnType<typeof run>>[] = [];
try {
  for (const name of positionals.length > 0 ? positionals : names) {
    console.log(`\n## ${name}`);
    benches.push(await run(name, scratch));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version, platform: process.platform };
console.log(`\n${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, commit ${commit()}`);
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ machine, commit: commit(), benches }, null, 2));
process.exit(benches.some((bench) => bench.exitCode !== 0) ? 1 : 0);
