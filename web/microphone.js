/** Turns what the microphone hears into 16 kHz, mono, 16-bit pieces of 32 ms. Runs on the browser's audio thread. */
const pieceSamples = 512;
const ratio = sampleRate / 16000; // input samples per output sample
const cutoff = 0.92 * Math.min(1, 1 / ratio); // of the input's Nyquist frequency: a little under the lower of the two
const reach = Math.ceil(16 * Math.max(1, ratio)); // input samples on either side of an output sample
const phaseCount = 256; // places between two input samples where an output sample may lie

/** One row of weights per phase: a windowed sinc, scaled so that a constant stays that constant. */
const kernels = Array.from({ length: phaseCount }, (_, phase) => {
  const weights = Float32Array.from({ length: 2 * reach }, (_, tap) => {
    const distance = tap - reach + 1 - phase / phaseCount;
    const angle = Math.PI * distance * cutoff || 1e-9; // the limit at zero is one
    return (Math.sin(angle) / angle) * (0.5 + 0.5 * Math.cos((Math.PI * distance) / (reach + 1)));
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
});

class Microphone extends AudioWorkletProcessor {
  #heard = new Float32Array(2 * reach + Math.ceil(ratio) + 4096);
  #heardCount = reach; // silence before the first sample
  #position = reach - 1; // of the next output sample, in `#heard`
  #piece = new Int16Array(pieceSamples);
  #pieceCount = 0;

  process([[input]]) {
    if (input === undefined) return true; // nothing is connected yet
    this.#heard.set(input, this.#heardCount);
    this.#heardCount += input.length;
    for (; this.#position + reach < this.#heardCount; this.#position += ratio) {
      const whole = Math.floor(this.#position);
      const weights = kernels[Math.floor((this.#position - whole) * phaseCount)];
      let value = 0;
      for (let tap = 0; tap < weights.length; tap += 1) value += weights[tap] * this.#heard[whole - reach + 1 + tap];
      this.#piece[this.#pieceCount++] = Math.round(Math.max(-1, Math.min(1, value)) * 32767);
      if (this.#pieceCount === pieceSamples) this.#send();
    }
    const past = Math.floor(this.#position) - reach + 1; // no longer needed
    this.#heard.copyWithin(0, past, this.#heardCount);
    this.#heardCount -= past;
    this.#position -= past;
    return true;
  }

  /** Hands the piece over, with its peak as 0..1. */
  #send() {
    const level = this.#piece.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0) / 32768;
    this.port.postMessage({ pcm: this.#piece.buffer, level }, [this.#piece.buffer]);
    this.#piece = new Int16Array(pieceSamples);
    this.#pieceCount = 0;
  }
}

registerProcessor('microphone', Microphone);
