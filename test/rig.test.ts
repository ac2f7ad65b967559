/** The pure parts of the acceptance rigs: where heard audio comes from, statistics, bars, metrics, phrases. */
import fc from 'fast-check';
import { test } from 'tap';
import type { HeardRun } from '../load/ear.js';
import { spokenAs } from '../load/rig/interruptions.js';
import { CallerVoice, firstVoicedSample, noiseAt, officeNoise } from '../load/rig/phrases.js';
import { holds, percentile, Report, slopeOf, spreadOf } from '../load/rig/report.js';
import { gapsAndRepeats, heardUntil, Reference } from '../load/rig/source.js';
import { parseMetrics, stageMs } from '../load/rig/stack.js';
import { interruptions, longAnswerAbout, plainWords, questionAbout, topicOf, topicsMax } from '../load/rig/texts.js';
import { fadeIn } from '../src/audio/fade.js';
import { echoRatio } from '../src/turn/words.js';

/** Words of noise with pauses of digital silence, one of them said twice, as the simulated voice speaks. */
function source(): Int16Array {
  let state = 7;
  const word = (length: number): Int16Array =>
    Int16Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      return state >> 18;
    });
  const again = word(2400);
  const pieces = [again, word(3200), again, word(1600), word(4000), again, word(2000)];
  const audio = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length + 640, 0));
  let at = 0;
  for (const piece of pieces) {
    audio.set(piece, at);
    at += piece.length + 640;
  }
  return audio;
}

const reply = source();
const reference = new Reference(reply);

/** A call in which `parts` of the reply are heard, each `[from, to, holeBefore]` in samples, and the runs that an ear would note. */
function heardCall(
  parts: readonly (readonly [number, number, number])[],
  fades: boolean,
): { lane: Int16Array; runs: HeardRun[] } {
  const lane = new Int16Array(200_000);
  const runs: HeardRun[] = [];
  let heardSample = 1000;
  let received = 0;
  for (const [index, [from, to, hole]] of parts.entries()) {
    heardSample += hole;
    const samples = reply.slice(from, to);
    if (fades && index > 0) fadeIn(samples, Math.min(80, samples.length));
    lane.set(samples, heardSample);
    const last = runs.at(-1);
    if (last !== undefined && hole === 0) last.count += to - from;
    else runs.push({ eventId: 1, sourceSample: received, heardSample, count: to - from });
    received += to - from;
    heardSample += to - from;
  }
  return { lane, runs };
}

test('a reply heard through is found to the sample', (t) => {
  const { lane, runs } = heardCall([[0, reply.length, 0]], false);
  const heard = reference.find(lane, runs);
  t.same(heard, { runs: [{ heardSample: 1000, sourceSample: 0, count: reply.length }], unknownSamples: 0 });
  t.equal(heardUntil(heard), reply.length);
  t.same(gapsAndRepeats(heard, reply.length), { missing: 0, repeated: 0 });
  t.end();
});

test('a hole, a rewind and a skip are told apart, with the fade that follows them', (t) => {
  const rewound = reference.find(
    ...laneAndRuns([
      [0, 9000, 0],
      [7000, 15_000, 8000],
    ]),
  );
  t.same(gapsAndRepeats(rewound, 15_000), { missing: 0, repeated: 2000 });
  const paused = reference.find(
    ...laneAndRuns([
      [0, 9000, 0],
      [9000, 15_000, 3000],
    ]),
  );
  t.same(gapsAndRepeats(paused, 15_000), { missing: 0, repeated: 0 });
  const skipped = reference.find(
    ...laneAndRuns([
      [0, 8000, 0],
      [8700, 15_000, 3000],
    ]),
  );
  t.same(gapsAndRepeats(skipped, 15_000), { missing: 700, repeated: 0 });
  for (const heard of [rewound, paused, skipped]) t.equal(heard.unknownSamples, 0);
  t.end();
});

function laneAndRuns(parts: readonly (readonly [number, number, number])[]): [Int16Array, HeardRun[]] {
  const { lane, runs } = heardCall(parts, true);
  return [lane, runs];
}

test('sound that is not of the reply is unknown, and a cut is found to the sample', (t) => {
  const { lane, runs } = heardCall([[0, 9100, 0]], false);
  t.equal(heardUntil(reference.find(lane, runs)), 9100);
  for (let at = 3000; at < 4000; at += 1) lane[at] = at % 2 === 0 ? 12_000 : -12_000;
  const heard = reference.find(lane, runs);
  t.ok(heard.unknownSamples >= 900 && heard.unknownSamples <= 1000, `${heard.unknownSamples} unknown`);
  t.equal(heardUntil(heard), 9100);
  t.end();
});

test('any holes and rewinds: nothing is missed, what was said twice is counted', (t) => {
  const hole = fc.integer({ min: 400, max: 9000 });
  const step = fc.record({ forward: fc.integer({ min: 2400, max: 6000 }), back: fc.integer({ min: 0, max: 2000 }), hole });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 4 }), (steps) => {
      const parts: [number, number, number][] = [];
      let from = 0;
      let repeated = 0;
      for (const [index, { forward, back, hole: pause }] of steps.entries()) {
        const start = index === 0 ? 0 : Math.max(0, from - back);
        const to = Math.min(reply.length, from + forward);
        if (to <= from) break;
        repeated += from - start;
        parts.push([start, to, index === 0 ? 0 : pause]);
        from = to;
      }
      const { lane, runs } = heardCall(parts, true);
      const heard = reference.find(lane, runs);
      const found = gapsAndRepeats(heard, from);
      // Where a jump falls into digital silence, which of its equal samples were heard cannot be told: a pause is 640 long.
      return heard.unknownSamples === 0 && found.missing <= 640 && Math.abs(found.repeated - repeated) <= 640 * steps.length;
    }),
  );
  t.pass('held');
  t.end();
});

