/** What the evaluator's callers say and hear is made of: clips and their labels, lines, scenarios, the list of recordings. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import { Channel, delayBetween } from '../bench/eval/clips/channel.js';
import { ClipMaker } from '../bench/eval/clips/clip-maker.js';
import { espeakVersion } from '../bench/eval/clips/espeak.js';
import { RoomNoise } from '../bench/eval/clips/filters.js';
import { innerSilences, labelledClip } from '../bench/eval/clips/labels.js';
import { soundLevelDb, speechLevelDb } from '../bench/eval/clips/levels.js';
import { pitchOf } from '../bench/eval/clips/pitch.js';
import { programOf } from '../bench/eval/clips/voice-set.js';
import { ableToRun } from '../bench/eval/evaluate.js';
import { loadRealSet, readManifest } from '../bench/eval/real/recordings.js';
import { type ChannelSetting, families, type Scenario } from '../bench/eval/scenario.js';
import { turnNames } from '../bench/eval/scenario-rules.js';
import { checkedScenario, loadSuite, prepareClips } from '../bench/eval/suite.js';
import { randomOf } from '../load/providers/seeded.js';
import { EngineError } from '../src/shared/errors.js';

const frameSamples = 320;
const below45Db = 10 ** (-45 / 20);
const plain: ChannelSetting = { kind: 'wide', loss: 0, jitter_ms: 0, gain_db: 0 };

const peakOf = (samples: Int16Array): number => samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const isSame = (left: Int16Array, right: Int16Array): boolean =>
  left.length === right.length && left.every((value, at) => value === right[at]);

/** All of `samples` through the line, with a little silence around. */
function through(channel: Channel, samples: Int16Array, frame = frameSamples): { before: Int16Array; after: Int16Array } {
  const before = new Int16Array(Math.ceil((samples.length + 2 * 1600) / frameSamples) * frameSamples);
  before.set(samples, 1600);
  const after = new Int16Array(before.length);
  for (let at = 0; at < before.length; at += frame) after.set(channel.process(before.subarray(at, at + frame)), at);
  return { before, after };
}

test('a clip begins and ends with its sound, and its labels lie where the sound is', async (t) => {
  const maker = await ClipMaker.open({ folder: t.testdir() });
  let silences = 0;
  for (const voice of ['caller-m1', 'caller-f1']) {
    const clip = await maker.speech('I think so, but hold on, is it Tuesday?', voice, -26, 7);
    const threshold = peakOf(clip.samples) * below45Db;
    t.ok(Math.abs(clip.samples[0]!) > threshold && Math.abs(clip.samples.at(-1)!) > threshold, 'trimmed to its bounds');
    t.ok(Math.abs(speechLevelDb(clip.samples) + 26) < 0.2, `level ${speechLevelDb(clip.samples)}`);
    t.equal(clip.words.map(({ text }) => text).join(' '), clip.text);
    let last = 0;
    for (const { from, to } of clip.words) {
      t.ok(from >= last && to > from && to <= clip.samples.length, 'words in order, inside');
      last = to;
    }
    t.ok(clip.samples.length - last < 480, `the last word ends with the clip: ${clip.samples.length - last} samples`);
    const energyOf = (samples: Int16Array): number => samples.reduce((sum, value) => sum + value ** 2, 0);
    const inWords = clip.words.reduce((sum, { from, to }) => sum + energyOf(clip.samples.subarray(from, to)), 0);
    t.ok(inWords > 0.97 * energyOf(clip.samples), 'the energy lies in the words');
    for (const { from, to } of clip.silences) {
      t.ok(to - from >= 1600 && peakOf(clip.samples.subarray(from, to)) <= threshold, 'a silence is silent');
    }
    silences += clip.silences.length;
  }
  t.ok(silences > 0, 'commas make pauses');
  await maker.close();
});

