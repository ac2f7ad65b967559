/** The console's own arithmetic, without a browser: the transcript, the turns, paths in an agent's document, WAV files. */
import fc from 'fast-check';
import { test } from 'tap';
import { writeWav } from '../src/audio/wav.js';
import { hz } from '../src/shared/units.js';
import { checkAgent } from '../src/store/agents.js';
import { type ParleyTurnEvent, type TurnHappening, turnEventShape, turnInstants } from '../src/wire/turn-event.js';
import { changesOf, type Json, valueAt, withValue, writable } from '../web/src/agents/document.js';
import { readable } from '../web/src/api/readable.js';
import { readWaveform } from '../web/src/history/wav.js';
import { explained } from '../web/src/talk/explained.js';
import * as transcript from '../web/src/talk/transcript.js';
import { type Board, emptyBoard, matchSounds, report, waterfallOf } from '../web/src/talk/turns.js';
import { givenOf, missingOf, variablesOf } from '../web/src/talk/variables.js';

const event = (happening: TurnHappening, atMs: number, sentAtMs = atMs, turn = 1): ParleyTurnEvent => ({
  type: 'parley_turn_event',
  turn,
  atMs,
  sentAtMs,
  happening,
});
const payload = (...given: Parameters<typeof event>) => turnEventShape(event(...given)).parley_turn_event;

test('turn events on the wire', (t) => {
  t.same(turnEventShape(event({ kind: 'hold' }, 12.3456, 20)), {
    type: 'parley_turn_event',
    parley_turn_event: { kind: 'hold', turn: 1, at_ms: 12.35, sent_at_ms: 20 },
  });
  t.same(payload({ kind: 'cut', reason: 'stop_word', eventId: 7 }, 1), {
    kind: 'cut',
    turn: 1,
    at_ms: 1,
    sent_at_ms: 1,
    reason: 'stop_word',
    event_id: 7,
  });
  t.match(payload({ kind: 'undo', reason: 'echo', eventId: 7, newEventId: 9 }, 1), { event_id: 7, new_event_id: 9 });
  t.match(payload({ kind: 'commit', isTyped: false, isAdopted: true }, 1), { is_typed: false, is_adopted: true });
  const instants = Object.fromEntries(turnInstants.map((name, index) => [name, index + 0.001]));
  t.same(
    payload({ kind: 'answered', instants }, 1).instants,
    Object.fromEntries(turnInstants.map((name, index) => [name, index])),
  );
  t.end();
});

test('the transcript: tentative words, answers, what was not heard', (t) => {
  let lines: transcript.Lines = [];
  lines = transcript.hearing(lines, 'tell');
  lines = transcript.hearing(lines, 'tell me a');
  t.match(lines, [{ kind: 'caller', text: 'tell me a', isTentative: true }]);
  lines = transcript.heard(lines, 'Tell me a story');
  t.same(
    lines.map((line) => line.kind === 'caller' && [line.text, line.isTentative]),
    [['Tell me a story', false]],
  );
  lines = transcript.growing(lines, 4, 'start', '');
  lines = transcript.growing(lines, 4, 'delta', 'Once ');
  lines = transcript.growing(lines, 4, 'delta', 'upon a time.');
  lines = transcript.said(lines, 4, 'Once upon a time.');
  t.equal(lines.length, 2, 'the parts and the whole are one line');
  lines = transcript.tool(lines, 'call_1', 'lookup', 'running');
  lines = transcript.tool(lines, 'call_1', 'lookup', 'done');
  lines = transcript.said(lines, 4, 'A second part.');
  t.same(
    lines.map((line) => line.kind),
    ['caller', 'agent', 'tool', 'agent'],
    'a reply with a tool in it has two lines',
  );
  lines = transcript.corrected(lines, 4, 'A second part.', 'A second…');
  const cut = lines.at(-1)!;
  t.ok(cut.kind === 'agent' && cut.heard === 'A second…');
  t.same(transcript.strike('A second part.', 'A second…'), { heard: 'A second', unheard: ' part.' });
  t.same(transcript.strike('A second part.', undefined), { heard: 'A second part.', unheard: '' });
  t.same(transcript.strike('A second part.', ''), { heard: '', unheard: 'A second part.' });
  const whole = transcript.undone(lines, 4, 6).at(-1)!;
  t.ok(whole.kind === 'agent' && whole.heard === undefined && whole.eventId === 6, 'an undone cut strikes nothing');
  t.equal(transcript.said(transcript.undone(lines, 4, 6), 6, 'A second part.').length, lines.length, 'and is not shown twice');
  t.equal(transcript.notHearing(transcript.hearing(lines, 'hm')).length, lines.length, 'a noise leaves no line');
  for (let count = 0; count < 600; count++) lines = transcript.add(lines, { kind: 'notice', text: String(count) });
  t.equal(lines.length, 500);
  t.equal(new Set(lines.map((line) => line.id)).size, 500, 'every line has its own number');
  t.end();
});

