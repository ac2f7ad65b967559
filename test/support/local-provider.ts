/** A provider on this machine for tests of adapters: keeps what it was sent, and answers as the test says. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export type Received = {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Connections are counted from 1. */
  readonly connection: number;
  readonly socket: Socket;
  /** When the connection is closed, by whichever side. */
  readonly closed: Promise<unknown>;
};

export type Answer = (response: ServerResponse, request: Received) => void;

export class LocalProvider {
  readonly received: Received[] = [];
  /** Answers of the next requests, in order; the last one stays. */
  answers: Answer[];
  connections = 0;
  readonly #server: Server;
  readonly #numbers = new Map<Socket, number>();
  #waiting: { count: number; resolve: () => void }[] = [];

  private constructor(answers: Answer[]) {
    this.answers = answers;
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const { socket } = request;
        const one: Received = {
          method: request.method ?? '',
          path: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(parts),
          connection: this.#numbers.get(socket)!,
          socket,
          closed: new Promise((resolve) => (socket.destroyed ? resolve(undefined) : socket.once('close', resolve))),
        };
        this.received.push(one);
        for (const waiter of this.#waiting) if (waiter.count <= this.received.length) waiter.resolve();
        this.#waiting = this.#waiting.filter((waiter) => waiter.count > this.received.length);
        const answer = this.answers.length > 1 ? this.answers.shift()! : this.answers[0]!;
        answer(response, one);
      });
    });
    this.#server.on('connection', (socket) => {
      this.connections += 1;
      this.#numbers.set(socket, this.connections);
      socket.setNoDelay(true);
      socket.on('error', () => socket.destroy());
    });
  }

  static async open(...answers: Answer[]): Promise<LocalProvider> {
    const provider = new LocalProvider(answers);
    provider.#server.listen(0, '127.0.0.1');
    await once(provider.#server, 'listening');
    return provider;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The request number `count`, counted from 1, as soon as it is there. */
  async request(count: number): Promise<Received> {
    if (this.received.length < count) await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
    return this.received[count - 1]!;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Answer {
  return (response) => response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

/** Takes the request and never answers. */
export const silence: Answer = () => undefined;

/** Closes the connection instead of an answer. */
export const hangUp: Answer = (_response, request) => request.socket.destroy();
