/**
 * One socket to the multi-context synthesis service. It carries several contexts, one per reply, and knows the service's rules about them:
 * five at most, ids used once, late audio of a cut reply is ignored. Knows nothing about text. Runs on the TTS thread.
 */
import type { IncomingMessage } from 'node:http';
import type { createConnection } from 'node:net';
import { WebSocket } from 'ws';
import { nowMs } from '../shared/clock.js';
import { EngineError, type FailureKind } from '../shared/errors.js';
import { kindOfStatus, retryAfterMs } from '../shared/http-errors.js';
import type { Connect } from '../shared/keep-alive-http.js';
import { parseServerMessage, type ServerMessage } from './elevenlabs-messages.js';

export type SocketSettings = {
  readonly connectDeadlineMs: number;
  /** Between two keep-alives; the service closes after 20 s without a message. */
  readonly keepAliveMs: number;
  /** How long a closed context may keep its place when the service never says that it is over. */
  readonly drainMs: number;
};

/** What one reply hears of its context. Nothing comes after `onFinal`, `onLost` or `abandon()`. */
export type ContextEvents = {
  readonly onAudio: (message: Extract<ServerMessage, { kind: 'audio' }>) => void;
  /** The service has sent all audio of the context. */
  readonly onFinal: () => void;
  readonly onLost: (error: EngineError) => void;
};

/** One generation inside a socket. */
export interface Context {
  /** Queued while the socket is still being opened. */
  send(message: Readonly<Record<string, unknown>>): void;
  /** No more text. The audio still comes, then `onFinal`. */
  finish(): void;
  /** Its audio is ignored from this instant on; then the service is told. */
  abandon(): void;
}

/** Contexts that the service allows on one socket; a closed one counts until its last audio has come. */
const contextsPerSocketMax = 5;
/** Ten seconds of 48 kHz audio in base64 are 1.3 MB. */
const messageBytesMax = 4 * 1024 * 1024;
/** A socket that lived this long was a good one even if it had nothing to say: after it the back-off begins from the start. */
const stableMs = 5000;
/** Time for the closing handshake. */
const closeGraceMs = 500;

let lastContextNumber = 0;

type ContextState = {
  readonly id: string;
  /** `undefined`: ignored. */
  events: ContextEvents | undefined;
  /** Messages that wait for the socket. */
  readonly queue: string[];
  isClosed: boolean;
  drainTimer: NodeJS.Timeout | undefined;
};

export type SocketEvents = {
  readonly onOpen: () => void;
  /** Once, however it ends. `startedAtMs`: when it began to connect, 0 if it never did. `wasGood`: it spoke, or lived long. */
  readonly onGone: (error: EngineError, startedAtMs: number, wasGood: boolean) => void;
};

export class ContextSocket {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #settings: SocketSettings;
  readonly #events: SocketEvents;
  readonly #connectBy: Connect | undefined;
  readonly #contexts = new Map<string, ContextState>();
  #socket: WebSocket | undefined;
  #phase: 'waiting' | 'connecting' | 'open' | 'gone' = 'waiting';
  #timer: NodeJS.Timeout | undefined;
  #error: EngineError | undefined;
  #startedAtMs = 0;
  #openedAtMs = 0;
  #hasSpoken = false;
  #isAlive = true;
  idleSinceMs = nowMs() as number;

  /** Connects after `delayMs`; over what `connect` gives, if there is one. */
  constructor(
    url: string,
    headers: Readonly<Record<string, string>>,
    delayMs: number,
    settings: SocketSettings,
    events: SocketEvents,
    connect?: Connect,
  ) {
    this.#url = url;
    this.#headers = headers;
    this.#settings = settings;
    this.#events = events;
    this.#connectBy = connect;
    if (delayMs <= 0) this.#connect();
    else this.#timer = setTimeout(() => this.#connect(), delayMs);
  }

  get isOpen(): boolean {
    return this.#phase === 'open';
  }

  get contextCount(): number {
    return this.#contexts.size;
  }

  get freePlaces(): number {
    return this.#phase === 'gone' ? 0 : contextsPerSocketMax - this.#contexts.size;
  }

  /** Takes one of `freePlaces`. */
  openContext(events: ContextEvents): Context {
    lastContextNumber += 1;
    const state: ContextState = { id: `r${lastContextNumber}`, events, queue: [], isClosed: false, drainTimer: undefined };
    this.#contexts.set(state.id, state);
    return {
      send: (message) => this.#sendTo(state, message),
      finish: () => this.#closeContext(state),
      abandon: () => {
        state.events = undefined;
        this.#closeContext(state);
      },
    };
  }

