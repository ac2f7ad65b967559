/**
 * Where in a second of reference a stretch of microphone comes from: the highest normalised correlation over all places, by Fourier transform.
 * VAD thread; the memory is shared by all sessions, a search leaves nothing in it.
 */
import { laneSamples } from './narrow-lane.js';

const size = laneSamples;
/** A place where the reference is this much weaker than the microphone would need an amplifier for a room. */
const weakRatio = 0.03;

const cosines = new Float64Array(size / 2);
const sines = new Float64Array(size / 2);
for (let index = 0; index < size / 2; index += 1) {
  cosines[index] = Math.cos((2 * Math.PI * index) / size);
  sines[index] = Math.sin((2 * Math.PI * index) / size);
}
const reversed = new Uint16Array(size);
for (let index = 1; index < size; index += 1) reversed[index] = (reversed[index >> 1]! >> 1) | ((index & 1) * (size >> 1));

const real = new Float64Array(size);
const imaginary = new Float64Array(size);
const powers = new Float64Array(size + 1);

/** `at`: index in the reference of what is at index 0 of the microphone. `likeness`: 0..1. */
export type Found = { at: number; likeness: number };

/** `reference`: `laneSamples` of it. `microphone`: shorter. Returns `found`, filled. */
export function findIn(reference: Float64Array, microphone: Float64Array, found: Found = { at: 0, likeness: 0 }): Found {
  const count = microphone.length;
  let power = 0;
  for (let index = 0; index < count; index += 1) power += microphone[index]! ** 2;
  for (let index = 0; index < size; index += 1) powers[index + 1] = powers[index]! + reference[index]! ** 2;
  correlate(reference, microphone);
  const powerMin = Math.max(power * weakRatio, 1);
  let at = 0;
  let best = 0;
  for (let lag = 0; lag <= size - count; lag += 1) {
    const product = real[lag]!;
    const own = powers[lag + count]! - powers[lag]!;
    // Both signs: a loudspeaker may be wired the other way round.
    const likeness = own < powerMin ? 0 : (product * product) / own;
    if (likeness <= best) continue;
    at = lag;
    best = likeness;
  }
  found.at = at;
  found.likeness = power > 0 ? Math.sqrt(best / power) : 0;
  return found;
}

/** Leaves in `real` the products of the microphone with the reference from each index on. One transform there for both, and one back. */
function correlate(reference: Float64Array, microphone: Float64Array): void {
  real.set(reference);
  imaginary.fill(0);
  imaginary.set(microphone);
  transform();
  for (let low = 0; low <= size / 2; low += 1) {
    const high = (size - low) & (size - 1);
    const referenceReal = (real[low]! + real[high]!) / 2;
    const referenceImaginary = (imaginary[low]! - imaginary[high]!) / 2;
    const microphoneReal = (imaginary[low]! + imaginary[high]!) / 2;
    const microphoneImaginary = (real[high]! - real[low]!) / 2;
    const productReal = referenceReal * microphoneReal + referenceImaginary * microphoneImaginary;
    const productImaginary = referenceImaginary * microphoneReal - referenceReal * microphoneImaginary;
    // Mirrored, so that the same transform leads back.
    real[low] = productReal / size;
    imaginary[low] = -productImaginary / size;
    real[high] = productReal / size;
    imaginary[high] = productImaginary / size;
  }
  transform();
}

/** In place, radix 2. */
function transform(): void {
  for (let index = 0; index < size; index += 1) {
    const other = reversed[index]!;
    if (other <= index) continue;
    const keptReal = real[index]!;
    const keptImaginary = imaginary[index]!;
    real[index] = real[other]!;
    imaginary[index] = imaginary[other]!;
    real[other] = keptReal;
    imaginary[other] = keptImaginary;
  }
  for (let half = 1; half < size; half *= 2) {
    const stride = size / (2 * half);
    for (let start = 0; start < size; start += 2 * half) {
      for (let offset = 0; offset < half; offset += 1) {
        const cosine = cosines[offset * stride]!;
        const sine = sines[offset * stride]!;
        const low = start + offset;
        const high = low + half;
        const turnedReal = real[high]! * cosine + imaginary[high]! * sine;
        const turnedImaginary = imaginary[high]! * cosine - real[high]! * sine;
        real[high] = real[low]! - turnedReal;
        imaginary[high] = imaginary[low]! - turnedImaginary;
        real[low] = real[low]! + turnedReal;
        imaginary[low] = imaginary[low]! + turnedImaginary;
      }
    }
  }
}
