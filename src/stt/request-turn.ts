/**
 * One open user turn on a recogniser that answers whole requests: keeps the turn's audio, transcribes it again and again while the caller
 * speaks (partials), and at once when they pause (the candidate final). STT thread; evented, never blocks.
 *
 * A pause does not abort the partial under way unless `abortPartialAtPause` says so. Over HTTP/1.1 an abort costs its connection, and with it
 * a TLS handshake for a later request; it does not give back the provider's count of requests; and when the final is slow, the partial is
 * the best text there is. It helps only where requests are worked off one after the other (a recogniser on this machine).
 */
import type { EngineError } from '../shared/errors.js';
import type { Timers } from '../shared/timers.js';
import { inputRateHz, type Ms, ms, type Samples, samplesIn } from '../shared/units.js';
import { Ask, type AskContext, type AskSettings } from './ask.js';
import type { Recognition, SttTurn, SttTurnOptions, Transcriber, Transcript } from './port.js';
import type { RequestAllowance } from './request-allowance.js';
import { TurnAudio } from './turn-audio.js';
import { cleanText, type TextSettings } from './whisper-text.js';

export type RequestTurnSettings = AskSettings &
  TextSettings & {
    /** New audio between two partials. */
    readonly partialEveryMs: Ms;
    /** A final that covers at least this much freezes its text, and the audio before it is forgotten. */
    readonly freezeAfterMs: Ms;
    /** Audio kept at most. A turn that gets there without a pause freezes its newest text; without one, its oldest second is dropped. */
    readonly audioMaxMs: Ms;
    /** Characters of one transcript, at most; of a longer one the end is kept. */
    readonly textMax: number;
    readonly abortPartialAtPause: boolean;
  };

export const requestTurnDefaults: RequestTurnSettings = {
  partialEveryMs: ms(700),
  hedgeAfterMs: ms(600),
  deadlineMs: ms(3000),
  retryMinMs: ms(50),
  retryMaxMs: ms(150),
  retryAfterMaxMs: ms(1000),
  retryAfterUnknownMs: ms(1000),
  freezeAfterMs: ms(25_000),
  audioMaxMs: ms(60_000),
  textMax: 65_536,
  phantomSpeechMs: ms(200),
  phantomNoSpeechRatio: 0.6,
  abortPartialAtPause: false,
};

/** What the turns of one provider share. */
export type RequestContext = {
  readonly transcriber: Transcriber;
  readonly timers: Timers;
  readonly allowance: RequestAllowance;
  readonly settings: RequestTurnSettings;
  /** 0 ≤ x < 1, for the jitter of retries. */
  readonly random: () => number;
};

/** The oldest audio of an overlong turn goes in pieces of this size, so that it is not moved with every chunk. */
const dropSamples = 16_000;

/** A result, and the frozen text before the audio that it is of. */
type Heard = Recognition & { readonly prefix: string };

/** Of the thread: the audio of one request is in it while that is being made. As long as the longest so far. */
let scratch = new Int16Array(0);

function scratchOf(count: number): Int16Array<ArrayBuffer> {
  if (scratch.length < count) scratch = new Int16Array(count);
  return scratch.subarray(0, count);
}

export class RequestTurn implements SttTurn {
  readonly #context: RequestContext;
  readonly #askContext: AskContext;
  readonly #options: SttTurnOptions;
  readonly #audio: TurnAudio;
  readonly #partialSamples: number;
  readonly #freezeSamples: number;
  /** At most one of each under way. A final that is overtaken by new speech becomes the partial. */
  #partial: Ask<Heard> | undefined;
  #final: Ask<Heard> | undefined;
  /** The newest result. Later ones end at the same sample or after it. */
  #last: Transcript | undefined;
  #prefix = '';
  #newSamples = 0;
  #speechMs: Ms | undefined;
  #paused = false;
  /** The pause that lasts has its final. */
  #finalGiven = false;
  #closed = false;

  constructor(context: RequestContext, options: SttTurnOptions) {
    const { settings, transcriber, timers, allowance, random } = context;
    this.#context = context;
    this.#askContext = { who: transcriber.name, timers, allowance, settings, random };
    this.#options = options;
    this.#audio = new TurnAudio(samplesIn(settings.audioMaxMs, inputRateHz));
    this.#partialSamples = samplesIn(settings.partialEveryMs, inputRateHz);
    this.#freezeSamples = samplesIn(settings.freezeAfterMs, inputRateHz);
  }

