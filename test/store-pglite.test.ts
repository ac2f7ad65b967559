/** What is PGlite's alone: kill -9 at any time, one process a folder, a thread that dies, a database of a newer engine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { EngineError } from '../src/shared/errors.js';
import { FolderLock, lockLimits } from '../src/store/folder-lock.js';
import { openStore } from '../src/store/open.js';
import { PgliteConnection, pgliteLimits } from '../src/store/pglite.js';
import { storeLimits } from '../src/store/port.js';
import { SqlStore } from '../src/store/sql.js';

const root = mkdtempSync(join(tmpdir(), 'parley-pglite-'));
const folder = join(root, 'data');
const ending = { status: 'failed', endedAtMs: 5, document: { reason: 'the engine died' } } as const;

function startWriter(run: string, into: string = folder): ChildProcess {
  const file = fileURLToPath(new URL('support/store-writer.js', import.meta.url));
  return spawn(process.execPath, [file, into, run], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function failureOf(work: Promise<unknown>): Promise<EngineError> {
  const error = await work.then(
    () => new Error('no failure'),
    (problem: unknown) => problem,
  );
  if (error instanceof EngineError) return error;
  throw error;
}

test('a process killed while it makes the database leaves nothing half made', async (t) => {
  mkdirSync(folder);
  const watcher = watch(folder);
  const writer = startWriter('making');
  for (;;) {
    const [, name] = (await once(watcher, 'change')) as [string, string];
    if (name === 'database.new') break;
  }
  watcher.close();
  writer.kill('SIGKILL');
  await once(writer, 'exit');
  const store = openStore({ kind: 'pglite', folder });
  await store.open();
  t.same(await store.resources('tool'), []);
  await store.close();
});

test('every item that was acknowledged survives kill -9, again and again', async (t) => {
  const acknowledged = new Map<string, number>();
  for (const [run, count] of [
    ['a', 30],
    ['b', 400],
  ] as const) {
    const writer = startWriter(run);
    let lines = 0;
    for await (const line of createInterface({ input: writer.stdout! })) {
      if (line === 'open') {
        const refused = await failureOf(openStore({ kind: 'pglite', folder }).open());
        t.match(refused, { kind: 'unavailable', fields: { pid: writer.pid } });
        t.match(refused.message, folder, 'one process a folder, and the refusal names it');
        continue;
      }
      const [conversationId, index] = line.split(' ');
      acknowledged.set(conversationId!, Number(index));
      lines += 1;
      // What is still in the pipe was acknowledged too.
      if (lines === count) writer.kill('SIGKILL');
    }
    if (writer.signalCode === null) await once(writer, 'exit');
    t.equal(writer.signalCode, 'SIGKILL');
  }
  const store = openStore({ kind: 'pglite', folder });
  for (const [conversationId, last] of acknowledged) {
    const record = await store.conversation(conversationId);
    const items = record?.items ?? [];
    t.ok(items.length > last && items.length <= last + 2, `${conversationId}: ${items.length} items, ${last + 1} acknowledged`);
    t.ok(
      items.every(
        ({ index, document }, place) => index === place && String(document['message']).startsWith(`${conversationId} ${index} `),
      ),
    );
  }
  const startedAfterAll = Date.now() + 1;
  t.same(await store.closeAbandoned(0, ending), [], 'none began before');
  t.same([...(await store.closeAbandoned(startedAfterAll, ending))].sort(), [...acknowledged.keys()].sort());
  t.match(await store.conversation('conv_b_one'), { status: 'failed', endedAtMs: 5, document: ending.document });
  t.same(await store.closeAbandoned(startedAfterAll, ending), []);
  await store.close();
});

test('a statement that does not end costs the thread, which is started again once', async (t) => {
  const connection = new PgliteConnection(folder, { ...pgliteLimits, statementMs: 2000 });
  const store = new SqlStore(connection, (problem) => t.fail(problem.message));
  t.teardown(() => store.close());
  await store.putResource({ kind: 'tool', id: 'kept', document: { a: 1 }, createdAtMs: 1 });
  const endless = (): Promise<unknown> => connection.query('SELECT count(*) FROM generate_series(1, 1000000000)', []);
  const [first, behind] = await Promise.all([failureOf(endless()), store.resource('tool', 'kept')]);
  t.equal(first.kind, 'timeout');
  t.same(behind?.document, { a: 1 }, 'what waited behind it is answered by the next thread');
  const inTransaction = connection.transaction((query) => query('SELECT count(*) FROM generate_series(1, 1000000000)', []), 300);
  t.equal((await failureOf(inTransaction)).kind, 'timeout');
  const refused = await failureOf(store.resource('tool', 'kept'));
  t.equal(refused.kind, 'unavailable', 'the second time within a minute it is left alone');
});

test('what was asked before the store is closed is written', async (t) => {
  const store = openStore({ kind: 'pglite', folder });
  // The end waits for three seconds, which a busy machine may need for the opening alone.
  await store.open();
  const head = { conversationId: 'conv_closing', agentId: 'a', agentVersion: 1, userId: undefined, startedAtMs: 1, document: {} };
  const writes: Promise<unknown>[] = [store.beginConversation(head)];
  for (let index = 0; index < 100; index += 1) writes.push(store.putItem('conv_closing', { index, document: { index } }));
  writes.push(store.endConversation('conv_closing', { status: 'done', endedAtMs: 2, document: {} }));
  const written = Promise.all(writes);
  const closing = store.close();
  t.equal((await failureOf(store.putItem('conv_closing', { index: 100, document: {} }))).kind, 'unavailable');
  await Promise.all([closing, written]);
  const again = openStore({ kind: 'pglite', folder });
  t.match(await again.conversation('conv_closing'), { status: 'done', messageCount: 100 });
  await again.close();
});

test('statements that the database refuses leave the connection as it was', async (t) => {
  const connection = new PgliteConnection(folder);
  t.teardown(() => connection.close());
  t.match(await failureOf(connection.query('SELECT 1 / $1::integer', [0])), { kind: 'broken', fields: { state: '22012' } });
  const inside = connection.transaction(async (query) => {
    await query(`INSERT INTO parley_resources VALUES ('tool', 'undone', '{}', 1)`, []);
    await query('SELECT nonsense', []);
  }, storeLimits.queryMs);
  const outside = connection.query(`SELECT count(*)::integer AS count FROM parley_resources WHERE id = 'undone'`, []);
  t.equal((await failureOf(inside)).kind, 'broken');
  t.same(await outside, [{ count: 0 }]);
});

test('a database of a newer engine is not touched', async (t) => {
  const connection = new PgliteConnection(folder);
  await connection.query('INSERT INTO parley_migrations (number) VALUES (999)', []);
  await connection.close();
  const store = openStore({ kind: 'pglite', folder });
  const refused = await failureOf(store.open());
  t.equal(refused.kind, 'config');
  t.match(refused.message, 'made by a newer engine (its tables are at step 999');
  t.equal((await failureOf(store.agent('a'))).kind, 'config');
  await store.close();
});

test('a store that was never used leaves nothing, one that is closed at once neither', async (t) => {
  const unused = openStore({ kind: 'pglite', folder: join(root, 'unused') });
  await unused.close();
  t.notOk(existsSync(join(root, 'unused')));
  const hasty = openStore({ kind: 'pglite', folder });
  const opening = failureOf(hasty.open());
  await hasty.close();
  t.equal((await opening).kind, 'aborted', 'nobody failed');
  const lock = await FolderLock.take(folder);
  t.match((await failureOf(FolderLock.take(folder))).message, folder, 'not even twice in one process');
  lock.release();
  const file = join(root, 'file');
  writeFileSync(file, '');
  t.equal((await failureOf(openStore({ kind: 'pglite', folder: join(file, 'below') }).open())).kind, 'config');
});

test('a lock that nobody holds any more is taken over', async (t) => {
  const path = join(folder, 'parley.lock');
  const left = async (text: string, ageMs: number): Promise<void> => {
    writeFileSync(path, text);
    const at = new Date(Date.now() - ageMs);
    utimesSync(path, at, at);
    (await FolderLock.take(folder)).release();
  };
  await left('', lockLimits.oldMs + 1000);
  await left('{"world":"another machine","pid":1,"startedAt":"1"}', lockLimits.oldMs + 1000);
  const lock = await FolderLock.take(folder);
  t.teardown(() => lock.release());
  t.pass('cut off while it was written, and of another machine');
});

test('at the end', (t) => {
  rmSync(root, { recursive: true, force: true });
  t.end();
});
