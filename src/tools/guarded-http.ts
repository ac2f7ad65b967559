/**
 * HTTP for tools: every connection goes through the address guard, answers are read to a bound and no further, redirects are followed by
 * hand. API thread. `node:http` and not the built-in fetch, because only there can we say which address a name has.
 */
import { setMaxListeners } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { pipeline, type Readable } from 'node:stream';
import zlib from 'node:zlib';
import { EngineError } from '../shared/errors.js';
import type { AddressGuard } from './address-guard.js';

export type HttpRequest = {
  readonly url: URL;
  readonly method: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  /** Ends the request and the reading of its answer. */
  readonly signal: AbortSignal;
};

/** The beginning of a body. `isCut`: there was more, which was not read. */
export type Beginning = { readonly bytes: Buffer; readonly isCut: boolean };

/** An idle connection is kept this long; less than most servers do, so that it is not closed in the moment we use it. */
const idleMs = 4000;
/** Headers that go along to another host. All others were meant for the first one: any of them may hold a key. */
const harmlessHeaders = new Set(['accept', 'accept-encoding', 'accept-language', 'user-agent']);
const redirects = new Set([301, 302, 303, 307, 308]);

export class GuardedHttp {
  readonly #guard: AddressGuard;
  /** Without keep-alive: a request that must not run twice is never written to a connection that may be closing. */
  readonly #plain = new http.Agent({ keepAlive: false });
  readonly #secure = new https.Agent({ keepAlive: false });
  readonly #plainKept = new http.Agent({ keepAlive: true, timeout: idleMs, scheduling: 'lifo' });
  readonly #secureKept = new https.Agent({ keepAlive: true, timeout: idleMs, scheduling: 'lifo' });

  constructor(guard: AddressGuard) {
    this.#guard = guard;
  }

  /** Closes every connection. */
  close(): void {
    for (const agent of [this.#plain, this.#secure, this.#plainKept, this.#secureKept]) agent.destroy();
  }

  /**
   * One request; resolves when the headers of the answer are in, whatever its status. The body must be read or destroyed. `kept`: on a
   * connection that others may use later. Rejects with `rejected` when the guard refuses, else with Node's own errors.
   */
  async send(request: HttpRequest, kept = false): Promise<IncomingMessage> {
    const { url, method, headers, body, signal } = request;
    this.#guard.check(url);
    const isSecure = url.protocol === 'https:';
    const agent = isSecure ? (kept ? this.#secureKept : this.#secure) : kept ? this.#plainKept : this.#plain;
    // One signal may end many requests of a server at once.
    setMaxListeners(0, signal);
    return await new Promise((resolve, reject) => {
      const outgoing = (isSecure ? https : http).request(url, {
        method,
        headers: { ...headers, ...(body === undefined ? {} : { 'content-length': String(body.length) }) },
        agent,
        signal,
        lookup: this.#guard.lookupFor(url),
      });
      outgoing.on('socket', (socket) => this.#guard.watch(socket, url));
      outgoing.on('response', resolve);
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  }

  /**
   * Like `send`, following at most `redirectsMax` redirects. To another host go neither headers nor a body, and never from https to http:
   * such a redirect rejects with `rejected`.
   */
  async follow(request: HttpRequest, redirectsMax: number): Promise<IncomingMessage> {
    let hop = request;
    for (let followed = 0; ; followed += 1) {
      const answer = await this.send(hop);
      const { location } = answer.headers;
      const status = answer.statusCode ?? 0;
      if (!redirects.has(status) || location === undefined) return answer;
      answer.destroy();
      if (followed >= redirectsMax) throw new EngineError('rejected', `more than ${redirectsMax} redirects`);
      hop = nextHop(hop, status, location);
    }
  }
}

/** The request that a redirect asks for. Throws `rejected` when it must not be sent. Pure. */
export function nextHop(hop: HttpRequest, status: number, location: string): HttpRequest {
  if (!URL.canParse(location, hop.url.href)) throw new EngineError('rejected', 'redirected to something that is no URL');
  const url = new URL(location, hop.url);
  url.hash = '';
  if (hop.url.protocol === 'https:' && url.protocol !== 'https:')
    throw new EngineError('rejected', 'redirected from https to another scheme');
  // As browsers do: 303 asks for a GET, 301 and 302 too when something was posted; 307 and 308 repeat the request.
  const becomesGet = (status === 303 && hop.method !== 'GET') || ((status === 301 || status === 302) && hop.method === 'POST');
  const body = becomesGet ? undefined : hop.body;
  const isSame = isSameHost(hop.url, url);
  if (!isSame && body !== undefined) throw new EngineError('rejected', 'redirected with its body to another host');
  const headers = Object.entries(hop.headers).filter(
    ([name]) => (isSame || harmlessHeaders.has(name)) && (body !== undefined || name !== 'content-type'),
  );
  return { ...hop, url, method: becomesGet ? 'GET' : hop.method, headers: Object.fromEntries(headers), body };
}

/** Same name and port; the step from http to https on their own ports counts as the same host. */
function isSameHost(from: URL, to: URL): boolean {
  if (from.hostname !== to.hostname) return false;
  return (
    (from.protocol === to.protocol && from.port === to.port) || (from.port === '' && to.port === '' && to.protocol === 'https:')
  );
}

/** Reads at most `bytesMax` of a body, unpacked. What lies beyond stays unread and costs the connection. */
export async function readBeginning(answer: IncomingMessage, bytesMax: number): Promise<Beginning> {
  const parts: Buffer[] = [];
  let bytes = 0;
  let isCut = false;
  // Leaving the loop early destroys the stream.
  for await (const part of unpacked(answer) as AsyncIterable<Buffer>) {
    parts.push(part);
    bytes += part.length;
    isCut = bytes > bytesMax;
    if (isCut) break;
  }
  return { bytes: Buffer.concat(parts).subarray(0, bytesMax), isCut };
}

/** We ask for no compression; some servers compress all the same. */
export function unpacked(answer: IncomingMessage): Readable {
  const encoding = (answer.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding === 'identity' || encoding === '') return answer;
  const unpack = decoderOf(encoding);
  if (unpack === undefined) {
    answer.destroy();
    throw new EngineError('garbage', 'the answer has an unknown content encoding');
  }
  // An error of either stream ends both and reaches whoever reads `unpack`.
  pipeline(answer, unpack, () => undefined);
  return unpack;
}

function decoderOf(encoding: string): zlib.Gunzip | zlib.Inflate | zlib.BrotliDecompress | undefined {
  if (encoding === 'gzip' || encoding === 'x-gzip') return zlib.createGunzip();
  if (encoding === 'deflate') return zlib.createInflate();
  return encoding === 'br' ? zlib.createBrotliDecompress() : undefined;
}
