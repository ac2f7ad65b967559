/**
 * The pitch of speech and how to move it without moving anything in time: periods are found, cut out under windows, and laid down again closer together
 * or further apart (TD-PSOLA). Good for half an octave either way, which is enough to make another speaker or another end of a sentence. Pure.
 */
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';

/** Pitch is estimated once in so many samples. */
export const pitchStep = samplesIn(ms(5), inputRateHz);
const windowSamples = samplesIn(ms(32), inputRateHz);
const pitchMinHz = 55;
const pitchMaxHz = 400;
const lagMin = Math.floor(inputRateHz / pitchMaxHz);
const lagMax = Math.ceil(inputRateHz / pitchMinHz);
/** Lags are searched at a rate so much lower. */
const decimation = 4;
/** Likeness of two neighbouring periods from which a frame counts as voiced. */
const voicedMin = 0.6;
/** A shorter lag wins when it is nearly as good: multiples of the period are always as good as the period. */
const shorterLagRatio = 0.88;
/** Frames this far below the loudest have no pitch. */
const quietRatio = 1e-4;
/** How far from its expected place the peak of a period is looked for, in periods. */
const markSlack = 0.2;
/** Without voice the windows follow one another at this distance. */
const plainStep = samplesIn(ms(5), inputRateHz);

/** Hz every `pitchStep` samples, 0 where there is no voice. */
export function pitchOf(samples: ArrayLike<number>): Float64Array {
  const count = Math.floor(samples.length / pitchStep);
  const powers = Float64Array.from({ length: count }, (_, index) => powerAt(samples, index * pitchStep));
  const loudest = powers.reduce((most, power) => Math.max(most, power), 0);
  const coarse = decimated(samples);
  return powers.map((power, index) => (power <= quietRatio * loudest ? 0 : pitchAt(samples, coarse, index * pitchStep)));
}

/** `samples` with the pitch multiplied by `ratioAt(sample)` wherever there is a pitch; of the same length, nothing else is moved. */
export function withPitch(samples: Float64Array, pitch: Float64Array, ratioAt: (sample: number) => number): Float64Array {
  const marks = marksOf(samples, pitch);
  const sum = new Float64Array(samples.length);
  const weights = new Float64Array(samples.length);
  let nearest = 1;
  for (let at = marks[1]?.at ?? samples.length; at < samples.length && marks.length > 2; ) {
    while (nearest + 2 < marks.length && Math.abs(marks[nearest + 1]!.at - at) <= Math.abs(marks[nearest]!.at - at)) nearest += 1;
    const mark = marks[nearest]!;
    const [before, after] = [mark.at - marks[nearest - 1]!.at, marks[nearest + 1]!.at - mark.at];
    for (let offset = -before; offset < after; offset += 1) {
      const to = Math.round(at) + offset;
      if (to < 0 || to >= samples.length) continue;
      const weight = 0.5 + 0.5 * Math.cos((Math.PI * offset) / (offset < 0 ? before : after));
      sum[to]! += weight * samples[mark.at + offset]!;
      weights[to]! += weight;
    }
    if (nearest + 2 >= marks.length) break;
    at += mark.isVoiced ? after / ratioAt(mark.at) : after;
  }
  // Where windows meet in no voice their weights add up to 1; closer or further windows are levelled out.
  return sum.map((value, at) =>
    weights[at]! > 0.2 ? value / weights[at]! : samples[at]! * (1 - weights[at]! / 0.2) + value / 0.2,
  );
}

type Mark = { readonly at: number; readonly isVoiced: boolean };

