/**
 * Callers who come when every place is taken. They knock on a fixed schedule whatever they are told, and each is timed from the instant it was
 * meant to, so that a door that stands still is seen. Runs in the process that leads the run.
 */
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { nowMs } from '../../src/shared/clock.js';
import { newHistogram } from './stages.js';

/** What those who knocked were told. */
export type Knocks = {
  readonly count: number;
  /** Refused before the upgrade with a documented code and `Retry-After`. */
  readonly refused: number;
  /** Every answer, by status and code. */
  readonly answers: Readonly<Record<string, number>>;
};

/** What the door says when it has no place, or too much to do (docs/protocol.md). */
const documented: ReadonlySet<string> = new Set(['503 capacity', '503 overloaded']);
const answerMaxMs = 5000;
const bodyCharsMax = 4096;

export class Knocker {
  /** Planned instant → the whole answer, in microseconds. */
  readonly delays = newHistogram();
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #everyMs: number;
  readonly #answers = new Map<string, number>();
  readonly #open = new Set<Promise<void>>();
  #count = 0;
  #refused = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `url`: where conversations begin. */
  constructor(url: URL, headers: Readonly<Record<string, string>>, perSecond: number) {
    this.#url = url;
    this.#headers = headers;
    this.#everyMs = 1000 / perSecond;
  }

  start(): void {
    this.#plan(nowMs());
  }

  /** Nobody knocks any more. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  /** When the last was answered; undefined when nobody knocked. */
  async answers(): Promise<Knocks | undefined> {
    await Promise.all(this.#open);
    if (this.#count === 0) return undefined;
    return { count: this.#count, refused: this.#refused, answers: Object.fromEntries(this.#answers) };
  }

  #plan(dueAtMs: number): void {
    const begin = (): void => {
      let next = dueAtMs;
      for (; next <= nowMs(); next += this.#everyMs) {
        const knock = this.#knock(next).finally(() => this.#open.delete(knock));
        this.#open.add(knock);
      }
      this.#plan(next);
    };
    this.#timer = setTimeout(begin, Math.max(0, dueAtMs - nowMs()));
  }

  async #knock(dueAtMs: number): Promise<void> {
    this.#count += 1;
    const { code, mayComeAgain } = await answerTo(this.#url, this.#headers);
    this.delays.recordValue(Math.round((nowMs() - dueAtMs) * 1000));
    this.#answers.set(code, (this.#answers.get(code) ?? 0) + 1);
    if (documented.has(code) && mayComeAgain) this.#refused += 1;
  }
}

type Answer = { readonly code: string; readonly mayComeAgain: boolean };

/** One upgrade. Never fails: what went wrong is the code. */
function answerTo(url: URL, headers: Readonly<Record<string, string>>): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { headers: { ...headers }, handshakeTimeout: answerMaxMs });
    const end = (code: string, mayComeAgain = false): void => {
      resolve({ code, mayComeAgain });
      socket.terminate();
    };
    socket.on('open', () => end('let in'));
    socket.on('error', (error) => end(error.message));
    socket.on('unexpected-response', (_request, response: IncomingMessage) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body = (body + text).slice(0, bodyCharsMax);
      });
      response.on('error', (error) => end(error.message));
      response.on('end', () => end(`${response.statusCode} ${codeIn(body)}`, response.headers['retry-after'] !== undefined));
    });
  });
}

/** `detail.status` of a refusal. */
function codeIn(body: string): string {
  try {
    const { detail } = JSON.parse(body) as { detail?: { status?: unknown } };
    return String(detail?.status ?? 'without a code');
  } catch {
    return 'without a code';
  }
}
