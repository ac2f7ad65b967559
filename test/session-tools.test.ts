/** Tools in a conversation: rounds, results of every kind, and that a reply nobody heard never runs one. One session, scripted model. */
import { test } from 'tap';
import type { ChatMessage } from '../src/llm/port.js';
import { parseAgent } from '../src/store/agents.js';
import { plainManner } from '../src/tools/manner.js';
import { switchableEvents } from '../src/wire/events.js';
import { type Answer, LoneSession, ScriptedLlm } from './support/lone-session.js';

const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const weather = {
  type: 'client',
  name: 'weather',
  description: 'w',
  parameters,
  expects_response: true,
  response_timeout_secs: 5,
};
const lookUp = {
  type: 'webhook',
  name: 'look_up',
  description: 'l',
  api_schema: { url: 'https://api.example.org/x', method: 'GET' },
};
const order = {
  type: 'webhook',
  name: 'order',
  description: 'o',
  api_schema: { url: 'https://api.example.org/o', method: 'POST' },
};

type Options = {
  readonly tools?: readonly unknown[];
  readonly isVoice?: boolean;
  readonly agent?: object;
  readonly turn?: object;
};

function agentOf({ tools = [], isVoice = false, agent = {}, turn = {} }: Options): Record<string, unknown> {
  return {
    conversation_config: {
      agent: { prompt: { prompt: 'P', tools, ...agent } },
      turn,
      conversation: { text_only: !isVoice, client_events: [...switchableEvents] },
    },
  };
}

/** A session in which the caller typed `question` and the model answered as the script says. */
async function asked(options: Options, answers: readonly Answer[], question = 'How is Rome?'): Promise<LoneSession> {
  const lone = new LoneSession(agentOf(options), answers);
  lone.start();
  lone.client({ type: 'user_message', text: question });
  await lone.settle();
  return lone;
}

const counted = { inputTokens: 10, outputTokens: 1 };
const call = (name: string, argumentsJson = '{"city":"Rome"}') => ({ name, argumentsJson });
const rolesOf = (messages: readonly ChatMessage[]): string[] => messages.map(({ role }) => role);
const toolTexts = (messages: readonly ChatMessage[]): string[] =>
  messages.flatMap((message) => (message.role === 'tool' ? [message.content] : []));

test('C39 a client tool: the words before it, the call, its result, the words after it, all under one event id', async (t) => {
  const lone = await asked({ tools: [weather] }, [{ text: 'Let me look.', calls: [call('weather')] }, { text: 'It is sunny.' }]);
  t.same(lone.told, ['part start', 'part delta', 'part stop', 'agent_response', 'client_tool_call']);
  t.match(lone.event('client_tool_call'), { toolName: 'weather', parameters: { city: 'Rome' }, expectsResponse: true });
  lone.client({ type: 'client_tool_result', toolCallId: 'call_1', result: '{"sky":"clear"}', isError: false });
  await lone.settle();
  t.same(lone.told.slice(5), [
    'agent_tool_response',
    'agent_tool_response_full_payload',
    'part start',
    'part delta',
    'part stop',
    'agent_response',
    'agent_response_complete',
  ]);
  const ids = lone.events.flatMap((event) => ('eventId' in event && event.type !== 'ping' ? [event.eventId] : []));
  t.same(new Set(ids).size, 1);
  const { messages } = lone.llm.requests[1]!;
  t.same(rolesOf(messages), ['system', 'user', 'assistant', 'tool']);
  t.same(toolTexts(messages), ['{"sky":"clear"}']);
  t.match(lone.apiMessages('item').at(-1)?.item.document, {
    role: 'agent',
    message: 'Let me look. It is sunny.',
    interrupted: false,
    tool_calls: [{ type: 'client', tool_name: 'weather', params_as_json: '{"city":"Rome"}' }],
    tool_results: [{ result_value: '{"sky":"clear"}', is_error: false, tool_has_been_called: true }],
  });
});

test('what was said and done before is in the next request, call by call', async (t) => {
  const lone = await asked({ tools: [weather] }, [
    { calls: [call('weather')] },
    { text: 'Sunny.' },
    { text: 'You are welcome.' },
  ]);
  lone.client({ type: 'client_tool_result', toolCallId: 'call_1', result: 'clear', isError: false });
  await lone.settle();
  lone.client({ type: 'user_message', text: 'Thanks' });
  await lone.settle();
  t.same(rolesOf(lone.llm.requests[2]!.messages), ['system', 'user', 'assistant', 'tool', 'assistant', 'user']);
});

test('C40 a tool without an answer does not delay the reply; its late answer means nothing', async (t) => {
  const lone = await asked({ tools: [{ ...weather, expects_response: false }] }, [
    { calls: [call('weather')] },
    { text: 'Done.' },
  ]);
  t.equal(lone.llm.requests.length, 2);
  t.match(lone.event('client_tool_call'), { expectsResponse: false });
  t.match(lone.event('agent_response'), { text: 'Done.' });
  const before = lone.events.length;
  lone.client({ type: 'client_tool_result', toolCallId: 'call_1', result: 'late', isError: false });
  await lone.settle();
  t.equal(lone.events.length, before);
});

test('an unknown tool, broken arguments and a client that never answers are failed results, and the reply goes on', async (t) => {
  const lone = await asked({ tools: [weather] }, [
    { calls: [call('nope'), call('weather', '{"city":'), call('weather')] },
    { text: 'Sorry.' },
  ]);
  t.equal(lone.llm.requests.length, 1, 'one of them is still running');
  lone.pass(5000);
  await lone.settle();
  t.match(toolTexts(lone.llm.requests[1]!.messages), [/no tool called nope/, /not a JSON object/, /in time/]);
  lone.client({ type: 'client_tool_result', toolCallId: 'call_3', result: 'late', isError: false });
  await lone.settle();
  t.match(lone.event('agent_response'), { text: 'Sorry.' });
});

