/** Parts of the API thread by themselves: what is written of conversations, what is answered to sessions, the post after a call. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ElevenLabsClient } from '@elevenlabs/elevenlabs-js';
import { test } from 'tap';
import { bookLimits, ConversationBook } from '../src/api/conversation-book.js';
import { ConversationDesk } from '../src/api/conversation-desk.js';
import type { FromApi, ToApi } from '../src/api/links.js';
import { PostCall } from '../src/api/post-call.js';
import { originsOf } from '../src/api/public-url.js';
import { putInOrder } from '../src/api/start-up.js';
import { ToolUsage } from '../src/api/tool-usage.js';
import { EngineError } from '../src/shared/errors.js';
import { MemoryStore } from '../src/store/memory.js';
import type { ConversationHead, Store, TranscriptItem } from '../src/store/port.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { AddressGuard, parseAllowedHosts } from '../src/tools/address-guard.js';
import { createToolRunner } from '../src/tools/runner.js';
import { createTestRest, fileAgent } from './support/rest.js';

const head: ConversationHead = {
  conversationId: 'conv_1',
  agentId: 'default',
  agentVersion: 0,
  userId: undefined,
  startedAtMs: 1_700_000_000_000,
  document: {},
};
const ending = { status: 'done', endedAtMs: 1_700_000_010_000, document: {} } as const;
const item = (index: number, message: string): TranscriptItem => ({
  index,
  document: { role: 'user', message, time_in_call_secs: index },
});

/** A store whose writes wait, or fail, as the test says. */
class GatedStore extends MemoryStore {
  readonly writes: string[] = [];
  failures = 0;
  kind: 'unavailable' | 'broken' = 'unavailable';
  #open: (() => void)[] | undefined = [];

  #gate(name: string): Promise<void> {
    this.writes.push(name);
    if (this.failures > 0) {
      this.failures -= 1;
      return Promise.reject(new EngineError(this.kind, 'the store is away'));
    }
    return this.#open === undefined ? Promise.resolve() : new Promise((resolve) => this.#open?.push(resolve));
  }

  open_(): void {
    const waiting = this.#open ?? [];
    this.#open = undefined;
    for (const resolve of waiting) resolve();
  }

  override async beginConversation(conversation: ConversationHead): Promise<void> {
    await this.#gate('begin');
    await super.beginConversation(conversation);
  }

  override async putItem(conversationId: string, one: TranscriptItem): Promise<void> {
    await this.#gate(`item ${one.index} ${String(one.document['message'])}`);
    await super.putItem(conversationId, one);
  }
}

test('a conversation is written in order; a newer item takes the place of one that waits', async (t) => {
  const store = new GatedStore();
  const book = new ConversationBook(store, new Recorder('test'), (_id, message) => t.fail(message));
  book.begin(head);
  t.ok(book.isLive('conv_1'));
  book.item('conv_1', item(0, 'first'));
  book.item('conv_1', item(1, 'second'));
  book.item('conv_1', item(0, 'first, corrected'));
  const ended = book.end('conv_1', ending);
  t.notOk(book.isLive('conv_1'));
  t.same(store.writes, ['begin'], 'one at a time');
  store.open_();
  await ended;
  t.same(store.writes, ['begin', 'item 0 first, corrected', 'item 1 second']);
  t.match(await store.conversation('conv_1'), { status: 'done', messageCount: 2 });
  t.equal(book.queuedCount, 0);
});

test('a store that is away for a while loses nothing; one that refuses loses one write, and says so', async (t) => {
  const store = new GatedStore();
  store.open_();
  const lost: string[] = [];
  const waits: number[] = [];
  const book = new ConversationBook(
    store,
    new Recorder('test'),
    (_id, message) => lost.push(message),
    async (durationMs) => {
      waits.push(durationMs);
    },
  );
  store.failures = 3;
  book.begin(head);
  await book.settled('conv_1');
  t.same(waits, bookLimits.retryAfterMs.slice(0, 3));
  t.ok(await store.conversation('conv_1'));
  store.failures = 1;
  store.kind = 'broken';
  book.item('conv_1', item(0, 'refused'));
  book.item('conv_1', item(1, 'taken'));
  await book.settled('conv_1');
  t.equal(lost.length, 1);
  t.same(
    (await store.conversation('conv_1'))?.items.map(({ index }) => index),
    [1],
  );
  store.failures = 100;
  store.kind = 'unavailable';
  book.item('conv_1', item(2, 'given up'));
  await book.settled('conv_1');
  t.equal(lost.length, 2, 'retries have a bound');
});

