/** One reply in the making: the language model's stream, and what of it the client and the synthesiser were told. Conversation thread. */
import { setTimeout as delay } from 'node:timers/promises';
import type { LlmProvider, LlmRequest } from '../llm/port.js';
import { EngineError, type FailureKind } from '../shared/errors.js';

/** Failures that often pass by themselves: asked once more when nothing of the answer has come. */
const passingKinds: ReadonlySet<FailureKind> = new Set(['refused', 'server', 'broken']);
/** Calls that failed together do not ask again together. */
const retryMinMs = 50;
const retryMaxMs = 150;

export type ReplyEvents = {
  readonly onText: (delta: string) => void;
  readonly onEnd: () => void;
  readonly onError: (error: EngineError) => void;
};

export class Reply {
  #speech: number;
  /** Everything the model said so far. */
  text = '';
  isDone = false;
  /** The model asked to hang up after this reply. */
  endCallReason: string | undefined;
  endCallId = '';
  /** Committed: the client may know of it. */
  isLive = false;
  eventId = 0;
  /** It was cut and may be taken up again: until then nobody is told more of it. */
  isCut = false;
  /** The client got its `agent_response`. */
  isAnnounced = false;
  askedAtMs = 0;
  firstTokenAtMs = 0;
  readonly #abort = new AbortController();

  constructor(speech: number) {
    this.#speech = speech;
  }

  get speech(): number {
    return this.#speech;
  }

  /** A cut reply goes on under another number and event id; the client is told of it anew. */
  continueAs(speech: number, eventId: number): void {
    this.#speech = speech;
    this.eventId = eventId;
    this.isCut = false;
    this.isAnnounced = false;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** One that is complete is left alone: its connection may still be reading the end of the answer, and serves again. */
  stop(): void {
    if (!this.isDone) this.#abort.abort();
  }

  /** Runs the request to its end. Never rejects; after `stop` no callback comes. */
  async run(provider: LlmProvider, request: Omit<LlmRequest, 'signal'>, now: () => number, events: ReplyEvents): Promise<void> {
    this.askedAtMs = now();
    const first = await this.#attempt(provider, request, now, events);
    const isPassing = first !== undefined && this.text === '' && passingKinds.has(first.kind);
    let failure = first;
    if (isPassing) {
      const pauseMs = retryMinMs + Math.random() * (retryMaxMs - retryMinMs);
      // Stopped meanwhile: the pause rejects, and nobody waits for anything any more.
      await delay(pauseMs, undefined, { signal: this.signal }).catch(() => undefined);
      failure = this.signal.aborted ? undefined : await this.#attempt(provider, request, now, events);
    }
    if (failure === undefined || this.signal.aborted) return;
    this.isDone = true;
    events.onError(failure);
  }

  /** Returns why it failed; nothing when it came to its end or was stopped. */
  async #attempt(
    provider: LlmProvider,
    request: Omit<LlmRequest, 'signal'>,
    now: () => number,
    events: ReplyEvents,
  ): Promise<EngineError | undefined> {
    try {
      for await (const delta of provider.stream({ ...request, signal: this.signal })) {
        if (this.signal.aborted) return undefined;
        if (delta.type === 'text' && delta.text !== '') {
          if (this.firstTokenAtMs === 0) this.firstTokenAtMs = now();
          this.text += delta.text;
          events.onText(delta.text);
        } else if (delta.type === 'tool_call' && delta.call.name === 'end_call') {
          this.endCallReason = endReason(delta.call.argumentsJson);
          this.endCallId = delta.call.id;
        }
      }
    } catch (error) {
      if (this.signal.aborted) return undefined;
      return error instanceof EngineError ? error : new EngineError('broken', 'The language model failed.', { cause: error });
    }
    if (this.signal.aborted) return undefined;
    this.isDone = true;
    events.onEnd();
    return undefined;
  }
}

function endReason(argumentsJson: string): string {
  try {
    const value: unknown = JSON.parse(argumentsJson);
    if (typeof value === 'object' && value !== null && 'reason' in value && typeof value.reason === 'string') return value.reason;
  } catch {
    return 'agent ended the call';
  }
  return 'agent ended the call';
}
