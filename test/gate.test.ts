import fc from 'fast-check';
import { test } from 'tap';
import { type FloorState, floorDb, floorDefaults, newFloor, trackFloor } from '../src/vad/floor.js';
import { type GateEvent, type GateSettings, type GateState, gateDefaults, needsModel, newGate, step } from '../src/vad/gate.js';
import { rmsLevelDb, silenceDb } from '../src/vad/level.js';

const hopSamples = 512;
const hopMs = 32;
type Heard = { readonly probability: number; readonly levelDb: number };
type Agent = { readonly agentAudible?: boolean; readonly startHops?: 2 | 3 | 4 };

/** Feeds hops to a gate whose clock stands at `fromHop`; the events with the index of the hop that caused each. */
function feed(gate: GateState, hops: readonly Heard[], agent: Agent = {}, fromHop = 0): { hop: number; event: GateEvent }[] {
  return hops.flatMap(({ probability, levelDb }, index) => {
    const event = step(gate, {
      probability,
      levelDb,
      endSample: (fromHop + index + 1) * hopSamples,
      agentAudible: agent.agentAudible ?? false,
      startHopsWhileAgentSpeaks: agent.startHops ?? 2,
    });
    return event === undefined ? [] : [{ hop: fromHop + index, event }];
  });
}

const times = (count: number, probability: number, levelDb: number): Heard[] =>
  Array.from({ length: count }, () => ({ probability, levelDb }));
const roomDb = -60;
/** A gate that has heard a second of a quiet room. */
function settled(settings: GateSettings = gateDefaults): GateState {
  const gate = newGate(settings);
  feed(gate, times(31, 0.01, roomDb), {}, -31);
  return gate;
}
const typesOf = (events: readonly { event: GateEvent }[]): string[] => events.map(({ event }) => event.type);

test('what starts speech', (t) => {
  const rows: { says: string; hops: Heard[]; agent?: Agent; startsAtHop: number | undefined }[] = [
    { says: 'two likely hops', hops: times(4, 0.55, -30), startsAtHop: 1 },
    { says: 'one likely hop, then nothing', hops: [...times(1, 0.55, -30), ...times(3, 0.1, -30)], startsAtHop: undefined },
    { says: 'hops between off and on', hops: times(10, 0.49, -30), startsAtHop: undefined },
    {
      says: 'likely hops that are not in a row',
      hops: [0.6, 0.4, 0.6, 0.4].map((p) => ({ probability: p, levelDb: -30 })),
      startsAtHop: undefined,
    },
    { says: 'a sure hop counts twice', hops: times(2, 0.9, -30), startsAtHop: 0 },
    { says: 'a sure hop 9 dB over the floor does not', hops: times(2, 0.9, roomDb + 9), startsAtHop: 1 },
    { says: 'likely but no louder than the room', hops: times(10, 0.89, roomDb + 5), startsAtHop: undefined },
    {
      says: 'the agent speaks: 0.55 is not enough',
      hops: times(10, 0.55, -30),
      agent: { agentAudible: true },
      startsAtHop: undefined,
    },
    { says: 'the agent speaks: 0.65 is', hops: times(4, 0.65, -30), agent: { agentAudible: true }, startsAtHop: 1 },
    { says: '3 hops asked for', hops: times(6, 0.65, -30), agent: { agentAudible: true, startHops: 3 }, startsAtHop: 2 },
    { says: '4 hops asked for', hops: times(6, 0.65, -30), agent: { agentAudible: true, startHops: 4 }, startsAtHop: 3 },
    { says: '2 asked for, sure', hops: times(6, 0.95, -30), agent: { agentAudible: true }, startsAtHop: 0 },
    { says: '3 asked for, sure', hops: times(6, 0.95, -30), agent: { agentAudible: true, startHops: 3 }, startsAtHop: 1 },
    { says: '4 asked for, sure', hops: times(6, 0.95, -30), agent: { agentAudible: true, startHops: 4 }, startsAtHop: 1 },
    {
      says: 'hops asked for do not matter while it is silent',
      hops: times(6, 0.65, -30),
      agent: { startHops: 4 },
      startsAtHop: 1,
    },
  ];
  for (const { says, hops, agent, startsAtHop } of rows) {
    const start = feed(settled(), hops, agent).find(({ event }) => event.type === 'speech_start');
    t.equal(start?.hop, startsAtHop, says);
  }
  t.end();
});

