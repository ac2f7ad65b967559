/** Client messages to events: the protocol page's own examples, what the official clients put on the wire, and everything hostile. */
import fc from 'fast-check';
import { test } from 'tap';
import { decodeClientMessage } from '../src/wire/decode.js';
import type { ClientEvent, Initiation } from '../src/wire/events.js';

const init = 'conversation_initiation_client_data';

function eventOf(message: unknown): ClientEvent {
  const decoded = decodeClientMessage(JSON.stringify(message));
  if (!decoded.ok) throw new Error(`refused: ${decoded.problem.message}`);
  return decoded.event;
}

function initiationOf(fields: object): Initiation {
  const event = eventOf({ type: 'conversation_initiation_client_data', ...fields });
  if (event.type !== 'initiation') throw new Error(`not an initiation: ${event.type}`);
  return event.initiation;
}

function problemOf(message: string | Uint8Array): { errorType: string; field?: string; message: string } {
  const decoded = decodeClientMessage(message);
  if (decoded.ok) throw new Error(`accepted: ${JSON.stringify(decoded.event)}`);
  return decoded.problem;
}

const examples: [string, ClientEvent][] = [
  ['{ "user_audio_chunk": "AAABAAIA" }', { type: 'user_audio_chunk', base64: 'AAABAAIA' }],
  ['{ "type": "pong", "event_id": 12 }', { type: 'pong', eventId: 12 }],
  [
    '{ "type": "user_message", "text": "What are your opening hours?" }',
    { type: 'user_message', text: 'What are your opening hours?' },
  ],
  ['{ "type": "user_message" }', { type: 'user_message', text: undefined }],
  ['{ "type": "user_message", "text": null, "rich_content_id": "rc_1" }', { type: 'user_message', text: undefined }],
  ['{ "type": "user_activity" }', { type: 'user_activity' }],
  [
    '{ "type": "contextual_update", "text": "cart total is 42 EUR", "context_id": "cart" }',
    { type: 'contextual_update', text: 'cart total is 42 EUR', contextId: 'cart' },
  ],
  [
    '{ "type": "contextual_update", "text": "back", "context_id": null }',
    { type: 'contextual_update', text: 'back', contextId: undefined },
  ],
  [
    '{ "type": "client_tool_result", "tool_call_id": "call_7", "result": "{\\"ok\\":true}", "is_error": false }',
    { type: 'client_tool_result', toolCallId: 'call_7', result: '{"ok":true}', isError: false },
  ],
  [
    '{ "type": "mcp_tool_approval_result", "tool_call_id": "call_9", "is_approved": true }',
    { type: 'mcp_tool_approval_result', toolCallId: 'call_9', isApproved: true },
  ],
  [
    `{ "type": "multimodal_message", "text": { "type": "user_message", "text": "What is this?" },
       "file": { "type": "file_input", "file_id": "file_a" }, "files": [ { "type": "file_input", "file_id": "file_a" } ] }`,
    { type: 'multimodal_message', text: 'What is this?', fileIds: ['file_a'] },
  ],
  [
    '{ "type": "multimodal_message", "file": { "type": "file_input", "file_id": "file_b" } }',
    { type: 'multimodal_message', text: undefined, fileIds: ['file_b'] },
  ],
  [
    '{ "type": "multimodal_message", "text": null, "file": null, "files": [ { "file_id": "a" }, { "file_id": "b" } ] }',
    { type: 'multimodal_message', text: undefined, fileIds: ['a', 'b'] },
  ],
  [
    '{ "type": "multimodal_message", "files": [], "file": { "file_id": "c" } }',
    { type: 'multimodal_message', text: undefined, fileIds: ['c'] },
  ],
  [
    `{ "type": "multimodal_message", "text": { "type": "user_message", "text": "two" },
       "file": { "file_id": "old" }, "files": [ { "file_id": "a" }, { "file_id": "b" } ] }`,
    { type: 'multimodal_message', text: 'two', fileIds: ['a', 'b'] },
  ],
  ['{ "type": "multimodal_message", "files": [] }', { type: 'multimodal_message', text: undefined, fileIds: [] }],
  ['{ "type": "feedback", "event_id": 31, "score": "like" }', { type: 'feedback', eventId: 31, score: 'like' }],
  ['{ "type": "feedback", "event_id": 31, "score": "dislike" }', { type: 'feedback', eventId: 31, score: 'dislike' }],
  ['{ "type": "feedback", "event_id": 31, "score": null }', { type: 'feedback', eventId: 31, score: null }],
  ['{ "type": "enclave_setup_config", "agent_config_dict": { "a": [] } }', { type: 'enclave_setup_config' }],
  ['{ "type": "sing_along", "key": "C" }', { type: 'unknown', name: 'sing_along' }],
  ['{ "type": "__proto__" }', { type: 'unknown', name: '__proto__' }],
  ['{ "type": "user_activity", "user_audio_chunk": "AA==" }', { type: 'user_audio_chunk', base64: 'AA==' }],
  // As Swift and org.json write slashes.
  ['{"user_audio_chunk":"AA\\/+"}', { type: 'user_audio_chunk', base64: 'AA/+' }],
];

