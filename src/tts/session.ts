/**
 * One session's agent audio: the queue of speeches, which of them has the floor, HOLD, CUT, resume and undo.
 * TTS thread. `tick` is called on the pacer's grid; everything else is a message from conversation or main.
 */
import { msUntil } from '../shared/clock.js';
import type { CutSent, FromTts, ToTts } from '../shared/links.js';
import { Cell, type Slot } from '../shared/slots.js';
import { CutSpeech, heardAtEnd } from './cut-speech.js';
import { type OnFloor, type OutputFormat, Pacer, type TtsCounters } from './pacer.js';
import type { Pacing } from './pacing.js';
import type { TtsProvider, TtsVoice } from './port.js';
import { Resume, type ResumePoint, resumePoint } from './resume.js';
import { Speech } from './speech.js';
import { type SpokenPiece, SpokenTrack } from './spoken.js';

export type { TtsCounters } from './pacer.js';
export { pacing } from './pacing.js';

/** How speech is paced, and from where it goes on; what is left out is as in `pacing.ts` and `resume.ts`. */
export type TtsRules = { readonly pacing?: Pacing; readonly resumePoint?: ResumePoint };
export type TtsSettings = OutputFormat & { readonly provider: TtsProvider; readonly voice: TtsVoice; readonly rules?: TtsRules };

/** A synthesiser that does not say when its characters sound has said them all when nothing more came for this long. */
const settleMs = 400;

type Body<Union> = Union extends unknown ? Omit<Union, 'slot' | 'generation'> : never;
export type TtsAnswer = Body<FromTts>;

export class TtsSession {
  readonly #slot: Slot;
  readonly #settings: TtsSettings;
  readonly #answer: (answer: TtsAnswer) => void;
  readonly #now: () => number;
  readonly #counters: TtsCounters;
  readonly #pacer: Pacer;
  readonly #cut: CutSpeech;
  readonly #resume: Resume;
  readonly #track: SpokenTrack | undefined;
  readonly #pointOf: ResumePoint;
  readonly #speeches = new Map<number, Speech>();
  readonly #queue: OnFloor[] = [];
  #floor: OnFloor | undefined;
  #voice: TtsVoice;

  /**
   * `onHole`: a resume, and how long the client had had nothing to play. `onSpoken`: the session is recorded, and this gets what the client
   * was truly sent.
   */
  constructor(
    slot: Slot,
    generation: number,
    settings: TtsSettings,
    counters: TtsCounters,
    onHole: (holeMs: number) => void,
    now: () => number,
    answer: (answer: TtsAnswer) => void,
    ringMain: () => void,
    onSpoken?: (piece: SpokenPiece) => void,
  ) {
    this.#slot = slot;
    this.#settings = settings;
    this.#voice = settings.voice;
    this.#counters = counters;
    this.#now = now;
    this.#answer = answer;
    this.#track = onSpoken === undefined ? undefined : new SpokenTrack(slot, settings.rateHz, now, onSpoken);
    this.#pacer = new Pacer(slot, generation, settings, counters, ringMain, this.#track, settings.rules?.pacing);
    this.#pointOf = settings.rules?.resumePoint ?? resumePoint;
    this.#cut = new CutSpeech(settings.rateHz, answer);
    this.#resume = new Resume(slot, settings.rateHz, this.#pacer, counters, onHole, ringMain, this.#pointOf);
  }

  /** Whether `tick` has anything to do. */
  get isBusy(): boolean {
    return this.#floor !== undefined || this.#queue.length > 0 || this.#resume.isPending || this.#speeches.size > 0;
  }

  receive(message: ToTts): void {
    switch (message.type) {
      case 'configure':
        return;
      case 'speak':
        this.#speak(message.speech, message.isProtected);
        return;
      case 'protect':
        this.#protect(message.speech, message.isProtected);
        return;
      case 'text':
        this.#speeches.get(message.speech)?.addText(message.delta);
        return;
      case 'text_pause':
        this.#speeches.get(message.speech)?.pauseText();
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
        this.#resume.order(message.hold);
        this.#tryResume(this.#now());
        return;
      case 'undo':
        this.#undo(message);
        return;
    }
  }

