/** Tells the operator's server of each finished conversation, signed as the public platform does it. API thread. */
import { createHmac } from 'node:crypto';
import type { Json } from '../store/port.js';

export const postCallLimits = {
  /** Under way or waiting to be tried again; further ones are left for later. */
  waitingMax: 200,
  timeoutMs: 10_000,
  /** After an answer that is no success, or none at all. */
  retryAfterMs: [1000, 5000, 30_000],
} as const;

/** `t=<unix seconds>,v0=<HMAC-SHA-256 of "<t>.<body>">`. */
export function signatureOf(body: string, secret: string, unixSecs: number): string {
  const mac = createHmac('sha256', secret).update(`${unixSecs}.${body}`).digest('hex');
  return `t=${unixSecs},v0=${mac}`;
}

export class PostCall {
  readonly #url: string;
  readonly #secret: string;
  readonly #nowMs: () => number;
  readonly #onProblem: (message: string) => void;
  readonly #retryAfterMs: readonly number[];
  readonly #over = new AbortController();
  /** By conversation. */
  readonly #waiting = new Map<string, Promise<void>>();

  /** `nowMs`: unix. `onProblem`: a conversation the server was not told of. */
  constructor(
    url: string,
    secret: string,
    nowMs: () => number,
    onProblem: (message: string) => void,
    retryAfterMs: readonly number[] = postCallLimits.retryAfterMs,
  ) {
    this.#url = url;
    this.#secret = secret;
    this.#nowMs = nowMs;
    this.#onProblem = onProblem;
    this.#retryAfterMs = retryAfterMs;
  }

  isTelling(conversationId: string): boolean {
    return this.#waiting.has(conversationId);
  }

  /** Returns at once. `data`: the conversation as the REST side shows it. `onTold`: it was taken. */
  tell(conversationId: string, data: Json, onTold: () => void = () => undefined): void {
    if (this.#waiting.size >= postCallLimits.waitingMax) {
      this.#onProblem('too many posts wait');
      return;
    }
    const post = this.#post(data)
      .then((isTaken) => {
        if (isTaken) onTold();
      })
      .finally(() => this.#waiting.delete(conversationId));
    this.#waiting.set(conversationId, post);
  }

  /** What is under way has `graceMs` more, then it ends. */
  async close(graceMs = 0): Promise<void> {
    const all = Promise.all(this.#waiting.values());
    const late = setTimeout(() => this.#over.abort(), graceMs);
    if (graceMs === 0) this.#over.abort();
    await all;
    clearTimeout(late);
  }

  /** Whether it was taken. Never rejects. */
  async #post(data: Json): Promise<boolean> {
    let problem = '';
    for (const waitMs of [0, ...this.#retryAfterMs]) {
      await pause(waitMs, this.#over.signal);
      if (this.#over.signal.aborted) break;
      const found = await this.#attempt(data);
      if (found === undefined) return true;
      problem = found;
    }
    this.#onProblem(problem === '' ? 'the server stopped' : problem);
    return false;
  }

  /** What went wrong, or undefined. */
  async #attempt(data: Json): Promise<string | undefined> {
    const unixSecs = Math.floor(this.#nowMs() / 1000);
    const body = JSON.stringify({ type: 'post_call_transcription', event_timestamp: unixSecs, data });
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'elevenlabs-signature': signatureOf(body, this.#secret, unixSecs) },
        body,
        redirect: 'error',
        signal: AbortSignal.any([this.#over.signal, AbortSignal.timeout(postCallLimits.timeoutMs)]),
      });
      await response.body?.cancel();
      return response.ok ? undefined : `answered ${response.status}`;
    } catch (error) {
      return error instanceof Error ? error.name : 'failed';
    }
  }
}

/** Ends early when `signal` does. */
function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  if (durationMs === 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(finish, durationMs);
    function finish(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    }
    signal.addEventListener('abort', finish);
  });
}
