/**
 * One conformance test of every store: memory and PGlite always, Postgres when PARLEY_TEST_POSTGRES is the URL of a database for tests (what
 * is in the engine's tables there is lost). Then a property: any sequence of calls gives the same answers on memory and on PGlite.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import { EngineError } from '../src/shared/errors.js';
import { MemoryStore, memoryLimits } from '../src/store/memory.js';
import { migrations } from '../src/store/migrations.js';
import { openStore, parseStoreUrl, storeVariable } from '../src/store/open.js';
import {
  type AgentQuery,
  type AgentRecord,
  type ConversationHead,
  type ConversationQuery,
  type FileRecord,
  type Json,
  type Page,
  type Store,
  storeLimits,
} from '../src/store/port.js';
import { PostgresConnection } from '../src/store/postgres.js';
import { sqlLimits } from '../src/store/sql.js';

const startMs = 1_700_000_000_000;
const dayMs = 24 * 3600_000;

function newAgent(agentId: string, change: Partial<AgentRecord> = {}): Omit<AgentRecord, 'version'> {
  const agent = { name: agentId, tags: [], isArchived: false, config: { conversation_config: {} }, createdAtMs: startMs };
  return { agentId, updatedAtMs: startMs, ...agent, ...change };
}

function newHead(conversationId: string, change: Partial<ConversationHead> = {}): ConversationHead {
  return {
    conversationId,
    agentId: 'agent_x',
    agentVersion: 1,
    userId: undefined,
    startedAtMs: startMs,
    document: {},
    ...change,
  };
}

function newFile(fileId: string, change: Partial<FileRecord> = {}): FileRecord {
  const bytes = new Uint8Array([0, 1, 127, 128, 255]);
  return { fileId, conversationId: 'none', name: 'a.png', mimeType: 'image/png', bytes, createdAtMs: startMs, ...change };
}

const allAgents: AgentQuery = {
  pageSize: 30,
  cursor: undefined,
  search: undefined,
  isArchived: undefined,
  tags: [],
  sortBy: 'created_at',
  isDescending: false,
};
const allConversations: ConversationQuery = {
  pageSize: 30,
  cursor: undefined,
  agentId: undefined,
  userId: undefined,
  startedBeforeMs: undefined,
  startedAfterMs: undefined,
  search: undefined,
};

/** Every page to the end. `onPage` is called between two of them. */
async function everyPage<Item>(
  read: (cursor: string | undefined) => Promise<Page<Item>>,
  onPage: () => Promise<void> = async () => {},
): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | undefined;
  do {
    const page = await read(cursor);
    items.push(...page.items);
    cursor = page.nextCursor;
    if (cursor !== undefined) await onPage();
  } while (cursor !== undefined);
  return items;
}

/** The kind of the `EngineError` that `work` fails with. */
async function failureKind(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return error instanceof EngineError ? error.kind : `no EngineError: ${error}`;
  }
  return 'no failure';
}

