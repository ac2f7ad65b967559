/** What the process that leads a load run and its processes of callers say to each other. Types only. */
import type { Tally } from './behaviour.js';
import type { PlannedCall } from './call-plan.js';
import type { SpeechSet } from './speech-set.js';
import type { Encoded } from './stages.js';

export type CrewStart = {
  readonly type: 'start';
  readonly url: string;
  readonly agentId: string | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly seed: number;
  readonly calls: readonly PlannedCall[];
  readonly speech: SpeechSet;
  readonly intervalMs: number;
};

/** The run begins at this instant of the monotonic clock. */
export type CrewGo = { readonly type: 'go'; readonly atMonotonicMs: number };
/** Hang up everywhere and come to an end. */
export type CrewStop = { readonly type: 'stop' };
export type ToCrew = CrewStart | CrewGo | CrewStop;

/** What happened since the interval before; `tally` counts from the beginning. */
export type CrewInterval = {
  readonly type: 'interval';
  /** Number of the interval since the run began. */
  readonly index: number;
  readonly stages: Encoded;
};
export type CrewTick = {
  readonly type: 'tick';
  readonly live: number;
  readonly tally: Tally;
  readonly cpuMs: number;
  readonly latenessMaxMs: number;
};
/** Why calls failed and what was against the protocol, with how often. */
export type CrewDone = { readonly type: 'done'; readonly tally: Tally; readonly failures: Readonly<Record<string, number>> };
export type FromCrew = { readonly type: 'ready' } | CrewInterval | CrewTick | CrewDone;
