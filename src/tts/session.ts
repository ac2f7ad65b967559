/**
 * One session's agent audio: the queue of speeches, the pacer that frames the one on the floor, HOLD, CUT, resume and undo.
 * TTS thread. `tick` is called on the pacer's grid; everything else is a message from conversation or main.
 *
 * The pacer keeps an absolute schedule: `playEnd` is when the client will have played all that was framed, and the next frame is due
 * when less than the lead is left. A late tick sends what is due and catches up without ever exceeding the lead.
 */
import { fadeIn } from '../audio/fade.js';
import { encodeMulaw } from '../audio/mulaw.js';
import { msUntil } from '../shared/clock.js';
import { FrameWriter } from '../shared/frames.js';
import type { CutSent, FromTts, ToTts } from '../shared/links.js';
import { Cell, type Slot } from '../shared/slots.js';
import { type Hz, ms, samplesIn } from '../shared/units.js';
import type { TtsProvider, TtsVoice } from './port.js';
import { Speech } from './speech.js';

export const pacing = {
  /** All sessions are looked at together this often, so that main is woken once for many frames. */
  gridMs: 5,
  frameMs: 40,
  /** The first audio of a speech goes out unpaced up to this. */
  leadStartMs: 120,
  /** Afterwards this much is sent ahead of real time, more when link or timers are unsteady: less stutters, more delays a barge-in. */
  leadMinMs: 80,
  leadMaxMs: 250,
  /** A frame that cannot be filled is sent short when less than this is left to play. */
  shortFrameMs: 30,
  /** After a hole up to this the next sample follows; after a longer one the word before it is said again. */
  holeMs: 250,
  rewindMaxMs: 600,
  fadeInMs: 5,
  /** Audio kept behind the cursor, for rewinding. */
  keptMs: 1500,
} as const;

export type TtsSettings = {
  readonly provider: TtsProvider;
  readonly voice: TtsVoice;
  readonly rateHz: Hz;
  readonly encoding: 'pcm' | 'ulaw';
};

export type TtsCounters = { underruns: number; frames: number; rewinds: number; framesWaited: number };

type Body<Union> = Union extends unknown ? Omit<Union, 'slot' | 'generation'> : never;
export type TtsAnswer = Body<FromTts>;

type OnFloor = {
  readonly speech: Speech;
  readonly epoch: number;
  readonly eventId: number;
  readonly afterControl: number;
  /** Session position of the speech's sample 0. */
  readonly base: number;
  hasStarted: boolean;
  /** Audio framed so far. */
  framedMs: number;
  /** The frame with the last sample was pushed. */
  isFramed: boolean;
  fadesIn: boolean;
};

/** Lateness that a steady machine shows too, and how slowly more is forgotten: half of it in about a second of ticks. */
const lateFreeMs = 3;
const lateKeptRatio = 0.9965;

/** The pacer's own instants lie on its grid. */
const onGrid = (atMs: number): number => Math.ceil(atMs / pacing.gridMs) * pacing.gridMs;

type CutSpeech = { readonly speech: Speech; readonly epoch: number; readonly base: number; heardSample: number };

export class TtsSession {
  readonly #slot: Slot;
  readonly #generation: number;
  readonly #settings: TtsSettings;
  readonly #answer: (answer: TtsAnswer) => void;
  readonly #ringMain: () => void;
  readonly #now: () => number;
  readonly #counters: TtsCounters;
  /** A resume: how long the client had nothing to play. */
  readonly #onHole: (holeMs: number) => void;
  readonly #writer: FrameWriter;
  readonly #speeches = new Map<number, Speech>();
  readonly #queue: OnFloor[] = [];
  #floor: OnFloor | undefined;
  #cut: CutSpeech | undefined;
  #pendingCutSent: CutSent | undefined;
  #resumeHold = 0;
  #playEndMs = 0;
  #nextPosition = 0;
  #wasHeld = false;
  /** How late ticks were lately: the worst, forgotten slowly. */
  #lateMs = 0;
  readonly #samples: Int16Array;
  readonly #bytes: Uint8Array;

  constructor(
    slot: Slot,
    generation: number,
    settings: TtsSettings,
    counters: TtsCounters,
    onHole: (holeMs: number) => void,
    now: () => number,
    answer: (answer: TtsAnswer) => void,
    ringMain: () => void,
  ) {
    this.#slot = slot;
    this.#generation = generation;
    this.#settings = settings;
    this.#counters = counters;
    this.#onHole = onHole;
    this.#now = now;
    this.#answer = answer;
    this.#ringMain = ringMain;
    this.#writer = new FrameWriter(slot);
    this.#samples = new Int16Array(samplesIn(ms(pacing.frameMs), settings.rateHz));
    this.#bytes = new Uint8Array(this.#samples.length * (settings.encoding === 'pcm' ? 2 : 1));
  }

