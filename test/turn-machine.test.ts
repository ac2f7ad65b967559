/** The turn machine as lists of inputs and outputs: `[instant, event]` in, actions out. Times in ms of the input clock. */
import { test } from 'tap';
import { nextDeadlineMs, step } from '../src/turn/machine.js';
import { type TurnSettings, turnDefaults } from '../src/turn/settings.js';
import { type Action, initialState, type TurnEvent, type TurnState } from '../src/turn/state.js';

const phrases = { idle: ['Are you still there?'], apology: 'Sorry, once more?' };

/** A conversation that runs its own timers: before each event every deadline that has passed is fed. */
class Table {
  state: TurnState = initialState;
  readonly actions: Action[] = [];
  readonly #settings: TurnSettings;
  #at = 0;

  constructor(settings: Partial<TurnSettings> = {}) {
    this.#settings = { ...turnDefaults, ...settings };
  }

  /** Runs the clock on and feeds `event`; returns the actions since the last call. */
  at(atMs: number, event: TurnEvent): Action[] {
    const before = this.actions.length;
    this.#timers(atMs);
    this.#feed(event, atMs);
    return this.actions.slice(before);
  }

  /** Only the clock. */
  until(atMs: number): Action[] {
    const before = this.actions.length;
    this.#timers(atMs);
    return this.actions.slice(before);
  }

  #timers(atMs: number): void {
    for (let rounds = 0; rounds < 50; rounds++) {
      const due = nextDeadlineMs(this.state, this.#settings);
      if (due === undefined || due > atMs) break;
      const now = Math.max(due, this.#at);
      const previous = this.state;
      this.#feed({ type: 'time' }, now);
      if (JSON.stringify(previous) === JSON.stringify(this.state)) break;
    }
    this.#at = Math.max(this.#at, atMs);
  }

  #feed(event: TurnEvent, atMs: number): void {
    this.#at = Math.max(this.#at, atMs);
    const result = step(this.state, event, this.#at, this.#settings, phrases);
    this.state = result.state;
    this.actions.push(...result.actions);
  }
}

const types = (actions: readonly Action[]): string[] => actions.map((action) => action.type);
const speechStart = (startMs: number, hold = 0): TurnEvent => ({ type: 'speech_start', startMs, hold });
const speechHop = (continuousMs: number, meanProbability = 0.95, levelOverCallerDb = 0): TurnEvent => ({
  type: 'speech_hop',
  speechMs: continuousMs,
  continuousMs,
  meanProbability,
  levelOverCallerDb,
  hold: 0,
});
const speechEnd = (t0Ms: number, speechMs: number, levelOverCallerDb = 0): TurnEvent => ({
  ...{ type: 'speech_end', t0Ms, speechMs },
  levelOverCallerDb,
});
const said = (turn: number, text: string, throughMs: number, isFinal = true): TurnEvent => ({
  type: 'transcript',
  turn,
  text,
  isFinal,
  throughMs,
});

const tools = (areRunning: boolean, protects: 'nothing' | 'tool' | 'turn' = 'nothing'): TurnEvent => ({
  type: 'tools',
  speech: 2,
  areRunning,
  protects,
});

/** The agent's first message was heard; one turn was said and its reply (speech 2) is audible since `atMs`. */
function speaking(atMs = 4000, settings: Partial<TurnSettings> = {}): Table {
  const table = new Table(settings);
  table.at(0, { type: 'started', firstMessage: 'Hello.' });
  table.at(100, { type: 'audio_started', speech: 1 });
  table.at(900, { type: 'drained', speech: 1, isBroken: false });
  table.at(1100, speechStart(1000));
  table.at(2200, speechEnd(2000, 900));
  table.at(2300, said(1, 'What are your hours?', 2200));
  table.at(2400, { type: 'agent_text', speech: 2, text: 'We are open from nine to five on weekdays.' });
  table.at(2400, { type: 'reply_end', speech: 2, isEmpty: false, endsCall: false });
  table.at(atMs, { type: 'audio_started', speech: 2 });
  table.actions.length = 0;
  return table;
}

test('a finished sentence is answered 300 ms after its last sample, with the reply begun before', (t) => {
  const table = new Table();
  t.same(types(table.at(0, { type: 'started', firstMessage: '' })), []);
  table.at(1100, speechStart(1000));
  t.same(types(table.at(2192, speechEnd(2000, 1000))), []);
  t.same(types(table.at(2250, said(1, 'Hello there.', 2192))), ['tentative', 'generate']);
  const committed = table.until(2300);
  t.same(types(committed), ['commit']);
  t.match(committed[0], { text: 'Hello there.', isAdopted: true, speech: 1, turn: 1, delayMs: 300, t0Ms: 2000 });
  t.same(table.state.agent.phase, 'thinking');
  t.end();
});

test('how long a pause is waited for depends on what was said', (t) => {
  const rows: [string, number][] = [
    ['I would like a pizza.', 300],
    ['I would like a pizza', 500],
    ['I would like a pizza and', 1500],
    ['I would like, um,', 1500],
    ['my number is five five five', 1300],
    ['it is a b c', 1300],
    ['my number is five five five,', 2000],
  ];
  for (const [text, delayMs] of rows) {
    const table = new Table();
    table.at(0, { type: 'started', firstMessage: '' });
    table.at(1100, speechStart(1000));
    table.at(2192, speechEnd(2000, 1000));
    table.at(2200, said(1, text, 2192));
    t.same(types(table.until(2000 + delayMs - 1)), [], `${text}: not before`);
    t.ok(types(table.until(2000 + delayMs)).includes('commit'), `${text}: after ${delayMs} ms`);
  }
  t.end();
});

test('speech that goes on takes the commit back and discards a reply to half a sentence', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(1100, speechStart(1000));
  table.at(2192, speechEnd(2000, 1000));
  table.at(2250, said(1, 'I would like a pizza and', 2192));
  table.at(2400, speechStart(2350));
  t.same(types(table.until(4000)), [], 'nothing is due while the caller speaks');
  table.at(4192, speechEnd(4000, 600));
  t.same(types(table.at(4300, said(1, 'I would like a pizza and a beer.', 4192))), [
    'tentative',
    'discard',
    'generate',
    'commit',
  ]);
  t.end();
});

