/**
 * One reply spoken by ElevenLabs: one stream, one context. What is written is whole segments, so the service was told to speak every message
 * at once (`auto_mode`). Runs on the TTS thread.
 *
 * When the connection is lost: a reply of which nothing has sounded yet is begun anew in another context, twice at most, without anybody
 * noticing. Otherwise the stream ends with `onProblem`, and the engine, which knows what has sounded, writes the rest to another stream; the
 * pool opens the next connection meanwhile.
 */
import { nowMs } from '../shared/clock.js';
import { EngineError } from '../shared/errors.js';
import type { Hz } from '../shared/units.js';
import { SentText, type ServerMessage } from './elevenlabs-messages.js';
import type { Context, ContextEvents } from './elevenlabs-socket.js';
import type { CharTime, TtsChunk, TtsStream, TtsStreamOptions } from './port.js';
import { SampleJoiner } from './sample-joiner.js';
import { isSpeakable } from './speakable.js';

export type StreamDeadlines = {
  /** From text to the first audio of a reply, including a connection that must be opened first. */
  readonly firstAudioDeadlineMs: number;
  /** Between two pieces of audio while text waits. */
  readonly gapDeadlineMs: number;
  /** How long the end of a reply waits for audio of its last text before the context is closed all the same. */
  readonly closeDeadlineMs: number;
  /** Silence on a closed context that stands for its end when the service does not say so. */
  readonly endSilenceMs: number;
  /** The same when the alignment says that all text has sounded. */
  readonly endCoveredMs: number;
};

/** Text of one reply. */
const replyCharsMax = 65_536;
/** Audio that is kept for a paused receiver. */
const bufferedAudioMsMax = 300_000;
/** A reply is begun anew this often when it is lost before its first audio. */
const restartsMax = 2;

/** `open`: text may come. `finishing`: no more text. `closing`: the context was closed, the rest of its audio comes. `over`: no callback any more. */
type Phase = 'open' | 'finishing' | 'closing' | 'over';

/** What belongs to one context; a new one is made with every context. */
type Generation = {
  readonly context: Context;
  readonly sent: SentText;
  readonly joiner: SampleJoiner;
  /** Index in the written text at which this context begins. */
  readonly startIndex: number;
  /** There is something in it that must sound. */
  hasText: boolean;
  hasAudio: boolean;
  /** Audio has come since the last text. */
  isAnswered: boolean;
  /** Times that came with a message without audio; they belong to the next. */
  waitingTimes: CharTime[];
};

export class ElevenLabsStream implements TtsStream {
  readonly #options: TtsStreamOptions;
  readonly #rateHz: Hz;
  readonly #deadlines: StreamDeadlines;
  readonly #openContext: (events: ContextEvents) => Context | EngineError;
  readonly #forget: () => void;
  #phase: Phase = 'open';
  #generation: Generation | undefined;
  #written = '';
  /** Index in `#written` at which each piece begins. */
  readonly #pieceStarts: number[] = [];
  #restarts = 0;
  /** When the text was written that no audio has answered yet; 0 when all is answered. */
  #askedAtMs = 0;
  #lastSignAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #ready: TtsChunk[] = [];
  #readySamples = 0;
  #isPaused = false;
  /** All chunks there will be are in `#ready`. */
  #isComplete = false;

  constructor(
    options: TtsStreamOptions,
    rateHz: Hz,
    deadlines: StreamDeadlines,
    openContext: (events: ContextEvents) => Context | EngineError,
    forget: () => void,
  ) {
    this.#options = options;
    this.#rateHz = rateHz;
    this.#deadlines = deadlines;
    this.#openContext = openContext;
    this.#forget = forget;
    this.#generation = this.#begin(0);
  }

