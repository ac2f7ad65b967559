/** Webhook tools against real servers on this machine: requests, retries, redirects, hostile answers, cancellation, bounds of the runner. */
import { gzipSync } from 'node:zlib';
import { type Test, test } from 'tap';
import { AddressGuard, parseAllowedHosts, type Resolve } from '../src/tools/address-guard.js';
import { type ToolOutcome, toolLimits, type WebhookTool } from '../src/tools/port.js';
import { createToolRunner, type ToolRunner } from '../src/tools/runner.js';
import { checkWebhook } from '../src/tools/webhook-config.js';
import { type Answer, hangUp, json, LocalProvider, silence } from './support/local-provider.js';

type Doc = Record<string, unknown>;
const secrets = new Map([['s1', 'canary-secret-one']]);

type Rig = {
  readonly provider: LocalProvider;
  readonly runner: ToolRunner;
  readonly logged: [string, Record<string, string | number>][];
  readonly call: (api: Doc, given?: unknown, options?: CallOptions) => Promise<ToolOutcome>;
};
type CallOptions = {
  readonly variables?: Record<string, string>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly id?: string;
};

async function rig(
  t: Test,
  answers: Answer[],
  options: { allowed?: string; resolve?: Resolve; runningMax?: number } = {},
): Promise<Rig> {
  const provider = await LocalProvider.open(...answers);
  const logged: Rig['logged'] = [];
  const allowed = parseAllowedHosts(options.allowed ?? new URL(provider.url).host);
  const runner = createToolRunner({
    guard: new AddressGuard(allowed, options.resolve),
    log: (event, fields = {}) => logged.push([event, fields]),
    secret: (id) => Promise.resolve(secrets.get(id)),
    isMcpStdioAllowed: false,
    ...(options.runningMax === undefined ? {} : { limits: { runningMax: options.runningMax } }),
  });
  t.teardown(async () => {
    await runner.close();
    await provider.close();
  });
  let calls = 0;
  return {
    provider,
    runner,
    logged,
    call: (api, given = {}, { variables = {}, timeoutMs, signal, id } = {}) => {
      calls += 1;
      const webhook = tool({ url: provider.url, ...api }, timeoutMs);
      const argumentsJson = typeof given === 'string' ? given : JSON.stringify(given);
      return runner.run({
        conversationId: 'conv_1',
        run: { toolCallId: id ?? `call_${calls}`, name: webhook.name, argumentsJson },
        webhook,
        variables,
        ...(signal === undefined ? {} : { signal }),
      });
    },
  };
}

function tool(api: Doc, timeoutMs?: number): WebhookTool {
  const checked = checkWebhook({ type: 'webhook', name: 'lookup', api_schema: api });
  if (!checked.ok) throw new Error(JSON.stringify(checked.issues));
  return timeoutMs === undefined ? checked.value : { ...checked.value, timeoutMs };
}

const string = { type: 'string', description: 'x' };

test('path, query, body and headers are filled and placed', async (t) => {
  const { provider, call } = await rig(t, [json({ ok: true, repeated: 'canary-secret-one and canary-secret-two' })]);
  const outcome = await call(
    {
      url: `${provider.url}/users/{id}/x?lang={{language}}`,
      method: 'POST',
      request_headers: {
        Authorization: { secret_id: 's1' },
        'X-Session': { variable_name: 'secret__two' },
        'X-Mixed': 'v {{language}}',
      },
      path_params_schema: { id: string },
      query_params_schema: {
        properties: { q: string, limit: { type: 'integer', description: 'n' }, v: { type: 'string', constant_value: '2' } },
      },
      request_body_schema: {
        type: 'object',
        properties: {
          note: string,
          agent: { type: 'string', dynamic_variable: 'agent' },
          on: { type: 'boolean', constant_value: true },
        },
      },
    },
    { id: 'a/b?c#d', q: 'x&y=é', limit: 3, note: '"', agent: 'forged', on: false, extra: 1 },
    { variables: { language: 'de DE', secret__two: 'canary-secret-two', agent: 'agent_7' } },
  );
  t.match(outcome, { isError: false, result: '{"ok":true,"repeated":"[secret] and [secret]"}', isTruncated: false });
  const { path, method, headers, body } = provider.received[0]!;
  t.equal(method, 'POST');
  t.equal(path, '/users/a%2Fb%3Fc%23d/x?lang=de+DE&q=x%26y%3D%C3%A9&limit=3&v=2');
  t.match(headers, {
    authorization: 'canary-secret-one',
    'x-session': 'canary-secret-two',
    'x-mixed': 'v de DE',
    'content-type': 'application/json',
  });
  t.same(JSON.parse(body.toString()), { note: '"', agent: 'agent_7', on: true });
});

