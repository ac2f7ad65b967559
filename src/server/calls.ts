/**
 * Every call of this process: who may come in, which slot they get, and when a slot is free again. Main thread.
 * A slot is given out again only when every thread has answered `released`.
 */
import type { FromConversation, HandshakeFacts, ToConversation } from '../conversation/links.js';
import type { CutSent, InputGap, Released, SessionFailed, SlotOrder } from '../shared/links.js';
import { randomId } from '../shared/random-id.js';
import { Cell, claim, type SharedBlock, Slot } from '../shared/slots.js';
import type { Log } from '../telemetry/log.js';
import type { Recorder } from '../telemetry/recorder.js';
import { chooseSubprotocol, parseHandshakeQuery } from '../wire/handshake.js';
import type { Ticket } from '../wire/signed-url.js';
import { judgeAccess, type Keys, UsedTickets } from './access.js';
import { refusal } from './adapter-rules.js';
import { type AddressRule, NewCallRate } from './address-limits.js';
import { Call } from './call.js';
import type { OutputCounters } from './call-output.js';
import { ClientAddresses } from './client-address.js';
import { Departures } from './departures.js';
import { type CallNews, Neighbours } from './neighbours.js';
import type { Connection, UpgradeAnswer, UpgradeRequest } from './port.js';

export const conversationPath = '/v1/convai/conversation';

/** What main sends to the threads that serve a session. */
export type Lanes = {
  readonly toConversation: (message: ToConversation) => void;
  readonly toTts: (message: SlotOrder | CutSent) => void;
  readonly toStt: (message: SlotOrder | InputGap) => void;
  readonly toVad: (message: SlotOrder) => void;
  /** Wakes the detector if it sleeps and this slot has a hop for it. */
  readonly audio: (slot: Slot) => void;
};

/**
 * Somebody at the door. The slot is given out only when the socket is open: a handshake that dies half way holds none.
 */
export type Visitor = {
  readonly facts: Omit<HandshakeFacts, 'agentCalls'>;
  /** Of a signed URL: used up when the socket is open. */
  readonly ticket: Ticket | undefined;
  /** Under which the caller's calls are counted. */
  readonly address: string;
  call: Call | undefined;
};

/** Whom those talk to who name nobody. */
const defaultAgentId = 'default';

/** Threads that must let go of a slot. */
const releasesNeeded = 4;

type Seat = {
  readonly slot: Slot;
  call: Call | undefined;
  generation: number;
  releasesMissing: number;
  /** Its threads are gone: not given out before there are new ones. */
  isLost: boolean;
  /** Of the call's client. */
  address: string;
};

/** What is expected of everybody at the door, besides a free slot. */
export type DoorRules = {
  readonly address: AddressRule;
  readonly addresses: ClientAddresses;
  /** Calls of the whole fleet; of a process alone: its slots. */
  readonly placesMax: number;
  readonly neighbours: Neighbours;
  /** For the other processes of a fleet. */
  readonly tell: (news: CallNews) => void;
};

/** Of a process alone, with no limits by address. */
export function openDoor(placesMax: number): DoorRules {
  return {
    address: { callsMax: 0, newPerSecond: 0 },
    addresses: new ClientAddresses([]),
    placesMax,
    neighbours: new Neighbours(),
    tell: () => undefined,
  };
}

export class Calls {
  readonly #seats: Seat[];
  readonly #free: number[];
  readonly #lanes: Lanes;
  readonly #recorder: Recorder;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #keys: Keys;
  readonly #usedTickets = new UsedTickets();
  readonly #door: DoorRules;
  readonly #newCalls: NewCallRate;
  readonly #byAddress = new Map<string, number>();
  /** Conversation id → its call. */
  readonly #live = new Map<string, Call>();
  readonly #departures: Departures<Call>;
  readonly counters: OutputCounters = { staleFrames: 0, supersededFrames: 0, sentFrames: 0, heldTimes: 0 };
  isOpen = false;
  /** Why the node takes no more calls for now, although there are places. */
  overload: () => string | undefined = () => undefined;
  #liveCount = 0;
  /** Called when the last call is gone and all threads have let go of it. */
  onEmpty: () => void = () => undefined;

