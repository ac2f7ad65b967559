/**
 * Routes as data: path, who may, what goes in, what comes out, and the function that does it. The router and the OpenAPI document are
 * made of the same table. API thread.
 */
import { z } from 'zod';
import { isSameSecret } from '../shared/secret.js';
import { issuesOf, withoutNulls } from '../store/agents.js';
import { answerOf, refuse, unprocessable, wrongsOf } from './errors.js';
import { type ApiAnswer, type ApiRequest, preflight, readJson } from './http.js';
import type { HttpAsk } from './links.js';

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** What a route answers with, for the document. */
export type Described =
  | { readonly kind: 'json'; readonly schema: z.ZodType }
  | { readonly kind: 'bytes'; readonly mediaTypes: readonly string[] };

export type Route = {
  readonly method: Method;
  /** With `{name}` for what differs. */
  readonly path: string;
  /** Name of the operation, unique. */
  readonly id: string;
  readonly summary: string;
  /** Without a key. */
  readonly isPublic: boolean;
  readonly query: z.ZodObject | undefined;
  readonly body: BodyKind;
  readonly answer: Described;
  readonly run: (request: ApiRequest) => Promise<ApiAnswer>;
};

export type BodyKind =
  | { readonly kind: 'none' }
  | { readonly kind: 'json'; readonly schema: z.ZodType; readonly described: z.ZodType; readonly isOptional: boolean }
  /** One file, in the field of this name; the handler reads it. */
  | { readonly kind: 'file'; readonly field: string };

type Spec<Query extends z.ZodObject, Body extends z.ZodType> = {
  readonly id: string;
  readonly summary: string;
  readonly isPublic?: boolean;
  readonly query?: Query;
  readonly body?: Body;
  /** For the document, where the handler checks more of the body than `body` says. */
  readonly described?: z.ZodType;
  /** A body may be missing; the handler gets what the schema makes of `{}`. */
  readonly isBodyOptional?: boolean;
  readonly file?: string;
  readonly answer: Described;
  readonly run: (request: ApiRequest<z.infer<Query>, z.infer<Body>>) => Promise<ApiAnswer>;
};

const nothing = z.object({});

/** One route; the handler's types follow from its schemas. */
export function route<Query extends z.ZodObject = typeof nothing, Body extends z.ZodType = z.ZodUndefined>(
  method: Method,
  path: string,
  spec: Spec<Query, Body>,
): Route {
  const { id, summary, isPublic = false, query, body, described, isBodyOptional = false, file, answer } = spec;
  return {
    method,
    path,
    id,
    summary,
    isPublic,
    query,
    body:
      file !== undefined
        ? { kind: 'file', field: file }
        : body !== undefined
          ? { kind: 'json', schema: body, described: described ?? body, isOptional: isBodyOptional }
          : { kind: 'none' },
    answer,
    // What comes out of the schemas is what the handler was declared for.
    run: spec.run as Route['run'],
  };
}

export const json = (schema: z.ZodType): Described => ({ kind: 'json', schema });
export const bytes = (...mediaTypes: string[]): Described => ({ kind: 'bytes', mediaTypes });

export type Gatekeeper = {
  /** Empty: this server has none. */
  readonly apiKey: string;
  /** Only this machine can reach the server: without a key everything is open to it. */
  readonly isLoopback: boolean;
};

type Entry = { readonly segments: readonly string[]; readonly byMethod: Map<string, Route> };

export class Router {
  readonly routes: readonly Route[];
  readonly #gatekeeper: Gatekeeper;
  readonly #entries: readonly Entry[];
  readonly #onBug: (ask: HttpAsk, error: unknown) => void;

  /** `onBug` gets what no handler foresaw; the client gets 500. */
  constructor(routes: readonly Route[], gatekeeper: Gatekeeper, onBug: (ask: HttpAsk, error: unknown) => void) {
    this.routes = routes;
    this.#gatekeeper = gatekeeper;
    this.#onBug = onBug;
    const entries = new Map<string, Entry>();
    for (const one of routes) {
      const entry = entries.get(one.path) ?? { segments: segmentsOf(one.path), byMethod: new Map() };
      entry.byMethod.set(one.method, one);
      entries.set(one.path, entry);
    }
    // A path written out goes before one with a name in it: `/agents/create` is not an agent.
    const openness = ({ segments }: Entry): number => segments.filter((segment) => segment.startsWith('{')).length;
    this.#entries = [...entries.values()].sort((left, right) => openness(left) - openness(right));
  }

  /** Never rejects. */
  async answer(ask: HttpAsk): Promise<ApiAnswer> {
    try {
      return await this.#answer(ask);
    } catch (error) {
      const answer = answerOf(error, this.#isTrusted(ask));
      if (answer !== undefined) return answer;
      this.#onBug(ask, error);
      return refuse(500, 'internal_error', 'Something went wrong here.').answer;
    }
  }

  /** It got beyond the key. */
  #isTrusted(ask: HttpAsk): boolean {
    return this.#find(ask.path)?.entry.byMethod.get(ask.method)?.isPublic === false;
  }

