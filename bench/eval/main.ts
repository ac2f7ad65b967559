/**
 * `npm run eval`: plays scripted callers into the engine and says how well it converses. What it takes is in `options.ts`; `--help` tells it.
 *
 * Exit status: 0 when all gates hold and the total is at least 8 (of the suite "rules": when all went as expected); 1 below, or significantly worse than the baseline, or a mutant was not seen; 2 on an
 * error; 3 when the timing was not valid, which gives no score.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EngineError } from '../../src/shared/errors.js';
import { ClipMaker } from './clips/clip-maker.js';
import { programOf, type VoiceSet } from './clips/voice-set.js';
import { type EvaluationSettings, type Played, playAll, resultOf } from './evaluate.js';
import { namedOpener, openerNamed } from './named-openers.js';
import { type Options, readOptions, Usage, usage } from './options.js';
import { loadRealSet } from './real/recordings.js';
import { compare, comparisonText } from './report/baseline.js';
import { reportJson } from './report/report-json.js';
import { sweepPage } from './report/sweep-page.js';
import { writeReport } from './report/write-report.js';
import type { EndpointingSweep, VariationFigures } from './result.js';
import { resultText, sweepLines, variationLine } from './result-text.js';
import { type Family, families, type Scenario } from './scenario.js';
import { scoresOf } from './score.js';
import { clipFolder, loadSuite, rulesFolder, scenarioFolder } from './suite.js';
import { bareTextRule, silenceOnly, sweepOf, textRule } from './sweep/endpointing.js';
import { type Pause, recordedPauses, scriptedPauses } from './sweep/pauses.js';
import { variationFigures } from './variations.js';
import { ablations, mutants } from './virtual/mutants.js';

const totalMin = 8;
/** With so many scenarios their progress is told by tenths. */
const progressSteps = 10;

/** Ids and families, separated by commas. */
function choiceOf(only: string | undefined): { families?: Family[]; ids?: string[] }[] {
  if (only === undefined) return [{}];
  const names = only.split(',').map((name) => name.trim());
  const chosen = names.filter((name): name is Family => families.some((family) => family === name));
  const ids = names.filter((name) => !families.some((family) => family === name));
  return [...(chosen.length > 0 ? [{ families: chosen }] : []), ...(ids.length > 0 ? [{ ids }] : [])];
}

type SuiteName = Exclude<Options['suite'], 'real'>;