test('speech without words is dropped, and the idle timer runs again', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(1100, speechStart(1000));
  table.at(1492, speechEnd(1300, 300));
  t.same(types(table.until(5000)), [], 'recognition may still come, or say that it failed');
  t.match(table.until(5200), [{ type: 'drop_turn', turn: 1, reason: 'no_transcript' }]);
  t.same(types(table.until(12_000)), [], 'seven seconds of silence from the drop on');
  t.match(table.until(12_200), [{ type: 'say', kind: 'idle', text: 'Are you still there?' }]);
  t.end();
});

test('a cough over the agent: HOLD, then it goes on; after two in half a minute a HOLD needs more', (t) => {
  const table = speaking();
  for (const [round, at] of [5000, 8000, 11_000].entries()) {
    table.at(at, speechStart(at - 64, round + 1));
    t.equal(table.state.agent.phase, 'held');
    const after = table.at(at + 330, speechEnd(at + 138, 202));
    t.match(after[0], { type: 'resume', hold: round + 1, speech: 2, reason: 'short' });
    t.notOk(types(after).includes('drop_turn'));
    t.equal(table.state.agent.phase, 'speaking');
    t.equal(table.state.startHops, round < 1 ? 2 : round + 2);
    const late = round === 0 ? table.at(at + 600, said(2, '', at + 170)) : table.until(at + 330 + turnDefaults.verdictMs);
    t.match(late, [{ type: 'drop_turn' }], 'the turn waits for its transcript, but not for long');
  }
  t.same(types(table.until(60_000)).slice(0, 1), [], 'no idle prompt while the agent speaks');
  t.end();
});

test('a word as short as a cough: the agent goes on at once and is cut when the word is known', (t) => {
  const table = speaking();
  table.at(5000, speechStart(4936, 1));
  t.same(types(table.at(5330, speechEnd(5138, 202))), ['resume']);
  const word = table.at(5600, said(2, 'Stop.', 5170)).slice(-3);
  t.match(word[0], { type: 'cut', speech: 2, reason: 'stop_word', isUndoable: false });
  t.match(word[2], { type: 'commit', text: 'Stop.' }, 'and is answered');
  t.end();
});

