/**
 * Stands between the engine and the simulated providers, hands everything on as it is and remembers what the engine asked: paths, bodies, and
 * messages of synthesis sockets.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';

export type Witnessed = { readonly path: string; readonly body: string };

export class Witness {
  readonly seen: Witnessed[] = [];
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #upstreams = new Set<WebSocket>();
  readonly #target: Promise<string>;
  /** Tells where the providers are: `http://host:port`. Requests wait for it. */
  standBefore: (target: string) => void = () => undefined;

  static async start(): Promise<Witness> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Witness(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.#target = new Promise((resolve) => {
      this.standBefore = resolve;
    });
    server.on('request', (asked: IncomingMessage, answer: ServerResponse) => void this.#forward(asked, answer));
    server.on('upgrade', (asked, socket, head) =>
      this.#sockets.handleUpgrade(asked, socket, head, (near) => void this.#join(asked, near)),
    );
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What was asked at paths that hold `part`. */
  at(part: string): Witnessed[] {
    return this.seen.filter(({ path }) => path.includes(part));
  }

  async close(): Promise<void> {
    for (const socket of [...this.#upstreams, ...this.#sockets.clients]) socket.terminate();
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #forward(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const path = asked.url ?? '/';
    const parts: Buffer[] = [];
    asked.on('data', (part: Buffer) => parts.push(part));
    await once(asked, 'end');
    const body = Buffer.concat(parts);
    this.seen.push({ path, body: body.toString('latin1') });
    const upstream = request(`${await this.#target}${path}`, { method: asked.method, headers: asked.headers });
    upstream.on('response', (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    upstream.on('error', () => answer.destroy());
    answer.on('close', () => upstream.destroy());
    upstream.end(body);
  }

  async #join(asked: IncomingMessage, near: WebSocket): Promise<void> {
    const path = asked.url ?? '/';
    const headers = Object.fromEntries(Object.entries(asked.headers).filter(([name]) => /^(?:xi-|authorization)/.test(name)));
    const early: string[] = [];
    let far: WebSocket | undefined;
    near.on('message', (data) => {
      const body = data.toString();
      this.seen.push({ path, body });
      if (far?.readyState === WebSocket.OPEN) far.send(body);
      else early.push(body);
    });
    const target = (await this.#target).replace(/^http/, 'ws');
    far = this.#connect(`${target}${path}`, headers as Record<string, string>, early, near);
  }

  #connect(address: string, headers: Record<string, string>, early: string[], near: WebSocket): WebSocket {
    const far = new WebSocket(address, { headers });
    this.#upstreams.add(far);
    far.on('open', () => {
      for (const body of early.splice(0)) far.send(body);
    });
    far.on('message', (data) => near.send(data.toString()));
    far.on('close', () => {
      this.#upstreams.delete(far);
      near.close();
    });
    near.on('close', () => far.close());
    far.on('error', () => near.terminate());
    near.on('error', () => far.terminate());
    return far;
  }
}
