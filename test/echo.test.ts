/** The agent's own voice in the caller's microphone: found at any delay and level, told from a caller, and what gate, listener and turn machine make of it. */
import fc from 'fast-check';
import { test } from 'tap';
import { normalOf, randomOf } from '../load/providers/seeded.js';
import { resample } from '../src/audio/resample.js';
import type { SpeechEvent } from '../src/shared/links.js';
import { copyReference, ReferenceWriter, referenceMs, referenceSamples } from '../src/shared/reference.js';
import { InputReader, InputWriter } from '../src/shared/ring.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import { hopSamples, hz, inputRateHz } from '../src/shared/units.js';
import { step as turnStep } from '../src/turn/machine.js';
import { turnDefaults } from '../src/turn/settings.js';
import { initialState, type TurnEvent } from '../src/turn/state.js';
import { EchoEar } from '../src/vad/echo.js';
import { findIn } from '../src/vad/echo-search.js';
import { endAsEcho, type GateHop, gateDefaults, newGate, step } from '../src/vad/gate.js';
import { rmsLevelDb, silenceDb } from '../src/vad/level.js';
import { Listener } from '../src/vad/listener.js';
import { laneSamples } from '../src/vad/narrow-lane.js';

const rates = [8000, 16000, 22050, 24000, 44100, 48000] as const;

/** Something like speech: noise with resonances that move and a loudness that comes and goes, 16 kHz, about -20 dB. */
function voice(seconds: number, seed: number): Int16Array {
  const random = randomOf(seed, 'voice');
  const out = new Int16Array(Math.round(seconds * inputRateHz));
  const middleHz = 90 + 120 * random();
  const swayHz = 2 + 3 * random();
  let [first, second, turns] = [0, 0, 0];
  for (let index = 0; index < out.length; index += 1) {
    const time = index / inputRateHz;
    const frequency = 500 + 300 * Math.sin(2 * Math.PI * 1.3 * time + seed);
    turns += (middleHz * (1 + 0.15 * Math.sin(2 * Math.PI * swayHz * time + seed))) / inputRateHz;
    const pulse = turns % 1 < 0.1 ? 1 : 0;
    const input = pulse * 2 + (random() - 0.5) * 0.5;
    const next = input + 2 * 0.96 * Math.cos((2 * Math.PI * frequency) / inputRateHz) * first - 0.92 * second;
    second = first;
    first = next;
    const loudness = 0.35 + 0.3 * Math.sin(2 * Math.PI * 4 * time + seed) ** 2;
    out[index] = Math.max(-32768, Math.min(32767, Math.round(next * loudness * 160)));
  }
  return out;
}

/** One session in which the agent says `agent`; the microphone is given by the hop. */
class Line {
  readonly slot: Slot;
  readonly #writer: InputWriter;
  readonly #reference: ReferenceWriter;
  readonly #sent: Int16Array;
  readonly #rateHz: number;
  #position = 0;
  at = 0;

  constructor(agent: Int16Array, rateHz: (typeof rates)[number] = 16000) {
    this.slot = new Slot(createBlock(1), 0);
    claim(this.slot);
    this.#writer = new InputWriter(this.slot);
    this.#reference = new ReferenceWriter(this.slot, hz(rateHz));
    this.#sent = resample(agent, inputRateHz, hz(rateHz));
    this.#rateHz = rateHz;
  }

