/** The page's microphone worklet, run outside a browser: its rate conversion and its pieces. */
import { readFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { test } from 'tap';

const source = readFileSync(new URL('../../web/microphone.js', import.meta.url), 'utf8');
const quantumSamples = 128; // what a browser hands over at a time

type Piece = { readonly pcm: ArrayBuffer; readonly level: number };
type Worklet = { process(inputs: readonly (readonly Float32Array[])[]): boolean };

class AudioWorkletProcessor {
  readonly pieces: Piece[] = [];
  readonly port = { postMessage: (piece: Piece) => this.pieces.push(structuredClone(piece)) };
}

/** One class per rate, as in a browser, where a context has one rate. */
const classes = new Map<number, new () => Worklet & AudioWorkletProcessor>();

function microphoneAt(rateHz: number): Worklet & AudioWorkletProcessor {
  if (!classes.has(rateHz)) {
    runInNewContext(source, {
      sampleRate: rateHz,
      AudioWorkletProcessor,
      registerProcessor: (_name: string, type: new () => Worklet & AudioWorkletProcessor) => classes.set(rateHz, type),
    });
  }
  return new (classes.get(rateHz)!)();
}

/** What leaves the worklet for `input` at `rateHz`; `output`: its samples, as numbers from -1 to 1. */
function convert(input: Float32Array, rateHz: number): { readonly output: number[]; readonly pieces: readonly Piece[] } {
  const microphone = microphoneAt(rateHz);
  for (let at = 0; at + quantumSamples <= input.length; at += quantumSamples)
    microphone.process([[input.subarray(at, at + quantumSamples)]]);
  const output = microphone.pieces.flatMap(({ pcm }) => Array.from(new Int16Array(pcm), (sample) => sample / 32768));
  return { output, pieces: microphone.pieces };
}

const tone = (hertz: number, rateHz: number, seconds: number) =>
  Float32Array.from({ length: seconds * rateHz }, (_, index) => 0.5 * Math.sin((2 * Math.PI * hertz * index) / rateHz));

/** Power of `samples` at one frequency, and of all the rest, after the filter has settled. */
function powers(samples: readonly number[], hertz: number): { readonly atTone: number; readonly rest: number } {
  const settled = samples.slice(400, 400 + 8000); // a whole number of periods of every tone used here
  let [sine, cosine, total] = [0, 0, 0];
  for (const [index, sample] of settled.entries()) {
    const angle = (2 * Math.PI * hertz * index) / 16000;
    sine += sample * Math.sin(angle);
    cosine += sample * Math.cos(angle);
    total += sample * sample;
  }
  const atTone = (2 * (sine * sine + cosine * cosine)) / settled.length ** 2;
  return { atTone, rest: Math.max(0, total / settled.length - atTone) };
}

const decibels = (ratio: number) => 10 * Math.log10(ratio);

for (const rateHz of [8000, 16000, 44100, 48000, 96000]) {
  test(`from ${rateHz} Hz`, (t) => {
    for (const hertz of [100, 440, 1000, 3000, ...(rateHz > 16000 ? [6000] : [])]) {
      const { output } = convert(tone(hertz, rateHz, 0.6), rateHz);
      t.ok(output.length <= 9600 && output.length > 9600 - 800, `time stays time (${output.length})`);
      const { atTone, rest } = powers(output, hertz);
      t.ok(Math.abs(decibels(atTone / 0.125)) < 0.5, `${hertz} Hz keeps its level (${decibels(atTone / 0.125).toFixed(2)} dB)`);
      t.ok(decibels(atTone / rest) > 50, `and nothing is added (${decibels(atTone / rest).toFixed(0)} dB below)`);
    }
    for (const hertz of [10_000, 15_000, 20_000].filter((each) => each < rateHz / 2)) {
      const { output } = convert(tone(hertz, rateHz, 0.6), rateHz);
      const { atTone, rest } = powers(output, 1000);
      t.ok(
        decibels((atTone + rest) / 0.125) < -45,
        `${hertz} Hz does not fold back (${decibels((atTone + rest) / 0.125).toFixed(0)} dB)`,
      );
    }
    t.end();
  });
}

test('pieces are 32 ms, and loud input is limited', (t) => {
  fc.assert(
    fc.property(fc.constantFrom(8000, 16000, 44100, 48000), fc.integer({ min: 1, max: 40 }), (rateHz, quantumCount) => {
      const { pieces } = convert(new Float32Array(quantumCount * quantumSamples).fill(2), rateHz);
      for (const { pcm, level } of pieces) t.ok(pcm.byteLength === 1024 && level >= 0 && level <= 1);
      const expected = (quantumCount * quantumSamples * 16000) / rateHz / 512;
      t.ok(
        pieces.length <= expected && pieces.length > expected - 1.3,
        'nothing is held back for longer than a piece and the filter',
      );
    }),
  );
  const { output, pieces } = convert(new Float32Array(4096).fill(2), 16000);
  t.equal(output.at(-1), 32767 / 32768);
  t.ok(pieces.at(-1)!.level > 0.999);
  const silence = convert(new Float32Array(4096), 16000);
  t.ok(silence.output.length > 0 && silence.output.every((sample) => sample === 0));
  t.equal(silence.pieces[0]!.level, 0);
  t.end();
});