test('silences and bounds of made-up clips are found to the sample', (t) => {
  const stretch = fc.record({ sound: fc.integer({ min: 1, max: 900 }), silence: fc.integer({ min: 1, max: 4000 }) });
  fc.assert(
    fc.property(fc.array(stretch, { minLength: 1, maxLength: 6 }), fc.integer({ min: 0, max: 500 }), (stretches, lead) => {
      const values: number[] = new Array(lead).fill(3);
      const expected: { from: number; to: number }[] = [];
      for (const [index, { sound, silence }] of stretches.entries()) {
        values.push(...new Array(sound).fill(2000));
        const from = values.length - lead;
        if (silence >= 1600 && index + 1 < stretches.length) expected.push({ from, to: from + silence });
        values.push(...new Array(silence).fill(-4));
      }
      const clip = labelledClip('id', 'text', Int16Array.from(values), [{ text: 'text', from: 0, to: values.length }]);
      const length = values.length - lead - stretches.at(-1)!.silence;
      return (
        clip.samples.length === length &&
        clip.words[0]!.from === 0 &&
        clip.words[0]!.to === length &&
        JSON.stringify(clip.silences) === JSON.stringify(expected) &&
        innerSilences(clip.samples).length === expected.length
      );
    }),
  );
  t.throws(() => labelledClip('id', 'nothing', new Int16Array(100), []), { name: 'EngineError', kind: 'garbage' });
  t.end();
});

test('the same words of the same person are the same samples, kept or made anew', async (t) => {
  const [one, other] = [t.testdir({ one: {}, other: {} }), 'caller-m2'] as const;
  const first = await ClipMaker.open({ folder: join(one, 'one') });
  const second = await ClipMaker.open({ folder: join(one, 'other') });
  const made = await first.speech('On Friday, please.', other, -26, 3);
  await second.speech('Something else before it.', other, -26, 3);
  t.ok(isSame(made.samples, (await second.speech('On Friday, please.', other, -26, 3)).samples), 'another process of making');
  const kept = await first.speech('On Friday, please.', other, -26, 3);
  t.same([kept.id, kept.words], [made.id, made.words], 'from the folder');
  t.ok(isSame(kept.samples, made.samples), 'from the folder');
  const someoneElse = await first.speech('On Friday, please.', other, -26, 4);
  t.notOk(isSame(someoneElse.samples, made.samples), 'another person with the same voice');
  const quiet = await first.speech('On Friday, please.', other, -45, 3);
  t.not(quiet.id, made.id);
  t.ok(Math.abs(speechLevelDb(quiet.samples) + 45) < 0.3, `level ${speechLevelDb(quiet.samples)}`);

  const files = (await readdir(join(one, 'one'), { recursive: true })).filter((file) => file.endsWith('.clip'));
  t.ok(files.length > 0, `${files.length} clips are kept`);
  for (const file of files) await writeFile(join(one, 'one', file), 'half a fi');
  t.ok(
    isSame((await first.speech('On Friday, please.', other, -26, 3)).samples, made.samples),
    'what cannot be read is made again',
  );
  await t.rejects(first.speech('Hello.', 'nobody', -26, 1), { kind: 'config', message: /"nobody".*caller-m1/ });
  await t.rejects(first.speech('…', 'caller-m1', -26, 1), { name: 'EngineError', kind: 'garbage' });
});

test('a part that goes on ends higher than one that is finished', async (t) => {
  const maker = await ClipMaker.open({ folder: t.testdir() });
  for (const voice of ['caller-m1', 'caller-f1']) {
    const endOf = async (text: string): Promise<number> => {
      const { samples } = await maker.speech(text, voice, -26, 5);
      const voiced = [...pitchOf(samples)].filter((pitch) => pitch > 0).slice(-12, -2);
      return voiced.toSorted((a, b) => a - b)[Math.floor(voiced.length / 2)]!;
    };
    const semitones = 12 * Math.log2((await endOf('We can meet on Monday,')) / (await endOf('We can meet on Monday.')));
    t.ok(semitones > 2.5, `${voice}: ${semitones.toFixed(1)} semitones higher`);
  }
});

test('sounds have their level and length, and each seed its own', async (t) => {
  const maker = await ClipMaker.open({ folder: t.testdir() });
  for (const kind of ['cough', 'sneeze', 'door', 'keys', 'click', 'tone', 'ring', 'music', 'breath'] as const) {
    const made = (seed: number): Int16Array => maker.sound(kind, { levelDbfs: -24, durMs: 600, seed }).samples;
    const samples = made(1);
    t.ok(Math.abs(soundLevelDb(samples) + 24) < 0.3, `${kind}: ${soundLevelDb(samples)} dB`);
    t.ok(peakOf(samples) < 32767, `${kind} is not clipped`);
    t.ok(isSame(samples, made(1)), `${kind}: the same again`);
    t.equal(isSame(samples, made(2)), kind === 'ring', `${kind}: ${kind === 'ring' ? 'all telephones ring alike' : 'another'}`);
  }
  t.ok(Math.abs(maker.sound('music', { levelDbfs: -30, durMs: 2000, seed: 1 }).samples.length - 32000) < 100);
  t.throws(() => maker.sound('bystander', { levelDbfs: -30, seed: 1 }), RangeError);
});