  write(text: string): void {
    if (this.#phase !== 'open') return;
    const startIndex = this.#written.length;
    this.#pieceStarts.push(startIndex);
    this.#written += text;
    if (this.#written.length > replyCharsMax) {
      this.#fail(new EngineError('garbage', 'A reply is too long to be spoken.'));
      return;
    }
    if (!isSpeakable(text)) return;
    this.#generation ??= this.#begin(startIndex);
    if (this.#generation === undefined) return;
    this.#say(this.#generation, text, startIndex);
    this.#watch();
  }

  finish(): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'finishing';
    this.#lastSignAtMs = nowMs();
    if (this.#generation?.hasText === true) {
      this.#generation.context.send({ flush: true });
      this.#closeWhenHeard(this.#generation);
      this.#watch();
    } else {
      // Not at once: the caller is not yet prepared for an end while it is still calling.
      queueMicrotask(() => this.#complete());
    }
  }

  abort(): void {
    this.#phase = 'over';
    this.#ready.length = 0;
    clearTimeout(this.#timer);
    this.#generation?.context.abandon();
    this.#generation = undefined;
    this.#forget();
  }

  setPaused(paused: boolean): void {
    this.#isPaused = paused;
    if (!paused) this.#deliver();
  }

  /** A new context, opened at the service by its settings. `undefined` when there is none to be had; the stream has then failed. */
  #begin(startIndex: number): Generation | undefined {
    const context = this.#openContext({
      onAudio: (message) => this.#received(message),
      onFinal: () => this.#ended(),
      onLost: (error) => this.#lost(error),
    });
    if (context instanceof EngineError) {
      // The constructor comes by here too, and nobody has the stream to be told about yet.
      queueMicrotask(() => this.#fail(context));
      return undefined;
    }
    const { voice } = this.#options;
    context.send({
      text: ' ',
      voice_settings: {
        stability: clamp(voice.stability, 0, 1),
        similarity_boost: clamp(voice.similarityBoost, 0, 1),
        speed: clamp(voice.speed, 0.7, 1.2),
      },
    });
    return {
      ...{ context, sent: new SentText(), joiner: new SampleJoiner(), startIndex },
      ...{ hasText: false, hasAudio: false, isAnswered: true, waitingTimes: [] },
    };
  }

  #say(generation: Generation, text: string, startIndex: number): void {
    generation.context.send({ text: generation.sent.add(text, startIndex) });
    generation.hasText = true;
    generation.isAnswered = false;
    this.#lastSignAtMs = nowMs();
    if (this.#askedAtMs === 0) this.#askedAtMs = this.#lastSignAtMs;
  }

  #received(message: Extract<ServerMessage, { kind: 'audio' }>): void {
    const generation = this.#generation;
    if (generation === undefined) return;
    this.#lastSignAtMs = nowMs();
    const audio = generation.joiner.push(message.audio);
    if (message.alignment !== undefined) generation.waitingTimes.push(...generation.sent.place(message.alignment));
    else if (message.audio.length > 0) generation.sent.lose();
    if (audio.length > 0) {
      generation.hasAudio = true;
      generation.isAnswered = true;
      this.#askedAtMs = 0;
      this.#hand(audio, generation.waitingTimes);
      generation.waitingTimes = [];
    }
    // The receiver may have aborted in its callback.
    if (this.#generation !== generation) return;
    this.#closeWhenHeard(generation);
    this.#watch();
  }

  #hand(audio: Int16Array, times: readonly CharTime[]): void {
    const chunk = { audio, rateHz: this.#rateHz };
    const lastTime = times.at(-1);
    if (lastTime === undefined) this.#ready.push(chunk);
    else this.#ready.push({ ...chunk, alignment: times, pieceIndex: this.#pieceAt(lastTime.charIndex) });
    this.#readySamples += audio.length;
    if ((this.#readySamples * 1000) / this.#rateHz > bufferedAudioMsMax) {
      this.#fail(new EngineError('garbage', 'The speech provider sends audio without end.'));
      return;
    }
    this.#deliver();
  }

  #deliver(): void {
    while (!this.#isPaused && this.#phase !== 'over') {
      const chunk = this.#ready.shift();
      if (chunk === undefined) break;
      this.#readySamples -= chunk.audio.length;
      this.#options.onChunk(chunk);
    }
    if (!this.#isComplete || this.#isPaused || this.#phase === 'over') return;
    this.abort();
    this.#options.onEnd();
  }

  /** Closing right behind the last text can lose all of it, so it waits until audio has answered that text. */
  #closeWhenHeard(generation: Generation): void {
    if (this.#phase !== 'finishing' || !(generation.isAnswered || generation.sent.isCovered())) return;
    this.#phase = 'closing';
    generation.context.finish();
  }

  /** The service says that the context is over, or has gone silent long enough. */
  #ended(): void {
    const generation = this.#generation;
    this.#generation = undefined;
    if (generation === undefined) return;
    if (generation.hasText && !generation.hasAudio) {
      this.#restart(generation, new EngineError('broken', 'The speech provider ended a reply without audio.'));
      return;
    }
    // Only whole pieces count as missing: the alignment need not name the last mark or letter.
    const missing = generation.sent.rest() ?? '';
    const isPieceMissing = this.#pieceStarts.some((start, index) => {
      const piece = this.#written.slice(start, this.#pieceStarts[index + 1] ?? this.#written.length).trim();
      return start >= generation.startIndex && isSpeakable(piece) && missing.includes(piece);
    });
    if (isPieceMissing) this.#fail(new EngineError('broken', 'The speech provider ended a reply before its last text.'));
    else if (this.#phase === 'open') this.#askedAtMs = 0;
    else this.#complete();
    this.#watch();
  }

