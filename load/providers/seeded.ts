/**
 * Seeded randomness of the simulated providers: the same seed and the same keys give the same numbers, whatever happens beside them.
 * Pure; runs on the simulator's main thread.
 */

/** A source of numbers, uniform in 0 (inclusive) .. 1 (exclusive). */
export type Random = () => number;

/** FNV-1a over UTF-16 units, continued from `start`; an unsigned 32-bit number. */
export function hashOf(text: string, start = 0x811c9dc5): number {
  let hash = start;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

/** A generator (mulberry32) that belongs to `seed` and `keys` alone. */
export function randomOf(seed: number, ...keys: readonly (string | number)[]): Random {
  let state = hashOf(keys.join('\u0000'), (seed ^ 0x9e3779b9) >>> 0);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Standard normal deviate (Box-Muller); takes two numbers from `random`. */
export function normalOf(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** One of `choices`, which must not be empty. */
export function pickOf<Choice>(random: Random, choices: readonly Choice[]): Choice {
  return choices[Math.floor(random() * choices.length)] as Choice;
}
