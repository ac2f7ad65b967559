/**
 * What crosses ports: one union per link and direction, `type` as discriminator. Never audio (rings carry it), never lost, in order.
 * Every message of a session names its slot and generation; a receiver drops what is of another generation.
 * The link between main and conversation carries the public protocol's events and is in `src/conversation/links.ts`.
 */
import type { Problem } from './errors.js';
import type { Ms } from './units.js';

export type Address = { readonly slot: number; readonly generation: number };

/** main → vad, stt, tts. Answered with `released` when nothing of the session is left in that thread. */
export type SlotOrder = Address & ({ readonly type: 'open' } | { readonly type: 'close' });
/** vad, stt, tts, conversation → main. */
export type Released = Address & { readonly type: 'released' };
/** stt, tts, conversation → main: a bug hit this one session; its call ends, the others go on. */
export type SessionFailed = Address & { readonly type: 'session_failed'; readonly message: string };

/** vad → conversation and stt: the speech gate's events, on the input clock (samples). */
export type SpeechEvent =
  | {
      readonly type: 'speech_start';
      readonly startSample: number;
      readonly atSample: number;
      /** The value of `holdsRaised` when this start raised a HOLD, else 0. */
      readonly hold: number;
      /** Monotonic instant of the decision. */
      readonly decidedAtMs: number;
    }
  | {
      readonly type: 'speech_hop';
      readonly atSample: number;
      readonly startSample: number;
      readonly speechMs: number;
      readonly continuousMs: number;
      readonly meanProbability: number;
      readonly levelOverFloorDb: number;
      readonly levelOverCallerDb: number;
      /** As in `speech_start`: a HOLD raised in the middle of a segment, because the agent began to speak. */
      readonly hold: number;
    }
  /** A short dip inside a segment: worth a candidate transcript, not yet a pause. */
  | {
      readonly type: 'speech_dip';
      readonly atSample: number;
      readonly lastSpeechSample: number;
      readonly speechMs: number;
      /** False: it is only quiet, and may be a closure in the middle of a word. */
      readonly isSure: boolean;
    }
  /** The soft pause. */
  | {
      readonly type: 'speech_end';
      readonly atSample: number;
      readonly startSample: number;
      /** One past the last hop that counted as speech: t0 of endpointing. */
      readonly lastSpeechSample: number;
      readonly speechMs: number;
      /** Of the whole segment; 0 while it is not known how loud the caller is. */
      readonly levelOverCallerDb: number;
      /** None of it was the caller's: it was the agent's own voice. */
      readonly isEcho?: true;
    }
  | { readonly type: 'score'; readonly score: number };
export type FromVad = Address & SpeechEvent;

/** main → stt: samples of the input ring that are silence made by us because the client sent nothing. */
export type InputGap = Address & { readonly type: 'gap'; readonly startSample: number; readonly endSample: number };

/** conversation → stt. */
export type ToStt = Address &
  (
    | {
        readonly type: 'configure';
        readonly provider: string;
        readonly language: string;
        readonly keywords: readonly string[];
        readonly grammar: unknown;
      }
    /** Turn `turn` is over (committed or dropped) through `throughSample`; the next speech opens turn `turn + 1`. */
    | { readonly type: 'close_turn'; readonly turn: number; readonly throughSample: number }
  );

/** stt → conversation. */
export type FromStt = Address &
  (
    | {
        readonly type: 'transcript';
        readonly turn: number;
        readonly text: string;
        readonly isFinal: boolean;
        readonly lastSample: number;
        readonly confidence: number | undefined;
        /** Monotonic instants: request sent (of the candidate, for finals) and answer received. */
        readonly askedAtMs: number;
        readonly answeredAtMs: number;
      }
    | { readonly type: 'stt_problem'; readonly turn: number; readonly problem: Problem }
    /** A learned model was asked whether the caller is done, in the pause after `lastSpeechSample`. */
    | { readonly type: 'turn_asked'; readonly turn: number; readonly lastSpeechSample: number }
    /** Its answer to that, 0..1; undefined: there is none. */
    | {
        readonly type: 'turn_score';
        readonly turn: number;
        readonly lastSpeechSample: number;
        readonly probability: number | undefined;
      }
  );

