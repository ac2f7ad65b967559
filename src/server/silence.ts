/** How long a client may be silent before it is pinged, and before it is given up. Pure; for the adapter whose library does not do it itself. */
import { lostAfterMs, pingAfterMs } from './adapter-rules.js';

/** What is known about one socket's silence. `bytesRead`: by then, in all; `pinged`: since the last byte from the client. */
export type Silence = { readonly bytesRead: number; readonly sinceMs: number; readonly pinged: boolean };

/** One look at a socket: what to do now, and what to remember for the next look. */
export function lookAt(silence: Silence, bytesRead: number, atMs: number): { silence: Silence; action: 'none' | 'ping' | 'cut' } {
  if (bytesRead !== silence.bytesRead) return { silence: { bytesRead, sinceMs: atMs, pinged: false }, action: 'none' };
  if (atMs - silence.sinceMs >= lostAfterMs) return { silence, action: 'cut' };
  if (silence.pinged || atMs - silence.sinceMs < pingAfterMs) return { silence, action: 'none' };
  return { silence: { ...silence, pinged: true }, action: 'ping' };
}
