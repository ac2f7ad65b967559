/**
 * Postgres over a small pool of connections, by the `pg` package. API thread. The package is loaded and connects at the first statement: main,
 * which only reads the setting, and every engine with another store go without it.
 */
import type { Pool, QueryConfig } from 'pg';
import { EngineError } from '../shared/errors.js';
import { storeLimits } from './port.js';
import { type Query, type SqlConnection, sqlFailure } from './sql-connection.js';
import { within } from './within.js';

export const postgresLimits = {
  connectionsMax: 4,
  /** Until a connection is there, new or free. */
  connectMs: 5000,
  idleMs: 30_000,
  /** The server ends a statement after its time; when it has not said so within this much more, the connection is given up. */
  graceMs: 1000,
  /** For the statements under way at the end. */
  closeMs: 1000,
} as const;

export class PostgresConnection implements SqlConnection {
  readonly name: string;
  readonly isEmbedded = false;
  readonly #url: string;
  #pool: Promise<Pool> | undefined;

  /** `url`: `postgres://…` as `parseStoreUrl` checked it. Its password is kept out of the name and of every error. */
  constructor(url: string) {
    const { host, searchParams } = new URL(url);
    this.name = `Postgres at ${host || (searchParams.get('host') ?? 'localhost')}`;
    this.#url = url;
  }

  readonly query: Query = (text, values) => this.#connected(storeLimits.queryMs, (query) => query(text, values));

  transaction<Result>(run: (query: Query) => Promise<Result>, statementMs: number): Promise<Result> {
    return this.#connected(statementMs, async (query, isBroken) => {
      await query('BEGIN', []);
      try {
        if (statementMs !== storeLimits.queryMs) await query(`SET LOCAL statement_timeout = ${statementMs}`, []);
        const result = await run(query);
        await query('COMMIT', []);
        return result;
      } catch (error) {
        if (!isBroken()) await query('ROLLBACK', []);
        throw error;
      }
    });
  }

  /** Fails with `timeout` when the server does not let go. */
  async close(): Promise<void> {
    const pool = await this.#pool;
    if (pool !== undefined) await within(pool.end(), postgresLimits.closeMs, this.name);
  }

  /** Lends `work` a connection; one that broke on the way is not used again. */
  async #connected<Result>(
    statementMs: number,
    work: (query: Query, isBroken: () => boolean) => Promise<Result>,
  ): Promise<Result> {
    this.#pool ??= createPool(this.#url);
    const pool = await this.#pool;
    const client = await pool.connect().catch((error: unknown) => {
      throw failureOf(this.name, error);
    });
    let broken: Error | undefined;
    // Between two statements nobody else listens, and an error that nobody hears ends the process.
    const onError = (error: Error): void => {
      broken = error;
    };
    client.on('error', onError);
    const query: Query = async (text, values) => {
      const ask: QueryConfig & { readonly query_timeout: number } = {
        text,
        values: [...values],
        query_timeout: statementMs + postgresLimits.graceMs,
      };
      try {
        return (await client.query<Record<string, unknown>>(ask)).rows;
      } catch (error) {
        const failure = failureOf(this.name, error);
        if (failure.fields['state'] === undefined) broken = failure;
        throw failure;
      }
    };
    try {
      return await work(query, () => broken !== undefined);
    } finally {
      client.off('error', onError);
      client.release(broken);
    }
  }
}

async function createPool(url: string): Promise<Pool> {
  const { default: pg } = await import('pg');
  const pool = new pg.Pool({
    connectionString: url,
    application_name: 'parley',
    max: postgresLimits.connectionsMax,
    connectionTimeoutMillis: postgresLimits.connectMs,
    idleTimeoutMillis: postgresLimits.idleMs,
    statement_timeout: storeLimits.queryMs,
    idle_in_transaction_session_timeout: storeLimits.queryMs,
    keepAlive: true,
  });
  // An idle connection that the server closed: the pool has dropped it, and the next statement opens another or says why it cannot.
  pool.on('error', () => undefined);
  return pool;
}

/** Without a SQLSTATE it was the way to the server that failed. */
function failureOf(name: string, error: unknown): EngineError {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'no reason given';
  // What the server itself says has a severity; an error of the system has a code of its own.
  if (error instanceof Error && 'severity' in error) return sqlFailure(name, code, message, error);
  if (message === 'Query read timeout') return new EngineError('timeout', `${name} did not answer.`, { cause: error });
  // Of several addresses that were tried the error has a code and no message.
  return sqlFailure(name, undefined, message || code, error);
}