test('arguments that do not fit the schema of a client tool never reach the client: the model is told what is wrong', async (t) => {
  const lone = await asked({ tools: [weather] }, [
    { calls: [call('weather', '{"city":7}'), call('weather', '{"town":"Rome"}')] },
    { text: 'Sorry.' },
  ]);
  t.equal(lone.event('client_tool_call'), undefined);
  t.same(toolTexts(lone.llm.requests[1]!.messages), [
    'arguments refused: /city must be string',
    "arguments refused: they must have required property 'city'",
  ]);
  t.match(lone.apiMessages('item').at(-1)?.item.document, {
    tool_results: [{ is_error: true, tool_has_been_called: false }, { is_error: true }],
  });
});

test('results come back in the order of the calls, whichever is first', async (t) => {
  const second = { ...weather, name: 'time' };
  const lone = await asked({ tools: [weather, second] }, [{ calls: [call('weather'), call('time')] }, { text: 'Both.' }]);
  lone.client({ type: 'client_tool_result', toolCallId: 'call_2', result: 'noon', isError: false });
  lone.client({ type: 'client_tool_result', toolCallId: 'call_1', result: 'rain', isError: true });
  await lone.settle();
  t.same(toolTexts(lone.llm.requests[1]!.messages), ['rain', 'noon']);
});

test('a webhook runs on the API thread; its dynamic variables are for later tools', async (t) => {
  const assigning = { ...lookUp, assignments: [{ dynamic_variable: 'order_id', value_path: 'order.id' }] };
  const lone = await asked({ tools: [assigning, order] }, [
    { calls: [call('look_up', '{}')] },
    { calls: [call('order', '{}')] },
    { text: 'Ordered.' },
  ]);
  t.match(lone.event('agent_tool_request'), { toolName: 'look_up', toolType: 'webhook' });
  t.match(lone.apiMessages('run_tool'), [{ run: { toolCallId: 'call_1', name: 'look_up', argumentsJson: '{}' } }]);
  const outcome = { isError: false, isTruncated: false, elapsedMs: 5 };
  lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_1', outcome: { ...outcome, result: '{"order":{"id":17}}' } });
  await lone.settle();
  t.match(lone.apiMessages('run_tool')[1], { run: { name: 'order' }, variables: { order_id: '17' } });
  lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_2', outcome: { ...outcome, result: 'ok', isTruncated: true } });
  await lone.settle();
  t.match(lone.event('agent_response'), { text: 'Ordered.' });
  const full = lone.events.filter(({ type }) => type === 'agent_tool_response_full_payload');
  t.match(full, [{ isTruncated: false }, { isTruncated: true }], 'the client is told that a result was cut');
});

test('an API thread that never answers does not hold up the caller for ever', async (t) => {
  const lone = await asked({ tools: [{ ...lookUp, response_timeout_secs: 2 }] }, [
    { calls: [call('look_up', '{}')] },
    { text: 'No luck.' },
  ]);
  lone.pass(4000);
  await lone.settle();
  t.match(lone.event('agent_response'), { text: 'No luck.' });
  t.match(lone.apiMessages('cancel_tool'), [{ toolCallId: 'call_1' }]);
});

test('an interruption cancels what only reads; what acts is finished, and its result is remembered', async (t) => {
  const lone = await asked({ tools: [lookUp, order] }, [
    { text: 'One moment.', calls: [call('look_up', '{}'), call('order', '{}')] },
    { text: 'Here you are.' },
  ]);
  lone.client({ type: 'user_message', text: 'Wait, another thing' });
  await lone.settle();
  t.match(lone.apiMessages('cancel_tool'), [{ toolCallId: 'call_1' }]);
  t.equal(lone.llm.requests.length, 2, 'the new words are answered at once');
  const outcome = { isError: false, result: 'ordered', isTruncated: false, elapsedMs: 5 };
  lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_2', outcome });
  await lone.settle();
  t.equal(lone.llm.requests.length, 2, 'nothing is said of it unasked');
  lone.client({ type: 'user_message', text: 'And did it work?' });
  await lone.settle();
  t.match(toolTexts(lone.llm.requests[2]!.messages), [/interrupted/, 'ordered']);
});

test('after three rounds the model has to answer in words', async (t) => {
  const endless = Array.from({ length: 3 }, () => ({ calls: [call('look_up', '{}')] }));
  const lone = await asked({ tools: [lookUp] }, [...endless, { text: 'Enough.' }]);
  for (let round = 1; round <= 3; round++) {
    const outcome = { isError: false, result: 'more', isTruncated: false, elapsedMs: 1 };
    lone.fromApi({ type: 'tool_outcome', toolCallId: `call_${round}`, outcome });
    await lone.settle();
  }
  t.same(
    lone.llm.requests.map(({ tools }) => tools.length > 0),
    [true, true, true, false],
  );
  t.match(lone.event('agent_response'), { text: 'Enough.' });
});

test('C41 the call ends when the farewell was heard, and the client learns of it only then', async (t) => {
  const lone = await asked({}, [{ text: 'Goodbye.', calls: [call('end_call', '{"reason":"done"}')], usage: counted }]);
  t.notOk(lone.event('agent_tool_response'));
  lone.pass(400);
  t.match(lone.event('agent_tool_response'), { toolName: 'end_call', toolCallId: 'call_1' });
  t.match(lone.main.at(-1), { type: 'end', code: 1000 });
  t.match(lone.apiMessages('end')[0]?.ending, { status: 'done', document: { termination_reason: /end_call/ } });
});

