/** Typed events to the protocol's JSON, field by field: the shapes of the official clients, and their traps. Pure; main thread. */
import { strict as assert } from 'node:assert';
import { ms } from '../shared/units.js';
import { type AudioFormat, audioFormats, type ServerEvent } from './events.js';
import { silenceBytes } from './formats.js';

const flushMs = ms(10);
const flushAudio = Object.fromEntries(
  audioFormats.map((format) => [format, Buffer.from(silenceBytes(format, flushMs)).toString('base64')]),
) as Readonly<Record<AudioFormat, string>>;

/** The Swift and Android clients parse ids as integers and drop the event otherwise. */
function integer(value: number): number {
  assert(Number.isSafeInteger(value), 'ids on the wire are integers');
  return value;
}

function shapeOf(event: ServerEvent): object {
  switch (event.type) {
    case 'metadata':
      return {
        type: 'conversation_initiation_metadata',
        conversation_initiation_metadata_event: {
          conversation_id: event.conversationId,
          agent_output_audio_format: event.outputFormat,
          user_input_audio_format: event.inputFormat,
        },
      };
    case 'ping':
      // ping_ms is always there: the Python client indexes it.
      return {
        type: 'ping',
        ping_event: {
          event_id: integer(event.eventId),
          ping_ms: event.pingMs === null ? null : integer(Math.round(event.pingMs)),
        },
      };
    case 'interruption':
      return { type: 'interruption', interruption_event: { event_id: integer(event.eventId) } };
    case 'flush_audio':
      return { type: 'audio', audio_event: { audio_base_64: flushAudio[event.format], event_id: integer(event.eventId) } };
    case 'user_transcript':
      return {
        type: 'user_transcript',
        user_transcription_event: { user_transcript: event.text, event_id: integer(event.eventId) },
      };
    case 'tentative_user_transcript':
      return {
        type: 'tentative_user_transcript',
        tentative_user_transcription_event: { user_transcript: event.text, event_id: integer(event.eventId) },
      };
    case 'agent_response':
      return { type: 'agent_response', agent_response_event: { agent_response: event.text, event_id: integer(event.eventId) } };
    case 'agent_response_correction':
      return {
        type: 'agent_response_correction',
        agent_response_correction_event: {
          original_agent_response: event.original,
          corrected_agent_response: event.corrected,
          event_id: integer(event.eventId),
        },
      };
    case 'agent_chat_response_part':
      return {
        type: 'agent_chat_response_part',
        text_response_part: { type: event.part, text: event.text, event_id: integer(event.eventId) },
      };
    case 'agent_response_complete':
      return { type: 'agent_response_complete', agent_response_complete_event: { event_id: integer(event.eventId) } };
    case 'client_tool_call':
      return {
        type: 'client_tool_call',
        client_tool_call: {
          tool_name: event.toolName,
          tool_call_id: event.toolCallId,
          parameters: event.parameters,
          event_id: integer(event.eventId),
          expects_response: event.expectsResponse,
        },
      };
    case 'agent_tool_response':
      return {
        type: 'agent_tool_response',
        agent_tool_response: {
          tool_name: event.toolName,
          tool_call_id: event.toolCallId,
          tool_type: event.toolType,
          is_error: event.isError,
          is_called: true,
          event_id: integer(event.eventId),
        },
      };
    case 'vad_score':
      assert(event.score >= 0 && event.score <= 1, 'a score is a probability');
      return { type: 'vad_score', vad_score_event: { vad_score: event.score } };
    case 'error':
      // Both texts: clients show the one or the other.
      return {
        type: 'error',
        error_event: { code: event.code, error_type: event.errorType, message: event.message, reason: event.message },
      };
  }
}

/** One text frame. An event id that is no integer is a bug of ours and throws. */
export function encodeServerEvent(event: ServerEvent): string {
  return JSON.stringify(shapeOf(event));
}
