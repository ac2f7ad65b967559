/**
 * When the words of a text are said, from another voice's saying of the same text whose times are known: both are laid side by side so that what sounds
 * alike meets (dynamic time warping over band levels). Good to about 40 ms. Pure.
 */
import { boundsOf } from '../../../src/audio/bounds.js';
import { inputRateHz, ms, samplesIn } from '../../../src/shared/units.js';
import type { Word } from '../run-record.js';
import type { CallerSpeech } from './caller-speech.js';
import { butterworth, Cascade } from './filters.js';

const frame = samplesIn(ms(10), inputRateHz);
/** Edges of the bands, about as wide as the ear's. */
const edgesHz = [150, 300, 450, 650, 900, 1200, 1600, 2100, 2800, 3700, 5000, 6800];
const bandCount = edgesHz.length - 1;
/** Levels this far below a clip's loudest are all the same silence. */
const floorDb = 55;
/** Price, in decibels of difference, of going on in one of the two alone. */
const stretchCost = 1.5;

export function alignedWords(guide: CallerSpeech, samples: Int16Array): Word[] {
  const [known, unknown] = [levelsOf(guide.samples), levelsOf(samples)];
  const [rows, columns] = [known.length / bandCount, unknown.length / bandCount];
  if (rows === 0 || columns === 0) return [];
  const place = warped(known, unknown, rows, columns);
  const moved = (sample: number): number => place[Math.min(rows - 1, Math.max(0, Math.round(sample / frame)))]! * frame;
  const words: Word[] = [];
  for (const { text, from, to } of guide.words) {
    const start = Math.max(moved(from), words.at(-1)?.to ?? 0);
    const end = Math.min(samples.length, Math.max(start + frame, moved(to)));
    if (end > start) words.push({ text, from: start, to: end });
  }
  // Where the sound ends is known better than where the voices' endings meet.
  const [last, bounds] = [words.at(-1), boundsOf(samples)];
  return last === undefined || bounds === undefined ? words : [...words.slice(0, -1), { ...last, to: bounds.last + 1 }];
}

/** Levels of the bands in dB under the clip's loudest, frame by frame, each band's mean taken off. */
function levelsOf(samples: Int16Array): Float64Array {
  const count = Math.floor(samples.length / frame);
  const levels = new Float64Array(count * bandCount);
  for (let band = 0; band < bandCount; band += 1) {
    const filter = new Cascade([...butterworth('high', 2, edgesHz[band]!), ...butterworth('low', 2, edgesHz[band + 1]!)]);
    for (let index = 0; index < count; index += 1) {
      let power = 0;
      for (let at = index * frame; at < (index + 1) * frame; at += 1) power += filter.next(samples[at]!) ** 2;
      levels[index * bandCount + band] = 10 * Math.log10(power / frame + 1);
    }
  }
  const loudest = levels.reduce((most, level) => Math.max(most, level), 0);
  for (let band = 0; band < bandCount; band += 1) {
    let sum = 0;
    for (let at = band; at < levels.length; at += bandCount) sum += levels[at] = Math.max(levels[at]!, loudest - floorDb);
    for (let at = band; at < levels.length; at += bandCount) levels[at]! -= sum / Math.max(1, count);
  }
  return levels;
}

/** For each row the first column that it meets on the cheapest way from the first pair to the last. */
function warped(known: Float64Array, unknown: Float64Array, rows: number, columns: number): Int32Array {
  const costs = new Float64Array(rows * columns).fill(Number.POSITIVE_INFINITY);
  const distance = (row: number, column: number): number => {
    let sum = 0;
    for (let band = 0; band < bandCount; band += 1)
      sum += Math.abs(known[row * bandCount + band]! - unknown[column * bandCount + band]!);
    return sum / bandCount;
  };
  const before = (row: number, column: number): number =>
    row < 0 || column < 0 ? Number.POSITIVE_INFINITY : costs[row * columns + column]!;
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const here = distance(row, column);
      const both = row === 0 && column === 0 ? 0 : before(row - 1, column - 1);
      const alone = Math.min(before(row - 1, column), before(row, column - 1)) + stretchCost;
      costs[row * columns + column] = here + Math.min(both, alone);
    }
  }
  const place = new Int32Array(rows);
  for (let row = rows - 1, column = columns - 1; ; ) {
    place[row] = column;
    if (row === 0 && column === 0) return place;
    const [both, up, left] = [
      before(row - 1, column - 1),
      before(row - 1, column) + stretchCost,
      before(row, column - 1) + stretchCost,
    ];
    const best = Math.min(both, up, left);
    if (best === left) column -= 1;
    else if (best === up) row -= 1;
    else [row, column] = [row - 1, column - 1];
  }
}
