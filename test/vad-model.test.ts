import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import { readFlac } from '../src/audio/flac.js';
import { monoOf } from '../src/audio/recording.js';
import { EngineError } from '../src/shared/errors.js';
import { hopSamples } from '../src/shared/units.js';
import { loadFlite } from '../src/tts/embedded/flite.js';
import { spokenEdges } from '../src/tts/embedded/silence.js';
import { SpeechDetector } from '../src/vad/detector.js';
import { contextSamples, defaultModelPath, ModelBatch, rowSamples, SileroModel } from '../src/vad/model.js';

const model = await SileroModel.load();
const speech = (await loadFlite()).synthesise('Good morning, I would like to book a table for four people on Friday.').audio;

/** A generator of numbers in [0, 1) from a seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
const noise = (count: number, amplitude: number, random = seeded(1)): Int16Array =>
  Int16Array.from({ length: count }, () => Math.round(amplitude * (2 * random() - 1)));
const tone = (count: number, frequencyHz: number, amplitude: number): Int16Array =>
  Int16Array.from({ length: count }, (_, index) => Math.round(amplitude * Math.sin((2 * Math.PI * frequencyHz * index) / 16000)));
const hopAt = (pcm: Int16Array, hop: number): Int16Array => pcm.subarray(hop * hopSamples, (hop + 1) * hopSamples);
const hopCount = (pcm: Int16Array): number => Math.floor(pcm.length / hopSamples);

/** Probability of each hop of one stream, heard alone. */
async function hear(pcm: Int16Array): Promise<number[]> {
  const detector = new SpeechDetector(model, 1);
  const probabilities: number[] = [];
  for (let hop = 0; hop < hopCount(pcm); hop += 1) {
    detector.stage(0, hopAt(pcm, hop));
    await detector.run();
    probabilities.push(detector.probability(0));
  }
  return probabilities;
}

/** What a session may hear: speech from some place, noise, a tone, silence. */
const sources: readonly ((seed: number) => Int16Array)[] = [
  (seed) => speech.subarray((seed % 20) * 700),
  (seed) => speech.subarray((seed % 20) * 700).map((sample) => Math.round(sample / 10)),
  (seed) => noise(40 * hopSamples, 3000, seeded(seed + 1)),
  (seed) => tone(40 * hopSamples, 200 + (seed % 2000), 8000),
  () => new Int16Array(40 * hopSamples),
];

