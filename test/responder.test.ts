/** Answers of the demo agent, from messages alone. */
import { test } from 'tap';
import { EmbeddedResponder } from '../src/llm/embedded/responder.js';
import type { ChatMessage, LlmDelta } from '../src/llm/port.js';
import { EngineError } from '../src/shared/errors.js';
import { parseAgent } from '../src/store/agents.js';
import { defaultAgent } from '../src/store/default-agent.js';
import { unintelligible } from '../src/stt/port.js';

const now = (): Date => new Date(2026, 1, 21, 15, 5);

async function deltas(
  messages: readonly ChatMessage[],
  options: { grammar?: unknown; signal?: AbortSignal } = {},
): Promise<LlmDelta[]> {
  const responder = new EmbeddedResponder({ now });
  const all: LlmDelta[] = [];
  const { grammar, signal = new AbortController().signal } = options;
  for await (const delta of responder.stream({ messages, tools: [], model: '', temperature: 0, maxTokens: 100, grammar, signal }))
    all.push(delta);
  await responder.close();
  return all;
}

const textOf = (all: readonly LlmDelta[]): string => all.map((delta) => (delta.type === 'text' ? delta.text : '')).join('');
const user = (content: string): ChatMessage => ({ role: 'user', content });
const agent = (content: string): ChatMessage => ({ role: 'assistant', content });
const reply = async (...messages: ChatMessage[]): Promise<string> => textOf(await deltas(messages));

test('answers', async (t) => {
  const cases: [string, string][] = [
    ['what is seven plus five', 'Seven plus five is twelve.'],
    ['What is 12 times 12?', 'Twelve times twelve is one hundred and forty four.'],
    ['three minus nine', 'Three minus nine is minus six.'],
    ['seventeen divided by five', 'Seventeen divided by five is three, remainder two.'],
    ['one divided by zero', 'One divided by zero is not defined.'],
    ['one oh zero', 'I heard one zero zero.'],
    ['twenty one', 'I heard the number twenty one.'],
    ['b d', 'I read the letters B, D.'],
    ['what time is it', 'It is three oh five p m.'],
    ['what day is it', 'Today is Saturday, February the twenty first.'],
  ];
  for (const [said, answer] of cases) t.equal(await reply(agent('Hello.'), user(said)), answer, said);
});

test('repeats what was said last, and says so when there was nothing', async (t) => {
  t.equal(await reply(agent('First.'), user('seven'), agent('I heard seven.'), user('repeat that')), 'I heard seven.');
  t.match(await reply(user('repeat that')), 'have not said anything');
});

test('what was not understood gets varied hints, the same for the same messages', async (t) => {
  const first = await reply(user(unintelligible));
  const second = await reply(user(unintelligible), agent(first), user(unintelligible));
  t.match(first, 'did not catch');
  t.not(second, first);
  t.equal(await reply(user(unintelligible)), first);
  t.equal(await reply(user('my hovercraft is full of eels')), first, 'and so does text outside the grammar');
  t.equal(await reply(), first, 'and a conversation in which nobody spoke');
});

test('goodbye says farewell and then ends the call', async (t) => {
  const all = await deltas([user('goodbye')]);
  const call = all.at(-2);
  t.match(textOf(all), 'Goodbye');
  t.ok(call?.type === 'tool_call' && call.call.name === 'end_call');
  t.type(JSON.parse(call?.type === 'tool_call' ? call.call.argumentsJson : '{}').reason, 'string');
  t.same(all.at(-1), { type: 'end', finish: 'tool_calls' });
  t.same((await deltas([user('hello')])).at(-1), { type: 'end', finish: 'stop' });
});

test('a story comes in many small pieces and is long enough to interrupt', async (t) => {
  const all = await deltas([user('tell me a story')]);
  t.ok(all.length > 40, `${all.length} pieces`);
  t.ok(textOf(all).split(' ').length > 150);
});

test('an abort ends the stream with an error', async (t) => {
  const controller = new AbortController();
  controller.abort();
  await t.rejects(deltas([user('tell me a story')], { signal: controller.signal }), { name: 'EngineError', kind: 'aborted' });
  t.ok(new EngineError('aborted', 'x') instanceof Error);
});

test('an agent of one’s own, as data', async (t) => {
  const grammar = {
    slots: { room: { type: 'digits', min: 3, max: 3 } },
    intents: [{ name: 'clean', phrases: ['clean room {room}'], replies: ['Room {room} will be cleaned.'] }],
  };
  t.equal(textOf(await deltas([user('clean room four oh two')], { grammar })), 'Room four zero two will be cleaned.');
  t.equal(textOf(await deltas([user('clean room four')], { grammar })), 'I did not catch that.');
});

test('the built-in agent is a valid agent', (t) => {
  const parsed = parseAgent(defaultAgent, 'the built-in agent');
  t.equal(parsed.agent_id, 'default');
  t.ok(parsed.conversation_config.agent.first_message.length < 200);
  t.end();
});
