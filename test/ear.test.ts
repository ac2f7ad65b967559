import fc from 'fast-check';
import { test } from 'tap';
import { Ear, type EarKind } from '../load/ear.js';
import { hz } from '../src/shared/units.js';

/** A sawtooth: every sample tells where it came from. */
function saw(from: number, count: number): Int16Array {
  return Int16Array.from({ length: count }, (_, i) => 1000 + ((from + i) % 20000));
}

function ear(kind: EarKind, rateHz = 16000): Ear {
  return new Ear(kind, hz(rateHz), true);
}

test('buffered: plays what it has, one chunk right after the other, and starts again at once after a gap', (t) => {
  const device = ear('buffered');
  device.audio(1, saw(0, 640), 103);
  device.audio(1, saw(640, 640), 104);
  t.equal(device.queuedMs, 80);
  device.audio(1, saw(1280, 320), 250);
  device.advanceTo(400);
  // Received at 103 ms: the block that begins at 110 ms is the first to hold it. 80 ms later it runs dry until 250 ms.
  t.same(device.runs, [
    { eventId: 1, sourceSample: 0, heardSample: 110 * 16, count: 1280 },
    { eventId: 1, sourceSample: 1280, heardSample: 250 * 16, count: 320 },
  ]);
  const lane = device.lane();
  t.equal(lane.length, 400 * 16);
  t.same(lane.subarray(110 * 16, 190 * 16), saw(0, 1280));
  t.same(lane.subarray(250 * 16, 270 * 16), saw(1280, 320));
  t.equal(lane[110 * 16 - 1]! | lane[190 * 16]! | lane[270 * 16]!, 0);
  t.same(
    [...device.replies.values()],
    [
      {
        eventId: 1,
        firstChunkAtMs: 103,
        lastChunkAtMs: 250,
        receivedSamples: 1600,
        playedSamples: 1600,
        onsetMs: 110,
        lastAudibleMs: 270 - 1 / 16,
      },
    ],
  );
  t.end();
});

test('buffered: fades for 2 s on an interruption while it plays on, then drops its queue', (t) => {
  const device = ear('buffered');
  device.audio(1, new Int16Array(5 * 16000).fill(20000), 0);
  device.interruption(2, 1000);
  device.advanceTo(4000);
  const lane = device.lane();
  t.equal(lane[999 * 16], 20000);
  for (const afterMs of [0, 500, 1000, 1900]) {
    const levelDb = 20 * Math.log10(lane[(1000 + afterMs) * 16]! / 20000);
    t.ok(Math.abs(levelDb + (80 * afterMs) / 2000) < 1, `${levelDb.toFixed(1)} dB after ${afterMs} ms`);
  }
  t.ok(lane.subarray(3000 * 16).every((value) => value === 0));
  t.same(device.runs, [{ eventId: 1, sourceSample: 0, heardSample: 0, count: 3000 * 16 }]);
  // Below -50 dBFS it is no longer audible: 45.7 dB of the fade.
  t.ok(Math.abs(device.replies.get(1)!.lastAudibleMs! - 2143) < 6);
  device.audio(3, saw(0, 160), 4000);
  device.advanceTo(4010);
  t.same(device.lane().subarray(4000 * 16), saw(0, 160), 'and the next reply is at full level');
  t.end();
});

test('buffered: a second interruption puts off the end of the fade', (t) => {
  const device = ear('buffered');
  device.audio(1, new Int16Array(5 * 16000).fill(20000), 0);
  device.interruption(2, 1000);
  device.interruption(3, 1500);
  device.advanceTo(5000);
  t.equal(device.replies.get(1)!.playedSamples, 3500 * 16);
  t.equal(device.lane()[2000 * 16], 200, 'which goes on as it had begun');
  t.same([device.lane()[3010 * 16], device.lane()[3499 * 16]], [2, 2]);
  t.end();
});

