/** Learned models of turn-taking: what they are fed, what is made of their answers, and that nothing depends on getting one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import { readConfig } from '../src/config.js';
import { nowMs } from '../src/shared/clock.js';
import type { FromStt, SpeechEvent } from '../src/shared/links.js';
import { InputWriter } from '../src/shared/ring.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import { SttSession } from '../src/stt/session.js';
import { judgedDelayMs } from '../src/turn/judgement.js';
import { nextDeadlineMs, step } from '../src/turn/machine.js';
import { turnDefaults } from '../src/turn/settings.js';
import { type Action, initialState, type TurnEvent, type TurnState } from '../src/turn/state.js';
import { AudioTurnModel } from '../src/turn-model/audio-model.js';
import { Fft } from '../src/turn-model/fft.js';
import { bandCount, frameCount, LogMel, windowSamples } from '../src/turn-model/log-mel.js';
import { type Outcome, PooledTurnModel } from '../src/turn-model/pooled.js';
import { TextTurnModel } from '../src/turn-model/text-model.js';
import { LoneSession } from './support/lone-session.js';
import { featureModel, rawModel, writeClassifier, writeTokenModel } from './support/turn-models.js';

const root = mkdtempSync(join(tmpdir(), 'parley-turn-model-'));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));

function file(name: string, content: Uint8Array | string): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

/** Two tones and a little noise. */
function twoTones(count: number): Int16Array {
  let seed = 12_345;
  return Int16Array.from({ length: count }, (_, index) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    const noise = ((seed >>> 16) / 32_768 - 1) * 0.01;
    const tones = 0.3 * Math.sin((2 * Math.PI * 440 * index) / 16_000) + 0.2 * Math.sin((2 * Math.PI * 1250 * index) / 16_000);
    return Math.round((tones + noise) * 32_768);
  });
}

test('the transform is the definition of it', (t) => {
  fc.assert(
    fc.property(fc.constantFrom(1, 2, 5, 12, 50, 400), fc.integer(), (length, seed) => {
      const value = (index: number): number => Math.sin(seed + index * 12.9898) * 3;
      const re = Float64Array.from({ length }, (_, index) => value(index));
      const im = Float64Array.from({ length }, (_, index) => value(index + length));
      const [wasRe, wasIm] = [re.slice(), im.slice()];
      new Fft(length).run(re, im);
      for (let k = 0; k < length; k += Math.max(1, Math.floor(length / 7))) {
        let [sumRe, sumIm] = [0, 0];
        for (let n = 0; n < length; n++) {
          const angle = (-2 * Math.PI * k * n) / length;
          sumRe += wasRe[n]! * Math.cos(angle) - wasIm[n]! * Math.sin(angle);
          sumIm += wasRe[n]! * Math.sin(angle) + wasIm[n]! * Math.cos(angle);
        }
        if (Math.abs(re[k]! - sumRe) > 1e-8 || Math.abs(im[k]! - sumIm) > 1e-8) throw new Error(`bin ${k} of ${length}`);
      }
    }),
    { numRuns: 30 },
  );
  t.end();
});

test('features are those of the extractor that the models were taught with', (t) => {
  const features = new LogMel().of(twoTones(48_000));
  t.equal(features.length, bandCount * frameCount);
  // What transformers' WhisperFeatureExtractor(chunk_length=8, do_normalize) gives for this signal; here it is rounded to 16 bits first.
  const reference = [
    [0, 0, -0.26838],
    [40, 400, -0.26838],
    [79, 700, 0.41503],
    [10, 600, 1.64153],
    [20, 799, 0.56652],
    [60, 650, 0.3985],
  ] as const;
  for (const [band, frame, value] of reference)
    t.ok(Math.abs(features[band * frameCount + frame]! - value) < 5e-4, `band ${band}, frame ${frame}`);
  t.end();
});

test('features: padding is made once and is the same as made each time; silence is finite', (t) => {
  const mel = new LogMel();
  const speech = twoTones(20_000);
  const padded = new Int16Array(windowSamples);
  padded.set(speech, windowSamples - speech.length);
  // The same window, without a part of it known to be padding.
  const [short, whole] = [mel.of(speech), mel.of(padded)];
  t.ok(short.every((value, index) => Math.abs(value - whole[index]!) < 1e-6));
  t.ok(mel.of(new Int16Array(0)).every(Number.isFinite));
  const longer = new Int16Array(windowSamples + 5000);
  longer.set(padded, 5000);
  t.same(mel.of(longer), whole, 'the newest eight seconds count');
  t.end();
});

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));

