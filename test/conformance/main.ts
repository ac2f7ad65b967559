/**
 * `npm run conformance`: plays every test that names an item of the list, as often as the list says, and prints the list with what came of it.
 * Ends with 1 when an item fails or has no test.
 */
import { basename, relative } from 'node:path';
import { conformanceItems, partsLeftOut } from './items.js';
import { conformanceFiles, otherFiles, type Played, play } from './player.js';

const fileTimeoutMs = 600_000;
const failuresShownMax = 40;
const indent = ' '.repeat(15);

if (process.argv.includes('--help')) {
  console.log(`Plays every item of the protocol's list against the engine, with the official clients, and prints what came of each: about four minutes,
on a machine that does nothing else. CHROMIUM names a Chromium that is not on the PATH; without one the browser's items are left out.
Ends with 1 when an item fails.

  npm run conformance`);
  process.exit(0);
}
console.log('Playing the conformance tests …');
const played: Played[] = [];
// One file after the other: they measure time.
for (const path of [...conformanceFiles(), ...otherFiles()]) {
  const one = await play(path, true, fileTimeoutMs);
  played.push(one);
  const passed = one.results.filter(({ outcome }) => outcome === 'pass').length;
  console.log(`  ${basename(path)}: ${passed} of ${one.results.length} passed, ${one.seconds} s`);
}

const results = played.flatMap((one) => one.results);
const counts = { pass: 0, fail: 0, 'left out': 0 };
for (const { id, sentence } of conformanceItems) {
  const own = results.filter(({ ids }) => ids.includes(id));
  const ran = own.filter(({ outcome }) => outcome !== 'skip');
  const isFailed = own.length === 0 || ran.some(({ outcome }) => outcome === 'fail');
  const outcome = isFailed ? 'fail' : ran.length === 0 ? 'left out' : 'pass';
  counts[outcome] += 1;
  console.log(`${id.padEnd(4)} ${outcome.padEnd(9)} ${sentence}`);
  if (own.length === 0) console.log(`${indent}no test names it`);
  for (const { name, outcome, reason } of own) {
    if (outcome === 'fail') console.log(`${indent}failed: ${name}`);
    if (outcome === 'skip') console.log(`${indent}left out: ${name} (${reason})`);
  }
  for (const part of partsLeftOut) if (part.id === id) console.log(`${indent}left out: ${part.what} (${part.why})`);
}

for (const { path, failures, trouble } of played) {
  if (failures.length > 0) console.log(`\n${basename(path)} (CONFORMANCE=full node ${relative(process.cwd(), path)}):`);
  for (const line of failures.slice(0, failuresShownMax)) console.log(line);
  if (trouble !== undefined) console.log(`\n${basename(path)} did not end well:\n${trouble}`);
}
console.log(`\nconformance: ${counts.pass} passed, ${counts.fail} failed, ${counts['left out']} skipped`);
process.exitCode = counts.fail > 0 || played.some(({ trouble }) => trouble !== undefined) ? 1 : 0;
