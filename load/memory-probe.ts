/**
 * Where the engine's memory is and what its collections cost, looked at from inside and outside; for docs/decisions/memory-per-call.md, Linux.
 *
 *   NODE_OPTIONS="--import=$PWD/dist/load/memory-probe.js" MEMORY_PROBE_LOG=probe.jsonl npm run load -- --sessions 200 --minutes 1
 *   node dist/load/memory-probe.js probe.jsonl     heaps and collections of every thread of the engine, over the last 36 s; a log of
 *                                                  several processes or runs is told process by process
 *   node dist/load/memory-probe.js PID             what is resident in a process, by kind of mapping
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { PerformanceObserver } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { getHeapSpaceStatistics } from 'node:v8';
import { isMainThread, threadId, workerData } from 'node:worker_threads';

const everyMs = 6000;
/** So many lines back, 36 s, is what collections are counted from. */
const linesBack = 6;
const bytesInMb = 1_048_576;
const kibInMb = 1024;
/** `detail.kind` of Node's `gc` entries: the young generation alone, all of the heap. */
const kinds: Readonly<Record<number, 'young' | 'full'>> = { 1: 'young', 4: 'full' };
type GcEntry = { readonly duration: number; readonly detail: { readonly kind: number } };

type Collections = { count: number; ms: number; longestMs: number };
type Line = {
  readonly process: number;
  readonly thread: string;
  readonly youngMb: number;
  readonly oldMb: number;
  readonly oldUsedMb: number;
  readonly buffersMb: number;
  readonly young: Collections;
  readonly full: Collections;
};

function watch(thread: string, path: string): void {
  const collections = { young: noCollections(), full: noCollections() };
  new PerformanceObserver((list) => {
    for (const { duration, detail } of list.getEntries() as unknown as GcEntry[]) {
      const kind = kinds[detail.kind];
      if (kind === undefined) continue;
      const sum = collections[kind];
      sum.count += 1;
      sum.ms += duration;
      sum.longestMs = Math.max(sum.longestMs, duration);
    }
  }).observe({ entryTypes: ['gc'] });
  const write = (): void => {
    const spaces = new Map(getHeapSpaceStatistics().map((space) => [space.space_name, space]));
    const young = spaces.get('new_space')!;
    const old = spaces.get('old_space')!;
    const line: Line = {
      process: process.pid,
      thread,
      youngMb: young.physical_space_size / bytesInMb,
      oldMb: old.physical_space_size / bytesInMb,
      oldUsedMb: old.space_used_size / bytesInMb,
      buffersMb: process.memoryUsage().arrayBuffers / bytesInMb,
      ...collections,
    };
    appendFileSync(path, `${JSON.stringify(line)}\n`);
  };
  setInterval(write, everyMs).unref();
}

/** A thread of a lane by its own name, one of a pool or of the database by its number. */
function threadName(): string {
  if (isMainThread) return 'main';
  const own = (workerData as { thread?: unknown } | null)?.thread;
  return typeof own === 'string' ? own : `thread ${threadId}`;
}

function noCollections(): Collections {
  return { count: 0, ms: 0, longestMs: 0 };
}

function tableOf(text: string): string[] {
  const threads = new Map<string, Line[]>();
  for (const row of text.trim().split('\n')) {
    const line = JSON.parse(row) as Line;
    const name = `${line.process} ${line.thread}`;
    threads.set(name, [...(threads.get(name) ?? []), line]);
  }
  return [...threads].map(([name, lines]) => {
    const last = lines.at(-1)!;
    const first = lines.at(-1 - linesBack) ?? lines[0]!;
    const collected = (['young', 'full'] as const).map((kind) => {
      const [count, ms] = [last[kind].count - first[kind].count, last[kind].ms - first[kind].ms];
      return `${kind} ${count}, ${ms.toFixed(0)} ms (longest ever ${last[kind].longestMs.toFixed(1)})`;
    });
    const mb = (value: number): string => value.toFixed(1);
    return `${name.padEnd(26)} young ${mb(last.youngMb)}, old ${mb(last.oldUsedMb)} of ${mb(last.oldMb)}, buffers ${mb(last.buffersMb)} MB; collections: ${collected.join('; ')}`;
  });
}

const arenaBytes = 64 * bytesInMb;
const pageOfV8 = 256 * 1024;

function kindOf(from: number, to: number, permissions: string, name: string): string {
  if (name === '[heap]') return 'heap of the C library';
  if (name.startsWith('[stack')) return 'stack';
  if (name !== '' && !name.startsWith('[anon')) return 'files';
  if (from % arenaBytes === 0) return 'arenas of malloc';
  if (permissions.startsWith('---')) return 'reserved';
  if ((to - from) % pageOfV8 === 0 && to - from <= 2 * pageOfV8) return 'pages of V8';
  return to - from < bytesInMb ? 'other, small' : 'other, large: shared memory';
}

function mappingsOf(pid: number): string[] {
  const sums = new Map<string, number>();
  let kind = '';
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const [, from, to, permissions, name] = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+\s*(.*)$/.exec(line) ?? [];
    if (from !== undefined) kind = kindOf(Number.parseInt(from, 16), Number.parseInt(to!, 16), permissions!, name!.trim());
    const kib = /^Rss: +(\d+)/.exec(line)?.[1];
    if (kib !== undefined) sums.set(kind, (sums.get(kind) ?? 0) + Number(kib));
  }
  return [...sums].sort(([, a], [, b]) => b - a).map(([name, kib]) => `${name.padEnd(28)} ${(kib / kibInMb).toFixed(0)} MB`);
}

const isProgram = process.argv[1] === fileURLToPath(import.meta.url);
const log = process.env['MEMORY_PROBE_LOG'];
/** By the command line of the process, which a worker's own arguments do not tell. */
const isEngine = (): boolean => /\/src\/(main|member)\.js(\0|$)/.test(readFileSync('/proc/self/cmdline', 'utf8'));
if (isProgram) {
  const [asked = ''] = process.argv.slice(2);
  if (!existsSync(asked) && !/^\d+$/.test(asked)) console.error('Give the log of a run, or the PID of a process.');
  else console.log((existsSync(asked) ? tableOf(readFileSync(asked, 'utf8')) : mappingsOf(Number(asked))).join('\n'));
} else if (log !== undefined && isEngine()) watch(threadName(), log);