async function chosenSuite(name: SuiteName, only: string | undefined): Promise<{ scenarios: Scenario[]; hash: string }> {
  const [part, folder] = name === 'rules' ? (['all', rulesFolder] as const) : ([name, scenarioFolder] as const);
  const loaded = await Promise.all(choiceOf(only).map((choice) => loadSuite(part, choice, folder)));
  const byId = new Map(loaded.flatMap(({ scenarios }) => scenarios.map((scenario) => [scenario.id, scenario] as const)));
  const scenarios = [...byId.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
  if (scenarios.length === 0) throw new Usage(`--only ${only}: leaves no scenario of the suite "${name}"`);
  return { scenarios, hash: loaded.map(({ hash }) => hash).join('-') };
}

function progress(title: string): EvaluationSettings['onProgress'] {
  let told = 0;
  return (done, all, what) => {
    if (process.stderr.isTTY) {
      process.stderr.write(`\r\u001b[K${title}${done} of ${all}, ${what}${done === all ? '\n' : ''}`);
      return;
    }
    const tenth = Math.floor((progressSteps * done) / all);
    if (tenth === told) return;
    told = tenth;
    process.stderr.write(`${title}${done} of ${all}\n`);
  };
}

const rules = [silenceOnly, textRule(), bareTextRule()];

async function sweepOnScripts(name: string, scenarios: readonly Scenario[], voices: VoiceSet): Promise<EndpointingSweep> {
  const maker = await ClipMaker.open({ folder: clipFolder });
  const pauses: Pause[] = [];
  for (const scenario of scenarios) pauses.push(...(await scriptedPauses(scenario, maker, voices)));
  await maker.close();
  return sweepOf(`scripts of the suite "${name}", synthetic voices (${voices})`, pauses, rules);
}

/** Prints what is missing; `sweep` is undefined when there is nothing to try the rules on. */
async function sweepOnRecordings(): Promise<{ sweep: EndpointingSweep | undefined; missing: readonly string[] }> {
  const { recordings, missing } = await loadRealSet();
  for (const line of missing) console.log(`left out: ${line}`);
  const pauses = recordings.flatMap(recordedPauses);
  return { sweep: recordings.length === 0 ? undefined : sweepOf('recordings of people', pauses, rules), missing };
}

async function varied(
  options: Options,
  base: EvaluationSettings,
  scenarios: readonly Scenario[],
  played: Played,
): Promise<VariationFigures[]> {
  const list =
    options.mutant === 'all'
      ? mutants.map(({ variation, target }) => ({ name: variation.name, kind: 'mutant' as const, target }))
      : ablations.map(({ variation }) => ({ name: variation.name, kind: 'ablation' as const, target: [] }));
  const setting = { clock: base.clock, profile: base.profile };
  const judged = (figures: Played['figures']) => ({ scores: scoresOf(figures, setting), figures });
  const unbroken = judged(played.figures);
  const figures: VariationFigures[] = [];
  for (const one of list) {
    const { folder: _, ...plain } = base;
    const broken = await playAll(scenarios, { ...plain, opener: namedOpener(one.name), onProgress: progress(`${one.name}: `) });
    figures.push(variationFigures(one, judged(broken.figures), unbroken));
    console.log(variationLine(figures.at(-1)!));
  }
  return figures;
}

async function writeText(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

async function evaluateRecordings(options: Options): Promise<number> {
  const { sweep, missing } = await sweepOnRecordings();
  if (sweep === undefined) return 2;
  console.log(sweepLines(sweep).join('\n'));
  const json = `${JSON.stringify(sweep, undefined, 1)}\n`;
  if (options.json !== undefined) await writeText(options.json, json);
  if (options.report !== undefined) {
    await writeText(join(options.report, 'report.json'), json);
    await writeText(join(options.report, 'report.html'), sweepPage(sweep, missing));
  }
  return 0;
}

async function evaluate(options: Options): Promise<number> {
  if (options.suite === 'real') return await evaluateRecordings(options);
  const voices = await programOf(options.voices);
  const { scenarios, hash } = await chosenSuite(options.suite, options.only);
  const isMatrix = options.mutant === 'all' || options.mutant === 'ablations';
  if (options.mutant !== undefined && !isMatrix) openerNamed(options.mutant);
  const settings: EvaluationSettings = {
    clock: options.clock,
    profile: options.profile,
    seed: options.seed,
    playouts: options.playouts,
    voices: options.voices,
    processes: options.processes,
    parallel: options.parallel,
    onProgress: progress(''),
    ...(options.mutant === undefined || isMatrix ? {} : { opener: namedOpener(options.mutant) }),
    ...(options.report === undefined ? {} : { folder: options.report }),
  };
  const played = await playAll(scenarios, settings);
  if (played.figures.length === 0) {
    const reasons = played.leftOut.map(({ reason, scenarios: ids }) => `left out: ${ids.join(', ')}: ${reason}`);
    throw new EngineError('missing', ['Nothing could be played, so there is no score.', ...reasons].join('\n'));
  }
  const variations = isMatrix ? await varied(options, settings, scenarios, played) : [];
  const sweeps = options.bench ? [await sweepOnScripts(options.suite, scenarios, options.voices)] : [];
  const recordings = options.bench ? await sweepOnRecordings() : undefined;
  if (recordings?.sweep !== undefined) sweeps.push(recordings.sweep);
  const leftOut = [
    ...played.leftOut,
    ...(recordings?.missing ?? []).map((reason) => ({ reason, scenarios: ['recordings of people'] })),
  ];
  const name = options.only === undefined ? options.suite : `${options.suite}: ${options.only}`;
  const result = await resultOf({ ...played, leftOut }, settings, {
    suite: { name, hash },
    voices,
    mutant: isMatrix ? undefined : options.mutant,
    variations,
    sweeps,
  });
  if (!result.timing.isValid) {
    console.error(`The timing of this run is not valid: ${result.timing.problem}. It gives no score.`);
    return 3;
  }
  console.log(resultText(result));
  if (options.json !== undefined) await writeText(options.json, reportJson(result));
  const baseline = options.baseline;
  const comparison =
    options.report === undefined
      ? baseline && compare(result, baseline)
      : await writeReport(options.report, result, [], baseline === undefined ? {} : { baseline });
  if (comparison !== undefined) console.log(`\n${comparisonText(comparison)}`);
  const { gates, total } = result.scores;
  // Six hard cases are no sample of anything: they go as expected, or do not.
  const isGood =
    options.suite === 'rules'
      ? result.scenarios.every(({ isPassed }) => isPassed)
      : gates.every(({ isJudged, isMet }) => !isJudged || isMet) && total.total >= totalMin;
  const isEachCaught = result.variations.every(({ isCaught }) => isCaught !== false);
  return isGood && isEachCaught && comparison?.isWorse !== true ? 0 : 1;
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) console.log(usage);
  else process.exitCode = await evaluate(options);
} catch (error) {
  if (error instanceof Usage || (error instanceof TypeError && 'code' in error)) console.error(error.message);
  else if (error instanceof EngineError && (error.kind === 'config' || error.kind === 'missing')) console.error(error.message);
  else console.error(error);
  process.exitCode = 2;
}
