/** Who may open a conversation: signatures, keys, origins; what is shown at the door against what the agent demands. */
import fc from 'fast-check';
import { test } from 'tap';
import { admit } from '../src/conversation/admission.js';
import type { Access } from '../src/conversation/links.js';
import { judgeAccess, type Shown, signingKeyOf, UsedTickets } from '../src/server/access.js';
import { derivedKey, isSameSecret } from '../src/shared/secret.js';
import { parseAgent } from '../src/store/agents.js';
import { isTicketText, readTicket, signatureLifeMs, signTicket, type Ticket } from '../src/wire/signed-url.js';

const atMs = 1_700_000_000_000;
const keys = { apiKey: 'the-api-key', signingKey: new Uint8Array(32).fill(1) };
const ticket: Ticket = {
  agentId: 'a1',
  expiresAtMs: atMs + signatureLifeMs,
  nonce: 'n1',
  conversationId: undefined,
  environment: undefined,
  branchId: undefined,
};
const nothing: Shown = {
  agentId: 'a1',
  conversationSignature: undefined,
  bearerEntry: undefined,
  apiKeyHeader: undefined,
  authorizationHeader: undefined,
};
const judged = (shown: Partial<Shown>, when = atMs): Access => judgeAccess({ ...nothing, ...shown }, keys, when).access;