test('no line is late by more than it says', async (t) => {
  const maker = await ClipMaker.open({ folder: t.testdir() });
  for (const voice of ['caller-m1', 'caller-f1']) {
    const { samples } = await maker.speech('Could you move it?', voice, -26, 1);
    for (const kind of ['wide', 'phone', 'opus'] as const) {
      const channel = lineOf({ ...plain, kind });
      if (channel === undefined) {
        t.comment(`${kind} left out: its codec is not installed`);
        continue;
      }
      const { before, after } = through(channel, samples);
      const residue = delayBetween(before, after, 200) - channel.delaySamples;
      t.ok(Math.abs(residue) <= 16, `${kind}, ${voice}: ${residue} samples`);
      channel.close();
    }
  }
});

function lineOf(setting: ChannelSetting): Channel | undefined {
  try {
    return new Channel(setting, 1, -26);
  } catch (error) {
    if (error instanceof EngineError && error.kind === 'missing') return undefined;
    throw error;
  }
}

test('a line does to the voice what its setting says', async (t) => {
  const maker = await ClipMaker.open({ folder: t.testdir() });
  const { samples } = await maker.speech('Two tickets, please.', 'caller-m1', -26, 1);
  const untouched = through(new Channel(plain, 1, -26), samples);
  t.ok(isSame(untouched.after, untouched.before), 'wide is wide');

  const phone = { ...plain, kind: 'phone' } as const;
  const [whole, halves] = [through(new Channel(phone, 1, -26), samples), through(new Channel(phone, 1, -26), samples, 160)];
  t.ok(isSame(halves.after, whole.after), 'frames of 10 ms are the same line');
  const bass = (wave: Int16Array): number =>
    wave.reduce((sum, value, at) => sum + value * Math.cos((2 * Math.PI * 100 * at) / 16000), 0);
  const hum = Int16Array.from({ length: 16000 }, (_, at) => 8000 * Math.cos((2 * Math.PI * 100 * at) / 16000));
  t.ok(Math.abs(bass(through(new Channel(phone, 1, -26), hum).after)) < 0.25 * Math.abs(bass(hum)), 'a telephone has no bass');

  const noisy = through(new Channel({ ...plain, noise_snr_db: 10 }, 1, -26), samples);
  const noise = noisy.after.map((value, at) => value - noisy.before[at]!);
  const noiseDb = 10 * Math.log10(noise.reduce((sum, value) => sum + value ** 2, 0) / noise.length / 32768 ** 2);
  t.ok(Math.abs(noiseDb + 36) < 0.7, `noise at ${noiseDb.toFixed(2)} dB`);
  const other = through(new Channel({ ...plain, noise_snr_db: 10 }, 2, -26), samples);
  t.notOk(isSame(other.after, noisy.after), 'another seed, another noise');

  const loud = through(new Channel({ ...plain, gain_db: 24 }, 1, -26), samples);
  t.equal(peakOf(loud.after.map((value) => Math.max(value, -32767))), 32767, 'limited at full scale');
  t.ok(
    loud.after.every((value, at) => Math.sign(value) === Math.sign(loud.before[at]!)),
    'and not wrapped',
  );
});

test('room noise has the power that levels are computed with', (t) => {
  const noise = new RoomNoise(randomOf(9, 'test'));
  let power = 0;
  const count = 20 * 16000;
  for (let at = 0; at < count; at += 1) power += noise.next() ** 2;
  t.ok(Math.abs(10 * Math.log10(power / count)) < 0.5, `${(10 * Math.log10(power / count)).toFixed(2)} dB`);
  t.end();
});

