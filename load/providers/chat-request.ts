/** What the simulated language model accepts as a chat completion request, as strictly as the vendors do. Pure. */
import * as z from 'zod';
import type { Asked } from './answers.js';
import { Refusal } from './exchange.js';

const textPart = z.looseObject({ type: z.literal('text'), text: z.string() });
const content = z.union([z.string(), z.array(textPart).min(1)]);
/** What users may send besides text. */
const imagePart = z.looseObject({ type: z.literal('image_url'), image_url: z.looseObject({ url: z.string() }) });
const filePart = z.looseObject({ type: z.literal('file'), file: z.looseObject({ file_data: z.string() }) });
const userContent = z.union([z.string(), z.array(z.union([textPart, imagePart, filePart])).min(1)]);
const toolCall = z.strictObject({
  id: z.string().min(1),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string().min(1), arguments: z.string() }),
});
const name = z.string().optional();
const message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer']), content, name }),
  z.strictObject({ role: z.literal('user'), content: userContent, name }),
  z.strictObject({
    role: z.literal('assistant'),
    content: content.nullable().optional(),
    name,
    tool_calls: z.array(toolCall).min(1).optional(),
  }),
  z.strictObject({ role: z.literal('tool'), content, name, tool_call_id: z.string().min(1) }),
]);
export type ChatMessage = z.infer<typeof message>;

const tool = z.strictObject({
  type: z.literal('function'),
  function: z.strictObject({
    name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
    description: z.string().optional(),
    parameters: z.looseObject({ type: z.literal('object') }).optional(),
    strict: z.boolean().nullable().optional(),
  }),
});

const toolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: z.string() }) }),
]);

const fields = {
  model: z.string().min(1),
  messages: z.array(message).min(1),
  stream: z.boolean().nullable().optional(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).nullable().optional(),
  temperature: z.number().min(0).max(2).nullable().optional(),
  top_p: z.number().min(0).max(1).nullable().optional(),
  max_tokens: z.int().min(1).nullable().optional(),
  max_completion_tokens: z.int().min(1).nullable().optional(),
  n: z.literal(1).nullable().optional(),
  stop: z
    .union([z.string(), z.array(z.string()).max(4)])
    .nullable()
    .optional(),
  seed: z.int().nullable().optional(),
  user: z.string().nullable().optional(),
  presence_penalty: z.number().min(-2).max(2).nullable().optional(),
  frequency_penalty: z.number().min(-2).max(2).nullable().optional(),
  tools: z.array(tool).max(128).nullable().optional(),
  tool_choice: toolChoice.nullable().optional(),
  parallel_tool_calls: z.boolean().nullable().optional(),
  response_format: z.looseObject({ type: z.string() }).nullable().optional(),
  reasoning_effort: z.string().nullable().optional(),
  reasoning_format: z.string().nullable().optional(),
  include_reasoning: z.boolean().nullable().optional(),
  service_tier: z.string().nullable().optional(),
};
const groqSchema = z.strictObject(fields);
/** A custom model is told more about the caller. */
const openaiSchema = z.strictObject({
  ...fields,
  metadata: z.record(z.string(), z.string()).nullable().optional(),
  store: z.boolean().nullable().optional(),
  user_id: z.string().optional(),
  elevenlabs_extra_body: z.record(z.string(), z.unknown()).optional(),
});
export type ChatRequest = z.infer<typeof openaiSchema>;

/** The request in `body`, checked, and as it was sent. Throws Refusal, with the field named. */
export function readChatRequest(body: Buffer, vendor: 'groq' | 'openai'): { request: ChatRequest; sent: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw new Refusal(400, 'We could not parse the JSON body of your request.');
  }
  const parsed = (vendor === 'groq' ? groqSchema : openaiSchema).safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new Refusal(400, `'${issue?.path.join('.') ?? ''}': ${issue?.message ?? 'invalid'}`);
  }
  const request: ChatRequest = parsed.data;
  if (/whisper|tts/.test(request.model)) {
    throw new Refusal(400, `The model \`${request.model}\` does not support chat completions`);
  }
  if (request.stream_options != null && request.stream !== true) {
    throw new Refusal(400, "'stream_options' is only allowed when 'stream' is enabled");
  }
  checkToolResults(request.messages);
  return { request, sent: value };
}

/** Each tool call is answered at once and once, and nothing else is. */
function checkToolResults(messages: readonly ChatMessage[]): void {
  let open: string[] = [];
  for (const [index, each] of messages.entries()) {
    if (each.role === 'tool') {
      if (!open.includes(each.tool_call_id)) {
        throw new Refusal(
          400,
          `'messages.${index}': messages with role 'tool' must be a response to a preceding message with 'tool_calls'`,
        );
      }
      open = open.filter((id) => id !== each.tool_call_id);
      continue;
    }
    if (open.length > 0) {
      throw new Refusal(
        400,
        `'messages.${index}': an assistant message with 'tool_calls' must be followed by tool messages; missing: ${open.join(', ')}`,
      );
    }
    if (each.role === 'assistant') {
      if (each.content == null && each.tool_calls === undefined)
        throw new Refusal(400, `'messages.${index}': content is required`);
      open = each.tool_calls?.map((call) => call.id) ?? [];
    }
  }
  if (open.length > 0) throw new Refusal(400, `'messages': tool calls without a response: ${open.join(', ')}`);
}

function textOf(value: z.infer<typeof userContent> | null | undefined): string {
  if (value == null) return '';
  return typeof value === 'string' ? value : value.map((part) => (part.type === 'text' ? part.text : '')).join('');
}

/** What an answer depends on. */
export function askedOf(request: ChatRequest): Asked {
  const last = request.messages.at(-1);
  const system = request.messages.filter((each) => each.role === 'system' || each.role === 'developer');
  return {
    system: system.map((each) => textOf(each.content)).join('\n'),
    user: textOf(request.messages.findLast((each) => each.role === 'user')?.content),
    toolResult: last?.role === 'tool' ? textOf(last.content) : undefined,
  };
}
