/**
 * The API thread of one engine process of a fleet, as it is linked to the process that leads it: the store, when that is hosted there, the series
 * of all processes, which conversations go on where, and word of agents that changed. API thread.
 */

import { connectLocally, type LocalLink } from '../shared/local-link.js';
import { HostedStore } from '../store/hosted.js';
import type { Store } from '../store/port.js';
import type { SeriesBucket } from '../telemetry/series-bucket.js';
import type { Live } from './conversation-book.js';
import type { SeriesQuery } from './series-history.js';

/** How an engine process finds the one that leads it. */
export type FleetSetup = {
  readonly path: string;
  /** Number of this engine process, from 1. */
  readonly member: number;
  /** Of the store that is hosted there; undefined: each process opens the configured one itself. */
  readonly storeName: string | undefined;
};

/** API thread → leading process. */
export type FleetNote =
  | { readonly type: 'hello'; readonly member: number }
  | { readonly type: 'bucket'; readonly bucket: Omit<SeriesBucket, 'seq'> }
  | { readonly type: 'begin'; readonly conversationId: string; readonly live: Live }
  /** Everything of it is written. */
  | { readonly type: 'end'; readonly conversationId: string }
  | { readonly type: 'agent_changed'; readonly agentId: string };

/** Leading process → API threads. `untold`: ends of conversations are due to be told. */
export type FleetNews = { readonly type: 'agent_changed'; readonly agentId: string } | { readonly type: 'untold' };

export const fleetCalls = { series: 'series', live: 'live' } as const;
const callMs = 5000;

export class FleetLink {
  /** Undefined: each process opens the configured one itself. */
  readonly store: Store | undefined;
  readonly #link: LocalLink;
  onNews: (news: FleetNews) => void = () => undefined;

  constructor({ path, member, storeName }: FleetSetup) {
    this.#link = connectLocally(path, {
      onCall: async (name) => {
        throw new Error(`nobody answers ${name} here`);
      },
      onNote: (value) => this.onNews(value as FleetNews),
      onGone: () => undefined,
    });
    this.store = storeName === undefined ? undefined : new HostedStore(storeName, this.#link);
    this.note({ type: 'hello', member });
  }

  note(note: FleetNote): void {
    this.#link.note(note);
  }

  /** Of all processes, as JSON. */
  async series(query: SeriesQuery): Promise<string> {
    return String(await this.#link.call(fleetCalls.series, [query], callMs));
  }

  /** A conversation that goes on at any process. */
  async live(conversationId: string): Promise<Live | undefined> {
    return (await this.#link.call(fleetCalls.live, [conversationId], callMs)) as Live | undefined;
  }

  close(): void {
    this.#link.close();
  }
}
