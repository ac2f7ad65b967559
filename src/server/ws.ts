/**
 * The socket server on `ws` and node:http: runs wherever Node runs. Main thread.
 * It behaves like the one on uWebSockets.js (`uws.ts`), down to the codes a client sees; one suite of tests runs over both.
 */
import { strict as assert } from 'node:assert';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { ListenOptions, Socket } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { EngineError } from '../shared/errors.js';
import {
  closeReason,
  headerCountMax,
  headerTimeoutMs,
  isSendable,
  lostReasons,
  plainAddress,
  type RequestHead,
  screenRequest,
  screenUpgrade,
  unsupportedBody,
  wantsWebSocket,
} from './adapter-rules.js';
import { listenFailure } from './listen-failure.js';
import { headOf, type Reply, readBody, replyBy, replyOn } from './node-http.js';
import type { Connection, HttpResponse, SocketHandlers, SocketLimits, SocketServer } from './port.js';
import { BodyBudget } from './request-body.js';
import { lookAt, type Silence } from './silence.js';

/** How often we look for clients that fell silent; uWebSockets.js looks once per 4 s. */
const silenceCheckMs = 1_000;
/** How often node:http looks for connections that are slow with their headers. */
const headerCheckMs = 2_000;

/**
 * Two things that uWebSockets.js does and `ws` does not, both told apart by how `ws` calls `close`. A client that breaks the protocol (a code
 * alone) is cut without a close frame. A client that says goodbye (no code, or its own with the reason as bytes) is reported at once, and not
 * only when it has closed its side of the connection too. Our own calls give the reason as a string.
 */
class ServedWebSocket extends WebSocket {
  onGoodbye: ((code: number, reason: string) => void) | undefined;

  override close(code?: number, reason?: string | Buffer): void {
    if (code !== undefined && reason === undefined) {
      this.terminate();
      return;
    }
    super.close(code, reason);
    if (typeof reason !== 'string') this.onGoodbye?.(code ?? 1005, reason?.toString() ?? '');
  }
}

function lostReasonOf(error: Error & { code?: string }): string {
  if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return lostReasons.tooLarge;
  if (error.code === 'WS_ERR_INVALID_UTF8') return lostReasons.invalidText;
  return error.code?.startsWith('WS_ERR_') ? lostReasons.invalidFrame : '';
}

class WsConnection<Session> implements Connection {
  readonly remoteAddress: string;
  readonly #link: ServedWebSocket;
  readonly #socket: Socket;
  readonly #session: Session;
  readonly #handlers: SocketHandlers<Session>;
  readonly #bufferedBytesMax: number;
  #silence: Silence;
  #isOpen = true;
  #lostReason = '';

