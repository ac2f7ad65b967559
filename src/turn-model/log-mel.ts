/**
 * Log-mel features as Whisper's feature extractor makes them for a window of 8 s with normalised samples: what audio models of the Smart Turn 3
 * kind take. 80 bands × 800 frames. Pure; pool threads. About 15 ms for a full window, less the shorter the speech in it.
 */
import { inputRateHz } from '../shared/units.js';
import { Fft } from './fft.js';
import { windowSeconds } from './port.js';

export const bandCount = 80;
export const frameCount = 100 * windowSeconds;
export const windowSamples = windowSeconds * inputRateHz;

const fftLength = 400;
const hopSamples = 160;
const binCount = fftLength / 2 + 1;
/** Added to the variance of the samples, so that silence has one. */
const varianceFloor = 1e-7;
const powerFloor = 1e-10;
/** What is this many decades below the loudest value is as good as silent. */
const rangeDecades = 8;

type Band = { readonly firstBin: number; readonly weights: Float64Array };

export class LogMel {
  readonly #fft = new Fft(fftLength);
  readonly #hann = Float64Array.from({ length: fftLength }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / fftLength));
  readonly #bands = slaneyBands();
  readonly #samples = new Float64Array(windowSamples);
  readonly #re = new Float64Array(fftLength);
  readonly #im = new Float64Array(fftLength);

  /**
   * Features of the last 8 s of `audio` (16 kHz), zeros in front of it where it is shorter: band by band, each band's frames in order of time.
   */
  of(audio: Int16Array): Float32Array {
    const paddingSamples = this.#normalise(audio);
    const logs = new Float64Array(bandCount * frameCount);
    // Frames that see nothing but the padding are all alike: one is enough.
    const alike = Math.max(0, Math.floor((paddingSamples - fftLength / 2) / hopSamples));
    for (let frame = alike > 1 ? alike - 1 : 0; frame < frameCount; frame += 2) this.#pair(frame, logs);
    for (let band = 0; alike > 1 && band < bandCount; band++)
      logs.fill(logs[band * frameCount + alike - 1]!, band * frameCount, band * frameCount + alike - 1);
    let loudest = Number.NEGATIVE_INFINITY;
    for (const value of logs) loudest = Math.max(loudest, value);
    const features = new Float32Array(logs.length);
    for (let at = 0; at < logs.length; at++) features[at] = (Math.max(logs[at]!, loudest - rangeDecades) + 4) / 4;
    return features;
  }

  /** Fills the window with zero mean and unit variance, the padding included, and says how much of it is padding. */
  #normalise(audio: Int16Array): number {
    const heard = audio.subarray(Math.max(0, audio.length - windowSamples));
    const padding = windowSamples - heard.length;
    let sum = 0;
    for (const sample of heard) sum += sample / 32768;
    const mean = sum / windowSamples;
    let squares = padding * mean ** 2;
    for (const sample of heard) squares += (sample / 32768 - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / windowSamples + varianceFloor);
    this.#samples.fill(-mean * scale, 0, padding);
    for (let at = 0; at < heard.length; at++) this.#samples[padding + at] = (heard[at]! / 32768 - mean) * scale;
    return padding;
  }

  /** Two real frames in one complex transform. The second may lie beyond the end, where it is left out. */
  #pair(frame: number, logs: Float64Array): void {
    for (let n = 0; n < fftLength; n++) {
      this.#re[n] = this.#mirrored(frame * hopSamples + n - fftLength / 2) * this.#hann[n]!;
      this.#im[n] = this.#mirrored((frame + 1) * hopSamples + n - fftLength / 2) * this.#hann[n]!;
    }
    this.#fft.run(this.#re, this.#im);
    const first = new Float64Array(binCount);
    const second = new Float64Array(binCount);
    for (let bin = 0; bin < binCount; bin++) {
      const [re, im] = [this.#re[bin]!, this.#im[bin]!];
      const mirror = (fftLength - bin) % fftLength;
      const [mirrorRe, mirrorIm] = [this.#re[mirror]!, this.#im[mirror]!];
      first[bin] = ((re + mirrorRe) ** 2 + (im - mirrorIm) ** 2) / 4;
      second[bin] = ((im + mirrorIm) ** 2 + (mirrorRe - re) ** 2) / 4;
    }
    for (const [band, { firstBin, weights }] of this.#bands.entries()) {
      logs[band * frameCount + frame] = Math.log10(Math.max(powerFloor, weighted(first, firstBin, weights)));
      if (frame + 1 < frameCount)
        logs[band * frameCount + frame + 1] = Math.log10(Math.max(powerFloor, weighted(second, firstBin, weights)));
    }
  }

  /** The window reflected at both ends, the end samples not repeated. */
  #mirrored(at: number): number {
    if (at < 0) return this.#samples[-at]!;
    return this.#samples[at < windowSamples ? at : 2 * (windowSamples - 1) - at]!;
  }
}

function weighted(power: Float64Array, firstBin: number, weights: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < weights.length; at++) sum += power[firstBin + at]! * weights[at]!;
  return sum;
}

/** Slaney's scale: linear below 1 kHz, logarithmic above. */
const linearTop = 1000;
const melTop = 15;
const step = Math.log(6.4) / 27;

function melOf(hz: number): number {
  return hz < linearTop ? (3 * hz) / 200 : melTop + Math.log(hz / linearTop) / step;
}

function hzOf(mel: number): number {
  return mel < melTop ? (200 * mel) / 3 : linearTop * Math.exp(step * (mel - melTop));
}

/** Triangles of equal area between 0 Hz and half the rate. */
function slaneyBands(): Band[] {
  const top = melOf(inputRateHz / 2);
  const edges = Array.from({ length: bandCount + 2 }, (_, index) => hzOf((index * top) / (bandCount + 1)));
  const binHz = inputRateHz / fftLength;
  return Array.from({ length: bandCount }, (_, band): Band => {
    const [low, middle, high] = [edges[band]!, edges[band + 1]!, edges[band + 2]!];
    const firstBin = Math.ceil(low / binHz);
    const lastBin = Math.floor(high / binHz);
    const weights = Float64Array.from({ length: lastBin - firstBin + 1 }, (_, index) => {
      const hz = (firstBin + index) * binHz;
      return (Math.max(0, Math.min((hz - low) / (middle - low), (high - hz) / (high - middle))) * 2) / (high - low);
    });
    return { firstBin, weights };
  });
}
