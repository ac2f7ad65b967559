/**
 * A strict multi-context synthesis service for tests of its client. Every character of text becomes 10 ms of one sample value, its UTF-16
 * unit, so that a test can read back what was really spoken. Whatever the protocol forbids is kept in `violations` and ends the socket.
 */
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

export const contextsMax = 5;
export const charMs = 10;

type ClientMessage = {
  context_id?: string;
  text?: string;
  flush?: boolean;
  close_context?: boolean;
  close_socket?: boolean;
  voice_settings?: Record<string, number>;
};

export type Behaviour = {
  /** Speak each text as it comes (`auto_mode`); otherwise the test does it with `speak`. */
  speaksAtOnce: boolean;
  /** Answer `close_context` with `isFinal` at once; otherwise the test does it with `final`. */
  finishesAtOnce: boolean;
  alignment: 'own' | 'other_spelling' | 'normalized_only' | 'null' | 'none';
  /** Bytes of audio in one message; odd numbers split samples. */
  messageBytes: number;
  /** HTTP statuses for the next upgrades; then they are accepted. */
  refusals: { status: number; headers?: Record<string, string> }[];
  answersPings: boolean;
};

export class ServedContext {
  readonly id: string;
  readonly socket: ServedSocket;
  readonly settings: Record<string, number>;
  /** Everything received as text, in order. */
  readonly texts: string[] = [];
  /** What happened, in order: `text`, `flush`, `close`, `audio`, `final`, `keep-alive`. */
  readonly log: string[] = [];
  isClosed = false;
  isOver = false;
  #spokenTexts = 0;

  constructor(id: string, socket: ServedSocket, settings: Record<string, number>) {
    this.id = id;
    this.socket = socket;
    this.settings = settings;
  }

  /** Speaks all text that was not spoken yet, or the first `charsMax` characters of it. */
  speak(charsMax = Number.POSITIVE_INFINITY): void {
    const text = this.texts.slice(this.#spokenTexts).join('').slice(0, charsMax);
    this.#spokenTexts = this.texts.length;
    this.say(text);
  }

  /** Sends `text` as audio with its times, whatever the client wrote. */
  say(text: string): void {
    const { behaviour, rateHz } = this.socket.server;
    const perChar = (rateHz * charMs) / 1000;
    const audio = new Int16Array(text.length * perChar);
    for (let index = 0; index < text.length; index += 1) {
      audio.fill(text.charCodeAt(index), index * perChar, (index + 1) * perChar);
    }
    const bytes = Buffer.from(audio.buffer);
    const bytesPerChar = 2 * perChar;
    for (let from = 0; from < bytes.length; from += behaviour.messageBytes) {
      const part = bytes.subarray(from, from + behaviour.messageBytes);
      // A character belongs to the message in which it begins.
      const first = Math.ceil(from / bytesPerChar);
      const last = Math.ceil((from + part.length) / bytesPerChar);
      this.log.push('audio');
      this.socket.send({
        audio: part.toString('base64'),
        contextId: this.id,
        isFinal: null,
        ...this.#alignment(text.slice(first, last), (first * bytesPerChar - from) / (bytesPerChar / charMs)),
      });
    }
  }

  final(): void {
    this.log.push('final');
    this.isOver = true;
    this.socket.contexts.delete(this.id);
    this.socket.send({ contextId: this.id, isFinal: true });
  }

  #alignment(text: string, startMs: number): object {
    // One entry for each character, which may be two units.
    const chars = [...text];
    const charStartTimesMs = chars.map((_, index) => startMs + chars.slice(0, index).join('').length * charMs);
    const durations = chars.map((char) => char.length * charMs);
    const own = { chars, charStartTimesMs, charDurationsMs: durations };
    switch (this.socket.server.behaviour.alignment) {
      case 'own':
        return { alignment: own, normalizedAlignment: own };
      case 'other_spelling':
        return { alignment: { chars, charStartTimesMs, charsDurationsMs: durations }, is_final: null };
      case 'normalized_only':
        return { alignment: null, normalizedAlignment: own };
      case 'null':
        return { alignment: null, normalizedAlignment: null };
      case 'none':
        return {};
    }
  }
}

export class ServedSocket {
  readonly server: SynthesisServer;
  readonly url: URL;
  readonly request: IncomingMessage;
  readonly contexts = new Map<string, ServedContext>();
  readonly closed: Promise<number>;
  keepAlives = 0;
  contextsMost = 0;
  readonly #socket: WebSocket;
  readonly #usedIds = new Set<string>();

