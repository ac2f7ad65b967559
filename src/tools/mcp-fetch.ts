/**
 * The `fetch` of one MCP server: guarded as all HTTP of tools is, and bounded where the SDK is not: the size of a message, what a stream
 * may send in a second, how many answers are open, and how long one may stay open. API thread.
 */
import { setMaxListeners } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { pipeline, Readable, Transform, type TransformCallback } from 'node:stream';
import { nowMs } from '../shared/clock.js';
import { Deadline } from '../shared/deadline.js';
import { EngineError } from '../shared/errors.js';
import { systemTimers } from '../shared/timers.js';
import { ms } from '../shared/units.js';
import { type GuardedHttp, unpacked } from './guarded-http.js';

export type McpFetchLimits = {
  /** Of one message of a stream, and of one answer that is no stream. */
  readonly messageBytesMax: number;
  /** Of one stream. */
  readonly streamBytesPerSecondMax: number;
  /** Open at once. */
  readonly answersMax: number;
  /** From request to the end of its answer, except for the stream of the server's own messages. */
  readonly answerMaxMs: number;
};

/** For the `fetch` option of the SDK's transports. Redirects are handed back; the SDK follows those within the same origin. */
export function mcpFetch(http: GuardedHttp, limits: McpFetchLimits): typeof globalThis.fetch {
  let open = 0;
  return async (input, init = {}) => {
    if (open >= limits.answersMax)
      throw new EngineError('broken', `more than ${limits.answersMax} answers of an MCP server are open`);
    open += 1;
    // One signal ends all requests of the connection, of which there may be `answersMax`.
    if (init.signal instanceof AbortSignal) setMaxListeners(0, init.signal);
    const deadline = new Deadline(systemTimers, init.signal ?? new AbortController().signal);
    const method = init.method ?? 'GET';
    let isDone = false;
    const done = (): void => {
      if (!isDone) open -= 1;
      isDone = true;
      deadline.clear();
    };
    try {
      if (method !== 'GET') deadline.arm(ms(limits.answerMaxMs));
      const answer = await http.send(
        {
          url: new URL(input instanceof Request ? input.url : input),
          method,
          headers: { 'user-agent': 'Parley', ...Object.fromEntries(new Headers(init.headers)), 'accept-encoding': 'identity' },
          body: typeof init.body === 'string' ? Buffer.from(init.body) : undefined,
          signal: deadline.signal,
        },
        true,
      );
      answer.once('close', done);
      return responseOf(answer, limits);
    } catch (error) {
      done();
      throw error;
    }
  };
}

function responseOf(answer: IncomingMessage, limits: McpFetchLimits): Response {
  const status = answer.statusCode ?? 0;
  const headers = new Headers();
  for (const [name, values] of Object.entries(answer.headersDistinct))
    for (const value of values ?? []) headers.append(name, value);
  if (status < 200 || status > 599) {
    answer.destroy();
    throw new EngineError('garbage', `the MCP server answered status ${status}`);
  }
  if (status === 204 || status === 205 || status === 304) {
    answer.resume();
    return new Response(null, { status, headers });
  }
  const isStream = /^text\/event-stream\b/i.test(answer.headers['content-type'] ?? '');
  const bounded = new BoundedMessages(limits, isStream);
  // An error of either side ends both; whoever reads `bounded` sees it.
  pipeline(unpacked(answer), bounded, () => undefined);
  return new Response(Readable.toWeb(bounded) as ReadableStream<Uint8Array>, { status, headers });
}

const lineFeed = 10;
const carriageReturn = 13;
const windowMs = 1000;

/** Lets bytes through until a message (of a stream: up to the next blank line) or a second of them grows too large. */
export class BoundedMessages extends Transform {
  readonly #limits: Pick<McpFetchLimits, 'messageBytesMax' | 'streamBytesPerSecondMax'>;
  readonly #isStream: boolean;
  #messageBytes = 0;
  #lineBytes = 0;
  #previous = 0;
  #windowBytes = 0;
  #windowAtMs = nowMs();

  constructor(limits: Pick<McpFetchLimits, 'messageBytesMax' | 'streamBytesPerSecondMax'>, isStream: boolean) {
    super();
    this.#limits = limits;
    this.#isStream = isStream;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#count(chunk);
    const { messageBytesMax, streamBytesPerSecondMax } = this.#limits;
    if (this.#messageBytes > messageBytesMax)
      callback(new EngineError('garbage', `a message of an MCP server is larger than ${messageBytesMax} bytes`));
    else if (this.#windowBytes > streamBytesPerSecondMax)
      callback(new EngineError('garbage', `an MCP server sent more than ${streamBytesPerSecondMax} bytes in a second`));
    else callback(null, chunk);
  }

  #count(chunk: Buffer): void {
    const atMs = nowMs();
    if (atMs - this.#windowAtMs >= windowMs) {
      this.#windowAtMs = atMs;
      this.#windowBytes = 0;
    }
    this.#windowBytes += chunk.length;
    if (!this.#isStream) {
      this.#messageBytes += chunk.length;
      return;
    }
    for (let at = 0; at < chunk.length && this.#messageBytes <= this.#limits.messageBytesMax; at += 1) {
      const byte = chunk[at]!;
      const isSecondHalf = byte === lineFeed && this.#previous === carriageReturn;
      this.#previous = byte;
      this.#messageBytes += 1;
      if (isSecondHalf) continue;
      if (byte !== lineFeed && byte !== carriageReturn) this.#lineBytes += 1;
      else {
        // A line end with nothing before it ends the message.
        if (this.#lineBytes === 0) this.#messageBytes = 0;
        this.#lineBytes = 0;
      }
    }
  }
}