test('a turn on the page’s clock, and where its time went', (t) => {
  const answered = {
    speech_end: 1000,
    final_answered: 1230,
    committed: 1500,
    llm_asked: 1240,
    first_token: 1400,
    first_segment: 1410,
  };
  const instants = { ...answered, first_chunk: 1600, first_frame: 1602 };
  let board: Board = emptyBoard;
  board = report(board, payload({ kind: 'speech_start' }, 500, 560), 10_640);
  board = report(board, payload({ kind: 'commit', isTyped: false, isAdopted: true }, 1500), 11_530);
  board = report(board, payload({ kind: 'answered', instants }, 1602, 1603), 11_680);
  t.equal(board.offsetMs, 10_030, 'the least delay counts');
  t.same(
    board.marks.map((mark) => mark.kind),
    ['speech_start', 'commit'],
  );
  t.equal(matchSounds(board, [11_000]), board, 'a sound before the first frame belongs to something else');
  board = matchSounds(board, [11_000, 11_650]);
  const waterfall = waterfallOf(board.turns[0]!)!;
  t.same(
    waterfall.stages.map(({ name, startMs, endMs }) => [name, startMs, endMs]),
    [
      ['Recognition', 0, 230],
      ['End of turn', 0, 500],
      ['Model', 240, 400],
      ['Voice', 400, 600],
      ['Sending', 600, 602],
      ['Playing', 602, 620],
    ],
  );
  t.equal(waterfall.totalMs, 620);
  board = report(emptyBoard, payload({ kind: 'commit', isTyped: true, isAdopted: false }, 300), 400);
  t.equal(waterfallOf(board.turns[0]!), undefined, 'nothing is known of its answer yet');
  board = report(
    board,
    payload({ kind: 'answered', instants: { committed: 300, first_token: 350, first_frame: 500 } }, 500),
    600,
  );
  t.equal(waterfallOf(board.turns[0]!)?.totalMs, 200);
  t.same(
    waterfallOf(board.turns[0]!)?.stages.map(({ name, place }) => [name, place]),
    [['Sending', waterfall.stages.findIndex(({ name }) => name === 'Sending')]],
    'a stage keeps its colour where others are missing',
  );
  t.end();
});

test('fields of a document by path; changes are what differs and nothing else', (t) => {
  const agent = { name: 'A', conversation_config: { agent: { language: 'en' }, tools: [1, 2] } };
  t.equal(valueAt(agent, 'conversation_config.agent.language'), 'en');
  t.equal(valueAt(agent, 'conversation_config.tts.speed'), undefined);
  const faster = withValue(agent, 'conversation_config.tts.speed', 1.1);
  t.same(changesOf(agent, faster), { conversation_config: { tts: { speed: 1.1 } } });
  t.same(agent, { name: 'A', conversation_config: { agent: { language: 'en' }, tools: [1, 2] } }, 'the original stays');
  t.same(changesOf(faster, withValue(faster, 'conversation_config.tts.speed', undefined)), {
    conversation_config: { tts: { speed: null } },
  });
  t.same(changesOf(agent, withValue(agent, 'conversation_config.tools', [2])), { conversation_config: { tools: [2] } });
  t.same(writable({ agent_id: 'a', metadata: {}, name: 'A', parley: {} }), { name: 'A', parley: {} });
  const json = fc.letrec<{ object: Json; value: unknown }>((tie) => ({
    object: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { noNullPrototype: true }) as fc.Arbitrary<Json>,
    value: fc.oneof({ maxDepth: 3 }, fc.integer(), fc.string(), fc.array(fc.integer()), tie('object')),
  }));
  const merge = (into: Json, change: Json): Json => {
    const merged: Record<string, unknown> = { ...into };
    for (const [name, value] of Object.entries(change)) {
      const old = merged[name];
      const areObjects = [old, value].every((each) => typeof each === 'object' && each !== null && !Array.isArray(each));
      if (value === null) delete merged[name];
      else merged[name] = areObjects ? merge(old as Json, value as Json) : value;
    }
    return merged;
  };
  fc.assert(
    fc.property(json.object, json.object, (before, after) => {
      t.same(merge(before, changesOf(before, after)), after);
    }),
    { numRuns: 200 },
  );
  t.end();
});

