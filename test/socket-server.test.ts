/** One suite over both socket adapters, with real sockets on loopback: what one does, the other does. */
import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import { WebSocket } from 'ws';
import { refusal } from '../src/server/adapter-rules.js';
import { openSocketServer } from '../src/server/open.js';
import type { Connection, HttpRequest, HttpResponse, SocketHandlers, SocketLimits, UpgradeRequest } from '../src/server/port.js';
import { EngineError } from '../src/shared/errors.js';

const patienceMs = 10_000;
const limits: SocketLimits = {
  messageBytesMax: 64 * 1024,
  bodyBytesMax: 4096,
  bodyTimeoutMs: 150,
  bodiesBytesMax: 1024 * 1024,
  bodyOf: (_method, path) => {
    if (path === '/upload') return { bytesMax: 800 * 1024, timeoutMs: patienceMs };
    return path === '/upload/gone' ? { refusal: refusal(404, 'not_found', 'Nobody takes this.') } : undefined;
  },
  headerBytesMax: 16 * 1024,
  bufferedBytesMax: 1024 * 1024,
};
const handshake = [
  'Host: parley.test',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];

/** One accepted handshake, and what happened to it. */
class Session {
  readonly events = new EventEmitter();
  readonly request: {
    readonly path: string;
    readonly query: string;
    readonly protocols: readonly string[];
    readonly remoteAddress: string;
  };
  readonly messages: { bytes: Buffer; isBinary: boolean }[] = [];
  readonly closes: { code: number; reason: string }[] = [];
  pongCount = 0;
  connection!: Connection;

  constructor({ path, query, protocols, remoteAddress }: UpgradeRequest) {
    this.request = { path, query, protocols, remoteAddress };
  }

  async messageCount(count: number): Promise<void> {
    while (this.messages.length < count) await once(this.events, 'message', { signal: AbortSignal.timeout(patienceMs) });
  }

  async closed(): Promise<{ code: number; reason: string }> {
    if (this.closes.length === 0) await once(this.events, 'closed', { signal: AbortSignal.timeout(patienceMs) });
    return this.closes[0]!;
  }
}

type Prefer = 'uws' | 'ws';
type Extra = Partial<Pick<SocketHandlers<Session>, 'upgrade' | 'opened' | 'http'>> & {
  onMessage?: (session: Session, bytes: Uint8Array) => unknown;
};

/** A listening server whose sessions are collected; ended with the test. */
async function serve(t: Test, prefer: Prefer, extra: Extra = {}, host = '127.0.0.1') {
  const sessions: Session[] = [];
  const server = await openSocketServer<Session>(
    prefer,
    {
      upgrade:
        extra.upgrade ??
        ((request) => ({
          accept: true,
          protocol: request.protocols.includes('convai') ? 'convai' : undefined,
          session: new Session(request),
        })),
      opened(session, connection) {
        session.connection = connection;
        sessions.push(session);
        extra.opened?.(session, connection);
      },
      message(session, bytes, isBinary) {
        session.messages.push({ bytes: Buffer.from(bytes), isBinary });
        extra.onMessage?.(session, bytes);
        session.events.emit('message');
      },
      pong(session) {
        session.pongCount += 1;
        session.events.emit('pong');
      },
      closed(session, code, reason) {
        session.closes.push({ code, reason });
        session.events.emit('closed');
      },
      http: extra.http ?? (() => refusal(404, 'not_found', 'There is nothing here.')),
    },
    limits,
  );
  const port = await server.listen(host, 0);
  t.teardown(() => server.close());
  /** A client, open, with its session. */
  const join = async (path = '/', protocols: string[] = []) => {
    const client = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { perMessageDeflate: false });
    t.teardown(() => client.terminate());
    await once(client, 'open');
    return { client, session: sessions.at(-1)! };
  };
  return { server, port, sessions, join };
}

/** What a client learns at the end of its connection. An error before it says nothing more. */
async function ending(client: WebSocket): Promise<{ code: number; reason: string }> {
  client.on('error', () => client.terminate());
  const [code, reason] = (await once(client, 'close')) as [number, Buffer];
  return { code, reason: reason.toString() };
}

/** Sends bytes over a bare socket and gives everything that came back, up to the end of the connection or to what was waited for. */
async function raw(port: number, bytes: string | Uint8Array, waitFor?: RegExp): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  const over = new Promise<void>((resolve, reject) => {
    const guard = setTimeout(() => reject(new Error(`no end of the connection after ${JSON.stringify(received)}`)), patienceMs);
    const end = () => {
      clearTimeout(guard);
      socket.destroy();
      resolve();
    };
    socket.on('close', end).on('error', end); // a reset is an end as well
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (waitFor?.test(received)) end();
    });
  });
  socket.write(bytes);
  await over;
  return received;
}

