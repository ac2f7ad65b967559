/** What agents refer to by id: tools, MCP servers, secrets. API thread. */
import { z } from 'zod';
import { randomId } from '../shared/random-id.js';
import { type AgentIssue, issuesOf, withoutNulls } from '../store/agents.js';
import type { Json, Resource, ResourceKind } from '../store/port.js';
import { toolSchema } from '../store/tool-config.js';
import { checkMcpServer, serverSchema } from '../tools/mcp-config.js';
import { accessInfo, toolIssues, unixSecs } from './agent-documents.js';
import { type KeyWarning, serverKeyWarnings, shownWarning, toolKeyWarnings } from './agent-keys.js';
import { warnings } from './agents.js';
import type { ApiContext } from './context.js';
import { refuse, unprocessable, wrongsOf } from './errors.js';
import { ok } from './http.js';
import { isObject, merge } from './merge.js';
import { flagQuery, pageQuery } from './paging.js';
import { json, type Route, route } from './router.js';

const anyObject = z.looseObject({});
const forceQuery = z.object({ force: flagQuery.default(false) });
const secretCharsMax = 16_384;

const nouns: Readonly<Record<ResourceKind, string>> = { tool: 'Tool', mcp_server: 'MCP server', secret: 'Secret' };

/** Told once, to whoever wrote the keys. `where`: what the keys are in. */
function warned(where: readonly string[], found: readonly KeyWarning[]): { readonly warnings?: unknown } {
  if (found.length === 0) return {};
  return { warnings: found.map((warning) => shownWarning({ ...warning, path: [...where, ...warning.path] })) };
}

type Shelf = ReturnType<typeof shelfOf>;

/** What the three kinds do alike. */
function shelfOf(context: ApiContext, kind: ResourceKind, prefix: string) {
  const { store, directory, nowMs } = context;

  const found = async (id: string): Promise<Resource> => {
    const resource = await store.resource(kind, id);
    if (resource !== undefined) return resource;
    throw refuse(404, 'document_not_found', `${nouns[kind]} ${id} does not exist.`);
  };

  return {
    found,
    list: () => store.resources(kind),

    async create(document: Json): Promise<Resource> {
      const resource: Resource = { kind, id: `${prefix}_${randomId()}`, document, createdAtMs: nowMs() };
      await store.putResource(resource);
      return resource;
    },

    async change(id: string, document: Json): Promise<Resource> {
      const resource: Resource = { ...(await found(id)), document };
      await store.putResource(resource);
      await directory.resourceChanged(id);
      return resource;
    },

    /** Not while agents name it, unless the caller insists. */
    async delete(id: string, isForced: boolean): Promise<void> {
      await found(id);
      const users = await directory.usersOf(id);
      if (users.length > 0 && !isForced) {
        throw refuse(
          409,
          'in_use',
          `${nouns[kind]} ${id} is used by ${users.slice(0, 5).join(', ')}. Add force=true to delete it all the same.`,
        );
      }
      await store.deleteResource(kind, id);
      for (const agentId of users) await directory.changed(agentId);
    },
  };
}

export function toolAndServerRoutes(context: ApiContext): Route[] {
  return [
    ...toolRoutes(context, shelfOf(context, 'tool', 'tool')),
    ...serverRoutes(context, shelfOf(context, 'mcp_server', 'mcp')),
    ...secretRoutes(context, shelfOf(context, 'secret', 'secret')),
  ];
}

