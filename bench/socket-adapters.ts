/**
 * Text frames through each socket adapter on loopback: 50 connections, each of which sends 1 KB, waits for its echo and sends again.
 * The clients are bare sockets with frames made beforehand, in a process of their own, so that the figures are the server's.
 * Not measured: TLS, a network, decoding, and what a paced call costs when nothing else is going on.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openSocketServer, type SocketLibrary } from '../src/server/open.js';
import type { Connection, SocketLimits } from '../src/server/port.js';
import { EngineError } from '../src/shared/errors.js';
import { medianOf } from './figures.js';

const connectionCount = 50;
const payloadBytes = 1024;
const warmUpMs = 500;
const measureMs = 2000;
const rounds = 3;

const limits: SocketLimits = {
  messageBytesMax: 1024 * 1024,
  bodyBytesMax: 1024 * 1024,
  bodyTimeoutMs: 10_000,
  bodiesBytesMax: 1024 * 1024,
  headerBytesMax: 16 * 1024,
  bufferedBytesMax: 1024 * 1024,
};

/** The clients' process: runs until it is told to stop. */
function runClients(port: number): void {
  const mask = Buffer.alloc(4); // all zero: the masked payload is the payload
  const lengthBytes = Buffer.from([payloadBytes >> 8, payloadBytes & 255]);
  const request = Buffer.concat([Buffer.from([0x81, 0x80 | 126]), lengthBytes, mask, Buffer.alloc(payloadBytes, 'x')]);
  const echoBytes = 4 + payloadBytes;
  for (let index = 0; index < connectionCount; index += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    socket.on('error', () => process.exit(1)); // the server is gone: nothing is left to do
    socket.write(
      'GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    socket.once('data', () => {
      let receivedBytes = 0;
      socket.on('data', (chunk) => {
        receivedBytes += chunk.length;
        if (receivedBytes < echoBytes) return;
        receivedBytes -= echoBytes;
        socket.write(request);
      });
      socket.write(request);
    });
  }
  process.on('message', () => process.exit(0));
}

type Figures = { readonly messagesPerSecond: number; readonly cpuUsPerMessage: number };

async function measure(library: SocketLibrary): Promise<Figures> {
  let messageCount = 0;
  type Session = { connection?: Connection };
  const server = await openSocketServer<Session>(
    library,
    {
      upgrade: () => ({ accept: true, protocol: undefined, session: {} }),
      opened(session, connection) {
        session.connection = connection;
      },
      message(session, bytes) {
        messageCount += 1;
        session.connection?.sendText(bytes);
      },
      pong: () => undefined,
      closed: () => undefined,
      http: () => ({ status: 404, body: '' }),
    },
    limits,
  );
  const port = await server.listen('127.0.0.1', 0);
  const clients: ChildProcess = fork(fileURLToPath(import.meta.url), ['clients', String(port)]);
  await new Promise((resolve) => setTimeout(resolve, warmUpMs));
  const before = { count: messageCount, cpu: process.cpuUsage(), atMs: performance.now() };
  await new Promise((resolve) => setTimeout(resolve, measureMs));
  const cpu = process.cpuUsage(before.cpu);
  const count = messageCount - before.count;
  const seconds = (performance.now() - before.atMs) / 1000;
  clients.send('stop');
  await once(clients, 'exit');
  await server.close();
  if (count === 0) throw new Error(`No message came through ${library}.`);
  return { messagesPerSecond: count / seconds, cpuUsPerMessage: (cpu.user + cpu.system) / count };
}

/** `json`: file for the medians of the rounds. */
async function main(json: string | undefined): Promise<void> {
  const all = new Map<SocketLibrary, Figures[]>();
  console.log(`Node ${process.versions.node}, ${cpus().length} × ${cpus()[0]?.model.trim()}`);
  console.log(
    `${connectionCount} connections, echo of ${payloadBytes} bytes of text, ${rounds} rounds of ${measureMs / 1000} s, in turn`,
  );
  const libraries: SocketLibrary[] = ['uws', 'ws'];
  for (let round = 0; round < rounds; round += 1) {
    for (const library of libraries) {
      try {
        const figures = await measure(library);
        const { messagesPerSecond, cpuUsPerMessage } = figures;
        all.set(library, [...(all.get(library) ?? []), figures]);
        console.log(
          `${library.padEnd(4)} ${Math.round(messagesPerSecond)} messages/s, ${cpuUsPerMessage.toFixed(1)} µs of CPU per message`,
        );
      } catch (error) {
        if (!(error instanceof EngineError && error.kind === 'missing')) throw error;
        console.log(`${library.padEnd(4)} ${error.message}`);
      }
    }
  }
  const rows = [...all].map(([library, figures]) => ({
    library,
    messagesPerSecond: medianOf(figures.map(({ messagesPerSecond }) => messagesPerSecond)),
    cpuUsPerMessage: medianOf(figures.map(({ cpuUsPerMessage }) => cpuUsPerMessage)),
  }));
  if (json !== undefined) writeFileSync(json, JSON.stringify({ rows }, null, 2));
}

if (process.argv[2] === 'clients') runClients(Number(process.argv[3]));
else await main(parseArgs({ options: { json: { type: 'string' } } }).values.json);
