/**
 * One thing the agent says, on its way from text to samples: segmenter, synthesiser stream, audio and timeline. TTS thread.
 * Until it is released only its first segment is synthesised; afterwards text is fed so that no more than a few seconds of unheard
 * audio are ever ahead, and a cut wastes little.
 */

import { Resampler } from '../audio/resample.js';
import { SampleQueue } from '../audio/sample-queue.js';
import { type EngineError, type Problem, problemOf } from '../shared/errors.js';
import type { Hz } from '../shared/units.js';
import type { TtsChunk, TtsProvider, TtsStream, TtsVoice } from './port.js';
import { type Segment, Segmenter } from './segmenter.js';
import { isSpeakable } from './speakable.js';
import { Timeline } from './timeline.js';

/** Text is held back while this much audio is unheard or on its way, and the synthesiser is paused above twice as much. */
const aheadMaxMs = 2000;
/** Speaking rate for text whose audio is not there yet, until the voice turns out to be quicker. */
const msPerCharMax = 65;
/**
 * With less than this unheard, and nothing from the synthesiser for so long, all that it was given has become audio. Without this a quick voice would
 * stay in debt by the estimate, and a long reply would end in silence.
 */
const hungryMs = 1000;
const quietMs = 400;
/** A synthesiser that fails is asked once more for what it did not say. */
const attemptsMax = 2;
/** Text of one speech; longer is cut. */
const textCharsMax = 65536;

export type SpeechEvents = {
  readonly onAudio: () => void;
  readonly onProblem: (problem: Problem) => void;
};

export class Speech {
  isProtected: boolean;
  readonly audio = new SampleQueue();
  readonly timeline: Timeline;
  /** Instants of the way to the first audio (monotonic ms), 0 until then. */
  firstSegmentAtMs = 0;
  firstChunkAtMs = 0;
  /** Index of the next sample to be framed. */
  cursor = 0;
  /** All audio there will ever be is in `audio`. */
  isComplete = false;
  /** Synthesis failed for good before the end of the text. */
  isBroken = false;
  /** There is no text to make audio of, and that is as it should be. */
  isAwaitingText = false;
  /** It was told that everything before the pause has been heard. */
  isPauseTold = false;

  #number: number;
  readonly #provider: TtsProvider;
  #voice: TtsVoice;
  readonly #rateHz: Hz;
  readonly #events: SpeechEvents;
  readonly #now: () => number;
  readonly #segmenter = new Segmenter();
  readonly #waiting: Segment[] = [];
  #written: Segment[] = [];
  #stream: TtsStream | undefined;
  #resampler: Resampler | undefined;
  #charBase = 0;
  #pieceBase = 0;
  #pieces = 0;
  #fedChars = 0;
  #msPerChar = msPerCharMax;
  /** End of the audio when the last text with a sound in it was given to the synthesiser, and when audio came last, monotonic ms. */
  #fedAtSample = 0;
  #chunkAtMs = 0;
  #textChars = 0;
  #isReleased = false;
  #isTextOver = false;
  #isFinished = false;
  #isStopped = false;
  #isPaused = false;
  #attempts = 1;

  constructor(
    number: number,
    isProtected: boolean,
    provider: TtsProvider,
    voice: TtsVoice,
    rateHz: Hz,
    now: () => number,
    events: SpeechEvents,
  ) {
    this.#number = number;
    this.isProtected = isProtected;
    this.#provider = provider;
    this.#voice = voice;
    this.#rateHz = rateHz;
    this.#now = now;
    this.#events = events;
    this.timeline = new Timeline(rateHz);
    this.#stream = this.#open();
  }

  get number(): number {
    return this.#number;
  }

  /** The same speech goes on under another number after an undone CUT. */
  renumber(number: number): void {
    this.#number = number;
    this.isPauseTold = false;
  }

