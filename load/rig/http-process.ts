/** The process that asks over HTTP while calls go on, started by `autocannon.ts`: takes one order, answers with its figures. */
import { createRequire } from 'node:module';
import type { HttpAnswer, HttpOrder } from './autocannon.js';

/** The part of the package that is used. */
type Autocannon = (options: {
  readonly url: string;
  readonly connections: number;
  readonly overallRate: number;
  readonly duration: number;
  readonly headers: Readonly<Record<string, string>>;
}) => PromiseLike<{
  readonly latency: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly requests: { readonly total: number };
  readonly non2xx: number;
  readonly errors: number;
  readonly timeouts: number;
}>;

async function serve({ url, connections, rate, seconds, headers }: HttpOrder): Promise<HttpAnswer> {
  try {
    const autocannon = createRequire(import.meta.url)('autocannon') as Autocannon;
    const { latency, requests, non2xx, errors, timeouts } = await autocannon({
      url,
      connections,
      overallRate: rate,
      duration: seconds,
      headers,
    });
    const { p50, p99, max } = latency;
    return {
      figures: { path: new URL(url).pathname, requests: requests.total, p50, p99, max, non2xx, errors: errors + timeouts },
    };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

process.once('message', (order: HttpOrder) => void serve(order).then((answer) => process.send?.(answer)));
process.on('disconnect', () => process.exit());
