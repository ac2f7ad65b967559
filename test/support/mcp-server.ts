/** A real MCP server of the official SDK on this machine, over streamable HTTP and SSE, with tools that a test names; it can die and come back. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer,
  type Server as HttpServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  CallToolRequestSchema,
  type CallToolResult,
  ListToolsRequestSchema,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js';

export type Called = { readonly name: string; readonly given: Readonly<Record<string, unknown>>; readonly signal: AbortSignal };
export type Call = (called: Called) => CallToolResult | Promise<CallToolResult>;

export const text = (value: string): CallToolResult => ({ content: [{ type: 'text', text: value }] });
export const mcpTool = (name: string, more: Partial<Tool> = {}): Tool => ({
  name,
  description: `Does ${name}.`,
  inputSchema: { type: 'object', properties: { a: { type: 'string' } } },
  ...more,
});

/** What every session of the server offers; changed by the test while it runs. */
export type Offering = { tools: Tool[]; call: Call; pageSize: number };

export function offering(change: Partial<Offering> = {}): Offering {
  return { tools: [mcpTool('echo')], call: ({ given }) => text(JSON.stringify(given)), pageSize: 1000, ...change };
}

export function mcpSession(offers: Offering): Server {
  const session = new Server({ name: 'local', version: '1' }, { capabilities: { tools: { listChanged: true } } });
  session.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
    const from = Number(params?.cursor ?? 0);
    const to = from + offers.pageSize;
    return { tools: offers.tools.slice(from, to), ...(to < offers.tools.length ? { nextCursor: String(to) } : {}) };
  });
  session.setRequestHandler(CallToolRequestSchema, ({ params }, { signal }) =>
    offers.call({ name: params.name, given: params.arguments ?? {}, signal }),
  );
  return session;
}

export class LocalMcp {
  readonly offers: Offering;
  /** Of every request so far. */
  readonly headers: IncomingHttpHeaders[] = [];
  /** Sessions begun, and those that the client ended in good manners. */
  begun = 0;
  ended = 0;
  /** Takes requests and answers none. */
  isFrozen = false;
  #endings: { count: number; resolve: () => void }[] = [];
  #server: HttpServer;
  readonly #port: number;
  readonly #sessions = new Set<Server>();
  readonly #streamable = new Map<string, StreamableHTTPServerTransport>();
  readonly #sse = new Map<string, SSEServerTransport>();

  private constructor(server: HttpServer, offers: Offering) {
    this.offers = offers;
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.#serve(server);
  }

  static async open(offers: Offering = offering()): Promise<LocalMcp> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new LocalMcp(server, offers);
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }
  get url(): string {
    return `http://${this.host}/mcp`;
  }
  get sseUrl(): string {
    return `http://${this.host}/sse`;
  }

  /** Tells every session that the tools have changed. */
  async changed(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.sendToolListChanged()));
  }

  /** When so many sessions have been ended. */
  async ending(count: number): Promise<void> {
    if (this.ended < count) await new Promise<void>((resolve) => this.#endings.push({ count, resolve }));
  }

  #end(): void {
    this.ended += 1;
    for (const { count, resolve } of this.#endings) if (count <= this.ended) resolve();
  }

  /** Gone without a word, with all sessions. */
  async die(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
    this.#sessions.clear();
    this.#streamable.clear();
    this.#sse.clear();
  }

  /** Back at the same address, knowing nobody. */
  async comeBack(): Promise<void> {
    this.#server = createServer();
    this.#serve(this.#server);
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  #serve(server: HttpServer): void {
    server.on('request', (request, response) => {
      this.headers.push(request.headers);
      if (this.isFrozen) return;
      this.#handle(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://local');
    if (pathname === '/sse') {
      const transport = new SSEServerTransport('/messages', response);
      this.#sse.set(transport.sessionId, transport);
      return await this.#begin(transport);
    }
    if (pathname === '/messages') {
      const transport = this.#sse.get(searchParams.get('sessionId') ?? '');
      if (transport === undefined) return void response.writeHead(404).end();
      return await transport.handlePostMessage(request, response);
    }
    const sessionId = request.headers['mcp-session-id'];
    if (typeof sessionId === 'string') {
      const transport = this.#streamable.get(sessionId);
      if (transport === undefined) return void response.writeHead(404).end();
      if (request.method === 'DELETE') this.#end();
      return await transport.handleRequest(request, response);
    }
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void this.#streamable.set(id, transport),
    });
    await this.#begin(transport as Transport);
    await transport.handleRequest(request, response);
  }

  async #begin(transport: Transport): Promise<void> {
    this.begun += 1;
    const session = mcpSession(this.offers);
    this.#sessions.add(session);
    await session.connect(transport);
  }
}
