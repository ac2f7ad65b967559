/** Plays scenarios on either clock, measures them, and puts the result together. */
import { readFile } from 'node:fs/promises';
import type { ProfileName } from '../../load/providers/profile.js';
import { EngineError } from '../../src/shared/errors.js';
import { Channel } from './clips/channel.js';
import { ClipMaker } from './clips/clip-maker.js';
import type { VoiceSet } from './clips/voice-set.js';
import type { NamedOpener } from './harness/scenario-work.js';
import { runWall } from './harness/wall.js';
import { measureInProcesses } from './measured-run.js';
import { analyse } from './metrics/analyse.js';
import { writeRun } from './report/write-report.js';
import { type CostFigures, type EvaluationResult, type LeftOut, resultSchemaVersion, type ScenarioFigures } from './result.js';
import type { ClockKind, PlayoutKind } from './run-record.js';
import type { Scenario } from './scenario.js';
import { scoresOf } from './score.js';
import { clipFolder, prepareClips } from './suite.js';

/** A run on `wall` proves nothing when it was slower than this, or its callers were later. */
export const realTimeRatioMin = 0.995;
export const latenessMaxMs = 8;

export type EvaluationSettings = {
  readonly clock: ClockKind;
  readonly profile: ProfileName;
  readonly seed: number;
  readonly playouts: readonly PlayoutKind[];
  /** What the callers speak with. */
  readonly voices: VoiceSet;
  /** Who is called in place of the engine; on the virtual clock only. */
  readonly opener?: NamedOpener;
  /** Where the files of each run go. */
  readonly folder?: string;
  readonly processes: number;
  /** Calls at once on the wall clock. */
  readonly parallel: number;
  readonly onProgress: (done: number, all: number, what: string) => void;
};

export type Played = { readonly figures: readonly ScenarioFigures[]; readonly leftOut: readonly LeftOut[] };

/** Plays every scenario with every playout device. What lacks something is left out and named. */
export async function playAll(scenarios: readonly Scenario[], settings: EvaluationSettings): Promise<Played> {
  return settings.clock === 'virtual' ? await playVirtual(scenarios, settings) : await playWall(scenarios, settings);
}

async function playVirtual(scenarios: readonly Scenario[], settings: EvaluationSettings): Promise<Played> {
  const { profile, seed, playouts, voices, opener, folder, processes, onProgress } = settings;
  const tasks = playouts.flatMap((playout) =>
    scenarios.map((scenario) => ({
      scenario,
      settings: { profile, seed, playout, voices },
      playouts,
      ...(opener === undefined ? {} : { opener }),
      ...(folder === undefined ? {} : { folder }),
    })),
  );
  let done = 0;
  const measured = await measureInProcesses(tasks, processes, (index) => {
    done += 1;
    onProgress(done, tasks.length, tasks[index]!.scenario.id);
  });
  const leftOut = new Map<string, Set<string>>();
  for (const [index, { missing }] of measured.entries()) {
    if (missing !== undefined) leftOut.set(missing, (leftOut.get(missing) ?? new Set()).add(tasks[index]!.scenario.id));
  }
  return {
    figures: measured.flatMap(({ figures }) => figures ?? []),
    leftOut: [...leftOut].map(([reason, ids]) => ({ reason, scenarios: [...ids].sort() })),
  };
}

async function playWall(scenarios: readonly Scenario[], settings: EvaluationSettings): Promise<Played> {
  const { profile, seed, playouts, voices, folder, parallel, onProgress } = settings;
  const { able, leftOut } = await ableToRun(scenarios, voices);
  const figures: ScenarioFigures[] = [];
  const all = able.length * playouts.length;
  for (const [round, playout] of playouts.entries()) {
    let done = round * able.length;
    const records = await runWall(
      able,
      { profile, seed, playout, voices },
      {
        parallel,
        onDone: (index) => {
          done += 1;
          onProgress(done, all, able[index]!.id);
        },
      },
    );
    for (const record of records) {
      const measured = analyse(record);
      figures.push(measured);
      if (folder !== undefined) await writeRun(folder, record, measured, playouts);
    }
  }
  return { figures, leftOut };
}

