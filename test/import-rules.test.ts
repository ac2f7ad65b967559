/** Who may import whom: the table of docs/architecture.md. Types count too, so there are no cycles between folders. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Folder of `src` → folders of `src` it may import, besides itself. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  shared: [],
  audio: ['shared'],
  wire: ['shared'],
  turn: ['shared'],
  'turn-model': ['shared'],
  telemetry: ['shared'],
  vad: ['shared', 'audio'],
  stt: ['shared', 'audio'],
  llm: ['shared', 'audio', 'stt'],
  tts: ['shared', 'audio'],
  store: ['shared', 'turn', 'wire', 'stt'],
  tools: ['shared'],
  api: ['shared', 'audio', 'wire', 'store', 'stt', 'tools', 'telemetry'],
  conversation: ['shared', 'turn', 'wire', 'llm', 'store', 'telemetry', 'api', 'tools'],
  server: ['shared', 'audio', 'wire', 'turn', 'conversation', 'telemetry', 'api'],
  hosts: ['shared', 'vad', 'stt', 'llm', 'tts', 'conversation', 'telemetry', 'api', 'store', 'wire'],
  fleet: ['shared', 'telemetry', 'store', 'api', 'server'],
};
/** What workers host: everything but sockets. */
const workersMay = [
  'hosts',
  'shared',
  'audio',
  'turn',
  'turn-model',
  'vad',
  'stt',
  'llm',
  'tts',
  'conversation',
  'telemetry',
  'api',
  'store',
  'tools',
  'wire',
  'thread-start.js',
];
const loadMay = ['shared', 'audio', 'wire', 'tts/embedded'];

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(folder, file));
}

/** Paths, from the root, of what a file imports of ours. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const specifiers = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']*)'/g)].map((match) => match[1]!);
  return specifiers.map((specifier) => relative(root, join(root, dirname(file), specifier)));
}

test('each folder imports only what the table allows', (t) => {
  const wrong: string[] = [];
  let count = 0;
  for (const file of filesUnder('src')) {
    const folder = file.split('/').length > 2 ? file.split('/')[1]! : undefined;
    if (folder === undefined) continue;
    const may = allowed[folder];
    if (may === undefined) {
      wrong.push(`${file}: src/${folder} is not in the table`);
      continue;
    }
    for (const target of importsOf(file)) {
      count += 1;
      const [top, to] = target.split('/');
      if (top !== 'src' || to === undefined || (to !== folder && !may.includes(to))) wrong.push(`${file} imports ${target}`);
    }
  }
  for (const file of filesUnder('workers')) {
    for (const target of importsOf(file)) {
      count += 1;
      if (!workersMay.some((name) => target === `src/${name}` || target.startsWith(`src/${name}/`)))
        wrong.push(`${file} imports ${target}`);
    }
  }
  for (const file of filesUnder('load')) {
    for (const target of importsOf(file)) {
      count += 1;
      const isOwn = target.startsWith('load/');
      if (!isOwn && !loadMay.some((name) => target.startsWith(`src/${name}/`))) wrong.push(`${file} imports ${target}`);
    }
  }
  t.same(wrong, []);
  t.ok(count > 200, `${count} imports were looked at`);
  t.end();
});

test('settings are read in one place, workers are started in one place', (t) => {
  const files = [...filesUnder('src'), ...filesUnder('workers')];
  const readers = files.filter((file) => /process\.env(?!\['\w+'\] = )/.test(readFileSync(join(root, file), 'utf8')));
  t.same(readers, ['src/main.ts']);
  const starters = files.filter((file) => /new Worker\(/.test(readFileSync(join(root, file), 'utf8')));
  t.same(starters.sort(), ['src/lane.ts', 'src/store/pglite.ts'], 'the store starts its database when it is first used');
  t.end();
});
