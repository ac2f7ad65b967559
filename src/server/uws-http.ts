/** Requests and answers by uWebSockets.js, for the adapter on it. Main thread. The request is gone when its callback returns. */

import type { HttpRequest as NativeRequest, HttpResponse as NativeResponse } from 'uWebSockets.js';
import { SocketAddress } from 'node:net';
import { largeBody, plainAddress, type RequestHead, slowBody, statusLine } from './adapter-rules.js';
import type { HttpResponse, SocketLimits } from './port.js';

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

/** `hangUp`: close the connection, because the request was not read to its end. `native` must not be touched any more. */
export function answer(native: NativeResponse, response: HttpResponse, isHead: boolean, hangUp: boolean): void {
  native.cork(() => {
    native.writeStatus(statusLine(response.status));
    for (const [name, value] of Object.entries(response.headers ?? {})) native.writeHeader(name, value);
    if (response.status === 304)
      native.endWithoutBody(); // the length would be that of the file
    else if (isHead) {
      // Told the length by its own parameter, the library waits for that many bytes for ever; so it learns nothing, and cannot be told
      // to hang up either: the connection ends by its idle time.
      native.writeHeader('content-length', String(Buffer.byteLength(response.body)));
      native.endWithoutBody();
    } else native.end(response.body, hangUp);
  });
}

/**
 * Collects a body of `bodyBytes`, or until its end when that is `undefined`, and answers with what `serve` makes of it. `serve` is not
 * called when the body is too large, too slow, or the client breaks off. Must be called inside the request's callback.
 */
export function answerBody(
  native: NativeResponse,
  bodyBytes: number | undefined,
  isHead: boolean,
  limits: SocketLimits,
  serve: (body: Uint8Array) => HttpResponse | Promise<HttpResponse>,
): void {
  const chunks: Uint8Array[] = [];
  const deadlineAtMs = performance.now() + limits.bodyTimeoutMs;
  let receivedBytes = 0;
  let timer: NodeJS.Timeout | undefined;
  let done = false; // answered or aborted: `native` must not be touched any more
  const finish = (response: HttpResponse, hangUp: boolean) => {
    if (done) return;
    done = true;
    clearTimeout(timer);
    answer(native, response, isHead, hangUp);
  };
  const wait = () => {
    const remainingMs = Math.max(0, deadlineAtMs - performance.now());
    timer = setTimeout(look, Math.min(remainingMs, bodyRefreshMs));
  };
  const look = () => {
    if (performance.now() >= deadlineAtMs) {
      finish(slowBody, true);
      return;
    }
    native.pause();
    native.resume();
    wait();
  };
  native.onAborted(() => {
    done = true;
    clearTimeout(timer);
  });
  native.onData((chunk, isLast) => {
    if (done) return;
    receivedBytes += chunk.byteLength;
    if (receivedBytes > limits.bodyBytesMax) {
      finish(largeBody(limits.bodyBytesMax), true);
      return;
    }
    if (chunk.byteLength > 0) chunks.push(new Uint8Array(chunk.slice(0)));
    if (!isLast) return;
    clearTimeout(timer);
    const response = serve(Buffer.concat(chunks));
    if (response instanceof Promise) void response.then((late) => finish(late, false));
    else finish(response, false);
  });
  if (!done && bodyBytes !== 0) wait();
}