  /** The agent is 100 ms ahead. */
  hear(microphone: Int16Array): void {
    const end = Math.min(this.#sent.length, Math.round(((this.at + hopSamples) / inputRateHz + 0.1) * this.#rateHz));
    this.#reference.write(this.#position, this.#sent.subarray(this.#position, end));
    this.#position = end;
    this.slot.store(Cell.sentPosition, end);
    this.#writer.write(microphone.subarray(this.at, this.at + hopSamples));
    this.at += hopSamples;
  }
}

/** `agent` after `delayMs`: the direct sound and 4 ms of random reflections that decay by 60 dB, `gain` in all, with a whisper of noise. */
function echoOf(agent: Int16Array, delayMs: number, gain: number, seed = 1): Int16Array {
  const random = randomOf(seed, 'echo');
  const delay = Math.round((delayMs * inputRateHz) / 1000);
  const room = Float64Array.from({ length: 64 }, (_, late) =>
    late === 0 ? 2 : normalOf(random) * 10 ** ((-60 * late) / 64 / 20),
  );
  const scale = gain / Math.hypot(...room);
  return agent.map((_, index) => {
    let total = 0;
    for (let late = 0; late < room.length && late + delay <= index; late += 1)
      total += room[late]! * agent[index - delay - late]!;
    return Math.round(scale * total + 8 * (random() - 0.5));
  });
}

const sum = (a: Int16Array, b: Int16Array): Int16Array => a.map((value, index) => value + (b[index] ?? 0));

test('the reference ring gives back what was written in the last second, at any rate and position', (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(...rates),
      fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 60 }),
      fc.nat(),
      (rateHz, sizes, seed) => {
        const slot = new Slot(createBlock(1), 0);
        claim(slot);
        const writer = new ReferenceWriter(slot, hz(rateHz));
        const value = (position: number): number => ((position * 7919 + seed) % 60001) - 30000;
        let position = 0;
        for (const size of sizes) {
          writer.write(
            position,
            Int16Array.from({ length: size }, (_, index) => value(position + index)),
          );
          position += size;
        }
        const into = new Int16Array(Math.floor((referenceMs * rateHz) / 1000));
        const from = position - into.length;
        copyReference(slot, referenceSamples(rateHz), from, into, into.length);
        return into.every((sample, index) => sample === (from + index < 0 ? 0 : value(from + index)));
      },
    ),
    { numRuns: 25 },
  );
  for (const rateHz of rates)
    t.ok(referenceSamples(rateHz) * 1000 >= (referenceMs + 320) * rateHz, `${rateHz} Hz: room for the frames that are ahead`);
  t.end();
});

test('a stretch is found in a second of reference, at any place and level and upside down', (t) => {
  const random = randomOf(7, 'reference');
  const reference = Float64Array.from({ length: laneSamples }, () => 2000 * (random() - 0.5));
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: laneSamples - 1024 }),
      fc.double({ min: 0.05, max: 1, noNaN: true }),
      fc.boolean(),
      (at, gain, isInverted) => {
        const factor = isInverted ? -gain : gain;
        const found = findIn(
          reference,
          reference.slice(at, at + 1024).map((value) => value * factor),
        );
        return found.at === at && found.likeness > 0.999;
      },
    ),
    { numRuns: 25 },
  );
  const other = Float64Array.from({ length: 1024 }, () => 2000 * (random() - 0.5));
  t.ok(findIn(reference, other).likeness < 0.2, 'what is not in it is not like it');
  t.equal(findIn(reference, new Float64Array(1024)).likeness, 0, 'nor is silence');
  t.end();
});

type Way = {
  readonly rateHz: (typeof rates)[number];
  readonly delayMs: number;
  readonly echoDb: number;
  readonly overDb: number;
};

/** `overDb`: of the caller over the echo. The same number gives the same way. */
function wayOf(number: number): Way {
  const random = randomOf(number, 'way');
  const rateHz = rates[number % rates.length]!;
  return { rateHz, delayMs: 20 + Math.floor(380 * random()), echoDb: -6 - 24 * random(), overDb: 3 + 17 * random() };
}

