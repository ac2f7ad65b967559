/**
 * One session's recognition: cuts the open turn's audio out of the input ring and keeps one provider turn open for it. STT thread.
 * It follows the speech gate; when a turn ends is decided elsewhere and told by `closeTurn`.
 */
import { problemOf } from '../shared/errors.js';
import type { FromStt, SpeechEvent } from '../shared/links.js';
import { copyOut } from '../shared/ring.js';
import { Cell, type Slot } from '../shared/slots.js';
import { inputRateHz, ms, type Samples, samplesIn } from '../shared/units.js';
import type { SttProvider, SttSettings, SttTurn } from './port.js';
import { TurnAudio } from './turn-audio.js';

/** Audio kept before the gate's start: the first syllable matters. */
const preRollSamples = samplesIn(ms(500), inputRateHz);
/** Audio is handed on in pieces of at most this. */
const pieceSamples = 4096;
/** Of the thread: whoever gets a piece copies it. */
const pieceMemory = new Int16Array(pieceSamples);

type Body<Union> = Union extends unknown ? Omit<Union, 'slot' | 'generation'> : never;

/** A learned model that hears whether the caller is done: asked in every pause with the last seconds of the open turn. */
export type Listener = {
  readonly windowSamples: number;
  /** 16 kHz mono, the receiver's to keep. Probability that the caller is done; undefined when there is no answer in time. Never fails. */
  readonly judge: (audio: Int16Array) => Promise<number | undefined>;
};

type Gap = { readonly startSample: number; endSample: number };
/** Stretches of silence made by the engine that may still lie in the ring. */
const gapsMax = 64;

export class SttSession {
  readonly #slot: Slot;
  readonly #provider: SttProvider;
  #settings: SttSettings;
  readonly #answer: (answer: Body<FromStt>) => void;
  readonly #listener: Listener | undefined;
  /** What the listener is to hear of the open turn. */
  #heard: TurnAudio | undefined;
  readonly #now: () => number;
  readonly #gaps: Gap[] = [];
  #turn = 1;
  #open: SttTurn | undefined;
  #cursor = 0;
  #closedThrough = 0;
  #isPaused = false;
  /** Speech of the turn's segments that are over. */
  #closedSpeechMs = 0;
  #askedAtMs = 0;
  /** The gate's open segment: where it began and when that was decided. */
  #segment: { readonly startSample: number; readonly atSample: number } | undefined;
  /** Samples that were gone from the ring before they were read. */
  missedSamples = 0;

  constructor(
    slot: Slot,
    provider: SttProvider,
    settings: SttSettings,
    now: () => number,
    answer: (answer: Body<FromStt>) => void,
    listener?: Listener,
  ) {
    this.#slot = slot;
    this.#provider = provider;
    this.#settings = settings;
    this.#now = now;
    this.#answer = answer;
    this.#listener = listener;
  }

  /** For the turns to come. */
  configure(settings: SttSettings): void {
    this.#settings = settings;
  }

