/**
 * Tools as an agent's configuration has them, in the public shape. What a webhook sends is looked at more closely when the agent is written
 * (`src/tools/webhook-config.ts`). Pure; main, API and conversation thread.
 */
import { z } from 'zod';

/** Seconds, as the public API allows them. */
const timeoutSecs = z.number().min(1).max(300);
const toolName = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be 1 to 64 letters, digits, _ or -')
  // Two of the official clients put the id of the call among the arguments under this name.
  .refine((name) => name !== 'tool_call_id', 'is taken by the protocol');

/** JSON of any shape, kept as it is. */
const json = z.record(z.string(), z.unknown());

const common = {
  name: toolName,
  description: z.string().max(10_000).default(''),
  response_timeout_secs: timeoutSecs.default(20),
  disable_interruptions: z.boolean().default(false),
  interruption_mode: z.enum(['allow', 'disable_during_tool', 'disable_during_tool_and_turn']).default('allow'),
  force_pre_tool_speech: z.boolean().default(false),
  pre_tool_speech: z.enum(['auto', 'force', 'off']).default('auto'),
  execution_mode: z.enum(['immediate', 'post_tool_speech', 'async']).default('immediate'),
  /** Dynamic variables that are set from the result: `value_path` is a dotted path into its JSON. */
  assignments: z
    .array(z.object({ dynamic_variable: z.string().min(1).max(128), value_path: z.string().min(1).max(256) }))
    .max(32)
    .default([]),
  dynamic_variables: z
    .object({ dynamic_variable_placeholders: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}) })
    .prefault({}),
} as const;

export const clientToolSchema = z.object({
  type: z.literal('client'),
  ...common,
  /** A JSON Schema subset with `constant_value` and `dynamic_variable`; read by `src/tools/schema.ts`. */
  parameters: json.optional(),
  expects_response: z.boolean().default(false),
});

export const webhookToolSchema = z.object({
  type: z.literal('webhook'),
  ...common,
  api_schema: json,
});

/** Those of telephone lines are kept, and have no meaning in a conversation over a WebSocket. */
export const systemToolNames = [
  'end_call',
  'skip_turn',
  'language_detection',
  'transfer_to_agent',
  'transfer_to_number',
  'play_keypad_touch_tone',
  'voicemail_detection',
] as const;

const transfer = z.object({
  agent_id: z.string().min(1).max(128),
  condition: z.string().max(4000).default(''),
  delay_ms: z.number().int().min(0).max(60_000).default(0),
  transfer_message: z.string().max(4000).optional(),
  enable_transferred_agent_first_message: z.boolean().default(false),
});

const systemParams = z
  .object({
    system_tool_type: z.enum(systemToolNames).optional(),
    transfers: z.array(transfer).max(100).default([]),
  })
  .prefault({});

export const systemToolSchema = z.object({
  type: z.literal('system'),
  ...common,
  name: z.enum(systemToolNames),
  params: systemParams,
});

export const toolSchema = z.discriminatedUnion('type', [clientToolSchema, webhookToolSchema, systemToolSchema]);

/** Below `built_in_tools` the key is the name. */
const builtIn = systemToolSchema.extend({ type: z.literal('system').default('system'), name: z.string().max(64).default('') });

export const builtInToolsSchema = z.object({
  end_call: builtIn.optional(),
  skip_turn: builtIn.optional(),
  language_detection: builtIn.optional(),
  transfer_to_agent: builtIn.optional(),
});

export type ToolConfig = z.infer<typeof toolSchema>;
export type ClientToolConfig = z.infer<typeof clientToolSchema>;
export type WebhookToolConfig = z.infer<typeof webhookToolSchema>;
export type SystemToolConfig = z.infer<typeof systemToolSchema>;