const hostileTexts = [
  `'; DROP TABLE parley_agents; --`,
  `"quoted" \\ back\\slash $1 $$ %s {} /* */`,
  'ß Ωμέγα 你好 🎧🏳️‍🌈 \u202e\u0301',
  'line\nbreak\ttab\r\u0007\u2028',
  `__proto__`,
];
const deep = (depth: number): Json => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`) as Json;

async function conformance(t: Test, store: Store): Promise<void> {
  await store.open();

  await t.test('agents have versions, and only the newest is changed', async (t) => {
    const config = { conversation_config: { agent: { first_message: 'Hi' } }, list: [1, 2.5, null, true] };
    const made = await store.createAgent(newAgent('agent_v', { name: 'One', tags: ['a', 'b'], config }));
    t.same(made, { ...newAgent('agent_v', { name: 'One', tags: ['a', 'b'], config }), version: 1 });
    t.equal(await failureKind(store.createAgent(newAgent('agent_v'))), 'rejected');
    const change = newAgent('agent_v', { name: 'Two', updatedAtMs: startMs + 5 });
    const both = await Promise.all([store.updateAgent(change, 1), store.updateAgent(change, 1)]);
    t.equal(both.filter((answer) => answer !== undefined).length, 1, 'one of two changes of the same version wins');
    t.match(await store.agent('agent_v'), { version: 2, name: 'Two', createdAtMs: startMs, updatedAtMs: startMs + 5 });
    t.same(await store.agent('agent_v', 1), made);
    t.equal(await store.agent('agent_v', 3), undefined);
    t.equal(await store.agent('agent_v', 0.5), undefined);
    t.equal(await store.updateAgent(change, 1), undefined);
    t.equal(await store.updateAgent(newAgent('agent_unknown'), 1), undefined);
    t.equal(await store.deleteAgent('agent_v'), true);
    t.equal(await store.deleteAgent('agent_v'), false);
    t.equal(await store.agent('agent_v', 1), undefined, 'older versions go too');
  });

  await t.test('agents are found by name, tags and state, sorted, page by page while others are made', async (t) => {
    const names = ['beta', 'Alpha', 'Émile', 'alpha', 'zeta', 'Ωmega', 'e\u0301mile the second', '🎧', '\uffff'];
    for (const [index, name] of names.entries()) {
      const change = {
        name,
        createdAtMs: startMs + (index % 4),
        isArchived: index === 4,
        tags: index % 2 ? ['odd', 'x'] : ['x'],
      };
      await store.createAgent(newAgent(`agent_${index}`, change));
    }
    const found = async (query: Partial<AgentQuery>): Promise<string[]> =>
      (await everyPage((cursor) => store.agents({ ...allAgents, pageSize: 2, ...query, cursor }))).map(({ name }) => name);
    t.same(await found({ sortBy: 'name' }), [
      'Alpha',
      'alpha',
      'beta',
      'zeta',
      'Émile',
      'e\u0301mile the second',
      'Ωmega',
      '\uffff',
      '🎧',
    ]);
    t.same(await found({ tags: ['odd', 'x'], sortBy: 'name' }), ['Alpha', 'alpha', 'Ωmega', '🎧']);
    t.same(await found({ tags: ['none'] }), []);
    t.same(await found({ isArchived: true }), ['zeta']);
    t.equal((await found({ isArchived: false })).length, names.length - 1);
    t.same(await found({ search: 'ALPH', sortBy: 'name', isDescending: true }), ['alpha', 'Alpha']);
    t.same(await found({ search: 'ÉM', sortBy: 'name' }), ['Émile', 'e\u0301mile the second']);
    t.same(await found({ search: '%' }), [], 'no pattern characters');
    t.same(await found({}), ['beta', 'zeta', '\uffff', 'Alpha', 'Ωmega', 'Émile', 'e\u0301mile the second', 'alpha', '🎧']);
    let made = 0;
    const grown = await everyPage(
      (cursor) => store.agents({ ...allAgents, pageSize: 2, cursor, sortBy: 'name' }),
      async () => {
        // Before the place of the cursor and behind it.
        await store.createAgent(newAgent(`agent_new_${made}`, { name: made % 2 ? 'aa' : 'zz' }));
        made += 1;
      },
    );
    const old = grown.filter(({ agentId }) => !agentId.startsWith('agent_new')).map(({ agentId }) => agentId);
    t.same([...new Set(old)], old, 'no row twice');
    t.equal(old.length, names.length, 'no row is left out');
    t.equal(await failureKind(store.agents({ ...allAgents, cursor: 'nonsense' })), 'rejected');
    const { nextCursor } = await store.agents({ ...allAgents, pageSize: 1, sortBy: 'name' });
    t.equal(await failureKind(store.agents({ ...allAgents, cursor: nextCursor })), 'rejected', 'a cursor of another order');
    t.equal((await store.agents({ ...allAgents, pageSize: -5 })).items.length, 1);
    const all = await everyPage((cursor) => store.agents({ ...allAgents, cursor }));
    await Promise.all(all.map(({ agentId }) => store.deleteAgent(agentId)));
    t.same((await store.agents(allAgents)).items, []);
  });

  await t.test('resources are kept by kind and id', async (t) => {
    const tool = { kind: 'tool', id: 'tool_1', document: { a: 1 }, createdAtMs: 2 } as const;
    const other = { kind: 'tool', id: 'tool_0', document: {}, createdAtMs: 1 } as const;
    await store.putResource({ kind: 'secret', id: 'tool_1', document: { secret: true }, createdAtMs: 1 });
    await store.putResource({ ...tool, document: { old: true } });
    await store.putResource(tool);
    await store.putResource(other);
    t.same(await store.resource('tool', 'tool_1'), tool);
    t.same(await store.resources('tool'), [other, tool]);
    t.same(await store.resources('mcp_server'), []);
    t.equal(await store.resource('mcp_server', 'tool_1'), undefined);
    t.equal(await store.deleteResource('tool', 'tool_1'), true);
    t.equal(await store.deleteResource('tool', 'tool_1'), false);
    t.equal((await store.resource('secret', 'tool_1'))?.document['secret'], true);
    t.equal(await store.deleteResource('secret', 'tool_1'), true);
    t.equal(await store.deleteResource('tool', 'tool_0'), true);
  });

  await t.test('a conversation from its head to its ending', async (t) => {
    const head = newHead('conv_1', { userId: 'user', agentVersion: 3, document: { text_only: false, kept: 1, changed: 1 } });
    await store.beginConversation(head);
    t.same(await store.conversation('conv_1'), {
      ...head,
      status: 'in-progress',
      endedAtMs: undefined,
      messageCount: 0,
      items: [],
    });
    t.equal(await store.beginConversation({ ...head, agentId: 'somebody_else' }), true, 'the first word stands');
    t.equal(await store.beginConversation({ ...head, startedAtMs: startMs + 1 }), false, 'another conversation');
    await store.putItem('conv_1', { index: 1, document: { role: 'user', message: 'second' } });
    await store.putItem('conv_1', { index: 0, document: { role: 'agent', message: 'first' } });
    await store.putItem('conv_1', { index: 1, document: { role: 'user', message: 'second, replaced' } });
    await store.endConversation('conv_1', { status: 'done', endedAtMs: startMs + 9, document: { changed: 2, cost: 3 } });
    t.equal(await store.amendConversation('conv_1', { feedback: { score: 'like' }, left: undefined }), true);
    t.same(await store.conversation('conv_1'), {
      ...head,
      document: { text_only: false, kept: 1, changed: 2, cost: 3, feedback: { score: 'like' } },
      status: 'done',
      endedAtMs: startMs + 9,
      messageCount: 2,
      items: [
        { index: 0, document: { role: 'agent', message: 'first' } },
        { index: 1, document: { role: 'user', message: 'second, replaced' } },
      ],
    });
    t.equal(await store.beginConversation(head), false, 'it has ended');
    await store.putItem('conv_unknown', { index: 0, document: {} });
    await store.endConversation('conv_unknown', { status: 'done', endedAtMs: 1, document: {} });
    t.equal(await store.amendConversation('conv_unknown', {}), false);
    t.equal(await store.conversation('conv_unknown'), undefined);
    t.same(await store.closeAbandoned(startMs * 2, { status: 'failed', endedAtMs: 1, document: {} }), [], 'its own are held');
    await store.putFile(newFile('file_1', { conversationId: 'conv_1' }));
    await store.putFile(newFile('file_2', { conversationId: 'conv_gone' }));
    t.equal(await store.deleteConversation('conv_1'), true);
    t.equal(await store.deleteConversation('conv_1'), false);
    t.equal(await store.deleteConversation('conv_gone'), false);
    t.equal(await store.conversation('conv_1'), undefined);
    t.equal(await store.file('file_1'), undefined, 'with its files');
    t.equal(await store.file('file_2'), undefined);
    await store.beginConversation(head);
    t.same((await store.conversation('conv_1'))?.items, [], 'and its transcript');
    await store.deleteConversation('conv_1');
  });

  await t.test('what has to go, by the document of each conversation', async (t) => {
    const privacies: readonly (Json | undefined)[] = [
      { retention_days: 2 },
      { retention_days: -1 },
      { retention_days: 2, delete_transcript_and_pii: true },
      { retention_days: 1, record_voice: true },
      undefined,
    ];
    for (const [index, privacy] of privacies.entries()) {
      const conversationId = `conv_due${index}`;
      await store.beginConversation(newHead(conversationId, { document: privacy === undefined ? {} : { privacy } }));
    }
    t.same(await store.dueConversations(startMs * 2), [], 'not before they have ended');
    for (const [index] of privacies.entries()) {
      await store.endConversation(`conv_due${index}`, { status: 'done', endedAtMs: startMs + index, document: {} });
    }
    t.same(await store.dueConversations(startMs + 1), [], 'nor before it is time');
    t.same(await store.dueConversations(startMs + 2), ['conv_due2']);
    t.same(await store.dueConversations(startMs + 2 * dayMs), ['conv_due2', 'conv_due4', 'conv_due3', 'conv_due0']);
    await store.amendConversation('conv_due2', { privacy: { retention_days: 3 } });
    await store.amendConversation('conv_due4', { privacy: { retention_days: -1 } });
    t.same(await store.dueConversations(startMs + 2 * dayMs), ['conv_due3', 'conv_due0'], 'what was done is due no more');
    for (const [index] of privacies.entries()) await store.deleteConversation(`conv_due${index}`);
  });

  await t.test('whose end is still to be told', async (t) => {
    const idsAt = async (atMs: number): Promise<string[]> =>
      (await store.claimUntold(atMs)).map(({ conversationId }) => conversationId);
    for (const [index, tellAtMs] of [300, 100, undefined, 200].entries()) {
      await store.beginConversation(newHead(`conv_untold${index}`));
      await store.endConversation(`conv_untold${index}`, {
        ...{ status: 'done', endedAtMs: startMs, document: {} },
        ...(tellAtMs === undefined ? {} : { tellAtMs: startMs + tellAtMs }),
      });
    }
    t.same(await store.claimUntold(startMs + 99), []);
    t.same(await store.claimUntold(startMs + 200), [
      { conversationId: 'conv_untold1', endedAtMs: startMs },
      { conversationId: 'conv_untold3', endedAtMs: startMs },
    ]);
    t.same(await idsAt(startMs + 300), ['conv_untold0'], 'claimed ones are put off');
    await store.told('conv_untold1');
    await store.told('conv_nobody');
    // What is written about the end later does not unsay it.
    await store.endConversation('conv_untold3', { status: 'failed', endedAtMs: startMs + 1, document: {} });
    const minuteMs = storeLimits.untoldAgainMs;
    t.same(await idsAt(startMs + 200 + minuteMs), ['conv_untold3'], 'for a minute, while they are young');
    t.same(await idsAt(startMs + 200 + 10 * minuteMs), ['conv_untold0', 'conv_untold3']);
    t.same(await idsAt(startMs + 200 + 14 * minuteMs), [], 'then for half of their age');
    t.same(await idsAt(startMs + 200 + 16 * minuteMs), ['conv_untold3', 'conv_untold0']);
    for (const index of [0, 1, 2, 3]) await store.deleteConversation(`conv_untold${index}`);
    t.same(await idsAt(startMs * 2), []);
  });

  await t.test('what is written without waiting keeps its order', async (t) => {
    const document = { role: 'user', message: 'x'.repeat(2000) };
    const items = Array.from({ length: 100 }, (_, index) =>
      store.putItem('conv_order', { index, document: { ...document, index } }),
    );
    t.same(
      await Promise.all(items),
      items.map(() => undefined),
      'dropped: it has not begun',
    );
    const writes: Promise<unknown>[] = [store.beginConversation(newHead('conv_order'))];
    for (let index = 0; index < 100; index += 1) {
      writes.push(store.putItem('conv_order', { index, document: { message: 'early' } }));
      writes.push(store.putItem('conv_order', { index, document: { ...document, index } }));
    }
    writes.push(store.endConversation('conv_order', { status: 'done', endedAtMs: 5, document: { last: true } }));
    await Promise.all(writes);
    const record = await store.conversation('conv_order');
    t.match(record, { status: 'done', messageCount: 100, document: { last: true } });
    t.same(
      record?.items.map((item) => item.document['index']),
      Array.from({ length: 100 }, (_, index) => index),
    );
    await store.deleteConversation('conv_order');
    const parallel = Array.from({ length: 100 }, async (_, index) => {
      const conversationId = `conv_parallel_${index}`;
      await store.beginConversation(newHead(conversationId));
      await store.putItem(conversationId, { index: 0, document: { index } });
      const held = await store.conversation(conversationId);
      return (await store.deleteConversation(conversationId)) ? held?.items[0]?.document['index'] : undefined;
    });
    t.same(
      await Promise.all(parallel),
      Array.from({ length: 100 }, (_, index) => index),
    );
  });

  await t.test('conversations are listed newest first, and found', async (t) => {
    for (let index = 0; index < 11; index += 1) {
      const change = {
        agentId: `agent_${index % 2}`,
        userId: index % 3 ? 'u' : undefined,
        startedAtMs: startMs + Math.floor(index / 2),
      };
      await store.beginConversation(newHead(`conv_${String(index).padStart(2, '0')}`, change));
      await store.putItem(`conv_${String(index).padStart(2, '0')}`, {
        index: 0,
        document: { message: `Number ${index}_% 'Ärger'` },
      });
    }
    const found = async (query: Partial<ConversationQuery>, onPage?: () => Promise<void>): Promise<string> =>
      (await everyPage((cursor) => store.conversations({ ...allConversations, pageSize: 3, ...query, cursor }), onPage))
        .map(({ conversationId }) => conversationId.slice(5))
        .join(' ');
    t.equal(await found({}), '10 09 08 07 06 05 04 03 02 01 00');
    t.equal(await found({ agentId: 'agent_1' }), '09 07 05 03 01');
    t.equal(await found({ userId: 'u', agentId: 'agent_1' }), '07 05 01');
    t.equal(await found({ userId: 'nobody' }), '');
    t.equal(await found({ startedAfterMs: startMs + 1, startedBeforeMs: startMs + 4 }), '07 06 05 04');
    t.equal(await found({ search: 'ÄRGER' }), '10 09 08 07 06 05 04 03 02 01 00');
    t.equal(await found({ search: 'number 1' }), '10 01');
    t.equal(await found({ search: `1_% '` }), '01');
    t.equal(await found({ search: '' }), '10 09 08 07 06 05 04 03 02 01 00');
    let made = 0;
    const begin = async (): Promise<void> => {
      made += 1;
      await store.beginConversation(newHead(`conv_n${made}`, { startedAtMs: startMs + 100 }));
      await store.deleteConversation('conv_10');
    };
    t.equal(
      await found({}, begin),
      '10 09 08 07 06 05 04 03 02 01 00',
      'new ones come before the first page, and the last seen may go',
    );
    for (const index of [3, 5, 4]) {
      await store.endConversation(`conv_0${index}`, { status: index === 3 ? 'failed' : 'done', endedAtMs: index, document: {} });
    }
    t.equal(await failureKind(store.conversations({ ...allConversations, cursor: 'WyJhIiwiYiJd' })), 'rejected');
    const all = await everyPage((cursor) => store.conversations({ ...allConversations, cursor }));
    await Promise.all(all.map(({ conversationId }) => store.deleteConversation(conversationId)));
    t.equal(await found({}), '');
    await store.closeAbandoned(0, { status: 'failed', endedAtMs: 1, document: {} });
  });

  await t.test('hostile and odd text comes back as it was; names and ids without what no database holds', async (t) => {
    for (const text of hostileTexts) {
      const head = newHead(text, { agentId: text, userId: text, document: { [text]: text, text } });
      await store.beginConversation(head);
      await store.putItem(text, { index: 0, document: { message: text, [text]: [text] } });
      const record = await store.conversation(text);
      t.same(record, { ...head, status: 'in-progress', endedAtMs: undefined, messageCount: 1, items: record?.items });
      t.same(record?.items[0]?.document, { message: text, [text]: [text] });
      const query = { ...allConversations, agentId: text, userId: text, search: text };
      t.same(
        (await store.conversations(query)).items.map(({ conversationId }) => conversationId),
        [text],
      );
      t.equal(await store.deleteConversation(text), true);
      await store.createAgent(newAgent(text, { tags: [text], config: { [text]: text } }));
      const agents = await store.agents({ ...allAgents, tags: [text], search: text });
      t.same(
        agents.items.map(({ agentId, name, tags, config }) => [agentId, name, tags, config]),
        [[text, text, [text], { [text]: text }]],
      );
      t.equal(await store.deleteAgent(text), true);
    }
    const odd = 'a\0b\ud800';
    const document = { [odd]: odd, message: odd, order: { z: 1, a: 2, 10: 3 } };
    await store.beginConversation(newHead(odd, { userId: odd, agentId: odd, document }));
    await store.putItem(odd, { index: 0, document });
    const record = await store.conversation(odd);
    t.same(
      [record?.conversationId, record?.userId, record?.agentId],
      Array.from({ length: 3 }, () => 'a\ufffdb\ufffd'),
    );
    t.equal(JSON.stringify(record?.document), JSON.stringify(document));
    t.equal(JSON.stringify(record?.items[0]?.document), JSON.stringify(document));
    t.equal((await store.conversations({ ...allConversations, search: '\0B', userId: odd })).items.length, 1);
    t.equal(await store.deleteConversation(odd), true);
    t.equal(await store.agent('\0'), undefined);
    t.equal(await store.file('x'.repeat(100_000)), undefined);
    t.equal(await failureKind(store.beginConversation(newHead('x'.repeat(storeLimits.idCharactersMax + 1)))), 'rejected');
    await store.beginConversation(newHead('\u{1f3a7}'.repeat(storeLimits.idCharactersMax / 2), { userId: 'u'.repeat(50_000) }));
    t.equal((await store.conversations({ ...allConversations, userId: 'u'.repeat(50_000) })).items.length, 1);
    await store.deleteConversation('\u{1f3a7}'.repeat(storeLimits.idCharactersMax / 2));
    t.equal(await failureKind(store.beginConversation(newHead('conv_deep', { document: deep(100_000) }))), 'rejected');
    await store.beginConversation(newHead('conv_deep', { document: deep(1000) }));
    t.equal(JSON.stringify((await store.conversation('conv_deep'))?.document), JSON.stringify(deep(1000)));
    await store.deleteConversation('conv_deep');
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = cyclic;
    t.equal(await failureKind(store.putResource({ kind: 'tool', id: 't', document: cyclic, createdAtMs: 1 })), 'rejected');
  });

  await t.test('big documents', async (t) => {
    const message = 'Wörter und 🎧 '.repeat(70_000);
    t.ok(Buffer.byteLength(message) > 1024 * 1024, 'more than 1 MB');
    await store.beginConversation(newHead('conv_big', { document: { message } }));
    await store.putItem('conv_big', { index: 0, document: { message } });
    const record = await store.conversation('conv_big');
    t.equal(record?.document['message'], message);
    t.equal(record?.items[0]?.document['message'], message);
    t.equal((await store.conversations({ ...allConversations, search: '🎧 WÖRTER' })).items.length, 1);
    await store.deleteConversation('conv_big');
    await store.createAgent(newAgent('agent_big', { name: message, config: { message } }));
    const page = await store.agents({ ...allAgents, sortBy: 'name', pageSize: 1 });
    t.equal(page.items[0]?.config['message'], message);
    await store.deleteAgent('agent_big');
  });

  await t.test('files with their bytes', async (t) => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 7919) >> 3);
    const file = newFile('file_1', { name: `über '1'.png`, bytes });
    await store.putFile(file);
    const kept = bytes.slice();
    bytes.fill(0);
    t.same(await store.file('file_1'), { ...file, bytes: kept }, 'a copy was kept');
    await store.putFile({ ...file, bytes: new Uint8Array(0) });
    t.equal((await store.file('file_1'))?.bytes.length, 0);
    t.equal(await store.deleteFile('file_1'), true);
    t.equal(await store.deleteFile('file_1'), false);
    t.equal(await store.file('file_1'), undefined);
    const full = newFile('file_full', { bytes: new Uint8Array(storeLimits.fileBytesMax).fill(7) });
    await store.putFile(full);
    const read = await store.file('file_full');
    t.ok(read !== undefined && Buffer.compare(read.bytes, full.bytes) === 0, 'the biggest file');
    await store.deleteFile('file_full');
    const tooBig = newFile('file_big', { bytes: new Uint8Array(storeLimits.fileBytesMax + 1) });
    t.equal(await failureKind(store.putFile(tooBig)), 'rejected');
  });
}

