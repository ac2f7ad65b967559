/**
 * What both socket adapters do alike with what a stranger sent: read the path, the headers and the offered subprotocols, and word the
 * refusals. Pure; main thread.
 */
import { STATUS_CODES } from 'node:http';
import type { BodyParts, HttpResponse, SocketLimits } from './port.js';

/** uWebSockets.js refuses a few below this by itself, `ws` only because we count. */
export const headerCountMax = 100;

/** Silent clients get a protocol ping after this long … */
export const pingAfterMs = 16_000;
/** … and are cut after this long without a byte. uWebSockets.js aborts the process for values of 1 to 7 s. */
export const lostAfterMs = 32_000;
/** Time for a request's header, and for an idle connection between two requests; uWebSockets.js has it built in. */
export const headerTimeoutMs = 10_000;

/** What `closed` is told with 1006 when the reason is known; an empty reason otherwise. The client sees none of it. */
export const lostReasons = {
  tooLarge: 'message too large',
  invalidText: 'text is not UTF-8',
  invalidFrame: 'invalid frame',
} as const;

/**
 * A refusal as clients of the public protocol know it. `name`: for programs; `message`: one plain sentence. Pages of other origins may read it.
 */
export function refusal(
  status: number,
  name: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  return {
    status,
    headers: { 'content-type': 'application/json', 'access-control-allow-origin': '*', ...headers },
    body: JSON.stringify({ detail: { status: name, message } }),
  };
}

const badPath = refusal(400, 'bad_request', 'The path is not percent-encoded UTF-8.');
const badHandshake = refusal(400, 'bad_request', 'This is not a WebSocket handshake.');
const badProtocols = refusal(400, 'bad_request', 'Sec-WebSocket-Protocol is not a list of different tokens.');
const wrongVersion = refusal(426, 'upgrade_required', 'Speak WebSocket version 13.', { 'sec-websocket-version': '13' });
const tooManyHeaders = refusal(431, 'too_many_headers', `Send at most ${headerCountMax} headers.`);
export const slowBody = refusal(408, 'request_timeout', 'The body came too slowly.');
export const busyWithBodies = refusal(503, 'too_many_requests', 'Too much is being uploaded at once.', { 'retry-after': '5' });
export const unsupportedBody = refusal(400, 'bad_request', 'A body beside this Upgrade header needs a Content-Length.');

export function largeBody(bodyBytesMax: number): HttpResponse {
  return refusal(413, 'body_too_large', `Send at most ${bodyBytesMax} bytes.`);
}

export function isParts(body: HttpResponse['body']): body is BodyParts {
  return typeof body === 'object' && Symbol.asyncIterator in body;
}

/** `404 Not Found` for 404. */
export function statusLine(status: number): string {
  return `${status} ${STATUS_CODES[status] ?? 'Unknown'}`;
}

/** Splits a request target; `undefined` when it does not start with a slash or its path does not decode. */
export function parseTarget(target: string): { readonly path: string; readonly query: string } | undefined {
  if (!target.startsWith('/')) return undefined;
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  try {
    return { path: path.includes('%') ? decodeURIComponent(path) : path, query: mark < 0 ? '' : target.slice(mark + 1) };
  } catch {
    return undefined; // a `%` without two hexadecimal digits, or bytes that are no UTF-8
  }
}

/** What an adapter knows of a request before its body. `target`: path and query as sent. `header`: repeated ones joined with a comma. */
export type RequestHead = {
  readonly method: string;
  readonly target: string;
  readonly headerCount: number;
  header(name: string): string | undefined;
};

/** True when the request asks to become a WebSocket, well formed or not. Other upgrades (h2c) may be ignored, and are. */
export function wantsWebSocket(head: RequestHead): boolean {
  if (head.method !== 'GET' || head.header('upgrade')?.toLowerCase() !== 'websocket') return false;
  const connection = head.header('connection')?.toLowerCase() ?? '';
  return connection.split(',').some((entry) => entry.trim() === 'upgrade');
}

export type ScreenedUpgrade =
  | {
      readonly ok: true;
      readonly path: string;
      readonly query: string;
      readonly protocols: readonly string[];
      readonly key: string;
    }
  | { readonly ok: false; readonly response: HttpResponse };

/** Checks a request that wants a WebSocket, up to where the handler decides. */
export function screenUpgrade(head: RequestHead): ScreenedUpgrade {
  const target = parseTarget(head.target);
  const protocols = offeredProtocols(head.header('sec-websocket-protocol'));
  const key = head.header('sec-websocket-key') ?? '';
  if (head.headerCount > headerCountMax) return { ok: false, response: tooManyHeaders };
  if (target === undefined) return { ok: false, response: badPath };
  if (head.header('sec-websocket-version') !== '13') return { ok: false, response: wrongVersion };
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) return { ok: false, response: badHandshake }; // 16 bytes
  if (protocols === undefined) return { ok: false, response: badProtocols };
  return { ok: true, ...target, protocols, key };
}

/** `bodyBytes`: what is still to come; `undefined` when only its end will tell. */
export type BodyBounds = { readonly bodyBytes: number | undefined; readonly bytesMax: number; readonly timeoutMs: number };

export type ScreenedRequest =
  | { readonly ok: true; readonly path: string; readonly query: string; readonly body: BodyBounds }
  | { readonly ok: false; readonly response: HttpResponse };

/** Checks any other request, up to where its body is read. */
export function screenRequest(
  head: RequestHead,
  limits: Pick<SocketLimits, 'bodyBytesMax' | 'bodyTimeoutMs' | 'bodyOf'>,
): ScreenedRequest {
  const target = parseTarget(head.target);
  const announced = head.header('transfer-encoding') === undefined ? Number(head.header('content-length') ?? 0) : Number.NaN;
  // A length that is none: the libraries refuse it themselves, one of them only after this.
  const bodyBytes = Number.isSafeInteger(announced) && announced >= 0 ? announced : undefined;
  if (head.headerCount > headerCountMax) return { ok: false, response: tooManyHeaders };
  if (target === undefined) return { ok: false, response: badPath };
  const rule = limits.bodyOf?.(head.method, target.path);
  if (rule?.refusal !== undefined) return { ok: false, response: rule.refusal };
  const { bytesMax, timeoutMs } = rule ?? { bytesMax: limits.bodyBytesMax, timeoutMs: limits.bodyTimeoutMs };
  if (bodyBytes !== undefined && bodyBytes > bytesMax) return { ok: false, response: largeBody(bytesMax) };
  return { ok: true, ...target, body: { bodyBytes, bytesMax, timeoutMs } };
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Entries of Sec-WebSocket-Protocol in the order offered; none without the header; `undefined` when it is malformed. */
export function offeredProtocols(header: string | undefined): readonly string[] | undefined {
  if (header === undefined) return [];
  const entries = header.split(',').map((entry) => entry.trim());
  return entries.every((entry) => token.test(entry)) && new Set(entries).size === entries.length ? entries : undefined;
}

const reasonBytesMax = 123;

/** The reason as a close frame can carry it: cut to 123 bytes between two characters. */
export function closeReason(reason: string): string {
  const bytes = Buffer.from(reason);
  if (bytes.length <= reasonBytesMax) return reason;
  let end = reasonBytesMax;
  while ((bytes[end]! & 0xc0) === 0x80) end -= 1; // never inside a character
  return bytes.toString('utf8', 0, end);
}

/** Codes that may stand in a close frame. 1005 and 1006 only describe what happened. */
export function isSendable(code: number): boolean {
  return (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999);
}

/** IPv4 that came over an IPv6 socket, written as IPv4. */
export function plainAddress(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}
