/**
 * That the evaluator sees what is broken, and that a run comes out the same in any process: a scenario for each mutant. All of them on the whole suite take
 * ten minutes: `npm run eval -- --mutant all`.
 */
import { test } from 'tap';
import { measureInProcesses } from '../bench/eval/measured-run.js';
import { namedOpener } from '../bench/eval/named-openers.js';
import type { ScenarioFigures } from '../bench/eval/result.js';
import type { Scenario } from '../bench/eval/scenario.js';
import { scoresOf } from '../bench/eval/score.js';
import { loadSuite, rulesFolder } from '../bench/eval/suite.js';
import { variationFigures } from '../bench/eval/variations.js';
import { ablations, mutants } from '../bench/eval/virtual/mutants.js';
import { gateDefaults, newGate } from '../src/vad/gate.js';

/** Where each shows at its clearest. */
const places: Readonly<Record<string, string>> = {
  'late-end': 'a-question-short',
  'early-end': 'b-1200-plain-phrase',
  deaf: 'e-0800-command',
  'long-tail': 'e-0800-command',
  'stops-at-any-sound': 'g-door',
  'echo-off': 'h-20db-250',
  'slow-onset': 'e-0800-command',
  'hard-cut': 'e-0800-command',
  'resume-from-start': 'j-so-350',
  'resume-ahead': 'j-so-350',
  'remembers-unheard': 'e-0800-command',
  'answers-halves': 'k-second-0900',
  starved: 'a-question-short',
  'idle-at-random': 'm-long-silence',
};
const settings = { profile: 'reference', seed: 1, playout: 'buffered' } as const;
const setting = { clock: 'virtual', profile: 'reference' } as const;
const processes = 2;
const draws = 10;

/** What asks for each rule that the suite does not ask for, and which expectations are not met without it. */
const rulePlaces: Readonly<Record<string, { readonly id: string; readonly lost: readonly string[] }>> = {
  'no-undo': { id: 'burst-of-voices', lost: ['no stop', 'resume burst'] },
  'no-first-guard': { id: 'burst-in-greeting', lost: ['no stop', 'nothing_unprompted', 'resume burst'] },
  'no-hold-history': { id: 'short-bursts', lost: ['ignore burst-5', 'ignore burst-6'] },
  'no-early-resume': { id: 'one-short-burst', lost: ['ignore burst'] },
  'no-echo-rule': { id: 'loudspeaker-at-its-limit', lost: ['no stop', 'resume echo of 2', 'resume echo of 6'] },
  'no-merge': { id: 'first-word-heard', lost: ['t1 told as one'] },
};

type Run = { readonly id: string; readonly agent?: string };

async function measured(scenarios: readonly Scenario[], runs: readonly Run[], count: number): Promise<ScenarioFigures[]> {
  const tasks = runs.map(({ id, agent }) => ({
    scenario: scenarios.find((scenario) => scenario.id === id)!,
    settings,
    playouts: [settings.playout],
    ...(agent === undefined ? {} : { opener: namedOpener(agent) }),
  }));
  const results = await measureInProcesses(tasks, count, () => undefined);
  return results.flatMap(({ figures }) => figures ?? []);
}

const notMet = ({ expectations }: ScenarioFigures): string[] =>
  expectations
    .filter(({ isMet }) => !isMet)
    .map(({ name }) => name)
    .sort();

const judged = (figures: ScenarioFigures) => ({ scores: scoresOf([figures], setting, draws), figures: [figures] });

test('each mutant falls where it is broken, and the same run gives the same bytes in another process', async (t) => {
  const ids = [...new Set(Object.values(places))];
  const runs: Run[] = [
    ...ids.map((id) => ({ id })),
    ...mutants.map(({ variation }) => ({ id: places[variation.name]!, agent: variation.name })),
  ];
  const { scenarios } = await loadSuite('all');
  const figures = await measured(scenarios, runs, processes);
  t.equal(figures.length, ids.length + mutants.length, 'nothing is left out');
  for (const [index, { variation, target }] of mutants.entries()) {
    const { name } = variation;
    const base = judged(figures[ids.indexOf(places[name]!)]!);
    const broken = judged(figures[ids.length + index]!);
    const { isCaught, targetDelta, failedGates } = variationFigures({ name, kind: 'mutant', target }, broken, base);
    t.equal(
      isCaught,
      true,
      `${name}: ${target.join(', ')} ${targetDelta?.toFixed(1) ?? ''}, gates lost: ${failedGates.join(' ')}`,
    );
  }
  // The same once more, in a process that did other things before.
  const again = ids.slice(0, 3).reverse();
  const repeated = await measured(
    scenarios,
    again.map((id) => ({ id })),
    1,
  );
  for (const [index, id] of again.entries())
    t.equal(JSON.stringify(repeated[index]), JSON.stringify(figures[ids.indexOf(id)]), id);
});

test('the speech gate takes the settings of every one of them', async (t) => {
  for (const { variation } of [...mutants, ...ablations])
    t.doesNotThrow(() => newGate({ ...gateDefaults, ...variation.gate }), variation.name);
});

test('each rule that the suite does not ask for has a scenario that does', async (t) => {
  const { scenarios } = await loadSuite('all', {}, rulesFolder);
  const rules = Object.entries(rulePlaces);
  t.same(rules.map(([, { id }]) => id).sort(), scenarios.map(({ id }) => id).sort(), 'one for each');
  const runs = [...rules.map(([, { id }]) => ({ id })), ...rules.map(([agent, { id }]) => ({ id, agent }))];
  const figures = await measured(scenarios, runs, processes);
  for (const [index, [name, { id, lost }]] of rules.entries()) {
    t.same(notMet(figures[index]!), [], id);
    t.same(notMet(figures[rules.length + index]!), [...lost].sort(), `${id} with ${name}`);
  }
});
