/**
 * `npm run eval:proof [-- --calls N] [--only PARTS]`: that the evaluator measures what it says. The calibration agent must be measured to the sample, an
 * oracle must score high and pass all gates, agents that cannot converse must score low, and better agents higher than worse ones. Parts:
 * calibration, oracle, mute, constant-talker, random-talker, order. Exit status 1 when one of these does not hold. The mutants are another command:
 * `npm run eval -- --mutant all`.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { ClipMaker } from '../clips/clip-maker.js';
import { runScenario } from '../harness/run-scenario.js';
import { measureInProcesses } from '../measured-run.js';
import { namedOpener } from '../named-openers.js';
import type { ScenarioFigures } from '../result.js';
import type { PlayoutKind } from '../run-record.js';
import type { Scenario } from '../scenario.js';
import { plainScoresOf, scoresOf } from '../score.js';
import { ascending, quantile } from '../statistics.js';
import { clipFolder, loadSuite, prepareClips } from '../suite.js';
import {
  addErrors,
  type CalibrationErrors,
  calibrationAgent,
  calibrationScenario,
  noErrors,
  quantileText,
} from './calibration.js';
import { type ProofHost, proofOpener } from './proof-host.js';

const instantMaxMs = 5;
const lossMaxMs = 1;
/** Where levels are rounded to µ-law, the ends of fades are lost. */
const phoneLossMaxMs = 5;
/** Share of pieces. */
const notFoundMax = 0.01;
const oracleMin = 9.3;
const hopelessMax = 2.5;
const orderMin = 0.95;
const callsMax = 100;

const hopeless = ['mute', 'constant-talker', 'random-talker'] as const;
const parts = ['calibration', 'oracle', ...hopeless, 'order'] as const;
const ladder = ['oracle', 'engine', 'plain-600', 'greedy', 'random-talker'] as const;
const lines = [
  ['wide', 'paced'],
  ['wide', 'buffered'],
  ['phone', 'paced'],
] as const;

let isProven = true;

function told(isMet: boolean, text: string): void {
  isProven &&= isMet;
  console.log(`${isMet ? '  ok ' : '  NOT'} ${text}`);
}

async function calibrated(channel: 'wide' | 'phone', playout: PlayoutKind, calls: number): Promise<CalibrationErrors> {
  const maker = await ClipMaker.open({ folder: clipFolder });
  const errors = noErrors();
  for (let seed = 1; seed <= calls; seed += 1) {
    const scenario = calibrationScenario(channel, seed);
    let host: ProofHost | undefined;
    const opener = proofOpener(
      async (_scenario, _setup, _settings, runSeed) => calibrationAgent(runSeed),
      (opened) => {
        host = opened;
      },
    );
    const clips = await prepareClips(scenario, maker);
    const record = await runScenario(scenario, clips, { profile: 'reference', seed, playout }, opener);
    addErrors(errors, record, host!.speaker.runs);
  }
  return errors;
}

async function proveCalibration(calls: number): Promise<void> {
  for (const [channel, playout] of lines) {
    const errors = await calibrated(channel, playout, calls);
    console.log(`calibration, ${channel}, ${playout}: ${errors.pieces} pieces`);
    for (const name of ['onsetMs', 'stopMs', 'resumeMs', 'skipMs', 'repeatMs'] as const) {
      const isLoss = name === 'skipMs' || name === 'repeatMs';
      const max = isLoss ? (channel === 'phone' ? phoneLossMaxMs : lossMaxMs) : instantMaxMs;
      const isMet = (quantile(ascending(errors[name]), 0.95) ?? Number.POSITIVE_INFINITY) <= max;
      told(isMet, `${name.padEnd(9)} ${quantileText(errors[name])}, p95 at most ${max}`);
    }
    told(errors.unmatched <= notFoundMax * errors.pieces, `${errors.unmatched} pieces not found, at most ${100 * notFoundMax} %`);
  }
}

