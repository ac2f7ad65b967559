/** What the parts of one session share: limits, and how an event reaches the turn machine. Conversation thread. */
import type { LlmProvider } from '../llm/port.js';
import type { Slot } from '../shared/slots.js';
import type { Recorder } from '../telemetry/recorder.js';
import type { TurnEvent } from '../turn/state.js';
import type { History } from './history.js';
import type { Outlet } from './outlet.js';
import type { Profile } from './profile.js';
import type { Records } from './records.js';
import type { After } from './reply.js';
import type { SessionLinks } from './session-links.js';
import type { TurnClock } from './turn-clock.js';

export type SessionLimits = {
  /** Without an initiation the session starts with the agent's defaults after this. */
  readonly initiationGraceMs: number;
  readonly pingIntervalMs: number;
  /** The word of what was heard of a cut speech is waited for this long before the next turn is dealt with. */
  readonly heardWaitMs: number;
  /** The same once the socket is closed. Only the record waits then, so that a busy pacer may take longer. */
  readonly heardAtEndWaitMs: number;
  /** An agent that is not known here is asked for, and waited for this long. */
  readonly agentWaitMs: number;
};

export type ProviderNames = { readonly stt: string; readonly llm: string; readonly tts: string };

export type SessionContext = {
  readonly conversationId: string;
  readonly slot: Slot;
  readonly links: SessionLinks;
  readonly limits: SessionLimits;
  readonly recorder: Recorder;
  readonly now: () => number;
  readonly outlet: Outlet;
  readonly history: History;
  readonly records: Records;
  readonly clock: TurnClock;
  /** Of the agent that has the call; there is one from the start of the conversation on. */
  readonly profile: () => Profile;
  /** Dynamic variables that a tool's result set. */
  readonly setVariables: (values: Readonly<Record<string, string>>) => void;
  /** Of the agent that has the call now. */
  readonly llm: () => LlmProvider;
  /** A bug of ours: this call ends, the others go on. */
  readonly fail: (error: unknown) => void;
  readonly feed: (event: TurnEvent) => void;
  /** Number of the open or next turn of the caller. */
  readonly turn: () => number;
  readonly epoch: () => number;
  /** Whether that speech is on its way and must not begin yet: the caller types, or makes a sound. */
  readonly isHeldBack: (speech: number) => boolean;
  /** Whether the CUT of that speech may still be taken back. */
  readonly isUndoable: (speech: number) => boolean;
  /** The model's own count of a request has come. */
  readonly onCounted: () => void;
  /** A reply after which something is to happen was heard to its end. Returns what is to be said first by whoever takes over. */
  readonly onHeard: (after: After) => string | undefined;
};
