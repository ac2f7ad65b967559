/** The REST side: agents, conversations, feedback and files, tools, who may, and what is refused how. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { test } from 'tap';
import { agentKeyWarnings, keysWithoutEffect } from '../src/api/agent-keys.js';
import { merge } from '../src/api/merge.js';
import { openApi } from '../src/api/openapi.js';
import { retentionLimits } from '../src/api/retention.js';
import { EngineError } from '../src/shared/errors.js';
import { valueAt } from '../src/shared/value-at.js';
import { parseAgent } from '../src/store/agents.js';
import { defaultAgent } from '../src/store/default-agent.js';
import { MemoryStore } from '../src/store/memory.js';
import type { ConversationHead, Json } from '../src/store/port.js';
import { readTicket } from '../src/wire/signed-url.js';
import { createTestRest, fileAgent, type Rest, signingKey } from './support/rest.js';

const minimal = { conversation_config: {} };

async function createAgent(rest: Rest, body: object = minimal): Promise<string> {
  const { status, json } = await rest.ask('POST', '/v1/convai/agents/create', { body });
  if (status !== 200) throw new Error(JSON.stringify(json));
  return String(json['agent_id']);
}

function head(conversationId: string, agentId = 'default'): ConversationHead {
  return { conversationId, agentId, agentVersion: 0, userId: undefined, startedAtMs: 1_699_999_990_000, document: {} };
}

const detailOf = (json: Record<string, unknown>) =>
  json['detail'] as { loc: (string | number)[]; msg: string; input?: unknown }[];

test('an agent is created, read, changed, listed, duplicated and deleted', async (t) => {
  const rest = createTestRest();
  const agentId = await createAgent(rest, {
    name: 'Support',
    tags: ['de'],
    conversation_config: { agent: { first_message: 'Hello', prompt: { prompt: 'Be kind.' } }, asr: { quality: 'high' } },
    platform_settings: { evaluation: { criteria: [] } },
    workflow: { nodes: {} },
    something_new: { kept: false },
  });
  t.match(agentId, /^agent_[a-z0-9]{28}$/);
  const { json: created } = await rest.ask('GET', `/v1/convai/agents/${agentId}`);
  t.match(created, {
    agent_id: agentId,
    name: 'Support',
    tags: ['de'],
    version_id: 'v1',
    metadata: { created_at_unix_secs: 1_700_000_000, updated_at_unix_secs: 1_700_000_000 },
    conversation_config: {
      agent: { first_message: 'Hello', language: 'en', prompt: { prompt: 'Be kind.', temperature: 0.5 } },
      asr: { quality: 'high', user_input_audio_format: 'pcm_16000' },
    },
    platform_settings: { evaluation: { criteria: [] }, auth: { enable_auth: false } },
    workflow: { nodes: {} },
  });
  t.same(rest.announced.at(-1)?.agent?.conversation_config.agent.first_message, 'Hello', 'calls to come are told');
  t.notHas(rest.announced.at(-1)?.agent?.conversation_config.asr, 'quality', 'what the engine does not know reaches no session');

  const { json: changed } = await rest.ask('PATCH', `/v1/convai/agents/${agentId}`, {
    body: { conversation_config: { agent: { prompt: { temperature: 0 } } }, tags: ['en', 'fr'] },
  });
  t.match(changed, {
    name: 'Support',
    tags: ['en', 'fr'],
    version_id: 'v2',
    conversation_config: { agent: { first_message: 'Hello', prompt: { prompt: 'Be kind.', temperature: 0 } } },
  });
  t.match((await rest.ask('GET', `/v1/convai/agents/${agentId}?version_id=v1`)).json, { tags: ['de'], version_id: 'v1' });
  t.equal((await rest.ask('GET', `/v1/convai/agents/${agentId}?version_id=v3`)).status, 404);
  t.equal((await rest.ask('GET', `/v1/convai/agents/${agentId}?version_id=latest`)).status, 404);

  const { json: copied } = await rest.ask('POST', `/v1/convai/agents/${agentId}/duplicate`, { body: { name: 'Copy' } });
  t.match((await rest.ask('GET', `/v1/convai/agents/${copied['agent_id']}`)).json, { name: 'Copy', version_id: 'v1' });
  const { json: again } = await rest.ask('POST', `/v1/convai/agents/${agentId}/duplicate`);
  t.match((await rest.ask('GET', `/v1/convai/agents/${again['agent_id']}`)).json, { name: 'Support' }, 'without a body too');

  t.match((await rest.ask('GET', `/v1/convai/agents/${agentId}/link`)).json, { agent_id: agentId, token: null });
  t.equal((await rest.ask('DELETE', `/v1/convai/agents/${agentId}`)).status, 200);
  t.match(rest.announced.at(-1), { agentId, agent: undefined });
  t.equal((await rest.ask('GET', `/v1/convai/agents/${agentId}`)).status, 404);
  t.equal((await rest.ask('DELETE', `/v1/convai/agents/${agentId}`)).status, 404);
  t.same(rest.bugs, []);
});

test('lists come in pages: stored agents in the order asked for, then those of files', async (t) => {
  const rest = createTestRest({ agents: [fileAgent('default'), fileAgent('second'), fileAgent('third')] });
  for (const name of ['bee', 'ant', 'cat']) await createAgent(rest, { ...minimal, name });
  const names: unknown[] = [];
  let cursor = '';
  for (let pages = 0; pages < 10; pages++) {
    const { json } = await rest.ask('GET', `/v1/convai/agents?page_size=2&sort_by=name&sort_direction=asc${cursor}`);
    const agents = json['agents'] as { name: string }[];
    t.ok(agents.length <= 2);
    names.push(...agents.map(({ name }) => name));
    t.equal(json['has_more'], json['next_cursor'] !== null);
    if (json['next_cursor'] === null) break;
    cursor = `&cursor=${encodeURIComponent(String(json['next_cursor']))}`;
  }
  t.same(names, ['ant', 'bee', 'cat', 'default', 'second', 'third']);
  const { json: found } = await rest.ask('GET', '/v1/convai/agents?search=AN');
  t.same(
    (found['agents'] as { name: string }[]).map(({ name }) => name),
    ['ant'],
  );
  t.equal((await rest.ask('GET', '/v1/convai/agents?page_size=101')).status, 422);
  t.equal((await rest.ask('GET', '/v1/convai/agents?page_size=x')).status, 422);
});

test('an agent of a file: its stored copy takes its place, and gives it back', async (t) => {
  const rest = createTestRest({ agents: [fileAgent('default', { agent: { first_message: 'From the file.' } })] });
  t.match((await rest.ask('GET', '/v1/convai/agents/default')).json, { version_id: 'v0' });
  t.equal((await rest.ask('DELETE', '/v1/convai/agents/default')).status, 409, 'files are not ours to delete');
  const { json } = await rest.ask('PATCH', '/v1/convai/agents/default', {
    body: { conversation_config: { agent: { prompt: { prompt: 'New.' } } } },
  });
  t.match(json, {
    version_id: 'v1',
    conversation_config: { agent: { first_message: 'From the file.', prompt: { prompt: 'New.' } } },
  });
  t.equal(rest.announced.at(-1)?.agent?.conversation_config.agent.prompt.prompt, 'New.');
  const { json: list } = await rest.ask('GET', '/v1/convai/agents');
  t.equal((list['agents'] as unknown[]).length, 1, 'it is listed once');
  t.equal((await rest.ask('DELETE', '/v1/convai/agents/default')).status, 200);
  t.equal(rest.announced.at(-1)?.agent?.conversation_config.agent.prompt.prompt, '', 'the one of the file is back');
  t.match((await rest.ask('GET', '/v1/convai/agents/default')).json, { version_id: 'v0' });
});

test('merging: objects at every level, all else is replaced', (t) => {
  t.same(merge({ a: { b: 1, c: [1, 2] }, d: 1 }, { a: { c: [3] }, e: null }), { a: { b: 1, c: [3] }, d: 1, e: null });
  t.same(merge({ a: 1 }, { a: { b: 1 } }), { a: { b: 1 } });
  const hostile = JSON.parse('{"__proto__": {"polluted": true}, "a": {"__proto__": {"polluted": true}}}') as object;
  const merged = merge({ a: {} }, hostile) as { polluted?: boolean; a: { polluted?: boolean } };
  t.same([merged.polluted, merged.a.polluted, ({} as { polluted?: boolean }).polluted], [undefined, undefined, undefined]);
  t.same(JSON.stringify(merge(hostile, { b: 1 })), '{"a":{},"b":1}', 'nor is it kept where nothing changes');
  const json = fc.jsonValue() as fc.Arbitrary<unknown>;
  fc.assert(
    fc.property(
      json,
      json,
      (base, change) => JSON.stringify(merge(merge(base, change), change)) === JSON.stringify(merge(base, change)),
    ),
  );
  fc.assert(
    fc.property(
      json,
      (value) =>
        JSON.stringify(merge(value, {})) === JSON.stringify(merge({}, value)) ||
        typeof value !== 'object' ||
        value === null ||
        Array.isArray(value),
    ),
  );
  t.end();
});

test('R6: what does not validate is answered 422, with path, rule and value', async (t) => {
  const rest = createTestRest();
  const rows: [object, (string | number)[], unknown][] = [
    [{}, ['body', 'conversation_config'], undefined],
    [{ conversation_config: { turn: { turn_timeout: 900 } } }, ['body', 'conversation_config', 'turn', 'turn_timeout'], 900],
    [
      { conversation_config: { tts: { agent_output_audio_format: 'mp3' } } },
      ['body', 'conversation_config', 'tts', 'agent_output_audio_format'],
      'mp3',
    ],
    [{ ...minimal, name: 7 }, ['body', 'name'], 7],
    [
      { ...minimal, platform_settings: { auth: { allowlist: 'all' } } },
      ['body', 'platform_settings', 'auth', 'allowlist'],
      'all',
    ],
    [
      { conversation_config: { agent: { prompt: { tools: [{ type: 'client', name: 'bad name' }] } } } },
      ['body', 'conversation_config', 'agent', 'prompt', 'tools', 0, 'name'],
      'bad name',
    ],
    [
      {
        conversation_config: {
          agent: { prompt: { tools: [{ type: 'webhook', name: 'w', api_schema: { url: 'ftp://example.org' } }] } },
        },
      },
      ['body', 'conversation_config', 'agent', 'prompt', 'tools', 0, 'api_schema', 'url'],
      'ftp://example.org',
    ],
    [
      { conversation_config: { agent: { prompt: { tool_ids: ['tool_x'] } } } },
      ['body', 'conversation_config', 'agent', 'prompt', 'tool_ids', 0],
      'tool_x',
    ],
    [{ ...minimal, parley: { turn: { noSuchSetting: 1 } } }, ['body', 'parley', 'turn', 'noSuchSetting'], 1],
    [
      { ...minimal, parley: { grammar: { intents: [{ name: 'a', phrases: ['the {size} one'], replies: ['r'] }] } } },
      ['body', 'parley', 'grammar', 'intents', 0, 'phrases', 0],
      'the {size} one',
    ],
    [
      { ...minimal, parley: { grammar: { intents: [{ name: 'a', phrases: ['zorblify it'], replies: ['r'] }] } } },
      ['body', 'parley', 'grammar', 'intents', 0, 'phrases', 0],
      'zorblify',
    ],
    [{ ...minimal, parley: { gramar: {} } }, ['body', 'parley', 'gramar'], {}],
  ];
  for (const [body, loc, input] of rows) {
    const { status, json } = await rest.ask('POST', '/v1/convai/agents/create', { body });
    t.equal(status, 422, JSON.stringify(body));
    const first = detailOf(json)[0]!;
    t.same(first.loc, loc);
    t.ok(first.msg.length > 0);
    t.same(first.input, input);
  }
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const bodies: [string | Uint8Array, Record<string, string>, object][] = [
    ['', {}, { loc: ['body'], msg: /has no body/, type: 'missing' }],
    ['{nonsense', { 'content-type': 'application/json' }, { loc: ['body'], msg: /not JSON: .*position 1/, type: 'json_invalid' }],
    [
      'name=Bo',
      form,
      { loc: ['header', 'content-type'], msg: /sent as application\/x-www-form-urlencoded/, type: 'content_type' },
    ],
    [Buffer.from([0xff, 0x22]), {}, { msg: /UTF-8/ }],
    ['['.repeat(5000) + ']'.repeat(5000), {}, { msg: /deeper than 64 levels/ }],
  ];
  for (const [content, headers, expected] of bodies) {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    const { status, json } = await rest.ask('POST', '/v1/convai/agents/create', { bytes, headers });
    t.equal(status, 422);
    t.match(detailOf(json), [expected]);
  }
  const lenient = await rest.ask('POST', '/v1/convai/agents/create', { body: minimal, headers: form });
  t.equal(lenient.status, 200, 'JSON is taken, whatever it is called');
  const agentId = await createAgent(rest);
  t.equal(
    (await rest.ask('PATCH', `/v1/convai/agents/${agentId}`, { body: { conversation_config: { tts: { speed: 9 } } } })).status,
    422,
  );
  t.match((await rest.ask('GET', `/v1/convai/agents/${agentId}`)).json, { version_id: 'v1' }, 'and nothing was written');
  const nulls = {
    conversation_config: { agent: { prompt: { built_in_tools: { end_call: null }, llm: null } }, turn: null },
    name: null,
  };
  t.equal((await rest.ask('POST', '/v1/convai/agents/create', { body: nulls })).status, 200, 'null means not set');
  t.same(rest.bugs, []);
});

test('what cannot be deleted says truly why', async (t) => {
  const rest = createTestRest({ agents: [parseAgent(defaultAgent, 'built in'), fileAgent('mine')] });
  const refused = async (agentId: string) => {
    const { status, json } = await rest.ask('DELETE', `/v1/convai/agents/${agentId}`);
    t.equal(status, 409);
    return (json['detail'] as unknown as { message: string }).message;
  };
  t.match(await refused('default'), /is built in and cannot be deleted/);
  t.match(await refused('mine'), /comes from a file of this server \(PARLEY_AGENTS\)/);
  t.equal((await rest.ask('PATCH', '/v1/convai/agents/default', { body: { name: 'Ours' } })).status, 200);
  t.equal((await rest.ask('DELETE', '/v1/convai/agents/default')).status, 200, 'the stored one in its place goes');
  t.match(await refused('default'), /built in/);
  const own = createTestRest({ agents: [fileAgent('default')] });
  t.match((await own.ask('DELETE', '/v1/convai/agents/default')).json, { detail: { message: /comes from a file/ } });
});

test('a store that is not available: 503, with the reason for whoever has the key', async (t) => {
  const store = new MemoryStore();
  store.agent = () => Promise.reject(new EngineError('config', 'The folder /data of the store cannot be used: EACCES'));
  const rest = createTestRest({ store });
  const keyed = await rest.ask('GET', '/v1/convai/agents/default');
  t.match(keyed, { status: 503, headers: { 'retry-after': '2' } });
  t.match(keyed.json, { detail: { status: 'unavailable', message: /not available\. The folder \/data .*EACCES\. Try again/ } });
  const open = await rest.ask('GET', '/v1/convai/agents/default/widget');
  t.equal(open.status, 503);
  t.notMatch(JSON.stringify(open.json), 'data', 'where it is, is nobody’s business');
});

test('R6: the rules of webhooks and MCP servers are named where they are broken, all of them', async (t) => {
  const rest = createTestRest();
  const wrong = { url: 'https://api.example.org/{id}', method: 'FETCH', request_headers: { host: 'a' } };
  const { status, json } = await rest.ask('POST', '/v1/convai/tools', {
    body: { tool_config: { type: 'webhook', name: 'w', api_schema: wrong } },
  });
  t.equal(status, 422);
  const at = (...path: (string | number)[]) => ['body', 'tool_config', 'api_schema', ...path];
  t.match(detailOf(json), [
    { loc: at('method'), type: 'invalid_value', input: 'FETCH', msg: /"GET"/ },
    { loc: at('request_headers', 'host'), type: 'invalid_key' },
  ]);
  const server = await rest.ask('POST', '/v1/convai/mcp-servers', {
    body: { config: { url: 'nowhere', response_timeout_secs: 900 } },
  });
  t.match(detailOf(server.json), [{ loc: ['body', 'config', 'response_timeout_secs'], type: 'too_big', input: 900 }]);
  const parameters = { type: 'object', properties: { a: { type: 'strin' } } };
  const tool = await rest.ask('POST', '/v1/convai/tools', { body: { tool_config: { type: 'client', name: 'c', parameters } } });
  t.match(detailOf(tool.json), [
    { loc: ['body', 'tool_config', 'parameters', 'properties', 'a', 'type'], type: 'parameters', input: 'strin' },
  ]);
});

test('unknown keys and keys without effect are kept, and whoever writes them is told once', async (t) => {
  const rest = createTestRest();
  const warningsIn = (json: Record<string, unknown>) =>
    (json['warnings'] ?? []) as { loc: (string | number)[]; msg: string; type: string }[];
  const config = {
    first_message: 'Hello',
    agent: { promt: {}, prompt: { prompt: 'P', tools: [{ type: 'client', name: 'a', excution_mode: 'async' }] } },
    asr: { quality: 'high' },
    turn: { speculative_turn: false },
  };
  const created = await rest.ask('POST', '/v1/convai/agents/create', { body: { conversation_config: config } });
  t.equal(created.status, 200);
  const at = (...path: (string | number)[]) => ['body', 'conversation_config', ...path];
  t.match(warningsIn(created.json), [
    { loc: at('first_message'), type: 'unknown_key', msg: /belongs at conversation_config\.agent\.first_message/ },
    { loc: at('agent', 'promt'), type: 'unknown_key', msg: /"prompt"/ },
    { loc: at('agent', 'prompt', 'tools', 0, 'excution_mode'), msg: /"execution_mode"/ },
    { loc: at('asr', 'quality'), type: 'without_effect', msg: /PARLEY_STT/ },
  ]);
  t.equal(warningsIn(created.json).length, 4, 'what is off asks for nothing');
  const path = `/v1/convai/agents/${String(created.json['agent_id'])}`;
  const { json } = await rest.ask('GET', path);
  t.match(json, { conversation_config: { first_message: 'Hello', asr: { quality: 'high' } } });
  t.notOk('warnings' in json);
  const renamed = await rest.ask('PATCH', path, { body: { name: 'Bo' } });
  t.notOk('warnings' in renamed.json, 'only what was written now');
  const again = await rest.ask('PATCH', path, { body: renamed.json });
  t.equal(again.status, 200, 'an answer may be sent back');
  t.notOk(
    warningsIn(again.json).some(({ loc }) => loc.length === 2),
    'with what the server itself put into it',
  );
  const tool = await rest.ask('POST', '/v1/convai/tools', {
    body: { tool_config: { type: 'client', name: 'a', parameter: { type: 'object' } } },
  });
  t.match(warningsIn(tool.json), [{ loc: ['body', 'tool_config', 'parameter'], msg: /"parameters"/ }]);
  const server = await rest.ask('POST', '/v1/convai/mcp-servers', {
    body: { config: { url: 'https://a.example/', headers: {} } },
  });
  t.match(warningsIn(server.json), [{ loc: ['body', 'config', 'headers'], type: 'unknown_key' }]);
});

test('events that no client will get are told to whoever asks for them', (t) => {
  const asking = (...events: string[]) =>
    agentKeyWarnings({ conversation_config: { conversation: { client_events: events } } }).map(({ path, rule, message }) => [
      path.at(-1),
      rule,
      message.replace(/^.*?(: |Known)/, '$1'),
    ]);
  t.same(asking('audio', 'ping', 'parley_turn_event', 'conversation_initiation_metadata'), []);
  t.same(asking('audio', 'user_transcrpt', 'coffee', 'guardrail_triggered'), [
    [1, 'unknown_value', 'Known here: "user_transcript".'],
    [2, 'unknown_value', 'This is unknown and has no effect.'],
    [3, 'without_effect', ': there are no guardrails.'],
  ]);
  t.end();
});

test('every key without effect is named in docs/protocol.md', (t) => {
  const text = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');
  const { agent, tool, server } = keysWithoutEffect();
  const named = (path: string) => text.includes(`\`${path.replace('conversation_config.', '')}\``);
  const paths = [...agent, ...tool.map((path) => `tools.*.${path}`), ...server.map((path) => `mcp_servers.*.${path}`)];
  t.same(
    paths.filter((path) => !named(path)),
    [],
  );
  t.end();
});

test("a model of the agent's own: its host is written out", async (t) => {
  const rest = createTestRest();
  const create = async (url: string) =>
    rest.ask('POST', '/v1/convai/agents/create', {
      body: { conversation_config: { agent: { prompt: { llm: 'custom-llm', custom_llm: { url } } } } },
    });
  for (const url of ['http://', 'https://{{host}}/v1', 'https://', 'ftp://a.example/v1', 'http://a b/']) {
    const { status, json } = await create(url);
    t.equal(status, 422, url);
    t.match(detailOf(json)[0], { loc: ['body', 'conversation_config', 'agent', 'prompt', 'custom_llm', 'url'], input: url });
  }
  for (const url of ['http://127.0.0.1:8080/v1', 'https://a.example/v1/']) t.equal((await create(url)).status, 200, url);
});

test('whatever is sent, the answer is one of ours', async (t) => {
  const rest = createTestRest();
  const agentId = await createAgent(rest);
  const json = fc.jsonValue() as fc.Arbitrary<unknown>;
  const targets = fc.constantFrom(
    'POST /v1/convai/agents/create',
    `PATCH /v1/convai/agents/${agentId}`,
    'POST /v1/convai/tools',
    'POST /v1/convai/mcp-servers',
    'POST /v1/convai/secrets',
    'POST /v1/convai/conversations/conv_x/feedback',
  );
  await fc.assert(
    fc.asyncProperty(
      targets,
      fc.oneof(json, fc.record({ conversation_config: json, tool_config: json, config: json })),
      async (target, body) => {
        const [method = '', path = ''] = target.split(' ');
        const { status } = await rest.ask(method, path, { body });
        return [200, 404, 409, 422].includes(status);
      },
    ),
    { numRuns: 300 },
  );
  const path = fc.string({ unit: 'binary', maxLength: 60 }).map((text) => `/v1/convai/${text}`);
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('GET', 'PUT', 'OPTIONS', 'DELETE'), path, async (method, target) => {
      const { status } = await rest.ask(method, target.replaceAll('?', ''));
      return [200, 204, 404, 405, 409, 422].includes(status);
    }),
  );
  t.same(rest.bugs, []);
});

test('R5: without or with a wrong key 401; public paths need none', async (t) => {
  const rest = createTestRest({ apiKey: 'correct-key', isLoopback: false });
  const paths = rest.router.routes.filter(({ isPublic }) => !isPublic);
  t.ok(paths.length > 20);
  for (const { method, path } of paths) {
    const none = await rest.ask(method, path);
    t.equal(none.status, 401, `${method} ${path}`);
    t.match(none.json, { detail: { status: 'invalid_api_key', message: String } });
    t.equal((await rest.ask(method, path, { headers: { 'xi-api-key': 'wrong-key' } })).status, 401);
  }
  t.equal((await rest.ask('GET', '/v1/convai/agents', { headers: { 'xi-api-key': 'correct-key' } })).status, 200);
  t.equal((await rest.ask('GET', '/v1/convai/agents', { headers: { authorization: 'Bearer correct-key' } })).status, 200);
  t.equal((await rest.ask('GET', '/v1/convai/agents/default/widget')).status, 200);
  t.equal((await rest.ask('GET', '/openapi.json')).status, 200);
  t.equal(
    (await rest.ask('POST', '/v1/convai/conversations/c/feedback', { body: {} })).status,
    404,
    'public, but nothing is there',
  );

  const closed = createTestRest({ isLoopback: false });
  t.equal((await closed.ask('GET', '/v1/convai/agents')).status, 401, 'no key at all, and others can reach it');
});

test('open to this machine alone: pages of others and borrowed names are turned away', async (t) => {
  const rest = createTestRest();
  const ask = async (headers: Record<string, string>) => (await rest.ask('GET', '/v1/convai/agents', { headers })).status;
  t.equal(await ask({}), 200, 'a program');
  t.equal(await ask({ origin: 'http://127.0.0.1:8080' }), 200, 'our own page');
  t.equal(await ask({ host: 'localhost:8080', origin: 'http://localhost:8080' }), 200);
  t.equal(await ask({ origin: 'https://evil.example' }), 403, 'any page that somebody looks at');
  t.equal(await ask({ origin: 'null' }), 403);
  t.equal(
    await ask({ host: 'evil.example:8080', origin: 'http://evil.example:8080' }),
    403,
    'a name that was made to point here',
  );
});

test('R2, R9: signed URLs, in both spellings, for the host that clients see', async (t) => {
  const rest = createTestRest();
  for (const spelling of ['get-signed-url', 'get_signed_url']) {
    const { json } = await rest.ask('GET', `/v1/convai/conversation/${spelling}?agent_id=default`);
    t.match(
      json['signed_url'],
      /^ws:\/\/127\.0\.0\.1:8080\/v1\/convai\/conversation\?agent_id=default&conversation_signature=[\w.-]+$/,
    );
  }
  const proxied = await rest.ask('GET', '/v1/convai/conversation/get-signed-url?agent_id=default', {
    headers: { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'voice.example.org' },
  });
  t.match(proxied.status, 200, 'a proxy in front speaks for itself, not for a page');
  t.match(proxied.json['signed_url'], /^wss:\/\/voice\.example\.org\/v1\//);
  const configured = createTestRest({ publicUrl: 'https://calls.example.org/parley' });
  const named = await configured.ask(
    'GET',
    '/v1/convai/conversation/get-signed-url?agent_id=default&include_conversation_id=true',
  );
  t.match(named.json['signed_url'], /^wss:\/\/calls\.example\.org\/parley\/v1\/convai\/conversation\?/);
  t.match(named.json['signed_url'], /conversation_id=conv_[a-z0-9]{28}/);
  for (const isShown of [true, false]) {
    const { json } = await rest.ask(
      'GET',
      `/v1/convai/conversation/get-signed-url?agent_id=default&include_conversation_id=${isShown}`,
    );
    const signature = new URL(String(json['signed_url'])).searchParams.get('conversation_signature') ?? '';
    const read = readTicket(signature, signingKey, 1_700_000_000_000);
    t.match(read, { ok: true, ticket: { conversationId: /^conv_/ } }, 'one conversation each, whether or not its id is shown');
    t.equal(json['conversation_id'], isShown && read.ok ? read.ticket.conversationId : undefined);
  }
  t.equal((await rest.ask('GET', '/v1/convai/conversation/get-signed-url?agent_id=nobody')).status, 404);
  t.equal((await rest.ask('GET', '/v1/convai/conversation/get-signed-url')).status, 422);
});

test('R3: the WebRTC token is refused with a message that says what to change', async (t) => {
  const { status, json } = await createTestRest({ apiKey: 'correct-key' }).ask('GET', '/v1/convai/conversation/token?agent_id=a');
  t.equal(status, 404);
  t.match(json, { detail: { status: 'webrtc_not_supported', message: /connectionType: "websocket"/ } });
});

test('the widget: what it needs, what the agent adds, and closed agents', async (t) => {
  const rest = createTestRest();
  const agentId = await createAgent(rest, {
    conversation_config: {
      agent: { first_message: 'Hi', language: 'de' },
      language_presets: { fr: { overrides: { agent: { first_message: 'Salut' } } } },
    },
    platform_settings: {
      widget: { variant: 'compact', use_rtc: true },
      overrides: { conversation_config_override: { agent: { language: true } } },
    },
  });
  t.match((await rest.ask('GET', `/v1/convai/agents/${agentId}/widget`)).json, {
    agent_id: agentId,
    widget_config: {
      variant: 'compact',
      language: 'de',
      use_rtc: false,
      first_message: 'Hi',
      supported_language_overrides: ['de', 'fr'],
      language_presets: { fr: { first_message: 'Salut' } },
      supports_text_only: true,
    },
  });
  await rest.ask('PATCH', `/v1/convai/agents/${agentId}`, { body: { platform_settings: { auth: { enable_auth: true } } } });
  t.equal((await rest.ask('GET', `/v1/convai/agents/${agentId}/widget`)).status, 401);
  const { json } = await rest.ask('GET', `/v1/convai/conversation/get-signed-url?agent_id=${agentId}`);
  const signature = new URL(String(json['signed_url'])).searchParams.get('conversation_signature');
  t.equal((await rest.ask('GET', `/v1/convai/agents/${agentId}/widget?conversation_signature=${signature}`)).status, 200);
  t.equal(
    (await rest.ask('GET', '/v1/convai/agents/default/widget?conversation_signature=v1.x.y')).status,
    200,
    'not needed there',
  );
});

/** One conversation with a cut reply, a tool call and everything else that is recorded. */
async function recorded(rest: Rest, conversationId: string): Promise<void> {
  const { conversations } = rest.context;
  conversations.begin({
    ...head(conversationId),
    userId: 'u-17',
    document: {
      text_only: false,
      main_language: 'en',
      environment: 'production',
      conversation_initiation_source: 'js_sdk',
      conversation_initiation_source_version: '1.25.0',
      conversation_initiation_client_data: { dynamic_variables: { name: 'Bo' }, user_id: 'u-17' },
    },
  });
  const items: object[] = [
    { role: 'agent', message: 'Hello', time_in_call_secs: 0 },
    { role: 'user', message: 'Where is my order?', time_in_call_secs: 2, contextual_update_info: { context_id: null } },
    {
      role: 'agent',
      message: 'It is in',
      original_message: 'It is in Bremen.',
      interrupted: true,
      time_in_call_secs: 4,
      feedback: { score: 'like', time_in_call_secs: 5 },
      tool_calls: [
        { type: 'webhook', request_id: 'call_1', tool_name: 'find', params_as_json: '{}', tool_has_been_called: true },
      ],
      tool_results: [
        {
          type: 'webhook',
          request_id: 'call_1',
          tool_name: 'find',
          result_value: 'Bremen',
          is_error: false,
          tool_has_been_called: true,
        },
      ],
    },
  ];
  for (const [index, document] of items.entries())
    conversations.item(conversationId, { index, document: document as Record<string, unknown> });
  await conversations.end(conversationId, {
    status: 'done',
    endedAtMs: 1_700_000_000_000,
    document: { termination_reason: 'Client disconnected: 1000', usage: { llm_requests: 2 } },
  });
}

