/** The API thread from the outside: main's gate to it, its death and return, and long answers part by part. */
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, type ReadStream, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { test } from 'tap';
import { type ApiAnswer, partsOf } from '../src/api/http.js';
import { HttpDesk } from '../src/api/http-desk.js';
import type { HttpAsk, HttpFromApi, ToApiFromMain } from '../src/api/links.js';
import { type ApiEnds, ApiThread, beget } from '../src/api-thread.js';
import { ApiGate, gateLimits } from '../src/server/api-gate.js';
import type { BodyParts, HttpRequest } from '../src/server/port.js';
import { StoreWatch } from '../src/server/store-watch.js';
import { RenewablePort } from '../src/shared/renewable-port.js';
import { Recorder } from '../src/telemetry/recorder.js';

type Request = HttpRequest & { leave(): void };

function request(path = '/v1/x', headers: Record<string, string> = {}): Request {
  let gone: () => void = () => undefined;
  return {
    method: 'GET',
    path,
    query: '',
    header: (name) => headers[name],
    body: new Uint8Array(0),
    remoteAddress: '127.0.0.1',
    onGone: (run) => {
      gone = run;
    },
    leave: () => gone(),
  };
}

const answer = (id: number, isLast = true, body = 'x'): HttpFromApi => ({
  type: 'http_answer',
  id,
  status: 200,
  headers: {},
  body: Buffer.from(body),
  isLast,
});

test('the gate: hands over, waits, gives up', async (t) => {
  const sent: ToApiFromMain[] = [];
  let isUp = true;
  const gate = new ApiGate((message) => isUp && sent.push(message) > 0, new Recorder('test'), 30);
  t.teardown(() => gate.close());

  const first = gate.ask(request('/v1/a', { 'xi-api-key': 'k', cookie: 'c' }));
  t.match(sent[0], { type: 'http', method: 'GET', path: '/v1/a', headers: { 'xi-api-key': 'k' } });
  t.notHas((sent[0] as HttpAsk).headers, 'cookie', 'what nobody needs stays on main');
  gate.fromApi(answer((sent[0] as HttpAsk).id));
  t.match(await first, { status: 200 });
  gate.fromApi(answer((sent[0] as HttpAsk).id));

  t.match(await gate.ask(request()), { status: 504 }, 'an answer that does not come');
  t.match(sent.at(-1), { type: 'http_more', isGone: true }, 'and is not wanted any more');

  const leaving = request();
  const left = gate.ask(leaving);
  leaving.leave();
  await left;
  t.match(sent.at(-1), { type: 'http_more', isGone: true }, 'a client that goes away cancels');
  t.equal(gate.waitingCount, 0);

  const lost = gate.ask(request());
  gate.died();
  t.match(await lost, { status: 503 }, 'the thread died');
  isUp = false;
  t.match(await gate.ask(request()), { status: 503 }, 'there is none');
  isUp = true;

  const many = Array.from({ length: gateLimits.waitingMax }, () => gate.ask(request()));
  t.match(await gate.ask(request()), { status: 503, headers: { 'retry-after': '1' } }, 'too many wait');
  gate.died();
  await Promise.all(many);
});

test('the gate: long answers', async (t) => {
  const sent: ToApiFromMain[] = [];
  const gate = new ApiGate((message) => sent.push(message) > 0, new Recorder('test'), 1000);
  const open = async (): Promise<{ id: number; parts: BodyParts }> => {
    const asked = gate.ask(request());
    const { id } = sent.at(-1) as HttpAsk;
    gate.fromApi(answer(id, false, 'one'));
    return { id, parts: (await asked).body as BodyParts };
  };
  const { id, parts } = await open();
  t.equal(String((await parts.next()).value), 'one');
  const second = parts.next();
  t.match(sent.at(-1), { type: 'http_more', id, isGone: false }, 'the next part is asked for when it is wanted');
  gate.fromApi({ type: 'http_part', id, body: Buffer.from('two'), isLast: true });
  t.equal(String((await second).value), 'two');
  t.same(await parts.next(), { done: true, value: undefined });

  const left = await open();
  await left.parts.next();
  const pending = left.parts.next();
  await left.parts.return?.();
  t.match(sent.at(-1), { type: 'http_more', isGone: true });
  await t.rejects(pending);

  const cut = await open();
  await cut.parts.next();
  const rest = cut.parts.next();
  gate.fromApi({ type: 'http_broken', id: cut.id });
  await t.rejects(rest, /lost/, 'what it is made of broke');

  const broken = await open();
  await broken.parts.next();
  const never = broken.parts.next();
  gate.died();
  await t.rejects(never, /lost/, 'half an answer is not a whole one');
  t.equal(gate.waitingCount, 0);
});

