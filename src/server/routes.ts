/** HTTP routes beside the WebSocket: health, readiness, figures, the page, and what the API thread answers. Main thread. */

import { refusal } from './adapter-rules.js';
import type { HttpRequest, HttpResponse } from './port.js';

export type RouteFacts = {
  readonly version: string;
  /** Why no calls should be sent here; undefined: they should. */
  readonly unready: () => string | undefined;
  /** Of each stage, its providers and whether calls go to them. */
  readonly providers: () => Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Calls go on without it, but nothing of them is kept. */
  readonly store: () => { readonly status: 'opening' | 'open' | 'unavailable'; readonly reason?: string };
  readonly freeCount: () => number;
  readonly liveCount: () => number;
  readonly metricsText: () => Promise<string>;
  readonly page: (method: string, path: string, ifNoneMatch?: string, acceptEncoding?: string) => HttpResponse | undefined;
  /** Everything below `/v1/`, and the description of it. */
  readonly api: { ask(request: HttpRequest): Promise<HttpResponse> };
  readonly onError: (path: string, error: unknown) => void;
};

export function createRoutes(facts: RouteFacts): (request: HttpRequest) => HttpResponse | Promise<HttpResponse> {
  const routes: Readonly<Record<string, () => HttpResponse | Promise<HttpResponse>>> = {
    '/healthz': () => json(200, { status: 'ok', version: facts.version }),
    '/readyz': () => {
      const reason = facts.unready();
      return json(reason === undefined ? 200 : 503, {
        status: reason === undefined ? 'ready' : 'not_ready',
        ...(reason === undefined ? {} : { reason }),
        calls: facts.liveCount(),
        free: facts.freeCount(),
        providers: facts.providers(),
        store: facts.store(),
      });
    },
    '/metrics': async () => ({
      status: 200,
      headers: { 'content-type': 'text/plain; version=0.0.4' },
      body: await facts.metricsText(),
    }),
  };
  const answer = (request: HttpRequest): HttpResponse | Promise<HttpResponse> => {
    const route = routes[request.path];
    if (route !== undefined) {
      const isRead = request.method === 'GET' || request.method === 'HEAD';
      return isRead ? route() : refusal(405, 'method_not_allowed', 'Only GET is allowed here.');
    }
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

function json(status: number, value: unknown): HttpResponse {
  return { status, headers: { 'content-type': 'application/json', 'cache-control': 'no-store' }, body: JSON.stringify(value) };
}
