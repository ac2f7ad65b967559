import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { ClipMaker } from '../bench/eval/clips/clip-maker.js';
import { runScenario } from '../bench/eval/harness/run-scenario.js';
import { analyse } from '../bench/eval/metrics/analyse.js';
import { addErrors, calibrationAgent, calibrationScenario, noErrors } from '../bench/eval/proof/calibration.js';
import { oracle } from '../bench/eval/proof/oracle.js';
import { type PolicyMaker, type ProofHost, proofOpener } from '../bench/eval/proof/proof-host.js';
import { mute } from '../bench/eval/proof/simple-agents.js';
import type { ScenarioFigures } from '../bench/eval/result.js';
import { scoresOf } from '../bench/eval/score.js';
import { ascending, quantile } from '../bench/eval/statistics.js';
import { loadSuite, prepareClips } from '../bench/eval/suite.js';

/** The whole proof takes minutes: `npm run eval:proof`. */
const ids = ['a-statement-short', 'b-0500-plain-phrase', 'e-0800-command', 'f-yeah-once', 'j-so-350'];

test('the calibration agent is measured to the sample', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-clips-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const clips = await prepareClips(calibrationScenario('wide', 1, 25), await ClipMaker.open({ folder }));
  const errors = noErrors();
  let host: ProofHost | undefined;
  const opener = proofOpener(
    async (_scenario, _setup, _settings, seed) => calibrationAgent(seed),
    (opened) => {
      host = opened;
    },
  );
  const record = await runScenario(
    calibrationScenario('wide', 1, 25),
    clips,
    { profile: 'reference', seed: 1, playout: 'buffered' },
    opener,
  );
  addErrors(errors, record, host!.speaker.runs);
  t.ok(errors.pieces >= 10, `${errors.pieces} pieces`);
  t.equal(errors.unmatched, 0);
  for (const name of ['onsetMs', 'stopMs', 'resumeMs'] as const) {
    const p95 = quantile(ascending(errors[name]), 0.95);
    t.ok(p95 !== undefined && p95 <= 5, `${name} ${p95}`);
  }
  for (const name of ['skipMs', 'repeatMs'] as const) {
    const p95 = quantile(ascending(errors[name]), 0.95);
    t.ok(p95 !== undefined && p95 <= 1.5, `${name} ${p95}`);
  }
});

test('who reads the script scores high, who is mute low', async (t) => {
  const { scenarios } = await loadSuite('all');
  const chosen = scenarios.filter(({ id }) => ids.includes(id));
  t.equal(chosen.length, ids.length, `${chosen.length} scenarios`);
  const folder = await mkdtemp(join(tmpdir(), 'parley-clips-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const maker = await ClipMaker.open({ folder });
  const scoredAs = async (policy: PolicyMaker): Promise<ReturnType<typeof scoresOf>> => {
    const figures: ScenarioFigures[] = [];
    for (const scenario of chosen) {
      const clips = await prepareClips(scenario, maker);
      figures.push(
        analyse(await runScenario(scenario, clips, { profile: 'reference', seed: 1, playout: 'paced' }, proofOpener(policy))),
      );
    }
    return scoresOf(figures, { clock: 'virtual', profile: 'reference' }, 50);
  };
  const good = await scoredAs(oracle);
  t.ok(good.total.raw >= 9.3, `oracle ${good.total.raw}`);
  t.same(
    good.gates
      .filter(({ isMet, conditions }) => !isMet && conditions.some(({ value }) => value !== undefined))
      .map(({ id }) => id),
    [],
  );
  const silent = await scoredAs(async () => mute());
  t.ok(silent.total.raw <= 2.5, `mute ${silent.total.raw}`);
});