const ids = ['a', 'b', 'c'];
const id = fc.constantFrom(...ids);
const word = fc.constantFrom('', 'Hello', 'hello you', 'ÄÖ', 'a\0', '%', '🎧');
const instant = fc.integer({ min: 0, max: 5 });
const privacy = fc.record(
  { retention_days: fc.integer({ min: -1, max: 2 }), delete_audio: fc.boolean(), record_voice: fc.boolean() },
  { requiredKeys: [] },
);
const document: fc.Arbitrary<Json> = fc.record(
  { message: word, extra: fc.jsonValue({ maxDepth: 2 }), privacy: fc.oneof(privacy, fc.constantFrom(null, 'x')) },
  { requiredKeys: ['message', 'extra'] },
);
const optional = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> => fc.option(value, { nil: undefined });
const tags = fc.subarray(['x', 'y']);

type Call = { readonly says: string; readonly run: (store: Store) => Promise<unknown> };
const call = (says: string, run: (store: Store) => Promise<unknown>): Call => ({ says, run });

const anyCall: fc.Arbitrary<Call> = fc.oneof(
  fc
    .tuple(id, word, tags, fc.boolean(), document, instant)
    .map(([agentId, name, tags, isArchived, config, atMs]) =>
      call(`createAgent ${agentId}`, (store) =>
        store.createAgent({ agentId, name, tags, isArchived, config, createdAtMs: atMs, updatedAtMs: atMs }),
      ),
    ),
  fc
    .tuple(id, word, tags, document, fc.integer({ min: 1, max: 3 }))
    .map(([agentId, name, tags, config, version]) =>
      call(`updateAgent ${agentId} ${version}`, (store) =>
        store.updateAgent({ agentId, name, tags, isArchived: false, config, updatedAtMs: 9 }, version),
      ),
    ),
  fc
    .tuple(id, optional(fc.integer({ min: 1, max: 3 })))
    .map(([agentId, version]) => call(`agent ${agentId} ${version}`, (store) => store.agent(agentId, version))),
  id.map((agentId) => call(`deleteAgent ${agentId}`, (store) => store.deleteAgent(agentId))),
  fc
    .record({
      search: optional(word),
      isArchived: optional(fc.boolean()),
      tags,
      sortBy: fc.constantFrom('name', 'created_at'),
      isDescending: fc.boolean(),
      pageSize: fc.integer({ min: 1, max: 3 }),
    })
    .map((query) => call('agents', (store) => everyPage((cursor) => store.agents({ ...query, cursor })))),
  fc
    .tuple(id, document, instant)
    .map(([resourceId, document, createdAtMs]) =>
      call(`putResource ${resourceId}`, (store) => store.putResource({ kind: 'tool', id: resourceId, document, createdAtMs })),
    ),
  fc.constant(call('resources', (store) => store.resources('tool'))),
  id.map((resourceId) => call(`deleteResource ${resourceId}`, (store) => store.deleteResource('tool', resourceId))),
  fc
    .tuple(id, id, optional(word), instant, document)
    .map(([conversationId, agentId, userId, startedAtMs, document]) =>
      call(`begin ${conversationId}`, (store) =>
        store.beginConversation({ conversationId, agentId, agentVersion: 1, userId, startedAtMs, document }),
      ),
    ),
  fc
    .tuple(id, fc.integer({ min: 0, max: 3 }), document)
    .map(([conversationId, index, document]) =>
      call(`putItem ${conversationId} ${index}`, (store) => store.putItem(conversationId, { index, document })),
    ),
  fc
    .tuple(id, fc.constantFrom('done', 'failed'), instant, document)
    .map(([conversationId, status, endedAtMs, document]) =>
      call(`end ${conversationId}`, (store) => store.endConversation(conversationId, { status, endedAtMs, document })),
    ),
  fc
    .tuple(id, document)
    .map(([conversationId, change]) =>
      call(`amend ${conversationId}`, (store) => store.amendConversation(conversationId, change)),
    ),
  id.map((conversationId) => call(`conversation ${conversationId}`, (store) => store.conversation(conversationId))),
  fc
    .record({
      agentId: optional(id),
      userId: optional(word),
      startedBeforeMs: optional(instant),
      startedAfterMs: optional(instant),
      search: optional(word),
      pageSize: fc.integer({ min: 1, max: 3 }),
    })
    .map((query) => call('conversations', (store) => everyPage((cursor) => store.conversations({ ...query, cursor })))),
  id.map((conversationId) => call(`deleteConversation ${conversationId}`, (store) => store.deleteConversation(conversationId))),
  instant.map((atMs) =>
    call('closeAbandoned', (store) => store.closeAbandoned(atMs, { status: 'failed', endedAtMs: atMs, document: {} })),
  ),
  fc
    .tuple(fc.integer({ min: 0, max: 2 }), instant)
    .map(([days, atMs]) => call('due', (store) => store.dueConversations(days * dayMs + atMs))),
  fc
    .tuple(id, id, word, fc.uint8Array({ maxLength: 9 }))
    .map(([fileId, conversationId, name, bytes]) =>
      call(`putFile ${fileId}`, (store) =>
        store.putFile({ fileId, conversationId, name, mimeType: 'text/plain', bytes, createdAtMs: 1 }),
      ),
    ),
  id.map((fileId) => call(`file ${fileId}`, (store) => store.file(fileId))),
  id.map((fileId) => call(`deleteFile ${fileId}`, (store) => store.deleteFile(fileId))),
);

