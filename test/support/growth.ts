/** How the cost of a piece of work grows, for tests that forbid quadratic time. Counts processor time, which a busy machine does not stretch. */

const runs = 9;

/**
 * Processor time for four times `size`, as a multiple of that for `size`: about 4 for linear work, 16 for quadratic.
 * The best of nine runs each: a busy machine and the compiler spoil single ones.
 */
export async function growth(work: (size: number) => unknown, size: number): Promise<number> {
  await work(size);
  const small = await best(() => work(size));
  return (await best(() => work(4 * size))) / small;
}

async function best(work: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run += 1) {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  return least;
}