test('buffered: any audio after an interruption drops the queue, so a flush chunk silences it', (t) => {
  const device = ear('buffered');
  device.audio(1, new Int16Array(16000).fill(20000), 0);
  device.interruption(2, 300);
  device.audio(3, new Int16Array(160), 301);
  device.advanceTo(1500);
  t.ok(
    device
      .lane()
      .subarray(310 * 16)
      .every((value) => value === 0),
  );
  t.equal(device.replies.get(1)!.playedSamples, 310 * 16);
  t.equal(device.replies.get(3)!.onsetMs, undefined, 'silence is not a reply');
  t.same(device.stale, []);
  t.end();
});

test('paced: waits for its jitter buffer at each start, and an interruption empties it', (t) => {
  const device = ear('paced');
  device.audio(1, saw(0, 320), 5);
  device.audio(1, saw(320, 320), 45);
  device.audio(1, saw(640, 320), 200);
  device.audio(1, saw(960, 1600), 240);
  device.interruption(2, 263);
  device.audio(3, saw(0, 160), 300);
  device.advanceTo(1000);
  t.same(device.runs, [
    { eventId: 1, sourceSample: 0, heardSample: 50 * 16, count: 640 },
    { eventId: 1, sourceSample: 640, heardSample: 240 * 16, count: 480 },
    { eventId: 3, sourceSample: 0, heardSample: 340 * 16, count: 160 },
  ]);
  t.equal(device.replies.get(1)!.lastAudibleMs, 270 - 1 / 16);
  t.end();
});

test('paced: audio that comes just as the last sample is played goes on without a new start', (t) => {
  const device = ear('paced');
  device.audio(1, saw(0, 320), 0);
  device.audio(1, saw(320, 320), 60);
  device.advanceTo(300);
  t.same(device.runs, [{ eventId: 1, sourceSample: 0, heardSample: 40 * 16, count: 640 }]);
  t.end();
});

test('audio of an interrupted reply is stale, and heard all the same', (t) => {
  const device = ear('buffered');
  device.audio(4, saw(0, 160), 0);
  device.interruption(5, 20);
  device.audio(4, saw(160, 160), 30);
  device.audio(5, saw(0, 160), 50);
  device.audio(6, saw(0, 160), 70);
  device.advanceTo(100);
  t.same(device.stale, [
    { atMs: 30, eventId: 4, interruptionId: 5, sampleCount: 160 },
    { atMs: 50, eventId: 5, interruptionId: 5, sampleCount: 160 },
  ]);
  t.same(device.lane().subarray(30 * 16, 40 * 16), saw(160, 160));
  t.end();
});

test('the edges of what is audible', (t) => {
  const device = ear('buffered');
  const quiet = new Int16Array(1600);
  quiet.fill(60, 0, 800);
  quiet.fill(-4000, 810, 1000);
  device.audio(1, quiet, 0);
  device.advanceTo(200);
  const reply = device.replies.get(1)!;
  t.equal(reply.onsetMs, 810 / 16, 'to the sample, 60 being below -50 dBFS');
  t.equal(reply.lastAudibleMs, 999 / 16);
  t.end();
});

test('one reply right after another, inside a block', (t) => {
  const device = ear('buffered');
  device.audio(1, new Int16Array(200).fill(9000), 0);
  device.audio(2, new Int16Array(200).fill(9000), 0);
  device.advanceTo(100);
  const [one, two] = [...device.replies.values()];
  t.ok(one!.lastAudibleMs! <= 200 / 16 && two!.onsetMs! >= 200 / 16 && two!.onsetMs! <= 205 / 16 + 5);
  t.equal(two!.lastAudibleMs, 399 / 16);
  t.end();
});

