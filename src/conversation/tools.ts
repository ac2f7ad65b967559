/** The tools of a session as data: what the model is told of each, and how a call of it is to be run. Pure. Conversation thread. */
import type { McpToolSpec } from '../api/links.js';
import type { ToolSpec } from '../llm/port.js';
import { plainManner, type ToolManner } from '../tools/manner.js';
import type { ParameterSchema } from '../tools/schema.js';

export type SystemToolName = 'end_call' | 'skip_turn' | 'language_detection' | 'transfer_to_agent';

export type Transfer = {
  readonly agentId: string;
  readonly condition: string;
  /** Said before the handover; empty: only what the model says. */
  readonly message: string;
  /** The new agent says its own first message. */
  readonly saysFirst: boolean;
};

/** A dynamic variable that is set from a tool's result; the path leads into its JSON. */
export type Assignment = { readonly dynamic_variable: string; readonly value_path: string };

export type SessionTool = { readonly manner: ToolManner } & (
  | {
      readonly type: 'client';
      readonly spec: ToolSpec;
      /** With the constants and variables that the model does not see. */
      readonly schema: ParameterSchema;
      readonly expectsResponse: boolean;
      readonly timeoutMs: number;
      readonly assignments: readonly Assignment[];
    }
  /** `isCancellable`: a CUT ends it, because it changes nothing. */
  | {
      readonly type: 'webhook';
      readonly spec: ToolSpec;
      readonly timeoutMs: number;
      readonly isCancellable: boolean;
      readonly assignments: readonly Assignment[];
    }
  | {
      readonly type: 'mcp';
      readonly spec: ToolSpec;
      readonly serverId: string;
      readonly timeoutMs: number;
      readonly needsApproval: boolean;
    }
  | { readonly type: 'system'; readonly spec: ToolSpec; readonly name: SystemToolName }
);

export const toolBounds = {
  /** Rounds of tools before the model must answer in words. */
  roundsMax: 3,
  /** Calls of one round; more are refused. */
  callsMax: 16,
  /** Calls of a session that run at once. */
  runningMax: 32,
  approvalTimeoutMs: 300_000,
  /** The API thread says itself when a tool is late; this much later it is taken for dead. */
  graceMs: 1500,
  resultCharsMax: 16_384,
  /** A tool that waits until the words before it were heard waits no longer than this. */
  postSpeechMaxMs: 60_000,
} as const;

const noParameters = { type: 'object', properties: {}, required: [] } as const;

const reasonParameter = {
  type: 'object',
  properties: { reason: { type: 'string', description: 'Why.' } },
  required: ['reason'],
} as const;

/** What a system tool is by default; an agent may word the description otherwise. */
export function systemTool(
  name: SystemToolName,
  description: string,
  options: {
    readonly languages?: readonly string[];
    readonly transfers?: readonly Transfer[];
    readonly manner?: ToolManner;
  } = {},
): SessionTool {
  const { manner = plainManner } = options;
  const system = (toolName: SystemToolName, text: string, parameters: Readonly<Record<string, unknown>>): SessionTool => ({
    type: 'system',
    name: toolName,
    manner,
    spec: { name: toolName, description: text, parameters },
  });
  const or = (fallback: string): string => (description.trim() === '' ? fallback : description);
  switch (name) {
    case 'end_call':
      return system(
        name,
        or('Hang up. Say goodbye first, in the same answer; call it when the caller has said goodbye or wants to end the call.'),
        reasonParameter,
      );
    case 'skip_turn':
      return system(
        name,
        or('Say nothing and wait until the caller speaks again, because they asked for a moment.'),
        reasonParameter,
      );
    case 'language_detection':
      return system(name, or('Switch to the language the caller speaks or asks for.'), {
        type: 'object',
        properties: {
          language: { type: 'string', description: 'ISO 639-1 code.', enum: options.languages ?? [] },
          reason: { type: 'string', description: 'Why.' },
        },
        required: ['language'],
      });
    case 'transfer_to_agent': {
      const transfers = options.transfers ?? [];
      const list = transfers.map(({ condition }, index) => `${index}: ${condition}`).join('\n');
      return system(name, `${or('Hand the caller over to another agent.')}\nThe number of the one to take:\n${list}`, {
        type: 'object',
        properties: {
          agent_number: { type: 'integer', minimum: 0, maximum: Math.max(0, transfers.length - 1) },
          reason: { type: 'string', description: 'Why.' },
        },
        required: ['agent_number'],
      });
    }
  }
}

export function mcpTool({ name, description, parameters, ...how }: McpToolSpec): SessionTool {
  const schema = Object.keys(parameters).length === 0 ? noParameters : parameters;
  return { type: 'mcp', spec: { name, description, parameters: schema }, ...how };
}

/** Arguments of a call, if they are a JSON object. */
export function argumentsOf(argumentsJson: string): Record<string, unknown> | undefined {
  if (argumentsJson.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(argumentsJson);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Variables that a result sets: those whose path leads to a text, number or truth value. */
export function assigned(result: string, assignments: readonly Assignment[]): Record<string, string> {
  if (assignments.length === 0) return {};
  let document: unknown;
  try {
    document = JSON.parse(result);
  } catch {
    return {};
  }
  const found: Record<string, string> = {};
  for (const { dynamic_variable: name, value_path: path } of assignments) {
    const value = path.split('.').reduce(member, document);
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') found[name] = String(value);
  }
  return found;
}

function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}
