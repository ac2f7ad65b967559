/**
 * The MCP servers of all conversations. A server is opened when the first conversation asks for it, shared by all that use it with the same
 * address and headers, and closed a while after the last has gone. API thread.
 */
import { createHash } from 'node:crypto';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { nowMs } from '../shared/clock.js';
import { EngineError } from '../shared/errors.js';
import { type Cancel, systemTimers } from '../shared/timers.js';
import { ms } from '../shared/units.js';
import type { GuardedHttp } from './guarded-http.js';
import { canonicalJson, type McpServerConfig } from './mcp-config.js';
import { McpConnection, type McpConnectionLimits, type McpLink, mcpFailure } from './mcp-connection.js';
import { type McpFetchLimits, mcpFetch } from './mcp-fetch.js';
import { type McpOffer, offerOf, type Route, type ServerNow } from './mcp-offer.js';
import { mcpBlocks, mcpText } from './mcp-result.js';
import { type ToolLog, type ToolOutcome, type ToolRun, toolLimits } from './port.js';
import { capped, withoutSecrets } from './result-text.js';
import { argumentsObject, failureText, headersFrom, storedSecret, type ToolContext } from './webhook.js';

export const mcpLimits = {
  /** Open in one process, and of one conversation. */
  serversMax: 64,
  serversPerConversationMax: 16,
  connectMs: 10_000,
  pingMs: 5000,
  closeMs: 5000,
  reconnectFirstMs: 1000,
  reconnectMaxMs: 30_000,
  attemptsMax: 6,
  refreshMinMs: 1000,
  /** A conversation learns of its tools after this at the latest; servers that are slower come later. */
  firstOfferMs: 5000,
  /** A server that nobody uses stays open this long. */
  idleMs: 60_000,
  toolsMax: 128,
  pagesMax: 20,
  nameCharsMax: 128,
  descriptionCharsMax: 2000,
  schemaCharsMax: 16_384,
  messageBytesMax: 4 * 1024 * 1024,
  streamBytesPerSecondMax: 16 * 1024 * 1024,
  answersMax: 64,
  answerMaxMs: toolLimits.timeoutMaxMs + 5000,
} as const satisfies McpConnectionLimits & McpFetchLimits & Record<string, number>;

export type McpLimits = { readonly [Name in keyof typeof mcpLimits]: number };

export type McpAsk = {
  readonly conversationId: string;
  readonly servers: readonly McpServerConfig[];
  /** Dynamic variables, for headers. */
  readonly variables: Readonly<Record<string, string>>;
  /** Names that the agent's own tools have; tools of servers get others. */
  readonly takenNames: readonly string[];
  /** Called once when every server has answered, failed or used up `firstOfferMs`, then at each change until `release`. */
  readonly onOffer: (offer: McpOffer) => void;
};

export type McpServersOptions = {
  readonly http: GuardedHttp;
  readonly log: ToolLog;
  readonly secret: ToolContext['secret'];
  readonly isStdioAllowed: boolean;
  readonly limits?: Partial<McpLimits>;
};

/** One server as it is really opened: variables and secrets filled in. */
type Resolved = {
  readonly link:
    | { readonly transport: 'STREAMABLE_HTTP' | 'SSE'; readonly url: string; readonly headers: Readonly<Record<string, string>> }
    | {
        readonly transport: 'STDIO';
        readonly command: string;
        readonly args: readonly string[];
        readonly env: Readonly<Record<string, string>>;
      };
  readonly secrets: readonly string[];
};
type Shared = {
  readonly key: string;
  readonly connection: McpConnection;
  readonly secrets: readonly string[];
  readonly users: Set<Holder>;
  cancelIdle: Cancel | undefined;
};
type Holder = {
  readonly ask: McpAsk;
  readonly gone: AbortController;
  /** By index of `ask.servers`; undefined: it could not be opened at all. */
  readonly servers: (Shared | undefined)[];
  /** All servers have been asked for. */
  isAttached: boolean;
  /** Nothing is told before all servers have settled or `firstOfferMs` is used up; from then on every change is. */
  isOpening: boolean;
  cancelOpening: Cancel;
  lastOffer: string;
  routes: ReadonlyMap<string, Route>;
};

