/** `/v1/convai/agents`: create, read, change, list, delete, duplicate. API thread. */
import { z } from 'zod';
import { randomId } from '../shared/random-id.js';
import { agentSchema } from '../store/agent-schema.js';
import type { AgentIssue } from '../store/agents.js';
import type { AgentRecord, Json } from '../store/port.js';
import { agentBody, agentSummary, checkDocument, checkWritten, configOf, versionOf } from './agent-documents.js';
import { agentKeyWarnings, shownWarning } from './agent-keys.js';
import type { ApiContext } from './context.js';
import { refuse, unprocessable, wrongsOf } from './errors.js';
import { ok } from './http.js';
import { isObject, merge } from './merge.js';
import { flagQuery, listQuery, pageQuery } from './paging.js';
import { json, type Route, route } from './router.js';

/** Writers that meet are let in one after another, so often. */
const attemptsMax = 5;

const name = z.string().max(256);
const tags = z.array(z.string().min(1).max(128)).max(50);
const { conversation_config: conversationConfig, platform_settings: platformSettings, parley } = agentSchema.shape;
const anyObject = z.looseObject({});

/** What both kinds of writing may hold. The parts with rules are checked as a whole, by `checkDocument`. */
const parts = {
  name: name.optional(),
  tags: tags.optional(),
  platform_settings: anyObject.optional(),
  workflow: anyObject.optional(),
  parley: anyObject.optional(),
};
const createBody = z.object({ ...parts, conversation_config: anyObject });
/** For the document: what a body may hold, with every default. */
const described = { ...parts, platform_settings: platformSettings, parley };
const describedCreate = z.object({ ...described, conversation_config: conversationConfig.unwrap() });
const describedPatch = z.object({ ...described, conversation_config: conversationConfig, archived: z.boolean().optional() });
const patchBody = z.object({ ...parts, conversation_config: anyObject.optional(), archived: z.boolean().optional() });

/** Keys of the body that are unknown, perhaps mistyped, or without effect here. */
export const warnings = z.array(z.object({ loc: z.array(z.union([z.string(), z.int()])), msg: z.string(), type: z.string() }));

/** For the document: what the parts are made of. */
export const agentAnswer = z.object({
  agent_id: z.string(),
  name: z.string(),
  tags: z.array(z.string()),
  conversation_config: conversationConfig,
  platform_settings: platformSettings,
  parley,
  metadata: z.object({ created_at_unix_secs: z.int(), updated_at_unix_secs: z.int() }),
  version_id: z.string(),
  warnings: warnings.optional(),
});
const idAnswer = z.object({ agent_id: z.string(), warnings: warnings.optional() });

