/**
 * Changes the rate of a stream of samples, under the name and shape of the library that the official client loads from elsewhere in browsers
 * that cannot capture at a chosen rate. Runs on the browser's audio thread.
 */
const halfWidth = 16; // zero crossings on either side, of the lower rate
const phaseCount = 256; // places between two input samples where an output sample may lie

/** One row of weights per phase: a windowed sinc, scaled so that a constant stays that constant. `ratio`: input samples per output sample. */
function kernelsFor(ratio, reach) {
  const cutoff = 0.92 * Math.min(1, 1 / ratio); // of the input's Nyquist frequency: a little under the lower of the two
  return Array.from({ length: phaseCount }, (_, phase) => {
    const weights = Float32Array.from({ length: 2 * reach }, (_, tap) => {
      const distance = tap - reach + 1 - phase / phaseCount;
      const angle = Math.PI * distance * cutoff || 1e-9; // the limit at zero is one
      return (Math.sin(angle) / angle) * (0.5 + 0.5 * Math.cos((Math.PI * distance) / (reach + 1)));
    });
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return weights.map((weight) => weight / sum);
  });
}

class Resampler {
  #ratio;
  #reach;
  #kernels;
  #heard; // input that is still needed
  #heardCount;
  #position; // of the next output sample, in `#heard`

  constructor(fromRateHz, toRateHz) {
    this.#ratio = fromRateHz / toRateHz;
    this.#reach = Math.ceil(halfWidth * Math.max(1, this.#ratio));
    this.#kernels = kernelsFor(this.#ratio, this.#reach);
    this.#heard = new Float32Array(4096);
    this.#heardCount = this.#reach; // silence before the first sample
    this.#position = this.#reach - 1;
  }

  /** Takes the next samples of the stream, in any unit; gives those of the other rate that are complete, in the same unit. */
  full(samples) {
    this.#keep(samples);
    const output = new Float32Array(Math.max(0, Math.ceil((this.#heardCount - this.#reach - this.#position) / this.#ratio)));
    let count = 0;
    for (; this.#position + this.#reach < this.#heardCount; this.#position += this.#ratio) {
      const whole = Math.floor(this.#position);
      const weights = this.#kernels[Math.floor((this.#position - whole) * phaseCount)];
      const first = whole - this.#reach + 1;
      let value = 0;
      for (let tap = 0; tap < weights.length; tap += 1) value += weights[tap] * this.#heard[first + tap];
      output[count] = value;
      count += 1;
    }
    const past = Math.floor(this.#position) - this.#reach + 1; // no longer needed
    this.#heard.copyWithin(0, past, this.#heardCount);
    this.#heardCount -= past;
    this.#position -= past;
    return output.subarray(0, count);
  }

  #keep(samples) {
    const needed = this.#heardCount + samples.length;
    if (needed > this.#heard.length) {
      const larger = new Float32Array(2 * needed);
      larger.set(this.#heard.subarray(0, this.#heardCount));
      this.#heard = larger;
    }
    this.#heard.set(samples, this.#heardCount);
    this.#heardCount = needed;
  }
}

globalThis.LibSampleRate = {
  create: async (_channelCount, fromRateHz, toRateHz) => new Resampler(fromRateHz, toRateHz),
};
