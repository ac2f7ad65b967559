/**
 * What one run of one scenario leaves behind: everything the metrics may look at. Instants and sample numbers count from the moment the caller's
 * connection opened, samples are of 16 kHz, intervals are half open.
 */
import type { TurnEventPayload } from '../../src/wire/turn-event.js';
import type { EventClass, Expectation, Role, Scenario } from './scenario.js';

export type ClockKind = 'wall' | 'virtual';
/** `paced`: a telephone, 40 ms of jitter buffer, emptied at once; `buffered`: the stock web client. */
export type PlayoutKind = 'paced' | 'buffered';

/** `text` as written in the script; samples of the lane or of the clip that the word belongs to. */
export type Word = { readonly text: string; readonly from: number; readonly to: number };

/** A dry clip as the builder makes it: trimmed to its bounds, at its level. Samples of `words` and `silences` are the clip's own. */
export type Clip = {
  readonly id: string;
  readonly text: string;
  readonly samples: Int16Array;
  readonly words: readonly Word[];
  /** Inner silences of at least 100 ms. */
  readonly silences: readonly { readonly from: number; readonly to: number }[];
};

/** Truth placed at mix time, from the dry stems. */
export type PlacedPart = {
  readonly kind: 'part';
  readonly step: number;
  readonly role: Role;
  readonly turn: string | undefined;
  readonly isFinal: boolean;
  readonly expect: Expectation | undefined;
  readonly text: string;
  readonly from: number;
  readonly to: number;
  readonly words: readonly Word[];
  readonly silences: readonly { readonly from: number; readonly to: number }[];
  readonly clipId: string;
};
export type PlacedEvent = {
  readonly kind: 'event';
  readonly id: string;
  readonly class: EventClass;
  readonly expect: Expectation;
  readonly from: number;
  readonly to: number;
};
export type Placed = PlacedPart | PlacedEvent;

/** Speech as the synthesiser made it for the engine, before any of it was sent. One for each reply (`eventId` of its audio on the wire). */
export type SynthesisedReply = {
  readonly eventId: number;
  readonly samples: Int16Array;
  /** Words in `samples`. */
  readonly words: readonly Word[];
};

/** A stretch of one reply that the playout device played without a break. For the calibration of the analysis; not used by metrics. */
export type PlayedRun = {
  readonly eventId: number;
  readonly sourceSample: number;
  readonly heardSample: number;
  readonly count: number;
};

/** Audio of one message as it reached the caller's device. */
export type AudioArrival = { readonly atMs: number; readonly eventId: number; readonly sampleCount: number };

/** Every other message of the engine, as parsed JSON. */
export type MessageArrival = {
  readonly atMs: number;
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
};

/** What the turn machine saw and decided (`parley_turn_event`); `at_ms` moved to this record's clock. */
export type WhiteBoxEvent = TurnEventPayload;

export type ModelRequest = {
  readonly atMs: number;
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  /** What it was answered with; empty when it was cancelled first. */
  readonly answer: string;
};

/** From the request's arrival at a simulated provider to the first byte of its answer. */
export type ProviderWait = { readonly stage: 'stt' | 'llm' | 'tts'; readonly fromMs: number; readonly toMs: number };

export type RunRecord = {
  readonly scenario: Scenario;
  readonly seed: number;
  readonly profile: string;
  readonly clock: ClockKind;
  readonly playout: PlayoutKind;
  /** The caller's dry voice; what was sent; what the caller heard. Of one length. */
  readonly lanes: { readonly caller: Int16Array; readonly microphone: Int16Array; readonly heard: Int16Array };
  /** In order of `from`. */
  readonly placed: readonly Placed[];
  readonly replies: readonly SynthesisedReply[];
  readonly played: readonly PlayedRun[];
  readonly audio: readonly AudioArrival[];
  readonly messages: readonly MessageArrival[];
  readonly whiteBox: readonly WhiteBoxEvent[];
  readonly requests: readonly ModelRequest[];
  readonly waits: readonly ProviderWait[];
  readonly closed: { readonly atMs: number; readonly code: number; readonly isByCaller: boolean };
  /** Of the harness itself; in `virtual` the ratio is exactly 1 and the lateness 0. */
  readonly timing: { readonly realTimeRatio: number; readonly frameLatenessP99Ms: number };
  /** Engine alone: share of a core while the call ran, memory at its end; undefined where it cannot be told apart. */
  readonly cost: {
    readonly cpuRatio: number | undefined;
    readonly loopDelayP99Ms: number | undefined;
    readonly memoryBytes: number | undefined;
  };
};
