/**
 * Keeps the record of one conversation: tells the API thread of its begin, of every item as soon as it is finished, and of its end.
 * Items have the public shape (`GET /v1/convai/conversations/{id}`). Conversation thread.
 */

import type { LlmUsage } from '../llm/port.js';
import type { ConversationHead, Json } from '../store/port.js';
import type { Reply } from './reply.js';
import type { SessionLinks } from './session-links.js';
import type { SpokenTimes } from './times.js';

/** Items of one conversation; later ones are not kept. */
const itemsMax = 2000;
/** Of them, pieces of background; the newest of one id takes the place of the one before. */
const contextsMax = 200;
/** Items that a later feedback can still change. */
const itemsKept = 64;

export type UserItem = {
  /** When the caller began to say it, seconds since the begin of the call. */
  readonly atSeconds: number;
  readonly text: string;
  readonly medium: 'audio' | 'text';
  readonly eventId: number;
  readonly isBackchannel: boolean;
  readonly sttMs: number | undefined;
  readonly files: readonly string[];
};

export class Records {
  readonly #links: SessionLinks;
  readonly #nowMs: () => number;
  readonly #items = new Map<number, Record<string, unknown>>();
  #startedAtMs = 0;
  #count = 0;
  #contextCount = 0;
  readonly #contexts = new Map<string, number>();
  #isOpen = false;
  /** Which item a reply's event id belongs to, for feedback. */
  readonly #ofEvent = new Map<number, number>();
  /** Counters of what the conversation cost, for its end. */
  readonly cost = { llmInputTokens: 0, llmOutputTokens: 0, llmRequests: 0, ttsCharacters: 0, sttSeconds: 0, toolCalls: 0 };
  ttsModel = '';
  llmModel = '';

  /** `nowMs`: unix milliseconds. */
  constructor(links: SessionLinks, nowMs: () => number) {
    this.#links = links;
    this.#nowMs = nowMs;
  }

  get startedAtMs(): number {
    return this.#startedAtMs;
  }

  begin(head: Omit<ConversationHead, 'startedAtMs'>, recording: { slot: number; generation: number } | undefined): void {
    this.#isOpen = true;
    this.#startedAtMs = this.#nowMs();
    this.#links.toApi({ type: 'begin', head: { ...head, startedAtMs: this.#startedAtMs }, recording });
  }

