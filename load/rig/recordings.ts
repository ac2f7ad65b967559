/** Recordings that may lie beside the checkout, in `../shared/audio`; without them the rigs say what they leave out. Reads files at start. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout: the nearest folder above this file that has a package.json. */
function root(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
}

export const recordingsFolder = join(root(), '..', 'shared', 'audio');

/** Steady noise of rooms; empty when there are no recordings. */
export function recordedNoises(): string[] {
  const folder = join(recordingsFolder, 'noise');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^(?:office|cafe|dishes|keyboard)\.flac$/.test(name))
    .sort()
    .map((name) => join(folder, name));
}

export type Recorded = { readonly file: string; readonly kind: string; readonly transcript: string; readonly language: string };

/** Speech with known words, from the list that comes with the recordings; empty when there are none. */
export function recordedSpeech(): Recorded[] {
  const list = join(recordingsFolder, 'manifest.json');
  if (!existsSync(list)) return [];
  const value = JSON.parse(readFileSync(list, 'utf8')) as { files?: ManifestEntry[] } | ManifestEntry[];
  const entries = Array.isArray(value) ? value : (value.files ?? []);
  return entries.flatMap(({ file, kind, transcript, language }) => {
    if (typeof transcript !== 'string' || transcript === '') return [];
    return [{ file: join(recordingsFolder, file), kind: kind ?? '', transcript, language: language ?? '' }];
  });
}

type ManifestEntry = { file: string; kind?: string; transcript?: string | null; language?: string | null };
