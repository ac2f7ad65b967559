/**
 * C1 to C48 with small counts: the files of `test/conformance/`, some of them beside each other, because they mostly wait. `npm run
 * conformance` plays them in full, with the REST side, and prints the list.
 */
import { basename } from 'node:path';
import { test } from 'tap';
import { conformanceFiles, play } from './conformance/player.js';

const filesAtOnce = 3;
const fileTimeoutMs = 100_000;
/** The longest ones; they go first. */
const longest = ['browser.test.js', 'audio.test.js'];

test('the conformance list', { jobs: filesAtOnce, timeout: 240_000 }, async (t) => {
  const rank = (path: string): number => (longest.indexOf(basename(path)) + longest.length + 1) % (longest.length + 1);
  const files = conformanceFiles().sort((left, right) => rank(left) - rank(right));
  const all = files.map((path) =>
    t.test(basename(path), { buffered: true, timeout: fileTimeoutMs }, async (t) => {
      const { results, failures, trouble } = await play(path, false, fileTimeoutMs);
      for (const { name, outcome, reason } of results) {
        if (outcome === 'skip') t.pass(name, { skip: reason });
        else t.ok(outcome === 'pass', name);
      }
      t.same(failures, []);
      t.equal(trouble, undefined, 'it ended well');
    }),
  );
  await Promise.all(all);
});
