/**
 * The store on a database: one dialect for PGlite and Postgres, behind `SqlConnection`. API thread.
 *
 * Several engines may share one Postgres. Each store writes its instance id with the conversations it begins and says every
 * `sqlLimits.aliveEveryMs` that it lives; a conversation still in progress whose instance has been silent for `aliveMaxMs` is abandoned. An
 * embedded database (a folder of PGlite) needs no such word: whoever else wrote to it is gone.
 *
 * Writes to one conversation happen in the order of the calls, although the database has several connections: a transcript item never comes
 * before its conversation, and the ending never before the last item.
 */
import { randomUUID } from 'node:crypto';
import { EngineError } from '../shared/errors.js';
import { Turns } from '../shared/turns.js';
import { dueAtMs } from './due.js';
import { migrate } from './migrations.js';
import { type Place, pageOf, placeOf, rowsOfPage } from './paging.js';
import {
  type AgentQuery,
  type AgentRecord,
  type ConversationEnding,
  type ConversationHead,
  type ConversationQuery,
  type ConversationRecord,
  type ConversationSummary,
  type FileRecord,
  type Json,
  type Page,
  type Resource,
  type ResourceKind,
  type Store,
  storeLimits,
  type TranscriptItem,
} from './port.js';
import { Conditions } from './sql-conditions.js';
import type { Query, Row, SqlConnection, SqlValue } from './sql-connection.js';
import { agentOf, fileOf, numberIn, optionalIn, resourceOf, summaryOf, textIn } from './sql-rows.js';
import { amendedText, checkFile, documentOf, documentText, folded, searchableText, storedId, storedText } from './text.js';
import { within } from './within.js';

export const sqlLimits = {
  /** Calls under way or waiting; one more fails with `unavailable`. */
  callsMax: 1000,
  /** Of what waiting calls want to write. */
  waitingBytesMax: 128 * 1024 * 1024,
  /** After a failed opening the next one waits this long; calls in between fail as it did. */
  reopenMs: 2000,
  /** For the calls under way when the store is closed. */
  closeMs: 3000,
  aliveEveryMs: 15_000,
  aliveMaxMs: 60_000,
} as const;

const agentColumns =
  'agent_id, version, name, name_folded, tags::text AS tags, is_archived, config, created_at_ms, updated_at_ms';
const conversationColumns =
  'conversation_id, agent_id, agent_version, user_id, started_at_ms, status, ended_at_ms, document, ' +
  '(SELECT count(*) FROM parley_items i WHERE i.conversation_id = c.conversation_id)::integer AS message_count';

export class SqlStore implements Store {
  readonly name: string;
  readonly #connection: SqlConnection;
  readonly #onProblem: (problem: EngineError) => void;
  readonly #instanceId: string = randomUUID();
  #opening: Promise<void> | undefined;
  #isClosed = false;
  #alive: NodeJS.Timeout | undefined;
  readonly #underWay = new Set<Promise<unknown>>();
  #waitingBytes = 0;
  /** Rows are only marked as deleted; a server takes their place back by itself, an embedded database when it is told to. */
  #hasDeleted = false;
  /** Writes to each conversation, one after another. */
  readonly #writes = new Turns();

  /** `onProblem` hears of what fails while nobody waits for it. */
  constructor(connection: SqlConnection, onProblem: (problem: EngineError) => void) {
    this.name = connection.name;
    this.#connection = connection;
    this.#onProblem = onProblem;
  }

