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

export function seriesRoutes({ history, providers, sessionsMax }: ApiContext): Route[] {
  return [
    route('GET', '/v1/parley/series', {
      id: 'getSeries',
      summary: 'Figures of the engine, second by second: those that follow `after`, of the last 15 minutes',
      query,
      answer: json(
        z.looseObject({ run: z.string(), oldest_seq: z.int(), newest_seq: z.int(), buckets: z.array(z.looseObject({})) }),
      ),
      run: async ({ query: { after, run, limit } }) => {
        const { run: current, oldestSeq, newestSeq } = history;
        // Numbers of another run, or of the future, are no place in this one.
        const from = (run !== undefined && run !== current) || after > newestSeq ? 0 : after;
        const head = JSON.stringify({
          ...{ run: current, interval_ms: seriesBounds.intervalMs, oldest_seq: oldestSeq, newest_seq: newestSeq },
          ...{ sessions_max: sessionsMax, providers },
        });
        const text = `${head.slice(0, -1)},"buckets":[${history.after(from, limit).join(',')}]}`;
        return {
          status: 200,
          headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
          bytes: new TextEncoder().encode(text),
        };
      },
    }),
  ];
}