test('clear speech for half a second cuts, weaker speech needs longer', (t) => {
  const clear = speaking();
  clear.at(5000, speechStart(4936, 1));
  t.same(types(clear.at(5400, speechHop(480))), []);
  t.match(clear.at(5432, speechHop(512)), [{ type: 'cut', epoch: 1, speech: 2, reason: 'strong_speech', isUndoable: true }]);
  const weak = speaking();
  weak.at(5000, speechStart(4936, 1));
  t.same(types(weak.at(5432, speechHop(512, 0.6))), []);
  t.match(weak.at(5620, speechHop(704, 0.6)), [{ type: 'cut', reason: 'long_speech' }]);
  t.end();
});

test('words decide: stop words and two real words cut, backchannels and echo do not', (t) => {
  const rows: [string, string][] = [
    ['stop', 'stop_word'],
    ['no wait', 'stop_word'],
    ['tell me about prices', 'words'],
  ];
  for (const [text, reason] of rows) {
    const table = speaking();
    table.at(5000, speechStart(4936, 1));
    t.match(table.at(5150, said(2, text, 5100, false)).at(-1), { type: 'cut', reason, isUndoable: false }, text);
  }
  for (const [text, reason] of [
    ['mm-hm', 'backchannel'],
    ['yeah okay', 'backchannel'],
    ['open from nine to five', 'echo'],
  ] as const) {
    const table = speaking();
    table.at(5000, speechStart(4936, 1));
    table.at(5400, speechEnd(5208, 272));
    const actions = table.at(5500, said(2, text, 5400));
    t.match(
      actions.slice(-2),
      [
        { type: 'resume', reason },
        { type: 'drop_turn', reason },
      ],
      text,
    );
  }
  t.end();
});

test('a yes to a question of the agent is an answer once the question can have been heard, before that a backchannel', (t) => {
  const asking = () => {
    const table = speaking();
    table.at(4500, { type: 'agent_text', speech: 2, text: ' Shall I book it?' });
    return table;
  };
  const late = asking();
  late.at(7000, speechStart(6936, 1));
  late.at(7400, speechEnd(7208, 272));
  t.match(late.at(7450, said(2, 'yes', 7400)), [{ type: 'tentative' }, { type: 'cut', reason: 'words' }, { type: 'generate' }]);
  t.match(late.until(7520), [{ type: 'commit', text: 'yes', isMerged: false }]);
  const early = asking();
  early.at(5000, speechStart(4936, 1));
  early.at(5400, speechEnd(5208, 272));
  t.match(early.at(5450, said(2, 'yes', 5400)), [
    { type: 'tentative' },
    { type: 'resume', reason: 'backchannel' },
    { type: 'drop_turn' },
  ]);
  t.end();
});

test('a CUT made on sound alone is undone when the words turn out to be a backchannel', (t) => {
  const table = speaking();
  table.at(5000, speechStart(4936, 1));
  table.at(5432, speechHop(512));
  table.at(5700, speechEnd(5500, 564));
  const actions = table.at(5900, said(2, 'mm-hm', 5690));
  t.match(actions, [
    { type: 'tentative' },
    { type: 'undo', speech: 2, newSpeech: 3, reason: 'backchannel' },
    { type: 'drop_turn', turn: 2 },
  ]);
  t.match(table.state.agent, { phase: 'thinking', speech: 3 });
  table.at(6000, { type: 'audio_started', speech: 3 });
  table.at(6200, speechStart(6136, 2));
  t.same(types(table.at(6632, speechHop(512))), [], 'once undone, sound alone needs longer');
  t.match(table.at(6820, speechHop(704)), [{ type: 'cut', isUndoable: false }]);
  t.end();
});

test('a reply of which hardly anything was heard does not count: the next words join the turn', (t) => {
  const table = speaking();
  table.at(4200, speechStart(4136, 1));
  table.at(4640, speechHop(512));
  table.at(4641, { type: 'heard', speech: 2, heardMs: 180 });
  table.at(5200, speechEnd(5000, 800));
  const actions = table.at(5300, said(2, 'And on Sundays?', 5190));
  t.match(actions, [
    { type: 'tentative' },
    { type: 'discard', speech: 2 },
    { type: 'generate', text: 'What are your hours? And on Sundays?', isMerged: true },
    { type: 'commit', text: 'And on Sundays?', mergedText: 'What are your hours? And on Sundays?', isMerged: true },
  ]);
  t.end();
});