  open(): Promise<void> {
    if (this.#isClosed) return Promise.reject(new EngineError('unavailable', `${this.name} is closed.`));
    if (this.#opening === undefined) {
      const opening = within(this.#open(), storeLimits.openMs, this.name).catch((error: unknown) => {
        // What breaks because we end it is no failure of the database.
        if (this.#isClosed)
          throw new EngineError('aborted', `${this.name} was closed while it was being opened.`, { cause: error });
        throw error;
      });
      this.#opening = opening;
      opening.catch(() => {
        setTimeout(() => {
          if (this.#opening === opening) this.#opening = undefined;
        }, sqlLimits.reopenMs).unref();
      });
    }
    return this.#opening;
  }

  async #open(): Promise<void> {
    await migrate(this.#connection);
    if (this.#connection.isEmbedded || this.#isClosed) return;
    await this.#sayAlive();
    clearInterval(this.#alive);
    this.#alive = setInterval(() => {
      this.#sayAlive().catch((problem: EngineError) => this.#onProblem(problem));
    }, sqlLimits.aliveEveryMs).unref();
  }

  async #sayAlive(): Promise<void> {
    await this.#connection.query(
      'INSERT INTO parley_instances (instance_id, seen_at) VALUES ($1, now()) ON CONFLICT (instance_id) DO UPDATE SET seen_at = now()',
      [this.#instanceId],
    );
  }

  /** What was asked before is written first. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#alive);
    const onProblem = (problem: EngineError): void => this.#onProblem(problem);
    await within(Promise.allSettled(this.#underWay), sqlLimits.closeMs, this.name).catch(onProblem);
    if (this.#alive !== undefined) {
      // Without this row what is still in progress counts as abandoned at once, not in a minute.
      const gone = this.#connection.query('DELETE FROM parley_instances WHERE instance_id = $1', [this.#instanceId]);
      await within(gone, sqlLimits.closeMs, this.name).catch(onProblem);
    }
    await this.#connection.close();
  }

  async createAgent(agent: Omit<AgentRecord, 'version'>): Promise<AgentRecord> {
    const agentId = storedId(agent.agentId);
    const [row] = await this.#query(
      `INSERT INTO parley_agents
         (agent_id, version, is_newest, name, name_folded, tags, is_archived, config, created_at_ms, updated_at_ms)
       VALUES ($1, 1, true, $2, $3, $4::text::jsonb, $5, $6, $7, $8)
       ON CONFLICT (agent_id, version) DO NOTHING
       RETURNING ${agentColumns}`,
      [agentId, ...agentValues(agent), agent.createdAtMs, agent.updatedAtMs],
    );
    if (row === undefined) throw new EngineError('rejected', `There is an agent "${agentId}" already.`);
    return agentOf(row);
  }

  async agent(agentId: string, version?: number): Promise<AgentRecord | undefined> {
    const [row] =
      version === undefined
        ? await this.#query(`SELECT ${agentColumns} FROM parley_agents WHERE agent_id = $1 AND is_newest`, [storedText(agentId)])
        : await this.#query(`SELECT ${agentColumns} FROM parley_agents WHERE agent_id = $1 AND version = $2::double precision`, [
            storedText(agentId),
            version,
          ]);
    return row && agentOf(row);
  }

  async updateAgent(agent: Omit<AgentRecord, 'version' | 'createdAtMs'>, fromVersion: number): Promise<AgentRecord | undefined> {
    // Of two that change the same version one waits for the row of the other, and then finds it no longer the newest.
    const [row] = await this.#query(
      `WITH older AS (
         UPDATE parley_agents SET is_newest = false
         WHERE agent_id = $1 AND version = $7::double precision AND is_newest
         RETURNING version, created_at_ms
       )
       INSERT INTO parley_agents
         (agent_id, version, is_newest, name, name_folded, tags, is_archived, config, created_at_ms, updated_at_ms)
       SELECT $1::text, version + 1, true, $2::text, $3::text, $4::text::jsonb, $5::boolean, $6::text,
         created_at_ms, $8::double precision FROM older
       RETURNING ${agentColumns}`,
      [storedText(agent.agentId), ...agentValues(agent), fromVersion, agent.updatedAtMs],
    );
    return row && agentOf(row);
  }

  async agents(query: AgentQuery): Promise<Page<AgentRecord>> {
    const where = new Conditions('is_newest');
    if (query.isArchived !== undefined) where.add((value) => `is_archived = ${value}`, query.isArchived);
    if (query.search) where.add((value) => `strpos(name_folded, ${value}) > 0`, folded(query.search));
    if (query.tags.length > 0) where.add((value) => `tags @> ${value}::text::jsonb`, JSON.stringify(query.tags.map(storedText)));
    const isByName = query.sortBy === 'name';
    const column = isByName ? 'name_folded' : 'created_at_ms';
    if (query.cursor !== undefined) {
      where.addPlace(column, 'agent_id', query.isDescending, placeOf(query.cursor, isByName ? 'string' : 'number'));
    }
    const size = rowsOfPage(query.pageSize);
    const order = query.isDescending ? 'DESC' : 'ASC';
    const rows = await this.#query(
      `SELECT ${agentColumns} FROM parley_agents WHERE ${where.text} ORDER BY ${column} ${order}, agent_id ${order} LIMIT ${size + 1}`,
      where.values,
    );
    const page = pageOf(
      rows,
      size,
      (row): Place<string | number> => ({
        key: isByName ? textIn(row, column) : numberIn(row, column),
        id: textIn(row, 'agent_id'),
      }),
    );
    return { ...page, items: page.items.map(agentOf) };
  }

  async deleteAgent(agentId: string): Promise<boolean> {
    const rows = await this.#query('DELETE FROM parley_agents WHERE agent_id = $1 RETURNING version', [storedText(agentId)]);
    return rows.length > 0;
  }

  async putResource(resource: Resource): Promise<void> {
    await this.#query(
      `INSERT INTO parley_resources (kind, id, document, created_at_ms) VALUES ($1, $2, $3, $4)
       ON CONFLICT (kind, id) DO UPDATE SET document = excluded.document, created_at_ms = excluded.created_at_ms`,
      [resource.kind, storedId(resource.id), documentText(resource.document), resource.createdAtMs],
    );
  }

  async resource(kind: ResourceKind, id: string): Promise<Resource | undefined> {
    const [row] = await this.#query('SELECT id, document, created_at_ms FROM parley_resources WHERE kind = $1 AND id = $2', [
      kind,
      storedText(id),
    ]);
    return row && resourceOf(kind, row);
  }

  async resources(kind: ResourceKind): Promise<readonly Resource[]> {
    const rows = await this.#query(
      'SELECT id, document, created_at_ms FROM parley_resources WHERE kind = $1 ORDER BY created_at_ms, id',
      [kind],
    );
    return rows.map((row) => resourceOf(kind, row));
  }

  async deleteResource(kind: ResourceKind, id: string): Promise<boolean> {
    const rows = await this.#query('DELETE FROM parley_resources WHERE kind = $1 AND id = $2 RETURNING id', [
      kind,
      storedText(id),
    ]);
    return rows.length > 0;
  }

  async beginConversation(head: ConversationHead): Promise<boolean> {
    const conversationId = storedId(head.conversationId);
    const values = [
      conversationId,
      storedId(head.agentId),
      head.agentVersion,
      head.userId === undefined ? null : storedText(head.userId),
      head.startedAtMs,
      documentText(head.document),
      this.#instanceId,
    ];
    const written = await this.#write(
      conversationId,
      `INSERT INTO parley_conversations
         (conversation_id, agent_id, agent_version, user_id, started_at_ms, status, document, instance_id)
       VALUES ($1, $2, $3, $4, $5, 'in-progress', $6, $7)
       ON CONFLICT (conversation_id) DO NOTHING RETURNING conversation_id`,
      values,
    );
    if (written.length > 0) return true;
    // The same head may come again: of an attempt before that was written after all.
    const same = await this.#query(
      `SELECT status FROM parley_conversations WHERE conversation_id = $1 AND status = 'in-progress' AND started_at_ms = $2::double precision`,
      [conversationId, head.startedAtMs],
    );
    return same.length > 0;
  }

  async putItem(conversationId: string, item: TranscriptItem): Promise<void> {
    const id = storedText(conversationId);
    const values = [id, item.index, documentText(item.document), searchableText(item.document)];
    await this.#write(
      id,
      `INSERT INTO parley_items (conversation_id, item_index, document, message_folded)
       SELECT conversation_id, $2::integer, $3::text, $4::text FROM parley_conversations WHERE conversation_id = $1 FOR KEY SHARE
       ON CONFLICT (conversation_id, item_index)
       DO UPDATE SET document = excluded.document, message_folded = excluded.message_folded`,
      values,
    );
  }

  async endConversation(conversationId: string, ending: ConversationEnding): Promise<void> {
    await this.#amend(conversationId, ending.document, ending);
  }

  async amendConversation(conversationId: string, change: Json): Promise<boolean> {
    return this.#amend(conversationId, change, undefined);
  }

  #amend(conversationId: string, change: Json, ending: ConversationEnding | undefined): Promise<boolean> {
    const id = storedText(conversationId);
    const work = (query: Query): Promise<boolean> => amend(query, id, change, ending);
    return this.#bounded(0, () => this.#writes.run(id, () => this.#connection.transaction(work, storeLimits.queryMs)));
  }

  async conversation(conversationId: string): Promise<ConversationRecord | undefined> {
    const id = storedText(conversationId);
    const [row] = await this.#query(`SELECT ${conversationColumns} FROM parley_conversations c WHERE conversation_id = $1`, [id]);
    if (row === undefined) return undefined;
    const items = await this.#query(
      'SELECT item_index, document FROM parley_items WHERE conversation_id = $1 ORDER BY item_index',
      [id],
    );
    return {
      ...summaryOf(row),
      messageCount: items.length,
      items: items.map((item) => ({ index: numberIn(item, 'item_index'), document: documentOf(textIn(item, 'document')) })),
    };
  }

  async conversations(query: ConversationQuery): Promise<Page<ConversationSummary>> {
    const where = new Conditions('true');
    if (query.agentId !== undefined) where.add((value) => `agent_id = ${value}`, storedText(query.agentId));
    if (query.userId !== undefined) {
      where.add((value) => `left(user_id, 200) = left(${value}, 200) AND user_id = ${value}`, storedText(query.userId));
    }
    if (query.startedBeforeMs !== undefined) where.add((value) => `started_at_ms < ${value}`, query.startedBeforeMs);
    if (query.startedAfterMs !== undefined) where.add((value) => `started_at_ms > ${value}`, query.startedAfterMs);
    if (query.search) {
      where.add(
        (value) =>
          `EXISTS (SELECT FROM parley_items i WHERE i.conversation_id = c.conversation_id AND strpos(i.message_folded, ${value}) > 0)`,
        folded(query.search),
      );
    }
    if (query.cursor !== undefined) where.addPlace('started_at_ms', 'conversation_id', true, placeOf(query.cursor, 'number'));
    const size = rowsOfPage(query.pageSize);
    const rows = await this.#query(
      `SELECT ${conversationColumns} FROM parley_conversations c WHERE ${where.text}
       ORDER BY started_at_ms DESC, conversation_id DESC LIMIT ${size + 1}`,
      where.values,
    );
    const page = pageOf(rows, size, (row) => ({ key: numberIn(row, 'started_at_ms'), id: textIn(row, 'conversation_id') }));
    return { ...page, items: page.items.map(summaryOf) };
  }

  async deleteConversation(conversationId: string): Promise<boolean> {
    const id = storedText(conversationId);
    const rows = await this.#write(
      id,
      `WITH files AS (DELETE FROM parley_files WHERE conversation_id = $1)
       DELETE FROM parley_conversations WHERE conversation_id = $1 RETURNING conversation_id`,
      [id],
    );
    this.#hasDeleted ||= rows.length > 0;
    return rows.length > 0;
  }

  async closeAbandoned(startedBeforeMs: number, ending: ConversationEnding): Promise<readonly string[]> {
    const isHeld = this.#connection.isEmbedded
      ? 'false'
      : `EXISTS (SELECT FROM parley_instances i WHERE i.instance_id = c.instance_id
                 AND i.seen_at > now() - make_interval(secs => ${sqlLimits.aliveMaxMs / 1000}))`;
    const closed: string[] = [];
    for (;;) {
      const close = async (query: Query): Promise<readonly string[]> => {
        const rows = await query(
          `SELECT conversation_id FROM parley_conversations c
           WHERE status = 'in-progress' AND started_at_ms < $1 AND instance_id <> $2 AND NOT ${isHeld}
           ORDER BY started_at_ms LIMIT ${storeLimits.pageMax} FOR UPDATE SKIP LOCKED`,
          [startedBeforeMs, this.#instanceId],
        );
        const found = rows.map((row) => textIn(row, 'conversation_id'));
        for (const id of found) await amend(query, id, ending.document, { ...ending, status: 'failed' });
        return found;
      };
      const ids = await this.#bounded(0, () => this.#connection.transaction(close, storeLimits.queryMs));
      closed.push(...ids);
      // Each round takes rows out of those that the next one looks at, so it ends.
      if (ids.length < storeLimits.pageMax) break;
    }
    await this.#tidy();
    return closed;
  }

  async #tidy(): Promise<void> {
    if (this.#connection.isEmbedded && this.#hasDeleted) {
      this.#hasDeleted = false;
      for (const table of ['parley_items', 'parley_files', 'parley_conversations'])
        await this.#query(`VACUUM (ANALYZE) ${table}`, []);
    }
    await this.#query('DELETE FROM parley_instances WHERE seen_at < now() - make_interval(secs => $1::double precision)', [
      sqlLimits.aliveMaxMs / 1000,
    ]);
  }

  async claimUntold(atMs: number): Promise<readonly { readonly conversationId: string; readonly endedAtMs: number }[]> {
    const rows = await this.#query(
      `WITH due AS (
         SELECT conversation_id, tell_at_ms AS was_due_at_ms FROM parley_conversations
         WHERE tell_at_ms <= $1::double precision AND ended_at_ms IS NOT NULL
         ORDER BY tell_at_ms, conversation_id LIMIT ${storeLimits.untoldMax} FOR NO KEY UPDATE SKIP LOCKED
       ), claimed AS (
         UPDATE parley_conversations c
         SET tell_at_ms = $1::double precision + greatest(${storeLimits.untoldAgainMs}, ($1::double precision - c.ended_at_ms) / 2)
         FROM due WHERE c.conversation_id = due.conversation_id
         RETURNING c.conversation_id, c.ended_at_ms, due.was_due_at_ms
       ) SELECT conversation_id, ended_at_ms FROM claimed ORDER BY was_due_at_ms, conversation_id`,
      [atMs],
    );
    return rows.map((row) => ({ conversationId: textIn(row, 'conversation_id'), endedAtMs: numberIn(row, 'ended_at_ms') }));
  }

  async told(conversationId: string): Promise<void> {
    const id = storedText(conversationId);
    await this.#write(id, 'UPDATE parley_conversations SET tell_at_ms = NULL WHERE conversation_id = $1', [id]);
  }

  async dueConversations(atMs: number): Promise<readonly string[]> {
    const rows = await this.#query(
      `SELECT conversation_id FROM parley_conversations WHERE due_at_ms <= $1
       ORDER BY due_at_ms, conversation_id LIMIT ${storeLimits.pageMax}`,
      [atMs],
    );
    return rows.map((row) => textIn(row, 'conversation_id'));
  }

  async putFile(file: FileRecord): Promise<void> {
    checkFile(file);
    await this.#query(
      `INSERT INTO parley_files (file_id, conversation_id, name, mime_type, bytes, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (file_id) DO UPDATE SET conversation_id = excluded.conversation_id, name = excluded.name,
         mime_type = excluded.mime_type, bytes = excluded.bytes, created_at_ms = excluded.created_at_ms`,
      [
        storedId(file.fileId),
        storedId(file.conversationId),
        storedText(file.name),
        storedText(file.mimeType),
        file.bytes,
        file.createdAtMs,
      ],
    );
  }

  async file(fileId: string): Promise<FileRecord | undefined> {
    const [row] = await this.#query(
      'SELECT file_id, conversation_id, name, mime_type, bytes, created_at_ms FROM parley_files WHERE file_id = $1',
      [storedText(fileId)],
    );
    return row && fileOf(row);
  }

  async deleteFile(fileId: string): Promise<boolean> {
    const rows = await this.#query('DELETE FROM parley_files WHERE file_id = $1 RETURNING file_id', [storedText(fileId)]);
    this.#hasDeleted ||= rows.length > 0;
    return rows.length > 0;
  }

  #query(text: string, values: readonly SqlValue[]): Promise<readonly Row[]> {
    return this.#bounded(bytesOf(values), () => this.#connection.query(text, values));
  }

  /** A statement that writes to a conversation. */
  #write(conversationId: string, text: string, values: readonly SqlValue[]): Promise<readonly Row[]> {
    return this.#bounded(bytesOf(values), () => this.#writes.run(conversationId, () => this.#connection.query(text, values)));
  }

