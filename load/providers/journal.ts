/**
 * What the simulator writes down: one entry per request with its instants, and every body a language model was sent. The instants are on
 * the system's monotonic clock, which processes of one machine share, so a load program can subtract them from its own.
 * Runs on the simulator's main thread.
 */
import type { Endpoint } from './endpoints.js';

/** The oldest entries go first when there are more. */
export const entriesMax = 20_000;
export const llmRequestsMax = 10_000;

export type Instants = {
  /** The request line, or the message that caused the synthesis, was there. */
  readonly received: number;
  /** The whole body was there. */
  complete?: number;
  /** When the first byte was meant to leave. */
  planned?: number;
  firstByte?: number;
  lastByte?: number;
};

export type Entry = {
  readonly number: number;
  readonly endpoint: Endpoint;
  readonly path: string;
  status?: number;
  /** What was done on purpose. */
  fault?: string;
  /** Recognition: duration of the audio, whether a pause ended it. */
  audioMs?: number;
  isFinal?: boolean;
  /** Recognition: what was answered. Synthesis: what was spoken. */
  text?: string;
  /** Recognition: the group of clips that the prompt named (`clips.ts`), if any. */
  group?: string;
  /** How the words were found. */
  exactRatio?: number;
  contextId?: string;
  /** The peer went away before the end. */
  isAborted?: boolean;
  readonly atMonotonicMs: Instants;
};

export type LlmRequest = {
  readonly number: number;
  /** Number of its entry in the log. */
  readonly entry: number;
  readonly path: string;
  /** The whole request had arrived. */
  readonly atMonotonicMs: number;
  /** As it was sent. */
  readonly body: unknown;
};

/** Drops the oldest half when full: amortised cost of one move per entry. */
function pushBounded<Item>(items: Item[], item: Item, countMax: number): void {
  if (items.length >= countMax) items.splice(0, countMax >> 1);
  items.push(item);
}

export class Journal {
  readonly #entries: Entry[] = [];
  readonly #llmRequests: LlmRequest[] = [];
  #count = 0;
  #llmCount = 0;

  open(endpoint: Endpoint, path: string, receivedAtMs: number): Entry {
    const entry: Entry = { number: (this.#count += 1), endpoint, path, atMonotonicMs: { received: receivedAtMs } };
    pushBounded(this.#entries, entry, entriesMax);
    return entry;
  }

  recordLlm(entry: Entry, body: unknown): void {
    const atMonotonicMs = entry.atMonotonicMs.complete ?? entry.atMonotonicMs.received;
    const request = { number: (this.#llmCount += 1), entry: entry.number, path: entry.path, atMonotonicMs, body };
    pushBounded(this.#llmRequests, request, llmRequestsMax);
  }

  /** Entries with a number above `after`, oldest first. */
  entries(after = 0): Entry[] {
    return this.#entries.filter((entry) => entry.number > after);
  }

  llmRequests(after = 0): LlmRequest[] {
    return this.#llmRequests.filter((request) => request.number > after);
  }

  clearEntries(): void {
    this.#entries.length = 0;
  }

  clearLlmRequests(): void {
    this.#llmRequests.length = 0;
  }
}
