/**
 * Recordings of people, for what synthetic voices cannot answer: when a pause is an end. `manifest.json` beside this file says where in each of them
 * somebody speaks, pauses and ends; the sound itself is no part of the project and is read from a folder beside the checkout when there is one.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { readFlac } from '../../../src/audio/flac.js';
import { resample } from '../../../src/audio/resample.js';
import { EngineError } from '../../../src/shared/errors.js';
import { inputRateHz } from '../../../src/shared/units.js';
import { audioFolder } from '../../vad-data.js';

/** Seconds from and to. */
const span = z.tuple([z.number().min(0), z.number().min(0)]);

const recordedTurns = z.strictObject({
  /** In the folder of recordings. */
  file: z.string().min(1),
  sha256: z.string().length(64),
  /** From 0. */
  channel: z.int().min(0),
  group: z.enum(['dialogue', 'spontaneous', 'hesitant', 'turn', 'read']),
  source: z.string(),
  licence: z.string().min(1),
  /** How the labels came about, and how far off they may be either way. */
  labelledBy: z.string(),
  precisionMs: z.number().positive(),
  speech: z.array(span),
  /** Pauses of at least 200 ms after which the same speaker goes on. */
  holds: z.array(span),
  /** Last sounds of turns. */
  ends: z.array(z.number().min(0)),
  words: z.array(z.tuple([z.number(), z.number(), z.string()])).optional(),
  transcript: z.string().optional(),
});
export type RecordedTurns = z.infer<typeof recordedTurns>;
export type RecordedGroup = RecordedTurns['group'];
export const recordingManifest = z.strictObject({ recordings: z.array(recordedTurns) });

/** `samples`: the labelled channel alone, 16 kHz. */
export type LoadedRecording = RecordedTurns & { readonly samples: Int16Array };
/** `missing`: a line for each thing that is left out, and why. */
export type RealSet = { readonly recordings: readonly LoadedRecording[]; readonly missing: readonly string[] };

export const manifestPath = fileURLToPath(new URL('../../../../bench/eval/real/manifest.json', import.meta.url));

/** Fails with `config` when the manifest is not one. */
export async function readManifest(path = manifestPath): Promise<RecordedTurns[]> {
  const parsed = recordingManifest.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (!parsed.success) throw new EngineError('config', `${path}: ${z.prettifyError(parsed.error)}`);
  return parsed.data.recordings;
}

/**
 * Everything of the manifest whose sound is there and is what was labelled. `folder`: in place of ../shared/audio beside the checkout; `groups`: only
 * these.
 */
export async function loadRealSet(
  options: { readonly folder?: string; readonly groups?: readonly RecordedGroup[] } = {},
): Promise<RealSet> {
  const { folder, groups } = options;
  const entries = (await readManifest()).filter(({ group }) => groups?.includes(group) ?? true);
  const audio = audioFolder(folder);
  if (audio === undefined) {
    const where = folder ?? '../shared/audio';
    return { recordings: [], missing: [`${where}: no recordings there; all ${entries.length} of the real suite are left out`] };
  }
  const recordings: LoadedRecording[] = [];
  const missing: string[] = [];
  for (const entry of entries) {
    const loaded = await load(join(audio, entry.file), entry);
    if (typeof loaded === 'string') missing.push(`${entry.file}: ${loaded}`);
    else recordings.push(loaded);
  }
  return { recordings, missing };
}

async function load(path: string, entry: RecordedTurns): Promise<LoadedRecording | string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    return `cannot be read: ${error instanceof Error ? error.message : error}`;
  }
  if (createHash('sha256').update(bytes).digest('hex') !== entry.sha256) return 'is not the recording that was labelled';
  const { channels, rateHz } = await readFlac(bytes);
  const channel = channels[entry.channel];
  if (channel === undefined) return `has no channel ${entry.channel}`;
  return { ...entry, samples: resample(channel, rateHz, inputRateHz) };
}
