/** Rows of the database as the records they are; a column that is not what the tables say is `broken`. Pure; API thread. */
import { EngineError } from '../shared/errors.js';
import type { AgentRecord, ConversationStatus, ConversationSummary, FileRecord, Resource, ResourceKind } from './port.js';
import type { Row } from './sql-connection.js';
import { documentOf } from './text.js';

export function agentOf(row: Row): AgentRecord {
  return {
    agentId: textIn(row, 'agent_id'),
    version: numberIn(row, 'version'),
    name: textIn(row, 'name'),
    tags: tagsOf(textIn(row, 'tags')),
    isArchived: booleanIn(row, 'is_archived'),
    config: documentOf(textIn(row, 'config')),
    createdAtMs: numberIn(row, 'created_at_ms'),
    updatedAtMs: numberIn(row, 'updated_at_ms'),
  };
}

function tagsOf(text: string): readonly string[] {
  const tags: unknown = JSON.parse(text);
  if (!Array.isArray(tags) || tags.some((tag) => typeof tag !== 'string')) {
    throw new EngineError('broken', 'The store holds an agent whose tags make no sense.');
  }
  return tags;
}

export function resourceOf(kind: ResourceKind, row: Row): Resource {
  return {
    kind,
    id: textIn(row, 'id'),
    document: documentOf(textIn(row, 'document')),
    createdAtMs: numberIn(row, 'created_at_ms'),
  };
}

export function summaryOf(row: Row): ConversationSummary {
  return {
    conversationId: textIn(row, 'conversation_id'),
    agentId: textIn(row, 'agent_id'),
    agentVersion: numberIn(row, 'agent_version'),
    userId: optionalIn(row, 'user_id', textIn),
    startedAtMs: numberIn(row, 'started_at_ms'),
    document: documentOf(textIn(row, 'document')),
    status: statusIn(row),
    endedAtMs: optionalIn(row, 'ended_at_ms', numberIn),
    messageCount: numberIn(row, 'message_count'),
  };
}

function statusIn(row: Row): ConversationStatus {
  const status = textIn(row, 'status');
  if (status === 'in-progress' || status === 'done' || status === 'failed') return status;
  throw new EngineError('broken', 'The store holds a conversation whose status makes no sense.');
}

export function fileOf(row: Row): FileRecord {
  return {
    fileId: textIn(row, 'file_id'),
    conversationId: textIn(row, 'conversation_id'),
    name: textIn(row, 'name'),
    mimeType: textIn(row, 'mime_type'),
    bytes: bytesIn(row, 'bytes'),
    createdAtMs: numberIn(row, 'created_at_ms'),
  };
}

function wrong(column: string): EngineError {
  return new EngineError('broken', `The store answered with a row whose "${column}" makes no sense.`);
}

export function textIn(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw wrong(column);
  return value;
}

export function numberIn(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== 'number') throw wrong(column);
  return value;
}

function booleanIn(row: Row, column: string): boolean {
  const value = row[column];
  if (typeof value !== 'boolean') throw wrong(column);
  return value;
}

function bytesIn(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw wrong(column);
  return new Uint8Array(value);
}

/** Undefined for the database's null. */
export function optionalIn<Value>(row: Row, column: string, read: (row: Row, column: string) => Value): Value | undefined {
  return row[column] === null ? undefined : read(row, column);
}
