/** `POST …/chat/completions` as Groq and OpenAI answer it, streamed or whole. Runs on the simulator's main thread. */

import type { PlannedAnswer } from './answers.js';
import { askedOf, type ChatRequest, readChatRequest } from './chat-request.js';
import { type Exchange, jsonAnswer, streamPieces } from './exchange.js';
import { randomOf } from './seeded.js';
import { timetableOf } from './timetable.js';

export const chatBytesMax = 8 * 1024 * 1024;

type Finish = 'stop' | 'length' | 'tool_calls';
type Delta = { readonly delta: object; readonly finish: Finish | null };
type Reply = {
  readonly id: string;
  readonly model: string;
  readonly vendor: 'groq' | 'openai';
  readonly createdAtSeconds: number;
};

/** Words with the space before them; long words in two. About what the vendors' tokenisers make of plain English. */
function tokensOf(text: string): string[] {
  return text.match(/\s*\S{1,8}|\s+$/g) ?? [];
}

/** Pieces of a tool call's arguments, cut where no JSON parser would expect it. */
function argumentPieces(text: string): string[] {
  return text.match(/[\s\S]{1,7}/g) ?? [''];
}

type Spoken = { readonly deltas: readonly Delta[]; readonly text: string; readonly finish: Finish; readonly tokenCount: number };

function spokenOf(
  answer: PlannedAnswer,
  request: ChatRequest,
  fault: string | undefined,
  callIdOf: (index: number) => string,
): Spoken {
  const limit = request.max_completion_tokens ?? request.max_tokens ?? Number.POSITIVE_INFINITY;
  const all = tokensOf(answer.text);
  const kept = fault === 'cut_sentence' ? all.slice(0, Math.max(1, Math.floor(all.length / 2))) : all.slice(0, limit);
  const finish: Finish = answer.toolCalls.length > 0 ? 'tool_calls' : kept.length < all.length ? 'length' : 'stop';
  const deltas: Delta[] = [
    { delta: { role: 'assistant', content: answer.toolCalls.length > 0 && kept.length === 0 ? null : '' }, finish: null },
  ];
  for (const [index, content] of kept.entries()) {
    if (fault === 'empty_delta' && index === 1)
      deltas.push({ delta: {}, finish: null }, { delta: { content: '' }, finish: null });
    deltas.push({ delta: { content }, finish: null });
  }
  for (const [index, call] of answer.toolCalls.entries()) {
    const head = { index, id: callIdOf(index), type: 'function', function: { name: call.name, arguments: '' } };
    deltas.push({ delta: { tool_calls: [head] }, finish: null });
    for (const piece of argumentPieces(call.argumentsText)) {
      deltas.push({ delta: { tool_calls: [{ index, function: { arguments: piece } }] }, finish: null });
    }
  }
  return { deltas, text: kept.join(''), finish, tokenCount: deltas.length - 1 };
}

function usageOf(request: ChatRequest, tokenCount: number): object {
  const promptTokens = Math.ceil(JSON.stringify(request.messages).length / 4);
  return { prompt_tokens: promptTokens, completion_tokens: tokenCount, total_tokens: promptTokens + tokenCount };
}

function chunkOf(reply: Reply, delta: object, finish: Finish | null, extra: object = {}): string {
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: finish }];
  return `data: ${JSON.stringify({ ...headOf(reply, 'chat.completion.chunk'), choices, ...extra })}\n\n`;
}

function headOf(reply: Reply, object: string): object {
  return { id: reply.id, object, created: reply.createdAtSeconds, model: reply.model, system_fingerprint: 'fp_simulated' };
}

/** Answers one chat completion request, and has the voice prepare the words of it. Throws Refusal. */
export function chat(exchange: Exchange, body: Buffer, vendor: 'groq' | 'openai'): void {
  const { request, sent } = readChatRequest(body, vendor);
  const { services, draws, entry, fault } = exchange;
  services.journal.recordLlm(entry, sent);
  const answer = services.answers.answer(askedOf(request), services.dealer.seed);
  services.voice.prepare(answer.text);

  const { seed, profile } = services.dealer;
  const random = randomOf(seed, 'id', draws.ordinal);
  const mark = (): string =>
    Math.floor(random() * 0x100000000)
      .toString(16)
      .padStart(8, '0');
  const reply: Reply = {
    id: `chatcmpl-${mark()}${mark()}`,
    model: request.model,
    vendor,
    createdAtSeconds: Math.floor(Date.now() / 1000),
  };
  const callMark = mark();
  const spoken = spokenOf(answer, request, fault?.kind, (index) => `call_${callMark}${index}`);
  entry.text = spoken.text;
  const firstTokenMs = draws.durationMs(profile.llmFirstToken);
  const tokenMs = profile.tokensPerSecond === 0 ? 0 : 1000 / profile.tokensPerSecond;
  if (request.stream !== true) {
    exchange.answer(
      wholeAnswer(reply, request, answer, spoken, (index) => `call_${callMark}${index}`),
      firstTokenMs + spoken.tokenCount * tokenMs,
    );
    return;
  }
  const groqStart = vendor === 'groq' ? { x_groq: { id: `req_${callMark}` } } : {};
  const lines = spoken.deltas.map(({ delta, finish }, index) => chunkOf(reply, delta, finish, index === 0 ? groqStart : {}));
  const usage = usageOf(request, spoken.tokenCount);
  const groqEnd = vendor === 'groq' ? { x_groq: { id: `req_${callMark}`, usage } } : {};
  let ending = chunkOf(reply, {}, spoken.finish, groqEnd);
  if (request.stream_options?.include_usage === true) {
    ending += `data: ${JSON.stringify({ ...headOf(reply, 'chat.completion.chunk'), choices: [], usage })}\n\n`;
  }
  if (fault?.kind !== 'missing_done') ending += 'data: [DONE]\n\n';
  // The role and the first token leave together, the last token and the end too.
  const parts = [...lines, ending].map((line, index) => ({
    afterMs: Math.max(0, Math.min(index, lines.length - 1) - 1) * tokenMs,
    data: Buffer.from(line),
  }));
  const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' };
  exchange.play({ status: 200, headers }, timetableOf(streamPieces(exchange, firstTokenMs, parts)));
}

function wholeAnswer(
  reply: Reply,
  request: ChatRequest,
  answer: PlannedAnswer,
  spoken: Spoken,
  callIdOf: (index: number) => string,
): ReturnType<typeof jsonAnswer> {
  const toolCalls = answer.toolCalls.map((call, index) => ({
    id: callIdOf(index),
    type: 'function',
    function: { name: call.name, arguments: call.argumentsText },
  }));
  const message = {
    role: 'assistant',
    content: spoken.text === '' && toolCalls.length > 0 ? null : spoken.text,
    ...(toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
  };
  const choices = [{ index: 0, message, logprobs: null, finish_reason: spoken.finish }];
  return jsonAnswer({ ...headOf(reply, 'chat.completion'), choices, usage: usageOf(request, spoken.tokenCount) });
}