test('another rate is heard as if it were 16 kHz', (t) => {
  for (const rateHz of [8000, 24000, 44100]) {
    const device = ear('buffered', rateHz);
    const tone = (at: number) => Math.round(8000 * Math.sin(2 * Math.PI * 440 * at));
    const source = Int16Array.from({ length: rateHz / 2 }, (_, i) => tone(i / rateHz));
    for (let from = 0; from < source.length; from += 777) {
      device.audio(1, source.subarray(from, from + 777), Math.max(0, (from / rateHz) * 1000 - 20));
    }
    device.advanceTo(1000);
    t.equal(device.runs.length, 1, 'without a gap');
    t.equal(device.runs[0]!.count, 8000);
    const lane = device.lane();
    let worst = 0;
    for (let i = 200; i < 7800; i++) worst = Math.max(worst, Math.abs(lane[i]! - tone(i / 16000)));
    t.ok(worst <= 2, `${rateHz} Hz: ${worst} away`);
  }
  t.end();
});

test('after a gap another rate loses nothing', (t) => {
  const device = ear('buffered', 8000);
  device.audio(1, new Int16Array(400).fill(5000), 0);
  device.audio(1, new Int16Array(400).fill(5000), 500);
  device.advanceTo(1000);
  t.same(device.runs, [
    { eventId: 1, sourceSample: 0, heardSample: 0, count: 800 },
    { eventId: 1, sourceSample: 800, heardSample: 500 * 16, count: 800 },
  ]);
  t.end();
});

test('what is heard depends on what came when, not on how often one looks', (t) => {
  const event = fc.record({
    afterMs: fc.double({ min: 0, max: 120, noNaN: true }),
    samples: fc.integer({ min: 1, max: 2000 }),
    isInterruption: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.constantFrom<EarKind>('buffered', 'paced'),
      fc.constantFrom(8000, 16000, 24000),
      fc.array(event, { minLength: 1, maxLength: 12 }),
      fc.array(fc.double({ min: 0, max: 2500, noNaN: true }), { maxLength: 30 }),
      (kind, rateHz, events, looks) => {
        const [plain, watched] = [ear(kind, rateHz), ear(kind, rateHz)];
        const pending = looks.toSorted((a, b) => a - b);
        let [atMs, id, received] = [0, 1, 0];
        for (const { afterMs, samples, isInterruption } of events) {
          atMs += afterMs;
          while (pending.length > 0 && pending[0]! < atMs) watched.advanceTo(pending.shift()!);
          for (const device of [plain, watched]) {
            if (isInterruption) device.interruption(id + 1, atMs);
            else device.audio(id, saw(received, samples), atMs);
          }
          if (isInterruption) id += 2;
          else received += samples;
        }
        for (const device of [plain, watched]) device.advanceTo(4000);
        const played = plain.runs.reduce((sum, run) => sum + run.count, 0);
        if (played > Math.ceil((received * 16000) / rateHz) + events.length) return false;
        return (
          Buffer.compare(Buffer.from(plain.lane().buffer), Buffer.from(watched.lane().buffer)) === 0 &&
          JSON.stringify([plain.runs, [...plain.replies.values()]]) ===
            JSON.stringify([watched.runs, [...watched.replies.values()]])
        );
      },
    ),
    { numRuns: 60 },
  );
  t.end();
});

test('instants must not go back', (t) => {
  const device = ear('buffered');
  device.advanceTo(100);
  t.throws(() => device.audio(1, saw(0, 10), 99), /instants must not go back/);
  t.end();
});

test('a long call, and one whose lane is not kept', (t) => {
  const device = ear('buffered');
  device.audio(1, saw(0, 160), 200_000);
  device.advanceTo(200_020);
  t.equal(device.lane().length, 200_020 * 16);
  t.same(device.lane().subarray(200_000 * 16, 200_010 * 16), saw(0, 160));
  const light = new Ear('buffered', hz(16000), false);
  light.audio(1, saw(0, 160), 0);
  light.advanceTo(100);
  t.equal(light.lane().length, 0);
  t.equal(light.replies.get(1)!.onsetMs, 0);
  t.end();
});
