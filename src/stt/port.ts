/**
 * What the STT thread wants of a recogniser. Two kinds fit: streaming ones implement `SttProvider` themselves; request/response ones
 * (Whisper behind HTTP, the embedded grammar recogniser) implement `Transcriber` and get their turns from `request-turn.ts`.
 */
import type { EngineError } from '../shared/errors.js';
import type { Hz, Ms, Samples } from '../shared/units.js';

/** Stands in a transcript for speech that was heard but not understood. */
export const unintelligible = '[unintelligible]';

/** Per-agent settings of recognition. */
export type SttSettings = {
  /** ISO 639-1. */
  readonly language: string;
  readonly keywords: readonly string[];
  /** Only the embedded recogniser: the agent's grammar (`src/stt/embedded/grammar.ts`), as plain JSON. */
  readonly grammar?: unknown;
};

/** One result for an open turn. A later one replaces an earlier one when its `lastSample` is not smaller. */
export type Transcript = {
  readonly text: string;
  /** True when the audio up to `lastSample` was all the turn had at a soft pause: if no speech follows, this is the final. */
  readonly isFinal: boolean;
  /** Input clock: one past the last sample that was transcribed. */
  readonly lastSample: Samples;
  /** 0..1, the recogniser's own estimate that there was no speech. */
  readonly noSpeechRatio?: number;
  /** 0..1, the recogniser's confidence in the words. */
  readonly confidence?: number;
};

export type SttTurnOptions = {
  readonly settings: SttSettings;
  readonly onTranscript: (transcript: Transcript) => void;
  /** The request failed for good (its retries and hedges are spent). The turn stays open: later audio may succeed. */
  readonly onProblem: (error: EngineError) => void;
};

/** One open user turn. Calls after `close` are ignored, and no callback comes after it. */
export interface SttTurn {
  /** The next samples of the turn, 16 kHz mono, starting at input-clock sample `firstSample`. The buffer is copied before the call returns. */
  push(chunk: Int16Array, firstSample: Samples): void;
  /**
   * The caller paused (soft pause): transcribe all that was pushed, as a candidate final. `speechMs`: the speech that the gate saw in the
   * turn so far, when the caller knows it; words of a recogniser that invents some on silence are weighed against it.
   */
  pause(speechMs?: Ms): void;
  /** Speech went on after a pause. */
  resume(): void;
  /** Ends the turn: aborts what is in flight. */
  close(): void;
}

export interface SttProvider {
  readonly name: string;
  /** Loads or connects whatever the first turn would otherwise wait for. */
  warm(settings: SttSettings): Promise<void>;
  openTurn(options: SttTurnOptions): SttTurn;
  close(): Promise<void>;
}

export type TranscribeRequest = {
  /** 16 kHz mono. The caller's again as soon as `transcribe` has returned its promise: who needs it longer copies it. */
  readonly audio: Int16Array;
  readonly rateHz: Hz;
  readonly settings: SttSettings;
  readonly signal: AbortSignal;
};

export type Recognition = {
  /** Words as the recogniser writes them; `unintelligible` for speech it rejects; empty for no speech. */
  readonly text: string;
  readonly noSpeechRatio?: number;
  readonly confidence?: number;
};

/** A recogniser that answers whole requests. Throws `EngineError`. */
export interface Transcriber {
  readonly name: string;
  warm(settings: SttSettings): Promise<void>;
  transcribe(request: TranscribeRequest): Promise<Recognition>;
  close(): Promise<void>;
}