export class McpServers {
  readonly #options: McpServersOptions;
  readonly #limits: McpLimits;
  readonly #shared = new Map<string, Shared>();
  readonly #holders = new Map<string, Holder>();
  /** Connections being closed. */
  readonly #closing = new Set<Promise<void>>();
  #isClosed = false;

  constructor(options: McpServersOptions) {
    this.#options = options;
    this.#limits = { ...mcpLimits, ...options.limits };
  }

  get openCount(): number {
    return this.#shared.size;
  }

  /** Opens the servers of a conversation, or takes those already open. A second ask of a conversation replaces the first. */
  open(ask: McpAsk): void {
    this.release(ask.conversationId);
    if (this.#isClosed) return;
    const holder: Holder = {
      ask: { ...ask, servers: ask.servers.slice(0, this.#limits.serversPerConversationMax) },
      gone: new AbortController(),
      servers: [],
      isAttached: false,
      isOpening: true,
      cancelOpening: systemTimers.after(ms(this.#limits.firstOfferMs), () => {
        holder.isOpening = false;
        this.#offer(holder);
      }),
      lastOffer: '',
      routes: new Map(),
    };
    this.#holders.set(ask.conversationId, holder);
    void this.#attach(holder);
  }

  /** Runs a tool that was offered to the conversation; never rejects. */
  async call(conversationId: string, run: ToolRun, signal: AbortSignal): Promise<ToolOutcome> {
    const startedAtMs = nowMs();
    const finished = (isError: boolean, text: string, blocks?: ToolOutcome['blocks']): ToolOutcome => ({
      isError,
      ...capped(text, toolLimits.resultCharsMax),
      elapsedMs: Math.round(nowMs() - startedAtMs),
      ...(blocks === undefined ? {} : { blocks }),
    });
    const holder = this.#holders.get(conversationId);
    const route = holder?.routes.get(run.name);
    const shared = route === undefined ? undefined : holder?.servers[route.serverIndex];
    if (holder === undefined || route === undefined || shared === undefined)
      return finished(true, `refused: there is no tool "${run.name.slice(0, 64)}"`);
    const { connection, secrets } = shared;
    const { timeoutMs } = holder.ask.servers[route.serverIndex]!;
    try {
      const given = argumentsObject(run.argumentsJson);
      const result = await connection.call(route.toolName, given, timeoutMs, signal);
      const text = withoutSecrets(mcpText(result), secrets);
      const blocks = mcpBlocks(result, toolLimits.resultCharsMax).map((block) => ({
        ...block,
        text: withoutSecrets(block.text, secrets),
      }));
      return finished(result.isError === true, text === '' ? 'done, no content' : text, blocks);
    } catch (error) {
      const reason = signal.aborted ? 'cancelled' : (mcpFailure(error, timeoutMs) ?? failureText(error, signal));
      return finished(true, withoutSecrets(reason, secrets));
    }
  }

  /** The conversation needs its servers no more. */
  release(conversationId: string): void {
    const holder = this.#holders.get(conversationId);
    if (holder === undefined) return;
    this.#holders.delete(conversationId);
    holder.gone.abort();
    holder.cancelOpening();
    for (const shared of new Set(holder.servers)) if (shared !== undefined) this.#giveBack(shared, holder);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const conversationId of [...this.#holders.keys()]) this.release(conversationId);
    for (const shared of [...this.#shared.values()]) this.#shut(shared);
    await Promise.all(this.#closing);
  }

  /** Never rejects. */
  async #attach(holder: Holder): Promise<void> {
    const { servers } = holder.ask;
    const resolved = await Promise.allSettled(servers.map((config) => this.#resolve(config, holder)));
    if (holder.gone.signal.aborted) return;
    for (const [index, one] of resolved.entries()) {
      if (one.status === 'fulfilled') holder.servers[index] = this.#take(servers[index]!, one.value, holder);
      else this.#options.log('mcp.config.problem', { kind: one.reason instanceof EngineError ? one.reason.kind : 'broken' });
    }
    holder.isAttached = true;
    this.#offer(holder);
  }

  async #resolve(config: McpServerConfig, holder: Holder): Promise<Resolved> {
    const { link } = config;
    const { signal } = holder.gone;
    const context = { variables: holder.ask.variables, secret: this.#options.secret };
    const secrets: string[] = [];
    if (link.transport === 'STDIO') {
      if (!this.#options.isStdioAllowed)
        throw new EngineError('config', 'MCP servers that are programs of this machine are not allowed (PARLEY_MCP_STDIO)');
      const env: [string, string][] = [];
      for (const [name, value] of Object.entries(link.env))
        env.push([name, typeof value === 'string' ? value : await storedSecret(value.secretId, context.secret, signal, secrets)]);
      return { link: { ...link, env: Object.fromEntries(env) }, secrets };
    }
    const url = typeof link.url === 'string' ? link.url : await storedSecret(link.url.secretId, context.secret, signal, secrets);
    return { link: { ...link, url, headers: await headersFrom(link.headers, context, signal, secrets) }, secrets };
  }

  #take(config: McpServerConfig, resolved: Resolved, holder: Holder): Shared | undefined {
    const key = createHash('sha256').update(canonicalJson(resolved.link)).digest('hex');
    const open = this.#shared.get(key);
    if (open !== undefined) {
      open.cancelIdle?.();
      open.cancelIdle = undefined;
      open.users.add(holder);
      open.connection.wake();
      return open;
    }
    if (this.#shared.size >= this.#limits.serversMax && !this.#shutAnIdleOne()) {
      this.#options.log('mcp.capacity.problem', { open: this.#shared.size });
      return undefined;
    }
    const users = new Set([holder]);
    const connection = new McpConnection({
      name: config.name,
      createLink: () => this.#createLink(resolved.link),
      limits: this.#limits,
      log: this.#options.log,
      onChange: () => {
        for (const user of users) this.#offer(user);
      },
    });
    const shared: Shared = { key, connection, secrets: resolved.secrets, users, cancelIdle: undefined };
    this.#shared.set(key, shared);
    return shared;
  }

  #createLink(link: Resolved['link']): McpLink {
    const nothing = () => Promise.resolve();
    if (link.transport === 'STDIO') {
      const transport = new StdioClientTransport({
        command: link.command,
        args: [...link.args],
        env: { ...link.env },
        stderr: 'ignore',
        maxBufferSize: this.#limits.messageBytesMax,
      });
      return { transport, isBoundToStream: false, farewell: nothing };
    }
    const url = new URL(link.url);
    const options = { fetch: mcpFetch(this.#options.http, this.#limits), requestInit: { headers: { ...link.headers } } };
    if (link.transport === 'SSE')
      return { transport: new SSEClientTransport(url, options), isBoundToStream: true, farewell: nothing };
    const transport = new StreamableHTTPClientTransport(url, options);
    return { transport, isBoundToStream: false, farewell: () => transport.terminateSession() };
  }

  #giveBack(shared: Shared, holder: Holder): void {
    shared.users.delete(holder);
    if (shared.users.size > 0 || this.#isClosed) return;
    shared.cancelIdle = systemTimers.after(ms(this.#limits.idleMs), () => this.#shut(shared));
  }

  #shutAnIdleOne(): boolean {
    const idle = [...this.#shared.values()].find(({ users }) => users.size === 0);
    if (idle !== undefined) this.#shut(idle);
    return idle !== undefined;
  }

  #shut(shared: Shared): void {
    shared.cancelIdle?.();
    this.#shared.delete(shared.key);
    const closing = shared.connection.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Tells the conversation what it has now, if it is time to and if that has changed. */
  #offer(holder: Holder): void {
    const { ask, servers } = holder;
    if (holder.gone.signal.aborted) return;
    const isComplete = holder.isAttached && servers.every((shared) => shared === undefined || shared.connection.isSettled);
    if (!isComplete && holder.isOpening) return;
    holder.cancelOpening();
    holder.isOpening = false;
    const now = ask.servers.map((config, index): ServerNow => {
      const connection = servers[index]?.connection;
      return { config, isConnected: connection?.isConnected ?? false, tools: connection?.tools ?? [] };
    });
    const { offer, routes } = offerOf(now, ask.takenNames);
    holder.routes = routes;
    const text = canonicalJson(offer);
    if (text === holder.lastOffer) return;
    holder.lastOffer = text;
    ask.onOffer(offer);
  }
}
