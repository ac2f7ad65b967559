/** The two sides of a recorded call on their way into its file: the caller from the input ring, the agent from what tts posts. API thread. */
import { Resampler } from '../audio/resample.js';
import { InputReader } from '../shared/ring.js';
import { Cell, type Slot } from '../shared/slots.js';
import { hz, inputRateHz } from '../shared/units.js';
import type { RecordingAsk, SpokenAudio } from './links.js';
import type { RecordingFile } from './recording-file.js';

const callerChannel = 0;
const agentChannel = 1;
/** Read from the ring at a time: half a second. */
const pieceSamples = 8192;

/** Frame n of the file is sample n of the input clock, so that the caller's side is exact and both fit together. */
export class CallerLane {
  readonly #slot: Slot;
  readonly #generation: number;
  readonly #reader: InputReader | undefined;
  #hasSound = false;

  constructor(slot: Slot, ask: RecordingAsk) {
    this.#slot = slot;
    this.#generation = ask.generation;
    if (!this.#isOurs) return;
    // Also when a call before this one stored it too late.
    slot.store(Cell.recordRead, 0);
    this.#reader = new InputReader(slot, Cell.recordRead);
  }

  /** Samples that were gone from the ring before they were read; silence in the file. */
  get missedSamples(): number {
    return this.#reader?.overrunSamples ?? 0;
  }

  /** Anything but digital silence. */
  get hasSound(): boolean {
    return this.#hasSound;
  }

  /** Hands on what has come since. Nothing, once the slot is another call's. */
  read(file: RecordingFile): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    while (this.#isOurs && reader.available() > 0) {
      const piece = new Int16Array(Math.min(pieceSamples, reader.available()));
      const isRead = reader.read(piece) >= 0;
      // The slot may have been given out while the samples were copied: then they may be the next caller's.
      if (!isRead || !this.#isOurs) return;
      reader.publish();
      this.#hasSound ||= piece.some((sample) => sample !== 0);
      file.put(callerChannel, reader.position - piece.length, piece);
    }
  }

  get #isOurs(): boolean {
    return this.#slot.load(Cell.generation) === this.#generation;
  }
}

/** Pieces that follow each other without a gap are resampled as one stream, so that nothing clicks between them. */
export class AgentLane {
  #resampler: Resampler | undefined;
  /** Frame at which the stream began, samples that went into it, frames that came out. */
  #from = 0;
  #fed = 0;
  #made = 0;
  #hasSound = false;

  get hasSound(): boolean {
    return this.#hasSound;
  }

  put(file: RecordingFile, { atSample, rateHz, pcm }: SpokenAudio): void {
    if (pcm.length === 0) return;
    this.#hasSound ||= pcm.some((sample) => sample !== 0);
    const expected = this.#from + Math.round((this.#fed * inputRateHz) / rateHz);
    const goesOn = this.#resampler?.fromHz === rateHz && Math.abs(atSample - expected) <= 1;
    if (!goesOn) {
      this.flush(file);
      this.#resampler = new Resampler(hz(rateHz), inputRateHz);
      this.#from = atSample;
      this.#fed = 0;
      this.#made = 0;
    }
    this.#fed += pcm.length;
    this.#write(file, this.#resampler!.process(pcm));
  }

  /** The last frames of the stream, which waited for what follows. */
  flush(file: RecordingFile): void {
    if (this.#resampler !== undefined) this.#write(file, this.#resampler.flush());
    this.#resampler = undefined;
  }

  #write(file: RecordingFile, samples: Int16Array): void {
    file.put(agentChannel, this.#from + this.#made, samples);
    this.#made += samples.length;
  }
}
