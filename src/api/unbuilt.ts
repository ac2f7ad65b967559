/** Routes of the public API that are not built here: each says so, and what there is instead. API thread. */
import { z } from 'zod';
import { refuse } from './errors.js';
import { json, type Route, route } from './router.js';

const noTelephone = 'This server has no bridge to telephone calls. A bridge of your own can relay them with ulaw_8000 both ways.';
const noSimulation = 'This server does not simulate conversations. Open one with conversation.text_only set, and type.';

const unbuilt = [
  { id: 'registerTwilioCall', path: '/v1/convai/twilio/register-call', instead: noTelephone },
  { id: 'twilioOutboundCall', path: '/v1/convai/twilio/outbound-call', instead: noTelephone },
  { id: 'simulateConversation', path: '/v1/convai/agents/{agent_id}/simulate-conversation', instead: noSimulation },
  { id: 'streamSimulatedConversation', path: '/v1/convai/agents/{agent_id}/simulate-conversation/stream', instead: noSimulation },
  {
    id: 'uploadAvatar',
    path: '/v1/convai/agents/{agent_id}/avatar',
    instead: 'This server keeps no pictures of agents. Give the address of one: platform_settings.widget.avatar.',
  },
  {
    id: 'createSingleUseToken',
    path: '/v1/single-use-token/{token_type}',
    instead: 'These tokens open sockets for recognition and synthesis alone, which this server does not have.',
  },
] as const;

export function unbuiltRoutes(): Route[] {
  return unbuilt.map(({ id, path, instead }) =>
    route('POST', path, {
      id,
      summary: 'Not built: answers 501, and says what there is instead',
      answer: json(z.object({})),
      run: async () => {
        throw refuse(501, 'not_implemented', instead);
      },
    }),
  );
}
