/**
 * One streamed chat completion, from chunk objects to deltas, with every bound and deadline that it has. Shared by the adapters whose
 * providers speak OpenAI's protocol. Conversation thread.
 */
import { Deadline } from '../shared/deadline.js';
import { EngineError } from '../shared/errors.js';
import { engineErrorOf, field, streamedError } from '../shared/http-errors.js';
import type { Timers } from '../shared/timers.js';
import { type Ms, ms } from '../shared/units.js';
import type { LlmDelta, LlmUsage } from './port.js';
import { type SseEvent, sseEvents } from './sse.js';
import { ToolCallAssembly } from './tool-calls.js';

export type ChatLimits = {
  /** From the call until the first text, or piece of a tool call. Comments, role-only deltas and thoughts do not count: nothing can be said. */
  readonly firstTokenMs: Ms;
  /** Between two of those. */
  readonly stallMs: Ms;
  /** The whole answer. */
  readonly totalMs: Ms;
  /** UTF-8 bytes of text, and characters of tool calls, of one answer. */
  readonly textBytesMax: number;
  /** Bytes of one event on the wire. */
  readonly eventBytesMax: number;
};

export const chatLimitDefaults: ChatLimits = {
  firstTokenMs: ms(4000),
  stallMs: ms(3000),
  totalMs: ms(60_000),
  textBytesMax: 65_536,
  eventBytesMax: 1_048_576,
};

/** After the answer is complete: how long and how much more is read so that the connection can be used again. */
const drainMs = ms(1000);
const drainBytesMax = 65_536;

/** Stands for `data: [DONE]` among the chunk objects. */
export const streamDone = Symbol('[DONE]');

export type ChatStreamOptions = {
  readonly who: string;
  readonly limits: ChatLimits;
  readonly timers: Timers;
  /** The caller's. */
  readonly signal: AbortSignal;
  readonly onUsage: ((usage: LlmUsage) => void) | undefined;
  /** Streams that hold a connection; `abort` on each ends them. */
  readonly open: Set<Deadline>;
};

/**
 * Sends one request with `send` and yields its deltas, as `LlmProvider.stream` promises. `send` is given the signal that ends the request
 * and the reading of its answer. Time that the consumer takes between two deltas is not counted against the provider.
 */
export async function* streamChat(
  send: (signal: AbortSignal) => Promise<Response>,
  options: ChatStreamOptions,
): AsyncGenerator<LlmDelta, void, undefined> {
  const { who, limits, timers, signal, open } = options;
  const deadline = new Deadline(timers, signal);
  const endsAtMs = timers.nowMs() + limits.totalMs;
  const allow = (stepMs: Ms) => deadline.arm(ms(Math.max(0, Math.min(stepMs, endsAtMs - timers.nowMs()))));
  open.add(deadline);
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let complete = false;
  const budget: Budget = { bytes: Number.POSITIVE_INFINITY };
  try {
    allow(limits.firstTokenMs);
    const response = await send(deadline.signal);
    reader = response.body?.getReader();
    if (reader === undefined) throw new EngineError('broken', `${who} gave an empty answer`);
    const chunks = watched(chunksOf(sseEvents(bytesOf(reader, budget), limits.eventBytesMax, who), who), options.onUsage);
    for await (const delta of chatDeltas(unclosed(chunks), limits.textBytesMax, who, () => allow(limits.stallMs))) {
      if (deadline.signal.aborted) break;
      deadline.disarm();
      if (delta.type === 'end') {
        complete = true;
        void drain(chunks, reader, budget, deadline, open);
      }
      yield delta;
      if (complete) return;
      allow(limits.stallMs);
    }
    throw abortedError(who);
  } catch (error) {
    if (deadline.expired && !signal.aborted) throw new EngineError('timeout', `${who} sent nothing more in time`);
    if (deadline.signal.aborted) throw abortedError(who);
    throw engineErrorOf(error, who);
  } finally {
    // Also when the consumer leaves the loop early: the connection is closed, and with it the provider stops to work for nobody.
    if (!complete) {
      deadline.clear();
      deadline.abort();
      open.delete(deadline);
    }
  }
}

/**
 * Deltas from the chunk objects of one answer (`streamDone` for its mark of the end). `onToken` is called for each text or piece of a tool
 * call that came. Ends after the one `end`; what the iterable still has is left to the caller. Throws `EngineError`.
 */
