/**
 * How much new memory a thread fills before its dead objects are collected. What a frame or a token leaves behind is dead at once, so small young
 * generations, with more and shorter collections, cost little, and a call is not charged with memory that only waits to be collected:
 * figures in docs/decisions/memory-per-call.md.
 */

/** `maxYoungGenerationSizeMb` of a worker thread: three times the 1 MB that a half then has. */
export const youngGenerationMb = 3;

/** What `npm start` tells Node, for main, the pools and the database's thread. Main's halves otherwise grow to 16 MB; no call in the process can do it. */
export const smallYoungGeneration: readonly string[] = ['--max-semi-space-size=1'];
