/**
 * Figures in real time mean something only while this process gets its turns: on a machine that does too much else they are taken again, and when
 * it never is quiet they are not judged.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

const attemptsMax = 3;
const lateMaxMs = 40;

/** What `measure` found; `isSteady`: this process was never late meanwhile, so that its instants can be judged. */
export async function steadily<Found>(
  measure: () => Promise<Found>,
): Promise<{ readonly found: Found; readonly isSteady: boolean; readonly lateMs: number }> {
  for (let attempt = 1; ; attempt++) {
    const lateness = monitorEventLoopDelay({ resolution: 5 });
    lateness.enable();
    const found = await measure();
    lateness.disable();
    const lateMs = Math.round(lateness.max / 1e6);
    const isSteady = lateMs <= lateMaxMs;
    if (isSteady || attempt === attemptsMax) return { found, isSteady, lateMs };
  }
}
