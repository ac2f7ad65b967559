/**
 * Keys of a configuration that do nothing: those that nobody knows, with the one that was probably meant, and those of the public API that are
 * kept here without effect. Clients gain fields every week, so neither is refused; whoever writes them is told. Pure; API thread, main at start.
 */
import { z } from 'zod';
import { nearestName } from '../shared/nearest.js';
import { agentSchema } from '../store/agent-schema.js';
import { withoutNulls } from '../store/agents.js';
import { toolSchema } from '../store/tool-config.js';
import { serverSchema } from '../tools/mcp-config.js';
import { webhookSchema } from '../tools/webhook-config.js';
import { switchableEvents } from '../wire/events.js';
import { isObject } from './merge.js';

export type KeyWarning = {
  readonly path: readonly (string | number)[];
  readonly rule: 'unknown_key' | 'unknown_value' | 'without_effect';
  readonly message: string;
};

/** Of one document; more are counted in the last. */
const warningsMax = 50;

/** Keys of the public API that are kept and change nothing, with the reason. `*` stands for an index or a name. docs/protocol.md has the list too. */
const agentKeysWithoutEffect: readonly (readonly [why: string, ...paths: string[]])[] = [
  [
    'recognition is chosen for the whole server (PARLEY_STT)',
    'conversation_config.asr.quality',
    'conversation_config.asr.provider',
  ],
  [
    'turns are decided by this server’s own rules (parley.turn)',
    'conversation_config.turn.turn_model',
    'conversation_config.turn.speculative_turn',
    'conversation_config.turn.mode',
    'conversation_config.vad',
  ],
  [
    'the backchannels of the language never interrupt, whatever this says',
    'conversation_config.turn.merge_with_default_ignore_terms',
    'conversation_config.turn.interruption_ignore_term_languages',
  ],
  [
    'what is said while interruptions are off always carries over',
    'conversation_config.turn.transcribe_on_disabled_interruptions',
  ],
  [
    'fillers are texts of the configuration, said only while a caller is answered',
    'conversation_config.turn.soft_timeout_config.use_llm_generated_message',
    'conversation_config.turn.soft_timeout_config.llm_generated_message_prompt_override',
    'conversation_config.turn.soft_timeout_config.disable_until_first_user_message',
  ],
  [
    'one voice speaks, as its provider makes it',
    'conversation_config.tts.supported_voices',
    'conversation_config.tts.optimize_streaming_latency',
    'conversation_config.tts.pronunciation_dictionary_locators',
    'conversation_config.tts.expressive_mode',
    'conversation_config.tts.suggested_audio_tags',
    'conversation_config.tts.text_normalisation_type',
    'conversation_config.tts.enable_phoneme_tags',
    'conversation_config.tts.audio_effects',
  ],
  [
    'not built',
    'conversation_config.turn.retranscribe_on_turn_timeout',
    'conversation_config.conversation.dtmf_input_settings',
    'conversation_config.conversation.background_sound',
    'conversation_config.conversation.source_attribution',
    'conversation_config.conversation.monitoring_enabled',
    'conversation_config.conversation.monitoring_events',
    'conversation_config.conversation.file_input.max_files_in_memory',
    'conversation_config.agent.hinglish_mode',
    'conversation_config.agent.text_behavior_overrides',
    'conversation_config.agent.prompt.knowledge_base',
    'conversation_config.agent.prompt.rag',
    'conversation_config.agent.prompt.reasoning_effort',
    'conversation_config.agent.prompt.thinking_budget',
    'conversation_config.agent.prompt.enable_reasoning_summary',
    'conversation_config.agent.prompt.enable_parallel_tool_calls',
    'conversation_config.agent.prompt.tool_ids_strict',
    'conversation_config.agent.prompt.native_mcp_server_ids',
    'conversation_config.agent.prompt.ignore_default_personality',
    'conversation_config.agent.prompt.timezone',
    'conversation_config.agent.prompt.custom_llm.api_version',
    'conversation_config.agent.prompt.custom_llm.api_type',
    'conversation_config.agent.prompt.custom_llm.auth_connection',
    'workflow',
    'procedures',
    'platform_settings.evaluation',
    'platform_settings.data_collection',
    'platform_settings.data_collection_scopes',
    'platform_settings.analysis_items',
    'platform_settings.analysis_llm',
    'platform_settings.summary_language',
    'platform_settings.auto_translate_transcript_to_app_language',
    'platform_settings.topic_discovery',
    'platform_settings.sentiment_analysis',
    'platform_settings.workspace_overrides',
    'platform_settings.testing',
    'platform_settings.guardrails',
    'platform_settings.alerting',
    'platform_settings.trust_context',
    'platform_settings.queueing_config',
    'platform_settings.auth.shareable_token',
    'platform_settings.call_limits.daily_limit',
    'platform_settings.call_limits.bursting_enabled',
    'platform_settings.privacy.apply_to_existing_conversations',
    'platform_settings.privacy.zero_retention_mode',
    'platform_settings.privacy.conversation_history_redaction',
    'platform_settings.overrides.enable_conversation_initiation_client_data_from_webhook',
    'platform_settings.overrides.enable_procedure_ids_from_client',
  ],
  [
    'a failing provider is replaced by the next one of the server (PARLEY_LLM)',
    'conversation_config.agent.prompt.backup_llm_config',
    'conversation_config.agent.prompt.cascade_timeout_seconds',
  ],
  [
    'this override is never allowed here',
    'platform_settings.overrides.conversation_config_override.agent.prompt.tool_ids',
    'platform_settings.overrides.conversation_config_override.agent.prompt.tool_ids_strict',
    'platform_settings.overrides.conversation_config_override.agent.prompt.knowledge_base',
    'platform_settings.overrides.conversation_config_override.tts.supported_voices',
    'platform_settings.overrides.conversation_config_override.tts.pronunciation_dictionary_locators',
    'platform_settings.overrides.conversation_config_override.turn.soft_timeout_config.additional_soft_timeout_messages',
  ],
  [
    'a language changes the voice and the first message',
    'conversation_config.language_presets.*.overrides.asr',
    'conversation_config.language_presets.*.overrides.turn',
    'conversation_config.language_presets.*.overrides.conversation',
    'conversation_config.language_presets.*.overrides.agent.prompt',
    'conversation_config.language_presets.*.overrides.agent.language',
    'conversation_config.language_presets.*.overrides.agent.max_conversation_duration_message',
    'conversation_config.language_presets.*.overrides.tts.model_id',
    'conversation_config.language_presets.*.overrides.tts.supported_voices',
    'conversation_config.language_presets.*.overrides.tts.stability',
    'conversation_config.language_presets.*.overrides.tts.speed',
    'conversation_config.language_presets.*.overrides.tts.similarity_boost',
    'conversation_config.language_presets.*.overrides.tts.pronunciation_dictionary_locators',
    'conversation_config.language_presets.*.first_message_translation',
    'conversation_config.language_presets.*.soft_timeout_translation',
  ],
];