/** What a call gave, or the kind of its failure. */
async function answerOf(store: Store, { run }: Call): Promise<unknown> {
  try {
    return await run(store);
  } catch (error) {
    if (error instanceof EngineError) return { failed: error.kind };
    throw error;
  }
}

async function emptied(store: Store): Promise<void> {
  for (const each of ids) {
    await store.deleteAgent(each);
    await store.deleteResource('tool', each);
    await store.deleteConversation(each);
    await store.deleteFile(each);
  }
}

test('memory', async (t) => {
  const store = openStore({ kind: 'memory' });
  await conformance(t, store);
  await store.close();
});

test('memory forgets the oldest first', async (t) => {
  const store = new MemoryStore({ ...memoryLimits, conversationsMax: 3, charactersMax: 1000, filesMax: 3, fileBytesMax: 100 });
  const known = async (): Promise<string[]> =>
    (await store.conversations(allConversations)).items.map(({ conversationId }) => conversationId);
  for (let index = 0; index < 5; index += 1) {
    await store.beginConversation(newHead(`c${index}`, { startedAtMs: startMs + index }));
    await store.putFile(newFile(`f${index}`, { conversationId: `c${index}` }));
  }
  t.same(await known(), ['c4', 'c3', 'c2']);
  t.equal(await store.file('f1'), undefined);
  t.ok(await store.file('f2'));
  await store.putItem('c3', { index: 0, document: { message: 'x'.repeat(500) } });
  t.same(await known(), ['c4', 'c3', 'c2']);
  await store.putItem('c4', { index: 0, document: { message: 'x'.repeat(600) } });
  t.same(await known(), ['c4'], 'by the size of transcripts');
  t.equal(await store.file('f3'), undefined, 'with the files of what is forgotten');
  await store.putItem('c4', { index: 0, document: { message: 'x'.repeat(2000) } });
  t.same(await known(), ['c4'], 'the newest stays whatever its size');
  await store.putFile(newFile('big', { bytes: new Uint8Array(98) }));
  t.equal(await store.file('f4'), undefined, 'by the size of files');
  t.equal((await store.file('big'))?.bytes.length, 98);
});

