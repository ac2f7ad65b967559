/**
 * Runs the tools of one session: asks the client, the API thread or the session itself, and gives a whole round of results back at once.
 * A call always ends: with its result, by its time-out, or because the session does. Conversation thread.
 */
import { randomUUID } from 'node:crypto';
import type { McpServerState, McpToolSpec } from '../api/links.js';
import type { ToolCall, ToolSpec } from '../llm/port.js';
import { EngineError } from '../shared/errors.js';
import type { ToolManner } from '../tools/manner.js';
import type { ToolOutcome } from '../tools/port.js';
import { fillIn, isObject, misfitOf, type ParameterSchema } from '../tools/schema.js';
import type { McpCallState } from '../wire/events.js';
import type { SessionContext } from './context.js';
import type { Reply, ToolResult } from './reply.js';
import { isSlow, notePace } from './tool-pace.js';
import { argumentsOf, assigned, mcpTool, type SessionTool, type SystemToolName, toolBounds } from './tools.js';

type Batch = {
  readonly reply: Reply;
  readonly calls: readonly ToolCall[];
  readonly results: ToolResult[];
  readonly onDone: () => void;
  /** One that ran in the background has ended. */
  readonly onLate: (result: ToolResult) => void;
};
type Running = {
  readonly call: ToolCall;
  readonly tool: SessionTool;
  readonly batch: Batch;
  readonly startedAtMs: number;
  readonly eventId: number;
  /** The reply goes on without its result. */
  readonly isBackground: boolean;
  dueAtMs: number;
  isAwaitingApproval: boolean;
};

/** What a system tool does at once; its words go to the model. */
export type RunSystemTool = (
  name: SystemToolName,
  parameters: Readonly<Record<string, unknown>>,
  call: ToolCall,
  reply: Reply,
) => SystemOutcome;
export type SystemOutcome = { readonly result: string; readonly isError: boolean };

export class ToolDesk {
  readonly #context: SessionContext;
  readonly #system: RunSystemTool;
  readonly #running = new Map<string, Running>();
  readonly #usedIds = new Set<string>();
  #mcp = new Map<string, SessionTool>();

  constructor(context: SessionContext, system: RunSystemTool) {
    this.#context = context;
    this.#system = system;
  }