  /** Resets the service's timers, of the socket and of each context that waits for text, and notices a dead line. */
  keepAlive(): void {
    if (this.#phase !== 'open' || this.#socket === undefined) return;
    if (!this.#isAlive) {
      this.#end(new EngineError('broken', 'The connection to the speech provider is dead.'));
      return;
    }
    this.#isAlive = false;
    this.#socket.ping();
    this.#socket.send(JSON.stringify({ text: '' }));
    for (const state of this.#contexts.values()) {
      if (!state.isClosed) this.#socket.send(JSON.stringify({ context_id: state.id, text: '' }));
    }
  }

  /** Ends the socket in order; its contexts hear nothing any more. */
  async close(): Promise<void> {
    for (const state of this.#contexts.values()) state.events = undefined;
    const socket = this.#socket;
    if (socket === undefined || this.#phase !== 'open') {
      this.#end(new EngineError('aborted', 'The connection was closed by us.'));
      return;
    }
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const timer = setTimeout(() => socket.terminate(), closeGraceMs);
    this.#error = new EngineError('aborted', 'The connection was closed by us.');
    socket.close(1000);
    await closed;
    clearTimeout(timer);
  }

  #connect(): void {
    this.#phase = 'connecting';
    this.#startedAtMs = nowMs();
    const socket = new WebSocket(this.#url, {
      headers: this.#headers,
      perMessageDeflate: false,
      maxPayload: messageBytesMax,
      followRedirects: false,
      // A Duplex is all that is asked of it, whatever the type says.
      ...(this.#connectBy === undefined ? {} : { createConnection: this.#connectBy as unknown as typeof createConnection }),
    });
    this.#socket = socket;
    this.#timer = setTimeout(() => {
      this.#end(new EngineError('timeout', 'The speech provider did not accept the connection in time.'));
    }, this.#settings.connectDeadlineMs);
    socket.on('open', () => this.#opened());
    socket.on('message', (data, isBinary) => this.#received(data as Buffer, isBinary));
    socket.on('pong', () => {
      this.#isAlive = true;
    });
    socket.on('unexpected-response', (_request, response) => this.#end(refusal(response)));
    socket.on('error', (cause: Error & { code?: string }) => {
      const isProtocol = cause.code?.startsWith('WS_ERR') === true;
      const kind = this.#phase === 'open' ? (isProtocol ? 'garbage' : 'broken') : 'refused';
      this.#error ??= new EngineError(kind, 'The connection to the speech provider failed.', { cause });
    });
    socket.on('close', (code) => this.#end(closure(code)));
  }

  #opened(): void {
    if (this.#phase !== 'connecting') return;
    clearTimeout(this.#timer);
    this.#phase = 'open';
    this.#openedAtMs = nowMs();
    for (const state of this.#contexts.values()) for (const text of state.queue.splice(0)) this.#socket?.send(text);
    this.#events.onOpen();
  }

  #received(data: Buffer, isBinary: boolean): void {
    this.#isAlive = true;
    const message: ServerMessage = isBinary ? { kind: 'garbage' } : parseServerMessage(data.toString('utf8'));
    if (message.kind === 'garbage') {
      this.#end(new EngineError('garbage', 'The speech provider sent something that is not in its protocol.'));
      return;
    }
    const state = message.contextId === undefined ? undefined : this.#contexts.get(message.contextId);
    if (message.kind === 'error') {
      if (state === undefined) this.#error ??= message.error;
      else {
        // The service closes the socket next; for the other replies on it that is only a lost connection.
        this.#error ??= new EngineError('broken', 'The speech provider closed the connection over another reply.');
        this.#lose(state, message.error);
      }
      return;
    }
    this.#hasSpoken ||= message.audio.length > 0;
    // Audio of an ignored context, or of one that gave up its place long ago, ends here.
    if (state === undefined) return;
    if (message.isFinal) {
      // Out of the list first: nothing may be sent to a context that is over, not even from within the callback.
      state.isClosed = true;
      this.#free(state);
    } else state.drainTimer?.refresh();
    if (message.audio.length > 0 || message.alignment !== undefined) state.events?.onAudio(message);
    if (message.isFinal) state.events?.onFinal();
  }

  #sendTo(state: ContextState, message: Readonly<Record<string, unknown>>): void {
    if (state.isClosed || this.#phase === 'gone') return;
    const text = JSON.stringify({ context_id: state.id, ...message });
    if (this.#phase === 'open') this.#socket?.send(text);
    else state.queue.push(text);
  }

  #closeContext(state: ContextState): void {
    if (this.#contexts.get(state.id) !== state) return;
    if (this.#phase !== 'open') {
      // The service has never heard of it. A reply that still wants its audio has it closed when all is sent.
      if (state.events === undefined) this.#free(state);
      else this.#sendTo(state, { close_context: true });
      return;
    }
    this.#sendTo(state, { close_context: true });
    state.isClosed = true;
    state.drainTimer ??= setTimeout(() => this.#lose(state, overdue()), this.#settings.drainMs);
  }

  /** The context is over without `isFinal`. */
  #lose(state: ContextState, error: EngineError): void {
    state.isClosed = true;
    this.#free(state);
    state.events?.onLost(error);
  }

  /** Gives the context's place back. */
  #free(state: ContextState): void {
    clearTimeout(state.drainTimer);
    this.#contexts.delete(state.id);
    this.idleSinceMs = nowMs();
  }

  /** The first error that was noticed is the reason, whatever is reported afterwards. */
  #end(error: EngineError): void {
    if (this.#phase === 'gone') return;
    const wasGood = this.#phase === 'open' && (this.#hasSpoken || nowMs() - this.#openedAtMs >= stableMs);
    const reason = this.#error ?? error;
    this.#phase = 'gone';
    clearTimeout(this.#timer);
    this.#socket?.terminate();
    const lost = [...this.#contexts.values()];
    for (const state of lost) this.#free(state);
    // The pool first: a reply that begins anew in `onLost` must not be given this socket.
    this.#events.onGone(reason, this.#startedAtMs, wasGood);
    for (const state of lost) state.events?.onLost(reason);
  }
}

function refusal(response: IncomingMessage): EngineError {
  const status = response.statusCode ?? 0;
  response.resume();
  const waitMs = retryAfterMs(response.headers);
  const fields = { status, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) };
  return new EngineError(kindOfStatus(status), `The speech provider refused the connection with status ${status}.`, { fields });
}

/** A close that we did not ask for. 1008 and 1009 stand for a request the service will not accept (1009 also for a voice and model that do not fit). */
function closure(code: number): EngineError {
  const kind: FailureKind = code === 1008 || code === 1009 ? 'rejected' : code === 1011 ? 'server' : 'broken';
  return new EngineError(kind, 'The speech provider closed the connection.', { fields: { code } });
}

function overdue(): EngineError {
  return new EngineError('timeout', 'The speech provider did not say that a reply is over.');
}
