/**
 * Which threads go first when the machine is busy. On Linux each thread has a niceness of its own; raising it needs the right to (root, or
 * CAP_SYS_NICE), lowering it never does. Elsewhere it belongs to the whole process, and is left alone. Every thread calls this for itself.
 */
import { setPriority } from 'node:os';

/** `media`: what a caller hears a delay of. `turn`: what an answer waits for. `background`: what nobody on the line waits for. */
export type Urgency = 'media' | 'turn' | 'background';

/** A runnable thread gets about a quarter more of a busy core for each step down (`man 7 sched`); -10 is below what the system's own helpers use. */
const nicenessOf: Readonly<Record<Urgency, number>> = { media: -10, turn: -5, background: 5 };

/** Returns the niceness that the calling thread has now; 0 where it was not allowed to go first. A new thread inherits that of its maker. */
export function takePriority(urgency: Urgency): number {
  if (process.platform !== 'linux') return 0;
  const niceness = nicenessOf[urgency];
  try {
    setPriority(0, niceness); // 0: the calling thread
    return niceness;
  } catch {
    return 0; // no right to it, which is the usual case in a container; everything works, with longer tails under load
  }
}