test('frames are lost in the share asked for, and delayed without overtaking', (t) => {
  const count = 40_000;
  const channel = new Channel({ ...plain, loss: 0.03, jitter_ms: 80 }, 4, -26);
  const again = new Channel({ ...plain, loss: 0.03, jitter_ms: 80 }, 4, -26);
  t.same([again.isLost(count), again.delayMs(count)], [channel.isLost(count), channel.delayMs(count)], 'in any order');
  const lost = Array.from({ length: count }, (_, frame) => channel.isLost(frame));
  const share = lost.filter(Boolean).length / count;
  t.ok(Math.abs(share - 0.03) < 0.006, `lost ${share}`);
  const runs = lost.filter((isLost, frame) => isLost && !lost[frame - 1]).length;
  t.ok(lost.filter(Boolean).length / runs > 1.3, 'some in a row');
  const delays = Array.from({ length: count }, (_, frame) => channel.delayMs(frame));
  t.ok(delays.every((delay, frame) => delay >= 0 && frame * 20 + delay >= (frame - 1) * 20 + (delays[frame - 1] ?? 0)));
  const share95 = delays.toSorted((a, b) => a - b)[Math.floor(count * 0.95)]!;
  t.ok(share95 > 70 && share95 < 110, `95 % under ${share95.toFixed(0)} ms`);
  const calm = new Channel(plain, 4, -26);
  t.notOk(Array.from({ length: 1000 }, (_, frame) => calm.isLost(frame) || calm.delayMs(frame) > 0).some(Boolean));
  t.end();
});

const sizes = { A: 8, B: 12, C: 4, D: 10, E: 12, F: 8, G: 8, H: 6, I: 6, J: 6, K: 6, L: 4, M: 4, N: 12 };

test('the suite is what its description says', async (t) => {
  const all = await loadSuite('all');
  const [open, held] = [await loadSuite('open'), await loadSuite('held')];
  t.equal(all.scenarios.length, 106);
  t.same(
    families.map((family) => all.scenarios.filter((scenario) => scenario.family === family).length),
    families.map((family) => sizes[family]),
  );
  for (const family of families) {
    const count = held.scenarios.filter((scenario) => scenario.family === family).length;
    t.ok(Math.abs(count - 0.3 * sizes[family]) <= 0.8, `${family}: ${count} held out`);
  }
  t.equal(open.scenarios.length + held.scenarios.length, 106);
  t.equal(new Set([all.hash, open.hash, held.hash]).size, 3);
  t.equal((await loadSuite('all')).hash, all.hash);

  const turnsOf = (scenario: Scenario): number[] =>
    turnNames(scenario).map((name) => scenario.steps.filter((step) => step.turn === name).length);
  const holds = all.scenarios.flatMap(turnsOf).reduce((sum, parts) => sum + parts - 1, 0);
  const interruptions = all.scenarios.flatMap(({ steps }) => [
    ...new Set(steps.filter(({ role }) => role === 'interrupt').map(({ turn }) => turn)),
  ]).length;
  const isIgnorable = ({ expect }: { expect?: string | undefined }): boolean => expect === 'ignore' || expect === 'resume';
  const ignorable = all.scenarios.flatMap(({ steps, events }) => [...steps, ...events].filter(isIgnorable)).length;
  t.ok(holds >= 85 && holds <= 95, `${holds} holds`);
  t.ok(interruptions >= 20, `${interruptions} interruptions`);
  t.ok(ignorable >= 43, `${ignorable} ignorable events`);

  const texts = all.scenarios.flatMap(({ steps }) =>
    steps.filter(({ role }) => role === 'turn' || role === 'interrupt').map(({ say }) => say),
  );
  const seen = all.scenarios.filter(({ part }) => part === 'open').flatMap(({ agent }) => Object.values(agent.answers));
  const answers = held.scenarios.flatMap(({ agent }) => Object.entries(agent.answers).filter(([name]) => name !== '*'));
  t.notOk(
    answers.some(([, text]) => seen.includes(text)),
    'what is held out is not in the open part',
  );
  t.ok(new Set(texts).size > 0.95 * texts.length, 'hardly anything is said twice');

  const one = await loadSuite('all', { families: ['E'], ids: ['e-0800-command'] });
  t.same(
    one.scenarios.map(({ id }) => id),
    ['e-0800-command'],
  );
  await t.rejects(loadSuite('all', { ids: ['e-nothing'] }), { kind: 'config', message: /e-nothing/ });
});

test('clips of a scenario: a part for each step, a sound for each event that has one', async (t) => {
  const maker = await ClipMaker.open({ folder: t.testdir() });
  const { scenarios } = await loadSuite('all', { ids: ['i-bystander-12', 'm-hang-up'] });
  const [talk, hangUp] = [await prepareClips(scenarios[0]!, maker), await prepareClips(scenarios[1]!, maker)];
  t.equal(talk.steps.length, 1);
  const bystander = talk.events.get('talk')!;
  t.ok(bystander.words.length > 5, 'a bystander has words');
  t.ok(Math.abs(speechLevelDb(bystander.samples) + 38) < 0.3, '12 dB under the caller');
  t.equal(hangUp.events.size, 0);
});

