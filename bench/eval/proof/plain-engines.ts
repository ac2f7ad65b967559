/** Engines that go by silence and energy alone, which a good one must beat: the ladder between the oracle and what cannot converse. */
import type { AgentConfig } from '../../../src/store/agents.js';
import type { EngineVariation } from '../virtual/variation.js';

/** A turn ends after this silence, any speech cuts the agent off for good, and what is said means nothing. */
function bySilence(delayMs: number): Record<string, number> {
  return {
    delayCompleteMs: delayMs,
    delayShortAnswerMs: delayMs,
    delayNeutralMs: delayMs,
    delayUnfinishedMs: delayMs,
    delaySpellingMs: delayMs,
    delayMinMs: delayMs,
    cutStrongMs: 0,
    cutStrongProbability: 0,
    cutAnyMs: 0,
    firstSpeechGuardMs: 0,
    undoMs: 0,
    mergeHeardMs: 0,
    echoRatio: 2,
  };
}

function withTurn(settings: Record<string, number>): (agent: AgentConfig) => AgentConfig {
  return (agent) => ({ ...agent, parley: { ...agent.parley, turn: { ...agent.parley.turn, ...settings } } });
}

export const plainEngines: readonly EngineVariation[] = [
  { name: 'plain-600', agent: withTurn(bySilence(600)) },
  { name: 'greedy', agent: withTurn(bySilence(150)) },
];
