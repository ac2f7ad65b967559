import fc from 'fast-check';
import { test } from 'tap';
import {
  closeReason,
  isSendable,
  lostAfterMs,
  offeredProtocols,
  parseTarget,
  pingAfterMs,
  plainAddress,
  type RequestHead,
  screenRequest,
  screenUpgrade,
  slowBody,
  statusLine,
  wantsWebSocket,
} from '../src/server/adapter-rules.js';
import type { BodyRule } from '../src/server/port.js';
import { lookAt, type Silence } from '../src/server/silence.js';

function requestHead(headers: Record<string, string>, rest: Partial<RequestHead> = {}): RequestHead {
  return { method: 'GET', target: '/', headerCount: Object.keys(headers).length, header: (name) => headers[name], ...rest };
}

test('a close reason is a prefix that fits and is whole text', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (reason) => {
      const cut = closeReason(reason);
      const bytes = Buffer.from(cut);
      const next = Buffer.byteLength([...reason.slice(cut.length)][0] ?? '');
      t.ok(bytes.length <= 123 && reason.startsWith(cut) && bytes.toString() === cut);
      t.ok(cut === reason || bytes.length + next > 123, 'not shorter than needed');
    }),
  );
  t.equal(closeReason('x'.repeat(123)), 'x'.repeat(123));
  t.equal(closeReason('x'.repeat(124)), 'x'.repeat(123));
  t.end();
});

test('close codes', (t) => {
  for (const code of [1000, 1001, 1002, 1008, 1011, 3000, 4999]) t.ok(isSendable(code), `${code}`);
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000]) t.notOk(isSendable(code), `${code}`);
  t.end();
});

test('targets', (t) => {
  t.same(parseTarget('/'), { path: '/', query: '' });
  t.same(parseTarget('/a?'), { path: '/a', query: '' });
  t.same(parseTarget('/a%20b?x=%zz?y'), { path: '/a b', query: 'x=%zz?y' }, 'the query stays as it was sent');
  for (const target of ['', '*', 'http://a/b', 'a', '/%', '/%4', '/%zz', '/%ff', '/%c3'])
    t.equal(parseTarget(target), undefined, target);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      t.same(parseTarget(`/${encodeURIComponent(text)}?q`), { path: `/${text}`, query: 'q' });
    }),
  );
  t.end();
});

test('offered subprotocols', (t) => {
  t.same(offeredProtocols(undefined), []);
  t.same(offeredProtocols('convai'), ['convai']);
  t.same(offeredProtocols('convai,bearer.a-b_c.d ,\tx'), ['convai', 'bearer.a-b_c.d', 'x']);
  for (const header of ['', ',', 'a,', 'a b', 'a,a', 'a/b', 'ä', 'a;q=1']) t.equal(offeredProtocols(header), undefined, header);
  t.end();
});

test('which requests want a WebSocket', (t) => {
  const wanted = { upgrade: 'WebSocket', connection: 'keep-alive, Upgrade' };
  t.ok(wantsWebSocket(requestHead(wanted)));
  t.notOk(wantsWebSocket(requestHead(wanted, { method: 'POST' })));
  t.notOk(wantsWebSocket(requestHead({ upgrade: 'websocket' })));
  t.notOk(wantsWebSocket(requestHead({ ...wanted, connection: 'upgraded' })));
  t.notOk(wantsWebSocket(requestHead({ ...wanted, upgrade: 'h2c' })));
  const key = { 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
  t.match(screenUpgrade(requestHead({ ...wanted, ...key }, { target: '/v1?a' })), { ok: true, path: '/v1', query: 'a' });
  t.match(screenUpgrade(requestHead({ ...wanted, ...key }, { headerCount: 101 })), { ok: false, response: { status: 431 } });
  t.match(screenUpgrade(requestHead({ ...wanted, ...key, 'sec-websocket-version': '12' })), {
    ok: false,
    response: { status: 426 },
  });
  t.end();
});

test('bodies announced', (t) => {
  const limits = { bodyBytesMax: 10, bodyTimeoutMs: 100 };
  t.match(screenRequest(requestHead({}), limits), { ok: true, body: { bodyBytes: 0 } });
  t.match(screenRequest(requestHead({ 'content-length': '10' }), limits), { ok: true, body: { bodyBytes: 10 } });
  t.match(screenRequest(requestHead({ 'content-length': '11' }), limits), { ok: false, response: { status: 413 } });
  t.same(screenRequest(requestHead({ 'transfer-encoding': 'chunked' }), limits), {
    ok: true,
    path: '/',
    query: '',
    body: { bodyBytes: undefined, bytesMax: 10, timeoutMs: 100 },
  });
  const bodyOf = (_method: string, path: string): BodyRule | undefined =>
    path === '/large' ? { bytesMax: 50, timeoutMs: 500 } : path === '/never' ? { refusal: slowBody } : undefined;
  const eleven = { 'content-length': '11' };
  const screen = (target: string) => screenRequest(requestHead(eleven, { target }), { ...limits, bodyOf });
  t.match(screen('/large?a'), { ok: true, body: { bodyBytes: 11, bytesMax: 50, timeoutMs: 500 } });
  t.match(screen('/never'), { ok: false, response: { status: 408 } }, 'before the body is read');
  t.match(screen('/else'), { ok: false, response: { status: 413 } });
  t.end();
});

test('small words', (t) => {
  t.equal(plainAddress('::ffff:10.0.0.1'), '10.0.0.1');
  t.equal(plainAddress('::ffff:1'), '::ffff:1');
  t.equal(plainAddress('2001:db8::1'), '2001:db8::1');
  t.equal(statusLine(404), '404 Not Found');
  t.equal(statusLine(599), '599 Unknown');
  t.end();
});

test('silence: a ping half-way, then the cut', (t) => {
  let silence: Silence = { bytesRead: 100, sinceMs: 0, pinged: false };
  const actions: string[] = [];
  for (let atMs = 1000; atMs <= lostAfterMs; atMs += 1000) {
    const look = lookAt(silence, 100, atMs);
    silence = look.silence;
    if (look.action !== 'none') actions.push(`${look.action} ${atMs}`);
  }
  t.same(actions, [`ping ${pingAfterMs}`, `cut ${lostAfterMs}`]);

  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30_000 }), { maxLength: 50 }), (gapsMs) => {
      // A client that says something between any two looks is never pinged, however late the looks come.
      let state: Silence = { bytesRead: 0, sinceMs: 0, pinged: false };
      let atMs = 0;
      for (const [index, gapMs] of gapsMs.entries()) {
        atMs += gapMs;
        const look = lookAt(state, index + 1, atMs);
        state = look.silence;
        t.equal(look.action, 'none');
      }
    }),
  );
  t.end();
});
