/** Recordings: what the client heard and what the caller said, on one timeline, whatever happens to the call, the process or the disk. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import { parseByteRange } from '../src/api/byte-range.js';
import { type RecordingFacts, Recordings, recordingLimits } from '../src/api/recording.js';
import { RecordingFile, recordingFileLimits } from '../src/api/recording-file.js';
import { resample } from '../src/audio/resample.js';
import { writeWav } from '../src/audio/wav.js';
import { InputWriter } from '../src/shared/ring.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import { hz } from '../src/shared/units.js';
import type { AudioFormat } from '../src/wire/events.js';
import { type CutOrder, RecordedCall, type RecordedCallOptions, sidesOf, wordMs } from './support/recorded-call.js';
import { processConversation } from './support/recording-process.js';

const samplesPerFrame = 640;
const ten = 'one two three four five six seven eight nine ten.';

function folderFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'parley-recording-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Recordings over the slots of one block, on a clock that the test moves. */
class Desk {
  readonly folder: string;
  readonly slots: Slot[];
  readonly logged: string[] = [];
  readonly recordings: Recordings;
  atMs = 50_000;

  constructor(t: Test, slotCount = 1, folder = folderFor(t)) {
    const block = createBlock(slotCount);
    this.folder = folder;
    this.slots = Array.from({ length: slotCount }, (_, index) => new Slot(block, index));
    this.recordings = new Recordings(
      folder,
      this.slots,
      (event) => this.logged.push(event),
      () => this.atMs,
    );
  }

  /** A call in slot `index` that is recorded from its beginning. */
  call(conversationId: string, index = 0, options: RecordedCallOptions = {}): RecordedCall {
    const call = new RecordedCall(this.slots[index]!, options, this.atMs);
    const { generation } = call;
    this.recordings.begin(conversationId, { slot: index, generation });
    call.onPiece = (piece) => this.recordings.spoken({ type: 'spoken', slot: index, generation, ...piece });
    return call;
  }

  /** Lets a call go on, with the ticks that the API thread makes meanwhile. */
  async run(call: RecordedCall, durationMs: number): Promise<void> {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= recordingLimits.tickMs) {
      call.run(Math.min(leftMs, recordingLimits.tickMs));
      await this.recordings.tick();
    }
  }

  async end(call: RecordedCall, conversationId: string): Promise<RecordingFacts> {
    call.close();
    return (await this.recordings.end(conversationId))!;
  }

  sides(conversationId: string): { caller: Int16Array; agent: Int16Array } {
    return sidesOf(readFileSync(join(this.folder, `${conversationId}.wav`)));
  }
}

/** Index of the first sample that differs, -1 when there is none. */
function firstDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  const length = Math.max(found.length, expected.length);
  for (let index = 0; index < length; index++) if (found[index] !== expected[index]) return index;
  return -1;
}

/** The audible samples; the scripted voice has no silence of its own. */
const audible = (samples: Int16Array): number[] => [...samples].filter((sample) => sample !== 0);

test('the caller is exact to the sample, the agent is what the client heard, where it heard it', async (t) => {
  const desk = new Desk(t);
  const call = desk.call('conv_a', 0, { oneWayMs: 35, lateMs: (index) => (index % 7 === 3 ? 18 : index % 3) });
  call.run(700);
  call.say(ten);
  await desk.run(call, 4300);
  call.say('and more.');
  await desk.run(call, 2000);
  const facts = await desk.end(call, 'conv_a');
  const { caller, agent } = desk.sides('conv_a');
  t.equal(firstDifference(caller, call.callerSignal()), -1);
  t.equal(firstDifference(audible(agent), call.heardSamples), -1);
  for (const { fromMs, samples } of call.heard) {
    const expected = call.callerSampleAt(fromMs);
    const found = agent.indexOf(samples[0]!, expected - samplesPerFrame);
    t.ok(Math.abs(found - expected) <= 3 * 16, `${(found - expected) / 16} ms off`);
    t.equal(firstDifference(agent.subarray(found, found + samples.length), samples), -1);
  }
  t.match(facts, { hasCallerAudio: true, hasAgentAudio: true, missedSamples: 0, problem: undefined });
  t.equal(facts.durationMs, caller.length / 16);
  t.same(readdirSync(desk.folder), ['conv_a.wav']);
});