  constructor(
    block: SharedBlock,
    lanes: Lanes,
    recorder: Recorder,
    log: Log,
    now: () => number,
    keys: Keys,
    door: DoorRules = openDoor(block.slotCount),
  ) {
    this.#door = door;
    this.#newCalls = new NewCallRate(door.address.newPerSecond);
    this.#seats = Array.from({ length: block.slotCount }, (_, index) => ({
      slot: new Slot(block, index),
      call: undefined,
      generation: 0,
      releasesMissing: 0,
      isLost: false,
      address: '',
    }));
    this.#free = this.#seats.map((_, index) => index).reverse();
    this.#lanes = lanes;
    this.#recorder = recorder;
    this.#log = log;
    this.#now = now;
    this.#keys = keys;
    this.#departures = new Departures(now, (call) => this.#guarded(call, () => call.ring()));
  }

  /** Whether a conversation of this id is going on, here or at another process of the fleet. */
  isLive(conversationId: string): boolean {
    return this.#live.has(conversationId) || this.#door.neighbours.has(conversationId);
  }

  /** Calls going on in this process. */
  get liveCount(): number {
    return this.#liveCount;
  }

  /** No call goes on, and no thread still has to finish one. */
  get isEmpty(): boolean {
    return this.#liveCount === 0 && this.#seats.every(({ releasesMissing, isLost }) => releasesMissing === 0 || isLost);
  }

  /** Of this process, whatever the fleet has. */
  get slotsFree(): number {
    return this.#free.length;
  }

  /** Calls that would be let in here now. */
  get freeCount(): number {
    return Math.max(0, Math.min(this.#free.length, this.#door.placesMax - this.#liveCount - this.#door.neighbours.count));
  }

  upgrade(request: UpgradeRequest): UpgradeAnswer<Visitor> {
    if (request.path !== conversationPath) return refuse(404, 'not_found', `Conversations are at ${conversationPath}.`);
    const query = parseHandshakeQuery(request.query);
    if (!query.ok) return refuse(400, 'bad_request', query.message);
    const subprotocol = chooseSubprotocol(request.protocols);
    if (!subprotocol.ok) return refuse(400, 'bad_request', subprotocol.message);
    if (!this.isOpen) return this.#refused(503, 'draining', 'This server is not taking new calls.');
    const address = this.#door.addresses.of(request.remoteAddress, request.header('x-forwarded-for'));
    if (!this.#newCalls.take(address, this.#now())) {
      return this.#refused(429, 'too_many_calls', 'Too many new calls from this address. Wait a second.');
    }
    if (this.freeCount === 0) {
      const isRestarting = this.#seats.some(({ isLost }) => isLost);
      if (isRestarting) return this.#refused(503, 'restarting', 'Part of this server is being started anew.');
      return this.#refused(503, 'capacity', `All ${this.#door.placesMax} places are taken.`);
    }
    const overload = this.overload();
    if (overload !== undefined) return this.#refused(503, 'overloaded', `This server has enough to do (${overload}).`);
    const { agentId, conversationSignature, source, version, environment, branchId } = query.query;
    const shown = {
      agentId,
      conversationSignature,
      bearerEntry: subprotocol.bearerToken,
      apiKeyHeader: request.header('xi-api-key'),
      authorizationHeader: request.header('authorization'),
    };
    const { access, ticket } = judgeAccess(shown, this.#keys, Date.now());
    const facts = {
      conversationId: ticket?.conversationId ?? `conv_${randomId()}`,
      agentId: ticket?.agentId ?? agentId ?? '',
      source: source ?? '',
      version: version ?? '',
      environment: ticket?.environment ?? environment,
      branchId: ticket?.branchId ?? branchId ?? '',
      origin: request.header('origin') ?? '',
      access,
    };
    return { accept: true, protocol: subprotocol.protocol, session: { facts, ticket, address, call: undefined } };
  }

  #refused(status: number, name: string, message: string): UpgradeAnswer<Visitor> {
    this.#recorder.count('parley_refused_total', `reason="${name}"`);
    return refuse(status, name, message);
  }

  opened(visitor: Visitor, connection: Connection): void {
    const { address: client } = visitor;
    const { callsMax } = this.#door.address;
    const fromThere = (this.#byAddress.get(client) ?? 0) + this.#door.neighbours.from(client);
    if (callsMax > 0 && fromThere >= callsMax) {
      this.#recorder.count('parley_refused_total', 'reason="address"');
      // Let in and closed, so that a browser can read why.
      connection.close(3008, 'Too many calls from this address at once.');
      return;
    }
    const index = this.freeCount === 0 ? undefined : this.#free.pop();
    if (index === undefined) {
      this.#recorder.count('parley_refused_total', 'reason="capacity"');
      connection.close(1008, 'All places are taken. Please call again later.');
      return;
    }
    const call = this.#seat(index, this.#factsOf(visitor));
    visitor.call = call;
    this.#seats[index]!.address = client;
    this.#byAddress.set(client, (this.#byAddress.get(client) ?? 0) + 1);
    const { conversationId, agentId } = call.facts;
    this.#door.tell({ type: 'opened', call: { conversationId, agentId: agentId || defaultAgentId, address: client } });
    this.#live.set(call.facts.conversationId, call);
    const address = { slot: index, generation: call.generation };
    this.#liveCount += 1;
    this.#recorder.count('parley_calls_total');
    this.#log('session.opened', { conversation_id: call.facts.conversationId, slot: index, source: call.facts.source });
    this.#lanes.toVad({ type: 'open', ...address });
    this.#lanes.toStt({ type: 'open', ...address });
    this.#lanes.toTts({ type: 'open', ...address });
    call.opened(connection);
  }

  /** What the conversation thread gets to know: now a signed URL is used up, and it is known how many others talk to the same agent. */
  #factsOf({ facts, ticket }: Visitor): HandshakeFacts {
    const problem = ticket === undefined ? undefined : this.#usedTickets.use(ticket, Date.now());
    let agentCalls = 1;
    const agentId = facts.agentId || defaultAgentId;
    for (const { call } of this.#seats)
      if (call !== undefined && (call.facts.agentId || defaultAgentId) === agentId) agentCalls += 1;
    agentCalls += this.#door.neighbours.withAgent(agentId);
    if (problem === undefined) return { ...facts, agentCalls };
    // The id in the URL belongs to the conversation that used it.
    return { ...facts, agentCalls, conversationId: `conv_${randomId()}`, access: { kind: 'refused', reason: problem } };
  }

  closed(visitor: Visitor, code: number): void {
    const { call } = visitor;
    if (call === undefined) return;
    visitor.call = undefined;
    const { index } = call.slot;
    const address = { slot: index, generation: call.generation };
    this.#liveCount -= 1;
    this.#log('session.closed', { conversation_id: call.facts.conversationId, slot: index, code });
    call.closed();
    this.#departures.delete(call);
    if (this.#live.get(call.facts.conversationId) === call) this.#live.delete(call.facts.conversationId);
    const seat = this.#seats[index]!;
    seat.call = undefined;
    const left = (this.#byAddress.get(seat.address) ?? 0) - 1;
    if (left > 0) this.#byAddress.set(seat.address, left);
    else this.#byAddress.delete(seat.address);
    this.#door.tell({ type: 'closed', conversationId: call.facts.conversationId });
    if (seat.isLost) {
      // Nobody is there to answer; the slot comes back with the new threads.
      if (this.isEmpty) this.onEmpty();
      return;
    }
    seat.releasesMissing = releasesNeeded;
    this.#lanes.toConversation(this.#closeOf(seat, code));
    this.#lanes.toVad({ type: 'close', ...address });
    this.#lanes.toStt({ type: 'close', ...address });
    this.#lanes.toTts({ type: 'close', ...address });
  }

  /** One thread has let go of a slot. */
  released(message: Released): void {
    const seat = this.#seats[message.slot];
    if (seat === undefined || seat.generation !== message.generation || seat.releasesMissing === 0 || seat.isLost) return;
    seat.releasesMissing -= 1;
    if (seat.releasesMissing > 0) return;
    this.#free.push(message.slot);
    if (this.isEmpty) this.onEmpty();
  }

  fromConversation(message: FromConversation): void {
    if (message.type === 'released') {
      this.released(message);
      return;
    }
    if (message.type === 'session_failed') {
      this.failed(message);
      return;
    }
    const call = this.#seats[message.slot]?.call;
    if (call?.generation === message.generation) this.#guarded(call, () => call.fromConversation(message));
  }

  /** A bug of ours hit one session: its call ends, the others go on. */
  failed(message: SessionFailed): void {
    const call = this.#seats[message.slot]?.call;
    if (call?.generation !== message.generation) return;
    this.#recorder.count('parley_errors_total', 'stage="engine",error_type="unknown"');
    this.#log('session.failed', { conversation_id: call.facts.conversationId, slot: message.slot, message: message.message });
    call.end(1011, 'Internal error. Please call again.');
  }

  /** A message of the client's, on the socket's callback. */
  message(visitor: Visitor, bytes: Uint8Array, isBinary: boolean): void {
    const { call } = visitor;
    if (call !== undefined) this.#guarded(call, () => call.message(bytes, isBinary));
  }

  #guarded(call: Call, enter: () => void): void {
    try {
      enter();
    } catch (error) {
      const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.failed({ type: 'session_failed', slot: call.slot.index, generation: call.generation, message });
    }
  }

  /** The bell: every call that may be meant looks at its ring. */
  ring(): void {
    for (const { call } of this.#seats) if (call?.isRung === true) this.#guarded(call, () => call.ring());
  }

  sweep(): void {
    const atMs = this.#now();
    for (const { call } of this.#seats) if (call !== undefined) this.#guarded(call, () => call.sweep(atMs));
  }

  endAll(code: number, reason: string): void {
    this.endSome(this.#seats.length, code, reason);
  }

  /** Ends at most `countMax` of those that were not told to end yet. Returns how many. */
  endSome(countMax: number, code: number, reason: string): number {
    let count = 0;
    for (const { call } of this.#seats) {
      if (call === undefined || call.isEnding) continue;
      if (count === countMax) break;
      call.end(code, reason);
      count += 1;
    }
    return count;
  }

  /** Share of the calls that have more than `samplesMax` samples which the detector has not judged. */
  waitingShare(samplesMax: number): number {
    let waiting = 0;
    for (const { call, slot } of this.#seats) {
      if (call !== undefined && slot.load(Cell.inputWritten) - slot.load(Cell.vadRead) > samplesMax) waiting += 1;
    }
    return waiting / Math.max(1, this.#liveCount);
  }

  /** The threads of these slots are gone: their calls end, and none of the slots is given out before `restored`. */
  lost(isOfThem: (slot: number) => boolean): void {
    for (const [index, seat] of this.#seats.entries()) {
      if (!isOfThem(index)) continue;
      seat.call?.end(1011, 'Internal error. Please call again.');
      // A conversation thread that lives on writes the record; nobody waits for it to let go.
      if (seat.call !== undefined && !seat.isLost) this.#lanes.toConversation(this.#closeOf(seat, 1011));
      seat.isLost = true;
    }
    const kept = this.#free.filter((index) => !isOfThem(index));
    this.#free.splice(0, this.#free.length, ...kept);
    if (this.isEmpty) this.onEmpty();
  }

  /** New threads serve these slots, and nothing of the old ones is left. */
  restored(isOfThem: (slot: number) => boolean): void {
    for (const [index, seat] of this.#seats.entries()) {
      if (!isOfThem(index) || !seat.isLost) continue;
      seat.isLost = false;
      seat.releasesMissing = 0;
      // One whose client has not closed yet is given back in the ordinary way.
      if (seat.call === undefined) this.#free.push(index);
    }
  }

  #closeOf(seat: Seat, code: number): Extract<ToConversation, { type: 'close' }> {
    return { type: 'close', slot: seat.slot.index, generation: seat.generation, code, reason: '' };
  }

  #seat(index: number, facts: HandshakeFacts): Call {
    const seat = this.#seats[index]!;
    const generation = claim(seat.slot);
    const address = { slot: index, generation };
    seat.generation = generation;
    const call: Call = new Call(
      seat.slot,
      generation,
      facts,
      {
        toConversation: this.#lanes.toConversation,
        toTts: this.#lanes.toTts,
        audio: () => this.#lanes.audio(seat.slot),
        gap: (startSample, endSample) => this.#lanes.toStt({ type: 'gap', ...address, startSample, endSample }),
        early: (dueAtMs) => this.#departures.add(call, dueAtMs),
      },
      this.#recorder,
      this.counters,
      this.#now,
    );
    seat.call = call;
    return call;
  }
}

function refuse(status: number, name: string, message: string): UpgradeAnswer<Visitor> {
  const waits: Record<string, string> = status === 503 ? { 'retry-after': '5' } : status === 429 ? { 'retry-after': '1' } : {};
  return { accept: false, response: refusal(status, name, message, waits) };
}
