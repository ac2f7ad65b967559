/** The evaluator's callers: what they say, when, what reaches the agent of it, and what its simulated providers make of that. */
import { test } from 'tap';
import { Channel } from '../bench/eval/clips/channel.js';
import { scaled, speechLevelDb } from '../bench/eval/clips/levels.js';
import { CallerDriver, type DriverOptions, tickMs } from '../bench/eval/harness/caller-driver.js';
import { EchoPath } from '../bench/eval/harness/echo-path.js';
import { type KnownTexts, keyOfText } from '../bench/eval/harness/hearing.js';
import { repliesOf, waitsOf } from '../bench/eval/harness/provider-truth.js';
import { type AgentHost, play } from '../bench/eval/harness/run-scenario.js';
import { setupOf, wordErrorRatioOf } from '../bench/eval/harness/scenario-agent.js';
import type { Clip, PlacedPart } from '../bench/eval/run-record.js';
import { type Scenario, scenarioSchema } from '../bench/eval/scenario.js';
import type { AgentLine } from '../bench/eval/virtual/virtual-engine.js';
import { AnswerBook } from '../load/providers/answers.js';
import { ClipLibrary } from '../load/providers/clips.js';
import { likeness } from '../load/providers/likeness.js';
import { Recogniser } from '../load/providers/recognise.js';
import { loadVoice, voiceRateHz } from '../load/providers/voice.js';

const perMs = 16;

/** A clip whose every sample tells where it came from, one word for each 200 ms. */
function clipOf(text: string, from: number): Clip {
  const words = text.split(' ');
  const samples = Int16Array.from({ length: words.length * 200 * perMs }, (_, at) => 2000 + ((from + at) % 3000));
  return {
    id: text,
    text,
    samples,
    words: words.map((word, index) => ({ text: word, from: index * 3200, to: (index + 1) * 3200 })),
    silences: [],
  };
}

function scenarioOf(parts: object): Scenario {
  return scenarioSchema.parse({
    id: 'x-test',
    family: 'A',
    title: 'A test',
    seed: 1,
    part: 'open',
    voice: { name: 'caller-m1' },
    agent: { greeting: null, answers: { t1: 'One two three four.' } },
    steps: [],
    end: { after: 'prev.end', ms: 0, max: 20_000 },
    expect: { answers: 0 },
    ...parts,
  });
}

/** The agent's text, a word each 250 ms. */
const answer = 'One two three four.';
const known: KnownTexts = new Map([
  [keyOfText(answer), { words: answer.split(' ').map((text, at) => ({ text, from: at * 4000, to: at * 4000 + 3600 })) }],
]);

function driverOf(scenario: Scenario, more: Partial<DriverOptions> = {}): CallerDriver {
  const clips = {
    steps: scenario.steps.map(({ say }, index) => clipOf(say, 100 * index)),
    events: new Map(scenario.events.filter(({ class: kind }) => kind === 'cough').map(({ id }) => [id, clipOf('cough', 7)])),
  };
  return new CallerDriver({ scenario, clips, seed: 3, playout: 'buffered', format: 'pcm_16000', known, ...more });
}

const message = (type: string, details: object, key = `${type}_event`): string => JSON.stringify({ type, [key]: details });

function audioOf(samples: Int16Array, eventId: number): string {
  const base64 = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength).toString('base64');
  return message('audio', { audio_base_64: base64, event_id: eventId });
}

/** Ticks until `untilMs`, or the end; what is due by then of `agent` (instant, message) is received before each tick. */
function run(
  driver: CallerDriver,
  untilMs: number,
  agent: readonly (readonly [number, string])[] = [],
): { at: number; text: string }[] {
  const sent: { at: number; text: string }[] = [];
  const waiting = [...agent];
  while (driver.nextTickMs <= untilMs && !driver.wantsToHangUp) {
    const atMs = driver.nextTickMs;
    while (waiting[0] !== undefined && waiting[0][0] <= atMs) {
      const [at, text] = waiting.shift()!;
      sent.push(...driver.receive(text, at).map((each) => ({ at: each.atMs, text: each.text })));
    }
    sent.push(...driver.tick(atMs).map((each) => ({ at: each.atMs, text: each.text })));
  }
  driver.close(1000, sent.at(-1)?.at ?? 0, true);
  return sent;
}

