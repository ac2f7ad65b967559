/**
 * The line between a caller's microphone and the network: noise of the room, the microphone's gain, the codec; and when the network loses or delays a
 * frame. Causal, frame by frame, one object for each call; the same seed gives the same line.
 */
import { createRequire } from 'node:module';
import { type Random, randomOf } from '../../../load/providers/seeded.js';
import { decodeMulaw, encodeMulaw } from '../../../src/audio/mulaw.js';
import { EngineError } from '../../../src/shared/errors.js';
import { inputRateHz } from '../../../src/shared/units.js';
import type { ChannelSetting } from '../scenario.js';
import { butterworth, Cascade, RoomNoise } from './filters.js';
import { limited } from './levels.js';

type Codec = { readonly delaySamples: number; process(frame: Int16Array): Int16Array; close(): void };

/** Losses come in runs of so many frames on average, as they do on real lines. */
const lossRunFrames = 1.6;
/** Delays are drawn from an exponential distribution of which 95 % lie under `jitter_ms`, and none is longer than so many times that. */
const jitterShare95 = -Math.log(0.05);
const jitterTimesMax = 3;

export class Channel {
  /** How much later the codec gives a sample than it got it; 0 where it is at most 1 ms. */
  readonly delaySamples: number;
  readonly #codec: Codec;
  readonly #gain: number;
  readonly #noise: RoomNoise | undefined;
  readonly #noiseLevel: number;
  readonly #losses: Losses;
  readonly #delays: Delays;

  /** `speechLevelDbfs`: of the caller's voice, which `noise_snr_db` is measured from. `frameMs`: 10 or 20. Fails with `missing` without the codec. */
  constructor(setting: ChannelSetting, seed: number, speechLevelDbfs: number, frameMs = 20) {
    const { kind, loss, jitter_ms, noise_snr_db, gain_db } = setting;
    this.#codec = kind === 'phone' ? new Telephone() : kind === 'opus' ? new Opus() : plain;
    this.delaySamples = this.#codec.delaySamples;
    this.#gain = 10 ** (gain_db / 20);
    this.#noise = noise_snr_db === undefined ? undefined : new RoomNoise(randomOf(seed, 'room noise'));
    this.#noiseLevel = 32768 * 10 ** ((speechLevelDbfs - (noise_snr_db ?? 0)) / 20);
    this.#losses = new Losses(randomOf(seed, 'loss'), loss);
    this.#delays = new Delays(randomOf(seed, 'jitter'), jitter_ms, frameMs);
  }

  /** What the network is given for a frame of the microphone (10 or 20 ms, in order, none left out); the caller owns it. */
  process(frame: Int16Array): Int16Array {
    const heard = frame.slice();
    if (this.#noise !== undefined || this.#gain !== 1) {
      for (let at = 0; at < heard.length; at += 1) {
        const noise = this.#noise === undefined ? 0 : this.#noiseLevel * this.#noise.next();
        heard[at] = limited(this.#gain * (frame[at]! + noise));
      }
    }
    return this.#codec.process(heard);
  }

  /** Whether the frame never arrives. Any order. */
  isLost(frameIndex: number): boolean {
    return this.#losses.at(frameIndex);
  }

  /** How much later than without jitter the frame arrives: it never overtakes the one before it. Any order. */
  delayMs(frameIndex: number): number {
    return this.#delays.at(frameIndex);
  }

  /** Frees the codec; no frame may follow. */
  close(): void {
    this.#codec.close();
  }
}

const plain: Codec = { delaySamples: 0, process: (frame) => frame, close: () => undefined };

/** 300 to 3400 Hz, sampled at 8 kHz, µ-law, and back. The filters have the least delay there is for their slopes: half a millisecond in all. */
class Telephone implements Codec {
  readonly delaySamples = 0;
  readonly #before = new Cascade([...butterworth('high', 2, 270), ...butterworth('low', 8, 3500)]);
  readonly #after = new Cascade(butterworth('low', 8, 3500));

