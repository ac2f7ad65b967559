/** C21–C29: the messages of a conversation that has begun. */
import { t as file, test } from 'tap';
import { sendSpeech, speakInTime, speechOf } from './speech.js';
import { agentOf, allEvents, isFull, type Json, Stage, textOf } from './stage.js';
import { WireClient, type WireMessage } from './wire-client.js';

const lookUp = {
  type: 'client',
  name: 'look_up',
  description: 'Looks something up.',
  parameters: { type: 'object', properties: { what: { type: 'string' } }, required: ['what'] },
  expects_response: true,
};
const stage = await Stage.start({
  agents: [
    agentOf('quiet', { conversation: { file_input: { enabled: true } } }),
    agentOf('idle', { turn: { turn_timeout: 1 } }),
    agentOf('tools', { agent: { first_message: 'Hello.' }, prompt: { tools: [lookUp] } }),
    agentOf('plain', { conversation: { client_events: ['audio', 'interruption', 'agent_response'] } }),
    agentOf('mute', { prompt: { tools: [lookUp] }, conversation: { client_events: [] } }),
  ],
});
file.jobs = 6;
file.teardown(() => stage.stop());
const open = (agentId = 'quiet', initiation: Json = {}): Promise<WireClient> =>
  WireClient.open({ url: stage.origin, agentId, initiation });
const textOnly = { conversation_config_override: { conversation: { text_only: true } } };

test('C21 every frame is text, an object with a string type; every event_id is an integer', { buffered: true }, async (t) => {
  await stage.answers({ match: 'look it up', text: 'One moment.', toolCall: { name: 'look_up', arguments: { what: 'boats' } } });
  const speech = await speechOf(stage, 'Please look it up.');
  const client = await open('tools');
  await client.event('agent_response');
  sendSpeech(client, speech, 1024);
  const call = await client.event('client_tool_call');
  client.send({
    type: 'client_tool_result',
    tool_call_id: String(call.details['tool_call_id']),
    result: 'seven',
    is_error: false,
  });
  await client.event('agent_response', 2);
  client.say('Tell me a long story.');
  const story = await client.event('agent_response', 3);
  await client.until(() => client.of('audio').find(({ eventId }) => eventId === story.eventId));
  client.say('Stop that.');
  await client.event('agent_response_correction');
  client.send({ type: 'feedback', event_id: 999, score: 'like' });
  await client.event('error');
  const wrong = client.messages.filter(
    ({ isBinary, text }) => isBinary || typeof (JSON.parse(text) as Json)['type'] !== 'string',
  );
  t.same(wrong, []);
  const ids = client.messages.filter(({ details }) => 'event_id' in details);
  t.same(
    ids.filter(({ details }) => !Number.isInteger(details['event_id'])),
    [],
  );
  const types = new Set(client.types);
  t.ok(
    types.size >= 15,
    `${ids.length} ids in ${client.messages.length} messages of ${types.size} types: ${[...types].join(', ')}`,
  );
  await client.hangUp();
});

test('C22 the first ping has id 1 and ping_ms null; they come at least every 10 s; a pong updates ping_ms', {
  buffered: true,
}, async (t) => {
  const client = await open();
  const second = await client.event('ping', 1);
  const first = client.of('ping')[0]!;
  t.match(first.details, { event_id: 1, ping_ms: null });
  t.ok(second.atMs - first.atMs <= 10_000, `${Math.round(second.atMs - first.atMs)} ms apart`);
  t.equal(second.details['event_id'], 2);
  const pingMs = Number(second.details['ping_ms']);
  t.ok(Number.isInteger(pingMs) && pingMs >= 0 && pingMs < 1000, `${pingMs} ms`);
  await client.hangUp();
});

test('C23 user_message interrupts and is answered, and is not echoed as a transcript', { buffered: true }, async (t) => {
  const client = await open();
  client.say('Tell me a long story about boats.');
  const first = await client.event('audio');
  client.say('Something else.');
  const interruption = await client.event('interruption');
  const next = await client.until(() => client.of('audio').find(({ eventId }) => eventId! > interruption.eventId! + 1));
  t.ok(first.eventId! < interruption.eventId! && interruption.eventId! < next.eventId!);
  t.match((await client.event('agent_response', 1)).eventId, next.eventId);
  client.send({ type: 'user_message', text: null });
  client.send({ type: 'user_message' });
  await client.event('ping', 1);
  t.equal(client.of('agent_response').length, 2, 'a message without text is no turn');
  t.notOk(client.types.includes('user_transcript'));
  await client.hangUp();
});

