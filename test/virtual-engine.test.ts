import { strict as assert } from 'node:assert';
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { Link } from '../bench/eval/virtual/link.js';
import { MemorySocket } from '../bench/eval/virtual/memory-socket.js';
import { mutants } from '../bench/eval/virtual/mutants.js';
import { VirtualClock } from '../bench/eval/virtual/virtual-clock.js';
import { nowMs } from '../src/shared/clock.js';
import { KeepAliveHttp } from '../src/shared/keep-alive-http.js';
import { type VirtualCallOptions, virtualCall } from './support/virtual-call.js';

const question: VirtualCallOptions = {
  spoken: [
    { atMs: 2600, text: 'What time do you close on Friday?' },
    { atMs: 6500, text: 'No wait, I meant Saturday.' },
  ],
  answers: [
    { match: 'Saturday', text: 'At noon.' },
    { match: '*', text: 'We close at seven in the evening.' },
  ],
  durationMs: 9000,
};

test('a spoken conversation runs on the virtual clock, and comes out the same to the byte each time', async (t) => {
  const first = await virtualCall(question);
  const cpu = process.cpuUsage();
  const again = await virtualCall(question);
  const { user, system } = process.cpuUsage(cpu);
  t.same(again.lines, first.lines);
  t.ok(first.lines.length > 100, `${first.lines.length} messages were compared`);

  const transcripts = first.messages.flatMap(({ event }) => (event['type'] === 'user_transcript' ? [event] : []));
  t.same(
    transcripts.map((event) => (event['user_transcription_event'] as { user_transcript: string }).user_transcript),
    ['What time do you close on Friday?', 'No wait, I meant Saturday.'],
  );
  t.ok(first.types.includes('interruption'), 'the second one interrupts');
  t.match(JSON.stringify(first.requests.at(-1)), /We close/, 'what was heard of the first answer is remembered');
  t.notMatch(JSON.stringify(first.requests.at(-1)), /evening/, 'what was not heard is not');
  t.equal(first.timersLeft, 0, 'nothing is left behind');

  const ratio = (question.durationMs * 1000) / (user + system);
  t.comment(`${ratio.toFixed(0)} seconds of the call in a second of computing, its preparation included`);
  t.ok(ratio > 2, 'it is much faster than the call');
});

test('a mutant changes what it is to change', async (t) => {
  const deaf = mutants.find(({ variation }) => variation.name === 'deaf');
  const { types } = await virtualCall({ ...question, variation: deaf!.variation });
  t.notOk(types.includes('interruption'));
  t.equal(new Set(mutants.map(({ variation }) => variation.name)).size, 14, 'each has a name of its own');
});

test('time moves by hand, in the order of what is due, and the real clock comes back', async (t) => {
  const { setTimeout: real, Date: RealDate } = globalThis;
  const clock = new VirtualClock(1);
  const seen: string[] = [];
  const start = nowMs();
  const note = (what: string): void => {
    seen.push(`${nowMs() - start} ${what}`);
  };
  try {
    t.throws(() => new VirtualClock(2), 'there is one clock');
    setTimeout(() => note('fraction'), 7.2);
    setTimeout(() => note('zero'), 0);
    const every = setInterval(() => note('every 5'), 5);
    void sleep(12).then(() => note('slept'));
    setTimeout(() => {
      note('first of 20');
      setImmediate(() => note('what follows from it'));
    }, 20);
    setTimeout(() => note('second of 20'), 20);
    await clock.advanceTo(start + 20);
    clearInterval(every);
    t.same(seen, [
      '1 zero',
      '5 every 5',
      '8 fraction',
      '10 every 5',
      '12 slept',
      '15 every 5',
      '20 first of 20',
      '20 what follows from it',
      '20 second of 20',
      '20 every 5',
    ]);
    t.equal(clock.nowMs, nowMs());
    await t.rejects(clock.advanceTo(start), 'time does not go back');
    setTimeout(() => undefined, 1);
  } finally {
    t.equal(clock.uninstall(), 1, 'the timer that never fired');
  }
  t.equal(globalThis.setTimeout, real);
  t.equal(globalThis.Date, RealDate);
  const drawn = [1, 1, 2].map((seed) => {
    const seeded = new VirtualClock(seed);
    const numbers = [Math.random(), randomUUID()];
    seeded.uninstall();
    return numbers;
  });
  t.same(drawn[0], drawn[1]);
  t.notSame(drawn[0], drawn[2]);
  t.not(randomUUID(), drawn[0]![1]);
});

test('links keep the order of all messages, copy them, and can be emptied before their turn', async (t) => {
  const [one, other] = [new Link<{ value: string }>(), new Link<{ value: string }>()];
  const seen: string[] = [];
  one.listen(({ value }) => seen.push(`one ${value}`));
  other.listen(({ value }) => seen.push(`other ${value}`));
  const message = { value: 'a' };
  one.post(message);
  message.value = 'changed afterwards';
  other.post({ value: 'b' });
  one.post({ value: 'c' });
  await new Promise(setImmediate);
  t.same(seen, ['one a', 'other b', 'one c']);
  other.post({ value: 'd' });
  other.drain(({ value }) => seen.push(`drained ${value}`));
  await new Promise(setImmediate);
  t.same(seen.slice(3), ['drained d']);
});

test('HTTP over connections in memory: kept alive, reset, and slow readers wait', async (t) => {
  let connections = 0;
  const large = 'x'.repeat(3_000_000);
  const server = http.createServer((request, response) => {
    if (request.url === '/reset') (request.socket as unknown as MemorySocket).resetAndDestroy();
    else response.end(request.url === '/large' ? large : 'hello');
  });
  const provider = new KeepAliveHttp({
    connect: () => {
      connections += 1;
      const { client, server: far } = MemorySocket.pair();
      server.emit('connection', far);
      return client;
    },
  });
  for (const path of ['/a', '/b', '/large']) {
    const response = await provider.fetch(`http://nowhere.invalid${path}`);
    const text = await response.text();
    t.equal(text, path === '/large' ? large : 'hello');
  }
  t.equal(connections, 1);
  t.same(provider.counts, { requests: 3, reused: 2, resent: 0 });
  await t.rejects(provider.fetch('http://nowhere.invalid/reset'), { code: 'ECONNRESET' });
  t.equal(provider.counts.resent, 1, 'a kept connection that breaks is tried again');
  provider.close();

  const { client, server: far } = MemorySocket.pair();
  const written = client.write(Buffer.alloc(300_000));
  assert(!written);
  let isTaken = false;
  client.once('drain', () => {
    isTaken = true;
  });
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  t.notOk(isTaken, 'more than the buffer holds waits for the reader');
  far.resume();
  client.resume();
  await new Promise((resolve) => client.once('drain', resolve));
  t.ok(isTaken);
  client.end();
  await new Promise((resolve) => far.once('end', resolve));
  far.end();
  await new Promise((resolve) => client.once('close', resolve));
  t.ok(client.destroyed);
});
