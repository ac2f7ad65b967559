/**
 * The socket server on uWebSockets.js, the fast one. Native code, so it is imported only when asked for: a machine without its binary is
 * an ordinary outcome. Main thread.
 *
 * Everything uWebSockets.js hands over (request, message bytes) is gone when the callback returns, and a socket must never be touched
 * after its close. Both rules are kept here and nowhere else.
 */

import type {
  HttpRequest as NativeRequest,
  HttpResponse as NativeResponse,
  WebSocket as NativeSocket,
  TemplatedApp,
} from 'uWebSockets.js';
import { strict as assert } from 'node:assert';
import { EngineError } from '../shared/errors.js';
import {
  closeReason,
  isSendable,
  lostAfterMs,
  lostReasons,
  screenRequest,
  screenUpgrade,
  wantsWebSocket,
} from './adapter-rules.js';
import { listenFailureFound } from './listen-failure.js';
import type { Connection, SocketHandlers, SocketLimits, SocketServer } from './port.js';
import { BodyBudget } from './request-body.js';
import { answer, answerBody, copyHead, remoteAddressOf } from './uws-http.js';

type Library = typeof import('uWebSockets.js');
type ListenToken = Parameters<Library['us_listen_socket_close']>[0];
/** The type package does not know the overload with host and options, nor the option's run-time name. */
type ListenExclusively = (host: string, port: number, options: number, done: (token: ListenToken | false) => void) => void;
const exclusivePort = 1;
/** SO_REUSEPORT: where it exists and balances, which is on Linux. */
const sharedPort = 0;

/** What travels with a native socket. */
type Entry<Session> = { readonly session: Session; readonly connection: UwsConnection };

/** Room above our own limit, so that pings and the close frame still fit when it is reached. */
const controlRoomBytes = 64 * 1024;

const reasonOfText: Readonly<Record<string, string>> = {
  'Received too big message': lostReasons.tooLarge,
  'Received invalid UTF-8': lostReasons.invalidText,
  'Received invalid WebSocket frame': lostReasons.invalidFrame,
  'Received invalid close payload': lostReasons.invalidFrame,
};

class UwsConnection implements Connection {
  readonly remoteAddress: string;
  readonly #bufferedBytesMax: number;
  #socket: NativeSocket<unknown> | undefined;
  /** Set when we closed it ourselves. */
  #farewell: { readonly code: number; readonly reason: string } | undefined;

  constructor(remoteAddress: string, bufferedBytesMax: number) {
    this.remoteAddress = remoteAddress;
    this.#bufferedBytesMax = bufferedBytesMax;
  }

  attach(socket: NativeSocket<unknown>): void {
    this.#socket = socket;
  }

  /** The native socket is gone. Returns what we said, if it was us. */
  detach(): { readonly code: number; readonly reason: string } | undefined {
    this.#socket = undefined;
    return this.#farewell;
  }

  sendText(text: string | Uint8Array): boolean {
    const socket = this.#socket;
    if (socket === undefined) return false;
    const size = typeof text === 'string' ? Buffer.byteLength(text) : text.byteLength;
    if (socket.getBufferedAmount() + size > this.#bufferedBytesMax) return false;
    return socket.send(text, false, false) !== 2; // 2: dropped
  }

  bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  ping(): void {
    this.#socket?.ping();
  }

  close(code: number, reason: string): void {
    assert(isSendable(code), 'a close code that may be sent');
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    this.#farewell = { code, reason: closeReason(reason) };
    socket.end(code, this.#farewell.reason);
  }

  terminate(): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    this.#farewell = { code: 1006, reason: '' };
    socket.close();
  }

  cork(body: () => void): void {
    this.#socket?.cork(body);
  }
}

class UwsServer<Session> implements SocketServer {
  readonly name = 'uWebSockets.js';
  readonly #library: Library;
  readonly #handlers: SocketHandlers<Session>;
  readonly #limits: SocketLimits;
  readonly #budget: BodyBudget;
  readonly #app: TemplatedApp;
  #listening: ListenToken | undefined;

