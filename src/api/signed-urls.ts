/** Opening a conversation: signed URLs, and the token that this server does not have. API thread. */
import { z } from 'zod';
import { randomId } from '../shared/random-id.js';
import { signatureLifeMs, signTicket } from '../wire/signed-url.js';
import type { ApiContext } from './context.js';
import { refuse } from './errors.js';
import { type ApiAnswer, ok } from './http.js';
import { flagQuery } from './paging.js';
import { originsOf } from './public-url.js';
import { json, type Route, route } from './router.js';

const query = z.object({
  agent_id: z.string().min(1).max(128),
  include_conversation_id: flagQuery.default(false),
  branch_id: z.string().max(128).optional(),
  version_id: z.string().max(128).optional(),
  environment: z.string().max(128).optional(),
});

export function signedUrlRoutes(context: ApiContext): Route[] {
  const { directory, setup, signingKey, nowMs } = context;

  const sign = (id: string, path: string): Route =>
    route('GET', path, {
      id,
      summary: 'A URL that opens one conversation with this agent, once, within 15 minutes',
      query,
      answer: json(z.object({ signed_url: z.string(), conversation_id: z.string().optional() })),
      run: async ({ ask, query: asked }): Promise<ApiAnswer> => {
        const { agent_id: agentId, environment, branch_id: branchId } = asked;
        if ((await directory.record(agentId)) === undefined) {
          throw refuse(404, 'document_not_found', `Agent ${agentId} does not exist.`);
        }
        // Always in the signature: by it a second use is found out in the store, after a restart too and in other processes.
        const conversationId = `conv_${randomId()}`;
        const shownId = asked.include_conversation_id ? conversationId : undefined;
        const signature = signTicket(
          { agentId, expiresAtMs: nowMs() + signatureLifeMs, nonce: randomId(), conversationId, environment, branchId },
          signingKey,
        );
        const { socket } = originsOf(setup.publicUrl, ask.headers);
        const parts: readonly (readonly [string, string | undefined])[] = [
          ['agent_id', agentId],
          ['conversation_signature', signature],
          ['conversation_id', shownId],
          ['environment', environment],
          ['branch_id', branchId],
        ];
        const search = parts.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]));
        return ok({
          signed_url: `${socket}/v1/convai/conversation?${search.join('&')}`,
          ...(shownId === undefined ? {} : { conversation_id: shownId }),
        });
      },
    });

  return [
    sign('getSignedUrl', '/v1/convai/conversation/get-signed-url'),
    // The older spelling, still in use.
    sign('getSignedUrlOld', '/v1/convai/conversation/get_signed_url'),

    route('GET', '/v1/convai/conversation/token', {
      id: 'getConversationToken',
      summary: 'For WebRTC, which this server does not speak: always 404, with a message that says what to change',
      isPublic: true,
      query: z.object({ agent_id: z.string().max(128).optional() }),
      answer: json(z.object({})),
      run: async () => {
        throw refuse(404, 'webrtc_not_supported', 'This server speaks WebSocket only; pass connectionType: "websocket".');
      },
    }),
  ];
}