test('a start says where the speech began and how strong it is', (t) => {
  const hops = [
    { probability: 0.6, levelDb: roomDb + 20 },
    { probability: 0.8, levelDb: roomDb + 30 },
  ];
  const [start] = feed(settled(), hops);
  t.match(start?.event, { type: 'speech_start', startSample: 0, atSample: 1024, speechMs: 64, continuousMs: 64 });
  if (start?.event.type !== 'speech_start') throw new Error('no start');
  t.ok(Math.abs(start.event.meanProbability - 0.7) < 1e-9);
  t.ok(Math.abs(start.event.levelOverFloorDb - 25) < 1e-4);
  t.end();
});

test('an agent that begins or stops to speak in the middle of a start changes what is asked for', (t) => {
  const gate = settled();
  t.same(feed(gate, times(3, 0.65, -30), { agentAudible: true, startHops: 4 }), []);
  const [start] = feed(gate, times(1, 0.55, -30), { agentAudible: false }, 3);
  t.match(start?.event, { type: 'speech_start', startSample: 0, atSample: 4 * hopSamples });
  t.end();
});

test('hysteresis, dip and soft pause', (t) => {
  const gate = settled();
  const speech = [...times(2, 0.6, -30), ...times(3, 0.36, -30)];
  t.same(typesOf(feed(gate, speech)), ['speech_start', 'speech_hop', 'speech_hop', 'speech_hop'], '0.36 keeps it going');
  t.same(typesOf(feed(gate, times(5, 0.34, -30), {}, 5)), ['speech_dip'], 'five low hops are only a dip');
  t.same(typesOf(feed(gate, times(1, 0.36, -30), {}, 10)), ['speech_hop'], 'it goes on');
  const pause = feed(gate, times(7, 0.34, -30), {}, 11);
  t.same(typesOf(pause), ['speech_dip', 'speech_end']);
  t.same(pause[0]?.event, {
    type: 'speech_dip',
    atSample: 13 * hopSamples,
    lastSpeechSample: 11 * hopSamples,
    speechMs: pause[1]?.event.type === 'speech_end' ? pause[1].event.speechMs : 0,
    isSure: true,
  });
  t.same(pause[1]?.event, {
    type: 'speech_end',
    atSample: 17 * hopSamples,
    startSample: 0,
    lastSpeechSample: 11 * hopSamples,
    speechMs: 6 * hopMs,
    levelOverCallerDb: 0,
  });
  t.end();
});

test('one failed hop does not break continuous speech, two do', (t) => {
  const spoken = times(4, 0.7, -30);
  for (const [gap, continuousMs] of [
    [1, 9 * hopMs],
    [2, 4 * hopMs],
  ] as const) {
    const events = feed(settled(), [...spoken, ...times(gap, 0.1, -30), ...spoken]);
    const last = events.at(-1)?.event;
    t.match(last, { type: 'speech_hop', continuousMs, speechMs: 8 * hopMs, startSample: 0 }, `a gap of ${gap}`);
  }
  t.end();
});

test('t0 is where the sound stopped, even if the model hears on', (t) => {
  const gate = settled();
  feed(gate, times(5, 0.9, -30));
  const faint = feed(gate, times(4, 0.9, roomDb), {}, 5);
  t.match(
    faint,
    [{ hop: 6, event: { type: 'speech_dip', lastSpeechSample: 5 * hopSamples, isSure: false } }],
    'as quiet as the room: once a dip, no end',
  );
  t.match(feed(gate, times(6, 0.1, roomDb), {}, 9).at(-1)?.event, { type: 'speech_end', lastSpeechSample: 5 * hopSamples });
  t.end();
});

test('a steady loud hum that the model takes for speech', (t) => {
  const known = newGate();
  feed(known, times(31, 0.1, -20), {}, -31);
  t.same(feed(known, times(300, 0.95, -20)), [], 'nothing once its level is known');

  const unknown = newGate();
  const events = feed(unknown, times(1000, 0.95, -20));
  t.equal(events.filter(({ event }) => event.type === 'speech_start').length, 1, 'one start when it is there from the first hop');
  const end = events.find(({ event }) => event.type === 'speech_end');
  t.equal(end?.hop, floorDefaults.anyHops + gateDefaults.faintHopsMax - 1, 'which is given up after 5 s');
  t.end();
});

