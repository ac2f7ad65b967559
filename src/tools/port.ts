/**
 * Tools that run at the server: what an agent's configuration says of them, and how one call ends. Webhooks and MCP run on the API thread;
 * client and system tools belong to the session and never come here.
 */
import type { ParameterSchema } from './schema.js';

export const toolLimits = {
  /** Of a result that the model gets; the rest is cut off and said to be. */
  resultCharsMax: 16_384,
  /** Of an answer that is read at all; a longer one counts as failed. */
  answerBytesMax: 1024 * 1024,
  /** The longest that a configuration may ask for. */
  timeoutMaxMs: 300_000,
  timeoutDefaultMs: 20_000,
  redirectsMax: 3,
  /** Running at once in one process; one more fails at once. */
  runningMax: 256,
  /** Of the arguments that a model wrote for one call. */
  argumentsCharsMax: 65_536,
  /** Of the body that the model gets to see of an answer that is no success. */
  errorBodyCharsMax: 1000,
  /** Before a webhook that may be repeated is asked again, once. */
  retryAfterMs: 200,
} as const;

/** A header of a tool: text that may hold `{{variable}}` parts (`secret__` ones too), or a secret of the store by its id. */
export type HeaderValue = string | { readonly secretId: string };

/** A webhook tool as the agent's configuration has it, checked; `webhook-config.ts` makes it. */
export type WebhookTool = {
  readonly type: 'webhook';
  readonly name: string;
  readonly description: string;
  /** The JSON Schema the model sees: without constants and dynamic variables. */
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** May hold `{name}` parts, filled from the path parameters, and `{{name}}` parts, filled from dynamic variables; none in the host. */
  readonly url: string;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  /** What goes where, constants and dynamic variables included. A name that occurs in several places has the same argument in each. */
  readonly path: ParameterSchema;
  readonly query: ParameterSchema;
  /** Undefined: no body is sent. */
  readonly body: ParameterSchema | undefined;
  readonly contentType: 'application/json' | 'application/x-www-form-urlencoded';
  readonly timeoutMs: number;
};

/** One call of a server-side tool. */
export type ToolRun = {
  readonly toolCallId: string;
  readonly name: string;
  readonly argumentsJson: string;
};

/** How it ended. A tool never throws: what went wrong is told to the model. */
export type ToolOutcome = {
  readonly isError: boolean;
  /** For the model; at most `resultCharsMax` characters. */
  readonly result: string;
  readonly isTruncated: boolean;
  readonly elapsedMs: number;
  /** Of an MCP tool that answered: its content blocks for the client, without images and other bytes. */
  readonly blocks?: readonly Readonly<Record<string, unknown>>[];
};

/** One place of a configuration that breaks a rule; `path` begins inside the document that was given. */
export type ConfigIssue = {
  readonly path: readonly (string | number)[];
  /** The rule, in words. */
  readonly message: string;
  /** The rule, for programs. */
  readonly rule: string;
  /** What stands there. */
  readonly value: unknown;
};

/** A configuration that was read, or all that is wrong with it, which is at least one thing. */
export type Checked<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly issues: readonly [ConfigIssue, ...ConfigIssue[]] };

/** Named events with fields and units, never arguments, results or addresses with a query. The shape of `telemetry/log.ts`. */
export type ToolLog = (event: string, fields?: Record<string, string | number>) => void;
