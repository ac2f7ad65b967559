/** Server events to the protocol's JSON: the page's own examples, and what would break a client. */
import fc from 'fast-check';
import { test } from 'tap';
import { ms } from '../src/shared/units.js';
import { encodeServerEvent } from '../src/wire/encode.js';
import { audioFormats, isSent, type ServerEvent, switchableEvents } from '../src/wire/events.js';
import { describeFormat, parseAudioFormat, silenceBytes } from '../src/wire/formats.js';
import { wireLimits } from '../src/wire/limits.js';

const mcpCall = {
  type: 'mcp_tool_call',
  serviceId: 'mcp_1',
  toolCallId: 'call_9',
  toolName: 'search',
  toolDescription: '…',
  parameters: {},
  timestamp: '2026-01-02T03:04:05Z',
} as const;
const mcpFields = `"service_id": "mcp_1", "tool_call_id": "call_9", "tool_name": "search", "tool_description": "…",
  "parameters": {}, "timestamp": "2026-01-02T03:04:05Z"`;

const examples: [ServerEvent, string][] = [
  [
    { type: 'metadata', conversationId: 'conv_0f4k', outputFormat: 'pcm_16000', inputFormat: 'ulaw_8000' },
    `{ "type": "conversation_initiation_metadata",
       "conversation_initiation_metadata_event": {
         "conversation_id": "conv_0f4k", "agent_output_audio_format": "pcm_16000", "user_input_audio_format": "ulaw_8000" } }`,
  ],
  [{ type: 'ping', eventId: 1, pingMs: null }, '{ "type": "ping", "ping_event": { "event_id": 1, "ping_ms": null } }'],
  [{ type: 'ping', eventId: 2, pingMs: 41.7 }, '{ "type": "ping", "ping_event": { "event_id": 2, "ping_ms": 42 } }'],
  [{ type: 'interruption', eventId: 5 }, '{ "type": "interruption", "interruption_event": { "event_id": 5 } }'],
  [
    { type: 'user_transcript', text: 'hello there', eventId: 3 },
    '{ "type": "user_transcript", "user_transcription_event": { "user_transcript": "hello there", "event_id": 3 } }',
  ],
  [
    { type: 'tentative_user_transcript', text: 'hello th', eventId: 3 },
    '{ "type": "tentative_user_transcript", "tentative_user_transcription_event": { "user_transcript": "hello th", "event_id": 3 } }',
  ],
  [
    { type: 'agent_response', text: 'Hi, what can I do?', eventId: 4 },
    '{ "type": "agent_response", "agent_response_event": { "agent_response": "Hi, what can I do?", "event_id": 4 } }',
  ],
  [
    { type: 'agent_response_correction', original: 'Hi, what can I do?', corrected: 'Hi, what…', eventId: 4 },
    `{ "type": "agent_response_correction", "agent_response_correction_event": {
       "original_agent_response": "Hi, what can I do?", "corrected_agent_response": "Hi, what…", "event_id": 4 } }`,
  ],
  [
    { type: 'agent_chat_response_part', part: 'start', text: '', eventId: 4 },
    '{ "type": "agent_chat_response_part", "text_response_part": { "type": "start", "text": "", "event_id": 4 } }',
  ],
  [
    { type: 'agent_response_complete', eventId: 4 },
    '{ "type": "agent_response_complete", "agent_response_complete_event": { "event_id": 4 } }',
  ],
  [
    {
      type: 'client_tool_call',
      toolName: 'open_page',
      toolCallId: 'call_7',
      parameters: { path: '/pricing' },
      expectsResponse: true,
      eventId: 4,
    },
    `{ "type": "client_tool_call", "client_tool_call": { "tool_name": "open_page", "tool_call_id": "call_7",
       "parameters": { "path": "/pricing" }, "event_id": 4, "expects_response": true } }`,
  ],
  [
    { type: 'agent_tool_response', toolName: 'lookup', toolCallId: 'call_8', toolType: 'webhook', isError: false, eventId: 4 },
    `{ "type": "agent_tool_response", "agent_tool_response": { "tool_name": "lookup", "tool_call_id": "call_8",
       "tool_type": "webhook", "is_error": false, "is_called": true, "event_id": 4 } }`,
  ],
  [
    { type: 'agent_tool_request', toolName: 'lookup', toolCallId: 'call_8', toolType: 'webhook', eventId: 4 },
    `{ "type": "agent_tool_request", "agent_tool_request": { "tool_name": "lookup", "tool_call_id": "call_8",
       "tool_type": "webhook", "event_id": 4 } }`,
  ],
  [
    {
      type: 'agent_tool_response',
      toolName: 'lookup',
      toolCallId: 'call_8',
      toolType: 'mcp',
      isError: true,
      isCalled: false,
      eventId: 4,
    },
    `{ "type": "agent_tool_response", "agent_tool_response": { "tool_name": "lookup", "tool_call_id": "call_8",
       "tool_type": "mcp", "is_error": true, "is_called": false, "event_id": 4 } }`,
  ],
  [
    {
      type: 'agent_tool_response_full_payload',
      toolName: 'lookup',
      toolCallId: 'call_8',
      toolType: 'webhook',
      isError: false,
      result: '{"ok":true}',
      eventId: 4,
    },
    `{ "type": "agent_tool_response_full_payload", "agent_tool_response_full_payload": { "tool_name": "lookup",
       "tool_call_id": "call_8", "tool_type": "webhook", "is_error": false, "is_blocked": false, "is_called": true, "event_id": 4,
       "full_tool_result": "{\\"ok\\":true}", "truncated": false } }`,
  ],
  [
    { ...mcpCall, state: { name: 'awaiting_approval', approvalTimeoutSecs: 300 } },
    `{ "type": "mcp_tool_call", "mcp_tool_call": { ${mcpFields}, "state": "awaiting_approval", "approval_timeout_secs": 300 } }`,
  ],
  [
    { ...mcpCall, state: { name: 'loading' } },
    `{ "type": "mcp_tool_call", "mcp_tool_call": { ${mcpFields}, "state": "loading" } }`,
  ],
  [
    { ...mcpCall, state: { name: 'success', result: [{ type: 'text', text: 'found' }] } },
    `{ "type": "mcp_tool_call", "mcp_tool_call": { ${mcpFields}, "state": "success",
       "result": [ { "type": "text", "text": "found" } ] } }`,
  ],
  [
    { ...mcpCall, state: { name: 'failure', errorMessage: 'denied' } },
    `{ "type": "mcp_tool_call", "mcp_tool_call": { ${mcpFields}, "state": "failure", "error_message": "denied" } }`,
  ],
  [
    { type: 'mcp_connection_status', servers: [{ serverId: 'mcp_1', isConnected: true, toolCount: 3 }] },
    `{ "type": "mcp_connection_status", "mcp_connection_status": { "integrations": [
       { "integration_id": "mcp_1", "integration_type": "mcp_server", "is_connected": true, "tool_count": 3 } ] } }`,
  ],
  [{ type: 'asr_initiation_metadata' }, '{ "type": "asr_initiation_metadata", "asr_initiation_metadata_event": {} }'],
  [
    { type: 'agent_response_metadata', metadata: { model: 'm', input_tokens: 3 }, eventId: 4 },
    '{ "type": "agent_response_metadata", "agent_response_metadata_event": { "metadata": { "model": "m", "input_tokens": 3 }, "event_id": 4 } }',
  ],
  [
    { type: 'context_usage', model: 'm', contextTokens: 812, contextLimitTokens: 32000, eventId: 4 },
    `{ "type": "context_usage", "context_usage_event": { "event_id": 4, "model": "m", "context_tokens": 812,
       "context_limit_tokens": 32000 } }`,
  ],
  [
    { type: 'parley_turn_event', turn: 1, atMs: 12.345, sentAtMs: 20, happening: { kind: 'hold' } },
    '{ "type": "parley_turn_event", "parley_turn_event": { "kind": "hold", "turn": 1, "at_ms": 12.35, "sent_at_ms": 20 } }',
  ],
  [{ type: 'vad_score', score: 0.93 }, '{ "type": "vad_score", "vad_score_event": { "vad_score": 0.93 } }'],
  [
    { type: 'error', code: 1002, errorType: 'llm_timeout', message: 'The model did not answer in time.' },
    `{ "type": "error", "error_event": { "code": 1002, "error_type": "llm_timeout",
       "message": "The model did not answer in time.", "reason": "The model did not answer in time." } }`,
  ],
];

