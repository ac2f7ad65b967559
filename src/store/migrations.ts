/**
 * The tables, as numbered steps that are applied once and recorded. A step that was released is never changed: the next one changes what it
 * made. All in one transaction under a lock of the database, so engines that start together do not step on each other. API thread.
 *
 * Conventions: documents are the text of their JSON, which the database never parses: what a stranger sent can neither be refused (the null
 * character) nor hurt it (nesting), and it comes back as it was. Instants are unix milliseconds as JavaScript has them. What is sorted or
 * compared has collation "C": the same order on every machine, and in `MemoryStore`.
 */
import { EngineError } from '../shared/errors.js';
import { storeLimits } from './port.js';
import type { SqlConnection } from './sql-connection.js';
import { numberIn, textIn } from './sql-rows.js';

/** Of the lock under which tables are made; any number that no other program takes in this database. */
const lockKey = 7_238_105_541;

const first: readonly string[] = [
  `CREATE TABLE parley_agents (
     agent_id text COLLATE "C" NOT NULL,
     version integer NOT NULL,
     is_newest boolean NOT NULL,
     name text NOT NULL,
     name_folded text COLLATE "C" NOT NULL,
     tags jsonb NOT NULL,
     is_archived boolean NOT NULL,
     config text NOT NULL,
     created_at_ms double precision NOT NULL,
     updated_at_ms double precision NOT NULL,
     PRIMARY KEY (agent_id, version)
   )`,
  'CREATE UNIQUE INDEX parley_agents_newest ON parley_agents (agent_id) WHERE is_newest',
  `CREATE TABLE parley_resources (
     kind text COLLATE "C" NOT NULL,
     id text COLLATE "C" NOT NULL,
     document text NOT NULL,
     created_at_ms double precision NOT NULL,
     PRIMARY KEY (kind, id)
   )`,
  `CREATE TABLE parley_conversations (
     conversation_id text COLLATE "C" PRIMARY KEY,
     agent_id text COLLATE "C" NOT NULL,
     agent_version integer NOT NULL,
     user_id text COLLATE "C",
     started_at_ms double precision NOT NULL,
     status text COLLATE "C" NOT NULL,
     ended_at_ms double precision,
     document text NOT NULL,
     instance_id text COLLATE "C" NOT NULL
   )`,
  'CREATE INDEX parley_conversations_by_start ON parley_conversations (started_at_ms, conversation_id)',
  'CREATE INDEX parley_conversations_by_agent ON parley_conversations (agent_id, started_at_ms, conversation_id)',
  'CREATE INDEX parley_conversations_by_end ON parley_conversations (agent_id, ended_at_ms, conversation_id)',
  // A user id is whatever a client sent; an index takes only so many bytes of it.
  'CREATE INDEX parley_conversations_by_user ON parley_conversations (left(user_id, 200), started_at_ms)',
  `CREATE INDEX parley_conversations_open ON parley_conversations (started_at_ms) WHERE status = 'in-progress'`,
  `CREATE TABLE parley_items (
     conversation_id text COLLATE "C" NOT NULL REFERENCES parley_conversations ON DELETE CASCADE,
     item_index integer NOT NULL,
     document text NOT NULL,
     message_folded text COLLATE "C" NOT NULL,
     PRIMARY KEY (conversation_id, item_index)
   )`,
  `CREATE TABLE parley_files (
     file_id text COLLATE "C" PRIMARY KEY,
     conversation_id text COLLATE "C" NOT NULL,
     name text NOT NULL,
     mime_type text NOT NULL,
     bytes bytea NOT NULL,
     created_at_ms double precision NOT NULL
   )`,
  // Pictures and PDFs are compressed already.
  'ALTER TABLE parley_files ALTER COLUMN bytes SET STORAGE EXTERNAL',
  'CREATE INDEX parley_files_by_conversation ON parley_files (conversation_id)',
  `CREATE TABLE parley_instances (
     instance_id text COLLATE "C" PRIMARY KEY,
     seen_at timestamptz NOT NULL
   )`,
];

/** When retention has to act. What ended before there was this column is due at once: the documents say nothing of it yet. */
const second: readonly string[] = [
  'ALTER TABLE parley_conversations ADD COLUMN due_at_ms double precision',
  'UPDATE parley_conversations SET due_at_ms = ended_at_ms',
  'CREATE INDEX parley_conversations_due ON parley_conversations (due_at_ms, conversation_id) WHERE due_at_ms IS NOT NULL',
  'DROP INDEX parley_conversations_by_end',
];

/** When somebody has to be told of the end. Ends of before are not told again. */
const third: readonly string[] = [
  'ALTER TABLE parley_conversations ADD COLUMN tell_at_ms double precision',
  'CREATE INDEX parley_conversations_untold ON parley_conversations (tell_at_ms, conversation_id) WHERE tell_at_ms IS NOT NULL',
];

/** Step 1 is the first of the list. */
export const migrations: readonly (readonly string[])[] = [first, second, third];

/** Brings the database to the newest step. Fails with `config` for one that a newer engine made, or that does not speak UTF-8. */
export async function migrate(connection: SqlConnection): Promise<void> {
  await connection.transaction(async (query) => {
    const [encoding] = await query(`SELECT current_setting('server_encoding') AS encoding`, []);
    if (encoding === undefined || textIn(encoding, 'encoding') !== 'UTF8') {
      throw new EngineError('config', `${connection.name} is a database without UTF-8; create one with ENCODING 'UTF8'.`);
    }
    await query('SELECT pg_advisory_xact_lock($1::bigint)', [lockKey]);
    await query(
      `CREATE TABLE IF NOT EXISTS parley_migrations (number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
      [],
    );
    const [row] = await query('SELECT coalesce(max(number), 0) AS number FROM parley_migrations', []);
    const applied = row === undefined ? 0 : numberIn(row, 'number');
    if (applied > migrations.length) {
      throw new EngineError(
        'config',
        `${connection.name} was made by a newer engine (its tables are at step ${applied}, this one knows ${migrations.length}). ` +
          'Start the newer engine, or give this one another database.',
      );
    }
    for (const [offset, statements] of migrations.slice(applied).entries()) {
      for (const statement of statements) await query(statement, []);
      await query('INSERT INTO parley_migrations (number) VALUES ($1)', [applied + offset + 1]);
    }
  }, storeLimits.openMs);
}
