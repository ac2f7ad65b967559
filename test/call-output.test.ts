/** When main sends frames; what it does with tails: frames that it may send in spite of a HOLD. And tails and resumes of the real TTS session with the real output, at random. */
import fc from 'fast-check';
import { decodeFromCompressedBase64 } from 'hdr-histogram-js';
import { test } from 'tap';
import { CallOutput, outputLimits } from '../src/server/call-output.js';
import type { Connection } from '../src/server/port.js';
import { type FrameStamp, FrameWriter } from '../src/shared/frames.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import { Recorder } from '../src/telemetry/recorder.js';
import { pacing } from '../src/tts/pacing.js';
import { RecordedCall, wordMs } from './support/recorded-call.js';

const samplesPerMs = 16;

/** Main's side of one call, on a block of its own. */
class Output {
  readonly slot = new Slot(createBlock(1), 0);
  readonly generation = claim(this.slot);
  readonly writer = new FrameWriter(this.slot);
  readonly counters = { staleFrames: 0, supersededFrames: 0, sentFrames: 0, heldTimes: 0 };
  readonly output: CallOutput;
  readonly recorder = new Recorder('main');
  /** When it asked to be called again. */
  readonly early: number[] = [];
  bufferedBytes = 0;
  atMs = 1000;

  constructor() {
    const connection: Connection = {
      remoteAddress: '127.0.0.1',
      sendText: () => true,
      bufferedBytes: () => this.bufferedBytes,
      ping: () => undefined,
      close: () => undefined,
      terminate: () => undefined,
      cork: (body) => body(),
    };
    const events = { onFirstFrame: () => undefined, onEarly: (dueAtMs: number) => this.early.push(dueAtMs) };
    const now = (): number => this.atMs;
    this.output = new CallOutput(this.slot, this.generation, connection, this.recorder, this.counters, events, now);
    this.output.begin('pcm_16000', true);
  }

  push(stamp: Partial<FrameStamp>): void {
    const { generation } = this;
    const common = { generation, epoch: 0, take: 0, eventId: 1, speech: 1, afterControl: 0, isLast: 0, isTail: 0 } as const;
    const frame = { ...common, position: 0, sampleCount: 640, scheduledAtMs: 1000, ...stamp };
    this.writer.push(frame, new Uint8Array(2 * frame.sampleCount));
  }

  /** A frame was sent, and then a HOLD was raised that main obeys. */
  static held(): Output {
    const held = new Output();
    held.push({});
    held.output.drain();
    held.slot.store(Cell.holdsRaised, 1);
    held.output.obeyHold();
    return held;
  }

  get sentPosition(): number {
    return this.slot.load(Cell.sentPosition);
  }
}

test('a frame is sent when it is due; until then nobody need look at it again, but what makes it stale is seen', (t) => {
  const main = new Output();
  main.push({ scheduledAtMs: 1015 });
  main.push({ position: 640, scheduledAtMs: 1055 });
  main.output.drain();
  t.match([main.counters.sentFrames, main.early, main.output.isEarly], [0, [1015], true]);
  main.atMs = 1013.9;
  main.output.drain();
  t.equal(main.counters.sentFrames, 0, 'not yet');
  main.atMs = 1014.2;
  main.output.drain();
  t.match(
    [main.counters.sentFrames, main.early.at(-1), main.output.isEarly],
    [1, 1055, true],
    'less than a millisecond is not waited for',
  );
  main.slot.store(Cell.take, 1);
  t.equal(main.output.isEarly, false, 'superseded');
  main.push({ position: 0, take: 1, scheduledAtMs: 1014 });
  main.output.drain();
  t.match(main.counters, { sentFrames: 2, supersededFrames: 1 }, 'what is due behind it goes at once');
  main.push({ position: 640, take: 1, scheduledAtMs: 1054 });
  main.output.drain();
  main.slot.store(Cell.epoch, 1);
  t.equal(main.output.isEarly, false, 'cut');
  main.output.drain();
  t.match(main.counters, { sentFrames: 2, staleFrames: 1 });
  t.end();
});

test('how late frames are: against their instant, and not when a HOLD delayed them', (t) => {
  const main = new Output();
  const jitter = (): number[] => {
    const [recorded] = main.recorder.answer({ id: 1 }).histograms;
    const histogram = decodeFromCompressedBase64(recorded!.encoded);
    return [histogram.totalCount, Math.round(histogram.maxValue / 1000)];
  };
  main.push({ scheduledAtMs: 996 });
  main.output.drain();
  t.same(jitter(), [1, 4]);
  main.slot.store(Cell.holdsRaised, 1);
  main.push({ position: 640, scheduledAtMs: 1000 });
  main.output.drain();
  main.atMs = 1500;
  main.slot.store(Cell.holdsReleased, 1);
  main.output.drain();
  t.equal(main.counters.sentFrames, 2);
  t.same(jitter(), [1, 4], 'that is not told');
  main.push({ position: 1280, scheduledAtMs: 1490 });
  main.output.drain();
  t.same(jitter(), [2, 10], 'the next is');
  t.end();
});

const tail = { position: 640, sampleCount: 160, isTail: 1 } as const;

test('a tail that goes on where main stopped is sent under the HOLD, and nothing after it', (t) => {
  const held = Output.held();
  held.push(tail);
  held.push({ ...tail, position: 640 });
  held.push({ position: 800 });
  held.output.drain();
  t.equal(held.counters.sentFrames, 2, 'one tail');
  t.equal(held.sentPosition, 800, 'and what was sent is known with it');
  t.equal(held.slot.load(Cell.outputRead), 3, 'the second was dropped, the frame behind it waits');
  held.slot.store(Cell.holdsReleased, 1);
  held.output.drain();
  t.equal(held.sentPosition, 1440);
  t.end();
});