test('a resume is recorded as it was heard: the rewound part twice, a short hold without a gap', async (t) => {
  const desk = new Desk(t);
  const call = desk.call('conv_a');
  call.say(ten);
  await desk.run(call, 500);
  call.hold();
  call.run(20);
  call.resume();
  await desk.run(call, 800);
  call.hold();
  call.run(900);
  const before = call.heardSamples.length;
  call.resume();
  await desk.run(call, 4000);
  await desk.end(call, 'conv_a');
  const { agent } = desk.sides('conv_a');
  t.ok(call.heardSamples.length > 10 * wordMs * 16, 'something was said twice');
  t.same(
    audible(agent),
    call.heardSamples.filter((sample) => sample !== 0),
  );
  const gaps = [
    ...agent.slice(
      agent.findIndex((sample) => sample !== 0),
      agent.findLastIndex((sample) => sample !== 0),
    ),
  ]
    .join(' ')
    .split(/(?:\b0 ?){100,}/).length;
  t.equal(gaps, 2, 'one gap: the long hold');
  t.ok(before > 0);
});

test('what was cut is not there: not what was queued, not what the client had and threw away', async (t) => {
  for (const order of ['main first', 'tts first', 'main late', 'tts late'] as const) {
    const desk = new Desk(t);
    const call = desk.call('conv_a');
    call.say(ten);
    await desk.run(call, 1010);
    // No HOLD before it: the client has a lead of audio that it never plays.
    call.cut(order);
    const heard = call.heardSamples.length;
    t.ok(heard < 1010 * 16 && heard > 900 * 16, `${heard / 16} ms heard`);
    await desk.run(call, 300);
    call.say('again and again.');
    call.run(100);
    call.deliver();
    await desk.run(call, 2000);
    await desk.end(call, 'conv_a');
    const { agent } = desk.sides('conv_a');
    t.ok(call.heardSamples.length > heard);
    const found = audible(agent);
    // The playhead estimate is in whole milliseconds.
    t.ok(Math.abs(found.length - call.heardSamples.length) <= 16, `${found.length - call.heardSamples.length} samples more`);
    t.equal(firstDifference(found.slice(0, heard - 16), call.heardSamples.slice(0, heard - 16)), -1);
    t.equal(firstDifference(found.slice(-500), call.heardSamples.slice(-500)), -1);
  }
});

type Step =
  | { readonly does: 'run' | 'run while main is busy'; readonly forMs: number }
  | { readonly does: 'say' | 'hold' | 'resume' | 'undo' | 'deliver' }
  | { readonly does: 'cut'; readonly order: CutOrder; readonly isUndoable: boolean };

test('whatever happens, exactly what was heard is posted, in its order and at its time', (t) => {
  const forMs = fc.integer({ min: 1, max: 120 }).map((ticks) => 5 * ticks);
  const steps = fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.record({ does: fc.constant('run' as const), forMs }) },
      {
        weight: 1,
        arbitrary: fc.record({ does: fc.constant('run while main is busy' as const), forMs: forMs.map((each) => each / 5) }),
      },
      { weight: 4, arbitrary: fc.constantFrom('say', 'hold', 'resume', 'undo', 'deliver').map((does) => ({ does })) },
      {
        weight: 2,
        arbitrary: fc.record({
          does: fc.constant('cut' as const),
          order: fc.constantFrom<CutOrder>('main first', 'tts first', 'main late', 'tts late'),
          isUndoable: fc.boolean(),
        }),
      },
    ) as fc.Arbitrary<Step>,
    { minLength: 3, maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, fc.integer({ min: 0, max: 60 }), (script, oneWayMs) => {
      const call = new RecordedCall(new Slot(createBlock(1), 0), { oneWayMs });
      call.run(60);
      call.say(ten);
      for (const step of script) {
        if (step.does === 'run') call.run(step.forMs);
        else if (step.does === 'run while main is busy') call.run(step.forMs, true);
        else if (step.does === 'say') call.say('five words of an answer.');
        else if (step.does === 'cut') call.cut(step.order, step.isUndoable);
        else call[step.does]();
      }
      call.run(100);
      call.close();
      const posted = call.pieces.flatMap((piece) => audible(piece.pcm));
      const heard = call.heardSamples.filter((sample) => sample !== 0);
      if (call.pieces.at(-1)?.isLast !== true || call.pieces.filter((piece) => piece.isLast).length !== 1) return false;
      return isSameButFor(posted, heard, 32) && arePlaced(call);
    }),
    { numRuns: 150 },
  );
  t.end();
});