test('a variable that is a secret goes into headers only, and is struck out wherever it was sent', async (t) => {
  const { provider, call, runner } = await rig(t, [json({ repeated: 'canary-secret-two' })]);
  const secret = { type: 'string', dynamic_variable: 'secret__two' };
  const places: readonly Doc[] = [
    { url: `${provider.url}/{x}`, path_params_schema: { x: secret } },
    { query_params_schema: { properties: { x: secret } } },
    { method: 'POST', request_body_schema: { type: 'object', properties: { o: { type: 'object', properties: { x: secret } } } } },
  ];
  for (const place of places) t.throws(() => tool({ url: provider.url, ...place }), /headers only/);
  t.equal((await call({}, {}, { variables: { secret__two: 'canary-secret-two' } })).result, '{"repeated":"[secret]"}');
  // One that was let in by an older engine.
  const webhook = tool({ url: provider.url, query_params_schema: { properties: { x: string } } });
  const query = { ...webhook.query, properties: { x: { types: ['string'], source: { kind: 'variable', name: 'secret__two' } } } };
  const outcome = await runner.run({
    conversationId: 'conv_1',
    run: { toolCallId: 'call_old', name: 'lookup', argumentsJson: '{}' },
    webhook: { ...webhook, query } as WebhookTool,
    variables: { secret__two: 'canary-secret-two' },
  });
  t.match(provider.received.at(-1)?.path, /x=canary-secret-two/);
  t.equal(outcome.result, '{"repeated":"[secret]"}');
});

test('a form body, and a body that takes whatever the model writes', async (t) => {
  const { provider, call } = await rig(t, [json({})]);
  const form = { type: 'object', properties: { a: string, b: { type: 'array', items: { type: 'integer' } } } };
  await call(
    { method: 'PUT', content_type: 'application/x-www-form-urlencoded', request_body_schema: form },
    { a: 'x y', b: [1, 2] },
  );
  t.equal(provider.received[0]!.body.toString(), 'a=x+y&b=%5B1%2C2%5D');
  t.equal(provider.received[0]!.headers['content-type'], 'application/x-www-form-urlencoded');
  await call(
    { url: `${provider.url}/{id}`, method: 'POST', path_params_schema: { id: string }, request_body_schema: { type: 'object' } },
    { id: '7', free: { x: 1 } },
  );
  t.same(JSON.parse(provider.received[1]!.body.toString()), { free: { x: 1 } });
  await call({ method: 'POST' }, {});
  t.equal(provider.received[2]!.headers['content-length'] ?? '0', '0');
});

test('what does not fit is refused before anything is sent', async (t) => {
  const { provider, call } = await rig(t, [json({})]);
  const api = { url: `${provider.url}/a/{id}/b`, path_params_schema: { id: string } };
  for (const [given, options, message] of [
    ['{"id":', {}, /not JSON/],
    ['"text"', {}, /not an object/],
    [{}, {}, /required property 'id'/],
    [{ id: 7 }, {}, /must be string/],
    [{ id: '' }, {}, /must not be empty/],
    [{ id: '..' }, {}, /must not be \. or \.\./],
    [{ id: '.' }, {}, /must not be/],
  ] as const)
    t.match(await call(api, given, options), { isError: true, result: message }, String(message));
  t.match(await call({ url: `${provider.url}/{{missing}}` }), { isError: true, result: 'dynamic variable "missing" is missing' });
  t.match(await call({ request_headers: { a: { secret_id: 'none' } } }), { isError: true, result: /secret "none"/ });
  t.match(await call({ request_headers: { a: '{{v}}' } }, {}, { variables: { v: 'x\r\nhost: evil' } }), {
    isError: true,
    result: /header a/,
  });
  t.equal(provider.received.length, 0);
});

