/** Rows about callers and the door: what is sent that should not be, lines that fail, and who is not let in. */
import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Beat } from '../beat.js';
import { Caller } from '../caller.js';
import { SlowSocket, slowKinds } from '../hostile/slow.js';
import { CallerVoice } from '../rig/phrases.js';
import { addressOf, BadLine } from './line.js';
import { type Bench, type Group, must, type Row, seen, sentence } from './row.js';

const chunkOf = (durationMs: number, rateHz = 16_000): string =>
  JSON.stringify({ user_audio_chunk: Buffer.alloc((durationMs * rateHz * 2) / 1000).toString('base64') });

/** Sends `message` until the call ends or `times` are over; how the call ended. */
async function endedBy(bench: Bench, message: unknown, times = 1): Promise<string> {
  const client = await bench.begin();
  for (let count = 0; count < times; count++) client.send(message);
  const { code, reason } = await client.ended(5000);
  return `${code} "${reason}"`;
}

/** Sends `message`; the error event, and whether the call goes on. */
async function warnedBy(bench: Bench, ...messages: readonly unknown[]): Promise<string> {
  const client = await bench.begin();
  for (const message of messages) client.send(message);
  const error = await client.event('error');
  const turn = await client.ask('Are you there?');
  must(turn.text === sentence, 'the call does not go on');
  const count = client.of('error').length;
  await client.close();
  return `${String(error['error_type'])} "${String(error['message'])}"${count > 1 ? ` ${count} times` : ' once'}`;
}

const isOnce = (observed: string, pattern: RegExp): string =>
  seen(pattern.test(observed) && observed.endsWith(' once'), observed);