/** One mark on the peak of each period, and marks at even distances where there is no voice. In order. */
function marksOf(samples: Float64Array, pitch: Float64Array): Mark[] {
  const pitchNear = (at: number): number => pitch[Math.min(pitch.length - 1, Math.floor(at / pitchStep))] ?? 0;
  const sign = polarity(samples);
  const marks: Mark[] = [{ at: 0, isVoiced: false }];
  while (marks.at(-1)!.at < samples.length - plainStep - 1) {
    const last = marks.at(-1)!;
    const hz = pitchNear(last.at + plainStep);
    if (hz === 0) {
      marks.push({ at: last.at + plainStep, isVoiced: false });
      continue;
    }
    const period = inputRateHz / hz;
    // From one period to the next its peak is near where it was; the first one may be anywhere in a period.
    const [from, to] = last.isVoiced ? [(1 - markSlack) * period, (1 + markSlack) * period] : [0.4 * period, 1.4 * period];
    let best = Math.round(last.at + from);
    const end = Math.min(samples.length - 1, last.at + to);
    for (let at = best; at <= end; at += 1) if (sign * samples[at]! > sign * samples[best]!) best = at;
    if (best >= samples.length - 1) break;
    marks.push({ at: best, isVoiced: true });
  }
  marks.push({ at: samples.length - 1, isVoiced: false });
  return marks;
}

/** The side to which the stronger peaks of the waveform point. */
function polarity(samples: Float64Array): 1 | -1 {
  let cubes = 0;
  for (const value of samples) cubes += value ** 3;
  return cubes >= 0 ? 1 : -1;
}

function powerAt(samples: ArrayLike<number>, at: number): number {
  let power = 0;
  const [from, to] = [Math.max(0, at - windowSamples / 2), Math.min(samples.length, at + windowSamples / 2)];
  for (let index = from; index < to; index += 1) power += samples[index]! ** 2;
  return power;
}

/** The coarse signal's sample `at` stands for the samples of the fine one from `decimation * at` on. */
function decimated(samples: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: Math.floor(samples.length / decimation) }, (_, at) => {
    let sum = 0;
    for (let offset = 0; offset < decimation; offset += 1) sum += samples[at * decimation + offset]!;
    return sum / decimation;
  });
}

/** A period found in the coarse signal and then measured in the fine one. 0 when there is none. */
function pitchAt(samples: ArrayLike<number>, coarse: Float64Array, at: number): number {
  const [shortest, longest] = [Math.floor(lagMin / decimation), Math.ceil(lagMax / decimation)];
  const likenesses = Float64Array.from({ length: longest + 2 }, (_, lag) =>
    lag < shortest - 1 ? 0 : likeness(coarse, Math.round(at / decimation), windowSamples / decimation, lag),
  );
  const best = likenesses.subarray(shortest, longest + 1).reduce((most, value) => Math.max(most, value), 0);
  if (best < voicedMin) return 0;
  for (let lag = shortest; lag <= longest; lag += 1) {
    const here = likenesses[lag]!;
    const isPeak = here >= likenesses[lag - 1]! && here >= likenesses[lag + 1]!;
    if (isPeak && here >= shorterLagRatio * best) return inputRateHz / refined(samples, at, lag * decimation);
  }
  return 0;
}

/** The best lag near `lag`. */
function refined(samples: ArrayLike<number>, at: number, lag: number): number {
  let [bestLag, best] = [lag, 0];
  for (let near = lag - decimation; near <= lag + decimation; near += 1) {
    const here = likeness(samples, at, windowSamples, near);
    if (here > best) [bestLag, best] = [near, here];
  }
  return bestLag;
}

/** Normalised correlation of a stretch of `length` with the one `lag` later, both together centred on `at`. */
function likeness(samples: ArrayLike<number>, at: number, length: number, lag: number): number {
  const from = Math.round(at - (length + lag) / 2);
  let [cross, here, there] = [0, 0, 0];
  for (let index = Math.max(0, from); index < Math.min(samples.length - lag, from + length); index += 1) {
    const [a, b] = [samples[index]!, samples[index + lag]!];
    cross += a * b;
    here += a * a;
    there += b * b;
  }
  return here > 0 && there > 0 ? cross / Math.sqrt(here * there) : 0;
}
