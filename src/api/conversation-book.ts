/**
 * Conversations as they happen: which are going on, and what is still to be written of them. Each has a queue of its own, written in order,
 * one at a time; a store that is slow or away holds up nobody but that queue, and what does not fit is counted. API thread.
 */
import { EngineError, problemOf } from '../shared/errors.js';
import type { ConversationEnding, ConversationHead, Store, TranscriptItem } from '../store/port.js';
import type { Recorder } from '../telemetry/recorder.js';

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
  readonly #recorder: Recorder;
  readonly #onLost: (conversationId: string, message: string) => void;
  readonly #wait: (durationMs: number) => Promise<void>;
  readonly #live = new Map<string, Live>();
  readonly #entries = new Map<string, Entry>();
  /** Conversations whose turn it is to be written, in order. */
  readonly #ready: string[] = [];
  readonly #turns = new Map<string, Promise<unknown>>();
  #queuedCount = 0;
  #writingCount = 0;

  /** `onLost`: something was not written. `wait`: for tests. */
  constructor(
    store: Store,
    recorder: Recorder,
    onLost: (conversationId: string, message: string) => void,
    wait: (durationMs: number) => Promise<void> = delay,
  ) {
    this.#store = store;
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

  begin(head: ConversationHead): void {
    const { conversationId, agentId, agentVersion, startedAtMs } = head;
    this.#live.set(conversationId, { agentId, agentVersion, startedAtMs });
    this.#write(conversationId, 'begin', () => this.#store.beginConversation(head));
  }

  /** One that waits is replaced by a newer one of the same index. */
  item(conversationId: string, item: TranscriptItem): void {
    this.#write(conversationId, `item ${item.index}`, () => this.#store.putItem(conversationId, item));
  }

  /** Resolves when it is written, or given up. */
  end(conversationId: string, ending: ConversationEnding): Promise<void> {
    this.#live.delete(conversationId);
    this.#write(conversationId, 'end', () => this.#store.endConversation(conversationId, ending));
    return this.#empty(conversationId);
  }

  /** Waits, within bounds, until what happened so far is written. */
  async settled(conversationId: string): Promise<void> {
    if (!this.#entries.has(conversationId)) return;
    const guard = new AbortController();
    await Promise.race([this.#empty(conversationId), delay(bookLimits.settleMs, guard.signal)]);
    guard.abort();
  }

  /** Runs `work` after all earlier work of this conversation that was handed over here. */
  async inTurn<Result>(conversationId: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#turns.get(conversationId) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#turns.set(conversationId, mine);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(conversationId) === mine) this.#turns.delete(conversationId);
    }
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