const head = (...lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`;
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);

/** An open WebSocket over a bare socket that reads only when told. */
async function openRaw(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.write(head('GET / HTTP/1.1', ...handshake));
  await once(socket, 'data');
  socket.pause();
  return socket;
}

/** A masked frame with the all-zero key. */
function frame(firstByte: number, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([firstByte, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

async function handshakes(t: Test, prefer: Prefer): Promise<void> {
  let askedCount = 0;
  const { port, sessions, join } = await serve(t, prefer, {
    upgrade(request) {
      askedCount += 1;
      if (request.path === '/full') {
        return { accept: false, response: refusal(429, 'too_many_calls', 'Try again later.', { 'retry-after': '7' }) };
      }
      if (request.path === '/silent') return { accept: true, protocol: undefined, session: new Session(request) };
      return {
        accept: true,
        protocol: request.protocols.includes('convai') ? 'convai' : undefined,
        session: new Session(request),
      };
    },
    http: (request) => ({ status: 200, body: `http ${request.path}` }),
  });

  const offered = await join('/v1/convai/conversation?agent_id=a%20b&x', ['convai', 'bearer.secret']);
  t.equal(offered.client.protocol, 'convai');
  t.match(offered.session.request, {
    path: '/v1/convai/conversation',
    query: 'agent_id=a%20b&x',
    protocols: ['convai', 'bearer.secret'],
    remoteAddress: '127.0.0.1',
  });
  t.equal(offered.session.connection.remoteAddress, '127.0.0.1');

  const plain = await join('/caf%C3%A9');
  t.equal(plain.client.protocol, '');
  t.match(plain.session.request, { path: '/café', query: '', protocols: [] });
  plain.client.send('works');
  await plain.session.messageCount(1);

  const untold = await raw(port, head('GET / HTTP/1.1', ...handshake), /\r\n\r\n/);
  t.equal(statusOf(untold), 101);
  t.notMatch(untold, /sec-websocket-protocol/i, 'nothing offered, nothing answered');
  const unanswered = await raw(port, head('GET /silent HTTP/1.1', ...handshake, 'Sec-WebSocket-Protocol: convai'), /\r\n\r\n/);
  t.equal(statusOf(unanswered), 101);
  t.notMatch(unanswered, /sec-websocket-protocol/i, 'nothing chosen, nothing answered');
  const twoLines = await raw(
    port,
    head('GET / HTTP/1.1', ...handshake, 'Sec-WebSocket-Protocol: bearer.x', 'Sec-WebSocket-Protocol: convai'),
    /\r\n\r\n/,
  );
  t.match(twoLines, /sec-websocket-protocol: convai\r\n/i, 'a list may come in several headers');
  t.notMatch(twoLines, /bearer/);
  const deflate = await raw(
    port,
    head('GET / HTTP/1.1', ...handshake, 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits'),
    /\r\n\r\n/,
  );
  t.equal(statusOf(deflate), 101);
  t.notMatch(deflate, /sec-websocket-extensions/i, 'compression is offered by clients and never accepted');

  const before = sessions.length;
  const full = await raw(port, head('GET /full HTTP/1.1', ...handshake));
  t.equal(statusOf(full), 429);
  t.match(full, /retry-after: 7\r\n/i);
  t.match(full, /content-type: application\/json\r\n/i);
  t.same(JSON.parse(full.slice(full.indexOf('\r\n\r\n') + 4)), {
    detail: { status: 'too_many_calls', message: 'Try again later.' },
  });
  t.equal(sessions.length, before, 'no session for a refused handshake');

  const asked = askedCount;
  const without = (name: string) => handshake.filter((line) => !line.startsWith(name));
  const misfits: [string, number, string][] = [
    ['version 8', 426, head('GET / HTTP/1.1', ...without('Sec-WebSocket-Version'), 'Sec-WebSocket-Version: 8')],
    ['no version', 426, head('GET / HTTP/1.1', ...without('Sec-WebSocket-Version'))],
    ['no key', 400, head('GET / HTTP/1.1', ...without('Sec-WebSocket-Key'))],
    ['short key', 400, head('GET / HTTP/1.1', ...without('Sec-WebSocket-Key'), 'Sec-WebSocket-Key: abc')],
    ['key not base64', 400, head('GET / HTTP/1.1', ...without('Sec-WebSocket-Key'), `Sec-WebSocket-Key: ${'!'.repeat(24)}`)],
    ['protocol twice', 400, head('GET / HTTP/1.1', ...handshake, 'Sec-WebSocket-Protocol: convai, convai')],
    ['protocol no token', 400, head('GET / HTTP/1.1', ...handshake, 'Sec-WebSocket-Protocol: convai,')],
    ['bad escape', 400, head('GET /%zz HTTP/1.1', ...handshake)],
    ['escaped bytes that are no UTF-8', 400, head('GET /%ff HTTP/1.1', ...handshake)],
    ['120 headers', 431, head('GET / HTTP/1.1', ...handshake, ...Array.from({ length: 120 }, (_, index) => `X-${index}: y`))],
    ['20 KB header', 431, head('GET / HTTP/1.1', ...handshake, `X-Long: ${'y'.repeat(20_000)}`)],
  ];
  for (const [name, status, bytes] of misfits) t.equal(statusOf(await raw(port, bytes)), status, name);
  t.equal(askedCount, asked, 'the handler is not asked about any of them');

  const key = handshake.at(-1)!;
  const notAsked = await raw(port, head('GET /page HTTP/1.1', 'Host: a', key), /http \/page/);
  t.equal(statusOf(notAsked), 200, 'a key alone is an ordinary request');
  const http2 = head(
    'GET /page HTTP/1.1',
    'Host: a',
    'Connection: Upgrade, HTTP2-Settings',
    'Upgrade: h2c',
    'HTTP2-Settings: AA',
  );
  t.equal(statusOf(await raw(port, http2, /http \/page/)), 200, 'an offer of HTTP/2 is ignored');
}

async function messages(t: Test, prefer: Prefer): Promise<void> {
  const { join } = await serve(t, prefer, {
    onMessage(session) {
      const { bytes, isBinary } = session.messages.at(-1)!;
      if (!isBinary) session.connection.sendText(bytes);
    },
  });
  const { client, session } = await join();
  const echoes: string[] = [];
  client.on('message', (data, isBinary) => echoes.push(`${isBinary ? 'binary' : 'text'} ${data}`));

  client.send('{"a":"ü"}');
  client.send(Buffer.from([0, 255, 1]));
  client.send('');
  client.send('one ', { fin: false });
  client.send('two ', { fin: false });
  client.send('three', { fin: true });
  await session.messageCount(4);
  t.same(
    session.messages.map(({ bytes, isBinary }) => [bytes.toString('latin1'), isBinary]),
    [
      [Buffer.from('{"a":"ü"}').toString('latin1'), false],
      [Buffer.from([0, 255, 1]).toString('latin1'), true],
      ['', false],
      ['one two three', false],
    ],
  );
  while (echoes.length < 3) await once(client, 'message');
  t.same(echoes, ['text {"a":"ü"}', 'text ', 'text one two three']);

  const largest = 'x'.repeat(limits.messageBytesMax);
  client.send(largest);
  await session.messageCount(5);
  t.equal(session.messages[4]!.bytes.length, largest.length, 'a message of exactly the limit arrives');

  let seenCount = session.messages.length;
  const message = fc.record({ bytes: fc.uint8Array({ maxLength: 3000 }), cut: fc.double({ min: 0, max: 1, noNaN: true }) });
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 20 }), async (list) => {
      for (const { bytes, cut } of list) {
        const at = Math.floor(cut * bytes.length);
        client.send(bytes.subarray(0, at), { binary: true, fin: false });
        client.send(bytes.subarray(at), { binary: true, fin: true });
      }
      await session.messageCount(seenCount + list.length);
      const arrived = session.messages.slice(seenCount).map(({ bytes }) => bytes.toString('hex'));
      seenCount = session.messages.length;
      return arrived.join() === list.map(({ bytes }) => Buffer.from(bytes).toString('hex')).join();
    }),
    { numRuns: 30 },
  );
}

async function lifetimes(t: Test, prefer: Prefer): Promise<void> {
  const kept: Uint8Array[] = [];
  const { join } = await serve(t, prefer, { onMessage: (_session, bytes) => kept.push(bytes) });
  const { client, session } = await join();
  client.send('first');
  await session.messageCount(1);
  client.send('second');
  await session.messageCount(2);
  t.same(
    session.messages.map(({ bytes }) => bytes.toString()),
    ['first', 'second'],
    'right inside the handler',
  );
  if (prefer === 'uws') t.equal(kept[0]!.byteLength, 0, 'gone after it');

  const buffer = Buffer.from('copied');
  const arrived = once(client, 'message');
  session.connection.cork(() => {
    t.ok(session.connection.sendText(buffer));
    buffer.fill('!');
  });
  t.equal(String((await arrived)[0]), 'copied', 'what was handed over may be overwritten at once');
}

async function violations(t: Test, prefer: Prefer): Promise<void> {
  const { join, port, sessions } = await serve(t, prefer);
  const tooLarge = await join();
  tooLarge.client.send('x'.repeat(limits.messageBytesMax + 1));
  t.equal((await ending(tooLarge.client)).code, 1006);
  t.same(await tooLarge.session.closed(), { code: 1006, reason: 'message too large' });

  const inPieces = await join();
  inPieces.client.send('x'.repeat(limits.messageBytesMax), { fin: false });
  inPieces.client.send('x', { fin: true });
  t.equal((await ending(inPieces.client)).code, 1006);
  t.same(await inPieces.session.closed(), { code: 1006, reason: 'message too large' });

  const invalidText = await join();
  invalidText.client.send(Buffer.from([0x61, 0xff, 0x62]), { binary: false });
  t.equal((await ending(invalidText.client)).code, 1006);
  t.same(await invalidText.session.closed(), { code: 1006, reason: 'text is not UTF-8' });

  const surrogate = await join();
  surrogate.client.send(Buffer.from([0xed, 0xa0, 0x80]), { binary: false });
  t.equal((await ending(surrogate.client)).code, 1006);
  t.equal((await surrogate.session.closed()).reason, 'text is not UTF-8');

  for (const [name, bytes] of [
    ['reserved opcode', frame(0x83, Buffer.from('x'))],
    ['reserved bit', frame(0xc1, Buffer.from('x'))],
    ['fragmented ping', frame(0x09, Buffer.from('x'))],
    ['close code 1006', frame(0x88, Buffer.from([1006 >> 8, 1006 & 255]))],
  ] as const) {
    const before = sessions.length;
    const socket = await openRaw(port);
    const over = once(socket, 'close');
    socket.on('error', () => socket.destroy()).resume();
    socket.write(bytes);
    await over;
    t.same(await sessions[before]!.closed(), { code: 1006, reason: 'invalid frame' }, name);
  }
  for (const session of sessions) t.same(session.messages, []);
  for (const session of sessions) t.equal(session.closes.length, 1, 'told once');
}

async function endings(t: Test, prefer: Prefer): Promise<void> {
  const { join, port, sessions } = await serve(t, prefer, {
    opened(session, connection) {
      if (session.request.path === '/at-once') connection.close(1008, 'not today');
    },
    onMessage(session) {
      if (session.request.path === '/on-message') session.connection.close(1002, 'enough');
    },
  });

  const byClient: [number, string, (client: WebSocket) => void][] = [
    [1000, 'User ended conversation', (client) => client.close(1000, 'User ended conversation')],
    [1001, '', (client) => client.close(1001)],
    [1005, '', (client) => client.close()],
    [1009, '', (client) => client.close(1009)],
    [4000, 'ä'.repeat(60), (client) => client.close(4000, 'ä'.repeat(60))],
    [1006, '', (client) => client.terminate()],
  ];
  for (const [code, reason, end] of byClient) {
    const { client, session } = await join();
    const seen = ending(client);
    end(client);
    t.same(await session.closed(), { code, reason }, `client ends with ${code}`);
    t.equal((await seen).code, code, 'and its close is answered');
    t.equal(session.closes.length, 1);
  }

  const lingering = await openRaw(port);
  t.teardown(() => lingering.destroy());
  lingering.write(frame(0x88, Buffer.concat([Buffer.from([1001 >> 8, 1001 & 255]), Buffer.from('tab closed')])));
  t.same(
    await sessions.at(-1)!.closed(),
    { code: 1001, reason: 'tab closed' },
    'a close frame is enough, whatever becomes of the connection',
  );

  const byServer: [number, string, string][] = [
    [1000, '', ''],
    [1001, 'bye', 'bye'],
    [1002, 'LLM timed out.', 'LLM timed out.'],
    [1008, `${'ü'.repeat(61)}x`, `${'ü'.repeat(61)}x`],
    [1011, 'ü'.repeat(62), 'ü'.repeat(61)],
    [1011, '😀'.repeat(40), '😀'.repeat(30)],
  ];
  for (const [code, given, reason] of byServer) {
    const { client, session } = await join();
    const seen = ending(client);
    session.connection.close(code, given);
    t.equal(session.closes.length, 0, 'the session is not told inside its own call');
    t.equal(session.connection.sendText('late'), false);
    t.equal(session.connection.bufferedBytes(), 0);
    session.connection.close(1000, 'again');
    session.connection.ping();
    session.connection.terminate();
    session.connection.cork(() => t.fail('nothing runs after the end'));
    t.same(await session.closed(), { code, reason });
    t.same(await seen, { code, reason }, `server ends with ${code}`);
    t.equal(session.closes.length, 1);
  }

  const dropped = await join();
  const droppedEnd = ending(dropped.client);
  dropped.session.connection.terminate();
  t.same(await dropped.session.closed(), { code: 1006, reason: '' });
  t.equal((await droppedEnd).code, 1006, 'terminate says nothing');

  const corked = await join();
  const last = once(corked.client, 'message');
  const corkedEnd = ending(corked.client);
  corked.session.connection.cork(() => {
    corked.session.connection.sendText('last words');
    corked.session.connection.close(1000, 'done');
  });
  t.equal(String((await last)[0]), 'last words');
  t.same(await corkedEnd, { code: 1000, reason: 'done' });

  const cut = await join();
  const cutEnd = ending(cut.client);
  cut.session.connection.cork(() => cut.session.connection.terminate());
  t.equal((await cutEnd).code, 1006);
  t.same(await cut.session.closed(), { code: 1006, reason: '' });

  const onMessage = await join('/on-message');
  const onMessageEnd = ending(onMessage.client);
  onMessage.client.send('one');
  onMessage.client.send('two');
  t.same(await onMessageEnd, { code: 1002, reason: 'enough' });
  t.equal(onMessage.session.messages.length, 1, 'nothing is delivered after the end');

  const atOnce = await join('/at-once');
  t.same(await ending(atOnce.client), { code: 1008, reason: 'not today' }, 'closed with a reason before anything was said');
  t.same(await atOnce.session.closed(), { code: 1008, reason: 'not today' });
}

async function pings(t: Test, prefer: Prefer): Promise<void> {
  const { join } = await serve(t, prefer);
  const { client, session } = await join();
  const pinged = once(client, 'ping');
  const ponged = once(session.events, 'pong');
  session.connection.ping();
  await pinged;
  await ponged;
  t.equal(session.pongCount, 1);
  const answered = once(client, 'pong');
  client.ping('are you there');
  t.equal(String((await answered)[0]), 'are you there', 'a client that pings is answered');
}

async function slowReaders(t: Test, prefer: Prefer): Promise<void> {
  const { port, sessions } = await serve(t, prefer);
  const socket = await openRaw(port);
  t.teardown(() => socket.destroy());
  const { connection } = sessions[0]!;
  const text = 'x'.repeat(60_000);
  const tries = 2000; // 120 MB, far more than any kernel keeps for one socket
  let acceptedCount = 0;
  let largest = 0;
  while (acceptedCount < tries && connection.sendText(text)) {
    acceptedCount += 1;
    largest = Math.max(largest, connection.bufferedBytes());
  }
  t.ok(acceptedCount < tries, 'refused at last');
  t.ok(largest > limits.bufferedBytesMax - 2 * text.length, `bytes wait (${largest})`);
  t.ok(largest <= limits.bufferedBytesMax + 1024, 'and not more than the limit');
  t.equal(connection.sendText(text), false, 'still refused');
  const room = limits.bufferedBytesMax - connection.bufferedBytes();
  t.ok(connection.sendText('y'.repeat(room)), 'what still fits goes');
  t.equal(connection.sendText('y'), false, 'now nothing does');
  connection.close(1002, 'connection too slow');
  let tail = Buffer.alloc(0);
  let receivedBytes = 0;
  socket.on('data', (chunk: Buffer) => {
    receivedBytes += chunk.length;
    tail = Buffer.concat([tail, chunk]).subarray(-64);
    if (tail.includes('connection too slow')) socket.end(frame(0x88, Buffer.from([1002 >> 8, 1002 & 255])));
  });
  socket.resume();
  await once(socket, 'close');
  t.ok(receivedBytes > acceptedCount * text.length, 'everything accepted arrives');
  t.match(tail.toString('latin1'), /connection too slow$/, 'and then the reason');
  t.same(await sessions[0]!.closed(), { code: 1002, reason: 'connection too slow' });
}

function echo(request: HttpRequest): HttpResponse {
  const { method, path, query, remoteAddress, body } = request;
  const headers = { 'x-first': request.header('x-first') ?? '', 'x-twice': request.header('x-twice') ?? '' };
  return {
    status: 200,
    headers: { 'content-type': 'application/json', 'x-answer': 'yes' },
    body: JSON.stringify({ method, path, query, remoteAddress, headers, body: Buffer.from(body).toString('latin1') }),
  };
}

async function requests(t: Test, prefer: Prefer): Promise<void> {
  const asked: string[] = [];
  const { port } = await serve(t, prefer, {
    http(request) {
      asked.push(request.path);
      if (request.path === '/nothing') return refusal(404, 'not_found', 'There is nothing here.');
      if (request.path === '/bytes') return { status: 200, body: new Uint8Array([0, 255, 128]) };
      if (request.path === '/later') return new Promise((resolve) => setImmediate(() => resolve(echo(request))));
      return echo(request);
    },
  });
  const url = `http://127.0.0.1:${port}`;

  const got = await fetch(`${url}/a%20b/%C3%BC?x=%20&y`, { headers: { 'X-First': 'One' } });
  t.equal(got.status, 200);
  t.equal(got.headers.get('x-answer'), 'yes');
  t.match(await got.json(), {
    method: 'GET',
    path: '/a b/ü',
    query: 'x=%20&y',
    remoteAddress: '127.0.0.1',
    headers: { 'x-first': 'One' },
    body: '',
  });
  const posted = await fetch(`${url}/later`, { method: 'POST', body: 'x'.repeat(limits.bodyBytesMax) });
  t.match(await posted.json(), { method: 'POST', path: '/later', body: 'x'.repeat(limits.bodyBytesMax) });
  t.equal((await fetch(`${url}/nothing`)).status, 404);
  t.same([...new Uint8Array(await (await fetch(`${url}/bytes`)).arrayBuffer())], [0, 255, 128]);

  const headAnswer = await raw(port, head('HEAD /bytes HTTP/1.1', 'Host: a', 'Connection: close'));
  t.equal(statusOf(headAnswer), 200);
  t.match(headAnswer, /content-length: 3\r\n/i);
  t.ok(headAnswer.endsWith('\r\n\r\n'), 'HEAD has no body');
  const twice = await raw(port, head('GET / HTTP/1.1', 'Host: a', 'X-Twice: 1', 'X-Twice: 2'), /\}$/);
  t.match(twice, /"x-twice":"1, 2"/, 'repeated headers are joined');
  const chunked = `${head('POST /c HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked')}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`;
  t.match(await raw(port, chunked, /\}$/), /"body":"abcde"/);
  const two = head('GET /1 HTTP/1.1', 'Host: a') + head('GET /2 HTTP/1.1', 'Host: a');
  t.match(await raw(port, two, /"\/2"/), /"\/1".*"\/2"/s, 'one connection, two requests');
  const http2Post = head('POST /h2 HTTP/1.1', 'Host: a', 'Connection: Upgrade', 'Upgrade: h2c', 'Content-Length: 3');
  t.match(await raw(port, `${http2Post}abc`, /\}$/), /"body":"abc"/, 'an offer of HTTP/2 with a body is ignored too');

  asked.length = 0;
  const tooMany = Array.from({ length: 120 }, (_, index) => `X-${index}: y`);
  const refused: [string, number, string][] = [
    ['large body, declared', 413, head('POST / HTTP/1.1', 'Host: a', `Content-Length: ${limits.bodyBytesMax + 1}`)],
    [
      'large body, chunked',
      413,
      `${head('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked')}1001\r\n${'x'.repeat(0x1001)}\r\n`,
    ],
    ['slow body', 408, `${head('POST / HTTP/1.1', 'Host: a', 'Content-Length: 10')}abc`],
    ['slow body, chunked', 408, `${head('POST / HTTP/1.1', 'Host: a', 'Transfer-Encoding: chunked')}3\r\nabc\r\n`],
    ['no body at all', 408, head('POST / HTTP/1.1', 'Host: a', 'Content-Length: 10')],
    ['bad escape', 400, head('GET /%g0 HTTP/1.1', 'Host: a')],
    ['lone per cent', 400, head('GET /100% HTTP/1.1', 'Host: a')],
    ['large header', 431, head('GET / HTTP/1.1', 'Host: a', `X-Long: ${'x'.repeat(20_000)}`)],
    ['many headers', 431, head('GET / HTTP/1.1', 'Host: a', ...tooMany)],
    ['two lengths', 400, `${head('POST / HTTP/1.1', 'Host: a', 'Content-Length: 3', 'Transfer-Encoding: chunked')}abc`],
    ['negative length', 400, head('POST / HTTP/1.1', 'Host: a', 'Content-Length: -3')],
  ];
  for (const [name, status, bytes] of refused) t.equal(statusOf(await raw(port, bytes)), status, name);
  t.same(asked, [], 'the handler sees none of them');

  const justFits = `X-Long: ${'x'.repeat(15_000)}`;
  t.equal(statusOf(await raw(port, head('GET / HTTP/1.1', 'Host: a', justFits), /\}$/)), 200);
}