  user(item: UserItem): number {
    const index = this.#next();
    this.#put(index, {
      role: 'user',
      message: item.text,
      time_in_call_secs: Math.max(0, Math.floor(item.atSeconds)),
      source_medium: item.medium,
      source_event_id: item.eventId,
      ...(item.isBackchannel ? { ignored_as_backchannel: true } : {}),
      ...(item.files.length === 0 ? {} : { file_inputs: item.files.map((fileId) => ({ file_id: fileId })) }),
      ...(item.sttMs === undefined
        ? {}
        : { conversation_turn_metrics: { metrics: { convai_asr_trailing_service_latency: elapsed(item.sttMs) } } }),
    });
    return index;
  }

  /** The reply has a place in the transcript from the moment on that it may be heard; it is written when it is over. */
  reserve(reply: Reply): void {
    if (reply.itemIndex === undefined) {
      reply.itemIndex = this.#next();
      this.#items.set(reply.itemIndex, { time_in_call_secs: this.#seconds() });
    }
    this.#ofEvent.set(reply.eventId, reply.itemIndex);
  }

  /** A reply that is over. `heard`: what of it was heard. */
  agent(reply: Reply, heard: string): void {
    const { itemIndex, times } = reply;
    if (itemIndex === undefined) return;
    const whole = reply.text.trim();
    const isInterrupted = heard.trim() !== whole;
    const results = reply.rounds.flatMap((round) => round.results);
    // The client was told of it: then it is on record, heard or not.
    const isTold = reply.segments.some(({ isAnnounced }) => isAnnounced) && whole !== '';
    if (heard.trim() === '' && results.length === 0 && !isTold) return;
    this.#put(itemIndex, {
      ...this.#items.get(itemIndex),
      role: 'agent',
      message: heard.trim(),
      source_event_id: reply.eventId,
      interrupted: isInterrupted,
      ...(isInterrupted ? { original_message: whole } : {}),
      tool_calls: results.map((result) => ({
        type: result.type,
        request_id: result.toolCallId,
        tool_name: result.name,
        params_as_json: result.argumentsJson,
        tool_has_been_called: result.isCalled,
      })),
      tool_results: results.map((result) => ({
        type: result.type,
        request_id: result.toolCallId,
        tool_name: result.name,
        result_value: result.result,
        is_error: result.isError,
        tool_has_been_called: result.isCalled,
        tool_latency_secs: result.elapsedMs / 1000,
      })),
      ...(times === undefined
        ? {}
        : { conversation_turn_metrics: { metrics: metricsOf(times), convai_tts_model: this.ttsModel } }),
      ...(reply.usage === undefined
        ? {}
        : {
            llm_usage: {
              model_usage: {
                [this.llmModel]: {
                  input: { tokens: reply.usage.inputTokens },
                  output_total: { tokens: reply.usage.outputTokens },
                },
              },
            },
            producing_llm: this.llmModel,
          }),
    });
  }

  /** Background that the client gave; the public transcript shows it as a system tool call. */
  context(text: string, contextId: string | undefined): void {
    const known = contextId === undefined ? undefined : this.#contexts.get(contextId);
    if (known === undefined && this.#contextCount >= contextsMax) return;
    const index = known ?? this.#next();
    if (known === undefined) this.#contextCount += 1;
    if (contextId !== undefined) this.#contexts.set(contextId, index);
    this.#put(index, {
      role: 'user',
      message: null,
      tool_calls: [
        {
          type: 'system',
          request_id: `context_${this.#count}`,
          tool_name: 'contextual_update',
          params_as_json: JSON.stringify({ text }),
          tool_has_been_called: true,
        },
      ],
      contextual_update_info: { context_id: contextId ?? null, is_superseded: false },
    });
  }

  /** The model's own count of one request. */
  counted({ inputTokens, outputTokens }: LlmUsage): void {
    this.cost.llmInputTokens += inputTokens;
    this.cost.llmOutputTokens += outputTokens;
  }

  /** Returns false when the event id is that of no reply. */
  feedback(eventId: number, score: 'like' | 'dislike' | null): boolean {
    const index = this.#ofEvent.get(eventId);
    if (index === undefined) return false;
    const feedback = score === null ? null : { score, time_in_call_secs: this.#seconds() };
    const item = this.#items.get(index);
    if (item === undefined) this.#links.toApi({ type: 'feedback_item', eventId, feedback });
    else this.#put(index, { ...item, feedback });
    return true;
  }

  end(status: 'done' | 'failed', document: Json): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const { cost } = this;
    this.#links.toApi({
      type: 'end',
      ending: {
        status,
        endedAtMs: this.#nowMs(),
        document: {
          ...document,
          usage: {
            llm_requests: cost.llmRequests,
            llm_input_tokens: cost.llmInputTokens,
            llm_output_tokens: cost.llmOutputTokens,
            tts_characters: cost.ttsCharacters,
            stt_seconds: Math.round(cost.sttSeconds * 10) / 10,
            tool_calls: cost.toolCalls,
          },
        },
      },
    });
  }

  #next(): number {
    this.#count += 1;
    return this.#count - 1;
  }

  #put(index: number, document: Record<string, unknown>): void {
    if (!this.#isOpen || index >= itemsMax) return;
    const item = { ...document, time_in_call_secs: document['time_in_call_secs'] ?? this.#seconds() };
    this.#items.set(index, item);
    if (this.#items.size > itemsKept) this.#items.delete(this.#items.keys().next().value ?? 0);
    // An item that only has a feedback so far is not said yet.
    if (item['role' as never] !== undefined) this.#links.toApi({ type: 'item', item: { index, document: item } });
  }

  #seconds(): number {
    return Math.max(0, Math.floor((this.#nowMs() - this.#startedAtMs) / 1000));
  }
}

const elapsed = (durationMs: number): { elapsed_time: number } => ({ elapsed_time: Math.max(0, Math.round(durationMs)) / 1000 });

/** Names of the public API where it has one; `parley_` before ours. */
function metricsOf(times: SpokenTimes): Record<string, { elapsed_time: number }> {
  const rows: readonly (readonly [string, number | undefined])[] = [
    ['convai_asr_trailing_service_latency', times.finalMs],
    ['parley_end_of_turn_latency', times.commitMs],
    ['convai_llm_service_ttfb', times.firstTokenMs],
    ['convai_llm_service_ttf_sentence', times.firstSegmentMs],
    ['convai_tts_service_ttfb', times.firstChunkMs],
    ['parley_first_audio_latency', times.firstFrameMs],
  ];
  return Object.fromEntries(rows.flatMap(([name, value]) => (value === undefined ? [] : [[name, elapsed(value)]])));
}
