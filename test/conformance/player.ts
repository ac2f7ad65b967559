/** Plays test files of the conformance list, each as a process of its own, and reads what came of the items they name. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type NamedResult, namedResults } from './results.js';

const linesOfTroubleMax = 40;

export type Played = {
  readonly path: string;
  readonly seconds: number;
  readonly results: readonly NamedResult[];
  /** Every test point that failed. */
  readonly failures: readonly string[];
  /** The end of what it said, when it did not end as a test file does. */
  readonly trouble: string | undefined;
};

const testsIn = (folder: string): string[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join(folder, name));

/** The files of this folder: C1 to C48. */
export function conformanceFiles(): string[] {
  return testsIn(fileURLToPath(new URL('.', import.meta.url)));
}

/** Files of the other tests that name items. */
export function otherFiles(): string[] {
  const namesItems = (path: string): boolean => /\btest\(\s*['"`][CR]\d+[,: ]/.test(readFileSync(path, 'utf8'));
  return testsIn(fileURLToPath(new URL('..', import.meta.url))).filter(namesItems);
}

/** `isFull`: as often as the list says, else a part of it. Ended when it takes longer than `timeoutMs`. */
export function play(path: string, isFull: boolean, timeoutMs: number): Promise<Played> {
  const startedAtMs = performance.now();
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [path], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CONFORMANCE: isFull ? 'full' : '', TAP_TIMEOUT: String(timeoutMs / 1000) },
      timeout: timeoutMs,
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
      const failures = output.split('\n').filter((line) => /^\s*not ok /.test(line));
      const isTold = code === 0 || failures.length > 0;
      const hasEnded = /^1\.\.\d+/m.test(output);
      const trouble = hasEnded && isTold ? undefined : `${errors}\n${output}`.split('\n').slice(-linesOfTroubleMax).join('\n');
      const seconds = Math.round((performance.now() - startedAtMs) / 1000);
      resolve({ path, seconds, results, failures, trouble });
    });
  });
}
