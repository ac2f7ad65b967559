/** Processor time by thread, as Linux accounts for it; the threads themselves are not asked. API and main thread. */
import { readFileSync } from 'node:fs';

export type ThreadTime = { readonly cpuMs: number; readonly waitMs: number | undefined };

/** Ticks of `stat`: 100 a second wherever Node runs. */
const tickMs = 10;

/** `text` of `/proc/self/task/ID/schedstat`: nanoseconds on a core, nanoseconds ready without one, time slices. */
export function readSchedStat(text: string): ThreadTime | undefined {
  const [cpuNs, waitNs] = text.trim().split(' ').map(Number);
  if (cpuNs === undefined || waitNs === undefined || !Number.isFinite(cpuNs + waitNs)) return undefined;
  return { cpuMs: cpuNs / 1e6, waitMs: waitNs / 1e6 };
}

/** `text` of `/proc/self/task/ID/stat`. The name, in brackets, may hold anything. */
export function readStat(text: string): ThreadTime | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? { cpuMs: ticks * tickMs, waitMs: undefined } : undefined;
}

/** Since the thread began. Undefined: it is gone, or the operating system does not tell. */
export function threadTime(threadId: number): ThreadTime | undefined {
  if (threadId === 0) return undefined;
  // Kernels may be built without the exact account.
  return readOr(`/proc/self/task/${threadId}/schedstat`, readSchedStat) ?? readOr(`/proc/self/task/${threadId}/stat`, readStat);
}

function readOr(path: string, read: (text: string) => ThreadTime | undefined): ThreadTime | undefined {
  try {
    return read(readFileSync(path, 'utf8'));
  } catch (error) {
    // Not there: the thread has ended, or this is not Linux.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return undefined;
    throw error;
  }
}