test('a cough while the reply is being made delays it and does not lose it; words replace it', (t) => {
  const make = (): Table => {
    const table = speaking();
    table.state = { ...table.state, agent: { phase: 'thinking', speech: 2, kind: 'reply', isHeldBack: false, sinceMs: 10_000 } };
    table.at(10_100, speechStart(10_036));
    return table;
  };
  const cough = make();
  t.match(cough.actions, [{ type: 'hold_back', speech: 2 }]);
  cough.at(10_400, speechEnd(10_208, 172));
  t.match(cough.at(10_500, said(2, '', 10_400)), [
    { type: 'drop_turn', reason: 'no_words' },
    { type: 'release', speech: 2 },
  ]);
  const words = make();
  words.at(10_900, speechEnd(10_700, 600));
  const actions = words.at(11_000, said(2, 'on weekends I mean.', 10_890));
  t.match(actions.slice(0, 3), [{ type: 'tentative' }, { type: 'discard', speech: 2 }, { type: 'generate', isMerged: true }]);
  t.end();
});

test('typed words take the floor at once', (t) => {
  const table = speaking();
  const actions = table.at(5000, { type: 'typed', text: 'never mind' });
  t.match(actions, [
    { type: 'cut', reason: 'typed', isUndoable: false },
    { type: 'commit', isTyped: true, text: 'never mind', isAdopted: false },
    { type: 'generate', isSpeculative: false },
  ]);
  t.end();
});

test('typing resets the idle timer and keeps the agent quiet for two seconds', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(6500, { type: 'activity' });
  t.same(types(table.until(13_400)), []);
  t.match(table.until(13_600), [{ type: 'say', kind: 'idle' }]);
  const other = new Table();
  other.at(0, { type: 'activity' });
  t.match(other.at(10, { type: 'started', firstMessage: 'Hello.' }), [{ type: 'say' }, { type: 'hold_back', speech: 1 }]);
  t.match(other.until(2100), [{ type: 'release', speech: 1 }]);
  t.end();
});

test('the agent asks twice into silence, then waits; a silence limit ends the call', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  for (const [speech, at] of [
    [1, 7000],
    [2, 15_500],
  ] as const) {
    t.match(table.until(at), [{ type: 'say', speech }]);
    table.at(at + 100, { type: 'audio_started', speech });
    table.at(at + 1400, { type: 'drained', speech, isBroken: false });
  }
  t.same(types(table.until(200_000)), []);
  const limited = new Table({ idleMs: -1, silenceEndMs: 5000 });
  limited.at(0, { type: 'started', firstMessage: '' });
  t.match(limited.until(5000), [{ type: 'end_call', reason: 'silence' }]);
  t.ok(limited.state.isEnded);
  t.end();
});

test('"give me a second" gets no reply', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(1100, speechStart(1000));
  table.at(2192, speechEnd(2000, 1000));
  table.at(2250, said(1, 'Hold on a second.', 2192));
  const actions = table.until(9000);
  t.match(actions, [{ type: 'commit', speech: 0, isAdopted: false }]);
  t.end();
});

test('the call ends after the farewell was heard, and not when it was cut', (t) => {
  const table = speaking();
  table.at(4100, { type: 'reply_end', speech: 2, isEmpty: false, endsCall: true });
  t.match(table.at(6000, { type: 'drained', speech: 2, isBroken: false }), [{ type: 'end_call', reason: 'agent' }]);
  const cut = speaking();
  cut.at(4100, { type: 'reply_end', speech: 2, isEmpty: false, endsCall: true });
  cut.at(4200, { type: 'typed', text: 'one more thing' });
  cut.at(4300, { type: 'audio_started', speech: 3 });
  t.same(types(cut.at(6000, { type: 'drained', speech: 3, isBroken: false })), []);
  t.end();
});

test('failures: an apology, and the third in a row ends the call', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  for (const [round, at] of [1000, 20_000, 40_000].entries()) {
    table.at(at, { type: 'typed', text: `try ${round}` });
    const speech = table.state.speech;
    const actions = table.at(at + 100, { type: 'reply_failed', speech, isHeard: false });
    if (round === 2) {
      t.match(actions, [{ type: 'end_call', reason: 'llm_failed' }]);
      break;
    }
    t.match(actions, [{ type: 'say', kind: 'apology', text: 'Sorry, once more?' }]);
    table.at(at + 300, { type: 'audio_started', speech: speech + 1 });
    table.at(at + 2000, { type: 'drained', speech: speech + 1, isBroken: false });
  }
  t.end();
});