const toolKeysWithoutEffect: typeof agentKeysWithoutEffect = [
  [
    'not built',
    'tool_call_sound',
    'tool_call_sound_behavior',
    'tool_error_handling_mode',
    'tool_version',
    'api_integration_id',
    'api_integration_connection_id',
    'api_schema_overrides',
    'api_schema.response_body_schema',
    'api_schema.auth_resolved_params',
    'params.procedures',
    'params.enabled_strategies',
    'params.transfers.*.delay_ms',
    'params.transfers.*.is_workflow_node_transfer',
    'params.transfers.*.branch_id',
  ],
  ['at most three redirects are followed, to addresses that are open', 'follow_redirects', 'follow_redirects_allowed_domains'],
  [
    'there is no telephone line here',
    'params.use_out_of_band_dtmf',
    'params.suppress_turn_after_dtmf',
    'params.voicemail_message',
    'params.only_at_conversation_start',
    'params.wait_timeout_secs',
    'params.enable_client_message',
  ],
];

const serverKeysWithoutEffect: typeof agentKeysWithoutEffect = [
  [
    'not built',
    'description',
    'tool_config_overrides',
    'tool_call_sound',
    'tool_call_sound_behavior',
    'auth_connection',
    'disable_compression',
    'response_filter',
  ],
];

