/** HTTP routes beside the WebSocket: health, readiness, figures, the page, and what the API thread answers. Main thread. */

import type { MetricsAnswer } from '../shared/links.js';
import { refusal } from './adapter-rules.js';
import { KeptDocument } from './kept-document.js';
import type { HttpRequest, HttpResponse } from './port.js';

export type RouteFacts = {
  readonly version: string;
  /** Why no calls should be sent here; undefined: they should. */
  readonly unready: () => string | undefined;
  /** Of each stage, its providers and whether calls go to them. */
  readonly providers: () => Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Calls go on without it, but nothing of them is kept. */
  readonly store: () => { readonly status: 'opening' | 'open' | 'unavailable'; readonly reason?: string };
  /** Calls, and places for more; of a fleet, its processes besides. */
  readonly counts: () => {
    readonly calls: number;
    readonly free: number;
    readonly openCount?: number;
    readonly processCount?: number;
  };
  readonly metricsText: () => string | Promise<string>;
  /** The same with HDR histograms, encoded to be merged. */
  readonly metricsAnswers: () => Promise<readonly MetricsAnswer[]>;
  readonly page: (method: string, path: string, ifNoneMatch?: string, acceptEncoding?: string) => HttpResponse | undefined;
  /** Everything below `/v1/`, and the description of it. */
  readonly api: { ask(request: HttpRequest): Promise<HttpResponse> };
  readonly onError: (path: string, error: unknown) => void;
};

export function createRoutes(facts: RouteFacts): (request: HttpRequest) => HttpResponse | Promise<HttpResponse> {
  const routes: Readonly<Record<string, (request: HttpRequest) => HttpResponse | Promise<HttpResponse>>> = {
    '/healthz': () => json(200, { status: 'ok', version: facts.version }),
    '/readyz': () => {
      const reason = facts.unready();
      const { calls, free, openCount, processCount } = facts.counts();
      return json(reason === undefined ? 200 : 503, {
        status: reason === undefined ? 'ready' : 'not_ready',
        ...(reason === undefined ? {} : { reason }),
        calls,
        free,
        ...(processCount === undefined ? {} : { processes: { open: openCount, all: processCount } }),
        providers: facts.providers(),
        store: facts.store(),
      });
    },
    '/metrics': async (request) =>
      asksForJson(request)
        ? json(200, { answers: await facts.metricsAnswers() }, { vary: 'accept' })
        : {
            status: 200,
            headers: { 'content-type': 'text/plain; version=0.0.4', 'cache-control': 'no-store', vary: 'accept' },
            body: await facts.metricsText(),
          },
  };
  const openApi = new KeptDocument((request) => facts.api.ask(request));
  const answer = (request: HttpRequest): HttpResponse | Promise<HttpResponse> => {
    const route = routes[request.path];
    if (route !== undefined) {
      return isRead(request) ? route(request) : refusal(405, 'method_not_allowed', 'Only GET is allowed here.');
    }
    if (request.path === '/openapi.json' && isRead(request)) return openApi.answer(request);
    if (request.path.startsWith('/v1/') || request.path === '/openapi.json') return facts.api.ask(request);
    return (
      facts.page(request.method, request.path, request.header('if-none-match'), request.header('accept-encoding')) ??
      refusal(404, 'not_found', 'There is nothing at this path.')
    );
  };
  return async (request) => {
    try {
      return await answer(request);
    } catch (error) {
      facts.onError(request.path, error);
      return refusal(500, 'internal_error', 'Something went wrong here.');
    }
  };
}

function isRead({ method }: HttpRequest): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** JSON is for programs that name it; Prometheus and people get text. */
function asksForJson(request: HttpRequest): boolean {
  return /(^|,)\s*application\/json\s*(;|,|$)/i.test(request.header('accept') ?? '');
}

function json(status: number, value: unknown, more: Readonly<Record<string, string>> = {}): HttpResponse {
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', ...more };
  return { status, headers, body: JSON.stringify(value) };
}
