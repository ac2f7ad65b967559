/** What the upgrade request says: query string, subprotocol, credential. Pure; main thread, once per connection. */

/** Recorded or resolved by the server; nothing here is trusted yet. Absent and empty parameters are `undefined`. */
export type HandshakeQuery = {
  readonly agentId: string | undefined;
  /** Of a signed URL; `token` in older ones. */
  readonly conversationSignature: string | undefined;
  readonly source: string | undefined;
  readonly version: string | undefined;
  readonly environment: string;
  readonly branchId: string | undefined;
};

export type QueryOutcome =
  | { readonly ok: true; readonly query: HandshakeQuery }
  | { readonly ok: false; readonly message: string };

/** `undefined`: a `%` without two hexadecimal digits, bytes that are no UTF-8, or control characters, which have no business in a record. */
function decoded(text: string): string | undefined {
  let plain = text;
  if (text.includes('%')) {
    try {
      plain = decodeURIComponent(text);
    } catch {
      return undefined;
    }
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\u0000-\u001f\u007f]/.test(plain) ? undefined : plain;
}

/**
 * Reads the query string (without the question mark). The first of several equal names counts, unknown names are ignored. `+` stays `+`:
 * clients put the query together by hand, none of them as an HTML form.
 */
export function parseHandshakeQuery(query: string): QueryOutcome {
  const values = new Map<string, string>();
  for (const part of query.split('&')) {
    const equals = part.indexOf('=');
    const name = decoded(equals < 0 ? part : part.slice(0, equals));
    const value = decoded(equals < 0 ? '' : part.slice(equals + 1));
    if (name === undefined || value === undefined)
      return { ok: false, message: 'The query string is not percent-encoded UTF-8.' };
    if (value !== '' && !values.has(name)) values.set(name, value);
  }
  return {
    ok: true,
    query: {
      agentId: values.get('agent_id'),
      conversationSignature: values.get('conversation_signature') ?? values.get('token'),
      source: values.get('source'),
      version: values.get('version'),
      environment: values.get('environment') ?? 'production',
      branchId: values.get('branch_id'),
    },
  };
}

const subprotocol = 'convai';
const bearerEntry = 'bearer.';

export type SubprotocolChoice =
  | { readonly ok: true; readonly protocol: typeof subprotocol | undefined; readonly bearerToken: string | undefined }
  /** Something was offered and nothing of it fits: HTTP 400. */
  | { readonly ok: false; readonly message: string };

/**
 * Chooses from the entries of Sec-WebSocket-Protocol, in the order offered. A `bearer.…` entry is a credential that browsers have no other
 * header for; it is read, and never answered.
 */
export function chooseSubprotocol(offered: readonly string[]): SubprotocolChoice {
  if (offered.length === 0) return { ok: true, protocol: undefined, bearerToken: undefined };
  if (!offered.includes(subprotocol)) return { ok: false, message: 'Offer the subprotocol convai, or none.' };
  const bearer = offered.find((entry) => entry.startsWith(bearerEntry) && entry.length > bearerEntry.length);
  return { ok: true, protocol: subprotocol, bearerToken: bearer?.slice(bearerEntry.length) };
}

/** The token of an `Authorization: Bearer …` header; `undefined` when there is none or it is of another scheme. */
export function bearerTokenOf(authorization: string | undefined): string | undefined {
  return authorization === undefined ? undefined : /^bearer +(\S+) *$/i.exec(authorization)?.[1];
}
