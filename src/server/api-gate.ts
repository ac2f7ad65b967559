/**
 * Requests that the API thread answers: hands them over, writes down who waits, and gives up in time. Main thread; nothing here waits.
 */
import type { HttpAnswer, HttpFromApi, HttpPart, ToApiFromMain } from '../api/links.js';
import type { Recorder } from '../telemetry/recorder.js';
import { refusal } from './adapter-rules.js';
import type { HttpRequest, HttpResponse } from './port.js';

export const gateLimits = {
  /** Requests that wait at once; one more is answered 503. */
  waitingMax: 256,
  /** For the first part of an answer, and then for each further one. The store may take 10 s. */
  answerMs: 15_000,
} as const;

/** Headers that the API thread looks at. */
const forwardedHeaders = [
  'accept',
  'authorization',
  'content-type',
  'host',
  'if-none-match',
  'origin',
  'range',
  'x-forwarded-host',
  'x-forwarded-proto',
  'xi-api-key',
] as const;

const tooLate = refusal(504, 'timeout', 'This took too long. Try again later.');
const unavailable = refusal(503, 'unavailable', 'This part of the server is starting again.', { 'retry-after': '2' });
const busy = refusal(503, 'too_many_requests', 'Too many requests wait here.', { 'retry-after': '1' });

const brokenOff = refusal(500, 'internal_error', 'The answer broke off.');

type Waiting = {
  readonly onMessage: (message: HttpAnswer | HttpPart) => void;
  /** Nothing will come any more. */
  readonly onLost: (answer: HttpResponse) => void;
  timer: NodeJS.Timeout;
};

export class ApiGate {
  readonly #send: (message: ToApiFromMain) => boolean;
  readonly #recorder: Recorder;
  readonly #answerMs: number;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  /** `send` answers false while there is no API thread. */
  constructor(send: (message: ToApiFromMain) => boolean, recorder: Recorder, answerMs: number = gateLimits.answerMs) {
    this.#send = send;
    this.#recorder = recorder;
    this.#answerMs = answerMs;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Never rejects. The body of the request is given away. */
  ask(request: HttpRequest): Promise<HttpResponse> {
    if (this.#waiting.size >= gateLimits.waitingMax) return Promise.resolve(this.#refused('busy', busy));
    const { method, path, query, body } = request;
    const headers: Record<string, string> = {};
    for (const name of forwardedHeaders) {
      const value = request.header(name);
      if (value !== undefined) headers[name] = value;
    }
    this.#lastId += 1;
    const id = this.#lastId;
    if (!this.#send({ type: 'http', id, method, path, query, headers, body })) {
      return Promise.resolve(this.#refused('unavailable', unavailable));
    }
    return new Promise((resolve) => {
      this.#waiting.set(id, {
        onMessage: (message) => {
          if (message.type === 'http_answer') resolve(this.#answered(message));
        },
        onLost: resolve,
        timer: this.#deadline(id),
      });
      request.onGone(() => this.#gone(id));
    });
  }

  fromApi(message: HttpFromApi): void {
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return; // it was given up
    if (message.type === 'http_broken') {
      this.#lose(message.id, brokenOff);
      return;
    }
    clearTimeout(waiting.timer);
    if (message.isLast) this.#waiting.delete(message.id);
    waiting.onMessage(message);
  }

  /** The API thread is gone, and with it every answer. */
  died(): void {
    for (const id of [...this.#waiting.keys()]) this.#lose(id, this.#refused('unavailable', unavailable));
  }

  /** Nothing is waited for any more. */
  close(): void {
    this.died();
  }

  #answered({ id, status, headers, body, isLast }: HttpAnswer): HttpResponse {
    return { status, headers, body: isLast ? body : new LongBody(this, id, body) };
  }

  /** The next part of an answer; undefined when there will be none. `onPart` is called once. */
  more(id: number, onPart: (part: HttpPart | undefined) => void): void {
    const before = this.#waiting.get(id);
    if (before === undefined) {
      onPart(undefined);
      return;
    }
    this.#waiting.set(id, {
      onMessage: (message) => onPart(message.type === 'http_part' ? message : undefined),
      onLost: () => onPart(undefined),
      timer: this.#deadline(id),
    });
    this.#send({ type: 'http_more', id, isGone: false });
  }

  /** Nobody wants the rest. */
  leave(id: number): void {
    this.#gone(id);
  }

  #deadline(id: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.#send({ type: 'http_more', id, isGone: true });
      this.#lose(id, this.#refused('timeout', tooLate));
    }, this.#answerMs);
  }

  #gone(id: number): void {
    if (!this.#waiting.has(id)) return;
    this.#send({ type: 'http_more', id, isGone: true });
    this.#lose(id, tooLate); // nobody reads it
  }

  #lose(id: number, answer: HttpResponse): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    waiting.onLost(answer);
  }

  #refused(reason: string, answer: HttpResponse): HttpResponse {
    this.#recorder.count('parley_api_refused_total', `reason="${reason}"`);
    return answer;
  }
}

/** A body in parts; the next one is asked for when the client has taken the last. */
class LongBody implements AsyncIterableIterator<Uint8Array> {
  readonly #gate: ApiGate;
  readonly #id: number;
  #first: Uint8Array | undefined;
  #isOver = false;

  constructor(gate: ApiGate, id: number, first: Uint8Array) {
    this.#gate = gate;
    this.#id = id;
    this.#first = first;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Rejects when the rest was lost: the client must not take the half for the whole. */
  next(): Promise<IteratorResult<Uint8Array>> {
    const first = this.#first;
    this.#first = undefined;
    if (first !== undefined) return Promise.resolve({ done: false, value: first });
    if (this.#isOver) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#gate.more(this.#id, (part) => {
        this.#isOver = part?.isLast ?? true;
        if (part === undefined) reject(new Error('the rest of the answer was lost'));
        else resolve({ done: false, value: part.body });
      });
    });
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.#isOver = true;
    this.#gate.leave(this.#id);
    return Promise.resolve({ done: true, value: undefined });
  }
}