const callerRows: readonly Row[] = [
  {
    what: 'control message above 128 KiB',
    promised: 'close 1008',
    run: async (bench) => {
      const observed = await endedBy(bench, { type: 'user_message', text: 'x'.repeat(130 * 1024) });
      return seen(observed.startsWith('1008'), observed);
    },
  },
  {
    what: 'audio message above 128 KiB',
    promised: 'dropped, error once, the call goes on',
    run: async (bench) => {
      const large = { user_audio_chunk: Buffer.alloc(130 * 1024).toString('base64') };
      return isOnce(await warnedBy(bench, large, large), /invalid_message|value_error/);
    },
  },
  {
    what: '100 messages above 1 MiB',
    promised: 'cut with 1006, memory flat',
    run: async (bench) => {
      const cost = (): number => bench.stack.engineCost().residentMb;
      const large = Buffer.alloc(1024 * 1024 + 1, 0x20).toString();
      const send = async (): Promise<number> => {
        const client = await bench.begin();
        client.send(large);
        return (await client.ended()).code;
      };
      for (let count = 0; count < 10; count++) await send();
      const before = cost();
      const codes = new Set<number>();
      for (let count = 0; count < 100; count++) codes.add(await send());
      const growthMb = Math.round(cost() - before);
      return seen(
        codes.size === 1 && codes.has(1006) && growthMb < 40,
        `${[...codes]}, memory ${growthMb >= 0 ? '+' : ''}${growthMb} MB`,
      );
    },
  },
  {
    what: 'JSON that is broken, or deeper than 32',
    promised: 'error invalid_message once; 1008 after ten',
    run: async (bench) => {
      const once = isOnce(await warnedBy(bench, '{"type":', '['.repeat(64_000)), /^invalid_message/);
      const observed = await endedBy(bench, '{nonsense', 12);
      return seen(observed.startsWith('1008'), `${once}; then ${observed}`);
    },
  },
  {
    what: 'known type with a wrong field',
    promised: 'error naming the field, the call goes on',
    run: async (bench) => isOnce(await warnedBy(bench, { type: 'user_message', text: 7 }), /text/),
  },
  {
    what: 'unknown type, __proto__, 1e999, lone surrogates',
    promised: 'no harm, the call goes on',
    run: async (bench) => {
      const client = await bench.begin();
      client.send({ type: 'from_the_future', event: { a: 1 } });
      client.send('{"type":"user_activity","__proto__":{"x":1},"constructor":{"y":1e999}}');
      client.send('{"type":"contextual_update","text":"\\ud800 \\udfff"}');
      const turn = await client.ask('Are you there?');
      await client.close();
      return seen(turn.text === sentence, `answered, ${client.of('error').length} errors`);
    },
  },
  {
    what: 'base64 that is broken',
    promised: 'error once; 1008 after twenty',
    run: async (bench) => {
      const once = isOnce(await warnedBy(bench, { user_audio_chunk: '***' }, { user_audio_chunk: '' }), /value_error/);
      const observed = await endedBy(bench, { user_audio_chunk: '***' }, 25);
      return seen(observed.startsWith('1008'), `${once}; then ${observed}`);
    },
  },
  {
    what: 'binary frame',
    promised: 'close 1008',
    run: async (bench) => {
      const observed = await endedBy(bench, new Uint8Array(100));
      return seen(observed.startsWith('1008'), observed);
    },
  },
  {
    what: 'another sample rate than agreed',
    promised: 'error once, naming both',
    run: async (bench) => {
      const client = await bench.begin();
      const startedAtMs = performance.now();
      let sentMs = 0;
      const sender = setInterval(() => {
        for (; sentMs < performance.now() - startedAtMs; sentMs += 20) client.send(chunkOf(20, 24_000));
      }, 20);
      const error = await client.event('error').finally(() => clearInterval(sender));
      await client.close();
      return seen(error['message'] === '24 kHz audio sent, 16 kHz expected.', String(error['message']));
    },
  },
  {
    what: 'flood: a minute of audio at once',
    promised: 'excess dropped, error once, the call goes on',
    run: async (bench) => isOnce(await warnedBy(bench, ...Array.from({ length: 60 }, () => chunkOf(1000))), /excess is dropped/),
  },
  {
    what: 'line with 0 to 800 ms of jitter',
    promised: 'understood as without',
    run: async (bench) => {
      const phrase = (await CallerVoice.load()).phrase('where', 'Where are they?');
      await bench.stack.simulator!.registerClips([phrase.registration]);
      const line = await BadLine.start(addressOf(bench.stack.url), 800);
      try {
        const caller = await Caller.connect({ url: line.url, beat: new Beat() });
        caller.say(phrase.clip, caller.nowMs + 200);
        const heard = await caller.waitFor(() => caller.events.find((event) => event.type === 'user_transcript'), 10_000);
        await caller.hangUp();
        const text = JSON.stringify(heard?.details ?? 'nothing');
        return seen(/where are they/i.test(text), /"user_transcript":"([^"]*)"/.exec(text)?.[1] ?? text);
      } finally {
        line.close();
      }
    },
  },
  {
    what: 'caller reads too slowly',
    promised: 'close 1002 with the reason, which arrives',
    run: async (bench) => {
      await bench.stack.simulator!.override({ tokensPerSecond: 0 });
      await bench.stack.simulator!.addAnswers([{ match: 'everything', text: 'All of it, once more. '.repeat(600) }]);
      const client = await bench.begin('default', { conversation_config_override: { conversation: { text_only: true } } });
      client.socket.pause();
      const asker = setInterval(() => client.send({ type: 'user_message', text: 'Tell me everything.' }), 200);
      const slow = (): Promise<number> => bench.metric('parley_errors_total', 'error_type="slow"');
      await bench.until('the engine gives up', async () => (await slow()) > 0, 30_000).finally(() => clearInterval(asker));
      client.socket.resume();
      const { code, reason } = await client.ended();
      return seen(code === 1002 && /too slow/.test(reason), `${code} "${reason}"`);
    },
  },
  {
    what: 'caller hangs up, or drops the line, in the middle of an answer',
    promised: 'the place is free at once',
    run: async (bench) => {
      const free = await bench.free();
      const clients = await Promise.all([bench.begin(), bench.begin()]);
      for (const client of clients) await client.firstAudio(await client.ask('Tell me.'));
      clients[0]!.socket.close(1000);
      clients[1]!.socket.terminate();
      const tookMs = await bench.until('places free', async () => (await bench.free()) === free, 2000);
      return `free after ${tookMs} ms`;
    },
  },
  {
    what: 'unknown agent',
    promised: 'closed with a reason before any event',
    run: async (bench) => {
      const client = await bench.open('nobody');
      const { code, reason } = await client.ended();
      return seen(client.received.length === 0 && code !== 1006, `${code} "${reason}"`);
    },
  },
  {
    what: 'HTTP body above its limit',
    promised: '413',
    run: async (bench) => {
      const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: 'x'.repeat(2 * 1024 * 1024) };
      const { status } = await fetch(`${bench.http}/v1/convai/agents/create`, init);
      return seen(status === 413, `${status}`);
    },
  },
];

