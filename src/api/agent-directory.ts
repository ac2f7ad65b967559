/**
 * All agents there are: those of files, and those of the store. An agent that is stored under the id of a file's agent takes its place;
 * when it is deleted the file's one is back. Every change is announced to the conversation threads. API thread.
 */
import { isDeepStrictEqual } from 'node:util';
import { Turns } from '../shared/turns.js';
import { privacySchema } from '../store/agent-schema.js';
import { type AgentConfig, parseAgent, withoutNulls } from '../store/agents.js';
import { defaultAgent } from '../store/default-agent.js';
import { type AgentQuery, type AgentRecord, type Json, type Page, type Store, storeLimits } from '../store/port.js';
import { type ToolConfig, toolSchema } from '../store/tool-config.js';
import { checkDocument } from './agent-documents.js';
import type { AgentChanged } from './links.js';
import { isObject } from './merge.js';

/** Agents that are looked through when a tool changes that several may use. */
const scannedMax = 10_000;
/** Cursors of the part of a list that comes from files; the store's own never begin like this. */
const fileCursor = 'files.';

export type SessionAgent = { readonly agent: AgentConfig; readonly version: number };

export class AgentDirectory {
  readonly #store: Store;
  readonly #files: ReadonlyMap<string, AgentConfig>;
  readonly #filesAtMs: number;
  readonly #announce: (message: AgentChanged) => void;
  readonly #onProblem: (agentId: string, message: string) => void;
  /** What is told of an agent is read and told in one go, so that an older state of it is never told after a newer one. */
  readonly #tellings = new Turns();

  /** `filesAtMs`: unix; when the files were read. `onProblem`: a stored agent no session can be made of. */
  constructor(
    store: Store,
    files: readonly AgentConfig[],
    filesAtMs: number,
    announce: (message: AgentChanged) => void,
    onProblem: (agentId: string, message: string) => void,
  ) {
    this.#store = store;
    this.#files = new Map(files.map((agent) => [agent.agent_id, agent]));
    this.#filesAtMs = filesAtMs;
    this.#announce = announce;
    this.#onProblem = onProblem;
  }

  isFile(agentId: string): boolean {
    return this.#files.has(agentId);
  }

