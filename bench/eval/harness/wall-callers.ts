/**
 * A process of scripted callers in real time, started by `wall.ts`: makes the calls that it is told to, as many at once as it is told, each on its own
 * absolute schedule. One thread, one timer for all microphones.
 */

import WebSocket from 'ws';
import { Beat } from '../../../load/beat.js';
import { goFirst } from '../../../load/rig/go-first.js';
import { EngineError } from '../../../src/shared/errors.js';
import { ms } from '../../../src/shared/units.js';
import { CallerDriver, type Outgoing, tickMs } from './caller-driver.js';
import type { FromCallers, ToCallers, WallCall, WallCallDone } from './wall-messages.js';

const connectTimeoutMs = 10_000;
/** How long the engine may take to answer our close frame. */
const hangUpTimeoutMs = 2000;

const beat = new Beat();

class Call {
  readonly #driver: CallerDriver;
  readonly #socket: WebSocket;
  readonly #zeroMs: number;
  /** In the order of their instants. */
  readonly #outgoing: Outgoing[] = [];
  readonly #latenessesMs: number[] = [];
  readonly #over: () => void;
  #leaveBeat: () => void;
  #sendTimer: NodeJS.Timeout | undefined;
  #hangUpTimer: NodeJS.Timeout | undefined;
  #isByCaller = false;
  #endMs = 0;

  /** `socket` has opened just now. `over`: called once, when the connection has ended. */
  constructor(call: WallCall, socket: WebSocket, over: () => void) {
    this.#driver = new CallerDriver(call.driver);
    this.#socket = socket;
    this.#over = over;
    this.#zeroMs = beat.nowMs;
    socket.on('message', (data) => this.#send(this.#driver.receive(data.toString(), this.#nowMs)));
    socket.on('close', (code) => this.#end(code));
    this.#send([this.#driver.opening]);
    this.#leaveBeat = beat.join(ms(this.#zeroMs + tickMs), (dueAtMs) => this.#tick(dueAtMs));
  }

  result(index: number): WallCallDone {
    const playedMs = this.#latenessesMs.length * tickMs;
    const sorted = this.#latenessesMs.toSorted((left, right) => left - right);
    return {
      type: 'done',
      index,
      caller: this.#driver.record(),
      zeroMonotonicMs: this.#zeroMs,
      endMonotonicMs: this.#endMs,
      realTimeRatio: playedMs / (playedMs + (this.#latenessesMs.at(-1) ?? 0)),
      frameLatenessP99Ms: sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * 0.99) - 1)] ?? 0,
    };
  }

  get #nowMs(): number {
    return beat.nowMs - this.#zeroMs;
  }

  #tick(dueAtMs: number): void {
    if (this.#driver.isClosed || this.#isByCaller) return;
    this.#send(this.#driver.tick(this.#driver.nextTickMs));
    this.#latenessesMs.push(beat.nowMs - dueAtMs);
    if (this.#driver.wantsToHangUp) this.#hangUp();
  }

  #hangUp(): void {
    this.#isByCaller = true;
    this.#leaveBeat();
    this.#socket.close(1000, 'User ended conversation');
    this.#driver.close(1000, this.#nowMs, true);
    this.#hangUpTimer = setTimeout(() => this.#socket.terminate(), hangUpTimeoutMs);
  }

  #send(messages: readonly Outgoing[]): void {
    this.#outgoing.push(...messages);
    clearTimeout(this.#sendTimer);
    for (let next = this.#outgoing[0]; next !== undefined; next = this.#outgoing[0]) {
      const waitMs = next.atMs - this.#nowMs;
      if (waitMs > 0) {
        this.#sendTimer = setTimeout(() => this.#send([]), waitMs);
        return;
      }
      this.#outgoing.shift();
      if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(next.text);
    }
  }

  #end(code: number): void {
    this.#endMs = beat.nowMs;
    this.#driver.close(code, this.#nowMs, this.#isByCaller);
    this.#leaveBeat();
    clearTimeout(this.#sendTimer);
    clearTimeout(this.#hangUpTimer);
    this.#over();
  }
}

/** Resolves when the call is over. */
function make(order: WallCall): Promise<Call> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(order.url, { perMessageDeflate: false, handshakeTimeout: connectTimeoutMs });
    let isOpen = false;
    socket.on('open', () => {
      isOpen = true;
      const call: Call = new Call(order, socket, () => resolve(call));
    });
    // After the opening `close` follows and tells the rest.
    socket.on('error', (cause) => {
      if (!isOpen) reject(new EngineError('refused', `cannot connect to ${order.url}: ${cause.message}`, { cause }));
    });
  });
}

function tell(message: FromCallers): void {
  process.send?.(message);
}

goFirst();
const orders = new Map<number, WallCall>();
const calls = new Map<number, Call>();

async function begin(index: number): Promise<void> {
  try {
    calls.set(index, await make(orders.get(index)!));
    tell({ type: 'over', index });
  } catch (error) {
    tell({ type: 'failed', index, problem: error instanceof Error ? error.message : String(error) });
  }
}

process.on('message', (message: ToCallers) => {
  if (message.type === 'order') {
    orders.set(message.index, message);
    tell({ type: 'ordered', index: message.index });
  } else if (message.type === 'begin') void begin(message.index);
  else {
    tell(calls.get(message.index)!.result(message.index));
    calls.delete(message.index);
    orders.delete(message.index);
  }
});
// Whoever leads the run is gone or has seen enough.
process.on('disconnect', () => process.exit());
tell({ type: 'ready' });
