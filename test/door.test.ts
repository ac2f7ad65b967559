/** What keeps a node from promising too much: pressure, heartbeats, the sum of descriptors, lists of providers. */
import { test } from 'tap';
import { readConfig } from '../src/config.js';
import { checkDescriptors, descriptorLimit, descriptorsNeeded } from '../src/descriptors.js';
import { Heartbeat } from '../src/heartbeat.js';
import { Pressure, pressureDefaults } from '../src/server/pressure.js';
import { boundedWriter } from '../src/telemetry/log.js';

const calm = { calls: 10, waitingShare: 0, memoryRatio: 0 };

function second(pressure: Pressure, delaysMs: readonly number[], facts: Partial<typeof calm> = {}): string | undefined {
  for (const delayMs of delaysMs) pressure.loopDelay(delayMs);
  pressure.second({ ...calm, ...facts });
  return pressure.reason;
}

const ticks = (delayMs: number): number[] => Array.from({ length: 50 }, () => delayMs);

test('the door closes when the loop is late for five seconds, and opens after two good ones', (t) => {
  const pressure = new Pressure({ ...pressureDefaults, loopDelayMaxMs: 30 });
  for (let count = 0; count < 4; count++) t.equal(second(pressure, ticks(40)), undefined);
  t.equal(second(pressure, ticks(40)), 'loop');
  t.equal(second(pressure, ticks(5)), 'loop');
  t.equal(second(pressure, ticks(5)), undefined);
  for (let count = 0; count < 10; count++) t.equal(second(pressure, [...ticks(5), 200]), undefined, 'one pause a second');
  for (let count = 0; count < 10; count++) t.equal(second(pressure, ticks(90), { calls: 0 }), undefined, 'nobody to protect');
  t.end();
});

test('the door closes at once for a stall, and for memory; and when many calls wait for the detector', (t) => {
  const pressure = new Pressure({ ...pressureDefaults, loopDelayMaxMs: 30 });
  pressure.loopDelay(3000);
  t.equal(pressure.reason, undefined, 'the start of a node without calls');
  second(pressure, []);
  second(pressure, []);
  pressure.loopDelay(501);
  t.equal(pressure.reason, 'stall', 'before the second is over');
  t.equal(second(pressure, ticks(1)), 'stall', 'that second was bad');
  t.equal(second(pressure, ticks(1)), 'stall');
  t.equal(second(pressure, ticks(1)), undefined);
  t.equal(second(pressure, [], { memoryRatio: 0.9 }), 'memory');
  t.equal(second(pressure, []), 'memory');
  t.equal(second(pressure, []), undefined);
  for (let count = 0; count < 4; count++) t.equal(second(pressure, [], { waitingShare: 0.5 }), undefined);
  t.equal(second(pressure, [], { waitingShare: 0.5 }), 'detector');
  const never = new Pressure({ ...pressureDefaults, loopDelayMaxMs: 0 });
  for (let count = 0; count < 20; count++) t.equal(second(never, [900, ...ticks(900)], { waitingShare: 1 }), undefined);
  t.end();
});

test('a thread that does not count hangs; time in which main did not look does not count', (t) => {
  const heart = new Heartbeat<'a' | 'b'>({ everyMs: 500, hangsAfterMs: 2000 });
  const look = (a: number, b: number, atMs: number) =>
    heart.look(
      [
        { name: 'a', count: a },
        { name: 'b', count: b },
      ],
      atMs,
    );
  t.equal(look(1, 1, 0), undefined);
  t.equal(look(2, 1, 500), undefined);
  t.equal(look(3, 1, 60_000), undefined, 'the whole process slept');
  t.equal(look(4, 1, 60_500), undefined);
  t.equal(look(5, 1, 61_000), 'b');
  heart.forget();
  t.equal(look(5, 1, 61_500), undefined, 'another thread');
  for (let count = 0; count < 10; count++) t.equal(look(-count, count, 62_000 + 500 * count), undefined, 'any change is life');
  t.end();
});