/** One second of the agent, beginning to be audible `silentMs` after its first sample. */
function speechOf(silentMs: number): Int16Array {
  return Int16Array.from({ length: 16_000 }, (_, at) => (at < silentMs * perMs ? 0 : 3000));
}

function partsOf(driver: CallerDriver): PlacedPart[] {
  return driver.record().placed.filter((placed) => placed.kind === 'part');
}

test('placement: every part lies at its sample, and so do its words', (t) => {
  const scenario = scenarioOf({
    steps: [
      { say: 'hello there,', turn: 't1', at: { abs: 503.25 } },
      { say: 'old friend.', turn: 't1', final: true, at: { after: 'prev.end', ms: 123.5 } },
    ],
    events: [{ id: 'c', class: 'cough', at: { abs: 700 }, level_dbfs: -20, expect: 'ignore' }],
    end: { after: 'event:c.end', ms: 900, max: 20_000 },
  });
  const driver = driverOf(scenario);
  const sent = run(driver, 20_000);
  const { lanes, placed, closed } = driver.record();
  const [first, second] = partsOf(driver);
  t.equal(first!.from, 503.25 * perMs);
  t.equal(first!.to, first!.from + 6400);
  t.equal(second!.from, first!.to + 123.5 * perMs);
  t.same(second!.words, [
    { text: 'old', from: second!.from, to: second!.from + 3200 },
    { text: 'friend.', from: second!.from + 3200, to: second!.to },
  ]);
  t.same(
    placed.map(({ kind }) => kind),
    ['part', 'event', 'part'],
    'in order of their first samples',
  );
  const expected = new Int16Array(lanes.caller.length);
  expected.set(clipOf('hello there,', 0).samples, first!.from);
  expected.set(clipOf('old friend.', 100).samples, second!.from);
  t.ok(Buffer.from(lanes.caller.buffer).equals(Buffer.from(expected.buffer)), 'the dry voice alone');
  const cough = clipOf('cough', 7).samples;
  for (let at = 0; at < cough.length; at += 1) expected[700 * perMs + at]! += cough[at]!;
  t.ok(Buffer.from(lanes.microphone.buffer).equals(Buffer.from(expected.buffer)), 'what is sent: voice and room');
  t.equal(sent.length, lanes.microphone.length / 320);
  t.equal(closed.atMs, 1800, 'nobody hangs up before 700 + 200 + 900 ms');
  t.end();
});

test('placement: by what the caller hears, never before it was heard', (t) => {
  const at = (after: string, ms: number): object => ({ after, ms });
  const scenario = scenarioOf({
    steps: [
      { say: 'after onset', role: 'backchannel', expect: 'ignore', at: at('agent.onset#1', 200) },
      { say: 'after word', role: 'backchannel', expect: 'ignore', at: at('agent.word#1:2', 30) },
      { say: 'before end', role: 'backchannel', expect: 'ignore', at: at('agent.end#1', -100) },
      { say: 'after end', role: 'backchannel', expect: 'ignore', at: at('agent.end#1', 300) },
      { say: 'never said', role: 'backchannel', expect: 'ignore', at: at('agent.onset#2', 0) },
    ],
    end: { after: 'agent.end#1', ms: 700, max: 20_000 },
  });
  const driver = driverOf(scenario);
  const agent: [number, string][] = [
    [1003, audioOf(speechOf(55), 2)],
    [1003, message('agent_response', { agent_response: ` ${answer} `, event_id: 2 })],
    [2100, message('agent_response_complete', { event_id: 2 })],
  ];
  run(driver, 20_000, agent);
  const starts = partsOf(driver).map(({ text, from }) => [text, from / perMs]);
  // Arrived at 1003 ms, so the block at 1010 is the first to play it; audible 55 ms later. The last audible sample is the one before 2010 ms.
  t.same(starts, [
    ['after onset', 1010 + 55 + 200],
    ['after word', 1010 + (4000 + 3600) / perMs + 30],
    ['before end', 1010 + (3 * 4000 + 3600) / perMs - 100],
    ['after end', 2010 + 300],
  ]);
  t.equal(driver.record().closed.atMs, 2720, 'the end, when nothing more is due');
  t.end();
});

