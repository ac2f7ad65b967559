/**
 * `node dist/bench/eval/real/make-manifest.js [FOLDER]`: writes `manifest.json` anew from the labels that come with a folder of recordings
 * (../shared/audio beside the checkout). What has no labels of its own and is clean enough is labelled by its energy.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { inputRateHz } from '../../../src/shared/units.js';
import { rmsLevelDb } from '../../../src/vad/level.js';
import { audioFolder, closeGaps, readMono, type Span } from '../../vad-data.js';
import { manifestPath, type RecordedGroup, type RecordedTurns, recordingManifest } from './recordings.js';

const holdMinSeconds = 0.2;
/** Speech by energy: 10 ms this close to the loudest ones and this far above the noise, the tenth part of all that is quietest. */
const frameSamples = 0.01 * inputRateHz;
const belowLoudestDb = 35;
const aboveNoiseDb = 10;
/** Loudest and quietest of a recording that can be labelled so. */
const dynamicsMinDb = 35;
const closedGapSamples = 0.15 * inputRateHz;
/** A sound shorter than this, or that never comes close to the loudest, is a click or a breath. */
const speechMinSamples = 0.06 * inputRateHz;
const strongBelowLoudestDb = 20;

const source = z.object({
  file: z.string(),
  language: z.string().optional(),
  transcript: z.string().optional(),
  labels: z.string().optional(),
  source_repo: z.string().optional(),
  source_path: z.string().optional(),
  licence: z.string(),
  sha256: z.string(),
});
type Source = z.infer<typeof source>;
const pair = z.tuple([z.number(), z.number()]);
const dialogueLabels = z.object({
  agent: z.array(pair),
  caller: z.array(pair),
  events: z.array(
    z.object({
      type: z.string(),
      who: z.string().optional(),
      frm: z.string().optional(),
      at: z.number().optional(),
      pause: z.number().optional(),
    }),
  ),
});
const wordLabels = z.object({ speech: z.array(pair), words: z.array(z.tuple([z.number(), z.number(), z.string()])) });