test('what waits is bounded; the end is always taken', async (t) => {
  const store = new GatedStore();
  const lost: string[] = [];
  const book = new ConversationBook(store, new Recorder('test'), (id) => lost.push(id));
  book.begin(head);
  for (let index = 0; index < bookLimits.queueMax + 10; index++) book.item('conv_1', item(index, 'x'));
  t.equal(lost.length, 11);
  const ended = book.end('conv_1', ending);
  store.open_();
  await ended;
  t.match(await store.conversation('conv_1'), { status: 'done', messageCount: bookLimits.queueMax - 1 });
});

/** A desk on the parts of the REST harness, and what it answers. */
function createDesk(agents = [fileAgent('default')]) {
  const rest = createTestRest({ agents });
  const tools = createToolRunner({
    guard: new AddressGuard(parseAllowedHosts('127.0.0.1')),
    log: () => undefined,
    secret: async () => undefined,
    isMcpStdioAllowed: false,
  });
  const over: string[] = [];
  const problems: unknown[] = [];
  const desk = new ConversationDesk({
    ...rest.context,
    tools,
    toolUsage: new ToolUsage(),
    recordings: undefined,
    onOver: async (conversationId) => {
      over.push(conversationId);
    },
    log: (event, fields) => problems.push({ event, ...fields }),
  });
  const ask = (message: ToApi): Promise<FromApi> => new Promise((resolve) => desk.receive(message, resolve));
  return { rest, desk, tools, over, problems, ask };
}

