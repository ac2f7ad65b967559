/**
 * One reply in the making: the language model's streams, one a round, the tools between them, and what of it the client and the synthesiser
 * were told. Conversation thread.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ChatMessage, LlmProvider, LlmRequest, LlmUsage, ToolCall } from '../llm/port.js';
import { EngineError, type FailureKind } from '../shared/errors.js';
import type { SpokenTimes } from './times.js';

/** Failures that often pass by themselves: asked once more when nothing of the answer has come. */
const passingKinds: ReadonlySet<FailureKind> = new Set(['refused', 'server', 'broken']);
/** Calls that failed together do not ask again together. */
const retryMinMs = 50;
const retryMaxMs = 150;

export type ReplyEvents = {
  readonly onText: (delta: string) => void;
  /** The round is over; its tool calls are in `calls`. */
  readonly onEnd: () => void;
  readonly onError: (error: EngineError) => void;
  readonly onUsage: (usage: LlmUsage) => void;
};

/** How one tool call ended. */
export type ToolResult = {
  readonly toolCallId: string;
  readonly name: string;
  readonly type: 'client' | 'webhook' | 'system' | 'mcp';
  readonly argumentsJson: string;
  readonly result: string;
  readonly isError: boolean;
  readonly isCalled: boolean;
  readonly elapsedMs: number;
};

/** A stretch of text without a tool in it; the client gets an `agent_response` for each. */
export type Segment = { readonly start: number; isStarted: boolean; isAnnounced: boolean };

/** What was said before some tools ran, and what came of them. */
export type Round = { readonly text: string; readonly calls: readonly ToolCall[]; readonly results: readonly ToolResult[] };

/** What happens once the reply was heard. */
export type After =
  | { readonly type: 'end_call' }
  | { readonly type: 'transfer'; readonly agentId: string; readonly saysFirst: boolean };

export class Reply {
  #speech: number;
  /** Everything the model said so far, over all rounds. */
  text = '';
  readonly rounds: Round[] = [];
  readonly segments: Segment[] = [{ start: 0, isStarted: false, isAnnounced: false }];
  /** Of the round that is under way. */
  calls: ToolCall[] = [];
  /** The whole reply is made. */
  isDone = false;
  /** Its tools wait for the commit, or run. */
  isWaiting = false;
  /** The space between two rounds, which synthesis gets with the next text: both count characters alike. */
  owesSpace = false;
  /** Text that the synthesiser does not have yet, and since when there is some. */
  unsent = '';
  unsentSinceMs = 0;
  /** A request for it is under way. */
  isAsking = false;
  /** Requests made for it, and the last of them whose tokens the provider has told; it does so when the answer is over, if at all. */
  requestCount = 0;
  countedRequest = 0;
  /** The client was told that its text is complete. */
  isFinished = false;
  /** It is on record; what becomes known of it later is added there. */
  isKept = false;
  areToolsRunning = false;
  /** Its tools run when the words before them were heard, at the latest at this instant. */
  toolsDueAtMs: number | undefined;
  /** The caller cannot interrupt it, whatever its tools do. */
  isProtected = false;
  after: After | undefined;
  /** What of it was heard, once that is known. */
  heard = '';
  isInterrupted = false;
  /** To be said at its end. */
  lastWords = '';
  /** The model chose to say nothing more until the caller speaks. */
  isSkip = false;
  /** Committed: the client may know of it. */
  isLive = false;
  eventId = 0;
  /** It was cut and may be taken up again: until then nobody is told more of it. */
  isCut = false;
  /** In text mode: the client has words of it. */
  isShown = false;
  /** Not wanted any more. */
  isDropped = false;
  /** Position of its item in the transcript; undefined until it is live. */
  itemIndex: number | undefined;
  /** What the request asked, without the rounds. */
  base: readonly ChatMessage[] = [];
  usage: LlmUsage | undefined;
  /** How long the way to its first audio took; known when that has left. */
  times: SpokenTimes | undefined;
  /** Text that is the model's own, fillers aside. */
  modelChars = 0;
  askedAtMs = 0;
  firstTokenAtMs = 0;
  /** Last sign of progress, for fillers. */
  progressAtMs = 0;
  fillersSaid = 0;
  /** In the order in which they are said; chosen at the first. */
  fillers: readonly string[] | undefined;
  #abort = new AbortController();