/** conversation → tts. A speech is one thing the agent says; its text arrives in deltas. */
export type ToTts = Address &
  (
    | {
        readonly type: 'configure';
        readonly provider: string;
        readonly voiceId: string;
        readonly modelId: string;
        readonly language: string;
        readonly speed: number;
        readonly stability: number;
        readonly similarityBoost: number;
        /** Of what the client hears. */
        readonly rateHz: number;
        readonly encoding: 'pcm' | 'ulaw';
        /** How far ahead of real time audio is sent, as the agent wants it; undefined: as the format suggests. */
        readonly leadMs?: number | undefined;
        /** What is handed to the client goes to the API thread too. */
        readonly isRecorded?: boolean;
      }
    /** A speech begins to be made. Nothing of it is heard, and no more than its first segment is synthesised, before `release`. */
    | { readonly type: 'speak'; readonly speech: number; readonly isProtected: boolean }
    /** From now on the caller can (not) interrupt it. */
    | { readonly type: 'protect'; readonly speech: number; readonly isProtected: boolean }
    | { readonly type: 'text'; readonly speech: number; readonly delta: string }
    /** No text for a while: a tool runs. What there is gets spoken, and silence meanwhile is nobody's fault. */
    | { readonly type: 'text_pause'; readonly speech: number }
    | { readonly type: 'text_end'; readonly speech: number }
    /** The speech may be heard from now on, under `epoch` and `eventId`, after main has sent `afterControl` control messages. */
    | {
        readonly type: 'release';
        readonly speech: number;
        readonly epoch: number;
        readonly eventId: number;
        readonly afterControl: number;
      }
    /** Not to be started for now (the caller may be speaking); `release` undoes it. No effect once audio has left. */
    | { readonly type: 'hold_back'; readonly speech: number }
    /** Not wanted any more: an unheard draft, or a cut speech whose CUT is beyond undoing. */
    | { readonly type: 'discard'; readonly speech: number }
    /** A CUT: `speech` is not heard any further. An undoable one is still made (within bounds) until `undo` or `discard`. */
    | { readonly type: 'cut'; readonly speech: number; readonly epoch: number; readonly isUndoable: boolean }
    /** A false alarm: go on. The HOLD numbered `hold` is released when the frames are in place. */
    | { readonly type: 'resume'; readonly hold: number }
    /** A false CUT: say `speech` again from the last word boundary heard, as `newSpeech` under `epoch`. */
    | {
        readonly type: 'undo';
        readonly speech: number;
        readonly newSpeech: number;
        readonly epoch: number;
        readonly eventId: number;
        readonly afterControl: number;
      }
  );

/** tts → conversation. */
export type FromTts = Address &
  /** The frames to go on with are in the ring: conversation clears the HOLD. `rewoundSamples` are heard twice. */
  (
    | { readonly type: 'resume_ready'; readonly hold: number; readonly rewoundSamples: number }
    /** What was truly heard of a cut speech: characters of its text, cut at a word boundary. */
    | {
        readonly type: 'heard';
        readonly speech: number;
        readonly epoch: number;
        readonly heardChars: number;
        readonly heardMs: number;
        readonly totalChars: number;
      }
    /** All there is of the speech has been heard, by the playhead estimate. `heardChars`: how much that is, when synthesis failed before its end. */
    | { readonly type: 'drained'; readonly speech: number; readonly heardChars: number | undefined }
    /** `text_pause`: everything before it has been heard, by the playhead estimate. Told once a pause. */
    | { readonly type: 'caught_up'; readonly speech: number }
    /** Instants of the way to the first audio, monotonic. */
    | {
        readonly type: 'speech_timing';
        readonly speech: number;
        readonly firstSegmentAtMs: number;
        readonly firstChunkAtMs: number;
      }
    /** Synthesis failed for good; what was synthesised before it (`isHeard`: anything) is still heard, then `drained` follows. */
    | { readonly type: 'tts_problem'; readonly speech: number; readonly problem: Problem; readonly isHeard: boolean }
  );

/** main → tts: the `interruption` of the CUT that began `epoch` is on the wire; nothing older is sent from now on. */
export type CutSent = Address & {
  readonly type: 'cut_sent';
  readonly epoch: number;
  readonly sentPosition: number;
  /** Estimated instant at which the client would have played all that was sent. */
  readonly playEndAtMs: number;
  readonly atMs: number;
};

/** main ↔ any thread: histograms and counters on request, for rigs. `/metrics` as text is made from shared memory and asks nobody. */
export type MetricsAsk = { readonly type: 'metrics'; readonly id: number };
export type MetricsAnswer = {
  readonly type: 'metrics';
  readonly id: number;
  readonly thread: string;
  /** HDR histograms, encoded to be merged. */
  readonly histograms: readonly { readonly name: string; readonly encoded: string }[];
  readonly counters: readonly { readonly name: string; readonly labels: string; readonly value: number }[];
  readonly gauges: readonly { readonly name: string; readonly labels: string; readonly value: number }[];
};

/** First message of every thread to main once it can work, or why it cannot. */
export type Ready = { readonly type: 'ready'; readonly says: readonly string[] };
export type Failed = { readonly type: 'failed'; readonly problem: Problem };

/** The last order. */
export type Stop = { readonly type: 'stop'; readonly deadlineMs: Ms };