export async function* chatDeltas(
  chunks: AsyncIterable<unknown>,
  textBytesMax: number,
  who: string,
  onToken: () => void,
): AsyncGenerator<LlmDelta, void, undefined> {
  const calls = new ToolCallAssembly(who);
  let bytes = 0;
  let gotText = false;
  const take = (count: number) => {
    bytes += count;
    if (bytes > textBytesMax) throw new EngineError('garbage', `${who} answered more than ${textBytesMax} bytes`);
    onToken();
  };
  for await (const chunk of chunks) {
    if (chunk === streamDone) {
      // Some servers never say how they finished. Then a mark of the end is as good, if there was anything before it.
      if (!gotText && calls.count === 0) break;
      yield* ending('', calls);
      return;
    }
    if (field(chunk, 'error') !== undefined && field(chunk, 'error') !== null) throw streamedError(field(chunk, 'error'), who);
    const choice = firstChoice(field(chunk, 'choices'));
    const delta = field(choice, 'delta');
    const content = field(delta, 'content') ?? '';
    if (typeof content !== 'string') throw new EngineError('garbage', `${who} sent a text that is not a string`);
    if (content !== '') {
      gotText = true;
      take(Buffer.byteLength(content));
      yield { type: 'text', text: content };
    }
    const fragments = field(delta, 'tool_calls');
    if (Array.isArray(fragments) && fragments.length > 0) take(calls.add(fragments));
    const finish = field(choice, 'finish_reason');
    if (typeof finish !== 'string' || finish === '') continue;
    if (finish === 'error') throw streamedError(undefined, who);
    if (finish === 'content_filter' && !gotText)
      throw new EngineError('rejected', `the content filter of ${who} withheld the answer`);
    yield* ending(finish, calls);
    return;
  }
  throw new EngineError('broken', `${who} ended its answer before it was complete`);
}

/** The calls that are whole, then how it finished. Many servers say `stop` after tool calls, so the calls themselves decide. */
function* ending(finish: string, calls: ToolCallAssembly): Generator<LlmDelta> {
  const cutOff = finish === 'length' || finish === 'max_tokens';
  const whole = calls.calls(!cutOff);
  for (const call of whole) yield { type: 'tool_call', call };
  yield { type: 'end', finish: cutOff ? 'length' : whole.length > 0 ? 'tool_calls' : 'stop' };
}

/** The only choice that was asked for. Chunks without choices carry usage figures and the like. */
function firstChoice(choices: unknown): unknown {
  if (!Array.isArray(choices)) return undefined;
  return choices.find((choice) => (field(choice, 'index') ?? 0) === 0);
}

async function* chunksOf(events: AsyncIterable<SseEvent>, who: string): AsyncGenerator<unknown, void, undefined> {
  for await (const event of events) {
    if (event.data.startsWith('[DONE]')) {
      yield streamDone;
      return;
    }
    let chunk: unknown;
    try {
      chunk = JSON.parse(event.data);
    } catch (error) {
      // Half an event at the end is an answer that broke off, not a wrong one.
      if (!event.complete) return;
      throw engineErrorOf(error, who);
    }
    if (typeof chunk !== 'object' || chunk === null)
      throw new EngineError('garbage', `${who} sent an event that is not an object`);
    if (event.name === 'error') throw streamedError(field(chunk, 'error') ?? chunk, who);
    yield chunk;
  }
}

function abortedError(who: string): EngineError {
  return new EngineError('aborted', `the stream of ${who} was aborted`);
}

/** What may still be read; without end until the answer is complete. */
type Budget = { bytes: number };

/** Leaves the reader as it is when the consumer stops or the budget is spent, so that the rest can be drained. */
async function* bytesOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  budget: Budget,
): AsyncGenerator<Uint8Array, void, undefined> {
  while (budget.bytes > 0) {
    const { done, value } = await reader.read();
    if (done) return;
    budget.bytes -= value.length;
    yield value;
  }
}

/** Passes every chunk on and looks at it for the provider's own count: in a chunk of its own after the end, or (Groq) in the last one. */
async function* watched(
  chunks: AsyncIterable<unknown>,
  onUsage: ChatStreamOptions['onUsage'],
): AsyncGenerator<unknown, void, undefined> {
  let isCounted = false;
  for await (const chunk of chunks) {
    const usage = isCounted ? undefined : usageIn(chunk);
    if (usage !== undefined) {
      isCounted = true;
      onUsage?.(usage);
    }
    yield chunk;
  }
}

function usageIn(chunk: unknown): LlmUsage | undefined {
  const usage = field(chunk, 'usage') ?? field(field(chunk, 'x_groq'), 'usage');
  const [inputTokens, outputTokens] = [field(usage, 'prompt_tokens'), field(usage, 'completion_tokens')];
  if (typeof inputTokens !== 'number' || typeof outputTokens !== 'number') return undefined;
  return { inputTokens, outputTokens };
}

/** The same chunks for a consumer that may stop early; the rest stays to be read. */
function unclosed(chunks: AsyncGenerator<unknown, void, undefined>): AsyncIterable<unknown> {
  return { [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) };
}

/** Reads what comes after the end, for the count and so that the connection can be used again. */
async function drain(
  chunks: AsyncGenerator<unknown, void, undefined>,
  reader: ReadableStreamDefaultReader<Uint8Array>,
  budget: Budget,
  deadline: Deadline,
  open: Set<Deadline>,
): Promise<void> {
  deadline.arm(drainMs);
  budget.bytes = drainBytesMax;
  try {
    while ((await chunks.next()).done !== true);
    while (budget.bytes > 0) {
      const { done, value } = await reader.read();
      if (done) return;
      budget.bytes -= value.length;
    }
    deadline.abort();
  } catch {
    // The answer is complete. Whatever ends the connection now costs nothing but the connection.
  } finally {
    deadline.clear();
    open.delete(deadline);
  }
}
