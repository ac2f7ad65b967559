/**
 * What a client may send, checked here and nowhere else: any bytes in, a typed event or the reason for a refusal out, never an exception.
 * Audio has a faster way in (`audio-in.ts`) and arrives here only in unusual shapes. Pure; main thread.
 */
import { isUtf8 } from 'node:buffer';
import type { ClientEvent } from './events.js';
import { Fields, isObject, type MessageProblem, wellFormed } from './fields.js';
import { readInitiation } from './initiation.js';
import { wireLimits } from './limits.js';

export type Decoded =
  | { readonly ok: true; readonly event: ClientEvent }
  /** `isInitiation`: it was meant to begin the conversation, and what it asks for is not known. */
  | { readonly ok: false; readonly problem: MessageProblem; readonly isInitiation?: boolean };

/** Objects and lists inside each other. JSON.parse is slow on deep nesting, and no message of the protocol needs more than six. */
const depthMax = 32;
/** Of an unknown type's name, for one log line. */
const unknownNameMax = 64;

function isTooDeep(json: string): boolean {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (inText) {
      if (code === 0x5c) i += 1;
      else if (code === 0x22) inText = false;
    } else if (code === 0x22) inText = true;
    else if (code === 0x7b || code === 0x5b) {
      depth += 1;
      if (depth > depthMax) return true;
    } else if (code === 0x7d || code === 0x5d) depth -= 1;
  }
  return false;
}

/** Python and Node clients send any JSON as a tool's result, or nothing at all; a model reads text. */
function resultText(result: unknown): string {
  return typeof result === 'string' ? wellFormed(result) : JSON.stringify(result ?? null);
}

function fileIdsOf(message: Fields): string[] {
  // `file` repeats the first of `files` for old servers.
  const files = message.optionalChildren('files');
  if (files !== undefined && files.length > wireLimits.filesMax) {
    message.refuse('files', `a list of at most ${wireLimits.filesMax} files`, 'a longer one');
    return [];
  }
  if (files !== undefined && files.length > 0) return files.map((file) => file.text('file_id'));
  const file = message.child('file');
  return (message.raw('file') ?? undefined) === undefined ? [] : [file.text('file_id')];
}

/** Null takes a rating back. */
function scoreOf(message: Fields): 'like' | 'dislike' | null {
  const score = message.raw('score');
  if (score === 'like' || score === 'dislike' || score === null) return score;
  const rule = 'like, dislike or null';
  if (message.requires('score', rule)) message.refuse('score', rule, typeof score === 'string' ? 'another string' : undefined);
  return null;
}

const readers = new Map<string, (message: Fields) => ClientEvent>([
  ['conversation_initiation_client_data', (message) => ({ type: 'initiation', initiation: readInitiation(message) })],
  ['enclave_setup_config', () => ({ type: 'enclave_setup_config' })],
  ['pong', (message) => ({ type: 'pong', eventId: message.whole('event_id', 0) })],
  ['user_message', (message) => ({ type: 'user_message', text: message.optionalText('text') })],
  ['user_activity', () => ({ type: 'user_activity' })],
  [
    'contextual_update',
    (message) => ({ type: 'contextual_update', text: message.text('text'), contextId: message.optionalText('context_id') }),
  ],
  [
    'client_tool_result',
    (message) => ({
      type: 'client_tool_result',
      toolCallId: message.text('tool_call_id'),
      result: resultText(message.raw('result')),
      isError: message.optionalFlag('is_error') ?? false,
    }),
  ],
  [
    'mcp_tool_approval_result',
    (message) => ({
      type: 'mcp_tool_approval_result',
      toolCallId: message.text('tool_call_id'),
      isApproved: message.flag('is_approved'),
    }),
  ],
  [
    'multimodal_message',
    (message) => ({
      type: 'multimodal_message',
      text: message.child('text').optionalText('text'),
      fileIds: fileIdsOf(message),
    }),
  ],
  ['feedback', (message) => ({ type: 'feedback', eventId: message.whole('event_id', 0), score: scoreOf(message) })],
]);

function refused(message: string, field?: string): Decoded {
  return { ok: false, problem: { errorType: 'invalid_message', message, ...(field === undefined ? {} : { field }) } };
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined; // no JSON text stands for undefined
  }
}

/**
 * `message`: one text frame, no larger than `limits.ts` allows. Bytes are only read, and not kept. An `unknown` type is an event, not a
 * refusal: clients of a newer protocol may send it.
 */
export function decodeClientMessage(message: Uint8Array | string): Decoded {
  if (typeof message !== 'string' && !isUtf8(message)) return refused('The message is not valid UTF-8.');
  const json =
    typeof message === 'string' ? message : Buffer.from(message.buffer, message.byteOffset, message.byteLength).toString('utf8');
  if (isTooDeep(json)) return refused(`The message is nested deeper than ${depthMax} levels.`);
  const values = parsed(json);
  if (values === undefined) return refused('The message is not valid JSON.');
  if (!isObject(values)) return refused('The message must be a JSON object.');

  const fields = new Fields(values);
  const type = fields.raw('type');
  const reader = typeof type === 'string' ? readers.get(type) : undefined;
  let event: ClientEvent;
  if (fields.raw('user_audio_chunk') !== undefined) {
    event = { type: 'user_audio_chunk', base64: fields.text('user_audio_chunk') };
  } else if (typeof type !== 'string') {
    return refused('The message has no string field named type.', 'type');
  } else {
    event = reader === undefined ? { type: 'unknown', name: wellFormed(type.slice(0, unknownNameMax)) } : reader(fields);
  }
  const { problem } = fields;
  if (problem === undefined) return { ok: true, event };
  return { ok: false, problem, ...(event.type === 'initiation' ? { isInitiation: true } : {}) };
}
