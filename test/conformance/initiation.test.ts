/** C14–C20: what a caller may want differently from the agent's own settings, and what is kept of it. */
import { t as file, test } from 'tap';
import { LocalProvider } from '../support/local-provider.js';
import { sendSpeech, speechOf } from './speech.js';
import { agentOf, Stage, textOf } from './stage.js';
import { WireClient } from './wire-client.js';
import { Witness } from './witness.js';

const everything = {
  overrides: {
    conversation_config_override: {
      agent: { first_message: true, language: true, prompt: { prompt: true, llm: true } },
      tts: { voice_id: true, model_id: true, stability: true, speed: true, similarity_boost: true },
      asr: { keywords: true },
      conversation: { text_only: true, client_events: true, max_duration_seconds: true },
    },
    custom_llm_extra_body: true,
  },
};

const witness = await Witness.start();
const ownModel = await LocalProvider.open((response) => {
  const chunk = JSON.stringify({ choices: [{ index: 0, delta: { content: 'My own answer.' }, finish_reason: 'stop' }] });
  response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`data: ${chunk}\n\ndata: [DONE]\n\n`);
});
const customLlm = { llm: 'custom-llm', custom_llm: { url: `${ownModel.url}/v1`, model_id: 'custom-model' } };
const stage = await Stage.start({
  environment: { GROQ_BASE_URL: witness.url, ELEVENLABS_BASE_URL: witness.url },
  agents: [
    agentOf('strict', { agent: { language: 'en', first_message: 'Hello.' }, tts: { voice_id: 'slt', speed: 1 } }),
    agentOf('open', { platform: everything }),
    agentOf('templated', {
      agent: {
        first_message: 'Hello {{name}}, floor {{floor}}, member {{member}}.',
        dynamic_variables: { dynamic_variable_placeholders: { name: 'friend' } },
      },
      prompt: { prompt: 'You talk to {{name}} on floor {{floor}}, member {{member}}, token [{{secret__token}}].' },
    }),
    agentOf('custom', { prompt: customLlm, platform: everything }),
    agentOf('custom-strict', { prompt: customLlm }),
  ],
});
witness.standBefore(stage.simulator.url);
file.jobs = 6;
file.teardown(async () => {
  await stage.stop();
  await Promise.all([witness.close(), ownModel.close()]);
});

const open = (agentId: string, initiation: Record<string, unknown> = {}): Promise<WireClient> =>
  WireClient.open({ url: stage.origin, agentId, initiation });
const override = (config: object): Record<string, unknown> => ({ conversation_config_override: config });

test('C14 allowed overrides of prompt, llm, first message, language, voice, stability, speed, similarity, keywords and text-only take effect', {
  buffered: true,
}, async (t) => {
  const speech = await speechOf(stage, 'Where is the harbour?');
  const client = await open(
    'open',
    override({
      agent: { prompt: { prompt: 'You are terse.', llm: 'another-model' }, first_message: 'Guten Tag.', language: 'de' },
      tts: { voice_id: 'kal16', stability: 0.21, speed: 1.15, similarity_boost: 0.34 },
      asr: { keywords: ['Zylinderkopf'] },
    }),
  );
  const greeting = await client.event('agent_response');
  t.equal(greeting.details['agent_response'], 'Guten Tag.', 'first message');
  await client.completed(greeting.eventId);
  sendSpeech(client, speech, 4096);
  await client.event('agent_response', 1);
  const [body] = await stage.asked('Where is the harbour?');
  t.match(textOf(body?.messages[0]?.content), /^You are terse\./, 'prompt');
  t.equal(body?.model, 'another-model', 'llm');
  const [spoken] = witness.at('/text-to-speech/kal16/').filter(({ body: text }) => text.includes('voice_settings'));
  t.match(
    JSON.parse(spoken?.body ?? '{}'),
    { voice_settings: { stability: 0.21, speed: 1.15, similarity_boost: 0.34 } },
    'voice',
  );
  t.match(spoken?.path, /language_code=de/, 'language of the voice');
  const heard = witness.at('/transcriptions').at(-1)?.body ?? '';
  t.match(heard, /name="language"\r\n\r\nde\r\n/, 'language of recognition');
  t.match(heard, /Zylinderkopf/, 'keywords');
  await client.hangUp();
  const text = await open('open', override({ conversation: { text_only: true } }));
  await text.ask('Hello');
  t.notOk(text.types.includes('audio'), 'text only');
  await text.hangUp();
});

test('C15 a forbidden override: the metadata, then a close with 1008 that names the field', { buffered: true }, async (t) => {
  const cases: readonly (readonly [string, object])[] = [
    ['prompt', { agent: { prompt: { prompt: 'Be rude.' } } }],
    ['llm', { agent: { prompt: { llm: 'dear-model' } } }],
    ['first_message', { agent: { first_message: 'Hi!' } }],
    ['language', { agent: { language: 'de' } }],
    ['voice_id', { tts: { voice_id: 'other' } }],
    ['speed', { tts: { speed: 1.1 } }],
    ['max_duration_seconds', { conversation: { max_duration_seconds: 9000 } }],
  ];
  for (const [field, config] of cases) {
    const client = await open('strict', override(config));
    t.match(await client.ending, { code: 1008, reason: `Override for field '${field}' is not allowed by config.` });
    t.equal(client.types[0], 'conversation_initiation_metadata', `${field}: the metadata first`);
  }
});

