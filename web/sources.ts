/**
 * What the built console in `web/dist/` was made of, as one number: the build writes it down, and a test compares. Runs in the build and in
 * the test. Only what is in the checkout counts, so the number is the same on every machine.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Beside `web/dist/index.html`, not served. */
export const manifestName = 'built-from.json';

export type Manifest = {
  /** SHA-256 over the sources and the versions. */
  readonly sources: string;
  /** Every built file, relative to `web/dist/`, with the SHA-256 of its bytes. */
  readonly files: Readonly<Record<string, string>>;
};

/** Packages whose code is in the build, or makes it. */
const packages = ['@elevenlabs/client', 'preact', 'uplot', 'vite'] as const;

/** Files of the engine that are in the build too: the shape of the turn event, and of what the dashboard is sent. */
const shared = ['src/wire/turn-event.ts', 'src/telemetry/interval-histogram.ts', 'src/telemetry/series-bucket.ts'] as const;

export function hashOf(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Paths below `folder`, with slashes, in a fixed order. */
export function filesBelow(folder: URL): string[] {
  const top = fileURLToPath(folder);
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(top, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort();
}

/** `root`: the folder of the checkout. */
export function hashSources(root: URL): string {
  const sources = filesBelow(new URL('web/src/', root)).map((path) => `web/src/${path}`);
  const files = [...sources, 'web/index.html', 'web/dashboard.html', 'web/vite.config.ts', 'web/sources.ts', ...shared];
  const lines = files.map((path) => `${path} ${hashOf(readFileSync(new URL(path, root), 'utf8').replaceAll('\r\n', '\n'))}`);
  const { devDependencies } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  for (const name of packages) lines.push(`${name} ${devDependencies[name] ?? 'missing'}`);
  return hashOf(lines.join('\n'));
}
