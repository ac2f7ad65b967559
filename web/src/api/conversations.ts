/** Conversations that the engine has kept, over REST. */
import { request, requestBytes } from './http.js';

export type ConversationRow = {
  readonly conversation_id: string;
  readonly agent_id: string;
  readonly agent_name?: string | null;
  readonly start_time_unix_secs: number;
  readonly call_duration_secs: number;
  readonly message_count: number;
  readonly status: string;
};
export type ConversationPage = {
  readonly conversations: readonly ConversationRow[];
  readonly has_more: boolean;
  readonly next_cursor?: string | null;
};

export type ToolCallItem = { readonly request_id: string; readonly tool_name: string; readonly params_as_json?: string | null };
export type ToolResultItem = {
  readonly request_id: string;
  readonly tool_name: string;
  readonly result_value?: string | null;
  readonly is_error?: boolean;
};
export type TranscriptItem = {
  readonly role: 'user' | 'agent';
  readonly message?: string | null;
  readonly original_message?: string | null;
  readonly interrupted?: boolean;
  readonly time_in_call_secs: number;
  readonly source_medium?: string | null;
  readonly ignored_as_backchannel?: boolean;
  readonly platform_event?: string | null;
  readonly tool_calls?: readonly ToolCallItem[] | null;
  readonly tool_results?: readonly ToolResultItem[] | null;
  readonly feedback?: { readonly score?: string } | null;
  readonly conversation_turn_metrics?: {
    readonly metrics?: Readonly<Record<string, { readonly elapsed_time: number }>>;
  } | null;
};
export type ConversationBody = {
  readonly conversation_id: string;
  readonly agent_id: string;
  readonly agent_name?: string | null;
  readonly status: string;
  readonly user_id?: string | null;
  readonly has_audio: boolean;
  readonly transcript: readonly TranscriptItem[];
  readonly metadata: {
    readonly start_time_unix_secs: number;
    readonly call_duration_secs: number;
    readonly termination_reason?: string | null;
    readonly error?: { readonly reason?: string } | null;
    readonly main_language?: string | null;
    readonly text_only?: boolean;
    readonly feedback?: { readonly overall_score?: string; readonly score?: string } | string | null;
  };
};

const base = '/v1/convai/conversations';
const at = (id: string): string => `${base}/${encodeURIComponent(id)}`;

export function listConversations(
  search: string,
  agentId: string,
  cursor: string,
  signal?: AbortSignal,
): Promise<ConversationPage> {
  const query = new URLSearchParams({ page_size: '30' });
  if (search !== '') query.set('search', search);
  if (agentId !== '') query.set('agent_id', agentId);
  if (cursor !== '') query.set('cursor', cursor);
  return request(`${base}?${query}`, { signal });
}

export function readConversation(id: string, signal?: AbortSignal): Promise<ConversationBody> {
  return request(at(id), { signal });
}

export function readAudio(id: string, signal?: AbortSignal): Promise<{ bytes: ArrayBuffer; type: string }> {
  return requestBytes(`${at(id)}/audio`, signal);
}

export function rateConversation(id: string, feedback: 'like' | 'dislike'): Promise<void> {
  return request(`${at(id)}/feedback`, { method: 'POST', body: { feedback } });
}

export function deleteConversation(id: string): Promise<void> {
  return request(at(id), { method: 'DELETE' });
}
