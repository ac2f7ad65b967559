/** Reads from a test file's TAP which tests named items of the conformance list, and what came of them. Pure. */

export type NamedResult = {
  /** Items that the test names: `C15 C18 the client …` and `R2, R9: signed URLs` name two each. */
  readonly ids: readonly string[];
  readonly name: string;
  readonly outcome: 'pass' | 'fail' | 'skip';
  /** Of a test that was left out. */
  readonly reason: string;
};

const testPoint = /^\s*(not )?ok \d+ - ((?:[CR]\d+[,:]? )+.*?)(?: # time=\S+)?(?: \{)?$/;

export function namedResults(tap: string): NamedResult[] {
  const results: NamedResult[] = [];
  for (const line of tap.split('\n')) {
    const [, failed, text] = testPoint.exec(line) ?? [];
    if (text === undefined) continue;
    const [name = '', reason] = text.split(/ # SKIP ?/i);
    const ids: readonly string[] = /^(?:[CR]\d+[,:]? )+/.exec(name)?.[0].match(/[CR]\d+/g) ?? [];
    name
      .match(/^(?:[CR]\d+ )+/)?.[0]
      .trim()
      .split(' ') ?? [];
    const outcome = reason !== undefined ? 'skip' : failed === undefined ? 'pass' : 'fail';
    results.push({ ids, name, outcome, reason: reason?.replace(/ # time=\S+$/, '').trim() ?? '' });
  }
  return results;
}