test('placement: an utterance that was cut is over, one that goes on is not', (t) => {
  const scenario = scenarioOf({
    steps: [{ say: 'now', role: 'backchannel', expect: 'ignore', at: { after: 'agent.end#1', ms: 0 } }],
    end: { after: 'prev.end', ms: 0, max: 6000 },
  });
  const speech = audioOf(speechOf(0), 2);
  const cut = driverOf(scenario, { playout: 'paced' });
  run(cut, 6000, [
    [500, speech],
    [900, message('interruption', { event_id: 3 })],
  ]);
  // Heard from 540 ms on (a jitter buffer of 40 ms) until 900 ms; 700 ms of silence make it an end.
  t.ok(Math.abs(partsOf(cut)[0]!.from / perMs - 1600) <= tickMs);
  const resumed = driverOf(scenario, { playout: 'paced' });
  run(resumed, 6000, [
    [500, speech],
    [900, message('interruption', { event_id: 3 })],
    [1200, message('parley_turn_event', { kind: 'undo', event_id: 2, new_event_id: 5, sent_at_ms: 0 }, 'parley_turn_event')],
    [1200, audioOf(speechOf(0), 5)],
    [2300, message('agent_response_complete', { event_id: 5 })],
  ]);
  t.ok(Math.abs(partsOf(resumed)[0]!.from / perMs - 2290) <= tickMs, 'the reply under its new id is the same utterance');
  t.end();
});

test('the end: after what was said and its answer; at once when the caller hangs up; at last at the limit', (t) => {
  const steps = [{ say: 'a question.', turn: 't1', final: true, at: { abs: 100 } }];
  const end = { after: 'agent.onset#1', ms: 0, max: 9000 };
  const missed = driverOf(scenarioOf({ steps, end: { ...end, after: 'prev.start' }, expect: { answers: 1 } }));
  run(missed, 20_000);
  t.equal(missed.record().closed.atMs, 6500, 'an answer is waited for');
  const limit = driverOf(scenarioOf({ steps, end: { ...end, max: 3000 }, expect: { answers: 1 } }));
  run(limit, 20_000);
  t.equal(limit.record().closed.atMs, 3000);
  const events = [{ id: 'gone', class: 'hang_up', at: { abs: 333 }, expect: 'yield' }];
  const hungUp = driverOf(scenarioOf({ steps, events, end, expect: { answers: 1 } }));
  run(hungUp, 20_000);
  t.equal(hungUp.record().closed.atMs, 340);
  t.end();
});

test('the line: frames get lost, come late and in order; a ping is answered behind them', (t) => {
  const scenario = scenarioOf({
    steps: [],
    channel: { loss: 0.1, jitter_ms: 60 },
    end: { after: 'agent.end#1', ms: 0, max: 4000 },
  });
  const driver = driverOf(scenario);
  const sent = run(driver, 4000, [[1990, message('ping', { event_id: 7, ping_ms: null })]]);
  const line = new Channel(scenario.channel, 3, scenario.voice.level_dbfs);
  const lost = Array.from({ length: 200 }, (_, index) => line.isLost(index)).filter(Boolean).length;
  t.ok(lost > 0);
  t.equal(sent.length, 200 - lost + 1);
  t.ok(sent.every(({ at }, index) => index === 0 || at >= sent[index - 1]!.at));
  const pong = sent.findIndex(({ text }) => text === '{"type":"pong","event_id":7}');
  t.ok(pong > 0 && sent[pong]!.at >= 1990);
  t.end();
});

test('echo: attenuated, late, and in the microphone alone', (t) => {
  const path = new EchoPath({ db: -20, delay_ms: 40 }, 5);
  const out = new Float64Array(2000);
  path.addTo(
    out,
    0,
    Int16Array.from({ length: 2000 }, (_, at) => (at === 10 ? 10_000 : 0)),
  );
  const energy = out.reduce((sum, value) => sum + value ** 2, 0);
  t.ok(Math.abs(10 * Math.log10(energy / 10_000 ** 2) + 20) < 1e-9, 'unit energy times the gain');
  t.equal(
    out.findIndex((value) => value !== 0),
    10 + 640,
  );
  t.equal(
    out.findLastIndex((value) => value !== 0),
    10 + 640 + 63,
  );
  const scenario = scenarioOf({ channel: { echo: { db: -20, delay_ms: 40 } }, end: { after: 'agent.end#1', ms: 0, max: 3000 } });
  const driver = driverOf(scenario);
  run(driver, 3000, [[500, audioOf(speechOf(0), 2)]]);
  const { microphone, heard, caller } = driver.record().lanes;
  const first = (lane: Int16Array): number => lane.findIndex((sample) => sample !== 0);
  t.equal(first(heard), 500 * perMs);
  t.ok(first(microphone) >= 540 * perMs && first(microphone) < 542 * perMs);
  t.ok(caller.every((sample) => sample === 0));
  t.end();
});