/** What goes wrong with the echo that comes this way, if anything: it is found at once, followed for 8 hops, then a caller speaks over it. */
function faultOf(agent: Int16Array, number: number): string | undefined {
  const { rateHz, delayMs, echoDb, overDb } = wayOf(number);
  const line = new Line(agent, rateHz);
  const echo = echoOf(agent, delayMs, 10 ** (echoDb / 20), number);
  const ear = new EchoEar(line.slot, gateDefaults.echoLikenessMin);
  while (line.at < 1.2 * inputRateHz) line.hear(echo);
  if (ear.leftDb(line.at, false) !== undefined) return 'known before it was looked for';
  if (ear.leftDb(line.at, true) !== silenceDb) return 'not found';
  for (let hop = 0; hop < 8; hop += 1) {
    line.hear(echo);
    if (ear.leftDb(line.at, false) !== silenceDb) return 'lost';
  }
  const { at } = line;
  const caller = voice(1.7, number + 5);
  const callerDb = rmsLevelDb(echo, at, at + hopSamples) + overDb;
  const gain = 10 ** ((callerDb - rmsLevelDb(caller, at, at + hopSamples)) / 20);
  const scaled = caller.map((sample) => Math.round(sample * gain));
  line.hear(sum(echo, scaled));
  const left = ear.leftDb(line.at, true);
  return left !== undefined && Math.abs(left - callerDb) < 6 ? undefined : `a caller at ${callerDb} dB is ${left}`;
}

test('an echo is told at any delay, level and rate, and a caller over it is heard', (t) => {
  const agent = voice(1.7, 3);
  // One room in a hundred is not found in the first hop that is asked about (docs/decisions/echo.md); all of these are.
  for (let number = 0; number < 30; number += 1) t.equal(faultOf(agent, number), undefined, JSON.stringify(wayOf(number)));
  t.end();
});

test("a caller's word under a loud echo is not lost in it", (t) => {
  const agent = voice(1.7, 3);
  const echo = echoOf(agent, 180, 0.3);
  const line = new Line(agent);
  const ear = new EchoEar(line.slot, gateDefaults.echoLikenessMin);
  while (line.at < 0.9 * inputRateHz) line.hear(echo);
  t.equal(ear.leftDb(line.at, true), silenceDb);
  for (let hop = 0; hop < 4; hop += 1) line.hear(echo);
  t.ok(ear.explains(line.at - 4 * hopSamples, line.at), 'an echo alone');

  const from = line.at;
  const caller = voice(1.7, 8);
  const mixed = echo.slice();
  for (let at = from; at < from + 4 * hopSamples; at += hopSamples) {
    const gain = 10 ** ((rmsLevelDb(echo, at, at + hopSamples) - 3 - rmsLevelDb(caller, at, at + hopSamples)) / 20);
    for (let index = at; index < at + hopSamples; index += 1) mixed[index] = echo[index]! + gain * caller[index]!;
  }
  for (let hop = 0; hop < 8; hop += 1) line.hear(mixed);
  t.ok(ear.explains(from + 4 * hopSamples, line.at), 'the second half is only echo');
  t.notOk(ear.explains(from, line.at), 'four hops of a caller before four of echo');
  t.end();
});

test('noise is no echo, whatever the agent says', (t) => {
  const agents = [51, 52, 53].map((seed) => voice(1.7, seed));
  fc.assert(
    fc.property(
      fc.constantFrom(...agents),
      fc.constantFrom(...rates),
      fc.double({ min: 10, max: 8000, noNaN: true }),
      fc.double({ min: 0, max: 0.95, noNaN: true }),
      fc.nat(),
      (agent, rateHz, level, colour, seed) => {
        const random = randomOf(seed, 'noise');
        let last = 0;
        const noise = Int16Array.from(agent, () => {
          last = colour * last + (1 - colour) * (random() - 0.5);
          return level * last;
        });
        const line = new Line(agent, rateHz);
        const ear = new EchoEar(line.slot, gateDefaults.echoLikenessMin);
        while (line.at + hopSamples <= noise.length) {
          line.hear(noise);
          if (line.at % (4 * hopSamples) === 0 && ear.leftDb(line.at, true) !== undefined) return false;
        }
        return !ear.explains(line.at - 4 * hopSamples, line.at) && !ear.isKnown && ear.hops === 0;
      },
    ),
    { numRuns: 12 },
  );
  t.end();
});

