/** Programs explain themselves: `npm run … -- --help` prints the usage and does nothing else. Those of the rigs share `load/rig/flags.ts`. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'tap';

const run = promisify(execFile);

test('npm run … -- --help', async (t) => {
  const rows: [file: string, says: RegExp][] = [
    ['src/main.js', /PARLEY_STORE +where/],
    ['load/providers/main.js', /npm run providers -- \[options\](.|\n)*--profile NAME/],
    ['bench/main.js', /npm run bench -- \[NAME…\](.|\n)*Benches: .*wire/],
    ['test/conformance/main.js', /npm run conformance/],
    ['load/run.js', /--sessions/],
  ];
  const { NODE_OPTIONS: _, ...env } = process.env;
  await Promise.all(
    rows.map(async ([file, says]) => {
      const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
      const { stdout, stderr } = await run(process.execPath, [path, '--help'], { env, timeout: 20_000 });
      t.match(stdout, says, file);
      t.equal(stderr, '', file);
    }),
  );
});