/** Equal, but for the ends of cut runs: up to `slack` samples more or fewer where it goes on with something else. */
function isSameButFor(found: readonly number[], expected: readonly number[], slack: number): boolean {
  let at = 0;
  for (let index = 0; index < expected.length; index++) {
    if (found[at] === expected[index]) {
      at += 1;
      continue;
    }
    const shift = Array.from({ length: 2 * slack + 1 }, (_, each) => each - slack).find((each) =>
      Array.from(
        { length: 40 },
        (_, ahead) => index + ahead >= expected.length || found[at + each + ahead] === expected[index + ahead],
      ).every(Boolean),
    );
    if (shift === undefined) return Math.abs(expected.length - index) <= slack;
    at += shift + 1;
  }
  return found.length - at <= slack;
}

/** The first sound of each piece stands within 3 ms of where it was heard. */
function arePlaced(call: RecordedCall): boolean {
  const places = call.heard.flatMap(({ fromMs, samples }) =>
    [...samples].flatMap((sample, each) => (sample === 0 ? [] : [call.callerSampleAt(fromMs) + each])),
  );
  let index = 0;
  return call.pieces.every(({ pcm, atSample }) => {
    const first = pcm.findIndex((sample) => sample !== 0);
    if (first < 0) return true;
    // Ends of cut runs may have been a little longer or shorter.
    const near = places.slice(Math.max(0, index - 200), index + 200);
    index += audible(pcm).length;
    return near.some((place) => Math.abs(place - atSample - first) <= 48);
  });
}

test('other rates are resampled as one stream: no seam where one piece follows another', async (t) => {
  const tone = (index: number): number => Math.round(12_000 * Math.sin((2 * Math.PI * 440 * index) / 24_000));
  for (const format of ['pcm_24000', 'pcm_48000', 'pcm_8000', 'pcm_44100'] as AudioFormat[]) {
    const desk = new Desk(t);
    const call = desk.call('conv_a', 0, { format, voice: tone });
    call.run(100);
    call.say(ten);
    await desk.run(call, 4000);
    await desk.end(call, 'conv_a');
    t.ok(call.pieces.filter((piece) => piece.pcm.length > 0).length >= 3, 'it came in pieces');
    const whole = resample(Int16Array.from(call.heardSamples), hz(call.rateHz), hz(16_000));
    const { agent } = desk.sides('conv_a');
    const expected = Math.round(call.callerSampleAt(call.heard[0]!.fromMs));
    const from = Array.from({ length: 97 }, (_, each) => expected - 48 + each).find((at) =>
      agent.subarray(at, at + whole.length).every((sample, index) => sample === whole[index]),
    );
    t.not(from, undefined, `${format}: sample for sample what one pass gives, within 3 ms of its place`);
  }
});

test('the caller’s side stays true when this thread is late: a gap is silence, and counted', async (t) => {
  const desk = new Desk(t);
  const call = desk.call('conv_a');
  await desk.run(call, 1000);
  call.run(6000);
  await desk.run(call, 1000);
  const facts = await desk.end(call, 'conv_a');
  const { caller } = desk.sides('conv_a');
  const expected = call.callerSignal();
  t.equal(facts.missedSamples, 5500 * 16, 'all but the newest second');
  expected.fill(0, 1000 * 16, 6500 * 16);
  t.equal(firstDifference(caller, expected), -1);
  t.equal(desk.recordings.counters.missedSamples, 5500 * 16);
});