  async #answer(ask: HttpAsk): Promise<ApiAnswer> {
    const found = this.#find(ask.path);
    if (found === undefined) throw refuse(404, 'not_found', 'There is nothing at this path.');
    const { entry, params } = found;
    if (ask.method === 'OPTIONS') return preflight;
    const one = entry.byMethod.get(ask.method === 'HEAD' ? 'GET' : ask.method);
    if (one === undefined) {
      const allowed = [...entry.byMethod.keys()].join(', ');
      throw refuse(405, 'method_not_allowed', `Allowed here: ${allowed}.`, { allow: allowed });
    }
    if (!one.isPublic) this.#demandKey(ask);
    const query = one.query === undefined ? undefined : checked('query', one.query, queryValues(ask.query));
    const raw = one.body.kind === 'json' ? rawBodyOf(ask, one.body.isOptional) : undefined;
    const body = one.body.kind === 'json' ? checked('body', one.body.schema, raw) : undefined;
    return one.run({ ask, params, query, body, raw });
  }

  #find(path: string): { readonly entry: Entry; readonly params: Record<string, string> } | undefined {
    const segments = segmentsOf(path);
    for (const entry of this.#entries) {
      const params = paramsOf(entry.segments, segments);
      if (params !== undefined) return { entry, params };
    }
    return undefined;
  }

  #demandKey({ headers }: HttpAsk): void {
    const { apiKey, isLoopback } = this.#gatekeeper;
    if (apiKey === '') {
      if (!isLoopback) throw refuse(401, 'invalid_api_key', 'This server has no API key, so this is closed. Set PARLEY_API_KEY.');
      // Any page that somebody on this machine looks at can send requests here; only our own may.
      if (!isLocalRequest(headers))
        throw refuse(403, 'missing_permissions', 'Without an API key only pages of this server may ask this.');
      return;
    }
    const bearer = /^bearer +(\S+) *$/i.exec(headers['authorization'] ?? '')?.[1];
    const shown = headers['xi-api-key'] ?? bearer;
    if (shown === undefined) throw refuse(401, 'invalid_api_key', 'Send the API key in the header xi-api-key.');
    if (!isSameSecret(shown, apiKey)) throw refuse(401, 'invalid_api_key', 'The API key is not valid here.');
  }
}

const loopbackName = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i;

/** The host that was asked for is this machine (a foreign name may be made to point here), and the page that asks, if any, is ours. */
function isLocalRequest(headers: HttpAsk['headers']): boolean {
  const { host = '', origin } = headers;
  if (!loopbackName.test(host)) return false;
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === host.toLowerCase());
}

function segmentsOf(path: string): string[] {
  return path.replace(/\/+$/, '').split('/').slice(1);
}

function paramsOf(pattern: readonly string[], segments: readonly string[]): Record<string, string> | undefined {
  if (pattern.length !== segments.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index]!;
    if (part.startsWith('{')) {
      if (segment === '') return undefined;
      params[part.slice(1, -1)] = segment;
    } else if (part !== segment) return undefined;
  }
  return params;
}

/** Names that come more than once, or with `[]`, are lists. */
function queryValues(query: string): Record<string, unknown> {
  const values: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  const search = new URLSearchParams(query);
  for (const key of new Set(search.keys())) {
    const all = search.getAll(key);
    values[key.replace(/\[\]$/, '')] = all.length > 1 || key.endsWith('[]') ? all : all[0];
  }
  return { ...values };
}

function rawBodyOf(ask: HttpAsk, isOptional: boolean): unknown {
  if (ask.body.byteLength === 0) {
    if (isOptional) return {};
    throw unprocessable([{ loc: ['body'], msg: 'The request has no body; a JSON object is expected.', type: 'missing' }]);
  }
  const read = readJson(ask.body);
  if (read.ok) return read.value;
  const type = ask.headers['content-type'] ?? '';
  // What is JSON is taken whatever it is called: curl calls everything a form.
  if (type !== '' && !/^application\/([\w.-]+\+)?json\b/i.test(type)) {
    const msg = `The body is sent as ${type.slice(0, 100)} and is no JSON. Send JSON, with content-type: application/json.`;
    throw unprocessable([{ loc: ['header', 'content-type'], msg, type: 'content_type' }]);
  }
  throw unprocessable([{ loc: ['body'], msg: read.message, type: 'json_invalid' }]);
}

function checked(where: 'body' | 'query', schema: z.ZodType, value: unknown): unknown {
  const plain = withoutNulls(value);
  const result = schema.safeParse(plain);
  if (result.success) return result.data;
  throw unprocessable(wrongsOf([where], issuesOf(result.error, plain)));
}