const silentRows: readonly Row[] = [
  {
    what: 'caller vanishes without a sign',
    promised: 'the place is free within 36 s',
    run: async (bench) => {
      const free = await bench.free();
      const line = await BadLine.start(addressOf(bench.stack.url), 0);
      try {
        const caller = await Caller.connect({ url: line.url, beat: new Beat() });
        await wait(500);
        line.die();
        const tookMs = await bench.until('the place is free', async () => (await bench.free()) === free, 40_000);
        must(caller.closed === undefined, 'the caller was told');
        return seen(tookMs <= 36_000, `free after ${(tookMs / 1000).toFixed(1)} s`);
      } finally {
        line.close();
      }
    },
  },
];

const doorRows: readonly Row[] = [
  {
    what: 'slow handshakes, headers and bodies',
    promised: 'cut within 15 s; a call is taken meanwhile',
    run: async (bench) => {
      const address = addressOf(bench.stack.url);
      const startedAtMs = performance.now();
      const ended: string[] = [];
      const sockets = slowKinds
        .filter(({ name }) => name !== 'frame without an end')
        .map(
          (kind) =>
            new SlowSocket(kind, address, () =>
              ended.push(`${kind.name} ${((performance.now() - startedAtMs) / 1000).toFixed(0)} s`),
            ),
        );
      const ticker = setInterval(() => {
        for (const socket of sockets) socket.tick();
      }, 500);
      const client = await bench.begin();
      await bench.until('all cut', () => ended.length === sockets.length, 20_000).finally(() => clearInterval(ticker));
      const { text } = await client.ask('Are you there?');
      await client.close();
      for (const socket of sockets) socket.drop();
      const tookMs = performance.now() - startedAtMs;
      return seen(text === sentence && tookMs < 16_000, ended.join(', '));
    },
  },
  {
    what: 'HTTP body that never comes',
    promised: '408 or cut within 12 s',
    run: async (bench) => {
      const startedAtMs = performance.now();
      const answer = await new Promise<string>((resolve) => {
        const options = { method: 'POST', headers: { 'content-length': '100', 'content-type': 'application/json' } };
        const asking = request(`${bench.http}/v1/convai/agents/create`, options, (response) => resolve(`${response.statusCode}`));
        asking.on('error', () => resolve('cut'));
        asking.write('{');
      });
      const seconds = (performance.now() - startedAtMs) / 1000;
      return seen(/408|cut/.test(answer) && seconds < 14, `${answer} after ${seconds.toFixed(1)} s`);
    },
  },
  {
    what: 'all places taken',
    promised: '503 capacity with Retry-After; /readyz 503; free again at once',
    run: async (bench) => {
      const clients = await Promise.all(Array.from({ length: await bench.free() }, () => bench.begin()));
      const refusal = await bench.refusal();
      const { status } = await bench.status('/readyz');
      await Promise.all(clients.map((client) => client.close()));
      await bench.until('a call is taken', async () => (await bench.refusal()) === 'accepted', 2000);
      return seen(/^503 capacity Retry-After \d/.test(refusal) && status === 503, `${refusal}; /readyz ${status}`);
    },
  },
];

/** Starts the engine where it must not start; its status and what it said. */
function startOf(environment: Readonly<Record<string, string>>, before: string): Promise<{ status: number; said: string }> {
  const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
  const child = spawn('/bin/sh', ['-c', `${before} exec "$0" "$1"`, process.execPath, main], {
    env: { ...process.env, PARLEY_STORE: 'memory', PARLEY_PORT: '0', ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  return new Promise((resolve) => {
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve({ status: code ?? -1, said: said.trim().split('\n')[0] ?? '' });
    });
  });
}

const startRows: readonly Row[] = [
  {
    what: 'too few open files allowed for the calls',
    promised: 'does not start, exit 1 with the sum',
    run: async () => {
      const { status, said } = await startOf({ PARLEY_SESSIONS_MAX: '200' }, 'ulimit -n 256;');
      return seen(status === 1 && /\d+ calls × \d sockets \+ 256 = \d+/.test(said), `exit ${status}: ${said}`);
    },
  },
  {
    what: 'setting out of its range',
    promised: 'does not start, exit 1 with name and range',
    run: async () => {
      const { status, said } = await startOf({ PARLEY_SESSIONS_MAX: '0' }, '');
      return seen(status === 1 && /PARLEY_SESSIONS_MAX="0".*1\.\.4096/.test(said), `exit ${status}: ${said}`);
    },
  },
];

export const callerGroups: readonly Group[] = [
  { title: 'callers', options: { sessionsMax: 32 }, hasBeside: true, rows: callerRows },
  { title: 'dead line', options: {}, hasBeside: false, rows: silentRows },
  { title: 'door', options: { sessionsMax: 4 }, hasBeside: true, rows: doorRows },
  { title: 'start', options: {}, hasBeside: false, rows: startRows },
];
