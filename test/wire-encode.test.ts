/** Server events to the protocol's JSON: the page's own examples, and what would break a client. */
import fc from 'fast-check';
import { test } from 'tap';
import { ms } from '../src/shared/units.js';
import { encodeServerEvent } from '../src/wire/encode.js';
import { audioFormats, type ServerEvent } from '../src/wire/events.js';
import { describeFormat, parseAudioFormat, silenceBytes } from '../src/wire/formats.js';

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