test('R8: the record of a conversation', async (t) => {
  const rest = createTestRest();
  await recorded(rest, 'conv_1');
  const { json } = await rest.ask('GET', '/v1/convai/conversations/conv_1');
  t.match(json, {
    agent_id: 'default',
    status: 'done',
    user_id: 'u-17',
    has_audio: false,
    metadata: {
      start_time_unix_secs: 1_699_999_990,
      call_duration_secs: 10,
      termination_reason: 'Client disconnected: 1000',
      conversation_initiation_source: 'js_sdk',
      feedback: { likes: 1, dislikes: 0 },
      parley: { usage: { llm_requests: 2 } },
    },
    conversation_initiation_client_data: { dynamic_variables: { name: 'Bo' } },
    transcript: [
      { role: 'agent', message: 'Hello' },
      { role: 'user', message: 'Where is my order?' },
      { interrupted: true, original_message: 'It is in Bremen.', tool_results: [{ result_value: 'Bremen' }] },
    ],
  });
  t.notHas(
    (json['transcript'] as object[])[1],
    'contextual_update_info',
    'a context without a name is left out: clients want one',
  );
  const { json: list } = await rest.ask('GET', '/v1/convai/conversations?agent_id=default&user_id=u-17');
  t.match(list, {
    conversations: [{ conversation_id: 'conv_1', message_count: 3, call_successful: 'unknown', agent_name: 'default' }],
    has_more: false,
  });
  t.same((await rest.ask('GET', '/v1/convai/conversations?call_successful=failure')).json['conversations'], []);
  t.same((await rest.ask('GET', '/v1/convai/conversations?call_start_after_unix=1700000000')).json['conversations'], []);
  t.equal((await rest.ask('GET', '/v1/convai/conversations/conv_1/audio')).status, 404, 'nothing was recorded');
  t.equal((await rest.ask('DELETE', '/v1/convai/conversations/conv_1')).status, 200);
  t.equal((await rest.ask('GET', '/v1/convai/conversations/conv_1')).status, 404);
});

