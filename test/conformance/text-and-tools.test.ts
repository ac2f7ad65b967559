/** C37–C40 and C42: text mode, and tools as a client on the wire sees them. What the official clients make of tools is in their own files. */
import { t as file, test } from 'tap';
import { LocalMcp, mcpTool, offering, text } from '../support/mcp-server.js';
import { agentOf, type ChatBody, type Json, Stage, textOf } from './stage.js';
import { WireClient, type WireMessage } from './wire-client.js';

const clientTool = (name: string, more: object = {}): object => ({
  type: 'client',
  name,
  description: `Does ${name}.`,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  expects_response: true,
  ...more,
});
const stage = await Stage.start({
  agents: [
    agentOf('text', { agent: { first_message: 'Welcome to the harbour.' }, conversation: { text_only: true } }),
    agentOf('plain-text', { conversation: { text_only: true, client_events: ['audio', 'agent_response', 'vad_score'] } }),
    agentOf('tools', {
      prompt: {
        tools: [
          clientTool('weather'),
          clientTool('impatient', { response_timeout_secs: 1 }),
          clientTool('notify', { expects_response: false }),
        ],
      },
      conversation: { text_only: true },
    }),
    agentOf('spoken-tools', { prompt: { tools: [clientTool('notify', { expects_response: false })] } }),
  ],
});
file.jobs = 4;
file.teardown(() => stage.stop());
const open = (agentId: string): Promise<WireClient> => WireClient.open({ url: stage.origin, agentId });

test('C37 start, deltas, stop and exactly one agent_response with the same id; the deltas are its text', {
  buffered: true,
}, async (t) => {
  const client = await open('text');
  await client.event('agent_response');
  for (const question of ['What is in the harbour?', 'Tell me a long story.']) await client.ask(question);
  for (const { eventId, details } of client.of('agent_response')) {
    const parts = client.of('agent_chat_response_part').filter((part) => part.eventId === eventId);
    const kinds = parts.map((part) => part.details['type']);
    t.match(kinds.join(' '), /^start( delta)+ stop$/);
    t.equal(parts.map((part) => part.details['text']).join(''), details['agent_response']);
    const own = client.messages.filter((message) => message.eventId === eventId).map(({ type }) => type);
    t.equal(own.filter((type) => type === 'agent_response').length, 1);
    t.ok(own.indexOf('agent_chat_response_part') < own.indexOf('agent_response'), 'not before start');
  }
  t.equal(new Set(client.of('agent_response').map(({ eventId }) => eventId)).size, 3);
  await client.hangUp();
});

test('C38 text mode never sends audio, scores or transcripts, also when they are listed', { buffered: true }, async (t) => {
  const client = await open('plain-text');
  client.send({ user_audio_chunk: Buffer.alloc(3200).toString('base64') });
  await client.ask('What is in the harbour?');
  client.say('Tell me a long story.');
  await client.ask('No, a short one.');
  await client.event('ping', 1);
  for (const type of ['audio', 'vad_score', 'user_transcript', 'tentative_user_transcript'])
    t.notOk(client.types.includes(type), type);
  t.ok(client.types.includes('agent_chat_response_part'), 'parts come although they are not listed');
  await client.hangUp();
});

/** What the model was told of the tools of the turn that began with `question`. */
async function toolTexts(question: string): Promise<string[]> {
  const bodies: readonly ChatBody[] = await stage.asked(question);
  const messages = bodies.at(-1)?.messages ?? [];
  const turn = messages.slice(messages.findLastIndex(({ role }) => role === 'user'));
  return turn.filter(({ role }) => role === 'tool').map(({ content }) => textOf(content));
}

test('C39 a client tool on the wire: text, object, number, null and error results, an unknown tool, no answer in time, any order', {
  buffered: true,
}, async (t) => {
  const client = await open('tools');
  const rounds: readonly (readonly [string, unknown, boolean, string])[] = [
    ['a text', 'It is sunny.', false, 'It is sunny.'],
    ['an object', { sky: 'clear', degrees: 21 }, false, '{"sky":"clear","degrees":21}'],
    ['a number', 21.5, false, '21.5'],
    ['nothing', null, false, 'null'],
    ['an error', 'The station is closed.', true, 'The station is closed.'],
  ];
  let count = 0;
  for (const [name, result, isError, expected] of rounds) {
    const question = `How is the weather (${name})?`;
    await stage.answers({
      match: question,
      text: 'Let me see.',
      toolCall: { name: 'weather', arguments: { city: 'Rome' } },
      afterTool: 'So it is.',
    });
    client.say(question);
    const call = await client.event('client_tool_call', count);
    t.match(call.details, { tool_name: 'weather', parameters: { city: 'Rome' }, expects_response: true });
    client.send({ type: 'client_tool_result', tool_call_id: String(call.details['tool_call_id']), result, is_error: isError });
    const response = await client.event('agent_tool_response', count);
    t.match(response.details, {
      tool_type: 'client',
      is_error: isError,
      is_called: true,
      tool_call_id: call.details['tool_call_id'],
    });
    const answer = await client.until(() =>
      client
        .of('agent_response')
        .find(({ details }) => details['agent_response'] === 'So it is.' && details['event_id'] === call.eventId),
    );
    t.equal(answer.eventId, call.eventId, 'one id for all of it');
    t.same(await toolTexts(question), [expected], name);
    count += 1;
  }
  const several = 'Ask several at once';
  await stage.answers({
    match: several,
    toolCalls: [
      { name: 'weather', arguments: { city: 'Rome' } },
      { name: 'weather', arguments: { city: 'Oslo' } },
      { name: 'no_such_tool', arguments: {} },
      { name: 'impatient', arguments: { city: 'Bonn' } },
    ],
  });
  client.say(several);
  const calls: WireMessage[] = [];
  for (let index = 0; index < 3; index++) calls.push(await client.event('client_tool_call', count + index));
  const answer = (call: WireMessage, result: string): void =>
    client.send({ type: 'client_tool_result', tool_call_id: String(call.details['tool_call_id']), result, is_error: false });
  answer(calls[1]!, 'snow');
  answer(calls[0]!, 'rain');
  const before = client.of('agent_response').length;
  await client.event('agent_response', before);
  answer(calls[2]!, 'too late');
  t.match(await toolTexts(several), ['rain', 'snow', /no tool called no_such_tool/, /in time/]);
  t.match((await client.ask('Are you there?')).details['agent_response'], /\w/, 'a late answer does no harm');
  await client.hangUp();
});

