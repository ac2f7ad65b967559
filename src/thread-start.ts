/** What each thread is started with: plain data that is handed over as `workerData`. Read once, at the top of each file in `workers/`. */
import { type MessagePort, workerData } from 'node:worker_threads';
import type { FleetSetup } from './api/fleet-link.js';
import type { ApiSetup } from './api/setup.js';
import type { ProviderNames, SessionLimits } from './conversation/context.js';
import type { LlmSetup } from './llm/create.js';
import type { WithFallbacks } from './shared/failover.js';
import type { SharedBlock } from './shared/slots.js';
import type { AgentConfig } from './store/agents.js';
import type { SttSetup } from './stt/create.js';
import type { LogLevel } from './telemetry/log.js';
import type { StripMemory, Strips } from './telemetry/strip.js';
import type { TtsSetup } from './tts/create.js';
import type { TurnModelKind } from './turn-model/port.js';

type AnyThread = {
  readonly block: SharedBlock;
  readonly logLevel: LogLevel;
  readonly isPriorityTaken: boolean;
  /** Orders of the life of the thread: ready, metrics, stop. */
  readonly control: MessagePort;
  /** Where the thread writes its figures for the dashboard. */
  readonly strip: StripMemory;
};

type ToTheApi = { readonly api: MessagePort };

type Common = AnyThread & { readonly board: Int32Array };

/** Where a learned model of turn-taking is, for the thread that asks one of this kind. */
export type TurnModelStart = { readonly kind: TurnModelKind; readonly path: string };

/** Through `control`: the API thread was started anew, and this is the way to it. */
export type ApiRenewed = { readonly type: 'api_renewed'; readonly port: MessagePort };

/** Through `control`, to main: requests go to a provider no more, or again. */
export type ProviderState = {
  readonly type: 'provider';
  readonly stage: 'stt' | 'llm' | 'tts';
  readonly provider: string;
  readonly isOpen: boolean;
};

/** Through `control`, to the API thread: a lane was started anew, and these are the ways to it. */
export type LaneRenewed = {
  readonly type: 'lane_renewed';
  readonly lane: number;
  readonly conversation: MessagePort;
  readonly voice: MessagePort;
};

export type VadStart = Common & {
  readonly thread: 'vad';
  readonly modelPath: string | undefined;
  /** A pass at most this often. */
  readonly passMs: number;
  readonly ports: { readonly main: MessagePort; readonly conversation: MessagePort; readonly stt: MessagePort };
};

export type SttStart = Common & {
  readonly thread: 'stt';
  readonly stt: WithFallbacks<SttSetup>;
  readonly pullMs: number;
  /** Grammar to be loaded before the first call, so that it is not waited for. */
  readonly warmGrammar: unknown;
  readonly turnModel: TurnModelStart | undefined;
  readonly ports: { readonly main: MessagePort; readonly vad: MessagePort; readonly conversation: MessagePort };
};

export type ConversationStart = Common & {
  readonly thread: 'conversation';
  readonly llm: WithFallbacks<LlmSetup> & { readonly isHedged: boolean };
  readonly agents: readonly AgentConfig[];
  readonly providers: ProviderNames;
  readonly limits: SessionLimits;
  /** Period of the timer that serves all sessions. */
  readonly tickMs: number;
  readonly turnModel: TurnModelStart | undefined;
  readonly ports: {
    readonly main: MessagePort;
    readonly vad: MessagePort;
    readonly stt: MessagePort;
    readonly tts: MessagePort;
  } & ToTheApi;
};

export type TtsStart = Common & {
  readonly thread: 'tts';
  readonly tts: WithFallbacks<TtsSetup>;
  /** Recordings are kept of calls whose agents want it. */
  readonly isRecording: boolean;
  readonly ports: { readonly main: MessagePort; readonly conversation: MessagePort } & ToTheApi;
};

/** The one thread that is not of a lane. */
export type ApiStart = AnyThread & {
  readonly thread: 'api';
  /** One cell: grows about ten times a second while the thread's loop turns. */
  readonly beat: Int32Array;
  /** Of the engine, for the OpenAPI document. */
  readonly version: string;
  /** Agents of files, and the built-in one. */
  readonly agents: readonly AgentConfig[];
  readonly setup: ApiSetup;
  /** Signs conversation URLs; main checks them with the same. */
  readonly signingKey: Uint8Array;
  /** Only this machine can reach the server. */
  readonly isLoopback: boolean;
  /** Unix; when the process started, not the thread. Conversations that began before it and are not over belong to nobody. */
  readonly processStartedAtMs: number;
  /** Of every thread, to be read. */
  readonly strips: Strips;
  /** Who serves, for the dashboard. */
  readonly providers: ProviderNames;
  /** One of several engine processes. */
  readonly fleet: FleetSetup | undefined;
  /** In the order of the lanes. */
  readonly ports: {
    readonly main: MessagePort;
    readonly conversations: readonly MessagePort[];
    readonly voices: readonly MessagePort[];
  };
};

export type LaneStart = VadStart | SttStart | ConversationStart | TtsStart;
export type ThreadStart = LaneStart | ApiStart;

/** The start data of this thread; a file started as another thread's is a bug. */
export function startOf<Start extends ThreadStart>(thread: Start['thread']): Start {
  const data = workerData as ThreadStart;
  if (data?.thread !== thread) throw new Error(`this file runs only as the ${thread} thread of the engine`);
  return data as Start;
}