test('feedback while the conversation goes on and for a day after it', async (t) => {
  let atMs = 1_700_000_000_000;
  const rest = createTestRest({ nowMs: () => atMs });
  await recorded(rest, 'conv_1');
  const send = async (body: object) => (await rest.ask('POST', '/v1/convai/conversations/conv_1/feedback', { body })).status;
  t.equal(await send({ feedback: 'like' }), 200);
  t.match((await rest.ask('GET', '/v1/convai/conversations/conv_1')).json, {
    metadata: { feedback: { overall_score: 'like', type: 'thumbs' } },
  });
  t.equal(await send({ rating: 4, comment: 'Good' }), 200);
  t.match((await rest.ask('GET', '/v1/convai/conversations/conv_1')).json, {
    metadata: { feedback: { rating: 4, comment: 'Good', type: 'rating', likes: 1 } },
  });
  t.equal(await send({ feedback: 'meh' }), 422);
  t.equal(await send({ rating: 6 }), 422);
  atMs += 25 * 3600_000;
  t.equal(await send({ feedback: 'dislike' }), 404);
});

const png = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3]);

async function upload(rest: Rest, conversationId: string, bytes: Uint8Array<ArrayBuffer>, type: string, field = 'file') {
  const form = new FormData();
  form.set(field, new File([bytes], '../evil/ü.png', { type }));
  const request = new Request('http://127.0.0.1/', { method: 'POST', body: form });
  return rest.ask('POST', `/v1/convai/conversations/${conversationId}/files`, {
    bytes: new Uint8Array(await request.arrayBuffer()),
    headers: { 'content-type': request.headers.get('content-type') ?? '' },
  });
}

