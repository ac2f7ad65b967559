/** All routes of the REST side. API thread. */
import { agentRoutes } from './agents.js';
import type { ApiContext } from './context.js';
import { conversationRoutes } from './conversations.js';
import { feedbackAndFileRoutes } from './feedback-and-files.js';
import type { HttpAsk } from './links.js';
import { openApiRoutes } from './openapi.js';
import { Router } from './router.js';
import { seriesRoutes } from './series-routes.js';
import { signedUrlRoutes } from './signed-urls.js';
import { toolAndServerRoutes } from './tools-and-servers.js';
import { unbuiltRoutes } from './unbuilt.js';
import { widgetRoutes } from './widget.js';

/** `onBug` gets what no handler foresaw. */
export function createRest(context: ApiContext, onBug: (ask: HttpAsk, error: unknown) => void): Router {
  const routes = [
    ...agentRoutes(context),
    ...widgetRoutes(context),
    ...signedUrlRoutes(context),
    ...conversationRoutes(context),
    ...feedbackAndFileRoutes(context),
    ...toolAndServerRoutes(context),
    ...unbuiltRoutes(),
    ...seriesRoutes(context),
  ];
  const { setup, isLoopback, version } = context;
  return new Router([...routes, ...openApiRoutes(routes, version, setup.publicUrl)], { apiKey: setup.apiKey, isLoopback }, onBug);
}
