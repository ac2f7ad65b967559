/**
 * The public protocol as types: what a client may say and what we may answer. Field names on the wire are the protocol's own;
 * here they are ours, and `encode.ts` / `decode.ts` are the only places that know both.
 */
import type { ErrorType } from '../shared/errors.js';
import type { ParleyTurnEvent } from './turn-event.js';

/** Audio formats of the protocol. PCM is signed 16-bit little-endian mono; µ-law is G.711. */
export const audioFormats = ['pcm_8000', 'pcm_16000', 'pcm_22050', 'pcm_24000', 'pcm_44100', 'pcm_48000', 'ulaw_8000'] as const;
export type AudioFormat = (typeof audioFormats)[number];

/** `conversation_initiation_client_data`, checked, with absent, null and empty parts left out. */
export type Initiation = {
  readonly overrides: {
    readonly prompt?: string;
    readonly llm?: string;
    readonly firstMessage?: string;
    readonly language?: string;
    readonly toolIds?: readonly string[];
    readonly mcpServerIds?: readonly string[];
    /** Said when the call has lasted as long as it may. */
    readonly maxDurationMessage?: string;
    /** Said when the language model is slow. */
    readonly softTimeoutMessage?: string;
    readonly voiceId?: string;
    readonly ttsModelId?: string;
    readonly stability?: number;
    readonly speed?: number;
    readonly similarityBoost?: number;
    readonly asrKeywords?: readonly string[];
    readonly textOnly?: boolean;
    readonly maxDurationSeconds?: number;
    readonly clientEvents?: readonly string[];
  };
  readonly dynamicVariables: Readonly<Record<string, string | number | boolean>>;
  readonly customLlmExtraBody?: Readonly<Record<string, unknown>>;
  readonly userId?: string;
  /** Which profile of the agent; only the Node client says it here, the others in the query string. */
  readonly environment?: string;
  readonly sourceInfo?: { readonly source?: string; readonly version?: string };
  /** The message as it came, for the record: without `type`, without variables named `secret__…`, as plain JSON. Absent when none came. */
  readonly document?: Readonly<Record<string, unknown>>;
};

/** What a client may send, except audio, which has its own fast path (`audio-in.ts`). */
export type ClientEvent =
  | { readonly type: 'initiation'; readonly initiation: Initiation }
  | { readonly type: 'enclave_setup_config' }
  | { readonly type: 'pong'; readonly eventId: number }
  | { readonly type: 'user_message'; readonly text: string | undefined }
  | { readonly type: 'user_activity' }
  | { readonly type: 'contextual_update'; readonly text: string; readonly contextId: string | undefined }
  | { readonly type: 'client_tool_result'; readonly toolCallId: string; readonly result: string; readonly isError: boolean }
  | { readonly type: 'mcp_tool_approval_result'; readonly toolCallId: string; readonly isApproved: boolean }
  | { readonly type: 'multimodal_message'; readonly text: string | undefined; readonly fileIds: readonly string[] }
  | { readonly type: 'feedback'; readonly eventId: number; readonly score: 'like' | 'dislike' | null }
  /** Audio that did not take the fast path (other key order, escapes): base64 as received. */
  | { readonly type: 'user_audio_chunk'; readonly base64: string }
  /** A type we do not know: ignored and counted. */
  | { readonly type: 'unknown'; readonly name: string };

/** Where a tool runs. */
export type ToolType = 'client' | 'webhook' | 'system' | 'mcp';

export type McpCallState =
  | { readonly name: 'awaiting_approval'; readonly approvalTimeoutSecs: number }
  | { readonly name: 'loading' }
  /** Content blocks of any length; when they are long, one text block with the beginning of their JSON is sent instead. */
  | { readonly name: 'success'; readonly result: readonly Readonly<Record<string, unknown>>[] }
  | { readonly name: 'failure'; readonly errorMessage: string };

export type McpServerStatus = { readonly serverId: string; readonly isConnected: boolean; readonly toolCount: number };

