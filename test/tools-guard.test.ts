/** The address guard: what tools may reach, by every way of writing an address, and that the checked address is the one connected to. */
import type { LookupAddress } from 'node:dns';
import fc from 'fast-check';
import { test } from 'tap';
import { EngineError, problemOf } from '../src/shared/errors.js';
import { AddressGuard, isPublicAddress, parseAllowedHosts, type Resolve } from '../src/tools/address-guard.js';
import { GuardedHttp, type HttpRequest, nextHop } from '../src/tools/guarded-http.js';
import { json, LocalProvider } from './support/local-provider.js';

const nothingAllowed = parseAllowedHosts('');
const noNames: Resolve = () => Promise.reject(new Error('nothing is to be resolved here'));
const ask = (url: string): HttpRequest => ({
  url: new URL(url),
  method: 'GET',
  headers: {},
  body: undefined,
  signal: new AbortController().signal,
});

/** Hosts that must be refused before anything is resolved, as they may stand in a URL. */
const closedHosts = [
  '127.0.0.1',
  '127.255.255.254',
  '2130706433',
  '0x7f000001',
  '0x7f.1',
  '017700000001',
  '0177.0.0.1',
  '127.1',
  '127.0.1',
  '127.0.0.1.',
  '①②⑦.⓪.⓪.①',
  '%31%32%37.0.0.1',
  '0.0.0.0',
  '0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.0.1',
  '3232235521',
  '0xc0a80001',
  '169.254.169.254',
  '2852039166',
  '0xA9FEA9FE',
  '0251.0376.0251.0376',
  '169.254.0.1',
  '168.63.129.16',
  '100.64.0.1',
  '100.100.100.200',
  '100.127.255.255',
  '192.0.0.192',
  '192.0.2.1',
  '198.18.0.1',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
  '[::]',
  '[::1]',
  '[0:0:0:0:0:0:0:1]',
  '[::127.0.0.1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:ffff:a9fe:a9fe]',
  '[::ffff:0:127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[64:ff9b::a9fe:a9fe]',
  '[64:ff9b:1::1]',
  '[2002:7f00:1::]',
  '[2002:a9fe:a9fe::1]',
  '[2002:c0a8:1::1]',
  '[2001:0:7f00:1::]',
  '[2001:db8::1]',
  '[fe80::1]',
  '[fec0::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[ff02::1]',
  '[100::1]',
  '[4000::1]',
];

test('private and special addresses are refused however they are written', (t) => {
  const guard = new AddressGuard(nothingAllowed, noNames);
  for (const host of closedHosts) {
    const url = new URL(`http://${host}/`);
    t.throws(() => guard.check(url), { kind: 'rejected', message: /address not allowed/ }, host);
  }
  t.end();
});

test('public addresses are let through', (t) => {
  const guard = new AddressGuard(nothingAllowed, noNames);
  const open = ['1.1.1.1', '172.32.0.1', '172.15.0.1', '100.128.0.1', '192.167.0.1', '[2606:4700::1111]', '[64:ff9b::1.1.1.1]'];
  for (const host of [...open, '[2002:101:101::1]', '[::ffff:1.1.1.1]', 'example.org'])
    t.doesNotThrow(() => guard.check(new URL(`https://${host}/`)), host);
  t.end();
});

test('other schemes and user info are refused, and a zone id makes no URL', (t) => {
  const guard = new AddressGuard(nothingAllowed, noNames);
  for (const url of [
    'file:///etc/passwd',
    'ftp://example.org/',
    'gopher://example.org/',
    'data:text/plain,x',
    'ws://example.org/',
  ])
    t.throws(() => guard.check(new URL(url)), { kind: 'rejected', message: /./ }, url);
  for (const url of [
    'http://user@example.org/',
    'http://user:word@example.org/',
    'http://1.1.1.1@127.0.0.1/',
    'http://:word@example.org/',
  ])
    t.throws(() => guard.check(new URL(url)), { kind: 'rejected', message: /./ }, url);
  for (const url of ['http://[fe80::1%25lo]/', 'http://[fe80::1%lo]/', 'http://[::1%251]/']) t.notOk(URL.canParse(url), url);
  t.end();
});

test('no text makes the address check throw, and IPv4 inside IPv6 is judged as IPv4', (t) => {
  fc.assert(fc.property(fc.string(), (text) => typeof isPublicAddress(text) === 'boolean'));
  const hex = (high: number, low: number) => ((high << 8) | low).toString(16);
  fc.assert(
    fc.property(fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255)), ([a, b, c, d]) => {
      const plain = isPublicAddress(`${a}.${b}.${c}.${d}`);
      const inside = `${hex(a, b)}:${hex(c, d)}`;
      return [`::ffff:${inside}`, `64:ff9b::${inside}`, `2002:${inside}::1`].every((text) => isPublicAddress(text) === plain);
    }),
    { examples: [[[127, 0, 0, 1]], [[10, 1, 2, 3]], [[8, 8, 8, 8]], [[169, 254, 169, 254]]] },
  );
  t.end();
});

