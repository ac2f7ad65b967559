/**
 * Works off a list with several processes. Each process loads a module that exports `work(task)` and gets one task at a time; results come back in the
 * order of the list, so it does not matter which process did what. Tasks and results are copied (typed arrays and maps, too).
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { EngineError } from '../../../src/shared/errors.js';
import type { FromWorkProcess, ToWorkProcess } from './work-process.js';

export type PoolOptions<Result> = {
  readonly processes: number;
  /** In the order in which they are done. */
  readonly onDone?: (index: number, result: Result) => void;
};

/** What a process said last is told when it dies. */
const wordsMax = 4000;

/** `module`: URL of a module that exports `work(task: Task): Promise<Result>`. Rejects with the first failure, and ends all processes in any case. */
export async function mapInProcesses<Task, Result>(
  module: string,
  tasks: readonly Task[],
  { processes, onDone }: PoolOptions<Result>,
): Promise<Result[]> {
  const results = new Array<Result>(tasks.length);
  const children: ChildProcess[] = [];
  let next = 0;
  const workOff = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(fileURLToPath(new URL('./work-process.js', import.meta.url)), [module], {
        serialization: 'advanced',
        stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      });
      children.push(child);
      let words = '';
      child.stderr!.on('data', (data: Buffer) => {
        words = (words + data.toString()).slice(-wordsMax);
      });
      let current = -1;
      const give = (): void => {
        if (next >= tasks.length) {
          resolve();
          child.disconnect();
          return;
        }
        current = next;
        next += 1;
        const message: ToWorkProcess = { task: tasks[current] };
        child.send(message);
      };
      child.on('message', (message: FromWorkProcess) => {
        if (message.type === 'failed') {
          reject(new EngineError('broken', `task ${current} failed: ${message.problem}`));
          return;
        }
        if (message.type === 'done') {
          const result = message.result as Result;
          results[current] = result;
          onDone?.(current, result);
        }
        give();
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new EngineError('broken', `a process ended (${signal ?? code}): ${words}`)));
    });
  try {
    await Promise.all(Array.from({ length: Math.max(1, Math.min(processes, tasks.length)) }, workOff));
    return results;
  } finally {
    for (const child of children) child.kill();
  }
}
