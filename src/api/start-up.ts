/** What is done once the store is open: stored agents are announced, and what killed processes left is put in order. API thread. */
import type { Store } from '../store/port.js';
import type { AgentDirectory } from './agent-directory.js';

/** In a database that several processes share, others may die at any time. */
export const abandonedCheckMs = 60_000;

const reason = 'The server stopped in the middle of the call.';

/** Opens the store. Fails when the store does; may be called again. Returns how many conversations were closed. */
export async function putInOrder(
  store: Store,
  directory: AgentDirectory,
  processStartedAtMs: number,
  nowMs: () => number,
): Promise<number> {
  await store.open();
  await directory.announceFiles();
  return closeAbandoned(store, processStartedAtMs, nowMs);
}

/** Ends conversations that nobody holds any more, with the length of what was written of them. Returns how many. */
export async function closeAbandoned(store: Store, startedBeforeMs: number, nowMs: () => number): Promise<number> {
  const abandoned = await store.closeAbandoned(startedBeforeMs, {
    status: 'failed',
    endedAtMs: nowMs(),
    document: { termination_reason: reason, error: { code: 1011, reason } },
  });
  for (const conversationId of abandoned) {
    const items = (await store.conversation(conversationId))?.items ?? [];
    const seconds = items.map(({ document }) => document['time_in_call_secs']).filter((value) => typeof value === 'number');
    await store.amendConversation(conversationId, { call_duration_secs: Math.max(0, ...seconds) });
  }
  return abandoned.length;
}
