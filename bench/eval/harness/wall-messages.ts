/** What the process that leads a run in real time and its process of callers say to each other. Types only. */
import type { CallerRecord, DriverOptions } from './caller-driver.js';

export type WallCall = {
  readonly type: 'call';
  readonly index: number;
  /** With path and query. */
  readonly url: string;
  readonly driver: DriverOptions;
};
export type ToCallers = WallCall;

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
export type FromCallers = { readonly type: 'ready' } | WallCallDone | WallCallFailed;