function openConversation(): Rest {
  const withFiles = fileAgent('files', { conversation: { file_input: { enabled: true, max_files_per_conversation: 2 } } });
  const rest = createTestRest({ agents: [withFiles, fileAgent('default')] });
  rest.context.conversations.begin(head('conv_files', 'files'));
  rest.context.conversations.begin(head('conv_none'));
  return rest;
}

test('R7: files go to conversations that are going on, in size and kind that were agreed', async (t) => {
  const rest = openConversation();
  const png0 = new Uint8Array(png);
  const { status, json } = await upload(rest, 'conv_files', png0, 'image/png');
  t.equal(status, 200);
  t.match(json['file_id'], /^file_[a-z0-9]{28}$/);
  const file = await rest.ask('GET', `/v1/convai/conversations/conv_files/files/${json['file_id']}`);
  t.same(Buffer.from(file.bytes!), png);
  t.match(file.headers, { 'content-type': 'image/png', 'content-disposition': "attachment; filename*=UTF-8''%C3%BC.png" });
  t.equal(
    (await rest.ask('GET', `/v1/convai/conversations/conv_none/files/${json['file_id']}`)).status,
    404,
    'of that conversation only',
  );

  t.equal((await upload(rest, 'conv_unknown', png0, 'image/png')).status, 404);
  t.equal((await upload(rest, 'conv_none', png0, 'image/png')).status, 403, 'this agent takes none');
  t.equal((await upload(rest, 'conv_files', new Uint8Array(Buffer.from('MZ')), 'application/x-msdownload')).status, 415);
  t.equal(
    (await upload(rest, 'conv_files', new Uint8Array(Buffer.from('MZ')), 'image/png')).status,
    415,
    'it only says that it is one',
  );
  t.equal((await upload(rest, 'conv_files', png0, 'constructor')).status, 415);
  const huge = new Uint8Array(10 * 1024 * 1024 + 1);
  huge.set(png);
  const tooLarge = await upload(rest, 'conv_files', huge, 'image/png');
  t.equal(tooLarge.status, 413);
  t.match(tooLarge.json, { detail: { message: /10 MB/ } });
  t.equal((await upload(rest, 'conv_files', png0, 'image/png', 'other')).status, 422);
  t.equal((await rest.ask('POST', '/v1/convai/conversations/conv_files/files', { body: {} })).status, 422);

  const both = await Promise.all([1, 2].map(() => upload(rest, 'conv_files', png0, 'image/png')));
  t.same(both.map((answer) => answer.status).sort(), [200, 429], 'two at once do not both become the last one');
  const gone = await rest.ask('DELETE', `/v1/convai/conversations/conv_files/files/${json['file_id']}`);
  t.same(gone.json, { file_id: json['file_id'] });
  t.equal((await rest.ask('GET', `/v1/convai/conversations/conv_files/files/${json['file_id']}`)).status, 404);
  await rest.context.conversations.end('conv_files', { status: 'done', endedAtMs: 1_700_000_000_000, document: {} });
  t.equal((await upload(rest, 'conv_files', png0, 'image/png')).status, 404, 'it is over');
  t.same(rest.bugs, []);
});

