/**
 * The speech gate's settings, one changed at a time, and the age of the model's memory: what each does to delays and false starts.
 * `node dist/bench/vad-gate.js [--audio DIR] [--json FILE]`; about two minutes. Starts are those while the agent speaks (`start`) and while
 * it is silent (`start, silent`). False starts are per minute of noise, noise at other levels, and pauses of the mixtures.
 * Not measured: coughs and laughter (the model calls them speech), echo of the agent.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { hopSamples, inputRateHz } from '../src/shared/units.js';
import { type GateSettings, gateDefaults } from '../src/vad/gate.js';
import { SileroModel } from '../src/vad/model.js';
import { audioFolder, type Group, onsetsAfterSilence, quantile, readStreams } from './vad-data.js';
import { ends, falseStarts, type Heard, judge, type Listening, listen, segmentsOf, startDelaysMs } from './vad-listen.js';

type Variant = { readonly name: string; readonly settings: GateSettings; readonly startHops: 2 | 3 | 4 };
const variant = (name: string, change: Partial<GateSettings>, startHops: 2 | 3 | 4 = 2): Variant => ({
  name,
  settings: { ...gateDefaults, ...change },
  startHops,
});
/** A probability that is never reached. */
const never = 2;

const variants: readonly Variant[] = [
  variant('defaults', {}),
  variant('guard 9 dB, no sure hop', { startAboveFloorDb: 9, sureProbability: never }),
  variant('no sure hop', { sureProbability: never }),
  variant('sure from 0.80', { sureProbability: 0.8 }),
  variant('sure from 0.95', { sureProbability: 0.95 }),
  variant('sure only 15 dB up', { sureAboveFloorDb: 15 }),
  variant('guard 0 dB', { startAboveFloorDb: 0, speechAboveFloorDb: 0 }),
  variant('guard 3 dB', { startAboveFloorDb: 3 }),
  variant('guard 9 dB', { startAboveFloorDb: 9 }),
  variant('guard 12 dB', { startAboveFloorDb: 12 }),
  variant('start from 0.50', { onProbabilityWhileAgentSpeaks: 0.5 }),
  variant('start from 0.70', { onProbabilityWhileAgentSpeaks: 0.7 }),
  variant('3 hops', {}, 3),
  variant('4 hops', {}, 4),
  variant('speech counts at floor + 0 dB', { speechAboveFloorDb: 0 }),
  variant('speech counts at floor + 6 dB', { speechAboveFloorDb: 6 }),
  variant('soft pause of 4 hops', { softPauseHops: 4 }),
  variant('soft pause of 8 hops', { softPauseHops: 8 }),
  variant('floor over 0.5 s', { floor: { ...gateDefaults.floor, quietHops: 16 } }),
  variant('floor over 2 s', { floor: { ...gateDefaults.floor, quietHops: 62 } }),
];

type Delays = { readonly p50Ms: number; readonly p95Ms: number; readonly missed: number; readonly count: number };
type VariantReport = {
  readonly name: string;
  readonly start: Readonly<Record<string, Delays>>;
  readonly startSilent: Readonly<Record<string, Delays>>;
  readonly falsePerMinute: Readonly<Record<string, number>>;
  readonly endP50Ms: number;
  readonly t0ErrorP50Ms: number;
  readonly splitRatio: number;
};
const startSets: readonly Group[] = ['clean', 'clean -18 dB', 'mix 10 dB+', 'mix 5-8 dB', 'spontaneous'];
const mixes: readonly Group[] = ['mix 10 dB+', 'mix 5-8 dB'];

