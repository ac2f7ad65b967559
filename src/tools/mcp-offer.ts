/** What the MCP servers of a conversation offer together: their tools under names that a language model takes and that differ. Pure; API thread. */

import type { ToolManner } from './manner.js';
import { type McpServerConfig, type McpTool, needsApproval } from './mcp-config.js';

/** Same shapes as `McpToolSpec` and `McpServerState` of `api/links.ts`. */
export type McpOffer = {
  readonly tools: readonly {
    readonly name: string;
    readonly description: string;
    readonly parameters: Readonly<Record<string, unknown>>;
    readonly serverId: string;
    /** What its server's configuration gives a call. */
    readonly timeoutMs: number;
    readonly manner: ToolManner;
    readonly needsApproval: boolean;
  }[];
  readonly servers: readonly { readonly serverId: string; readonly isConnected: boolean; readonly toolCount: number }[];
};

/** One server as it is now. */
export type ServerNow = {
  readonly config: McpServerConfig;
  readonly isConnected: boolean;
  readonly tools: readonly McpTool[];
};

/** Where a tool of the offer is found: index of its server, its name there. */
export type Route = { readonly serverIndex: number; readonly toolName: string };

const nameCharsMax = 64;

/** `takenNames`: of the agent's own tools. */
export function offerOf(
  servers: readonly ServerNow[],
  takenNames: readonly string[],
): { readonly offer: McpOffer; readonly routes: ReadonlyMap<string, Route> } {
  const taken = new Set(takenNames);
  const routes = new Map<string, Route>();
  const tools = servers.flatMap(({ config, tools: own }, serverIndex) =>
    own.map((tool) => {
      const name = freeName(tool.name, config.name, taken);
      taken.add(name);
      routes.set(name, { serverIndex, toolName: tool.name });
      const { description, parameters } = tool;
      const { serverId, timeoutMs, manner } = config;
      return { name, description, parameters, serverId, timeoutMs, manner, needsApproval: needsApproval(config, tool) };
    }),
  );
  const states = servers.map(({ config, isConnected, tools: own }) => ({
    serverId: config.serverId,
    isConnected,
    toolCount: own.length,
  }));
  return { offer: { tools, servers: states }, routes };
}

function freeName(toolName: string, serverName: string, taken: ReadonlySet<string>): string {
  const clean = (text: string): string => text.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, nameCharsMax);
  const plain = clean(toolName);
  if (!taken.has(plain)) return plain;
  const prefixed = clean(`${serverName}_${toolName}`);
  if (!taken.has(prefixed)) return prefixed;
  // Ends: there are fewer names than numbers.
  for (let number = 2; ; number += 1) {
    const numbered = `${plain.slice(0, nameCharsMax - 6)}_${number}`;
    if (!taken.has(numbered)) return numbered;
  }
}