test('more sessions than there are lanes to lend: each hears what it would hear alone', (t) => {
  const agent = voice(1.7, 3);
  const quietHops = 20;
  const sessions = Array.from({ length: 10 }, (_, number) => {
    const { rateHz, delayMs, echoDb } = wayOf(number);
    const random = randomOf(number, 'quiet');
    const echo = echoOf(agent, delayMs, 10 ** (echoDb / 20), number);
    return { rateHz, microphone: echo.map((sample, at) => (at < quietHops * hopSamples ? 40 * (random() - 0.5) : sample)) };
  });
  const begin = (number: number) => {
    const { rateHz, microphone } = sessions[number]!;
    const line = new Line(agent, rateHz);
    const ear = new EchoEar(line.slot, gateDefaults.echoLikenessMin);
    const left: (number | undefined)[] = [];
    const next = (): void => {
      line.hear(microphone);
      left.push(ear.leftDb(line.at, true));
    };
    return { next, left };
  };
  const hops = 48;
  const together = sessions.map((_, number) => begin(number));
  for (let hop = 0; hop < hops; hop += 1) for (const { next } of together) next();
  for (const [number, { left }] of together.entries()) {
    const alone = begin(number);
    for (let hop = 0; hop < hops; hop += 1) alone.next();
    t.same(left, alone.left, JSON.stringify(wayOf(number)));
    t.ok(
      left.slice(0, quietHops).every((db) => db === undefined),
      'nothing is known at first',
    );
    t.equal(left.at(-1), silenceDb, 'and the echo is found');
  }
  t.end();
});

test('a caller is no echo', (t) => {
  const agent = voice(1.7, 11);
  let [asked, taken] = [0, 0];
  for (const seed of [21, 22, 23, 24]) {
    const line = new Line(agent);
    const caller = voice(1.7, seed);
    for (let hop = 0; hop < 50; hop += 1) {
      line.hear(caller);
      if (hop % 3 !== 0) continue;
      asked += 1;
      if (new EchoEar(line.slot, gateDefaults.echoLikenessMin).leftDb(line.at, true) !== undefined) taken += 1;
    }
    const ear = new EchoEar(line.slot, gateDefaults.echoLikenessMin);
    t.notOk(ear.explains(0, line.at), 'all of it by chance');
    t.notOk(ear.isKnown);
    t.equal(ear.hops, 0);
  }
  // These voices are strictly periodic, and alike for a hop by chance; those of people are not: bench/echo.ts.
  t.ok(taken <= asked / 20, `${taken} of ${asked} hops`);
  t.end();
});

test('before the agent has a voice there is no echo', (t) => {
  const slot = new Slot(createBlock(1), 0);
  claim(slot);
  new InputWriter(slot).write(voice(1, 2));
  const ear = new EchoEar(slot, gateDefaults.echoLikenessMin);
  t.equal(ear.leftDb(inputRateHz, true), undefined);
  t.notOk(ear.explains(0, inputRateHz));
  t.end();
});

const hopOf = (index: number, more: Partial<GateHop> = {}): GateHop => ({
  probability: 0.95,
  levelDb: -30,
  endSample: (index + 1) * hopSamples,
  agentAudible: true,
  startHopsWhileAgentSpeaks: 2,
  ...more,
});

test('the gate judges what is left of a hop', (t) => {
  const gate = newGate();
  for (let hop = 0; hop < 20; hop += 1) t.equal(step(gate, hopOf(hop, { leftDb: silenceDb })), undefined);
  t.equal(step(gate, hopOf(20, { leftDb: -31 }))?.type, 'speech_start', 'a caller over the echo');
  const ends = Array.from({ length: 12 }, (_, hop) => step(gate, hopOf(21 + hop, { leftDb: silenceDb }))?.type);
  t.same(
    ends,
    [undefined, 'speech_dip', ...new Array<undefined>(9).fill(undefined), 'speech_end'],
    'and the pause when only the echo goes on; the caller may be speaking under it, so that takes twice as long',
  );
  t.equal(step(gate, hopOf(33))?.type, 'speech_start');
  const pause = [0.9, 0.9, 0.9, 0.1, 0.1, 0.1].map((probability, hop) =>
    step(gate, hopOf(34 + hop, { probability, levelDb: probability < 0.5 ? -60 : -30, leftDb: silenceDb })),
  );
  t.match(
    pause,
    [
      undefined,
      { type: 'speech_dip', isSure: false },
      undefined,
      undefined,
      { type: 'speech_dip', isSure: true },
      { type: 'speech_end', lastSpeechSample: 34 * hopSamples },
    ],
    'when the echo is over a dip is sure, and the pause as long as any',
  );

  t.equal(step(gate, hopOf(40))?.type, 'speech_start');
  t.match(endAsEcho(gate, hopOf(41)), { type: 'speech_end', startSample: 40 * hopSamples, isEcho: true });
  t.equal(step(gate, hopOf(42))?.type, 'speech_start', 'the next one is its own');
  t.end();
});

