/** Measurements of a client that was late itself say nothing of the server: they are made again. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** The monitor reports a late turn of the loop only with the next one. */
const settleMs = 3;

export type Patience = { readonly lateMaxMs: number; readonly attemptsMax: number };

/** What `measure` found while this process was never later than `lateMaxMs`; the last attempt counts, whatever it was. */
export async function whileSteady<Found>({ lateMaxMs, attemptsMax }: Patience, measure: () => Promise<Found>): Promise<Found> {
  for (let attempt = 1; ; attempt++) {
    const lateness = monitorEventLoopDelay({ resolution: 1 });
    lateness.enable();
    const found = await measure();
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    lateness.disable();
    if (lateness.max / 1e6 <= lateMaxMs || attempt === attemptsMax) return found;
  }
}
