/** The figures of the last minutes, by sequence number: what the dashboard asks for once a second. API thread. */
import { z } from 'zod';
import { seriesBounds } from '../telemetry/series-bucket.js';
import type { ApiContext } from './context.js';
import { json, type Route, route } from './router.js';

const number = (max: number) => z.coerce.number().int().min(0).max(max);
const query = z.object({
  after: number(Number.MAX_SAFE_INTEGER).default(0),
  run: z.string().max(64).optional(),
  limit: number(seriesBounds.bucketsPerAnswerMax).default(seriesBounds.bucketsPerAnswerMax),
});

export function seriesRoutes({ series }: ApiContext): Route[] {
  return [
    route('GET', '/v1/parley/series', {
      id: 'getSeries',
      summary: 'Figures of the engine, second by second: those that follow `after`, of the last 15 minutes',
      query,
      answer: json(
        z.looseObject({ run: z.string(), oldest_seq: z.int(), newest_seq: z.int(), buckets: z.array(z.looseObject({})) }),
      ),
      run: async ({ query: { after, run, limit } }) => ({
        status: 200,
        headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
        bytes: new TextEncoder().encode(await series({ after, run, limit })),
      }),
    }),
  ];
}
