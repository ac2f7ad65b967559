/**
 * Which calls a load run makes, and when: drawn beforehand from a seed, so that nothing the server does changes when the next call starts. Pure.
 *
 * A seat is a place for one call at a time. Some seats hold one call to the end, the others (churn) one short call after another.
 */
import { randomOf } from '../providers/seeded.js';

export type CallPlan = {
  readonly sessions: number;
  /** The seats' first calls begin evenly over this time; at most half of the whole. */
  readonly rampMs: number;
  /** When every call is over. */
  readonly totalMs: number;
  /** Share of seats with short calls, 0..1. */
  readonly churnRatio: number;
  /** How many calls are heard by a whole ear; the others only count events and frames. */
  readonly heardMax: number;
  readonly seed: number;
};

/** Instants in ms since the run began. */
export type PlannedCall = {
  readonly seat: number;
  /** Number of the call on its seat, from 0. */
  readonly ordinal: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly isHeard: boolean;
};

export const shortCallMinMs = 15_000;
export const shortCallMaxMs = 60_000;
/** Until the next caller takes the seat: time for the server to give the slot back. */
export const seatFreeMs = 1000;
/** A call shorter than this says nothing; it is not begun. */
const callMinMs = 5000;

/** In the order of their seats, then of their starts. */
export function planCalls(plan: CallPlan): PlannedCall[] {
  const { sessions, rampMs, totalMs, churnRatio, heardMax, seed } = plan;
  const heardEvery = Math.max(1, Math.ceil(sessions / Math.max(1, heardMax)));
  const calls: PlannedCall[] = [];
  for (let seat = 0; seat < sessions; seat += 1) {
    const isHeard = heardMax > 0 && seat % heardEvery === 0;
    const random = randomOf(seed, 'seat', seat);
    // Spread evenly over the seats, so that a part of them has its share of churn.
    const isChurning = Math.floor((seat + 1) * churnRatio) > Math.floor(seat * churnRatio);
    let startMs = (seat * rampMs) / sessions;
    for (let ordinal = 0; startMs + callMinMs <= totalMs; ordinal += 1) {
      const lengthMs = shortCallMinMs + random() * (shortCallMaxMs - shortCallMinMs);
      const endMs = isChurning ? Math.min(totalMs, startMs + lengthMs) : totalMs;
      calls.push({ seat, ordinal, startMs, endMs, isHeard });
      startMs = endMs + seatFreeMs;
    }
  }
  return calls;
}

/** Calls that are planned to be going on at `atMs`. */
export function plannedAt(calls: readonly PlannedCall[], atMs: number): number {
  return calls.filter(({ startMs, endMs }) => startMs <= atMs && atMs < endMs).length;
}

export const turnKinds = ['answer', 'interruption', 'false alarm', 'long turn', 'silence', 'slow reader'] as const;
export type TurnKind = (typeof turnKinds)[number];

/** How often a caller does what; hang-ups in the middle and new calls come from the seats with churn. */
export const turnWeights: Readonly<Record<TurnKind, number>> = {
  answer: 35,
  interruption: 30,
  'false alarm': 15,
  'long turn': 10,
  silence: 7,
  'slow reader': 3,
};

/** Turns begin so far apart, whether or not the agent has finished with the one before. */
export const turnEveryMs = 16_000;

/** What a caller does with its next turn; `draw` from 0 to below 1. */
export function turnKindOf(draw: number): TurnKind {
  const total = turnKinds.reduce((sum, kind) => sum + turnWeights[kind], 0);
  let left = draw * total;
  for (const kind of turnKinds) {
    left -= turnWeights[kind];
    if (left < 0) return kind;
  }
  return 'answer';
}
