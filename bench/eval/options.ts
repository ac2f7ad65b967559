/** What `npm run eval` can be asked for, read and checked. */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type ProfileName, profileNames } from '../../load/providers/profile.js';
import { voiceSets } from './clips/voice-set.js';
import { parseReport } from './report/report-json.js';
import type { EvaluationResult } from './result.js';
import type { PlayoutKind } from './run-record.js';

const suites = ['open', 'held', 'all', 'rules', 'real'] as const;
const playoutChoices: Readonly<Record<string, readonly PlayoutKind[]>> = {
  paced: ['paced'],
  buffered: ['buffered'],
  both: ['paced', 'buffered'],
};
const parallelMax = 64;

export const usage = `npm run eval -- [OPTIONS]: plays scripted callers into the engine and says how well it converses (docs/evaluation.md).

  --suite open|held|all        texts the settings are tuned on, held-out ones, both   [open]
          rules|real           what no other scenario asks for, one for each rule; recordings of people (endpointing alone)
  --only NAMES                 ids and families of scenarios, separated by commas
  --clock virtual|wall         a clock that moves from event to event; real time, in which gates G1 to G3 are judged   [virtual]
  --playout paced|buffered|both   a telephone, a web client   [both]
  --voices flite|espeak        what the callers speak with: the embedded synthesiser, or espeak-ng, which must be installed   [flite]
  --profile ${profileNames.join('|')}   of the simulated providers   [reference]
  --seed N                     decides every delay, error and noise   [1]
  --mutant NAME|all|ablations  the engine with something broken or left out, or another agent; on the virtual clock
  --bench                      the endpointing sweep, too
  --json FILE, --report FOLDER the figures; the page with pictures, lanes and events
  --baseline OLD.json          deltas to an older run; a significant drop fails
  --processes N                of the virtual clock   [one for each core]
  --parallel N                 calls at once on the wall clock   [6]

Exit status: 0 all judged gates and a total of at least 8; 1 below, or worse than the baseline, or a mutant was not seen; 2 an error; 3 timing that was not valid.`;

/** What was asked for cannot be; the message says what can. */
export class Usage extends Error {}

export type Options = NonNullable<ReturnType<typeof readOptions>>;

/** Undefined: only the usage is wanted. Fails with `Usage`, or with the TypeError of an option that there is not. */
export function readOptions(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', default: false },
      clock: { type: 'string', default: 'virtual' },
      profile: { type: 'string', default: 'reference' },
      seed: { type: 'string', default: '1' },
      suite: { type: 'string', default: 'open' },
      only: { type: 'string' },
      playout: { type: 'string', default: 'both' },
      voices: { type: 'string', default: 'flite' },
      mutant: { type: 'string' },
      json: { type: 'string' },
      report: { type: 'string' },
      baseline: { type: 'string' },
      processes: { type: 'string', default: String(Math.max(1, availableParallelism())) },
      parallel: { type: 'string', default: '6' },
      bench: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const { profile, suite } = values;
  const clock = (['virtual', 'wall'] as const).find((name) => name === values.clock);
  if (clock === undefined) throw new Usage(`--clock ${values.clock}: virtual or wall`);
  const named = profileNames.find((name): name is ProfileName => name === profile);
  if (named === undefined) throw new Usage(`--profile ${profile}: one of ${profileNames.join(', ')}`);
  const chosen = suites.find((name) => name === suite);
  if (chosen === undefined) throw new Usage(`--suite ${suite}: one of ${suites.join(', ')}`);
  const playouts = playoutChoices[values.playout];
  if (playouts === undefined) throw new Usage(`--playout ${values.playout}: one of ${Object.keys(playoutChoices).join(', ')}`);
  const voices = voiceSets.find((name) => name === values.voices);
  if (voices === undefined) throw new Usage(`--voices ${values.voices}: one of ${voiceSets.join(', ')}`);
  if (values.mutant !== undefined && clock === 'wall') throw new Usage('--mutant: on the virtual clock only');
  return {
    ...values,
    clock,
    profile: named,
    suite: chosen,
    playouts,
    voices,
    seed: wholeNumber('--seed', values.seed, 0, 2 ** 31),
    processes: wholeNumber('--processes', values.processes, 1, parallelMax),
    parallel: wholeNumber('--parallel', values.parallel, 1, parallelMax),
    baseline: values.baseline === undefined ? undefined : readBaseline(values.baseline),
  };
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Usage(`${name} ${text}: a whole number from ${min} to ${max}`);
  return value;
}

function readBaseline(path: string): EvaluationResult {
  if (!existsSync(path)) throw new Usage(`--baseline ${path}: there is no such file`);
  const parsed = parseReport(readFileSync(path, 'utf8'));
  if (!parsed.ok) throw new Usage(`--baseline ${path}: ${parsed.problem}`);
  return parsed.result;
}
