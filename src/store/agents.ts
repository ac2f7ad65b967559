/** Agents: their JSON, checked, and what a session makes of it. Pure but for reading files at start; main and conversation thread. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { EngineError } from '../shared/errors.js';
import { type TurnSettings, turnDefaults } from '../turn/settings.js';
import { audioFormats, switchableEvents } from '../wire/events.js';
import { builtInToolsSchema, toolSchema } from './tool-config.js';

const turnPart = z
  .strictObject(
    Object.fromEntries(
      Object.entries(turnDefaults)
        .filter(([, value]) => typeof value === 'number')
        .map(([name]) => [name, z.number().min(-1).max(600_000)]),
    ) as Record<string, z.ZodNumber>,
  )
  .partial();

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
                    .regex(/^https?:\/\//, 'must begin with http:// or https://'),
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
      privacy: z
        .object({
          record_voice: z.boolean().default(true),
          /** Conversations that ended longer ago are deleted, whole; 0: right after the call; -1: never. */
          retention_days: z.number().int().min(-1).max(36_500).default(-1),
          /** Right after the call: the transcript, and what names the caller. */
          delete_transcript_and_pii: z.boolean().default(false),
          /** Right after the call. */
          delete_audio: z.boolean().default(false),
        })
        .prefault({}),
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
  parley: z
    .strictObject({
      /** The embedded recogniser's grammar (`src/stt/embedded/grammar.ts`). */
      grammar: z.unknown().optional(),
      /** Turn-taking settings that differ from the defaults (`src/turn/settings.ts`). */
      turn: turnPart.optional(),
      /** False: the model is not offered to hang up, unless the agent's tools say so. */
      end_call: z.boolean().optional(),
      idle_phrases: z.array(z.string().max(500)).max(10).optional(),
      apology: z.string().max(500).optional(),
    })
    .prefault({}),
});

export type AgentConfig = z.infer<typeof agentSchema> & {
  /** Values of the secrets that the agent names, by id. Filled in by the API thread for sessions; never stored, never shown. */
  readonly secrets?: Readonly<Record<string, string>>;
};

/** One place of a document that breaks a rule. */
export type AgentIssue = {
  readonly path: readonly (string | number)[];
  readonly message: string;
  readonly rule: string;
  readonly value: unknown;
};

export type CheckedAgent =
  | { readonly ok: true; readonly agent: AgentConfig }
  | { readonly ok: false; readonly issues: readonly AgentIssue[] };

/** Checks one agent; all that is wrong with it, in the order of the document's schema. */
export function checkAgent(value: unknown): CheckedAgent {
  const document = withoutNulls(value);
  const result = agentSchema.safeParse(document);
  if (result.success) return { ok: true, agent: result.data };
  return { ok: false, issues: issuesOf(result.error, document) };
}

/** What zod found, each with the value it found it in. */
export function issuesOf(error: z.ZodError, document: unknown): AgentIssue[] {
  return error.issues.map(({ path: steps, message, code }) => {
    const path = steps.map((step) => (typeof step === 'symbol' ? String(step) : step));
    return { path, message, rule: code, value: valueAt(document, path) };
  });
}

function valueAt(document: unknown, path: readonly (string | number)[]): unknown {
  let value = document;
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Readonly<Record<string | number, unknown>>)[step];
  }
  return value;
}

/** The public API means "not set" by null. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== null);
  return Object.fromEntries(entries.map(([key, item]) => [key, withoutNulls(item)]));
}

/** Checks one agent. Throws `config` naming source, path, value and rule. */
export function parseAgent(value: unknown, source: string): AgentConfig {
  const checked = checkAgent(value);
  if (checked.ok) return checked.agent;
  const { path, message } = checked.issues[0]!;
  throw new EngineError('config', `${source}: ${path.join('.') || '(root)'}: ${message}`);
}

/** Reads a folder of agent files, or one file holding an agent or a list of them. `fallback` is added under its id unless one is there. */
export function loadAgents(path: string | undefined, fallback: AgentConfig): Map<string, AgentConfig> {
  const agents = new Map<string, AgentConfig>();
  if (path !== undefined) {
    for (const file of agentFiles(path)) {
      for (const value of readAgents(file)) {
        const agent = parseAgent(value, file);
        if (agents.has(agent.agent_id)) throw new EngineError('config', `${file}: agent_id "${agent.agent_id}" is used twice`);
        agents.set(agent.agent_id, agent);
      }
    }
  }
  if (!agents.has(fallback.agent_id)) agents.set(fallback.agent_id, fallback);
  return agents;
}

function agentFiles(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path)
      .filter((name) => name.endsWith('.json'))
      .sort()
      .map((name) => join(path, name));
  } catch (cause) {
    throw new EngineError('config', `PARLEY_AGENTS="${path}": no such file or folder`, { cause });
  }
}

function readAgents(file: string): unknown[] {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Array.isArray(value) ? value : [value];
  } catch (cause) {
    throw new EngineError('config', `${file}: not readable as JSON`, { cause });
  }
}

const eagernessRatio = { eager: 0.7, normal: 1, patient: 1.6 } as const;

/** The turn settings of an agent, before overrides. */
export function turnSettingsOf(agent: AgentConfig): TurnSettings {
  const { agent: speaker, turn, conversation } = agent.conversation_config;
  const chosen = agent.parley.turn ?? {};
  return {
    ...turnDefaults,
    idleMs: turn.turn_timeout * 1000,
    firstWaitMs: (turn.initial_wait_time ?? turn.turn_timeout) * 1000,
    silenceEndMs: turn.silence_end_call_timeout < 0 ? -1 : turn.silence_end_call_timeout * 1000,
    delayRatio: eagernessRatio[turn.turn_eagerness],
    isInterruptible: conversation.client_events.includes('interruption'),
    isFirstInterruptible: !speaker.disable_first_message_interruptions,
    ignoredTerms: turn.interruption_ignore_terms,
    ...(turn.spelling_patience === 'off' ? { delaySpellingMs: turnDefaults.delayNeutralMs } : {}),
    language: speaker.language.slice(0, 2).toLowerCase(),
    ...(Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined)) as Partial<TurnSettings>),
  };
}

/** Events of `client_events` that we know; unknown names are ignored as the protocol does. */
export function enabledEvents(names: readonly string[]): Set<string> {
  const known: readonly string[] = switchableEvents;
  return new Set(names.filter((name) => known.includes(name)));
}
