/** Requests from main and the answers to them: long bodies go part by part, as main asks for them. API thread. */
import { type ApiAnswer, corsHeaders, type Parts } from './http.js';
import type { HttpAsk, HttpFromApi, ToApiFromMain } from './links.js';

const nothing = new Uint8Array(0);

export class HttpDesk {
  readonly #answer: (ask: HttpAsk) => Promise<ApiAnswer>;
  readonly #post: (message: HttpFromApi) => void;
  readonly #onProblem: (error: unknown) => void;
  /** Being worked on; false once nobody waits for the answer. */
  readonly #working = new Map<number, boolean>();
  readonly #parts = new Map<number, Parts>();

  /** `answer` never rejects. `onProblem`: a long body broke off. */
  constructor(
    answer: (ask: HttpAsk) => Promise<ApiAnswer>,
    post: (message: HttpFromApi) => void,
    onProblem: (error: unknown) => void,
  ) {
    this.#answer = answer;
    this.#post = post;
    this.#onProblem = onProblem;
  }

  get workingCount(): number {
    return this.#working.size + this.#parts.size;
  }

  /** Resolves when the answer, or its next part, is on its way. Never rejects. */
  async receive(message: ToApiFromMain): Promise<void> {
    if (message.type === 'http') await this.#ask(message);
    else if (message.isGone) await this.#leave(message.id);
    else await this.#next(message.id);
  }

  /** Long bodies are let go. */
  async close(): Promise<void> {
    await Promise.all([...this.#parts.keys()].map((id) => this.#leave(id)));
  }

  async #ask(ask: HttpAsk): Promise<void> {
    const { id } = ask;
    this.#working.set(id, true);
    const answer = await this.#answer(ask);
    const isWanted = this.#working.get(id) === true;
    this.#working.delete(id);
    if (!isWanted) {
      await answer.parts?.return?.();
      return;
    }
    const { status, parts } = answer;
    const headers = { ...corsHeaders, ...typeOf(answer), ...answer.headers };
    if (parts === undefined) {
      this.#post({ type: 'http_answer', id, status, headers, body: bodyOf(answer), isLast: true });
      return;
    }
    const first = await this.#pull(id, parts);
    if (first === 'broken') return;
    if (first !== undefined) this.#parts.set(id, parts);
    this.#post({ type: 'http_answer', id, status, headers, body: first ?? nothing, isLast: first === undefined });
  }

  async #next(id: number): Promise<void> {
    const parts = this.#parts.get(id);
    if (parts === undefined) return; // main has been told
    const body = await this.#pull(id, parts);
    if (body === undefined || body === 'broken') this.#parts.delete(id);
    if (body !== 'broken') this.#post({ type: 'http_part', id, body: body ?? nothing, isLast: body === undefined });
  }

  async #leave(id: number): Promise<void> {
    if (this.#working.has(id)) this.#working.set(id, false);
    const parts = this.#parts.get(id);
    this.#parts.delete(id);
    await parts?.return?.();
  }

  /** Undefined: that was all. `broken`: main is told. */
  async #pull(id: number, parts: Parts): Promise<Uint8Array | 'broken' | undefined> {
    try {
      const { done, value } = await parts.next();
      return done === true ? undefined : value;
    } catch (error) {
      this.#onProblem(error);
      this.#post({ type: 'http_broken', id });
      return 'broken';
    }
  }
}

function bodyOf({ json, bytes }: ApiAnswer): Uint8Array {
  if (bytes !== undefined) return bytes;
  return json === undefined ? nothing : new TextEncoder().encode(JSON.stringify(json));
}

function typeOf({ json }: ApiAnswer): Record<string, string> {
  return json === undefined ? {} : { 'content-type': 'application/json', 'cache-control': 'no-store' };
}