test('percentiles by nearest rank, spreads, slopes', (t) => {
  t.same(
    [0, 50, 95, 99, 100].map((percent) => percentile([5, 1, 3, 2, 4], percent)),
    [1, 3, 5, 5, 5],
  );
  t.equal(
    percentile(
      Array.from({ length: 100 }, (_, index) => index + 1),
      95,
    ),
    95,
  );
  t.ok(Number.isNaN(percentile([], 50)));
  t.match(spreadOf([2, 1]), { count: 2, min: 1, p50: 1, p95: 2, max: 2 });
  t.ok(Math.abs(slopeOf([1, 2, 4].map((x) => ({ x, y: 3 * x + 1 }))) - 3) < 1e-9);
  t.ok(Number.isNaN(slopeOf([{ x: 1, y: 1 }])));
  t.end();
});

test('a report passes, fails, or does not count', (t) => {
  t.same(
    [holds(5, 'at most', 5), holds(5, 'below', 5), holds(5, 'at least', 5), holds(Number.NaN, 'at most', 5)],
    [true, false, true, false],
  );
  const report = new Report('a rig', { seed: 1 });
  report.section('all');
  report.spread('delay', [1, 2, 3]);
  report.bar('delay p50', 2, 'at most', 2);
  t.equal(report.exitCode, 0);
  report.bar('delay max', 3, 'below', 3);
  t.equal(report.exitCode, 1);
  t.match(report.text(), /ok {5}delay p50: 2\.0.*\n.*MISSED delay max: 3\.0, must be below 3 ms/s);
  report.lateness(8.1, 20);
  t.equal(report.exitCode, 3);
  t.match(report.text(), /TIMING INVALID/);
  const json = JSON.parse(report.json());
  t.match(json, { exitCode: 3, figures: [{ name: 'delay', count: 3, p50: 2 }], bars: [{ holds: true }, { holds: false }] });
  t.end();
});

test('metrics as the engine writes them', (t) => {
  const figures = parseMetrics('# TYPE a counter\na 3\nb{stage="x",quantile="0.5"} 0.012\n\n');
  const stages = parseMetrics(
    ['main', 'tts']
      .map((thread, at) => `parley_stage_seconds{stage="loop",thread="${thread}",quantile="0.99"} 0.00${at + 1}`)
      .join('\n'),
  );
  t.equal(stageMs(stages, 'loop', '0.99'), 2, 'the worst thread');
  t.ok(Number.isNaN(stageMs(stages, 'other', '0.99')));
  t.same(
    [...figures],
    [
      ['a', 3],
      ['b{stage="x",quantile="0.5"}', 0.012],
    ],
  );
  t.end();
});

test('texts: topics differ, and no interruption sounds like the answer it interrupts', (t) => {
  const topics = Array.from({ length: topicsMax }, (_, index) => topicOf(index));
  t.equal(new Set(topics).size, topicsMax);
  for (const [index, topic] of topics.entries()) {
    t.ok(questionAbout(topic, index).includes(topic));
    const answer = longAnswerAbout(topic, 1);
    const worst = Math.max(...interruptions.map(({ text }) => echoRatio(text, answer)));
    if (worst >= 0.7) t.fail(`${topic}: an interruption would be taken for an echo`);
  }
  t.end();
});

test('phrases are registered as they are said; what a reply was made of is put together from the journal', async (t) => {
  const voice = await CallerVoice.load();
  const { clip, registration } = voice.phrase('p', 'Stop talking please.');
  t.same(
    registration.words.map(([, , word]) => word),
    ['Stop', 'talking', 'please.'],
  );
  t.same(new Int16Array(Uint8Array.from(Buffer.from(registration.pcmBase64!, 'base64')).buffer), clip.samples);
  const voiced = firstVoicedSample(clip.samples);
  t.ok(voiced > clip.firstSample + 800 && voiced < 5000, `the hiss of "stop" is not voiced: ${voiced / 16} ms`);

  const atMonotonicMs = { received: 0 };
  const entry = (number: number, contextId: string, text: string) =>
    ({ number, endpoint: 'tts', path: '', contextId, text, atMonotonicMs }) as const;
  const journal = [entry(1, 'a', 'One two. '), entry(2, 'b', 'Another one.'), entry(3, 'a', 'Three four.')];
  const spoken = spokenAs('One two. Three four. Five.', journal, voice.voice);
  const [first, second] = [voice.voice.speak('One two. '), voice.voice.speak('Three four.')];
  t.equal(spoken.audio.length, first.audio.length + second.audio.length);
  t.equal(spoken.wordEnds.length, 4);
  t.equal(spoken.wordEnds.at(-1), first.audio.length + second.words.at(-1)!.endMs * 16);
  t.equal(plainWords(' “Well, I’m here” – OK? '), 'well im here ok');
});

test('noise has the level it is asked for', (t) => {
  const noise = noiseAt(officeNoise(1), 15);
  const power = noise.reduce((sum, value) => sum + value ** 2, 0) / noise.length;
  const levelDb = 10 * Math.log10(power / 32768 ** 2);
  t.ok(Math.abs(levelDb - -41) < 0.5, `${levelDb.toFixed(1)} dB, 15 below the callers' -26`);
  t.end();
});