async function lateAnswers(t: Test, prefer: Prefer): Promise<void> {
  const requested = new EventEmitter();
  const { port, server } = await serve(t, prefer, {
    http: (request) =>
      request.path === '/now'
        ? echo(request)
        : new Promise((resolve) => requested.emit('request', () => resolve({ status: 200, body: request.path }))),
  });
  const waiting = once(requested, 'request');
  const gone = connect(port, '127.0.0.1');
  gone.write(head('GET /gone HTTP/1.1', 'Host: a'));
  const [answerGone] = (await waiting) as [() => void];
  gone.resetAndDestroy();
  await once(gone, 'close');
  t.equal((await fetch(`http://127.0.0.1:${port}/now`)).status, 200, 'by now the server knows that the first client went away');
  answerGone();
  t.equal((await fetch(`http://127.0.0.1:${port}/now`)).status, 200, 'answering it is harmless');

  const midBody = connect(port, '127.0.0.1');
  midBody.write(`${head('POST /now HTTP/1.1', 'Host: a', 'Content-Length: 100')}abc`);
  await once(midBody, 'connect');
  midBody.resetAndDestroy();
  await once(midBody, 'close');

  const pending = once(requested, 'request');
  const cut = raw(port, head('GET /cut HTTP/1.1', 'Host: a'));
  const [answerCut] = (await pending) as [() => void];
  await server.close();
  answerCut();
  t.equal(await cut, '', 'a server that closes does not wait for answers');
}