  constructor(library: Library, handlers: SocketHandlers<Session>, limits: SocketLimits) {
    this.#library = library;
    this.#handlers = handlers;
    this.#limits = limits;
    this.#budget = new BodyBudget(limits.bodiesBytesMax);
    this.#app = library.App();
    this.#app.ws<Entry<Session>>('/*', {
      maxPayloadLength: limits.messageBytesMax,
      maxBackpressure: limits.bufferedBytesMax + controlRoomBytes,
      closeOnBackpressureLimit: false,
      idleTimeout: lostAfterMs / 1000,
      sendPingsAutomatically: true, // half-way, after 16 s
      upgrade: (native, request, context) => this.#upgrade(native, request, context),
      open: (socket) => {
        const { session, connection } = socket.getUserData();
        connection.attach(socket);
        handlers.opened(session, connection);
      },
      message: (socket, bytes, isBinary) => handlers.message(socket.getUserData().session, Buffer.from(bytes), isBinary),
      pong: (socket) => handlers.pong(socket.getUserData().session),
      close: (socket, code, bytes) => {
        const { session, connection } = socket.getUserData();
        const text = Buffer.from(bytes).toString();
        const { code: finalCode, reason } = connection.detach() ?? {
          code,
          reason: code === 1006 ? (reasonOfText[text] ?? '') : text,
        };
        // A close of ours ends up here before it returns; the session must not be told inside its own call.
        queueMicrotask(() => handlers.closed(session, finalCode, reason));
      },
    });
    this.#app.any('/*', (native, request) => this.#http(native, request));
  }

  #upgrade(native: NativeResponse, request: NativeRequest, context: Parameters<NativeResponse['upgrade']>[4]): void {
    const head = copyHead(request);
    // The library comes here for every GET with a key; without the other headers it is an ordinary request.
    if (!wantsWebSocket(head)) {
      request.setYield(true);
      return;
    }
    const screened = screenUpgrade(head);
    if (!screened.ok) {
      answer(native, screened.response, false, true);
      return;
    }
    const { key, ...upgrade } = screened;
    const remoteAddress = remoteAddressOf(native);
    const outcome = this.#handlers.upgrade({ ...upgrade, header: head.header, remoteAddress });
    if (!outcome.accept) {
      answer(native, outcome.response, false, true);
      return;
    }
    native.upgrade<Entry<Session>>(
      { session: outcome.session, connection: new UwsConnection(remoteAddress, this.#limits.bufferedBytesMax) },
      key,
      outcome.protocol ?? '', // empty: no such header
      '', // no extensions
      context,
    );
  }

  #http(native: NativeResponse, request: NativeRequest): void {
    const head = copyHead(request);
    const isHead = head.method === 'HEAD';
    // A handshake comes here when its key is missing or has the wrong length.
    const misfit = wantsWebSocket(head) ? screenUpgrade(head) : undefined;
    const screened = misfit?.ok === false ? misfit : screenRequest(head, this.#limits);
    if (!screened.ok) {
      answer(native, screened.response, isHead, true);
      return;
    }
    const { path, query } = screened;
    const remoteAddress = remoteAddressOf(native);
    answerBody(native, screened.body, isHead, this.#budget, (body, onGone) =>
      this.#handlers.http({ method: head.method, path, query, header: head.header, body, remoteAddress, onGone }),
    );
  }

  listen(host: string, port: number, isShared = false): Promise<number> {
    return new Promise((resolve, reject) => {
      // Without the option the kernel would let a second server share the port, and half of the callers with it: fine among processes of a fleet.
      const options = isShared ? sharedPort : exclusivePort;
      (this.#app.listen as unknown as ListenExclusively).call(this.#app, host, port, options, (token) => {
        if (token === false) {
          void listenFailureFound(host, port).then(reject);
          return;
        }
        this.#listening = token;
        resolve(this.#library.us_socket_local_port(token));
      });
    });
  }

  serveHanded(): Promise<never> {
    return Promise.reject(new EngineError('config', 'uWebSockets.js serves only connections that it has accepted itself.'));
  }

  stopListening(): void {
    if (this.#listening === undefined) return;
    this.#library.us_listen_socket_close(this.#listening);
    this.#listening = undefined;
  }

  close(): Promise<void> {
    this.#listening = undefined;
    this.#app.close(); // the listening socket too; every `closed` is queued before this returns
    return Promise.resolve();
  }
}

/** Rejects with EngineError `missing` where the native library has no binary for this machine or this Node. */
export async function openUwsServer<Session>(handlers: SocketHandlers<Session>, limits: SocketLimits): Promise<SocketServer> {
  // The library reads it once, when it is loaded; there is no other way to tell it.
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] = String(limits.headerBytesMax);
  let library: Library;
  try {
    library = await import('uWebSockets.js');
  } catch (cause) {
    const { platform, arch, versions } = process;
    throw new EngineError('missing', `uWebSockets.js has no binary for Node ${versions.node} on ${platform} ${arch}.`, { cause });
  }
  return new UwsServer(library, handlers, limits);
}
