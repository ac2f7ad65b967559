/**
 * What the conformance tests play on: the engine as a process of its own with an API key and agents, the simulated providers behind it, and its
 * REST side. Every test file starts one.
 */
import type { ScriptedAnswer } from '../../load/providers/answers.js';
import type { Fault } from '../../load/providers/faults.js';
import type { LlmRequest } from '../../load/providers/journal.js';
import type { ProfileName } from '../../load/providers/profile.js';
import { type Simulator, Stack } from '../../load/rig/stack.js';

export const apiKey = 'conformance-key';
export const signingKey = 'conformance-signing-key';

/** `npm run conformance` plays everything as often as the checklist says; `npm test` a part of it. */
export const isFull = process.env['CONFORMANCE'] === 'full';

export type Json = Readonly<Record<string, unknown>>;

export type StageOptions = {
  readonly agents: readonly object[];
  readonly providers?: 'simulated' | 'embedded';
  readonly profile?: ProfileName;
  readonly environment?: Readonly<Record<string, string>>;
};

/** All events that a client may ask for. */
export const allEvents = [
  'audio',
  'interruption',
  'user_transcript',
  'tentative_user_transcript',
  'agent_response',
  'agent_response_correction',
  'agent_response_complete',
  'agent_response_metadata',
  'agent_chat_response_part',
  'agent_tool_request',
  'agent_tool_response',
  'agent_tool_response_full_payload',
  'mcp_tool_call',
  'mcp_connection_status',
  'asr_initiation_metadata',
  'context_usage',
  'internal_tentative_agent_response',
  'vad_score',
] as const;

type AgentParts = {
  readonly agent?: object;
  readonly prompt?: object;
  readonly turn?: object;
  readonly tts?: object;
  readonly asr?: object;
  readonly conversation?: object;
  readonly platform?: object;
  readonly parley?: object;
};

/** An agent that waits to be spoken to and tells everything, unless `parts` say otherwise. */
export function agentOf(agentId: string, parts: AgentParts = {}): object {
  const { agent = {}, prompt = {}, turn = {}, tts = {}, asr = {}, conversation = {}, platform = {}, parley = {} } = parts;
  return {
    agent_id: agentId,
    name: agentId,
    conversation_config: {
      agent: { ...agent, prompt: { prompt: 'You are the agent of a test.', ...prompt } },
      turn: { turn_timeout: -1, ...turn },
      tts,
      asr,
      conversation: { client_events: allEvents, ...conversation },
    },
    platform_settings: platform,
    parley,
  };
}

export class Stage {
  readonly stack: Stack;
  /** `ws://host:port`. */
  readonly origin: string;
  readonly http: string;

  static async start({ agents, providers = 'simulated', profile = 'instant', environment = {} }: StageOptions): Promise<Stage> {
    const stack = await Stack.start({
      profile,
      seed: 1,
      sessionsMax: placesMax,
      agents,
      providers,
      environment: {
        PARLEY_LOG: 'silent',
        PARLEY_LANES: '1',
        PARLEY_API_KEY: apiKey,
        PARLEY_SIGNING_KEY: signingKey,
        PARLEY_TOOL_HOSTS_ALLOWED: '127.0.0.1',
        ...environment,
      },
    });
    return new Stage(stack);
  }

  private constructor(stack: Stack) {
    this.stack = stack;
    this.origin = stack.url;
    this.http = stack.url.replace(/^ws/, 'http');
  }

  get simulator(): Simulator {
    if (this.stack.simulator === undefined) throw new Error('this stage has embedded providers');
    return this.stack.simulator;
  }

  /** What the model shall answer, beside what it makes up itself. */
  answers(...answers: ScriptedAnswer[]): Promise<void> {
    return this.simulator.addAnswers(answers);
  }

  /** Orders faults of the providers, in place of those that are left. */
  async faults(...faults: Fault[]): Promise<void> {
    const answer = await fetch(`${this.simulator.url}/_simulator/faults`, {
      method: 'POST',
      body: JSON.stringify({ faults, replace: true }),
    });
    if (!answer.ok) throw new Error(`the simulator refused the faults: ${await answer.text()}`);
  }

  /** Requests to the model whose last user message holds `part`, oldest first. */
  async asked(part: string): Promise<ChatBody[]> {
    const bodies = (await this.simulator.llmRequests()).map((request: LlmRequest) => request.body as ChatBody);
    return bodies.filter(({ messages }) => textOf(messages.findLast(({ role }) => role === 'user')?.content).includes(part));
  }

  /** The JSON of a REST answer; fails with its text when it is not a success. */
  async rest(method: string, path: string, body?: Json | FormData): Promise<Json> {
    const isForm = body instanceof FormData;
    const answer = await fetch(`${this.http}${path}`, {
      method,
      headers: { 'xi-api-key': apiKey, ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as Json;
  }

  /** The stored conversation, once `look` likes it; it is asked for again for `waitMs`. */
  async stored<Found>(conversationId: string, look: (document: Json) => Found | undefined, waitMs = 5000): Promise<Found> {
    const untilMs = performance.now() + waitMs;
    for (;;) {
      const document = await this.rest('GET', `/v1/convai/conversations/${conversationId}`).catch(() => undefined);
      const found = document === undefined ? undefined : look(document);
      if (found !== undefined) return found;
      if (performance.now() > untilMs) throw new Error(`never stored so: ${JSON.stringify(document).slice(0, 2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async freePlaces(): Promise<number> {
    return ((await (await fetch(`${this.http}/readyz`)).json()) as { free: number }).free;
  }

  /** Milliseconds until at least `count` places were free; undefined when they are not within `waitMs`. */
  async freeAfterMs(count: number, waitMs: number): Promise<number | undefined> {
    const startedAtMs = performance.now();
    for (;;) {
      const free = await this.freePlaces();
      const passedMs = performance.now() - startedAtMs;
      if (free >= count) return passedMs;
      if (passedMs > waitMs) return undefined;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  stop(): Promise<void> {
    return this.stack.stop();
  }
}

export const placesMax = 48;

type Content = string | readonly Json[] | null | undefined;
export type ChatBody = {
  readonly model: string;
  readonly messages: readonly { readonly role: string; readonly content: Content }[];
  readonly [field: string]: unknown;
};

/** Plain text of a chat message, whichever way it is written. */
export function textOf(content: Content): string {
  if (typeof content === 'string') return content;
  return (content ?? []).map((part) => String(part['text'] ?? '')).join('');
}