test('a thread that waits for a core does not hang, one that spins or is blocked does', (t) => {
  /** Looks every half second until it hangs, at most a hundred times; its heart stands still and it waits for a core that share of the time. */
  const hangsAfterMs = (waitShare: number | undefined): number | undefined => {
    const heart = new Heartbeat<'stt'>({ everyMs: 500, hangsAfterMs: 4000 });
    for (let atMs = 0; atMs <= 50_000; atMs += 500) {
      const waitedMs = () => (waitShare === undefined ? undefined : 1234 + waitShare * atMs);
      if (heart.look([{ name: 'stt', count: 7, waitedMs }], atMs) !== undefined) return atMs;
    }
    return undefined;
  };
  t.equal(hangsAfterMs(undefined), 4000, 'nobody keeps account');
  t.equal(hangsAfterMs(0), 4000);
  t.equal(hangsAfterMs(0.5), 7500, 'on a busy machine it takes longer; the first look knows of no wait');
  t.equal(hangsAfterMs(1), undefined, 'it has had no core at all');
  t.end();
});

test('the sum of descriptors', (t) => {
  const config = readConfig({ GROQ_API_KEY: 'k', PARLEY_SESSIONS_MAX: '100', PARLEY_STT: 'embedded', PARLEY_TTS: 'embedded' });
  const need = descriptorsNeeded(config);
  t.match(need, { needed: 456, sum: '100 calls × 2 sockets + 256 = 456' });
  t.throws(() => checkDescriptors(need, 455), /100 calls × 2 sockets \+ 256 = 456, and the limit is 455/);
  checkDescriptors(need, 456);
  const limits =
    'Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n';
  t.equal(descriptorLimit(limits), 1024);
  t.equal(descriptorLimit(''), Number.POSITIVE_INFINITY);
  t.equal(descriptorLimit('Max open files   unlimited unlimited files'), Number.POSITIVE_INFINITY);
  t.end();
});

test('lists of providers', (t) => {
  const keys = { GROQ_API_KEY: 'g', OPENAI_API_KEY: 'o', ELEVENLABS_API_KEY: 'e' };
  const config = readConfig({
    ...keys,
    PARLEY_LLM: 'groq, openai',
    PARLEY_LLM_MODEL: 'one,two',
    PARLEY_TTS: 'elevenlabs,openai,embedded',
    PARLEY_TTS_VOICE: ',,slt',
  });
  t.match(config.llm, {
    provider: 'groq',
    model: 'one',
    apiKey: 'g',
    fallbacks: [{ provider: 'openai', model: 'two', apiKey: 'o' }],
  });
  t.match(config.tts, { provider: 'elevenlabs', voice: '', fallbacks: [{ voice: '' }, { provider: 'embedded', voice: 'slt' }] });
  t.same(config.stt.fallbacks, [], 'one by default');
  t.equal(config.isHedged, true);
  for (const [environment, message] of [
    [{ PARLEY_LLM: 'groq,groq' }, /PARLEY_LLM="groq,groq"/],
    [{ PARLEY_LLM: 'groq,' }, /PARLEY_LLM="groq,"/],
    [{ PARLEY_STT: 'groq,whisper' }, /PARLEY_STT="groq,whisper"/],
  ] as const) {
    t.throws(() => readConfig({ ...keys, ...environment }), message);
  }
  t.throws(() => readConfig({ PARLEY_LLM: 'embedded,groq' }), /PARLEY_LLM="groq" needs GROQ_API_KEY/);
  t.end();
});

test('a log that nobody reads is bounded, and says what it lost', (t) => {
  const target = { writableLength: 0, lines: [] as string[], write: (line: string) => target.lines.push(line) };
  const write = boundedWriter(target, 100);
  write('one\n');
  target.writableLength = 98;
  for (let count = 0; count < 3; count++) write('lost\n');
  target.writableLength = 0;
  write('two\n');
  write('three\n');
  t.match(target.lines, ['one\n', /"event":"log.lost","lines":3/, 'two\n', 'three\n']);
  t.equal(target.lines.length, 4);
  t.end();
});
