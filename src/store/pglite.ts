/**
 * PGlite in a thread of its own, on a folder of this machine: the embedded database. API thread; the thread is started at the first statement.
 *
 * A new database is made by a thread that ends afterwards: it takes three times the memory of one that only opens it, and WebAssembly memory
 * never shrinks. It is made beside its place and then moved there, so a kill in between leaves nothing half made.
 *
 * WebAssembly cannot be interrupted: a statement that takes too long, like one that breaks the instance, costs the thread. The next statement
 * starts another; what was answered before is in the files.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { nowMs } from '../shared/clock.js';
import { EngineError } from '../shared/errors.js';
import { FolderLock } from './folder-lock.js';
import type { FromPglite, PgliteStart, ToPglite } from './pglite-links.js';
import { storeLimits } from './port.js';
import { type Query, type Row, type SqlConnection, type SqlValue, sqlFailure } from './sql-connection.js';
import { within } from './within.js';

export const pgliteLimits = {
  /** New threads after one died, within `restartWindowMs`; beyond that statements fail until the window has passed. */
  restartsMax: 1,
  restartWindowMs: 60_000,
  /** For the statements under way and the database itself at the end; then the thread is terminated. */
  closeMs: 1000,
  /** Of one statement outside a transaction. */
  statementMs: storeLimits.queryMs,
} as const;
/** A test waits shorter. */
export type PgliteLimits = { readonly [Name in keyof typeof pgliteLimits]: number };

export class PgliteConnection implements SqlConnection {
  readonly name: string;
  readonly isEmbedded = true;
  readonly #folder: string;
  readonly #limits: PgliteLimits;
  #lock: FolderLock | undefined;
  #thread: PgliteThread | undefined;
  readonly #diedAtMs: number[] = [];
  /** The end of the last statement or transaction that was asked for. */
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /** `folder`: relative to the working directory; it is made. */
  constructor(folder: string, limits: PgliteLimits = pgliteLimits) {
    this.name = `PGlite in ${folder}`;
    this.#folder = resolve(folder);
    this.#limits = limits;
  }

  readonly query: Query = (text, values) =>
    this.#alone(async () => (await this.#started()).ask(text, values, this.#limits.statementMs));