test('calls at the same time, and one after the other in a slot, never mix', async (t) => {
  const desk = new Desk(t, 2);
  const voice = (base: number) => (index: number) => base + (index % 1000);
  const first = desk.call('conv_1', 0, { caller: voice(1000), voice: voice(20_000) });
  const second = desk.call('conv_2', 1, { caller: voice(-3000), voice: voice(-30_000) });
  first.say(ten);
  second.say(ten);
  for (let turn = 0; turn < 3; turn++) {
    first.run(500);
    second.run(500);
    await desk.recordings.tick();
  }
  // The first hangs up; the slot is another caller's before anybody here has heard of it.
  first.close();
  const late: RecordedCall['pieces'] = [...first.pieces];
  desk.atMs = first.atMs;
  const third = desk.call('conv_3', 0, { caller: voice(5000), voice: voice(25_000) });
  third.say(ten);
  third.run(500);
  second.run(500);
  await desk.recordings.tick();
  const facts = await desk.recordings.end('conv_1');
  // A piece of the call before, for a slot that has a new one.
  desk.recordings.spoken({ type: 'spoken', slot: 0, generation: first.generation, ...late[0]! });
  await desk.run(third, 1000);
  await desk.end(second, 'conv_2');
  await desk.end(third, 'conv_3');
  const ranges = { conv_1: [1000, 20_000], conv_2: [-3000, -30_000], conv_3: [5000, 25_000] } as const;
  for (const [conversationId, [callerBase, agentBase]] of Object.entries(ranges)) {
    const { caller, agent } = desk.sides(conversationId);
    t.ok(
      audible(caller).every((sample) => sample >= callerBase && sample < callerBase + 1000),
      `${conversationId}: its caller`,
    );
    t.ok(
      audible(agent).every((sample) => sample >= agentBase && sample < agentBase + 1000),
      `${conversationId}: its agent`,
    );
    t.ok(audible(agent).length > 8000);
  }
  t.equal(facts?.problem, undefined);
  const known = desk.sides('conv_1').caller.subarray(0, 1500 * 16);
  t.equal(firstDifference(known, first.callerSignal()), -1, 'all of it until the last tick before the slot was given out');
  const { caller } = desk.sides('conv_3');
  t.equal(
    firstDifference(caller.subarray(0, third.callerSamples), third.callerSignal()),
    -1,
    'the new one from the first sample on',
  );
  t.equal(desk.recordings.activeCount, 0);
});

test('a reader in the middle of a slot’s rebirth takes nothing of the new call', async (t) => {
  const desk = new Desk(t);
  const slot = desk.slots[0]!;
  const generation = claim(slot);
  const writer = new InputWriter(slot);
  writer.write(new Int16Array(4000).fill(7));
  desk.recordings.begin('conv_old', { slot: 0, generation });
  await desk.recordings.tick();
  claim(slot);
  slot.store(Cell.recordRead, 99);
  new InputWriter(slot).write(new Int16Array(20_000).fill(-7));
  await desk.recordings.tick();
  desk.recordings.spoken({
    type: 'spoken',
    slot: 0,
    generation,
    atSample: 0,
    rateHz: 16_000,
    pcm: new Int16Array(0),
    isLast: true,
  });
  await desk.recordings.end('conv_old');
  t.equal(firstDifference(desk.sides('conv_old').caller, new Int16Array(4000).fill(7)), -1);
  // Asked for too late: the slot is another's already.
  desk.recordings.begin('conv_gone', { slot: 0, generation });
  await desk.recordings.tick();
  desk.recordings.spoken({
    type: 'spoken',
    slot: 0,
    generation,
    atSample: 0,
    rateHz: 16_000,
    pcm: new Int16Array(0),
    isLast: true,
  });
  t.match(await desk.recordings.end('conv_gone'), { durationMs: 0, problem: undefined });
  t.notOk(await desk.recordings.exists('conv_gone'));
});

test('a call whose last piece never comes ends all the same', async (t) => {
  const desk = new Desk(t);
  const call = desk.call('conv_a');
  await desk.run(call, 600);
  const ending = desk.recordings.end('conv_a');
  desk.atMs += recordingLimits.lastPieceWaitMs - 1;
  await desk.recordings.tick();
  t.equal(desk.recordings.activeCount, 1);
  desk.atMs += 1;
  await desk.recordings.tick();
  t.match(await ending, { durationMs: 600, hasAgentAudio: false, hasCallerAudio: true });
  t.equal(await desk.recordings.end('conv_a'), undefined, 'it is over');
});

const run = promisify(execFile);
const script = fileURLToPath(new URL('support/recording-process.js', import.meta.url));