test('an audio model of the third kind gets features, one of the second samples', async (t) => {
  const audio = twoTones(32_000);
  const features = new LogMel().of(audio);
  const mean = features.reduce((sum, value) => sum + value, 0) / features.length;
  const third = await AudioTurnModel.load(file('third.onnx', featureModel(0.1, 3)));
  t.equal(third.name, 'log-mel');
  t.ok(Math.abs((await third.judge({ kind: 'audio', audio })) - sigmoid(3 * (mean - 0.1))) < 1e-4);

  const second = await AudioTurnModel.load(file('second.onnx', rawModel(128_000, 1600)));
  t.equal(second.name, 'raw');
  // A tenth of a second of one level at the end of eight seconds: its normalised value is known.
  const burst = new Int16Array(1600).fill(16_384);
  const share = 1600 / 128_000;
  const level = (0.5 - 0.5 * share) / Math.sqrt(0.25 * share * (1 - share));
  t.ok(Math.abs((await second.judge({ kind: 'audio', audio: burst })) - sigmoid(level)) < 1e-4, 'zeros are in front');
  await t.rejects(second.judge({ kind: 'text', lines: [] }), { message: /asked about text/ });
});

test('a file that is no such model is refused with a reason', async (t) => {
  await t.rejects(AudioTurnModel.load(join(root, 'absent.onnx')), { kind: 'missing', message: /absent\.onnx/ });
  await t.rejects(AudioTurnModel.load(file('text.onnx', 'not a model')), { kind: 'garbage', message: /no ONNX model/ });
  await t.rejects(AudioTurnModel.load(file('short.onnx', rawModel(400, 40))), {
    kind: 'garbage',
    message: /takes input_values float32 \[.*400\]/,
  });
  const folder = join(root, 'reader');
  await t.rejects(TextTurnModel.load(folder), { kind: 'missing', message: /no ONNX file/ });
  writeClassifier(folder, {}, { linesMax: 0 });
  await t.rejects(TextTurnModel.load(folder), { kind: 'config', message: /turn-model\.json[\s\S]*linesMax/ });
  writeClassifier(folder, {}, {});
  writeFileSync(join(folder, 'other.onnx'), featureModel(0, 1));
  await t.rejects(TextTurnModel.load(folder), { kind: 'config', message: /several ONNX files/ });
  writeClassifier(folder, {}, { file: 'other.onnx' });
  await t.rejects(TextTurnModel.load(folder), { kind: 'garbage', message: /takes input_features float32, not token ids/ });
});

test('a classifier reads the open turn alone, however long it is', async (t) => {
  const folder = join(root, 'classifier');
  writeClassifier(folder, { '.': [0, 3], and: [2, 0], '[CLS]': [0.5, 0] }, { tokensMax: 8 });
  const model = await TextTurnModel.load(folder);
  const judge = (text: string) =>
    model.judge({
      kind: 'text',
      lines: [
        { role: 'agent', text: 'and and.' },
        { role: 'caller', text },
      ],
    });
  const about = async (text: string, done: number, notDone: number): Promise<void> => {
    t.ok(Math.abs((await judge(text)) - sigmoid(done - notDone)) < 1e-5, text.slice(0, 20));
  };
  await about('Yes.', 3, 0.5);
  await about('book it AND', 0, 2.5);
  await about('', 0, 0.5);
  await about(`${'book '.repeat(50)}and`, 0, 2.5);
  await about(`and ${'book '.repeat(50)}`, 0, 0.5);
});

test('a model of chats reads the lines before as it was taught, and its last token counts', async (t) => {
  const folder = join(root, 'chat');
  const chat = { caller: '<|caller|>{text}', agent: '<|agent|>{text}', end: '<|end|>' };
  const weights = { '<|caller|>': 0.1, '<|agent|>': 0.2, yes: 0.9, and: 0.05, '.': 0.95, '<|end|>': 0.4, odd: 1.5 };
  writeTokenModel(folder, weights, { chat, isPlain: true, linesMax: 2 });
  const model = await TextTurnModel.load(folder);
  const judge = (...texts: string[]) =>
    model.judge({
      kind: 'text',
      lines: texts.map((text, index) => ({ role: (texts.length - index) % 2 === 1 ? 'caller' : 'agent', text })),
    });
  t.ok(Math.abs((await judge('and', 'yes', 'Yes.')) - 0.9) < 1e-6, 'the full stop is no word here, and the last line has no end');
  t.ok(Math.abs((await judge('yes', '$& book', 'book and…')) - 0.05) < 1e-6);
  t.ok(Math.abs((await judge('')) - 0.1) < 1e-6, 'an empty line is its mark alone');
  await t.rejects(judge('odd'), { kind: 'garbage', message: /answered 1\.5, which is no probability/ });
});

