/**
 * What the VAD thread does, without its ports and its sleep: one Silero call a pass for all sessions with a hop to judge, the speech gate of
 * each, and the HOLD cell.
 */
import { nowMs } from '../shared/clock.js';
import type { FromVad, MetricsAnswer, Released, SlotOrder, SpeechEvent } from '../shared/links.js';
import { InputReader } from '../shared/ring.js';
import { Board, Cell, type SharedBlock, Slot } from '../shared/slots.js';
import { hopSamples } from '../shared/units.js';
import type { Recorder } from '../telemetry/recorder.js';
import { SpeechDetector, type SpeechModel } from '../vad/detector.js';
import { type GateSettings, gateDefaults } from '../vad/gate.js';
import { Listener } from '../vad/listener.js';

export type VadLinks = {
  readonly toMain: (message: Released | { readonly type: 'ring' }) => void;
  readonly toConversation: (message: FromVad) => void;
  readonly toStt: (message: FromVad) => void;
};

export type VadHostOptions = {
  readonly block: SharedBlock;
  readonly board: Int32Array;
  /** Stays the caller's to close. */
  readonly model: SpeechModel;
  readonly recorder: Recorder;
  readonly gate?: GateSettings;
};

export class VadHost {
  readonly #links: VadLinks;
  readonly #board: Int32Array;
  readonly #recorder: Recorder;
  readonly #gate: GateSettings;
  readonly #slots: readonly Slot[];
  readonly #detector: SpeechDetector;
  readonly #listeners = new Map<number, Listener>();
  readonly #hop = new Int16Array(hopSamples);
  #batchSize = 0;
  #hopsSkipped = 0;
  /** Of calls that are over. */
  readonly #echoes = { hops: 0, segments: 0 };

  constructor(options: VadHostOptions, links: VadLinks) {
    const { block, board, model, recorder, gate } = options;
    this.#links = links;
    this.#board = board;
    this.#recorder = recorder;
    this.#gate = gate ?? gateDefaults;
    this.#slots = Array.from({ length: block.slotCount }, (_, index) => new Slot(block, index));
    this.#detector = new SpeechDetector(model, block.slotCount);
    recorder.figures = () => this.figures();
  }

  /** Hops that the model judged in the last pass. */
  get batchSize(): number {
    return this.#batchSize;
  }

  fromMain(order: SlotOrder): void {
    const { slot, generation } = order;
    if (order.type === 'open') {
      this.#detector.reset(slot);
      const view = this.#slots[slot]!;
      this.#listeners.set(
        slot,
        new Listener(
          view,
          generation,
          new InputReader(view, Cell.vadRead),
          (event, concernsStt) => this.#emit(slot, generation, event, concernsStt),
          (onsetToHoldMs) => {
            this.#ringMain();
            if (onsetToHoldMs !== undefined) this.#recorder.record('onset_to_hold', onsetToHoldMs);
          },
          this.#gate,
        ),
      );
      return;
    }
    const listener = this.#listeners.get(slot);
    if (listener?.generation === generation) {
      this.#echoes.hops += listener.echoCounts.hops;
      this.#echoes.segments += listener.echoCounts.segments;
      this.#listeners.delete(slot);
    }
    this.#links.toMain({ type: 'released', slot, generation });
  }

  hasWork(): boolean {
    for (const listener of this.#listeners.values()) if (listener.isReady) return true;
    return false;
  }

  /** Judges one hop of every session that has one. Returns whether any session has another hop waiting. */
  async pass(): Promise<boolean> {
    const startedAtMs = nowMs();
    let hops = 0;
    for (const [slot, listener] of this.#listeners) {
      if (!listener.read(this.#hop)) continue;
      hops += 1;
      if (listener.needsModel) this.#detector.stage(slot, this.#hop);
      else this.#detector.skip(slot, this.#hop);
    }
    this.#batchSize = this.#detector.stagedCount;
    this.#hopsSkipped += hops - this.#batchSize;
    if (hops === 0) return false;
    if (this.#batchSize > 0 && !(await this.#run())) return false;
    const atMs = nowMs();
    let isBehind = false;
    for (const [slot, listener] of this.#listeners) {
      if (!listener.hasRead) continue;
      this.#recorder.record('vad_lag', listener.lagMs(atMs));
      if (listener.judge(this.#detector.probability(slot), atMs)) this.#detector.reset(slot);
      isBehind ||= listener.isReady;
    }
    this.#recorder.record('vad_pass', atMs - startedAtMs);
    if (this.#batchSize > 0) this.#recorder.recordSize('vad_batch', this.#batchSize);
    return isBehind;
  }

  /** The model's turn. False: the thread is to end. */
  async #run(): Promise<boolean> {
    Atomics.store(this.#board, Board.vadInRun, 1);
    try {
      // Main ends this thread only when it has stored `stop` and then seen us outside: one of the two sees the other.
      if (Atomics.load(this.#board, Board.stop) === 1) return false;
      await this.#detector.run();
      return true;
    } finally {
      Atomics.store(this.#board, Board.vadInRun, 0);
    }
  }

  figures(): Pick<MetricsAnswer, 'gauges' | 'counters'> {
    let overrun = 0;
    let { hops, segments } = this.#echoes;
    for (const listener of this.#listeners.values()) {
      overrun += listener.overrunSamples;
      hops += listener.echoCounts.hops;
      segments += listener.echoCounts.segments;
    }
    return {
      gauges: [
        { name: 'parley_vad_batch_size', labels: '', value: this.#batchSize },
        { name: 'parley_vad_sessions', labels: '', value: this.#listeners.size },
      ],
      counters: [
        { name: 'parley_input_overrun_samples_total', labels: 'reader="vad"', value: overrun },
        { name: 'parley_vad_hops_skipped_total', labels: '', value: this.#hopsSkipped },
        { name: 'parley_vad_echoes_total', labels: 'of="hop"', value: hops },
        { name: 'parley_vad_echoes_total', labels: 'of="segment"', value: segments },
      ],
    };
  }

  #emit(slot: number, generation: number, event: SpeechEvent, concernsStt: boolean): void {
    const message: FromVad = { slot, generation, ...event };
    this.#links.toConversation(message);
    if (concernsStt) this.#links.toStt(message);
  }

  /** A HOLD was raised: main must see it even if no frame comes. */
  #ringMain(): void {
    if (Atomics.exchange(this.#board, Board.mainBell, 1) === 0) this.#links.toMain({ type: 'ring' });
  }
}
