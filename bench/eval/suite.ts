/** The scenarios on disk, read and checked, and the clips that one of them needs. Used wherever scenarios are run. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { z } from 'zod';
import { EngineError } from '../../src/shared/errors.js';
import type { ClipMaker } from './clips/clip-maker.js';
import { type VoiceSet, voiceIn } from './clips/voice-set.js';
import type { Clip } from './run-record.js';
import { type Family, type Scenario, type ScenarioEvent, scenarioSchema } from './scenario.js';
import { brokenRules } from './scenario-rules.js';

/** From the compiled file: the checkout's own folder. */
export const scenarioFolder = fileURLToPath(new URL('../../../bench/eval/scenarios', import.meta.url));
/** One scenario for each rule of the engine that those do not ask for. */
export const rulesFolder = join(scenarioFolder, 'rules');
/** Where made speech is kept between runs. */
export const clipFolder = fileURLToPath(new URL('../../../.cache/eval-clips', import.meta.url));

export type SuitePart = 'open' | 'held' | 'all';
/** Families and ids to leave in; without either everything. */
export type SuiteChoice = { readonly families?: readonly Family[]; readonly ids?: readonly string[] };
/** In order of family and id. `hash`: of the scenarios in it, 16 hexadecimal digits. */
export type Suite = { readonly scenarios: readonly Scenario[]; readonly hash: string };

/** Clips by step, and by the names of the events that have a sound. */
export type ScenarioClips = { readonly steps: readonly Clip[]; readonly events: ReadonlyMap<string, Clip> };

/** A bystander speaks with the one of these voices that is less like the caller's. */
const bystanderOf = (callerVoice: string): string => (callerVoice.includes('-f') ? 'bystander-m' : 'bystander-f');

/**
 * Reads and checks all scenarios and gives the chosen ones. Fails with `config` when a file is no scenario, naming file, path and rule for all that is
 * wrong; or when an id that was asked for is not there.
 */
export async function loadSuite(part: SuitePart, choice: SuiteChoice = {}, folder: string = scenarioFolder): Promise<Suite> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.json'));
  const read = await Promise.all(names.map(async (name) => checkedScenario(name, await readFile(join(folder, name), 'utf8'))));
  const problems = read.flatMap((file) => file.problems);
  if (problems.length > 0) throw new EngineError('config', `The suite is not valid:\n${problems.join('\n')}`);
  const all = read.flatMap((file) => file.scenario ?? []);
  for (const id of choice.ids ?? []) {
    if (!all.some((scenario) => scenario.id === id))
      throw new EngineError('config', `There is no scenario "${id}" in ${folder}.`);
  }
  const scenarios = all
    .filter((scenario) => part === 'all' || scenario.part === part)
    .filter(({ family }) => choice.families?.includes(family) ?? true)
    .filter(({ id }) => choice.ids?.includes(id) ?? true)
    .sort((a, b) => compared(a.family, b.family) || compared(a.id, b.id));
  const hash = createHash('sha256').update(JSON.stringify(scenarios)).digest('hex').slice(0, 16);
  return { scenarios, hash };
}

/** Of what may be one thing or another, what is wrong with the one that it nearly is: where the fault lies deepest. */
function plainIssues(issue: z.core.$ZodIssue): { path: PropertyKey[]; message: string }[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  const options = issue.errors.map((errors) => errors.flatMap(plainIssues));
  const depthOf = (wrongs: readonly { path: PropertyKey[] }[]): number => Math.max(...wrongs.map(({ path }) => path.length));
  const nearest = options.reduce((best, option) => (depthOf(option) > depthOf(best) ? option : best));
  return nearest.map(({ path, message }) => ({ path: [...issue.path, ...path], message }));
}

/** The scenario that `text` is, or what is wrong with it, a line each. */
export function checkedScenario(fileName: string, text: string): { scenario?: Scenario; problems: string[] } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { problems: [`${fileName}: is JSON: ${error instanceof Error ? error.message : error}`] };
  }
  const parsed = scenarioSchema.safeParse(json);
  if (!parsed.success) {
    return {
      problems: parsed.error.issues
        .flatMap(plainIssues)
        .map(({ path, message }) => `${fileName}: ${path.join('.') || '(whole)'}: ${message}`),
    };
  }
  const problems = brokenRules(parsed.data, fileName).map(({ path, rule }) => `${fileName}: ${path}: ${rule}`);
  return problems.length > 0 ? { problems } : { scenario: parsed.data, problems };
}

/**
 * Everything that is heard from the caller's side of `scenario`. The same scenario gives the same samples whatever the run's own seed is. `voices`: those
 * of the embedded synthesiser, which is always there, or for the caller the corresponding one of espeak-ng. Fails with `missing` where that is needed and is
 * not installed.
 */
export async function prepareClips(scenario: Scenario, maker: ClipMaker, voices: VoiceSet = 'flite'): Promise<ScenarioClips> {
  const { voice, seed } = scenario;
  const name = voiceIn(voices, voice.name);
  const steps: Clip[] = [];
  for (const step of scenario.steps) steps.push(await maker.speech(step.say, name, step.level_dbfs ?? voice.level_dbfs, seed));
  const events = new Map<string, Clip>();
  for (const [index, event] of scenario.events.entries()) {
    const clip = await eventClip(scenario, event, seed + index, maker);
    if (clip !== undefined) events.set(event.id, clip);
  }
  return { steps, events };
}

async function eventClip(scenario: Scenario, event: ScenarioEvent, seed: number, maker: ClipMaker): Promise<Clip | undefined> {
  if (event.class === 'silence' || event.class === 'hang_up') return undefined;
  const levelDbfs = event.level_dbfs ?? scenario.voice.level_dbfs - (event.snr_db ?? 0);
  if (event.say !== undefined) return await maker.speech(event.say, bystanderOf(scenario.voice.name), levelDbfs, seed);
  return maker.sound(event.class, { levelDbfs, seed, ...(event.dur === undefined ? {} : { durMs: event.dur }) });
}

function compared(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
