/**
 * One session's ear: takes hops from the input ring, runs the speech gate over the model's answers, raises HOLD and reports. VAD thread.
 * The order of one judgement: HOLD cell first, then the events, then the cursor. So whoever sees the cursor at t can have every event up to t.
 */
import { msUntil } from '../shared/clock.js';
import type { SpeechEvent } from '../shared/links.js';
import type { InputReader } from '../shared/ring.js';
import { Cell, type Slot } from '../shared/slots.js';
import { hopSamples, inputRateHz } from '../shared/units.js';
import { type GateEvent, type GateSettings, type GateState, gateDefaults, needsModel, newGate, step } from './gate.js';
import { rmsLevelDb } from './level.js';

export class Listener {
  readonly generation: number;
  readonly #slot: Slot;
  readonly #reader: InputReader;
  readonly #emit: (event: SpeechEvent, concernsStt: boolean) => void;
  readonly #onHold: (onsetToHoldMs: number | undefined) => void;
  readonly #gate: GateState;
  #levelDb = 0;
  /** The open segment has raised its HOLD; one is enough. */
  #hasHeld = false;
  /** The last event was a dip: recognition was told of a pause. */
  #hasDipped = false;
  /** The segment has dipped since its HOLD, and the agent may be speaking again. */
  #mayHoldAgain = false;
  hasRead = false;

  constructor(
    slot: Slot,
    generation: number,
    reader: InputReader,
    emit: (event: SpeechEvent, concernsStt: boolean) => void,
    onHold: (onsetToHoldMs: number | undefined) => void,
    gate: GateSettings = gateDefaults,
  ) {
    this.#slot = slot;
    this.generation = generation;
    this.#reader = reader;
    this.#emit = emit;
    this.#onHold = onHold;
    this.#gate = newGate(gate);
  }

  get overrunSamples(): number {
    return this.#reader.overrunSamples;
  }

  /** Another hop is waiting. */
  get isReady(): boolean {
    return this.#reader.available() >= hopSamples;
  }

  /** Reads the next hop, if there is one. */
  read(hop: Int16Array): boolean {
    this.hasRead = this.isReady && this.#reader.read(hop) >= 0;
    if (this.hasRead) this.#levelDb = rmsLevelDb(hop);
    return this.hasRead;
  }

  /** Whether the hop just read can tell anything that its level does not. */
  get needsModel(): boolean {
    return needsModel(this.#gate, this.#levelDb) || this.#slot.load(Cell.wantsScores) === 1;
  }

  /** Age of the hop's last sample: how much has been written after it, and how long ago that was. */
  lagMs(atMs: number): number {
    const newerSamples = this.#slot.load(Cell.inputWritten) - this.#reader.position;
    return (newerSamples * 1000) / inputRateHz + Math.max(0, -msUntil(this.#slot.load(Cell.inputAtMs), atMs));
  }

  /** Deals with the hop just judged. Returns true when the model should forget what it heard. */
  judge(probability: number, atMs: number): boolean {
    const floor = this.#slot.load(Cell.floor);
    const hops = this.#slot.load(Cell.startHops);
    const event = step(this.#gate, {
      probability,
      levelDb: this.#levelDb,
      endSample: this.#reader.position,
      agentAudible: floor !== 0,
      startHopsWhileAgentSpeaks: hops === 3 ? 3 : hops === 4 ? 4 : 2,
    });
    if (this.#slot.load(Cell.wantsScores) === 1) {
      this.#emit({ type: 'score', score: Math.round(probability * 1000) / 1000 }, false);
    }
    if (event !== undefined && event.type !== 'model_stale') this.#report(event, floor === 1, atMs);
    this.#reader.publish();
    return event?.type === 'model_stale';
  }

  #report(event: Exclude<GateEvent, { type: 'model_stale' }>, isInterruptible: boolean, atMs: number): void {
    switch (event.type) {
      case 'speech_start': {
        this.#hasHeld = false;
        const hold = isInterruptible ? this.#raiseHold(event.startSample, atMs) : 0;
        const { startSample, atSample } = event;
        this.#hasDipped = false;
        this.#emit({ type: 'speech_start', startSample, atSample, hold, decidedAtMs: atMs }, true);
        return;
      }
      case 'speech_hop': {
        const hold = isInterruptible && (!this.#hasHeld || this.#mayHoldAgain) ? this.#raiseHold(event.startSample, atMs) : 0;
        // Recognition pulls its audio by itself; it only has to know that a pause is over.
        this.#emit({ ...event, hold }, this.#hasDipped);
        this.#hasDipped = false;
        return;
      }
      case 'speech_dip':
      case 'speech_end':
        this.#hasDipped = event.type === 'speech_dip';
        this.#mayHoldAgain = event.type === 'speech_dip' && event.isSure;
        this.#emit(event, true);
        return;
    }
  }

  /** Plus one: main and the pacer stop at their next look. */
  #raiseHold(startSample: number, atMs: number): number {
    const isFirst = !this.#hasHeld;
    this.#hasHeld = true;
    this.#mayHoldAgain = false;
    const hold = this.#slot.load(Cell.holdsRaised) + 1;
    this.#slot.store(Cell.holdsRaised, hold);
    const onsetToHoldMs = this.lagMs(atMs) + ((this.#reader.position - startSample) * 1000) / inputRateHz;
    this.#onHold(isFirst ? onsetToHoldMs : undefined);
    return hold;
  }
}
