/** Changes to the turn settings of an agent, for engines with something broken or left out. Pure. */
import type { AgentConfig } from '../../../src/store/agents.js';
import type { TurnSettings } from '../../../src/turn/settings.js';

export type TurnNumbers = Partial<{
  readonly [Name in keyof TurnSettings as TurnSettings[Name] extends number ? Name : never]: number;
}>;

/** `settings` is asked anew for every agent. */
export const withTurn =
  (settings: () => TurnNumbers) =>
  (agent: AgentConfig): AgentConfig => ({
    ...agent,
    parley: { ...agent.parley, turn: { ...agent.parley.turn, ...settings() } },
  });

/** The same silence whatever was said: every delay lies between these two. */
export const endAfter = (delayMs: number): TurnNumbers => ({ delayMinMs: delayMs, delayMaxMs: delayMs });

/** Cut at the first evidence, and nothing takes it back. */
export const alwaysCut: TurnNumbers = { cutStrongMs: 0, cutStrongProbability: 0, cutAnyMs: 0, firstSpeechGuardMs: 0, undoMs: 0 };