function reportOf(heard: readonly Heard[], { name, settings, startHops }: Variant): VariantReport {
  const find = (agentAudible: boolean) => (one: Heard) =>
    segmentsOf(one, { settings, startHops, agentAudible } satisfies Listening);
  const delays = (groups: readonly Group[], agentAudible: boolean): Delays =>
    delaysOf(startDelaysMs(judge(heard, groups, find(agentAudible))));
  const perMinute = (groups: readonly Group[]): number => {
    const { count, minutes } = falseStarts(judge(heard, groups, find(true)));
    return count / minutes;
  };
  const { delaysMs, t0ErrorsMs, splitRatio } = ends(judge(heard, mixes, find(false)));
  return {
    name,
    start: Object.fromEntries(startSets.map((group) => [group, delays([group], true)])),
    startSilent: Object.fromEntries(startSets.map((group) => [group, delays([group], false)])),
    falsePerMinute: { noise: perMinute(['noise']), otherLevels: perMinute(['noise, other levels']), pauses: perMinute(mixes) },
    endP50Ms: quantile(delaysMs, 0.5),
    t0ErrorP50Ms: quantile(t0ErrorsMs, 0.5),
    splitRatio,
  };
}

function delaysOf(delaysMs: readonly number[]): Delays {
  const missed = delaysMs.filter((delay) => delay === Number.POSITIVE_INFINITY).length;
  return { p50Ms: quantile(delaysMs, 0.5), p95Ms: quantile(delaysMs, 0.95), missed, count: delaysMs.length };
}

export type GateReport = {
  readonly variants: readonly VariantReport[];
  readonly ages: readonly (Delays & { readonly resetAfterS: number })[];
};

export async function runGate(folder: string): Promise<GateReport> {
  const streams = await readStreams(folder);
  const model = await SileroModel.load();
  const heard = await listen(model, streams);
  const reports = variants.map((one) => reportOf(heard, one));
  const silences = onsetsAfterSilence(streams);
  const ages: (Delays & { resetAfterS: number })[] = [];
  for (const staleHops of [Number.POSITIVE_INFINITY, 312, gateDefaults.staleHops, 62, 31]) {
    const find = (one: Heard) => segmentsOf(one, { settings: gateDefaults, startHops: 2, agentAudible: true });
    const delays = delaysOf(startDelaysMs(judge(await listen(model, silences, staleHops), ['clean'], find)));
    ages.push({ resetAfterS: (staleHops * hopSamples) / inputRateHz, ...delays });
  }
  await model.close();
  return { variants: reports, ages };
}

const ms = (value: number): string => (Number.isFinite(value) ? value.toFixed(0) : 'none');
const cell = ({ p50Ms, p95Ms, missed }: Delays): string =>
  `${ms(p50Ms)}/${ms(p95Ms)}${missed > 0 ? ` (-${missed})` : ''}`.padStart(15);

function print({ variants: rows, ages }: GateReport): void {
  for (const which of ['start', 'startSilent'] as const) {
    console.log(`\n${which === 'start' ? 'start while the agent speaks' : 'start while it is silent'}, p50/p95 ms (-missed)`);
    console.log(`${''.padEnd(36)}${startSets.map((group) => group.padStart(15)).join('')}`);
    for (const row of rows) console.log(`${row.name.padEnd(36)}${startSets.map((group) => cell(row[which][group]!)).join('')}`);
  }
  console.log(
    '\nfalse starts a minute (noise, noise at other levels, pauses); soft pause and t0 error p50 ms, splits per utterance (mixtures)',
  );
  for (const row of rows) {
    const { noise, otherLevels, pauses } = row.falsePerMinute;
    const rates = [noise, otherLevels, pauses].map((rate) => rate!.toFixed(2).padStart(7)).join('');
    const end = `${ms(row.endP50Ms).padStart(7)}${ms(row.t0ErrorP50Ms).padStart(7)}${row.splitRatio.toFixed(2).padStart(7)}`;
    console.log(`${row.name.padEnd(36)}${rates}${end}`);
  }
  console.log('\nstart while the agent speaks, after 6 to 10 s without speech, by when the model forgets');
  for (const { resetAfterS, ...delays } of ages)
    console.log(`  after ${resetAfterS} s`.padEnd(20), cell(delays), `of ${delays.count}`);
}

const { values } = parseArgs({ options: { audio: { type: 'string' }, json: { type: 'string' } } });
const folder = audioFolder(values.audio);
if (folder === undefined) {
  console.error('no recordings: there is no manifest.json in ../shared/audio or the folder given with --audio');
  process.exitCode = 2;
} else {
  const report = await runGate(folder);
  print(report);
  if (values.json !== undefined) await writeFile(values.json, JSON.stringify(report, null, 2));
}
