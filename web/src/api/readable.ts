/** What the server's schemas say of a value, in the words of somebody who looks at a form. Pure. */

const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  undefined: 'nothing',
  null: 'nothing',
};
const kind = (name: string): string => kinds[name] ?? name;

const rows: readonly (readonly [RegExp, (...parts: string[]) => string])[] = [
  [/^Too big: expected (?:number|int) to be <=?(-?[\d.]+)$/, (most) => `At most ${most}.`],
  [/^Too small: expected (?:number|int) to be >=?(-?[\d.]+)$/, (least) => `At least ${least}.`],
  [/^Too big: expected string to have <=(\d+) characters$/, (most) => `At most ${most} characters.`],
  [/^Too small: expected string to have >=1 characters$/, () => 'This must not be empty.'],
  [/^Too small: expected string to have >=(\d+) characters$/, (least) => `At least ${least} characters.`],
  [/^Too big: expected array to have <=(\d+) items$/, (most) => `At most ${most} entries.`],
  [/^Too small: expected array to have >=(\d+) items$/, (least) => `At least ${least} entries.`],
  [/^Invalid input: expected (\w+), received undefined$/, (wanted) => `This is missing: ${kind(wanted)}.`],
  [/^Invalid input: expected (\w+), received (\w+)$/, (wanted, found) => `This must be ${kind(wanted)}, not ${kind(found)}.`],
  [/^Invalid option: expected one of (.+)$/, (names) => `One of: ${names.replaceAll('"', '').replaceAll('|', ', ')}.`],
];

/** The message itself where it is of another kind: most are sentences already. */
export function readable(message: string): string {
  for (const [pattern, say] of rows) {
    const found = pattern.exec(message);
    if (found !== null) return say(...found.slice(1));
  }
  return message;
}