/** Bodies with bounds of their own, whole and in many pieces; too many of them at once. */
async function uploads(t: Test, prefer: Prefer): Promise<void> {
  const bodies: Uint8Array[] = [];
  const { port } = await serve(t, prefer, {
    http: (request) => {
      bodies.push(request.body);
      return { status: 200, body: `${request.body.byteLength}` };
    },
  });
  const url = `http://127.0.0.1:${port}`;
  const large = Buffer.alloc(600 * 1024, 'abcdefg');
  const answer = await fetch(`${url}/upload`, { method: 'POST', body: large });
  t.equal(await answer.text(), `${large.length}`, 'a path may take more than the others');
  t.ok(Buffer.from(bodies[0]!).equals(large), 'every byte is in its place');
  t.equal(bodies[0]!.buffer.byteLength, large.length, 'in a buffer of its own, which may be given away');
  t.equal((await fetch(`${url}/other`, { method: 'POST', body: large })).status, 413, 'the others keep their bound');
  t.equal((await fetch(`${url}/upload`, { method: 'POST', body: Buffer.alloc(900 * 1024) })).status, 413, 'and it has one too');
  t.equal((await fetch(`${url}/upload/gone`, { method: 'POST', body: large })).status, 404, 'refused before the body is read');
  const chunked = new ReadableStream({
    pull(controller) {
      controller.enqueue(large.subarray(0, 300 * 1024));
      controller.enqueue(large.subarray(300 * 1024));
      controller.close();
    },
  });
  const inPieces = await fetch(`${url}/upload`, { method: 'POST', body: chunked, duplex: 'half' });
  t.equal(await inPieces.text(), `${large.length}`);
  t.ok(Buffer.from(bodies.at(-1)!).equals(large), 'without a length announced too');

  // Two clients that stop in the middle of theirs hold what they have sent; a third does not fit beside them.
  const slow = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')];
  for (const socket of slow) {
    socket.on('error', () => socket.destroy());
    socket.write(head('POST /upload HTTP/1.1', 'Host: a', `Content-Length: ${large.length}`));
    await new Promise((resolve) => socket.write(large.subarray(0, 450 * 1024), resolve));
  }
  await until(async () => (await fetch(`${url}/upload`, { method: 'POST', body: large })).status === 503);
  t.pass('what all bodies together may have is bounded');
  for (const socket of slow) socket.resetAndDestroy();
  await until(async () => (await fetch(`${url}/upload`, { method: 'POST', body: large })).status === 200);
  t.pass('and is given back when they break off');
}

