/** Requests and answers by node:http, for the adapter on `ws`. Main thread. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { largeBody, type RequestHead, slowBody, statusLine } from './adapter-rules.js';
import type { HttpResponse, SocketLimits } from './port.js';

export function headOf(request: IncomingMessage): RequestHead {
  return {
    method: request.method ?? '',
    target: request.url ?? '',
    headerCount: request.rawHeaders.length / 2,
    header: (name) => request.headersDistinct[name]?.join(', '),
  };
}

/** Answers one request. `hangUp`: close the connection, because the request was not read to its end. */
export type Reply = (response: HttpResponse, hangUp: boolean) => void;

export function replyBy(response: ServerResponse): Reply {
  return (answer, hangUp) => {
    if (response.destroyed) return; // the client went away
    const length = answer.status === 304 ? {} : { 'content-length': Buffer.byteLength(answer.body) }; // it would be that of the file
    response.writeHead(answer.status, { ...answer.headers, ...(hangUp ? { connection: 'close' } : {}), ...length });
    response.end(answer.body); // for HEAD, node:http leaves the body out
  };
}

/** For a request that asked for an upgrade: node:http has let go of its socket. Always closes. */
export function replyOn(socket: Duplex, isHead: boolean): Reply {
  socket.on('error', () => socket.destroy()); // a client that breaks off now is no news
  return (answer) => {
    if (socket.destroyed) return;
    const headers = { ...answer.headers, connection: 'close', 'content-length': Buffer.byteLength(answer.body) };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.once('finish', () => socket.destroy());
    socket.write(`HTTP/1.1 ${statusLine(answer.status)}\r\n${lines.join('')}\r\n`, 'latin1');
    socket.end(isHead ? '' : answer.body);
  };
}

/**
 * Collects a body of `bodyBytes`, or until `source` ends when that is `undefined`. Calls one of `refuse` and `done`, once; neither when the
 * client breaks off.
 */
export function readBody(
  source: Readable,
  bodyBytes: number | undefined,
  limits: SocketLimits,
  refuse: (response: HttpResponse) => void,
  done: (body: Uint8Array) => void,
): void {
  if (bodyBytes === 0) {
    done(new Uint8Array(0));
    return;
  }
  const chunks: Uint8Array[] = [];
  let receivedBytes = 0;
  const stop = () => {
    clearTimeout(timer);
    source.off('data', take).off('end', complete).off('close', stop);
  };
  const complete = () => {
    stop();
    done(Buffer.concat(chunks));
  };
  const stopAndRefuse = (response: HttpResponse) => {
    stop();
    refuse(response);
  };
  const take = (chunk: Uint8Array) => {
    receivedBytes += chunk.byteLength;
    chunks.push(chunk);
    if (receivedBytes > limits.bodyBytesMax) stopAndRefuse(largeBody(limits.bodyBytesMax));
    else if (receivedBytes === bodyBytes) complete();
  };
  const timer = setTimeout(() => stopAndRefuse(slowBody), limits.bodyTimeoutMs);
  source.on('data', take).on('end', complete).on('close', stop);
}
