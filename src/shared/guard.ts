/** A bug that one session meets ends that session, not the thread. Every thread that serves sessions enters them through here. */
import type { Address, SessionFailed } from './links.js';

/** Runs `enter` for the session at `address`; what it throws is told to main, which ends the call. */
export function guarded(address: Address, toMain: (message: SessionFailed) => void, enter: () => void): void {
  try {
    enter();
  } catch (error) {
    const { slot, generation } = address;
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    toMain({ type: 'session_failed', slot, generation, message });
  }
}