test('any other tail is dropped and holds up nothing', (t) => {
  const cases: Readonly<Record<string, (held: Output) => void>> = {
    'the HOLD is over': ({ slot }) => slot.store(Cell.holdsReleased, 1),
    'a CUT came before': ({ slot }) => slot.store(Cell.epoch, 1),
    'it was superseded': ({ slot }) => slot.store(Cell.take, 1),
    'the client does not take what it is sent': (held) => {
      held.bufferedBytes = outputLimits.slowBytes + 1;
    },
  };
  for (const [name, happens] of Object.entries(cases)) {
    const held = Output.held();
    held.push(tail);
    happens(held);
    held.output.drain();
    t.match([held.sentPosition, held.slot.load(Cell.outputRead)], [640, 2], name);
  }
  for (const other of [{ position: 0 }, { position: 800 }, { afterControl: 1 }]) {
    const held = Output.held();
    held.push({ ...tail, ...other });
    held.output.drain();
    t.match([held.sentPosition, held.slot.load(Cell.outputRead)], [640, 2], JSON.stringify(other));
  }
  t.end();
});

/** Every sample tells its index, and small enough that the first of a fade still does. */
const levelMin = 1000;
const voiceSample = (index: number): number => levelMin + index;
const words = 4;
const speech = 'one two three four.';

type Stretch = { readonly from: number; readonly length: number; readonly kind: 'frame' | 'faded in' | 'tail' };

/** Where in the speech a frame lies, if it may begin at `next`: a fade in leaves its end as it was, and of a tail the level tells it to a sample or two. */
function stretchOf(samples: Int16Array, next: number): Stretch {
  const { length } = samples;
  if (Math.abs(samples.at(-1)!) < levelMin / 2) {
    const from = Math.round(samples[0]! / (1 - 0.5 / length)) - levelMin;
    return { from: Math.abs(from - next) <= 2 ? next : from, length, kind: 'tail' };
  }
  const kind = Math.abs(samples[0]!) < levelMin / 2 ? 'faded in' : 'frame';
  return { from: samples.at(-1)! - levelMin + 1 - length, length, kind };
}

/** What was posted is what was heard, but for silence. */
function isRecorded({ pieces, heardSamples }: RecordedCall): boolean {
  const posted = pieces.flatMap(({ pcm }) => [...pcm].filter((sample) => sample !== 0));
  const heard = heardSamples.filter((sample) => sample !== 0);
  return posted.length === heard.length && posted.every((sample, index) => sample === heard[index]);
}

test('a tail that main finds too late, when the HOLD is over, is neither heard nor recorded', (t) => {
  const call = new RecordedCall(new Slot(createBlock(1), 0), { voice: voiceSample });
  call.run(60);
  call.say(speech);
  call.run(300);
  call.hold();
  call.main();
  call.run(pacing.gridMs, true);
  const tails = call.slot.load(Cell.outputWritten) - call.slot.load(Cell.outputRead);
  t.equal(tails, 1, 'it is in the ring');
  call.slot.store(Cell.holdsReleased, 1);
  call.run(words * wordMs + 1000);
  call.close();
  t.equal(call.heardSamples.length, words * wordMs * samplesPerMs);
  t.ok(isRecorded(call));
  t.end();
});

type Step = 'run' | 'run while main is busy' | 'hold' | 'resume' | 'release' | 'main';

test('whenever HOLDs come and go: one tail each at most, no hard edge behind one, no sample lost, none twice but of a word; and it is recorded', (t) => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constant<Step>('run'), fc.integer({ min: 1, max: 12 })) },
    { weight: 2, arbitrary: fc.tuple(fc.constant<Step>('run while main is busy'), fc.integer({ min: 1, max: 6 })) },
    {
      weight: 4,
      arbitrary: fc.tuple(fc.constantFrom<Step>('hold', 'hold', 'resume', 'resume', 'release', 'main'), fc.constant(0)),
    },
  );
  let tails = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 6, maxLength: 30 }), fc.integer({ min: 0, max: 60 }), (script, oneWayMs) => {
      const call = new RecordedCall(new Slot(createBlock(1), 0), { oneWayMs, voice: voiceSample });
      call.run(60);
      call.say(speech);
      let holds = 0;
      for (const [does, ticks] of script) {
        if (does === 'run' || does === 'run while main is busy') call.run(ticks * pacing.gridMs, does !== 'run');
        else if (does === 'main') call.main();
        else if (does === 'release') call.slot.store(Cell.holdsReleased, call.slot.load(Cell.holdsRaised));
        else if (does === 'resume') call.resume();
        else if (!call.slot.held) {
          call.hold();
          holds += 1;
        }
      }
      call.resume();
      call.run(words * wordMs + 3000);
      call.close();
      let [end, isAfterTail, found] = [0, false, 0];
      for (const { samples } of call.heard) {
        const { from, length, kind } = stretchOf(samples, end);
        const isWordAgain = from < end && from % (wordMs * samplesPerMs) === 0 && end - from <= pacing.rewindMaxMs * samplesPerMs;
        if (from !== end && !(isWordAgain && kind === 'faded in')) return false;
        if (isAfterTail && kind !== 'faded in') return false;
        if (kind === 'tail' && length !== pacing.tailMs * samplesPerMs) return false;
        [end, isAfterTail] = [from + length, kind === 'tail'];
        if (isAfterTail) found += 1;
      }
      const isWhole = end === words * wordMs * samplesPerMs && call.answers.some(({ type }) => type === 'drained');
      tails += found;
      return isWhole && isRecorded(call) && found <= holds;
    }),
    { numRuns: 100 },
  );
  t.ok(tails > 20, `${tails} tails were heard`);
  t.end();
});