  #lost(error: EngineError): void {
    const generation = this.#generation;
    this.#generation = undefined;
    if (generation === undefined) return;
    if (!generation.hasText) {
      // Nothing is lost with it. What cannot be healed is said early, the rest when text comes.
      if (error.kind === 'rejected') this.#fail(error);
    } else if (!generation.hasAudio) this.#restart(generation, error);
    else if (!generation.sent.isCovered()) this.#fail(error);
    else if (this.#phase !== 'open') this.#complete();
    this.#watch();
  }

  #restart(lost: Generation, error: EngineError): void {
    const isHopeless = error.kind === 'rejected' || error.kind === 'rate_limited';
    if (isHopeless || this.#restarts >= restartsMax) {
      this.#fail(error);
      return;
    }
    this.#restarts += 1;
    const generation = this.#begin(lost.startIndex);
    this.#generation = generation;
    if (generation === undefined) return;
    this.#say(generation, this.#written.slice(lost.startIndex), lost.startIndex);
    if (this.#phase !== 'open') {
      this.#phase = 'finishing';
      generation.context.send({ flush: true });
    }
    this.#watch();
  }

  #complete(): void {
    if (this.#phase === 'over') return;
    clearTimeout(this.#timer);
    this.#generation?.context.abandon();
    this.#generation = undefined;
    this.#isComplete = true;
    this.#deliver();
  }

  #fail(error: EngineError): void {
    if (this.#phase === 'over') return;
    this.abort();
    this.#options.onProblem(error);
  }

  /** Sets the one timer of the stream to whatever is to happen next if nothing else does. */
  #watch(): void {
    clearTimeout(this.#timer);
    const generation = this.#generation;
    if (this.#phase === 'over' || generation === undefined || !generation.hasText) return;
    const at = (sinceMs: number, waitMs: number, act: () => void): void => {
      this.#timer = setTimeout(act, Math.max(0, sinceMs + waitMs - nowMs()));
    };
    const late = (message: string) => () => this.#fail(new EngineError('timeout', message));
    const { sent } = generation;
    const isMissing = sent.rest() !== undefined && !sent.isCovered();
    if (!generation.hasAudio) {
      at(this.#askedAtMs, this.#deadlines.firstAudioDeadlineMs, late('The speech provider sent no audio in time.'));
    } else if (this.#phase === 'finishing') {
      at(this.#lastSignAtMs, this.#deadlines.closeDeadlineMs, () => {
        generation.isAnswered = true;
        this.#closeWhenHeard(generation);
        this.#watch();
      });
    } else if (!generation.isAnswered || isMissing) {
      at(this.#lastSignAtMs, this.#deadlines.gapDeadlineMs, late('The speech provider stopped in the middle of a reply.'));
    } else if (this.#phase === 'closing') {
      const waitMs = sent.isCovered() ? this.#deadlines.endCoveredMs : this.#deadlines.endSilenceMs;
      at(this.#lastSignAtMs, waitMs, () => {
        generation.context.abandon();
        this.#ended();
      });
    }
  }

  #pieceAt(charIndex: number): number {
    return this.#pieceStarts.findLastIndex((start) => start <= charIndex);
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
