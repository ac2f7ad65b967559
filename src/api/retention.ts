/** What may not be kept: at the end of a conversation and, for older ones, once an hour. API thread. */
import type { AgentConfig } from '../store/agents.js';
import type { ConversationRecord, Store } from '../store/port.js';
import type { AgentDirectory } from './agent-directory.js';
import { filesOf } from './conversation-documents.js';
import type { Recordings } from './recording.js';

export const retentionLimits = {
  sweepEveryMs: 3600_000,
  /** Conversations of one agent in one sweep. */
  deletedMax: 10_000,
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

  /** Right after the end: what the agent says is not to be kept at all. */
  async atEnd(conversationId: string, agentId: string): Promise<void> {
    const privacy = await this.#privacyOf(agentId);
    if (privacy === undefined) return;
    if (privacy.retention_days === 0) {
      await this.delete(conversationId);
      return;
    }
    if (privacy.delete_audio || !privacy.record_voice) await this.#recordings?.remove(conversationId);
    if (privacy.delete_transcript_and_pii) await this.#anonymise(conversationId);
  }

  /** Deletes what is older than the agents say. Returns how many conversations that were. */
  async sweep(): Promise<number> {
    let deleted = 0;
    for await (const agentId of this.#directory.ids()) {
      const days = (await this.#privacyOf(agentId))?.retention_days ?? -1;
      if (days >= 0) deleted += await this.#sweepAgent(agentId, this.#nowMs() - days * dayMs);
    }
    return deleted;
  }

  async #sweepAgent(agentId: string, beforeMs: number): Promise<number> {
    let deleted = 0;
    while (deleted < retentionLimits.deletedMax) {
      const ids = await this.#store.endedBefore(agentId, beforeMs);
      let gone = 0;
      for (const id of ids) if (await this.delete(id)) gone += 1;
      deleted += gone;
      // Nothing to do, or nothing that can be done.
      if (gone === 0) return deleted;
    }
    return deleted;
  }

  /** Of the conversation stays that it was, when and for how long. */
  async #anonymise(conversationId: string): Promise<void> {
    const record = await this.#store.conversation(conversationId);
    if (record === undefined || record.status === 'in-progress') return;
    await this.#deleteFiles(record);
    await this.#store.deleteConversation(conversationId);
    const { agentId, agentVersion, startedAtMs, status, endedAtMs, document } = record;
    const kept = ['text_only', 'main_language', 'termination_reason', 'error', 'usage', 'recording'] as const;
    await this.#store.beginConversation({ conversationId, agentId, agentVersion, userId: undefined, startedAtMs, document: {} });
    await this.#store.endConversation(conversationId, {
      status,
      endedAtMs: endedAtMs ?? this.#nowMs(),
      document: Object.fromEntries(kept.flatMap((name) => (document[name] === undefined ? [] : [[name, document[name]]]))),
    });
  }

  async #deleteFiles(record: ConversationRecord): Promise<void> {
    for (const { file_id: fileId } of filesOf(record.document)) await this.#store.deleteFile(fileId);
  }

  async #privacyOf(agentId: string): Promise<AgentConfig['platform_settings']['privacy'] | undefined> {
    return (await this.#directory.session(agentId))?.agent.platform_settings.privacy;
  }
}
