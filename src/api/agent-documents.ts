/**
 * Agents as documents: what a client wrote, what is answered, and what a session gets. A stored document keeps every field that was
 * written; a session gets only what our schema knows. Pure; API thread.
 */

import { valueAt } from '../shared/value-at.js';
import { type AgentConfig, type AgentIssue, checkAgent, grammarIssue } from '../store/agents.js';
import type { AgentRecord, Json } from '../store/port.js';
import { hearingIssues } from '../stt/embedded/dictionary.js';
import { parseGrammar } from '../stt/embedded/grammar.js';
import { parseParameters, SchemaProblem } from '../tools/schema.js';
import { checkWebhook } from '../tools/webhook-config.js';
import { isObject, merge } from './merge.js';

/** Parts of the body that are kept. Name, tags and dates have places of their own. */
const keptParts = ['conversation_config', 'platform_settings', 'workflow', 'parley'] as const;

export function configOf(body: unknown): Json {
  if (!isObject(body)) return {};
  return Object.fromEntries(keptParts.flatMap((part) => (isObject(body[part]) ? [[part, merge({}, body[part])]] : [])));
}

export type CheckedDocument =
  | { readonly ok: true; readonly agent: AgentConfig }
  | { readonly ok: false; readonly issues: readonly AgentIssue[] };

/** Whether a session could be made of it: the agent's schema and grammar, then what its tools send. */
export function checkDocument(agentId: string, name: string, config: Json): CheckedDocument {
  return checkTools({ ...config, agent_id: agentId, name });
}

/** What is asked of an agent when it is written, on top: that the embedded recogniser can listen with its grammar. */
export function checkWritten(document: unknown): CheckedDocument {
  const checked = checkTools(document);
  if (!checked.ok) return checked;
  const { parley, conversation_config: config } = checked.agent;
  if (parley.grammar === undefined || config.conversation.text_only) return checked;
  const issues = hearingIssues(parseGrammar(parley.grammar)).map(grammarIssue);
  return issues.length === 0 ? checked : { ok: false, issues };
}

function checkTools(document: unknown): CheckedDocument {
  const checked = checkAgent(document);
  if (!checked.ok) return checked;
  const { tools } = checked.agent.conversation_config.agent.prompt;
  const issues = tools.flatMap((tool, index) => toolIssues(tool, ['conversation_config', 'agent', 'prompt', 'tools', index]));
  const names = new Set<string>();
  for (const [index, { name: toolName }] of tools.entries()) {
    if (names.has(toolName)) {
      const path = ['conversation_config', 'agent', 'prompt', 'tools', index, 'name'];
      issues.push({ path, message: 'Another tool has this name.', rule: 'duplicate', value: toolName });
    }
    names.add(toolName);
  }
  return issues.length === 0 ? checked : { ok: false, issues };
}

/** What is wrong with the inside of a tool, beyond its schema. `where`: the place of the tool. */
export function toolIssues(tool: Readonly<Record<string, unknown>>, where: readonly (string | number)[]): AgentIssue[] {
  if (tool['type'] === 'webhook') {
    const webhook = checkWebhook(tool);
    return webhook.ok ? [] : webhook.issues.map((issue) => ({ ...issue, path: [...where, ...issue.path] }));
  }
  if (tool['type'] !== 'client' || tool['parameters'] === undefined) return [];
  try {
    parseParameters(tool['parameters']);
    return [];
  } catch (error) {
    if (!(error instanceof SchemaProblem)) throw error;
    const inside = ['parameters', ...error.path];
    return [{ path: [...where, ...inside], message: error.message, rule: 'parameters', value: valueAt(tool, inside) }];
  }
}

/** An agent that is answered: everything that was written, on top of the defaults. */
export function agentBody(record: AgentRecord, agent: AgentConfig): Json {
  const { conversation_config, platform_settings, parley } = agent;
  // A setting that nobody made is left out where the empty text would be one.
  const { llm, ...prompt } = conversation_config.agent.prompt;
  const speaker = { ...conversation_config.agent, prompt: llm === '' ? prompt : { llm, ...prompt } };
  const defaults = { conversation_config: { ...conversation_config, agent: speaker }, platform_settings, parley };
  return {
    ...(merge(defaults, record.config) as Json),
    agent_id: record.agentId,
    name: record.name,
    tags: record.tags,
    metadata: {
      created_at_unix_secs: unixSecs(record.createdAtMs),
      updated_at_unix_secs: unixSecs(record.updatedAtMs),
    },
    access_info: accessInfo,
    version_id: versionId(record.version),
  };
}

export function agentSummary(record: AgentRecord): Json {
  const config = record.config['conversation_config'];
  const tts = isObject(config) && isObject(config['tts']) ? config['tts'] : {};
  return {
    agent_id: record.agentId,
    name: record.name,
    voice_id: typeof tts['voice_id'] === 'string' ? tts['voice_id'] : '',
    tags: record.tags,
    created_at_unix_secs: unixSecs(record.createdAtMs),
    access_info: accessInfo,
    archived: record.isArchived,
  };
}

/** There is one kind of user here: whoever has the key. */
export const accessInfo = {
  is_creator: true,
  creator_name: 'Parley',
  creator_email: 'parley@localhost',
  role: 'admin',
} as const;

export function unixSecs(atMs: number): number {
  return Math.floor(atMs / 1000);
}

export function versionId(version: number): string {
  return `v${version}`;
}

/** Undefined: not a version of ours. */
export function versionOf(id: string): number | undefined {
  const digits = /^v(\d{1,9})$/.exec(id)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
