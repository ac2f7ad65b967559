/** The schema of agents: what a document may hold, with its defaults. Pure; main, API and conversation thread. */
import { z } from 'zod';
import { strictObject } from '../shared/strict-object.js';
import { type TurnSettingName, turnRanges } from '../turn/settings.js';
import { audioFormats } from '../wire/events.js';
import { builtInToolsSchema, toolSchema } from './tool-config.js';

const turnPart = strictObject(
  Object.fromEntries(
    Object.entries(turnRanges).map(([name, [min, max]]) => [name, z.number().min(min).max(max).optional()]),
  ) as Record<TurnSettingName, z.ZodOptional<z.ZodNumber>>,
);

const name = z.string().max(128);
const ids = z.array(z.string().min(1).max(128)).max(100);
const seconds = (min: number, max: number) => z.number().min(min).max(max);
/** Text, a secret of the store by its id, or a dynamic variable by its name. */
const headerValue = z.union([
  z.string().max(8192),
  z.object({ secret_id: z.string().min(1).max(128) }),
  z.object({ variable_name: z.string().min(1).max(128) }),
]);
/** Whether a client may say it differently. */
const may = (isAllowed = false) => z.boolean().default(isAllowed);

/** What a language changes, when the conversation is held in it. */
const presetOverrides = z
  .object({
    agent: z
      .object({
        first_message: z.string().max(4000).optional(),
        prompt: z.object({ prompt: z.string().max(200_000).optional(), llm: name.optional() }).prefault({}),
        max_conversation_duration_message: z.string().max(4000).optional(),
      })
      .prefault({}),
    tts: z
      .object({
        voice_id: name.optional(),
        model_id: name.optional(),
        stability: z.number().min(0).max(1).optional(),
        speed: z.number().min(0.7).max(1.2).optional(),
        similarity_boost: z.number().min(0).max(1).optional(),
      })
      .prefault({}),
    turn: z.object({ soft_timeout_config: z.object({ message: z.string().max(1000).optional() }).prefault({}) }).prefault({}),
  })
  .prefault({});

const softTimeout = z
  .object({
    /** Without a word of the model for this long, a filler is said; -1: never. */
    timeout_seconds: seconds(-1, 60).default(-1),
    message: z.string().max(1000).default('Hhmmmm...yeah.'),
    additional_soft_timeout_messages: z.array(z.string().max(1000)).max(20).default([]),
    max_soft_timeouts_per_generation: z.number().int().min(1).max(20).default(1),
    randomize_fillers: z.boolean().default(false),
    disable_until_first_user_message: z.boolean().default(false),
  })
  .prefault({});

/** What is not to be kept of a conversation. */
export const privacySchema = z.object({
  record_voice: z.boolean().default(true),
  /** Conversations that ended longer ago are deleted, whole; 0: right after the call; -1: never. */
  retention_days: z.number().int().min(-1).max(36_500).default(-1),
  /** Right after the call: the transcript, and what names the caller. */
  delete_transcript_and_pii: z.boolean().default(false),
  /** Right after the call. */
  delete_audio: z.boolean().default(false),
});

/**
 * The agent configuration: the shape of the public API where it has one, our own settings under `parley`. Unknown fields are kept
 * out here; a stored document keeps them. Check documents with `checkAgent`: clients write `null` for what is not set.
 */