test('dynamic variables of an agent: those it has placeholders for, and those its texts cannot be said without', (t) => {
  const agent = {
    conversation_config: {
      agent: {
        first_message: 'Hello {{ name }}, it is {{system__time_utc}}.',
        dynamic_variables: { dynamic_variable_placeholders: { name: 'friend', tier: 2 } },
        prompt: {
          prompt: 'The caller lives in {{city}}. {{name}} {{secret__key}}',
          tools: [{ dynamic_variables: { dynamic_variable_placeholders: { shop: 'main', tier: 1 } } }],
        },
      },
    },
  };
  const variables = variablesOf(agent);
  t.same(variables, [
    { name: 'shop', placeholder: 'main' },
    { name: 'tier', placeholder: '2' },
    { name: 'name', placeholder: 'friend' },
    { name: 'city', placeholder: undefined },
    { name: 'secret__key', placeholder: undefined },
  ]);
  t.same(missingOf(variables, { name: '' }), ['city']);
  t.same(missingOf(variables, { city: 'Rome' }), []);
  t.same(givenOf(variables, { name: ' Bo ', city: '', other: 'x' }), { name: 'Bo' });
  t.same(variablesOf({}), []);
  t.end();
});

test('what the server says, said readably', (t) => {
  const rows: [string, string][] = [
    ['Too big: expected number to be <=1.2', 'At most 1.2.'],
    ['Too small: expected number to be >=-1', 'At least -1.'],
    ['Too big: expected string to have <=256 characters', 'At most 256 characters.'],
    ['Invalid input: expected string, received number', 'This must be text, not a number.'],
    ['Invalid input: expected object, received undefined', 'This is missing: an object.'],
    ['Invalid option: expected one of "patient"|"normal"|"eager"', 'One of: patient, normal, eager.'],
    ['must begin with http:// or https://', 'must begin with http:// or https://'],
  ];
  for (const [message, expected] of rows) t.equal(readable(message), expected);
  const limits = checkAgent({ agent_id: 'a', name: 'x'.repeat(300), conversation_config: { tts: { speed: 3 }, agent: 7 } });
  t.notOk(limits.ok);
  for (const { message } of limits.ok ? [] : limits.issues) t.not(readable(message), message, message);
  t.match(explained('Missing required dynamic variables: city, name', 1008), { title: 'The agent needs values for city, name.' });
  t.match(explained("Override for field 'text_only' is not allowed by config.", 1008), {
    title: 'The agent does not let a client choose whether it is text only.',
  });
  t.match(explained('There is no such agent.', 3000), { title: 'There is no such agent.', advice: /another agent/ });
  t.match(explained('The language model is not available.', 1002), { advice: /log/ });
  t.end();
});

test('the waveform of a recording', (t) => {
  const seconds = (level: number[]): Int16Array =>
    Int16Array.from({ length: 8000 * level.length }, (_, at) => level[Math.floor(at / 8000)]!);
  const [caller, agent] = [seconds([0, 16384, 0, 0]), seconds([0, 0, 0, -32768])];
  const file = writeWav({ channels: [caller, agent], rateHz: hz(8000) });
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer;
  const waveform = readWaveform(bytes, 4)!;
  t.equal(waveform.durationSeconds, 4);
  t.same(
    waveform.peaks.map((peaks) => [...peaks]),
    [
      [0, 0.5, 0, 0],
      [0, 0, 0, 1],
    ],
  );
  t.equal(readWaveform(new ArrayBuffer(3), 4), undefined);
  t.equal(readWaveform(Uint8Array.from(Buffer.from('ID3 no wav at all')).buffer, 4), undefined);
  t.equal(readWaveform(bytes.slice(0, bytes.byteLength / 2), 4)?.durationSeconds.toFixed(2), '2.00', 'a file cut short');
  t.end();
});
