/**
 * The resampler's filter, measured from outside, and its price, for each pair of the protocol's rates. `node dist/bench/resample.js
 * [--json FILE]`, about twenty seconds. Levels come from sines fed through `resample` at -1 dB and fitted by least squares, so they include the
 * rounding to 16 bits (about -98 dB). Prices are of a real-time stream in 20 ms chunks, one at a time on a warm cache; a machine that runs many
 * streams at once pays more for memory than is shown here.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Resampler, resample } from '../src/audio/resample.js';
import { hz } from '../src/shared/units.js';

const rates = [8000, 16000, 22050, 24000, 44100, 48000];
const amplitude = 29200;
/** As `src/audio/resample.ts` says: flat up to here, stopped from half the lower rate on. Shares of the lower rate. */
const flatUpTo = 0.43;
const rippleMaxDb = 0.01;
const rejectionMinDb = 80;
/** Distance of two test tones, as a share of the lower rate. */
const toneStep = 0.01;

function sine(frequencyHz: number, rateHz: number, count: number): Int16Array {
  return Int16Array.from({ length: count }, (_, i) =>
    Math.round(amplitude * Math.cos((2 * Math.PI * frequencyHz * i) / rateHz + 0.3)),
  );
}

/** Root mean square of the middle of `samples`, away from the edges, in dB relative to `reference`. */
function levelDb(samples: Int16Array, reference: number): number {
  let sum = 0;
  const [from, to] = [Math.floor(samples.length / 4), Math.floor((3 * samples.length) / 4)];
  for (let i = from; i < to; i++) sum += samples[i]! ** 2;
  return 10 * Math.log10(Math.max(sum / (to - from), 1e-3) / reference ** 2);
}

/** Level of the sine itself in dB relative to the input's, and of everything else (images, aliases, rounding). */
function split(samples: Int16Array, frequencyHz: number, rateHz: number): { toneDb: number; restDb: number } {
  const [from, to] = [Math.floor(samples.length / 4), Math.floor((3 * samples.length) / 4)];
  let [cc, ss, cs, xc, xs] = [0, 0, 0, 0, 0];
  for (let i = from; i < to; i++) {
    const [c, s] = [Math.cos((2 * Math.PI * frequencyHz * i) / rateHz), Math.sin((2 * Math.PI * frequencyHz * i) / rateHz)];
    cc += c * c;
    ss += s * s;
    cs += c * s;
    xc += samples[i]! * c;
    xs += samples[i]! * s;
  }
  const determinant = cc * ss - cs * cs;
  const [inPhase, quadrature] = [(xc * ss - xs * cs) / determinant, (xs * cc - xc * cs) / determinant];
  let rest = 0;
  for (let i = from; i < to; i++) {
    const angle = (2 * Math.PI * frequencyHz * i) / rateHz;
    rest += (samples[i]! - inPhase * Math.cos(angle) - quadrature * Math.sin(angle)) ** 2;
  }
  return {
    toneDb: 20 * Math.log10(Math.hypot(inPhase, quadrature) / amplitude),
    restDb: 10 * Math.log10(rest / (to - from) / (amplitude ** 2 / 2)),
  };
}

type Row = {
  readonly fromHz: number;
  readonly toHz: number;
  /** Largest deviation from 0 dB up to `flatUpTo`. */
  readonly rippleDb: number;
  /** Gain at 0.465 of the lower rate. */
  readonly edgeDb: number;
  /** Loudest of what was not in the input, for tones of the whole input band: images when the rate goes up, aliases when it goes down. */
  readonly rejectionDb: number;
  readonly latencyMs: number;
  /** One 20 ms chunk. */
  readonly chunkUs: number;
};

