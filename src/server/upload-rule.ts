/** Which requests may carry more than the usual body: files for a conversation that is going on here. Main thread. */
import { refusal } from './adapter-rules.js';
import type { BodyRule } from './port.js';

export const uploadLimits = {
  /** The largest file, and room for what multipart puts around it. */
  bytesMax: 20 * 1024 * 1024 + 64 * 1024,
  /** A phone on a slow network needs its time for 20 MB. */
  timeoutMs: 120_000,
} as const;

const uploadPath = /^\/v1\/convai\/conversations\/([^/]+)\/files\/?$/;

/** Anybody may ask for this, so the right to send much is tied to a call of which one knows the id. Undefined: the usual bounds. */
export function uploadRule(method: string, path: string, isLive: (conversationId: string) => boolean): BodyRule | undefined {
  const conversationId = method === 'POST' ? uploadPath.exec(path)?.[1] : undefined;
  if (conversationId === undefined) return undefined;
  if (isLive(conversationId)) return uploadLimits;
  return { refusal: refusal(404, 'conversation_not_found', 'There is no conversation of this id that is going on.') };
}
