/** For processes of callers: a microphone that is late because of other work on the machine measures nothing. */
import { setPriority } from 'node:os';

/** Before the engine's own threads. */
const niceness = -15;

/** Where there is no right to it nothing changes, and the lateness of the callers shows it. */
export function goFirst(): void {
  try {
    setPriority(0, niceness);
  } catch {
    // Told by `generator_lateness`, or by the timing of an evaluation.
  }
}
