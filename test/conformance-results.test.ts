/** What the conformance list reads from the output of its tests. */
import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { conformanceItems, partsLeftOut } from './conformance/items.js';
import { namedResults } from './conformance/results.js';

test('outcomes of named tests, at any depth', (t) => {
  const tap = [
    'TAP version 14',
    'ok 1 - C7 the first frame # time=12.5ms',
    'ok 2 - C15 C18 two items # time=1ms',
    'not ok 3 - C9 late # time=3ms',
    'ok 3 - R2, R9: signed URLs # time=3ms',
    'ok 4 - in Chromium # time=9ms {',
    '    ok 1 - C41 the farewell # time=4ms',
    '    ok 2 - should be equal',
    '}',
    'ok 5 - C46 half open # SKIP takes 40 s',
    'ok 6 - C47 buffered # time=2ms {',
  ].join('\n');
  t.same(
    namedResults(tap).map(({ ids, outcome, reason }) => [ids.join(), outcome, reason]),
    [
      ['C7', 'pass', ''],
      ['C15,C18', 'pass', ''],
      ['C9', 'fail', ''],
      ['R2,R9', 'pass', ''],
      ['C41', 'pass', ''],
      ['C46', 'skip', 'takes 40 s'],
      ['C47', 'pass', ''],
    ],
  );
  t.end();
});

test('the list is whole: C1 to C48, R1 to R10', (t) => {
  t.equal(conformanceItems.length, 58);
  t.equal(new Set(conformanceItems.map(({ id }) => id)).size, 58);
  t.equal(conformanceItems[47]?.id, 'C48');
  const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8').split('\n');
  for (const { id, what } of partsLeftOut) {
    t.ok(conformanceItems.some((item) => item.id === id));
    const name = what.replace(/^the helper of /, '');
    t.ok(
      page.some((line) => line.startsWith(`| ${name} |`) && line.includes(id)),
      `${id}, ${what}: docs/protocol.md says so`,
    );
  }
  t.end();
});
