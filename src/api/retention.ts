/**
 * What may not be kept: at the end of a conversation and, of older ones, every few minutes. What goes and when is in the conversation's own
 * document (`src/store/due.ts`), so an agent that was changed or deleted since makes no difference. API thread.
 */
import { forbidsAudio, forbidsTranscript, privacyIn, retentionDaysOf } from '../store/due.js';
import type { ConversationRecord, Json, Store } from '../store/port.js';
import type { AgentDirectory } from './agent-directory.js';
import { filesOf } from './conversation-documents.js';
import type { Recordings } from './recording.js';

export const retentionLimits = {
  sweepEveryMs: 300_000,
  /** Conversations of one sweep. */
  sweptMax: 10_000,
  /** A conversation that has just ended belongs to the process that held it, which may still tell others of it. */
  graceMs: 60_000,
} as const;

const dayMs = 24 * 3600_000;

export class Retention {
  readonly #store: Store;
  readonly #directory: AgentDirectory;
  readonly #recordings: Recordings | undefined;
  readonly #nowMs: () => number;

  /** `nowMs`: unix. */
  constructor(store: Store, directory: AgentDirectory, recordings: Recordings | undefined, nowMs: () => number) {
    this.#store = store;
    this.#directory = directory;
    this.#recordings = recordings;
    this.#nowMs = nowMs;
  }

  /** Everything of one conversation. False when there was none. */
  async delete(conversationId: string): Promise<boolean> {
    const record = await this.#store.conversation(conversationId);
    await this.#recordings?.remove(conversationId);
    if (record === undefined) return false;
    await this.#deleteFiles(record);
    return this.#store.deleteConversation(conversationId);
  }

  /** For a conversation that is over: what is due by now goes. Returns whether nothing of it is left. What fails is due still. */
  async atEnd(conversationId: string): Promise<boolean> {
    const record = await this.#store.conversation(conversationId);
    if (record === undefined) return false;
    const { agentId, agentVersion, document, endedAtMs } = record;
    const written = privacyIn(document);
    const privacy: Json = written ?? (await this.#directory.privacy(agentId, agentVersion)) ?? {};
    const days = retentionDaysOf(privacy);
    if (days === 0 || (days > 0 && endedAtMs !== undefined && endedAtMs + days * dayMs <= this.#nowMs())) {
      return this.delete(conversationId);
    }
    // What is left to do afterwards.
    const left: Json = { privacy: { retention_days: days } };
    if (forbidsAudio(privacy)) await this.#recordings?.remove(conversationId);
    if (forbidsTranscript(privacy)) await this.#anonymise(record, left);
    else if (written === undefined || forbidsAudio(privacy)) await this.#store.amendConversation(conversationId, left);
    return false;
  }

  /**
   * Does what is due. `isHeld`: conversations that this process is still busy with. Returns how many were deleted. Fails when something could
   * not be done, after all else was.
   */
  async sweep(isHeld: (conversationId: string) => boolean = () => false): Promise<number> {
    const dueAtMs = this.#nowMs() - retentionLimits.graceMs;
    let deletedCount = 0;
    let sweptCount = 0;
    while (sweptCount < retentionLimits.sweptMax) {
      const failures: unknown[] = [];
      let doneCount = 0;
      for (const conversationId of await this.#store.dueConversations(dueAtMs)) {
        if (isHeld(conversationId)) continue;
        try {
          if (await this.atEnd(conversationId)) deletedCount += 1;
          doneCount += 1;
        } catch (error) {
          failures.push(error);
        }
      }
      sweptCount += doneCount;
      // Nothing to do, or nothing that can be done.
      if (doneCount > 0) continue;
      if (failures.length > 0) throw failures[0];
      break;
    }
    return deletedCount;
  }

  /** Of the conversation stays that it was, when and for how long. */
  async #anonymise(record: ConversationRecord, left: Json): Promise<void> {
    const { conversationId, agentId, agentVersion, startedAtMs, status, endedAtMs, document } = record;
    if (status === 'in-progress') return;
    await this.#deleteFiles(record);
    await this.#store.deleteConversation(conversationId);
    const kept = ['text_only', 'main_language', 'termination_reason', 'error', 'usage', 'recording'] as const;
    await this.#store.beginConversation({
      conversationId,
      agentId,
      agentVersion,
      userId: undefined,
      startedAtMs,
      document: left,
    });
    await this.#store.endConversation(conversationId, {
      status,
      endedAtMs: endedAtMs ?? this.#nowMs(),
      document: Object.fromEntries(kept.flatMap((name) => (document[name] === undefined ? [] : [[name, document[name]]]))),
    });
  }

  async #deleteFiles(record: ConversationRecord): Promise<void> {
    for (const { file_id: fileId } of filesOf(record.document)) await this.#store.deleteFile(fileId);
  }
}
