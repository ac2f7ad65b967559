/**
 * A link between two processes of this machine over a socket that only they can reach: calls with answers, and notes without. Messages are what
 * `structuredClone` takes, length first. Both ends are ours, so what arrives is trusted; how much may wait is bounded all the same.
 * API thread and the process that leads a fleet.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { EngineError, type FailureKind } from './errors.js';

export const localLinkLimits = {
  /** Of one message: the largest file, and room around it. */
  messageBytesMax: 32 * 1024 * 1024,
  /** Written and not yet taken by the other end. */
  waitingBytesMax: 128 * 1024 * 1024,
  /** Calls without an answer. */
  callsMax: 10_000,
} as const;

const headBytes = 4;

type Message =
  | { readonly type: 'call'; readonly id: number; readonly name: string; readonly args: readonly unknown[] }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown }
  | {
      readonly type: 'failure';
      readonly id: number;
      readonly kind: FailureKind;
      readonly message: string;
      readonly fields: Record<string, string | number>;
    }
  | { readonly type: 'note'; readonly value: unknown };

export type LocalHandlers = {
  /** A call of the other end. What it throws is what the other end gets. */
  readonly onCall: (name: string, args: readonly unknown[], link: LocalLink) => Promise<unknown>;
  readonly onNote: (value: unknown, link: LocalLink) => void;
  /** The other end is gone; calls under way have failed. */
  readonly onGone: (link: LocalLink) => void;
};

type Asked = { readonly resolve: (value: unknown) => void; readonly reject: (error: EngineError) => void; timer: NodeJS.Timeout };

export class LocalLink {
  readonly #socket: Socket;
  readonly #handlers: LocalHandlers;
  readonly #asked = new Map<number, Asked>();
  #parts: Buffer[] = [];
  #partsBytes = 0;
  #lastId = 0;
  #isGone = false;

  constructor(socket: Socket, handlers: LocalHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#gone());
  }

  /** Fails with `timeout`, with `unavailable` when the other end is gone or does not keep up, or as the other end failed. */
  call(name: string, args: readonly unknown[], timeoutMs: number): Promise<unknown> {
    if (this.#asked.size >= localLinkLimits.callsMax) {
      return Promise.reject(new EngineError('unavailable', 'too many calls wait for another process'));
    }
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#asked.delete(id);
        reject(new EngineError('timeout', `another process did not answer ${name} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#asked.set(id, { resolve, reject, timer });
      if (this.#send({ type: 'call', id, name, args })) return;
      clearTimeout(timer);
      this.#asked.delete(id);
      reject(new EngineError('unavailable', 'the process that leads the fleet cannot be reached'));
    });
  }

  /** Lost when the other end is gone or does not keep up. */
  note(value: unknown): void {
    this.#send({ type: 'note', value });
  }

  /** What was written before still arrives. */
  close(): void {
    this.#socket.end();
  }

  #send(message: Message): boolean {
    if (this.#isGone || this.#socket.writableLength > localLinkLimits.waitingBytesMax) return false;
    const body = serialize(message);
    if (body.byteLength > localLinkLimits.messageBytesMax) return false;
    const head = Buffer.allocUnsafe(headBytes);
    head.writeUInt32LE(body.byteLength);
    this.#socket.cork();
    this.#socket.write(head);
    this.#socket.write(body);
    this.#socket.uncork();
    return true;
  }

  #receive(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#partsBytes += bytes.byteLength;
    for (let body = this.#take(); body !== undefined; body = this.#take()) this.#handle(deserialize(body) as Message);
  }

  /** The next whole message. */
  #take(): Buffer | undefined {
    if (this.#partsBytes < headBytes) return undefined;
    if (this.#parts[0]!.byteLength < headBytes) this.#parts = [Buffer.concat(this.#parts)];
    const length = this.#parts[0]!.readUInt32LE();
    if (length > localLinkLimits.messageBytesMax) {
      this.#socket.destroy();
      return undefined;
    }
    if (this.#partsBytes < headBytes + length) return undefined;
    const all = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
    const rest = all.subarray(headBytes + length);
    this.#parts = rest.byteLength === 0 ? [] : [rest];
    this.#partsBytes = rest.byteLength;
    return all.subarray(headBytes, headBytes + length);
  }

  #handle(message: Message): void {
    if (message.type === 'note') {
      this.#handlers.onNote(message.value, this);
      return;
    }
    if (message.type === 'call') {
      void this.#answer(message);
      return;
    }
    const asked = this.#asked.get(message.id);
    if (asked === undefined) return; // it was given up
    clearTimeout(asked.timer);
    this.#asked.delete(message.id);
    if (message.type === 'answer') asked.resolve(message.value);
    else asked.reject(new EngineError(message.kind, message.message, { fields: message.fields }));
  }

  async #answer({ id, name, args }: Extract<Message, { type: 'call' }>): Promise<void> {
    try {
      this.#send({ type: 'answer', id, value: await this.#handlers.onCall(name, args, this) });
    } catch (error) {
      const { kind, fields } = error instanceof EngineError ? error : { kind: 'broken' as const, fields: {} };
      const message = error instanceof Error ? error.message : String(error);
      this.#send({ type: 'failure', id, kind, message, fields });
    }
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    for (const { reject, timer } of this.#asked.values()) {
      clearTimeout(timer);
      reject(new EngineError('unavailable', 'the process that leads the fleet is gone'));
    }
    this.#asked.clear();
    this.#handlers.onGone(this);
  }
}

/** Connects to a `LocalDoor`. What is sent before the connection stands waits for it. */
export function connectLocally(path: string, handlers: LocalHandlers): LocalLink {
  return new LocalLink(connect(path), handlers);
}

/** Where the processes of a fleet find the one that leads it: a socket in a folder that only this user may enter. */
export class LocalDoor {
  readonly path: string;
  readonly #folder: string;
  readonly #server: Server;
  readonly #links = new Set<LocalLink>();

  static async open(handlers: LocalHandlers): Promise<LocalDoor> {
    const door = new LocalDoor(handlers);
    await new Promise<void>((resolve, reject) => {
      door.#server.once('error', reject);
      door.#server.listen(door.path, resolve);
    });
    return door;
  }

  private constructor(handlers: LocalHandlers) {
    this.#folder = mkdtempSync(join(tmpdir(), 'parley-fleet-'));
    this.path = process.platform === 'win32' ? `\\\\.\\pipe\\${this.#folder.replaceAll('\\', '-')}` : join(this.#folder, 'desk');
    this.#server = createServer((socket) => {
      const link: LocalLink = new LocalLink(socket, {
        ...handlers,
        onGone: (gone) => {
          this.#links.delete(gone);
          handlers.onGone(gone);
        },
      });
      this.#links.add(link);
    });
  }

  /** To everybody but `except`. */
  tell(value: unknown, except?: LocalLink): void {
    for (const link of this.#links) if (link !== except) link.note(value);
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