test('speech that cannot be spoken: an apology, once; what was heard of it counts as a failure too', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(1000, { type: 'typed', text: 'try' });
  t.match(table.at(1100, { type: 'tts_failed', speech: 1, isHeard: false }), [{ type: 'say', speech: 2, kind: 'apology' }]);
  t.same(types(table.at(1200, { type: 'tts_failed', speech: 2, isHeard: false })), [], 'no apology for an apology');
  t.match(table.state, { agent: { phase: 'idle' }, failures: 1 });
  table.at(2000, { type: 'typed', text: 'again' });
  table.at(2100, { type: 'audio_started', speech: 3 });
  t.same(types(table.at(2200, { type: 'tts_failed', speech: 3, isHeard: true })), [], 'what there is is heard first');
  t.match(table.at(2500, { type: 'drained', speech: 3, isBroken: true }), [{ type: 'say', speech: 4, kind: 'apology' }]);
  table.at(2600, { type: 'audio_started', speech: 4 });
  table.at(3000, { type: 'typed', text: 'and again' });
  t.match(table.at(3100, { type: 'tts_failed', speech: 5, isHeard: false }), [{ type: 'end_call', reason: 'tts_failed' }]);
  t.end();
});

test('a reply without a sound is over when it is drained, and with it the call when that was the farewell', (t) => {
  for (const endsCall of [false, true]) {
    const table = new Table();
    table.at(0, { type: 'started', firstMessage: '' });
    table.at(1000, { type: 'typed', text: 'bye' });
    table.at(1100, { type: 'reply_end', speech: 1, isEmpty: false, endsCall });
    t.same(types(table.at(1200, { type: 'drained', speech: 1, isBroken: false })), endsCall ? ['end_call'] : []);
    t.equal(table.state.agent.phase, 'idle');
  }
  t.end();
});

test('a draft that cannot be spoken is thrown away, and asked for anew at the commit', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(1100, speechStart(1000));
  table.at(2200, speechEnd(2000, 900));
  t.match(table.at(2250, said(1, 'What are your hours?', 2200)).at(-1), { type: 'generate', speech: 1, isSpeculative: true });
  const actions = [...table.at(2260, { type: 'tts_failed', speech: 1, isHeard: false }), ...table.until(2400)];
  t.match(actions[0], { type: 'discard', speech: 1 });
  t.match(
    actions.filter((action) => action.type === 'generate' || action.type === 'commit'),
    [
      { type: 'generate', speech: 2 },
      { type: 'commit', speech: 2 },
    ],
  );
  t.end();
});

test('while the first message is young only words interrupt it', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: 'Hello, this is a long first message.' });
  table.at(100, { type: 'audio_started', speech: 1 });
  table.at(1000, speechStart(936, 1));
  t.same(types(table.at(1800, speechHop(800))), [], 'sound alone does not');
  t.match(table.at(1900, said(1, 'I have a question', 1800, false)).at(-1), { type: 'cut', reason: 'words' });
  t.end();
});

test('protected speech is not held; the words are answered when it is over', (t) => {
  const table = speaking(4000, { isInterruptible: false });
  table.at(5000, speechStart(4936));
  table.at(5900, speechEnd(5700, 764));
  t.same(types(table.at(6000, said(2, 'one more question.', 5890))), ['tentative']);
  t.same(types(table.at(9000, { type: 'drained', speech: 2, isBroken: false })), ['generate', 'commit']);
  t.end();
});

test('a backchannel over what cannot be interrupted is not answered afterwards', (t) => {
  const settings = speaking(4000, { isInterruptible: false });
  const tool = speaking();
  tool.at(4500, tools(true, 'turn'));
  for (const table of [settings, tool]) {
    table.at(5000, speechStart(4936));
    table.at(5500, speechEnd(5300, 364));
    t.match(table.at(5600, said(2, 'mm-hm', 5490)).at(-1), { type: 'drop_turn', reason: 'backchannel' });
    table.at(6000, speechStart(5936));
    table.at(6900, speechEnd(6700, 764));
    table.at(7000, said(3, 'one more question.', 6890));
    t.ok(types(table.at(9000, { type: 'drained', speech: 2, isBroken: false })).includes('generate'), 'words are');
  }
  t.end();
});

