import fc from 'fast-check';
import { test } from 'tap';
import { Resampler, resample } from '../src/audio/resample.js';
import { hz } from '../src/shared/units.js';

const rates = [8000, 16000, 22050, 24000, 44100, 48000].map(hz);
const pairs = rates.flatMap((from) => rates.map((to) => [from, to] as const));

/** A tone as it would sound at any rate: the same instants give the same values. */
function tone(frequencyHz: number, rateHz: number, count: number, peak = 12000): Int16Array {
  return Int16Array.from({ length: count }, (_, i) =>
    Math.round(peak * Math.sin((2 * Math.PI * frequencyHz * i) / rateHz + 0.7)),
  );
}

function join(parts: readonly Int16Array[]): Int16Array {
  return Int16Array.from(parts.flatMap((part) => [...part]));
}

test('any chunk sizes give the samples of one big chunk', (t) => {
  const cuts = fc.array(fc.nat(700), { maxLength: 12, size: 'max' });
  fc.assert(
    fc.property(fc.constantFrom(...pairs), cuts, fc.int16Array({ maxLength: 3000, size: 'max' }), ([from, to], sizes, input) => {
      const resampler = new Resampler(from, to);
      // Twice, because `flush` must leave it as new.
      for (let round = 0; round < 2; round++) {
        const parts: Int16Array[] = [];
        let at = 0;
        for (const size of sizes) {
          parts.push(resampler.process(input.subarray(at, at + size)));
          at = Math.min(input.length, at + size);
        }
        parts.push(resampler.process(input.subarray(at)), resampler.flush());
        const whole = resample(input, from, to);
        if (Buffer.compare(bytesOf(join(parts)), bytesOf(whole)) !== 0) return false;
        if (whole.length !== Math.ceil((input.length * to) / from)) return false;
      }
      return true;
    }),
    { numRuns: 150 },
  );
  t.end();
});

test('a tone keeps its place, its level and its purity', (t) => {
  const problems: string[] = [];
  for (const [from, to] of pairs) {
    for (const share of [0.05, 0.25, 0.42]) {
      const frequencyHz = share * Math.min(from, to);
      const out = resample(tone(frequencyHz, from, from / 5), from, to);
      const ideal = tone(frequencyHz, to, out.length);
      let worst = 0;
      for (let i = out.length * 0.3; i < out.length * 0.7; i++)
        worst = Math.max(worst, Math.abs(out[Math.floor(i)]! - ideal[Math.floor(i)]!));
      // -75 dB of the peak; a shift of 1/1000 sample at the highest of these tones would exceed it.
      if (worst > 12000 * 10 ** (-75 / 20)) problems.push(`${from} to ${to}, ${frequencyHz} Hz: ${worst} away from the ideal`);
    }
  }
  t.same(problems, []);
  t.end();
});

test('what the lower rate cannot hold is gone', (t) => {
  const problems: string[] = [];
  for (const [from, to] of pairs) {
    if (from <= to) continue;
    for (let frequencyHz = to / 2; frequencyHz < from / 2; frequencyHz += to / 15) {
      const out = resample(tone(frequencyHz, from, from / 5, 32000), from, to);
      const middle = out.subarray(Math.floor(out.length * 0.3), Math.floor(out.length * 0.7));
      const rms = Math.sqrt(middle.reduce((sum, value) => sum + value * value, 0) / middle.length);
      const aliasDb = 20 * Math.log10(Math.max(rms, 0.01) / (32000 / Math.SQRT2));
      if (aliasDb > -79) problems.push(`${from} to ${to}: ${frequencyHz} Hz is still at ${aliasDb.toFixed(1)} dB`);
    }
  }
  t.same(problems, []);
  t.end();
});

test('silence and constants stay what they are; loud edges clip', (t) => {
  const problems: string[] = [];
  for (const [from, to] of pairs) {
    const still = resample(new Int16Array(4000).fill(-20000), from, to);
    const middle = still.subarray(still.length / 2 - 50, still.length / 2 + 50);
    if (middle.some((value) => value !== -20000)) problems.push(`${from} to ${to}: a constant changed`);
    const square = Int16Array.from({ length: 4000 }, (_, i) => (Math.floor(i / 100) % 2 === 0 ? 32767 : -32768));
    const loud = resample(square, from, to);
    // The overshoot beside each edge must saturate, not wrap to the other sign.
    const [up, down] = [loud[Math.round((250 * to) / from)]!, loud[Math.round((350 * to) / from)]!];
    if (up < 30000 || down > -30000) problems.push(`${from} to ${to}: ${up}, ${down}`);
    for (let i = 1; i < 98; i++) {
      const at = Math.round(((1000 + i) * to) / from);
      if (i > 5 && i < 95 && loud[at]! < 0) problems.push(`${from} to ${to}: wrapped at ${at}`);
    }
  }
  t.same(problems, []);
  t.end();
});

test('latency is as stated', (t) => {
  for (const [from, to] of pairs) {
    const resampler = new Resampler(from, to);
    const needed = resampler.latencySamples;
    t.equal(resampler.process(new Int16Array(needed)).length, 0, `${from} to ${to}: nothing from ${needed} samples`);
    t.ok(resampler.process(new Int16Array(1)).length >= 1, `${from} to ${to}: the first output with one more`);
  }
  t.end();
});

test('rates that have no table', (t) => {
  t.throws(() => new Resampler(hz(16000), hz(44101)), { name: 'EngineError', kind: 'config' });
  t.throws(() => new Resampler(hz(0), hz(8000)), { name: 'EngineError', kind: 'config' });
  t.throws(() => new Resampler(hz(8000.5), hz(8000)), { name: 'EngineError', kind: 'config' });
  t.equal(resample(new Int16Array(11025), hz(11025), hz(16000)).length, 16000);
  t.end();
});

function bytesOf(samples: Int16Array): Buffer {
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
}
