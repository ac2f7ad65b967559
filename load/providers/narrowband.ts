/**
 * What of speech survives a change of level, a telephone codec or a resampler: its 300 .. 1800 Hz at 4 kHz, and fingerprints of its
 * spectrum. Pure; runs on the simulator's main thread.
 */

export const narrowbandRateHz = 4000;
/** 16 kHz samples for each narrow-band one. */
export const decimation = 4;

const tapCount = 48;
/** Windowed sinc, cut-off 1.75 kHz at 16 kHz. */
const taps = (() => {
  const filter = new Float32Array(tapCount);
  let sum = 0;
  for (let index = 0; index < tapCount; index += 1) {
    const offset = index - (tapCount - 1) / 2;
    const sinc = Math.sin((2 * Math.PI * 1750 * offset) / 16000) / (Math.PI * offset);
    const window = 0.54 - 0.46 * Math.cos((2 * Math.PI * index) / (tapCount - 1));
    filter[index] = sinc * window;
    sum += sinc * window;
  }
  return filter.map((tap) => tap / sum);
})();

/** Second-order Butterworth high-pass, 300 Hz at 4 kHz: without it a telephone's missing bass would spoil the comparison. */
const highPass = (() => {
  const warped = Math.tan((Math.PI * 300) / narrowbandRateHz);
  const norm = 1 / (1 + Math.SQRT2 * warped + warped * warped);
  return {
    b0: norm,
    b1: -2 * norm,
    a1: 2 * (warped * warped - 1) * norm,
    a2: (1 - Math.SQRT2 * warped + warped * warped) * norm,
  };
})();

/**
 * The narrow band of 16 kHz audio. Sample n of the result corresponds to sample 4 n of `audio`, delayed by the filters; both sides of a
 * comparison go through the same filters, so the delay cancels.
 */
export function narrowbandOf(audio: Int16Array): Float32Array {
  const out = new Float32Array(Math.floor(audio.length / decimation));
  let in1 = 0;
  let in2 = 0;
  let out1 = 0;
  let out2 = 0;
  for (let index = 0; index < out.length; index += 1) {
    const last = index * decimation;
    let low = 0;
    const count = Math.min(tapCount, last + 1);
    for (let tap = 0; tap < count; tap += 1) low += taps[tap]! * audio[last - tap]!;
    const high = highPass.b0 * (low + in2) + highPass.b1 * in1 - highPass.a1 * out1 - highPass.a2 * out2;
    in2 = in1;
    in1 = low;
    out2 = out1;
    out1 = high;
    out[index] = high;
  }
  return out;
}

/** One spectrum covers 64 ms; one begins every 8 ms. */
export const frameSamples = 256;
export const hopSamples = 32;
/** A fingerprint compares spectra this many hops apart (64 ms: they do not overlap). */
const spanHops = 8;
const bandCount = 17;
/** First and last FFT bin in use: 312 and 1797 Hz. */
const binFirst = 20;
const binLast = 115;
/** Mean square below which a frame is silence and has no fingerprint (level 16, about -66 dBFS). */
const framePowerMin = 256;

const cosines = Float64Array.from({ length: frameSamples / 2 }, (_, index) => Math.cos((2 * Math.PI * index) / frameSamples));
const sines = Float64Array.from({ length: frameSamples / 2 }, (_, index) => Math.sin((2 * Math.PI * index) / frameSamples));
const hann = Float64Array.from(
  { length: frameSamples },
  (_, index) => 0.5 - 0.5 * Math.cos((2 * Math.PI * index) / frameSamples),
);
const bitReversed = Uint16Array.from({ length: frameSamples }, (_, index) => {
  let reversed = 0;
  for (let bit = 0; bit < 8; bit += 1) reversed |= ((index >> bit) & 1) << (7 - bit);
  return reversed;
});

/** In-place radix-2 FFT of `frameSamples` values whose order is already bit-reversed. */
function transform(real: Float64Array, imaginary: Float64Array): void {
  for (let half = 1; half < frameSamples; half *= 2) {
    const step = frameSamples / (2 * half);
    for (let start = 0; start < frameSamples; start += 2 * half) {
      for (let offset = 0; offset < half; offset += 1) {
        const upper = start + offset;
        const lower = upper + half;
        const cosine = cosines[offset * step]!;
        const sine = sines[offset * step]!;
        const turnedReal = real[lower]! * cosine + imaginary[lower]! * sine;
        const turnedImaginary = imaginary[lower]! * cosine - real[lower]! * sine;
        real[lower] = real[upper]! - turnedReal;
        imaginary[lower] = imaginary[upper]! - turnedImaginary;
        real[upper] = real[upper]! + turnedReal;
        imaginary[upper] = imaginary[upper]! + turnedImaginary;
      }
    }
  }
}

/** Marks a frame without a fingerprint: silence, or too near the beginning. */
export const noFingerprint = -1;

/**
 * 16-bit fingerprints, one per hop of `signal`: bit m says whether the step from band m to band m+1 grew within 64 ms. Level and smooth
 * filtering cancel out.
 */
export function fingerprintsOf(signal: Float32Array): Int32Array {
  const frameCount = Math.max(0, Math.floor((signal.length - frameSamples) / hopSamples) + 1);
  const prints = new Int32Array(frameCount).fill(noFingerprint);
  const levels = new Float64Array(frameCount * bandCount);
  const real = new Float64Array(frameSamples);
  const imaginary = new Float64Array(frameSamples);
  for (let frame = 0; frame < frameCount; frame += 1) {
    let power = 0;
    for (let index = 0; index < frameSamples; index += 1) {
      const value = signal[frame * hopSamples + index]!;
      power += value * value;
      real[bitReversed[index]!] = value * hann[index]!;
    }
    imaginary.fill(0);
    const isSilent = power < framePowerMin * frameSamples;
    if (!isSilent) transform(real, imaginary);
    for (let band = 0; band < bandCount; band += 1) {
      if (isSilent) {
        levels[frame * bandCount + band] = Number.NaN;
        continue;
      }
      const from = binFirst + Math.floor((band * (binLast + 1 - binFirst)) / bandCount);
      const to = binFirst + Math.floor(((band + 1) * (binLast + 1 - binFirst)) / bandCount);
      let energy = 1;
      for (let bin = from; bin < to; bin += 1) energy += real[bin]! ** 2 + imaginary[bin]! ** 2;
      levels[frame * bandCount + band] = Math.log(energy);
    }
    const earlier = frame - spanHops;
    if (isSilent || earlier < 0 || Number.isNaN(levels[earlier * bandCount])) continue;
    let print = 0;
    for (let band = 0; band + 1 < bandCount; band += 1) {
      const now = levels[frame * bandCount + band]! - levels[frame * bandCount + band + 1]!;
      const before = levels[earlier * bandCount + band]! - levels[earlier * bandCount + band + 1]!;
      if (now > before) print |= 1 << band;
    }
    prints[frame] = print;
  }
  return prints;
}