function toolRoutes({ toolUsage }: ApiContext, shelf: Shelf): Route[] {
  const body = z.object({ tool_config: anyObject });
  const described = z.object({ tool_config: toolSchema });
  const answer = json(z.looseObject({ id: z.string(), tool_config: anyObject, warnings: warnings.optional() }));
  const warningsIn = (raw: unknown): { readonly warnings?: unknown } =>
    warned(['tool_config'], toolKeyWarnings((raw as Json)['tool_config']));

  const shown = ({ id, document }: Resource): Json => {
    const config = isObject(document['tool_config']) ? document['tool_config'] : {};
    const checked = toolSchema.safeParse(withoutNulls(config));
    return {
      id,
      tool_config: checked.success ? merge(checked.data, config) : config,
      access_info: accessInfo,
      usage_stats: toolUsage.of(String(config['name'])),
    };
  };
  const demandValid = (raw: unknown): Json => {
    const config = merge({}, (raw as Json)['tool_config']);
    const plain = withoutNulls(config);
    const checked = toolSchema.safeParse(plain);
    const issues: AgentIssue[] = checked.success ? toolIssues(checked.data, []) : issuesOf(checked.error, plain);
    if (issues.length > 0) throw unprocessable(wrongsOf(['body', 'tool_config'], issues));
    return { tool_config: config };
  };

  return [
    route('POST', '/v1/convai/tools', {
      id: 'createTool',
      summary: 'Create a tool that agents may name in prompt.tool_ids',
      body,
      described,
      answer,
      run: async ({ raw }) => ok({ ...shown(await shelf.create(demandValid(raw))), ...warningsIn(raw) }),
    }),
    route('GET', '/v1/convai/tools', {
      id: 'listTools',
      summary: 'List tools',
      query: z.object({ ...pageQuery, search: z.string().max(256).optional() }),
      answer: json(z.object({ tools: z.array(anyObject), has_more: z.boolean(), next_cursor: z.string().nullable() })),
      run: async ({ query }) => {
        const all = (await shelf.list()).map(shown);
        const wanted = query.search?.toLowerCase() ?? '';
        const found = all.filter(({ tool_config: config }) =>
          String((config as Json)['name'])
            .toLowerCase()
            .includes(wanted),
        );
        const start = Number(query.cursor ?? 0) || 0;
        const end = start + query.page_size;
        const hasMore = end < found.length;
        return ok({ tools: found.slice(start, end), has_more: hasMore, next_cursor: hasMore ? String(end) : null });
      },
    }),
    route('GET', '/v1/convai/tools/{tool_id}', {
      id: 'getTool',
      summary: 'Read a tool',
      answer,
      run: async ({ params }) => ok(shown(await shelf.found(params['tool_id']!))),
    }),
    route('PATCH', '/v1/convai/tools/{tool_id}', {
      id: 'updateTool',
      summary: 'Replace the configuration of a tool',
      body,
      described,
      answer,
      run: async ({ params, raw }) =>
        ok({ ...shown(await shelf.change(params['tool_id']!, demandValid(raw))), ...warningsIn(raw) }),
    }),
    route('DELETE', '/v1/convai/tools/{tool_id}', {
      id: 'deleteTool',
      summary: 'Delete a tool',
      query: forceQuery,
      answer: json(z.object({})),
      run: async ({ params, query }) => {
        await shelf.delete(params['tool_id']!, query.force);
        return ok({});
      },
    }),
  ];
}

function serverRoutes(_context: ApiContext, shelf: Shelf): Route[] {
  const answer = json(z.looseObject({ id: z.string(), config: anyObject, warnings: warnings.optional() }));

  const shown = ({ id, document, createdAtMs }: Resource): Json => ({
    id,
    config: document['config'],
    access_info: accessInfo,
    dependent_agents: [],
    metadata: { created_at: unixSecs(createdAtMs), owner_user_id: null },
  });
  const demandValid = (config: unknown, where: readonly string[]): Json => {
    const checked = checkMcpServer('', withoutNulls(config));
    if (!checked.ok) throw unprocessable(wrongsOf(where, checked.issues));
    return { config: merge({}, config) };
  };

  return [
    route('POST', '/v1/convai/mcp-servers', {
      id: 'createMcpServer',
      summary: 'Register an MCP server that agents may name in prompt.mcp_server_ids',
      body: z.object({ config: anyObject }),
      described: z.object({ config: serverSchema }),
      answer,
      run: async ({ raw }) => {
        const { config } = raw as Json;
        const made = shown(await shelf.create(demandValid(config, ['body', 'config'])));
        return ok({ ...made, ...warned(['config'], serverKeyWarnings(config)) });
      },
    }),
    route('GET', '/v1/convai/mcp-servers', {
      id: 'listMcpServers',
      summary: 'List MCP servers',
      answer: json(z.object({ mcp_servers: z.array(anyObject) })),
      run: async () => ok({ mcp_servers: (await shelf.list()).map(shown) }),
    }),
    route('GET', '/v1/convai/mcp-servers/{mcp_server_id}', {
      id: 'getMcpServer',
      summary: 'Read an MCP server',
      answer,
      run: async ({ params }) => ok(shown(await shelf.found(params['mcp_server_id']!))),
    }),
    route('PATCH', '/v1/convai/mcp-servers/{mcp_server_id}', {
      id: 'updateMcpServer',
      summary: 'Change the configuration of an MCP server; the fields are at the top of the body',
      body: anyObject,
      answer,
      run: async ({ params, raw }) => {
        const id = params['mcp_server_id']!;
        const { document } = await shelf.found(id);
        const changed = shown(await shelf.change(id, demandValid(merge(document['config'], raw), ['body'])));
        return ok({ ...changed, ...warned([], serverKeyWarnings(raw)) });
      },
    }),
    route('DELETE', '/v1/convai/mcp-servers/{mcp_server_id}', {
      id: 'deleteMcpServer',
      summary: 'Forget an MCP server',
      query: forceQuery,
      answer: json(z.object({})),
      run: async ({ params, query }) => {
        await shelf.delete(params['mcp_server_id']!, query.force);
        return ok({});
      },
    }),
  ];
}

