/** Requests and answers of the REST side, after main read them and before main writes them. API thread. */
import type { Readable } from 'node:stream';
import type { HttpAsk } from './links.js';

/** Bytes that come one part after another; `return` is called when nobody wants the rest. */
export type Parts = AsyncIterator<Uint8Array>;

/** One of three bodies: JSON, bytes of a stated type, or parts of a stated type. None of them: empty. */
export type ApiAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly json?: unknown;
  readonly bytes?: Uint8Array;
  readonly parts?: Parts;
};

/** What a handler gets: checked by the schemas of its route. */
export type ApiRequest<Query = unknown, Body = unknown> = {
  readonly ask: HttpAsk;
  /** Parts of the path by name. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  /** The body's JSON as it came, with what the schema does not know and with its nulls. */
  readonly raw: unknown;
};

/** The stream as parts. Whether or not any was read, nothing of it stays open after `return`. */
export function partsOf(stream: Readable): Parts {
  const iterator: AsyncIterator<Uint8Array> = stream[Symbol.asyncIterator]();
  return {
    next: () => iterator.next(),
    return: async () => {
      // It waits for a part that is being read, but closes only what was begun.
      await iterator.return?.();
      stream.destroy();
      // It may say before that it was broken off, which is what was wanted.
      if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve));
      return { done: true, value: undefined };
    },
  };
}

export function ok(json: unknown): ApiAnswer {
  return { status: 200, headers: {}, json };
}

/** Pages of other origins may read every answer: what is not public asks for a key, and a key is no cookie. */
export const corsHeaders = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'content-disposition, content-range, retry-after',
} as const;

export const preflight: ApiAnswer = {
  status: 204,
  headers: {
    'access-control-allow-methods': 'GET, POST, PATCH, DELETE, OPTIONS',
    'access-control-allow-headers': 'content-type, xi-api-key, authorization, range',
    'access-control-max-age': '86400',
  },
};

/** How deep JSON of a client may be. */
const depthMax = 64;

export type ReadJson = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly message: string };

/** The value, or what is wrong with the bytes: they are to be JSON in UTF-8 of a sensible depth. */
export function readJson(body: Uint8Array): ReadJson {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return { ok: false, message: 'The body is not UTF-8.' };
  }
  try {
    const value: unknown = JSON.parse(text);
    if (!isDeeper(value, depthMax)) return { ok: true, value };
    return { ok: false, message: `The body is nested deeper than ${depthMax} levels.` };
  } catch (error) {
    return {
      ok: false,
      message: `The body is not JSON: ${error instanceof Error ? error.message.slice(0, 200) : 'unreadable'}.`,
    };
  }
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((item) => isDeeper(item, levels - 1));
}