test('PGlite, and the same answers as memory to any calls', async (t) => {
  const folder = join(mkdtempSync(join(tmpdir(), 'parley-store-')), 'made', 'by the store');
  t.teardown(() => rmSync(join(folder, '..', '..'), { recursive: true, force: true }));
  const store = openStore({ kind: 'pglite', folder });
  await conformance(t, store);
  await t.test('the same answers as memory', async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyCall, { minLength: 1, maxLength: 60 }), async (calls) => {
        await emptied(store);
        const memory = new MemoryStore();
        for (const [index, each] of calls.entries()) {
          const [expected, got] = [await answerOf(memory, each), await answerOf(store, each)];
          if (JSON.stringify(plain(got)) !== JSON.stringify(plain(expected))) {
            throw new Error(
              `call ${index}, ${each.says}: ${JSON.stringify(plain(got))} instead of ${JSON.stringify(plain(expected))}`,
            );
          }
        }
      }),
      { numRuns: 40 },
    );
    t.pass('for 40 sequences');
  });
  await store.close();
  t.equal(await failureKind(store.agent('a')), 'unavailable', 'closed');
});

/** With `undefined` visible, and keys in one order. */
function plain(value: unknown): unknown {
  if (value === undefined) return 'undefined';
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, part]) => [key, plain(part)]);
}

