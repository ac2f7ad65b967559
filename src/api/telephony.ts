/** Telephone calls by Twilio need a bridge for its media streams, which is not built: both requests say so. API thread. */
import { z } from 'zod';
import { refuse } from './errors.js';
import { json, type Route, route } from './router.js';

const body = z.looseObject({ agent_id: z.string().min(1).max(128), to_number: z.string().min(1).max(64) });

export function telephonyRoutes(): Route[] {
  const unbuilt = (id: string, path: string): Route =>
    route('POST', path, {
      id,
      summary: 'Not built: answers 501',
      body,
      answer: json(z.object({})),
      run: async () => {
        throw refuse(501, 'not_implemented', 'This server has no bridge to telephone calls.');
      },
    });
  return [
    unbuilt('registerTwilioCall', '/v1/convai/twilio/register-call'),
    unbuilt('twilioOutboundCall', '/v1/convai/twilio/outbound-call'),
  ];
}
