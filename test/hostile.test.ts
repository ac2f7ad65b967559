/** The hostile client's own parts: its messages are what their names say, its frames are read by a socket library, and it sees how it was ended. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'tap';
import { WebSocketServer } from 'ws';
import { bytesOf, firstFrame, kindOf, kinds, opcodes } from '../load/hostile/messages.js';
import { SlowSocket, slowKinds } from '../load/hostile/slow.js';
import { HostileSocket, ServerFrames } from '../load/hostile/socket.js';
import { randomOf } from '../load/providers/seeded.js';
import { decodeAudioMessage } from '../src/wire/audio-in.js';
import { decodeClientMessage } from '../src/wire/decode.js';
import { judgeSize } from '../src/wire/limits.js';

const madeBy = (name: string, count = 60): Uint8Array[] => {
  const kind = kinds.find((each) => each.name === name)!;
  const random = randomOf(1, name);
  return Array.from({ length: count }, () => kind.make(random).payload);
};

test('messages are what their names say, and the same for the same seed', (t) => {
  const isRefused = (payload: Uint8Array): boolean => !decodeClientMessage(payload).ok;
  const into = new Uint8Array(128 * 1024);
  t.ok(madeBy('deep nesting').every(isRefused));
  t.ok(madeBy('broken JSON', 300).filter(isRefused).length > 200, 'a replaced byte may do no harm');
  t.ok(madeBy('wrong types', 300).filter(isRefused).length > 200, 'a field may be absent');
  t.ok(madeBy('unknown type').every((payload) => decodeClientMessage(payload).ok));
  t.ok(
    madeBy('prototype pollution').every((payload) => decodeClientMessage(payload).ok),
    'as ordinary names',
  );
  t.notOk('isAdmin' in {});
  t.ok(madeBy('bad base64').every((payload) => typeof decodeAudioMessage(payload, into) !== 'number'));
  t.ok(madeBy('odd bytes of audio').every((payload) => Number(decodeAudioMessage(payload, into)) % 2 === 1));
  t.equal(judgeSize(madeBy('control of 200 KiB', 1)[0]!, false), 'too_large');
  t.equal(judgeSize(madeBy('audio of 200 KiB', 1)[0]!, false), 'audio_too_large');
  t.ok(madeBy('message of 1.2 MB', 1)[0]!.length > 1024 * 1024);
  const drawn = (): string[] => {
    const random = randomOf(7, 'again');
    return Array.from({ length: 500 }, () => bytesOf(kindOf(random).make(random)).subarray(0, 64).toString('latin1'));
  };
  t.same(drawn(), drawn());
  const random = randomOf(3, 'kinds');
  const seen = new Set(Array.from({ length: 6000 }, () => kindOf(random).name));
  t.equal(seen.size, kinds.length, 'every kind comes up');
  t.end();
});

test('a proper frame is read by a socket library as it was meant, and an ending is seen', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const messages: Buffer[] = [];
  const payloads = [5, 125, 126, 4000, 65_535, 65_536].map((length) => Buffer.from('ab'.repeat(length)).subarray(0, length));
  server.on('connection', (socket) => {
    socket.on('message', (data: Buffer) => {
      messages.push(data);
      socket.send('x'.repeat(300 * messages.length));
      if (messages.length === payloads.length) socket.close(1008, 'enough');
    });
  });
  const ended = await new Promise<string>((resolve) => {
    const socket: HostileSocket = new HostileSocket(
      { host: '127.0.0.1', port },
      () => {
        for (const payload of payloads) socket.send(bytesOf({ opcode: opcodes.text, payload }));
      },
      ({ how }) => resolve(how),
    );
  });
  t.equal(ended, '1008');
  t.ok(messages.length === payloads.length && messages.every((message, index) => message.equals(payloads[index]!)));
  server.close();
});

test('a refusal is seen by its status', async (t) => {
  const server = createServer((socket) => socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const how = await new Promise<string>((resolve) => {
    new HostileSocket(
      { host: '127.0.0.1', port },
      () => undefined,
      (ending) => resolve(ending.how),
    );
  });
  t.equal(how, '503');
  server.close();
});

test('a close frame is found wherever the bytes are cut', (t) => {
  const frame = (opcode: number, payload: Buffer): Buffer => bytesOf({ opcode, payload, isUnmasked: true });
  const all = Buffer.concat([
    frame(opcodes.text, Buffer.alloc(30)),
    frame(opcodes.text, Buffer.alloc(300)),
    frame(opcodes.text, Buffer.alloc(70_000)),
    frame(opcodes.close, Buffer.from([0x03, 0xf0, 0x62])),
  ]);
  for (const size of [1, 2, 3, 7, 100, 1009, all.length]) {
    const frames = new ServerFrames();
    for (let at = 0; at < all.length; at += size) frames.push(all.subarray(at, at + size));
    t.equal(frames.closeCode, 1008, `cut every ${size} bytes`);
  }
  const silent = new ServerFrames();
  silent.push(frame(opcodes.close, Buffer.alloc(0)));
  t.equal(silent.closeCode, 1005);
  t.end();
});

test('slow clients drip, and tell when they are ended', async (t) => {
  const received: string[] = [];
  const server = createServer((socket) => {
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
      if (text.length < 12) return;
      received.push(text);
      socket.destroy();
    });
    socket.on('error', () => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = { host: '127.0.0.1', port: (server.address() as { port: number }).port };
  await new Promise<void>((resolve) => {
    const kind = slowKinds.find(({ name }) => name === 'handshake byte by byte')!;
    const ticker = setInterval(() => slow.tick(), 1);
    const slow = new SlowSocket(kind, address, () => {
      clearInterval(ticker);
      resolve();
    });
  });
  t.match(received[0], /^GET \/v1\/conv/);
  server.close();
});

test('half of hostile clients begin as they should', (t) => {
  const random = randomOf(2, 'first');
  const first = Array.from({ length: 300 }, () => firstFrame(random));
  const proper = first.filter((frame) => frame !== undefined && frame.payload.length < 1000);
  t.ok(proper.every((frame) => decodeClientMessage(frame!.payload).ok));
  t.ok(proper.length > 100 && proper.length < 200, `${proper.length} of 300`);
  t.end();
});
