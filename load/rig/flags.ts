/** Flags of the rigs: whole numbers within bounds, and `--json FILE`. */
import { parseArgs } from 'node:util';

export type Flag = { readonly fallback: number; readonly min: number; readonly max: number; readonly means: string };

/**
 * Reads `args`; undefined after printing `usage` for `--help`. Ends the process with status 2, naming the flag, its value and the range, when
 * one is wrong.
 */
export function readFlags<Name extends string>(
  usage: string,
  flags: Readonly<Record<Name, Flag>>,
  args: readonly string[] = process.argv.slice(2),
): (Record<Name, number> & { readonly json: string | undefined }) | undefined {
  const names = Object.keys(flags) as Name[];
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const wrong = (message: string): never => {
    console.error(message);
    process.exit(2);
  };
  let values: Record<string, string | boolean | undefined> = {};
  try {
    ({ values } = parseArgs({ args: [...args], options: { ...options, json: { type: 'string' }, help: { type: 'boolean' } } }));
  } catch (error) {
    wrong(error instanceof Error ? error.message : String(error));
  }
  if (values['help'] === true) {
    console.log(usage);
    for (const name of names) {
      const { fallback, min, max, means } = flags[name];
      console.log(`  --${name.padEnd(12)} ${means} (${fallback}; ${min}..${max})`);
    }
    console.log(`  --${'json'.padEnd(12)} file for everything behind the figures`);
    return undefined;
  }
  const read = (name: Name): number => {
    const { fallback, min, max } = flags[name];
    const text = values[name];
    if (typeof text !== 'string') return fallback;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) wrong(`--${name} ${text}: a whole number from ${min} to ${max}`);
    return value;
  };
  const numbers = Object.fromEntries(names.map((name) => [name, read(name)])) as Record<Name, number>;
  return { ...numbers, json: typeof values['json'] === 'string' ? values['json'] : undefined };
}
