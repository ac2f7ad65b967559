/** MCP servers: the official SDK on both sides, and servers that hang, die, flood and talk nonsense. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import { AddressGuard, parseAllowedHosts } from '../src/tools/address-guard.js';
import { type McpLimits, mcpLimits } from '../src/tools/mcp.js';
import { checkMcpServer, type McpServerConfig } from '../src/tools/mcp-config.js';
import { BoundedMessages } from '../src/tools/mcp-fetch.js';
import type { McpOffer } from '../src/tools/mcp-offer.js';
import { toolLimits } from '../src/tools/port.js';
import { createToolRunner, type ToolRunner } from '../src/tools/runner.js';
import { LocalMcp, mcpTool, offering, text } from './support/mcp-server.js';

/** Waits for what a conversation is offered. */
class Offers {
  readonly all: McpOffer[] = [];
  #waiting: { accepts: (offer: McpOffer) => boolean; resolve: (offer: McpOffer) => void }[] = [];

  readonly take = (offer: McpOffer): void => {
    this.all.push(offer);
    for (const { accepts, resolve } of this.#waiting) if (accepts(offer)) resolve(offer);
    this.#waiting = this.#waiting.filter(({ accepts }) => !accepts(offer));
  };

  /** The first offer, of those to come, that is accepted. */
  next(accepts: (offer: McpOffer) => boolean = () => true): Promise<McpOffer> {
    return new Promise((resolve) => this.#waiting.push({ accepts, resolve }));
  }
}

type Options = { readonly allowed?: string; readonly isStdio?: boolean; readonly limits?: Partial<McpLimits> };

/** Tests wait for no clock: what takes seconds in earnest takes milliseconds here. */
const quick: Partial<McpLimits> = {
  reconnectFirstMs: 5,
  reconnectMaxMs: 10,
  refreshMinMs: 1,
  pingMs: 200,
  connectMs: 2000,
  closeMs: 500,
};

function openRunner(t: Test, { allowed = '127.0.0.1', isStdio = false, limits = {} }: Options = {}) {
  const logged: string[] = [];
  const runner = createToolRunner({
    guard: new AddressGuard(parseAllowedHosts(allowed)),
    log: (event) => logged.push(event),
    secret: (id) => Promise.resolve(id === 's1' ? 'canary-secret' : undefined),
    isMcpStdioAllowed: isStdio,
    limits: { ...quick, ...limits },
  });
  t.teardown(() => runner.close());
  return { runner, logged };
}

async function openServer(t: Test, offers = offering()): Promise<LocalMcp> {
  const server = await LocalMcp.open(offers);
  t.teardown(() => server.die().catch(() => undefined));
  return server;
}

function config(document: Record<string, unknown>, serverId = 'mcp_1'): McpServerConfig {
  const checked = checkMcpServer(serverId, { transport: 'STREAMABLE_HTTP', approval_policy: 'auto_approve_all', ...document });
  if (!checked.ok) throw new Error(JSON.stringify(checked.issues));
  return checked.value;
}

function openMcp(
  runner: ToolRunner,
  servers: McpServerConfig[],
  { conversationId = 'conv_1', variables = {}, takenNames = [] as string[] } = {},
): Offers {
  const offers = new Offers();
  runner.openMcp({ conversationId, servers, variables, takenNames, onOffer: offers.take });
  return offers;
}

let calls = 0;
function call(runner: ToolRunner, name: string, given: unknown = {}, conversationId = 'conv_1') {
  calls += 1;
  const run = { toolCallId: `call_${calls}`, name, argumentsJson: JSON.stringify(given) };
  return runner.run({ conversationId, run, webhook: undefined, variables: {} });
}

test('tools are listed and called, over both HTTP transports', async (t) => {
  for (const transport of ['STREAMABLE_HTTP', 'SSE'] as const) {
    const offers = offering({ tools: [mcpTool('echo'), mcpTool('pay/now')], pageSize: 1 });
    const server = await openServer(t, offers);
    const { runner } = openRunner(t);
    const url = transport === 'SSE' ? server.sseUrl : server.url;
    const headers = { 'X-User': { variable_name: 'user' } };
    const ask = config({
      transport,
      url,
      secret_token: { secret_id: 's1' },
      request_headers: headers,
      approval_policy: 'require_approval_all',
    });
    const offer = await openMcp(runner, [ask], { variables: { user: 'u7' } }).next();
    t.same(offer, {
      tools: ['echo', 'pay_now'].map((name) => ({
        name,
        description: `Does ${name.replace('_', '/')}.`,
        parameters: { type: 'object', properties: { a: { type: 'string' } } },
        serverId: 'mcp_1',
        timeoutMs: 20_000,
        manner: { execution: 'immediate', protects: 'nothing', preSpeech: 'auto' },
        needsApproval: true,
      })),
      servers: [{ serverId: 'mcp_1', isConnected: true, toolCount: 2 }],
    });
    t.match(await call(runner, 'echo', { a: 'hi' }), {
      isError: false,
      result: '{"a":"hi"}',
      isTruncated: false,
      blocks: [{ type: 'text', text: '{"a":"hi"}' }],
    });
    offers.call = ({ name }) => ({ ...text(`${name}: canary-secret`), isError: true });
    t.match(await call(runner, 'pay_now'), {
      isError: true,
      result: 'pay/now: [secret]',
      blocks: [{ text: 'pay/now: [secret]' }],
    });
    t.match(await call(runner, 'no_such'), { isError: true, result: /^refused: there is no tool/ });
    t.match(await call(runner, 'echo', {}, 'conv_2'), { isError: true, result: /^refused/ }, 'not a tool of this conversation');
    t.ok(server.headers.every((one) => one['authorization'] === 'canary-secret' && one['x-user'] === 'u7'));
  }
});

test('a server is shared by conversations with the same settings and closed when nobody has needed it for a while', async (t) => {
  const server = await openServer(t);
  const { runner } = openRunner(t, { limits: { idleMs: 1 } });
  const same = config({ url: server.url });
  const mine = config({ url: server.url, request_headers: { 'X-User': '{{user}}' } }, 'mcp_2');
  await openMcp(runner, [same], { conversationId: 'a' }).next();
  const both = await openMcp(runner, [same, mine], { conversationId: 'b', variables: { user: 'b' } }).next();
  t.equal(server.begun, 2, 'one of all, one with the headers of b');
  t.equal(runner.counts().mcpServers, 2);
  t.same(
    both.tools.map(({ name, serverId }) => [name, serverId]),
    [
      ['echo', 'mcp_1'],
      ['_echo', 'mcp_2'],
    ],
  );
  runner.release('b');
  await server.ending(1);
  t.match(await call(runner, 'echo', { a: 'still' }, 'a'), { isError: false });
  runner.release('a');
  runner.release('a');
  t.match(await call(runner, 'echo', {}, 'a'), { isError: true, result: /refused/ });
  await runner.close();
  t.equal(runner.counts().mcpServers, 0);
  t.equal(server.ended, 2, 'the sessions were ended in good manners');
});

test('names of tools are free of clashes and of odd characters', async (t) => {
  const server = await openServer(
    t,
    offering({ tools: ['a.b', 'a b', 'end_call', 'x'.repeat(100)].map((name) => mcpTool(name)) }),
  );
  const { runner } = openRunner(t);
  const offer = await openMcp(runner, [config({ name: 'My server', url: server.url })], { takenNames: ['end_call'] }).next();
  t.same(
    offer.tools.map(({ name }) => name),
    ['a_b', 'My_server_a_b', 'My_server_end_call', 'x'.repeat(64)],
  );
  server.offers.call = ({ name }) => text(name);
  t.match(await call(runner, 'My_server_a_b'), { result: 'a b' });
});

test('a changed list of tools is read again', async (t) => {
  const server = await openServer(t);
  const { runner } = openRunner(t);
  const offers = openMcp(runner, [config({ url: server.url })]);
  await offers.next();
  // The stream of the server's own messages opens a moment after the session; news before that are lost, as the protocol has it.
  server.offers.tools = [mcpTool('echo'), mcpTool('second')];
  const changed = offers.next(({ tools }) => tools.length === 2);
  let isDone = false;
  void changed.then(() => (isDone = true));
  while (!isDone) {
    await server.changed();
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.same((await changed).servers, [{ serverId: 'mcp_1', isConnected: true, toolCount: 2 }]);
});

test('blocks of all kinds become text, and bytes stay out', async (t) => {
  const server = await openServer(t);
  const { runner } = openRunner(t);
  await openMcp(runner, [config({ url: server.url })]).next();
  const data = Buffer.alloc(3000).toString('base64');
  server.offers.call = () => ({
    content: [
      { type: 'text', text: 'one' },
      { type: 'image', data, mimeType: 'image/png' },
      { type: 'resource', resource: { uri: 'file:///a', text: 'inside' } },
      { type: 'resource', resource: { uri: 'file:///b', blob: data } },
      { type: 'resource_link', uri: 'https://c.example/', name: 'link' },
    ],
  });
  const { result } = await call(runner, 'echo');
  t.equal(
    result,
    'one\n[image, image/png, 3000 bytes, not shown]\ninside\n[file:///b, 3000 bytes, not shown]\n[link: https://c.example/]',
  );
  server.offers.call = () => ({ content: [], structuredContent: { x: 1 } });
  t.match(await call(runner, 'echo'), { isError: false, result: '{"x":1}' });
  server.offers.call = () => text('y'.repeat(100_000));
  const long = await call(runner, 'echo');
  t.match(long, { isTruncated: true });
  t.equal(long.result.length, toolLimits.resultCharsMax);
  t.ok(JSON.stringify(long.blocks).length <= toolLimits.resultCharsMax + 100);
  server.offers.call = () => {
    throw new Error('it broke');
  };
  t.match(await call(runner, 'echo'), { isError: true, result: /it broke/ });
});

test('a call that hangs ends in time, a cancelled one at once, and the server is told', async (t) => {
  const server = await openServer(t);
  const { runner } = openRunner(t);
  const ask = { ...config({ url: server.url }), timeoutMs: 100 };
  await openMcp(runner, [ask, { ...ask, serverId: 'slow', timeoutMs: 60_000 }]).next();
  const ended: Promise<unknown>[] = [];
  const begun: (() => void)[] = [];
  server.offers.call = ({ signal }) => {
    ended.push(new Promise((resolve) => signal.addEventListener('abort', resolve)));
    begun.shift()?.();
    return new Promise(() => undefined);
  };
  const outcome = await call(runner, 'echo');
  t.match(outcome, { isError: true, result: 'no answer within 100 ms' });
  await ended[0];
  const started = new Promise<void>((resolve) => begun.push(resolve));
  const run = { toolCallId: 'slow', name: '_echo', argumentsJson: '{}' };
  const slow = runner.run({ conversationId: 'conv_1', run, webhook: undefined, variables: {} });
  await started;
  runner.cancel('conv_1', 'slow');
  t.match(await slow, { isError: true, result: 'cancelled' });
  await ended[1];
  server.offers.call = ({ given }) => text(JSON.stringify(given));
  t.match(await call(runner, 'echo', { a: 'after' }), { result: '{"a":"after"}' });
});

test('a server that dies in a call fails the call at once, and is found again when it is back', async (t) => {
  for (const transport of ['STREAMABLE_HTTP', 'SSE'] as const) {
    const server = await openServer(t);
    const { runner } = openRunner(t, { limits: { attemptsMax: 1000 } });
    const url = transport === 'SSE' ? server.sseUrl : server.url;
    const offers = openMcp(runner, [config({ transport, url })]);
    await offers.next();
    const lost = offers.next(({ servers }) => servers[0]?.isConnected === false);
    const inside = new Promise<void>((resolve) => {
      server.offers.call = () => {
        resolve();
        return new Promise(() => undefined);
      };
    });
    const dying = call(runner, 'echo');
    await inside;
    await server.die();
    const outcome = await dying;
    t.match(outcome, { isError: true }, `${transport}: ${outcome.result}`);
    t.ok(outcome.elapsedMs < 5000, `${outcome.elapsedMs} ms`);
    t.match(await lost, { tools: [{ name: 'echo' }], servers: [{ toolCount: 1 }] }, 'the tools stay while it is looked for');
    t.match(await call(runner, 'echo'), { isError: true, result: /not connected|connect/ });
    const found = offers.next(({ servers }) => servers[0]?.isConnected === true);
    server.offers.call = ({ given }) => text(JSON.stringify(given));
    await server.comeBack();
    await found;
    t.match(await call(runner, 'echo', { a: 'again' }), { isError: false, result: '{"a":"again"}' });
  }
});

test('a server that stays away is given up after so many attempts, and tried again when it is wanted', async (t) => {
  const server = await openServer(t);
  const { runner, logged } = openRunner(t, { limits: { attemptsMax: 3 } });
  const ask = config({ transport: 'SSE', url: server.sseUrl });
  const offers = openMcp(runner, [ask]);
  await offers.next();
  const givenUp = offers.next(({ servers }) => servers[0]?.toolCount === 0);
  await server.die();
  t.same(await givenUp, { tools: [], servers: [{ serverId: 'mcp_1', isConnected: false, toolCount: 0 }] });
  t.equal(logged.filter((event) => event === 'mcp.connect.problem').length, 3);
  t.equal(offers.all.length, 3, 'found, lost, given up: nothing is told twice');
  t.match(await call(runner, 'echo'), { isError: true, result: /^refused: there is no tool/ });
  await server.comeBack();
  const found = await openMcp(runner, [ask], { conversationId: 'conv_2' }).next(
    ({ servers }) => servers[0]?.isConnected === true,
  );
  t.match(found, { tools: [{ name: 'echo' }] });
  t.equal(server.begun, 2);
});

test('a server that freezes is noticed by the call that waits for it', async (t) => {
  const server = await openServer(t);
  const { runner } = openRunner(t, { limits: { attemptsMax: 1000, connectMs: 700 } });
  const offers = openMcp(runner, [{ ...config({ url: server.url }), timeoutMs: 300 }]);
  await offers.next();
  server.isFrozen = true;
  const lost = offers.next(({ servers }) => servers[0]?.isConnected === false);
  t.match(await call(runner, 'echo'), { isError: true, result: 'no answer within 300 ms' });
  await lost;
  const found = offers.next(({ servers }) => servers[0]?.isConnected === true);
  server.isFrozen = false;
  await found;
  t.match(await call(runner, 'echo', { a: 'thawed' }), { isError: false });
});

test('of 10,000 tools a bounded number is kept, and endless pages end', async (t) => {
  const big = {
    type: 'object' as const,
    properties: { a: { type: 'string', description: 'x'.repeat(mcpLimits.schemaCharsMax) } },
  };
  const tools = [mcpTool('big', { inputSchema: big }), ...Array.from({ length: 10_000 }, (_, at) => mcpTool(`tool_${at}`))];
  const server = await openServer(t, offering({ tools, pageSize: 10_000 }));
  const { runner } = openRunner(t);
  const offer = await openMcp(runner, [config({ url: server.url })]).next();
  t.equal(offer.tools.length, mcpLimits.toolsMax);
  t.equal(offer.tools[0]!.name, 'tool_0', 'the tool with the endless schema is left out');
  const endless = await openServer(t, offering({ tools, pageSize: 1 }));
  const few = await openMcp(runner, [config({ url: endless.url })], { conversationId: 'conv_2' }).next();
  t.equal(few.tools.length, mcpLimits.pagesMax - 1);
});

test('servers that are no servers', async (t) => {
  const head = { 'content-type': 'text/event-stream' };
  const initialized = JSON.stringify({
    jsonrpc: '2.0',
    id: 0,
    result: { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } },
  });
  const noise = `${'x'.repeat(1023)}\n`;
  const kinds: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {
    'never answers': () => undefined,
    'answers 500': (_, response) => void response.writeHead(500).end('{"error":"canary"}'),
    'answers HTML': (_, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>hello</p>'),
    'answers no JSON': (_, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end('{"half":'),
    'answers another protocol': (_, response) =>
      void response.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":"1.0"}'),
    'streams one message without end': (_, response) => {
      response.writeHead(200, head).write('data: ');
      const more = (): void => {
        while (!response.destroyed) if (!response.write(`data: ${noise}`)) return void response.once('drain', more);
      };
      more();
    },
    'answers 50 MB': (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(`{"x":"${'y'.repeat(50 * 1024 * 1024)}"}`);
    },
    'redirects inside': (_, response) => void response.writeHead(307, { location: 'http://127.0.0.2:1/' }).end(),
    'knows no tools list': (_, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(initialized),
  };
  const server = createServer((request, response) => {
    request.resume();
    kinds[decodeURIComponent(request.url!.slice(1))]!(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const { runner } = openRunner(t, { limits: { connectMs: 300, attemptsMax: 1 } });
  await Promise.all(
    Object.keys(kinds).flatMap((kind) =>
      (['STREAMABLE_HTTP', 'SSE'] as const).map(async (transport) => {
        const url = `http://127.0.0.1:${port}/${encodeURIComponent(kind)}`;
        const offers = openMcp(runner, [config({ transport, url })], { conversationId: `${kind} ${transport}` });
        t.match(await offers.next(), { tools: [], servers: [{ isConnected: false }] }, `${kind}, ${transport}`);
      }),
    ),
  );
  t.match(await call(runner, 'echo', {}, 'never answers SSE'), { isError: true, result: /refused/ });
});

test('a slow server does not hold back the others', async (t) => {
  const server = await openServer(t);
  const silent = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.teardown(() => {
    silent.close();
    silent.closeAllConnections();
  });
  const { runner } = openRunner(t, { limits: { firstOfferMs: 100, connectMs: 60_000 } });
  const slow = config({ url: `http://127.0.0.1:${(silent.address() as AddressInfo).port}/` }, 'slow');
  const offer = await openMcp(runner, [config({ url: server.url }), slow]).next(({ tools }) => tools.length > 0);
  t.match(offer, { tools: [{ name: 'echo' }], servers: [{ isConnected: true }, { serverId: 'slow', isConnected: false }] });
});

test('private addresses, missing secrets and programs are closed unless they are allowed', async (t) => {
  const server = await openServer(t);
  const { runner, logged } = openRunner(t, { allowed: '', limits: { attemptsMax: 1 } });
  const servers = [
    config({ url: server.url }, 'private'),
    config({ url: { secret_id: 'none' } }, 'no secret'),
    config({ url: 'https://a.example/', request_headers: { a: '{{missing}}' } }, 'no variable'),
    config({ transport: 'STDIO', command: process.execPath }, 'program'),
  ];
  const offer = await openMcp(runner, servers).next();
  t.same(
    offer.servers,
    servers.map(({ serverId }) => ({ serverId, isConnected: false, toolCount: 0 })),
  );
  t.equal(server.headers.length, 0);
  t.equal(logged.filter((event) => event === 'mcp.config.problem').length, 3);
  t.same(await openMcp(runner, [], { conversationId: 'none' }).next(), { tools: [], servers: [] });
});

test('only so many servers are open at once; one that nobody uses makes room', async (t) => {
  const servers = await Promise.all([openServer(t), openServer(t), openServer(t)]);
  const { runner } = openRunner(t, { limits: { serversMax: 2 } });
  const [a, b, c] = servers.map(({ url }) => config({ url }));
  await openMcp(runner, [a!, b!], { conversationId: 'one' }).next();
  t.match(await openMcp(runner, [c!], { conversationId: 'two' }).next(), { servers: [{ isConnected: false }] });
  runner.release('one');
  t.match(await openMcp(runner, [c!], { conversationId: 'two' }).next(), { servers: [{ isConnected: true }] });
  t.equal(runner.counts().mcpServers, 2);
});

test('a program of this machine, when the operator allows it, without our keys in its environment', async (t) => {
  const program = fileURLToPath(new URL('./support/mcp-program.js', import.meta.url));
  process.env['GROQ_API_KEY'] = 'canary';
  t.teardown(() => delete process.env['GROQ_API_KEY']);
  const { runner } = openRunner(t, { isStdio: true, limits: { connectMs: 20_000 } });
  for (const args of [[program], [program, 'garbage']]) {
    const conversationId = `conv ${args.length}`;
    const ask = config({ transport: 'STDIO', command: process.execPath, args, env: { TEST_KEY: { secret_id: 's1' } } });
    t.match(await openMcp(runner, [ask], { conversationId }).next(), { tools: [{ name: 'environment' }] });
    t.match(await call(runner, 'environment', {}, conversationId), { result: '{"key":"[secret]","path":"no key of ours"}' });
  }
});

test('the bound of messages counts up to blank lines, however the bytes are cut', (t) => {
  const limits = { messageBytesMax: 64, streamBytesPerSecondMax: 1_000_000 };
  const ends = fc.constantFrom('\n', '\r\n', '\r');
  const line = fc.nat(30).map((length) => `data:${'x'.repeat(length)}`);
  fc.assert(
    fc.property(
      fc.array(fc.array(line, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
      ends,
      fc.nat(9),
      (messages, end, cut) => {
        const bytes = Buffer.from(messages.map((lines) => lines.map((one) => one + end).join('') + end).join(''));
        const isLong = messages.some(
          (lines) => lines.reduce((sum, one) => sum + one.length + end.length, 0) + 1 > limits.messageBytesMax,
        );
        const bound = new BoundedMessages(limits, true);
        let failed = false;
        for (let at = 0; at < bytes.length; at += cut + 1)
          bound._transform(bytes.subarray(at, at + cut + 1), 'utf8', (error) => (failed ||= error instanceof Error));
        // The line feed of a last blank line is counted with the message that follows, hence one byte of doubt.
        const longest = Math.max(...messages.map((lines) => lines.reduce((sum, one) => sum + one.length + end.length, 0) + 1));
        return failed === isLong || Math.abs(longest - limits.messageBytesMax) <= 1;
      },
    ),
  );
  t.pass();
  t.end();
});