test('an agent that skips its turn says nothing, and nothing more until the caller does', async (t) => {
  const options = { isVoice: true, agent: { built_in_tools: { skip_turn: {} } }, turn: { turn_timeout: 2 } };
  const lone = await asked(options, [{ calls: [call('skip_turn', '{"reason":"r"}')] }, { text: 'I am here.' }]);
  lone.pass(10_000);
  t.equal(lone.event('agent_response'), undefined);
  lone.client({ type: 'user_message', text: 'Are you there?' });
  await lone.settle();
  t.match(lone.event('agent_response'), { text: 'I am here.' });
  lone.isHeard(2);
  lone.fromTts({ type: 'drained', speech: 2, heardChars: undefined });
  lone.pass(3000);
  t.match(lone.event('agent_response'), { text: /still there/i }, 'from then on it asks again');
});

test('who reads and types is not asked whether they are there, and typing does not keep the agent waiting', async (t) => {
  const lone = await asked({}, [{ text: 'A long text to read.' }]);
  lone.pass(60_000);
  t.match(lone.event('agent_response'), { text: 'A long text to read.' });
  const voice = new LoneSession(agentOf({ isVoice: true }), [{ text: 'Yes.' }]);
  voice.start();
  voice.client({ type: 'user_activity' });
  voice.client({ type: 'user_message', text: 'Hello' });
  await voice.settle();
  t.notOk(voice.tts.some(({ type }) => type === 'hold_back'));
});

test('a handover: the words of the old agent, then the prompt and first message of the new one', async (t) => {
  const other = parseAgent(
    { agent_id: 'b', conversation_config: { agent: { first_message: 'Billing here.', prompt: { prompt: 'You are billing.' } } } },
    'test',
  );
  const transfers = [{ agent_id: 'b', condition: 'bills', enable_transferred_agent_first_message: true }];
  const config = agentOf({ agent: { built_in_tools: { transfer_to_agent: { params: { transfers } } } } });
  const lone = new LoneSession(
    config,
    [{ text: 'I connect you.', calls: [call('transfer_to_agent', '{"agent_number":0}')] }, { text: 'Ten.' }],
    [other],
  );
  lone.start();
  lone.client({ type: 'user_message', text: 'My bill?' });
  await lone.settle();
  const responses = lone.events.flatMap((event) => (event.type === 'agent_response' ? [event.text] : []));
  t.same(responses, ['I connect you.', 'Billing here.']);
  lone.client({ type: 'user_message', text: 'How much?' });
  await lone.settle();
  t.match(lone.llm.requests[1]?.messages[0], { content: 'You are billing.' });
});

test('another language: voice and recognition follow, and the model is told', async (t) => {
  const config = agentOf({ isVoice: true, agent: { built_in_tools: { language_detection: {} } } });
  const { conversation_config: own } = config as { conversation_config: object };
  const presets = { de: { overrides: { tts: { voice_id: 'anna' } } } };
  const lone = new LoneSession({ conversation_config: { ...own, language_presets: presets } }, [
    { calls: [call('language_detection', '{"language":"de"}')] },
    { text: 'Gern.' },
  ]);
  lone.start();
  lone.client({ type: 'user_message', text: 'Auf Deutsch bitte' });
  await lone.settle();
  t.match(lone.stt.at(-1), { type: 'configure', language: 'de' });
  t.match(lone.tts.filter(({ type }) => type === 'configure').at(-1), { voiceId: 'anna', language: 'de' });
  t.match(toolTexts(lone.llm.requests[1]!.messages), [/language is de/]);
});

test('a reply made early runs its tools only when the turn is over, and never when the caller goes on', async (t) => {
  const script = [{ text: 'Looking.', calls: [call('look_up', '{}')] }];
  const patient = new LoneSession(agentOf({ isVoice: true, tools: [lookUp] }), script);
  patient.start();
  patient.pass(100);
  patient.says('what is the weather in Rome', 1);
  await patient.settle();
  t.equal(patient.llm.requests.length, 1, 'asked before the turn is over');
  t.same(patient.apiMessages('run_tool'), []);
  patient.pass(1500);
  await patient.settle();
  t.equal(patient.apiMessages('run_tool').length, 1);

  const hasty = new LoneSession(agentOf({ isVoice: true, tools: [lookUp] }), [...script, { text: 'Then Paris.' }]);
  hasty.start();
  hasty.pass(100);
  hasty.says('what is the weather in Rome', 1);
  await hasty.settle();
  hasty.says('what is the weather in Rome no in Paris', 1);
  await hasty.settle();
  hasty.pass(3000);
  await hasty.settle();
  t.equal(hasty.llm.requests.length, 2);
  t.same(hasty.apiMessages('run_tool'), [], 'what was made for the first words did nothing');
  t.ok(hasty.tts.some(({ type }) => type === 'discard'));
});

