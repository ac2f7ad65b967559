/**
 * What the TTS thread does, without its ports: synthesis streams and the pacer of every session, on one grid. It owns the take, outputWritten
 * and floor cells. Evented.
 */
import type { SpokenAudio } from '../api/links.js';
import { nowMs, timerEarlyMs } from '../shared/clock.js';
import { problemOf } from '../shared/errors.js';
import { guarded } from '../shared/guard.js';
import type { CutSent, FromTts, MetricsAnswer, Released, SessionFailed, SlotOrder, ToTts } from '../shared/links.js';
import { Board, type SharedBlock, Slot } from '../shared/slots.js';
import { type Hz, hz } from '../shared/units.js';
import type { Recorder } from '../telemetry/recorder.js';
import { pacingFor } from '../tts/pacing.js';
import type { TtsProvider, TtsVoice } from '../tts/port.js';
import { pacing, type TtsCounters, type TtsRules, TtsSession } from '../tts/session.js';
import { alignmentJson } from '../wire/audio-out.js';

export type TtsLinks = {
  readonly toMain: (message: Released | SessionFailed | { readonly type: 'ring' }) => void;
  readonly toConversation: (message: FromTts) => void;
  /** Gives the samples away. Undefined: nobody keeps recordings, and what was sent is not followed. */
  readonly toApi: ((message: SpokenAudio & { readonly pcm: Int16Array<ArrayBuffer> }) => void) | undefined;
};

export type TtsHostOptions = {
  readonly block: SharedBlock;
  readonly board: Int32Array;
  /** Stays the caller's to close. */
  readonly provider: TtsProvider;
  readonly recorder: Recorder;
  readonly rules?: TtsRules;
};

export class TtsHost {
  readonly #links: TtsLinks;
  readonly #board: Int32Array;
  readonly #provider: TtsProvider;
  readonly #recorder: Recorder;
  readonly #rules: TtsRules;
  readonly #slots: readonly Slot[];
  readonly #open = new Map<number, number>();
  readonly #sessions = new Map<number, TtsSession>();
  /** Generation that each slot was last closed for. */
  readonly #closed = new Map<number, number>();
  readonly #counters: TtsCounters = { underruns: 0, frames: 0, rewinds: 0, framesWaited: 0 };
  #ticker: NodeJS.Timeout | undefined;

  constructor(options: TtsHostOptions, links: TtsLinks) {
    const { block, board, provider, recorder, rules = {} } = options;
    this.#links = links;
    this.#board = board;
    this.#provider = provider;
    this.#recorder = recorder;
    this.#rules = rules;
    this.#slots = Array.from({ length: block.slotCount }, (_, index) => new Slot(block, index));
    recorder.figures = () => this.figures();
    this.#tickNext();
  }

