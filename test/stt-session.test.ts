/** One session's recognition: which turn its words belong to when the ports of its thread are not in step. */
import { test } from 'tap';
import { SttHost } from '../src/hosts/stt-host.js';
import type { FromStt, SpeechEvent, ToStt } from '../src/shared/links.js';
import { InputWriter } from '../src/shared/ring.js';
import { Cell, claim, createBlock, createBoard, Slot } from '../src/shared/slots.js';
import { samples } from '../src/shared/units.js';
import type { SttProvider, SttTurnOptions } from '../src/stt/port.js';
import { SttSession } from '../src/stt/session.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { step } from '../src/turn/machine.js';
import { turnDefaults } from '../src/turn/settings.js';
import { type Action, initialState, type TurnEvent, type TurnState } from '../src/turn/state.js';

const settings = { language: 'en', keywords: [] };
const samplesPerMs = 16;
const evidence = {
  speechMs: 64,
  continuousMs: 64,
  meanProbability: 0.9,
  levelOverFloorDb: 20,
  levelOverCallerDb: 0,
  hold: 0,
  decidedAtMs: 0,
};

function speechStart(startMs: number, atMs: number): SpeechEvent {
  return { ...evidence, type: 'speech_start', startSample: startMs * samplesPerMs, atSample: atMs * samplesPerMs };
}

/** A recogniser that says nothing: the turns it was asked to open, and where what it was given begins. */
/** `calls`: what was asked of the turns beside their audio, in order. */
function scripted(): { provider: SttProvider; turns: SttTurnOptions[]; pushed: number[]; calls: string[] } {
  const turns: SttTurnOptions[] = [];
  const pushed: number[] = [];
  const calls: string[] = [];
  const provider: SttProvider = {
    name: 'scripted',
    warm: async () => undefined,
    close: async () => undefined,
    openTurn: (options) => {
      turns.push(options);
      return {
        push: (_chunk, firstSample) => void pushed.push(firstSample),
        pause: (speechMs) => void calls.push(`pause ${speechMs}`),
        resume: () => void calls.push('resume'),
        close: () => undefined,
      };
    },
  };
  return { provider, turns, pushed, calls };
}

/** A session over a second of audio, and the turns its recogniser was asked to open. */
function session(): {
  stt: SttSession;
  turns: SttTurnOptions[];
  answers: Omit<FromStt, 'slot' | 'generation'>[];
  pushed: number[];
} {
  const slot = new Slot(createBlock(1), 0);
  claim(slot);
  new InputWriter(slot).write(new Int16Array(1000 * samplesPerMs).fill(1));
  slot.store(Cell.vadRead, 1000 * samplesPerMs);
  const { provider, turns, pushed } = scripted();
  const answers: Omit<FromStt, 'slot' | 'generation'>[] = [];
  return {
    stt: new SttSession(
      slot,
      provider,
      settings,
      () => 0,
      (answer) => answers.push(answer),
    ),
    turns,
    answers,
    pushed,
  };
}

test('speech that recognition hears of after its turn was closed is recognised as the next turn', (t) => {
  const { stt, turns, answers, pushed } = session();
  // The caller typed: conversation had seen the speech and closed the turn that it opened; the detector's word of it comes here later.
  stt.closeTurn(1, 600 * samplesPerMs);
  stt.speech(speechStart(400, 500));
  t.equal(turns.length, 1);
  t.equal(pushed[0], 600 * samplesPerMs, 'from where the closed turn ends');
  turns[0]!.onTranscript({ text: 'wait', isFinal: false, lastSample: samples(900 * samplesPerMs) });
  t.match(answers, [{ type: 'transcript', turn: 2, text: 'wait' }], 'which nothing has opened at conversation');
  t.end();
});

test('speech that recognition hears of before the settings of its session is recognised when they have come', (t) => {
  const block = createBlock(1);
  const slot = new Slot(block, 0);
  const generation = claim(slot);
  new InputWriter(slot).write(new Int16Array(1000 * samplesPerMs).fill(1));
  slot.store(Cell.vadRead, 1000 * samplesPerMs);
  const { provider, turns, pushed } = scripted();
  const host = new SttHost(
    { block, board: createBoard(), provider, recorder: new Recorder('stt'), pullMs: 1000 },
    { toMain: () => undefined, toConversation: () => undefined },
  );
  t.teardown(() => host.close());
  const address = { slot: 0, generation };
  const configure: ToStt = {
    ...address,
    type: 'configure',
    provider: 'scripted',
    language: 'en',
    keywords: [],
    grammar: undefined,
  };
  // As it comes when a caller sends a whole phrase at once, and this thread was busy: the detector, main, conversation.
  host.fromVad({ ...address, ...speechStart(400, 500) });
  host.fromMain({ ...address, type: 'open' });
  host.fromVad({
    ...address,
    ...evidence,
    type: 'speech_end',
    startSample: 400 * samplesPerMs,
    lastSpeechSample: 900 * samplesPerMs,
    atSample: 1000 * samplesPerMs,
  });
  t.equal(turns.length, 0);
  host.fromConversation(configure);
  t.equal(turns.length, 1, 'the turn is open');
  t.ok(pushed.length > 0, 'and was given its audio');
  host.fromMain({ ...address, type: 'close' });

  const next = { slot: 0, generation: generation + 1 };
  host.fromVad({ ...address, ...speechStart(400, 500) });
  host.fromMain({ ...next, type: 'open' });
  host.fromConversation({ ...configure, ...next });
  t.equal(turns.length, 1, 'what is left of the call before is nothing to the next');
  t.end();
});

