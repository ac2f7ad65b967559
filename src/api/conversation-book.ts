/**
 * Conversations as they happen: which are going on, and what is still to be written of them. Each has a queue of its own, written in order,
 * one at a time; a store that is slow or away holds up nobody but that queue, and what does not fit is counted. API thread.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { EngineError, problemOf } from '../shared/errors.js';
import { Turns } from '../shared/turns.js';
import { privacyIn } from '../store/due.js';
import type { ConversationEnding, ConversationHead, Json, Store, TranscriptItem } from '../store/port.js';
import type { Recorder } from '../telemetry/recorder.js';
import type { AgentDirectory } from './agent-directory.js';

export const bookLimits = {
  /** Writes that wait in one conversation, */
  queueMax: 512,
  /** and in all. */
  queuedMax: 20_000,
  /** Conversations written at the same time. */
  writingMax: 16,
  /** A write that failed because the store is away is tried again, after these times, */
  retryAfterMs: [250, 1000, 3000, 10_000],
  /** A reader waits so long for what is still to be written. */
  settleMs: 3000,
  /** One that may be just beginning is looked for so often, so far apart. */
  looks: 9,
  lookEveryMs: 25,
} as const;

type Write = { readonly key: string; run: () => Promise<unknown> };
export type Live = { readonly agentId: string; readonly agentVersion: number; readonly startedAtMs: number };

type Entry = {
  readonly writes: Write[];
  isWriting: boolean;
  /** Resolved when the queue is empty. */
  readonly waiters: (() => void)[];
};

export class ConversationBook {
  readonly #store: Store;
  readonly #directory: AgentDirectory;
  readonly #recorder: Recorder;
  readonly #onLost: (conversationId: string, message: string) => void;
  readonly #wait: (durationMs: number) => Promise<void>;
  readonly #live = new Map<string, Live>();
  readonly #entries = new Map<string, Entry>();
  /** Conversations whose turn it is to be written, in order. */
  readonly #ready: string[] = [];
  readonly #turns = new Turns();
  /** Going on under the id of another conversation: nothing of them is written. */
  readonly #refused = new Set<string>();
  #queuedCount = 0;
  #writingCount = 0;
  /** Those that go on at other processes of a fleet. */
  elsewhere: (conversationId: string) => Promise<Live | undefined> = async () => undefined;
  /** For the other processes: one begins, and everything of one is written. */
  onBegin: (conversationId: string, live: Live) => void = () => undefined;
  onWritten: (conversationId: string) => void = () => undefined;

  /** `onLost`: something was not written. `wait`: for tests. */
  constructor(
    store: Store,
    directory: AgentDirectory,
    recorder: Recorder,
    onLost: (conversationId: string, message: string) => void,
    wait: (durationMs: number) => Promise<void> = delay,
  ) {
    this.#store = store;
    this.#directory = directory;
    this.#recorder = recorder;
    this.#onLost = onLost;
    this.#wait = wait;
  }

  get liveCount(): number {
    return this.#live.size;
  }

  get queuedCount(): number {
    return this.#queuedCount;
  }

  isLive(conversationId: string): boolean {
    return this.#live.has(conversationId);
  }

  live(conversationId: string): Live | undefined {
    return this.#live.get(conversationId);
  }

  /** The same, of all processes. */
  async find(conversationId: string): Promise<Live | undefined> {
    return this.#live.get(conversationId) ?? (await this.elsewhere(conversationId));
  }

  /** The same for one that may be just beginning: its client knows of it a moment before this thread does. */
  async findSoon(conversationId: string): Promise<Live | undefined> {
    let live = await this.find(conversationId);
    for (let look = 1; live === undefined && look < bookLimits.looks; look += 1) {
      await sleep(bookLimits.lookEveryMs);
      live = look + 1 === bookLimits.looks ? await this.find(conversationId) : this.#live.get(conversationId);
    }
    return live;
  }

