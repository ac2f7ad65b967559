/** From an agent and what the client asked for at the start: the settings of one session, or why it is refused. Pure. */
import type { CustomLlm } from '../llm/pool.js';
import type { ErrorType } from '../shared/errors.js';
import { type AgentConfig, enabledEvents, turnSettingsOf } from '../store/agents.js';
import type { TurnSettings } from '../turn/settings.js';
import type { AudioFormat, Initiation } from '../wire/events.js';
import { toolsOf } from './agent-tools.js';
import type { SessionTool, Transfer } from './tools.js';

export type Profile = {
  readonly agentId: string;
  readonly agent: AgentConfig;
  readonly prompt: string;
  readonly firstMessage: string;
  readonly language: string;
  readonly model: string;
  readonly temperature: number;
  readonly maxTokens: number;
  readonly extraBody: Readonly<Record<string, unknown>> | undefined;
  readonly userId: string | undefined;
  readonly voice: {
    readonly voiceId: string;
    readonly modelId: string;
    readonly language: string;
    readonly speed: number;
    readonly stability: number;
    readonly similarityBoost: number;
  };
  readonly keywords: readonly string[];
  readonly grammar: unknown;
  readonly inputFormat: AudioFormat;
  readonly outputFormat: AudioFormat;
  readonly isTextOnly: boolean;
  readonly maxDurationMs: number;
  readonly events: ReadonlySet<string>;
  readonly turn: TurnSettings;
  readonly idlePhrases: readonly string[];
  readonly apology: string;
  /** Said before a tool that wants something said, when the model says nothing. */
  readonly toolPhrase: string;
  /** Undefined: as the format suggests. */
  readonly leadMs: number | undefined;
  readonly tools: ReadonlyMap<string, SessionTool>;
  readonly transfers: readonly Transfer[];
  readonly mcpServerIds: readonly string[];
  /** Every dynamic variable, the secret ones too: for tools. */
  readonly variables: Readonly<Record<string, string>>;
  /** Languages the agent speaks besides its own, and what changes with each. */
  readonly languages: ReadonlyMap<string, { readonly voiceId: string }>;
  /** Said while the answer is slow; undefined: nothing is. */
  readonly softTimeout:
    | {
        readonly afterMs: number;
        readonly phrases: readonly string[];
        readonly max: number;
        /** In another order with each reply. */
        readonly isShuffled: boolean;
      }
    | undefined;
  /** Said when the call's time is over; empty: nothing is. */
  readonly maxDurationMessage: string;
  readonly isRecorded: boolean;
};

export type Refusal = { readonly errorType: ErrorType; readonly code: 1002 | 1008; readonly reason: string };

export const noInitiation: Initiation = { overrides: {}, dynamicVariables: {} };

const englishIdle = ['Are you still there?', 'I am still here whenever you are ready.'];
const englishToolPhrase = 'One moment.';
const englishApology = 'Sorry, something went wrong on my side. Could you say that again?';