/** An agent that says one thing at an instant; `heard` collects what arrives, with its instant. */
function agentAt(atMs: number, text: string, heard: [number, string][]): Pick<AgentHost, 'connect' | 'nowMs' | 'advanceTo'> {
  let nowMs = 1000;
  const line: AgentLine = {
    send: (message) => void heard.push([nowMs - 1000, message]),
    close: (code, reason) => line.onClose(code, reason),
    onMessage: () => undefined,
    onClose: () => undefined,
  };
  return {
    connect: () => line,
    nowMs: () => nowMs,
    advanceTo: async (toMs) => {
      if (nowMs < 1000 + atMs && toMs >= 1000 + atMs) {
        nowMs = 1000 + atMs;
        line.onMessage(text);
      }
      nowMs = toMs;
    },
  };
}

test('a call on a virtual clock: opened, spoken, answered in order, closed', async (t) => {
  const scenario = scenarioOf({
    steps: [{ say: 'hello.', turn: 't1', final: true, at: { abs: 40 } }],
    end: { after: 'prev.end', ms: 0, max: 1000 },
  });
  const heard: [number, string][] = [];
  const driver = driverOf(scenario);
  const zeroMs = await play(driver, agentAt(50, message('ping', { event_id: 1, ping_ms: null }), heard), '/');
  t.equal(zeroMs, 1000);
  t.match(heard[0], [0, /conversation_initiation_client_data/]);
  t.same(
    heard.slice(1).map(([at, text]) => [at, Object.keys(JSON.parse(text) as object)[0]]),
    [20, 40, 50, ...Array.from({ length: 10 }, (_, index) => 60 + 20 * index)].map((at) => [
      at,
      at === 50 ? 'type' : 'user_audio_chunk',
    ]),
  );
  t.same(driver.record().closed, { atMs: 240, code: 1000, isByCaller: true });
});

test('answers go by the words at the end of what was heard', (t) => {
  const book = new AnswerBook();
  const system = '[scenario x-test]';
  book.add({ match: "~I'd like to book a flight to, Boston on Friday.", system, text: 'booked' });
  book.add({ match: '~Stop, please cancel that.', system, text: 'cancelled' });
  book.add({ match: '*', system, text: 'what?' });
  const asked = (user: string): string =>
    book.answer({ system: `You are a test. ${system}`, user, toolResult: undefined }, 1).text;
  t.equal(asked("I'd like to book a flight to, Boston on Friday."), 'booked');
  t.equal(asked("I'd like to book"), 'booked', 'asked too soon');
  t.equal(asked('the would like book a flight four Boston'), 'booked', 'misheard');
  t.equal(
    asked("I'd like to book a flight to, Boston on Friday. Stop, please cancel that."),
    'cancelled',
    'the last of two turns',
  );
  t.equal(asked('Mm-hmm.'), 'what?');
  t.equal(asked('to'), 'what?', 'a word of every sentence');
  t.equal(likeness('four.', 'It is nine, four.'), likeness('Four', 'it is nine four'), 'marks and capitals do not matter');
  t.end();
});