  /** `onRefused`: there is another conversation of this id, which stays as it is. */
  begin(head: ConversationHead, onRefused: () => void = () => undefined): void {
    const { conversationId, agentId, agentVersion, startedAtMs } = head;
    const live = { agentId, agentVersion, startedAtMs };
    this.#live.set(conversationId, live);
    this.onBegin(conversationId, live);
    this.#write(conversationId, 'begin', async () => {
      if (await this.#store.beginConversation(await this.#withPrivacy(head))) return;
      this.#refused.add(conversationId);
      this.#live.delete(conversationId);
      this.#recorder.count('parley_conversations_refused_total');
      onRefused();
    });
  }

  /** The settings that the call is held under stay with it, whatever becomes of the agent. */
  async #withPrivacy(head: ConversationHead): Promise<ConversationHead> {
    if (privacyIn(head.document) !== undefined) return head;
    const privacy = await this.#directory.privacy(head.agentId, head.agentVersion);
    return privacy === undefined ? head : { ...head, document: { ...head.document, privacy } };
  }

  /** One that waits is replaced by a newer one of the same index. */
  item(conversationId: string, item: TranscriptItem): void {
    this.#write(conversationId, `item ${item.index}`, () => this.#store.putItem(conversationId, item));
  }

  /** Puts a feedback on a reply that is written already; null takes it back. A reply that is unknown is left alone. */
  feedback(conversationId: string, eventId: number, feedback: Json | null): void {
    this.#write(conversationId, `feedback ${eventId}`, async () => {
      const items = (await this.#store.conversation(conversationId))?.items ?? [];
      const item = items.findLast(({ document: { role, source_event_id: id } }) => role === 'agent' && id === eventId);
      if (item === undefined) return;
      await this.#store.putItem(conversationId, { index: item.index, document: { ...item.document, feedback } });
    });
  }

  /** Resolves when it is written, or given up. False: the conversation was refused. */
  async end(conversationId: string, ending: ConversationEnding): Promise<boolean> {
    this.#live.delete(conversationId);
    this.#write(conversationId, 'end', () => this.#store.endConversation(conversationId, ending));
    await this.#empty(conversationId);
    this.onWritten(conversationId);
    return !this.#refused.delete(conversationId);
  }

  /** Waits, within bounds, until what happened so far is written. */
  async settled(conversationId: string): Promise<void> {
    if (!this.#entries.has(conversationId)) return;
    const guard = new AbortController();
    await Promise.race([this.#empty(conversationId), delay(bookLimits.settleMs, guard.signal)]);
    guard.abort();
  }

  /** Runs `work` after all earlier work of this conversation that was handed over here. */
  inTurn<Result>(conversationId: string, work: () => Promise<Result>): Promise<Result> {
    return this.#turns.run(conversationId, work);
  }

  /** Waits until everything is written, at most `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    const guard = new AbortController();
    const all = Promise.all([...this.#entries.keys()].map((conversationId) => this.#empty(conversationId)));
    await Promise.race([all, delay(timeoutMs, guard.signal)]);
    guard.abort();
  }

  #write(conversationId: string, key: string, run: () => Promise<unknown>): void {
    const entry = this.#entries.get(conversationId) ?? { writes: [], isWriting: false, waiters: [] };
    const waiting = entry.writes.findIndex((write, index) => write.key === key && !(entry.isWriting && index === 0));
    if (waiting >= 0) {
      entry.writes[waiting]!.run = run;
      return;
    }
    // The end is always taken: without it the conversation would seem to go on.
    if (key !== 'end' && (entry.writes.length >= bookLimits.queueMax || this.#queuedCount >= bookLimits.queuedMax)) {
      this.#recorder.count('parley_store_lost_total', 'reason="queue"');
      this.#onLost(conversationId, 'too many writes wait');
      return;
    }
    entry.writes.push({ key, run });
    this.#entries.set(conversationId, entry);
    this.#queuedCount += 1;
    if (entry.writes.length === 1) this.#ready.push(conversationId);
    this.#start();
  }

  #start(): void {
    while (this.#writingCount < bookLimits.writingMax) {
      const conversationId = this.#ready.shift();
      if (conversationId === undefined) return;
      this.#writingCount += 1;
      void this.#writeAll(conversationId).finally(() => {
        this.#writingCount -= 1;
        this.#start();
      });
    }
  }

  async #writeAll(conversationId: string): Promise<void> {
    const entry = this.#entries.get(conversationId)!;
    entry.isWriting = true;
    for (let write = entry.writes[0]; write !== undefined; write = entry.writes[0]) {
      await this.#attempt(conversationId, write);
      entry.writes.shift();
      this.#queuedCount -= 1;
    }
    this.#entries.delete(conversationId);
    for (const waiter of entry.waiters) waiter();
  }

  /** Never rejects. */
  async #attempt(conversationId: string, write: Write): Promise<void> {
    if (this.#refused.has(conversationId)) return;
    for (let attempt = 0; ; attempt++) {
      try {
        const startedAtMs = performance.now();
        await write.run();
        this.#recorder.record('store_write', performance.now() - startedAtMs);
        return;
      } catch (error) {
        const retryAfterMs = isPassing(error) ? bookLimits.retryAfterMs[attempt] : undefined;
        if (retryAfterMs === undefined) {
          this.#recorder.count('parley_store_lost_total', `reason="${problemOf(error).kind}"`);
          this.#onLost(conversationId, problemOf(error).message);
          return;
        }
        this.#recorder.count('parley_store_retries_total');
        await this.#wait(retryAfterMs);
      }
    }
  }

  #empty(conversationId: string): Promise<void> {
    const entry = this.#entries.get(conversationId);
    if (entry === undefined) return Promise.resolve();
    return new Promise((resolve) => entry.waiters.push(resolve));
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof EngineError && (error.kind === 'unavailable' || error.kind === 'timeout' || error.kind === 'refused');
}

/** Does not keep the thread alive. */
function delay(durationMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, durationMs);
    timer.unref();
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
