/**
 * From whatever an HTTP client throws to the engine's one error class. Looks at shapes only (status, headers, code, name), so that it serves
 * every client library and imports none. Provider texts and bodies are never copied: they may quote a key or a caller's words. Any thread.
 */
import { EngineError, type FailureKind } from './errors.js';

/** A provider may ask for more; nobody waits longer than this for it. */
const retryAfterMaxMs = 3_600_000;
/** How deep `cause` chains are followed: SDK error, fetch error, socket error, and one to spare. */
const causesMax = 4;

const connectionCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'ETIMEDOUT',
  'EMFILE',
  'EPROTO',
]);

/** Property `name` of anything, `undefined` when there is none. */
export function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

/**
 * What a status of a provider means to us. 408, 5xx and Groq's 498 (its flexible tier is full) may pass by themselves; other 4xx, and the
 * redirects that we do not follow, are settings that will be refused again.
 */
export function kindOfStatus(status: number): FailureKind {
  if (status === 429) return 'rate_limited';
  if (status === 408) return 'timeout';
  if (status >= 500 || status === 498) return 'server';
  if (status >= 300) return 'rejected';
  return 'garbage';
}

/** How long the provider asks us to stay away: `retry-after-ms`, or `retry-after` in seconds or as a date. 0 to one hour. */
export function retryAfterMs(headers: unknown): number | undefined {
  const inMs = Number.parseFloat(header(headers, 'retry-after-ms') ?? '');
  if (Number.isFinite(inMs)) return clampWait(inMs);
  const text = header(headers, 'retry-after')?.trim() ?? '';
  if (/^\d+(\.\d+)?$/.test(text)) return clampWait(Number(text) * 1000);
  // The only place where wall time decides anything: the header itself is a wall-clock date.
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : clampWait(at - Date.now());
}

/**
 * The error to throw for `error`, thrown while talking to `who` (for example `groq`). Errors of ours pass unchanged, wrapped or not. Fields: `status`, `code`
 * (the provider's short name for it), `requestId` (for its support), `retryAfterMs`, each when known.
 */
export function engineErrorOf(error: unknown, who: string): EngineError {
  const ours = linksOf(error).find((link) => link instanceof EngineError);
  if (ours !== undefined) return ours;
  const status = field(error, 'status');
  if (typeof status === 'number') return statusError(error, status, who);
  const code = codeOf(error);
  if (error instanceof SyntaxError) return new EngineError('garbage', `${who} answered something that is not JSON`);
  if (isNamed(error, 'AbortError') || isNamed(error, 'APIUserAbortError'))
    return new EngineError('aborted', `request to ${who} was aborted`);
  if (isNamed(error, 'APIConnectionTimeoutError')) return new EngineError('timeout', `${who} did not answer in time`);
  if (code !== undefined && isConnectionCode(code))
    return new EngineError('refused', `no connection to ${who} (${code})`, { fields: { code } });
  return new EngineError('broken', `connection to ${who} broke${code === undefined ? '' : ` (${code})`}`, {
    cause: error,
    ...(code === undefined ? {} : { fields: { code } }),
  });
}

/** The error for an error object that arrived inside a stream, after status 200: `{message, type, code, status_code}` or parts of it. */
export function streamedError(value: unknown, who: string): EngineError {
  const code = shortName(field(value, 'code')) ?? shortName(field(value, 'type'));
  const status = [field(value, 'status_code'), field(value, 'status'), Number(field(value, 'code'))].find(isErrorStatus);
  const limited = code !== undefined && /rate_limit|insufficient_quota|too_many_requests/.test(code);
  const kind = limited ? 'rate_limited' : status === undefined ? 'server' : kindOfStatus(status);
  return new EngineError(kind, `${who} reported an error in its answer${code === undefined ? '' : ` (${code})`}`, {
    fields: { ...(status === undefined ? {} : { status }), ...(code === undefined ? {} : { code }) },
  });
}

function statusError(error: unknown, status: number, who: string): EngineError {
  const headers = field(error, 'headers');
  const body = field(error, 'error');
  const inner = field(body, 'error') ?? body;
  const code = shortName(field(inner, 'code')) ?? shortName(field(inner, 'type'));
  const requestId = shortName(header(headers, 'x-request-id'));
  const wait = retryAfterMs(headers);
  return new EngineError(kindOfStatus(status), `${who} answered ${status}${code === undefined ? '' : ` (${code})`}`, {
    fields: {
      status,
      ...(code === undefined ? {} : { code }),
      ...(requestId === undefined ? {} : { requestId }),
      ...(wait === undefined ? {} : { retryAfterMs: wait }),
    },
  });
}

/** Error codes and ids are short plain names. Anything else is prose, which may quote a secret. */
function shortName(value: unknown): string | undefined {
  return typeof value === 'string' && /^[A-Za-z][\w.-]{0,47}$/.test(value) && !/^(sk|gsk|key)[-_]/i.test(value)
    ? value
    : undefined;
}

function isErrorStatus(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 300 && value < 600;
}

function header(headers: unknown, name: string): string | undefined {
  const value = headers instanceof Headers ? headers.get(name) : field(headers, name);
  return typeof value === 'string' ? value : undefined;
}

function clampWait(waitMs: number): number {
  return Math.min(Math.max(waitMs, 0), retryAfterMaxMs);
}

/** SDK errors leave `name` at `Error`, therefore the class name counts too. */
function isNamed(error: unknown, name: string): boolean {
  return error instanceof Error && (error.name === name || error.constructor.name === name);
}

function codeOf(error: unknown): string | undefined {
  const codes = linksOf(error).map((link) => field(link, 'code'));
  return codes.find((code): code is string => typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,63}$/.test(code));
}

/** The error and what caused it, outermost first. */
function linksOf(error: unknown): unknown[] {
  const links: unknown[] = [];
  for (let link = error; link !== undefined && links.length < causesMax; link = field(link, 'cause')) links.push(link);
  return links;
}

function isConnectionCode(code: string): boolean {
  return connectionCodes.has(code) || code.startsWith('ERR_TLS') || code.startsWith('ERR_SSL') || code.includes('CERT');
}