test('tools, MCP servers and secrets', async (t) => {
  const rest = createTestRest();
  const tool = {
    type: 'webhook',
    name: 'find_order',
    description: 'Finds an order.',
    api_schema: { url: 'https://example.org/orders/{id}', path_params_schema: { id: { type: 'string' } } },
  };
  const { json: created } = await rest.ask('POST', '/v1/convai/tools', { body: { tool_config: tool } });
  t.match(created, { id: /^tool_/, tool_config: tool, usage_stats: { avg_latency_secs: 0 } });
  const agentId = await createAgent(rest, { conversation_config: { agent: { prompt: { tool_ids: [created['id']] } } } });
  t.match(
    rest.announced.at(-1)?.agent?.conversation_config.agent.prompt.tools,
    [{ name: 'find_order' }],
    'sessions get it written out',
  );
  t.equal((await rest.ask('DELETE', `/v1/convai/tools/${created['id']}`)).status, 409, 'it is in use');
  await rest.ask('PATCH', `/v1/convai/tools/${created['id']}`, { body: { tool_config: { ...tool, name: 'find' } } });
  t.match(
    rest.announced.at(-1)?.agent?.conversation_config.agent.prompt.tools,
    [{ name: 'find' }],
    'a change is announced with the agent',
  );
  t.equal(rest.announced.at(-1)?.agentId, agentId);
  const bad = await rest.ask('POST', '/v1/convai/tools', {
    body: { tool_config: { ...tool, api_schema: { url: 'https://{host}/' } } },
  });
  t.match(bad, { status: 422, json: { detail: [{ loc: ['body', 'tool_config', 'api_schema', 'url'] }] } });
  t.equal((await rest.ask('DELETE', `/v1/convai/tools/${created['id']}?force=true`)).status, 200);
  t.same(rest.announced.at(-1)?.agent?.conversation_config.agent.prompt.tools, []);

  const { json: server } = await rest.ask('POST', '/v1/convai/mcp-servers', {
    body: { config: { url: 'https://example.org/mcp', name: 'Shop', transport: 'STREAMABLE_HTTP' } },
  });
  t.match(server, { id: /^mcp_/, config: { name: 'Shop' }, metadata: { created_at: 1_700_000_000 } });
  const { json: patched } = await rest.ask('PATCH', `/v1/convai/mcp-servers/${server['id']}`, {
    body: { approval_policy: 'auto_approve_all' },
  });
  t.match(patched, { config: { name: 'Shop', approval_policy: 'auto_approve_all' } });
  t.equal((await rest.ask('POST', '/v1/convai/mcp-servers', { body: { config: { url: 7 } } })).status, 422);

  const { json: secret } = await rest.ask('POST', '/v1/convai/secrets', { body: { type: 'new', name: 'key', value: 's3cret' } });
  const secretId = secret['secret_id'];
  await createAgent(rest, {
    conversation_config: {
      agent: { prompt: { llm: 'custom-llm', custom_llm: { url: 'https://example.org/v1', api_key: { secret_id: secretId } } } },
    },
  });
  t.same(rest.announced.at(-1)?.agent?.secrets, { [String(secretId)]: 's3cret' }, 'the session gets its value');
  const { json: listed } = await rest.ask('GET', '/v1/convai/secrets');
  t.match(listed, { secrets: [{ name: 'key', used_by: { agents: [{ type: 'available' }] } }] });
  const everything = await Promise.all(
    [
      '/v1/convai/secrets',
      `/v1/convai/secrets/${secretId}`,
      '/v1/convai/agents',
      `/v1/convai/agents/${rest.announced.at(-1)?.agentId}`,
    ].map(async (path) => JSON.stringify((await rest.ask('GET', path)).json)),
  );
  t.notMatch(everything.join(), /s3cret/, 'nobody else does');
  t.equal((await rest.ask('DELETE', `/v1/convai/secrets/${secretId}`)).status, 409);
  t.same(rest.bugs, []);
});

