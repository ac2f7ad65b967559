/** The fleet as an engine process of it sees it; `src/member.ts` fills it in. Types only; main thread. */
import type { FleetSetup } from '../api/fleet-link.js';
import type { CallNews, Neighbours } from '../server/neighbours.js';
import type { MetricsAnswer } from '../shared/links.js';
import type { FleetState, Spread } from './links.js';

export type Membership = {
  /** For the API thread. */
  readonly setup: FleetSetup;
  readonly spread: Spread;
  readonly idlePath: string;
  /** Calls of the whole fleet. */
  readonly placesMax: number;
  readonly neighbours: Neighbours;
  readonly state: () => FleetState;
  readonly tell: (news: CallNews) => void;
  /** Told when it changes, whether this process could take a call. */
  readonly onDoor: (isOpen: boolean) => void;
  /** Figures of all processes: for Prometheus, and as histograms. They reject when nobody answers in time. */
  readonly text: () => Promise<string>;
  readonly answers: () => Promise<readonly MetricsAnswer[]>;
};
