/** Agents that cannot converse, which the evaluator must see: one that never speaks, one that never stops, and one that speaks at random. */
import { type Random, randomOf } from '../../../load/providers/seeded.js';
import type { Policy, Stage } from './proof-host.js';

/** Never speaks. */
export function mute(): Policy {
  return { act: () => {} };
}

/** Everything that the scenario's agent can say, over and over, without a breath. */
export function constantTalker(): Policy {
  let next = 0;
  return {
    act: (stage) => {
      if (stage.speaker.eventId !== undefined) return;
      const texts = textsOf(stage);
      stage.say(texts[next % texts.length]!);
      next += 1;
    },
  };
}

const silenceMs = { min: 200, max: 4000 } as const;
const speechMs = { min: 200, max: 4000 } as const;

/** Speaks and is silent for as long as it likes. */
export function randomTalker(seed: number): Policy {
  const random = randomOf(seed, 'random talker');
  let changesAtMs = between(random, silenceMs);
  return {
    act: (stage, atMs) => {
      if (atMs < changesAtMs) return;
      if (stage.speaker.eventId === undefined) {
        const texts = textsOf(stage);
        stage.say(texts[Math.floor(random() * texts.length)]!);
        changesAtMs = atMs + between(random, speechMs);
      } else {
        stage.speaker.pause(0, 0);
        changesAtMs = atMs + between(random, silenceMs);
      }
    },
  };
}

function between(random: Random, { min, max }: { readonly min: number; readonly max: number }): number {
  return min + random() * (max - min);
}

function textsOf({ scenario }: Stage): string[] {
  return Object.values(scenario.agent.answers);
}