test('the messages of the protocol page become events', (t) => {
  for (const [json, event] of examples) {
    t.same(decodeClientMessage(json), { ok: true, event }, json);
    t.same(decodeClientMessage(new TextEncoder().encode(json)), { ok: true, event }, 'as bytes');
  }
  t.end();
});

test('a tool result of any kind becomes text', (t) => {
  const cases: [unknown, string][] = [
    ['plain', 'plain'],
    [{ ok: true }, '{"ok":true}'],
    [[1, 'a'], '[1,"a"]'],
    [42, '42'],
    [false, 'false'],
    [null, 'null'],
    [undefined, 'null'],
    ['\ud800', '\ufffd'],
  ];
  for (const [result, text] of cases) {
    const event = eventOf({ type: 'client_tool_result', tool_call_id: 'c', result });
    t.same(event, { type: 'client_tool_result', toolCallId: 'c', result: text, isError: false });
  }
  t.end();
});

test('a full initiation is read field by field', (t) => {
  const json = `{
    "type": "conversation_initiation_client_data",
    "conversation_config_override": {
      "agent": {
        "prompt": { "prompt": "You are terse.", "llm": "some-model", "tool_ids": [], "knowledge_base": [] },
        "first_message": "Hello {{name}}!", "language": "de",
        "max_conversation_duration_message": "We are out of time.", "native_mcp_server_ids": []
      },
      "tts": { "voice_id": "v1", "model_id": "m1", "stability": 0.5, "speed": 1.0, "similarity_boost": 0.8 },
      "asr": { "keywords": ["Zylinderkopf"] },
      "turn": { "soft_timeout_config": { "message": "One moment." } },
      "conversation": { "text_only": true, "max_duration_seconds": 300, "client_events": ["audio", "ping"] }
    },
    "custom_llm_extra_body": { "temperature": 0.3 },
    "dynamic_variables": { "name": "Bo", "tier": 2, "vip": true },
    "user_id": "u-17",
    "source_info": { "source": "js_sdk", "version": "1.25.0" },
    "tool_mock_config": { "mocking_strategy": "none", "mocked_tool_names": [], "fallback_strategy": "raise_error" },
    "branch_id": "b", "environment": "production"
  }`;
  const { type: _type, ...document } = JSON.parse(json);
  t.same(decodeClientMessage(json), {
    ok: true,
    event: {
      type: 'initiation',
      initiation: {
        overrides: {
          prompt: 'You are terse.',
          llm: 'some-model',
          firstMessage: 'Hello {{name}}!',
          language: 'de',
          toolIds: [],
          mcpServerIds: [],
          maxDurationMessage: 'We are out of time.',
          softTimeoutMessage: 'One moment.',
          voiceId: 'v1',
          ttsModelId: 'm1',
          stability: 0.5,
          speed: 1,
          similarityBoost: 0.8,
          asrKeywords: ['Zylinderkopf'],
          textOnly: true,
          maxDurationSeconds: 300,
          clientEvents: ['audio', 'ping'],
        },
        dynamicVariables: { name: 'Bo', tier: 2, vip: true },
        customLlmExtraBody: { temperature: 0.3 },
        userId: 'u-17',
        environment: 'production',
        sourceInfo: { source: 'js_sdk', version: '1.25.0' },
        document,
      },
    },
  });
  t.end();
});

