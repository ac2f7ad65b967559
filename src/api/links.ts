/**
 * What crosses the ports of the API thread, which does everything that may be slow: REST, the store, webhooks, MCP, recordings.
 * No latency thread ever waits for it; a session goes on when it does not answer.
 */
import type { AgentConfig } from '../store/agents.js';
import type { ConversationEnding, ConversationHead, TranscriptItem } from '../store/port.js';
import type { ToolManner } from '../tools/manner.js';
import type { ToolOutcome, ToolRun } from '../tools/port.js';

/** main → api: one HTTP request, body complete (within the bounds of its path). */
export type HttpAsk = {
  readonly type: 'http';
  readonly id: number;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
};
/** api → main. Further parts of a long body follow when main asks for them with `http_more`. */
export type HttpAnswer = {
  readonly type: 'http_answer';
  readonly id: number;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly isLast: boolean;
};
export type HttpPart = { readonly type: 'http_part'; readonly id: number; readonly body: Uint8Array; readonly isLast: boolean };
/** main → api: the next part, or (`isGone`) nobody wants it any more. */
export type HttpMore = { readonly type: 'http_more'; readonly id: number; readonly isGone: boolean };

export type ToApiFromMain = HttpAsk | HttpMore;
/** api → main: there will be no answer, or no rest of it, because what it is made of broke. */
export type HttpBroken = { readonly type: 'http_broken'; readonly id: number };
export type HttpFromApi = HttpAnswer | HttpPart | HttpBroken;
/** api → main: whether the store is there. `reason`: why it is not; empty: it is still being opened for the first time. */
export type StoreTold = { readonly type: 'store'; readonly isOpen: boolean; readonly reason: string };
export type FromApiToMain = HttpFromApi | StoreTold;

/** A tool that an MCP server offers, as the model and the client see it. */
export type McpToolSpec = {
  readonly name: string;
  readonly description: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly serverId: string;
  /** The API thread ends a call after this. */
  readonly timeoutMs: number;
  readonly manner: ToolManner;
  readonly needsApproval: boolean;
};
export type McpServerState = { readonly serverId: string; readonly isConnected: boolean; readonly toolCount: number };

/** conversation → api. `conversationId` names the session; answers carry it back. */
export type ToApi = { readonly conversationId: string } & (
  | { readonly type: 'find_agent'; readonly agentId: string }
  | { readonly type: 'begin'; readonly head: ConversationHead; readonly recording: RecordingAsk | undefined }
  | { readonly type: 'item'; readonly item: TranscriptItem }
  /** A feedback on a reply whose item the session does not hold any more; null takes it back. */
  | { readonly type: 'feedback_item'; readonly eventId: number; readonly feedback: ItemFeedback | null }
  | { readonly type: 'end'; readonly ending: ConversationEnding }
  /** Opens the MCP servers of an agent; answered with `mcp_tools`, again when that changes. */
  | { readonly type: 'open_mcp'; readonly agent: AgentConfig; readonly variables?: Readonly<Record<string, string>> }
  | {
      readonly type: 'run_tool';
      readonly run: ToolRun;
      readonly agent: AgentConfig;
      readonly variables: Readonly<Record<string, string>>;
    }
  | { readonly type: 'cancel_tool'; readonly toolCallId: string }
  /** Content of uploaded files for the language model. */
  | { readonly type: 'get_files'; readonly fileIds: readonly string[] }
);

/** In the public shape. */
export type ItemFeedback = { readonly score: 'like' | 'dislike'; readonly time_in_call_secs: number };

/** What is to be recorded: the API thread reads the caller from the slot's input ring, tts posts what was truly sent. */
export type RecordingAsk = { readonly slot: number; readonly generation: number };

/** api → conversation. */
export type FromApi = { readonly conversationId: string } & (
  | { readonly type: 'agent'; readonly agentId: string; readonly agent: AgentConfig | undefined; readonly version: number }
  /**
   * The agent cannot be looked up now: the store is still being opened, slow or away. `agent` follows if that ends well, else the caller is to
   * be told to come back, not that there is no such agent.
   */
  | { readonly type: 'agent_unavailable'; readonly agentId: string }
  /** There is another conversation of this id (its signed URL was used before): the session is to end. Nothing of it is written. */
  | { readonly type: 'begin_refused' }
  | { readonly type: 'mcp_tools'; readonly tools: readonly McpToolSpec[]; readonly servers: readonly McpServerState[] }
  | { readonly type: 'tool_outcome'; readonly toolCallId: string; readonly outcome: ToolOutcome }
  | {
      readonly type: 'files';
      readonly files: readonly {
        readonly fileId: string;
        readonly name: string;
        readonly mimeType: string;
        readonly base64: string;
      }[];
    }
);

/** api → conversation, to every lane: an agent was written or (undefined) deleted. Sessions under way keep theirs. */
export type AgentChanged = {
  readonly type: 'agent_changed';
  readonly agentId: string;
  readonly agent: AgentConfig | undefined;
  readonly version: number;
};

/** tts → api: reply audio as it was handed to the client. Pieces of a session come in order and may leave gaps (silence). */
export type SpokenAudio = {
  readonly type: 'spoken';
  readonly slot: number;
  readonly generation: number;
  /** Input clock (16 kHz samples) at which the first sample was heard, by the playhead estimate. */
  readonly atSample: number;
  readonly rateHz: number;
  /** 16-bit mono; the buffer is transferred. */
  readonly pcm: Int16Array;
  /** Nothing of the session comes after this piece, which may be empty. */
  readonly isLast: boolean;
};
