/**
 * The signature of a conversation URL: an HMAC over what it allows. Nothing is stored for it but, until it expires, that it was used.
 * Pure; the API thread signs, main checks.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** How long a URL may be used to open a conversation; the conversation may last longer. */
export const signatureLifeMs = 15 * 60_000;

/** Longer ones are not looked at. */
const charsMax = 2048;
const version = 'v1';

/** What a signature allows: one conversation with one agent. */
export type Ticket = {
  readonly agentId: string;
  /** Unix. */
  readonly expiresAtMs: number;
  /** Different for each. */
  readonly nonce: string;
  readonly conversationId: string | undefined;
  readonly environment: string | undefined;
  readonly branchId: string | undefined;
};

function macOf(text: string, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** URL-safe text. */
export function signTicket(ticket: Ticket, key: Uint8Array): string {
  const { agentId, expiresAtMs, nonce, conversationId, environment, branchId } = ticket;
  const body = JSON.stringify([agentId, expiresAtMs, nonce, conversationId ?? '', environment ?? '', branchId ?? '']);
  const text = `${version}.${Buffer.from(body).toString('base64url')}`;
  return `${text}.${macOf(text, key).toString('base64url')}`;
}

/** Whether `text` looks like a signature of ours, valid or not. */
export function isTicketText(text: string): boolean {
  return /^v1\.[\w-]+\.[\w-]+$/.test(text);
}

export type TicketOutcome =
  | { readonly ok: true; readonly ticket: Ticket }
  | { readonly ok: false; readonly problem: 'forged' | 'expired' };

/** `atMs`: unix. A ticket is valid until the millisecond before `expiresAtMs`. */
export function readTicket(text: string, key: Uint8Array, atMs: number): TicketOutcome {
  const forged = { ok: false, problem: 'forged' } as const;
  if (text.length > charsMax || !isTicketText(text)) return forged;
  const dot = text.lastIndexOf('.');
  const shown = Buffer.from(text.slice(dot + 1), 'base64url');
  const mac = macOf(text.slice(0, dot), key);
  if (shown.length !== mac.length || !timingSafeEqual(shown, mac)) return forged;
  // From here on it is our own text.
  const fields = JSON.parse(Buffer.from(text.slice(version.length + 1, dot), 'base64url').toString()) as [
    string,
    number,
    string,
    string,
    string,
    string,
  ];
  const [agentId, expiresAtMs, nonce, conversationId, environment, branchId] = fields;
  if (atMs >= expiresAtMs) return { ok: false, problem: 'expired' };
  const given = (value: string): string | undefined => (value === '' ? undefined : value);
  return {
    ok: true,
    ticket: {
      agentId,
      expiresAtMs,
      nonce,
      conversationId: given(conversationId),
      environment: given(environment),
      branchId: given(branchId),
    },
  };
}