test('the pool answers within its budget or not at all', async (t) => {
  const outcomes: Outcome[] = [];
  const problems: (string | undefined)[] = [];
  const onOutcome = (outcome: Outcome, _tookMs: number, problem: string | undefined): void => {
    outcomes.push(outcome);
    problems.push(problem);
  };
  const folder = join(root, 'pooled');
  writeTokenModel(folder, { yes: 0.9, odd: 2 }, { chat: { caller: '{text}', agent: '', end: '' } });
  const line = (text: string) => ({ kind: 'text', lines: [{ role: 'caller', text }] }) as const;
  const reader = await PooledTurnModel.open(folder, { now: nowMs, onOutcome, waitingMax: 2 });
  t.equal(reader.kind, 'text');
  t.match(reader.name, /^text \(pooled, \d+ ms\)$/);
  const answers = await Promise.all(['yes', 'odd', 'yes'].map((text) => reader.judge(line(text))));
  t.ok(Math.abs(answers[0]! - 0.9) < 1e-6);
  t.same(answers.slice(1), [undefined, undefined]);
  t.same(outcomes.sort(), ['answered', 'busy', 'failed']);
  t.match(problems.join(), /no probability/);
  await reader.close();
  t.equal(await reader.judge(line('yes')), undefined, 'closed: nothing is asked, nothing is counted');
  t.equal(outcomes.length, 3);

  outcomes.length = 0;
  const ears = await PooledTurnModel.open(file('pooled.onnx', featureModel(0, 1)), { now: nowMs, onOutcome, budgetMs: 1 });
  t.equal(await ears.judge({ kind: 'audio', audio: twoTones(128_000) }), undefined);
  t.same(outcomes, ['late']);
  await ears.close();
  await t.rejects(PooledTurnModel.open(file('bad.onnx', 'x'), { now: nowMs }), {
    kind: 'garbage',
    message: /PARLEY_TURN_MODEL: .*bad\.onnx/,
  });
  await t.rejects(PooledTurnModel.open(join(root, 'nowhere'), { now: nowMs }), { kind: 'missing', message: /nothing at/ });
  await t.rejects(PooledTurnModel.open(file('model.bin', ''), { now: nowMs }), {
    kind: 'config',
    message: /neither an \.onnx file nor a folder/,
  });
});

test('the setting tells the kind, and a wrong path stops the start', (t) => {
  const ears = file('setting.onnx', featureModel(0, 1));
  t.same(readConfig({ PARLEY_TURN_MODEL: ears }).turnModel, { kind: 'audio', path: ears });
  t.same(readConfig({ PARLEY_TURN_MODEL: root }).turnModel, { kind: 'text', path: root });
  t.equal(readConfig({}).turnModel, undefined);
  t.throws(() => readConfig({ PARLEY_TURN_MODEL: join(root, 'nowhere') }), { message: /PARLEY_TURN_MODEL: there is nothing at/ });
  t.end();
});

test('probability to delay: as the settings say, never beyond their bounds', (t) => {
  const delays = [0, 0.3, 0.5, 0.7, 1].map((probability) => Math.round(judgedDelayMs(probability, turnDefaults)));
  t.same(delays, [1500, 1500, 875, 250, 250]);
  t.equal(judgedDelayMs(1, { ...turnDefaults, delayRatio: 0.5 }), turnDefaults.delayMinMs);
  t.equal(judgedDelayMs(0, { ...turnDefaults, delayRatio: 4 }), turnDefaults.delayMaxMs);
  const step = { ...turnDefaults, doneProbability: 0.5, notDoneProbability: 0.5 };
  t.same([judgedDelayMs(0.49, step), judgedDelayMs(0.5, step)], [1500, 250], 'one threshold is a step');
  t.end();
});

/** Feeds the machine; timers run up to each event. Returns instants of commits. */
class Turn {
  state: TurnState = initialState;
  readonly commits: { readonly atMs: number; readonly delayMs: number }[] = [];

  feed(atMs: number, event: TurnEvent): readonly Action[] {
    for (;;) {
      const due = nextDeadlineMs(this.state, turnDefaults);
      if (due === undefined || due > atMs) break;
      const before = this.state;
      this.#step(due, { type: 'time' });
      if (JSON.stringify(before) === JSON.stringify(this.state)) break;
    }
    return this.#step(atMs, event);
  }

