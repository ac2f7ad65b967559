/** A bug that one session meets ends that session, not the thread. Every thread that serves sessions enters them through here. */
import type { MessagePort } from 'node:worker_threads';
import type { Address, SessionFailed } from './links.js';

/** Runs `enter` for the session at `address`; what it throws is told to main, which ends the call. */
export function guarded(address: Address, main: MessagePort, enter: () => void): void {
  try {
    enter();
  } catch (error) {
    const { slot, generation } = address;
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    main.postMessage({ type: 'session_failed', slot, generation, message } satisfies SessionFailed);
  }
}