/** Scenarios whose voices and line can be made here, and what the others lack. Makes their clips, which are kept. */
export async function ableToRun(
  scenarios: readonly Scenario[],
  voices: VoiceSet,
): Promise<{ able: Scenario[]; leftOut: LeftOut[] }> {
  const maker = await ClipMaker.open({ folder: clipFolder });
  const able: Scenario[] = [];
  const leftOut = new Map<string, string[]>();
  for (const scenario of scenarios) {
    try {
      await prepareClips(scenario, maker, voices);
      new Channel(scenario.channel, 0, scenario.voice.level_dbfs).close();
      able.push(scenario);
    } catch (error) {
      if (!(error instanceof EngineError) || error.kind !== 'missing') throw error;
      leftOut.set(error.message, [...(leftOut.get(error.message) ?? []), scenario.id]);
    }
  }
  await maker.close();
  return { able, leftOut: [...leftOut].map(([reason, ids]) => ({ reason, scenarios: ids })) };
}

export type ResultParts = Pick<EvaluationResult, 'voices' | 'variations' | 'sweeps'> & {
  readonly suite: Pick<EvaluationResult['suite'], 'name' | 'hash'>;
  readonly mutant: string | undefined;
};

export async function resultOf(
  { figures, leftOut }: Played,
  { clock, profile, seed, playouts }: EvaluationSettings,
  { suite, voices, mutant, variations, sweeps }: ResultParts,
): Promise<EvaluationResult> {
  const setting = { clock, profile };
  const parts = (['open', 'held'] as const).flatMap((part) => {
    const own = figures.filter((one) => one.part === part);
    return own.length === 0 || own.length === figures.length ? [] : [{ part, scores: scoresOf(own, setting) }];
  });
  return {
    schemaVersion: resultSchemaVersion,
    engineVersion: await engineVersion(),
    suite: { ...suite, leftOut },
    profile,
    seed,
    clock,
    playouts,
    voices,
    mutant,
    timing: timingOf(figures, clock),
    cost: costOf(figures),
    scores: scoresOf(figures, setting),
    parts,
    scenarios: figures,
    variations,
    sweeps,
  };
}

function timingOf(figures: readonly ScenarioFigures[], clock: ClockKind): EvaluationResult['timing'] {
  const ratio = Math.min(1, ...figures.map(({ timing }) => timing.realTimeRatio));
  const lateness = Math.max(0, ...figures.map(({ timing }) => timing.frameLatenessP99Ms));
  const problems: string[] = [];
  if (clock === 'wall' && ratio < realTimeRatioMin)
    problems.push(`real-time ratio ${ratio.toFixed(4)}, at least ${realTimeRatioMin} is needed`);
  if (clock === 'wall' && lateness > latenessMaxMs)
    problems.push(`callers were ${lateness.toFixed(1)} ms late at the 99th percentile, at most ${latenessMaxMs} may be`);
  return {
    isValid: problems.length === 0,
    problem: problems.length === 0 ? undefined : problems.join('; '),
    realTimeRatioMin: ratio,
    frameLatenessP99MsMax: lateness,
  };
}

function costOf(figures: readonly ScenarioFigures[]): CostFigures {
  const values = (pick: (cost: CostFigures) => number | undefined): number[] =>
    figures.map(({ cost }) => pick(cost)).filter((value) => value !== undefined);
  const cpu = values(({ cpuRatio }) => cpuRatio);
  const delays = values(({ loopDelayP99Ms }) => loopDelayP99Ms);
  const memory = values(({ memoryBytes }) => memoryBytes);
  return {
    cpuRatio: cpu.length === 0 ? undefined : cpu.reduce((sum, value) => sum + value, 0) / cpu.length,
    loopDelayP99Ms: delays.length === 0 ? undefined : Math.max(...delays),
    memoryBytes: memory.length === 0 ? undefined : Math.max(...memory),
  };
}

/** From the compiled file: the checkout's own package. */
async function engineVersion(): Promise<string> {
  const text = await readFile(new URL('../../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version: unknown }).version);
}
