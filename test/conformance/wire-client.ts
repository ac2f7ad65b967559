/** A client that says exactly what a test wants on the wire and writes down what it receives, frame by frame. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import WebSocket from 'ws';
import type { Json } from './stage.js';

export type WireMessage = {
  readonly type: string;
  /** The object that holds the event's fields. */
  readonly details: Json;
  readonly eventId: number | undefined;
  readonly atMs: number;
  readonly isBinary: boolean;
  readonly text: string;
};

export type OpenOptions = {
  /** `ws://host:port`, or a whole URL of a conversation, which is used as it is. */
  readonly url: string;
  readonly agentId?: string;
  /** Fields of the initiation, which is sent as soon as the socket is open; false: none is sent. */
  readonly initiation?: Json | false;
  readonly protocols?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
};

export type Ending = { readonly code: number; readonly reason: string; readonly atMs: number };

const conversationPath = '/v1/convai/conversation';
const waitMs = 10_000;

export class WireClient {
  readonly socket: WebSocket;
  readonly messages: WireMessage[] = [];
  readonly ending: Promise<Ending>;
  /** Of the answer to the upgrade. */
  headers: IncomingMessage['headers'] = {};
  openedAtMs = 0;
  answersPings = true;
  readonly #waiters = new Set<() => void>();

  static async open({ url, agentId, initiation = {}, protocols = ['convai'], headers = {} }: OpenOptions): Promise<WireClient> {
    const isWhole = url.includes(conversationPath);
    const address = isWhole ? url : `${url}${conversationPath}${agentId === undefined ? '' : `?agent_id=${agentId}`}`;
    const client = new WireClient(address, protocols, headers);
    await once(client.socket, 'open');
    client.openedAtMs = performance.now();
    if (initiation !== false) client.send({ type: 'conversation_initiation_client_data', ...initiation });
    return client;
  }

  private constructor(address: string, protocols: readonly string[], headers: Readonly<Record<string, string>>) {
    this.socket = new WebSocket(address, [...protocols], { perMessageDeflate: false, headers });
    this.socket.on('upgrade', (response) => {
      this.headers = response.headers;
    });
    this.socket.on('message', (data, isBinary) => this.#receive(data.toString(), isBinary));
    this.socket.on('error', () => undefined);
    this.ending = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString(), atMs: performance.now() });
        this.#look();
      });
    });
  }

  #receive(text: string, isBinary: boolean): void {
    const body = JSON.parse(text) as Readonly<Record<string, Json>>;
    const type = String(body['type']);
    const details = Object.entries(body).find(([key]) => key !== 'type')?.[1] ?? {};
    const eventId = details['event_id'];
    this.messages.push({
      type,
      details,
      eventId: typeof eventId === 'number' ? eventId : undefined,
      atMs: performance.now(),
      isBinary,
      text,
    });
    if (type === 'ping' && this.answersPings) this.send({ type: 'pong', event_id: eventId });
    this.#look();
  }

  #look(): void {
    for (const waiter of this.#waiters) waiter();
  }

  send(message: Json | string): void {
    if (this.socket.readyState === WebSocket.OPEN)
      this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** Types. */
  say(text: string): void {
    this.send({ type: 'user_message', text });
  }

  /** The first answer of `look` that is not undefined, asked after every message. Fails at the end of the connection and after `timeoutMs`. */
  until<Found>(look: () => Found | undefined, timeoutMs = waitMs): Promise<Found> {
    return new Promise((resolve, reject) => {
      const waiter = (): void => {
        const found = look();
        const isOver = this.socket.readyState === WebSocket.CLOSED;
        if (found === undefined && !isOver) return;
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        if (found !== undefined) resolve(found);
        else reject(new Error(`the connection ended after ${this.summary}`));
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new Error(`waited ${timeoutMs} ms, received ${this.summary}`));
      }, timeoutMs);
      this.#waiters.add(waiter);
      waiter();
    });
  }

  /** The first event of `type` after `skip` others. */
  event(type: string, skip = 0, timeoutMs = waitMs): Promise<WireMessage> {
    return this.until(() => this.of(type)[skip], timeoutMs);
  }

  of(type: string): WireMessage[] {
    return this.messages.filter((message) => message.type === type);
  }

  get types(): string[] {
    return this.messages.map(({ type }) => type);
  }

  get summary(): string {
    const counts = new Map<string, number>();
    for (const type of this.types) counts.set(type, (counts.get(type) ?? 0) + 1);
    return [...counts].map(([type, count]) => `${count} ${type}`).join(', ') || 'nothing';
  }

  /** The id of this conversation, once it has begun. */
  async conversationId(): Promise<string> {
    return String((await this.event('conversation_initiation_metadata')).details['conversation_id']);
  }

  /** Types `text` and waits for the next `agent_response`. */
  async ask(text: string): Promise<WireMessage> {
    const before = this.of('agent_response').length;
    this.say(text);
    return this.event('agent_response', before);
  }

  /** When the reply with this id is complete. */
  completed(eventId: number | undefined, timeoutMs = 20_000): Promise<WireMessage> {
    return this.until(() => this.of('agent_response_complete').find((message) => message.eventId === eventId), timeoutMs);
  }

  /** Bytes of each audio event of one reply. */
  audioOf(eventId: number | undefined): Buffer[] {
    return this.of('audio')
      .filter((message) => message.eventId === eventId)
      .map(({ details }) => Buffer.from(String(details['audio_base_64']), 'base64'));
  }

  async hangUp(): Promise<Ending> {
    this.socket.close(1000, 'User ended conversation');
    return await this.ending;
  }
}
