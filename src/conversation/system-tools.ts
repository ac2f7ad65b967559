/** The tools that are the engine itself: hang up, wait, change the language, hand over to another agent. Conversation thread. */
import type { ToolCall } from '../llm/port.js';
import type { AgentConfig } from '../store/agents.js';
import type { Initiation } from '../wire/events.js';
import type { SessionContext } from './context.js';
import { inLanguage, type Profile, resolveProfile } from './profile.js';
import type { After, Reply } from './reply.js';
import type { SystemOutcome } from './tool-desk.js';
import type { SystemToolName } from './tools.js';

/** What a handover needs to know of the conversation's begin. */
type Begun = {
  readonly agents: ReadonlyMap<string, AgentConfig>;
  readonly initiation: Initiation;
  readonly variablesOf: (agent: AgentConfig) => Readonly<Record<string, string | number>>;
};

const done = (result: string): SystemOutcome => ({ result, isError: false });
const refused = (result: string): SystemOutcome => ({ result, isError: true });

export class SystemTools {
  readonly #context: SessionContext;
  readonly #change: (profile: Profile) => void;
  #begun: Begun | undefined;
  /** Agents that another thread had to look up. */
  readonly #found = new Map<string, AgentConfig>();
  /** Of the call that ends the conversation. */
  endCallId: string | undefined;
  endEventId: number | undefined;

  constructor(context: SessionContext, change: (profile: Profile) => void) {
    this.#context = context;
    this.#change = change;
  }

  begin(begun: Begun): void {
    this.#begun = begun;
  }

  agentFound(agentId: string, agent: AgentConfig | undefined): void {
    if (agent !== undefined) this.#found.set(agentId, agent);
  }

  readonly run = (
    name: SystemToolName,
    parameters: Readonly<Record<string, unknown>>,
    call: ToolCall,
    reply: Reply,
  ): SystemOutcome => {
    switch (name) {
      case 'end_call':
        this.endCallId = call.id;
        this.endEventId = reply.eventId;
        reply.after = { type: 'end_call' };
        return done('The call ends when this was heard.');
      case 'skip_turn':
        reply.isSkip = true;
        return done('Waiting for the caller.');
      case 'language_detection':
        return this.#language(parameters['language']);
      case 'transfer_to_agent':
        return this.#announce(parameters['agent_number'], reply);
    }
  };

  /** The words before it were heard: the other agent takes over. Returns its first message, or an apology when there is none to take over. */
  transfer(after: Extract<After, { type: 'transfer' }>): string {
    const agent = this.#agent(after.agentId);
    const profile = this.#context.profile();
    const resolved = agent === undefined ? undefined : this.#resolve(agent, profile);
    if (resolved?.ok !== true) {
      this.#context.links.log('transfer.failed', { agent_id: after.agentId });
      return profile.apology;
    }
    // Formats, events and limits belong to the connection and stay.
    const { inputFormat, outputFormat, isTextOnly, events, maxDurationMs, isRecorded, userId } = profile;
    const turn = { ...resolved.profile.turn, isInterruptible: profile.turn.isInterruptible };
    const kept = { inputFormat, outputFormat, isTextOnly, events, maxDurationMs, isRecorded, userId, turn };
    const next = { ...resolved.profile, ...kept };
    this.#context.links.log('transfer.done', { agent_id: after.agentId });
    this.#change(next);
    return after.saysFirst ? next.firstMessage : '';
  }

  #language(wanted: unknown): SystemOutcome {
    const profile = this.#context.profile();
    if (typeof wanted !== 'string' || !profile.languages.has(wanted)) return refused('That language is not spoken here.');
    if (wanted === profile.language) return done('That language is spoken already.');
    this.#change(inLanguage(profile, wanted));
    return done(`From now on the language is ${wanted}. Go on in it.`);
  }

  #announce(wanted: unknown, reply: Reply): SystemOutcome {
    const transfer = typeof wanted === 'number' ? this.#context.profile().transfers[wanted] : undefined;
    if (transfer === undefined) return refused('There is no agent of that number.');
    const { agentId, saysFirst, message } = transfer;
    if (this.#agent(agentId) === undefined) this.#context.links.toApi({ type: 'find_agent', agentId });
    reply.after = { type: 'transfer', agentId, saysFirst };
    reply.lastWords = message;
    return done('The other agent takes over when this was heard.');
  }

  #agent(agentId: string): AgentConfig | undefined {
    return this.#begun?.agents.get(agentId) ?? this.#found.get(agentId);
  }

  #resolve(agent: AgentConfig, profile: Profile): ReturnType<typeof resolveProfile> | undefined {
    if (this.#begun === undefined) return undefined;
    const { initiation, variablesOf } = this.#begun;
    // Overrides and the body for a server were for the agent that was called; what tools have found out is for all.
    const dynamicVariables = { ...initiation.dynamicVariables, ...profile.variables };
    return resolveProfile(agent, { overrides: {}, dynamicVariables }, variablesOf(agent));
  }
}
