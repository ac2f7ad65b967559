/**
 * The resampler's filter, measured from outside, and its price. Levels come from sines fed through `resample` at -1 dB and fitted by least
 * squares, so they include the rounding to 16 bits (about -98 dB). Prices are of a real-time stream in 20 ms chunks, one at a time on a warm
 * cache; a machine that runs many streams at once pays more for memory than is shown here.
 */
import { Resampler, resample } from '../src/audio/resample.js';
import { hz } from '../src/shared/units.js';

const rates = [8000, 16000, 22050, 24000, 44100, 48000];
const amplitude = 29200;

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

function measure(fromHz: number, toHz: number): string[] {
  const lower = Math.min(fromHz, toHz);
  const seconds = 0.25;
  const through = (frequencyHz: number) =>
    resample(sine(frequencyHz, fromHz, Math.round(fromHz * seconds)), hz(fromHz), hz(toHz));
  let [ripple, images, alias] = [0, -Infinity, -Infinity];
  for (let share = 0.01; share <= 0.4301; share += 0.02) {
    const { toneDb, restDb } = split(through(share * lower), share * lower, toHz);
    ripple = Math.max(ripple, Math.abs(toneDb));
    images = Math.max(images, restDb);
  }
  const edge = split(through(0.465 * lower), 0.465 * lower, toHz).toneDb;
  for (let frequencyHz = 0.5 * toHz; frequencyHz < 0.499 * fromHz; frequencyHz += 0.01 * toHz) {
    alias = Math.max(alias, levelDb(through(frequencyHz), amplitude / Math.SQRT2));
  }
  const resampler = new Resampler(hz(fromHz), hz(toHz));
  const chunk = sine(440, fromHz, Math.round(fromHz / 50));
  let made = 0;
  const run = (chunks: number) => {
    for (let i = 0; i < chunks; i++) made += resampler.process(chunk).length;
  };
  run(500);
  made = 0;
  const startedAtNs = process.hrtime.bigint();
  run(1000);
  const nsPerSample = Number(process.hrtime.bigint() - startedAtNs) / made;
  return [
    `${fromHz} -> ${toHz}`,
    ripple.toFixed(4),
    edge.toFixed(2),
    images.toFixed(1),
    fromHz > toHz ? alias.toFixed(1) : '-',
    ((resampler.latencySamples / fromHz) * 1000).toFixed(2),
    nsPerSample.toFixed(0),
    ((nsPerSample * toHz) / 1e7).toFixed(3),
  ];
}

const heads = ['rates in Hz', 'ripple dB', 'edge dB', 'residue dB', 'alias dB', 'latency ms', 'ns/sample', '% of a core'];
console.log(
  'ripple: largest deviation up to 0.43 of the lower rate; edge: gain at 0.465 of it; residue: everything but the tone (images, rounding);',
);
console.log('alias: loudest remainder of tones above half the output rate; % of a core: one real-time stream.\n');
console.log(heads.map((head) => head.padStart(15)).join(''));
for (const from of rates) {
  for (const to of rates) {
    if (from !== to)
      console.log(
        measure(from, to)
          .map((cell) => cell.padStart(15))
          .join(''),
      );
  }
}
