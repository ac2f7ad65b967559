/**
 * One session's ear: takes hops from the input ring, runs the speech gate over the model's answers, raises HOLD and reports. VAD thread.
 * The order of one judgement: HOLD cell first, then the events, then the cursor. So whoever sees the cursor at t can have every event up to t.
 */
import { msUntil } from '../shared/clock.js';
import type { SpeechEvent } from '../shared/links.js';
import type { InputReader } from '../shared/ring.js';
import { Cell, type Slot } from '../shared/slots.js';
import { hopSamples, inputRateHz, ms, samplesIn } from '../shared/units.js';
import { EchoEar } from './echo.js';
import {
  endAsEcho,
  type GateEvent,
  type GateHop,
  type GateSettings,
  type GateState,
  gateDefaults,
  isAboutToStart,
  needsModel,
  newGate,
  openSince,
  step,
} from './gate.js';
import { rmsLevelDb } from './level.js';

/** A known echo is taken out for this long after the agent was last audible: the estimate of that knows nothing of the way back. */
const echoTailSamples = samplesIn(ms(500), inputRateHz);
/** How long a segment over the agent can still turn out to be an echo, and how often that is asked: at 128 and 256 ms. */
const echoSegmentHops = 8;
const echoAskHops = 4;
/** And how often in a longer one the echo is looked for that goes on under it. */
const echoSearchHops = 16;
/** While the agent is silent, speech that goes on is told this often. */
const hopsATelling = 4;

/** Hops of a segment that began at input sample `since`. */
const ageOf = (since: number, { endSample }: GateHop): number => (endSample - since) / hopSamples;

type Hop = { -readonly [Name in keyof GateHop]: GateHop[Name] };

export type EchoCounts = { readonly hops: number; readonly segments: number };

export class Listener {
  readonly generation: number;
  readonly #slot: Slot;
  readonly #reader: InputReader;
  readonly #emit: (event: SpeechEvent, concernsStt: boolean) => void;
  readonly #onHold: (onsetToHoldMs: number | undefined) => void;
  readonly #gate: GateState;
  readonly #echo: EchoEar;
  /** The one that is judged: the same object each time. */
  readonly #hop: Hop = {
    probability: 0,
    levelDb: 0,
    endSample: 0,
    agentAudible: false,
    startHopsWhileAgentSpeaks: 2,
    leftDb: undefined,
  };
  #levelDb = 0;
  /** Input position up to which an echo of the agent can be heard. */
  #echoUntil = 0;
  /** The open segment has raised its HOLD; one is enough. */
  #hasHeld = false;
  /** The last event was a dip: recognition was told of a pause. */
  #hasDipped = false;
  /** The segment has dipped since its HOLD, and the agent may be speaking again. */
  #mayHoldAgain = false;
  /** Hops of speech since conversation was told of one. */
  #hopsUntold = 0;
  hasRead = false;
  #echoSegments = 0;

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
    this.#echo = new EchoEar(slot, gate.echoLikenessMin);
  }

  get overrunSamples(): number {
    return this.#reader.overrunSamples;
  }

  /** Hops and segments that were echoes of the agent. */
  get echoCounts(): EchoCounts {
    return { hops: this.#echo.hops, segments: this.#echoSegments };
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
    const hop = this.#hop;
    hop.probability = probability;
    hop.levelDb = this.#levelDb;
    hop.endSample = this.#reader.position;
    hop.agentAudible = floor !== 0;
    hop.startHopsWhileAgentSpeaks = hops === 3 ? 3 : hops === 4 ? 4 : 2;
    hop.leftDb = undefined;
    const event = this.#next(hop);
    if (this.#slot.load(Cell.wantsScores) === 1) {
      this.#emit({ type: 'score', score: Math.round(probability * 1000) / 1000 }, false);
    }
    if (event !== undefined && event.type !== 'model_stale') this.#report(event, floor, atMs);
    this.#reader.publish();
    return event?.type === 'model_stale';
  }

  /** The gate's word on the hop, which hears nothing of what is only the agent's own voice. */
  #next(hop: Hop): GateEvent | undefined {
    if (hop.agentAudible) this.#echoUntil = hop.endSample + echoTailSamples;
    const isPossible = hop.agentAudible || (this.#echo.isKnown && hop.endSample <= this.#echoUntil);
    if (!isPossible || hop.probability < this.#gate.settings.offProbability) return step(this.#gate, hop);
    const since = openSince(this.#gate);
    if (since !== undefined && this.#isAsking(since, hop) && this.#echo.explains(since, hop.endSample)) {
      this.#echoSegments += 1;
      return endAsEcho(this.#gate, hop);
    }
    const isSearching = since === undefined ? isAboutToStart(this.#gate, hop) : ageOf(since, hop) % echoSearchHops === 0;
    hop.leftDb = this.#echo.leftDb(hop.endSample, isSearching);
    return step(this.#gate, hop);
  }

  #isAsking(since: number, hop: GateHop): boolean {
    const age = ageOf(since, hop);
    return this.#hasHeld && age <= echoSegmentHops && age % echoAskHops === 0;
  }

  /** `floor`: of the cell, 0 while the agent is silent, 1 while it may be interrupted. */
  #report(event: Exclude<GateEvent, { type: 'model_stale' }>, floor: number, atMs: number): void {
    const isInterruptible = floor === 1;
    switch (event.type) {
      case 'speech_start': {
        this.#hasHeld = false;
        const hold = isInterruptible ? this.#raiseHold(event.startSample, atMs) : 0;
        const { startSample, atSample } = event;
        this.#hasDipped = false;
        this.#hopsUntold = 0;
        this.#emit({ type: 'speech_start', startSample, atSample, hold, decidedAtMs: atMs }, true);
        return;
      }
      case 'speech_hop': {
        const hold = isInterruptible && (!this.#hasHeld || this.#mayHoldAgain) ? this.#raiseHold(event.startSample, atMs) : 0;
        // Into the agent's silence a caller says what a caller says: nobody acts on a single hop.
        const isUrgent = hold > 0 || this.#hasDipped || floor !== 0;
        this.#hopsUntold += 1;
        if (!isUrgent && this.#hopsUntold < hopsATelling) return;
        this.#hopsUntold = 0;
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
