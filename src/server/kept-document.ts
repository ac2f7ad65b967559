/**
 * A document of the API thread that never changes while the process lives: main asks for it once and keeps the bytes, plain and compressed.
 * Main thread; what takes time happens in the API thread and in libuv's pool.
 */
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { brotliCompress, constants } from 'node:zlib';
import { takesBrotli } from './pages.js';
import type { HttpRequest, HttpResponse } from './port.js';

type Kept = {
  readonly headers: Readonly<Record<string, string>>;
  readonly plain: Uint8Array;
  readonly brotli: Uint8Array;
  readonly tag: string;
};

const compress = promisify(brotliCompress);

export class KeptDocument {
  readonly #ask: (request: HttpRequest) => Promise<HttpResponse>;
  #kept: Kept | undefined;

  /** `ask`: where it comes from. */
  constructor(ask: (request: HttpRequest) => Promise<HttpResponse>) {
    this.#ask = ask;
  }

  /** For a GET or HEAD. What is no success is handed on, and asked for again next time. */
  async answer(request: HttpRequest): Promise<HttpResponse> {
    const kept = this.#kept;
    if (kept !== undefined) return answerOf(kept, request);
    const answer = await this.#ask(request);
    if (answer.status !== 200 || !(answer.body instanceof Uint8Array)) return answer;
    const plain = answer.body;
    const made: Kept = {
      headers: { ...answer.headers, 'cache-control': 'no-cache', vary: 'accept-encoding' },
      plain,
      brotli: await compress(plain, {
        params: { [constants.BROTLI_PARAM_SIZE_HINT]: plain.byteLength, [constants.BROTLI_PARAM_QUALITY]: 6 },
      }),
      tag: createHash('sha256').update(plain).digest('base64url').slice(0, 22),
    };
    this.#kept = made;
    return answerOf(made, request);
  }
}

function answerOf({ headers, plain, brotli, tag }: Kept, request: HttpRequest): HttpResponse {
  const isBrotli = takesBrotli(request.header('accept-encoding'));
  const etag = isBrotli ? `"${tag}-br"` : `"${tag}"`;
  const own = { ...headers, etag, ...(isBrotli ? { 'content-encoding': 'br' } : {}) };
  if (request.header('if-none-match') === etag) return { status: 304, headers: own, body: '' };
  return { status: 200, headers: own, body: isBrotli ? brotli : plain };
}