test('one word whose final never comes is decided all the same', (t) => {
  const table = speaking();
  table.at(5000, speechStart(4936, 1));
  table.at(5450, speechEnd(5216, 280));
  table.at(5500, said(2, 'actually', 5300, false));
  table.at(5600, { type: 'stt_problem', turn: 2 });
  t.equal(table.state.agent.phase, 'idle', 'the HOLD has become a CUT');
  const silent = speaking();
  silent.at(5000, speechStart(4936, 1));
  silent.at(5450, speechEnd(5216, 280));
  silent.at(5500, said(2, 'actually', 5300, false));
  t.match(silent.until(6200), [{ type: 'cut', reason: 'words' }], 'or after the time for a verdict');
  t.ok(
    silent.until(7000).some((action) => action.type === 'commit' && action.text === 'actually'),
    'and answered',
  );
  t.end();
});

test('an echo is judged when the caller has stopped: own words may follow it', (t) => {
  const table = speaking();
  table.at(5000, speechStart(4936, 1));
  t.same(types(table.at(5200, said(2, 'open from', 5150, false))), ['tentative']);
  t.equal(table.state.agent.phase, 'held');
  t.match(table.at(5300, said(2, 'open from but what about sundays', 5250, false)).at(-1), { type: 'cut', reason: 'words' });
  t.end();
});

test('nothing is a false alarm by its first words: the rest of them may still be under way', (t) => {
  for (const [first, all] of [
    ['from', 'from noon please'],
    ['yes', 'yes but wait a moment'],
    ['so', 'so tell me about sundays'],
  ] as const) {
    const table = speaking();
    table.at(5000, speechStart(4936, 1));
    table.at(5500, said(2, first, 5250, false));
    t.same(types(table.at(5900, speechEnd(5700, 600))), [], first);
    t.ok(types(table.at(6100, said(2, all, 5890))).includes('cut'), all);
  }
  const never = speaking();
  never.at(5000, speechStart(4936, 1));
  never.at(5500, said(2, 'yes', 5250, false));
  never.at(5900, speechEnd(5700, 600));
  t.same(types(never.until(6700)), ['resume', 'drop_turn'], 'but nobody is waited for longer than for a transcript');
  t.end();
});

test('everyday words scattered over what the agent says are no echo, and neither is what it has not said yet', (t) => {
  const paragraph =
    'You can cancel it at any time, and if you need any help I can do that for you. The basic plan is the cheap one, the large plan has more support.';
  for (const words of ['can you cancel it', 'I need help', 'I want the large plan', 'do you have support']) {
    const table = speaking();
    table.at(4100, { type: 'agent_text', speech: 2, text: paragraph });
    table.at(5000, speechStart(4936, 1));
    table.at(5700, speechEnd(5500, 560));
    t.match(
      table.at(5800, said(2, words, 5690)).find((action) => action.type === 'cut' || action.type === 'resume'),
      { type: 'cut' },
      words,
    );
  }
  t.end();
});

test('a phantom word while the reply is made does not eat the answer', (t) => {
  const table = speaking();
  table.state = { ...table.state, agent: { phase: 'thinking', speech: 2, kind: 'reply', isHeldBack: false, sinceMs: 10_000 } };
  table.at(10_100, speechStart(10_036));
  t.same(types(table.at(10_300, said(2, 'you', 10_200, false))), ['tentative']);
  table.at(10_400, speechEnd(10_208, 172));
  t.match(table.at(10_600, said(2, '', 10_390)).slice(-2), [{ type: 'drop_turn' }, { type: 'release', speech: 2 }]);
  t.end();
});

test('a reply that never comes is given up', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(1000, { type: 'typed', text: 'hello' });
  t.same(types(table.until(20_900)), []);
  t.match(table.until(21_000), [{ type: 'discard' }, { type: 'say', kind: 'apology' }]);
  t.end();
});

test('a deadline that changes nothing does not hide the next one', (t) => {
  const quiet = { idle: [], apology: '' };
  let state = step(
    initialState,
    { type: 'started', firstMessage: '' },
    0,
    { ...turnDefaults, silenceEndMs: 20_000 },
    quiet,
  ).state;
  const settings = { ...turnDefaults, silenceEndMs: 20_000 };
  const first = nextDeadlineMs(state, settings);
  t.equal(first, 7000);
  state = step(state, { type: 'time' }, 7000, settings, quiet).state;
  t.equal(nextDeadlineMs(state, settings, 7000), 20_000);
  t.match(step(state, { type: 'time' }, 20_000, settings, quiet).actions, [{ type: 'end_call', reason: 'silence' }]);
  t.end();
});