test('events have the shapes of the protocol page', (t) => {
  for (const [event, json] of examples) t.same(JSON.parse(encodeServerEvent(event)), JSON.parse(json), event.type);
  t.end();
});

test('the flush is 10 ms of digital silence in whole samples', (t) => {
  for (const format of audioFormats) {
    const event = JSON.parse(encodeServerEvent({ type: 'flush_audio', eventId: 6, format }));
    t.match(event, { type: 'audio', audio_event: { event_id: 6 } });
    const audio = Buffer.from(event.audio_event.audio_base_64, 'base64');
    const { rateHz, bytesPerSample, silenceByte } = describeFormat(format);
    t.equal(audio.length, Math.round(rateHz / 100) * bytesPerSample, format);
    t.ok(audio.every((byte) => byte === silenceByte));
  }
  t.end();
});

test('formats are described by their names', (t) => {
  t.same(describeFormat('pcm_22050'), { encoding: 'pcm', rateHz: 22050, bytesPerSample: 2, silenceByte: 0 });
  t.same(describeFormat('ulaw_8000'), { encoding: 'ulaw', rateHz: 8000, bytesPerSample: 1, silenceByte: 255 });
  t.equal(parseAudioFormat('pcm_48000'), 'pcm_48000');
  for (const name of ['', 'pcm', 'pcm_', 'pcm_11025', 'PCM_16000', 'mp3_44100', 'toString', '__proto__']) {
    t.equal(parseAudioFormat(name), undefined, name);
  }
  t.equal(silenceBytes('pcm_22050', ms(10)).length, 442);
  t.end();
});

