/**
 * Clients that take their time: a handshake a few bytes at a time, one that never comes, a frame that never ends, a request body that drips. They cost
 * nothing but a connection each, as long as somebody ends them. Runs on the sender's thread.
 */
import { connect, type Socket } from 'node:net';
import { type Address, upgradeHead } from './socket.js';

export type SlowKind = {
  readonly name: string;
  /** Sent at once, */
  readonly head: (host: string) => string;
  /** this when the engine has answered, */
  readonly afterAnswer?: string;
  /** and this a few bytes per tick. */
  readonly drip: (host: string) => string;
};

/** A masked text frame that announces 100 KiB. */
const longFrameHead = '\x81\xff\x00\x00\x00\x00\x00\x01\x90\x00\x00\x00\x00\x00';

export const slowKinds: readonly SlowKind[] = [
  { name: 'handshake byte by byte', head: () => '', drip: upgradeHead },
  { name: 'half a handshake', head: (host) => upgradeHead(host).slice(0, 60), drip: () => '' },
  { name: 'connection without a word', head: () => '', drip: () => '' },
  {
    name: 'headers without an end',
    head: (host) => upgradeHead(host).slice(0, -2),
    drip: () => 'X-More: and more\r\n'.repeat(1000),
  },
  { name: 'frame without an end', head: upgradeHead, afterAnswer: longFrameHead, drip: () => '' },
  {
    name: 'body that drips',
    head: (host) =>
      `POST /v1/convai/agents/create HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{`,
    drip: () => ' '.repeat(5000),
  },
  { name: 'what is no HTTP', head: () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', drip: () => '\x00'.repeat(100) },
];

const bytesPerTick = 3;

export class SlowSocket {
  readonly kind: SlowKind;
  readonly #socket: Socket;
  #left: string;

  /** `onEnd`: the engine has ended it. */
  constructor(kind: SlowKind, address: Address, onEnd: () => void) {
    this.kind = kind;
    this.#left = kind.drip(address.host);
    this.#socket = connect({ ...address, noDelay: true });
    const head = kind.head(address.host);
    if (head !== '') this.#socket.write(head, 'latin1');
    this.#socket.once('data', () => this.#socket.write(kind.afterAnswer ?? '', 'latin1'));
    this.#socket.resume();
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.once('close', onEnd);
  }

  tick(): void {
    if (this.#left === '' || this.#socket.destroyed || this.#socket.connecting) return;
    this.#socket.write(this.#left.slice(0, bytesPerTick), 'latin1');
    this.#left = this.#left.slice(bytesPerTick);
  }

  drop(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }
}