function measure(fromHz: number, toHz: number): Row {
  const lower = Math.min(fromHz, toHz);
  const seconds = 0.25;
  const through = (frequencyHz: number): Int16Array =>
    resample(sine(frequencyHz, fromHz, Math.round(fromHz * seconds)), hz(fromHz), hz(toHz));
  let rippleDb = 0;
  let foreignDb = Number.NEGATIVE_INFINITY;
  for (let share = toneStep; share * lower < 0.5 * fromHz - 1; share += toneStep) {
    const frequencyHz = share * lower;
    // A tone that the output cannot hold is all alias; of the others everything but the tone itself is foreign.
    if (frequencyHz >= 0.5 * toHz) {
      foreignDb = Math.max(foreignDb, levelDb(through(frequencyHz), amplitude / Math.SQRT2));
      continue;
    }
    const { toneDb, restDb } = split(through(frequencyHz), frequencyHz, toHz);
    if (share <= flatUpTo + toneStep / 2) rippleDb = Math.max(rippleDb, Math.abs(toneDb));
    foreignDb = Math.max(foreignDb, restDb);
  }
  const resampler = new Resampler(hz(fromHz), hz(toHz));
  const chunk = sine(440, fromHz, Math.round(fromHz / 50));
  return {
    fromHz,
    toHz,
    rippleDb,
    edgeDb: split(through(0.465 * lower), 0.465 * lower, toHz).toneDb,
    rejectionDb: -foreignDb,
    latencyMs: (resampler.latencySamples / fromHz) * 1000,
    chunkUs: microsecondsPerChunk(resampler, chunk),
  };
}

/** The median of some rounds. */
function microsecondsPerChunk(resampler: Resampler, chunk: Int16Array): number {
  const chunks = 200;
  const times: number[] = [];
  for (let round = 0; round < 20; round++) {
    const startedAt = process.hrtime.bigint();
    for (let index = 0; index < chunks; index++) resampler.process(chunk);
    times.push(Number(process.hrtime.bigint() - startedAt) / chunks / 1000);
  }
  return times.slice(5).sort((a, b) => a - b)[7]!;
}

const { values } = parseArgs({ options: { json: { type: 'string' } } });
const columns = [
  ['rates in Hz', (row: Row) => `${row.fromHz} -> ${row.toHz}`],
  ['ripple dB', (row: Row) => row.rippleDb.toFixed(4)],
  ['edge dB', (row: Row) => row.edgeDb.toFixed(2)],
  ['rejection dB', (row: Row) => row.rejectionDb.toFixed(1)],
  ['latency ms', (row: Row) => row.latencyMs.toFixed(2)],
  ['µs per 20 ms', (row: Row) => row.chunkUs.toFixed(1)],
  ['% of a core', (row: Row) => (row.chunkUs / 200).toFixed(3)],
] as const;
const line = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(16)).join('');

console.log(
  `ripple: largest deviation up to ${flatUpTo} of the lower rate; edge: gain at 0.465 of it; rejection: how far below a tone everything is`,
);
console.log(
  'that was not in the input (aliases, images, rounding), for tones up to half the input rate; % of a core: one real-time stream.\n',
);
console.log(line(columns.map(([name]) => name)));
const rows: Row[] = [];
for (const from of rates) {
  for (const to of rates) {
    if (from === to) continue;
    const row = measure(from, to);
    rows.push(row);
    console.log(line(columns.map(([, cell]) => cell(row))));
  }
}
const rippleDb = Math.max(...rows.map((row) => row.rippleDb));
const rejectionDb = Math.min(...rows.map((row) => row.rejectionDb));
const holds = rippleDb <= rippleMaxDb && rejectionDb >= rejectionMinDb;
console.log(
  `\n${holds ? 'holds' : 'FAILS'}: ripple at most ${rippleDb.toFixed(4)} dB (bar ${rippleMaxDb}), rejection at least ${rejectionDb.toFixed(1)} dB (bar ${rejectionMinDb})`,
);
if (values.json !== undefined) {
  writeFileSync(values.json, JSON.stringify({ rippleMaxDb, rejectionMinDb, rows, rippleDb, rejectionDb, holds }, null, 2));
}
process.exitCode = holds ? 0 : 1;
