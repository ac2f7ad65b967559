/**
 * Runs the server-side tools of all conversations: webhooks and tools of MCP servers. API thread; `workers/api.ts` holds the one runner
 * and ends it with `close`. Nothing here rejects or throws: what goes wrong is an outcome.
 */
import type { AddressGuard } from './address-guard.js';
import { GuardedHttp } from './guarded-http.js';
import { type McpAsk, type McpLimits, McpServers } from './mcp.js';
import { canonicalJson } from './mcp-config.js';
import { type ToolLog, type ToolOutcome, type ToolRun, toolLimits, type WebhookTool } from './port.js';
import { runWebhook } from './webhook.js';

export type ToolRunnerOptions = {
  readonly guard: AddressGuard;
  readonly log: ToolLog;
  /** The value of a stored secret, or undefined when there is none of that id. */
  readonly secret: (secretId: string) => Promise<string | undefined>;
  /** Whether an MCP server may be a program that this machine starts (`PARLEY_MCP_STDIO=1`). */
  readonly isMcpStdioAllowed: boolean;
  readonly limits?: Partial<McpLimits> & { readonly runningMax?: number };
};

export type ToolAsk = {
  readonly conversationId: string;
  readonly run: ToolRun;
  /** The agent's webhook of that name. Undefined: the tool is looked for among those offered by the MCP servers of the conversation. */
  readonly webhook: WebhookTool | undefined;
  /** Dynamic variables of the conversation, `secret__` ones included. */
  readonly variables: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
};

export type ToolRunner = {
  /** Runs one call. A call with the name and arguments of one that still runs in the conversation is not started; the outcome says so. */
  run(ask: ToolAsk): Promise<ToolOutcome>;
  /** Ends a running call; its outcome says so. Unknown ids are ignored. */
  cancel(conversationId: string, toolCallId: string): void;
  /** Opens the MCP servers of a conversation, or takes those already open for others. A second ask replaces the first. */
  openMcp(ask: McpAsk): void;
  /** The conversation is over: its calls are cancelled, its MCP servers are given back. */
  release(conversationId: string): void;
  /** Calls running, MCP servers open. For metrics. */
  counts(): { readonly running: number; readonly mcpServers: number };
  /** Cancels everything and closes every connection. */
  close(): Promise<void>;
};

type Running = { readonly key: string; readonly controller: AbortController; readonly ended: Promise<ToolOutcome> };

export function createToolRunner(options: ToolRunnerOptions): ToolRunner {
  const { guard, log, secret, isMcpStdioAllowed, limits = {} } = options;
  const runningMax = limits.runningMax ?? toolLimits.runningMax;
  const http = new GuardedHttp(guard);
  const mcp = new McpServers({ http, log, secret, isStdioAllowed: isMcpStdioAllowed, limits });
  /** By conversation, then by id of the call. */
  const conversations = new Map<string, Map<string, Running>>();
  let running = 0;
  let isClosed = false;

  async function execute(ask: ToolAsk, signal: AbortSignal): Promise<ToolOutcome> {
    const { conversationId, run, webhook, variables } = ask;
    const outcome =
      webhook === undefined
        ? await mcp.call(conversationId, run, signal)
        : await runWebhook(webhook, run, { http, variables, secret, signal });
    const kind = webhook === undefined ? 'mcp' : 'webhook';
    log('tool.ended', { kind, elapsedMs: outcome.elapsedMs, isError: outcome.isError ? 1 : 0 });
    return outcome;
  }

  async function run(ask: ToolAsk): Promise<ToolOutcome> {
    const { conversationId, run: call } = ask;
    if (isClosed) return atOnce(true, 'cancelled');
    const key = callKey(call);
    const calls = conversations.get(conversationId) ?? new Map<string, Running>();
    if (calls.has(call.toolCallId) || [...calls.values()].some((other) => other.key === key))
      return atOnce(false, 'This tool is already running with the same arguments. Its result will follow; do not call it again.');
    if (running >= runningMax) {
      log('tool.capacity.problem', { running });
      return atOnce(true, 'too many tools are running; try again later');
    }
    const controller = new AbortController();
    const signal = ask.signal === undefined ? controller.signal : AbortSignal.any([controller.signal, ask.signal]);
    const ended = execute(ask, signal);
    conversations.set(conversationId, calls.set(call.toolCallId, { key, controller, ended }));
    running += 1;
    try {
      return await ended;
    } finally {
      running -= 1;
      calls.delete(call.toolCallId);
      if (calls.size === 0) conversations.delete(conversationId);
    }
  }

  function release(conversationId: string): void {
    for (const { controller } of conversations.get(conversationId)?.values() ?? []) controller.abort();
    mcp.release(conversationId);
  }

  async function close(): Promise<void> {
    isClosed = true;
    const calls = [...conversations.values()].flatMap((one) => [...one.values()]);
    for (const { controller } of calls) controller.abort();
    await Promise.all([mcp.close(), ...calls.map(({ ended }) => ended)]);
    http.close();
  }

  return {
    run,
    cancel: (conversationId, toolCallId) => conversations.get(conversationId)?.get(toolCallId)?.controller.abort(),
    openMcp: (ask) => mcp.open(ask),
    release,
    counts: () => ({ running, mcpServers: mcp.openCount }),
    close,
  };
}

function atOnce(isError: boolean, result: string): ToolOutcome {
  return { isError, result, isTruncated: false, elapsedMs: 0 };
}

/** The same for calls that would do the same. Arguments that are no JSON are told apart as they stand. */
function callKey({ name, argumentsJson }: ToolRun): string {
  try {
    return `${name} ${canonicalJson(JSON.parse(argumentsJson))}`;
  } catch {
    return `${name} ${argumentsJson}`;
  }
}
