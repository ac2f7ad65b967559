/** Decoded audio of a file, and how its channels become one. Pure; used off the hot path (readers, tools, tests). */
import type { Hz } from '../shared/units.js';

/** One array per channel, all of the same length. */
export type Recording = { readonly channels: readonly Int16Array[]; readonly rateHz: Hz };

/** The mean of all channels, rounded; the channel itself (not a copy) when there is only one. */
export function monoOf(recording: Recording): Int16Array {
  const [first, ...others] = recording.channels;
  if (first === undefined) return new Int16Array(0);
  if (others.length === 0) return first;
  const mono = new Int16Array(first.length);
  for (let i = 0; i < mono.length; i++) {
    let sum = first[i]!;
    for (const channel of others) sum += channel[i]!;
    mono[i] = Math.round(sum / recording.channels.length);
  }
  return mono;
}