test('a short sound lets the agent go on at the first quiet, and holds it again when it goes on', (t) => {
  const table = speaking();
  table.at(5000, speechStart(4936, 1));
  t.match(table.at(5200, { type: 'speech_dip', t0Ms: 5136, speechMs: 200 }), [{ type: 'resume', reason: 'short' }]);
  t.match(table.state.agent, { phase: 'speaking' });
  table.at(5232, { ...speechHop(0), hold: 2 } as TurnEvent);
  t.match(table.state.agent, { phase: 'held', hold: 2 });
  t.same(types(table.at(5400, { type: 'speech_dip', t0Ms: 5336, speechMs: 380 })), [], 'a longer one waits for its words');
  const late = speaking();
  late.at(5000, speechStart(4936, 1));
  t.same(types(late.at(5210, { type: 'speech_dip', t0Ms: 5146, speechMs: 200 })), [], 'the hole has been heard: no hurry');
  t.end();
});

test('one or two words that begin a sentence and stop are no interruption', (t) => {
  for (const text of ['So…', 'But…', 'um,', 'well, uh']) {
    const table = speaking();
    table.at(5000, speechStart(4936, 1));
    table.at(5550, speechEnd(5300, 364));
    t.match(
      table.at(5600, said(2, text, 5540)).slice(-2),
      [{ type: 'resume', reason: 'false_start' }, { type: 'drop_turn' }],
      text,
    );
  }
  const table = speaking();
  table.at(5000, speechStart(4936, 1));
  t.match(table.at(5550, said(2, 'but not today', 5540)).slice(-1), [{ type: 'cut', reason: 'words' }]);
  t.end();
});

test('who is much quieter than the caller does not interrupt, unless it was the caller after all', (t) => {
  const table = speaking();
  table.at(5000, speechStart(4936, 1));
  t.match(table.at(5260, speechHop(256, 0.95, -10)), [{ type: 'resume', reason: 'other_talker' }]);
  t.same(types(table.at(5400, said(2, 'dinner is nearly ready', 5380, false))), ['tentative'], 'whatever is said');
  const other = { ...table.state };
  t.same(types(table.at(6000, speechEnd(5900, 900, -10))), [], 'its last words may be for the agent');
  t.match(table.at(6100, said(2, 'dinner is nearly ready', 5900)).slice(-1), [{ type: 'drop_turn', reason: 'other_talker' }]);
  table.state = other;
  t.match(table.at(5700, speechHop(700, 0.95, -2)), [{ type: 'cut', reason: 'strong_speech' }]);
  table.state = other;
  t.match(
    table.at(5700, speechHop(700, 0.95, -8)).slice(-1),
    [{ type: 'cut', reason: 'words' }],
    'an echo canceller took some of it',
  );
  t.end();
});

test('"stop" counts when the echo canceller has made it quiet; from the next room it does not', (t) => {
  for (const [levelDb, type] of [
    [-10, 'cut'],
    [-14, 'drop_turn'],
  ] as const) {
    const table = speaking();
    table.at(5000, speechStart(4936, 1));
    t.match(table.at(5260, speechHop(256, 0.95, levelDb)), [{ type: 'resume', reason: 'other_talker' }]);
    const types = [speechEnd(5300, 300, levelDb), said(2, 'stop', 5540)].flatMap((event, index) =>
      table.at(5550 + 50 * index, event),
    );
    t.ok(
      types.some((action) => action.type === type),
      `${levelDb} dB`,
    );
  }
  t.end();
});

test('a whole utterance far below the caller is not answered', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(1100, speechStart(1000));
  table.at(1500, speechHop(400, 0.95, -16));
  t.match(table.at(2192, speechEnd(2000, 1000, -16)), [{ type: 'drop_turn', reason: 'other_talker' }]);
  t.same(types(table.at(2250, said(1, 'Dinner is ready.', 2192))), []);

  table.at(5100, speechStart(5000));
  t.match(
    table.at(5352, speechEnd(5160, 160, -16)),
    [{ type: 'drop_turn', reason: 'other_talker' }],
    'nor one so short that only its end is told',
  );
  t.end();
});