/** `system` holds the values of the reserved `system__` variables. */
export function resolveProfile(
  agent: AgentConfig,
  initiation: Initiation,
  system: Readonly<Record<string, string | number>>,
): { readonly ok: true; readonly profile: Profile } | { readonly ok: false; readonly refusal: Refusal } {
  const { conversation_config: config, platform_settings: platform } = agent;
  const asked = initiation.overrides;
  const forbidden = forbiddenOverride(agent, initiation);
  if (forbidden !== undefined) {
    return refuse('override_error', `Override for field '${forbidden}' is not allowed by config.`);
  }
  const variables = new Map<string, string>();
  const { dynamic_variable_placeholders: placeholders } = config.agent.dynamic_variables;
  const ofTools = config.agent.prompt.tools.map((tool) => tool.dynamic_variables.dynamic_variable_placeholders);
  for (const source of [...ofTools, placeholders, initiation.dynamicVariables]) {
    for (const [name, value] of Object.entries(source)) if (!name.startsWith('system__')) variables.set(name, String(value));
  }
  for (const [name, value] of Object.entries(system)) variables.set(name, String(value));

  const missing = new Set<string>();
  const fill = (text: string, hidesSecrets: boolean): string =>
    text.replace(/\{\{\s*([A-Za-z0-9_]+)\s*\}\}/g, (_whole, name: string) => {
      if (hidesSecrets && name.startsWith('secret__')) return '';
      const value = variables.get(name);
      if (value === undefined) missing.add(name);
      return value ?? '';
    });
  const prompt = fill(asked.prompt ?? config.agent.prompt.prompt, true);
  const language = asked.language ?? config.agent.language;
  const preset = config.language_presets[language]?.overrides;
  const firstMessage = fill(asked.firstMessage ?? preset?.agent?.first_message ?? config.agent.first_message, true);
  if (missing.size > 0) {
    return refuse('missing_dynamic_variable', `Missing required dynamic variables: ${[...missing].join(', ')}`.slice(0, 120));
  }
  const allowsKeywords = platform.overrides.conversation_config_override.asr.keywords;
  const clientEvents = asked.clientEvents ?? config.conversation.client_events;
  const isTextOnly = asked.textOnly ?? config.conversation.text_only;
  const turn = turnSettingsOf(agent);
  const languages = languagesOf(agent);
  const { tools, transfers } = toolsOf(agent, [...languages.keys()]);
  const voiceId = asked.voiceId ?? (languages.get(language)?.voiceId || config.tts.voice_id);
  return {
    ok: true,
    profile: {
      agentId: agent.agent_id,
      agent: withMcpServers(agent, asked.mcpServerIds),
      prompt,
      firstMessage,
      language,
      model: modelOf(asked.llm ?? config.agent.prompt.llm),
      temperature: config.agent.prompt.temperature,
      maxTokens: config.agent.prompt.max_tokens > 0 ? config.agent.prompt.max_tokens : 400,
      extraBody: initiation.customLlmExtraBody,
      userId: initiation.userId,
      voice: {
        voiceId,
        modelId: asked.ttsModelId ?? config.tts.model_id,
        language,
        speed: asked.speed ?? config.tts.speed,
        stability: asked.stability ?? config.tts.stability,
        similarityBoost: asked.similarityBoost ?? config.tts.similarity_boost,
      },
      keywords: allowsKeywords && asked.asrKeywords !== undefined ? asked.asrKeywords : config.asr.keywords,
      grammar: agent.parley.grammar,
      inputFormat: config.asr.user_input_audio_format,
      outputFormat: config.tts.agent_output_audio_format,
      isTextOnly,
      maxDurationMs: (asked.maxDurationSeconds ?? config.conversation.max_duration_seconds) * 1000,
      events: eventsFor(clientEvents, isTextOnly),
      // Who reads or types is not silent.
      turn: {
        ...turn,
        ...(isTextOnly ? { idleMs: -1, firstWaitMs: -1 } : {}),
        language: language.slice(0, 2).toLowerCase(),
        isInterruptible: clientEvents.includes('interruption'),
      },
      leadMs: agent.parley.lead_ms,
      idlePhrases: agent.parley.idle_phrases ?? englishIdle,
      apology: agent.parley.apology ?? englishApology,
      toolPhrase: agent.parley.tool_phrase ?? englishToolPhrase,
      tools,
      transfers,
      mcpServerIds: asked.mcpServerIds ?? config.agent.prompt.mcp_server_ids,
      variables: Object.fromEntries(variables),
      languages,
      softTimeout: softTimeoutOf(config.turn.soft_timeout_config, asked.softTimeoutMessage),
      maxDurationMessage: fill(asked.maxDurationMessage ?? config.agent.max_conversation_duration_message, true),
      isRecorded: platform.privacy.record_voice,
    },
  };
}

/** An agent's own server has its own default model. */
const modelOf = (name: string): string => (name === 'custom-llm' ? '' : name);

/** The agent's own language and those of its presets, with what changes in each. */
function languagesOf(agent: AgentConfig): Map<string, { voiceId: string }> {
  const { language_presets: presets, agent: speaker, tts } = agent.conversation_config;
  const languages = new Map([[speaker.language, { voiceId: tts.voice_id }]]);
  for (const [language, { overrides }] of Object.entries(presets)) {
    languages.set(language, { voiceId: overrides?.tts?.voice_id ?? tts.voice_id });
  }
  return languages;
}

/** The profile from the moment on that the agent speaks another of its languages. */
export function inLanguage(profile: Profile, language: string): Profile {
  const voiceId = profile.languages.get(language)?.voiceId ?? profile.voice.voiceId;
  return {
    ...profile,
    language,
    voice: { ...profile.voice, voiceId, language },
    turn: { ...profile.turn, language: language.slice(0, 2).toLowerCase() },
  };
}

type SoftTimeoutConfig = AgentConfig['conversation_config']['turn']['soft_timeout_config'];

function softTimeoutOf(config: SoftTimeoutConfig, message: string | undefined): Profile['softTimeout'] {
  const first = message ?? config.message;
  if (config.timeout_seconds <= 0 || first === '') return undefined;
  return {
    afterMs: config.timeout_seconds * 1000,
    phrases: [first, ...config.additional_soft_timeout_messages],
    max: config.max_soft_timeouts_per_generation,
    isShuffled: config.randomize_fillers,
  };
}