  fromMain(message: SlotOrder | CutSent): void {
    const { slot, generation } = message;
    if (message.type === 'open') {
      this.#open.set(slot, generation);
    } else if (message.type === 'cut_sent') {
      if (this.#isOpen(message)) guarded(message, this.#links.toMain, () => this.#sessions.get(slot)?.cutSent(message));
    } else {
      if (this.#isOpen(message)) {
        this.#sessions.get(slot)?.close();
        this.#sessions.delete(slot);
        this.#open.delete(slot);
      }
      this.#closed.set(slot, generation);
      this.#links.toMain({ type: 'released', slot, generation });
    }
  }

  fromConversation(message: ToTts): void {
    // Ports have no order among each other: the settings of a session may come before main's word that it is open.
    const isNewer = message.generation > Math.max(this.#open.get(message.slot) ?? 0, this.#closed.get(message.slot) ?? 0);
    if (message.type === 'configure' && isNewer) this.#open.set(message.slot, message.generation);
    if (!this.#isOpen(message)) return;
    if (message.type === 'configure') this.#configure(message);
    else guarded(message, this.#links.toMain, () => this.#sessions.get(message.slot)?.receive(message));
  }

  figures(): Pick<MetricsAnswer, 'gauges' | 'counters'> {
    const { underruns, frames, rewinds, framesWaited } = this.#counters;
    return {
      gauges: [],
      counters: [
        { name: 'parley_pacer_underruns_total', labels: '', value: underruns },
        { name: 'parley_pacer_frames_total', labels: '', value: frames },
        { name: 'parley_pacer_rewinds_total', labels: '', value: rewinds },
        { name: 'parley_output_ring_full_total', labels: '', value: framesWaited },
      ],
    };
  }

  /** Ends its timer and every session. */
  close(): void {
    clearTimeout(this.#ticker);
    for (const session of this.#sessions.values()) session.close();
  }

  #configure(message: Extract<ToTts, { type: 'configure' }>): void {
    const { slot, generation, voiceId, modelId, language, speed, stability, similarityBoost, encoding, leadMs } = message;
    const voice: TtsVoice = { voiceId, modelId, language, speed, stability, similarityBoost };
    const rateHz = hz(message.rateHz);
    const known = this.#sessions.get(slot);
    if (known !== undefined) {
      known.setVoice(voice);
      this.#warm(voice, rateHz);
      return;
    }
    const { toApi } = this.#links;
    const rules = { ...this.#rules, pacing: pacingFor(this.#rules?.pacing ?? pacing, rateHz, leadMs) };
    const session = new TtsSession(
      this.#slots[slot]!,
      generation,
      { provider: this.#provider, voice, rateHz, encoding, alignmentJson, rules },
      this.#counters,
      (holeMs) => this.#recorder.record('resume_hole', holeMs),
      nowMs,
      (body) => this.#links.toConversation({ slot, generation, ...body } as FromTts),
      () => this.#ringMain(),
      message.isRecorded === true && toApi !== undefined
        ? (piece) => toApi({ type: 'spoken', slot, generation, ...piece })
        : undefined,
    );
    this.#sessions.set(slot, session);
    this.#warm(voice, rateHz);
  }

  /** Opens what the first reply would wait for; a failure shows when something is to be said. */
  #warm(voice: TtsVoice, rateHz: Hz): void {
    this.#provider.warm(voice, rateHz).catch((error: unknown) => {
      this.#recorder.count('parley_errors_total', `stage="tts",error_type="${problemOf(error).kind}"`);
    });
  }

  /** Many frames, one wake-up: the first writer after main's last look sends it. Frames are stored before the bell is rung. */
  #ringMain(): void {
    if (Atomics.exchange(this.#board, Board.mainBell, 1) === 0) this.#links.toMain({ type: 'ring' });
  }

  /** One timer for all sessions, on absolute multiples of the grid: a late tick does not shift the next. */
  #tickNext(): void {
    const dueAtMs = (Math.floor((nowMs() + timerEarlyMs) / pacing.gridMs) + 1) * pacing.gridMs;
    this.#await(dueAtMs);
  }

  #await(dueAtMs: number): void {
    this.#ticker = setTimeout(() => this.#tick(dueAtMs), Math.max(1, Math.floor(dueAtMs - nowMs())));
  }

  #tick(dueAtMs: number): void {
    const firedAtMs = nowMs();
    // A timer counts from the beginning of the round that it was set in.
    if (firedAtMs < dueAtMs - timerEarlyMs) {
      this.#await(dueAtMs);
      return;
    }
    const atMs = Math.max(firedAtMs, dueAtMs);
    for (const [slot, session] of this.#sessions) {
      if (!session.isBusy) continue;
      guarded({ slot, generation: this.#open.get(slot) ?? 0 }, this.#links.toMain, () => session.gridTick(atMs, dueAtMs));
    }
    Atomics.add(this.#board, Board.ttsBeat, 1);
    this.#tickNext();
  }

  #isOpen(message: { readonly slot: number; readonly generation: number }): boolean {
    return this.#open.get(message.slot) === message.generation;
  }
}
