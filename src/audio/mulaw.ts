/**
 * G.711 µ-law, by table: 8-bit codes for 14-bit values, here scaled by 4 to 16 bits. Used wherever the format of a call is `ulaw_8000`.
 * Decision values are those of the standard, a sample on one goes away from zero, and both signs are treated alike. Silence (0) is 0xFF.
 */

const bias = 132;
const loudestMagnitude = 32635;

/** Sample of each code. */
const sampleOf = Int16Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const exponent = (bits >> 4) & 7;
  const magnitude = ((((bits & 15) << 3) + bias) << exponent) - bias;
  return bits & 0x80 ? -magnitude : magnitude;
});

/** Code of each sample, indexed by its 16 bits read as unsigned. */
const codeOf = Uint8Array.from({ length: 65536 }, (_, index) => {
  const sample = (index << 16) >> 16;
  const magnitude = Math.min(Math.abs(sample), loudestMagnitude) + bias;
  const exponent = 31 - Math.clz32(magnitude) - 7;
  const mantissa = (magnitude >> (exponent + 3)) & 15;
  return ~((sample < 0 ? 0x80 : 0) | (exponent << 4) | mantissa) & 0xff;
});

/** Samples of `bytes`, written to the start of `out` (at least as long), which is returned. */
export function decodeMulaw(bytes: Uint8Array, out: Int16Array = new Int16Array(bytes.length)): Int16Array {
  for (let i = 0; i < bytes.length; i++) out[i] = sampleOf[bytes[i]!]!;
  return out;
}

/** Codes of `samples`, written to the start of `out` (at least as long), which is returned. */
export function encodeMulaw(samples: Int16Array, out: Uint8Array = new Uint8Array(samples.length)): Uint8Array {
  for (let i = 0; i < samples.length; i++) out[i] = codeOf[samples[i]! & 0xffff]!;
  return out;
}