  /** One call of the store: so many at once, so many bytes, so long. */
  async #bounded<Result>(bytes: number, work: () => Promise<Result>): Promise<Result> {
    if (this.#underWay.size >= sqlLimits.callsMax || this.#waitingBytes + bytes > sqlLimits.waitingBytesMax) {
      throw new EngineError('unavailable', `${this.name} does not keep up: ${this.#underWay.size} calls wait.`);
    }
    this.#waitingBytes += bytes;
    const done = this.open()
      .then(work)
      .finally(() => {
        this.#underWay.delete(done);
        this.#waitingBytes -= bytes;
      });
    this.#underWay.add(done);
    return within(done, storeLimits.queryMs, this.name);
  }
}

/** Lays `change` over the document; with `ending`, it has ended. False when there is no such conversation. */
async function amend(query: Query, id: string, change: Json, ending: ConversationEnding | undefined): Promise<boolean> {
  const [row] = await query(
    'SELECT document, ended_at_ms FROM parley_conversations WHERE conversation_id = $1 FOR NO KEY UPDATE',
    [id],
  );
  if (row === undefined) return false;
  const text = amendedText(textIn(row, 'document'), change);
  const endedAtMs = ending?.endedAtMs ?? optionalIn(row, 'ended_at_ms', numberIn);
  await query(
    `UPDATE parley_conversations SET document = $2, status = coalesce($3, status), ended_at_ms = $4, due_at_ms = $5,
       tell_at_ms = coalesce($6::double precision, tell_at_ms)
     WHERE conversation_id = $1`,
    [id, text, ending?.status ?? null, endedAtMs ?? null, dueAtMs(documentOf(text), endedAtMs) ?? null, ending?.tellAtMs ?? null],
  );
  return true;
}

/** Name, folded name, tags, archived, config: in this order in both statements that write an agent. */
function agentValues(agent: Omit<AgentRecord, 'version' | 'createdAtMs'>): readonly SqlValue[] {
  const { name, tags, isArchived, config } = agent;
  return [storedText(name), folded(name), JSON.stringify(tags.map(storedText)), isArchived, documentText(config)];
}

/** Of texts nearly: the characters are counted. */
function bytesOf(values: readonly SqlValue[]): number {
  return values.reduce<number>(
    (sum, value) => sum + (typeof value === 'string' || value instanceof Uint8Array ? value.length : 0),
    0,
  );
}