  /** Whether `tick` has anything to do. */
  get isBusy(): boolean {
    return this.#floor !== undefined || this.#queue.length > 0 || this.#resumeHold > 0 || this.#speeches.size > 0;
  }

  receive(message: ToTts): void {
    switch (message.type) {
      case 'configure':
        return;
      case 'speak':
        this.#speak(message.speech, message.isProtected);
        return;
      case 'text':
        this.#speeches.get(message.speech)?.addText(message.delta);
        return;
      case 'text_end':
        this.#speeches.get(message.speech)?.endText();
        return;
      case 'release':
        this.#release(message);
        return;
      case 'hold_back':
        this.#holdBack(message.speech);
        return;
      case 'discard':
        this.#discard(message.speech);
        return;
      case 'cut':
        this.#cutSpeech(message.speech, message.epoch, message.isUndoable);
        return;
      case 'resume':
        this.#resumeHold = message.hold;
        this.#tryResume(this.#now());
        return;
      case 'undo':
        this.#undo(message);
        return;
    }
  }

  cutSent(message: CutSent): void {
    this.#pendingCutSent = message;
    this.#tellHeard();
  }

  close(): void {
    for (const speech of this.#speeches.values()) speech.stop();
    this.#speeches.clear();
    this.#queue.length = 0;
    this.#floor = undefined;
    this.#cut = undefined;
    this.#resumeHold = 0;
  }

  /** A tick of the grid that was due at `dueAtMs`. */
  gridTick(atMs: number, dueAtMs: number): void {
    this.#lateMs = Math.max(atMs - dueAtMs - lateFreeMs, this.#lateMs * lateKeptRatio, 0);
    this.tick(atMs);
  }

  tick(atMs: number): void {
    for (const speech of this.#speeches.values()) {
      const wakeAtMs = speech.wakeAtMs;
      if (wakeAtMs !== undefined && wakeAtMs <= atMs) speech.idle(atMs);
    }
    if (this.#resumeHold > 0) this.#tryResume(atMs);
    this.#pace(atMs);
    this.#finish(atMs);
  }

  #speak(number: number, isProtected: boolean): void {
    const { provider, voice, rateHz } = this.#settings;
    const speech = new Speech(number, isProtected, provider, voice, rateHz, this.#now, {
      onAudio: () => this.tick(this.#now()),
      onProblem: (problem) => {
        const isHeard = speech.audio.end > 0;
        this.#answer({ type: 'tts_problem', speech: speech.number, problem, isHeard });
        if (!isHeard) this.#forget(speech);
      },
    });
    this.#speeches.set(number, speech);
  }

  #release(message: Extract<ToTts, { type: 'release' }>): void {
    const speech = this.#speeches.get(message.speech);
    const isOnWay = this.#floor?.speech === speech || this.#queue.some((item) => item.speech === speech);
    if (speech === undefined || isOnWay) return;
    this.#enqueue(speech, message.epoch, message.eventId, message.afterControl, 0, false);
    speech.release();
    this.tick(this.#now());
  }

  #enqueue(speech: Speech, epoch: number, eventId: number, afterControl: number, from: number, fadesIn: boolean): void {
    speech.cursor = from;
    const base = this.#nextPosition - from;
    this.#queue.push({ speech, epoch, eventId, afterControl, base, hasStarted: false, framedMs: 0, isFramed: false, fadesIn });
  }

  #holdBack(number: number): void {
    if (this.#floor?.speech.number === number && !this.#floor.hasStarted) this.#floor = undefined;
    this.#remove((item) => item.speech.number === number);
  }

  #remove(matches: (item: OnFloor) => boolean): void {
    for (let index = this.#queue.length - 1; index >= 0; index--) if (matches(this.#queue[index]!)) this.#queue.splice(index, 1);
  }

  #discard(number: number): void {
    const speech = this.#speeches.get(number);
    if (this.#cut?.speech.number === number) this.#cut = undefined;
    if (speech !== undefined) this.#forget(speech);
  }

  #forget(speech: Speech): void {
    speech.stop();
    this.#speeches.delete(speech.number);
    this.#remove((item) => item.speech === speech);
    if (this.#floor?.speech === speech) {
      // What is framed of it is superseded: nobody may hear it any more.
      if (this.#floor.hasStarted) this.#slot.store(Cell.take, this.#slot.load(Cell.take) + 1);
      this.#floor = undefined;
      this.#slot.store(Cell.floor, 0);
    }
  }

  // Interruption ----------------------------------------------------------------------------------------------------------------------

