/**
 * Noise floor of one session: how loud its line is when nobody speaks. Pure; runs on the VAD thread, once per hop.
 *
 * It is a minimum over the last second of hops in which the model heard no speech. So it follows a new steady noise up within that second,
 * however loud it is, follows a fall at once, ignores a bang, and cannot creep up during speech. A noise that the model takes for
 * speech never gets into that minimum; therefore the minimum of the last seconds of all hops raises the floor too: speech has gaps in such
 * a stretch, a hum has none. A minimum and not a mean or a quantile, because soft speech that the model misses would raise those.
 */

export type FloorSettings = {
  /** The floor until something is known, and the lowest it gets: on a gated line every rustle would be loud otherwise. */
  readonly floorMinDb: number;
  /** Hops below this are digital silence (a gap, a mute, a noise gate) and say nothing about the line. */
  readonly digitalSilenceDb: number;
  /** How many hops without speech are looked back on, and how many of any kind. */
  readonly quietHops: number;
  readonly anyHops: number;
};

export const floorDefaults: FloorSettings = {
  floorMinDb: -65,
  digitalSilenceDb: -85,
  quietHops: 31,
  anyHops: 125,
};

/** The last levels of one kind of hop, and the lowest of them: scanned for only when the one that was it is forgotten. */
type Levels = { readonly last: Float32Array; written: number; lowest: number };

export type FloorState = { readonly settings: FloorSettings; readonly quiet: Levels; readonly any: Levels };

export function newFloor(settings: FloorSettings): FloorState {
  return {
    settings,
    quiet: { last: new Float32Array(settings.quietHops), written: 0, lowest: Number.POSITIVE_INFINITY },
    any: { last: new Float32Array(settings.anyHops), written: 0, lowest: Number.POSITIVE_INFINITY },
  };
}

/** Takes one hop into account. `isQuiet`: the model heard no speech in it. */
export function trackFloor(floor: FloorState, levelDb: number, isQuiet: boolean): void {
  if (levelDb < floor.settings.digitalSilenceDb) return;
  push(floor.any, levelDb);
  if (isQuiet) push(floor.quiet, levelDb);
}

/** The floor in dB relative to full scale. */
export function floorDb(floor: FloorState): number {
  let levelDb = floor.settings.floorMinDb;
  if (floor.quiet.written > 0) levelDb = Math.max(levelDb, floor.quiet.lowest);
  if (floor.any.written >= floor.any.last.length) levelDb = Math.max(levelDb, floor.any.lowest);
  return levelDb;
}

function push(levels: Levels, levelDb: number): void {
  const { last } = levels;
  const at = levels.written % last.length;
  const forgotten = levels.written < last.length ? Number.POSITIVE_INFINITY : last[at]!;
  last[at] = levelDb;
  levels.written += 1;
  const level = last[at]!;
  if (level <= levels.lowest) levels.lowest = level;
  else if (forgotten === levels.lowest) levels.lowest = minimum(levels);
}

function minimum(levels: Levels): number {
  const count = Math.min(levels.written, levels.last.length);
  let lowest = levels.last[0]!;
  for (let index = 1; index < count; index += 1) lowest = Math.min(lowest, levels.last[index]!);
  return lowest;
}