/** All paths above, as docs/protocol.md must name them: those of agents, of tools, of MCP servers. */
export function keysWithoutEffect(): { readonly agent: string[]; readonly tool: string[]; readonly server: string[] } {
  const paths = (rows: typeof agentKeysWithoutEffect): string[] => rows.flatMap(([, ...some]) => some);
  return {
    agent: paths(agentKeysWithoutEffect),
    tool: paths(toolKeysWithoutEffect),
    server: paths(serverKeysWithoutEffect),
  };
}

/** As an entry of an answer's `warnings`. */
export const shownWarning = ({ path, rule, message }: KeyWarning) => ({ loc: ['body', ...path], msg: message, type: rule });

/** What may stand at one place. Made of JSON Schema; trees of parameters contain themselves. */
type Place = {
  /** Absent: anything goes. */
  keys?: Map<string, Place>;
  /** Behind every key of a map, or every index. */
  each?: Place;
  /** One of several, told apart by `type`. */
  byType?: Map<string, Place>;
  /** Texts that mean something here; with the reason where they do nothing. */
  words?: ReadonlyMap<string, string | undefined>;
  why?: string;
};

/** Warnings for one agent's document, in the order of its keys. */
export function agentKeyWarnings(document: unknown): KeyWarning[] {
  agentPlace ??= agentTree();
  return warningsOf(agentPlace, document);
}

/** For a tool on its own: `tool_config` of `/v1/convai/tools`. */
export function toolKeyWarnings(document: unknown): KeyWarning[] {
  toolPlace ??= toolTree();
  return warningsOf(toolPlace, document);
}

/** For `config` of `/v1/convai/mcp-servers`. */
export function serverKeyWarnings(document: unknown): KeyWarning[] {
  serverPlace ??= mark(placeOf(jsonSchemaOf(serverSchema)), serverKeysWithoutEffect);
  return warningsOf(serverPlace, document);
}

/** Made when they are first needed. */
let agentPlace: Place | undefined;
let toolPlace: Place | undefined;
let serverPlace: Place | undefined;

function agentTree(): Place {
  const place = placeOf(jsonSchemaOf(agentSchema));
  mark(place, agentKeysWithoutEffect);
  const tool = toolTree();
  const prompt = at(place, 'conversation_config.agent.prompt');
  prompt.keys?.set('tools', { each: tool });
  const builtIn = prompt.keys?.get('built_in_tools');
  const system = tool.byType?.get('system') ?? {};
  for (const name of builtIn?.keys?.keys() ?? []) builtIn?.keys?.set(name, system);
  // Those of telephone lines mean nothing here, and are in the public API's own list.
  for (const name of ['transfer_to_number', 'play_keypad_touch_tone', 'voicemail_detection', 'search_documentation'])
    builtIn?.keys?.set(name, { why: 'not built' });
  // Parts of the body that have places of their own, and what the answers hold and may be sent back.
  for (const name of [
    'tags',
    'archived',
    'metadata',
    'access_info',
    'version_id',
    'phone_numbers',
    'whatsapp_accounts',
    'warnings',
  ])
    place.keys?.set(name, {});
  at(place, 'conversation_config.conversation').keys?.set('client_events', { each: { words: eventWords } });
  const settings = at(place, 'platform_settings');
  settings.keys?.set('widget', {});
  settings.keys?.set('archived', {});
  return place;
}

