/** What the client is told: which events it wants, their ids, their count, and the ping. Conversation thread. */
import ringBuffer from 'ring-buffer-ts';
import { Cell, type Slot } from '../shared/slots.js';
import type { Recorder } from '../telemetry/recorder.js';
import { isSent, type ServerEvent } from '../wire/events.js';
import type { TurnHappening, TurnInstants } from '../wire/turn-event.js';
import type { SessionLinks } from './session-links.js';

const roundTripsKept = 5;
const firstPingMs = 200;
/** A client that delays its pongs must not make us believe in a link of seconds. */
const oneWayMaxMs = 400;

export class Outlet {
  readonly #links: SessionLinks;
  readonly #slot: Slot;
  readonly #recorder: Recorder;
  readonly #now: () => number;
  readonly #pingIntervalMs: number;
  #events: ReadonlySet<string> = new Set();
  #zeroMs = 0;
  /** Control messages handed to main so far; frames say after how many they may go. */
  controlCount = 0;
  #eventId = 0;
  #turnEventId = 0;
  #pingId = 0;
  #pingedAtMs = Number.POSITIVE_INFINITY;
  readonly #roundTrips = new ringBuffer.RingBuffer<number>(roundTripsKept);
  #lastPingMs: number | null = null;

  constructor(links: SessionLinks, slot: Slot, recorder: Recorder, now: () => number, pingIntervalMs: number) {
    this.#links = links;
    this.#slot = slot;
    this.#recorder = recorder;
    this.#now = now;
    this.#pingIntervalMs = pingIntervalMs;
  }

  /** From now on events of these kinds are sent. The first ping comes when the quiet after the metadata is over. */
  open(events: ReadonlySet<string>): void {
    this.#events = events;
    this.#zeroMs = this.#now();
    this.#pingedAtMs = this.#now() - this.#pingIntervalMs + firstPingMs;
  }

  /** Sent if the client asked for events of its kind. */
  send(event: ServerEvent): void {
    if (isSent(event, this.#events)) this.control(event);
  }

  /** For a console that draws the turns; others are not told. `atMs`: monotonic, when it happened. */
  happened(turn: number, happening: TurnHappening, atMs: number = this.#now()): void {
    const sentAtMs = this.#now() - this.#zeroMs;
    this.send({ type: 'parley_turn_event', turn, atMs: atMs - this.#zeroMs, sentAtMs, happening });
  }

  /** Instants on the monotonic clock as a console wants them: from the begin of the conversation on. */
  sinceBegin(instants: readonly (readonly [string, number])[]): TurnInstants {
    return Object.fromEntries(instants.map(([name, atMs]) => [name, atMs - this.#zeroMs]));
  }

  control(event: ServerEvent): void {
    this.controlCount += 1;
    this.#links.toMain({ type: 'control', event });
  }

  /** A CUT: `interruption`, if the client wants it, and the flush behind it, counted as one. */
  interrupt(event: ServerEvent, flush: ServerEvent, epoch: number, decidedAtMs: number): void {
    this.controlCount += 1;
    const wanted = isSent(event, this.#events) ? event : undefined;
    this.#links.toMain({ type: 'interruption', event: wanted, flush, epoch, decidedAtMs });
  }

  warn(errorType: 'invalid_message' | 'value_error', message: string): void {
    this.#recorder.count('parley_errors_total', `stage="client",error_type="${errorType}"`);
    this.send({ type: 'error', code: 1008, errorType, message });
  }

  nextEventId(): number {
    this.#eventId += 1;
    return this.#eventId;
  }

  get lastEventId(): number {
    return this.#eventId;
  }

  /** The id of the open user turn, given out when it is first spoken of. */
  turnEventId(): number {
    if (this.#turnEventId === 0) this.#turnEventId = this.nextEventId();
    return this.#turnEventId;
  }

  closeTurn(): void {
    this.#turnEventId = 0;
  }

  tick(atMs: number): void {
    if (atMs - this.#pingedAtMs < this.#pingIntervalMs) return;
    this.#pingedAtMs = atMs;
    this.#pingId += 1;
    this.send({ type: 'ping', eventId: this.#pingId, pingMs: this.#lastPingMs });
  }

  pong(eventId: number): void {
    if (eventId !== this.#pingId) return;
    const roundTripMs = this.#now() - this.#pingedAtMs;
    this.#roundTrips.add(roundTripMs);
    const sorted = this.#roundTrips.toArray().sort((a, b) => a - b);
    const median = sorted[sorted.length >> 1]!;
    this.#lastPingMs = Math.round(median);
    this.#recorder.record('client_round_trip', roundTripMs);
    this.#slot.store(Cell.oneWayMs, Math.min(oneWayMaxMs, Math.round(median / 2)));
    const spreadMs = sorted.at(-1)! - sorted[0]!;
    this.#slot.store(Cell.linkJitterMs, Math.min(oneWayMaxMs, Math.round(spreadMs / 2)));
  }
}
