/** Requests and answers by uWebSockets.js, for the adapter on it. Main thread. The request is gone when its callback returns. */

import type { HttpRequest as NativeRequest, HttpResponse as NativeResponse } from 'uWebSockets.js';
import { SocketAddress } from 'node:net';
import {
  type BodyBounds,
  busyWithBodies,
  isParts,
  largeBody,
  plainAddress,
  type RequestHead,
  slowBody,
  statusLine,
} from './adapter-rules.js';
import type { BodyParts, HttpResponse } from './port.js';
import { type BodyBudget, BodyCollector } from './request-body.js';

/** uWebSockets.js cuts a request that is silent for 8 to 12 s; pausing and resuming starts that time anew. */
const bodyRefreshMs = 4_000;

export function copyHead(request: NativeRequest): RequestHead {
  const headers = new Map<string, string>();
  let headerCount = 0;
  request.forEach((name, value) => {
    headerCount += 1;
    const earlier = headers.get(name);
    headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
  });
  const query: string | undefined = request.getQuery(); // the type package does not know that it may be `undefined`
  return {
    method: request.getCaseSensitiveMethod(),
    target: query ? `${request.getUrl()}?${query}` : request.getUrl(),
    headerCount,
    header: (name) => headers.get(name),
  };
}

/** From 4 or 16 bytes: the library's own text form does not shorten IPv6. */
export function remoteAddressOf(native: NativeResponse): string {
  const bytes = new Uint8Array(native.getRemoteAddress());
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return ''; // unknown once the client is gone
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[2 * index]! << 8) | bytes[2 * index + 1]!).toString(16));
  return plainAddress(new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address);
}

/**
 * Answers at once. `hangUp`: close the connection, because the request was not read to its end. `native` must not be touched any more.
 */
export function answer(native: NativeResponse, response: HttpResponse, isHead: boolean, hangUp: boolean): void {
  const { body } = response;
  native.cork(() => {
    writeHead(native, response);
    if (response.status === 304)
      native.endWithoutBody(); // the length would be that of the file
    else if (isHead || isParts(body)) {
      // Told the length by its own parameter, the library waits for that many bytes for ever; so it learns nothing, and cannot be told
      // to hang up either: the connection ends by its idle time.
      if (!isParts(body)) native.writeHeader('content-length', String(Buffer.byteLength(body)));
      native.endWithoutBody();
    } else native.end(body, hangUp);
  });
}

function writeHead(native: NativeResponse, { status, headers }: HttpResponse): void {
  native.writeStatus(statusLine(status));
  for (const [name, value] of Object.entries(headers ?? {})) native.writeHeader(name, value);
}

/** A request until its answer is complete or its client is gone; then `native` must not be touched any more. */
class Exchange {
  readonly #native: NativeResponse;
  readonly #isHead: boolean;
  #isOver = false;
  /** Wakes whoever waits for the client to take more. */
  #wake: (() => void) | undefined;
  #onGone: (() => void) | undefined;

  constructor(native: NativeResponse, isHead: boolean) {
    this.#native = native;
    this.#isHead = isHead;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  readonly onGone = (run: () => void): void => {
    this.#onGone = run;
  };

  aborted(): void {
    const isNews = !this.#isOver;
    this.#isOver = true;
    this.#wake?.();
    if (isNews) this.#onGone?.();
  }

  send(response: HttpResponse, hangUp: boolean): void {
    const { body } = response;
    if (isParts(body) && !this.#isHead && !this.#isOver) {
      void this.#sendParts(response, body);
      return;
    }
    if (isParts(body)) void body.return?.();
    if (this.#isOver) return;
    this.#isOver = true;
    answer(this.#native, response, this.#isHead, hangUp);
  }

  /** Each part waits until the client has taken the one before. */
  async #sendParts(response: HttpResponse, parts: BodyParts): Promise<void> {
    const native = this.#native;
    native.cork(() => writeHead(native, response));
    try {
      for await (const part of parts) {
        if (this.#isOver) return;
        let isTaken = true;
        native.cork(() => {
          if (part.byteLength > 0) isTaken = native.write(part);
        });
        if (!isTaken) await this.#writable();
      }
      if (this.#isOver) return;
      this.#isOver = true;
      native.cork(() => native.end());
    } catch {
      // Whoever made the parts broke off: an end that can be seen, because the last chunk is missing.
      if (this.#isOver) return;
      this.#isOver = true;
      native.close();
    }
  }

  #writable(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#native.onWritable(() => {
        resolve();
        return true;
      });
    });
  }
}

/**
 * Collects a body and answers with what `serve` makes of it; `serve` owns the bytes. It is not called when the body is too large, too slow,
 * or the client breaks off. Must be called inside the request's callback.
 */
export function answerBody(
  native: NativeResponse,
  { bodyBytes, bytesMax, timeoutMs }: BodyBounds,
  isHead: boolean,
  budget: BodyBudget,
  serve: (body: Uint8Array, onGone: (run: () => void) => void) => HttpResponse | Promise<HttpResponse>,
): void {
  const exchange = new Exchange(native, isHead);
  const collector = new BodyCollector(bodyBytes, bytesMax, budget);
  const deadlineAtMs = performance.now() + timeoutMs;
  let timer: NodeJS.Timeout | undefined;
  const refuse = (response: HttpResponse) => {
    clearTimeout(timer);
    collector.drop();
    exchange.send(response, true);
  };
  const wait = () => {
    const remainingMs = Math.max(0, deadlineAtMs - performance.now());
    timer = setTimeout(look, Math.min(remainingMs, bodyRefreshMs));
  };
  const look = () => {
    if (performance.now() >= deadlineAtMs) {
      refuse(slowBody);
      return;
    }
    native.pause();
    native.resume();
    wait();
  };
  native.onAborted(() => {
    clearTimeout(timer);
    collector.drop();
    exchange.aborted();
  });
  native.onData((chunk, isLast) => {
    if (exchange.isOver) return;
    const state = collector.push(new Uint8Array(chunk));
    if (state === 'too_large') refuse(largeBody(bytesMax));
    else if (state === 'busy') refuse(busyWithBodies);
    else if (isLast) {
      clearTimeout(timer);
      const response = serve(collector.finish(), exchange.onGone);
      if (response instanceof Promise) void response.then((late) => exchange.send(late, false));
      else exchange.send(response, false);
    }
  });
  if (!exchange.isOver && bodyBytes !== 0) wait();
}