const postgresUrl = process.env['PARLEY_TEST_POSTGRES'];
const postgres = { skip: postgresUrl === undefined && 'left out: PARLEY_TEST_POSTGRES names no database' };
async function dropTables(url: string): Promise<void> {
  const connection = new PostgresConnection(url);
  for (const table of ['migrations', 'agents', 'resources', 'items', 'conversations', 'files', 'instances']) {
    await connection.query(`DROP TABLE IF EXISTS parley_${table} CASCADE`, []);
  }
  await connection.close();
}

test('Postgres', postgres, async (t) => {
  await dropTables(postgresUrl ?? '');
  const store = openStore(parseStoreUrl(postgresUrl ?? ''));
  await conformance(t, store);
  await store.close();
});

test('several engines on one Postgres', postgres, async (t) => {
  const url = postgresUrl ?? '';
  await dropTables(url);
  const connection = new PostgresConnection(url);
  const [first, second, third] = [openStore(parseStoreUrl(url)), openStore(parseStoreUrl(url)), openStore(parseStoreUrl(url))];
  await Promise.all([first.open(), second.open(), third.open()]);
  t.same(
    await connection.query('SELECT number FROM parley_migrations', []),
    migrations.map((_, index) => ({ number: index + 1 })),
    'the tables are made once',
  );

  await first.beginConversation(newHead('conv_first'));
  await second.beginConversation(newHead('conv_second'));
  await third.beginConversation(newHead('conv_third', { document: { kept: true } }));
  const ending = { status: 'failed', endedAtMs: startMs + 1, document: { reason: 'gone' } } as const;
  t.same(await first.closeAbandoned(startMs + 1, ending), [], 'the others live');
  await third.close();
  t.same(await first.closeAbandoned(startMs, ending), []);
  t.same(await first.closeAbandoned(startMs + 1, ending), ['conv_third'], 'one that was closed has left its conversations');
  t.match(await second.conversation('conv_third'), {
    status: 'failed',
    endedAtMs: startMs + 1,
    document: { kept: true, reason: 'gone' },
  });
  await connection.query('UPDATE parley_instances SET seen_at = seen_at - make_interval(secs => 2 * $1::double precision)', [
    sqlLimits.aliveMaxMs / 1000,
  ]);
  t.same(await first.closeAbandoned(startMs + 1, ending), ['conv_second'], 'one that is silent is gone; its own are held');
  await second.endConversation('conv_second', { status: 'done', endedAtMs: startMs + 2, document: {} });
  t.match(await first.conversation('conv_second'), { status: 'done' }, 'it was only slow: its word counts');
  const amended = Array.from({ length: 40 }, (_, index) =>
    (index % 2 ? first : second).amendConversation('conv_first', { [index]: index }),
  );
  await Promise.all(amended);
  const { document = {} } = (await first.conversation('conv_first')) ?? {};
  t.equal(Object.keys(document).length, amended.length, 'no change to a document overwrites another');
  await Promise.all([first.close(), second.close()]);
  await connection.close();
});