const folder = audioFolder(process.argv[2]);
if (folder === undefined) {
  console.error(`There are no recordings in ${process.argv[2] ?? '../shared/audio'}.`);
  process.exit(2);
}
const sources = z.array(source).parse(JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')));
const recordings: RecordedTurns[] = [];
for (const entry of sources) recordings.push(...(await entriesOf(entry, folder)));
await writeFile(manifestPath, `${JSON.stringify(recordingManifest.parse({ recordings }), undefined, 2)}\n`);
const count = (list: (recording: RecordedTurns) => readonly unknown[]): number => recordings.flatMap(list).length;
console.log(`${recordings.length} recordings, ${count(({ holds }) => holds)} holds, ${count(({ ends }) => ends)} ends`);

async function entriesOf(entry: Source, audio: string): Promise<RecordedTurns[]> {
  const { file } = entry;
  if (file.startsWith('dialogue/') && entry.labels !== undefined) {
    const labels = dialogueLabels.parse(await labelsOf(audio, entry.labels));
    return [dialogueSide(entry, labels, 'agent', 0), dialogueSide(entry, labels, 'caller', 1)];
  }
  if (file.startsWith('disfluency/') && entry.labels !== undefined) {
    return [spontaneous(entry, wordLabels.parse(await labelsOf(audio, entry.labels)))];
  }
  const group = byEnergyGroup(entry);
  if (group === undefined) return [];
  const labelled = await byEnergy(entry, group, join(audio, file));
  return labelled === undefined ? [] : [labelled];
}

async function labelsOf(audio: string, file: string): Promise<unknown> {
  return JSON.parse(await readFile(join(audio, file), 'utf8'));
}

function factsOf({
  file,
  sha256,
  source_repo,
  source_path,
  licence,
  transcript,
}: Source): Pick<RecordedTurns, 'file' | 'sha256' | 'source' | 'licence' | 'transcript'> {
  return {
    file,
    sha256,
    source: [source_repo, source_path].filter((part) => part !== undefined).join(' '),
    licence,
    ...(transcript === undefined || transcript === '' ? {} : { transcript }),
  };
}

function dialogueSide(
  entry: Source,
  labels: z.infer<typeof dialogueLabels>,
  who: 'agent' | 'caller',
  channel: number,
): RecordedTurns {
  const holds = labels.events
    .filter((event) => event.type === 'hold' && event.who === who)
    .map(({ at, pause }): [number, number] => [at!, rounded(at! + pause!)]);
  const ends = labels.events.filter((event) => event.type.endsWith('shift') && event.frm === who).map(({ at }) => at!);
  return {
    ...factsOf(entry),
    channel,
    group: 'dialogue',
    labelledBy: 'a speech detector and energy, on channels recorded apart',
    precisionMs: 50,
    speech: labels[who],
    holds,
    ends,
  };
}

/** Somebody talks without being answered: every pause but the last is a hold. */
function spontaneous(entry: Source, labels: z.infer<typeof wordLabels>): RecordedTurns {
  return {
    ...factsOf(entry),
    channel: 0,
    group: 'spontaneous',
    labelledBy: 'word boundaries of the corpus, set by hand',
    precisionMs: 20,
    speech: labels.speech,
    holds: holdsBetween(labels.speech),
    ends: [labels.speech.at(-1)![1]],
    words: labels.words,
  };
}

function byEnergyGroup({ file, language }: Source): RecordedGroup | undefined {
  if (file.startsWith('disfluency/')) return 'hesitant';
  if (/^turns\/(?!zh_)/.test(file)) return 'turn';
  if (file.startsWith('speech/') && (language ?? 'en') === 'en') return 'read';
  return undefined;
}

/** One turn alone in its recording. Undefined when it is not clean enough to say where it ends. */
async function byEnergy(entry: Source, group: RecordedGroup, path: string): Promise<RecordedTurns | undefined> {
  const speech = loudSpans(await readMono(path)).map(({ from, to }): [number, number] => [
    rounded(from / inputRateHz),
    rounded(to / inputRateHz),
  ]);
  const last = speech.at(-1);
  if (last === undefined) return undefined;
  return {
    ...factsOf(entry),
    channel: 0,
    group,
    labelledBy: 'energy within 35 dB of the loudest 10 ms and 10 dB above the noise',
    precisionMs: 40,
    speech,
    holds: holdsBetween(speech),
    // Some sentences were read to their first comma only.
    ends: entry.transcript?.endsWith(',') ? [] : [last[1]],
  };
}

/** Empty for a recording that is not clean enough. */
function loudSpans(samples: Int16Array): Span[] {
  const levels = Float64Array.from({ length: Math.floor(samples.length / frameSamples) }, (_, index) =>
    rmsLevelDb(samples, index * frameSamples, (index + 1) * frameSamples),
  );
  const sorted = levels.toSorted();
  const [noise, loudest] = [sorted[Math.floor(sorted.length / 10)]!, sorted.at(-1)!];
  if (loudest - noise < dynamicsMinDb) return [];
  const threshold = Math.max(loudest - belowLoudestDb, noise + aboveNoiseDb);
  const loud: Span[] = [];
  for (const [index, level] of levels.entries()) {
    if (level >= threshold) loud.push({ from: index * frameSamples, to: (index + 1) * frameSamples });
  }
  const isSpeech = ({ from, to }: Span): boolean =>
    to - from >= speechMinSamples &&
    levels.subarray(from / frameSamples, to / frameSamples).some((level) => level >= loudest - strongBelowLoudestDb);
  return closeGaps(loud, closedGapSamples).filter(isSpeech);
}

function holdsBetween(speech: readonly (readonly [number, number])[]): [number, number][] {
  return speech
    .slice(1)
    .map(([start], index): [number, number] => [speech[index]![1], start])
    .filter(([from, to]) => to - from >= holdMinSeconds - 1e-6);
}

/** To a hundredth of a millisecond: no label is better. */
function rounded(seconds: number): number {
  return Math.round(seconds * 1e5) / 1e5;
}