test('sessions ask for agents, files and tools, and are answered in any case', async (t) => {
  const server = createServer((request, response) => response.end(`asked ${request.url}`)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { rest, desk, tools, over, problems, ask } = createDesk();
  t.teardown(async () => {
    await tools.close();
    server.close();
  });
  const conversationId = 'conv_1';
  const { json } = await rest.ask('POST', '/v1/convai/agents/create', {
    body: {
      conversation_config: {
        agent: {
          prompt: {
            tools: [
              {
                type: 'webhook',
                name: 'find',
                api_schema: { url: `http://127.0.0.1:${port}/{id}`, path_params_schema: { id: { type: 'string' } } },
              },
            ],
          },
        },
      },
    },
  });
  const agentId = String(json['agent_id']);
  const found = await ask({ conversationId, type: 'find_agent', agentId });
  t.match(found, { type: 'agent', conversationId, agentId, version: 1, agent: { agent_id: agentId } });
  t.match(await ask({ conversationId, type: 'find_agent', agentId: 'nobody' }), { agent: undefined, version: 0 });

  desk.receive({ conversationId, type: 'begin', head, recording: undefined }, () => undefined);
  const agent = (found as Extract<FromApi, { type: 'agent' }>).agent!;
  const run = { toolCallId: 'call_1', name: 'find', argumentsJson: '{"id":"7"}' };
  t.match(await ask({ conversationId, type: 'run_tool', run, agent, variables: {} }), {
    type: 'tool_outcome',
    toolCallId: 'call_1',
    outcome: { isError: false, result: /asked \/7/ },
  });
  t.match(await ask({ conversationId, type: 'run_tool', run: { ...run, name: 'none' }, agent, variables: {} }), {
    outcome: { isError: true },
  });

  for (const [fileId, owner] of [
    ['file_1', conversationId],
    ['file_2', 'conv_other'],
  ] as const) {
    await rest.store.putFile({
      fileId,
      conversationId: owner,
      name: 'a.png',
      mimeType: 'image/png',
      bytes: Buffer.from('x'),
      createdAtMs: 1,
    });
  }
  t.match(await ask({ conversationId, type: 'get_files', fileIds: ['file_1', 'file_2', 'file_3'] }), {
    type: 'files',
    files: [{ fileId: 'file_1', base64: Buffer.from('x').toString('base64') }],
  });
  desk.receive({ conversationId, type: 'end', ending }, () => undefined);
  await desk.settled();
  t.same(over, [conversationId]);
  t.match(await rest.store.conversation(conversationId), { status: 'done' });
  t.same(problems, []);
});

/** What a database shows after a crash: conversations in progress that nobody holds. */
function storeAfterCrash(): Store {
  const store: Store = new MemoryStore();
  store.closeAbandoned = async (startedBeforeMs, left) => {
    const { items } = await store.conversations({
      pageSize: 100,
      cursor: undefined,
      agentId: undefined,
      userId: undefined,
      startedBeforeMs,
      startedAfterMs: undefined,
      search: undefined,
    });
    const ids = items.filter(({ status }) => status === 'in-progress').map(({ conversationId }) => conversationId);
    for (const id of ids) await store.endConversation(id, left);
    return ids;
  };
  return store;
}

test('after a crash: calls that nobody holds any more are closed, and have the length of their transcript', async (t) => {
  const rest = createTestRest({ store: storeAfterCrash() });
  await rest.store.beginConversation(head);
  await rest.store.putItem('conv_1', item(0, 'one'));
  await rest.store.putItem('conv_1', item(42, 'two'));
  const closedCount = await putInOrder(rest.store, rest.context.directory, head.startedAtMs + 1, () => head.startedAtMs + 9e6);
  t.equal(closedCount, 1);
  t.match((await rest.ask('GET', '/v1/convai/conversations/conv_1')).json, {
    status: 'failed',
    metadata: { call_duration_secs: 42, error: { code: 1011 } },
    transcript: [{ message: 'one' }, { message: 'two' }],
  });
});

test('R10: the post after a call is signed as the official helper checks it, and tried again', async (t) => {
  const posts: { body: string; signature: string }[] = [];
  const statuses = [500, 200];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      posts.push({ body, signature: String(request.headers['elevenlabs-signature']) });
      response.writeHead(statuses.shift() ?? 200).end();
      server.emit('post');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const problems: string[] = [];
  const post = new PostCall(
    `http://127.0.0.1:${port}/hook`,
    'the-secret',
    () => Date.now(),
    (message) => problems.push(message),
    [1],
  );
  t.teardown(async () => {
    await post.close();
    server.close();
  });
  post.tell({ conversation_id: 'conv_1', agent_id: 'default', transcript: [] });
  while (posts.length < 2) await once(server, 'post');
  const { webhooks } = new ElevenLabsClient({ apiKey: 'any' });
  for (const { body, signature } of posts) {
    const event: unknown = await webhooks.constructEvent(body, signature, 'the-secret');
    t.match(event, { type: 'post_call_transcription', data: { conversation_id: 'conv_1' } });
    await t.rejects(webhooks.constructEvent(body, signature, 'another-secret'));
  }
  t.same(problems, []);
  const unreachable = new PostCall(
    'http://127.0.0.1:1/hook',
    's',
    () => Date.now(),
    (message) => problems.push(message),
  );
  unreachable.tell({});
  await unreachable.close();
  t.equal(problems.length, 1, 'an end in the middle is a problem that is told');
});

test('R9: where clients reach this server', (t) => {
  t.same(originsOf('', { host: 'a:8080' }), { http: 'http://a:8080', socket: 'ws://a:8080' });
  t.same(originsOf('', { host: 'a', 'x-forwarded-proto': 'https, http' }), { http: 'https://a', socket: 'wss://a' });
  t.same(
    originsOf('', { host: 'in', 'x-forwarded-host': 'out.example', 'x-forwarded-proto': 'https' }).socket,
    'wss://out.example',
  );
  t.same(originsOf('https://p.example/x', { host: 'a' }), { http: 'https://p.example/x', socket: 'wss://p.example/x' });
  t.same(originsOf('', { host: 'bad host"><' }).http, 'http://localhost', 'nothing of a stranger gets into a URL');
  t.same(originsOf('', {}).http, 'http://localhost');
  t.end();
});
