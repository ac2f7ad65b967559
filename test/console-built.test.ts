/** The console is kept built: `web/dist/` is what the present sources make, whole, and names no place of the machine that built it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'tap';
import { filesBelow, hashOf, hashSources, type Manifest, manifestName } from '../web/sources.js';

const root = new URL('../../', import.meta.url);
const built = new URL('web/dist/', root);
const manifest = JSON.parse(readFileSync(new URL(manifestName, built), 'utf8')) as Manifest;

test('web/dist was built from the present sources', (t) => {
  t.equal(manifest.sources, hashSources(root), 'if not: npm run build:web');
  t.end();
});

test('the built files are those of the build', (t) => {
  const files = filesBelow(built).filter((path) => path !== manifestName);
  t.same(files, Object.keys(manifest.files).sort());
  for (const path of files) t.equal(hashOf(readFileSync(new URL(path, built))), manifest.files[path], path);
  t.end();
});

test('nothing of the machine is in it, and no source map', (t) => {
  const folder = fileURLToPath(root);
  for (const path of filesBelow(built)) {
    const text = readFileSync(new URL(path, built), 'utf8');
    t.notOk(text.includes(folder), `${path} does not name ${folder}`);
    t.notMatch(text, /file:\/\/|\/node_modules\/|\/home\/|\/Users\/|sourceMappingURL/, path);
    t.notMatch(path, /\.map$/);
  }
  t.end();
});
