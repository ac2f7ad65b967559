/** What a load run asks of a caller, so that its behaviour is the same whether the call is heard by a whole ear or only counted. Types only. */
import type { Closed, Said } from '../caller.js';
import type { Clip } from '../clip.js';

/** One answer of the agent. Instants on the caller's clock. */
export type Reply = {
  readonly eventId: number;
  readonly firstChunkAtMs: number;
  readonly lastChunkAtMs: number;
  /** When it began for the caller: audible at an ear, received without one. */
  readonly onsetMs: number | undefined;
  /** The server has said that this was its last audio. */
  readonly isComplete: boolean;
};

export type Party = {
  readonly nowMs: number;
  /** Zero of this caller's clock on the monotonic clock. */
  readonly openedAtMonotonicMs: number;
  readonly closed: Closed | undefined;
  /** What the server did against the protocol. */
  readonly problems: readonly string[];
  /** Audio of an interrupted reply that came after its `interruption`. */
  readonly staleCount: number;
  say(clip: Clip, atMs: number): Said;
  until(atMs: number): Promise<void>;
  waitFor<T>(look: () => T | undefined, timeoutMs: number): Promise<T | undefined>;
  /** The first reply that began at `afterMs` or later. */
  replyFrom(afterMs: number): Reply | undefined;
  /** When the first interruption at `afterMs` or later was told. */
  interruptionFrom(afterMs: number): number | undefined;
  /** Where the ear last heard `reply`; undefined without an ear. */
  lastAudibleMs(reply: Reply): number | undefined;
  /** Takes nothing from its socket for so long. */
  pauseReading(durationMs: number): void;
  hangUp(): Promise<Closed>;
};
