/**
 * `npm run conformance`: plays every test that names an item of the list, as often as the list says, and prints the list with what came of it.
 * Ends with 1 when an item fails or has no test.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { conformanceItems, partsLeftOut } from './items.js';
import { type NamedResult, namedResults } from './results.js';

const fileTimeoutMs = 600_000;
const linesOfTroubleMax = 40;

type Played = {
  readonly file: string;
  readonly results: readonly NamedResult[];
  /** Every test point that failed. */
  readonly failures: readonly string[];
  /** The end of what it said, when it did not end as a test file does. */
  readonly trouble: string | undefined;
};

function testFiles(): string[] {
  const own = fileURLToPath(new URL('.', import.meta.url));
  const beside = fileURLToPath(new URL('..', import.meta.url));
  const isTest = (name: string): boolean => name.endsWith('.test.js');
  const namesItems = (path: string): boolean => /\btest\(\s*['"`][CR]\d+[,: ]/.test(readFileSync(path, 'utf8'));
  return [
    ...readdirSync(own)
      .filter(isTest)
      .map((name) => join(own, name)),
    ...readdirSync(beside)
      .filter(isTest)
      .map((name) => join(beside, name))
      .filter(namesItems),
  ];
}

function play(file: string): Promise<Played> {
  const startedAtMs = performance.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CONFORMANCE: 'full', TAP_TIMEOUT: String(fileTimeoutMs / 1000) },
      timeout: fileTimeoutMs,
    });
    let output = '';
    let errors = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
    });
    child.stderr.on('data', (data: Buffer) => {
      errors += data.toString();
    });
    child.on('close', (code) => {
      const results = namedResults(output);
      const hasEnded = /^1\.\.\d+/m.test(output);
      const isTold = code === 0 || results.some(({ outcome }) => outcome === 'fail');
      const trouble = hasEnded && isTold ? undefined : `${errors}\n${output}`.split('\n').slice(-linesOfTroubleMax).join('\n');
      const passed = results.filter(({ outcome }) => outcome === 'pass').length;
      const seconds = Math.round((performance.now() - startedAtMs) / 1000);
      console.log(`  ${basename(file)}: ${passed} of ${results.length} passed, ${seconds} s`);
      const failures = output.split('\n').filter((line) => /^\s*not ok /.test(line));
      resolve({ file, results, failures, trouble });
    });
  });
}

/** One file after the other: they measure time. */
async function playAll(): Promise<Played[]> {
  const played: Played[] = [];
  for (const file of testFiles()) played.push(await play(file));
  return played;
}

console.log('Playing the conformance tests …');
const played = await playAll();
const results = played.flatMap((each) => each.results);
const counts = { pass: 0, fail: 0, 'left out': 0 };
for (const { id, sentence } of conformanceItems) {
  const own = results.filter(({ ids }) => ids.includes(id));
  const ran = own.filter(({ outcome }) => outcome !== 'skip');
  const isFailed = own.length === 0 || ran.some(({ outcome }) => outcome === 'fail');
  const outcome = isFailed ? 'fail' : ran.length === 0 ? 'left out' : 'pass';
  counts[outcome] += 1;
  console.log(`${id.padEnd(4)} ${outcome.padEnd(9)} ${sentence}`);
  if (own.length === 0) console.log('               no test names it');
  for (const result of own) if (result.outcome === 'fail') console.log(`               failed: ${result.name}`);
  for (const result of own)
    if (result.outcome === 'skip') console.log(`               left out: ${result.name} (${result.reason})`);
  for (const part of partsLeftOut) if (part.id === id) console.log(`               left out: ${part.what} (${part.why})`);
}
for (const { file, failures } of played) {
  if (failures.length > 0) console.log(`\n${basename(file)} (CONFORMANCE=full node ${relative(process.cwd(), file)}):`);
  for (const line of failures.slice(0, linesOfTroubleMax)) console.log(line);
}
const broken = played.filter(({ trouble }) => trouble !== undefined);
for (const { file, trouble } of broken) console.log(`\n${basename(file)} did not end well:\n${trouble}`);
console.log(`\nconformance: ${counts.pass} passed, ${counts.fail} failed, ${counts['left out']} skipped`);
process.exitCode = counts.fail > 0 || broken.length > 0 ? 1 : 0;