test('while a tool protects the reply nothing interrupts it; what was said meanwhile is answered when it was heard out', (t) => {
  const table = speaking();
  table.at(4500, tools(true, 'tool'));
  t.same(types(table.at(5100, speechStart(5036, 1))), ['resume'], 'a HOLD that was on its way is taken back at once');
  t.equal(table.state.agent.phase, 'speaking');
  t.same(types(table.at(5600, speechHop(600))), [], 'long and strong');
  t.same(types(table.at(5800, speechEnd(5700, 660))), []);
  t.same(types(table.at(5900, said(2, 'wait a moment please', 5800))), ['tentative']);
  t.same(types(table.until(7000)), []);
  t.same(
    types(table.at(7000, tools(false))),
    [],
    'said while it could not be interrupted: that counts when the tool is done, too',
  );
  t.same(types(table.until(8000)), []);
  const over = table.at(8000, { type: 'drained', speech: 2, isBroken: false });
  t.same(types(over), ['generate', 'commit']);
  t.match(over[1], { text: 'wait a moment please' });
  t.end();
});

test('when the tool is done the reply can be interrupted again, unless the whole turn is protected', (t) => {
  const free = speaking();
  free.at(4500, tools(true, 'tool'));
  free.at(5000, tools(false));
  free.at(5100, speechStart(5036, 1));
  t.same(types(free.at(5620, speechHop(520))), ['cut']);

  const whole = speaking();
  whole.at(4500, tools(true, 'turn'));
  whole.at(5000, tools(false, 'turn'));
  t.same(types(whole.at(5100, speechStart(5036, 1))), ['resume']);
  t.same(types(whole.at(5500, speechHop(400))), []);
  whole.at(5600, speechEnd(5500, 400));
  whole.at(5700, said(2, 'stop', 5600));
  t.same(types(whole.until(7000)), []);
  t.ok(types(whole.at(7000, { type: 'drained', speech: 2, isBroken: false })).includes('commit'));
  t.end();
});

test('a protected tool runs on while the caller speaks: its reply is neither held back nor thrown away', (t) => {
  const table = new Table();
  table.at(0, { type: 'started', firstMessage: '' });
  table.at(100, { type: 'typed', text: 'Pay it' });
  table.at(200, { type: 'tools', speech: 1, areRunning: true, protects: 'tool' });
  t.same(types(table.at(1100, speechStart(1000))), []);
  table.at(2100, speechEnd(2000, 1000));
  t.same(types(table.at(2200, said(2, 'and hurry up please', 2100))), ['tentative']);
  t.same(types(table.until(5000)), []);
  table.at(5000, { type: 'tools', speech: 1, areRunning: false });
  table.at(5100, { type: 'audio_started', speech: 1 });
  t.same(types(table.until(6000)), []);
  t.ok(types(table.at(6000, { type: 'drained', speech: 1, isBroken: false })).includes('commit'));

  const before = new Table();
  before.at(0, { type: 'started', firstMessage: '' });
  before.at(100, { type: 'typed', text: 'Pay it' });
  t.same(types(before.at(1100, speechStart(1000))), ['hold_back']);
  t.same(types(before.at(1200, { type: 'tools', speech: 1, areRunning: true, protects: 'tool' })), ['release']);
  t.end();
});

test('what is typed while a tool protects the reply waits for its end', (t) => {
  const table = speaking();
  table.at(4500, tools(true, 'tool'));
  t.same(types(table.at(5000, { type: 'typed', text: 'Another thing' })), []);
  t.same(types(table.at(5100, { type: 'typed', text: 'And one more' })), []);
  t.same(types(table.at(6000, tools(false))), []);
  const over = table.at(7000, { type: 'drained', speech: 2, isBroken: false });
  t.same(
    over.flatMap((action) => (action.type === 'commit' ? [action.text] : [])),
    ['Another thing', 'And one more'],
  );
  t.equal(table.state.waitingTyped, undefined);
  const ended = speaking();
  ended.at(4500, tools(true, 'turn'));
  t.same(types(ended.at(5000, { type: 'last_words', text: 'Time is up.' })), ['cut', 'say'], 'the end of the call goes first');
  t.end();
});