  /** How much of its text so far has become audio, as far as that can be known. */
  get spoken(): 'whole' | 'begun' | 'no' {
    return this.#waiting.length > 0 ? 'no' : this.timeline.lastPieceSounds();
  }

  /** When the segmenter wants to be asked again although no text came, monotonic ms. */
  get wakeAtMs(): number | undefined {
    return this.#isTextOver ? undefined : this.#segmenter.nextDeadlineMs();
  }

  /** Only what nothing was synthesised of is said in another voice. */
  setVoice(voice: TtsVoice): void {
    if (this.#pieces > 0 || this.#isStopped || this.#isFinished) return;
    this.#voice = voice;
    this.#stream?.abort();
    this.#stream = this.#open();
  }

  addText(delta: string): void {
    if (this.#isTextOver || this.#isStopped) return;
    this.isAwaitingText = false;
    const text = delta.slice(0, Math.max(0, textCharsMax - this.#textChars));
    this.#textChars += text.length;
    this.timeline.addText(text);
    this.#take(this.#segmenter.push(text, this.#now()));
  }

  /** A tool runs: no text for a while. What there is gets spoken. */
  pauseText(): void {
    if (this.#isTextOver || this.#isStopped) return;
    this.isAwaitingText = true;
    this.isPauseTold = false;
    this.#take(this.#segmenter.pause());
  }

  endText(): void {
    if (this.#isTextOver || this.#isStopped) return;
    this.#isTextOver = true;
    this.#take(this.#segmenter.end());
  }

  release(): void {
    this.#isReleased = true;
    this.feed();
  }

  /** The segmenter's own deadlines. */
  idle(atMs: number): void {
    if (!this.#isTextOver && !this.#isStopped) this.#take(this.#segmenter.idle(atMs));
  }

  /** No more text goes in; what was synthesised stays. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#stream?.abort();
    this.#stream = undefined;
    this.#waiting.length = 0;
  }

  /** Nobody will hear more of it: its audio goes, what is known of it stays. */
  drop(): void {
    this.stop();
    this.audio.clear();
  }

  /** Gives the synthesiser as much text as it may have now. */
  feed(): void {
    if (this.#isStopped || this.#stream === undefined) return;
    while (this.#waiting.length > 0 && this.#mayFeed()) {
      const segment = this.#waiting.shift()!;
      this.#written.push(segment);
      this.#writeSegment(segment);
    }
    // The synthesiser may fail inside `write`.
    if (this.isComplete || this.#stream === undefined) return;
    if (this.#isTextOver && this.#waiting.length === 0 && !this.#isFinished) {
      this.#isFinished = true;
      if (this.#pieces === 0) this.#end();
      else this.#stream.finish();
    }
    const mustPause = this.#unheardMs() > 2 * aheadMaxMs;
    if (mustPause !== this.#isPaused) {
      this.#isPaused = mustPause;
      this.#stream?.setPaused(mustPause);
    }
  }

  #mayFeed(): boolean {
    if (this.#pieces === 0) return true;
    if (!this.#isReleased) return false;
    const madeMs = (this.audio.end * 1000) / this.#rateHz;
    const comingMs = Math.max(0, this.#fedChars * this.#msPerChar - madeMs);
    const unheardMs = this.#unheardMs();
    if (unheardMs + comingMs < aheadMaxMs) return true;
    const isQuiet = this.audio.end > this.#fedAtSample && this.#now() - this.#chunkAtMs >= quietMs;
    if (unheardMs >= hungryMs || !isQuiet) return false;
    this.#msPerChar = madeMs / this.#fedChars;
    return true;
  }

  #unheardMs(): number {
    return ((this.audio.end - this.cursor) * 1000) / this.#rateHz;
  }

  #take(segments: readonly Segment[]): void {
    for (const segment of segments) if (segment.text.trim() !== '') this.#waiting.push(segment);
    if (this.#waiting.length > 0 && this.firstSegmentAtMs === 0) this.firstSegmentAtMs = this.#now();
    this.feed();
  }

  #writeSegment(segment: { text: string; offsets: Uint32Array }): void {
    this.timeline.addPiece(segment.offsets);
    this.#pieces += 1;
    this.#fedChars += segment.text.length;
    if (isSpeakable(segment.text)) this.#fedAtSample = this.audio.end;
    this.#stream?.write(segment.text);
  }

  #open(): TtsStream {
    return this.#provider.openStream({
      voice: this.#voice,
      preferredRateHz: this.#rateHz,
      onChunk: (chunk) => this.#received(chunk),
      onEnd: () => this.#end(),
      onProblem: (error) => this.#failed(error),
    });
  }

  #received(chunk: TtsChunk): void {
    if (this.#isStopped) return;
    this.#chunkAtMs = this.#now();
    if (this.firstChunkAtMs === 0) this.firstChunkAtMs = this.#chunkAtMs;
    const audio = this.#toOutputRate(chunk);
    const { alignment, pieceIndex } = chunk;
    const shifted = alignment?.map((time) => ({ ...time, charIndex: time.charIndex + this.#charBase }));
    this.timeline.addAudio(audio, shifted, pieceIndex === undefined ? undefined : pieceIndex + this.#pieceBase);
    this.audio.append(audio);
    this.feed();
    this.#events.onAudio();
  }

  #toOutputRate(chunk: TtsChunk): Int16Array {
    if (chunk.rateHz === this.#rateHz) return chunk.audio;
    this.#resampler ??= new Resampler(chunk.rateHz, this.#rateHz);
    return this.#resampler.process(chunk.audio);
  }

  #end(): void {
    if (this.#resampler !== undefined) {
      const rest = this.#resampler.flush();
      this.timeline.addTail(rest.length);
      this.audio.append(rest);
    }
    this.isComplete = true;
    this.#stream = undefined;
    this.#events.onAudio();
  }

  #failed(error: EngineError): void {
    if (this.#isStopped) return;
    this.#stream = undefined;
    const rest = this.#unspoken();
    if (rest === undefined && this.#waiting.length === 0 && this.#isTextOver) {
      this.#end();
      return;
    }
    const isHopeless = error.kind === 'rejected' || error.kind === 'config' || error.kind === 'aborted';
    if (isHopeless || this.#attempts >= attemptsMax) {
      this.isComplete = true;
      this.isBroken = true;
      this.#events.onProblem(problemOf(error));
      this.#events.onAudio();
      return;
    }
    this.#attempts += 1;
    this.#isFinished = false;
    this.#resampler = undefined;
    this.#charBase = this.#written.reduce((sum, segment) => sum + segment.text.length, 0);
    this.#pieceBase = this.#pieces;
    this.#stream = this.#open();
    this.#fedAtSample = 0;
    if (rest !== undefined) {
      this.#fedChars -= rest.text.length;
      this.#written.push(rest);
      this.#writeSegment(rest);
    }
    this.feed();
  }

  /**
   * What was given to the synthesiser and has not become audio, from the first word on that does not sound to its end. The audio of half a
   * word is dropped, as far as it was not framed yet: the word comes again.
   */
  #unspoken(): Segment | undefined {
    const { chars: spokenChars, endSample } = this.timeline.breakOff(this.cursor);
    this.audio.truncate(endSample);
    let text = '';
    const offsets: number[] = [];
    for (const segment of this.#written) {
      if (segment.originalEnd <= spokenChars) continue;
      for (let index = 0; index < segment.text.length; index++) {
        if (segment.offsets[index]! < spokenChars) continue;
        text += segment.text[index]!;
        offsets.push(segment.offsets[index]!);
      }
    }
    if (text.trim() === '') return undefined;
    const last = this.#written.at(-1)!;
    return { text, originalStart: offsets[0]!, originalEnd: last.originalEnd, offsets: Uint32Array.from(offsets) };
  }
}