/** Asks again until the answer is right; the test's own time is the bound. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endAtMs = performance.now() + patienceMs;
  while (!(await isSo())) {
    if (performance.now() > endAtMs) throw new Error('it never came true');
    await new Promise(setImmediate);
  }
}

/** Parts of `bytes` each; remembers how many were asked for and whether it was let go. */
class Parts implements AsyncIterableIterator<Uint8Array> {
  readonly events = new EventEmitter();
  asked = 0;
  isLetGo = false;
  readonly #count: number;
  readonly #bytes: number;
  readonly #failsAt: number;

  constructor(count: number, bytes: number, failsAt = Number.POSITIVE_INFINITY) {
    this.#count = count;
    this.#bytes = bytes;
    this.#failsAt = failsAt;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (this.asked >= this.#count) return { done: true, value: undefined };
    this.asked += 1;
    this.events.emit('asked');
    if (this.asked === this.#failsAt) throw new Error('the source broke off');
    return { done: false, value: new Uint8Array(this.#bytes).fill(this.asked) };
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.isLetGo = true;
    this.events.emit('letGo');
    return { done: true, value: undefined };
  }
}

async function streams(t: Test, prefer: Prefer): Promise<void> {
  const made: Parts[] = [];
  const partBytes = 64 * 1024;
  const { port } = await serve(t, prefer, {
    http: () => {
      const parts = new Parts(40, partBytes);
      made.push(parts);
      return { status: 200, headers: { 'content-type': 'audio/wav' }, body: parts };
    },
  });
  const url = `http://127.0.0.1:${port}`;
  const whole = await fetch(`${url}/whole`);
  t.equal(whole.headers.get('content-type'), 'audio/wav');
  const bytes = new Uint8Array(await whole.arrayBuffer());
  t.equal(bytes.length, 40 * partBytes);
  t.ok(
    bytes.every((byte, index) => byte === Math.floor(index / partBytes) + 1),
    'in order, every byte',
  );
  const again = await fetch(`${url}/whole`);
  t.equal((await again.arrayBuffer()).byteLength, 40 * partBytes, 'on the same connection');

  const headOnly = await fetch(`${url}/whole`, { method: 'HEAD' });
  t.equal(headOnly.status, 200);
  t.ok(made.at(-1)!.isLetGo, 'nobody wants the body of a HEAD');
}

async function brokenStreams(t: Test, prefer: Prefer): Promise<void> {
  const made: Parts[] = [];
  const partBytes = 64 * 1024;
  const { port } = await serve(t, prefer, {
    http: (request) => {
      const parts = new Parts(1e9, partBytes, request.path === '/broken' ? 3 : undefined);
      made.push(parts);
      return { status: 200, body: parts };
    },
  });
  const url = `http://127.0.0.1:${port}`;
  await t.rejects(
    fetch(`${url}/broken`).then((response) => response.arrayBuffer()),
    'a body that broke off is not taken for whole',
  );

  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => socket.destroy());
  socket.write(head('GET /endless HTTP/1.1', 'Host: a'));
  await once(socket, 'data');
  socket.pause();
  const parts = made.at(-1)!;
  // A client that does not read is not served on: the count stands still.
  let seen = -1;
  await until(async () => {
    const before = parts.asked;
    for (let turn = 0; turn < 500; turn++) await new Promise(setImmediate);
    seen = parts.asked;
    return seen === before;
  });
  t.ok(parts.asked * partBytes < 64 * 1024 * 1024, `${parts.asked} parts were made for a client that does not read`);
  socket.resume();
  await until(async () => parts.asked > seen + 20);
  t.pass('and it goes on when it reads again');
  const letGo = once(parts.events, 'letGo');
  socket.resetAndDestroy();
  await letGo;
  t.ok(parts.isLetGo, 'a client that goes away is let go');
}

async function goneClients(t: Test, prefer: Prefer): Promise<void> {
  const events = new EventEmitter();
  const { port } = await serve(t, prefer, {
    http: (request) => {
      if (request.path === '/now') return echo(request);
      return new Promise((resolve) => {
        request.onGone(() => events.emit('gone', request.path));
        events.emit('request', () => resolve({ status: 200, body: 'late' }));
      });
    },
  });
  let goneCount = 0;
  events.on('gone', () => {
    goneCount += 1;
  });
  const waiting = once(events, 'request');
  const socket = connect(port, '127.0.0.1');
  socket.write(head('GET /slow HTTP/1.1', 'Host: a'));
  await waiting;
  const gone = once(events, 'gone');
  socket.resetAndDestroy();
  t.same(await gone, ['/slow'], 'whoever works on an answer hears that nobody waits for it');

  const asked = once(events, 'request');
  const patient = fetch(`http://127.0.0.1:${port}/slow`);
  const [finish] = (await asked) as [() => void];
  finish();
  t.equal(await (await patient).text(), 'late');
  t.equal(goneCount, 1, 'an answered client is not gone');
}

async function listening(t: Test, prefer: Prefer): Promise<void> {
  const { server, port, join, sessions } = await serve(t, prefer);
  t.equal(server.name, prefer === 'uws' ? 'uWebSockets.js' : 'ws');
  t.match(server.reason, server.name);
  for (const other of ['uws', 'ws'] as const) {
    if (other === 'uws' && uwsMissing !== undefined) continue;
    const second = await openSocketServer<Session>(other, neverAsked, limits);
    const error = await second.listen('127.0.0.1', port).catch((reason: unknown) => reason);
    t.ok(error instanceof EngineError && error.kind === 'config', `${other} does not share the port`);
    t.match(
      (error as EngineError).message,
      new RegExp(`^Cannot listen on 127.0.0.1:${port}: port ${port} is taken.*PARLEY_PORT`),
    );
    // An address that is kept for documentation, and nobody's.
    const nowhere = await second.listen('192.0.2.1', port).catch((reason: unknown) => reason);
    t.match((nowhere as EngineError).message, /192\.0\.2\.1 is no address of this machine.*PARLEY_HOST/);
    t.same((error as EngineError).fields, { host: '127.0.0.1', port });
    await second.close();
  }
  const free = await openSocketServer<Session>(prefer, neverAsked, limits);
  const fixedPort = await free.listen('127.0.0.1', 0);
  await free.close();
  const [first, second] = [
    await openSocketServer(prefer, neverAsked, limits),
    await openSocketServer(prefer, neverAsked, limits),
  ];
  t.equal(await first.listen('127.0.0.1', fixedPort), fixedPort);
  const shared = await second.listen('127.0.0.1', fixedPort).catch((reason: unknown) => reason);
  t.ok(shared instanceof EngineError && shared.kind === 'config', 'a port asked for by number is not shared either');
  await Promise.all([first.close(), second.close()]);
  const foreign = await openSocketServer<Session>(prefer, neverAsked, limits);
  const unbindable = await foreign.listen('192.0.2.1', 0).catch((reason: unknown) => reason);
  t.ok(unbindable instanceof EngineError && unbindable.kind === 'config', 'an address of another machine');
  await foreign.close();

  const { client, session } = await join();
  server.stopListening();
  server.stopListening();
  const refused = await once(new WebSocket(`ws://127.0.0.1:${port}/`), 'error');
  t.equal((refused[0] as NodeJS.ErrnoException).code, 'ECONNREFUSED');
  const heard = once(client, 'message');
  t.ok(session.connection.sendText('still here'));
  t.equal(String((await heard)[0]), 'still here', 'open sockets stay');
  const seen = ending(client);
  await server.close();
  t.same(session.closes, [{ code: 1006, reason: '' }], 'every session is told before close resolves');
  t.equal((await seen).code, 1006);
  t.equal(sessions.length, 1);
  await server.close();
}

async function strangers(t: Test, prefer: Prefer): Promise<void> {
  const { port, sessions, join } = await serve(t, prefer, { http: echo });
  const alive = async () => (await fetch(`http://127.0.0.1:${port}/alive`)).status === 200;
  const whole = head('GET / HTTP/1.1', ...handshake);
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.string({ maxLength: 100 }).map((text) => Buffer.from(text)),
    fc.nat(whole.length).map((length) => Buffer.from(whole.slice(0, length))),
    fc
      .constantFrom('\r\n', '\r\n\r\n', 'GET ', ' HTTP/1.1\r\n', 'Content-Length: 9e9\r\n', 'Upgrade: websocket\r\n')
      .map(Buffer.from),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 6 }), fc.boolean(), async (parts, isReset) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => socket.destroy()); // the server may cut at any time
      socket.resume();
      for (const bytes of parts) socket.write(bytes);
      await once(socket, 'connect');
      await new Promise((resolve) => socket.write('', resolve));
      if (isReset) socket.resetAndDestroy();
      else socket.destroy();
      return alive();
    }),
    { numRuns: 100 },
  );
  for (const session of sessions) await session.closed();

  const open = await openRaw(port);
  const junk = fc.uint8Array({ minLength: 1, maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(junk, async (bytes) => {
      const socket = await openRaw(port);
      const { length } = sessions;
      socket.on('error', () => socket.destroy());
      socket.resume();
      socket.end(bytes);
      await sessions[length - 1]!.closed();
      return sessions[length - 1]!.closes.length === 1 && (await alive());
    }),
    { numRuns: 100 },
  );
  open.destroy();
  const { client, session } = await join();
  client.send('and callers still get through');
  await session.messageCount(1);
  t.equal(session.messages[0]!.bytes.toString(), 'and callers still get through');
}

