import { test } from 'tap';
import { durationOf, hz, ms, samples, samplesIn } from '../src/shared/units.js';

test('samples and durations are inverse', (t) => {
  t.equal(samplesIn(ms(40), hz(16000)), 640);
  t.equal(durationOf(samples(640), hz(16000)), 40);
  t.end();
});
