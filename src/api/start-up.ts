/** What is done once the store is open: stored agents are announced, and what killed processes left is put in order. API thread. */
import { problemOf } from '../shared/errors.js';
import type { ConversationEnding, ConversationRecord, Store } from '../store/port.js';
import type { AgentDirectory } from './agent-directory.js';
import type { StoreTold } from './links.js';
import type { Outbox } from './outbox.js';
import type { Retention } from './retention.js';

/** In a database that several processes share, others may die at any time. */
export const abandonedCheckMs = 60_000;

/** The store could not be opened: it is tried again this much later. */
const openAgainMs = 10_000;

export type OpeningParts = {
  readonly store: Store;
  readonly directory: AgentDirectory;
  readonly retention: Retention;
  readonly processStartedAtMs: number;
  readonly nowMs: () => number;
  readonly outbox: Outbox | undefined;
  /** It is open, and so many conversations were closed that nobody held any more. */
  readonly onOpen: (closedCount: number) => void;
  readonly onProblem: (error: unknown) => void;
  readonly tell: (message: StoreTold) => void;
};

/** Opens the store in the background, again and again until it is open; calls do not wait for it. */
export class Opening {
  readonly #parts: OpeningParts;
  #again: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(parts: OpeningParts) {
    this.#parts = parts;
  }

  begin(): void {
    const { store, directory, retention, processStartedAtMs, nowMs, outbox, onOpen, onProblem, tell } = this.#parts;
    putInOrder(store, directory, retention, processStartedAtMs, nowMs, outbox).then(
      (closedCount) => {
        tell({ type: 'store', isOpen: true, reason: '' });
        onOpen(closedCount);
      },
      (error: unknown) => {
        // Whoever ends the engine while the store is being opened has done nothing wrong.
        if (this.#isStopped) return;
        onProblem(error);
        tell({ type: 'store', isOpen: false, reason: problemOf(error).message });
        this.#again = setTimeout(() => this.begin(), openAgainMs);
      },
    );
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#again);
  }
}

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