function eventsFor(names: readonly string[], isTextOnly: boolean): Set<string> {
  const events = enabledEvents(names);
  if (isTextOnly) {
    events.add('agent_chat_response_part');
    for (const name of ['audio', 'vad_score', 'user_transcript', 'tentative_user_transcript']) events.delete(name);
  }
  return events;
}

const refuse = (errorType: ErrorType, reason: string): { ok: false; refusal: Refusal } => ({
  ok: false,
  refusal: { errorType, code: 1008, reason },
});

/** The first override that is asked for, differs from the agent's own value and is not allowed. */
function forbiddenOverride(agent: AgentConfig, initiation: Initiation): string | undefined {
  const { conversation_config: config, platform_settings: platform } = agent;
  const allowed = platform.overrides.conversation_config_override;
  const asked = initiation.overrides;
  const rows: readonly (readonly [string, unknown, unknown, boolean])[] = [
    ['prompt', asked.prompt, config.agent.prompt.prompt, allowed.agent.prompt.prompt],
    ['llm', asked.llm, config.agent.prompt.llm, allowed.agent.prompt.llm],
    ['tool_ids', listed(asked.toolIds), listed(config.agent.prompt.tool_ids), false],
    [
      'native_mcp_server_ids',
      listed(asked.mcpServerIds),
      listed(config.agent.prompt.mcp_server_ids),
      allowed.agent.prompt.native_mcp_server_ids,
    ],
    [
      'max_conversation_duration_message',
      asked.maxDurationMessage,
      config.agent.max_conversation_duration_message,
      allowed.agent.max_conversation_duration_message,
    ],
    [
      'soft_timeout_config',
      asked.softTimeoutMessage,
      config.turn.soft_timeout_config.message,
      allowed.turn.soft_timeout_config.message,
    ],
    ['first_message', asked.firstMessage, config.agent.first_message, allowed.agent.first_message],
    ['language', asked.language, config.agent.language, allowed.agent.language],
    ['voice_id', asked.voiceId, config.tts.voice_id, allowed.tts.voice_id],
    ['model_id', asked.ttsModelId, config.tts.model_id, allowed.tts.model_id],
    ['stability', asked.stability, config.tts.stability, allowed.tts.stability],
    ['speed', asked.speed, config.tts.speed, allowed.tts.speed],
    ['similarity_boost', asked.similarityBoost, config.tts.similarity_boost, allowed.tts.similarity_boost],
    ['text_only', asked.textOnly, config.conversation.text_only, allowed.conversation.text_only],
    [
      'max_duration_seconds',
      asked.maxDurationSeconds,
      config.conversation.max_duration_seconds,
      allowed.conversation.max_duration_seconds,
    ],
    ['client_events', listed(asked.clientEvents), listed(config.conversation.client_events), allowed.conversation.client_events],
    ['custom_llm_extra_body', extraBodyAsked(initiation), undefined, platform.overrides.custom_llm_extra_body],
  ];
  return rows.find(([, wanted, own, isAllowed]) => wanted !== undefined && wanted !== own && !isAllowed)?.[0];
}

function extraBodyAsked(initiation: Initiation): true | undefined {
  const body = initiation.customLlmExtraBody;
  return body !== undefined && Object.keys(body).length > 0 ? true : undefined;
}

/** The server that an agent brings itself, with the secrets it names put in. A header of a variable is known only in a call, and left out. */
export function customLlmOf(agent: AgentConfig): CustomLlm | undefined {
  const { llm, custom_llm: custom } = agent.conversation_config.agent.prompt;
  if (llm !== 'custom-llm' || custom === undefined) return undefined;
  const secret = (id: string | undefined): string => (id === undefined ? '' : (agent.secrets?.[id] ?? ''));
  const headers = Object.entries(custom.request_headers).flatMap(([name, value]): [string, string][] => {
    if (typeof value === 'string') return [[name, value]];
    return 'secret_id' in value ? [[name, secret(value.secret_id)]] : [];
  });
  return {
    url: custom.url,
    model: custom.model_id,
    apiKey: secret(custom.api_key?.secret_id),
    headers: Object.fromEntries(headers),
  };
}

/** The order in a list does not matter. */
function listed(names: readonly string[] | undefined): string | undefined {
  return names === undefined ? undefined : [...names].sort().join();
}

/** The agent as this call wants it. */
function withMcpServers(agent: AgentConfig, ids: readonly string[] | undefined): AgentConfig {
  if (ids === undefined) return agent;
  const { conversation_config: config } = agent;
  const prompt = { ...config.agent.prompt, mcp_server_ids: [...ids] };
  return { ...agent, conversation_config: { ...config, agent: { ...config.agent, prompt } } };
}