test('one retry, for what may arrive twice, when there is no service', async (t) => {
  const busy = json({ busy: true }, 503);
  for (const [method, answers, requests, isError] of [
    ['GET', [busy, json({ ok: 1 })], 2, false],
    ['GET', [hangUp, json({ ok: 1 })], 2, false],
    ['PUT', [json({}, 502), json({ ok: 1 })], 2, false],
    ['DELETE', [busy, busy, json({ ok: 1 })], 2, true],
    ['POST', [busy, json({ ok: 1 })], 1, true],
    ['PATCH', [hangUp, json({ ok: 1 })], 1, true],
    ['GET', [json({}, 500), json({ ok: 1 })], 1, true],
    ['GET', [json({}, 429), json({ ok: 1 })], 1, true],
  ] as const) {
    const { provider, call } = await rig(t, [...answers]);
    const outcome = await call({ method });
    t.match(
      { requests: provider.received.length, isError: outcome.isError },
      { requests, isError },
      `${method} ${outcome.result}`,
    );
  }
});

test('an answer that is no success is told with its status and a piece of its body', async (t) => {
  const { call } = await rig(t, [json({ error: 'canary-secret-one is wrong', rest: 'x'.repeat(5000) }, 404), json('', 401)]);
  const outcome = await call({ request_headers: { a: { secret_id: 's1' } } });
  t.match(outcome, { isError: true, result: /^HTTP 404: {"error":"\[secret\] is wrong"/ });
  t.ok(outcome.result.length <= toolLimits.errorBodyCharsMax + 20, `${outcome.result.length} characters`);
});

test('kinds of content', async (t) => {
  const body =
    (type: string | undefined, bytes: Buffer, more: Record<string, string> = {}): Answer =>
    (response) =>
      void response.writeHead(200, { ...(type === undefined ? {} : { 'content-type': type }), ...more }).end(bytes);
  const png = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 1, 2]);
  for (const [answer, expected] of [
    [body('text/html', Buffer.from('<p>hi</p>')), { isError: false, result: '<p>hi</p>' }],
    [body(undefined, Buffer.from('plain')), { isError: false, result: 'plain' }],
    [body('text/plain', Buffer.alloc(20_000, 'x')), { isError: false, isTruncated: true, result: /^x+\n\[cut off\]$/ }],
    [body('text/plain; charset=utf-16le', Buffer.from('wide', 'utf16le')), { isError: false, result: 'wide' }],
    [body('image/png', png), { isError: true, result: 'the answer is not text (image/png)' }],
    [body('text/plain', png), { isError: true, result: 'the answer is not text (text/plain)' }],
    [body('application/json', gzipSync('{"z":1}'), { 'content-encoding': 'gzip' }), { isError: false, result: '{"z":1}' }],
    [body('application/json', Buffer.from('no gzip'), { 'content-encoding': 'gzip' }), { isError: true }],
    [
      body('application/json', Buffer.from('x'), { 'content-encoding': 'zstd' }),
      { isError: true, result: /unknown content encoding/ },
    ],
    [body('text/plain', Buffer.alloc(0)), { isError: false, result: 'HTTP 200, no content' }],
    [(response: Parameters<Answer>[0]) => void response.writeHead(204).end(), { isError: false, result: 'HTTP 204, no content' }],
  ] as const) {
    const { call } = await rig(t, [answer]);
    t.match(await call({ method: 'POST' }), expected, JSON.stringify(expected));
  }
});