async function addresses(t: Test, prefer: Prefer): Promise<void> {
  const seen: string[] = [];
  const remember = (request: HttpRequest) => {
    seen.push(request.remoteAddress);
    return echo(request);
  };
  const server = await serve(t, prefer, { http: remember }, '::').catch((error: unknown) => error);
  if (server instanceof Error || typeof server !== 'object' || server === null) {
    t.comment('This machine has no IPv6: addresses of that kind are not tried.');
    return;
  }
  const { port, join } = server as Awaited<ReturnType<typeof serve>>;
  await fetch(`http://127.0.0.1:${port}/`);
  await fetch(`http://[::1]:${port}/`);
  t.same(seen, ['127.0.0.1', '::1'], 'IPv4 over an IPv6 socket is written as IPv4, IPv6 is shortened');
  const { session } = await join();
  t.equal(session.request.remoteAddress, '127.0.0.1');
  t.equal(session.connection.remoteAddress, '127.0.0.1');
}

const neverAsked: SocketHandlers<Session> = {
  upgrade: () => ({ accept: false, response: refusal(503, 'closed', 'Nobody is here.') }),
  opened: () => undefined,
  message: () => undefined,
  pong: () => undefined,
  closed: () => undefined,
  http: () => refusal(503, 'closed', 'Nobody is here.'),
};

