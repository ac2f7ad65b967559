/** Requests and answers by node:http, for the adapter on `ws`. Main thread. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Duplex, pipeline, Readable, type Writable } from 'node:stream';
import { type BodyBounds, busyWithBodies, isParts, largeBody, type RequestHead, slowBody, statusLine } from './adapter-rules.js';
import type { BodyParts, HttpResponse } from './port.js';
import { type BodyBudget, BodyCollector } from './request-body.js';

export function headOf(request: IncomingMessage): RequestHead {
  return {
    method: request.method ?? '',
    target: request.url ?? '',
    headerCount: request.rawHeaders.length / 2,
    header: (name) => request.headersDistinct[name]?.join(', '),
  };
}

/** The way back to one client. */
export type Reply = {
  /** `hangUp`: close the connection, because the request was not read to its end. */
  send(response: HttpResponse, hangUp: boolean): void;
  /** Calls `run` once if the client goes away before its answer is complete. */
  onGone(run: () => void): void;
};

export function replyBy(response: ServerResponse): Reply {
  return {
    send(answer, hangUp) {
      if (response.destroyed) return leave(answer.body); // the client went away
      const headers = { ...answer.headers, ...(hangUp ? { connection: 'close' } : {}) };
      if (isParts(answer.body)) {
        response.writeHead(answer.status, headers);
        if (response.req.method === 'HEAD') {
          leave(answer.body);
          response.end();
        } else pump(answer.body, response);
        return;
      }
      const length = answer.status === 304 ? {} : { 'content-length': Buffer.byteLength(answer.body) }; // it would be that of the file
      response.writeHead(answer.status, { ...headers, ...length });
      response.end(answer.body); // for HEAD, node:http leaves the body out
    },
    onGone(run) {
      response.once('close', () => {
        if (!response.writableFinished) run();
      });
    },
  };
}

/** For a request that asked for an upgrade: node:http has let go of its socket. Always closes. */
export function replyOn(socket: Duplex, isHead: boolean): Reply {
  let isSent = false;
  socket.on('error', () => socket.destroy()); // a client that breaks off now is no news
  return {
    send(answer) {
      isSent = true;
      const { body } = answer;
      if (socket.destroyed) return leave(body);
      // A body in parts ends with the connection.
      const length = isParts(body) ? {} : { 'content-length': Buffer.byteLength(body) };
      const headers = { ...answer.headers, connection: 'close', ...length };
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.once('finish', () => socket.destroy());
      socket.write(`HTTP/1.1 ${statusLine(answer.status)}\r\n${lines.join('')}\r\n`, 'latin1');
      if (!isParts(body)) socket.end(isHead ? '' : body);
      else if (isHead) {
        leave(body);
        socket.end();
      } else pump(body, socket);
    },
    onGone(run) {
      socket.once('close', () => {
        if (!isSent) run();
      });
    },
  };
}

/** Whoever makes the parts need not go on. */
function leave(body: HttpResponse['body']): void {
  if (isParts(body)) void body.return?.();
}

/** Either end may break off: then both are let go, and there is nobody left to tell. */
function pump(parts: BodyParts, to: Writable): void {
  pipeline(Readable.from(parts, { objectMode: false }), to, () => undefined);
}

/**
 * Collects a body. Calls one of `refuse` and `done`, once; neither when the client breaks off. `done` owns the bytes.
 */
export function readBody(
  source: Readable,
  { bodyBytes, bytesMax, timeoutMs }: BodyBounds,
  budget: BodyBudget,
  refuse: (response: HttpResponse) => void,
  done: (body: Uint8Array) => void,
): void {
  const collector = new BodyCollector(bodyBytes, bytesMax, budget);
  if (bodyBytes === 0) {
    done(collector.finish());
    return;
  }
  const stop = () => {
    clearTimeout(timer);
    source.off('data', take).off('end', complete).off('close', breakOff);
  };
  const breakOff = () => {
    stop();
    collector.drop();
  };
  const complete = () => {
    stop();
    done(collector.finish());
  };
  const stopAndRefuse = (response: HttpResponse) => {
    breakOff();
    refuse(response);
  };
  const take = (chunk: Uint8Array) => {
    const state = collector.push(chunk);
    if (state === 'too_large') stopAndRefuse(largeBody(bytesMax));
    else if (state === 'busy') stopAndRefuse(busyWithBodies);
    else if (state === 'complete') complete();
  };
  const timer = setTimeout(() => stopAndRefuse(slowBody), timeoutMs);
  source.on('data', take).on('end', complete).on('close', breakOff);
}