test('of 500 MB little more than the bound is read', async (t) => {
  const total = 500 * 1024 * 1024;
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let written = 0;
  let closed: Promise<unknown> | undefined;
  const flood: Answer = (response, request) => {
    closed = request.closed;
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': String(total) });
    const more = (): void => {
      while (written < total && !request.socket.destroyed) {
        written += chunk.length;
        if (!response.write(chunk)) return void response.once('drain', more);
      }
    };
    more();
  };
  const { call } = await rig(t, [flood]);
  const outcome = await call({});
  t.match(outcome, { isError: true, isTruncated: true, result: /^the answer is longer than 1024 KiB; it begins: x/ });
  t.ok(outcome.result.length <= toolLimits.errorBodyCharsMax + 60, `${outcome.result.length} characters`);
  await closed;
  // What the sockets' buffers of both ends take besides.
  t.ok(written < 16 * 1024 * 1024, `${written} bytes were written by the server`);
});

test('a small answer that unpacks to 500 MB is not unpacked', async (t) => {
  // Packed parts that follow each other are one packed text.
  const bomb = Buffer.concat(new Array<Buffer>(500).fill(gzipSync(Buffer.alloc(1024 * 1024, 'x'))));
  const { call } = await rig(t, [
    (response) => void response.writeHead(200, { 'content-type': 'text/plain', 'content-encoding': 'gzip' }).end(bomb),
  ]);
  const before = process.memoryUsage.rss();
  const outcome = await call({});
  t.match(outcome, { isError: true, isTruncated: true });
  const grownBytes = process.memoryUsage.rss() - before;
  t.ok(grownBytes < 100 * 1024 * 1024, `${grownBytes} bytes more`);
});

test('a tool that hangs, drips or dies ends in time, and its connection is closed', async (t) => {
  const drip: Answer = (response, request) => {
    response.writeHead(200, { 'content-type': 'text/plain' }).write('a');
    const timer = setInterval(() => response.write('b'), 20);
    request.socket.once('close', () => clearInterval(timer));
  };
  const breakOff: Answer = (response, request) => {
    response.writeHead(200, { 'content-length': '100' }).write('half', () => request.socket.destroy());
  };
  for (const [answer, result] of [
    [silence, 'no answer within 400 ms'],
    [drip, 'no answer within 400 ms'],
    [breakOff, /broke/],
  ] as const) {
    const { call, provider } = await rig(t, [answer]);
    const outcome = await call({ method: 'POST' }, {}, { timeoutMs: 400 });
    t.match(outcome, { isError: true, result });
    t.ok(outcome.elapsedMs < 2000, `${outcome.elapsedMs} ms`);
    await provider.received[0]!.closed;
  }
});

test('a name that is never resolved and a secret that never comes end in time too', async (t) => {
  const never = (): Promise<never> => new Promise(() => undefined);
  const { call } = await rig(t, [silence], { resolve: never });
  t.match(await call({ url: 'http://slow.example/' }, {}, { timeoutMs: 50 }), {
    isError: true,
    result: 'no answer within 50 ms',
  });
  const runner = createToolRunner({
    guard: new AddressGuard(parseAllowedHosts(''), never),
    log: () => undefined,
    secret: never,
    isMcpStdioAllowed: false,
  });
  const webhook = tool({ url: 'http://slow.example/', request_headers: { a: { secret_id: 's' } } }, 50);
  const run = { toolCallId: 'c', name: 'lookup', argumentsJson: '' };
  t.match(await runner.run({ conversationId: 'v', run, webhook, variables: {} }), {
    isError: true,
    result: 'no answer within 50 ms',
  });
  await runner.close();
});