test('C42 MCP: a tool that needs approval waits for it; refusal and silence are failed results', async (t) => {
  const tool = {
    name: 'search',
    description: 's',
    parameters: {},
    serverId: 'mcp_1',
    timeoutMs: 20_000,
    needsApproval: true,
    manner: plainManner,
  };
  const ask = async (answer: (lone: LoneSession) => void): Promise<LoneSession> => {
    const lone = new LoneSession(agentOf({}), [{ calls: [call('search', '{}')] }, { text: 'So.' }]);
    lone.start();
    const servers = [{ serverId: 'mcp_1', isConnected: true, toolCount: 1 }];
    lone.fromApi({ type: 'mcp_tools', tools: [tool], servers });
    lone.client({ type: 'user_message', text: 'Search' });
    await lone.settle();
    t.match(lone.event('mcp_tool_call'), { state: { name: 'awaiting_approval', approvalTimeoutSecs: 300 } });
    t.same(lone.apiMessages('run_tool'), []);
    answer(lone);
    await lone.settle();
    return lone;
  };
  const outcome = { isError: false, result: 'found', isTruncated: false, elapsedMs: 5 };
  const approved = await ask((lone) => {
    lone.client({ type: 'mcp_tool_approval_result', toolCallId: 'call_1', isApproved: true });
    lone.client({ type: 'mcp_tool_approval_result', toolCallId: 'call_1', isApproved: false });
    lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_1', outcome });
  });
  const states = approved.events.flatMap((event) => (event.type === 'mcp_tool_call' ? [event.state.name] : []));
  t.same(states, ['awaiting_approval', 'loading', 'success']);
  t.same(toolTexts(approved.llm.requests[1]!.messages), ['found']);
  const denied = await ask((lone) => lone.client({ type: 'mcp_tool_approval_result', toolCallId: 'call_1', isApproved: false }));
  t.match(toolTexts(denied.llm.requests[1]!.messages), [/did not approve/]);
  t.match(denied.event('agent_tool_response'), { isError: true, isCalled: false });
  const silent = await ask((lone) => lone.pass(300_000));
  t.match(toolTexts(silent.llm.requests[1]!.messages), [/in time/]);
});

test('an MCP tool is waited for as long as its server’s configuration says', async (t) => {
  const tool = {
    name: 'search',
    description: 's',
    parameters: {},
    serverId: 'mcp_1',
    timeoutMs: 60_000,
    needsApproval: false,
    manner: plainManner,
  };
  const lone = new LoneSession(agentOf({}), [{ calls: [call('search', '{}')] }, { text: 'So.' }, { text: 'Again.' }]);
  lone.start();
  lone.fromApi({ type: 'mcp_tools', tools: [tool], servers: [{ serverId: 'mcp_1', isConnected: true, toolCount: 1 }] });
  lone.client({ type: 'user_message', text: 'Search' });
  await lone.settle();
  lone.pass(59_000);
  t.same(lone.apiMessages('cancel_tool'), [], 'longer than half a minute');
  const outcome = { isError: false, result: 'found', isTruncated: false, elapsedMs: 59_000 };
  lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_1', outcome });
  await lone.settle();
  t.same(toolTexts(lone.llm.requests[1]!.messages), ['found']);
  const late = new LoneSession(agentOf({}), [{ calls: [call('search', '{}')] }, { text: 'So.' }]);
  late.start();
  late.fromApi({ type: 'mcp_tools', tools: [tool], servers: [] });
  late.client({ type: 'user_message', text: 'Search' });
  await late.settle();
  late.pass(62_000);
  await late.settle();
  t.match(toolTexts(late.llm.requests[1]!.messages), [/in time/]);
});

test('C26 feedback is kept with the reply it is of, and can be taken back', async (t) => {
  const lone = await asked({}, [{ text: 'Rome is old.' }]);
  const { eventId = 0 } = lone.event('agent_response') ?? {};
  lone.client({ type: 'feedback', eventId, score: 'like' });
  t.match(lone.apiMessages('item').at(-1)?.item.document, {
    role: 'agent',
    message: 'Rome is old.',
    feedback: { score: 'like' },
  });
  lone.client({ type: 'feedback', eventId, score: null });
  t.match(lone.apiMessages('item').at(-1)?.item.document, { feedback: null });
  lone.client({ type: 'feedback', eventId: 999, score: 'like' });
  t.match(lone.event('error'), { errorType: 'value_error' });
});

test('a slow model: something is said meanwhile, as often as the agent allows', async (t) => {
  const turn = { soft_timeout_config: { timeout_seconds: 2, message: 'One moment.', max_soft_timeouts_per_generation: 1 } };
  const lone = await asked({ tools: [lookUp], turn, isVoice: true }, [{ calls: [call('look_up', '{}')] }, { text: 'Found it.' }]);
  lone.pass(1900);
  t.notOk(lone.tts.some((message) => message.type === 'text'));
  lone.pass(5000);
  const said = (): string => lone.tts.flatMap((message) => (message.type === 'text' ? [message.delta] : [])).join('');
  t.equal(said(), 'One moment. ');
  lone.fromApi({
    type: 'tool_outcome',
    toolCallId: 'call_1',
    outcome: { isError: false, result: 'x', isTruncated: false, elapsedMs: 1 },
  });
  await lone.settle();
  t.equal(said(), 'One moment. Found it.');
});

test('fillers in another order: each of them once', async (t) => {
  const texts = ['One.', 'Two.', 'Three.', 'Four.'];
  const config = {
    timeout_seconds: 1,
    message: texts[0],
    additional_soft_timeout_messages: texts.slice(1),
    max_soft_timeouts_per_generation: 4,
    randomize_fillers: true,
  };
  const said = async (): Promise<string> => {
    const options = { tools: [lookUp], turn: { soft_timeout_config: config }, isVoice: true };
    const lone = await asked(options, [{ calls: [call('look_up', '{}')] }]);
    lone.pass(5000);
    return lone.spoken(1).trim();
  };
  const orders = new Set<string>();
  for (let call = 0; call < 20; call++) orders.add(await said());
  for (const order of orders) t.same(order.split(' ').sort(), [...texts].sort());
  t.ok(orders.size > 1, `${orders.size} orders in 20 replies`);
});

