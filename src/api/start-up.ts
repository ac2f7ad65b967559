/** What is done once the store is open: stored agents are announced, and what killed processes left is put in order. API thread. */
import type { ConversationEnding, ConversationRecord, Store } from '../store/port.js';
import type { AgentDirectory } from './agent-directory.js';
import type { Outbox } from './outbox.js';
import type { Retention } from './retention.js';

/** In a database that several processes share, others may die at any time. */
export const abandonedCheckMs = 60_000;

const reason = 'The server stopped in the middle of the call.';

/** Opens the store. Fails when the store does; may be called again. Returns how many conversations were closed. */
export async function putInOrder(
  store: Store,
  directory: AgentDirectory,
  retention: Retention,
  processStartedAtMs: number,
  nowMs: () => number,
  outbox?: Outbox,
): Promise<number> {
  await store.open();
  await directory.announceFiles();
  return closeAbandoned(store, retention, processStartedAtMs, nowMs, outbox);
}

/** How a conversation ends whose process is gone. */
export function abandonedEnding(endedAtMs: number, tellAtMs: number | undefined): ConversationEnding {
  const document = { termination_reason: reason, error: { code: 1011, reason } };
  return { status: 'failed', endedAtMs, document, ...(tellAtMs === undefined ? {} : { tellAtMs }) };
}

/**
 * Ends conversations that nobody holds any more at the instant at which they were last heard of, and does what is to be done at an end.
 * Returns how many.
 */
export async function closeAbandoned(
  store: Store,
  retention: Retention,
  startedBeforeMs: number,
  nowMs: () => number,
  outbox?: Outbox,
): Promise<number> {
  const abandoned = await store.closeAbandoned(startedBeforeMs, abandonedEnding(nowMs(), outbox?.tellAtMs()));
  for (const conversationId of abandoned) {
    const record = await store.conversation(conversationId);
    // Its own process may have been slow only, and its word counts.
    if (record?.status !== 'failed') continue;
    await store.endConversation(conversationId, { status: 'failed', endedAtMs: lastHeardOfAtMs(record), document: {} });
  }
  for (const conversationId of abandoned) {
    await outbox?.tell(conversationId);
    await retention.atEnd(conversationId);
  }
  return abandoned.length;
}

/** Of the items: when they were told, which is when they were over, or else when they began. */
export function lastHeardOfAtMs({ startedAtMs, items }: ConversationRecord): number {
  const instants = items.flatMap(({ document: { told_at_ms: toldAtMs, time_in_call_secs: seconds } }) => [
    ...(typeof toldAtMs === 'number' ? [toldAtMs] : []),
    ...(typeof seconds === 'number' ? [startedAtMs + seconds * 1000] : []),
  ]);
  return Math.max(startedAtMs, ...instants);
}
