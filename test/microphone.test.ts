import fc from 'fast-check';
import { test } from 'tap';
import { Beat } from '../load/beat.js';
import { clipOf } from '../load/clip.js';
import { cough } from '../load/cough.js';
import { Microphone } from '../load/microphone.js';
import type { Timers } from '../src/shared/timers.js';
import { type Ms, ms } from '../src/shared/units.js';

function takeAll(microphone: Microphone, frames: number): Int16Array {
  const taken = new Int16Array(frames * 320);
  for (let i = 0; i < frames; i++) taken.set(microphone.takeFrame() ?? new Int16Array(320), i * 320);
  return taken;
}

test('a clip starts at exactly its sample', (t) => {
  const microphone = new Microphone(1000);
  const clip = Int16Array.from({ length: 700 }, (_, i) => i + 1);
  t.equal(microphone.place(clip, 1333), 1333);
  const taken = takeAll(microphone, 5);
  t.same(taken.subarray(333, 1033), clip);
  t.ok(taken.subarray(0, 333).every((value) => value === 0) && taken.subarray(1033).every((value) => value === 0));
  t.equal(microphone.nextSample, 2600);
  t.same(microphone.lane().subarray(1000), taken);
  t.equal(microphone.place(clip, 500), 2600, 'what is past is said at once');
  t.end();
});

test('silence takes no memory', (t) => {
  const microphone = new Microphone(0);
  microphone.place(Int16Array.of(5), 640);
  t.same([microphone.takeFrame(), microphone.takeFrame()], [undefined, undefined]);
  t.equal(microphone.takeFrame()![0], 5);
  t.equal(microphone.takeFrame(), undefined);
  t.end();
});

test('clips over each other add up, and frames and lane agree', (t) => {
  const clips = fc.array(fc.tuple(fc.nat(3000), fc.int16Array({ minLength: 1, maxLength: 900, size: 'max' })), { maxLength: 5 });
  fc.assert(
    fc.property(clips, fc.nat(500), (placed, firstSample) => {
      const microphone = new Microphone(firstSample);
      const expected = new Float64Array(6000);
      for (const [at, samples] of placed) {
        const start = microphone.place(samples, at);
        if (start !== Math.max(at, firstSample)) return false;
        // Clipping after each addition, in this order, is what the microphone does.
        for (let i = 0; i < samples.length; i++)
          expected[start + i] = Math.max(-32768, Math.min(32767, expected[start + i]! + samples[i]!));
      }
      const taken = takeAll(microphone, 15);
      const lane = microphone.lane();
      return taken.every((value, i) => value === expected[firstSample + i] && value === lane[firstSample + i]);
    }),
  );
  t.end();
});

/** Time moved by hand; each timer fires when told to, as late as the test wants. */
class HandTimers implements Timers {
  now = 1000;
  timer: { atMs: number; run: () => void } | undefined;
  readonly nowMs = (): Ms => ms(this.now);
  readonly after = (delayMs: Ms, run: () => void): (() => void) => {
    const timer = { atMs: this.now + delayMs, run };
    this.timer = timer;
    return () => {
      if (this.timer === timer) this.timer = undefined;
    };
  };
  fire(lateMs: number): void {
    const { atMs, run } = this.timer!;
    this.timer = undefined;
    this.now = atMs + lateMs;
    run();
  }
}

test('the beat keeps an absolute schedule however late it wakes up', (t) => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 70, noNaN: true }), { minLength: 1, maxLength: 60 }), (latenesses) => {
      const timers = new HandTimers();
      const beat = new Beat(timers);
      const due: number[] = [];
      const leave = beat.join(ms(1005), (dueAtMs) => {
        due.push(dueAtMs);
        if (timers.now < dueAtMs) t.fail('early');
        // Nothing is left for later that is due now.
        if (timers.now - dueAtMs >= 120) t.fail('more behind than it was late');
      });
      for (const late of latenesses) timers.fire(late);
      leave();
      return due.every((dueAtMs, i) => dueAtMs === 1005 + 20 * i) && due.at(-1)! + 20 > timers.now && timers.timer === undefined;
    }),
  );
  t.end();
});

test('members with different phases share one timer; lateness is counted for each', (t) => {
  const timers = new HandTimers();
  const beat = new Beat(timers);
  const log: string[] = [];
  const leaveA = beat.join(ms(1000), (dueAtMs) => log.push(`a${dueAtMs}`));
  const leaveB = beat.join(ms(1007), (dueAtMs) => log.push(`b${dueAtMs}`));
  for (let i = 0; i < 4; i++) timers.fire(0);
  t.same(log, ['a1000', 'b1007', 'a1020', 'b1027']);
  timers.fire(30);
  t.same(log.slice(4), ['a1040', 'a1060', 'b1047', 'b1067'].slice(0, log.length - 4));
  t.equal(beat.latenessUs.totalCount, log.length);
  t.ok(Math.abs(beat.latenessUs.maxValue - 30_000) < 50);
  leaveA();
  t.not(timers.timer, undefined);
  leaveB();
  t.equal(timers.timer, undefined, 'no member, no timer');
  t.end();
});

test('a member may leave, and let others join, while it is called', (t) => {
  const timers = new HandTimers();
  const beat = new Beat(timers);
  let calls = 0;
  const leave = beat.join(ms(1000), () => {
    calls += 1;
    leave();
    beat.join(ms(1100), () => (calls += 10));
  });
  timers.fire(75);
  t.equal(calls, 1, 'not called for the due instants it missed after it had left');
  timers.fire(0);
  t.equal(calls, 11);
  t.end();
});

test('the cough is always the same 200 ms', (t) => {
  const [one, two] = [cough(), cough()];
  t.same(one.samples, two.samples);
  t.equal(one.samples.length, 3200);
  t.equal(Math.max(...one.samples.map(Math.abs)), Math.round(0.3 * 32768));
  t.ok(one.firstSample < 80 && one.lastSample > 2400, 'and fills them');
  t.end();
});

test('a clip knows where its sound is', (t) => {
  const samples = new Int16Array(1000);
  samples.fill(3000, 100, 900);
  const clip = clipOf('x', samples);
  t.same([clip.firstSample, clip.lastSample], [100, 899]);
  t.throws(() => clipOf('nothing.wav', new Int16Array(100)), {
    name: 'EngineError',
    message: 'nothing.wav holds nothing but silence',
  });
  t.end();
});
