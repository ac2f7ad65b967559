/**
 * Finished conversations that the operator's server has to be told of. What is to be told is written with the end of the conversation, so it
 * outlives this process: whoever finds it due tells it. Each is told at least once within a day, or given up. API thread.
 */
import type { Store } from '../store/port.js';
import type { AgentDirectory } from './agent-directory.js';
import { conversationDetail } from './conversation-documents.js';
import type { PostCall } from './post-call.js';
import type { Recordings } from './recording.js';

export const outboxLimits = {
  /** The process that ends a conversation tries for so long; then anybody may. Longer than all attempts of `PostCall` together. */
  leaseMs: 120_000,
  sweepEveryMs: 30_000,
  /** After that nobody is told any more. */
  giveUpAfterMs: 24 * 3600_000,
} as const;

type Parts = {
  readonly store: Store;
  readonly directory: AgentDirectory;
  readonly recordings: Recordings | undefined;
  readonly post: PostCall;
  /** Of links to files; empty: paths only. */
  readonly publicUrl: string;
  /** Unix. */
  readonly nowMs: () => number;
  readonly onProblem: (error: unknown) => void;
};

export class Outbox {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** To be written with the end of a conversation. */
  tellAtMs(): number {
    return this.#parts.nowMs() + outboxLimits.leaseMs;
  }

  /** Resolves when what is to be told has been read, so that the conversation may be deleted; the telling goes on. */
  async tell(conversationId: string): Promise<void> {
    const { store, directory, recordings, post, publicUrl, nowMs, onProblem } = this.#parts;
    const record = await store.conversation(conversationId);
    if (record === undefined || post.isTelling(conversationId)) return;
    const hasAudio = (await recordings?.exists(conversationId)) === true;
    const agentName = (await directory.record(record.agentId))?.name ?? null;
    const fileUrl = (fileId: string): string => `${publicUrl}/v1/convai/conversations/${conversationId}/files/${fileId}`;
    post.tell(conversationId, conversationDetail(record, { agentName, hasAudio, nowMs: nowMs(), fileUrl }), () => {
      store.told(conversationId).catch(onProblem);
    });
  }

  /** Tells what is due. Returns how many conversations that were. */
  async sweep(): Promise<number> {
    const { store, nowMs } = this.#parts;
    const claimed = await store.claimUntold(nowMs());
    for (const { conversationId, endedAtMs } of claimed) {
      if (nowMs() - endedAtMs > outboxLimits.giveUpAfterMs) {
        await store.told(conversationId);
        this.#parts.onProblem(new Error(`nobody took the end of ${conversationId} for a day`));
      } else await this.tell(conversationId);
    }
    return claimed.length;
  }
}