test('retention: what may not be kept is not kept', async (t) => {
  const dayMs = 24 * 3600_000;
  let atMs = 1_700_000_000_000;
  const rest = createTestRest({
    nowMs: () => atMs,
    agents: ['week', 'none', 'nameless'].map((id) => fileAgent(id)),
  });
  const privacies = { week: { retention_days: 7 }, none: { retention_days: 0 }, nameless: { delete_transcript_and_pii: true } };
  for (const [agentId, privacy] of Object.entries(privacies)) {
    await rest.ask('PATCH', `/v1/convai/agents/${agentId}`, { body: { platform_settings: { privacy } } });
  }
  const { conversations, retention } = rest.context;
  for (const agentId of Object.keys(privacies)) {
    const conversationId = `conv_${agentId}`;
    conversations.begin({ ...head(conversationId, agentId), agentVersion: 1, userId: 'u' });
    conversations.item(conversationId, { index: 0, document: { role: 'user', message: 'my name is', time_in_call_secs: 0 } });
    await conversations.end(conversationId, { status: 'done', endedAtMs: atMs, document: { termination_reason: 'over' } });
    // Whatever becomes of the agent: what it said when the call began counts.
    await rest.ask('DELETE', `/v1/convai/agents/${agentId}`);
    await retention.atEnd(conversationId);
  }
  t.equal((await rest.ask('GET', '/v1/convai/conversations/conv_none')).status, 404);
  const { json } = await rest.ask('GET', '/v1/convai/conversations/conv_nameless');
  t.match(json, { user_id: null, transcript: [], metadata: { termination_reason: 'over', call_duration_secs: 10 } });
  atMs += 6 * dayMs;
  t.equal(await retention.sweep(), 0);
  atMs += 2 * dayMs;
  t.equal(await retention.sweep(), 1);
  t.equal((await rest.ask('GET', '/v1/convai/conversations/conv_week')).status, 404);
  t.equal((await rest.ask('GET', '/v1/convai/conversations/conv_nameless')).status, 200);
});

