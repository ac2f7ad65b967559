/** Agents: their JSON, checked, and what a session makes of it. Pure but for reading files at start; main and conversation thread. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { EngineError } from '../shared/errors.js';
import { type TurnSettings, turnDefaults } from '../turn/settings.js';
import { audioFormats, switchableEvents } from '../wire/events.js';

const turnPart = z
  .strictObject(
    Object.fromEntries(
      Object.entries(turnDefaults)
        .filter(([, value]) => typeof value === 'number')
        .map(([name]) => [name, z.number().min(-1).max(600_000)]),
    ) as Record<string, z.ZodNumber>,
  )
  .partial();

/** The agent configuration: the shape of the public API where it has one, our own settings under `parley`. Unknown fields are kept out. */
export const agentSchema = z.object({
  agent_id: z.string().min(1).max(128),
  name: z.string().max(256).default(''),
  conversation_config: z
    .object({
      agent: z
        .object({
          first_message: z.string().max(4000).default(''),
          language: z.string().min(2).max(8).default('en'),
          prompt: z
            .object({
              prompt: z.string().max(200_000).default(''),
              llm: z.string().max(128).default(''),
              temperature: z.number().min(0).max(2).default(0.5),
              max_tokens: z.number().int().min(-1).max(16_384).default(400),
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
        })
        .prefault({}),
    })
    .prefault({}),
  platform_settings: z
    .object({
      overrides: z
        .object({
          conversation_config_override: z
            .object({
              agent: z
                .object({
                  first_message: z.boolean().default(false),
                  language: z.boolean().default(false),
                  prompt: z.object({ prompt: z.boolean().default(false), llm: z.boolean().default(false) }).prefault({}),
                })
                .prefault({}),
              tts: z
                .object({
                  voice_id: z.boolean().default(false),
                  model_id: z.boolean().default(false),
                  stability: z.boolean().default(false),
                  speed: z.boolean().default(false),
                  similarity_boost: z.boolean().default(false),
                })
                .prefault({}),
              asr: z.object({ keywords: z.boolean().default(false) }).prefault({}),
              conversation: z
                .object({
                  text_only: z.boolean().default(true),
                  max_duration_seconds: z.boolean().default(false),
                  client_events: z.boolean().default(true),
                })
                .prefault({}),
            })
            .prefault({}),
          custom_llm_extra_body: z.boolean().default(false),
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
      idle_phrases: z.array(z.string().max(500)).max(10).optional(),
      apology: z.string().max(500).optional(),
    })
    .prefault({}),
});

export type AgentConfig = z.infer<typeof agentSchema>;

/** Checks one agent. Throws `config` naming source, path, value and rule. */
export function parseAgent(value: unknown, source: string): AgentConfig {
  const result = agentSchema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const path = issue.path.join('.') || '(root)';
  throw new EngineError('config', `${source}: ${path}: ${issue.message}`);
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
    silenceEndMs: turn.silence_end_call_timeout < 0 ? -1 : turn.silence_end_call_timeout * 1000,
    delayRatio: eagernessRatio[turn.turn_eagerness],
    isInterruptible: conversation.client_events.includes('interruption'),
    language: speaker.language.slice(0, 2).toLowerCase(),
    ...(Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== undefined)) as Partial<TurnSettings>),
  };
}

/** Events of `client_events` that we know; unknown names are ignored as the protocol does. */
export function enabledEvents(names: readonly string[]): Set<string> {
  const known: readonly string[] = switchableEvents;
  return new Set(names.filter((name) => known.includes(name)));
}