test('silence of 5 s, and every 5 s, makes the model stale', (t) => {
  const events = feed(newGate(), times(400, 0.1, roomDb));
  t.same(
    events.map(({ hop }) => hop),
    [155, 311],
  );
  t.same(typesOf(events), ['model_stale', 'model_stale']);
  const murmur = Array.from({ length: 400 }, (_, index) => ({ probability: index % 100 === 99 ? 0.4 : 0.1, levelDb: roomDb }));
  t.same(feed(newGate(), murmur), [], 'but not when something was nearly heard');
  t.end();
});

test('settings that contradict each other are refused', (t) => {
  t.throws(() => newGate({ ...gateDefaults, offProbability: 0.6 }));
  t.throws(() => newGate({ ...gateDefaults, onProbabilityWhileAgentSpeaks: 0.4 }));
  t.throws(() => newGate({ ...gateDefaults, speechAboveFloorDb: 7 }));
  t.throws(() => newGate({ ...gateDefaults, dipHops: 6 }));
  t.end();
});

/** Levels and probabilities as they come and as they never do, in stretches so that something happens. */
const anyHops = fc
  .array(
    fc.record({
      probability: fc.oneof(fc.constantFrom(0, 0.34, 0.35, 0.5, 0.6, 0.9, 1), fc.double({ min: 0, max: 1, noNaN: true })),
      levelDb: fc.oneof(fc.constantFrom(silenceDb, -65, -60, -30, 0), fc.double({ min: -90, max: 0, noNaN: true })),
      count: fc.integer({ min: 1, max: 12 }),
    }),
    { minLength: 1, maxLength: 40 },
  )
  .map((stretches) => stretches.flatMap(({ probability, levelDb, count }) => times(count, probability, levelDb)));
const anyAgent = fc.record({ agentAudible: fc.boolean(), startHops: fc.constantFrom(2, 3, 4) });

test('whatever comes, starts and ends alternate and their times fit together', (t) => {
  fc.assert(
    fc.property(anyHops, anyAgent, (hops, agent) => {
      let open: { startSample: number; spokenMs: number; lastSample: number } | undefined;
      for (const { hop, event } of feed(newGate(), hops, agent)) {
        if (event.atSample !== (hop + 1) * hopSamples) return false;
        switch (event.type) {
          case 'speech_start':
            if (open !== undefined || event.startSample >= event.atSample || event.startSample < 0) return false;
            open = { startSample: event.startSample, spokenMs: event.speechMs, lastSample: event.atSample };
            break;
          case 'speech_hop':
            if (open?.startSample !== event.startSample || event.speechMs !== open.spokenMs + hopMs) return false;
            if (event.continuousMs > ((event.atSample - event.startSample) * 1000) / 16000) return false;
            if (event.meanProbability < gateDefaults.offProbability - 1e-9 || event.meanProbability > 1 + 1e-9) return false;
            if (event.levelOverFloorDb < gateDefaults.speechAboveFloorDb - 1e-9) return false;
            open = { ...open, spokenMs: event.speechMs, lastSample: event.atSample };
            break;
          case 'speech_dip':
            if (open?.lastSample !== event.lastSpeechSample) return false;
            break;
          case 'speech_end':
            if (open?.startSample !== event.startSample || event.speechMs !== open.spokenMs) return false;
            if (event.lastSpeechSample !== open.lastSample) return false;
            if (event.atSample - event.lastSpeechSample < gateDefaults.softPauseHops * hopSamples) return false;
            open = undefined;
            break;
          case 'model_stale':
            if (open !== undefined) return false;
            break;
        }
      }
      return true;
    }),
  );
  t.pass('held');
  t.end();
});

