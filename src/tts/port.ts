/** What the TTS thread wants of a synthesiser: one stream per reply, text in pieces, audio in pieces, and where each character is in it. */
import type { EngineError } from '../shared/errors.js';
import type { Hz, Ms } from '../shared/units.js';

export type TtsVoice = {
  /** Empty: the adapter's default voice and model. */
  readonly voiceId: string;
  readonly modelId: string;
  /** ISO 639-1. */
  readonly language: string;
  /** 0.7 .. 1.2 */
  readonly speed: number;
  readonly stability: number;
  readonly similarityBoost: number;
};

/** When one character of the written text sounds. Times are relative to the start of the chunk they come with. */
export type CharTime = {
  /** Index into all the text written to this stream so far (UTF-16 units, counting from its first `write`). */
  readonly charIndex: number;
  readonly startMs: Ms;
  readonly durationMs: Ms;
};

export type TtsChunk = {
  /** Mono, at `rateHz`; whole samples (an adapter puts split samples together). The receiver owns it. */
  readonly audio: Int16Array;
  readonly rateHz: Hz;
  /** Absent when the provider gives none; then the timeline distributes characters over voiced samples. */
  readonly alignment?: readonly CharTime[];
  /** Index of the last piece (`write` call, from 0) this audio belongs to, when the adapter knows it. */
  readonly pieceIndex?: number;
};

export type TtsStreamOptions = {
  readonly voice: TtsVoice;
  /** The rate the caller will hear; adapters ask the provider for it where they can, and else for the next higher one. */
  readonly preferredRateHz: Hz;
  readonly onChunk: (chunk: TtsChunk) => void;
  /** All text given before `finish` has become audio. */
  readonly onEnd: () => void;
  /** The stream is lost; `writtenUnheard` is the engine's business. No callback follows. */
  readonly onProblem: (error: EngineError) => void;
};

/** One reply. Calls after `abort` or the end are ignored, and no callback comes after `abort`. */
export interface TtsStream {
  /** One segment of text (`segmenter.ts`): a clause or sentence, to be spoken at once. */
  write(text: string): void;
  /** No more text: flush, then `onEnd`. */
  finish(): void;
  /** The reply was cut: late audio is ignored first, then the provider is told. */
  abort(): void;
  /** Back-pressure: stop or continue delivering chunks; an adapter that cannot pause its source buffers what is under way. */
  setPaused(paused: boolean): void;
}

export interface TtsProvider {
  readonly name: string;
  /** Opens the connection (or loads the voice) that the first reply would otherwise wait for; keeps it open. */
  warm(voice: TtsVoice, preferredRateHz: Hz): Promise<void>;
  openStream(options: TtsStreamOptions): TtsStream;
  close(): Promise<void>;
}
