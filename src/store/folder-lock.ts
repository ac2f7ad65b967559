/**
 * A folder that one process at a time may have open: a file in it names the holder. API thread.
 *
 * The file outlives a process that was killed, so whoever finds one looks whether its holder lives. A process id alone does not tell: in a
 * container the next engine often gets the id of the last one. On Linux the instant at which the process was started is compared too. A holder
 * that cannot be looked up (in another container or on another machine) is alive when the file's time changes: the holder touches it.
 */
import { readFileSync, readlinkSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { EngineError } from '../shared/errors.js';

export const lockLimits = {
  touchEveryMs: 2000,
  /** A holder that was not seen to touch its file for so long is gone. */
  silentMaxMs: 7000,
  /** So old that nobody needs to watch it. */
  oldMs: 60_000,
  /** Against others that take over at the same time. */
  attemptsMax: 5,
} as const;

const fileName = 'parley.lock';

/** `world`: where the process id means something (this start of the machine, this container). */
type Holder = { readonly world: string; readonly pid: number; readonly startedAt: string };

export class FolderLock {
  readonly #path: string;
  readonly #touch: NodeJS.Timeout;

  private constructor(path: string) {
    this.#path = path;
    this.#touch = setInterval(() => {
      // Nobody judges by it while the file is gone; a folder deleted under the engine shows at the next statement.
      if (statSync(path, { throwIfNoEntry: false }) !== undefined) utimesSync(path, new Date(), new Date());
    }, lockLimits.touchEveryMs).unref();
  }

  /** Fails with `unavailable`, naming the folder, when another process has it, or this one by another store. Waits at most `silentMaxMs`. */
  static async take(folder: string): Promise<FolderLock> {
    const path = join(folder, fileName);
    const mine = JSON.stringify(thisProcess());
    for (let attempt = 0; attempt < lockLimits.attemptsMax; attempt += 1) {
      if (created(path, mine)) return new FolderLock(path);
      const text = textOf(path);
      if (text === undefined) continue;
      if (await isHeld(path, text)) throw heldBy(folder, text);
      removeStale(path, text);
    }
    throw new EngineError('unavailable', `The folder ${folder} is being opened by other processes.`);
  }

  release(): void {
    clearInterval(this.#touch);
    rmSync(this.#path, { force: true });
  }
}

function created(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function isHeld(path: string, text: string): Promise<boolean> {
  const holder = holderOf(text);
  if (holder?.world !== undefined && holder.world !== '' && holder.world === thisProcess().world) {
    return startOf(holder.pid) === holder.startedAt;
  }
  const seenMs = touchedMs(path);
  if (seenMs === undefined || Date.now() - seenMs > lockLimits.oldMs) return false;
  await wait(lockLimits.silentMaxMs);
  const nowMs = touchedMs(path);
  return nowMs !== undefined && nowMs !== seenMs;
}

/** Two that find the same stale file may both come here: the one that moved a fresh file away puts it back. */
function removeStale(path: string, text: string): void {
  const aside = `${path}.${process.pid}.${Date.now()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (readFileSync(aside, 'utf8') === text) rmSync(aside, { force: true });
  else renameSync(aside, path);
}

function heldBy(folder: string, text: string): EngineError {
  const pid = holderOf(text)?.pid;
  return new EngineError(
    'unavailable',
    `The folder ${folder} is open in another engine${pid === undefined ? '' : ` (process ${pid})`}. ` +
      'Give this one another folder (PARLEY_STORE=pglite:DIR), or let both use one Postgres.',
    pid === undefined ? {} : { fields: { pid } },
  );
}

function holderOf(text: string): Holder | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Its writer was killed in the middle: nobody can be looked up, so the time of the file decides.
    return undefined;
  }
  const { world, pid, startedAt } = (value ?? {}) as Partial<Record<keyof Holder, unknown>>;
  const isHolder = typeof world === 'string' && typeof pid === 'number' && typeof startedAt === 'string';
  return isHolder ? { world, pid, startedAt } : undefined;
}

function thisProcess(): Holder {
  return { world: thisWorld(), pid: process.pid, startedAt: startOf(process.pid) ?? '' };
}

/** Empty where the system does not tell. */
function thisWorld(): string {
  if (process.platform !== 'linux') return '';
  return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
}

/** When the process was started, in ticks since the machine's start; undefined when there is none that still does anything. */
function startOf(pid: number): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const stat = textOf(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // Fields from the third on: the name before them may hold anything, a closing parenthesis too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, threadCount, startedAt] = [fields[0], Number(fields[17]), fields[19]];
  // Killed, and nobody has asked how it ended: in a container without an init process that may never happen.
  const isOver = (state === 'Z' || state === 'X') && threadCount <= 1;
  return isOver ? undefined : startedAt;
}

function touchedMs(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
