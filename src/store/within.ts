/** A wait with a bound. Any evented thread. */
import { EngineError } from '../shared/errors.js';

/** What `work` resolves to, or a failure with `timeout` after `delayMs`; the work itself goes on, and what it says later is not listened to. */
export async function within<Result>(work: Promise<Result>, delayMs: number, what: string): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const end = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new EngineError('timeout', `${what} did not answer within ${delayMs} ms.`)), delayMs);
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    clearTimeout(timer);
  }
}
