/** Messages and query of the ElevenLabs synthesis sockets: what a client may send, checked strictly. Pure. */
import * as z from 'zod';
import { type OutputFormat, outputFormatOf } from './formats.js';

export const voiceSettingsSchema = z.strictObject({
  stability: z.number().min(0).max(1).optional(),
  similarity_boost: z.number().min(0).max(1).optional(),
  style: z.number().min(0).max(1).optional(),
  use_speaker_boost: z.boolean().optional(),
  speed: z.number().min(0.7).max(1.2).optional(),
});

const settings = {
  voice_settings: voiceSettingsSchema.optional(),
  generation_config: z
    .strictObject({ chunk_length_schedule: z.array(z.number().min(50).max(500)).min(1).max(10).optional() })
    .optional(),
  pronunciation_dictionary_locators: z
    .array(z.strictObject({ pronunciation_dictionary_id: z.string(), version_id: z.string().optional() }))
    .max(3)
    .optional(),
};
const credentials = {
  xi_api_key: z.string().optional(),
  'xi-api-key': z.string().optional(),
  authorization: z.string().optional(),
};
const text = z.string().max(10_000);

/** Keys are snake_case in this direction; the camelCase of the other one is a mistake that the real service would swallow silently. */
export const multiMessageSchema = z.strictObject({
  context_id: z.string().min(1).max(200).optional(),
  text: text.optional(),
  flush: z.boolean().optional(),
  close_context: z.boolean().optional(),
  close_socket: z.boolean().optional(),
  ...settings,
  ...credentials,
});
export const singleMessageSchema = z.strictObject({
  text,
  flush: z.boolean().optional(),
  try_trigger_generation: z.boolean().optional(),
  ...settings,
  ...credentials,
});
export type ClientMessage = z.infer<typeof multiMessageSchema> & { readonly try_trigger_generation?: boolean | undefined };

export function hasSettings(message: ClientMessage): boolean {
  return (
    message.voice_settings !== undefined ||
    message.generation_config !== undefined ||
    message.pronunciation_dictionary_locators !== undefined
  );
}

/** The key a message carries, if any. */
export function keyOf(message: ClientMessage): string | undefined {
  return message.xi_api_key ?? message['xi-api-key'] ?? message.authorization;
}

export type SocketQuery = {
  readonly format: OutputFormat;
  readonly isAuto: boolean;
  readonly inactivityMs: number;
  /** A key or token given in the query. */
  readonly key: string | undefined;
};

const flag = z.enum(['true', 'false']).optional();
const querySchema = z.strictObject({
  // The v3 generation is not served on these sockets.
  model_id: z
    .string()
    .regex(/^eleven_(?!v3)/)
    .optional(),
  output_format: z.string().optional(),
  language_code: z
    .string()
    .regex(/^[a-z]{2,3}$/)
    .optional(),
  auto_mode: flag,
  sync_alignment: flag,
  enable_ssml_parsing: flag,
  enable_logging: flag,
  apply_text_normalization: z.enum(['auto', 'on', 'off']).optional(),
  inactivity_timeout: z.coerce.number().int().min(1).max(180).optional(),
  seed: z.coerce.number().int().min(0).max(4294967295).optional(),
  authorization: z.string().optional(),
  single_use_token: z.string().optional(),
});

/** The query of a socket, or what is wrong with it. */
export function readQuery(query: URLSearchParams): SocketQuery | { readonly problem: string } {
  const parsed = querySchema.safeParse(Object.fromEntries(query));
  if (!parsed.success) return { problem: problemIn(parsed.error) };
  const name = parsed.data.output_format ?? 'mp3_44100_128';
  const format = outputFormatOf(name);
  if (format === undefined) return { problem: `output_format: the simulator cannot make ${name}` };
  return {
    format,
    isAuto: parsed.data.auto_mode === 'true',
    inactivityMs: (parsed.data.inactivity_timeout ?? 20) * 1000,
    key: parsed.data.authorization ?? parsed.data.single_use_token,
  };
}

/** A client's text frame, or what is wrong with it. */
export function readMessage(frame: string, mode: 'single' | 'multi'): ClientMessage | { readonly problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch {
    return { problem: 'the message is not JSON' };
  }
  const parsed = (mode === 'multi' ? multiMessageSchema : singleMessageSchema).safeParse(value);
  if (!parsed.success) return { problem: problemIn(parsed.error) };
  const message: ClientMessage = parsed.data;
  const isEmpty = message.text === undefined && !message.flush && !message.close_context && !message.close_socket;
  return isEmpty ? { problem: 'the message says nothing: text, flush, close_context or close_socket is needed' } : message;
}

function problemIn(error: z.ZodError): string {
  const issue = error.issues[0];
  const path = issue?.path.join('.') ?? '';
  return `${path === '' ? '' : `${path}: `}${issue?.message ?? 'invalid'}`;
}
