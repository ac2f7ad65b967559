/** Runs scenarios on the virtual clock in a process of a pool: clips, run, record. */

import { ClipMaker } from '../clips/clip-maker.js';
import type { RunRecord } from '../run-record.js';
import type { Scenario } from '../scenario.js';
import { clipFolder, prepareClips } from '../suite.js';
import { mapInProcesses } from './process-pool.js';
import { engineOpener, type HostOpener, type RunSettings, runScenario } from './run-scenario.js';

/** `module`: URL of a module that exports `openerNamed(name): HostOpener`. */
export type NamedOpener = { readonly module: string; readonly name: string };
export type ScenarioTask = {
  readonly scenario: Scenario;
  readonly settings: RunSettings;
  /** Who is called; the engine as it is unless something else is said. */
  readonly opener?: NamedOpener;
};

type OpenerModule = { readonly openerNamed: (name: string) => HostOpener };

let makerOpening: Promise<ClipMaker> | undefined;

/** What a process of the pool does. */
export async function work({ scenario, settings, opener }: ScenarioTask): Promise<RunRecord> {
  makerOpening ??= ClipMaker.open({ folder: clipFolder });
  const clips = await prepareClips(scenario, await makerOpening, settings.voices);
  return await runScenario(scenario, clips, settings, await openerOf(opener));
}

async function openerOf(opener: NamedOpener | undefined): Promise<HostOpener> {
  if (opener === undefined) return engineOpener();
  return ((await import(opener.module)) as OpenerModule).openerNamed(opener.name);
}

/** Runs all tasks on the virtual clock in `processes` processes. Records in the order of the tasks; `onDone` as they come. */
export function runScenarios(
  tasks: readonly ScenarioTask[],
  processes: number,
  onDone?: (index: number, record: RunRecord) => void,
): Promise<RunRecord[]> {
  return mapInProcesses(import.meta.url, tasks, { processes, ...(onDone === undefined ? {} : { onDone }) });
}