  /** The caller says `text` until `t0Ms`; its final is there with the pause. */
  say(text: string, t0Ms: number): void {
    this.feed(t0Ms - 500, { type: 'speech_start', startMs: t0Ms - 600, hold: 0 });
    this.feed(t0Ms, {
      type: 'speech_hop',
      speechMs: 500,
      continuousMs: 500,
      meanProbability: 0.9,
      levelOverCallerDb: 0,
      hold: 0,
    });
    this.feed(t0Ms + 192, { type: 'speech_end', t0Ms, speechMs: 600, levelOverCallerDb: 0 });
    this.feed(t0Ms + 200, { type: 'transcript', turn: this.state.turn, text, isFinal: true, throughMs: t0Ms + 192 });
  }

  #step(atMs: number, event: TurnEvent): readonly Action[] {
    const result = step(this.state, event, atMs, turnDefaults, { idle: [], apology: '' });
    this.state = result.state;
    for (const action of result.actions) if (action.type === 'commit') this.commits.push({ atMs, delayMs: action.delayMs });
    return result.actions;
  }
}

const asked = (throughMs: number, turn = 1): TurnEvent => ({ type: 'turn_asked', turn, throughMs });
const score = (throughMs: number, probability: number | undefined, turn = 1): TurnEvent => ({
  type: 'turn_score',
  turn,
  throughMs,
  probability,
});

test('the machine: a model that is sure of the end makes the turn shorter than its words', (t) => {
  const turn = new Turn();
  turn.say('I would like to', 2000);
  turn.feed(2200, asked(2000));
  turn.feed(2240, score(2000, 0.95));
  turn.feed(4000, { type: 'time' });
  t.same(turn.commits, [{ atMs: 2250, delayMs: 250 }]);
  t.end();
});

test('the machine: a model that is sure of more keeps a finished sentence open', (t) => {
  const turn = new Turn();
  turn.say('That is all.', 2000);
  turn.feed(2200, asked(2000));
  turn.feed(2320, score(2000, 0.1));
  turn.feed(4000, { type: 'time' });
  t.same(turn.commits, [{ atMs: 3500, delayMs: 1500 }], 'the answer came after the words would have ended it');
  t.end();
});

test('the machine: without an answer the words decide, at once when it is known that none comes', (t) => {
  const failed = new Turn();
  failed.say('That is all.', 2000);
  failed.feed(2200, asked(2000));
  failed.feed(2900, score(2000, undefined));
  t.same(failed.commits, [{ atMs: 2900, delayMs: turnDefaults.delayCompleteMs }]);
  const silent = new Turn();
  silent.say('That is all.', 2000);
  silent.feed(2200, asked(2000));
  silent.feed(9000, { type: 'time' });
  t.same(silent.commits, [{ atMs: 2200 + turnDefaults.turnModelWaitMs, delayMs: turnDefaults.delayCompleteMs }]);
  t.end();
});

test('the machine: an answer to an earlier pause, or to another turn, is none to this one', (t) => {
  const turn = new Turn();
  turn.say('I would like', 2000);
  turn.feed(2200, asked(2000));
  turn.feed(2240, score(2000, 0.05));
  turn.say('I would like a pizza.', 3000);
  turn.feed(3200, score(2000, 0.05));
  turn.feed(3200, score(3000, 0.05, 7));
  turn.feed(3300, { type: 'time' });
  t.same(turn.commits, [{ atMs: 3300, delayMs: turnDefaults.delayCompleteMs }]);
  const late = new Turn();
  late.say('I would like', 2000);
  late.feed(2200, asked(2000));
  late.say('I would like a pizza.', 3000);
  late.feed(3200, asked(3000));
  late.feed(3210, score(2000, 0.99));
  t.same(late.commits, [], 'the word of the pause before does not end the waiting');
  late.feed(3220, score(3000, 0.99));
  late.feed(3400, { type: 'time' });
  t.same(late.commits, [{ atMs: 3250, delayMs: 250 }]);
  t.end();
});

const samplesPerMs = 16;

