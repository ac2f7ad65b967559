/** The simulated providers as a whole: delays, faults, the log, and the process itself. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import Groq from 'groq-sdk';
import { test } from 'tap';
import { byteCutting, type Fault, FaultBook, withFault } from '../load/providers/faults.js';
import { Dealer, profiles } from '../load/providers/profile.js';
import { Schedule } from '../load/providers/schedule.js';
import { randomOf } from '../load/providers/seeded.js';
import { startProviders } from '../load/providers/server.js';
import { type Played, play, timetableOf } from '../load/providers/timetable.js';
import { nowMs } from '../src/shared/clock.js';
import { control, failureOf, groqAt, multi, SocketClient, started, until, wavOf } from './support/provider-clients.js';

test('faults of HTTP answers', async (t) => {
  const { url, services } = await started(t);
  const ask = (): Promise<string | null> =>
    groqAt(url)
      .chat.completions.create({ model: 'llama-3.1-8b-instant', messages: [{ role: 'user', content: 'hello' }] })
      .then((answer) => answer.choices[0]!.message.content);
  const stream = async (): Promise<{ text: string; finish: string | undefined }> => {
    let text = '';
    let finish: string | undefined;
    const chunks = await groqAt(url).chat.completions.create({
      model: 'llama-3.1-8b-instant',
      messages: [{ role: 'user', content: 'hello' }],
      stream: true,
    });
    for await (const chunk of chunks) {
      text += chunk.choices[0]?.delta?.content ?? '';
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    return { text, finish };
  };
  const inject = (fault: object): Promise<unknown> => control(url, 'POST', 'faults', { endpoint: 'llm', ...fault });
  const whole = await stream();

  await inject({ kind: 'status', status: 429, retryAfterSeconds: 7 });
  const limited = await failureOf(ask());
  t.ok(limited instanceof Groq.RateLimitError);
  t.equal((limited as InstanceType<typeof Groq.APIError>).headers?.get('retry-after'), '7');
  await inject({ kind: 'status', status: 500 });
  t.match(await failureOf(ask()), { status: 500 });
  t.equal(await ask(), whole.text, 'once only');

  await inject({ kind: 'refuse' });
  t.ok((await failureOf(ask())) instanceof Groq.APIConnectionError);
  await inject({ kind: 'garbage' });
  t.ok((await failureOf(ask())) instanceof SyntaxError);
  await inject({ kind: 'garbage' });
  t.ok((await failureOf(stream())) instanceof SyntaxError);
  for (const position of ['first', 'middle', 'last']) {
    await inject({ kind: 'close', position });
    await t.rejects(ask(), `closed at the ${position} byte`);
    await inject({ kind: 'close', position });
    await t.rejects(stream(), `stream closed at the ${position} byte`);
    await inject({ kind: 'stall', position, ms: 60 });
    const fromMs = nowMs();
    t.equal(await ask(), whole.text);
    t.ok(nowMs() - fromMs >= 59, `stalled at the ${position} byte`);
  }
  await inject({ kind: 'drip', bytes: 40, ms: 0.1 });
  t.equal((await stream()).text, whole.text, 'dripped');
  await inject({ kind: 'missing_done' });
  t.same(await stream(), whole, 'the SDK does not need [DONE]');
  await inject({ kind: 'empty_delta' });
  t.equal((await stream()).text, whole.text);
  await inject({ kind: 'cut_sentence' });
  const cut = await stream();
  t.ok(whole.text.startsWith(cut.text) && cut.text.length < whole.text.length && cut.finish === 'length');
  await inject({ kind: 'phantom_words', text: 'Thank you.', endpoint: 'stt' });
  const heard = await groqAt(url).audio.transcriptions.create({ file: wavOf(new Int16Array(8000)), model: 'whisper-large-v3' });
  t.equal(heard.text, ' Thank you.', 'a hallucination');

  await inject({ kind: 'status', probability: 0.5, status: 503 });
  const outcomes = await Promise.all(
    Array.from({ length: 60 }, () =>
      ask().then(
        () => 200,
        (error: { status: number }) => error.status,
      ),
    ),
  );
  const failed = outcomes.filter((status) => status === 503).length;
  t.ok(failed > 15 && failed < 45, `${failed} of 60 failed`);
  await control(url, 'DELETE', 'faults');
  t.equal(services.faults.size, 0);
  t.match(await control(url, 'POST', 'faults', { endpoint: 'llm', kind: 'nonsense' }), { httpStatus: 400 });

  // A caller that gives up is seen to have given up.
  await inject({ kind: 'stall', position: 'first', ms: 60_000 });
  const abort = new AbortController();
  const pending = groqAt(url).chat.completions.create(
    { model: 'llama-3.1-8b-instant', messages: [{ role: 'user', content: 'x' }] },
    { signal: abort.signal },
  );
  const failure = failureOf(pending.then());
  await until(() => services.journal.entries().at(-1)?.fault === 'stall');
  abort.abort();
  t.ok((await failure) instanceof Groq.APIUserAbortError);
  await until(() => services.journal.entries().at(-1)?.isAborted === true);
  t.pass('noted as aborted');
});

test('faults rewrite timetables without losing or inventing a byte', (t) => {
  const pieces = fc.array(fc.tuple(fc.nat(1000), fc.uint8Array({ minLength: 1, maxLength: 50 })), { minLength: 1, maxLength: 8 });
  const positions = fc.constantFrom('first' as const, 'middle' as const, 'last' as const);
  const joined = (parts: readonly { data: Buffer }[]): string => Buffer.concat(parts.map((part) => part.data)).toString('hex');
  fc.assert(
    fc.property(
      pieces,
      positions,
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 9 }),
      (list, position, ms, bytes) => {
        let atMs = 0;
        const timetable = timetableOf(
          list.map(([gapMs, data]): { atMs: number; data: Buffer } => ({ atMs: (atMs += gapMs), data: Buffer.from(data) })),
        );
        const all = joined(timetable.pieces);
        const apply = (fault: Omit<Fault, 'endpoint'>): typeof timetable =>
          withFault(timetable, { endpoint: 'llm', ...fault }, byteCutting);
        const inOrder = (given: typeof timetable): boolean =>
          given.pieces.every((piece, index) => piece.atMs >= (given.pieces[index - 1]?.atMs ?? 0)) &&
          given.endAtMs >= (given.pieces.at(-1)?.atMs ?? 0);

        const stalled = apply({ kind: 'stall', position, ms });
        const closed = apply({ kind: 'close', position });
        const dripped = apply({ kind: 'drip', bytes, ms });
        return (
          joined(stalled.pieces) === all &&
          inOrder(stalled) &&
          stalled.endAtMs === timetable.endAtMs + ms &&
          (position !== 'first' || stalled.pieces[0]!.atMs === timetable.pieces[0]!.atMs + ms) &&
          closed.ending === 'cut' &&
          all.startsWith(joined(closed.pieces)) &&
          joined(closed.pieces).length < all.length &&
          (position !== 'last' || joined(closed.pieces).length === all.length - 2) &&
          (position !== 'first' || closed.pieces.length === 0) &&
          joined(dripped.pieces) === all &&
          inOrder(dripped) &&
          dripped.pieces.every((piece) => piece.data.length <= bytes)
        );
      },
    ),
  );
  const book = new FaultBook();
  book.add({ endpoint: '*', kind: 'refuse', skip: 1, times: 2 });
  const random = randomOf(1, 'book');
  t.same(
    (['stt', 'llm', 'tts_connect', 'speech', 'tts'] as const).map((endpoint) => book.take(endpoint, random)?.kind),
    [undefined, 'refuse', undefined, 'refuse', undefined],
    'let one through, hit two, spare upgrades',
  );
  t.end();
});

test('profiles: the delays have the promised medians and 95th percentiles, and depend on the seed alone', (t) => {
  const { reference, fast, slow, flaky } = profiles;
  const drawn = (seed: number): number[][] => {
    const dealer = new Dealer(reference, seed);
    return Array.from({ length: 8000 }, () => {
      const draws = dealer.deal('llm');
      return [draws.durationMs(reference.llmFirstToken), draws.uplinkMs, draws.downlinkMs];
    });
  };
  const quantile = (values: readonly number[], share: number): number =>
    [...values].sort((a, b) => a - b)[Math.floor(values.length * share)]!;
  const once = drawn(1);
  t.same(drawn(1), once);
  t.not(drawn(2)[0]![0], once[0]![0]);
  // As a client sees them: the network is a part of the figures.
  const tokens = once.map((draws) => draws[0]! + draws[1]! + draws[2]!);
  const links = once.map((draws) => draws[1]!);
  const near = (value: number, wanted: number): boolean => Math.abs(value - wanted) < wanted * 0.05;
  t.ok(near(quantile(tokens, 0.5), 350), `median ${quantile(tokens, 0.5)}`);
  t.ok(near(quantile(tokens, 0.95), 700), `p95 ${quantile(tokens, 0.95)}`);
  t.ok(Math.max(...tokens) <= 2100, 'bounded');
  t.ok(near(quantile(links, 0.5), 20) && quantile(links, 0.001) > 4 && quantile(links, 0.999) < 36);
  t.equal(fast.llmFirstToken.p50Ms, 210);
  t.equal(slow.tokensPerSecond, 40);

  const dealer = new Dealer(flaky, 1);
  const kinds = Array.from({ length: 20_000 }, () => dealer.deal('tts').fault?.kind);
  t.equal(kinds.filter((kind) => kind === 'close').length, 200, 'one connection in a hundred requests');
  const stalls = kinds.filter((kind) => kind === 'stall').length;
  t.ok(stalls > 140 && stalls < 260, `${stalls} of 20000 stall`);
  t.end();
});

test('the log tells the delays of the simulator from those of its user', async (t) => {
  const { url, services } = await started(t, { profile: 'fast', seed: 3 });
  const messages = [{ role: 'user' as const, content: 'hello' }];
  const sentAtMs = nowMs();
  const stream = await groqAt(url).chat.completions.create({ model: 'llama-3.1-8b-instant', messages, stream: true });
  let firstAtMs = 0;
  let tokens = 0;
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content) tokens += 1;
    if (tokens === 1) firstAtMs = nowMs();
  }
  const endAtMs = nowMs();
  const { log } = (await control(url, 'GET', 'log')) as unknown as {
    log: {
      endpoint: string;
      status: number;
      atMonotonicMs: Record<'received' | 'complete' | 'planned' | 'firstByte' | 'lastByte', number>;
    }[];
  };
  const at = log[0]!.atMonotonicMs;
  const order = [sentAtMs, at.received, at.complete, at.firstByte, at.lastByte];
  t.same(
    [...order].sort((a, b) => a - b),
    order,
    'one clock for both sides',
  );
  t.ok(at.firstByte >= at.planned - 0.6, 'never early');
  t.ok(at.planned - at.complete > 100, `${Math.round(at.planned - at.complete)} ms to the first token`);
  t.ok(firstAtMs >= at.firstByte && endAtMs >= at.lastByte);
  t.ok(at.lastByte > at.planned + (tokens - 1) * 7.4, 'no faster than 80 tokens a second, divided by 0.6');

  const client = await SocketClient.open(url, multi);
  client.send({ context_id: 'a', text: 'This takes a few seconds to say, and a fraction of that to make. ', flush: true });
  await until(() =>
    services.journal.entries().some((entry) => entry.endpoint === 'tts' && entry.atMonotonicMs.lastByte !== undefined),
  );
  const spoken = services.journal.entries().find((entry) => entry.endpoint === 'tts')!.atMonotonicMs;
  const audioMs = client.audioOf('a').length / 32;
  t.ok(spoken.planned! - spoken.received > 40, 'the first audio takes its time');
  t.ok(
    spoken.lastByte! - spoken.planned! > (audioMs - 400) / (8 / 0.6),
    'and the rest is not made faster than 13 times real time',
  );
  client.close();
  const set = await control(url, 'POST', 'profile', { profile: 'slow', seed: 8, overrides: { linkMs: 0 }, wordErrorRatio: 0.05 });
  t.match(set, { profile: { name: 'slow', linkMs: 0, linkDeviationMs: 10 }, seed: 8, wordErrorRatio: 0.05 });
});

test('a slow reader delays what follows and loses nothing', async (t) => {
  const schedule = new Schedule();
  t.teardown(() => schedule.close());
  const base = nowMs();
  const timetable = timetableOf([1, 2, 3, 4, 5].map((data) => ({ atMs: base + data, data })));
  const written: number[] = [];
  let refusals = 3;
  const played = await new Promise<Played>((resolve) => {
    const sink = {
      write: (data: number) => void written.push(data),
      isFull: () => written.length === 2 && (refusals -= 1) >= 0,
      end: () => void written.push(0),
      cut: () => t.fail('it was not to be cut'),
    };
    play(schedule, timetable, sink, resolve);
  });
  t.same(written, [1, 2, 3, 4, 5, 0]);
  t.equal(played.isWhole, true);
  t.ok(played.lastAtMs - base >= 17, 'it waited three times');
});

test('schedule: absolute instants, in order, from one timer', async (t) => {
  const schedule = new Schedule();
  t.teardown(() => schedule.close());
  const base = nowMs() + 5;
  const offsets = [9, 3, 3, 0, 7, -20, 12, 5];
  const ran: [number, number][] = [];
  await new Promise<void>((resolve) => {
    for (const [index, offset] of offsets.entries()) {
      schedule.at(base + offset, () => {
        ran.push([index, nowMs() - base - offset]);
        if (ran.length === offsets.length) resolve();
      });
    }
    schedule.cancel(schedule.at(base + 4, () => t.fail('cancelled')));
    t.equal(ran.length, 0, 'never inside the call');
  });
  t.same(
    ran.map(([index]) => index),
    [5, 3, 1, 2, 7, 4, 0, 6],
  );
  t.ok(
    ran.every(([, lateMs]) => lateMs >= -0.5),
    'never early',
  );
});

test('it says that it is simulated, starts from the command line, and leaves nothing behind', async (t) => {
  const main = fileURLToPath(new URL('../load/providers/main.js', import.meta.url));
  const child = spawn(
    process.execPath,
    [main, '--profile', 'instant', '--port', '0', '--faults', '{"endpoint":"llm","kind":"refuse"}'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  t.teardown(() => child.kill());
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  t.match(line.toString(), /^parley-simulated-providers: SIMULATED .*profile instant, seed 1/);
  const url = /http:\S+/.exec(line.toString())![0];
  const unknown = await fetch(`${url}/nowhere`);
  t.equal(unknown.status, 404);
  t.equal(unknown.headers.get('server'), 'parley-simulated-providers');
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  t.equal(code, 0, 'ends on SIGTERM');

  const refused = spawn(process.execPath, [main, '--profile', 'quick'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const [problem] = (await once(refused.stderr, 'data')) as [Buffer];
  const [failure] = await once(refused, 'exit');
  t.equal(failure, 1);
  t.match(problem.toString(), /--profile quick: one of reference, fast, slow, flaky, instant is needed/);

  const providers = await startProviders({ profile: 'instant' });
  await t.rejects(startProviders({ port: providers.port }), { code: 'EADDRINUSE' });
  const open = await SocketClient.open(providers.url, multi);
  await providers.close();
  t.equal((await open.closed).code, 1006, 'every connection is cut');
  await t.rejects(fetch(providers.url));
});