function toolTree(): Place {
  const place = placeOf(jsonSchemaOf(toolSchema));
  const api = placeOf(jsonSchemaOf(webhookSchema)).keys?.get('api_schema');
  for (const one of place.byType?.values() ?? []) {
    one.keys?.set('api_schema', api ?? {});
    one.keys?.set('parameters', parameter);
    mark(one, toolKeysWithoutEffect);
  }
  const { client, webhook, system } = Object.fromEntries(place.byType ?? []);
  client?.keys?.delete('api_schema');
  webhook?.keys?.delete('parameters');
  for (const name of ['api_schema', 'parameters']) system?.keys?.delete(name);
  api?.keys?.set('path_params_schema', { each: parameter });
  api?.keys?.get('query_params_schema')?.keys?.set('properties', { each: parameter });
  api?.keys?.set('request_body_schema', parameter);
  return place;
}

/** Names in `client_events`, of which docs/protocol.md has the same reasons at length. */
const eventWords: ReadonlyMap<string, string | undefined> = new Map([
  ...[...switchableEvents, 'conversation_initiation_metadata', 'ping', 'client_tool_call', 'error'].map(
    (name): [string, undefined] => [name, undefined],
  ),
  ['internal_tentative_agent_response', 'nothing of a reply is told before its turn is committed'],
  ['internal_turn_probability', 'the end of a turn has no probability here'],
  ['guardrail_triggered', 'there are no guardrails'],
  ['queue_status', 'calls do not queue'],
  ['agent_reasoning_response_part', 'what a model thinks is not kept'],
  ['rich_content', 'there are no such components'],
  ['agent_typing', 'there is nobody else behind the agent'],
  ['external_agent_connected', 'there is nobody else behind the agent'],
  ['external_agent_disconnected', 'there is nobody else behind the agent'],
  ['dtmf_request', 'there is no telephone line'],
  ['client_error', 'error is sent for everything'],
]);

function wordWarning(
  word: string,
  words: ReadonlyMap<string, string | undefined>,
): Pick<KeyWarning, 'rule' | 'message'> | undefined {
  const why = words.get(word);
  if (why !== undefined) return { rule: 'without_effect', message: `This is kept without effect: ${why}.` };
  if (words.has(word)) return undefined;
  const nearest = nearestName(word, words.keys());
  const known = nearest === undefined ? '' : ` Known here: "${nearest}".`;
  return { rule: 'unknown_value', message: `This is unknown and has no effect.${known}` };
}

/** A parameter in the public API's subset of JSON Schema; other keywords of JSON Schema are not told to the model. */
const parameter: Place = {};
parameter.keys = new Map<string, Place>([
  ...['type', 'description', 'enum', 'required', 'constant_value', 'dynamic_variable', 'is_omitted', 'is_system_provided'].map(
    (name): [string, Place] => [name, {}],
  ),
  ['allowed_values', {}],
  ['allowed_values_dynamic_variable', {}],
  ['value_type', {}],
  ['properties', { each: parameter }],
  ['items', parameter],
  ['required_constraints', { why: 'not built' }],
]);

type JsonSchema = {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly const?: unknown;
};

function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
}

function placeOf(schema: JsonSchema): Place {
  const { properties, additionalProperties, items, anyOf, oneOf } = schema;
  const options = oneOf ?? anyOf;
  if (options !== undefined) return placeOfOneOf(options);
  if (properties !== undefined) return { keys: new Map(Object.entries(properties).map(([key, one]) => [key, placeOf(one)])) };
  if (items !== undefined) return { each: placeOf(items) };
  return typeof additionalProperties === 'object' ? { each: placeOf(additionalProperties) } : {};
}