  speech(event: SpeechEvent): void {
    switch (event.type) {
      case 'speech_start':
        this.#segment = { startSample: event.startSample, atSample: event.atSample };
        if (this.#open === undefined) this.#begin(event.startSample);
        this.#goOn();
        return;
      case 'speech_hop':
        this.#goOn();
        return;
      case 'speech_dip':
        this.#pause(event.atSample, event.speechMs);
        return;
      case 'speech_end':
        this.#segment = undefined;
        this.#pause(event.atSample, event.speechMs);
        this.#closedSpeechMs += event.speechMs;
        this.#ask(event.lastSpeechSample, event.atSample);
        return;
      case 'score':
        return;
    }
  }

  gap(startSample: number, endSample: number): void {
    const last = this.#gaps.at(-1);
    if (last !== undefined && last.endSample === startSample) last.endSample = endSample;
    else this.#gaps.push({ startSample, endSample });
    if (this.#gaps.length > gapsMax) this.#gaps.shift();
  }

  closeTurn(turn: number, throughSample: number): void {
    if (turn !== this.#turn) return;
    this.close();
    this.#turn += 1;
    this.#closedThrough = throughSample;
    // Speech that was decided after the turn's end belongs to the next one, though it was heard while this one was still open.
    const { startSample, atSample } = this.#segment ?? { startSample: 0, atSample: 0 };
    if (this.#segment !== undefined && atSample > throughSample) this.#begin(startSample);
    else this.#segment = undefined;
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
    this.#heard?.clear();
    this.#heard = undefined;
  }

  /** Hands what has arrived since on to the open turn. */
  pull(): void {
    if (this.#open !== undefined && !this.#isPaused) this.#pushThrough(this.#slot.load(Cell.vadRead));
  }

  #begin(startSample: number): void {
    const turn = this.#turn;
    this.#cursor = Math.max(0, this.#closedThrough, startSample - preRollSamples);
    this.#isPaused = false;
    this.#closedSpeechMs = 0;
    if (this.#listener !== undefined) this.#heard = new TurnAudio(this.#listener.windowSamples);
    this.#open = this.#provider.openTurn({
      settings: this.#settings,
      onTranscript: ({ text, isFinal, lastSample, confidence }) => {
        const answeredAtMs = this.#now();
        const askedAtMs = this.#askedAtMs;
        this.#answer({ type: 'transcript', turn, text, isFinal, lastSample, confidence, askedAtMs, answeredAtMs });
      },
      onProblem: (error) => this.#answer({ type: 'stt_problem', turn, problem: problemOf(error) }),
    });
  }

  #goOn(): void {
    if (this.#open === undefined) return;
    if (this.#isPaused) {
      this.#isPaused = false;
      this.#open.resume();
    }
    this.pull();
  }

  #pause(atSample: number, speechMs: number): void {
    if (this.#open === undefined || this.#isPaused) return;
    this.#pushThrough(atSample);
    this.#isPaused = true;
    this.#askedAtMs = this.#now();
    this.#open.pause(ms(this.#closedSpeechMs + speechMs));
  }

  /** Recognition was paused at the first dip; the listener hears the pause up to here. */
  #ask(lastSpeechSample: number, atSample: number): void {
    if (this.#open === undefined || this.#listener === undefined || this.#heard === undefined) return;
    const turn = this.#turn;
    for (let at = Math.max(this.#cursor, this.#heard.endSample); at < atSample; at += pieceSamples) {
      const piece = pieceMemory.subarray(0, Math.min(pieceSamples, atSample - at));
      if (copyOut(this.#slot, at, piece)) this.#heard.append(piece, at as Samples);
    }
    const audio = this.#heard.copyUntil(atSample as Samples);
    this.#answer({ type: 'turn_asked', turn, lastSpeechSample });
    void this.#listener.judge(audio).then((probability) => {
      if (turn === this.#turn) this.#answer({ type: 'turn_score', turn, lastSpeechSample, probability });
    });
  }

  #pushThrough(endSample: number): void {
    while (this.#cursor < endSample && this.#open !== undefined) {
      const gap = this.#gaps.find((item) => item.endSample > this.#cursor && item.startSample < endSample);
      if (gap !== undefined && gap.startSample <= this.#cursor) {
        this.#cursor = Math.min(endSample, gap.endSample);
        continue;
      }
      const limit = gap === undefined ? endSample : gap.startSample;
      const piece = pieceMemory.subarray(0, Math.min(pieceSamples, limit - this.#cursor));
      if (copyOut(this.#slot, this.#cursor, piece)) {
        this.#open.push(piece, this.#cursor as Samples);
        this.#heard?.append(piece, this.#cursor as Samples);
        this.#cursor += piece.length;
      } else {
        const oldest = Math.max(this.#cursor, this.#slot.load(Cell.inputWritten) - inputRateHz);
        const target = Math.min(endSample, Math.max(oldest, this.#cursor + 1));
        this.missedSamples += target - this.#cursor;
        this.#cursor = target;
      }
    }
    this.#slot.store(Cell.sttRead, this.#cursor);
  }
}
