/** Who knocks at a full engine counts only what it was truly told. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { WebSocketServer } from 'ws';
import { Knocker } from '../load/rig/knocker.js';

const refusal = JSON.stringify({ detail: { status: 'capacity', message: 'All places are taken.' } });

test('refusals are told apart: as documented, without Retry-After, another error, let in', async (t) => {
  const rooms = new WebSocketServer({ noServer: true });
  const doors = [
    `HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: ${refusal.length}\r\n\r\n${refusal}`,
    `HTTP/1.1 503 Service Unavailable\r\ncontent-length: ${refusal.length}\r\n\r\n${refusal}`,
    'HTTP/1.1 500 Internal Server Error\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n',
  ];
  let knocks = 0;
  const server = createServer();
  server.on('upgrade', (request, socket, head) => {
    const door = doors[knocks % (doors.length + 1)];
    knocks += 1;
    if (door === undefined) rooms.handleUpgrade(request, socket, head, () => undefined);
    else socket.end(door);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const knocker = new Knocker(new URL(`ws://127.0.0.1:${port}/v1/convai/conversation`), {}, 100);
  knocker.start();
  while (knocks < 8) await sleep(5);
  knocker.rest();
  const { count, refused, answers } = (await knocker.answers())!;
  t.equal(count, knocks);
  t.equal(refused, Math.ceil(count / 4));
  const { '503 capacity': full, '500 without a code': broken, 'let in': open, ...others } = answers;
  t.same(others, {});
  t.equal(full! + broken! + open!, count);
  t.equal(full, Math.ceil(count / 4) + Math.ceil((count - 1) / 4));
  t.equal(broken, Math.ceil((count - 2) / 4));
  t.equal(knocker.delays.totalCount, count);
  rooms.close();
  server.close();
});