export function agentRoutes(context: ApiContext): Route[] {
  const { store, directory, nowMs } = context;

  const found = async (agentId: string, version?: string): Promise<AgentRecord> => {
    const number = version === undefined ? undefined : versionOf(version);
    const isUnknownVersion = version !== undefined && number === undefined;
    const record = isUnknownVersion ? undefined : await directory.record(agentId, number);
    if (record !== undefined) return record;
    throw refuse(
      404,
      'document_not_found',
      `Agent ${agentId} does not exist${version === undefined ? '' : ` in version ${version}`}.`,
    );
  };

  const body = (record: AgentRecord): Json => {
    const checked = checkDocument(record.agentId, record.name, record.config);
    if (checked.ok) return agentBody(record, checked.agent);
    // Written by an older version of this server with other rules: shown as it is, to be corrected.
    const empty = checkDocument(record.agentId, record.name, {});
    if (!empty.ok) throw new Error('an empty agent is valid');
    return agentBody(record, empty.agent);
  };

  const demandValid = async (agentId: string, agentName: string, config: Json): Promise<void> => {
    const checked = checkWritten({ ...config, agent_id: agentId, name: agentName });
    if (!checked.ok) throw unprocessable(wrongsOf(['body'], checked.issues));
    const { prompt } = checked.agent.conversation_config.agent;
    const issues: AgentIssue[] = [];
    for (const [part, kind] of [
      ['tool_ids', 'tool'],
      ['mcp_server_ids', 'mcp_server'],
    ] as const) {
      for (const [index, id] of prompt[part].entries()) {
        if ((await store.resource(kind, id)) !== undefined) continue;
        const path = ['conversation_config', 'agent', 'prompt', part, index];
        issues.push({ path, message: 'There is nothing of this id.', rule: 'unknown_id', value: id });
      }
    }
    if (issues.length > 0) throw unprocessable(wrongsOf(['body'], issues));
  };

  const create = async (agentName: string, agentTags: readonly string[], config: Json): Promise<{ agent_id: string }> => {
    const agentId = `agent_${randomId()}`;
    await demandValid(agentId, agentName, config);
    const atMs = nowMs();
    await store.createAgent({
      agentId,
      name: agentName,
      tags: agentTags,
      isArchived: isArchived(config),
      config,
      createdAtMs: atMs,
      updatedAtMs: atMs,
    });
    await directory.changed(agentId);
    return { agent_id: agentId };
  };

  /** One attempt; undefined when somebody else wrote meanwhile. */
  const write = async (
    current: AgentRecord,
    change: z.infer<typeof patchBody>,
    raw: unknown,
  ): Promise<AgentRecord | undefined> => {
    const { agentId } = current;
    const config = merge(current.config, configOf(raw)) as Json;
    const next = {
      agentId,
      name: change.name ?? current.name,
      tags: change.tags ?? current.tags,
      isArchived: change.archived ?? isArchived(config),
      config,
      updatedAtMs: nowMs(),
    };
    await demandValid(agentId, next.name, config);
    // A file's agent: from now on its stored copy counts.
    if (current.version === 0) return store.createAgent({ ...next, createdAtMs: next.updatedAtMs });
    return store.updateAgent(next, current.version);
  };

  return [
    route('POST', '/v1/convai/agents/create', {
      id: 'createAgent',
      summary: 'Create an agent',
      body: createBody,
      described: describedCreate,
      answer: json(idAnswer),
      run: async ({ body: { name: agentName = '', tags: agentTags = [] }, raw }) =>
        ok({ ...(await create(agentName, agentTags, configOf(raw))), ...warningsOf(raw) }),
    }),

    route('GET', '/v1/convai/agents', {
      id: 'listAgents',
      summary: 'List agents: stored ones first, then those of files',
      query: z.object({
        ...pageQuery,
        search: z.string().max(256).optional(),
        archived: flagQuery.optional(),
        tags: listQuery.default([]),
        sort_by: z.enum(['name', 'created_at']).default('created_at'),
        sort_direction: z.enum(['asc', 'desc']).default('desc'),
      }),
      answer: json(z.object({ agents: z.array(anyObject), has_more: z.boolean(), next_cursor: z.string().nullable() })),
      run: async ({ query }) => {
        const page = await directory.list({
          pageSize: query.page_size,
          cursor: query.cursor,
          search: query.search,
          isArchived: query.archived,
          tags: query.tags,
          sortBy: query.sort_by,
          isDescending: query.sort_direction === 'desc',
        });
        return ok({
          agents: page.items.map(agentSummary),
          has_more: page.nextCursor !== undefined,
          next_cursor: page.nextCursor ?? null,
        });
      },
    }),

    route('GET', '/v1/convai/agents/{agent_id}', {
      id: 'getAgent',
      summary: 'Read an agent, whole, in its newest version or another',
      query: z.object({ version_id: z.string().max(64).optional(), branch_id: z.string().max(128).optional() }),
      answer: json(agentAnswer),
      run: async ({ params, query }) => ok(body(await found(params['agent_id']!, query.version_id))),
    }),

    route('PATCH', '/v1/convai/agents/{agent_id}', {
      id: 'updateAgent',
      summary: 'Change an agent: objects are merged, arrays and single values replaced; makes a new version',
      query: z.object({ branch_id: z.string().max(128).optional() }),
      body: patchBody,
      described: describedPatch,
      answer: json(agentAnswer),
      run: async ({ params, body: change, raw }) => {
        const agentId = params['agent_id']!;
        for (let attempt = 0; attempt < attemptsMax; attempt++) {
          const written = await write(await found(agentId), change, raw);
          if (written === undefined) continue;
          await directory.changed(agentId);
          return ok({ ...body(written), ...warningsOf(raw) });
        }
        throw refuse(409, 'conflict', 'Others are changing this agent. Try again.');
      },
    }),

    route('DELETE', '/v1/convai/agents/{agent_id}', {
      id: 'deleteAgent',
      summary: 'Delete an agent with all its versions; conversations stay',
      answer: json(z.object({})),
      run: async ({ params }) => {
        const agentId = params['agent_id']!;
        const isDeleted = await store.deleteAgent(agentId);
        if (!isDeleted && directory.isBuiltIn(agentId)) {
          const instead = 'An agent of the same id takes its place: PATCH it, or put one into PARLEY_AGENTS.';
          throw refuse(409, 'read_only', `Agent ${agentId} is built in and cannot be deleted. ${instead}`);
        }
        if (!isDeleted && directory.isFile(agentId)) {
          throw refuse(409, 'read_only', `Agent ${agentId} comes from a file of this server (PARLEY_AGENTS); delete it there.`);
        }
        if (!isDeleted) await found(agentId);
        await directory.changed(agentId);
        return ok({});
      },
    }),

    route('POST', '/v1/convai/agents/{agent_id}/duplicate', {
      id: 'duplicateAgent',
      summary: 'Make another agent of the same configuration',
      body: z.object({ name: name.optional() }),
      isBodyOptional: true,
      answer: json(idAnswer),
      run: async ({ params, body: { name: newName } }) => {
        const original = await found(params['agent_id']!);
        return ok(await create(newName ?? original.name, original.tags, original.config));
      },
    }),

    route('GET', '/v1/convai/agents/{agent_id}/link', {
      id: 'getAgentLink',
      summary: 'Whether a link to the agent needs a token; this server has none',
      answer: json(z.object({ agent_id: z.string(), token: z.null() })),
      run: async ({ params }) => {
        const { agentId } = await found(params['agent_id']!);
        return ok({ agent_id: agentId, token: null });
      },
    }),
  ];
}

/** Told once, to whoever wrote the keys. */
function warningsOf(raw: unknown): { readonly warnings?: unknown } {
  const found = agentKeyWarnings(raw).map(shownWarning);
  return found.length === 0 ? {} : { warnings: found };
}

function isArchived(config: Json): boolean {
  const settings = config['platform_settings'];
  return isObject(settings) && settings['archived'] === true;
}