test('C24 contextual_update is not answered, the newest of one context_id wins, and the next generation sees it', {
  buffered: true,
}, async (t) => {
  const client = await open('quiet', textOnly);
  await client.conversationId();
  client.send({ type: 'contextual_update', text: 'The cart is empty.', context_id: 'cart' });
  client.send({ type: 'contextual_update', text: 'The user is on page nine.' });
  client.send({ type: 'contextual_update', text: 'The cart holds a lamp.', context_id: 'cart' });
  await client.event('ping', 1);
  t.equal(client.of('agent_response').length, 0);
  t.same(await stage.asked('cart'), []);
  await client.ask('What is in my cart?');
  const bodies = await stage.asked('What is in my cart?');
  t.equal(bodies.length, 1);
  const said = bodies[0]!.messages.map(({ content }) => textOf(content)).join('\n');
  t.match(said, /cart holds a lamp/);
  t.match(said, /page nine/);
  t.notMatch(said, /cart is empty/);
  await client.hangUp();
});

test('C25 user_activity puts off the turn timeout and the next start of the agent; 50 a second do no harm', {
  buffered: true,
}, async (t) => {
  const speech = await speechOf(stage, 'Where are the boats?');
  const client = await open('idle');
  const metadata = await client.event('conversation_initiation_metadata');
  const typing = setInterval(() => client.send({ type: 'user_activity' }), 20);
  await client.event('ping', 1);
  t.equal(client.of('agent_response').length, 0, 'no word while the caller types');
  clearInterval(typing);
  const stoppedAtMs = performance.now();
  const prompt = await client.event('agent_response');
  t.ok(prompt.atMs - metadata.atMs > 3000 && prompt.atMs - stoppedAtMs > 900, 'the timeout counts from the last of it');
  await client.completed(prompt.eventId);
  const audioBefore = client.of('audio').length;
  await speakInTime(client, speech, 20);
  client.send({ type: 'user_activity' });
  const keyAtMs = performance.now();
  const heldMs = (await client.event('audio', audioBefore)).atMs - keyAtMs;
  t.ok(heldMs > 1700 && heldMs < 4000, `the answer to speech began ${Math.round(heldMs)} ms after the key`);
  client.send({ type: 'user_activity' });
  client.say('Something else, please.');
  const typedAtMs = performance.now();
  const { eventId: cutId } = await client.event('interruption');
  const next = await client.until(() => client.of('audio').find(({ eventId }) => eventId! > cutId! + 1));
  t.ok(next.atMs - typedAtMs < 1000, 'what was being typed is answered at once');
  t.notOk(client.types.includes('error'));
  await client.hangUp();
});

test('C26 feedback is stored with the right reply: like, dislike, and taken back', { buffered: true }, async (t) => {
  const client = await open('quiet', textOnly);
  const conversationId = await client.conversationId();
  const replies: WireMessage[] = [];
  for (const text of ['One, please.', 'Two, please.', 'Three, please.']) replies.push(await client.ask(text));
  const rate = (index: number, score: 'like' | 'dislike' | null): void =>
    client.send({ type: 'feedback', event_id: replies[index]!.eventId!, score });
  rate(0, 'like');
  rate(1, 'dislike');
  rate(2, 'like');
  rate(2, null);
  const scores = await stage.stored(conversationId, (document) => {
    const items = (document['transcript'] as Json[]).filter(({ role }) => role === 'agent');
    const found = items.map((item) => [
      item['source_event_id'],
      (item['feedback'] as Json | null | undefined)?.['score'] ?? null,
    ]);
    return found.length === 3 && found[1]?.[1] !== null ? found : undefined;
  });
  t.same(scores, [
    [replies[0]!.eventId, 'like'],
    [replies[1]!.eventId, 'dislike'],
    [replies[2]!.eventId, null],
  ]);
  await client.hangUp();
});