/** As on a machine on which no program is installed. */
function withoutPrograms(t: { testdir: () => string; teardown: (run: () => void) => void }): void {
  const { PATH } = process.env;
  t.teardown(() => {
    process.env['PATH'] = PATH;
  });
  process.env['PATH'] = t.testdir();
}

test('voices of a program that is not installed are missed by name, and only who needs them is left out', async (t) => {
  withoutPrograms(t);
  await t.rejects(programOf('espeak'), { kind: 'missing', message: /espeak-ng, which is not installed/ });
  t.equal(await programOf('flite'), 'flite');
  const maker = await ClipMaker.open({ folder: t.testdir() });
  t.same(
    maker.voices.filter((voice) => voice.startsWith('espeak')),
    [],
  );
  const [scenario] = (await loadSuite('all', { ids: ['a-yes-no-1'] })).scenarios;
  const other = { ...scenario!, id: 'a-other-voice', voice: { ...scenario!.voice, name: 'espeak-m1' } };
  const { able, leftOut } = await ableToRun([scenario!, other], 'flite');
  t.same([able.map(({ id }) => id), leftOut.map(({ scenarios }) => scenarios)], [['a-yes-no-1'], [['a-other-voice']]]);
  t.match(leftOut[0]!.reason, /The voice espeak-m1 needs the program espeak-ng, which is not installed/);
});

test('callers of espeak-ng say the same words in their own way, and the same way each time', async (t) => {
  if ((await espeakVersion()) === undefined) {
    t.comment('left out: espeak-ng is not installed');
    return;
  }
  const folders = t.testdir({ one: {}, other: {} });
  const [one, other] = [
    await ClipMaker.open({ folder: join(folders, 'one') }),
    await ClipMaker.open({ folder: join(folders, 'other') }),
  ];
  const { scenarios } = await loadSuite('all', { ids: ['i-bystander-12'] });
  const [espeak, again, flite] = [
    await prepareClips(scenarios[0]!, one, 'espeak'),
    await prepareClips(scenarios[0]!, other, 'espeak'),
    await prepareClips(scenarios[0]!, one, 'flite'),
  ];
  const [said, saidAgain, saidByFlite] = [espeak.steps[0]!, again.steps[0]!, flite.steps[0]!];
  t.ok(isSame(said.samples, saidAgain.samples), 'made anew');
  t.same(said.words, saidAgain.words);
  t.notOk(isSame(said.samples, saidByFlite.samples), 'another voice');
  t.same(
    said.words.map(({ text }) => text),
    saidByFlite.words.map(({ text }) => text),
  );
  t.ok(isSame(espeak.events.get('talk')!.samples, flite.events.get('talk')!.samples), 'whoever stands beside is the same');
  t.match(await programOf('espeak'), /^espeak-ng \d/);
});

const good = {
  id: 'b-good',
  family: 'B',
  title: 'title',
  seed: 1,
  part: 'open',
  voice: { name: 'caller-m1' },
  agent: { greeting: null, answers: { t1: 'Yes.' } },
  steps: [
    { say: 'Well,', turn: 't1', at: { abs: 500 } },
    { say: 'go on.', turn: 't1', final: true, at: { after: 'prev.end', ms: 500 } },
  ],
  events: [{ id: 'bang', class: 'door', level_dbfs: -20, at: { after: 'agent.onset#1', ms: 5 }, expect: 'ignore' }],
  end: { after: 'agent.end#1', ms: 500, max: 20_000 },
  expect: { answers: 1 },
};

