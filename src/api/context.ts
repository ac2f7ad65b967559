/** What the handlers of the REST side work with. API thread. */
import type { Store } from '../store/port.js';
import type { AgentDirectory } from './agent-directory.js';
import type { ConversationBook } from './conversation-book.js';
import type { Recordings } from './recording.js';
import type { Retention } from './retention.js';
import type { SeriesQuery } from './series-history.js';
import type { ApiSetup } from './setup.js';
import type { ToolUsage } from './tool-usage.js';

export type ApiContext = {
  readonly store: Store;
  readonly directory: AgentDirectory;
  /** Undefined: nothing is recorded here. */
  readonly recordings: Recordings | undefined;
  readonly setup: ApiSetup;
  readonly version: string;
  readonly signingKey: Uint8Array;
  readonly isLoopback: boolean;
  readonly conversations: ConversationBook;
  readonly retention: Retention;
  /** How often tools ran and how long they took, since the start. */
  readonly toolUsage: ToolUsage;
  /** Figures of the last minutes, for the dashboard, as JSON; of a fleet, those of all its processes. */
  readonly series: (query: SeriesQuery) => Promise<string>;
  /** Unix milliseconds. */
  readonly nowMs: () => number;
};