  transaction<Result>(run: (query: Query) => Promise<Result>, statementMs: number): Promise<Result> {
    return this.#alone(async () => {
      const thread = await this.#started();
      const query: Query = (text, values) => thread.ask(text, values, statementMs);
      await query('BEGIN', []);
      try {
        const result = await run(query);
        await query('COMMIT', []);
        return result;
      } catch (error) {
        if (!thread.isOver) await query('ROLLBACK', []);
        throw error;
      }
    });
  }

  /** What is under way ends first. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await within(this.#last, this.#limits.closeMs, this.name).catch(() => this.#thread?.terminate());
    await this.#thread?.close(this.#limits.closeMs);
    this.#lock?.release();
  }

  /** The one connection there is serves one after the other; a transaction is not interrupted by the statements of others. */
  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#isClosed) return Promise.reject(this.#closed());
    const askedAtMs = nowMs();
    const result = this.#last.then(() => {
      // Whoever asked has been told that it took too long.
      if (nowMs() - askedAtMs > storeLimits.queryMs) throw new EngineError('timeout', `${this.name} does not keep up.`);
      return work();
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  #closed(): EngineError {
    return new EngineError('unavailable', `${this.name} is closed.`);
  }

  async #started(): Promise<PgliteThread> {
    if (this.#thread !== undefined && !this.#thread.isOver) return this.#thread;
    if (this.#thread !== undefined) {
      this.#thread = undefined;
      this.#diedAtMs.push(nowMs());
    }
    const recent = this.#diedAtMs.filter((atMs) => nowMs() - atMs < this.#limits.restartWindowMs);
    if (recent.length > this.#limits.restartsMax) {
      throw new EngineError('unavailable', `${this.name} died ${recent.length} times within ${this.#limits.restartWindowMs} ms.`);
    }
    this.#diedAtMs.splice(0, this.#diedAtMs.length, ...recent);
    const folder = await this.#prepared();
    if (this.#isClosed) throw this.#closed();
    const thread = new PgliteThread(this.name, { folder });
    this.#thread = thread;
    await within(thread.ready, storeLimits.openMs, this.name).catch(async (error: unknown) => {
      await thread.terminate();
      throw error;
    });
    return thread;
  }

  /** The folder of the database, ours alone and with a database in it. */
  async #prepared(): Promise<string> {
    try {
      mkdirSync(this.#folder, { recursive: true });
      if (this.#lock === undefined) {
        const lock = await FolderLock.take(this.#folder);
        if (this.#isClosed) lock.release();
        else this.#lock = lock;
      }
    } catch (cause) {
      if (cause instanceof EngineError) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EngineError('config', `The folder ${this.#folder} of the store cannot be used: ${reason}`, { cause });
    }
    if (this.#isClosed) throw this.#closed();
    const place = join(this.#folder, 'database');
    if (existsSync(place)) return place;
    const beside = `${place}.new`;
    rmSync(beside, { recursive: true, force: true });
    const maker = new PgliteThread(this.name, { folder: beside });
    this.#thread = maker;
    try {
      await within(maker.ready, storeLimits.openMs, this.name);
      await maker.close(storeLimits.openMs);
    } finally {
      await maker.terminate();
      this.#thread = undefined;
    }
    renameSync(beside, place);
    return place;
  }
}

type Asked = { readonly resolve: (rows: readonly Row[]) => void; readonly reject: (error: EngineError) => void };

/** One life of the thread. */
class PgliteThread {
  readonly ready: Promise<void>;
  /** It ended, or is being ended: it takes no more statements. */
  isOver = false;
  readonly #name: string;
  readonly #worker: Worker;
  readonly #exit: Promise<void>;
  #asked: Asked | undefined;

  constructor(name: string, start: PgliteStart) {
    this.#name = name;
    this.#worker = new Worker(new URL('../../workers/pglite.js', import.meta.url), { workerData: start, name: 'pglite' });
    let cause: unknown;
    this.#worker.on('error', (error) => {
      cause = error;
    });
    this.#exit = new Promise((resolve) => {
      this.#worker.once('exit', () => resolve());
    });
    this.ready = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromPglite) => {
        if (message.type === 'ready') resolve();
        else if (message.type === 'failed') reject(new EngineError('unavailable', `${name} cannot start: ${message.message}`));
        else this.#answered(message);
      });
      this.#worker.once('exit', (code) => {
        this.isOver = true;
        const reason = cause instanceof Error ? cause.message : `code ${code}`;
        const error = new EngineError('unavailable', `The thread of ${name} ended: ${reason}`, { cause });
        reject(error);
        this.#asked?.reject(error);
        this.#asked = undefined;
      });
    });
    // Whoever starts the thread waits for it; when it dies later, `ready` has been settled.
    this.ready.catch(() => undefined);
  }

  /** One at a time. Fails with `timeout` after `statementMs`, and then the thread is over. */
  async ask(text: string, values: readonly SqlValue[], statementMs: number): Promise<readonly Row[]> {
    if (this.isOver) throw new EngineError('unavailable', `The thread of ${this.#name} ended.`);
    const answer = new Promise<readonly Row[]>((resolve, reject) => {
      this.#asked = { resolve, reject };
    });
    this.#worker.postMessage({ type: 'query', text, values } satisfies ToPglite);
    const timer = setTimeout(() => {
      this.#asked?.reject(new EngineError('timeout', `${this.#name} worked on one statement for more than ${statementMs} ms.`));
      this.#asked = undefined;
      void this.terminate();
    }, statementMs);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes the database; terminates the thread when that takes more than `closeMs`. */
  async close(closeMs: number): Promise<void> {
    if (!this.isOver) this.#worker.postMessage({ type: 'close' } satisfies ToPglite);
    this.isOver = true;
    const timer = setTimeout(() => void this.terminate(), closeMs);
    await this.#exit;
    clearTimeout(timer);
  }

  async terminate(): Promise<void> {
    this.isOver = true;
    await this.#worker.terminate();
  }

  #answered(message: Exclude<FromPglite, { type: 'ready' | 'failed' }>): void {
    const asked = this.#asked;
    this.#asked = undefined;
    if (message.type === 'rows') asked?.resolve(message.rows);
    else asked?.reject(sqlFailure(this.#name, message.state, message.message));
  }
}