test('C27 multimodal_message with file only, with files only, and with both', { buffered: true }, async (t) => {
  const client = await open('quiet', textOnly);
  const conversationId = await client.conversationId();
  // The smallest PNG: one grey pixel.
  const png = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==',
    'base64',
  );
  const upload = async (name: string): Promise<string> => {
    const form = new FormData();
    form.append('file', new Blob([png], { type: 'image/png' }), name);
    return String((await stage.rest('POST', `/v1/convai/conversations/${conversationId}/files`, form))['file_id']);
  };
  const [a, b] = [await upload('a.png'), await upload('b.png')];
  const input = (fileId: string): Json => ({ type: 'file_input', file_id: fileId });
  const cases: readonly (readonly [string, Json, readonly string[]])[] = [
    ['only one', { file: input(a) }, [a]],
    ['only a list', { files: [input(a), input(b)] }, [a, b]],
    ['one and a list', { file: input(b), files: [input(b), input(a)] }, [b, a]],
  ];
  for (const [index, [name, files, expected]] of cases.entries()) {
    client.send({ type: 'multimodal_message', text: { type: 'user_message', text: `Look (${name})` }, ...files });
    await client.event('agent_response', index);
    const [body] = await stage.asked(`Look (${name})`);
    const content = body?.messages.findLast(({ role }) => role === 'user')?.content;
    const images = Array.isArray(content) ? content.filter((part: Json) => part['type'] === 'image_url') : [];
    t.equal(images.length, expected.length, `${name}: the model sees the pictures`);
    const inputs = await stage.stored(conversationId, (document) => {
      const item = (document['transcript'] as Json[]).find(({ message }) => message === `Look (${name})`);
      return item?.['file_inputs'] as Json[] | undefined;
    });
    t.same(
      inputs.map(({ file_id: fileId }) => fileId),
      expected,
      `${name}: in the record`,
    );
  }
  await client.hangUp();
});

test('C28 unknown types and malformed JSON after the start do not end the conversation', { buffered: true }, async (t) => {
  const client = await open('quiet', textOnly);
  await client.conversationId();
  for (const message of [
    '{"type":"tomorrow","x":1}',
    '{broken',
    '[]',
    '"text"',
    '{}',
    '{"type":7}',
    '{"type":"user_message","text":{}}',
    '',
  ])
    client.send(message);
  t.match((await client.ask('Are you there?')).details['agent_response'], /\w/);
  t.match((await client.event('error')).details, { error_type: 'invalid_message', code: 1008 });
  await client.hangUp();
});

test('C29 only the events that client_events lists are sent, and those that always are', { buffered: true }, async (t) => {
  const always = ['conversation_initiation_metadata', 'ping', 'client_tool_call', 'error'];
  const speech = await speechOf(stage, 'What about the harbour?');
  await stage.answers({ match: 'use the tool', toolCall: { name: 'look_up', arguments: { what: 'x' } } });
  const extras = (client: WireClient, listed: readonly string[]): string[] =>
    [...new Set(client.types)].filter((type) => !listed.includes(type) && !always.includes(type));

  const plain = await open('plain');
  sendSpeech(plain, speech, 4096);
  const reply = await plain.event('agent_response');
  plain.say('And now something else.');
  await plain.until(() => (plain.of('audio').some(({ eventId }) => eventId! > reply.eventId!) ? true : undefined));
  t.same(extras(plain, ['audio', 'interruption', 'agent_response']), []);
  await plain.hangUp();

  const mute = await open('mute');
  mute.say('Please use the tool.');
  const call = await mute.event('client_tool_call');
  mute.send({ type: 'client_tool_result', tool_call_id: String(call.details['tool_call_id']), result: 'x', is_error: false });
  mute.say('{');
  mute.send('{');
  await mute.event('error');
  await mute.event('ping', 1);
  t.same(extras(mute, []), []);
  await mute.hangUp();

  const narrowed = await open('quiet', { conversation_config_override: { conversation: { client_events: ['agent_response'] } } });
  await narrowed.ask('Hello');
  await narrowed.event('ping', isFull ? 2 : 1);
  t.same(extras(narrowed, ['agent_response']), []);
  await narrowed.hangUp();

  const full = await open('quiet');
  await full.ask('Hello');
  t.same(extras(full, allEvents), []);
  await full.hangUp();
});