test('the end of the time: the last words are said before the call ends', async (t) => {
  const config = agentOf({});
  const { conversation_config: own } = config as { conversation_config: { agent: object; conversation: object } };
  const agent = { ...own.agent, max_conversation_duration_message: 'Time is up.' };
  const conversation = { ...own.conversation, max_duration_seconds: 3 };
  const lone = new LoneSession({ conversation_config: { ...own, agent, conversation } }, []);
  lone.start();
  lone.pass(4000);
  t.match(lone.event('agent_response'), { text: 'Time is up.' });
  t.match(lone.event('error'), { errorType: 'max_duration_exceeded', code: 1000 });
  t.match(lone.main.at(-1), { type: 'end', code: 1000 });
});

test('ids of calls are the conversation’s own: the same id twice, and again in a later reply', async (t) => {
  const twice = {
    calls: [
      { ...call('order', '{}'), id: '0' },
      { ...call('order', '{"a":1}'), id: '0' },
    ],
  };
  const lone = await asked({ tools: [order] }, [twice, { text: 'Both done.' }]);
  const ids = lone.apiMessages('run_tool').map(({ run }) => run.toolCallId);
  t.equal(new Set(ids).size, 2);
  const outcome = { isError: false, isTruncated: false, elapsedMs: 1 };
  for (const [index, toolCallId] of ids.entries()) {
    lone.fromApi({ type: 'tool_outcome', toolCallId, outcome: { ...outcome, result: `result ${index}` } });
  }
  await lone.settle();
  t.same(toolTexts(lone.llm.requests[1]!.messages), ['result 0', 'result 1']);
  t.match(lone.event('agent_response'), { text: 'Both done.' });
});

test('an undone CUT while the model is being asked again: it is asked once, and synthesis counts every character', async (t) => {
  let answer = (): void => undefined;
  const after = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const lone = new LoneSession(agentOf({ isVoice: true, tools: [weather] }), [
    { text: 'One moment.', calls: [call('weather')] },
    { text: 'It is sunny.', after },
  ]);
  lone.start();
  lone.client({ type: 'user_message', text: 'Weather?' });
  await lone.settle();
  lone.isHeard(1);
  lone.client({ type: 'client_tool_result', toolCallId: 'call_1', result: 'clear', isError: false });
  await lone.settle();
  t.equal(lone.llm.requests.length, 2);
  lone.speaksOver(1);
  t.match(lone.tts.at(-1), { type: 'cut', speech: 1, isUndoable: true });
  lone.fromTts({ type: 'heard', speech: 1, epoch: 1, heardChars: 3, heardMs: 200, totalChars: 11 });
  lone.fallsSilent('mhm', 2);
  t.match(lone.tts.at(-1), { type: 'undo', newSpeech: 2 });
  answer();
  await lone.settle();
  t.equal(lone.llm.requests.length, 2, 'the answer under way is the one');
  const said = lone.events.flatMap((event) => (event.type === 'agent_response' ? [event.text] : []));
  t.equal(said.at(-1), 'It is sunny.');
  t.equal(lone.spoken(1) + lone.spoken(2), 'One moment. It is sunny.');
});

test('text mode: an answer of nothing but white space is no answer, and hangs up if it is to', async (t) => {
  const lone = await asked({}, [{ text: '\n', calls: [call('end_call', '{"reason":"r"}')] }]);
  lone.pass(500);
  t.match(lone.main.at(-1), { type: 'end', code: 1000 });
});

test('a handover while the caller has begun to speak: the new agent answers, nobody greets', async (t) => {
  const other = parseAgent(
    { agent_id: 'b', conversation_config: { agent: { first_message: 'Billing here.', prompt: { prompt: 'You are billing.' } } } },
    'test',
  );
  const transfers = [{ agent_id: 'b', condition: 'bills', enable_transferred_agent_first_message: true }];
  const options = { isVoice: true, agent: { built_in_tools: { transfer_to_agent: { params: { transfers } } } } };
  const { conversation_config: own } = agentOf(options) as { conversation_config: { conversation: object } };
  // Without interruptions what the caller says meanwhile waits for the end of the reply.
  const conversation = { ...own.conversation, client_events: ['audio', 'agent_response'] };
  const lone = new LoneSession(
    { conversation_config: { ...own, conversation } },
    [{ text: 'I connect you.', calls: [call('transfer_to_agent', '{"agent_number":0}')] }, { text: 'Ten euros.' }],
    [other],
  );
  lone.start();
  lone.client({ type: 'user_message', text: 'My bill?' });
  await lone.settle();
  lone.isHeard(1);
  lone.says('how much is it then', 2);
  lone.pass(1000);
  lone.fromTts({ type: 'drained', speech: 1, heardChars: undefined });
  await lone.settle();
  lone.pass(1500);
  await lone.settle();
  t.match(lone.llm.requests.at(-1)?.messages[0], { content: 'You are billing.' });
  t.equal(lone.llm.requests.length, 2);
  t.notOk(lone.tts.some((message) => message.type === 'text' && message.delta === 'Billing here.'));
});

test('a call that ends while a tool runs: that it was called is on record', async (t) => {
  const lone = await asked({ tools: [order] }, [{ text: 'Ordering.', calls: [call('order', '{}')] }]);
  lone.close();
  lone.pass(200);
  t.match(lone.apiMessages('item').at(-1)?.item.document, {
    role: 'agent',
    tool_results: [{ tool_name: 'order', is_error: true, tool_has_been_called: true }],
  });
  t.equal(lone.api.at(-1)?.type, 'end', 'the end is the last word');
  t.ok(lone.session.isGone);
});

