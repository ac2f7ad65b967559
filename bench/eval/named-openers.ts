/** Agents that a run can be told by name, in whatever process it takes place: mutants and ablations of the engine, and those of the proof. */
import { EngineError } from '../../src/shared/errors.js';
import { engineOpener, type HostOpener } from './harness/run-scenario.js';
import type { NamedOpener } from './harness/scenario-work.js';
import { oracle } from './proof/oracle.js';
import { plainEngines } from './proof/plain-engines.js';
import { type PolicyMaker, proofOpener } from './proof/proof-host.js';
import { constantTalker, mute, randomTalker } from './proof/simple-agents.js';
import { ablations, mutants } from './virtual/mutants.js';

export const proofAgents: Readonly<Record<string, PolicyMaker>> = {
  oracle,
  mute: async () => mute(),
  'constant-talker': async () => constantTalker(),
  'random-talker': async (_scenario, _setup, _settings, seed) => randomTalker(seed),
};

const variations = [...[...mutants, ...ablations].map(({ variation }) => variation), ...plainEngines];

/** Fails with `config` when there is nobody of that name. */
export function openerNamed(name: string): HostOpener {
  const agent = proofAgents[name];
  if (agent !== undefined) return proofOpener(agent);
  const variation = variations.find((one) => one.name === name);
  if (variation !== undefined) return engineOpener(variation);
  const names = [...Object.keys(proofAgents), ...variations.map((one) => one.name)];
  throw new EngineError('config', `There is no agent "${name}"; there are ${names.join(', ')}.`);
}

export function namedOpener(name: string): NamedOpener {
  return { module: import.meta.url, name };
}
