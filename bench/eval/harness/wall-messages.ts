/** What the process that leads a run in real time and its process of callers say to each other. Types only. */
import type { CallerRecord, DriverOptions } from './caller-driver.js';

/** Orders and records are large: they are handed over before the first call and after the last one, so that nothing is late for them. */
export type WallCall = {
  readonly type: 'order';
  readonly index: number;
  /** With path and query. */
  readonly url: string;
  readonly driver: DriverOptions;
};
/** An order is answered by `ordered`; the beginning of its call by `over`, when it is; the wish for its record by `done`. */
export type ToCallers = WallCall | { readonly type: 'begin' | 'collect'; readonly index: number };

export type WallCallDone = {
  readonly type: 'done';
  readonly index: number;
  readonly caller: CallerRecord;
  /** The connect and the end of the call on the system's monotonic clock, which all processes share. */
  readonly zeroMonotonicMs: number;
  readonly endMonotonicMs: number;
  /** Time that was played for each ms that passed. */
  readonly realTimeRatio: number;
  readonly frameLatenessP99Ms: number;
};
export type WallCallFailed = { readonly type: 'failed'; readonly index: number; readonly problem: string };
export type FromCallers =
  | { readonly type: 'ready' }
  | { readonly type: 'ordered' | 'over'; readonly index: number }
  | WallCallDone
  | WallCallFailed;