test('the allow list takes hosts, ports, addresses and ranges, and says which part is wrong', async (t) => {
  const allowed = parseAllowedHosts(' Tools.Internal, 127.0.0.1:8080\n[::1]:9000,10.1.0.0/16 fd00::/8, ::1, other:443 ');
  const guard = new AddressGuard(allowed, noNames);
  for (const url of [
    'http://127.0.0.1:8080/',
    'http://2130706433:8080/',
    'http://[::1]:9000/',
    'http://10.1.2.3/',
    'http://[fd00::1]/',
  ])
    t.doesNotThrow(() => guard.check(new URL(url)), url);
  for (const url of ['http://127.0.0.1/', 'http://127.0.0.1:8081/', 'http://10.2.0.1/', 'http://[::ffff:10.2.0.1]/'])
    t.throws(() => guard.check(new URL(url)), { kind: 'rejected', message: /./ }, url);
  t.doesNotThrow(() => guard.check(new URL('http://[::1]:7/')), 'the bare address stands for every port');
  for (const text of ['10.0.0.0/33', 'a b/c', 'http://x', 'x:99999', 'user@x', 'x?y', '::1/129', '[::1'])
    t.throws(() => parseAllowedHosts(text), { kind: 'config', message: /PARLEY_TOOL_HOSTS_ALLOWED: "/ }, text);
  const named = new AddressGuard(allowed, () => Promise.resolve(['10.9.9.9']));
  t.same((await resolved(named, 'http://tools.internal/')).addresses, ['10.9.9.9']);
  t.same((await resolved(named, 'http://tools.internal./')).addresses, ['10.9.9.9']);
  t.same((await resolved(named, 'https://other/')).addresses, ['10.9.9.9']);
  t.match((await resolved(named, 'http://other/')).error, /not allowed/, 'another port');
  t.match((await resolved(named, 'http://nottools.internal/')).error, /not allowed/, 'another name');
});

/** What the guard gives to a connection. */
function resolved(guard: AddressGuard, text: string): Promise<{ addresses?: string[]; error?: string }> {
  const url = new URL(text);
  return new Promise((resolve) => {
    guard.lookupFor(url)(url.hostname, { all: true }, (error, found) => {
      if (error !== null) resolve({ error: error.message });
      else resolve({ addresses: (found as LookupAddress[]).map(({ address }) => address) });
    });
  });
}

test('a name is refused when one of its addresses is, and its addresses are never told', async (t) => {
  const answers: [string, string[]][] = [
    ['localhost', ['127.0.0.1']],
    ['localhost.', ['::1']],
    ['mixed.example', ['1.1.1.1', '10.0.0.1']],
    ['mapped.example', ['::ffff:192.168.1.1']],
    ['zone.example', ['fe80::1%eth0']],
    ['nonsense.example', ['not an address']],
    ['empty.example', []],
  ];
  for (const [host, addresses] of answers) {
    const guard = new AddressGuard(nothingAllowed, () => Promise.resolve(addresses));
    const { error } = await resolved(guard, `http://${host}/`);
    t.match(error, /not allowed|no address/, host);
    for (const address of addresses) t.notMatch(error, address);
  }
  const open = new AddressGuard(nothingAllowed, () => Promise.resolve(['1.1.1.1', '2606:4700::1111']));
  t.same((await resolved(open, 'http://open.example/')).addresses, ['1.1.1.1', '2606:4700::1111']);
});

test('a name that points elsewhere the second time gains nothing', async (t) => {
  const inside = await LocalProvider.open(json({ secret: true }));
  t.teardown(() => inside.close());
  const port = Number(new URL(inside.url).port);
  // The first look is allowed by address, every later one would be the loopback.
  let asked = 0;
  const rebinding: Resolve = () => Promise.resolve([asked++ === 0 ? '127.0.0.2' : '127.0.0.1']);
  const guard = new AddressGuard(parseAllowedHosts('127.0.0.2/32'), rebinding);
  const http = new GuardedHttp(guard);
  t.teardown(() => http.close());
  // 127.0.0.2 is where the connection goes: nobody listens there, as the server is bound to 127.0.0.1.
  const first = await http.send(ask(`http://rebind.example:${port}/`)).then(
    () => 'answered',
    (error: unknown) => (error as NodeJS.ErrnoException).code,
  );
  t.equal(first, 'ECONNREFUSED');
  t.equal(asked, 1, 'resolved once for one connection');
  const second = await http.send(ask(`http://rebind.example:${port}/`)).then(
    () => 'answered',
    (error: unknown) => problemOf(error).message,
  );
  t.match(second, /not allowed/);
  t.equal(inside.received.length, 0, 'nothing reached the service inside');
});

test('a redirect is a new request: checked again, nothing taken along to another host', (t) => {
  const from: HttpRequest = {
    ...ask('https://a.example/one'),
    method: 'POST',
    headers: { authorization: 'key', 'x-key': 'key', accept: '*/*', 'content-type': 'application/json' },
    body: Buffer.from('{}'),
  };
  const get: HttpRequest = { ...from, method: 'GET', body: undefined };
  t.match(nextHop(from, 303, '/two'), { method: 'GET', body: undefined, url: { href: 'https://a.example/two' } });
  t.match(nextHop(from, 302, '/two'), { method: 'GET', body: undefined });
  t.match(nextHop(from, 307, '/two'), { method: 'POST', headers: from.headers });
  t.same(nextHop(get, 302, 'https://b.example/').headers, { accept: '*/*' });
  t.same(nextHop(get, 302, 'https://a.example:8443/').headers, { accept: '*/*' }, 'another port is another host');
  t.same(nextHop(from, 303, 'https://b.example/').headers, { accept: '*/*' });
  t.equal(nextHop({ ...get, url: new URL('http://a.example/') }, 301, 'https://a.example/').headers['authorization'], 'key');
  for (const [status, location] of [
    [307, 'https://b.example/'],
    [308, 'https://a.example:444/'],
    [302, 'http://a.example/'],
    [302, 'file:///etc/passwd'],
    [302, 'http://['],
  ] as const)
    t.throws(() => nextHop(from, status, location), EngineError, `${status} ${location}`);
  t.end();
});
