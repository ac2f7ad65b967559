/** One timer for the frames of all calls. Real time: what is asserted of it is bounded from below, and from above only by far. */
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'tap';
import { Departures } from '../src/server/departures.js';
import { nowMs, timerEarlyMs } from '../src/shared/clock.js';

const slackMs = 500;

test('each departs once, at its instant, whatever the order in which they were added', async (t) => {
  const departed = new Map<string, number>();
  const departures = new Departures<string>(nowMs, (name) => {
    t.notOk(departed.has(name), `${name}: once`);
    departed.set(name, nowMs());
  });
  const startMs = nowMs();
  const wantedMs = { d: 60, a: 10, c: 30.4, b: 12.5, now: -5 };
  for (const [name, afterMs] of Object.entries(wantedMs)) departures.add(name, startMs + afterMs);
  t.equal(departed.size, 0, 'not from within');
  await delay(90);
  for (const [name, afterMs] of Object.entries(wantedMs)) {
    const lateMs = (departed.get(name) ?? Number.NaN) - startMs - afterMs;
    t.ok(lateMs >= -timerEarlyMs && lateMs < slackMs, `${name}: ${lateMs.toFixed(2)} ms late`);
  }
});

test('what is added again departs at its last instant, what is deleted never, and one may be added while others depart', async (t) => {
  const departed: [string, number][] = [];
  const startMs = nowMs();
  const departures: Departures<string> = new Departures(nowMs, (name) => {
    departed.push([name, nowMs() - startMs]);
    if (name === 'again and again' && departed.length < 3) departures.add(name, nowMs() + 15);
  });
  departures.add('gone', startMs + 5);
  departures.add('again and again', startMs + 5);
  departures.add('moved', startMs + 5);
  departures.add('moved', startMs + 80);
  departures.delete('gone');
  await delay(130);
  t.same(
    departed.map(([name]) => name),
    ['again and again', 'again and again', 'again and again', 'moved'],
  );
  t.ok(departed[2]![1] >= 5 + 2 * 15 - 3 * timerEarlyMs);
  t.ok(departed[3]![1] >= 80 - timerEarlyMs);
});