/** Told apart by their `type`, or all their keys together. */
function placeOfOneOf(options: readonly JsonSchema[]): Place {
  const types = options.map(({ properties }) => properties?.['type']?.const);
  if (types.every((type) => typeof type === 'string')) {
    return { byType: new Map(options.map((one, index) => [types[index] as string, placeOf(one)])) };
  }
  const keys = options.flatMap((one) => [...(placeOf(one).keys ?? [])]);
  return keys.length === 0 ? {} : { keys: new Map(keys) };
}

function mark(place: Place, rows: typeof agentKeysWithoutEffect): Place {
  for (const [why, ...paths] of rows) for (const path of paths) at(place, path).why = why;
  return place;
}

/** The place at a path, made where there is none. */
function at(place: Place, path: string): Place {
  let current = place;
  for (const step of path.split('.')) {
    if (step === '*') {
      current.each ??= {};
      current = current.each;
      continue;
    }
    current.keys ??= new Map();
    const next: Place = current.keys.get(step) ?? {};
    current.keys.set(step, next);
    current = next;
  }
  return current;
}

function warningsOf(place: Place, document: unknown): KeyWarning[] {
  const warnings: KeyWarning[] = [];
  const look = (where: Place | undefined, value: unknown, path: readonly (string | number)[]): void => {
    if (where === undefined) return;
    if (where.why !== undefined) {
      const why = where.why;
      if (!isOff(value)) warnings.push({ path, rule: 'without_effect', message: `This is kept without effect: ${why}.` });
      return;
    }
    if (where.words !== undefined && typeof value === 'string') {
      const found = wordWarning(value, where.words);
      if (found !== undefined) warnings.push({ path, ...found });
      return;
    }
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) look(where.each, item, [...path, index]);
      return;
    }
    if (!isObject(value)) return;
    const { keys } = where.byType === undefined ? where : (where.byType.get(String(value['type'])) ?? {});
    for (const [key, item] of Object.entries(value)) {
      if (keys === undefined || keys.has(key)) look(keys?.get(key) ?? where.each, item, [...path, key]);
      else warnings.push({ path: [...path, key], rule: 'unknown_key', message: unknownKey(key, keys, place, path) });
    }
  };
  look(place, withoutNulls(document), []);
  if (warnings.length <= warningsMax) return warnings;
  const kept = warnings.slice(0, warningsMax);
  const more = warnings.length - warningsMax;
  return [...kept, { path: [], rule: 'unknown_key', message: `${more} more keys are unknown or without effect.` }];
}

/** A value that asks for nothing. */
function isOff(value: unknown): boolean {
  if (value === false || value === '') return true;
  return typeof value === 'object' && value !== null && Object.values(value).every(isOff);
}

function unknownKey(key: string, keys: ReadonlyMap<string, Place>, root: Place, path: readonly (string | number)[]): string {
  const nearest = nearestName(key, keys.keys());
  if (nearest !== undefined) return `This key is unknown and has no effect. Known here: "${nearest}".`;
  const elsewhere = placesOf(key, root, '', 0).find((place) => place !== path.join('.'));
  if (elsewhere !== undefined) return `This key has no effect here. It belongs at ${elsewhere}.`;
  return 'This key is unknown and has no effect.';
}

/** How deep misplaced keys are looked for: the trees of parameters have no end. */
const depthMax = 8;

/** Paths at which a key of this name means something. */
function placesOf(key: string, { keys, each, byType }: Place, path: string, depth: number): string[] {
  if (depth > depthMax) return [];
  const inside = (name: string): string => (path === '' ? name : `${path}.${name}`);
  const found: string[] = [];
  for (const [name, place] of keys ?? []) {
    if (name === key && place.why === undefined) found.push(inside(name));
    found.push(...placesOf(key, place, inside(name), depth + 1));
  }
  if (each !== undefined && each !== parameter) found.push(...placesOf(key, each, inside('*'), depth + 1));
  for (const one of byType?.values() ?? []) found.push(...placesOf(key, one, path, depth + 1));
  return found;
}
