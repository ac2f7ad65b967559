/**
 * The connections to one provider, as a `fetch` for its SDK. Evented threads that host providers.
 *
 * Why not the built-in fetch: it closes a connection after 4 s without a request, and turns of a conversation are further apart, so nearly
 * every turn would pay for a new TLS handshake; that time can only be changed with the undici package. `node:http` keeps connections as
 * long as we say, follows no redirect, asks for no compression, and tells whether a connection was used before.
 */
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { type Duplex, Readable } from 'node:stream';
import { EngineError } from './errors.js';

export type KeepAliveOptions = {
  /** Connections to one host, busy and idle; a request beyond waits for one. */
  readonly socketsMax?: number;
  /** An idle connection is closed after this. Most providers keep theirs for a minute or more. */
  readonly idleMs?: number;
  /** Gives the connections in place of TCP and TLS ones: a run without a network has the other ends of them in its own process. */
  readonly connect?: Connect;
};

/** A new connection to wherever this option stands for. */
export type Connect = () => Duplex;

/** Since the start of this object. They only grow. */
export type ConnectionCounts = {
  /** Requests written, those written again included. */
  requests: number;
  /** Of those, on a connection that had carried another before. */
  reused: number;
  /** Requests written a second time because the idle connection they were given was just being closed by the other side. */
  resent: number;
};

/** Of an answer that is no success only this much is read: enough for its error code, and for the connection to be used again. */
const errorBodyBytesMax = 16_384;
const probeAfterMs = 15_000;

type Outgoing = {
  url: URL;
  method: string;
  headers: Record<string, string>;
  body: Uint8Array | undefined;
  signal: AbortSignal | undefined;
};

export class KeepAliveHttp {
  readonly counts: ConnectionCounts = { requests: 0, reused: 0, resent: 0 };
  /** For the `fetch` option of an SDK. Rejects with Node's own errors, which carry `code`. */
  readonly fetch: typeof globalThis.fetch;
  readonly #plain: http.Agent;
  readonly #secure: http.Agent;
  /** For a request on a connection of its own. */
  readonly #lone: () => http.Agent | false;
  #closed = false;

  constructor(options: KeepAliveOptions = {}) {
    const agent = {
      keepAlive: true,
      keepAliveMsecs: probeAfterMs,
      maxSockets: options.socketsMax ?? 256,
      maxFreeSockets: options.socketsMax ?? 256,
      // The connection used last is the least likely to be closed meanwhile; the others may grow old and go.
      scheduling: 'lifo' as const,
      timeout: options.idleMs ?? 60_000,
    };
    const { connect } = options;
    this.#plain = connect === undefined ? new http.Agent(agent) : connected(new http.Agent(agent), connect);
    this.#secure = connect === undefined ? new https.Agent(agent) : this.#plain;
    this.#lone = () => (connect === undefined ? false : connected(new http.Agent(), connect));
    // The SDKs look for `Response` on a fetch that is not the built-in one, to know whether it takes the built-in FormData. It does.
    this.fetch = Object.assign((input: string | URL | Request, init?: RequestInit) => this.#fetch(input, init), { Response });
  }

  /** Closes every connection, those with a request under way too. Later requests are refused. */
  close(): void {
    this.#closed = true;
    this.#plain.destroy();
    this.#secure.destroy();
  }

  async #fetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    const body = await encode(init.body, headers);
    if (this.#closed) throw closedError();
    return await this.#send(
      {
        url: new URL(input instanceof Request ? input.url : input),
        method: init.method ?? 'GET',
        headers: Object.fromEntries(headers),
        body,
        signal: init.signal ?? undefined,
      },
      true,
    );
  }

  #send(outgoing: Outgoing, pooled: boolean): Promise<Response> {
    const { url, method, headers, body, signal } = outgoing;
    const secure = url.protocol === 'https:';
    return new Promise((resolve, reject) => {
      const request = (secure ? https : http).request(url, {
        method,
        headers,
        agent: pooled ? (secure ? this.#secure : this.#plain) : this.#lone(),
        ...(signal === undefined ? {} : { signal }),
      });
      let answered = false;
      request.on('socket', () => {
        this.counts.requests += 1;
        if (request.reusedSocket) this.counts.reused += 1;
      });
      request.on('response', (incoming) => {
        answered = true;
        responseOf(incoming).then(resolve, reject);
      });
      request.on('error', (error) => {
        // The other side may close an idle connection in the moment we choose it. Nothing was answered, so the request is written once
        // more, on a connection of its own: others of the pool may be as old.
        if (!answered && pooled && !this.#closed && signal?.aborted !== true && wasStale(request, error)) {
          this.counts.resent += 1;
          this.#send(outgoing, false).then(resolve, reject);
        } else reject(this.#closed ? closedError() : error);
      });
      request.end(body);
    });
  }
}

function connected(agent: http.Agent, connect: Connect): http.Agent {
  return Object.assign(agent, { createConnection: connect });
}

/** The body as bytes; `headers` gets its type (multipart boundary) and length. */
async function encode(body: RequestInit['body'], headers: Headers): Promise<Uint8Array | undefined> {
  if (body === undefined || body === null) return undefined;
  if (typeof body === 'string' || body instanceof Uint8Array) {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    headers.set('content-length', String(bytes.length));
    return bytes;
  }
  const encoded = new Response(body);
  const type = encoded.headers.get('content-type');
  if (type !== null && !headers.has('content-type')) headers.set('content-type', type);
  const bytes = new Uint8Array(await encoded.arrayBuffer());
  headers.set('content-length', String(bytes.length));
  return bytes;
}

function closedError(): EngineError {
  return new EngineError('aborted', 'the connections of this provider are closed');
}

function wasStale(request: ClientRequest, error: NodeJS.ErrnoException): boolean {
  return request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

async function responseOf(incoming: IncomingMessage): Promise<Response> {
  const status = incoming.statusCode ?? 0;
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headersDistinct)) for (const one of value ?? []) headers.append(name, one);
  if (status < 200 || status > 599) {
    incoming.destroy();
    throw new EngineError('garbage', `the provider answered status ${status}`, { fields: { status } });
  }
  if (status === 204 || status === 205 || status === 304) {
    incoming.resume();
    return new Response(null, { status, headers });
  }
  if (status >= 200 && status < 300)
    return new Response(Readable.toWeb(incoming) as ReadableStream<Uint8Array>, { status, headers });
  return new Response(await beginning(incoming), { status, headers });
}

/** The first bytes of an answer; one that is longer costs its connection. */
async function beginning(incoming: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    parts.push(part);
    bytes += part.length;
    if (bytes > errorBodyBytesMax) break;
  }
  return Buffer.concat(parts).subarray(0, errorBodyBytesMax);
}