test('a caller who hangs up in mid sentence: what was heard is on record', async (t) => {
  const lone = new LoneSession(agentOf({ isVoice: true }), [{ text: 'The tour starts at nine in the morning.', usage: counted }]);
  lone.start();
  lone.client({ type: 'user_message', text: 'When?' });
  await lone.settle();
  lone.isHeard(1);
  lone.close(1001);
  t.notOk(lone.session.isGone, 'the pacer knows what was heard');
  lone.fromTts({ type: 'heard', speech: 1, epoch: 0, heardChars: 15, heardMs: 900, totalChars: 39 });
  t.ok(lone.session.isGone);
  t.match(lone.apiMessages('item').at(-1)?.item.document, { message: 'The tour starts', interrupted: true });
  t.match(lone.apiMessages('end'), [{ ending: { document: { termination_reason: 'Client disconnected: 1001' } } }]);
});

test('C27 files go with their own message, also when it interrupts, one after another', async (t) => {
  const lone = new LoneSession(agentOf({ isVoice: true }), [{ text: 'A long story.' }, { text: 'A cat.' }, { text: 'A dog.' }]);
  lone.start();
  lone.client({ type: 'user_message', text: 'Tell me a story' });
  await lone.settle();
  lone.isHeard(1);
  lone.client({ type: 'multimodal_message', text: 'What is this?', fileIds: ['cat'] });
  lone.client({ type: 'multimodal_message', text: 'And this?', fileIds: ['dog'] });
  t.same(lone.apiMessages('get_files'), [{ type: 'get_files', fileIds: ['cat'] }]);
  const file = (fileId: string) => ({ fileId, name: `${fileId}.png`, mimeType: 'image/png', base64: 'AA==' });
  lone.fromApi({ type: 'files', files: [file('cat')] });
  lone.fromTts({ type: 'heard', speech: 1, epoch: 1, heardChars: 6, heardMs: 500, totalChars: 13 });
  await lone.settle();
  t.match(lone.llm.requests[1]?.messages.at(-1), { content: 'What is this?', files: [{ name: 'cat.png' }] });
  lone.fromApi({ type: 'files', files: [file('dog')] });
  await lone.settle();
  t.match(lone.llm.requests[2]?.messages.at(-1), { content: 'And this?', files: [{ name: 'dog.png' }] });
  t.match(lone.llm.requests[2]?.messages.at(-2), { content: /Files: cat\.png/ }, 'of older files the model gets the names');
});

test('what the model took is told behind its answer: in text mode the reply and even the call are over by then', async (t) => {
  let count = (): void => undefined;
  const after = new Promise<void>((resolve) => {
    count = resolve;
  });
  const usage = { inputTokens: 20, outputTokens: 4, after };
  const lone = await asked({}, [{ text: 'Rome is old.', usage }]);
  t.equal(lone.event('agent_response_metadata'), undefined);
  t.notOk(lone.apiMessages('item').at(-1)?.item.document['llm_usage']);
  lone.close();
  lone.pass(50);
  t.same(lone.apiMessages('end'), [], 'the count is waited for');
  count();
  await lone.settle();
  t.match(lone.event('agent_response_metadata'), { metadata: { model: 'scripted', input_tokens: 20, output_tokens: 4 } });
  t.match(lone.event('context_usage'), { contextTokens: 20 });
  t.match(lone.apiMessages('item').at(-1)?.item, {
    index: 1,
    document: { role: 'agent', message: 'Rome is old.', interrupted: false, producing_llm: 'scripted' },
  });
  t.match(lone.apiMessages('end'), [{ ending: { document: { usage: { llm_input_tokens: 20, llm_output_tokens: 4 } } } }]);
  t.ok(lone.session.isGone);

  const silent = await asked({}, [{ text: 'Rome is old.' }]);
  silent.close();
  silent.pass(110);
  t.match(silent.apiMessages('end'), [{ ending: { document: { usage: { llm_input_tokens: 0 } } } }], 'a model that never says');
});

test('the tokens of a reply of two rounds are told once, whole, when the last round is counted', async (t) => {
  const lone = await asked({ tools: [{ ...weather, expects_response: false }] }, [
    { calls: [call('weather')], usage: counted },
    { text: 'Done.', usage: { inputTokens: 30, outputTokens: 2 } },
  ]);
  const told = lone.events.filter(({ type }) => type === 'agent_response_metadata');
  t.match(told, [{ metadata: { input_tokens: 40, output_tokens: 3 } }]);
  t.equal(told.length, 1);
});

test('a call that ends while the model still writes begins no tool', async (t) => {
  let answer = (): void => undefined;
  const after = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const lone = new LoneSession(agentOf({ isVoice: true, tools: [order], agent: { first_message: '' } }), [
    { text: 'One moment.', calls: [call('order', '{}')], after },
  ]);
  lone.start();
  lone.client({ type: 'user_message', text: 'Order it' });
  await lone.settle();
  lone.isHeard(1);
  lone.close();
  answer();
  await lone.settle();
  t.same(lone.apiMessages('run_tool'), []);
  lone.pass(200);
  t.ok(lone.session.isGone);
});

test('what a client says while its agent is looked up is not lost', async (t) => {
  const lone = new LoneSession(agentOf({}), [{ text: 'Hello Bo.' }], [], { isKnown: false });
  lone.start({ dynamicVariables: { name: 'Bo' } });
  lone.client({ type: 'user_message', text: 'Hello' });
  await lone.settle();
  t.same(lone.main, [], 'nobody knows the agent yet');
  lone.fromApi({ type: 'agent', agentId: 'a', agent: lone.agent, version: 1 });
  await lone.settle();
  t.match(lone.event('agent_response'), { text: 'Hello Bo.' });
});

