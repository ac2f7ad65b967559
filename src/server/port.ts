/**
 * The small port behind which the socket library sits. Two adapters implement it: `uws.ts` (uWebSockets.js) and `ws.ts` (ws on node:http).
 * Runs on the main thread. Handlers are called synchronously; views into received bytes are valid only until the handler returns.
 */

import type { Socket } from 'node:net';

export type HttpRequest = {
  readonly method: string;
  /** Without the query string, percent-decoded; a path that does not decode is refused with 400 before any handler. */
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly query: string;
  /** Names in lower case. */
  header(name: string): string | undefined;
  /** Within the bounds of its path; larger ones are refused with 413, slower ones with 408, before any handler. It belongs to the handler. */
  readonly body: Uint8Array;
  readonly remoteAddress: string;
  /** `run` is called, once, if the client goes away before its answer is complete. One listener a request. */
  onGone(run: () => void): void;
};

export type HttpResponse = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array | BodyParts;
};
/** One whose body is all there. */
export type WholeResponse = HttpResponse & { readonly body: string | Uint8Array };

/**
 * A body that comes in parts: the next one is asked for when the client has taken the last. When the client goes away, `return` is called.
 * A rejection cuts the connection, so that nobody takes the half for the whole.
 */
export type BodyParts = AsyncIterableIterator<Uint8Array>;

/** What may be sent to one path. `refusal`: nothing at all; answered before the body is read. */
export type BodyRule =
  | { readonly bytesMax: number; readonly timeoutMs: number; readonly refusal?: undefined }
  | { readonly refusal: HttpResponse };

export type UpgradeRequest = {
  readonly path: string;
  readonly query: string;
  header(name: string): string | undefined;
  /** Entries of Sec-WebSocket-Protocol in the order offered. */
  readonly protocols: readonly string[];
  readonly remoteAddress: string;
};

/** `accept` with the subprotocol to answer (`undefined`: no such header), or refuse with an HTTP status before the upgrade. */
export type UpgradeAnswer<Session> =
  | { readonly accept: true; readonly protocol: string | undefined; readonly session: Session }
  | { readonly accept: false; readonly response: HttpResponse };

/** One open WebSocket. Calls after the socket is closed do nothing. */
export interface Connection {
  /** Queues a text frame. Returns false when the library refused it (socket gone, or its hard limit reached). Bytes are copied. */
  sendText(text: string | Uint8Array): boolean;
  /** Bytes accepted by us and not yet by the kernel. */
  bufferedBytes(): number;
  /** Protocol-level ping. */
  ping(): void;
  /** Sends a close frame (reason ≤ 123 bytes of UTF-8) and closes. */
  close(code: number, reason: string): void;
  /** Drops the connection without a close frame. */
  terminate(): void;
  /** Runs `body` with the socket corked, so that several frames leave in one system call where the library can do that. */
  cork(body: () => void): void;
  readonly remoteAddress: string;
}

export type SocketHandlers<Session> = {
  /** A GET with `Upgrade: websocket`. */
  upgrade(request: UpgradeRequest): UpgradeAnswer<Session>;
  opened(session: Session, connection: Connection): void;
  /** `bytes` is valid only until this returns. `isBinary`: a binary frame. */
  message(session: Session, bytes: Uint8Array, isBinary: boolean): void;
  /** A protocol-level pong arrived. */
  pong(session: Session): void;
  /** Called exactly once for every opened session. 1005: no code was sent; 1006: the connection was lost. */
  closed(session: Session, code: number, reason: string): void;
  /** Any other request; never throws. */
  http(request: HttpRequest): HttpResponse | Promise<HttpResponse>;
};

export type SocketLimits = {
  /** Frames above are cut by the library with 1006 and no reason; keep softer limits of our own. */
  readonly messageBytesMax: number;
  readonly bodyBytesMax: number;
  readonly bodyTimeoutMs: number;
  /** Bodies under way in all requests together; what goes beyond is refused with 503. */
  readonly bodiesBytesMax: number;
  /** Paths with bounds of their own; undefined: the two above. */
  readonly bodyOf?: (method: string, path: string) => BodyRule | undefined;
  readonly headerBytesMax: number;
  /** Hard limit on bytes queued for one slow client. */
  readonly bufferedBytesMax: number;
};

export interface SocketServer {
  /** Which library serves, for the start-up line: `uWebSockets.js` or `ws`. */
  readonly name: string;
  /**
   * Resolves with the bound port (0 asks for a free one). Rejects with EngineError `config` when the port is taken. `isShared`: other processes
   * of ours listen on the same port, and the kernel gives each connection to one of them; uWebSockets.js on Linux only. May be called again after
   * `stopListening`.
   */
  listen(host: string, port: number, isShared?: boolean): Promise<number>;
  /**
   * In place of `listen`: another process accepts connections and hands them over to the function this resolves with; `ws` only. `idlePath`: of a
   * local socket where nobody comes.
   */
  serveHanded(idlePath: string): Promise<(socket: Socket) => void>;
  /** Stops accepting; open sockets stay until `close`. */
  stopListening(): void;
  /** Terminates whatever is still open. */
  close(): Promise<void>;
}