test('the same hops give the same events, also from a copy of the state half-way', (t) => {
  fc.assert(
    fc.property(anyHops, anyAgent, fc.double({ min: 0, max: 1, noNaN: true }), (hops, agent, share) => {
      const whole = feed(newGate(), hops, agent);
      const middle = Math.floor(hops.length * share);
      const gate = newGate();
      const first = feed(gate, hops.slice(0, middle), agent);
      const copy = structuredClone(gate);
      feed(gate, times(20, 0.9, -10), agent, middle);
      const rest = feed(copy, hops.slice(middle), agent, middle);
      return JSON.stringify(whole) === JSON.stringify([...first, ...rest]);
    }),
  );
  t.pass('held');
  t.end();
});

test('more hops asked for never start speech earlier', (t) => {
  const firstStart = (hops: Heard[], startHops: 2 | 3 | 4): number =>
    feed(newGate(), hops, { agentAudible: true, startHops }).find(({ event }) => event.type === 'speech_start')?.hop ??
    Number.POSITIVE_INFINITY;
  fc.assert(
    fc.property(anyHops, (hops) => {
      const [two, three, four] = [firstStart(hops, 2), firstStart(hops, 3), firstStart(hops, 4)];
      return two <= three && three <= four;
    }),
  );
  t.pass('held');
  t.end();
});

test('no start in what is less than the guard over a room that is known', (t) => {
  const nearRoom = fc.array(
    fc.record({
      probability: fc.double({ min: 0, max: 1, noNaN: true }),
      levelDb: fc.double({ min: roomDb, max: roomDb + 5.9, noNaN: true }),
    }),
    { maxLength: 200 },
  );
  fc.assert(fc.property(nearRoom, anyAgent, (hops, agent) => !typesOf(feed(settled(), hops, agent)).includes('speech_start')));
  t.pass('held');
  t.end();
});

const track = (floor: FloorState, hops: readonly Heard[]): number => {
  for (const { probability, levelDb } of hops) trackFloor(floor, levelDb, probability < gateDefaults.offProbability);
  return floorDb(floor);
};
const near = (value: number, expected: number): boolean => Math.abs(value - expected) < 0.01;

test('the noise floor', (t) => {
  const floor = newFloor(floorDefaults);
  t.equal(floorDb(floor), floorDefaults.floorMinDb, 'nothing known: the lowest');
  t.ok(near(track(floor, times(1, 0.1, -50)), -50), 'the first hop of noise is believed');
  t.ok(near(track(floor, times(30, 0.1, -25)), -50), 'a noise that lasts less than a second is not the room');
  t.ok(near(track(floor, times(1, 0.1, -25)), -25), 'one that lasts a second is');
  t.ok(near(track(floor, times(1, 0.1, -55)), -55), 'a fall is followed at once');
  t.equal(track(floor, times(31, 0.1, -80)), floorDefaults.floorMinDb, 'but never below the lowest');
  t.end();
});

test('the floor does not creep up during speech, and ignores digital silence', (t) => {
  const floor = newFloor(floorDefaults);
  track(floor, times(31, 0.1, -55));
  const sentence = [...times(20, 0.95, -25), ...times(2, 0.9, -54)];
  for (let count = 0; count < 20; count += 1) t.ok(track(floor, sentence) <= -54, `sentence ${count}`);
  const before = floorDb(floor);
  t.equal(track(floor, times(200, 0, silenceDb)), before, 'a mute leaves it where it was');
  t.end();
});

test('speech after digital silence starts as ever', (t) => {
  const gate = newGate();
  t.same(typesOf(feed(gate, times(100, 0, silenceDb))), []);
  t.same(typesOf(feed(gate, times(2, 0.6, -40), {}, 100)), ['speech_start']);
  t.same(typesOf(feed(newGate(), times(2, 0.6, -40))), ['speech_start'], 'and so does speech in the first hops of a call');
  t.end();
});

test('level of samples', (t) => {
  t.equal(rmsLevelDb(new Int16Array(512)), silenceDb);
  t.equal(rmsLevelDb(new Int16Array(0)), silenceDb);
  t.equal(rmsLevelDb(new Int16Array(512).fill(-32768)), 0, 'full scale');
  t.ok(near(rmsLevelDb(new Int16Array(512).fill(3277)), -20));
  const sine = Int16Array.from({ length: 512 }, (_, index) => Math.round(32767 * Math.sin((2 * Math.PI * index) / 64)));
  t.ok(near(rmsLevelDb(sine), -3.01));
  t.ok(near(rmsLevelDb(Int16Array.of(0, 0, 3277, 3277, 0), 2, 4), -20), 'of a range');
  const quietest = new Int16Array(512);
  quietest[100] = 1;
  t.ok(rmsLevelDb(quietest) > silenceDb, 'one bit is above silence');
  t.end();
});