test('the setting says what it may be, and keeps passwords to itself', (t) => {
  t.same(parseStoreUrl('memory'), { kind: 'memory' });
  t.same(parseStoreUrl('memory:200'), { kind: 'memory', conversationsMax: 200 });
  t.same(parseStoreUrl(storeVariable.fallback), { kind: 'pglite', folder: './parley-data' });
  t.same(parseStoreUrl('pglite:/var/lib/parley data'), { kind: 'pglite', folder: '/var/lib/parley data' });
  t.same(parseStoreUrl('postgres://u:p@h:1/d'), { kind: 'postgres', url: 'postgres://u:p@h:1/d' });
  for (const wrong of [
    '',
    'memory:',
    'memory:0',
    'memory:1e3',
    'pglite:',
    'pglite: ',
    'pglite://x',
    'sqlite:x',
    './folder',
    'postgres:',
    'postgres://u:secret@h:99999999/d',
  ]) {
    try {
      parseStoreUrl(wrong);
      t.fail(`${wrong} was taken`);
    } catch (error) {
      t.ok(error instanceof EngineError && error.kind === 'config' && error.message.startsWith('PARLEY_STORE="'), wrong);
      t.match((error as Error).message, 'pglite:DIR | memory | memory:CONVERSATIONS | postgres://');
      t.notMatch((error as Error).message, 'secret');
    }
  }
  t.end();
});

test('a Postgres that is away is unavailable, and its password is not told', async (t) => {
  const store = openStore(parseStoreUrl('postgres://user:secret@127.0.0.1:1/d'));
  const failure = await store.open().catch((error: unknown) => error);
  t.ok(failure instanceof EngineError && failure.kind === 'unavailable');
  t.notMatch(`${store.name} ${failure}`, 'secret');
  t.match(store.name, 'Postgres at 127.0.0.1:1');
  t.equal(await failureKind(store.agent('a')), 'unavailable');
  await store.close();
});
