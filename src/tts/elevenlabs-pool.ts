/**
 * The sockets of one voice, model and format, shared by conversations: opened before they are needed, kept alive, opened again when they are
 * lost, closed when nobody speaks any more. Runs on the TTS thread.
 */
import { nowMs } from '../shared/clock.js';
import { EngineError } from '../shared/errors.js';
import type { Connect } from '../shared/keep-alive-http.js';
import { type Context, type ContextEvents, ContextSocket, type SocketSettings } from './elevenlabs-socket.js';

export type PoolSettings = SocketSettings & {
  /** First and longest wait before a lost socket is opened again; doubled in between, and shortened at random by up to a half. */
  readonly backOffMinMs: number;
  readonly backOffMaxMs: number;
  /** Sockets of one voice, model and format. */
  readonly socketsMax: number;
  /** A spare socket without contexts is closed after this time, the last one only after `poolIdleMs` without a reply. */
  readonly spareIdleMs: number;
  readonly poolIdleMs: number;
};

export class SocketPool {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #settings: PoolSettings;
  readonly #connect: Connect | undefined;
  readonly #sockets = new Set<ContextSocket>();
  readonly #closing = new Set<Promise<void>>();
  readonly #openWaiters: { resolve: () => void; reject: (error: EngineError) => void }[] = [];
  #failures = 0;
  #failedAtMs = 0;
  #nextAttemptAtMs = 0;
  #usedAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** `headers` carry the key and are never shown to anybody but the service. */
  constructor(url: string, headers: Readonly<Record<string, string>>, settings: PoolSettings, connect?: Connect) {
    this.#url = url;
    this.#headers = headers;
    this.#settings = settings;
    this.#connect = connect;
  }

  get usedAtMs(): number {
    return this.#usedAtMs;
  }

  /** Resolves when a socket is open, rejects when the attempt under way fails. Keeps one open from then on. */
  warm(): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError());
    this.#wake();
    if ([...this.#sockets].some((socket) => socket.isOpen)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#openWaiters.push({ resolve, reject });
      if (this.#sockets.size === 0) this.#addSocket();
    });
  }

  /** A place for one reply, on an open socket if there is one. An error when all places are taken. */
  openContext(events: ContextEvents): Context | EngineError {
    if (this.#isClosed) return closedError();
    this.#wake();
    const free = [...this.#sockets].filter((socket) => socket.freePlaces > 0);
    const socket = free.find((candidate) => candidate.isOpen) ?? free[0] ?? this.#addSocket();
    if (socket === undefined) return new EngineError('rate_limited', 'All connections to the speech provider are in use.');
    const context = socket.openContext(events);
    // The next reply should not wait for a connection.
    if ([...this.#sockets].every((candidate) => candidate.freePlaces === 0)) this.#addSocket();
    return context;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await Promise.all([...this.#closing, ...[...this.#sockets].map((socket) => socket.close())]);
  }

  #wake(): void {
    this.#usedAtMs = nowMs();
    this.#timer ??= setInterval(() => this.#tick(), this.#settings.keepAliveMs);
  }

  #addSocket(): ContextSocket | undefined {
    if (this.#isClosed || this.#sockets.size >= this.#settings.socketsMax) return undefined;
    const delayMs = Math.max(0, this.#nextAttemptAtMs - nowMs());
    const events = {
      onOpen: () => {
        for (const waiter of this.#openWaiters.splice(0)) waiter.resolve();
      },
      onGone: (error: EngineError, startedAtMs: number, wasGood: boolean) =>
        this.#socketGone(socket, error, startedAtMs, wasGood),
    };
    const socket = new ContextSocket(this.#url, this.#headers, delayMs, this.#settings, events, this.#connect);
    this.#sockets.add(socket);
    return socket;
  }

  #socketGone(socket: ContextSocket, error: EngineError, startedAtMs: number, wasGood: boolean): void {
    this.#sockets.delete(socket);
    for (const waiter of this.#openWaiters.splice(0)) waiter.reject(error);
    if (error.kind === 'aborted') return;
    // Sockets that are lost together are one failure: only one that was begun after the last failure is another.
    if (startedAtMs >= this.#failedAtMs) {
      this.#failedAtMs = nowMs();
      if (wasGood) this.#failures = 0;
      const { backOffMinMs, backOffMaxMs } = this.#settings;
      const backOffMs = Math.min(backOffMaxMs, backOffMinMs * 2 ** Math.min(this.#failures, 16));
      this.#failures += 1;
      this.#nextAttemptAtMs = this.#failedAtMs + backOffMs * (0.5 + 0.5 * Math.random());
    }
    // A wrong key or voice stays wrong until somebody asks again.
    if (error.kind !== 'rejected' && this.#sockets.size === 0) this.#addSocket();
  }

  #tick(): void {
    for (const socket of this.#sockets) socket.keepAlive();
    const atMs = nowMs();
    const isUnused = atMs - this.#usedAtMs > this.#settings.poolIdleMs;
    for (const socket of [...this.#sockets]) {
      const isSpare = this.#sockets.size > 1 && [...this.#sockets].some((other) => other !== socket && other.freePlaces > 1);
      const isOld = atMs - socket.idleSinceMs > this.#settings.spareIdleMs;
      if (socket.contextCount > 0 || !(isUnused || (isSpare && isOld))) continue;
      this.#sockets.delete(socket);
      const closing = socket.close().finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
    }
    if (this.#sockets.size === 0 && isUnused) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

function closedError(): EngineError {
  return new EngineError('aborted', 'The speech provider is closed.');
}