test('a scenario that is none is told what is wrong, and where', (t) => {
  const problemsOf = (change: (scenario: typeof good) => void, name = 'b-good.json'): string[] => {
    const changed = structuredClone(good);
    change(changed);
    return checkedScenario(name, JSON.stringify(changed)).problems;
  };
  const only = (problems: string[], pattern: RegExp): void => {
    t.equal(problems.length, 1, problems.join('; '));
    t.match(problems[0], pattern);
  };
  t.same(
    problemsOf(() => undefined),
    [],
  );
  only(checkedScenario('x.json', '{').problems, /^x\.json: is JSON/);
  only(
    problemsOf((it) => Object.assign(it, { sede: 1 })),
    /^b-good\.json: \(whole\): .*sede/,
  );
  only(
    problemsOf((it) => Object.assign(it.steps[1]!, { role: 'shout' })),
    /^b-good\.json: steps\.1\.role: /,
  );
  only(
    problemsOf(() => undefined, 'other.json'),
    /^other\.json: id: .*b-good\.json/,
  );
  only(
    problemsOf((it) => (it.voice.name = 'slt')),
    /voice\.name: "slt" is one of caller-m1, .*espeak-f2/,
  );
  only(
    problemsOf((it) => (it.steps[1]!.final = false)),
    /steps\.1\.final: .*last part of turn "t1"/,
  );
  only(
    problemsOf((it) => (it.steps[0]!.say = 'Well')),
    /steps\.0\.say: ends with/,
  );
  only(
    problemsOf((it) => (it.steps[1]!.say = 'go on,')),
    /steps\.1\.say: the last part/,
  );
  only(
    problemsOf((it) => (it.steps[0]!.at = { after: 'prev.end', ms: 1 } as never)),
    /steps\.0\.at\.after: there is a step before/,
  );
  only(
    problemsOf((it) => Object.assign(it.steps[1]!, { expect: 'yield' })),
    /steps\.1\.expect: the role turn expects nothing/,
  );
  only(
    problemsOf((it) => Object.assign(it.steps[1]!, { role: 'interrupt' })),
    /steps\.1\.expect: the role interrupt expects yield/,
  );
  only(
    problemsOf((it) => (it.agent.answers = {} as never)),
    /agent\.answers: there is an answer to turn "t1"/,
  );
  only(
    problemsOf((it) => Object.assign(it.agent.answers, { t9: 'x' })),
    /agent\.answers\.t9/,
  );
  only(
    problemsOf((it) => (it.expect.answers = 2)),
    /expect\.answers: no more answers/,
  );
  only(
    problemsOf((it) => (it.end.after = 'the end')),
    /end\.after: an anchor/,
  );
  only(
    problemsOf((it) => (it.end.after = 'event:boom.end')),
    /end\.after: "boom" is an event/,
  );
  only(
    problemsOf((it) => Object.assign(it.events[0]!, { snr_db: 3 })),
    /events\.0\.level_dbfs: /,
  );
  only(
    problemsOf((it) => Object.assign(it.events[0]!, { say: 'hm' })),
    /events\.0\.say: a bystander/,
  );
  only(
    problemsOf((it) => Object.assign(it.events[0]!, { dur: 300 })),
    /events\.0\.dur: a door lasts/,
  );
  only(
    problemsOf((it) => void it.events.push(it.events[0]!)),
    /events\.1\.id: "bang"/,
  );
  t.end();
});

test('one bad file stops the suite, by name', async (t) => {
  const folder = t.testdir({ 'b-good.json': JSON.stringify(good), 'b-bad.json': JSON.stringify({ ...good, seed: -1 }) });
  await t.rejects(loadSuite('all', {}, folder), { kind: 'config', message: /b-bad\.json: seed: / });
});

test('recordings: labels that can be true, and a word for what is not there', async (t) => {
  const recordings = await readManifest();
  t.ok(recordings.length >= 40);
  for (const { file, speech, holds, ends, licence, words } of recordings) {
    t.ok(licence.length > 0, `${file} has a licence`);
    t.ok(
      speech.every(([from, to], index) => to > from && from >= (speech[index - 1]?.[1] ?? 0)),
      `${file}: speech in order`,
    );
    const starts = new Set(speech.map(([from]) => from.toFixed(2)));
    t.ok(
      holds.every(([from, to]) => to - from >= 0.199 && starts.has(to.toFixed(2))),
      `${file}: holds end in speech`,
    );
    t.ok(
      ends.every((end) => speech.some(([, to]) => Math.abs(to - end) < 0.01)),
      `${file}: ends are ends of speech`,
    );
    t.ok(
      (words ?? []).every(([from, to]) => to >= from),
      `${file}: words in order`,
    );
  }
  const absent = await loadRealSet({ folder: t.testdir() });
  t.equal(absent.recordings.length, 0);
  t.match(absent.missing, [/no recordings there; all \d+ of the real suite are left out/]);
  const present = await loadRealSet({ groups: ['turn'] });
  if (present.recordings.length === 0) t.comment(present.missing.join('; '));
  else
    t.ok(
      present.recordings.every(({ samples, ends }) => ends.every((end) => end * 16000 <= samples.length)) &&
        present.missing.length === 0,
    );
});