const uwsMissing = await openSocketServer('uws', neverAsked, limits).then(
  async (server) => server.close().then(() => undefined),
  (error: unknown) => error,
);

const suite = {
  handshakes,
  messages,
  lifetimes,
  violations,
  endings,
  pings,
  slowReaders,
  requests,
  lateAnswers,
  uploads,
  streams,
  brokenStreams,
  goneClients,
  listening,
  strangers,
  addresses,
};

for (const prefer of ['uws', 'ws'] as const) {
  test(`sockets by ${prefer}`, async (t) => {
    if (prefer === 'uws' && uwsMissing !== undefined) {
      t.ok(uwsMissing instanceof EngineError && uwsMissing.kind === 'missing', 'a missing library is an ordinary outcome');
      t.comment(`Left out, everything on uWebSockets.js: ${(uwsMissing as Error).message}`);
      return;
    }
    for (const [name, run] of Object.entries(suite)) await t.test(name, (each) => run(each, prefer));
  });
}

test('the library is chosen by what the machine has', async (t) => {
  const server = await openSocketServer('auto', neverAsked, limits);
  t.equal(server.name, uwsMissing === undefined ? 'uWebSockets.js' : 'ws');
  t.match(server.reason, uwsMissing === undefined ? /uWebSockets\.js/ : /^Sockets by ws: uWebSockets\.js has no binary/);
  await server.close();
});
