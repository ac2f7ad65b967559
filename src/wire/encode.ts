/** Typed events to the protocol's JSON, field by field: the shapes of the official clients, and their traps. Pure; main thread. */
import { strict as assert } from 'node:assert';
import { ms } from '../shared/units.js';
import { type AudioFormat, audioFormats, type McpCallState, type ServerEvent, type ToolType } from './events.js';
import { silenceBytes } from './formats.js';
import { wireLimits } from './limits.js';
import { turnEventShape } from './turn-event.js';

const flushMs = ms(10);
const flushAudio = Object.fromEntries(
  audioFormats.map((format) => [format, Buffer.from(silenceBytes(format, flushMs)).toString('base64')]),
) as Readonly<Record<AudioFormat, string>>;

/** The Swift and Android clients parse ids as integers and drop the event otherwise. */
function integer(value: number): number {
  assert(Number.isSafeInteger(value), 'ids on the wire are integers');
  return value;
}

/** The end of a long text is left out, never half of a character. */
function cut(text: string): string {
  const most = wireLimits.toolResultCharsMax;
  if (text.length <= most) return text;
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? most - 1 : most);
}

function toolOf(event: { readonly toolName: string; readonly toolCallId: string; readonly toolType: ToolType }): object {
  return { tool_name: event.toolName, tool_call_id: event.toolCallId, tool_type: event.toolType };
}

function bounded(blocks: readonly object[]): readonly object[] {
  const json = JSON.stringify(blocks);
  return json.length <= wireLimits.toolResultCharsMax ? blocks : [{ type: 'text', text: cut(json) }];
}

/** Fields that only the state's own kind has. */
function mcpStateOf(state: McpCallState): object {
  switch (state.name) {
    case 'awaiting_approval':
      return { state: 'awaiting_approval', approval_timeout_secs: integer(Math.round(state.approvalTimeoutSecs)) };
    case 'loading':
      return { state: 'loading' };
    case 'success':
      return { state: 'success', result: bounded(state.result) };
    case 'failure':
      return { state: 'failure', error_message: cut(state.errorMessage) };
  }
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
    case 'agent_tool_request':
      return {
        type: 'agent_tool_request',
        agent_tool_request: { ...toolOf(event), event_id: integer(event.eventId) },
      };
    case 'agent_tool_response':
      return {
        type: 'agent_tool_response',
        agent_tool_response: {
          ...toolOf(event),
          is_error: event.isError,
          is_called: event.isCalled ?? true,
          event_id: integer(event.eventId),
        },
      };
    case 'agent_tool_response_full_payload': {
      const { result, isTruncated } = event;
      return {
        type: 'agent_tool_response_full_payload',
        agent_tool_response_full_payload: {
          ...toolOf(event),
          is_error: event.isError,
          is_blocked: event.isBlocked ?? false,
          is_called: event.isCalled ?? true,
          event_id: integer(event.eventId),
          full_tool_result: cut(result),
          truncated: isTruncated === true || result.length > wireLimits.toolResultCharsMax,
        },
      };
    }
    case 'mcp_tool_call':
      return {
        type: 'mcp_tool_call',
        mcp_tool_call: {
          service_id: event.serviceId,
          tool_call_id: event.toolCallId,
          tool_name: event.toolName,
          tool_description: event.toolDescription,
          parameters: event.parameters,
          timestamp: event.timestamp,
          ...mcpStateOf(event.state),
        },
      };
    case 'mcp_connection_status':
      return {
        type: 'mcp_connection_status',
        mcp_connection_status: {
          integrations: event.servers.map(({ serverId, isConnected, toolCount }) => ({
            integration_id: serverId,
            integration_type: 'mcp_server',
            is_connected: isConnected,
            tool_count: integer(toolCount),
          })),
        },
      };
    case 'asr_initiation_metadata':
      return { type: 'asr_initiation_metadata', asr_initiation_metadata_event: {} };
    case 'agent_response_metadata':
      return {
        type: 'agent_response_metadata',
        agent_response_metadata_event: { metadata: event.metadata, event_id: integer(event.eventId) },
      };
    case 'context_usage':
      return {
        type: 'context_usage',
        context_usage_event: {
          event_id: integer(event.eventId),
          model: event.model,
          context_tokens: integer(event.contextTokens),
          ...(event.contextLimitTokens === undefined ? {} : { context_limit_tokens: integer(event.contextLimitTokens) }),
        },
      };
    case 'parley_turn_event':
      return turnEventShape(event);
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
