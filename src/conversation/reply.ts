/** One reply in the making: the language model's stream, and what of it the client and the synthesiser were told. Conversation thread. */
import type { LlmProvider, LlmRequest } from '../llm/port.js';
import { EngineError } from '../shared/errors.js';

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

  stop(): void {
    this.#abort.abort();
  }

  /** Runs the request to its end. Never rejects; after `stop` no callback comes. */
  async run(provider: LlmProvider, request: Omit<LlmRequest, 'signal'>, now: () => number, events: ReplyEvents): Promise<void> {
    this.askedAtMs = now();
    try {
      for await (const delta of provider.stream({ ...request, signal: this.signal })) {
        if (this.signal.aborted) return;
        if (delta.type === 'text' && delta.text !== '') {
          if (this.firstTokenAtMs === 0) this.firstTokenAtMs = now();
          this.text += delta.text;
          events.onText(delta.text);
        } else if (delta.type === 'tool_call' && delta.call.name === 'end_call') {
          this.endCallReason = endReason(delta.call.argumentsJson);
          this.endCallId = delta.call.id;
        }
      }
      if (this.signal.aborted) return;
      this.isDone = true;
      events.onEnd();
    } catch (error) {
      if (this.signal.aborted) return;
      this.isDone = true;
      const problem =
        error instanceof EngineError ? error : new EngineError('broken', 'The language model failed.', { cause: error });
      events.onError(problem);
    }
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
