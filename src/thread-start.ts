/** What each thread is started with: plain data that is handed over as `workerData`. Read once, at the top of each file in `workers/`. */
import { type MessagePort, workerData } from 'node:worker_threads';
import type { ProviderNames, SessionLimits } from './conversation/session.js';
import type { LlmSetup } from './llm/create.js';
import type { SharedBlock } from './shared/slots.js';
import type { AgentConfig } from './store/agents.js';
import type { SttSetup } from './stt/create.js';
import type { LogLevel } from './telemetry/log.js';
import type { TtsSetup } from './tts/create.js';

type Common = {
  readonly block: SharedBlock;
  readonly board: Int32Array;
  readonly logLevel: LogLevel;
  /** Orders of the life of the thread: ready, metrics, stop. */
  readonly control: MessagePort;
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
  readonly stt: SttSetup;
  readonly pullMs: number;
  /** Grammar to be loaded before the first call, so that it is not waited for. */
  readonly warmGrammar: unknown;
  readonly ports: { readonly main: MessagePort; readonly vad: MessagePort; readonly conversation: MessagePort };
};

export type ConversationStart = Common & {
  readonly thread: 'conversation';
  readonly llm: LlmSetup;
  readonly agents: readonly AgentConfig[];
  readonly providers: ProviderNames;
  readonly limits: SessionLimits;
  /** Period of the timer that serves all sessions. */
  readonly tickMs: number;
  readonly ports: { readonly main: MessagePort; readonly vad: MessagePort; readonly stt: MessagePort; readonly tts: MessagePort };
};

export type TtsStart = Common & {
  readonly thread: 'tts';
  readonly tts: TtsSetup;
  readonly ports: { readonly main: MessagePort; readonly conversation: MessagePort };
};

export type ThreadStart = VadStart | SttStart | ConversationStart | TtsStart;

/** The start data of this thread; a file started as another thread's is a bug. */
export function startOf<Start extends ThreadStart>(thread: Start['thread']): Start {
  const data = workerData as ThreadStart;
  if (data?.thread !== thread) throw new Error(`this file runs only as the ${thread} thread of the engine`);
  return data as Start;
}