test('redirects are followed a few times, never inside and never with keys to another host', async (t) => {
  const to =
    (location: string, status = 302): Answer =>
    (response) =>
      void response.writeHead(status, { location }).end();
  const other = await LocalProvider.open(json({ other: true }));
  t.teardown(() => other.close());
  const otherHost = new URL(other.url).host;
  const { provider, call } = await rig(t, [to('/b'), to('/c'), to('/d'), json({ end: true })]);
  t.match(await call({}), { isError: false, result: '{"end":true}' });
  t.same(
    provider.received.map(({ path }) => path),
    ['/', '/b', '/c', '/d'],
  );

  const around = await rig(t, [to('/again')]);
  t.match(await around.call({}), { isError: true, result: 'more than 3 redirects' });
  t.equal(around.provider.received.length, 4);

  for (const location of [
    'http://127.0.0.2/',
    'http://169.254.169.254/latest/meta-data',
    `http://[::ffff:127.0.0.1]:1/`,
    'http://2130706433:1/',
    'http://localhost:1/',
  ])
    t.match(await (await rig(t, [to(location)])).call({}), { isError: true, result: /address not allowed/ }, location);

  const leaving = await rig(t, [to(`http://${otherHost}/x`)], { allowed: '127.0.0.1' });
  const headers = { Authorization: { secret_id: 's1' }, 'X-Key': 'k' };
  t.match(await leaving.call({ request_headers: headers }), { isError: false, result: '{"other":true}' });
  t.equal(leaving.provider.received[0]!.headers['x-key'], 'k');
  t.match(other.received[0]!.headers, { authorization: undefined, 'x-key': undefined });
  const posting = await rig(t, [to(`http://${otherHost}/x`, 307)], { allowed: '127.0.0.1' });
  const body = { type: 'object', properties: { key: { type: 'string', constant_value: 'k' } } };
  t.match(await posting.call({ method: 'POST', request_body_schema: body }), {
    isError: true,
    result: /with its body to another host/,
  });
  t.equal(other.received.length, 1);
});

test('private services stay closed unless they are allowed', async (t) => {
  const { provider, call } = await rig(t, [json({})], { allowed: '' });
  const { port } = new URL(provider.url);
  for (const url of [provider.url, `http://localhost:${port}/`, `http://2130706433:${port}/`, `http://[::ffff:7f00:1]:${port}/`])
    t.match(await call({ url }), { isError: true, result: /address not allowed/ }, url);
  t.equal(provider.connections, 0);
});

test('the same call is not started twice, a cancelled one says so, the next is free again', async (t) => {
  const { provider, call, runner } = await rig(t, [silence]);
  const api = { method: 'POST', request_body_schema: { type: 'object', properties: { a: string, b: string } } };
  const first = call(api, { a: '1', b: '2' }, { id: 'one' });
  await provider.request(1);
  t.match(await call(api, '{"b":"2", "a":"1"}', { id: 'two' }), { isError: false, result: /already running/, elapsedMs: 0 });
  const third = call(api, { a: 'other' }, { id: 'three' });
  await provider.request(2);
  t.match(await call(api, { a: 'third' }, { id: 'three' }), { result: /already running/ }, 'an id that is in use');
  t.equal(runner.counts().running, 2);
  runner.cancel('conv_1', 'nobody');
  runner.cancel('other', 'one');
  runner.cancel('conv_1', 'one');
  t.match(await first, { isError: true, result: 'cancelled' });
  await provider.received[0]!.closed;
  const again = call(api, { a: '1', b: '2' }, { id: 'one' });
  await provider.request(3);
  runner.release('conv_1');
  t.match(await Promise.all([third, again]), [{ result: 'cancelled' }, { result: 'cancelled' }]);
  t.equal(runner.counts().running, 0);
  const aborted = call(api, {}, { signal: AbortSignal.abort() });
  t.match(await aborted, { isError: true, result: 'cancelled' });
  t.equal(provider.received.length, 3, 'what was cancelled before is not sent');
});

test('one more than may run fails at once; closing ends them all', async (t) => {
  const { provider, call, runner, logged } = await rig(t, [silence], { runningMax: 2 });
  const api = { query_params_schema: { properties: { q: string } } };
  const running = [call(api, { q: 'a' }), call(api, { q: 'b' })];
  await provider.request(2);
  t.match(await call(api, { q: 'c' }), { isError: true, result: /too many tools/ });
  t.match(logged, [['tool.capacity.problem', { running: 2 }]]);
  await runner.close();
  t.match(await Promise.all(running), [{ result: 'cancelled' }, { result: 'cancelled' }]);
  t.match(await call(api, { q: 'd' }), { isError: true, result: 'cancelled' });
  t.equal(provider.received.length, 2);
});