test('sessions in any mixture of batches hear what each would hear alone', async (t) => {
  const pass = fc.array(fc.record({ slot: fc.nat(5), isReset: fc.integer({ min: 0, max: 9 }).map((value) => value === 0) }), {
    maxLength: 8,
  });
  const kinds = fc.array(fc.record({ source: fc.nat(sources.length - 1), seed: fc.nat(1000) }), { minLength: 6, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(kinds, fc.array(pass, { minLength: 5, maxLength: 25 }), async (chosen, passes) => {
      const heard = chosen.map(({ source, seed }) => sources[source]!(seed));
      const detector = new SpeechDetector(model, 6);
      const alone = chosen.map(() => new SpeechDetector(model, 1));
      const positions = chosen.map(() => 0);
      for (const orders of passes) {
        const staged = new Set<number>();
        for (const { slot, isReset } of orders) {
          if (isReset) {
            detector.reset(slot);
            alone[slot]!.reset(0);
            staged.delete(slot);
          } else if (!staged.has(slot)) {
            const hop = hopAt(heard[slot]!, positions[slot]!);
            detector.stage(slot, hop);
            alone[slot]!.stage(0, hop);
            positions[slot]! += 1;
            staged.add(slot);
          }
        }
        if ((await detector.run()) !== staged.size) return false;
        for (const [slot, one] of alone.entries()) {
          await one.run();
          if (Math.abs(one.probability(0) - detector.probability(slot)) > 1e-5) return false;
        }
      }
      return true;
    }),
    { numRuns: 20 },
  );
  t.pass('held');
});

test('all sizes of batch give the same', async (t) => {
  const detector = new SpeechDetector(model, 64);
  const expected = await hear(speech.subarray(0, 40 * hopSamples));
  let largest = 0;
  for (let hop = 0; hop < 40; hop += 1) {
    for (let slot = 0; slot < 64; slot += 1) {
      if (hop >= slot % 40) detector.stage(slot, hopAt(speech, hop - (slot % 40)));
    }
    await detector.run();
    for (let slot = 0; slot < 64; slot += 1) {
      if (hop >= slot % 40) largest = Math.max(largest, Math.abs(detector.probability(slot) - expected[hop - (slot % 40)]!));
    }
  }
  t.ok(largest < 1e-5, `largest difference ${largest}`);
});

test('the model is given the end of the hop before, and needs it', async (t) => {
  const batch = new ModelBatch(1);
  const run = async (withContext: boolean): Promise<number[]> => {
    batch.state.fill(0);
    const probabilities: number[] = [];
    for (let hop = 0; hop < hopCount(speech); hop += 1) {
      const from = hop * hopSamples - contextSamples;
      for (let index = 0; index < rowSamples; index += 1) {
        const isContext = index < contextSamples;
        batch.input[index] = isContext && !withContext ? 0 : (speech[from + index] ?? 0) / 32768;
      }
      await model.run(batch, 1);
      batch.state.set(batch.nextState);
      probabilities.push(batch.output[0]!);
    }
    return probabilities;
  };
  const heard = await hear(speech);
  const right = await run(true);
  const wrong = await run(false);
  const differences = (other: number[]): number[] => heard.map((value, hop) => Math.abs(value - other[hop]!));
  t.ok(Math.max(...differences(right)) < 1e-5);
  t.ok(Math.max(...differences(wrong)) > 0.05, 'without it the answers are others');
});

test('a reset forgets everything, also while the model runs', async (t) => {
  const fresh = await hear(speech);
  const detector = new SpeechDetector(model, 2);
  for (let hop = 0; hop < 20; hop += 1) {
    detector.stage(0, hopAt(speech, hop));
    detector.stage(1, hopAt(speech, hop));
    await detector.run();
  }
  detector.stage(0, hopAt(speech, 20));
  detector.stage(1, hopAt(speech, 20));
  const running = detector.run();
  detector.reset(0);
  t.throws(() => detector.stage(0, hopAt(speech, 0)), 'nothing is staged meanwhile');
  await t.rejects(detector.run(), 'one run at a time');
  await running;
  t.equal(detector.probability(0), 0);
  t.ok(Math.abs(detector.probability(1) - fresh[20]!) < 1e-5, 'the other session is untouched');
  for (let hop = 0; hop < 20; hop += 1) {
    detector.stage(0, hopAt(speech, hop));
    await detector.run();
    t.ok(Math.abs(detector.probability(0) - fresh[hop]!) < 1e-5, `hop ${hop}`);
  }
});

test('a hop that is skipped leaves the state alone and its end in front of the next hop', async (t) => {
  const detector = new SpeechDetector(model, 2);
  const first = hopAt(speech, 10);
  const skipped = hopAt(speech, 11);
  const second = hopAt(speech, 12);
  detector.stage(0, first);
  await detector.run();
  detector.skip(0, skipped);
  t.equal(detector.probability(0), 0);
  t.equal(await detector.run(), 0, 'nothing to judge');
  detector.stage(0, second);
  await detector.run();
  const batch = new ModelBatch(1);
  const put = (before: Int16Array, hop: Int16Array): void => {
    for (let index = 0; index < contextSamples; index += 1) batch.input[index] = (before.at(index - contextSamples) ?? 0) / 32768;
    for (let index = 0; index < hopSamples; index += 1) batch.input[contextSamples + index] = hop[index]! / 32768;
  };
  put(new Int16Array(hopSamples), first);
  await model.run(batch, 1);
  batch.state.set(batch.nextState);
  put(skipped, second);
  await model.run(batch, 1);
  t.ok(Math.abs(detector.probability(0) - batch.output[0]!) < 1e-5);
  t.throws(() => {
    detector.stage(0, first);
    detector.skip(0, second);
  }, 'one hop per run');
});

test('staging has rules', async (t) => {
  const detector = new SpeechDetector(model, 2);
  t.equal(await detector.run(), 0, 'nothing staged, nothing to do');
  t.throws(() => detector.stage(0, new Int16Array(hopSamples - 1)));
  detector.stage(0, new Int16Array(hopSamples));
  t.throws(() => detector.stage(0, new Int16Array(hopSamples)), 'twice');
  detector.reset(0);
  t.equal(detector.stagedCount, 0);
  t.throws(() => new ModelBatch(2).call(3));
  t.throws(() => new ModelBatch(2).call(0));
});

const shareAbove = (values: readonly number[], threshold: number): number =>
  values.filter((value) => value >= threshold).length / values.length;

test('what is not speech', async (t) => {
  const seconds = 2 * 16000;
  const sounds: Record<string, Int16Array> = {
    silence: new Int16Array(seconds),
    'faint noise': noise(seconds, 30),
    'loud noise': noise(seconds, 20000),
    'a telephone tone': tone(seconds, 440, 8000),
    hum: tone(seconds, 50, 15000),
    'full scale': new Int16Array(seconds).map((_, index) => (index % 160 < 80 ? 32767 : -32768)),
    clicks: new Int16Array(seconds).map((_, index) => (index % 4000 < 20 ? 25000 : 0)),
  };
  for (const [name, pcm] of Object.entries(sounds)) {
    const loudest = Math.max(...(await hear(pcm)));
    t.ok(loudest < 0.5, `${name}: at most ${loudest.toFixed(3)}`);
  }
});

test('what is speech', async (t) => {
  const edges = spokenEdges(speech, 16000);
  if (edges === undefined) throw new Error('the synthesiser is silent');
  const spoken = (await hear(speech)).slice(Math.ceil(edges.start / hopSamples), Math.floor(edges.end / hopSamples));
  const share = shareAbove(spoken, 0.5);
  t.ok(share > 0.8, `synthesised: ${(100 * share).toFixed(0)} % of the hops`);

  const recordings = new URL('../../../shared/audio/', import.meta.url);
  if (!existsSync(recordings)) {
    t.comment('left out: ../shared/audio with recorded speech is absent');
    return;
  }
  for (const [name, atLeast] of [
    ['speech/LJ001-0004.flac', 0.8],
    ['speech/jfk.flac', 0.6],
    ['speech/leopard_test_de.flac', 0.7],
  ] as const) {
    const recording = await readFlac(await readFile(new URL(name, recordings)));
    const recorded = shareAbove(await hear(monoOf(recording)), 0.5);
    t.ok(recorded > atLeast, `${name}: ${(100 * recorded).toFixed(0)} % of all hops`);
  }
  const office = await readFlac(await readFile(new URL('noise/office.flac', recordings)));
  t.ok(shareAbove(await hear(monoOf(office)), 0.5) < 0.01, 'an office without speech');
});

test('a model that is not there or not the right one', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'parley-vad-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const kindOf = async (path: string): Promise<string | undefined> => {
    try {
      await (await SileroModel.load(path)).close();
      return undefined;
    } catch (error) {
      if (error instanceof EngineError) return error.kind;
      throw error;
    }
  };
  t.equal(await kindOf(join(folder, 'none.onnx')), 'missing');
  const garbage = join(folder, 'garbage.onnx');
  await writeFile(garbage, 'this is not a model');
  t.equal(await kindOf(garbage), 'garbage');
  t.equal(await kindOf(join(dirname(defaultModelPath()), 'silero_vad_legacy.onnx')), 'garbage');
  t.equal(await kindOf(join(dirname(defaultModelPath()), 'silero_vad_v5.onnx')), undefined, 'version 5 has the same shape');
});

test('a closed model', async (t) => {
  const other = await SileroModel.load();
  await other.close();
  await t.rejects(other.run(new ModelBatch(1), 1));
});
