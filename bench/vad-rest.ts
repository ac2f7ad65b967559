/**
 * Resting: hops that cannot begin speech are not shown to the model. What that does to delays and false starts, and how many hops it saves.
 * `node dist/bench/vad-rest.js [--audio DIR]`; about two minutes.
 */
import { parseArgs } from 'node:util';
import { gateDefaults } from '../src/vad/gate.js';
import { SileroModel } from '../src/vad/model.js';
import { audioFolder, type Group, onsetsAfterSilence, quantile, readStreams } from './vad-data.js';
import { ends, falseStarts, type Heard, judge, listen, segmentsOf, startDelaysMs } from './vad-listen.js';

const never = Number.POSITIVE_INFINITY;
const rules = [
  { afterHops: never, belowDb: 3 },
  { afterHops: 4, belowDb: 3 },
  { afterHops: 8, belowDb: 1 },
  { afterHops: 8, belowDb: 3 },
  { afterHops: 8, belowDb: 6 },
  { afterHops: 16, belowDb: 3 },
  { afterHops: 16, belowDb: 6 },
  { afterHops: 31, belowDb: 3 },
  { afterHops: 31, belowDb: 6 },
] as const;

const groups: readonly Group[] = ['clean', 'clean -18 dB', 'mix 10 dB+', 'mix 5-8 dB', 'spontaneous'];
const mixes: readonly Group[] = ['mix 10 dB+', 'mix 5-8 dB'];

const cell = (delaysMs: readonly number[]): string => {
  const missed = delaysMs.filter((delay) => delay === Number.POSITIVE_INFINITY).length;
  const show = (value: number): string => (Number.isFinite(value) ? value.toFixed(0) : '-');
  return `${show(quantile(delaysMs, 0.5))}/${show(quantile(delaysMs, 0.95))}${missed > 0 ? ` (-${missed})` : ''}`.padStart(14);
};
const skippedShare = (heard: readonly Heard[]): number =>
  heard.reduce((sum, { skipped }) => sum + skipped, 0) / heard.reduce((sum, { probabilities }) => sum + probabilities.length, 0);

const { values } = parseArgs({ options: { audio: { type: 'string' } } });
const folder = audioFolder(values.audio);
if (folder === undefined) {
  console.error('no recordings: there is no manifest.json in ../shared/audio or the folder given with --audio');
  process.exitCode = 2;
} else {
  const streams = await readStreams(folder);
  const model = await SileroModel.load();
  const silences = onsetsAfterSilence(streams);
  const listening = { settings: gateDefaults, startHops: 2 as const, agentAudible: true };
  const find = (one: Heard) => segmentsOf(one, listening);
  const findSilent = (one: Heard) => segmentsOf(one, { ...listening, agentAudible: false });
  console.log(
    'start while the agent speaks, p50/p95 ms (-missed); false starts a minute: noise, other levels, pauses; end p50, t0 p50, splits',
  );
  console.log(`${''.padEnd(22)}${[...groups, 'after silence'].map((name) => name.padStart(14)).join('')}   false starts`);
  for (const { afterHops, belowDb } of rules) {
    const settings = { ...gateDefaults, restAfterHops: afterHops, restBelowFloorDb: belowDb };
    const heard = await listen(model, streams, gateDefaults.staleHops, settings);
    const quiet = await listen(model, silences, gateDefaults.staleHops, settings);
    const perMinute = (of: readonly Group[]): string => {
      const { count, minutes } = falseStarts(judge(heard, of, find));
      return (count / minutes).toFixed(2).padStart(6);
    };
    const { delaysMs, t0ErrorsMs, splitRatio } = ends(judge(heard, mixes, findSilent));
    const cells = groups.map((group) => cell(startDelaysMs(judge(heard, [group], find))));
    const name = afterHops === never ? 'never' : `${afterHops} hops, ${belowDb} dB`;
    const after = cell(startDelaysMs(judge(quiet, ['clean'], find)));
    const rates = [perMinute(['noise']), perMinute(['noise, other levels']), perMinute(mixes)].join('');
    const tail = `${quantile(delaysMs, 0.5).toFixed(0).padStart(6)}${quantile(t0ErrorsMs, 0.5).toFixed(0).padStart(5)}${splitRatio.toFixed(2).padStart(6)}`;
    const skipped = `skipped ${(100 * skippedShare(heard)).toFixed(0)} %, ${(100 * skippedShare(quiet)).toFixed(0)} % (after silence)`;
    console.log(`${name.padEnd(22)}${cells.join('')}${after}${rates}${tail}  ${skipped}`);
  }
  await model.close();
}