  push(chunk: Int16Array, firstSample: Samples): void {
    if (this.#closed) return;
    this.#makeRoom((firstSample + chunk.length) as Samples);
    const added = this.#audio.append(chunk, firstSample);
    // What comes during a pause is silence; the first speech after it is in the audio, but counts only from `resume` on.
    if (this.#paused) return;
    this.#newSamples += added;
    this.#askPartial();
  }

  /** May call back before it returns: when all audio is transcribed already, and when the provider is known to refuse requests for long. */
  pause(speechMs?: Ms): void {
    const endSample = this.#audio.endSample;
    if (this.#closed || endSample === 0) return;
    this.#speechMs = speechMs;
    if (this.#paused && (this.#final !== undefined || this.#finalGiven)) return;
    this.#paused = true;
    this.#finalGiven = false;
    if (this.#last?.lastSample === endSample) {
      this.#give({ ...this.#last, text: this.#clean(this.#last, true), isFinal: true });
    } else if (this.#partial?.endSample === endSample) {
      this.#final = this.#partial;
      this.#partial = undefined;
      this.#final.makeFinal();
    } else {
      if (this.#context.settings.abortPartialAtPause) this.#dropPartial();
      this.#ask(true, endSample);
    }
  }

  resume(): void {
    if (this.#closed || !this.#paused) return;
    this.#paused = false;
    this.#finalGiven = false;
    if (this.#final === undefined) return;
    // Its audio is newer than that of a partial still under way, and one at a time is enough.
    this.#dropPartial();
    this.#partial = this.#final;
    this.#final = undefined;
    this.#partial.makePartial();
  }

  close(): void {
    this.#closed = true;
    this.#dropPartial();
    this.#final?.drop();
    this.#final = undefined;
    this.#audio.clear();
  }

  #askPartial(): void {
    if (this.#closed || this.#paused || this.#partial !== undefined || this.#newSamples < this.#partialSamples) return;
    if (this.#context.allowance.heldMs(this.#context.timers.nowMs()) > 0) return;
    this.#ask(false, this.#audio.endSample);
  }

  #ask(isFinal: boolean, endSample: Samples): void {
    this.#newSamples = 0;
    const ask: Ask<Heard> = new Ask(isFinal, endSample, this.#askContext, {
      send: (signal) => this.#transcribe(endSample, signal),
      onAnswer: (heard) => this.#answered(ask, heard),
      onFailure: (error) => this.#failed(ask, error),
    });
    // Before the start, which may fail before it returns.
    if (isFinal) this.#final = ask;
    else this.#partial = ask;
    ask.start();
  }

  async #transcribe(endSample: Samples, signal: AbortSignal): Promise<Heard> {
    const prefix = this.#prefix;
    const audio = this.#audio.copyUntil(endSample, scratchOf);
    const { transcriber } = this.#context;
    const recognition = await transcriber.transcribe({ audio, rateHz: inputRateHz, settings: this.#options.settings, signal });
    return { ...recognition, prefix };
  }

  #answered(ask: Ask<Heard>, { prefix, ...recognition }: Heard): void {
    this.#forget(ask);
    // A partial under way with the final is older than it and would take the text back in time. A final is never older than the partial.
    if (ask.isFinal) this.#dropPartial();
    const words = this.#clean(recognition, ask.isFinal);
    const text = [prefix, words]
      .filter((part) => part !== '')
      .join(' ')
      .slice(-this.#context.settings.textMax);
    this.#give({ ...recognition, text, isFinal: ask.isFinal, lastSample: ask.endSample });
    this.#askPartial();
  }

  #failed(ask: Ask<Heard>, error: EngineError): void {
    this.#forget(ask);
    this.#options.onProblem(error);
    this.#askPartial();
  }

  #forget(ask: Ask<Heard>): void {
    if (this.#partial === ask) this.#partial = undefined;
    if (this.#final === ask) this.#final = undefined;
  }

  #dropPartial(): void {
    this.#partial?.drop();
    this.#partial = undefined;
  }

  #give(transcript: Transcript): void {
    this.#last = transcript;
    this.#finalGiven = transcript.isFinal;
    if (transcript.isFinal && transcript.lastSample - this.#audio.firstSample >= this.#freezeSamples) this.#freeze(transcript);
    this.#options.onTranscript(transcript);
  }

  /** The text is settled and the audio behind it is not needed again. What is under way has its own copy of both. */
  #freeze(transcript: Transcript): void {
    this.#prefix = transcript.text;
    this.#audio.dropBefore(transcript.lastSample);
  }

  #clean({ text, noSpeechRatio }: { readonly text: string; readonly noSpeechRatio?: number }, isFinal: boolean): string {
    const { keywords } = this.#options.settings;
    return cleanText(text, { noSpeechRatio, speechMs: isFinal ? this.#speechMs : undefined, keywords }, this.#context.settings);
  }

  #makeRoom(endSample: Samples): void {
    if (this.#audio.excess(endSample) === 0) return;
    const { counts } = this.#context.allowance;
    counts.audioOverruns += 1;
    if (this.#last !== undefined && this.#last.lastSample > this.#audio.firstSample) this.#freeze(this.#last);
    const excess = this.#audio.excess(endSample);
    if (excess === 0) return;
    const dropped = Math.max(excess, dropSamples);
    counts.droppedSamples += dropped;
    this.#audio.dropBefore((this.#audio.firstSample + dropped) as Samples);
  }
}