test('retention: the sweep does what an end left undone, and what an older engine did not write down', async (t) => {
  let atMs = 1_700_000_000_000;
  const store = new MemoryStore();
  const rest = createTestRest({ store, nowMs: () => atMs });
  const { retention } = rest.context;
  const privacies: Readonly<Record<string, Json | undefined>> = {
    gone: { retention_days: 0 },
    nameless: { delete_transcript_and_pii: true, retention_days: 3 },
    kept: { retention_days: -1 },
    older: undefined,
  };
  await rest.ask('PATCH', '/v1/convai/agents/default', { body: { platform_settings: { privacy: { retention_days: 2 } } } });
  for (const [name, privacy] of Object.entries(privacies)) {
    const conversationId = `conv_${name}`;
    const document = privacy === undefined ? {} : { privacy };
    await store.beginConversation({ ...head(conversationId, 'default'), agentVersion: 1, document });
    await store.putItem(conversationId, { index: 0, document: { role: 'user', message: 'my name is', time_in_call_secs: 0 } });
    await store.endConversation(conversationId, { status: 'done', endedAtMs: atMs, document: {} });
  }
  const left = async (): Promise<Record<string, number>> => {
    const page = await rest.ask('GET', '/v1/convai/conversations');
    const rows = page.json['conversations'] as { conversation_id: string; message_count: number }[];
    return Object.fromEntries(rows.map((row) => [row.conversation_id, row.message_count]));
  };
  t.equal(await retention.sweep(), 0, 'what has just ended is left to whoever held it');
  atMs += retentionLimits.graceMs;
  t.equal(await retention.sweep((conversationId) => conversationId === 'conv_nameless'), 1);
  t.same(await left(), { conv_nameless: 1, conv_kept: 1, conv_older: 1 }, 'one that is still busy waits');
  t.equal(await retention.sweep(), 0);
  t.same(await left(), { conv_nameless: 0, conv_kept: 1, conv_older: 1 });
  t.same(await store.dueConversations(atMs), [], 'nothing is done twice');
  atMs += 2 * 24 * 3600_000;
  t.equal(await retention.sweep(), 1);
  t.same(await left(), { conv_nameless: 0, conv_kept: 1 });
  atMs += 24 * 3600_000;
  t.equal(await retention.sweep(), 1);
  t.same(await left(), { conv_kept: 1 });

  for (const name of ['stuck', 'free']) {
    await store.beginConversation({ ...head(`conv_${name}`, 'default'), document: { privacy: { retention_days: 0 } } });
    await store.endConversation(`conv_${name}`, { status: 'done', endedAtMs: 1, document: {} });
  }
  const drop = store.deleteConversation.bind(store);
  store.deleteConversation = (conversationId) =>
    conversationId === 'conv_stuck' ? Promise.reject(new EngineError('timeout', 'no answer')) : drop(conversationId);
  await t.rejects(retention.sweep(), /no answer/);
  t.same(await left(), { conv_kept: 1, conv_stuck: 0 }, 'what cannot be done holds up nothing else');
});

