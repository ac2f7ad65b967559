/**
 * The hostile side of `load/hostile.ts`, on a thread of its own so that it does not make the good callers late: keeps sockets open, sends on an
 * absolute schedule whatever the engine does, and replaces what the engine ends.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { randomOf } from '../providers/seeded.js';
import { bytesOf, firstFrame, kindOf, kinds } from './messages.js';
import { SlowSocket, slowKinds } from './slow.js';
import { type Address, HostileSocket } from './socket.js';

export type SenderStart = {
  readonly address: Address;
  readonly perSecond: number;
  readonly sockets: number;
  readonly slowSockets: number;
  readonly seed: number;
};

export type Tally = {
  readonly seconds: number;
  readonly sent: number;
  /** Messages that were due while no socket was open. */
  readonly unsent: number;
  readonly byKind: Readonly<Record<string, number>>;
  /** How connections ended: close code, HTTP status, `cut`, `no answer`. */
  readonly endings: Readonly<Record<string, number>>;
  readonly opened: number;
  /** Slow connections that the engine ended, by kind. */
  readonly slowEnded: Readonly<Record<string, number>>;
};

const tickMs = 10;
/** Refused or ended: the next connection is opened this much later. */
const reopenMs = 20;
/** Some of the slow ones are refused at their first bytes. */
const slowReopenMs = 250;
const slowTickMs = 500;
/** A socket with more than this unsent is passed over. */
const waitingMax = 4 * 1024 * 1024;

const start = workerData as SenderStart;
const random = randomOf(start.seed, 'hostile');
const byKind: Record<string, number> = Object.fromEntries(kinds.map(({ name }) => [name, 0]));
const endings: Record<string, number> = {};
const slowEnded: Record<string, number> = {};
const sockets: HostileSocket[] = [];
const slow: SlowSocket[] = [];
let isOver = false;
let sent = 0;
let unsent = 0;
let opened = 0;
let turn = 0;

function open(index: number): void {
  if (isOver) return;
  const socket: HostileSocket = new HostileSocket(
    start.address,
    () => {
      opened += 1;
      const first = firstFrame(random);
      if (first !== undefined) socket.send(bytesOf(first));
    },
    ({ how }) => {
      endings[how] = (endings[how] ?? 0) + 1;
      setTimeout(() => open(index), reopenMs);
    },
  );
  sockets[index] = socket;
}

function openSlow(index: number): void {
  if (isOver) return;
  const kind = slowKinds[index % slowKinds.length]!;
  slow[index] = new SlowSocket(kind, start.address, () => {
    slowEnded[kind.name] = (slowEnded[kind.name] ?? 0) + 1;
    setTimeout(() => openSlow(index), slowReopenMs);
  });
}

/** One message on the next socket that is open. */
function sendOne(): void {
  for (let tries = 0; tries < sockets.length; tries++) {
    turn = (turn + 1) % sockets.length;
    const socket = sockets[turn]!;
    if (!socket.isOpen || socket.waitingBytes > waitingMax) continue;
    const kind = kindOf(random);
    socket.send(bytesOf(kind.make(random)));
    byKind[kind.name] = byKind[kind.name]! + 1;
    sent += 1;
    return;
  }
  unsent += 1;
}

for (let index = 0; index < start.sockets; index++) open(index);
for (let index = 0; index < start.slowSockets; index++) openSlow(index);

const startedAtMs = performance.now();
const ticker = setInterval(() => {
  const due = Math.floor(((performance.now() - startedAtMs) * start.perSecond) / 1000);
  while (sent + unsent < due) sendOne();
}, tickMs);
const slowTicker = setInterval(() => {
  for (const socket of slow) socket.tick();
}, slowTickMs);

parentPort!.once('message', () => {
  isOver = true;
  clearInterval(ticker);
  clearInterval(slowTicker);
  const seconds = (performance.now() - startedAtMs) / 1000;
  for (const socket of sockets) socket.drop();
  for (const socket of slow) socket.drop();
  parentPort!.postMessage({ seconds, sent, unsent, byKind, endings, opened, slowEnded } satisfies Tally);
});