test('C40 expects_response false: the reply does not wait for the client', { buffered: true }, async (t) => {
  await stage.answers({
    match: 'notify them',
    text: 'Notifying.',
    toolCall: { name: 'notify', arguments: { city: 'Rome' } },
    afterTool: 'They know.',
  });
  for (const agentId of ['tools', 'spoken-tools']) {
    const client = await open(agentId);
    const startedAtMs = performance.now();
    client.say('Please notify them.');
    const call = await client.event('client_tool_call');
    t.equal(call.details['expects_response'], false);
    const answer = await client.event('agent_response', 1);
    t.equal(answer.details['agent_response'], 'They know.');
    t.ok(
      answer.atMs - startedAtMs < 1000,
      `${agentId}: ${Math.round(answer.atMs - startedAtMs)} ms, and the client never answered`,
    );
    client.send({
      type: 'client_tool_result',
      tool_call_id: String(call.details['tool_call_id']),
      result: 'late',
      is_error: true,
    });
    t.match((await client.ask('Are you there?')).details['agent_response'], /\w/);
    await client.hangUp();
  }
});

test('C42 MCP approval: approved, denied, asked twice, answered twice', { buffered: true }, async (t) => {
  const server = await LocalMcp.open(offering({ tools: [mcpTool('search')], call: () => text('found it') }));
  t.teardown(() => server.die());
  const config = { name: 'local', url: server.url, transport: 'STREAMABLE_HTTP', approval_policy: 'require_approval_all' };
  const { id: serverId } = await stage.rest('POST', '/v1/convai/mcp-servers', { config });
  const created = await stage.rest('POST', '/v1/convai/agents/create', {
    name: 'mcp',
    conversation_config: {
      agent: { prompt: { prompt: 'You search.', mcp_server_ids: [serverId] } },
      conversation: {
        text_only: true,
        client_events: ['agent_response', 'mcp_tool_call', 'mcp_connection_status', 'agent_tool_response'],
      },
    },
  });
  const client = await open(String(created['agent_id']));
  const status = await client.event('mcp_connection_status');
  t.match(status.details, {
    integrations: [{ integration_id: serverId, integration_type: 'mcp_server', is_connected: true, tool_count: 1 }],
  });
  const states = (toolCallId: unknown): unknown[] =>
    client.of('mcp_tool_call').flatMap(({ details }) => (details['tool_call_id'] === toolCallId ? [details['state']] : []));
  const name = String((await toolNames(client))[0]);
  const search = async (question: string, respond: (toolCallId: string) => void): Promise<string> => {
    await stage.answers({ match: question, toolCall: { name, arguments: { a: 'boats' } } });
    const before = client.of('agent_response').length;
    const known = new Set(client.of('mcp_tool_call').map(({ details }) => details['tool_call_id']));
    client.say(question);
    const asked = await client.until(() => client.of('mcp_tool_call').find(({ details }) => !known.has(details['tool_call_id'])));
    t.match(asked.details, {
      state: 'awaiting_approval',
      approval_timeout_secs: 300,
      service_id: serverId,
      parameters: { a: 'boats' },
    });
    const toolCallId = String(asked.details['tool_call_id']);
    respond(toolCallId);
    await client.event('agent_response', before);
    return toolCallId;
  };
  const result = (toolCallId: string, isApproved: boolean): void =>
    client.send({ type: 'mcp_tool_approval_result', tool_call_id: toolCallId, is_approved: isApproved });
  const approved = await search('Search, and I approve', (id) => result(id, true));
  t.same(states(approved), ['awaiting_approval', 'loading', 'success']);
  t.same(await toolTexts('Search, and I approve'), ['found it']);
  const denied = await search('Search, and I deny', (id) => result(id, false));
  t.same(states(denied), ['awaiting_approval', 'failure']);
  t.match(await toolTexts('Search, and I deny'), [/did not approve/]);
  const twice = await search('Search, and I answer twice', (id) => {
    result(id, true);
    result(id, false);
    result('call_of_nobody', true);
  });
  t.same(states(twice), ['awaiting_approval', 'loading', 'success']);
  t.same(await toolTexts('Search, and I answer twice'), ['found it']);
  await client.hangUp();

  /** As the model is told of them. */
  async function toolNames(from: WireClient): Promise<unknown[]> {
    await from.ask('Which tools are there?');
    const [body] = await stage.asked('Which tools are there?');
    const tools = (body?.['tools'] ?? []) as { function: Json }[];
    return tools.map((tool) => tool.function['name']).filter((known) => String(known).includes('search'));
  }
});
