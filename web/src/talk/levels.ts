/** How loud caller and agent were, in steps of 20 ms on the page's clock, and when the agent became audible. Fed once a picture. */

export const levelStepMs = 20;
/** Older levels are written over. */
const keptMs = 30 * 60_000;
const steps = keptMs / levelStepMs;

/** Peaks of one lane, 0..1. */
export class Lane {
  readonly #peaks = new Float32Array(steps);
  #lastStep = -1;

  /** The peak at an instant of the page's clock; 0 where nothing is known. */
  at(atMs: number): number {
    const step = Math.floor(atMs / levelStepMs);
    if (step > this.#lastStep || step <= this.#lastStep - steps) return 0;
    return this.#peaks[step % steps]!;
  }

  put(atMs: number, peak: number): void {
    const step = Math.floor(atMs / levelStepMs);
    if (this.#lastStep < 0) this.#lastStep = step - 1;
    for (; this.#lastStep < step; this.#lastStep++) this.#peaks[(this.#lastStep + 1) % steps] = 0;
    if (step > this.#lastStep - steps) this.#peaks[step % steps] = Math.max(this.#peaks[step % steps]!, peak);
  }
}

/** Finds where sound begins after a pause. */
export class Onsets {
  /** Page clock; the newest last. */
  readonly atMs: number[] = [];
  #soundAtMs = Number.NEGATIVE_INFINITY;

  /** A peak at an instant; they come in order. */
  put(atMs: number, peak: number): void {
    if (peak < audiblePeak) return;
    if (atMs - this.#soundAtMs > pauseMs) {
      this.atMs.push(atMs);
      if (this.atMs.length > onsetsMax) this.atMs.shift();
    }
    this.#soundAtMs = atMs;
  }
}

/** About -40 dB: the voice's own noise floor lies below. */
const audiblePeak = 0.01;
const pauseMs = 150;
const onsetsMax = 50;

/** Reads what an analyser has heard since the last time and puts it into a lane. */
export class Probe {
  readonly #analyser: AnalyserNode;
  readonly #samples: Float32Array<ArrayBuffer>;
  #readThroughSeconds: number;

  constructor(analyser: AnalyserNode) {
    this.#analyser = analyser;
    this.#samples = new Float32Array(analyser.fftSize);
    this.#readThroughSeconds = analyser.context.currentTime;
  }

  read(lane: Lane, onsets: Onsets | undefined, nowMs: number): void {
    const { currentTime, sampleRate } = this.#analyser.context;
    const count = Math.min(this.#samples.length, Math.round((currentTime - this.#readThroughSeconds) * sampleRate));
    this.#readThroughSeconds = currentTime;
    if (count <= 0) return;
    this.#analyser.getFloatTimeDomainData(this.#samples);
    const blockSamples = Math.round((sampleRate * blockMs) / 1000);
    for (let start = this.#samples.length - count; start < this.#samples.length; start += blockSamples) {
      const end = Math.min(start + blockSamples, this.#samples.length);
      let peak = 0;
      for (let index = start; index < end; index++) peak = Math.max(peak, Math.abs(this.#samples[index]!));
      const atMs = nowMs - ((this.#samples.length - start) / sampleRate) * 1000;
      lane.put(atMs, peak);
      onsets?.put(atMs, peak);
    }
  }
}

/** Finer than a step, so that an onset is told to within this. */
const blockMs = 4;
