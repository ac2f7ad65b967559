/** What crosses between the process that leads a fleet and its engine processes, main thread to main thread. */
import type { FleetSetup } from '../api/fleet-link.js';
import type { CallNews } from '../server/neighbours.js';
import type { FailureKind } from '../shared/errors.js';
import type { MetricsAnswer } from '../shared/links.js';
import type { PlainTotals } from '../telemetry/totals.js';

/**
 * How callers reach an engine process. `shared`: each listens on the port and the kernel chooses (uWebSockets.js on Linux); `handed`: the leading
 * process accepts, and hands each connection to the engine process with the fewest calls (`ws`).
 */
export type Spread = 'shared' | 'handed';

/** What every engine process needs to answer for all. */
export type FleetState = {
  /** Engine processes that take calls, and those there should be. */
  readonly openCount: number;
  readonly processCount: number;
  readonly calls: number;
  readonly free: number;
};

/** `settings`: those of the fleet, with what differs for this process. */
export type MemberStart<Settings> = {
  readonly settings: Settings;
  readonly setup: FleetSetup;
  readonly spread: Spread;
  /** `handed` needs no port, but node:http watches slow clients only while it listens somewhere: here, where nobody comes. */
  readonly idlePath: string;
  /** Calls of the whole fleet. */
  readonly placesMax: number;
};

export type ToMember<Settings> =
  | { readonly type: 'start'; readonly start: MemberStart<Settings> }
  /** Of another engine process. */
  | { readonly type: 'news'; readonly member: number; readonly news: CallNews }
  | { readonly type: 'gone'; readonly member: number }
  | { readonly type: 'state'; readonly state: FleetState }
  /** With `shared`: to be on the port, or to leave it to the others. */
  | { readonly type: 'listen'; readonly isListening: boolean }
  /** A connection, as the handle beside the message. */
  | { readonly type: 'connection' }
  /** Figures of this process are wanted, as totals or as histograms. */
  | { readonly type: 'ask'; readonly id: number; readonly form: FiguresForm }
  /** An answer to the process's own `ask`. */
  | { readonly type: 'told'; readonly id: number; readonly text: string; readonly answers: readonly MetricsAnswer[] }
  | { readonly type: 'stop'; readonly drainMs: number; readonly noticeMs: number };

export type FiguresForm = 'totals' | 'histograms';

export type FromMember =
  | { readonly type: 'ready'; readonly port: number; readonly says: readonly string[] }
  | { readonly type: 'failed'; readonly kind: FailureKind; readonly message: string }
  | { readonly type: 'news'; readonly news: CallNews }
  /** Whether it could take a call. */
  | { readonly type: 'door'; readonly isOpen: boolean }
  /** The figures of all are wanted: of text, or of histograms. */
  | { readonly type: 'ask'; readonly id: number; readonly form: FiguresForm }
  | { readonly type: 'figures'; readonly id: number; readonly totals: PlainTotals; readonly answers: readonly MetricsAnswer[] }
  /** A part of it cannot be brought back: it lets calls finish and ends, and another is to take its place. */
  | { readonly type: 'leaving' }
  /** The last figures, at the end. */
  | { readonly type: 'stopped'; readonly answers: readonly MetricsAnswer[] };
