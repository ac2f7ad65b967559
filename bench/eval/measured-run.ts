/** Runs a scenario on the virtual clock in a process of a pool, measures it there, and hands back only the figures. Its files are written there, too. */
import { EngineError } from '../../src/shared/errors.js';
import { mapInProcesses } from './harness/process-pool.js';
import { work as runTask, type ScenarioTask } from './harness/scenario-work.js';
import { analyse } from './metrics/analyse.js';
import { writeRun } from './report/write-report.js';
import type { ScenarioFigures } from './result.js';
import type { PlayoutKind } from './run-record.js';

export type MeasuredTask = ScenarioTask & {
  /** Where its timeline, lanes and events go; nowhere when absent. */
  readonly folder?: string;
  readonly playouts: readonly PlayoutKind[];
};
/** `missing`: what the run would have needed. */
export type Measured = { readonly figures?: ScenarioFigures; readonly missing?: string };

/** What a process of the pool does. */
export async function work(task: MeasuredTask): Promise<Measured> {
  try {
    const record = await runTask(task);
    const figures = analyse(record);
    if (task.folder !== undefined) await writeRun(task.folder, record, figures, task.playouts);
    return { figures };
  } catch (error) {
    if (error instanceof EngineError && error.kind === 'missing') return { missing: error.message };
    throw error;
  }
}

/** In the order of `tasks`. */
export function measureInProcesses(
  tasks: readonly MeasuredTask[],
  processes: number,
  onDone: (index: number, measured: Measured) => void,
): Promise<Measured[]> {
  return mapInProcesses(import.meta.url, tasks, { processes, onDone });
}