test('the record of an initiation is the message as it came, without secrets', (t) => {
  const text = `{"type":"${init}","branch_id":"b","nobody_knows":[1,{"__proto__":{"a":1},"b":"\\ud800"}],
    "dynamic_variables":{"name":"Bo","secret__key":"k1","SECRET__":"shown","__proto__":"p"},"__proto__":{"user_id":"x"}}`;
  const decoded = decodeClientMessage(text);
  if (!decoded.ok || decoded.event.type !== 'initiation') throw new Error('refused');
  const { document, dynamicVariables } = decoded.event.initiation;
  t.equal(
    JSON.stringify(document),
    '{"branch_id":"b","nobody_knows":[1,{"b":"\ufffd"}],"dynamic_variables":{"name":"Bo","SECRET__":"shown"}}',
  );
  t.equal(dynamicVariables['secret__key'], 'k1', 'the session still has it');
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string(), { maxKeys: 5 }), fc.string({ minLength: 12 }), (names, secret) => {
      const variables = Object.fromEntries([
        ...Object.keys(names).map((name) => [`secret__${name}`, secret]),
        ['other', 'plain'],
      ]);
      return !JSON.stringify(initiationOf({ dynamic_variables: variables }).document).includes(JSON.stringify(secret));
    }),
  );
  t.end();
});

test('what the clients really send, and every way of not overriding', (t) => {
  const nothing = { overrides: {}, dynamicVariables: {} };
  const cases: [string, object, object][] = [
    ['nothing', {}, nothing],
    [
      'JS and React without overrides',
      {
        conversation_config_override: { agent: {}, tts: {}, conversation: {} },
        source_info: { source: 'js_sdk', version: '1.25.0' },
      },
      { ...nothing, sourceInfo: { source: 'js_sdk', version: '1.25.0' } },
    ],
    [
      'JS text mode',
      { conversation_config_override: { conversation: { text_only: true } } },
      { ...nothing, overrides: { textOnly: true } },
    ],
    [
      'widget',
      {
        conversation_config_override: { agent: { prompt: {}, language: 'en' }, conversation: { text_only: false } },
        user_id: 'r4nd0m',
      },
      { overrides: { language: 'en', textOnly: false }, dynamicVariables: {}, userId: 'r4nd0m' },
    ],
    [
      'Python',
      {
        custom_llm_extra_body: {},
        conversation_config_override: {},
        dynamic_variables: {},
        source_info: { source: 'python_sdk' },
      },
      { ...nothing, sourceInfo: { source: 'python_sdk' } },
    ],
    [
      'Python without audio says text_only at the top',
      { custom_llm_extra_body: {}, conversation_config_override: { text_only: true }, dynamic_variables: {} },
      { ...nothing, overrides: { textOnly: true } },
    ],
    [
      'either place is enough',
      { conversation_config_override: { text_only: true, conversation: { text_only: false } } },
      { ...nothing, overrides: { textOnly: true } },
    ],
    ['Node', { custom_llm_extra_body: {}, environment: 'staging' }, { ...nothing, environment: 'staging' }],
    [
      'null everywhere',
      {
        conversation_config_override: {
          agent: null,
          tts: { voice_id: null, speed: null },
          asr: { keywords: null },
          text_only: null,
        },
        custom_llm_extra_body: null,
        dynamic_variables: null,
        user_id: null,
        source_info: null,
      },
      nothing,
    ],
    [
      'a variable that is null is not given',
      { dynamic_variables: { a: null, b: '' } },
      { ...nothing, dynamicVariables: { b: '' } },
    ],
    [
      'an empty first message is an override',
      { conversation_config_override: { agent: { first_message: '' } } },
      { ...nothing, overrides: { firstMessage: '' } },
    ],
  ];
  for (const [name, fields, initiation] of cases) t.same(initiationOf(fields), { ...initiation, document: fields }, name);
  t.end();
});