test('the desk: parts on demand, and none for who is gone', async (t) => {
  const posted: HttpFromApi[] = [];
  const letGo = new EventEmitter();
  let letGoCount = 0;
  letGo.on('return', () => {
    letGoCount += 1;
  });
  const long = (count: number): ApiAnswer => {
    let made = 0;
    return {
      status: 200,
      headers: { 'content-type': 'audio/wav' },
      parts: {
        next: async () => {
          made += 1;
          if (made === 5) throw new Error('the disk broke');
          return made > count ? { done: true, value: undefined } : { done: false, value: Buffer.from(`${made}`) };
        },
        return: async () => {
          letGo.emit('return');
          return { done: true, value: undefined };
        },
      },
    };
  };
  let slow: ((answer: ApiAnswer) => void) | undefined;
  const problems: unknown[] = [];
  const desk = new HttpDesk(
    (ask) => {
      if (ask.path === '/slow') return new Promise((resolve) => (slow = resolve));
      return Promise.resolve(
        ask.path === '/json' ? { status: 200, headers: {}, json: { a: 1 } } : long(ask.path === '/broken' ? 9 : 2),
      );
    },
    (message) => posted.push(message),
    (error) => problems.push(error),
  );
  const ask = (id: number, path: string): HttpAsk => ({
    type: 'http',
    id,
    method: 'GET',
    path,
    query: '',
    headers: {},
    body: new Uint8Array(0),
  });
  const more = (id: number, isGone = false) => desk.receive({ type: 'http_more', id, isGone });
  const textOf = (message: HttpFromApi) =>
    message.type === 'http_broken' ? 'broken' : `${Buffer.from(message.body).toString()}${message.isLast ? '.' : ''}`;
  const texts = () => posted.splice(0).map(textOf);

  await desk.receive(ask(1, '/json'));
  t.match(posted[0], { status: 200, headers: { 'content-type': 'application/json', 'access-control-allow-origin': '*' } });
  t.same(texts(), ['{"a":1}.']);
  await desk.receive(ask(2, '/long'));
  await more(2);
  await more(2);
  t.same(texts(), ['1', '2', '.']);
  await more(2);
  t.same(texts(), [], 'it is over');
  await desk.receive(ask(3, '/long'));
  await more(3, true);
  t.equal(letGoCount, 1);
  const asked = desk.receive(ask(4, '/slow'));
  await more(4, true);
  slow?.(long(2));
  await asked;
  t.equal(letGoCount, 2, 'an answer that came too late is let go');
  t.same(texts(), ['1']);
  await desk.receive(ask(5, '/broken'));
  for (let part = 0; part < 3; part++) await more(5);
  await more(5);
  t.equal(problems.length, 1);
  t.same(texts(), ['1', '2', '3', '4', 'broken'], 'a body that broke off has no end: main must not take it for whole');
  t.equal(desk.workingCount, 0);
});

test('R8: a file that nobody waits for any more is closed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-parts-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'long');
  writeFileSync(path, Buffer.alloc(300_000, 'x'));
  const opened: ReadStream[] = [];
  let hold: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    hold = resolve;
  });
  const posted: HttpFromApi[] = [];
  const desk = new HttpDesk(
    async ({ id }) => {
      const stream = (await open(path)).createReadStream();
      opened.push(stream);
      if (id === 1) await held;
      return { status: 200, headers: {}, parts: partsOf(stream) };
    },
    (message) => posted.push(message),
    (error) => t.fail(String(error)),
  );
  const ask = (id: number): HttpAsk => ({
    type: 'http',
    id,
    method: 'GET',
    path: '/',
    query: '',
    headers: {},
    body: new Uint8Array(0),
  });
  const early = desk.receive(ask(1));
  await desk.receive({ type: 'http_more', id: 1, isGone: true });
  hold?.();
  await early;
  t.equal(opened[0]?.closed, true, 'before the first part was read');
  t.same(posted, []);
  await desk.receive(ask(2));
  t.equal(opened[1]?.closed, false);
  const more = desk.receive({ type: 'http_more', id: 2, isGone: false });
  await desk.receive({ type: 'http_more', id: 2, isGone: true });
  await more;
  t.equal(opened[1]?.closed, true, 'in the middle of a part');
  await desk.receive(ask(3));
  for (let part = 0; part < 10; part++) await desk.receive({ type: 'http_more', id: 3, isGone: false });
  t.equal(opened[2]?.closed, true, 'at the end');
  t.equal(desk.workingCount, 0);
});