test('an id that is no integer, or a score that is no probability, is a bug and says so', (t) => {
  t.throws(() => encodeServerEvent({ type: 'interruption', eventId: 1.5 }), { message: 'ids on the wire are integers' });
  t.throws(() => encodeServerEvent({ type: 'ping', eventId: 1, pingMs: Number.NaN }), {
    message: 'ids on the wire are integers',
  });
  t.throws(() => encodeServerEvent({ type: 'vad_score', score: Number.NaN }), { message: 'a score is a probability' });
  t.end();
});

test('long results are cut at whole characters, and said to be', (t) => {
  const most = wireLimits.toolResultCharsMax;
  const cases: [string, number, boolean][] = [
    ['a'.repeat(most), most, false],
    ['a'.repeat(most + 1), most, true],
    [`${'a'.repeat(most - 1)}\u{1f600}`, most - 1, true],
    ['\u0000'.repeat(1024 * 1024), most, true],
  ];
  for (const [result, length, truncated] of cases) {
    const tool = { toolName: 'l', toolCallId: 'c', toolType: 'client', isError: false, eventId: 1 } as const;
    const full = encodeServerEvent({ type: 'agent_tool_response_full_payload', ...tool, result });
    const { full_tool_result: sent, truncated: isSaid } = JSON.parse(full).agent_tool_response_full_payload;
    t.same([sent, isSaid], [result.slice(0, length), truncated]);
    t.ok(full.length <= 6 * most + 500, 'far below what a socket takes');
    const blocks = [{ type: 'text', text: result }];
    const state = { name: 'success', result: blocks } as const;
    const { result: shown } = JSON.parse(encodeServerEvent({ ...mcpCall, state })).mcp_tool_call;
    t.equal(shown.length, 1);
    t.ok(JSON.stringify(blocks).startsWith(shown[0].text), 'the beginning of it');
  }
  const tool = { toolName: 'l', toolCallId: 'c', toolType: 'client', isError: false, eventId: 1, result: 'x' } as const;
  const early = encodeServerEvent({ type: 'agent_tool_response_full_payload', ...tool, isTruncated: true });
  t.equal(JSON.parse(early).agent_tool_response_full_payload.truncated, true, 'also when it was cut before');
  t.end();
});

test('a client gets what it enabled and what it cannot do without', (t) => {
  const types = (enabled: readonly string[]): string[] => [
    ...new Set(examples.filter(([event]) => isSent(event, new Set(enabled))).map(([, json]) => JSON.parse(json).type)),
  ];
  const always = ['conversation_initiation_metadata', 'ping', 'client_tool_call', 'mcp_tool_call', 'error'];
  t.same(types([]), always);
  t.same(types(['no_such_event', 'metadata', '__proto__']), always, 'other names mean nothing');
  t.same(types(switchableEvents), [...new Set(examples.map(([, json]) => JSON.parse(json).type))], 'nothing is out of reach');
  for (const name of switchableEvents) {
    if (name === 'audio') continue; // has a way of its own
    const shown = examples.filter(([event]) => isSent(event, new Set([name])) && !isSent(event, new Set()));
    t.ok(shown.length > 0 && shown.every(([event]) => event.type === name), name);
  }
  const states = examples.flatMap(([event]) => (event.type === 'mcp_tool_call' && isSent(event, new Set()) ? [event.state] : []));
  t.same(states, [{ name: 'awaiting_approval', approvalTimeoutSecs: 300 }], 'a question is always asked, the rest is news');
  t.end();
});

test('any text arrives as it was, in a JSON object with its type and one payload', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(), (text, eventId) => {
      for (const type of ['user_transcript', 'tentative_user_transcript', 'agent_response'] as const) {
        const bytes = Buffer.from(encodeServerEvent({ type, text, eventId }));
        const message = JSON.parse(bytes.toString());
        if (message.type !== type || Object.keys(message).length !== 2) return false;
        // Half pairs leave as escapes, so that the frame is valid UTF-8 and parses back to the same text.
        const payload = Object.values(message)[1] as Record<string, unknown>;
        if (!Object.values(payload).includes(text) || payload['event_id'] !== eventId) return false;
      }
      return true;
    }),
  );
  t.end();
});