const override = (path: string, value: unknown): object => {
  const nested = path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
  return { type: init, conversation_config_override: nested };
};
const over = 'conversation_config_override';

/** One bad value per field. */
const badValues: [object, string, string][] = [
  [{ user_audio_chunk: 7 }, 'user_audio_chunk', 'user_audio_chunk must be a string, not a number.'],
  [{ user_audio_chunk: null }, 'user_audio_chunk', 'user_audio_chunk must be a string, not null.'],
  [{ type: 'pong', event_id: '12' }, 'event_id', 'event_id must be a whole number from 0, not a string.'],
  [{ type: 'pong', event_id: 1.5 }, 'event_id', 'event_id must be a whole number from 0, not another number.'],
  [{ type: 'pong', event_id: null }, 'event_id', 'event_id must be a whole number from 0, not null.'],
  [{ type: 'user_message', text: 5 }, 'text', 'text must be a string, not a number.'],
  [{ type: 'contextual_update', text: ['a'] }, 'text', 'text must be a string, not a list.'],
  [{ type: 'contextual_update', text: null }, 'text', 'text must be a string, not null.'],
  [{ type: 'contextual_update', text: 'a', context_id: 3 }, 'context_id', 'context_id must be a string, not a number.'],
  [{ type: 'client_tool_result', tool_call_id: {} }, 'tool_call_id', 'tool_call_id must be a string, not an object.'],
  [
    { type: 'client_tool_result', tool_call_id: 'c', is_error: 'no' },
    'is_error',
    'is_error must be true or false, not a string.',
  ],
  [
    { type: 'mcp_tool_approval_result', tool_call_id: 1, is_approved: true },
    'tool_call_id',
    'tool_call_id must be a string, not a number.',
  ],
  [
    { type: 'mcp_tool_approval_result', tool_call_id: 'c', is_approved: 1 },
    'is_approved',
    'is_approved must be true or false, not a number.',
  ],
  [{ type: 'multimodal_message', text: 'hi' }, 'text', 'text must be an object, not a string.'],
  [{ type: 'multimodal_message', text: { text: 1 } }, 'text.text', 'text.text must be a string, not a number.'],
  [{ type: 'multimodal_message', file: [] }, 'file', 'file must be an object, not a list.'],
  [{ type: 'multimodal_message', files: {} }, 'files', 'files must be a list of objects, not an object.'],
  [{ type: 'multimodal_message', files: ['a'] }, 'files', 'files must be a list of objects, not a list of other things.'],
  [
    { type: 'multimodal_message', files: [{ file_id: 'a' }, { file_id: 2 }] },
    'files[1].file_id',
    'files[1].file_id must be a string, not a number.',
  ],
  [{ type: 'feedback', event_id: true, score: 'like' }, 'event_id', 'event_id must be a whole number from 0, not true or false.'],
  [{ type: 'feedback', event_id: 1, score: 'love' }, 'score', 'score must be like, dislike or null, not another string.'],
  [{ type: 'feedback', event_id: 1, score: 5 }, 'score', 'score must be like, dislike or null, not a number.'],
  [{ type: init, conversation_config_override: 'x' }, over, `${over} must be an object, not a string.`],
  [override('agent', []), `${over}.agent`, `${over}.agent must be an object, not a list.`],
  [override('agent.prompt', 'x'), `${over}.agent.prompt`, `${over}.agent.prompt must be an object, not a string.`],
  [
    override('agent.prompt.prompt', 1),
    `${over}.agent.prompt.prompt`,
    `${over}.agent.prompt.prompt must be a string, not a number.`,
  ],
  [override('agent.prompt.llm', 1), `${over}.agent.prompt.llm`, `${over}.agent.prompt.llm must be a string, not a number.`],
  [
    override('agent.first_message', 1),
    `${over}.agent.first_message`,
    `${over}.agent.first_message must be a string, not a number.`,
  ],
  [override('agent.language', {}), `${over}.agent.language`, `${over}.agent.language must be a string, not an object.`],
  [override('tts.voice_id', 1), `${over}.tts.voice_id`, `${over}.tts.voice_id must be a string, not a number.`],
  [override('tts.model_id', 1), `${over}.tts.model_id`, `${over}.tts.model_id must be a string, not a number.`],
  [
    override('tts.stability', 1.1),
    `${over}.tts.stability`,
    `${over}.tts.stability must be a number from 0 to 1, not another number.`,
  ],
  [override('tts.speed', 3), `${over}.tts.speed`, `${over}.tts.speed must be a number from 0.7 to 1.2, not another number.`],
  [override('tts.speed', '1'), `${over}.tts.speed`, `${over}.tts.speed must be a number from 0.7 to 1.2, not a string.`],
  [
    override('tts.similarity_boost', -1),
    `${over}.tts.similarity_boost`,
    `${over}.tts.similarity_boost must be a number from 0 to 1, not another number.`,
  ],
  [override('asr.keywords', 'a'), `${over}.asr.keywords`, `${over}.asr.keywords must be a list of strings, not a string.`],
  [
    override('asr.keywords', [1]),
    `${over}.asr.keywords`,
    `${over}.asr.keywords must be a list of strings, not a list of other things.`,
  ],
  [override('text_only', 1), `${over}.text_only`, `${over}.text_only must be true or false, not a number.`],
  [
    override('conversation.text_only', 'yes'),
    `${over}.conversation.text_only`,
    `${over}.conversation.text_only must be true or false, not a string.`,
  ],
  [
    override('conversation.max_duration_seconds', 0),
    `${over}.conversation.max_duration_seconds`,
    `${over}.conversation.max_duration_seconds must be a whole number from 1, not another number.`,
  ],
  [
    override('conversation.client_events', [{}]),
    `${over}.conversation.client_events`,
    `${over}.conversation.client_events must be a list of strings, not a list of other things.`,
  ],
  [{ type: init, dynamic_variables: [] }, 'dynamic_variables', 'dynamic_variables must be an object, not a list.'],
  [
    { type: init, dynamic_variables: { name: {} } },
    'dynamic_variables.name',
    'dynamic_variables.name must be a string, a finite number, true or false, not an object.',
  ],
  [
    { type: init, dynamic_variables: { ['<script>'.repeat(40)]: [] } },
    'dynamic_variables.*',
    'dynamic_variables.* must be a string, a finite number, true or false, not a list.',
  ],
  [{ type: init, custom_llm_extra_body: 'x' }, 'custom_llm_extra_body', 'custom_llm_extra_body must be an object, not a string.'],
  [
    override('agent.prompt.tool_ids', 'all'),
    `${over}.agent.prompt.tool_ids`,
    `${over}.agent.prompt.tool_ids must be a list of strings, not a string.`,
  ],
  [
    override('agent.native_mcp_server_ids', [1]),
    `${over}.agent.native_mcp_server_ids`,
    `${over}.agent.native_mcp_server_ids must be a list of strings, not a list of other things.`,
  ],
  [
    override('turn.soft_timeout_config.message', 5),
    `${over}.turn.soft_timeout_config.message`,
    `${over}.turn.soft_timeout_config.message must be a string, not a number.`,
  ],
  [
    { type: 'multimodal_message', files: Array(17).fill({ file_id: 'a' }) },
    'files',
    'files must be a list of at most 16 files, not a longer one.',
  ],
  [{ type: init, user_id: 5 }, 'user_id', 'user_id must be a string, not a number.'],
  [{ type: init, environment: 5 }, 'environment', 'environment must be a string, not a number.'],
  [{ type: init, source_info: 'js' }, 'source_info', 'source_info must be an object, not a string.'],
  [{ type: init, source_info: { version: 1 } }, 'source_info.version', 'source_info.version must be a string, not a number.'],
];