test('the STT session hands over the end of the open turn in each pause, and nothing when there is no model', async (t) => {
  const slot = new Slot(createBlock(1), 0);
  claim(slot);
  const ring = new InputWriter(slot);
  const answers: Omit<FromStt, 'slot' | 'generation'>[] = [];
  const heard: Int16Array[] = [];
  const resolvers: ((probability: number | undefined) => void)[] = [];
  const turnOf = { push: () => undefined, pause: () => undefined, resume: () => undefined, close: () => undefined };
  const provider = { name: 'scripted', warm: async () => undefined, close: async () => undefined, openTurn: () => turnOf };
  const listener = {
    windowSamples: 2000 * samplesPerMs,
    judge: (audio: Int16Array) => {
      heard.push(audio);
      return new Promise<number | undefined>((resolve) => resolvers.push(resolve));
    },
  };
  const make = (ears?: typeof listener) =>
    new SttSession(
      slot,
      provider,
      { language: 'en', keywords: [] },
      () => 0,
      (answer) => answers.push(answer),
      ears,
    );
  const [stt, deaf] = [make(listener), make()];
  /** Samples carry the millisecond they belong to. */
  let writtenMs = 0;
  const write = (throughMs: number): void => {
    const piece = new Int16Array((throughMs - writtenMs) * samplesPerMs).map(
      (_, index) => writtenMs + Math.floor(index / samplesPerMs),
    );
    ring.write(piece);
    writtenMs = throughMs;
    slot.store(Cell.vadRead, throughMs * samplesPerMs);
    for (const session of [stt, deaf]) session.pull();
  };
  const speech = (event: SpeechEvent): void => {
    for (const session of [stt, deaf]) session.speech(event);
  };
  const at = (milliseconds: number): number => milliseconds * samplesPerMs;
  write(1000);
  speech({ type: 'speech_start', startSample: at(900), atSample: at(1000), hold: 0, decidedAtMs: 0 });
  for (let ms = 1200; ms <= 5000; ms += 200) write(ms);
  speech({ type: 'speech_dip', isSure: true, atSample: at(5000), lastSpeechSample: at(4936), speechMs: 4000 });
  write(5128);
  t.equal(heard.length, 0, 'a dip is no pause');
  speech({
    type: 'speech_end',
    startSample: at(900),
    atSample: at(5128),
    lastSpeechSample: at(4936),
    speechMs: 4036,
    levelOverCallerDb: 0,
  });
  t.equal(heard.length, 1);
  t.equal(heard[0]!.length, at(2000));
  t.same([heard[0]![0], heard[0]!.at(-1)], [3128, 5127], 'the last two seconds, up to where the pause was seen');
  t.same(answers, [{ type: 'turn_asked', turn: 1, lastSpeechSample: at(4936) }]);
  resolvers[0]!(0.2);
  await Promise.resolve();
  await Promise.resolve();
  t.match(answers[1], { type: 'turn_score', turn: 1, lastSpeechSample: at(4936), probability: 0.2 });

  speech({ type: 'speech_start', startSample: at(5400), atSample: at(5500), hold: 0, decidedAtMs: 0 });
  write(6000);
  speech({
    type: 'speech_end',
    startSample: at(5400),
    atSample: at(6000),
    lastSpeechSample: at(5808),
    speechMs: 400,
    levelOverCallerDb: 0,
  });
  t.same([heard[1]!.length, heard[1]![0], heard[1]!.at(-1)], [at(2000), 4000, 5999], 'without a hole where recognition paused');
  stt.closeTurn(1, at(6000));
  resolvers[1]!(0.9);
  await Promise.resolve();
  await Promise.resolve();
  t.equal(answers.length, 3, 'the answer about a turn that is over is nobody’s');
  t.equal(answers.filter(({ type }) => type === 'turn_asked').length, 2, 'the session without a model asks nothing');
  t.end();
});

test('the conversation asks a model that reads: in the pause, with what was said before, and it decides', async (t) => {
  const questions: string[][] = [];
  const probabilities = [0.05, 0.95];
  const lone = new LoneSession(
    { conversation_config: { agent: { first_message: 'Where to?' } } },
    [{ text: 'Sure.' }, { text: 'Sure.' }],
    [],
    {
      readTurn: async (lines) => {
        questions.push(lines.map(({ role, text }) => `${role}: ${text}`));
        return probabilities.shift();
      },
    },
  );
  lone.start();
  lone.isHeard(1);
  lone.fromTts({ type: 'drained', speech: 1, heardChars: undefined });
  lone.says('To Boston.', 1);
  t.same(questions, [['agent: Where to?', 'caller: To Boston.']]);
  await lone.settle();
  const commits = (): number => lone.stt.filter(({ type }) => type === 'close_turn').length;
  lone.pass(1300);
  t.equal(commits(), 0, 'a finished sentence, and the model says: not done');
  lone.pass(200);
  t.equal(commits(), 1);
  t.equal(questions.length, 1, 'one pause, one question');
  lone.session.close();
});

test('a model that has no answer costs the turn nothing', async (t) => {
  const lone = new LoneSession({ conversation_config: { agent: { first_message: '' } } }, [{ text: 'Sure.' }], [], {
    readTurn: async () => undefined,
  });
  lone.start();
  lone.says('To Boston.', 1);
  await lone.settle();
  lone.pass(turnDefaults.delayCompleteMs);
  t.equal(lone.stt.filter(({ type }) => type === 'close_turn').length, 1);
  lone.session.close();
});