/** What we may send, except reply audio, which has its own fast path (`audio-out.ts`). */
export type ServerEvent =
  | {
      readonly type: 'metadata';
      readonly conversationId: string;
      readonly outputFormat: AudioFormat;
      readonly inputFormat: AudioFormat;
    }
  | { readonly type: 'ping'; readonly eventId: number; readonly pingMs: number | null }
  | { readonly type: 'interruption'; readonly eventId: number }
  /** A short silent audio event, so that clients that fade on `interruption` drop their queue at once. */
  | { readonly type: 'flush_audio'; readonly eventId: number; readonly format: AudioFormat }
  | { readonly type: 'user_transcript'; readonly text: string; readonly eventId: number }
  | { readonly type: 'tentative_user_transcript'; readonly text: string; readonly eventId: number }
  | { readonly type: 'agent_response'; readonly text: string; readonly eventId: number }
  | {
      readonly type: 'agent_response_correction';
      readonly original: string;
      readonly corrected: string;
      readonly eventId: number;
    }
  | {
      readonly type: 'agent_chat_response_part';
      readonly part: 'start' | 'delta' | 'stop';
      readonly text: string;
      readonly eventId: number;
    }
  | { readonly type: 'agent_response_complete'; readonly eventId: number }
  /** A tool that runs at the client; answered with `client_tool_result`, also when no answer is expected. */
  | {
      readonly type: 'client_tool_call';
      readonly toolName: string;
      readonly toolCallId: string;
      readonly parameters: Readonly<Record<string, unknown>>;
      readonly expectsResponse: boolean;
      readonly eventId: number;
    }
  | {
      readonly type: 'agent_tool_request';
      readonly toolName: string;
      readonly toolCallId: string;
      readonly toolType: ToolType;
      readonly eventId: number;
    }
  | {
      readonly type: 'agent_tool_response';
      readonly toolName: string;
      readonly toolCallId: string;
      readonly toolType: ToolType;
      readonly isError: boolean;
      /** False: it was never run (refused, cancelled before it began). True when absent. */
      readonly isCalled?: boolean;
      readonly eventId: number;
    }
  | {
      readonly type: 'agent_tool_response_full_payload';
      readonly toolName: string;
      readonly toolCallId: string;
      readonly toolType: ToolType;
      readonly isError: boolean;
      readonly isCalled?: boolean;
      /** It was not allowed to run. False when absent. */
      readonly isBlocked?: boolean;
      /** Of any length: at most `wireLimits.toolResultCharsMax` characters are sent. */
      readonly result: string;
      /** It was cut before it came here. False when absent. */
      readonly isTruncated?: boolean;
      readonly eventId: number;
    }
  /** A tool of an MCP server, on its way: at most one `awaiting_approval`, then `loading`, then `success` or `failure`. */
  | {
      readonly type: 'mcp_tool_call';
      readonly serviceId: string;
      readonly toolCallId: string;
      readonly toolName: string;
      readonly toolDescription: string;
      readonly parameters: Readonly<Record<string, unknown>>;
      /** ISO 8601, UTC. */
      readonly timestamp: string;
      readonly state: McpCallState;
    }
  | { readonly type: 'mcp_connection_status'; readonly servers: readonly McpServerStatus[] }
  /** Recognition is at work. It has nothing to say of itself yet. */
  | { readonly type: 'asr_initiation_metadata' }
  /** Facts about a reply, as JSON values. The protocol names none: `model`, `input_tokens` and `output_tokens` are ours. */
  | { readonly type: 'agent_response_metadata'; readonly metadata: Readonly<Record<string, unknown>>; readonly eventId: number }
  | {
      readonly type: 'context_usage';
      readonly model: string;
      readonly contextTokens: number;
      /** Absent when it is not known how much the model can take. */
      readonly contextLimitTokens?: number;
      readonly eventId: number;
    }
  | { readonly type: 'vad_score'; readonly score: number }
  | ParleyTurnEvent
  | {
      readonly type: 'error';
      readonly code: 1000 | 1002 | 1008 | 1011;
      readonly errorType: ErrorType;
      readonly message: string;
    };

/** Names under which `client_events` enables server events; those not listed here are always sent, and unknown names mean nothing. */
export const switchableEvents = [
  'audio',
  'interruption',
  'user_transcript',
  'tentative_user_transcript',
  'agent_response',
  'agent_response_correction',
  'agent_response_complete',
  'agent_response_metadata',
  'agent_chat_response_part',
  'agent_tool_request',
  'agent_tool_response',
  'agent_tool_response_full_payload',
  'mcp_tool_call',
  'mcp_connection_status',
  'asr_initiation_metadata',
  'context_usage',
  'vad_score',
  'parley_turn_event',
] as const;
export type SwitchableEvent = (typeof switchableEvents)[number];

const switchable: ReadonlySet<string> = new Set(switchableEvents);

/**
 * Whether a client that enabled `enabled` gets the event. A question whether a tool may run is always asked: nobody would answer one that was
 * not. (Who is not told of `interruption` cannot interrupt; that rule is the turn machine's.)
 */
export function isSent(event: ServerEvent, enabled: ReadonlySet<string>): boolean {
  if (event.type === 'mcp_tool_call' && event.state.name === 'awaiting_approval') return true;
  return !switchable.has(event.type) || enabled.has(event.type);
}