/** `name`: of an agent, or `engine`. */
async function figuresOf(
  name: string,
  scenarios: readonly Scenario[],
  playouts: readonly PlayoutKind[],
): Promise<ScenarioFigures[]> {
  const tasks = playouts.flatMap((playout) =>
    scenarios.map((scenario) => ({
      scenario,
      settings: { profile: 'reference' as const, seed: 1, playout },
      playouts,
      ...(name === 'engine' ? {} : { opener: namedOpener(name) }),
    })),
  );
  const missing = new Set<string>();
  const measured = await measureInProcesses(tasks, availableParallelism(), (index, done) => {
    if (done.missing !== undefined) missing.add(`${tasks[index]!.scenario.id}: ${done.missing}`);
  });
  for (const line of [...missing].sort()) console.log(`  left out: ${line}`);
  return measured.flatMap(({ figures }) => figures ?? []);
}

async function scoredAs(
  name: string,
  scenarios: readonly Scenario[],
): Promise<{ scores: ReturnType<typeof scoresOf>; figures: ScenarioFigures[] }> {
  const figures = await figuresOf(name, scenarios, ['paced', 'buffered']);
  // An agent without an engine has no wall clock to be judged on: its own delays are exact.
  const scores = scoresOf(figures, { clock: 'wall', profile: 'reference' });
  console.log(`${name}: ${scores.dims.map(({ id, score }) => `${id} ${score?.toFixed(2) ?? '-'}`).join('  ')}`);
  for (const { id, parts: terms } of scores.dims)
    console.log(`      ${id}: ${terms.map((term) => `${term.name} ${term.score.toFixed(2)}`).join(', ')}`);
  return { scores, figures };
}

async function proveOracle(scenarios: readonly Scenario[]): Promise<void> {
  const { scores, figures } = await scoredAs('oracle', scenarios);
  told(scores.total.raw >= oracleMin, `total ${scores.total.raw.toFixed(2)}, at least ${oracleMin}`);
  for (const { id, conditions, isMet } of scores.gates)
    told(isMet, `${id} ${conditions.map((one) => `${one.name} ${one.value?.toFixed(3) ?? '-'}`).join(', ')}`);
  for (const { id, playout, expectations } of figures) {
    const unmet = expectations.filter(({ isMet }) => !isMet).map((check) => `${check.name} (${check.detail})`);
    if (unmet.length > 0) told(false, `${id}, ${playout}: ${unmet.join('; ')}`);
  }
}

/** Better agents score higher, whatever scenarios are drawn. */
async function proveOrder(scenarios: readonly Scenario[]): Promise<void> {
  const totals: (readonly number[])[] = [];
  for (const name of ladder) {
    const { exact, drawn } = plainScoresOf(await figuresOf(name, scenarios, ['buffered']));
    totals.push(drawn.map(({ raw }) => raw));
    console.log(`order: ${name} ${exact.raw.toFixed(2)}`);
  }
  for (const [index, better] of totals.slice(0, -1).entries()) {
    const worse = totals[index + 1]!;
    const share = better.filter((total, draw) => total > worse[draw]!).length / better.length;
    told(
      share >= orderMin,
      `${ladder[index]} before ${ladder[index + 1]} in ${(100 * share).toFixed(1)} % of the draws, at least ${100 * orderMin} %`,
    );
  }
}

const { values } = parseArgs({ options: { calls: { type: 'string', default: '6' }, only: { type: 'string' } } });
const calls = Number(values.calls);
const chosen = values.only?.split(',') ?? parts;
const unknown = chosen.find((name) => !parts.some((part) => part === name));
if (!Number.isInteger(calls) || calls < 1 || calls > callsMax || unknown !== undefined) {
  console.error(
    unknown === undefined
      ? `--calls ${values.calls}: a whole number from 1 to ${callsMax}`
      : `--only ${unknown}: one of ${parts.join(', ')}`,
  );
  process.exit(2);
}
const { scenarios } = await loadSuite('all');
if (chosen.includes('calibration')) await proveCalibration(calls);
if (chosen.includes('oracle')) await proveOracle(scenarios);
for (const name of hopeless) {
  if (!chosen.includes(name)) continue;
  const { scores } = await scoredAs(name, scenarios);
  told(scores.total.raw <= hopelessMax, `total ${scores.total.raw.toFixed(2)}, at most ${hopelessMax}`);
}
if (chosen.includes('order')) await proveOrder(scenarios);
process.exit(isProven ? 0 : 1);