/** Every hop is speech to the model; returns the events, and the hop of the first HOLD. */
function listen(
  microphone: Int16Array,
  agent: Int16Array,
): { events: SpeechEvent[]; heldAt: number | undefined; echoes: number } {
  const line = new Line(agent);
  const events: SpeechEvent[] = [];
  let heldAt: number | undefined;
  line.slot.store(Cell.floor, 1);
  const listener = new Listener(
    line.slot,
    1,
    new InputReader(line.slot, Cell.vadRead),
    (event) => events.push(event),
    () => {
      heldAt ??= line.at / hopSamples;
    },
  );
  const hop = new Int16Array(hopSamples);
  while (line.at + hopSamples <= microphone.length) {
    line.hear(microphone);
    listener.read(hop);
    listener.judge(rmsLevelDb(hop) > -60 ? 0.95 : 0.01, 0);
  }
  return { events, heldAt, echoes: listener.echoCounts.hops };
}

test('an echo raises no HOLD, a caller raises it at the same hop with and without one', (t) => {
  const agent = voice(3, 31);
  const echo = echoOf(agent, 120, 0.1);
  const alone = listen(echo, agent);
  t.equal(alone.heldAt, undefined);
  t.same(alone.events, []);
  t.ok(alone.echoes > 60, `${alone.echoes} hops`);

  const caller = new Int16Array(agent.length);
  caller.set(voice(1, 41), 2 * inputRateHz);
  const clean = listen(caller, agent);
  t.equal(clean.heldAt, Math.floor((2 * inputRateHz) / hopSamples) + 1);
  t.equal(clean.echoes, 0);
  t.equal(listen(sum(echo, caller), agent).heldAt, clean.heldAt);
  t.end();
});

test('the turn machine takes an echo for a false alarm at once', (t) => {
  const phrases = { idle: ['Are you there?'], apology: 'Sorry?' };
  let state = initialState;
  const feed = (atMs: number, event: TurnEvent) => {
    const result = turnStep(state, event, atMs, turnDefaults, phrases);
    state = result.state;
    return result.actions;
  };
  feed(0, { type: 'started', firstMessage: 'Good morning, how can I help you today?' });
  feed(300, { type: 'audio_started', speech: state.speech });
  feed(1000, { type: 'speech_start', startMs: 940, hold: 1 });
  t.equal(state.agent.phase, 'held');
  t.match(feed(1130, { type: 'speech_end', t0Ms: 1130, speechMs: 190, levelOverCallerDb: 0, isEcho: true }), [
    { type: 'resume', hold: 1, reason: 'echo' },
    { type: 'drop_turn', reason: 'echo' },
  ]);
  t.equal(state.agent.phase, 'speaking');
  t.equal(state.open, undefined);

  // What the caller said before it stands.
  feed(2000, { type: 'speech_start', startMs: 1940, hold: 2 });
  feed(2300, { type: 'speech_end', t0Ms: 2280, speechMs: 320, levelOverCallerDb: 0 });
  feed(2400, { type: 'speech_start', startMs: 2380, hold: 0 });
  t.same(feed(2500, { type: 'speech_end', t0Ms: 2500, speechMs: 100, levelOverCallerDb: 0, isEcho: true }), []);
  t.match(state, { agent: { phase: 'held' }, open: { isSpeaking: false, t0Ms: 2280, closedSpeechMs: 320 } });
  t.end();
});
