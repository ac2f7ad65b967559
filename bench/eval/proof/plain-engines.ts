/** Engines that go by silence and energy alone, which a good one must beat: the ladder between the oracle and what cannot converse. */
import { keepReplies } from '../virtual/keep-replies.js';
import { alwaysCut, endAfter, type TurnNumbers, withTurn } from '../virtual/turn-changes.js';
import type { EngineVariation } from '../virtual/variation.js';

/** A turn ends after this silence, any speech cuts the agent off for good, and what is said means nothing. */
const bySilence = (delayMs: number) => (): TurnNumbers => ({ ...endAfter(delayMs), ...alwaysCut, mergeHeardMs: 0, echoRatio: 2 });

export const plainEngines: readonly EngineVariation[] = [
  { name: 'plain-600', agent: withTurn(bySilence(600)) },
  // With providers as slow as they are, most of what is committed too early is never heard; who is greedy says it all the same.
  { name: 'greedy', agent: withTurn(bySilence(150)), messages: keepReplies },
];
