/** One engine process of a fleet, as the process that leads it sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { NeighbourCall } from '../server/neighbours.js';
import { EngineError } from '../shared/errors.js';
import type { MetricsAnswer } from '../shared/links.js';
import { noTotals, type PlainTotals } from '../telemetry/totals.js';
import type { FromMember, MemberStart, ToMember } from './links.js';

/** A connection that was handed over counts as a call for so long; if it is one, it has begun by then. */
const handedForMs = 1000;

export class EngineProcess<Settings> {
  /** Never given to another. */
  readonly number: number;
  /** Going on there, by conversation. */
  readonly calls = new Map<string, NeighbourCall>();
  /** Resolves with the exit status, or the signal. */
  readonly exit: Promise<number | string>;
  /** As far as it was last told. */
  totals: PlainTotals = noTotals;
  lastAnswers: readonly MetricsAnswer[] = [];
  /** It has said that it is ready, and not that it leaves. */
  isUp = false;
  /** It could take a call. */
  isOpen = false;
  isListening = true;
  hasExited = false;
  /** It leaves by itself: another one has taken its place. */
  isLeaving = false;
  readonly #child: ChildProcess;
  #handedAtMs: number[] = [];

  constructor(number: number, start: MemberStart<Settings>, onMessage: (message: FromMember) => void) {
    this.number = number;
    this.#child = fork(fileURLToPath(new URL('../member.js', import.meta.url)), [], {
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.exit = new Promise((resolve) => {
      const gone = (how: number | string): void => {
        this.hasExited = true;
        this.isUp = false;
        this.isOpen = false;
        resolve(how);
      };
      this.#child.once('exit', (code, signal) => gone(signal ?? code ?? 0));
      this.#child.once('error', (error) => gone(error.message));
    });
    this.#child.on('message', onMessage);
    this.send({ type: 'start', start });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves with what it says when it is ready; fails when it cannot start. */
  ready(next: (listen: (message: FromMember) => void) => void, timeoutMs: number): Promise<{ readonly says: readonly string[] }> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.kill();
        reject(new EngineError('timeout', `engine process ${this.number} was not ready in ${timeoutMs / 1000} s`));
      }, timeoutMs);
      next((message) => {
        if (message.type === 'ready') {
          clearTimeout(timer);
          resolve(message);
        } else if (message.type === 'failed') {
          clearTimeout(timer);
          reject(new EngineError(message.kind, message.message));
        }
      });
      void this.exit.then((how) => {
        clearTimeout(timer);
        reject(new EngineError('broken', `engine process ${this.number} ended before it was ready: ${how}`));
      });
    });
  }

  send(message: ToMember<Settings>): void {
    // Lost when it is gone, which `exit` tells.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }

  /** Calls, and connections that may become some. */
  load(atMs: number): number {
    this.#handedAtMs = this.#handedAtMs.filter((handedAtMs) => atMs - handedAtMs < handedForMs);
    return this.calls.size + this.#handedAtMs.length;
  }

  hand(socket: Socket, atMs: number): void {
    this.#handedAtMs.push(atMs);
    if (!this.#child.connected) {
      socket.destroy();
      return;
    }
    this.#child.send({ type: 'connection' } satisfies ToMember<Settings>, socket, (error) => {
      if (error !== null) socket.destroy();
    });
  }

  /** One of the connections that were handed over has become a call. */
  opened(call: NeighbourCall): void {
    this.calls.set(call.conversationId, call);
    this.#handedAtMs.shift();
  }

  kill(): void {
    if (!this.hasExited) this.#child.kill('SIGKILL');
  }
}
