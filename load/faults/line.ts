/** A bad line between a caller and the engine: late, with jitter, or dead without a word. Runs on the rig's thread. */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { randomOf } from '../providers/seeded.js';

export class BadLine {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;
  #isDead = false;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** `jitterMs`: what the caller sends arrives up to so much later, in order. */
  static async start(target: { host: string; port: number }, jitterMs: number): Promise<BadLine> {
    const random = randomOf(1, 'line');
    const server = createServer();
    const line = new BadLine(server);
    server.on('connection', (near) => {
      const far = connect({ ...target, noDelay: true });
      line.#sockets.add(near).add(far);
      let freeAtMs = 0;
      const waiting: Buffer[] = [];
      near.on('data', (data) => {
        if (line.#isDead) return;
        const atMs = performance.now();
        freeAtMs = Math.max(freeAtMs, atMs + random() * jitterMs);
        waiting.push(data);
        // Timers may fire in another order than they were set; the bytes may not.
        setTimeout(() => far.write(waiting.shift() ?? data), freeAtMs - atMs);
      });
      far.on('data', (data) => {
        if (!line.#isDead) near.write(data);
      });
      for (const socket of [near, far]) socket.on('error', () => socket.destroy());
      near.on('close', () => {
        if (!line.#isDead) far.destroy();
      });
      far.on('close', () => {
        if (!line.#isDead) near.destroy();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (typeof address === 'object' && address !== null) line.#port = address.port;
    return line;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}`;
  }

  /** Nothing goes through any more, and nobody is told. */
  die(): void {
    this.#isDead = true;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

export function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}