test('a wrong field is named, with what it must be', (t) => {
  for (const [message, field, sentence] of badValues) {
    t.same(problemOf(JSON.stringify(message)), { errorType: 'value_error', field, message: sentence }, sentence);
    t.ok(Buffer.byteLength(sentence) <= 120, 'short enough for a close reason');
  }
  t.end();
});

test('a missing field is named', (t) => {
  const cases: [object, string][] = [
    [{ type: 'pong' }, 'event_id'],
    [{ type: 'contextual_update' }, 'text'],
    [{ type: 'client_tool_result', result: 'x' }, 'tool_call_id'],
    [{ type: 'mcp_tool_approval_result', tool_call_id: 'c' }, 'is_approved'],
    [{ type: 'mcp_tool_approval_result', is_approved: true }, 'tool_call_id'],
    [{ type: 'multimodal_message', files: [{}] }, 'files[0].file_id'],
    [{ type: 'multimodal_message', file: {} }, 'file.file_id'],
    [{ type: 'feedback', event_id: 1 }, 'score'],
    [{ type: 'feedback', score: 'like' }, 'event_id'],
  ];
  for (const [message, field] of cases) {
    t.same(problemOf(JSON.stringify(message)), { errorType: 'missing_fields', field, message: `${field} is missing.` });
  }
  t.end();
});

