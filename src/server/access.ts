/**
 * Who is at the door: reads what a handshake shows (signed URL, API key, origin) and says what it is worth. What an agent demands is judged
 * later, with the agent (`src/conversation/admission.ts`). Main thread; pure but for the memory of signatures that were used.
 */
import { randomBytes } from 'node:crypto';
import type { Access } from '../conversation/links.js';
import { derivedKey, isSameSecret } from '../shared/secret.js';
import { bearerTokenOf } from '../wire/handshake.js';
import { isTicketText, readTicket, type Ticket } from '../wire/signed-url.js';

export const accessLimits = {
  /** Signatures used in the last quarter of an hour that are remembered; beyond it no signed URL is let in, so that none is used twice. */
  usedMax: 131_072,
} as const;

const signingKeyBytes = 32;

/** The key of signed URLs: the configured one, else one made from the API key, else one that ends with this process. */
export function signingKeyOf(signingKey: string, apiKey: string): Uint8Array {
  if (signingKey !== '') return derivedKey(signingKey, 'parley conversation url');
  if (apiKey !== '') return derivedKey(apiKey, 'parley conversation url, from the API key');
  return new Uint8Array(randomBytes(signingKeyBytes));
}

/** What a handshake shows. Absent values are undefined. */
export type Shown = {
  readonly agentId: string | undefined;
  readonly conversationSignature: string | undefined;
  /** Of the subprotocol `bearer.…`. */
  readonly bearerEntry: string | undefined;
  readonly apiKeyHeader: string | undefined;
  readonly authorizationHeader: string | undefined;
};

export type Keys = {
  /** Empty: this server has no API key. */
  readonly apiKey: string;
  readonly signingKey: Uint8Array;
};

export type Judged = {
  readonly access: Access;
  /** Of a valid signature; to be handed to `UsedTickets.use` when the socket is open. */
  readonly ticket: Ticket | undefined;
};

const refused = (reason: string): Judged => ({ access: { kind: 'refused', reason }, ticket: undefined });
const problems = {
  forged: 'The signed URL is not valid here. Ask your server for a new one.',
  expired: 'The signed URL has expired. Ask your server for a new one.',
} as const;

/** `atMs`: unix. A signature comes before a key; the first thing that is shown decides, and if it is not valid nobody comes in. */
export function judgeAccess(shown: Shown, keys: Keys, atMs: number): Judged {
  if (shown.conversationSignature !== undefined) return judgeSignature(shown.conversationSignature, shown.agentId, keys, atMs);
  const key = shown.apiKeyHeader ?? bearerTokenOf(shown.authorizationHeader) ?? shown.bearerEntry;
  if (key === undefined) return { access: { kind: 'none' }, ticket: undefined };
  // A browser may rather have the signature in this place than in a URL that is logged on the way.
  if (isTicketText(key)) return judgeSignature(key, shown.agentId, keys, atMs);
  if (keys.apiKey === '') return { access: { kind: 'none' }, ticket: undefined };
  return isSameSecret(key, keys.apiKey)
    ? { access: { kind: 'key' }, ticket: undefined }
    : refused('The API key is not valid here.');
}

function judgeSignature(text: string, agentId: string | undefined, keys: Keys, atMs: number): Judged {
  const outcome = readTicket(text, keys.signingKey, atMs);
  if (!outcome.ok) return refused(problems[outcome.problem]);
  const { ticket } = outcome;
  if (agentId !== undefined && agentId !== ticket.agentId) return refused('The signed URL is for another agent.');
  return { access: { kind: 'signed', agentId: ticket.agentId, conversationId: ticket.conversationId }, ticket };
}

/** Signatures that were used, until they expire. */
export class UsedTickets {
  readonly #max: number;
  /** Nonce → expiry. In the order of use, which is nearly that of expiry. */
  readonly #expiries = new Map<string, number>();

  constructor(max: number = accessLimits.usedMax) {
    this.#max = max;
  }

  get size(): number {
    return this.#expiries.size;
  }

  /** Marks it as used. Undefined when that is fine, else why not. */
  use(ticket: Ticket, atMs: number): string | undefined {
    if (this.#expiries.has(ticket.nonce)) return 'The signed URL was used before. Ask your server for a new one.';
    if (this.#expiries.size >= this.#max) this.#forgetExpired(atMs);
    if (this.#expiries.size >= this.#max) return 'Too many signed URLs are in use. Please try again later.';
    this.#expiries.set(ticket.nonce, ticket.expiresAtMs);
    return undefined;
  }

  #forgetExpired(atMs: number): void {
    for (const [nonce, expiresAtMs] of this.#expiries) if (expiresAtMs <= atMs) this.#expiries.delete(nonce);
  }
}