test('the model rests in a quiet room, and hears whatever could begin speech', (t) => {
  const gate = newGate();
  const { restAfterHops, restBelowFloorDb, staleHops } = gateDefaults;
  let hop = 0;
  const next = (probability: number, levelDb: number): GateEvent | undefined =>
    feed(gate, [{ probability, levelDb }], {}, hop++)[0]?.event;
  for (let quiet = 0; quiet < restAfterHops; quiet += 1) {
    t.ok(needsModel(gate, roomDb), 'until there was quiet for a while');
    next(0.1, roomDb);
  }
  t.notOk(needsModel(gate, roomDb));
  t.notOk(needsModel(gate, roomDb + restBelowFloorDb - 0.1));
  t.ok(needsModel(gate, roomDb + restBelowFloorDb), 'louder than the room');
  next(0.6, roomDb + 20);
  t.ok(needsModel(gate, roomDb), 'something was heard: the rest is over');
  t.equal(next(0.6, roomDb + 20)?.type, 'speech_start');
  t.ok(needsModel(gate, silenceDb), 'speech is open: even silence is judged');
  const quiet = Array.from({ length: staleHops + 6 }, () => next(0, roomDb)?.type).filter((type) => type !== undefined);
  t.same(quiet, ['speech_dip', 'speech_end', 'model_stale'], 'forgetting goes on while it rests');
  t.end();
});

test('how loud a voice is: closures, the tail of a word and a breath before it count for nothing', (t) => {
  const gate = settled();
  feed(gate, [...times(12, 0.95, -26), ...times(8, 0.01, roomDb)]);
  const levels = [-48, -48, -26, -26, -44, -26, -46, -47];
  const hops = levels.map((levelDb) => ({ probability: 0.95, levelDb }));
  const last = feed(gate, hops, {}, 20).at(-1)!.event;
  t.equal(last.type === 'speech_hop' && last.levelOverCallerDb, 0);
  const end = feed(gate, times(8, 0.01, roomDb), {}, 28).at(-1)!.event;
  t.equal(end.type === 'speech_end' && end.levelOverCallerDb, 0, 'told at the end, too');
  const [quiet] = feed(gate, [...times(3, 0.95, -42), ...times(8, 0.01, roomDb)], {}, 36).filter(
    ({ event }) => event.type === 'speech_end',
  );
  t.equal(quiet?.event.type === 'speech_end' && quiet.event.levelOverCallerDb, -16);
  t.end();
});

test('who is much quieter than the caller does not begin speech', (t) => {
  const callerDb = -26;
  const said = (gate: GateState, levelDb: number, agentAudible: boolean, fromHop: number): string[] =>
    typesOf(feed(gate, [...times(12, 0.95, levelDb), ...times(8, 0.01, roomDb)], { agentAudible }, fromHop)).filter(
      (type) => type === 'speech_start',
    );
  const gate = settled();
  t.same(said(gate, callerDb - 15, true, 0), ['speech_start'], 'before the caller has spoken nothing is known');
  t.same(said(gate, callerDb, false, 20), ['speech_start']);
  t.same(said(gate, callerDb - 12, true, 40), [], 'echo, or somebody in the room, while the agent speaks');
  t.same(said(gate, callerDb - 8, true, 60), ['speech_start'], 'the caller, not quite as loud');
  t.same(said(gate, callerDb - 12, false, 80), ['speech_start'], 'while the agent is silent more is let through');
  t.same(said(gate, callerDb - 25, false, 100), []);
  for (let turn = 0; turn < 10; turn += 1) said(gate, callerDb - 15, false, 120 + 20 * turn);
  t.same(said(gate, callerDb - 15, true, 400), ['speech_start'], 'a caller who goes on more quietly is believed after a while');
  t.end();
});
