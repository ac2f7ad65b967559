/**
 * What every adapter does with what it is given before it keeps or compares it, so that all give the same answers. Pure; API thread.
 * A database refuses the null character and half a surrogate pair; names, ids and what is searched get U+FFFD in their place. Documents are
 * kept as the text of their JSON, which escapes both: they come back as they were given.
 */
import { EngineError } from '../shared/errors.js';
import { type FileRecord, type Json, storeLimits } from './port.js';

/** The text as a column can hold it. */
export function storedText(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed();
}

/** The id as a column can hold it. Fails with `rejected` for one that no index takes. */
export function storedId(id: string): string {
  if (id.length > storeLimits.idCharactersMax) {
    throw new EngineError('rejected', `An id has ${id.length} characters; at most ${storeLimits.idCharactersMax} are allowed.`);
  }
  return storedText(id);
}

/** Fails with `rejected` for more than `storeLimits.fileBytesMax`. */
export function checkFile(file: FileRecord): void {
  if (file.bytes.length <= storeLimits.fileBytesMax) return;
  throw new EngineError('rejected', `The file has ${file.bytes.length} bytes; at most ${storeLimits.fileBytesMax} are kept.`);
}

/** For search and for sorting by name: any case, and one form of each accented letter. */
export function folded(text: string): string {
  return storedText(text).normalize('NFC').toLowerCase();
}

/** Order by code point, as a database sorts under collation "C"; `<` would compare halves of surrogate pairs. */
export function compareText(left: string, right: string): number {
  return left === right ? 0 : Buffer.compare(Buffer.from(left), Buffer.from(right));
}

/** The JSON of a document. Fails with `rejected` when there is none (nested too deep for the parser, or a cycle). */
export function documentText(document: Json): string {
  try {
    return JSON.stringify(document);
  } catch (cause) {
    throw new EngineError('rejected', 'The document cannot be written as JSON.', { cause });
  }
}

/** The document of a text that `documentText` wrote. Fails with `broken` for anything else. */
export function documentOf(text: string): Json {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (cause) {
    throw new EngineError('broken', 'The store holds a document that is no JSON.', { cause });
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new EngineError('broken', 'The store holds a document that is no JSON object.');
  }
  return document as Json;
}

/** `change` laid over the document, shallowly. */
export function amendedText(text: string, change: Json): string {
  return documentText({ ...documentOf(text), ...documentOf(documentText(change)) });
}

/** What of a transcript item is searched. */
export function searchableText(item: Json): string {
  const message = item['message'];
  return typeof message === 'string' ? folded(message) : '';
}