  constructor(speech: number) {
    this.#speech = speech;
  }

  get speech(): number {
    return this.#speech;
  }

  get segment(): Segment {
    return this.segments.at(-1)!;
  }

  /** Text of one segment. */
  textOf(index: number): string {
    return this.text.slice(this.segments[index]!.start, this.segments[index + 1]?.start);
  }

  get hasTools(): boolean {
    return this.rounds.length > 0;
  }

  /** A cut reply goes on under another number and event id; the client is told of it anew. */
  continueAs(speech: number, eventId: number): void {
    this.#speech = speech;
    this.eventId = eventId;
    this.isCut = false;
    for (const segment of this.segments) {
      segment.isStarted = false;
      segment.isAnnounced = false;
    }
  }

  /** The tokens of its last request are known. */
  get isCounted(): boolean {
    return this.countedRequest === this.requestCount && this.usage !== undefined;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** One that is complete is left alone: its connection may still be reading the end of the answer, and serves again. */
  stop(): void {
    if (!this.isDone && !this.isWaiting) this.#abort.abort();
  }

  /** The tools of this round have ended; the next text is a segment of its own. */
  closeRound(results: readonly ToolResult[]): void {
    this.rounds.push({ text: this.textOf(this.segments.length - 1), calls: this.calls, results });
    this.calls = [];
    this.isWaiting = false;
    this.areToolsRunning = false;
    // Words of two rounds must not run together where text is counted by characters.
    if (this.text !== '' && !/\s$/.test(this.text)) {
      this.text += ' ';
      this.owesSpace = true;
    }
    this.segments.push({ start: this.text.length, isStarted: false, isAnnounced: false });
  }

  /** A tool that ran in the background has ended: its result takes the place of the word that it runs. False: its round is not over yet. */
  settle(result: ToolResult): boolean {
    const isIt = ({ toolCallId }: ToolResult): boolean => toolCallId === result.toolCallId;
    const index = this.rounds.findIndex(({ results }) => results.some(isIt));
    const round = this.rounds[index];
    if (round === undefined) return false;
    this.rounds[index] = { ...round, results: round.results.map((one) => (isIt(one) ? result : one)) };
    return true;
  }

  /** Runs one request to its end. Never rejects; after `stop` no callback comes. */
  async run(provider: LlmProvider, request: Omit<LlmRequest, 'signal'>, now: () => number, events: ReplyEvents): Promise<void> {
    if (this.askedAtMs === 0) this.askedAtMs = now();
    const charsBefore = this.modelChars;
    let failure = await this.#attempt(provider, request, now, events);
    const isPassing = failure !== undefined && this.modelChars === charsBefore && passingKinds.has(failure.kind);
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
    this.calls = [];
    try {
      const onUsage = (usage: LlmUsage): void => {
        this.#count(usage);
        events.onUsage(usage);
      };
      for await (const delta of provider.stream({ ...request, signal: this.signal, onUsage })) {
        if (this.signal.aborted) return undefined;
        this.progressAtMs = now();
        if (delta.type === 'text' && delta.text !== '') {
          if (this.firstTokenAtMs === 0) this.firstTokenAtMs = this.progressAtMs;
          this.text += delta.text;
          this.modelChars += delta.text.length;
          events.onText(delta.text);
        } else if (delta.type === 'tool_call') {
          this.calls.push(delta.call);
        }
      }
    } catch (error) {
      if (this.signal.aborted) return undefined;
      return error instanceof EngineError ? error : new EngineError('broken', 'The language model failed.', { cause: error });
    }
    if (this.signal.aborted) return undefined;
    events.onEnd();
    return undefined;
  }

  #count({ inputTokens, outputTokens }: LlmUsage): void {
    const before = this.usage ?? { inputTokens: 0, outputTokens: 0 };
    this.usage = { inputTokens: before.inputTokens + inputTokens, outputTokens: before.outputTokens + outputTokens };
  }
}