test('what is no message at all', (t) => {
  const json = 'The message is not valid JSON.';
  const object = 'The message must be a JSON object.';
  const cases: [string | Uint8Array, string][] = [
    ['', json],
    ['{', json],
    ['{"type":"pong","event_id":NaN}', json],
    ["{'type':'pong'}", json],
    ['\ufeff{"type":"user_activity"}', json],
    ['{"type":"user_activity"}{}', json],
    ['[]', object],
    ['null', object],
    ['7', object],
    ['"pong"', object],
    ['{}', 'The message has no string field named type.'],
    ['{"type":null}', 'The message has no string field named type.'],
    ['{"__proto__":{"type":"user_activity"}}', 'The message has no string field named type.'],
    [Uint8Array.of(0x22, 0xff, 0x22), 'The message is not valid UTF-8.'],
    [Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), 'The message is not valid UTF-8.'],
  ];
  for (const [message, sentence] of cases) {
    const problem = problemOf(message);
    t.equal(problem.errorType, 'invalid_message');
    t.equal(problem.message, sentence, JSON.stringify(message));
  }
  t.end();
});

test('names from the prototype chain and duplicates are ordinary names', (t) => {
  const polluted = decodeClientMessage(
    `{"type":"${init}","__proto__":{"user_id":"x"},"dynamic_variables":{"__proto__":"p","constructor":1,"toString":true},
      "custom_llm_extra_body":{"__proto__":{"polluted":1},"a":[{"__proto__":1,"b":2}]}}`,
  );
  if (!polluted.ok || polluted.event.type !== 'initiation') throw new Error('refused');
  const { initiation } = polluted.event;
  t.equal(initiation.userId, undefined);
  t.same(Object.entries(initiation.dynamicVariables), [
    ['__proto__', 'p'],
    ['constructor', 1],
    ['toString', true],
  ]);
  t.equal(JSON.stringify(initiation.customLlmExtraBody), '{"a":[{"b":2}]}');
  t.equal(Object.getPrototypeOf(initiation.customLlmExtraBody), Object.prototype);
  t.notOk('polluted' in {});
  t.same(decodeClientMessage('{"type":"pong","event_id":1,"event_id":2,"type":"pong"}'), {
    ok: true,
    event: { type: 'pong', eventId: 2 },
  });
  t.end();
});

