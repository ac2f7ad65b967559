/** What processes and their threads have used, as Linux tells it in /proc; zeros elsewhere. Reads files when asked. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const tickMs = 10;
const pageBytes = 4096;

/** CPU time of a process so far, and what it has resident. */
export type ProcessCost = { readonly cpuMs: number; readonly residentMb: number };

export function processCost(pid: number): ProcessCost {
  return {
    cpuMs: cpuMsOf(`/proc/${pid}/stat`),
    residentMb: Number(readOr(`/proc/${pid}/statm`, '0 0').split(' ')[1]) * (pageBytes / 2 ** 20),
  };
}

/** CPU time of each thread so far, by the system's number. */
export function threadCosts(pid: number): Map<number, number> {
  const costs = new Map<number, number>();
  for (const id of listOr(`/proc/${pid}/task`)) costs.set(Number(id), cpuMsOf(`/proc/${pid}/task/${id}/stat`));
  return costs;
}

export type OpenFiles = { readonly files: number; readonly sockets: number };

export function openFiles(pid: number): OpenFiles {
  const files = listOr(`/proc/${pid}/fd`);
  const sockets = files.filter((name) => linkOr(`/proc/${pid}/fd/${name}`).startsWith('socket:')).length;
  return { files: files.length, sockets };
}

/** Of all cores together: time spent on anything, and time that passed. */
export function machineTime(): { busyMs: number; totalMs: number } {
  const fields = readOr('/proc/stat', '').split('\n')[0]!.trim().split(/\s+/).slice(1, 9).map(Number);
  const totalMs = fields.reduce((sum, ticks) => sum + ticks, 0) * tickMs;
  const idleMs = ((fields[3] ?? 0) + (fields[4] ?? 0)) * tickMs;
  return { busyMs: totalMs - idleMs, totalMs };
}

/** User and system time in a `stat` file: fields 14 and 15, counted behind the name, which may hold spaces. */
function cpuMsOf(path: string): number {
  const stat = readOr(path, '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) || 0) + (Number(fields[12]) || 0)) * tickMs;
}

/** A process or thread may end while it is looked at, and other systems have no /proc: then `fallback`. */
function readOr(path: string, fallback: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return fallback;
  }
}

function listOr(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function linkOr(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
