/** Which address a caller counts under, and what one address may have. */
import { once } from 'node:events';
import fc from 'fast-check';
import { test } from 'tap';
import WebSocket from 'ws';
import { NewCallRate } from '../src/server/address-limits.js';
import { ClientAddresses, parseProxies } from '../src/server/client-address.js';
import { startStack } from './support/engine.js';

test('the address of the connection counts, unless a proxy that is trusted says another', (t) => {
  const alone = new ClientAddresses(parseProxies(''));
  t.equal(alone.of('192.0.2.1', '198.51.100.7'), '192.0.2.1', 'anybody can write the header');
  const behind = new ClientAddresses(parseProxies('10.0.0.0/8, 127.0.0.1,2001:db8:1::/48'));
  for (const [remote, forwarded, expected] of [
    ['10.1.2.3', '198.51.100.7', '198.51.100.7'],
    ['10.1.2.3', '203.0.113.9, 198.51.100.7', '198.51.100.7'],
    ['10.1.2.3', '203.0.113.9, 198.51.100.7, 10.9.9.9', '198.51.100.7'],
    ['10.1.2.3', undefined, '10.1.2.3'],
    ['10.1.2.3', '', '10.1.2.3'],
    ['10.1.2.3', 'unknown', '10.1.2.3'],
    ['10.1.2.3', '203.0.113.9, <script>', '10.1.2.3'],
    ['10.1.2.3', '10.4.4.4, 10.5.5.5', '10.4.4.4'],
    ['11.1.2.3', '198.51.100.7', '11.1.2.3'],
    ['::ffff:10.1.2.3', '198.51.100.7:4711', '198.51.100.7'],
    ['127.0.0.1', '[2001:db8:2:3:4:5:6:7]:4711', '2001:db8:2:3::/64'],
    ['2001:db8:1::5', '2001:db8:2:3:ffff::1', '2001:db8:2:3::/64'],
    ['2001:db8:2:3::9', '198.51.100.7', '2001:db8:2:3::/64'],
    ['', '198.51.100.7', ''],
  ] as const) {
    t.equal(behind.of(remote, forwarded), expected, `${remote} says ${forwarded}`);
  }
  for (const wrong of ['10.0.0.0/33', 'proxy.example', '10.0.0.1;10.0.0.2'])
    t.throws(() => parseProxies(wrong), { message: /no address/ });
  t.end();
});

test('whatever is forwarded by strangers, they keep their own address', (t) => {
  const behind = new ClientAddresses(parseProxies('10.0.0.0/8'));
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), (forwarded) => behind.of('192.0.2.1', forwarded) === '192.0.2.1'),
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.ipV4())), (forwarded) => behind.of('10.0.0.1', forwarded.join(',')) !== ''),
  );
  t.end();
});

test('new calls: as many at once as in a second, and never more in any second', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 60 }),
      (perSecond, gaps) => {
        const rate = new NewCallRate(perSecond);
        const taken: number[] = [];
        let atMs = 0;
        for (const gapMs of gaps) {
          atMs += gapMs;
          if (rate.take('a', atMs)) taken.push(atMs);
        }
        // A full bucket and what fills it in a second.
        return taken.every((from) => taken.filter((one) => one >= from && one < from + 1000).length <= 2 * perSecond);
      },
    ),
  );
  const rate = new NewCallRate(2);
  t.same(
    [1, 2, 3].map(() => rate.take('a', 0)),
    [true, true, false],
  );
  t.ok(rate.take('b', 0), 'others are others');
  t.notOk(rate.take('a', 400));
  t.ok(rate.take('a', 500));
  for (let index = 0; index < 30_000; index += 1) rate.take(`address ${index}`, 600 + index / 100);
  t.ok(rate.size <= 10_000, 'strangers cannot fill the memory');
  t.end();
});

test('at the door: too many at once are told why, too many in a second are turned away before', async (t) => {
  const stack = await startStack({
    PARLEY_CALLS_PER_ADDRESS: '2',
    PARLEY_NEW_CALLS_PER_ADDRESS: '4',
    PARLEY_TRUSTED_PROXIES: '127.0.0.1',
  });
  t.teardown(() => stack.stop());
  const knock = (from: string): WebSocket => {
    const socket = new WebSocket(`${stack.url}?agent_id=quiet`, ['convai'], { headers: { 'x-forwarded-for': from } });
    socket.on('error', () => undefined);
    return socket;
  };
  const enter = async (from: string): Promise<WebSocket> => {
    const socket = knock(from);
    await once(socket, 'open');
    return socket;
  };
  const first = await enter('198.51.100.7');
  const second = await enter('198.51.100.7');
  const third = knock('198.51.100.7');
  const [code, reason] = (await once(third, 'close')) as [number, Buffer];
  t.equal(code, 3008);
  t.match(reason.toString(), /Too many calls from this address/);
  const other = await enter('198.51.100.8');
  first.close();
  await once(first, 'close');
  const again = await enter('198.51.100.7');
  const fifth = knock('198.51.100.7');
  const [, refused] = (await once(fifth, 'unexpected-response')) as [
    unknown,
    { statusCode: number; headers: Record<string, string> },
  ];
  t.equal(refused.statusCode, 429);
  t.equal(refused.headers['retry-after'], '1');
  fifth.terminate();
  for (const socket of [second, other, again]) {
    socket.close();
    await once(socket, 'close');
  }
  const metrics = await (await fetch(`${stack.http}/metrics`)).text();
  t.match(metrics, 'parley_refused_total{reason="address"} 1\n');
  t.match(metrics, 'parley_refused_total{reason="too_many_calls"} 1\n');
});