test('CORS: preflight and answers', async (t) => {
  const rest = createTestRest({ apiKey: 'correct-key' });
  const { status, headers } = await rest.ask('OPTIONS', '/v1/convai/conversations/conv_1/feedback', {
    headers: { origin: 'https://a.example' },
  });
  t.equal(status, 204);
  t.match(headers['access-control-allow-methods'], /POST.*DELETE.*OPTIONS/);
  t.match(headers['access-control-allow-headers'], /content-type.*xi-api-key/);
});

test('the OpenAPI document has every route, and no other', async (t) => {
  const rest = createTestRest();
  const { status, json } = await rest.ask('GET', '/openapi.json');
  t.equal(status, 200);
  t.equal(json['openapi'], '3.1.0');
  const paths = json['paths'] as Record<
    string,
    Record<string, { operationId: string; parameters: { name: string; in: string }[]; responses: object }>
  >;
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  t.same(described.sort(), rest.router.routes.map(({ method, path }) => `${method} ${path}`).sort());
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation) => ({ path, operation })),
  );
  t.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length, 'names are used once');
  for (const { path, operation } of operations) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    t.same(
      operation.parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name),
      named,
      path,
    );
    t.ok(Object.hasOwn(operation.responses, '200') && Object.hasOwn(operation.responses, '422'));
  }
  const text = JSON.stringify(json);
  for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)) {
    t.ok(Object.hasOwn((json['components'] as { schemas: object }).schemas, name!), `${name} is there`);
  }
  t.match(text, /"turn_timeout"/, 'agents are described down to their settings');
  const bodyOf = (method: string, path: string) =>
    valueAt(paths, [path, method, 'requestBody', 'content', 'application/json', 'schema', 'properties']);
  const create = bodyOf('post', '/v1/convai/agents/create');
  const agent = ['conversation_config', 'properties', 'agent', 'properties'];
  t.match(valueAt(create, [...agent, 'first_message']), { type: 'string', default: '' });
  t.match(valueAt(create, [...agent, 'prompt', 'properties', 'temperature']), { minimum: 0, maximum: 2, default: 0.5 });
  t.match(valueAt(create, ['parley', 'properties', 'turn', 'properties', 'idleMs']), { type: 'number' });
  const patch = bodyOf('patch', '/v1/convai/agents/{agent_id}');
  t.match(valueAt(patch, [...agent, 'language']), { default: 'en' });
  t.ok(valueAt(bodyOf('post', '/v1/convai/tools'), ['tool_config', 'oneOf']), 'tools by their type');
  t.match(valueAt(bodyOf('post', '/v1/convai/mcp-servers'), ['config', 'properties', 'transport']), { default: 'SSE' });
  t.same(json['servers'], [{ url: '/' }]);
  const named = createTestRest({ publicUrl: 'https://calls.example.org/parley' });
  t.match((await named.ask('GET', '/openapi.json')).json, { servers: [{ url: 'https://calls.example.org/parley' }] });
  t.match(openApi([], '1', ''), { openapi: '3.1.0', info: { version: '1' }, paths: {} });
});