test('C6: a signature says what was signed, until it expires, and only under its key', (t) => {
  const text = fc.string({ unit: 'grapheme', maxLength: 40 });
  const given = fc.option(
    text.filter((value) => value !== ''),
    { nil: undefined },
  );
  const any = fc.record({
    agentId: text,
    expiresAtMs: fc.integer({ min: atMs + 1, max: atMs + signatureLifeMs }),
    nonce: text,
    conversationId: given,
    environment: given,
    branchId: given,
  });
  fc.assert(
    fc.property(any, (original) => {
      const signed = signTicket(original, keys.signingKey);
      t.ok(isTicketText(signed));
      t.same(readTicket(signed, keys.signingKey, atMs), { ok: true, ticket: original });
      t.same(readTicket(signed, new Uint8Array(32), atMs), { ok: false, problem: 'forged' });
      t.same(readTicket(signed, keys.signingKey, original.expiresAtMs), { ok: false, problem: 'expired' });
    }),
    { numRuns: 50 },
  );
  const signed = signTicket(ticket, keys.signingKey);
  fc.assert(
    fc.property(fc.nat(signed.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (index, letter) => {
      if (letter === signed[index]) return true;
      const changed = signed.slice(0, index) + letter + signed.slice(index + 1);
      const outcome = readTicket(changed, keys.signingKey, atMs);
      // The last letter of base64 holds bits that mean nothing: another letter there may be the same signature.
      return !outcome.ok ? outcome.problem === 'forged' : index === signed.length - 1 && outcome.ticket.agentId === 'a1';
    }),
  );
  for (const rest of ['', 'v1', 'v1..', 'v1.a.b', `${signed}.x`, 'x'.repeat(5000)]) {
    t.equal(readTicket(rest, keys.signingKey, atMs).ok, false, rest.slice(0, 10));
  }
  t.end();
});

test('what is shown at the door', (t) => {
  const signed = signTicket(ticket, keys.signingKey);
  t.same(judged({}), { kind: 'none' });
  t.same(judged({ conversationSignature: signed }), { kind: 'signed', agentId: 'a1', conversationId: undefined });
  t.same(judged({ conversationSignature: signed, agentId: undefined }), {
    kind: 'signed',
    agentId: 'a1',
    conversationId: undefined,
  });
  t.match(judged({ conversationSignature: signed, agentId: 'a2' }), { kind: 'refused', reason: /another agent/ });
  t.match(judged({ conversationSignature: signed }, atMs + signatureLifeMs), { kind: 'refused', reason: /expired/ });
  t.match(judged({ conversationSignature: 'x' }), { kind: 'refused', reason: /not valid/ });
  t.match(
    judged({ conversationSignature: 'x', apiKeyHeader: 'the-api-key' }),
    { kind: 'refused' },
    'a wrong signature is not made good',
  );
  t.same(judged({ apiKeyHeader: 'the-api-key' }), { kind: 'key' });
  t.same(judged({ authorizationHeader: 'Bearer the-api-key' }), { kind: 'key' });
  t.same(judged({ bearerEntry: 'the-api-key' }), { kind: 'key' }, 'C3: what browsers can send');
  t.same(
    judged({ bearerEntry: signed }),
    { kind: 'signed', agentId: 'a1', conversationId: undefined },
    'a signature beside the URL',
  );
  t.match(judged({ apiKeyHeader: 'wrong' }), { kind: 'refused', reason: /API key/ });
  t.same(
    judgeAccess({ ...nothing, bearerEntry: 'anything' }, { ...keys, apiKey: '' }, atMs).access,
    { kind: 'none' },
    'without a key of ours there is no wrong one',
  );
  for (const access of [judged({ conversationSignature: 'x' }), judged({ apiKeyHeader: 'wrong' })]) {
    t.ok(access.kind === 'refused' && Buffer.byteLength(access.reason) <= 123, 'the reason fits into a close frame');
  }
  t.end();
});

test('a signature is used once, in a memory that has a bound and forgets what has expired', (t) => {
  const used = new UsedTickets(3);
  const one = (nonce: string, expiresAtMs = atMs + 1000): Ticket => ({ ...ticket, nonce, expiresAtMs });
  t.equal(used.use(one('a'), atMs), undefined);
  t.match(used.use(one('a'), atMs), /used before/);
  t.equal(used.use(one('b', atMs + 5000), atMs), undefined);
  t.equal(used.use(one('c'), atMs), undefined);
  t.match(used.use(one('d'), atMs), /Too many/, 'full: nobody comes in, rather than anybody twice');
  t.equal(used.use(one('d', atMs + 9000), atMs + 1000), undefined);
  t.match(used.use(one('b', atMs + 5000), atMs + 1000), /used before/, 'what is still valid is remembered');
  t.equal(used.size, 2);
  t.end();
});

test('keys', (t) => {
  t.ok(isSameSecret('a', 'a'));
  t.notOk(isSameSecret('a', 'b'));
  t.notOk(isSameSecret('', 'a'));
  t.notSame(derivedKey('a', 'one'), derivedKey('a', 'two'));
  t.same(signingKeyOf('', 'key'), signingKeyOf('', 'key'), 'made from the API key it is the same after a restart');
  t.notSame(signingKeyOf('other', 'key'), signingKeyOf('', 'key'));
  t.notSame(signingKeyOf('', ''), signingKeyOf('', ''), 'without any it ends with the process');
  t.end();
});

test('C5: what the agent demands', (t) => {
  const agent = (platform_settings: object) => parseAgent({ agent_id: 'a1', platform_settings }, 'test');
  const open = agent({});
  const closed = agent({ auth: { enable_auth: true } });
  const listed = agent({
    auth: { allowlist: [{ hostname: 'shop.example' }, { hostname: 'localhost:5173' }, { hostname: 'https://x.example' }] },
  });
  const browsers = agent({ auth: { require_origin_header: true } });
  const two = agent({ call_limits: { agent_concurrency_limit: 2 } });
  const none: Access = { kind: 'none' };
  const signed: Access = { kind: 'signed', agentId: 'a1', conversationId: undefined };
  const rows: [string, ReturnType<typeof agent> | undefined, Access, string, number, number | undefined][] = [
    ['an open agent', open, none, '', 1, undefined],
    ['an unknown agent', undefined, none, '', 1, 3000],
    ['a refused signature', open, { kind: 'refused', reason: 'expired' }, '', 1, 3000],
    ['a refused signature is told before the agent is', undefined, { kind: 'refused', reason: 'expired' }, '', 1, 3000],
    ['a closed agent without anything', closed, none, '', 1, 3000],
    ['a closed agent, signed', closed, signed, '', 1, undefined],
    ['a closed agent, with the key', closed, { kind: 'key' }, '', 1, undefined],
    ['signed for another', closed, { kind: 'signed', agentId: 'a2', conversationId: undefined }, '', 1, 3000],
    ['a page on the list', listed, none, 'https://shop.example', 1, undefined],
    ['any port of it', listed, none, 'http://SHOP.example:8443', 1, undefined],
    ['a page beside the list', listed, none, 'https://shop.example.evil', 1, 3000],
    ['a part of a name', listed, none, 'https://not-shop.example', 1, 3000],
    ['with its port', listed, none, 'http://localhost:5173', 1, undefined],
    ['with another', listed, none, 'http://localhost:5174', 1, 3000],
    ['with its scheme', listed, none, 'https://x.example', 1, undefined],
    ['with another scheme', listed, none, 'http://x.example', 1, 3000],
    ['a sandboxed page', listed, none, 'null', 1, 3000],
    ['no page at all', listed, none, '', 1, undefined],
    ['a signed URL on another page', listed, signed, 'https://evil.example', 1, 3000],
    ['a page where pages are demanded', browsers, none, 'https://a.example', 1, undefined],
    ['no page where pages are demanded', browsers, none, '', 1, 3000],
    ['the last place', two, none, '', 2, undefined],
    ['one too many', two, none, '', 3, 3008],
  ];
  for (const [name, who, access, origin, agentCalls, code] of rows) {
    const refused = admit(who, { access, origin, agentCalls });
    t.equal(refused?.code, code, name);
    if (refused !== undefined) t.ok(refused.reason.length > 0 && Buffer.byteLength(refused.reason) <= 123);
  }
  t.end();
});
