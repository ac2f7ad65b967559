/**
 * Tools that run at the server: what an agent's configuration says of them, and how one call ends. Webhooks and MCP run on the API thread;
 * client and system tools belong to the session and never come here.
 */

export const toolLimits = {
  /** Of a result that the model gets; the rest is cut off and said to be. */
  resultCharsMax: 16_384,
  /** Of an answer that is read at all. */
  answerBytesMax: 1024 * 1024,
  timeoutMaxMs: 120_000,
  timeoutDefaultMs: 20_000,
  redirectsMax: 3,
  /** Running at once in one process; one more fails at once. */
  runningMax: 256,
} as const;

/** A webhook tool as the agent's configuration has it, checked. `parameters` is the JSON Schema the model sees. */
export type WebhookTool = {
  readonly type: 'webhook';
  readonly name: string;
  readonly description: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** May hold `{name}` parts, filled from the path parameters. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly pathParameters: readonly string[];
  readonly queryParameters: readonly string[];
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
};