test('a thread that dies is started again, linked anew, a bounded number of times', async (t) => {
  const file = new URL('support/api-worker.js', import.meta.url);
  let lives = 0;
  const workers: Worker[] = [];
  const spawn = (ends: ApiEnds) => {
    lives += 1;
    const { port1: control, port2 } = new MessageChannel();
    const worker = new Worker(file, {
      workerData: { ports: ends, control: port2, life: lives },
      transferList: [port2, ends.main, ...ends.conversations, ...ends.voices],
    });
    workers.push(worker);
    return { name: 'api' as const, worker, control };
  };
  const happened = new EventEmitter();
  const born = beget(2, spawn);
  const greeted: number[] = [];
  const lanes = born.conversations.map(
    (port) =>
      new RenewablePort<never, { life: number }>(port, ({ life }) => {
        greeted.push(life);
        happened.emit('greeted');
      }),
  );
  const drop = (ports: readonly MessagePort[]) => {
    for (const port of ports) port.close();
  };
  drop(born.voices);
  const api = new ApiThread(
    born,
    spawn,
    { delayMs: 1, max: 2, windowMs: 60_000 },
    (conversations, voices) => {
      drop(voices);
      for (const [index, lane] of lanes.entries()) lane.renew(conversations[index]!);
      happened.emit('relinked');
    },
    {
      onMessage: (message) => happened.emit('message', message),
      onDeath: (error, restartsInMs) => happened.emit('death', error, restartsInMs),
    },
  );
  t.teardown(async () => {
    api.stop();
    api.close();
    for (const lane of lanes) lane.close();
    await Promise.all(workers.map((worker) => worker.terminate()));
  });
  const ask = (path: string): ToApiFromMain => ({
    type: 'http',
    id: 1,
    method: 'GET',
    path,
    query: '',
    headers: {},
    body: new Uint8Array(8),
  });
  const answered = async () => ((await once(happened, 'message')) as [{ status: number }])[0].status;

  const body = new Uint8Array(8);
  const reply = answered();
  t.ok(api.send({ ...ask('/'), body } as HttpAsk));
  t.equal(body.byteLength, 0, 'the body was given away');
  t.equal(await reply, 1);
  for (const life of [2, 3]) {
    const death = once(happened, 'death');
    const relinked = once(happened, 'relinked');
    api.send(ask('/die'));
    const [error, restartsInMs] = (await death) as [Error, number];
    t.equal(error.message, 'told to die');
    t.equal(restartsInMs, 1);
    t.equal(api.send(ask('/')), false, 'nobody is there for a moment');
    await relinked;
    const next = answered();
    t.ok(api.send(ask('/')));
    t.equal(await next, life);
  }
  while (greeted.length < 6) await once(happened, 'greeted');
  t.same(greeted.sort(), [1, 1, 2, 2, 3, 3], 'every lane was linked to each of them');
  const last = once(happened, 'death');
  api.send(ask('/die'));
  t.equal(((await last) as [Error, number | undefined])[1], undefined, 'then it is given up');
  t.equal(api.current, undefined);
  t.equal(receiveMessageOnPort(born.main), undefined);
});

test('the store, as main knows it: said when it cannot be used and when it can again, not each time that it is tried', (t) => {
  const news: string[] = [];
  const watch = new StoreWatch((line) => news.push(line));
  t.same(watch.state, { status: 'opening' });
  watch.told({ type: 'store', isOpen: true, reason: '' });
  t.same([watch.state, news], [{ status: 'open' }, []], 'as it should be');
  watch.lost();
  t.same(watch.state, { status: 'opening' });
  for (let attempt = 0; attempt < 3; attempt++) watch.told({ type: 'store', isOpen: false, reason: 'EACCES.' });
  t.same(watch.state, { status: 'unavailable', reason: 'EACCES.' });
  watch.told({ type: 'store', isOpen: true, reason: '' });
  t.match(news, [/^THE STORE CANNOT BE USED: EACCES\. Calls work/, /open now/]);
  t.equal(news.length, 2);
  t.end();
});
