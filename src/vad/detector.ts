/**
 * Speech probability of many sessions, one model call per pass. Runs on the VAD thread.
 * Each session owns a slot: its recurrent state and the last samples it heard live here, are gathered into a batch before the call and
 * scattered after it, so a batch may hold any slots in any order. Nothing is allocated per hop.
 */

import { strict as assert } from 'node:assert';
import { hopSamples } from '../shared/units.js';
import { contextSamples, ModelBatch, rowSamples, stateLayers, stateWidth } from './model.js';

/** What the detector wants of a model (`SileroModel`). */
export type SpeechModel = { run(batch: ModelBatch, rows: number): Promise<void> };

const stateFloats = stateLayers * stateWidth;
const none = -1;

export class SpeechDetector {
  readonly slotsMax: number;
  readonly #model: SpeechModel;
  readonly #batch: ModelBatch;
  /** Per slot: both layers of state, then the tail of the last hop, then the last probability. */
  readonly #states: Float32Array;
  readonly #contexts: Float32Array;
  readonly #probabilities: Float32Array;
  /** Slot of each staged row, and the row of each slot while it is staged. */
  readonly #slotOfRow: Int32Array;
  readonly #rowOfSlot: Int32Array;
  #rows = 0;
  #running = false;

  /** `slotsMax` sessions, 7 KB each, all taken now. The model stays the caller's to close. */
  constructor(model: SpeechModel, slotsMax: number) {
    this.slotsMax = slotsMax;
    this.#model = model;
    this.#batch = new ModelBatch(slotsMax);
    this.#states = new Float32Array(slotsMax * stateFloats);
    this.#contexts = new Float32Array(slotsMax * contextSamples);
    this.#probabilities = new Float32Array(slotsMax);
    this.#slotOfRow = new Int32Array(slotsMax).fill(none);
    this.#rowOfSlot = new Int32Array(slotsMax).fill(none);
  }

  /** Slots staged for the next run. */
  get stagedCount(): number {
    return this.#rows;
  }

  /** Forgets what the slot heard. Allowed at any time: a hop of the slot that is staged or being run then leaves no trace. */
  reset(slot: number): void {
    this.#states.fill(0, slot * stateFloats, (slot + 1) * stateFloats);
    this.#contexts.fill(0, slot * contextSamples, (slot + 1) * contextSamples);
    this.#probabilities[slot] = 0;
    const row = this.#rowOfSlot[slot]!;
    if (row === none) return;
    this.#rowOfSlot[slot] = none;
    if (this.#running) this.#slotOfRow[row] = none;
    else this.#unstage(row);
  }

  /**
   * Takes the next hop of a slot, `hopSamples` samples read at once, so the caller may reuse `hop` afterwards.
   * At most one hop per slot and run, and none while a run is under way.
   */
  stage(slot: number, hop: Int16Array): void {
    assert(!this.#running, 'hops are staged between runs');
    assert(hop.length === hopSamples, 'a hop has the length the model wants');
    assert(this.#rowOfSlot[slot] === none, 'a slot has one hop per run');
    const row = this.#rows;
    this.#rows += 1;
    this.#slotOfRow[row] = slot;
    this.#rowOfSlot[slot] = row;
    const input = this.#batch.input;
    const start = row * rowSamples;
    const context = slot * contextSamples;
    for (let index = 0; index < contextSamples; index += 1) input[start + index] = this.#contexts[context + index]!;
    const from = start + contextSamples;
    for (let index = 0; index < hopSamples; index += 1) input[from + index] = hop[index]! / 32768;
  }

  /** Takes the next hop of a slot without showing it to the model; only its end is kept, which the model wants before the next one. */
  skip(slot: number, hop: Int16Array): void {
    assert(this.#rowOfSlot[slot] === none, 'a hop is staged or skipped');
    const context = slot * contextSamples;
    const tail = hopSamples - contextSamples;
    for (let index = 0; index < contextSamples; index += 1) this.#contexts[context + index] = hop[tail + index]! / 32768;
    this.#probabilities[slot] = 0;
  }

  /** One model call for all staged hops; resolves with how many there were. Probabilities are those of before until it resolves. */
  async run(): Promise<number> {
    assert(!this.#running, 'one run at a time');
    const rows = this.#rows;
    if (rows === 0) return 0;
    this.#running = true;
    try {
      this.#gather(rows);
      await this.#model.run(this.#batch, rows);
      this.#scatter(rows);
    } finally {
      this.#release(rows);
      this.#running = false;
    }
    return rows;
  }

  /** Probability of speech, 0 to 1, in the last hop that was run for the slot; 0 after a reset. */
  probability(slot: number): number {
    return this.#probabilities[slot]!;
  }

  /** The last staged row moves into the place of the one that is dropped. */
  #unstage(row: number): void {
    this.#rows -= 1;
    const last = this.#rows;
    const slot = this.#slotOfRow[last]!;
    this.#slotOfRow[last] = none;
    if (last === row) return;
    this.#batch.input.copyWithin(row * rowSamples, last * rowSamples, (last + 1) * rowSamples);
    this.#slotOfRow[row] = slot;
    this.#rowOfSlot[slot] = row;
  }

  /** The model wants layer by layer, all rows of the first before the second. */
  #gather(rows: number): void {
    const state = this.#batch.state;
    for (let row = 0; row < rows; row += 1) {
      const slot = this.#slotOfRow[row]!;
      for (let layer = 0; layer < stateLayers; layer += 1) {
        const to = (layer * rows + row) * stateWidth;
        const from = slot * stateFloats + layer * stateWidth;
        for (let index = 0; index < stateWidth; index += 1) state[to + index] = this.#states[from + index]!;
      }
    }
  }

  #scatter(rows: number): void {
    const { input, output, nextState } = this.#batch;
    for (let row = 0; row < rows; row += 1) {
      const slot = this.#slotOfRow[row]!;
      if (slot === none) continue;
      this.#probabilities[slot] = output[row]!;
      const tail = (row + 1) * rowSamples - contextSamples;
      const context = slot * contextSamples;
      for (let index = 0; index < contextSamples; index += 1) this.#contexts[context + index] = input[tail + index]!;
      for (let layer = 0; layer < stateLayers; layer += 1) {
        const from = (layer * rows + row) * stateWidth;
        const to = slot * stateFloats + layer * stateWidth;
        for (let index = 0; index < stateWidth; index += 1) this.#states[to + index] = nextState[from + index]!;
      }
    }
  }

  #release(rows: number): void {
    for (let row = 0; row < rows; row += 1) {
      const slot = this.#slotOfRow[row]!;
      if (slot !== none) this.#rowOfSlot[slot] = none;
      this.#slotOfRow[row] = none;
    }
    this.#rows = 0;
  }
}
