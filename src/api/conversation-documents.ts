/** Conversations as the public API shows them, made of what the session recorded. Pure; API thread. */
import type { ConversationRecord, ConversationSummary, Json, TranscriptItem } from '../store/port.js';
import { unixSecs, versionId } from './agent-documents.js';
import { isObject } from './merge.js';

/** What the API thread itself puts into the document of a conversation, besides what the session wrote. */
export type ConversationFile = {
  readonly file_id: string;
  readonly name: string;
  readonly mime_type: string;
  readonly bytes: number;
};

export function filesOf(document: Json): readonly ConversationFile[] {
  const files = document['files'];
  return Array.isArray(files) ? (files as ConversationFile[]) : [];
}

function durationSecs({ startedAtMs, endedAtMs }: ConversationSummary, nowMs: number): number {
  return Math.max(0, Math.round(((endedAtMs ?? nowMs) - startedAtMs) / 1000));
}

const text = (document: Json, name: string): string | null => (typeof document[name] === 'string' ? document[name] : null);

export function callSuccessful(document: Json): 'success' | 'failure' | 'unknown' {
  const analysis = document['analysis'];
  const verdict = isObject(analysis) ? analysis['call_successful'] : undefined;
  return verdict === 'success' || verdict === 'failure' ? verdict : 'unknown';
}

export function conversationSummary(summary: ConversationSummary, agentName: string | null, nowMs: number): Json {
  const { document } = summary;
  const feedback = document['feedback'];
  return {
    agent_id: summary.agentId,
    agent_name: agentName,
    version_id: versionId(summary.agentVersion),
    conversation_id: summary.conversationId,
    user_id: summary.userId ?? null,
    start_time_unix_secs: unixSecs(summary.startedAtMs),
    call_duration_secs: durationSecs(summary, nowMs),
    message_count: summary.messageCount,
    status: summary.status,
    call_successful: callSuccessful(document),
    termination_reason: text(document, 'termination_reason'),
    main_language: text(document, 'main_language'),
    conversation_initiation_source: text(document, 'conversation_initiation_source'),
    rating: isObject(feedback) && typeof feedback['rating'] === 'number' ? feedback['rating'] : null,
  };
}

export type DetailFacts = {
  readonly agentName: string | null;
  readonly hasAudio: boolean;
  readonly nowMs: number;
  /** Where uploaded files can be fetched. */
  readonly fileUrl: (fileId: string) => string;
};

export function conversationDetail(record: ConversationRecord, facts: DetailFacts): Json {
  const { document, items } = record;
  const { hasAudio } = facts;
  const recording = isObject(document['recording']) ? document['recording'] : {};
  const isHeard = (side: string): boolean => recording[side] !== false;
  const transcript = [...items].sort((left, right) => left.index - right.index).map((item) => itemBody(item, document, facts));
  return {
    agent_id: record.agentId,
    agent_name: facts.agentName,
    version_id: versionId(record.agentVersion),
    conversation_id: record.conversationId,
    status: record.status,
    user_id: record.userId ?? null,
    environment: text(document, 'environment'),
    branch_id: text(document, 'branch_id'),
    has_audio: hasAudio,
    has_user_audio: hasAudio && isHeard('has_user_audio'),
    has_response_audio: hasAudio && isHeard('has_response_audio'),
    has_auxiliary_audio: false,
    metadata: metadataOf(record, transcript, facts.nowMs),
    analysis: isObject(document['analysis']) ? document['analysis'] : null,
    conversation_initiation_client_data: isObject(document['conversation_initiation_client_data'])
      ? document['conversation_initiation_client_data']
      : {},
    transcript,
  };
}

function metadataOf(record: ConversationRecord, transcript: readonly Json[], nowMs: number): Json {
  const { document } = record;
  return {
    start_time_unix_secs: unixSecs(record.startedAtMs),
    accepted_time_unix_secs: unixSecs(record.startedAtMs),
    call_duration_secs: durationSecs(record, nowMs),
    termination_reason: text(document, 'termination_reason'),
    error: isObject(document['error']) ? document['error'] : null,
    feedback: feedbackOf(document, transcript),
    text_only: document['text_only'] === true,
    main_language: text(document, 'main_language'),
    conversation_initiation_source: text(document, 'conversation_initiation_source'),
    conversation_initiation_source_version: text(document, 'conversation_initiation_source_version'),
    // Of our own: counters of what the call used, formats, providers.
    parley: Object.fromEntries(
      ['usage', 'providers', 'user_input_audio_format', 'agent_output_audio_format', 'recording'].flatMap((name) =>
        document[name] === undefined ? [] : [[name, document[name]]],
      ),
    ),
  };
}

/** That of the whole call, and how often single replies were liked. */
function feedbackOf(document: Json, transcript: readonly Json[]): Json {
  const scores = transcript.map(({ feedback }) => (isObject(feedback) ? feedback['score'] : undefined));
  const overall = isObject(document['feedback']) ? document['feedback'] : {};
  return {
    type: null,
    overall_score: null,
    rating: null,
    comment: null,
    ...overall,
    likes: scores.filter((score) => score === 'like').length,
    dislikes: scores.filter((score) => score === 'dislike').length,
  };
}

function itemBody({ index, document: item }: TranscriptItem, document: Json, facts: DetailFacts): Json {
  const inputs = item['file_inputs'];
  const files = filesOf(document);
  const context = item['contextual_update_info'];
  const { contextual_update_info: _, told_at_ms: __, ...rest } = item;
  return {
    ...rest,
    id: typeof item['id'] === 'string' ? item['id'] : `item_${index}`,
    role: item['role'] === 'agent' ? 'agent' : 'user',
    time_in_call_secs: typeof item['time_in_call_secs'] === 'number' ? item['time_in_call_secs'] : 0,
    // Clients want a name there; a context without one cannot be superseded either.
    ...(isObject(context) && typeof context['context_id'] === 'string' ? { contextual_update_info: context } : {}),
    ...(Array.isArray(inputs)
      ? { file_inputs: inputs.flatMap((input) => (isObject(input) ? [fileInput(String(input['file_id']), files, facts)] : [])) }
      : {}),
  };
}

function fileInput(fileId: string, files: readonly ConversationFile[], { fileUrl }: DetailFacts): Json {
  const file = files.find(({ file_id: id }) => id === fileId);
  return {
    file_id: fileId,
    original_filename: file?.name ?? '',
    mime_type: file?.mime_type ?? 'application/octet-stream',
    file_url: fileUrl(fileId),
  };
}
