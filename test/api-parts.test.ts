/** Parts of the API thread by themselves: what is written of conversations, what is answered to sessions, the post after a call. */
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ElevenLabsClient } from '@elevenlabs/elevenlabs-js';
import { test } from 'tap';
import { AgentDirectory } from '../src/api/agent-directory.js';
import { bookLimits, ConversationBook } from '../src/api/conversation-book.js';
import { ConversationDesk } from '../src/api/conversation-desk.js';
import type { AgentChanged, FromApi, ToApi } from '../src/api/links.js';
import { Outbox, outboxLimits } from '../src/api/outbox.js';
import { PostCall } from '../src/api/post-call.js';
import { originsOf } from '../src/api/public-url.js';
import { Recordings } from '../src/api/recording.js';
import { putInOrder } from '../src/api/start-up.js';
import { ToolUsage } from '../src/api/tool-usage.js';
import { nowMs } from '../src/shared/clock.js';
import { EngineError } from '../src/shared/errors.js';
import { claim, createBlock, Slot } from '../src/shared/slots.js';
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

  override async beginConversation(conversation: ConversationHead): Promise<boolean> {
    await this.#gate('begin');
    return super.beginConversation(conversation);
  }

  override async putItem(conversationId: string, one: TranscriptItem): Promise<void> {
    await this.#gate(`item ${one.index} ${String(one.document['message'])}`);
    await super.putItem(conversationId, one);
  }
}

function directoryOf(store: Store): AgentDirectory {
  return new AgentDirectory(
    store,
    [fileAgent('default')],
    0,
    () => undefined,
    () => undefined,
  );
}