  process(frame: Int16Array): Int16Array {
    const filtered = frame.map((value) => limited(this.#before.next(value)));
    const narrow = Int16Array.from({ length: frame.length / 2 }, (_, at) => filtered[2 * at]!);
    const decoded = decodeMulaw(encodeMulaw(narrow));
    // Every other sample is missing, which halves the level.
    return frame.map((_, at) => limited(this.#after.next(at % 2 === 0 ? 2 * decoded[at / 2]! : 0)));
  }

  close(): void {}
}

/** What this file uses of `opusscript`, which is libopus compiled to WebAssembly. */
type OpusScript = {
  encode(pcm: Buffer, frameSamples: number): Buffer;
  decode(packet: Buffer): Buffer;
  setBitrate(bitsPerSecond: number): void;
  delete(): void;
};
const opusVoice = 2048;
const opusBitsPerSecond = 24_000;

/** Opus for voice at 24 kbit/s. Its encoder looks 6.5 ms ahead. */
class Opus implements Codec {
  readonly delaySamples = 104;
  readonly #opus: OpusScript;

  constructor() {
    const OpusScript = loadOpus();
    this.#opus = new OpusScript(inputRateHz, 1, opusVoice);
    this.#opus.setBitrate(opusBitsPerSecond);
  }

  process(frame: Int16Array): Int16Array {
    const packet = this.#opus.encode(Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength), frame.length);
    const bytes = this.#opus.decode(packet);
    const decoded = new Int16Array(frame.length);
    new Uint8Array(decoded.buffer).set(bytes.subarray(0, decoded.byteLength));
    return decoded;
  }

  close(): void {
    this.#opus.delete();
  }
}

function loadOpus(): new (rateHz: number, channels: number, application: number) => OpusScript {
  try {
    return createRequire(import.meta.url)('opusscript');
  } catch (cause) {
    throw new EngineError('missing', 'The opus channel needs the package opusscript; is it installed?', { cause });
  }
}

/** Good and bad times take turns (Gilbert): frames get lost in bad ones. Made in order, remembered. */
class Losses {
  readonly #random: Random;
  readonly #toBad: number;
  readonly #lost: boolean[] = [];

  constructor(random: Random, share: number) {
    this.#random = random;
    this.#toBad = share === 0 ? 0 : share / (1 - share) / lossRunFrames;
  }

  at(frameIndex: number): boolean {
    while (this.#lost.length <= frameIndex) {
      const isBad = this.#lost.at(-1) ?? false;
      this.#lost.push(isBad ? this.#random() >= 1 / lossRunFrames : this.#random() < this.#toBad);
    }
    return this.#lost[frameIndex]!;
  }
}

/** Made in order, remembered. */
class Delays {
  readonly #random: Random;
  readonly #jitterMs: number;
  readonly #frameMs: number;
  readonly #delaysMs: number[] = [];

  constructor(random: Random, jitterMs: number, frameMs: number) {
    this.#random = random;
    this.#jitterMs = jitterMs;
    this.#frameMs = frameMs;
  }

  at(frameIndex: number): number {
    while (this.#delaysMs.length <= frameIndex) {
      const drawn = Math.min(jitterTimesMax, -Math.log(1 - this.#random()) / jitterShare95) * this.#jitterMs;
      this.#delaysMs.push(Math.max(drawn, (this.#delaysMs.at(-1) ?? 0) - this.#frameMs));
    }
    return this.#delaysMs[frameIndex]!;
  }
}

/**
 * By how many samples `processed` is later than `original`, from the cross-correlation of what both have between 500 and 2500 Hz: the bass, whose phase
 * a telephone turns, would speak for nothing else. Looks `lagMax` either way. Positive: later.
 */
export function delayBetween(original: Int16Array, processed: Int16Array, lagMax: number): number {
  const [before, after] = [middle(original), middle(processed)];
  let [bestLag, best] = [0, Number.NEGATIVE_INFINITY];
  for (let lag = -lagMax; lag <= lagMax; lag += 1) {
    let sum = 0;
    for (let at = Math.max(0, -lag); at < before.length && at + lag < after.length; at += 1)
      sum += before[at]! * after[at + lag]!;
    if (sum > best) [bestLag, best] = [lag, sum];
  }
  return bestLag;
}

function middle(samples: Int16Array): Float64Array {
  const filter = new Cascade([...butterworth('high', 4, 500), ...butterworth('low', 4, 2500)]);
  return Float64Array.from(samples, (value) => filter.next(value));
}