  /** For the model. */
  specs(): ToolSpec[] {
    const { tools, agent } = this.#context.profile();
    return [...tools.values(), ...this.#mcp.values()].map(({ spec, manner }) => {
      const hint = hintOf(manner.preSpeech, () => isSlow(agent, spec.name));
      return hint === '' ? spec : { ...spec, description: `${spec.description}\n${hint}`.trimStart() };
    });
  }

  /** How these calls and what is said around them go together. */
  manners(calls: readonly ToolCall[]): ToolManner[] {
    return calls.flatMap(({ name }) => this.#toolOf(name)?.manner ?? []);
  }

  #toolOf(name: string): SessionTool | undefined {
    return this.#context.profile().tools.get(name) ?? this.#mcp.get(name);
  }

  /** What MCP servers offer now. An agent's own tool of the same name goes first. */
  mcpTools(tools: readonly McpToolSpec[], servers: readonly McpServerState[]): void {
    const own = this.#context.profile().tools;
    this.#mcp = new Map(tools.filter(({ name }) => !own.has(name)).map((tool) => [tool.name, mcpTool(tool)]));
    this.#context.outlet.send({ type: 'mcp_connection_status', servers });
  }

  get isRunning(): boolean {
    return this.#running.size > 0;
  }

  /** Calls of a round under ids that no other of this conversation has: models and servers repeat theirs. */
  named(calls: readonly ToolCall[]): ToolCall[] {
    return calls.map((call) => {
      const id = call.id === '' || this.#usedIds.has(call.id) ? `call_${randomUUID()}` : call.id;
      this.#usedIds.add(id);
      return { ...call, id };
    });
  }

  /**
   * Starts every call of a round; `onDone` gets the results in the order of the calls, perhaps before this returns. `onLate`: the result of one
   * that ran in the background.
   */
  run(
    reply: Reply,
    calls: readonly ToolCall[],
    onDone: (results: readonly ToolResult[]) => void,
    onLate: (result: ToolResult) => void,
  ): void {
    const results: ToolResult[] = [];
    const finish = (): void => {
      const inOrder = calls.flatMap((call) => results.find(({ toolCallId }) => toolCallId === call.id) ?? []);
      onDone(inOrder);
    };
    const batch: Batch = { reply, calls, results, onDone: finish, onLate };
    for (const [index, call] of calls.entries()) this.#start(call, batch, index);
  }

  clientResult(toolCallId: string, result: string, isError: boolean): void {
    const running = this.#running.get(toolCallId);
    if (running?.tool.type !== 'client') return;
    const isTruncated = result.length > toolBounds.resultCharsMax;
    this.#settle(running, isTruncated ? shortened(result) : result, isError, true, { isTruncated });
  }

  outcome(toolCallId: string, outcome: ToolOutcome): void {
    const running = this.#running.get(toolCallId);
    if (running !== undefined) this.#settle(running, outcome.result, outcome.isError, true, outcome);
  }

  approval(toolCallId: string, isApproved: boolean): void {
    const running = this.#running.get(toolCallId);
    if (running?.isAwaitingApproval !== true) return;
    running.isAwaitingApproval = false;
    const { isCut, isDropped } = running.batch.reply;
    if (isCut || isDropped) this.#settle(running, 'Cancelled, because the user interrupted.', true, false);
    else if (isApproved) this.#dispatch(running);
    else this.#settle(running, 'The user did not approve this call.', true, false);
  }

  /** The reply was cut: calls that change nothing end now; the others run on, and what comes of them is kept. */
  cancel(reply: Reply): void {
    for (const running of [...this.#running.values()]) {
      if (running.batch.reply !== reply || running.isBackground) continue;
      const { tool } = running;
      if (running.isAwaitingApproval || (tool.type === 'webhook' && tool.isCancellable)) {
        this.#context.links.toApi({ type: 'cancel_tool', toolCallId: running.call.id });
        this.#settle(running, 'Cancelled, because the user interrupted.', true, !running.isAwaitingApproval);
      }
    }
  }

  /** The call is over: what runs is stopped as far as it can be, and noted. */
  end(): void {
    for (const running of [...this.#running.values()]) {
      if (running.tool.type !== 'client') this.#context.links.toApi({ type: 'cancel_tool', toolCallId: running.call.id });
      this.#settle(running, 'The call ended before there was a result.', true, !running.isAwaitingApproval);
    }
  }

  /** Another agent has other servers. */
  forgetMcp(): void {
    this.#mcp.clear();
  }

  tick(atMs: number): void {
    if (this.#running.size === 0) return;
    for (const running of [...this.#running.values()]) {
      if (atMs < running.dueAtMs) continue;
      if (running.tool.type !== 'client') this.#context.links.toApi({ type: 'cancel_tool', toolCallId: running.call.id });
      const what = running.isAwaitingApproval ? 'Nobody approved this call in time.' : 'The tool did not answer in time.';
      this.#settle(running, what, true, !running.isAwaitingApproval);
    }
  }

  close(): void {
    for (const { call, tool } of this.#running.values())
      if (tool.type !== 'client') this.#context.links.toApi({ type: 'cancel_tool', toolCallId: call.id });
    this.#running.clear();
  }

  #start(call: ToolCall, batch: Batch, index: number): undefined {
    const { outlet, now } = this.#context;
    const tool = this.#toolOf(call.name);
    const at = now();
    const refuse = (result: string): undefined => {
      const type = tool?.type ?? 'system';
      batch.results.push({ ...namesOf(call), type, result, isError: true, isCalled: false, elapsedMs: 0 });
      if (batch.results.length === batch.calls.length) batch.onDone();
      return undefined;
    };
    const parameters = argumentsOf(call.argumentsJson);
    if (tool === undefined) return refuse(`There is no tool called ${call.name}.`);
    if (parameters === undefined) return refuse('The arguments are not a JSON object.');
    if (index >= toolBounds.callsMax || this.#running.size >= toolBounds.runningMax) return refuse('Too many calls at once.');
    if (this.#isSameRunning(call)) return refuse('The same call is in progress already; its result will follow.');
    const eventId = batch.reply.eventId;
    const running: Running = {
      call,
      tool,
      batch,
      startedAtMs: at,
      eventId,
      isBackground:
        tool.manner.execution === 'async' && tool.type !== 'system' && (tool.type !== 'client' || tool.expectsResponse),
      dueAtMs: at + timeoutOf(tool),
      isAwaitingApproval: tool.type === 'mcp' && tool.needsApproval,
    };
    if (tool.type === 'client') {
      const misfit = misfitOf(tool.schema, parameters);
      if (misfit !== undefined) return refuse(`arguments refused: ${misfit}`);
      const filled = filledIn(tool.schema, parameters, this.#context.profile().variables);
      if (!filled.ok) return refuse(filled.message);
      const { expectsResponse } = tool;
      this.#running.set(call.id, running);
      const event = { toolName: call.name, toolCallId: call.id, parameters: filled.parameters, expectsResponse, eventId };
      outlet.send({ type: 'client_tool_call', ...event });
      if (!expectsResponse) this.#settle(running, 'The tool was called; it gives no answer.', false, true);
      else if (running.isBackground) this.#goOnWithout(running);
      return;
    }
    outlet.send({ type: 'agent_tool_request', toolName: call.name, toolCallId: call.id, toolType: tool.type, eventId });
    this.#running.set(call.id, running);
    if (tool.type === 'system') {
      const { result, isError } = this.#system(tool.name, parameters, call, batch.reply);
      this.#settle(running, result, isError, true);
    } else if (running.isAwaitingApproval) {
      running.dueAtMs = at + toolBounds.approvalTimeoutMs;
      this.#tellMcp(running, { name: 'awaiting_approval', approvalTimeoutSecs: toolBounds.approvalTimeoutMs / 1000 });
    } else {
      this.#dispatch(running);
    }
    if (running.isBackground) this.#goOnWithout(running);
  }

  /** The model is told that the tool runs, and goes on. */
  #goOnWithout({ call, tool, batch }: Running): void {
    const result = 'Running in the background. Go on without it; its result will be here later.';
    batch.results.push({ ...namesOf(call), type: tool.type, result, isError: false, isCalled: true, elapsedMs: 0 });
    if (batch.results.length === batch.calls.length) batch.onDone();
  }

  #dispatch(running: Running): void {
    const { call, tool } = running;
    const { variables, agent } = this.#context.profile();
    running.dueAtMs = this.#context.now() + timeoutOf(tool);
    if (tool.type === 'mcp') this.#tellMcp(running, { name: 'loading' });
    const { id: toolCallId, name, argumentsJson } = call;
    this.#context.links.toApi({ type: 'run_tool', run: { toolCallId, name, argumentsJson }, agent, variables });
  }

  #settle(
    running: Running,
    result: string,
    isError: boolean,
    isCalled: boolean,
    { blocks, isTruncated = false }: Partial<Pick<ToolOutcome, 'blocks' | 'isTruncated'>> = {},
  ): void {
    const { call, tool, batch, eventId } = running;
    const { outlet, recorder, now, links } = this.#context;
    if (!this.#running.delete(call.id)) return;
    const elapsedMs = Math.round(now() - running.startedAtMs);
    const ended: ToolResult = { ...namesOf(call), type: tool.type, result, isError, isCalled, elapsedMs };
    const place = batch.results.findIndex(({ toolCallId }) => toolCallId === call.id);
    if (place < 0) batch.results.push(ended);
    else batch.results[place] = ended;
    if (isCalled) notePace(this.#context.profile().agent, call.name, elapsedMs);
    if (!isError && 'assignments' in tool) this.#context.setVariables(assigned(result, tool.assignments));
    recorder.count('parley_tool_calls_total', `type="${tool.type}",error="${isError}"`);
    recorder.record('tool_call', elapsedMs);
    if (isCalled) this.#context.records.cost.toolCalls += 1;
    links.log('tool.ended', { tool: call.name, tool_type: tool.type, is_error: isError ? 1 : 0, elapsed_ms: elapsedMs });
    if (tool.type === 'mcp') {
      if (isError) this.#tellMcp(running, { name: 'failure', errorMessage: result });
      else this.#tellMcp(running, { name: 'success', result: blocks ?? [{ type: 'text', text: result }] });
    }
    // Clients hang up when they are told of `end_call`: that is said when the farewell was heard.
    if (!(tool.type === 'system' && tool.name === 'end_call')) {
      const event = { toolName: call.name, toolCallId: call.id, toolType: tool.type, isError, isCalled, eventId } as const;
      outlet.send({ type: 'agent_tool_response', ...event });
      outlet.send({ type: 'agent_tool_response_full_payload', ...event, result, isTruncated });
    }
    if (running.isBackground) batch.onLate(ended);
    else if (batch.results.length === batch.calls.length) batch.onDone();
  }

  #tellMcp(running: Running, state: McpCallState): void {
    const { call, tool } = running;
    if (tool.type !== 'mcp') return;
    this.#context.outlet.send({
      type: 'mcp_tool_call',
      serviceId: tool.serverId,
      toolCallId: call.id,
      toolName: call.name,
      toolDescription: tool.spec.description,
      parameters: argumentsOf(call.argumentsJson) ?? {},
      timestamp: new Date().toISOString(),
      state,
    });
  }

  #isSameRunning({ name, argumentsJson }: ToolCall): boolean {
    for (const { call } of this.#running.values()) if (call.name === name && call.argumentsJson === argumentsJson) return true;
    return false;
  }
}

const namesOf = ({ id, name, argumentsJson }: ToolCall): Pick<ToolResult, 'toolCallId' | 'name' | 'argumentsJson'> => ({
  toolCallId: id,
  name,
  argumentsJson,
});

/** What a model is told of a tool besides what it does. */
function hintOf(preSpeech: ToolManner['preSpeech'], isSlowLately: () => boolean): string {
  if (preSpeech === 'off') return 'Call this without saying anything first.';
  return preSpeech === 'force' || isSlowLately() ? 'Before you call this, say in a few words what you are about to do.' : '';
}

function timeoutOf(tool: SessionTool): number {
  switch (tool.type) {
    case 'client':
      return tool.timeoutMs;
    case 'webhook':
    case 'mcp':
      return tool.timeoutMs + toolBounds.graceMs;
    case 'system':
      return toolBounds.graceMs;
  }
}

/** Parameters for the client: secrets stay here. */
function filledIn(
  schema: ParameterSchema,
  given: Readonly<Record<string, unknown>>,
  variables: Readonly<Record<string, string>>,
):
  | { readonly ok: true; readonly parameters: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly message: string } {
  const known = Object.fromEntries(Object.entries(variables).filter(([name]) => !name.startsWith('secret__')));
  try {
    const parameters = fillIn(schema, given, known);
    return { ok: true, parameters: isObject(parameters) ? parameters : {} };
  } catch (error) {
    if (error instanceof EngineError) return { ok: false, message: error.message };
    throw error;
  }
}

function shortened(result: string): string {
  return `${result.slice(0, toolBounds.resultCharsMax)} … (cut off)`;
}
