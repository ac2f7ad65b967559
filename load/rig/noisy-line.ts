/**
 * A caller's line with noise on it for the whole call. The simulated recogniser finds words by comparing samples and would lose them in noise
 * that a real recogniser hardly notices; so it is told what the words sound like in this noise, as soon as it is known where they will be.
 * What is measured in noise is therefore the engine's ear, not the recogniser's. Runs on the callers' thread.
 */
import type { Caller, Said } from '../caller.js';
import type { Clip } from '../clip.js';
import type { Phrase } from './phrases.js';
import type { Simulator } from './stack.js';

const samplesPerMs = 16;
/** Noise is placed this far ahead of the microphone. */
const aheadMs = 5000;
const lookMs = 1000;
/** Recognition gets audio from before and after the words: that is registered, too. */
const beforeSamples = 1200 * samplesPerMs;
const afterSamples = 1500 * samplesPerMs;

export class NoisyLine {
  readonly #caller: Caller;
  readonly #simulator: Simulator | undefined;
  readonly #noise: Int16Array;
  readonly #clip: Clip;
  readonly #startSample: number;
  #untilSample: number;
  #phrases = 0;
  readonly #timer: NodeJS.Timeout;
  readonly #registrations: Promise<void>[] = [];

  constructor(caller: Caller, simulator: Simulator | undefined, noise: Int16Array) {
    this.#caller = caller;
    this.#simulator = simulator;
    this.#noise = noise;
    const last = noise.length - 1;
    this.#clip = { name: 'noise', samples: noise, firstSample: 0, lastSample: last, voiceEndSample: last };
    this.#startSample = caller.microphone.nextSample;
    this.#untilSample = this.#startSample;
    this.#extend();
    this.#timer = setInterval(() => this.#extend(), lookMs);
  }

  /** Tells the recogniser how `said` sounds here. To be called right after it was placed. */
  said(said: Said, phrase: Phrase): void {
    const start = Math.round(said.startMs * samplesPerMs);
    const { samples } = said.clip;
    const from = Math.max(this.#startSample, start - beforeSamples);
    const mixed = new Int16Array(start - from + samples.length + afterSamples);
    for (let index = 0; index < mixed.length; index += 1) {
      const at = from + index;
      const sum = this.#noise[(at - this.#startSample) % this.#noise.length]! + (samples[at - start] ?? 0);
      mixed[index] = Math.max(-32768, Math.min(32767, sum));
    }
    const offsetMs = (start - from) / samplesPerMs;
    const words = phrase.registration.words.map(([startMs, endMs, word]): [number, number, string] => [
      startMs + offsetMs,
      endMs + offsetMs,
      word,
    ]);
    this.#phrases += 1;
    const id = `${this.#caller.conversationId} ${this.#phrases}`;
    const pcmBase64 = Buffer.from(mixed.buffer).toString('base64');
    if (this.#simulator !== undefined)
      this.#registrations.push(this.#simulator.registerClips([{ id, rateHz: 16000, pcmBase64, words }]));
  }

  /** No more noise is placed. Rejects when the recogniser could not be told of something. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#registrations);
  }

  #extend(): void {
    const wanted = (this.#caller.nowMs + aheadMs) * samplesPerMs;
    while (this.#untilSample < wanted && this.#caller.closed === undefined) {
      const { startMs } = this.#caller.say(this.#clip, this.#untilSample / samplesPerMs);
      this.#untilSample = Math.round(startMs * samplesPerMs) + this.#noise.length;
    }
  }
}
