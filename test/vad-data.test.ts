import fc from 'fast-check';
import { test } from 'tap';
import { areaUnderCurve, closeGaps, f1Score, loudSpans, quantile, seeded, voicedOnset, whiteNoise } from '../bench/vad-data.js';
import { ends, falseStarts, type Judged, type Segment, startDelaysMs } from '../bench/vad-listen.js';
import { rmsLevelDb } from '../src/vad/level.js';

test('area under the curve is the chance that speech scores higher', (t) => {
  const frame = fc.record({ score: fc.integer({ min: 0, max: 5 }), speech: fc.boolean() });
  fc.assert(
    fc.property(fc.array(frame, { minLength: 2, maxLength: 30 }), (frames) => {
      const speech = frames.filter((one) => one.speech);
      const others = frames.filter((one) => !one.speech);
      fc.pre(speech.length > 0 && others.length > 0);
      let wins = 0;
      for (const a of speech) for (const b of others) wins += a.score > b.score ? 1 : a.score === b.score ? 0.5 : 0;
      const area = areaUnderCurve(
        frames.map(({ score }) => score),
        frames.map((one) => one.speech),
      );
      return Math.abs(area - wins / (speech.length * others.length)) < 1e-9;
    }),
  );
  t.equal(f1Score([0.9, 0.6, 0.4, 0.1], [true, false, true, false], 0.5), 0.5);
  t.equal(quantile([5, 1, 4, 2, 3], 0.5), 3);
  t.equal(quantile([1, 2], 0.99), 2);
  t.ok(Number.isNaN(quantile([], 0.5)));
  t.end();
});

test('labels of a clip: noise, a breath, a pause, a vowel', (t) => {
  const random = seeded(3);
  const clip = whiteNoise(32000, -80, random);
  clip.set(whiteNoise(1600, -50, random), 4800);
  clip.set(whiteNoise(1600, -20, random), 16000);
  for (let index = 17600; index < 24000; index += 1)
    clip[index] = Math.round(8000 * Math.sin((2 * Math.PI * 120 * index) / 16000));
  t.same(loudSpans(clip), [{ from: 16000, to: 24000 }], 'the breath is not speech, the consonant before the vowel is');
  const voiced = voicedOnset(clip, { from: 16000, to: 24000 });
  t.ok(
    voiced !== undefined && voiced <= 17600 && voiced >= 17280,
    `the vowel at 17600 is found at ${voiced}, at most 20 ms early`,
  );
  t.equal(voicedOnset(clip, { from: 4800, to: 6400 }), undefined);
  t.equal(loudSpans(whiteNoise(32000, -40, random)), undefined, 'noise alone is not a clean clip');
  t.ok(Math.abs(rmsLevelDb(whiteNoise(32000, -40, random)) + 40) < 0.1);
  t.same(
    closeGaps(
      [
        { from: 0, to: 10 },
        { from: 15, to: 20 },
        { from: 40, to: 50 },
      ],
      10,
    ),
    [
      { from: 0, to: 20 },
      { from: 40, to: 50 },
    ],
  );
  t.end();
});

test('segments against labels', (t) => {
  const second = 16000;
  const span = { from: 2 * second, to: 3 * second };
  const later = { from: 5 * second, to: 6 * second };
  const stream = {
    name: 'made',
    group: 'clean',
    pcm: new Int16Array(10 * second),
    speech: [span, later],
    onsets: [span, later].map((one) => ({ ...one, atSample: one.from + 160 })),
  } as const;
  const segment = (from: number, to: number): Segment => ({
    startSample: from - 1024,
    startAtSample: from,
    lastSpeechSample: to,
    endAtSample: to + 3072,
  });
  const judged = (...segments: Segment[]): Judged[] => [
    { heard: { stream, shift: 0, windowSamples: 512, probabilities: [], levelsDb: [], skipped: 0 }, segments },
  ];
  t.same(startDelaysMs(judged(segment(span.from + 1760, span.to))), [100, Number.POSITIVE_INFINITY], 'one found, one missed');
  t.same(startDelaysMs(judged(segment(span.from + 160, later.to))), [0], 'the second begins inside the first');
  const { delaysMs, t0ErrorsMs, splitRatio } = ends(
    judged(segment(span.from, span.from + 3200), segment(span.from + 8000, span.to + 320)),
  );
  t.same([delaysMs, t0ErrorsMs, splitRatio], [[212], [20], 1]);
  t.same(falseStarts(judged(segment(second, second), segment(span.from, span.to), segment(8 * second, 8 * second))), {
    count: 2,
    minutes: 8 / 60,
  });
  t.end();
});
