/** The console's resampler worklet, run outside a browser. */
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { test } from 'tap';

type Resampler = { full(samples: ArrayLike<number>): Float32Array };
type Library = { create(channelCount: number, fromRateHz: number, toRateHz: number): Promise<Resampler> };

const scope: { LibSampleRate?: Library } = {};
runInNewContext(readFileSync(new URL('../../web/src/talk/resampler.worklet.js', import.meta.url), 'utf8'), scope);
const library = scope.LibSampleRate!;

/** `pieceSamples`: how much is handed over at a time. */
async function convert(input: Float32Array, fromHz: number, toHz: number, pieceSamples: number): Promise<number[]> {
  const resampler = await library.create(1, fromHz, toHz);
  const output: number[] = [];
  for (let at = 0; at < input.length; at += pieceSamples) output.push(...resampler.full(input.subarray(at, at + pieceSamples)));
  return output;
}

const tone = (hertz: number, rateHz: number, seconds: number) =>
  Float32Array.from({ length: seconds * rateHz }, (_, index) => 0.5 * Math.sin((2 * Math.PI * hertz * index) / rateHz));

/** Power of half a second of `samples` at one frequency, and of all the rest, after the filter has settled. */
function powers(samples: readonly number[], rateHz: number, hertz: number): { readonly atTone: number; readonly rest: number } {
  const settled = samples.slice(rateHz / 40, rateHz / 40 + rateHz / 2); // a whole number of periods of every tone used here
  let [sine, cosine, total] = [0, 0, 0];
  for (const [index, sample] of settled.entries()) {
    const angle = (2 * Math.PI * hertz * index) / rateHz;
    sine += sample * Math.sin(angle);
    cosine += sample * Math.cos(angle);
    total += sample * sample;
  }
  const atTone = (2 * (sine * sine + cosine * cosine)) / settled.length ** 2;
  return { atTone, rest: Math.max(0, total / settled.length - atTone) };
}

const decibels = (ratio: number) => 10 * Math.log10(ratio);

for (const [fromHz, toHz] of [
  [8000, 16000],
  [44100, 16000],
  [48000, 16000],
  [16000, 48000],
  [24000, 44100],
] as const) {
  test(`from ${fromHz} to ${toHz} Hz`, async (t) => {
    for (const hertz of [100, 440, 1000, 3000]) {
      const output = await convert(tone(hertz, fromHz, 0.6), fromHz, toHz, 128);
      t.ok(output.length <= 0.6 * toHz && output.length > 0.55 * toHz, `time stays time (${output.length})`);
      const { atTone, rest } = powers(output, toHz, hertz);
      t.ok(Math.abs(decibels(atTone / 0.125)) < 0.5, `${hertz} Hz keeps its level (${decibels(atTone / 0.125).toFixed(2)} dB)`);
      t.ok(decibels(atTone / rest) > 50, `and nothing is added (${decibels(atTone / rest).toFixed(0)} dB below)`);
    }
    for (const hertz of [10_000, 15_000, 20_000].filter((each) => each < fromHz / 2 && each > toHz / 2)) {
      const { atTone, rest } = powers(await convert(tone(hertz, fromHz, 0.6), fromHz, toHz, 128), toHz, 1000);
      t.ok(decibels((atTone + rest) / 0.125) < -45, `${hertz} Hz does not fold back`);
    }
  });
}

test('however the stream is cut, the same samples come out; a constant stays one', async (t) => {
  const input = tone(700, 48000, 0.05);
  const whole = await convert(input, 48000, 16000, input.length);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5000 }), async (pieceSamples) => {
      t.same(await convert(input, 48000, 16000, pieceSamples), whole);
    }),
    { numRuns: 20 },
  );
  const constant = await convert(new Float32Array(4096).fill(20_000), 44100, 16000, 128);
  t.ok(Math.abs(constant.at(-1)! - 20_000) < 2, 'in any unit');
  const resampler = await library.create(1, 16000, 48000);
  t.ok(resampler.full(new Int16Array(160)).length > 0, 'a piece of 10 ms is enough for the client’s loudspeaker');
});