test('speech that pauses and goes on before the settings have come goes on for recognition too', (t) => {
  const block = createBlock(1);
  const slot = new Slot(block, 0);
  const generation = claim(slot);
  const input = new InputWriter(slot);
  input.write(new Int16Array(1000 * samplesPerMs).fill(1));
  slot.store(Cell.vadRead, 1000 * samplesPerMs);
  const { provider, pushed, calls } = scripted();
  const host = new SttHost(
    { block, board: createBoard(), provider, recorder: new Recorder('stt'), pullMs: 1000 },
    { toMain: () => undefined, toConversation: () => undefined },
  );
  t.teardown(() => host.close());
  const address = { slot: 0, generation };
  const from = { ...address, ...evidence, startSample: 400 * samplesPerMs };
  host.fromMain({ ...address, type: 'open' });
  host.fromVad({ ...address, ...speechStart(400, 500) });
  host.fromVad({
    ...from,
    type: 'speech_dip',
    lastSpeechSample: 600 * samplesPerMs,
    atSample: 700 * samplesPerMs,
    isSure: false,
  });
  // Of the hops recognition is told the one that ends a pause, and no other.
  host.fromVad({ ...from, type: 'speech_hop', atSample: 800 * samplesPerMs });
  host.fromConversation({
    ...address,
    type: 'configure',
    provider: 'scripted',
    language: 'en',
    keywords: [],
    grammar: undefined,
  });
  t.same(calls, ['pause 64', 'resume']);
  input.write(new Int16Array(500 * samplesPerMs).fill(1));
  slot.store(Cell.vadRead, 1500 * samplesPerMs);
  host.fromVad({
    ...from,
    speechMs: 900,
    type: 'speech_end',
    lastSpeechSample: 1400 * samplesPerMs,
    atSample: 1500 * samplesPerMs,
  });
  t.same(calls, ['pause 64', 'resume', 'pause 900'], 'and the end of the speech is one');
  t.ok(pushed.at(-1)! >= 1000 * samplesPerMs, 'with the audio that came after the settings');
  t.end();
});

test('words without an open turn open one, and the speech they belong to goes on in it', (t) => {
  let state: TurnState = initialState;
  const feed = (atMs: number, event: TurnEvent): readonly Action[] => {
    const result = step(state, event, atMs, turnDefaults, { idle: [], apology: '' });
    state = result.state;
    return result.actions;
  };
  const words = (text: string, throughMs: number, isFinal: boolean): TurnEvent => ({
    type: 'transcript',
    turn: state.turn,
    text,
    isFinal,
    throughMs,
  });
  feed(0, { type: 'started', firstMessage: '' });
  t.same(feed(900, words('', 880, false)), [], 'no words, no turn');
  t.equal(state.open, undefined);
  t.match(feed(900, words('I would', 880, false)), [{ type: 'tentative', turn: 1, text: 'I would' }]);
  t.match(state.open, { isSpeaking: false, text: 'I would', t0Ms: 880 });
  feed(910, { type: 'speech_start', startMs: 300, hold: 0 });
  t.match(state.open, { isSpeaking: true, text: 'I would' }, "the gate's own word of it, late");
  feed(2192, { type: 'speech_end', t0Ms: 2000, speechMs: 1600, levelOverCallerDb: 0 });
  t.match(feed(2300, words('I would like a pizza.', 2192, true)), [
    { type: 'tentative' },
    { type: 'generate' },
    { type: 'commit', turn: 1, text: 'I would like a pizza.' },
  ]);
  t.end();
});

test('words alone are answered when nothing more is heard', (t) => {
  let state: TurnState = initialState;
  const types: string[] = [];
  for (const [atMs, event] of [
    [0, { type: 'started', firstMessage: '' }],
    [900, { type: 'transcript', turn: 1, text: 'Yes.', isFinal: true, throughMs: 880 }],
    [880 + turnDefaults.delayCompleteMs, { type: 'time' }],
  ] as const) {
    const result = step(state, event, atMs, turnDefaults, { idle: [], apology: '' });
    state = result.state;
    types.push(...result.actions.map(({ type }) => type));
  }
  t.same(types, ['tentative', 'generate', 'commit']);
  t.end();
});
