/** Memory that is lent again: a spare piece goes to whoever it fits, and no more is kept than is worth it. */
import { test } from 'tap';
import { giveBack, lend } from '../src/shared/lent-memory.js';

const step = 32_768;

test('a spare piece is lent again for what it fits', async (t) => {
  const [small, large] = [lend(step - 1), lend(5 * step)];
  t.same([small.byteLength, large.byteLength], [step, 5 * step], 'whole steps');
  giveBack(large);
  giveBack(small);
  t.equal(lend(3 * step), large, 'for less than it holds');
  giveBack(large);
  t.not(lend(2 * step), large, 'not for less than half of it');
  t.equal(lend(1), small, 'the smallest that is large enough');
  t.not(lend(1), small, 'to one at a time');
});

test('what is kept has a limit', async (t) => {
  const pieces = Array.from({ length: 40 }, () => lend(4 * step));
  for (const piece of pieces) giveBack(piece);
  const again = Array.from({ length: 40 }, () => lend(4 * step));
  const kept = again.filter((piece) => pieces.includes(piece));
  t.ok(kept.length >= 8 && kept.length <= 16, `${kept.length} of 40 pieces of 128 KB`);
});
