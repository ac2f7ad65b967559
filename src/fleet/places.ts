/** How many slots each engine process of a fleet has. Pure. */

/** Of a fair share that chance gives, one in some ten thousand is further off than this many standard deviations. */
const deviations = 4;
const spare = 2;

/**
 * The kernel deals connections to processes by chance, so a process has more slots than its share, or callers would be turned away at one while
 * another has places. A slot that nobody uses costs no memory. `callsMax`: of the whole fleet, which no process goes beyond either.
 */
export function slotsFor(callsMax: number, processCount: number): number {
  const share = callsMax / processCount;
  return Math.min(callsMax, Math.ceil(share + deviations * Math.sqrt(share * (1 - 1 / processCount))) + spare);
}
