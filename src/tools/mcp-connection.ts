/**
 * The connection to one MCP server: opened through the official SDK, kept, opened again a bounded number of times when it is lost. A server
 * that hangs, dies, floods or talks nonsense costs its callers an error within a named time and nobody else anything. API thread.
 */
import { setMaxListeners } from 'node:events';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  type CallToolResult,
  CallToolResultSchema,
  ErrorCode,
  ListToolsResultSchema,
  McpError,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { nowMs } from '../shared/clock.js';
import { EngineError } from '../shared/errors.js';
import { type Cancel, systemTimers } from '../shared/timers.js';
import { ms } from '../shared/units.js';
import { canonicalJson, type McpTool } from './mcp-config.js';
import type { ToolLog } from './port.js';

export type McpConnectionLimits = {
  /** From the first byte to the list of tools. */
  readonly connectMs: number;
  readonly pingMs: number;
  readonly closeMs: number;
  /** Between two attempts; doubles up to the second figure. */
  readonly reconnectFirstMs: number;
  readonly reconnectMaxMs: number;
  /** In a row without success; then the server counts as failed until somebody calls a tool of it or opens it anew. */
  readonly attemptsMax: number;
  /** Between two readings of the list of tools, and between two pings. */
  readonly refreshMinMs: number;
  readonly toolsMax: number;
  /** Of the list of tools. */
  readonly pagesMax: number;
  readonly nameCharsMax: number;
  readonly descriptionCharsMax: number;
  /** A tool whose schema is longer is left out. */
  readonly schemaCharsMax: number;
};

/** How one attempt is made. `isBoundToStream`: when its stream breaks the session is gone, even if the transport opens another. */
export type McpLink = {
  readonly transport: Transport;
  readonly isBoundToStream: boolean;
  /** Tells the server that the session is over. */
  readonly farewell: () => Promise<void>;
};

export type McpConnectionOptions = {
  /** For messages to the model. */
  readonly name: string;
  readonly createLink: () => McpLink;
  readonly limits: McpConnectionLimits;
  readonly log: ToolLog;
  /** The state or the tools have changed. */
  readonly onChange: () => void;
};

type State =
  | { readonly phase: 'connecting'; readonly client: Client }
  | { readonly phase: 'connected'; readonly client: Client; readonly link: McpLink }
  | { readonly phase: 'waiting' | 'failed' | 'closed' };

export class McpConnection {
  /** As last read; kept while the connection is being opened again, empty when that has failed. */
  tools: readonly McpTool[] = [];
  /** The first attempt has ended, well or not. */
  isSettled = false;
  readonly #options: McpConnectionOptions;
  #state: State = { phase: 'waiting' };
  #attempts = 0;
  #cancelReconnect: Cancel | undefined;
  #cancelRefresh: Cancel | undefined;
  #refreshedAtMs = Number.NEGATIVE_INFINITY;
  #pingedAtMs = Number.NEGATIVE_INFINITY;
  /** Connections on their way out. */
  readonly #closing = new Set<Promise<void>>();

  constructor(options: McpConnectionOptions) {
    this.#options = options;
    this.#connect();
  }

  get isConnected(): boolean {
    return this.#state.phase === 'connected';
  }