  cutSent(message: CutSent): void {
    this.#track?.cutSent(message);
    this.#cut.sent(message);
  }

  /** What is said from now on is said in another voice. */
  setVoice(voice: TtsVoice): void {
    this.#voice = voice;
    for (const speech of this.#speeches.values()) speech.setVoice(voice);
  }

  /** The call is over, and main sends nothing of it any more. Conversation learns what was heard of the speech on the floor. */
  close(): void {
    if (this.#floor?.hasStarted === true) this.#answer(heardAtEnd(this.#floor, this.#slot, this.#settings.rateHz, this.#now()));
    for (const speech of this.#speeches.values()) speech.drop();
    this.#speeches.clear();
    this.#queue.length = 0;
    this.#floor = undefined;
    this.#cut.clear();
    this.#resume.cancel();
    this.#track?.close(this.#now());
  }

  /** A tick of the grid that was due at `dueAtMs`. */
  gridTick(atMs: number, dueAtMs: number): void {
    this.#pacer.ticked(atMs, dueAtMs);
    this.tick(atMs);
  }

  tick(atMs: number): void {
    for (const speech of this.#speeches.values()) {
      const wakeAtMs = speech.wakeAtMs;
      if (wakeAtMs !== undefined && wakeAtMs <= atMs) speech.idle(atMs);
    }
    this.#track?.look(atMs);
    if (this.#resume.isPending) this.#tryResume(atMs);
    this.#pace(atMs);
    this.#tellPause(atMs);
    this.#finish(atMs);
  }

  #speak(number: number, isProtected: boolean): void {
    const { provider, rateHz } = this.#settings;
    const speech = new Speech(number, isProtected, provider, this.#voice, rateHz, this.#now, {
      onAudio: () => this.tick(this.#now()),
      onProblem: (problem) => {
        const isHeard = speech.audio.end > 0;
        this.#answer({ type: 'tts_problem', speech: speech.number, problem, isHeard });
        if (!isHeard) this.#forget(speech);
      },
    });
    this.#speeches.set(number, speech);
  }

  #protect(number: number, isProtected: boolean): void {
    const speech = this.#speeches.get(number);
    if (speech === undefined) return;
    speech.isProtected = isProtected;
    if (this.#floor?.speech === speech && this.#floor.hasStarted) this.#slot.store(Cell.floor, isProtected ? 2 : 1);
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
    const base = this.#pacer.nextPosition - from;
    this.#queue.push({ speech, epoch, eventId, afterControl, base, hasStarted: false, framedMs: 0, isFramed: false, fadesIn });
  }

  #holdBack(number: number): void {
    if (this.#floor?.speech.number === number && !this.#floor.hasStarted) this.#floor = undefined;
    this.#dequeue(number);
  }

  #dequeue(number: number): void {
    const kept = this.#queue.filter((item) => item.speech.number !== number);
    this.#queue.splice(0, this.#queue.length, ...kept);
  }

  #discard(number: number): void {
    const speech = this.#speeches.get(number);
    this.#cut.forget(number);
    if (speech !== undefined) this.#forget(speech);
  }

  #forget(speech: Speech): void {
    speech.drop();
    this.#speeches.delete(speech.number);
    this.#dequeue(speech.number);
    if (this.#floor?.speech === speech) {
      if (this.#floor.hasStarted) this.#pacer.supersede(this.#now());
      this.#floor = undefined;
      this.#slot.store(Cell.floor, 0);
    }
  }

  #cutSpeech(number: number, epoch: number, isUndoable: boolean): void {
    const item =
      this.#floor?.speech.number === number ? this.#floor : this.#queue.find((other) => other.speech.number === number);
    const base = item?.base ?? this.#pacer.nextPosition;
    for (const speech of [...this.#speeches.values()]) if (speech.number !== number) this.#forget(speech);
    const speech = this.#speeches.get(number);
    this.#queue.length = 0;
    this.#floor = undefined;
    this.#resume.cancel();
    this.#slot.store(Cell.floor, 0);
    this.#pacer.stop();
    if (speech === undefined) {
      this.#cut.orderedNothing(number, epoch);
      return;
    }
    if (!isUndoable) {
      speech.stop();
      this.#speeches.delete(number);
    }
    this.#cut.ordered(speech, epoch, base, isUndoable);
  }

  #undo(message: Extract<ToTts, { type: 'undo' }>): void {
    const cut = this.#cut.undo(message.speech);
    if (cut === undefined) return;
    const { speech } = cut;
    this.#speeches.delete(speech.number);
    speech.renumber(message.newSpeech);
    this.#speeches.set(message.newSpeech, speech);
    const from = this.#pointOf(speech, cut.heardSample, Number.POSITIVE_INFINITY, this.#settings.rateHz);
    this.#enqueue(speech, message.epoch, message.eventId, message.afterControl, from, true);
    this.#counters.rewinds += 1;
    this.tick(this.#now());
  }

  #tryResume(atMs: number): void {
    const resumed = this.#resume.attempt(this.#floor, atMs);
    if (resumed !== undefined) this.#answer(resumed);
  }

  #pace(atMs: number): void {
    if (this.#floor === undefined) {
      const next = this.#queue[0];
      if (next === undefined || (next.speech.audio.end <= next.speech.cursor && !next.speech.isComplete)) return;
      this.#queue.shift();
      this.#floor = { ...next, base: this.#pacer.nextPosition - next.speech.cursor };
      const { speech } = next;
      this.#answer({
        type: 'speech_timing',
        speech: speech.number,
        firstSegmentAtMs: speech.firstSegmentAtMs,
        firstChunkAtMs: speech.firstChunkAtMs,
      });
    }
    const isHeld = this.#pacer.isHeld(atMs);
    if (this.#resume.isPending) return;
    if (isHeld) this.#pacer.tail(this.#floor, atMs);
    else this.#pacer.goOn(this.#floor, atMs);
  }

  /** A speech that waits for more text is told to be heard so far, when the client must have played what there is. */
  #tellPause(atMs: number): void {
    const floor = this.#floor;
    if (floor === undefined || !floor.hasStarted || floor.isFramed || this.#resume.isPending) return;
    const { speech } = floor;
    if (!speech.isAwaitingText || speech.isPauseTold || speech.cursor < speech.audio.end) return;
    const { spoken } = speech;
    if (spoken === 'no' || this.#slot.load(Cell.sentPosition) < floor.base + speech.audio.end) return;
    const quietMs = spoken === 'whole' ? 0 : settleMs;
    if (msUntil(this.#slot.load(Cell.playEndAtMs), atMs) > -quietMs) return;
    speech.isPauseTold = true;
    this.#answer({ type: 'caught_up', speech: speech.number });
  }

  /** The speech is over when its last frame was sent and the client must have played it. */
  #finish(atMs: number): void {
    const floor = this.#floor;
    if (floor === undefined || !floor.isFramed || this.#resume.isPending) return;
    const isSent = !floor.hasStarted || this.#slot.load(Cell.sentPosition) >= floor.base + floor.speech.audio.end;
    if (!isSent || (floor.hasStarted && msUntil(this.#slot.load(Cell.playEndAtMs), atMs) > 0)) return;
    this.#floor = undefined;
    this.#speeches.delete(floor.speech.number);
    this.#slot.store(Cell.floor, 0);
    this.#pacer.stop();
    this.#track?.drained(atMs);
    const { speech } = floor;
    const heardChars = speech.isBroken ? speech.timeline.heardChars(speech.audio.end) : undefined;
    speech.drop();
    this.#answer({ type: 'drained', speech: speech.number, heardChars });
    this.#pace(atMs);
  }
}
