/** Flags of the rigs: numbers within bounds, texts, and `--json FILE`. */
import { parseArgs } from 'node:util';

/** Whole numbers, unless `isDecimal`. */
export type Flag = {
  readonly fallback: number;
  readonly min: number;
  readonly max: number;
  readonly means: string;
  readonly isDecimal?: true;
};
/** Undefined when not given. */
export type TextFlag = { readonly means: string; readonly allowed?: readonly string[] };

/**
 * Reads `args`; undefined after printing `usage` for `--help`. Ends the process with status 2, naming the flag, its value and the range, when
 * one is wrong.
 */
export function readFlags<Name extends string, TextName extends string = never>(
  usage: string,
  flags: Readonly<Record<Name, Flag>>,
  args: readonly string[] = process.argv.slice(2),
  texts: Readonly<Record<TextName, TextFlag>> = {} as Readonly<Record<TextName, TextFlag>>,
): (Record<Name, number> & Record<TextName, string | undefined> & { readonly json: string | undefined }) | undefined {
  const names = Object.keys(flags) as Name[];
  const textNames = Object.keys(texts) as TextName[];
  const options = Object.fromEntries([...names, ...textNames].map((name) => [name, { type: 'string' as const }]));
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
    for (const name of textNames) {
      const { means, allowed } = texts[name];
      console.log(`  --${name.padEnd(12)} ${means}${allowed === undefined ? '' : ` (${allowed.join(', ')})`}`);
    }
    console.log(`  --${'json'.padEnd(12)} file for everything behind the figures`);
    return undefined;
  }
  const read = (name: Name): number => {
    const { fallback, min, max, isDecimal } = flags[name];
    const text = values[name];
    if (typeof text !== 'string') return fallback;
    const value = Number(text);
    const pattern = isDecimal === true ? /^\d+(?:\.\d+)?$/ : /^\d+$/;
    if (!pattern.test(text) || value < min || value > max)
      wrong(`--${name} ${text}: a ${isDecimal === true ? '' : 'whole '}number from ${min} to ${max}`);
    return value;
  };
  const readText = (name: TextName): string | undefined => {
    const text = values[name];
    if (typeof text !== 'string') return undefined;
    const { allowed } = texts[name];
    if (allowed !== undefined && !allowed.includes(text)) wrong(`--${name} ${text}: one of ${allowed.join(', ')}`);
    return text;
  };
  const numbers = Object.fromEntries(names.map((name) => [name, read(name)])) as Record<Name, number>;
  const given = Object.fromEntries(textNames.map((name) => [name, readText(name)])) as Record<TextName, string | undefined>;
  return { ...numbers, ...given, json: typeof values['json'] === 'string' ? values['json'] : undefined };
}