test('C16 empty objects, null and what equals the configured value are no violation: the messages of the widget and of both SDKs pass', {
  buffered: true,
}, async (t) => {
  const messages: readonly Record<string, unknown>[] = [
    {},
    override({}),
    { conversation_config_override: null, dynamic_variables: null, custom_llm_extra_body: null },
    override({ agent: {}, tts: {}, conversation: {} }),
    override({ agent: { prompt: null, first_message: null }, tts: null, turn: {}, asr: { keywords: [] } }),
    { ...override({ agent: { prompt: {}, language: 'en' }, tts: {}, conversation: { text_only: false } }), user_id: 'u-1' },
    { ...override({ agent: { prompt: { prompt: 'You are the agent of a test.' }, first_message: 'Hello.' } }) },
    override({ tts: { voice_id: 'slt', speed: 1 } }),
    { custom_llm_extra_body: {}, conversation_config_override: {}, dynamic_variables: {}, source_info: { source: 'python_sdk' } },
  ];
  for (const message of messages) {
    const client = await open('strict', message);
    t.equal((await client.event('agent_response')).details['agent_response'], 'Hello.', JSON.stringify(message));
    await client.hangUp();
  }
});

test('C17 text_only at the top level of the overrides, where Python puts it, switches to text mode', {
  buffered: true,
}, async (t) => {
  const client = await open('strict', {
    custom_llm_extra_body: {},
    conversation_config_override: { text_only: true },
    dynamic_variables: {},
    source_info: { source: 'python_sdk', version: '2.59.0' },
  });
  await client.ask('Hello');
  t.ok(client.types.includes('agent_chat_response_part'));
  t.notOk(client.types.includes('audio'));
  await client.hangUp();
});

test('C18 variables of every type are filled in; a secret never reaches the model; a missing one is named', {
  buffered: true,
}, async (t) => {
  const variables = { name: 'Bo', floor: 2, member: true, secret__token: 'hidden-17' };
  const client = await open('templated', { dynamic_variables: variables });
  t.equal((await client.event('agent_response')).details['agent_response'], 'Hello Bo, floor 2, member true.');
  await client.ask('Tell me about variables');
  const [body] = await stage.asked('about variables');
  t.equal(textOf(body?.messages[0]?.content).slice(0, 57), 'You talk to Bo on floor 2, member true, token [].');
  t.notMatch(JSON.stringify(witness.seen), /hidden-17/, 'no provider saw the secret');
  await client.hangUp();
  const stored = await stage.stored(await client.conversationId(), (document) => document['conversation_initiation_client_data']);
  t.match(stored, { dynamic_variables: { name: 'Bo', floor: 2, member: true } });
  t.notMatch(JSON.stringify(stored), /hidden-17/);

  const placeholder = await open('templated', { dynamic_variables: { floor: 3, member: false } });
  t.match((await placeholder.event('agent_response')).details, { agent_response: 'Hello friend, floor 3, member false.' });
  await placeholder.hangUp();
  const missing = await open('templated', { dynamic_variables: { name: 'Bo' } });
  t.match(await missing.ending, { code: 1008, reason: /floor, member/ });
  t.equal(missing.types[0], 'conversation_initiation_metadata');
  t.match(missing.of('error')[0]?.details, { error_type: 'missing_dynamic_variable', code: 1008 });
});

test('C19 custom_llm_extra_body reaches a custom LLM as elevenlabs_extra_body when that is allowed', {
  buffered: true,
}, async (t) => {
  const client = await open('custom', { custom_llm_extra_body: { temperature: 0.3, nested: { tier: 'gold' } }, user_id: 'u-19' });
  t.match((await client.ask('Who answers?')).details, { agent_response: 'My own answer.' });
  const { path, body } = ownModel.received.at(-1)!;
  t.equal(path, '/v1/chat/completions');
  t.match(JSON.parse(body.toString()), {
    model: 'custom-model',
    elevenlabs_extra_body: { temperature: 0.3, nested: { tier: 'gold' } },
  });
  await client.hangUp();
  const strict = await open('custom-strict', { custom_llm_extra_body: { temperature: 0.3 } });
  t.match(await strict.ending, { code: 1008, reason: /custom_llm_extra_body/ });
});

test('C20 user_id and source_info are in the stored conversation', { buffered: true }, async (t) => {
  const client = await open('strict', { user_id: 'u-20', source_info: { source: 'js_sdk', version: '1.25.0' } });
  await client.event('agent_response');
  const conversationId = await client.conversationId();
  await client.hangUp();
  const document = await stage.stored(conversationId, (found) => (found['status'] === 'done' ? found : undefined));
  t.equal(document['user_id'], 'u-20');
  t.match(document['metadata'], { conversation_initiation_source: 'js_sdk', conversation_initiation_source_version: '1.25.0' });
  t.match(document['conversation_initiation_client_data'], { source_info: { source: 'js_sdk', version: '1.25.0' } });
  const { conversations } = await stage.rest('GET', '/v1/convai/conversations?user_id=u-20');
  t.match(conversations, [{ conversation_id: conversationId, user_id: 'u-20' }]);
});