test('an interrupted reply does not ask the model again when its tool is cancelled', async (t) => {
  const lone = await asked({ tools: [lookUp] }, [{ text: 'One moment.', calls: [call('look_up', '{}')] }, { text: 'Sure.' }]);
  lone.client({ type: 'user_message', text: 'Never mind' });
  await lone.settle();
  t.equal(lone.llm.requests.length, 2);
  t.match(lone.llm.requests[1]?.messages.at(-1), { content: 'Never mind' });
});

test('a bug behind the model’s stream ends this call alone: nothing is left unhandled', async (t) => {
  const model = new ScriptedLlm([{ calls: [call('weather')] }]);
  let asked = 0;
  const llmFor = (): ScriptedLlm => {
    asked += 1;
    if (asked > 1) throw new Error('no such server');
    return model;
  };
  const lone = new LoneSession(agentOf({ tools: [{ ...weather, expects_response: false }] }), [], [], { llmFor });
  lone.start();
  lone.client({ type: 'user_message', text: 'Hello' });
  await lone.settle();
  t.match(lone.main.at(-1), { type: 'session_failed', message: /no such server/ });
});

const outcomeOf = (result: string) => ({ isError: false, result, isTruncated: false, elapsedMs: 5 });
const descriptionOf = (lone: LoneSession, request: number, tool: string): string | undefined =>
  lone.llm.requests[request]?.tools.find(({ name }) => name === tool)?.description;

test('interruption_mode, disable_interruptions: while the tool runs neither speech nor typing interrupts; what was typed is answered then', async (t) => {
  for (const manner of [{ disable_interruptions: true }, { interruption_mode: 'disable_during_tool' }]) {
    const lone = await asked({ tools: [{ ...order, ...manner }], isVoice: true }, [
      { text: 'I order it now.', calls: [call('order', '{}')] },
      { text: 'Ordered.' },
      { text: 'You are welcome.' },
    ]);
    t.match(lone.tts.at(-1), { type: 'protect', speech: 1, isProtected: true });
    lone.isHeard(1);
    lone.speaksOver(1);
    lone.client({ type: 'user_message', text: 'Thanks' });
    await lone.settle();
    t.notOk(lone.tts.some(({ type }) => type === 'cut'));
    t.ok(lone.tts.some(({ type }) => type === 'resume'));
    t.equal(lone.llm.requests.length, 1);
    lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_1', outcome: outcomeOf('ok') });
    await lone.settle();
    t.match(lone.tts.filter(({ type }) => type === 'protect').at(-1), { isProtected: false });
    t.equal(lone.llm.requests.length, 2);
    lone.fromTts({ type: 'drained', speech: 1, heardChars: undefined });
    await lone.settle();
    t.match(lone.llm.requests[2]?.messages.at(-1), { role: 'user', content: 'Thanks' });
    t.same(toolTexts(lone.llm.requests[2]!.messages), ['ok'], 'the reply that was heard out is remembered whole');
  }
});

test('interruption_mode disable_during_tool_and_turn: the answer behind the tool is protected too; more than so many typed turns do not wait', async (t) => {
  const tool = { ...order, interruption_mode: 'disable_during_tool_and_turn' };
  const lone = await asked({ tools: [tool] }, [{ calls: [call('order', '{}')] }, { text: 'Ordered.' }, { text: 'Hello.' }]);
  for (let index = 0; index < 17; index++) lone.client({ type: 'user_message', text: `Hello ${index}` });
  t.match(lone.event('error'), { errorType: 'value_error', message: /cannot be interrupted/ });
  lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_1', outcome: outcomeOf('ok') });
  await lone.settle();
  t.ok(lone.events.some((event) => event.type === 'agent_response' && event.text === 'Ordered.'));
  t.match(lone.llm.requests.at(-1)?.messages.at(-1), { content: 'Hello 15' });

  const voice = await asked({ tools: [tool], isVoice: true }, [{ calls: [call('order', '{}')] }, { text: 'Ordered.' }]);
  voice.fromApi({ type: 'tool_outcome', toolCallId: 'call_1', outcome: outcomeOf('ok') });
  await voice.settle();
  t.same(
    voice.tts.flatMap((message) => (message.type === 'protect' ? [message.isProtected] : [])),
    [true],
  );
  voice.isHeard(1);
  voice.speaksOver(1);
  t.notOk(voice.tts.some(({ type }) => type === 'cut'));
});

test('pre_tool_speech: the model is asked to say something, or not to; where it must be, something is said in any case', async (t) => {
  const tools = [
    { ...order, pre_tool_speech: 'force' },
    { ...lookUp, pre_tool_speech: 'off' },
    { ...weather, force_pre_tool_speech: true },
  ];
  const lone = await asked({ tools, isVoice: true }, [{ calls: [call('order', '{}')] }]);
  t.match(descriptionOf(lone, 0, 'order'), /^o\nBefore you call this, say/);
  t.match(descriptionOf(lone, 0, 'look_up'), /^l\nCall this without saying anything/);
  t.match(descriptionOf(lone, 0, 'weather'), /^w\nBefore you call this/);
  t.equal(lone.spoken(1), 'One moment.');
  t.match(lone.event('agent_response'), { text: 'One moment.' });
  const spoken = await asked({ tools, isVoice: true }, [{ text: 'I order it.', calls: [call('order', '{}')] }]);
  t.equal(spoken.spoken(1), 'I order it.');
  const quiet = await asked({ tools, isVoice: true }, [{ calls: [call('look_up', '{}')] }]);
  t.equal(quiet.spoken(1), '');
});

