/** How the benches of small functions take their time: medians of many rounds on a warm cache. No bench by itself. */

const rounds = 15;

/** Nanoseconds for one call of `body`, which is called with 0, 1, 2 …: the median round, after as many to warm up. */
export function nanosecondsPer(callsPerRound: number, body: (index: number) => void): number {
  const times: number[] = [];
  for (let round = 0; round < 2 * rounds; round += 1) {
    const startedAt = process.hrtime.bigint();
    for (let index = 0; index < callsPerRound; index += 1) body(index);
    times.push(Number(process.hrtime.bigint() - startedAt) / callsPerRound);
  }
  return times.slice(rounds).sort((a, b) => a - b)[rounds >> 1]!;
}