test('a conversation is written in order; a newer item takes the place of one that waits', async (t) => {
  const store = new GatedStore();
  const book = new ConversationBook(store, directoryOf(store), new Recorder('test'), (_id, message) => t.fail(message));
  book.begin(head);
  t.ok(book.isLive('conv_1'));
  book.item('conv_1', item(0, 'first'));
  book.item('conv_1', item(1, 'second'));
  book.item('conv_1', item(0, 'first, corrected'));
  const ended = book.end('conv_1', ending);
  t.notOk(book.isLive('conv_1'));
  await turnOfEvents();
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
    directoryOf(store),
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

test('a client that asks for its conversation a moment before it is known here finds it', async (t) => {
  const store = new GatedStore();
  store.open_();
  const book = new ConversationBook(store, directoryOf(store), new Recorder('test'), (_id, message) => t.fail(message));
  const asked = book.findSoon('conv_1');
  await turnOfEvents();
  book.begin(head);
  t.match(await asked, { agentId: head.agentId });
  t.equal(await book.findSoon('conv_2'), undefined, 'nobody waits for ever');
  await book.settled('conv_1');
});

test('what waits is bounded; the end is always taken', async (t) => {
  const store = new GatedStore();
  const lost: string[] = [];
  const book = new ConversationBook(store, directoryOf(store), new Recorder('test'), (id) => lost.push(id));
  book.begin(head);
  for (let index = 0; index < bookLimits.queueMax + 10; index++) book.item('conv_1', item(index, 'x'));
  t.equal(lost.length, 11);
  const ended = book.end('conv_1', ending);
  store.open_();
  await ended;
  t.match(await store.conversation('conv_1'), { status: 'done', messageCount: bookLimits.queueMax - 1 });
});

/** A desk on the parts of the REST harness, and what it answers. */
function createDesk(store: Store = new MemoryStore(), recordings?: Recordings) {
  const rest = createTestRest({ store });
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
    recordings,
    nowMs: () => head.startedAtMs + 4000,
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

const named = (conversationId: string): ConversationHead => ({ ...head, conversationId });

/** Everything that can go on without the outside has gone on. */
function turnOfEvents(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

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
  // What the desk writes says when it was told: a first message begins at 0, and was over later.
  const { desk } = createDesk(rest.store);
  desk.receive({ type: 'begin', conversationId: 'conv_2', head: named('conv_2'), recording: undefined }, () => undefined);
  desk.receive({ type: 'item', conversationId: 'conv_2', item: item(0, 'Hello') }, () => undefined);
  for (const [conversationId, privacy] of [
    ['conv_forgotten', { retention_days: 0 }],
    ['conv_nameless', { delete_transcript_and_pii: true }],
  ] as const) {
    await rest.store.beginConversation({ ...named(conversationId), userId: 'u', document: { privacy } });
    await rest.store.putItem(conversationId, item(3, 'my name is'));
  }
  const { directory, retention } = rest.context;
  const laterMs = (): number => head.startedAtMs + 9e6;
  const closedCount = await putInOrder(rest.store, directory, retention, head.startedAtMs + 1, laterMs);
  t.equal(closedCount, 4);
  t.match((await rest.ask('GET', '/v1/convai/conversations/conv_1')).json, {
    status: 'failed',
    metadata: { call_duration_secs: 42, error: { code: 1011 } },
    transcript: [{ message: 'one' }, { message: 'two' }],
  });
  const { json } = await rest.ask('GET', '/v1/convai/conversations/conv_2');
  t.match(json, { status: 'failed', metadata: { call_duration_secs: 4 }, transcript: [{ message: 'Hello' }] });
  t.notHas((json['transcript'] as object[])[0], 'told_at_ms', 'our own notes are not shown');
  t.equal((await rest.ask('GET', '/v1/convai/conversations/conv_forgotten')).status, 404, 'privacy counts after a crash too');
  t.match((await rest.ask('GET', '/v1/convai/conversations/conv_nameless')).json, {
    status: 'failed',
    user_id: null,
    transcript: [],
    metadata: { call_duration_secs: 3, error: { code: 1011 } },
  });
});

test('a store that is away says so: an agent that cannot be looked up is not an unknown one', async (t) => {
  const store = new MemoryStore();
  let opened: () => void = () => undefined;
  const open = new Promise<void>((resolve) => {
    opened = resolve;
  });
  const read = store.agent.bind(store);
  store.agent = async (agentId) => {
    await open;
    return read(agentId);
  };
  const { desk, tools, problems } = createDesk(store);
  t.teardown(() => tools.close());
  const answers: FromApi[] = [];
  const told = new EventEmitter();
  const ask = (): void =>
    desk.receive({ conversationId: 'conv_1', type: 'find_agent', agentId: 'default' }, (answer) => {
      answers.push(answer);
      told.emit('told');
    });
  ask();
  await once(told, 'told');
  t.same(answers, [{ conversationId: 'conv_1', type: 'agent_unavailable', agentId: 'default' }], 'while it is being opened');
  opened();
  await once(told, 'told');
  t.match(answers[1], { type: 'agent', agent: { agent_id: 'default' } }, 'and the answer follows');
  store.agent = () => Promise.reject(new EngineError('unavailable', 'the store is away'));
  ask();
  await once(told, 'told');
  t.match(answers[2], { type: 'agent_unavailable' });
  t.match(problems, [{ event: 'api.problem', kind: 'unavailable' }]);
});

test('of two changes of an agent the newer one is told last', async (t) => {
  const store = new MemoryStore();
  let isSlow = true;
  let answered: () => void = () => undefined;
  const slow = new Promise<void>((resolve) => {
    answered = resolve;
  });
  store.resource = async () => {
    if (isSlow) await slow;
    return undefined;
  };
  const announced: AgentChanged[] = [];
  const directory = new AgentDirectory(
    store,
    [],
    0,
    (message) => announced.push(message),
    () => undefined,
  );
  const config = (toolIds: readonly string[]) => ({ conversation_config: { agent: { prompt: { tool_ids: toolIds } } } });
  const agent = { agentId: 'a', name: 'a', tags: [], isArchived: false, createdAtMs: 1, updatedAtMs: 1 };
  await store.createAgent({ ...agent, config: config(['tool_1']) });
  const found: (number | undefined)[] = [];
  const tell = [directory.changed('a'), directory.find('a', (session) => found.push(session?.version))];
  await turnOfEvents();
  await store.updateAgent({ ...agent, config: config([]) }, 1);
  tell.push(directory.changed('a'));
  await turnOfEvents();
  isSlow = false;
  await store.deleteAgent('a');
  tell.push(directory.changed('a'));
  await turnOfEvents();
  answered();
  await Promise.all(tell);
  t.same(announced[0], { ...announced[0], version: 1 });
  t.match(announced.at(-1), { agent: undefined, version: 0 }, 'and nothing undoes a deletion');
  t.same(found, [undefined]);
  t.equal(announced.length, 3);
});

test('R9: a signed URL that was used before a restart: the conversation of then stays as it is', async (t) => {
  const { rest, desk, tools, over, problems } = createDesk();
  t.teardown(() => tools.close());
  const answers: FromApi[] = [];
  const tell = (message: ToApi): void => desk.receive(message, (answer) => answers.push(answer));
  const conversationId = 'conv_1';
  tell({ type: 'begin', conversationId, head, recording: undefined });
  // The same word again, of an attempt that was thought lost.
  t.equal(await rest.store.beginConversation(head), true);
  tell({ type: 'item', conversationId, item: item(0, 'the first call') });
  tell({ type: 'end', conversationId, ending });
  await desk.settled();

  tell({ type: 'begin', conversationId, head: { ...head, startedAtMs: head.startedAtMs + 60_000 }, recording: undefined });
  tell({ type: 'item', conversationId, item: item(0, 'the second call') });
  await rest.context.conversations.settled(conversationId);
  t.same(answers, [{ conversationId, type: 'begin_refused' }]);
  t.notOk(rest.context.conversations.isLive(conversationId));
  tell({ type: 'item', conversationId, item: item(1, 'goes on') });
  tell({
    type: 'end',
    conversationId,
    ending: { status: 'failed', endedAtMs: head.startedAtMs + 90_000, document: { lost: 1 } },
  });
  await desk.settled();
  t.match(await rest.store.conversation(conversationId), {
    status: 'done',
    endedAtMs: ending.endedAtMs,
    items: [{ document: { message: 'the first call' } }],
  });
  t.equal((await rest.store.conversation(conversationId))?.messageCount, 1);
  t.same(over, [conversationId], 'its last acts happen once');
  t.same(problems, []);
});

test('what fails at the end of a call does not keep its last acts from it', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-desk-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const slot = new Slot(createBlock(1), 0);
  const recordings = new Recordings(folder, [slot], () => undefined, nowMs);
  const store = new MemoryStore();
  const { desk, tools, over, problems } = createDesk(store, recordings);
  t.teardown(() => tools.close());
  store.amendConversation = () => Promise.reject(new EngineError('timeout', 'the store does not answer'));
  const recording = { slot: 0, generation: claim(slot) };
  desk.receive({ type: 'begin', conversationId: 'conv_1', head, recording }, () => undefined);
  desk.receive({ type: 'end', conversationId: 'conv_1', ending }, () => undefined);
  t.ok(desk.isEnding('conv_1'));
  await recordings.close();
  await desk.settled();
  t.notOk(desk.isEnding('conv_1'));
  t.same(over, ['conv_1']);
  t.match(problems, [{ kind: 'timeout' }]);
});

test('R7: a feedback on a reply of long ago', async (t) => {
  const { rest, desk, tools } = createDesk();
  t.teardown(() => tools.close());
  const conversationId = 'conv_1';
  const tell = (message: ToApi): void => desk.receive(message, () => undefined);
  tell({ type: 'begin', conversationId, head, recording: undefined });
  for (let index = 0; index < 100; index++) {
    const document = { role: index % 2 === 0 ? 'user' : 'agent', message: `m${index}`, source_event_id: index >> 1 };
    tell({ type: 'item', conversationId, item: { index, document } });
  }
  tell({ type: 'feedback_item', conversationId, eventId: 2, feedback: { score: 'like', time_in_call_secs: 90 } });
  tell({ type: 'feedback_item', conversationId, eventId: 999, feedback: { score: 'like', time_in_call_secs: 90 } });
  tell({ type: 'end', conversationId, ending });
  await desk.settled();
  const { items = [] } = (await rest.store.conversation(conversationId)) ?? {};
  const liked = items.filter(({ document }) => document['feedback'] !== undefined);
  t.match(liked, [{ index: 5, document: { role: 'agent', message: 'm5', feedback: { score: 'like', time_in_call_secs: 90 } } }]);
  t.equal(items.length, 100);
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
  post.tell('conv_1', { conversation_id: 'conv_1', agent_id: 'default', transcript: [] });
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
  unreachable.tell('conv_2', {});
  await unreachable.close();
  t.equal(problems.length, 1, 'an end in the middle is a problem that is told');
});

test('the end of a call is told by whoever comes after a process that was killed, until somebody takes it, for a day', async (t) => {
  const statuses = [503, 503];
  const told: string[] = [];
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      const status = statuses.shift() ?? 200;
      if (status === 200) told.push('taken');
      response.writeHead(status).end();
      server.emit('post');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  let atMs = head.startedAtMs + 60_000;
  const store = storeAfterCrash();
  const rest = createTestRest({ store });
  const { directory, retention } = rest.context;
  const problems: string[] = [];
  const posts: PostCall[] = [];
  const outbox = (): Outbox => {
    const post = new PostCall(
      url,
      's',
      () => atMs,
      (message) => problems.push(message),
      [],
    );
    posts.push(post);
    const onProblem = (error: unknown): void => void problems.push(String(error));
    return new Outbox({ store, directory, recordings: undefined, post, publicUrl: '', nowMs: () => atMs, onProblem });
  };
  t.teardown(async () => {
    await Promise.all(posts.map((post) => post.close()));
    server.close();
  });
  // The process that held the call is gone; its successor closes it and tells, in vain.
  await rest.store.beginConversation(head);
  await rest.store.putItem('conv_1', item(0, 'the last words'));
  const first = outbox();
  const refused = once(server, 'post');
  await putInOrder(store, directory, retention, head.startedAtMs + 1, () => atMs, first);
  await refused;
  while (posts[0]!.isTelling('conv_1')) await new Promise(setImmediate);
  t.equal(await first.sweep(), 0, 'not due yet: whoever closed it is at it');
  atMs += outboxLimits.leaseMs;
  // That one is gone too.
  const again = once(server, 'post');
  t.equal(await outbox().sweep(), 1);
  await again;
  while (posts[1]!.isTelling('conv_1')) await new Promise(setImmediate);
  atMs += 10 * 60_000;
  const taken = once(server, 'post');
  const third = outbox();
  t.equal(await third.sweep(), 1);
  await taken;
  while (posts[2]!.isTelling('conv_1')) await new Promise(setImmediate);
  atMs += 60 * 60_000;
  t.equal(await third.sweep(), 0, 'told once, and never again');
  t.same(told, ['taken']);
  // Another, of which nobody has wanted to know for a day.
  await store.beginConversation(named('conv_2'));
  await store.endConversation('conv_2', { ...ending, endedAtMs: atMs, tellAtMs: atMs });
  atMs += outboxLimits.giveUpAfterMs + 1;
  await third.sweep();
  t.match(problems.at(-1), 'conv_2');
  atMs += 100 * outboxLimits.giveUpAfterMs;
  t.equal(await third.sweep(), 0);
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
