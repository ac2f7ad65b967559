/** The tools of an agent, from its configuration: what the model is told of each and how a call is run. Pure. Conversation thread. */
import type { AgentConfig } from '../store/agents.js';
import type { ClientToolConfig, SystemToolConfig, ToolConfig, WebhookToolConfig } from '../store/tool-config.js';
import { type MannerConfig, mannerOf, plainManner, type ToolManner } from '../tools/manner.js';
import { modelSchema, type ParameterSchema, parseParameters, SchemaProblem } from '../tools/schema.js';
import { checkWebhook } from '../tools/webhook-config.js';
import { type SessionTool, type SystemToolName, systemTool, type Transfer } from './tools.js';

const systemNames: readonly SystemToolName[] = ['end_call', 'skip_turn', 'language_detection', 'transfer_to_agent'];
type SystemConfig = Pick<SystemToolConfig, 'description' | 'params'> & { readonly manner: ToolManner };

export type AgentTools = { readonly tools: ReadonlyMap<string, SessionTool>; readonly transfers: readonly Transfer[] };

/** `languages`: those the agent speaks, its own included. What cannot be read is left out: it was refused when the agent was written. */
export function toolsOf(agent: AgentConfig, languages: readonly string[]): AgentTools {
  const known = cache.get(agent);
  if (known !== undefined) return known;
  const made = read(agent, languages);
  cache.set(agent, made);
  return made;
}

/** Reading a hundred tools takes milliseconds; an agent's configuration never changes, a changed one is another object. */
const cache = new WeakMap<AgentConfig, AgentTools>();

function read(agent: AgentConfig, languages: readonly string[]): AgentTools {
  const { tools: configured } = agent.conversation_config.agent.prompt;
  const systems = systemConfigs(agent);
  const transfers = transfersIn(systems.get('transfer_to_agent'));
  const tools = new Map<string, SessionTool>();
  for (const [name, { description, manner }] of systems) {
    if (name === 'language_detection' && languages.length < 2) continue;
    if (name === 'transfer_to_agent' && transfers.length === 0) continue;
    tools.set(name, systemTool(name, description, { languages, transfers, manner }));
  }
  for (const config of configured) {
    const tool = toolOf(config);
    if (tool !== undefined) tools.set(tool.spec.name, tool);
  }
  return { tools, transfers };
}

/** Hanging up is offered unless the agent's own settings say no: one that cannot leaves the caller in the line. */
function systemConfigs(agent: AgentConfig): Map<SystemToolName, SystemConfig> {
  const { built_in_tools: builtIn, tools } = agent.conversation_config.agent.prompt;
  const chosen = new Map<SystemToolName, SystemConfig>();
  if (agent.parley.end_call !== false)
    chosen.set('end_call', { description: '', params: { transfers: [] }, manner: plainManner });
  for (const name of systemNames) {
    const config = builtIn[name];
    if (config !== undefined) chosen.set(name, { ...config, manner: ofSystem(config) });
  }
  for (const config of tools) {
    if (config.type !== 'system') continue;
    const name = systemNames.find((known) => known === (config.params.system_tool_type ?? config.name));
    if (name !== undefined) chosen.set(name, { ...config, manner: ofSystem(config) });
  }
  return chosen;
}

/** The engine's own tools take no time: they run at once, and nothing has to be said to bridge them. */
function ofSystem(config: MannerConfig): ToolManner {
  const { preSpeech, ...manner } = mannerOf(config);
  return { ...manner, execution: 'immediate', preSpeech: preSpeech === 'force' ? 'auto' : preSpeech };
}

function transfersIn(config: SystemConfig | undefined): readonly Transfer[] {
  return (config?.params.transfers ?? []).map((transfer) => ({
    agentId: transfer.agent_id,
    condition: transfer.condition,
    message: transfer.transfer_message ?? '',
    saysFirst: transfer.enable_transferred_agent_first_message,
  }));
}

function toolOf(config: ToolConfig): SessionTool | undefined {
  if (config.type === 'client') return clientOf(config);
  return config.type === 'webhook' ? webhookOf(config) : undefined;
}

function clientOf(config: ClientToolConfig): SessionTool | undefined {
  const { name, description, parameters, expects_response: expectsResponse, assignments } = config;
  const schema = readParameters(parameters);
  if (schema === undefined) return undefined;
  const spec = { name, description, parameters: modelSchema(schema) };
  const timeoutMs = config.response_timeout_secs * 1000;
  return { type: 'client', spec, schema, expectsResponse, timeoutMs, assignments, manner: mannerOf(config) };
}

function readParameters(parameters: unknown): ParameterSchema | undefined {
  try {
    return parseParameters(parameters ?? { type: 'object', properties: {} });
  } catch (error) {
    if (error instanceof SchemaProblem) return undefined;
    throw error;
  }
}

/** A webhook that only reads can be cancelled. */
function webhookOf(config: WebhookToolConfig): SessionTool | undefined {
  const checked = checkWebhook(config);
  if (!checked.ok) return undefined;
  const { name, description, parameters, timeoutMs, method } = checked.value;
  const spec = { name, description, parameters };
  const { assignments } = config;
  return { type: 'webhook', spec, timeoutMs, isCancellable: method === 'GET', assignments, manner: mannerOf(config) };
}