test('a killed process: the next one finds a whole recording', async (t) => {
  const folder = folderFor(t);
  const death = await run(process.execPath, [script, folder, 'killed']).catch((error: unknown) => error);
  t.match(death, { signal: 'SIGKILL' });
  const [part] = readdirSync(folder);
  t.match(part, /^conv_process\.[\w-]+\.\d+\.part$/);
  const left = readFileSync(join(folder, part!));
  t.equal(sidesOf(left).caller.length, 2000 * 16, 'it can be read even as it was left');
  // Cut in the middle of a frame.
  writeFileSync(join(folder, part!), left.subarray(0, left.length - 3));
  // Somebody else's call goes on in this folder; another's process is long gone, and one had written nothing.
  const living = `conv_living.${hostname().replaceAll(/[^\w-]/g, '-')}.${process.ppid}.part`;
  writeFileSync(join(folder, living), left);
  writeFileSync(join(folder, 'conv_other.elsewhere.1.part'), left);
  writeFileSync(join(folder, 'conv_gone.elsewhere.2.part'), left);
  utimesSync(join(folder, 'conv_gone.elsewhere.2.part'), new Date(Date.now() - 120_000), new Date(Date.now() - 120_000));
  writeFileSync(join(folder, `conv_empty.elsewhere.3.part`), left.subarray(0, 20));
  utimesSync(join(folder, 'conv_empty.elsewhere.3.part'), new Date(0), new Date(0));
  writeFileSync(join(folder, 'notes.txt'), 'not a recording');
  const desk = new Desk(t, 1, folder);
  t.same([...(await desk.recordings.start())].sort(), ['conv_gone', processConversation]);
  t.same(
    readdirSync(folder).sort(),
    ['conv_gone.wav', living, 'conv_other.elsewhere.1.part', 'conv_process.wav', 'notes.txt'].sort(),
  );
  const repaired = readFileSync(join(folder, 'conv_process.wav'));
  const { caller, agent } = sidesOf(repaired);
  t.equal(caller.length, 2000 * 16 - 1);
  t.ok(audible(agent).length >= 16_000, 'and a second of the agent');
  t.ok(repaired.equals(writeWav({ channels: [caller, agent], rateHz: hz(16_000) })), 'byte for byte a plain WAV file');
  t.equal(desk.recordings.counters.repaired, 2);
  t.same(await desk.recordings.start(), await desk.recordings.start(), 'once');
});

test('a disk that is full ends the recording, keeps what was written, and the call never knows', async (t) => {
  const folder = folderFor(t);
  // Files of at most 96 KiB: a second and a half. The call lasts two.
  // Without the test runner's loader, which ends the process at the signal that goes with the error.
  const command = ['-c', 'unset NODE_OPTIONS; ulimit -f 96; exec "$0" "$@"', process.execPath, script, folder, 'ended'];
  const { stdout } = await run('bash', command);
  const facts = JSON.parse(stdout) as RecordingFacts;
  t.match(facts.problem, { kind: 'broken', message: /EFBIG/ });
  t.same(readdirSync(folder), ['conv_process.wav']);
  const { caller, agent } = sidesOf(readFileSync(join(folder, 'conv_process.wav')));
  t.equal(caller.length, facts.durationMs * 16);
  t.ok(facts.durationMs >= 1000 && facts.durationMs < 1600, `${facts.durationMs} ms are kept`);
  t.ok(audible(caller).length > 15_000 && agent.length === caller.length);
});

test('a folder that cannot be: said once a call, and a later call finds it mended', async (t) => {
  const parent = folderFor(t);
  writeFileSync(join(parent, 'file'), '');
  const desk = new Desk(t, 1, join(parent, 'file', 'recordings'));
  await t.rejects(desk.recordings.start(), { name: 'EngineError', fields: { code: 'ENOTDIR' } });
  const call = desk.call('conv_a');
  call.say('one two.');
  await desk.run(call, 1500);
  t.match(await desk.end(call, 'conv_a'), { durationMs: 0, problem: { kind: 'broken', message: /ENOTDIR/ } });
  t.same(desk.logged, ['recording.failed']);
  t.equal(desk.recordings.counters.failed, 1);
  rmSync(join(parent, 'file'));
  const next = desk.call('conv_b');
  await desk.run(next, 500);
  t.match(await desk.end(next, 'conv_b'), { durationMs: 500, problem: undefined });
});

test('memory of a call is bounded while the disk takes nothing', async (t) => {
  const folder = folderFor(t);
  const neverReady = new Promise<void>(() => undefined);
  const file = new RecordingFile(join(folder, 'x.part'), neverReady);
  const second = new Int16Array(16_000);
  for (let put = 0; put * second.byteLength <= recordingFileLimits.pendingBytesMax; put++) {
    t.equal(file.problem, undefined);
    file.put(0, put * 16_000, second);
  }
  t.match(file.problem, { kind: 'timeout' });
  const endless = new RecordingFile(join(folder, 'y.part'), Promise.resolve());
  endless.put(1, recordingFileLimits.framesMax - 1, new Int16Array(2));
  t.match(endless.problem, { message: /as long as a WAV file can be/ });
  await t.rejects(endless.finish().then(() => endless.finish()));
});