  constructor(server: SynthesisServer, socket: WebSocket, request: IncomingMessage) {
    this.server = server;
    this.#socket = socket;
    this.request = request;
    this.url = new URL(request.url ?? '/', 'ws://localhost');
    this.closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('message', (data) => this.#received(JSON.parse(String(data)) as ClientMessage));
  }

  send(message: object): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  sendRaw(text: string): void {
    this.#socket.send(text);
  }

  /** As if the line were cut. */
  drop(): void {
    this.#socket.terminate();
  }

  close(code: number): void {
    this.#socket.close(code);
  }

  #received(message: ClientMessage): void {
    const breach = this.#take(message);
    if (breach !== undefined) {
      this.server.violations.push(breach);
      this.send({ error: 'invalid_input_message', message: breach, code: 1008 });
      this.#socket.close(1008);
    }
    this.server.changed();
  }

  /** What is wrong with the message, if anything. */
  #take(message: ClientMessage): string | undefined {
    const { context_id: id } = message;
    const names = ['context_id', 'text', 'flush', 'close_context', 'close_socket', 'voice_settings'];
    if (!Object.keys(message).every((name) => names.includes(name))) return `unknown keys in ${Object.keys(message).join(', ')}`;
    if (id === undefined) {
      this.keepAlives += 1;
      const isKeepAlive = message.text === '' && Object.keys(message).length === 1;
      return isKeepAlive ? undefined : 'a message without a context is no keep-alive';
    }
    const context = this.contexts.get(id);
    return context === undefined ? this.#open(id, message) : this.#forContext(context, message);
  }

  #open(id: string, message: ClientMessage): string | undefined {
    if (this.#usedIds.has(id)) return `${id} is used again`;
    if (message.text !== ' ' || message.voice_settings === undefined) return `${id} does not begin with settings`;
    if (this.contexts.size >= contextsMax) return 'a sixth context';
    this.#usedIds.add(id);
    const context = new ServedContext(id, this, message.voice_settings);
    this.contexts.set(id, context);
    this.contextsMost = Math.max(this.contextsMost, this.contexts.size);
    this.server.contexts.push(context);
    return undefined;
  }

  #forContext(context: ServedContext, message: ClientMessage): string | undefined {
    if (message.voice_settings !== undefined) return `${context.id} has late settings`;
    if (context.isClosed) return `${context.id} was closed before`;
    if (message.text === '') context.log.push('keep-alive');
    else if (message.text !== undefined) {
      if (!/\s$/.test(message.text)) return 'a text without a space at its end';
      context.log.push('text');
      context.texts.push(message.text);
      if (this.server.behaviour.speaksAtOnce) context.speak();
    }
    if (message.flush === true) context.log.push('flush');
    if (message.close_context === true) {
      context.log.push('close');
      context.isClosed = true;
      if (this.server.behaviour.finishesAtOnce) context.final();
    }
    return undefined;
  }
}

export class SynthesisServer {
  behaviour: Behaviour = {
    speaksAtOnce: true,
    finishesAtOnce: true,
    alignment: 'own',
    messageBytes: 1600,
    refusals: [],
    answersPings: true,
  };
  readonly rateHz = 16000;
  readonly violations: string[] = [];
  /** In the order in which they were opened. */
  readonly sockets: ServedSocket[] = [];
  readonly contexts: ServedContext[] = [];
  /** Upgrades asked for, refused ones too: instants of `performance.now()`. */
  readonly attemptsAtMs: number[] = [];
  readonly #http: Server = createServer();
  #waiting: { isTrue: () => boolean; resolve: () => void }[] = [];

  static async open(behaviour: Partial<Behaviour> = {}): Promise<SynthesisServer> {
    const server = new SynthesisServer();
    server.behaviour = { ...server.behaviour, ...behaviour };
    await new Promise<void>((resolve) => server.#http.listen(0, '127.0.0.1', resolve));
    return server;
  }

  private constructor() {
    this.#http.on('upgrade', (request, socket, head) => {
      this.attemptsAtMs.push(performance.now());
      const refusal = this.behaviour.refusals.shift();
      if (refusal !== undefined) {
        const headers = Object.entries(refusal.headers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`);
        socket.end(`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n${headers.join('')}content-length: 0\r\n\r\n`);
      } else {
        const upgrader = new WebSocketServer({ noServer: true, autoPong: this.behaviour.answersPings });
        upgrader.handleUpgrade(request, socket, head, (accepted) => {
          this.sockets.push(new ServedSocket(this, accepted, request));
          this.changed();
        });
      }
      this.changed();
    });
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
  }

  /** Resolves as soon as `isTrue` holds; it is asked after everything a client does. */
  until(isTrue: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ isTrue, resolve });
      this.changed();
    });
  }

  /** Context number `count`, counted from 1, as soon as it is opened. */
  async context(count: number): Promise<ServedContext> {
    await this.until(() => this.contexts.length >= count);
    return this.contexts[count - 1]!;
  }

  changed(): void {
    const fulfilled = this.#waiting.filter((wait) => wait.isTrue());
    this.#waiting = this.#waiting.filter((wait) => !fulfilled.includes(wait));
    for (const wait of fulfilled) wait.resolve();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.drop();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }
}
