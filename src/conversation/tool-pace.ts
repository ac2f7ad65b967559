/** How long the tools of an agent took lately, over all its calls: whether a caller should hear something before one runs. Conversation thread. */
import type { AgentConfig } from '../store/agents.js';

const timesKept = 5;
/** A tool that takes longer than this leaves a silence that is felt. */
const slowMs = 1500;

/** Goes with the agent's configuration, which never changes: a changed one is another object. */
const times = new WeakMap<AgentConfig, Map<string, number[]>>();

export function notePace(agent: AgentConfig, tool: string, elapsedMs: number): void {
  const ofAgent = times.get(agent) ?? new Map<string, number[]>();
  times.set(agent, ofAgent);
  const recent = [...(ofAgent.get(tool) ?? []), elapsedMs];
  ofAgent.set(tool, recent.slice(-timesKept));
}

/** Half of its last calls took longer than a caller waits gladly. */
export function isSlow(agent: AgentConfig, tool: string): boolean {
  const recent = times.get(agent)?.get(tool) ?? [];
  const slow = recent.filter((elapsedMs) => elapsedMs >= slowMs);
  return recent.length > 0 && slow.length * 2 >= recent.length;
}