  /** It is the agent that comes with the engine, and no file has taken its place. */
  isBuiltIn(agentId: string): boolean {
    return agentId === defaultAgent.agent_id && isDeepStrictEqual(this.#files.get(agentId), parseAgent(defaultAgent, 'built in'));
  }

  /** The newest version, or the one named. A file's agent has version 0. */
  async record(agentId: string, version?: number): Promise<AgentRecord | undefined> {
    const stored = await this.#store.agent(agentId, version);
    return stored ?? (version === undefined || version === 0 ? this.#fileRecord(agentId) : undefined);
  }

  #fileRecord(agentId: string): AgentRecord | undefined {
    const agent = this.#files.get(agentId);
    if (agent === undefined) return undefined;
    const { conversation_config, platform_settings, parley } = agent;
    return {
      agentId,
      version: 0,
      name: agent.name,
      tags: [],
      isArchived: false,
      config: { conversation_config, platform_settings, parley },
      createdAtMs: this.#filesAtMs,
      updatedAtMs: this.#filesAtMs,
    };
  }

  /** First the stored ones in the order asked for, then those of files. */
  async list(query: AgentQuery): Promise<Page<AgentRecord>> {
    const { cursor, pageSize } = query;
    const isInFiles = cursor?.startsWith(fileCursor) === true;
    const stored: Page<AgentRecord> = isInFiles ? { items: [], nextCursor: undefined } : await this.#store.agents(query);
    if (stored.nextCursor !== undefined) return stored;
    const items = [...stored.items];
    const files = [...this.#files.keys()];
    let index = isInFiles ? Number(cursor.slice(fileCursor.length)) || 0 : 0;
    for (; index < files.length && items.length < pageSize; index++) {
      const record = this.#fileRecord(files[index]!)!;
      if (isMatch(record, query) && (await this.#store.agent(record.agentId)) === undefined) items.push(record);
    }
    return { items, nextCursor: index < files.length ? `${fileCursor}${index}` : undefined };
  }

  /** What a session gets: tools that are named by id written out, secrets that it needs beside it. */
  async session(agentId: string): Promise<SessionAgent | undefined> {
    const record = await this.record(agentId);
    if (record === undefined) return undefined;
    const checked = checkDocument(record.agentId, record.name, record.config);
    if (!checked.ok) {
      const { path, message } = checked.issues[0]!;
      this.#onProblem(agentId, `${path.join('.')}: ${message}`);
      return undefined;
    }
    return { agent: await this.#written(checked.agent), version: record.version };
  }

  async #written(agent: AgentConfig): Promise<AgentConfig> {
    const { prompt } = agent.conversation_config.agent;
    const tools: ToolConfig[] = [...prompt.tools];
    const names = new Set(tools.map(({ name }) => name));
    for (const id of prompt.tool_ids) {
      const tool = toolSchema.safeParse((await this.#store.resource('tool', id))?.document['tool_config']);
      // The agent's own tool of the same name goes first.
      if (!tool.success || names.has(tool.data.name)) continue;
      names.add(tool.data.name);
      tools.push(tool.data);
    }
    const secrets: Record<string, string> = {};
    for (const id of secretIdsOf(agent)) {
      const value = (await this.#store.resource('secret', id))?.document['value'];
      if (typeof value === 'string') secrets[id] = value;
    }
    const speaker = { ...agent.conversation_config.agent, prompt: { ...prompt, tools } };
    return { ...agent, conversation_config: { ...agent.conversation_config, agent: speaker }, secrets };
  }

  /** Told of each agent that was written or deleted here, so that other processes hear of it. */
  onChanged: (agentId: string) => void = () => undefined;

  /** An agent was written or deleted: calls to come get the new one. */
  async changed(agentId: string): Promise<void> {
    await this.changedElsewhere(agentId);
    this.onChanged(agentId);
  }

  /** By another process, in the store that both use. */
  changedElsewhere(agentId: string): Promise<void> {
    return this.#tellings.run(agentId, async () => {
      const session = await this.session(agentId);
      this.#announce({ type: 'agent_changed', agentId, agent: session?.agent, version: session?.version ?? 0 });
    });
  }

  /** Looks an agent up and hands it to `tell`, in turn with the announcements. Fails when it cannot be looked up. */
  find(agentId: string, tell: (session: SessionAgent | undefined) => void): Promise<void> {
    return this.#tellings.run(agentId, async () => tell(await this.session(agentId)));
  }

  /** What is not to be kept of calls with this version of an agent, or with the newest one when that version is gone. */
  async privacy(agentId: string, version: number): Promise<Json | undefined> {
    const record = (await this.record(agentId, version)) ?? (await this.record(agentId));
    if (record === undefined) return undefined;
    const settings = record.config['platform_settings'];
    const checked = privacySchema.safeParse(withoutNulls(isObject(settings) ? (settings['privacy'] ?? {}) : {}));
    return checked.success ? checked.data : undefined;
  }

  /** A tool or a secret was written: agents that use it are announced anew. Returns their ids. */
  async resourceChanged(id: string): Promise<string[]> {
    const users = await this.usersOf(id);
    for (const agentId of users) await this.changed(agentId);
    return users;
  }

  /** Agents that name this tool, MCP server or secret. */
  async usersOf(id: string): Promise<string[]> {
    const users: string[] = [];
    let cursor: string | undefined;
    for (let seen = 0; seen < scannedMax; ) {
      const page = await this.list({ ...everything, cursor });
      for (const { agentId, config } of page.items) if (JSON.stringify(config).includes(`"${id}"`)) users.push(agentId);
      seen += page.items.length;
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    return users;
  }

  /** At the start: stored copies take the place of files' agents, and what these name by id is filled in. */
  async announceFiles(): Promise<void> {
    for (const [agentId, agent] of this.#files) {
      const { tool_ids: toolIds } = agent.conversation_config.agent.prompt;
      const isOther = toolIds.length > 0 || secretIdsOf(agent).length > 0;
      if (isOther || (await this.#store.agent(agentId)) !== undefined) await this.changedElsewhere(agentId);
    }
  }
}

const everything: Omit<AgentQuery, 'cursor'> = {
  pageSize: storeLimits.pageMax,
  search: undefined,
  isArchived: undefined,
  tags: [],
  sortBy: 'created_at',
  isDescending: false,
};

function isMatch({ name, tags, isArchived }: AgentRecord, query: AgentQuery): boolean {
  const hasName = query.search === undefined || name.toLowerCase().includes(query.search.toLowerCase());
  const hasTags = query.tags.every((tag) => tags.includes(tag));
  return hasName && hasTags && (query.isArchived === undefined || query.isArchived === isArchived);
}

/** Secrets that the session itself needs; those of tools stay with whoever runs the tools. */
function secretIdsOf(agent: AgentConfig): string[] {
  const custom = agent.conversation_config.agent.prompt.custom_llm;
  if (custom === undefined) return [];
  const values = [custom.api_key, ...Object.values(custom.request_headers)];
  return values.flatMap((value) => (typeof value === 'object' && 'secret_id' in value ? [value.secret_id] : []));
}
