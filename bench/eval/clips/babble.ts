/** Several people talking at once, nobody to be understood. Blocks its thread while it synthesises. */
import { pickOf, randomOf } from '../../../load/providers/seeded.js';
import { inputRateHz } from '../../../src/shared/units.js';
import type { Flite } from '../../../src/tts/embedded/flite.js';
import { callerSpeech } from './caller-speech.js';
import { callerVoices } from './caller-voices.js';
import { speechLevelDb } from './levels.js';

const talkers = 6;
/** A part of each talker's speech is taken, from anywhere in it; talkers whose speech is shorter say it again. */
const talk = [
  'I told them the table was booked for seven, and still nobody had put the chairs out when we came.',
  'She moved to the coast last winter and works from the garden most mornings, which sounds lovely to me.',
  'Then the train stood in a field for an hour, and the man beside me ate his whole lunch in silence.',
  'We painted the kitchen yellow, but in the evening light it looks nearly green, so we may do it over.',
  'My brother says the market is closed on Monday, though the fish people are there anyway, round the back.',
  'It was the third film in the row, and by then half of the audience had gone home or fallen asleep.',
];
const fadeMs = 30;

export function makeBabble(flite: Flite, durMs: number, seed: number): Float64Array {
  const random = randomOf(seed, 'babble');
  const length = Math.round((durMs * inputRateHz) / 1000);
  const sum = new Float64Array(length);
  const voices = Object.values(callerVoices);
  for (let talker = 0; talker < talkers; talker += 1) {
    const voice = { ...voices[talker % voices.length]!, pace: 0.9 + 0.25 * random() };
    const { samples } = callerSpeech(flite, pickOf(random, talk), voice);
    const gain = 10 ** ((-speechLevelDb(samples) - 6 * random()) / 20);
    const offset = Math.floor(random() * samples.length);
    for (let at = 0; at < length; at += 1) sum[at]! += gain * samples[(at + offset) % samples.length]!;
  }
  const fade = Math.round((fadeMs * inputRateHz) / 1000);
  for (let at = 0; at < Math.min(fade, length); at += 1) {
    sum[at]! *= at / fade;
    sum[length - 1 - at]! *= at / fade;
  }
  return sum;
}
