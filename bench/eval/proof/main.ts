/**
 * `npm run eval:proof [-- --calls N]`: that the evaluator measures what it says. The calibration agent must be measured to the sample, an oracle must score
 * high and pass all gates, and agents that cannot converse must score low. Exit status 1 when one of these does not hold.
 */
import { parseArgs } from 'node:util';
import { EngineError } from '../../../src/shared/errors.js';
import { ClipMaker } from '../clips/clip-maker.js';
import { runScenario } from '../harness/run-scenario.js';
import { analyse } from '../metrics/analyse.js';
import type { ScenarioFigures } from '../result.js';
import type { PlayoutKind } from '../run-record.js';
import { scoresOf } from '../score.js';
import { ascending, quantile } from '../statistics.js';
import { clipFolder, loadSuite, prepareClips } from '../suite.js';
import { addErrors, calibrationAgent, calibrationScenario, noErrors, quantileText } from './calibration.js';
import { oracle } from './oracle.js';
import { type PolicyMaker, type ProofHost, proofOpener } from './proof-host.js';
import { constantTalker, mute, randomTalker } from './simple-agents.js';

const instantMaxMs = 5;
const lossMaxMs = 1;
/** Where levels are rounded to µ-law, the ends of fades are lost. */
const phoneLossMaxMs = 5;
/** Share of pieces. */
const notFoundMax = 0.01;
const oracleMin = 9.3;
const hopelessMax = 2.5;

const { values } = parseArgs({ options: { calls: { type: 'string', default: '6' }, only: { type: 'string' } } });
const calls = Number(values.calls);
if (!Number.isInteger(calls) || calls < 1 || calls > 100) {
  console.error(`--calls ${values.calls}: a whole number from 1 to 100`);
  process.exit(2);
}
let isProven = true;
const maker = await ClipMaker.open({ folder: clipFolder });
const chosen = (name: string): boolean => values.only === undefined || values.only.split(',').includes(name);

if (chosen('calibration'))
  for (const [channel, playout] of [
    ['wide', 'paced'],
    ['wide', 'buffered'],
    ['phone', 'paced'],
  ] as const) {
    const errors = noErrors();
    for (let seed = 1; seed <= calls; seed += 1) {
      const scenario = calibrationScenario(channel, seed);
      let host: ProofHost | undefined;
      const opener = proofOpener(
        async (_scenario, _setup, _playout, runSeed) => calibrationAgent(runSeed),
        (opened) => {
          host = opened;
        },
      );
      const clips = await prepareClips(scenario, maker);
      const record = await runScenario(scenario, clips, { profile: 'reference', seed, playout }, opener);
      addErrors(errors, record, host!.speaker.runs);
    }
    console.log(`calibration, ${channel}, ${playout}: ${errors.pieces} pieces, ${errors.unmatched} not found`);
    for (const name of ['onsetMs', 'stopMs', 'resumeMs', 'skipMs', 'repeatMs'] as const) {
      const isLoss = name === 'skipMs' || name === 'repeatMs';
      const max = isLoss ? (channel === 'phone' ? phoneLossMaxMs : lossMaxMs) : instantMaxMs;
      const isMet = (quantile(ascending(errors[name]), 0.95) ?? Number.POSITIVE_INFINITY) <= max;
      told(isMet, `  ${name.padEnd(10)} ${quantileText(errors[name])}, p95 at most ${max}`);
    }
    told(
      errors.unmatched <= notFoundMax * errors.pieces,
      `  ${errors.unmatched} of ${errors.pieces} pieces not found, at most ${100 * notFoundMax} %`,
    );
  }

const { scenarios } = await loadSuite('all');
const agents: readonly (readonly [string, PolicyMaker])[] = [
  ['oracle', oracle],
  ['mute', async () => mute()],
  ['constant talker', async () => constantTalker()],
  ['random talker', async (_scenario, _setup, _playout, seed) => randomTalker(seed)],
];
for (const [name, maker] of agents) {
  if (!chosen(name.split(' ')[0]!)) continue;
  const figures: ScenarioFigures[] = [];
  for (const playout of ['paced', 'buffered'] as const) figures.push(...(await figuresOf(maker, playout)));
  // An agent without an engine has no wall clock to be judged on: its own delays are exact.
  const scores = scoresOf(figures, { clock: 'wall', profile: 'reference' });
  console.log(`${name}: ${scores.dims.map(({ id, score }) => `${id} ${score?.toFixed(2) ?? '-'}`).join('  ')}`);
  for (const { id, parts } of scores.dims)
    console.log(`  ${id}: ${parts.map((part) => `${part.name} ${part.score.toFixed(2)}`).join(', ')}`);
  const { raw } = scores.total;
  if (name === 'oracle') {
    told(raw >= oracleMin, `  total ${raw.toFixed(2)}, at least ${oracleMin}`);
    for (const { id, conditions, isMet } of scores.gates) {
      told(isMet, `  ${id} ${conditions.map((one) => `${one.name} ${one.value?.toFixed(3) ?? '-'}`).join(', ')}`);
    }
    for (const one of figures)
      if (!one.isPassed)
        console.log(
          `  ${one.id} ${one.playout}: ${one.expectations
            .filter(({ isMet }) => !isMet)
            .map((check) => `${check.name} (${check.detail})`)
            .join('; ')}`,
        );
  } else {
    told(raw <= hopelessMax, `  total ${raw.toFixed(2)}, at most ${hopelessMax}`);
  }
}
process.exit(isProven ? 0 : 1);

async function figuresOf(make: PolicyMaker, playout: PlayoutKind): Promise<ScenarioFigures[]> {
  const figures: ScenarioFigures[] = [];
  for (const scenario of scenarios) {
    const clips = await prepareClips(scenario, maker);
    try {
      const record = await runScenario(scenario, clips, { profile: 'reference', seed: 1, playout }, proofOpener(make));
      figures.push(analyse(record));
    } catch (error) {
      if (!(error instanceof EngineError) || error.kind !== 'missing') throw error;
      console.log(`  left out: ${scenario.id}: ${error.message}`);
    }
  }
  return figures;
}

function told(isMet: boolean, text: string): void {
  isProven &&= isMet;
  console.log(`${isMet ? '  ok  ' : '  NOT '}${text}`);
}