function secretRoutes({ store, directory }: ApiContext, shelf: Shelf): Route[] {
  const name = z.string().min(1).max(256);
  const value = z.string().min(1).max(secretCharsMax);
  const answer = json(z.object({ type: z.literal('stored'), secret_id: z.string(), name: z.string() }));

  /** Never with its value. */
  const shown = ({ id, document }: Resource): Json => ({ type: 'stored', secret_id: id, name: String(document['name']) });
  const user = (id: string, userName: unknown, createdAtMs: number): Json => ({
    type: 'available',
    id,
    name: String(userName),
    created_at_unix_secs: unixSecs(createdAtMs),
    access_level: 'admin',
  });
  const usedBy = async (id: string): Promise<Json> => {
    const names = (resource: Resource): boolean => JSON.stringify(resource.document).includes(`"${id}"`);
    const agents: Json[] = [];
    for (const agentId of await directory.usersOf(id)) {
      const record = await directory.record(agentId);
      if (record !== undefined) agents.push(user(agentId, record.name, record.createdAtMs));
    }
    const tools = (await store.resources('tool')).filter(names);
    const servers = (await store.resources('mcp_server')).filter(names);
    const nameIn = ({ document }: Resource, part: string): unknown => (document[part] as Json | undefined)?.['name'];
    return {
      agents,
      tools: tools.map((tool) => user(tool.id, nameIn(tool, 'tool_config'), tool.createdAtMs)),
      mcp_servers: servers.map((server) => user(server.id, nameIn(server, 'config'), server.createdAtMs)),
      phone_numbers: [],
      others: [],
    };
  };

  return [
    route('POST', '/v1/convai/secrets', {
      id: 'createSecret',
      summary: 'Keep a secret; it is used in headers of tools and models and never shown again',
      body: z.object({ type: z.literal('new').default('new'), name, value }),
      answer,
      run: async ({ body: secret }) => ok(shown(await shelf.create({ name: secret.name, value: secret.value }))),
    }),
    route('GET', '/v1/convai/secrets', {
      id: 'listSecrets',
      summary: 'Names of the secrets, and who uses them',
      query: z.object(pageQuery),
      answer: json(z.object({ secrets: z.array(anyObject), next_cursor: z.string().nullable() })),
      run: async ({ query }) => {
        const all = await shelf.list();
        const start = Number(query.cursor ?? 0) || 0;
        const end = start + query.page_size;
        const secrets: Json[] = [];
        for (const one of all.slice(start, end)) secrets.push({ ...shown(one), used_by: await usedBy(one.id) });
        return ok({ secrets, next_cursor: end < all.length ? String(end) : null });
      },
    }),
    route('GET', '/v1/convai/secrets/{secret_id}', {
      id: 'getSecret',
      summary: 'The name of a secret, and who uses it',
      answer,
      run: async ({ params }) => {
        const secret = await shelf.found(params['secret_id']!);
        return ok({ ...shown(secret), used_by: await usedBy(secret.id) });
      },
    }),
    route('PATCH', '/v1/convai/secrets/{secret_id}', {
      id: 'updateSecret',
      summary: 'Give a secret another name or value',
      body: z.object({ type: z.literal('update').default('update'), name: name.optional(), value: value.optional() }),
      answer,
      run: async ({ params, body }) => {
        const id = params['secret_id']!;
        const { document } = await shelf.found(id);
        const change = { name: body.name ?? document['name'], value: body.value ?? document['value'] };
        return ok(shown(await shelf.change(id, change)));
      },
    }),
    route('DELETE', '/v1/convai/secrets/{secret_id}', {
      id: 'deleteSecret',
      summary: 'Forget a secret',
      query: forceQuery,
      answer: json(z.object({})),
      run: async ({ params, query }) => {
        await shelf.delete(params['secret_id']!, query.force);
        return ok({});
      },
    }),
  ];
}