test('numbers too large and halves of pairs', (t) => {
  t.equal(problemOf('{"type":"pong","event_id":1e999}').message, 'event_id must be a whole number from 0, not another number.');
  t.equal(problemOf(`{"type":"${init}","dynamic_variables":{"n":-1e999}}`).field, 'dynamic_variables.n');
  t.equal(problemOf(`{"type":"${init}","${over}":{"tts":{"speed":1e999}}}`).field, `${over}.tts.speed`);
  t.same(decodeClientMessage('{"type":"user_message","text":"a\\ud800b\\udc00\\ud83d\\ude00"}'), {
    ok: true,
    event: { type: 'user_message', text: 'a\ufffdb\ufffd\u{1f600}' },
  });
  t.end();
});

test('32 levels are accepted and 33 are not', (t) => {
  const nested = (lists: number): string =>
    `{"type":"client_tool_result","tool_call_id":"c","result":${'['.repeat(lists)}${']'.repeat(lists)}}`;
  t.ok(decodeClientMessage(nested(31)).ok);
  t.equal(problemOf(nested(32)).message, 'The message is nested deeper than 32 levels.');
  t.ok(decodeClientMessage(`{"type":"user_message","text":"${'[{\\"'.repeat(100)}"}`).ok, 'brackets inside text do not count');
  t.end();
});

test('any bytes give an event or a typed problem', (t) => {
  const dictionary = fc.constantFrom(
    '__proto__',
    'type',
    'text',
    'event_id',
    'conversation_config_override',
    'user_audio_chunk',
    'constructor',
  );
  const types = fc.constantFrom(...examples.map(([, event]) => event.type), init, 'initiation');
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: 'small' },
      fc.constantFrom(null, true, 1e308, -0, '', '\ud800', '\u0000'),
      fc.double(),
      fc.string({ unit: 'binary' }),
      fc.array(tie('any'), { maxLength: 4 }),
      fc.dictionary(fc.oneof(dictionary, fc.string()), tie('any'), { maxKeys: 6 }),
    ),
  })).any;
  const message = fc.tuple(types, fc.dictionary(fc.oneof(dictionary, fc.string()), value, { maxKeys: 6 }));
  const check = (input: string | Uint8Array): boolean => {
    const decoded = decodeClientMessage(input);
    if (decoded.ok) return typeof decoded.event.type === 'string';
    return (
      Buffer.byteLength(decoded.problem.message) <= 120 &&
      ['invalid_message', 'value_error', 'missing_fields'].includes(decoded.problem.errorType)
    );
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), check), { numRuns: 500 });
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), check), { numRuns: 500 });
  fc.assert(
    fc.property(message, ([type, fields]) => check(JSON.stringify({ ...fields, type }))),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...examples.map(([json]) => json)),
      fc.nat(),
      fc.integer({ min: 0, max: 255 }),
      (json, at, byte) => {
        const bytes = new TextEncoder().encode(json);
        bytes[at % bytes.length] = byte;
        return check(bytes);
      },
    ),
    { numRuns: 1000 },
  );
  t.end();
});

test('hostile messages cost time in proportion to their size', (t) => {
  const hostile: ((bytes: number) => string)[] = [
    (bytes) => '['.repeat(bytes),
    (bytes) => '{"a":'.repeat(bytes / 5),
    (bytes) => `"${'\\'.repeat(bytes)}`,
    (bytes) => `{"type":"x","a":[${'[],'.repeat(bytes / 3)}[]]}`,
    (bytes) => `{"type":"user_message","text":"${'\\ud800'.repeat(bytes / 6)}"}`,
  ];
  const millisecondsOf = (message: string): number => {
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 5; run++) {
      const start = performance.now();
      decodeClientMessage(message);
      best = Math.min(best, performance.now() - start);
    }
    return best;
  };
  for (const make of hostile) {
    const small = millisecondsOf(make(15_000));
    const large = millisecondsOf(make(240_000));
    // Sixteen times the size; a quadratic path would cost 256 times as much.
    t.ok(large < Math.max(small, 0.1) * 100, `${make(20).slice(0, 12)}… ${small.toFixed(3)} ms, ${large.toFixed(3)} ms`);
  }
  t.end();
});