  /** Tries again at once if all attempts have failed; somebody wants this server. */
  wake(): void {
    if (this.#state.phase !== 'failed') return;
    this.#attempts = 0;
    this.#connect();
  }

  /** Calls a tool by its name at the server. Rejects with what `mcpFailure` explains. */
  async call(
    toolName: string,
    given: Readonly<Record<string, unknown>>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<CallToolResult> {
    const state = this.#state;
    if (state.phase !== 'connected') {
      this.wake();
      throw new EngineError('refused', `MCP server ${this.#options.name} is not connected`);
    }
    try {
      // Not `callTool`: that compiles and runs schemas and patterns that the server wrote.
      return await state.client.request(
        { method: 'tools/call', params: { name: toolName, arguments: { ...given } } },
        CallToolResultSchema,
        { signal, timeout: timeoutMs, maxTotalTimeout: timeoutMs },
      );
    } catch (error) {
      // It may have died in a way that shows only when somebody waits for it.
      if (!signal.aborted) this.#doubt(state.client);
      throw error;
    }
  }

  /** Ends the connection for good; resolves within `closeMs`, whatever the server does. */
  async close(): Promise<void> {
    const state = this.#state;
    this.#state = { phase: 'closed' };
    this.#cancelReconnect?.();
    this.#cancelRefresh?.();
    if (state.phase === 'connected') this.#part(state.client, state.link.farewell);
    if (state.phase === 'connecting') this.#part(state.client);
    await Promise.all(this.#closing);
  }

  #connect(): void {
    const client = new Client({ name: 'parley', version: '1' }, { capabilities: {} });
    this.#state = { phase: 'connecting', client };
    this.#attempts += 1;
    this.#open(client).catch((error: unknown) => {
      if (!this.#isCurrent(client)) return;
      this.#options.log('mcp.connect.problem', { server: this.#options.name, kind: kindOf(error), attempt: this.#attempts });
      this.#part(client);
      this.#retry();
    });
  }

  async #open(client: Client): Promise<void> {
    const { limits, createLink, log } = this.#options;
    const link = createLink();
    client.onclose = () => this.#lost(client);
    client.onerror = () => (link.isBoundToStream ? this.#lost(client) : this.#doubt(client));
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => this.#refreshSoon(client));
    const tools = await within(limits.connectMs, async (signal) => {
      await client.connect(link.transport, { signal, timeout: limits.connectMs });
      return await this.#list(client, signal);
    });
    if (!this.#isCurrent(client)) return;
    this.#state = { phase: 'connected', client, link };
    this.#attempts = 0;
    this.tools = tools;
    log('mcp.connected', { server: this.#options.name, toolCount: tools.length });
    this.#changed();
  }

  #isCurrent(client: Client): boolean {
    return (this.#state.phase === 'connecting' || this.#state.phase === 'connected') && this.#state.client === client;
  }

  #changed(): void {
    this.isSettled = true;
    this.#options.onChange();
  }

  /** The connection broke. While it is still being opened, whoever opens it sees that itself. */
  #lost(client: Client): void {
    if (this.#state.phase !== 'connected' || this.#state.client !== client) return;
    this.#options.log('mcp.lost.problem', { server: this.#options.name });
    this.#part(client);
    this.#retry();
  }

  #retry(): void {
    const { limits } = this.#options;
    this.#cancelRefresh?.();
    this.#cancelRefresh = undefined;
    if (this.#attempts >= limits.attemptsMax) {
      this.#state = { phase: 'failed' };
      this.tools = [];
    } else {
      this.#state = { phase: 'waiting' };
      const delayMs = Math.min(limits.reconnectFirstMs * 2 ** Math.max(0, this.#attempts - 1), limits.reconnectMaxMs);
      this.#cancelReconnect = systemTimers.after(ms(delayMs), () => this.#connect());
    }
    this.#changed();
  }

  /** Something went wrong that need not be the end: asks the server whether it is still there, one question at a time. */
  #doubt(client: Client): void {
    const { limits } = this.#options;
    const atMs = nowMs();
    if (this.#state.phase !== 'connected' || this.#state.client !== client || atMs - this.#pingedAtMs < limits.refreshMinMs)
      return;
    this.#pingedAtMs = atMs;
    client.ping({ timeout: limits.pingMs }).catch((error: unknown) => {
      // An error that the server itself sent is a sign of life.
      const { RequestTimeout, ConnectionClosed } = ErrorCode;
      const isAlive = error instanceof McpError && error.code !== RequestTimeout && error.code !== ConnectionClosed;
      if (!isAlive) this.#lost(client);
    });
  }

  #refreshSoon(client: Client): void {
    if (this.#cancelRefresh !== undefined || !this.#isCurrent(client)) return;
    const { limits } = this.#options;
    const delayMs = Math.max(0, this.#refreshedAtMs + limits.refreshMinMs - nowMs());
    this.#cancelRefresh = systemTimers.after(ms(delayMs), () => {
      this.#cancelRefresh = undefined;
      this.#refresh(client).catch(() => this.#doubt(client));
    });
  }

  async #refresh(client: Client): Promise<void> {
    if (this.#state.phase !== 'connected' || this.#state.client !== client) return;
    const tools = await within(this.#options.limits.connectMs, (signal) => this.#list(client, signal));
    if (!this.#isCurrent(client) || canonicalJson(tools) === canonicalJson(this.tools)) return;
    this.tools = tools;
    this.#changed();
  }

  /** Not `listTools`, for the reason given at `call`. */
  async #list(client: Client, signal: AbortSignal): Promise<McpTool[]> {
    this.#refreshedAtMs = nowMs();
    const { limits, log } = this.#options;
    const tools = new Map<string, McpTool>();
    if (client.getServerCapabilities()?.tools === undefined) return [];
    let cursor: string | undefined;
    let leftOut = 0;
    for (let page = 0; page < limits.pagesMax && tools.size < limits.toolsMax; page += 1) {
      const result = await client.request(
        { method: 'tools/list', params: cursor === undefined ? {} : { cursor } },
        ListToolsResultSchema,
        { signal, timeout: limits.connectMs },
      );
      for (const { name, description = '', inputSchema } of result.tools) {
        const isFit =
          name !== '' && name.length <= limits.nameCharsMax && JSON.stringify(inputSchema).length <= limits.schemaCharsMax;
        if (!isFit || tools.size >= limits.toolsMax) leftOut += 1;
        else tools.set(name, { name, description: description.slice(0, limits.descriptionCharsMax), parameters: inputSchema });
      }
      cursor = result.nextCursor;
      if (cursor === undefined) break;
    }
    if (leftOut > 0 || cursor !== undefined) log('mcp.tools.problem', { server: this.#options.name, kept: tools.size, leftOut });
    return [...tools.values()];
  }

  /** Closes one client in the background, within `closeMs`. */
  #part(client: Client, farewell?: () => Promise<void>): void {
    client.onclose = () => undefined;
    client.onerror = () => undefined;
    const closing = within(this.#options.limits.closeMs, async () => await farewell?.())
      .catch(() => undefined)
      .then(() => within(this.#options.limits.closeMs, () => client.close()))
      .catch(() => this.#options.log('mcp.close.problem', { server: this.#options.name }))
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}

/** For the model: what went wrong with a call, in one sentence. */
export function mcpFailure(error: unknown, timeoutMs: number): string | undefined {
  if (!(error instanceof McpError)) return undefined;
  if (error.code === ErrorCode.RequestTimeout) return `no answer within ${timeoutMs} ms`;
  if (error.code === ErrorCode.ConnectionClosed) return 'the MCP server closed the connection';
  return error.message;
}

/** `work` with a deadline: its signal is aborted, and the wait ends, after `limitMs`. */
async function within<Value>(limitMs: number, work: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
  const controller = new AbortController();
  // The SDK leaves a listener behind with every request: one for each page of a list of tools.
  setMaxListeners(0, controller.signal);
  let cancel: Cancel = () => undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = systemTimers.after(ms(limitMs), () => {
      reject(new EngineError('timeout', `no answer within ${limitMs} ms`));
      controller.abort();
    });
  });
  try {
    return await Promise.race([work(controller.signal), late]);
  } finally {
    cancel();
  }
}

function kindOf(error: unknown): string {
  if (error instanceof EngineError) return error.kind;
  return error instanceof McpError ? `mcp ${error.code}` : 'broken';
}
