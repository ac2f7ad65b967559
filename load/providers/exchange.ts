/**
 * One HTTP exchange with a simulated service: reads the request, plays the answer's timetable with its fault, keeps the journal entry.
 * Runs on the simulator's main thread.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { nowMs } from '../../src/shared/clock.js';
import type { Endpoint } from './endpoints.js';
import { byteCutting, type Fault, withFault } from './faults.js';
import type { Entry } from './journal.js';
import type { Draws } from './profile.js';
import type { Services } from './services.js';
import { type Piece, play, type Timetable, timetableOf } from './timetable.js';

export type Head = { readonly status: number; readonly headers: Readonly<Record<string, string>> };

/** An answer that is decided but not timed: all its bytes at once. */
export type WholeAnswer = { readonly head: Head; readonly body: Buffer };

/** A body in a vendor's error shape. */
export type ErrorShape = (status: number, message: string, code?: string) => object;

/** A request that the service refuses. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string | undefined;

  constructor(status: number, message: string, code?: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export function jsonAnswer(value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): WholeAnswer {
  const body = Buffer.from(JSON.stringify(value));
  const length = { 'content-length': String(body.length) };
  return { head: { status, headers: { 'content-type': 'application/json', ...length, ...headers } }, body };
}

/** The whole body, at most `bytesMax`; undefined when the peer went away. Throws a 413 when it is larger. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  return await new Promise((resolve, reject) => {
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      // What is too large is still read to its end, so that the peer gets its answer instead of a reset.
      if (length <= bytesMax) chunks.push(chunk);
    });
    request.on('end', () => {
      if (length > bytesMax) reject(new Refusal(413, 'Request Entity Too Large', 'request_too_large'));
      else resolve(Buffer.concat(chunks, length));
    });
    request.on('close', () => resolve(undefined));
  });
}

const statusMessages: Readonly<Record<number, string>> = {
  400: 'The request was refused on purpose.',
  401: 'Invalid API Key',
  429: 'Rate limit reached. Please try again later.',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

export class Exchange {
  readonly services: Services;
  readonly request: IncomingMessage;
  readonly entry: Entry;
  readonly draws: Draws;
  readonly fault: Fault | undefined;
  readonly #response: ServerResponse;
  readonly #errorShape: ErrorShape;
  #isGone = false;
  #onGone: () => void = () => undefined;

  constructor(
    services: Services,
    endpoint: Endpoint,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
    errorShape: ErrorShape,
  ) {
    this.services = services;
    this.request = request;
    this.#response = response;
    this.#errorShape = errorShape;
    this.entry = services.journal.open(endpoint, path, nowMs());
    this.draws = services.dealer.deal(endpoint);
    this.fault = services.faults.take(endpoint, this.draws.random) ?? this.draws.fault;
    if (this.fault !== undefined) this.entry.fault = this.fault.kind;
    response.on('close', () => {
      if (this.entry.atMonotonicMs.lastByte !== undefined) return;
      this.entry.isAborted = true;
      this.#isGone = true;
      this.#onGone();
    });
  }

  get headers(): IncomingHttpHeaders {
    return this.request.headers;
  }

  /** The request body; undefined when the peer left, or is to be left without an answer. */
  async receive(bytesMax: number): Promise<Buffer | undefined> {
    if (this.fault?.kind === 'refuse') {
      this.request.socket.resetAndDestroy();
      return undefined;
    }
    const body = await readBody(this.request, bytesMax);
    this.entry.atMonotonicMs.complete = nowMs();
    return body;
  }

  /** When the service begins to work on it, and what the way back takes, on the monotonic clock. */
  get startAtMs(): number {
    return (this.entry.atMonotonicMs.complete ?? this.entry.atMonotonicMs.received) + this.draws.uplinkMs;
  }

  /** Answers after `workMs`; with a fault that replaces the answer, with that one. */
  answer(whole: WholeAnswer, workMs: number): void {
    const atMs = this.startAtMs + workMs + this.draws.downlinkMs;
    this.play(whole.head, timetableOf([{ atMs, data: whole.body }]));
  }

  /** Refuses with the vendor's error body, without working on it. */
  refuse(refusal: Refusal): void {
    const atMs = this.startAtMs + this.draws.downlinkMs;
    const answer = jsonAnswer(this.#errorShape(refusal.status, refusal.message, refusal.code), refusal.status);
    this.#send(answer.head, timetableOf([{ atMs, data: answer.body }]));
  }

  /** Plays `timetable`, whose instants already contain the link. */
  play(head: Head, timetable: Timetable<Buffer>): void {
    const firstAtMs = timetable.pieces[0]?.atMs ?? timetable.endAtMs;
    if (this.fault?.kind === 'status') {
      const status = this.fault.status ?? 500;
      const seconds = this.fault.retryAfterSeconds;
      const retryAfter = seconds === undefined ? {} : { 'retry-after': String(seconds) };
      const message = statusMessages[status] ?? 'The request failed on purpose.';
      const code = status === 429 ? 'rate_limit_exceeded' : undefined;
      const answer = jsonAnswer(this.#errorShape(status, message, code), status, retryAfter);
      this.#send(answer.head, timetableOf([{ atMs: firstAtMs, data: answer.body }]));
      return;
    }
    if (this.fault?.kind === 'garbage') {
      const isEvents = head.headers['content-type']?.startsWith('text/event-stream') === true;
      const data = Buffer.from(
        isEvents ? 'data: {"id":"chatcmpl-1","choices":[{"delta":{"con\n\ndata: <html>\n\n' : '{"text": "half an ans',
      );
      const { 'content-length': _, ...headers } = head.headers;
      this.#send({ status: 200, headers }, timetableOf([{ atMs: firstAtMs, data }]));
      return;
    }
    this.#send(head, withFault(timetable, this.fault, byteCutting));
  }

  #send(head: Head, timetable: Timetable<Buffer>): void {
    const response = this.#response;
    const { atMonotonicMs } = this.entry;
    this.entry.status = head.status;
    atMonotonicMs.planned = timetable.pieces[0]?.atMs ?? timetable.endAtMs;
    if (this.#isGone) return;
    const start = (): void => {
      if (!response.headersSent) response.writeHead(head.status, head.headers);
    };
    const playing = play(
      this.services.schedule,
      timetable,
      {
        write: (data) => {
          start();
          response.write(data);
        },
        isFull: () => response.writableNeedDrain,
        end: () => {
          start();
          response.end();
        },
        cut: () => response.socket?.destroy(),
      },
      (played) => {
        if (played.firstAtMs !== undefined) atMonotonicMs.firstByte = played.firstAtMs;
        if (!this.#isGone) atMonotonicMs.lastByte = played.lastAtMs;
      },
    );
    this.#onGone = () => playing.stop();
  }
}

/** Pieces of a stream whose first leaves `workMs` after the start and each next one at its own offset from that. */
export function streamPieces(
  exchange: Exchange,
  workMs: number,
  parts: readonly { afterMs: number; data: Buffer }[],
): Piece<Buffer>[] {
  const firstAtMs = exchange.startAtMs + workMs + exchange.draws.downlinkMs;
  return parts.map(({ afterMs, data }) => ({ atMs: firstAtMs + afterMs, data }));
}
