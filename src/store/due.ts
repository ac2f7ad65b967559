/** When something of a finished conversation has to go, by the settings in its own document. Pure; API thread. */
import type { Json } from './port.js';

const dayMs = 24 * 3600_000;

/**
 * Unix milliseconds; undefined: never, or not before it has ended. The document's `privacy` are the settings that the call was held under, and
 * what is left of them when a part was done. A document without them (of an older engine) is due at its end, so that they are filled in.
 */
export function dueAtMs(document: Json, endedAtMs: number | undefined): number | undefined {
  if (endedAtMs === undefined) return undefined;
  const privacy = privacyIn(document);
  if (privacy === undefined || isDueAtEnd(privacy)) return endedAtMs;
  const days = retentionDaysOf(privacy);
  return days < 0 ? undefined : endedAtMs + days * dayMs;
}

/** Undefined: the document says nothing about it. */
export function privacyIn(document: Json): Json | undefined {
  const privacy = document['privacy'];
  return typeof privacy === 'object' && privacy !== null && !Array.isArray(privacy) ? (privacy as Json) : undefined;
}

/** -1: kept for ever. */
export function retentionDaysOf(privacy: Json): number {
  const days = privacy['retention_days'];
  return typeof days === 'number' && days >= 0 ? days : -1;
}

export function forbidsAudio(privacy: Json): boolean {
  return privacy['delete_audio'] === true || privacy['record_voice'] === false;
}

export function forbidsTranscript(privacy: Json): boolean {
  return privacy['delete_transcript_and_pii'] === true;
}

function isDueAtEnd(privacy: Json): boolean {
  return forbidsAudio(privacy) || forbidsTranscript(privacy);
}
