/** The pure parts of a conversation: profile, history, timeline of a turn, timeline of a speech, agents. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'tap';
import { checkWritten } from '../src/api/agent-documents.js';
import { agentKeyWarnings } from '../src/api/agent-keys.js';
import { History } from '../src/conversation/history.js';
import { noInitiation, resolveProfile } from '../src/conversation/profile.js';
import { TurnTimes } from '../src/conversation/times.js';
import { nearestName } from '../src/shared/nearest.js';
import { type Ms, ms } from '../src/shared/units.js';
import { loadAgents, parseAgent } from '../src/store/agents.js';
import { defaultAgent } from '../src/store/default-agent.js';
import { Timeline } from '../src/tts/timeline.js';
import type { Initiation } from '../src/wire/events.js';

const agent = parseAgent(
  {
    agent_id: 'a',
    conversation_config: {
      agent: {
        first_message: 'Hello {{name}} of {{ city }}.',
        prompt: { prompt: 'Serve {{name}}. {{secret__key}}' },
        dynamic_variables: { dynamic_variable_placeholders: { city: 'Rome' } },
      },
    },
    platform_settings: { overrides: { conversation_config_override: { agent: { first_message: true } } } },
  },
  'test',
);
const start = (initiation: Partial<Initiation>): Initiation => ({ ...noInitiation, ...initiation });

test('variables are filled in, secrets kept from the prompt, missing ones named', (t) => {
  const resolved = resolveProfile(
    agent,
    start({ dynamicVariables: { name: 'Bo', secret__key: 'x1', system__time_utc: 'forged' } }),
    {},
  );
  t.match(resolved, { ok: true, profile: { firstMessage: 'Hello Bo of Rome.', prompt: 'Serve Bo. ' } });
  t.match(resolveProfile(agent, noInitiation, {}), {
    ok: false,
    refusal: { errorType: 'missing_dynamic_variable', code: 1008, reason: /: name$/ },
  });
  t.end();
});

test('overrides: allowed ones count, forbidden ones are named, equal ones are none', (t) => {
  const variables = { dynamicVariables: { name: 'Bo' } };
  t.match(resolveProfile(agent, start({ ...variables, overrides: { firstMessage: 'Hi {{name}}' } }), {}), {
    profile: { firstMessage: 'Hi Bo' },
  });
  t.match(resolveProfile(agent, start({ ...variables, overrides: { language: 'de' } }), {}), {
    ok: false,
    refusal: { errorType: 'override_error', reason: "Override for field 'language' is not allowed by config." },
  });
  t.match(resolveProfile(agent, start({ ...variables, overrides: { language: 'en' } }), {}), { ok: true });
  t.match(resolveProfile(agent, start({ ...variables, overrides: { textOnly: true } }), {}), { profile: { isTextOnly: true } });
  t.match(resolveProfile(agent, start({ ...variables, customLlmExtraBody: { a: 1 } }), {}), {
    ok: false,
    refusal: { reason: /custom_llm_extra_body/ },
  });
  t.match(resolveProfile(agent, start({ ...variables, customLlmExtraBody: {} }), {}), { ok: true });
  t.end();
});

test('history holds what was heard; a merged turn replaces the one before', (t) => {
  const history = new History();
  history.addUser('I want a pizza');
  history.addAgent(1, 'Sure, which', true);
  history.addAgent(2, '  ', true);
  t.same(
    history.messages('S', 'a large one', false).map((message) => message.content),
    ['S', 'I want a pizza', 'Sure, which', 'a large one'],
  );
  t.same(
    history.messages('S', 'I want a pizza a large one', true).map((message) => message.content),
    ['S', 'I want a pizza a large one'],
  );
  history.replaceUser('I want a pizza a large one');
  history.addAgent(3, 'Coming.', false);
  t.same(
    history.entries.map((entry) => entry.text),
    ['I want a pizza a large one', 'Coming.'],
  );
  history.addAgent(4, 'And', true);
  history.removeInterrupted(4);
  t.equal(history.entries.length, 2);
  history.setContext('cart', 'empty');
  history.setContext('cart', 'a lamp');
  history.setContext(undefined, 'it rains');
  t.equal(history.messages('S', 'x', false)[0]!.content, 'S\n\nBackground, newest last:\n- a lamp\n- it rains');
  t.end();
});

test('the instants of a turn are checked for order, and the overhead leaves endpointing and providers out', (t) => {
  const times = new TurnTimes(1);
  const at: [Parameters<TurnTimes['mark']>[0], number][] = [
    ['speechEnd', 1000],
    ['finalAsked', 1100],
    ['finalAnswered', 1350],
    ['llmAsked', 1351],
    ['firstToken', 1700],
    ['firstSegment', 1760],
    ['firstChunk', 1900],
    ['committed', 1352],
    ['firstFrame', 1903],
  ];
  for (const [instant, value] of at) times.mark(instant, value);
  t.equal(times.disorder(), undefined);
  t.equal(times.overheadMs(), 1 + 3);
  times.mark('committed', 2500);
  times.dueAtMs = 2496;
  times.mark('firstFrame', 2502);
  t.equal(times.overheadMs(), 1 + 2, 'an answer that was ready before the commit counts from it');
  t.equal(times.latenessMs(), 4);
  times.mark('firstFrame', 1500);
  t.match(times.disorder(), /firstFrame came .* before firstChunk/);
  const late = new TurnTimes(2);
  for (const [instant, value] of at) late.mark(instant, instant === 'finalAnswered' || value < 1300 ? value : value + 1000);
  late.mark('committed', 2000);
  late.mark('llmAsked', 2002);
  t.equal(late.overheadMs(), 2 + 3, 'a model that was asked after the commit: from then on');
  late.pauseAtMs = 2001.5;
  t.equal(late.overheadMs(), 0.5 + 3, 'and after the word that the caller pauses');
  t.end();
});

test('a timeline without alignment spreads characters over voiced samples', (t) => {
  const timeline = new Timeline(16000);
  const text = 'aaaa bbbb cccc dddd';
  timeline.addText(text);
  timeline.addPiece(Uint32Array.from({ length: text.length }, (_, index) => index));
  const audio = new Int16Array(1600 + 19_000 + 1600);
  audio.fill(4000, 1600, 20_600);
  timeline.addAudio(audio, undefined, 0);
  t.equal(timeline.heardChars(1600), 0);
  t.equal(timeline.heardChars(1600 + 4000), 4, 'the first word was played');
  t.equal(timeline.heardChars(audio.length), text.length);
  t.equal(timeline.wordStartBefore(1600 + 7000), 1600 + 5000);
  t.end();
});

test('silence without alignment says nothing of the next piece, and its alignment replaces every guess', (t) => {
  const timeline = new Timeline(16000);
  timeline.addText('aa bb cc');
  const piece = (start: number, end: number): void =>
    timeline.addPiece(Uint32Array.from({ length: end - start }, (_, index) => start + index));
  const times = (from: number, to: number): { charIndex: number; startMs: Ms; durationMs: Ms }[] =>
    Array.from({ length: to - from }, (_, index) => ({ charIndex: from + index, startMs: ms(index * 100), durationMs: ms(100) }));
  piece(0, 3);
  piece(3, 8);
  timeline.addAudio(new Int16Array(4800).fill(4000), times(0, 3), 0);
  timeline.addAudio(new Int16Array(640), undefined, undefined);
  t.equal(timeline.heardChars(5440), 2, 'the pause after the first piece is not the second one');
  timeline.addAudio(new Int16Array(1600).fill(4000), undefined, undefined);
  t.equal(timeline.heardChars(7040), 8, 'sound without times is taken for the next piece');
  timeline.addAudio(new Int16Array(8000).fill(4000), times(3, 8), 1);
  t.same(
    [7040, 9500, 10_300, 14_500].map((sample) => timeline.heardChars(sample)),
    [2, 5, 5, 8],
  );
  t.end();
});

test('what was heard grows with the samples, ends at words and is never more than the text', (t) => {
  const word = fc.array(fc.constantFrom('a', 'b', 'é', '…'), { minLength: 1, maxLength: 8 }).map((letters) => letters.join(''));
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 12 }),
      fc.array(fc.integer({ min: 0, max: 40_000 }), { minLength: 2 }),
      (words, samples) => {
        const text = words.join(' ');
        const timeline = new Timeline(16000);
        timeline.addText(text);
        timeline.addPiece(Uint32Array.from({ length: text.length }, (_, index) => index));
        const alignment = Array.from({ length: text.length }, (_, charIndex) => ({
          charIndex,
          startMs: ms(charIndex * 20),
          durationMs: ms(20),
        }));
        timeline.addAudio(new Int16Array(text.length * 320), alignment, undefined);
        let last = 0;
        for (const sample of samples.sort((a, b) => a - b)) {
          const heard = timeline.heardChars(sample);
          if (heard < last || heard > text.length) return false;
          if (heard > 0 && heard < text.length && text[heard] !== ' ') return false;
          last = heard;
        }
        return timeline.heardChars(text.length * 320) === text.length;
      },
    ),
    { numRuns: 300 },
  );
  t.pass('300 random texts');
  t.end();
});

test('agents are read from a file or a folder; a bad one names file, path and rule', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-agents-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'one.json'), JSON.stringify({ agent_id: 'one' }));
  writeFileSync(join(folder, 'two.json'), JSON.stringify([{ agent_id: 'two' }, { agent_id: 'three' }]));
  const fallback = parseAgent(defaultAgent, 'built in');
  t.same([...loadAgents(folder, fallback).keys()], ['one', 'two', 'three', 'default']);
  t.same([...loadAgents(undefined, fallback).keys()], ['default']);
  writeFileSync(join(folder, 'bad.json'), JSON.stringify({ agent_id: 'bad', conversation_config: { tts: { speed: 3 } } }));
  t.throws(() => loadAgents(folder, fallback), { message: /bad\.json: conversation_config\.tts\.speed: .*1\.2/ });
  writeFileSync(join(folder, 'bad.json'), '{');
  t.throws(() => loadAgents(folder, fallback), { message: /bad\.json: not readable as JSON/ });
  t.throws(() => loadAgents(join(folder, 'nowhere'), fallback), { message: /PARLEY_AGENTS=".*nowhere": no such file or folder/ });
  t.throws(() => parseAgent({ agent_id: 'x', parley: { turn: { delayNeutral: 1 } } }, 'f'), {
    message: /f: parley\.turn\.delayNeutral: 1: .*"delayNeutralMs" is/,
  });
  t.end();
});

test('a file with a grammar or a tool that no call could use stops the start; keys that do nothing are told', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-agents-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const fallback = parseAgent(defaultAgent, 'built in');
  const told: [string, unknown][] = [];
  const load = (agent: object) => {
    writeFileSync(join(folder, 'a.json'), JSON.stringify({ agent_id: 'a', ...agent }));
    return loadAgents(folder, fallback, { check: checkWritten, onRead: (file, value) => told.push([file, value]) });
  };
  const grammar = (phrase: string) => ({ parley: { grammar: { intents: [{ name: 'x', phrases: [phrase], replies: ['r'] }] } } });
  t.throws(() => load(grammar('the {size} one')), {
    message: /a\.json: parley\.grammar\.intents\.0\.phrases\.0: "the \{size\} one": there is no slot 'size' here/,
  });
  t.throws(() => load(grammar('zorblify it')), { message: /a\.json: .*phrases\.0: "zorblify": not in the dictionary/ });
  const textOnly = { conversation_config: { conversation: { text_only: true } } };
  t.ok(load({ ...grammar('zorblify it'), ...textOnly }).has('a'), 'who only reads and types needs no sounds');
  const tools = [{ type: 'webhook', name: 'w', api_schema: { url: 'ftp://a.example' } }];
  t.throws(() => load({ conversation_config: { agent: { prompt: { tools } } } }), {
    message: /tools\.0\.api_schema\.url: "ftp:.*must begin with http/,
  });
  told.length = 0;
  load({ conversation_config: { agent: { promt: 'x' } } });
  t.match(told, [[join(folder, 'a.json'), { agent_id: 'a' }]]);
  t.match(agentKeyWarnings(told[0]?.[1]), [{ path: ['conversation_config', 'agent', 'promt'], message: /"prompt"/ }]);
  t.same(agentKeyWarnings(defaultAgent), [], 'our own');
  const wild = { conversation_config: Object.fromEntries(Array.from({ length: 80 }, (_, index) => [`qqqqqq${index}`, 1])) };
  t.equal(agentKeyWarnings(wild).length, 51);
  t.match(agentKeyWarnings(wild).at(-1), { message: /^30 more/ });
  t.end();
});

test('the name that was meant', (t) => {
  const names = ['first_message', 'language', 'prompt', 'hostname'];
  for (const typed of ['firstMessage', 'First-Message', 'frist_message', 'first_mesage', 'first'])
    t.equal(nearestName(typed, names), 'first_message', typed);
  t.equal(nearestName('host', names), 'hostname');
  t.equal(nearestName('lang', names), 'language');
  t.equal(nearestName('voice', names), undefined);
  t.equal(nearestName('', names), undefined);
  t.end();
});