test('recognition through the line: telephones and noise change the samples, groups keep callers apart', async (t) => {
  const voice = await loadVoice();
  const text = 'Please send the invoice to my new address.';
  const speech = voice.speak(text, { voice: 'rms', speed: 1 });
  const samples = scaled(speech.audio, -26 - speechLevelDb(speech.audio));
  const words = speech.words.map(({ word, startMs, endMs }) => ({ text: word, from: startMs * perMs, to: endMs * perMs }));
  const clip: Clip = { id: 'c', text, samples, words, silences: [] };
  const recogniser = new Recogniser(new ClipLibrary());
  const lines = { clean: {}, phone: { kind: 'phone' }, noise: { noise_snr_db: 15 }, echo: { echo: { db: -20, delay_ms: 60 } } };
  const heardOver: Record<string, string> = {};
  for (const [id, channel] of Object.entries(lines)) {
    const steps = [{ say: text, turn: 't1', final: true, at: { abs: 0 } }];
    const scenario = scenarioOf({ id, steps, channel: { kind: 'wide', ...channel } });
    const { registrations } = setupOf(scenario, { steps: [clip], events: new Map() }, voice, 9, 'buffered');
    for (const registration of registrations) {
      recogniser.index(await recogniser.library.register({ ...registration, wordErrorRatio: 0 }));
    }
    const line = new Channel(scenario.channel, 9, -26);
    const received = new Int16Array(8000 + Math.ceil(samples.length / 320) * 320 + 8000);
    received.set(samples, 8111);
    for (let from = 0; from + 320 <= received.length; from += 320)
      received.set(line.process(received.slice(from, from + 320)), from);
    const hear = (prompt: string): string =>
      recogniser
        .hear(received, { ratio: 0, seed: 1 }, prompt)
        .words.map((word) => word.text)
        .join(' ');
    heardOver[id] = hear(id);
    t.equal(hear('another group'), '', 'nobody else understands it');
    received.fill(0, 8111 + words[2]!.from, 8111 + words[4]!.from);
    t.notMatch(hear(id), /invoice/, 'what was gated away is not heard');
  }
  t.same(heardOver, { clean: text, phone: text, noise: text, echo: text });

  const scenario = scenarioOf({ id: 'echo', channel: lines.echo });
  const [spoken] = [voice.speak('One two three four.')];
  const echoed = new Float64Array(spoken.audio.length + 9000);
  new EchoPath({ db: -20, delay_ms: 60 }, 9).addTo(echoed, 0, spoken.audio);
  const echo = recogniser.hear(Int16Array.from(echoed, Math.round), { ratio: 0, seed: 1 }, scenario.id);
  t.equal(echo.words.map((word) => word.text).join(' '), 'One two three four.', 'the agent from the loudspeaker');
  t.equal(wordErrorRatioOf(scenarioOf({ channel: 'phone' })), 0.12);
});

test('truth of the providers: which speech a reply was made of, and who waited', async (t) => {
  const voice = await loadVoice();
  const entry = (number: number, text: string, contextId: string, receivedMs: number, firstByteMs: number | undefined) => ({
    number,
    endpoint: 'tts' as const,
    path: '/v1/text-to-speech/x-test/multi-stream-input',
    text,
    contextId,
    atMonotonicMs: { received: receivedMs, ...(firstByteMs === undefined ? {} : { firstByte: firstByteMs }) },
  });
  const entries = [
    entry(1, 'Nobody heard this. ', 'r1', 1000, 1100),
    entry(2, 'One two ', 'r2', 2000, 2100),
    entry(3, 'three.', 'r2', 2050, 2200),
    entry(4, 'cancelled', 'r3', 2500, undefined),
    { ...entry(5, 'One two three.', 'r4', 1500, 1600), path: '/v1/text-to-speech/other/multi-stream-input' },
  ];
  const journal = { entries, requests: [], zeroMs: 500 };
  const audio = [
    { atMs: 1700, eventId: 2, sampleCount: 640 },
    { atMs: 2400, eventId: 4, sampleCount: 160 },
  ];
  const messages = [{ atMs: 1750, type: 'agent_response', payload: { agent_response: 'One two three.', event_id: 2 } }];
  const replies = repliesOf('x-test', journal, audio, messages, voice);
  const [first, second] = [voice.speak('One two '), voice.speak('three.')];
  t.equal(replies.length, 1, 'a silent flush is no reply');
  t.equal(replies[0]!.samples.length, first.audio.length + second.audio.length);
  t.same(
    replies[0]!.words.map(({ text, from }) => [text, from]),
    [
      ['One', 0],
      ['two', first.words[1]!.startMs * (voiceRateHz / 1000)],
      ['three.', first.audio.length],
    ],
  );
  t.same(waitsOf('x-test', '[scenario x-test]', journal), [
    { stage: 'tts', fromMs: 500, toMs: 600 },
    { stage: 'tts', fromMs: 1500, toMs: 1600 },
    { stage: 'tts', fromMs: 1550, toMs: 1700 },
  ]);
});