test('system tools run at once, and nothing is said to bridge them; a farewell can be protected', async (t) => {
  const endCall = {
    execution_mode: 'post_tool_speech',
    pre_tool_speech: 'force',
    interruption_mode: 'disable_during_tool_and_turn',
  };
  const options = { isVoice: true, agent: { built_in_tools: { end_call: endCall } } };
  const lone = await asked(options, [{ text: 'Goodbye.', calls: [call('end_call', '{"reason":"r"}')] }]);
  t.equal(lone.spoken(1), 'Goodbye.');
  t.match(lone.tts.at(-1), { type: 'text_end' }, 'the reply is complete');
  lone.isHeard(1);
  lone.speaksOver(1);
  t.notOk(lone.tts.some(({ type }) => type === 'cut'));
  const silent = await asked(options, [{ calls: [call('end_call', '{"reason":"r"}')] }]);
  t.equal(silent.spoken(1), '');
});

test('pre_tool_speech auto: once a tool was slow, the model is asked to say something before it', async (t) => {
  const lone = await asked({ tools: [lookUp, order] }, [{ calls: [call('look_up', '{}')] }, { text: 'So.' }, { text: 'Yes.' }]);
  t.equal(descriptionOf(lone, 0, 'look_up'), 'l');
  lone.pass(2000);
  lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_1', outcome: outcomeOf('x') });
  await lone.settle();
  lone.client({ type: 'user_message', text: 'And?' });
  await lone.settle();
  t.match(descriptionOf(lone, 2, 'look_up'), /Before you call this/);
  t.equal(descriptionOf(lone, 2, 'order'), 'o');
});

test('execution_mode post_tool_speech: the tool runs when the words before it were heard, and not when they were cut', async (t) => {
  const tool = { ...order, execution_mode: 'post_tool_speech' };
  const script = [{ text: 'I will now order it.', calls: [call('order', '{}')] }, { text: 'Done.' }];
  const lone = await asked({ tools: [tool], isVoice: true }, script);
  lone.isHeard(1);
  lone.pass(3000);
  t.same(lone.apiMessages('run_tool'), []);
  lone.fromTts({ type: 'caught_up', speech: 1 });
  t.equal(lone.apiMessages('run_tool').length, 1);
  lone.fromTts({ type: 'caught_up', speech: 1 });
  t.equal(lone.apiMessages('run_tool').length, 1, 'once');

  const cut = await asked({ tools: [tool], isVoice: true }, script);
  cut.isHeard(1);
  cut.client({ type: 'user_message', text: 'No, stop' });
  cut.fromTts({ type: 'heard', speech: 1, epoch: 1, heardChars: 6, heardMs: 500, totalChars: 20 });
  cut.fromTts({ type: 'caught_up', speech: 1 });
  cut.pass(70_000);
  t.same(cut.apiMessages('run_tool'), []);

  const unheard = await asked({ tools: [tool], isVoice: true }, script);
  unheard.isHeard(1);
  unheard.pass(60_000);
  t.equal(unheard.apiMessages('run_tool').length, 1, 'nobody says that it was heard: it runs all the same, in the end');

  const text = await asked({ tools: [tool] }, script);
  t.equal(text.apiMessages('run_tool').length, 1, 'who reads is not waited for');
  const silent = await asked({ tools: [tool], isVoice: true }, [{ calls: [call('order', '{}')] }]);
  t.equal(silent.apiMessages('run_tool').length, 1, 'there is nothing to be heard');
});

test('execution_mode async: the reply goes on, an interruption does not matter, and later answers know the result', async (t) => {
  const lone = await asked({ tools: [{ ...lookUp, execution_mode: 'async' }] }, [
    { calls: [call('look_up', '{}')] },
    { text: 'I am looking.' },
    { text: 'Not yet.' },
    { text: 'It is Rome.' },
  ]);
  t.match(lone.event('agent_response'), { text: 'I am looking.' });
  t.match(toolTexts(lone.llm.requests[1]!.messages), [/background/]);
  t.equal(lone.event('agent_tool_response'), undefined, 'it still runs');
  lone.client({ type: 'user_message', text: 'And?' });
  await lone.settle();
  t.same(lone.apiMessages('cancel_tool'), []);
  lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_1', outcome: outcomeOf('Rome') });
  await lone.settle();
  t.match(lone.event('agent_tool_response'), { toolCallId: 'call_1', isError: false });
  t.equal(lone.llm.requests.length, 3, 'nothing is said unasked');
  t.match(lone.apiMessages('item').at(-1)?.item, {
    document: { message: 'I am looking.', interrupted: false, tool_results: [{ result_value: 'Rome' }] },
  });
  lone.client({ type: 'user_message', text: 'Now?' });
  await lone.settle();
  t.same(toolTexts(lone.llm.requests[3]!.messages), ['Rome']);
});

test('execution_mode async: two at once and one that is waited for; the end of the call ends what still runs', async (t) => {
  const slow = { ...weather, execution_mode: 'async' };
  const lone = await asked({ tools: [slow, lookUp] }, [
    { calls: [call('weather'), call('look_up', '{}'), call('weather', '{"city":"Oslo"}')] },
    { text: 'So.' },
  ]);
  t.equal(lone.llm.requests.length, 1);
  lone.client({ type: 'client_tool_result', toolCallId: 'call_1', result: 'sun', isError: false });
  lone.fromApi({ type: 'tool_outcome', toolCallId: 'call_2', outcome: outcomeOf('x') });
  await lone.settle();
  t.match(toolTexts(lone.llm.requests[1]!.messages), ['sun', 'x', /background/], 'what is there already counts');
  lone.close();
  lone.pass(200);
  t.match(lone.apiMessages('item').at(-1)?.item.document, {
    tool_results: [{ result_value: 'sun' }, { result_value: 'x' }, { result_value: /ended before/, is_error: true }],
  });
  t.equal(lone.api.at(-1)?.type, 'end');
});