  #cutSpeech(number: number, epoch: number, isUndoable: boolean): void {
    const item =
      this.#floor?.speech.number === number ? this.#floor : this.#queue.find((other) => other.speech.number === number);
    const base = item?.base ?? this.#nextPosition;
    for (const speech of [...this.#speeches.values()]) if (speech.number !== number) this.#forget(speech);
    const speech = this.#speeches.get(number);
    this.#queue.length = 0;
    this.#floor = undefined;
    this.#resumeHold = 0;
    this.#slot.store(Cell.floor, 0);
    this.#playEndMs = 0;
    if (speech === undefined) {
      this.#answer({ type: 'heard', speech: number, epoch, heardChars: 0, heardMs: 0, totalChars: 0 });
      return;
    }
    if (!isUndoable) {
      speech.stop();
      this.#speeches.delete(number);
    }
    this.#cut = { speech, epoch, base, heardSample: -1 };
    this.#tellHeard();
  }

  /** Needs both: the order to cut, and main's word on what it had sent. They come over different ports. */
  #tellHeard(): void {
    const cut = this.#cut;
    const sent = this.#pendingCutSent;
    if (cut === undefined || sent === undefined || cut.heardSample >= 0 || sent.epoch !== cut.epoch) return;
    this.#pendingCutSent = undefined;
    const { rateHz } = this.#settings;
    const unplayedMs = Math.max(0, sent.playEndAtMs - sent.atMs);
    const heardPosition = sent.sentPosition - (unplayedMs * rateHz) / 1000;
    cut.heardSample = Math.max(0, Math.min(cut.speech.audio.end, Math.round(heardPosition - cut.base)));
    const { timeline } = cut.speech;
    this.#answer({
      type: 'heard',
      speech: cut.speech.number,
      epoch: cut.epoch,
      heardChars: timeline.heardChars(cut.heardSample),
      heardMs: (cut.heardSample * 1000) / rateHz,
      totalChars: timeline.text.length,
    });
  }

  #undo(message: Extract<ToTts, { type: 'undo' }>): void {
    const cut = this.#cut;
    if (cut === undefined || cut.speech.number !== message.speech) return;
    this.#cut = undefined;
    const { speech } = cut;
    this.#speeches.delete(speech.number);
    speech.renumber(message.newSpeech);
    this.#speeches.set(message.newSpeech, speech);
    const from = this.#rewound(speech, Math.max(0, cut.heardSample));
    this.#enqueue(speech, message.epoch, message.eventId, message.afterControl, from, true);
    this.#counters.rewinds += 1;
    this.tick(this.#now());
  }

  /** Start of the word before `sample`, at most the rewind limit back. */
  #rewound(speech: Speech, sample: number): number {
    const limit = samplesIn(ms(pacing.rewindMaxMs), this.#settings.rateHz);
    const start = speech.timeline.wordStartBefore(sample);
    return Math.max(0, speech.audio.start, sample - start <= limit ? start : sample);
  }

  /** Waits until main has said that it obeys the HOLD, so that what was sent is known to the sample; then frames from there again. */
  #tryResume(atMs: number): void {
    const hold = this.#resumeHold;
    if (this.#slot.load(Cell.holdSeen) < hold && this.#slot.held) {
      this.#ringMain();
      return;
    }
    this.#resumeHold = 0;
    const floor = this.#floor;
    let rewoundSamples = 0;
    if (floor?.hasStarted) {
      const sent = Math.max(0, this.#slot.load(Cell.sentPosition) - floor.base);
      const holeMs = -msUntil(this.#slot.load(Cell.playEndAtMs), atMs);
      this.#onHole(Math.max(0, holeMs));
      const from = holeMs <= pacing.holeMs ? sent : this.#rewound(floor.speech, sent);
      rewoundSamples = sent - from;
      if (rewoundSamples > 0) this.#counters.rewinds += 1;
      this.#slot.store(Cell.take, this.#slot.load(Cell.take) + 1);
      floor.speech.cursor = from;
      floor.isFramed = false;
      floor.fadesIn = holeMs > 0;
      this.#playEndMs = atMs + Math.max(0, -holeMs);
      this.#frame(atMs);
    }
    this.#answer({ type: 'resume_ready', hold, rewoundSamples });
  }

  // Pacing ----------------------------------------------------------------------------------------------------------------------------

  #pace(atMs: number): void {
    if (this.#floor === undefined) {
      const next = this.#queue[0];
      if (next === undefined || (next.speech.audio.end <= next.speech.cursor && !next.speech.isComplete)) return;
      this.#queue.shift();
      this.#floor = { ...next, base: this.#nextPosition - next.speech.cursor };
      const { speech } = next;
      this.#answer({
        type: 'speech_timing',
        speech: speech.number,
        firstSegmentAtMs: speech.firstSegmentAtMs,
        firstChunkAtMs: speech.firstChunkAtMs,
      });
    }
    const isHeld = this.#slot.held;
    if (this.#wasHeld && !isHeld) this.#playEndMs = Math.max(this.#playEndMs, atMs);
    this.#wasHeld = isHeld;
    if (!isHeld && this.#resumeHold === 0) this.#frame(atMs);
  }

  /** Pushes every frame that is due. */
  #frame(atMs: number): void {
    const floor = this.#floor;
    if (floor === undefined) return;
    const { speech } = floor;
    let pushed = false;
    while (!floor.isFramed) {
      const leftMs = this.#playEndMs - atMs;
      if (leftMs > this.#leadMs(floor) - pacing.frameMs) break;
      const count = speech.audio.copy(speech.cursor, this.#samples);
      const isLast = speech.isComplete && speech.cursor + count >= speech.audio.end;
      if (count < this.#samples.length && !isLast && (count === 0 || leftMs > pacing.shortFrameMs)) {
        if (leftMs < 0 && floor.hasStarted && this.#playEndMs > 0) this.#underrun();
        break;
      }
      if (isLast && count === 0) {
        floor.isFramed = true;
        break;
      }
      if (!this.#push(floor, count, isLast, atMs)) {
        this.#counters.framesWaited += 1;
        break;
      }
      pushed = true;
      speech.cursor += count;
      floor.isFramed = isLast;
    }
    if (!pushed) return;
    speech.audio.forgetBefore(speech.cursor - samplesIn(ms(pacing.keptMs), this.#settings.rateHz));
    speech.feed();
    this.#ringMain();
  }

  /** Audio to keep ahead: the start's while the speech is young, then as little as link and timers allow. */
  #leadMs(floor: OnFloor): number {
    const isYoung = floor.framedMs < pacing.leadStartMs;
    const unsteadyMs = this.#slot.load(Cell.linkJitterMs) + this.#lateMs;
    const leadMs = Math.min(pacing.leadMaxMs, pacing.leadMinMs + unsteadyMs);
    return isYoung ? Math.max(pacing.leadStartMs, leadMs) : leadMs;
  }

  /** The synthesiser was too slow: the caller hears a hole. Counted once a hole. */
  #underrun(): void {
    this.#counters.underruns += 1;
    this.#playEndMs = 0;
  }

  #push(floor: OnFloor, count: number, isLast: boolean, atMs: number): boolean {
    const { rateHz, encoding } = this.#settings;
    const { speech } = floor;
    const samples = this.#samples.subarray(0, count);
    if (floor.fadesIn) fadeIn(samples, Math.min(count, samplesIn(ms(pacing.fadeInMs), rateHz)));
    const payload =
      encoding === 'ulaw'
        ? encodeMulaw(samples, this.#bytes.subarray(0, count))
        : new Uint8Array(samples.buffer, samples.byteOffset, count * 2);
    const isContinuing = this.#playEndMs > atMs;
    const durationMs = (count * 1000) / rateHz;
    const isAccepted = this.#writer.push(
      {
        generation: this.#generation,
        epoch: floor.epoch,
        take: this.#slot.load(Cell.take),
        eventId: floor.eventId,
        speech: speech.number,
        afterControl: floor.afterControl,
        position: floor.base + speech.cursor,
        sampleCount: count,
        isLast: isLast ? 1 : 0,
        scheduledAtMs: isContinuing ? Math.min(atMs, onGrid(this.#playEndMs - (this.#leadMs(floor) - pacing.frameMs))) : atMs,
      },
      payload,
    );
    if (!isAccepted) return false;
    this.#playEndMs = Math.max(this.#playEndMs, atMs) + durationMs;
    this.#nextPosition = Math.max(this.#nextPosition, floor.base + speech.cursor + count);
    this.#counters.frames += 1;
    floor.framedMs += durationMs;
    floor.fadesIn = false;
    if (!floor.hasStarted) {
      floor.hasStarted = true;
      this.#slot.store(Cell.floor, speech.isProtected ? 2 : 1);
    }
    return true;
  }

  /** The speech is over when its last frame was sent and the client must have played it. */
  #finish(atMs: number): void {
    const floor = this.#floor;
    if (floor === undefined || !floor.isFramed || this.#resumeHold > 0) return;
    const isSent = !floor.hasStarted || this.#slot.load(Cell.sentPosition) >= floor.base + floor.speech.audio.end;
    if (!isSent || (floor.hasStarted && msUntil(this.#slot.load(Cell.playEndAtMs), atMs) > 0)) return;
    this.#floor = undefined;
    this.#speeches.delete(floor.speech.number);
    this.#slot.store(Cell.floor, 0);
    this.#playEndMs = 0;
    const { speech } = floor;
    const heardChars = speech.isBroken ? speech.timeline.heardChars(speech.audio.end) : undefined;
    this.#answer({ type: 'drained', speech: speech.number, heardChars });
    this.#pace(atMs);
  }
}