export const agentSchema = z.object({
  agent_id: z.string().min(1).max(128),
  name: z.string().max(256).default(''),
  conversation_config: z
    .object({
      agent: z
        .object({
          first_message: z.string().max(4000).default(''),
          language: z.string().min(2).max(8).default('en'),
          /** The first message is heard out, whatever is said meanwhile. */
          disable_first_message_interruptions: z.boolean().default(false),
          /** Said before the call ends for its length; empty: nothing. */
          max_conversation_duration_message: z.string().max(4000).default(''),
          prompt: z
            .object({
              prompt: z.string().max(200_000).default(''),
              llm: z.string().max(128).default(''),
              temperature: z.number().min(0).max(2).default(0.5),
              max_tokens: z.number().int().min(-1).max(16_384).default(400),
              tools: z.array(toolSchema).max(128).default([]),
              tool_ids: ids.default([]),
              built_in_tools: builtInToolsSchema.prefault({}),
              mcp_server_ids: ids.default([]),
              /** Used when `llm` is `custom-llm`: any server of OpenAI's protocol. */
              custom_llm: z
                .object({
                  url: z
                    .string()
                    .max(2048)
                    .regex(/^https?:\/\//, 'must begin with http:// or https://')
                    // Variables come from the caller's browser; whoever may choose the host gets the key.
                    .refine(
                      (url) => URL.canParse(url) && !/[{}]/.test(new URL(url).host),
                      'is not a URL whose host is written out',
                    ),
                  model_id: name.default(''),
                  api_key: z.object({ secret_id: z.string().min(1).max(128) }).optional(),
                  request_headers: z.record(z.string().max(128), headerValue).default({}),
                })
                .optional(),
            })
            .prefault({}),
          dynamic_variables: z
            .object({
              dynamic_variable_placeholders: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
            })
            .prefault({}),
        })
        .prefault({}),
      asr: z
        .object({
          user_input_audio_format: z.enum(audioFormats).default('pcm_16000'),
          keywords: z.array(z.string().max(64)).max(200).default([]),
        })
        .prefault({}),
      tts: z
        .object({
          voice_id: z.string().max(128).default(''),
          model_id: z.string().max(128).default(''),
          agent_output_audio_format: z.enum(audioFormats).default('pcm_16000'),
          stability: z.number().min(0).max(1).default(0.5),
          speed: z.number().min(0.7).max(1.2).default(1),
          similarity_boost: z.number().min(0).max(1).default(0.8),
        })
        .prefault({}),
      turn: z
        .object({
          turn_timeout: z.number().min(-1).max(300).default(7),
          silence_end_call_timeout: z.number().min(-1).max(3600).default(-1),
          turn_eagerness: z.enum(['patient', 'normal', 'eager']).default('normal'),
          /** How long the caller may be silent at the start when there is no first message; unset: `turn_timeout`. */
          initial_wait_time: seconds(1, 300).optional(),
          spelling_patience: z.enum(['auto', 'off']).default('auto'),
          soft_timeout_config: softTimeout,
          /** Whole utterances that do not interrupt, in any case. */
          interruption_ignore_terms: z.array(z.string().min(1).max(128)).max(200).default([]),
          merge_with_default_ignore_terms: z.boolean().default(false),
          transcribe_on_disabled_interruptions: z.boolean().default(false),
        })
        .prefault({}),
      conversation: z
        .object({
          text_only: z.boolean().default(false),
          max_duration_seconds: z.number().int().min(1).max(86_400).default(600),
          client_events: z
            .array(z.string())
            .default([
              'audio',
              'interruption',
              'agent_response',
              'user_transcript',
              'agent_response_correction',
              'agent_tool_response',
            ]),
          file_input: z
            .object({
              enabled: z.boolean().default(false),
              max_files_per_conversation: z.number().int().min(1).max(50).default(10),
            })
            .prefault({}),
        })
        .prefault({}),
      /** Language → what it changes. */
      language_presets: z.record(z.string().min(2).max(8), z.object({ overrides: presetOverrides })).default({}),
    })
    .prefault({}),
  platform_settings: z
    .object({
      auth: z
        .object({
          /** A signed URL or the API key is needed. */
          enable_auth: z.boolean().default(false),
          /** Pages of other hosts may not open a conversation; empty: all may. */
          allowlist: z
            .array(z.object({ hostname: z.string().min(1).max(256) }))
            .max(100)
            .default([]),
          require_origin_header: z.boolean().default(false),
        })
        .prefault({}),
      call_limits: z
        .object({
          /** Conversations at once; -1: as many as there is room for. */
          agent_concurrency_limit: z.number().int().min(-1).default(-1),
        })
        .prefault({}),
      privacy: privacySchema.prefault({}),
      overrides: z
        .object({
          conversation_config_override: z
            .object({
              agent: z
                .object({
                  first_message: may(),
                  language: may(),
                  max_conversation_duration_message: may(),
                  prompt: z.object({ prompt: may(), llm: may(), tool_ids: may(), native_mcp_server_ids: may() }).prefault({}),
                })
                .prefault({}),
              tts: z
                .object({ voice_id: may(), model_id: may(), stability: may(), speed: may(), similarity_boost: may() })
                .prefault({}),
              asr: z.object({ keywords: may() }).prefault({}),
              turn: z.object({ soft_timeout_config: z.object({ message: may() }).prefault({}) }).prefault({}),
              conversation: z
                .object({ text_only: may(true), max_duration_seconds: may(), client_events: may(true) })
                .prefault({}),
            })
            .prefault({}),
          custom_llm_extra_body: may(),
        })
        .prefault({}),
    })
    .prefault({}),
  parley: strictObject({
    /** The embedded recogniser's grammar (`src/stt/embedded/grammar.ts`). */
    grammar: z.unknown().optional(),
    /** Turn-taking settings that differ from the defaults (`src/turn/settings.ts`). */
    turn: turnPart.optional(),
    /** False: the model is not offered to hang up, unless the agent's tools say so. */
    end_call: z.boolean().optional(),
    /** How far ahead of real time audio is sent (ms). Unset: 72, and 34 in the 8 kHz formats of telephones, whose gateways hold audio back themselves. */
    lead_ms: z.number().int().min(30).max(200).optional(),
    idle_phrases: z.array(z.string().max(500)).max(10).optional(),
    apology: z.string().max(500).optional(),
    /** Said before a tool of `pre_tool_speech: force` when the model says nothing. */
    tool_phrase: z.string().max(500).optional(),
  }).prefault({}),
});