  constructor(
    link: ServedWebSocket,
    socket: Socket,
    session: Session,
    handlers: SocketHandlers<Session>,
    bufferedBytesMax: number,
  ) {
    this.remoteAddress = plainAddress(socket.remoteAddress ?? '');
    this.#link = link;
    this.#socket = socket;
    this.#session = session;
    this.#handlers = handlers;
    this.#bufferedBytesMax = bufferedBytesMax;
    this.#silence = { bytesRead: socket.bytesRead, sinceMs: performance.now(), pinged: false };
    link.on('message', (data: RawData, isBinary) => {
      assert(data instanceof Uint8Array, 'binaryType is nodebuffer');
      if (this.#isOpen) handlers.message(session, data, isBinary);
    });
    link.on('pong', () => {
      if (this.#isOpen) handlers.pong(session);
    });
    link.on('error', (error) => {
      this.#lostReason = lostReasonOf(error); // `close` follows
    });
    link.onGoodbye = (code, reason) => this.#finish(code, reason);
    link.on('close', (code, reason) => this.#finish(code, code === 1006 ? this.#lostReason : reason.toString()));
  }

  /** Tells the session once, and never inside a call of its own. */
  #finish(code: number, reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    queueMicrotask(() => this.#handlers.closed(this.#session, code, reason));
  }

  /** Looks whether the client is still there; called once per `silenceCheckMs`. */
  check(atMs: number): void {
    const { silence, action } = lookAt(this.#silence, this.#socket.bytesRead, atMs);
    this.#silence = silence;
    if (action === 'ping') this.ping();
    if (action === 'cut') this.terminate();
  }

  #canSend(): boolean {
    return this.#isOpen && this.#link.readyState === WebSocket.OPEN;
  }

  sendText(text: string | Uint8Array): boolean {
    if (!this.#canSend()) return false;
    const size = typeof text === 'string' ? Buffer.byteLength(text) : text.byteLength;
    if (this.#link.bufferedAmount + size > this.#bufferedBytesMax) return false;
    // `ws` keeps a reference to bytes until the kernel has them; the caller may overwrite them at once.
    this.#link.send(typeof text === 'string' ? text : Buffer.from(text), { binary: false });
    return true;
  }

  bufferedBytes(): number {
    return this.#isOpen ? this.#link.bufferedAmount : 0;
  }

  ping(): void {
    if (this.#canSend()) this.#link.ping();
  }

  close(code: number, reason: string): void {
    assert(isSendable(code), 'a close code that may be sent');
    if (!this.#isOpen) return;
    const text = closeReason(reason);
    this.#link.close(code, text);
    this.#finish(code, text);
  }

  terminate(): void {
    if (!this.#isOpen) return;
    this.#link.terminate();
    this.#finish(1006, '');
  }

  cork(body: () => void): void {
    if (!this.#isOpen) return;
    this.#socket.cork();
    try {
      body();
    } finally {
      this.#socket.uncork();
    }
  }
}

class WsServer<Session> implements SocketServer {
  readonly name = 'ws';
  readonly #handlers: SocketHandlers<Session>;
  readonly #limits: SocketLimits;
  readonly #budget: BodyBudget;
  readonly #http: Server;
  readonly #sockets: WebSocketServer;
  readonly #connections = new Set<WsConnection<Session>>();
  /** Sockets that node:http has let go of: WebSockets, and upgrades being refused. */
  readonly #detached = new Set<Duplex>();
  #watch: NodeJS.Timeout | undefined;
  /** What the handler chose for the handshake in progress; `ws` asks back for it before `handleUpgrade` returns. */
  #chosenProtocol: string | undefined;

  constructor(handlers: SocketHandlers<Session>, limits: SocketLimits) {
    this.#handlers = handlers;
    this.#limits = limits;
    this.#budget = new BodyBudget(limits.bodiesBytesMax);
    this.#http = createServer({
      maxHeaderSize: limits.headerBytesMax,
      headersTimeout: headerTimeoutMs,
      requestTimeout: 0, // bodies have a deadline of their own
      connectionsCheckingInterval: headerCheckMs,
      keepAliveTimeout: headerTimeoutMs,
      noDelay: true,
    });
    this.#http.maxHeadersCount = headerCountMax + 1; // one more than we accept, so that we see it
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: limits.messageBytesMax,
      perMessageDeflate: false,
      skipUTF8Validation: false,
      handleProtocols: () => this.#chosenProtocol ?? false,
      WebSocket: ServedWebSocket,
    });
    this.#http.on('request', (request, response) => this.#request(headOf(request), request, request.socket, replyBy(response)));
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** `source` gives the body: the request, or the bare socket. */
  #request(head: RequestHead, source: Readable, socket: Socket, reply: Reply): void {
    const screened = screenRequest(head, this.#limits);
    if (!screened.ok) {
      reply.send(screened.response, true);
      return;
    }
    const { path, query } = screened;
    const remoteAddress = plainAddress(socket.remoteAddress ?? ''); // unknown once the client is gone
    const refuse = (response: HttpResponse): void => reply.send(response, true);
    readBody(source, screened.body, this.#budget, refuse, (body) => {
      const { onGone } = reply;
      const response = this.#handlers.http({
        method: head.method,
        path,
        query,
        header: head.header,
        body,
        remoteAddress,
        onGone,
      });
      if (response instanceof Promise) void response.then((late) => reply.send(late, false));
      else reply.send(response, false);
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, rest: Buffer): void {
    this.#detached.add(socket);
    socket.once('close', () => this.#detached.delete(socket));
    const head = headOf(request);
    if (wantsWebSocket(head)) this.#handshake(head, request, socket, rest);
    else {
      // Somebody offers HTTP/2 or the like: answered as if it had not, from the bare socket.
      const reply = replyOn(socket, head.method === 'HEAD');
      socket.unshift(rest);
      if (head.header('transfer-encoding') === undefined) this.#request(head, socket, request.socket, reply);
      else reply.send(unsupportedBody, true);
    }
  }

  #handshake(head: RequestHead, request: IncomingMessage, socket: Duplex, rest: Buffer): void {
    const screened = screenUpgrade(head);
    if (!screened.ok) {
      replyOn(socket, false).send(screened.response, true);
      return;
    }
    if (!socket.readable || !socket.writable) {
      socket.destroy(); // gone already: `ws` would not open it, and the session of an accepted handshake must be opened
      return;
    }
    const { path, query, protocols } = screened;
    const remoteAddress = plainAddress(request.socket.remoteAddress ?? '');
    const outcome = this.#handlers.upgrade({ path, query, header: head.header, protocols, remoteAddress });
    if (!outcome.accept) {
      replyOn(socket, false).send(outcome.response, true);
      return;
    }
    this.#chosenProtocol = outcome.protocol;
    this.#sockets.handleUpgrade(request, socket, rest, (link) => {
      assert(link instanceof ServedWebSocket, 'the class that was asked for');
      const connection = new WsConnection(link, request.socket, outcome.session, this.#handlers, this.#limits.bufferedBytesMax);
      this.#connections.add(connection);
      link.once('close', () => this.#connections.delete(connection));
      this.#handlers.opened(outcome.session, connection);
    });
  }

  async listen(host: string, port: number, isShared = false): Promise<number> {
    if (isShared) throw new EngineError('config', 'Several processes share a port with uWebSockets.js only.');
    await this.#listenAt({ host, port }, (cause) => listenFailure(host, port, cause.code, cause));
    const address = this.#http.address();
    assert(address !== null && typeof address === 'object', 'a TCP server has an address');
    return address.port;
  }

  async serveHanded(idlePath: string): Promise<(socket: Socket) => void> {
    // node:http looks for clients that are slow with their headers only while it listens.
    await this.#listenAt({ path: idlePath }, (cause) => {
      return new EngineError('config', `Cannot listen on ${idlePath}: ${cause.message}.`, { cause, fields: { place: idlePath } });
    });
    return (socket) => {
      // What node:net does for connections that a server of its own accepts.
      socket.setNoDelay(true);
      socket.allowHalfOpen = true;
      this.#http.emit('connection', socket);
    };
  }

  #listenAt(place: ListenOptions, failureOf: (cause: NodeJS.ErrnoException) => EngineError): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (cause: NodeJS.ErrnoException): void => reject(failureOf(cause));
      this.#http.once('error', fail);
      this.#http.listen(place, () => {
        this.#http.removeListener('error', fail);
        this.#watch = setInterval(() => {
          const atMs = performance.now();
          for (const connection of this.#connections) connection.check(atMs);
        }, silenceCheckMs);
        resolve();
      });
    });
  }

  stopListening(): void {
    this.#http.close();
  }

  async close(): Promise<void> {
    clearInterval(this.#watch);
    const gone = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    for (const connection of this.#connections) connection.terminate();
    for (const socket of this.#detached) socket.destroy();
    this.#http.closeAllConnections();
    await gone;
  }
}

export function openWsServer<Session>(handlers: SocketHandlers<Session>, limits: SocketLimits): SocketServer {
  return new WsServer(handlers, limits);
}
