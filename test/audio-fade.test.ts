import fc from 'fast-check';
import { test } from 'tap';
import { boundsOf, voiceEndOf } from '../src/audio/bounds.js';
import { crossFade, fadeIn, fadeOut } from '../src/audio/fade.js';
import { hz } from '../src/shared/units.js';

test('a fade goes up smoothly and leaves the rest alone', (t) => {
  const samples = new Int16Array(300).fill(-30000);
  fadeIn(samples, 80);
  t.ok(samples[0]! > -20, 'starts at silence');
  for (let i = 1; i < 80; i++) {
    const step = samples[i - 1]! - samples[i]!;
    if (step < 0 || step > (30000 * Math.PI) / 2 / 80 + 1) t.fail(`step of ${step} at ${i}`);
  }
  t.ok(samples.subarray(80).every((value) => value === -30000));
  t.end();
});

test('a fade out goes down along a line and leaves the rest alone', (t) => {
  const samples = new Int16Array(300).fill(-30000);
  fadeOut(samples, 100);
  t.ok(samples.subarray(0, 200).every((value) => value === -30000));
  for (let i = 200; i < 300; i++) if (samples[i] !== -30000 + 150 + 300 * (i - 200)) t.fail(`${samples[i]} at ${i}`);
  t.end();
});

test('fades of odd lengths', (t) => {
  const short = Int16Array.of(1000, 1000, 1000);
  fadeIn(short, 80);
  t.same([...short], [67, 500, 933]);
  const untouched = Int16Array.of(5, 6);
  fadeIn(untouched, 0);
  fadeOut(untouched, 0);
  t.same([...untouched], [5, 6]);
  fadeIn(new Int16Array(0), 10);
  t.end();
});

test('a cross-fade of two equal sounds is that sound, and never clips', (t) => {
  fc.assert(
    fc.property(
      fc.int16Array({ minLength: 1, maxLength: 400 }),
      fc.int16Array({ minLength: 400, maxLength: 400 }),
      (from, to) => {
        const out = new Int16Array(from.length);
        crossFade(out, from, from);
        t.same(out, from);
        crossFade(out, from, to);
        for (let i = 0; i < out.length; i++) {
          if (out[i]! < Math.min(from[i]!, to[i]!) || out[i]! > Math.max(from[i]!, to[i]!)) return false;
        }
        const place = from.slice();
        crossFade(place, place, to);
        t.same(place, out, 'in place');
        return true;
      },
    ),
    { numRuns: 50 },
  );
  const joined = new Int16Array(160);
  crossFade(joined, new Int16Array(160).fill(9000), new Int16Array(160).fill(-9000));
  t.ok(joined[0]! > 8990 && joined[159]! < -8990);
  t.end();
});

test('the bounds of a clip', (t) => {
  const clip = Int16Array.of(0, 50, 57, -10000, 0, 0, -57, 56, 0);
  // 45 dB below 10000 is 56.2.
  t.same(boundsOf(clip), { first: 2, last: 6 });
  t.same(boundsOf(clip, 6), { first: 3, last: 3 });
  t.equal(boundsOf(new Int16Array(5)), undefined);
  t.equal(boundsOf(new Int16Array(0)), undefined);
  t.same(boundsOf(Int16Array.of(-32768)), { first: 0, last: 0 });
  t.end();
});

test('the end of the voice is not a click after it', (t) => {
  const clip = new Int16Array(16000);
  clip.fill(8000, 1600, 8000);
  clip.fill(100, 8000, 9600);
  t.equal(voiceEndOf(clip, hz(16000)), 7999, '100 is 38 dB below 8000');
  clip.fill(20000, 12000, 12640);
  t.same(boundsOf(clip), { first: 1600, last: 12639 });
  t.equal(voiceEndOf(clip, hz(16000)), 7999, '40 ms are too short for voice');
  t.equal(voiceEndOf(clip.subarray(0, 8160), hz(16000)), 7999);
  t.equal(voiceEndOf(new Int16Array(16000), hz(16000)), -1);
  t.end();
});
