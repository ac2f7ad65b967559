/** Reads an MCP server of the public API (`config` of `/v1/convai/mcp-servers`) and decides which of its tools need approval. Pure; API thread. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { mannerOf, type ToolManner } from './manner.js';
import { type Checked, type HeaderValue, toolLimits } from './port.js';
import { checkedBy, headersSchema } from './webhook-config.js';

export type McpServerConfig = {
  readonly serverId: string;
  readonly name: string;
  /** `STDIO`: a program of this machine; not in the public API, and only when the operator allows it. */
  readonly link:
    | {
        readonly transport: 'STREAMABLE_HTTP' | 'SSE';
        readonly url: HeaderValue;
        readonly headers: Readonly<Record<string, HeaderValue>>;
      }
    | {
        readonly transport: 'STDIO';
        readonly command: string;
        readonly args: readonly string[];
        readonly env: Readonly<Record<string, HeaderValue>>;
      };
  readonly approvalPolicy: 'auto_approve_all' | 'require_approval_all' | 'require_approval_per_tool';
  /** For `require_approval_per_tool`: tools by their name at the server. `hash`: of the tool that was approved; empty: of any. */
  readonly approvals: readonly { readonly toolName: string; readonly hash: string; readonly isApproved: boolean }[];
  readonly timeoutMs: number;
  /** Of all its tools. */
  readonly manner: ToolManner;
};

const secretSchema = z
  .object({ secret_id: z.string().min(1) })
  .transform(({ secret_id }): HeaderValue => ({ secretId: secret_id }));
const textOrSecret = z.union([z.string().max(2048), secretSchema], 'must be a text or {"secret_id": …}');

const mannerShape = {
  disable_interruptions: z.boolean().default(false),
  interruption_mode: z.enum(['allow', 'disable_during_tool', 'disable_during_tool_and_turn']).default('allow'),
  force_pre_tool_speech: z.boolean().default(false),
  pre_tool_speech: z.enum(['auto', 'force', 'off']).default('auto'),
  execution_mode: z.enum(['immediate', 'post_tool_speech', 'async']).default('immediate'),
} as const;

export const serverSchema = z
  .object({
    name: z.string().max(256).default(''),
    approval_policy: z
      .enum(['auto_approve_all', 'require_approval_all', 'require_approval_per_tool'])
      .default('require_approval_all'),
    tool_approval_hashes: z
      .array(
        z.object({
          tool_name: z.string(),
          tool_hash: z.string().default(''),
          approval_policy: z.enum(['auto_approved', 'requires_approval']).default('requires_approval'),
        }),
      )
      .max(1000)
      .default([]),
    transport: z.enum(['SSE', 'STREAMABLE_HTTP', 'STDIO']).default('SSE'),
    url: textOrSecret.optional(),
    secret_token: secretSchema.nullish(),
    request_headers: headersSchema.nullish(),
    response_timeout_secs: z
      .number()
      .min(1)
      .max(toolLimits.timeoutMaxMs / 1000)
      .default(toolLimits.timeoutDefaultMs / 1000),
    ...mannerShape,
    command: z.string().min(1).max(1024).optional(),
    args: z.array(z.string().max(4096)).max(100).default([]),
    env: z.record(z.string(), textOrSecret).default({}),
  })
  .transform((config, context): Omit<McpServerConfig, 'serverId'> => {
    const { transport } = config;
    if (transport === 'STDIO' ? config.command === undefined : config.url === undefined)
      context.addIssue({ code: 'custom', path: [transport === 'STDIO' ? 'command' : 'url'], message: 'is needed' });
    if (typeof config.url === 'string' && transport !== 'STDIO') {
      const isWeb = /^https?:\/\//i.test(config.url) && URL.canParse(config.url);
      if (!isWeb) context.addIssue({ code: 'custom', path: ['url'], message: 'must be an http(s) URL' });
    }
    // The token is the whole value of the header, as the public API has it.
    const token = config.secret_token === null || config.secret_token === undefined ? {} : { authorization: config.secret_token };
    return {
      name: config.name,
      link:
        transport === 'STDIO'
          ? { transport, command: config.command ?? '', args: config.args, env: config.env }
          : { transport, url: config.url ?? '', headers: { ...config.request_headers, ...token } },
      approvalPolicy: config.approval_policy,
      approvals: config.tool_approval_hashes.map(({ tool_name, tool_hash, approval_policy }) => ({
        toolName: tool_name,
        hash: tool_hash,
        isApproved: approval_policy === 'auto_approved',
      })),
      timeoutMs: config.response_timeout_secs * 1000,
      manner: mannerOf(config),
    };
  });

/** The server, or what is wrong with it. */
export function checkMcpServer(serverId: string, document: unknown): Checked<McpServerConfig> {
  const checked = checkedBy(serverSchema, document);
  return checked.ok ? { ok: true, value: { serverId, ...checked.value } } : checked;
}

/** A tool as its server describes it. */
export type McpTool = {
  readonly name: string;
  readonly description: string;
  readonly parameters: Readonly<Record<string, unknown>>;
};

/** Whether a person must agree before the tool runs. An approval holds for the tool as it was described when it was given. */
export function needsApproval(config: Pick<McpServerConfig, 'approvalPolicy' | 'approvals'>, tool: McpTool): boolean {
  if (config.approvalPolicy !== 'require_approval_per_tool') return config.approvalPolicy === 'require_approval_all';
  const given = config.approvals.find(({ toolName }) => toolName === tool.name);
  return given === undefined || !given.isApproved || (given.hash !== '' && given.hash !== toolHash(tool));
}

/** SHA-256, in hex, of what a tool says of itself. */
export function toolHash(tool: McpTool): string {
  const { name, description, parameters } = tool;
  return createHash('sha256').update(canonicalJson({ name, description, parameters })).digest('hex');
}

/** JSON in which the order of keys is always the same. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => {
    if (typeof one !== 'object' || one === null || Array.isArray(one)) return one;
    return Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
}