test('reading: length, ranges, and ids that come from anywhere', async (t) => {
  const desk = new Desk(t);
  const call = desk.call('conv_a');
  await desk.run(call, 1000);
  t.equal(await desk.recordings.open('conv_a'), undefined, 'not while it is recorded');
  await desk.end(call, 'conv_a');
  const bytes = readFileSync(join(desk.folder, 'conv_a.wav'));
  const opened = (await desk.recordings.open('conv_a'))!;
  t.equal(opened.byteLength, 44 + 64_000);
  t.ok((await buffer(opened.read())).equals(bytes));
  const part = (await desk.recordings.open('conv_a'))!;
  t.ok((await buffer(part.read({ first: 1000, last: 1999 }))).equals(bytes.subarray(1000, 2000)));
  await (await desk.recordings.open('conv_a'))!.close();
  writeFileSync(join(desk.folder, '..', 'outside.wav'), 'x');
  t.teardown(() => rmSync(join(desk.folder, '..', 'outside.wav'), { force: true }));
  for (const id of ['../outside', 'conv_b', '', 'a/b', 'conv_a.wav', 'x'.repeat(200), 'conv_a\0']) {
    t.equal(await desk.recordings.open(id), undefined);
    t.equal(await desk.recordings.exists(id), false);
    t.equal(await desk.recordings.remove(id), false);
  }
  desk.recordings.begin('../evil', { slot: 0, generation: 1 });
  t.same(desk.logged, ['recording.failed']);
  t.equal(await desk.recordings.exists('conv_a'), true);
  t.equal(await desk.recordings.remove('conv_a'), true);
  t.equal(await desk.recordings.exists('conv_a'), false);
});

test('a recording of an id that has one already does not take its place', async (t) => {
  const desk = new Desk(t);
  const record = async (durationMs: number): Promise<void> => {
    const call = desk.call('conv_a');
    await desk.run(call, durationMs);
    await desk.end(call, 'conv_a');
  };
  await record(1000);
  const first = readFileSync(join(desk.folder, 'conv_a.wav'));
  await record(3000);
  t.same(readFileSync(join(desk.folder, 'conv_a.wav')), first);
  const call = desk.call('conv_a');
  await desk.run(call, 1000);
  const discarding = desk.recordings.discard('conv_a');
  t.ok(discarding);
  await discarding;
  t.equal(desk.recordings.discard('conv_a'), undefined);
  t.equal(await desk.recordings.end('conv_a'), undefined);
  t.same(readdirSync(desk.folder), ['conv_a.wav']);
});

test('what a killed process left is removed with its conversation, however early', async (t) => {
  const folder = folderFor(t);
  const killed = new Desk(t, 1, folder);
  await killed.run(killed.call('conv_a'), 1000);
  const next = new Desk(t, 1, folder);
  t.equal(await next.recordings.remove('conv_a'), true);
  t.same(readdirSync(folder), []);
});

test('a recording that is removed while it is made leaves nothing', async (t) => {
  const desk = new Desk(t);
  const call = desk.call('conv_a');
  call.say('one two.');
  await desk.run(call, 1000);
  t.equal(await desk.recordings.remove('conv_a'), true);
  call.close();
  t.equal(await desk.recordings.end('conv_a'), undefined);
  t.same(readdirSync(desk.folder), []);
  const last = desk.call('conv_b');
  await desk.run(last, 500);
  await desk.recordings.close();
  t.same(readdirSync(desk.folder), ['conv_b.wav'], 'what is under way when the thread ends is finished');
});

test('ranges of HTTP', (t) => {
  const cases: readonly (readonly [string | undefined, unknown])[] = [
    [undefined, 'whole'],
    ['bytes=0-99', { first: 0, last: 99 }],
    ['bytes=900-', { first: 900, last: 999 }],
    ['bytes=-10', { first: 990, last: 999 }],
    ['bytes=-5000', { first: 0, last: 999 }],
    ['bytes=500-5000', { first: 500, last: 999 }],
    ['Bytes = 1 - 2', { first: 1, last: 2 }],
    ['bytes=1000-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-2', 'whole'],
    ['bytes=-', 'whole'],
    ['bytes=0-1,5-6', 'whole'],
    ['lines=1-2', 'whole'],
  ];
  for (const [header, expected] of cases) t.same(parseByteRange(header, 1000), expected, `${header}`);
  t.end();
});
