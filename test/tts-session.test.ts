/** Pacer, HOLD, resume, CUT and undo of the TTS thread, with a hand-moved clock. The other end of the ring plays main, by main's own rules. */
import { test } from 'tap';
import { cellMs, msUntil } from '../src/shared/clock.js';
import { EngineError } from '../src/shared/errors.js';
import { FrameReader } from '../src/shared/frames.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import { hz, ms } from '../src/shared/units.js';
import { lateness } from '../src/tts/lateness.js';
import type { TtsProvider, TtsStreamOptions } from '../src/tts/port.js';
import { pacing, type TtsAnswer, TtsSession } from '../src/tts/session.js';
import { alignmentJson } from '../src/wire/audio-out.js';

const rateHz = 16000;
const samplesPerMs = 16;
/** Each word of the scripted voice takes this long. */
const wordMs = 300;

/** Sample at index `index` of any speech of the scripted voice: audible, and unique for longer than a test. */
const voiceSample = (index: number): number => 1000 + (index % 30_000);

/** A synthesiser that speaks each written piece at once: one word every 300 ms, with its alignment. */
class ScriptedTts implements TtsProvider {
  readonly name = 'scripted';
  streams: {
    options: TtsStreamOptions;
    text: string;
    pieces: number;
    samples: number;
    isAborted: boolean;
    isFinished: boolean;
  }[] = [];
  /** Pieces written from here on stay without audio until `deliver`. */
  isSlow = false;
  /** Says when each character sounds; otherwise only which piece does. */
  isAligned = true;

  async warm(): Promise<void> {}
  async close(): Promise<void> {}

  openStream(options: TtsStreamOptions): ReturnType<TtsProvider['openStream']> {
    const stream = { options, text: '', pieces: 0, samples: 0, isAborted: false, isFinished: false };
    this.streams.push(stream);
    return {
      write: (text) => {
        const from = stream.text.length;
        stream.text += text;
        stream.pieces += 1;
        if (!this.isSlow) this.speak(stream, from);
      },
      finish: () => {
        stream.isFinished = true;
        if (!this.isSlow) options.onEnd();
      },
      abort: () => {
        stream.isAborted = true;
      },
      setPaused: () => undefined,
    };
  }

  /** Speaks what was written to the stream from character `from` on. */
  speak(stream: ScriptedTts['streams'][number], from: number): void {
    for (const match of stream.text.slice(from).matchAll(/\S+/g)) {
      const audio = Int16Array.from({ length: wordMs * samplesPerMs }, (_, index) => voiceSample(stream.samples + index));
      stream.samples += audio.length;
      const length = match[0].length;
      const alignment = Array.from({ length }, (_, index) => ({
        charIndex: from + match.index + index,
        startMs: ms((index * wordMs) / length),
        durationMs: ms(wordMs / length),
      }));
      const sounds = this.isAligned ? { alignment } : { pieceIndex: stream.pieces - 1 };
      stream.options.onChunk({ audio, rateHz: hz(rateHz), ...sounds });
    }
  }
}

type Sent = {
  readonly atMs: number;
  readonly position: number;
  readonly samples: Int16Array;
  readonly eventId: number;
  readonly isLast: boolean;
  readonly isTail: boolean;
};

class Rig {
  readonly slot: Slot;
  readonly provider = new ScriptedTts();
  readonly answers: TtsAnswer[] = [];
  readonly sent: Sent[] = [];
  /** How much later than scheduled each frame was sent (ms). */
  readonly jitterMs: number[] = [];
  /** What the client had to play when each frame had come (ms). */
  readonly inHandMs: number[] = [];
  readonly counters = { underruns: 0, frames: 0, rewinds: 0, framesWaited: 0 };
  readonly session: TtsSession;
  readonly #reader: FrameReader;
  readonly #generation: number;
  atMs = 1000;

  constructor() {
    this.slot = new Slot(createBlock(1), 0);
    this.#generation = claim(this.slot);
    this.#reader = new FrameReader(this.slot);
    const voice = { voiceId: '', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.8 };
    this.session = new TtsSession(
      this.slot,
      this.#generation,
      { provider: this.provider, voice, rateHz: hz(rateHz), encoding: 'pcm', alignmentJson },
      this.counters,
      () => undefined,
      () => this.atMs,
      (answer) => {
        this.answers.push(answer);
        if (answer.type === 'resume_ready') this.slot.store(Cell.holdsReleased, answer.hold);
      },
      () => this.#main(),
    );
  }

  /** While main is busy elsewhere it looks at nothing. */
  isMainBusy = false;

  /** What main does at each bell, and when a frame is due: cells after the frame, drop what is stale, stop while held but for a tail, publish what was sent. */
  #main(): void {
    if (this.isMainBusy) return;
    const raised = this.slot.load(Cell.holdsRaised);
    if (this.slot.held) this.slot.store(Cell.holdSeen, raised);
    for (let frame = this.#reader.peek(); frame !== undefined; frame = this.#reader.peek()) {
      const isStale = frame.epoch < this.slot.load(Cell.epoch) || frame.take < this.slot.load(Cell.take);
      const isTail = frame.isTail === 1;
      if (!isStale && !isTail && this.slot.held) return;
      if (!isStale && !isTail && frame.scheduledAtMs > this.atMs) return;
      const isNext = this.slot.held && frame.position === this.slot.load(Cell.sentPosition);
      if (!isStale && (!isTail || isNext)) {
        const { position, sampleCount, eventId, isLast, payload } = frame;
        const samples = new Int16Array(payload.slice().buffer);
        this.jitterMs.push(this.atMs - frame.scheduledAtMs);
        this.sent.push({ atMs: this.atMs, position, samples, eventId, isLast: isLast === 1, isTail });
        const leftMs = Math.max(0, msUntil(this.slot.load(Cell.playEndAtMs), this.atMs));
        const isFirst = this.sent.length === 1;
        this.inHandMs.push(leftMs + sampleCount / samplesPerMs);
        this.slot.store(Cell.playEndAtMs, cellMs(this.atMs + (isFirst ? 0 : leftMs) + sampleCount / samplesPerMs));
        this.slot.store(Cell.sentPosition, position + sampleCount);
      }
      this.#reader.advance();
    }
  }

  /** The threads stand still for so long, or all but main: a tick comes late, and the next ones when they are due. */
  stall(durationMs: number, isMainToo = true): void {
    const dueAtMs = this.atMs + pacing.gridMs;
    for (let step = 0; step < durationMs; step += 1) {
      this.atMs += 1;
      if (!isMainToo) this.#main();
    }
    this.session.gridTick(this.atMs, dueAtMs);
    this.#main();
  }

  /** Lets time pass on the pacer's grid. */
  run(durationMs: number): void {
    const endMs = this.atMs + durationMs;
    while (this.atMs < endMs) {
      for (let step = 0; step < pacing.gridMs; step += 1) {
        this.#main();
        this.atMs += 1;
      }
      this.session.gridTick(this.atMs, this.atMs);
      this.#main();
    }
  }

  say(text: string, speech = 1, epoch = 0): void {
    this.session.receive({ slot: 0, generation: 1, type: 'speak', speech, isProtected: false });
    this.session.receive({ slot: 0, generation: 1, type: 'text', speech, delta: text });
    this.session.receive({ slot: 0, generation: 1, type: 'text_end', speech });
    this.session.receive({ slot: 0, generation: 1, type: 'release', speech, epoch, eventId: 10 * speech, afterControl: 0 });
  }

  hold(): number {
    const hold = this.slot.load(Cell.holdsRaised) + 1;
    this.slot.store(Cell.holdsRaised, hold);
    this.#main();
    return hold;
  }

  resume(hold: number): void {
    this.session.receive({ slot: 0, generation: 1, type: 'resume', hold });
    this.#main();
  }

  /** CUT as conversation and main do it. */
  cut(speech: number, epoch: number, isUndoable: boolean): void {
    this.slot.store(Cell.epoch, epoch);
    this.slot.store(Cell.holdsReleased, this.slot.load(Cell.holdsRaised));
    this.session.receive({ slot: 0, generation: 1, type: 'cut', speech, epoch, isUndoable });
    this.session.cutSent({
      slot: 0,
      generation: 1,
      type: 'cut_sent',
      epoch,
      sentPosition: this.slot.load(Cell.sentPosition),
      playEndAtMs: this.atMs + msUntil(this.slot.load(Cell.playEndAtMs), this.atMs),
      atMs: this.atMs,
    });
  }

  answer<Type extends TtsAnswer['type']>(type: Type): Extract<TtsAnswer, { type: Type }> | undefined {
    return this.answers.find((answer): answer is Extract<TtsAnswer, { type: Type }> => answer.type === type);
  }

  /** End of what was sent, on the session's timeline. */
  get sentEnd(): number {
    const last = this.sent.at(-1)!;
    return last.position + last.samples.length;
  }

  /** Index in the speech of each sample sent; the first milliseconds after a fade-in are left out. */
  sourceOf(frame: Sent): number {
    const skip = pacing.fadeInMs * samplesPerMs;
    return frame.samples[skip]! - 1000 - skip;
  }
}

const ten = 'one two three four five six seven eight nine ten.';

test('a speech goes out ahead of real time by the lead and not more, every sample once', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(4000);
  const samples = rig.sent.flatMap((frame) => [...frame.samples]);
  t.equal(samples.length, 10 * wordMs * samplesPerMs);
  t.ok(
    samples.every((sample, index) => sample === voiceSample(index)),
    'in order, none lost, none doubled',
  );
  const startMs = rig.sent[0]!.atMs;
  let aheadMax = 0;
  for (const frame of rig.sent) {
    const aheadMs = (frame.position + frame.samples.length) / samplesPerMs - (frame.atMs - startMs);
    aheadMax = Math.max(aheadMax, aheadMs);
    if (frame.atMs - startMs > 200) t.ok(aheadMs <= pacing.leadMinMs + 5, `${aheadMs} ms ahead`);
  }
  t.ok(aheadMax <= pacing.leadStartMs, `at most ${aheadMax} ms at the start`);
  t.equal(rig.sent.filter((frame) => frame.isLast).length, 1);
  t.match(rig.answer('drained'), { speech: 1 });
  t.equal(rig.slot.load(Cell.floor), 0);
  t.equal(rig.counters.underruns, 0);
  t.end();
});

test('late ticks make their own frames late, and the longer lead that follows from the second no others', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(1000);
  t.same([...new Set(rig.jitterMs)], [0]);
  for (let time = 0; time < 2; time += 1) {
    rig.stall(30);
    rig.run(500);
  }
  const late = rig.jitterMs.filter((each) => each >= 1);
  t.ok(late.length >= 1 && late.length <= 4, `${late.join()} ms`);
  t.ok(
    late.every((each) => each <= 30),
    'no later than the tick',
  );
  t.end();
});

test('a tick that is late by no more than frames are early makes none late', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(1000);
  for (let time = 0; time < 20; time += 1) {
    rig.stall(pacing.earlyMs, false);
    rig.run(50);
  }
  t.ok(rig.jitterMs.length > 30);
  t.ok(
    rig.jitterMs.every((each) => each >= 0 && each < 1),
    `${Math.max(...rig.jitterMs)} ms`,
  );
  t.equal(rig.counters.underruns, 0);
  t.end();
});

test('one late tick lets nobody hear more after a HOLD; ticks that are late again and again a little', (t) => {
  const inHandMs = (rig: Rig): number => {
    rig.run(400);
    return Math.max(...rig.inHandMs.slice(-4));
  };
  const steady = new Rig();
  steady.say(ten);
  steady.run(1000);
  const usualMs = inHandMs(steady);
  const once = new Rig();
  once.say(ten);
  once.run(1000);
  once.stall(200);
  t.ok(inHandMs(once) <= usualMs, 'as much as ever');
  const often = new Rig();
  often.say(ten);
  often.run(600);
  for (let time = 0; time < 4; time += 1) {
    often.stall(100);
    often.run(100);
  }
  const moreMs = inHandMs(often) - usualMs;
  t.ok(moreMs > 0 && moreMs <= lateness.maxMs, `${moreMs} ms more`);
  t.end();
});

test('audio that comes late from the synthesiser is not late in pacing', (t) => {
  const rig = new Rig();
  rig.provider.isSlow = true;
  rig.say('one two three four five.');
  const stream = rig.provider.streams[0]!;
  rig.provider.speak({ ...stream, text: 'one two', samples: 0 }, 0);
  rig.run(550);
  rig.provider.speak({ ...stream, text: 'three four five.', samples: 2 * wordMs * samplesPerMs }, 0);
  rig.run(800);
  t.equal(rig.counters.underruns, 0);
  t.same([...new Set(rig.jitterMs)], [0]);
  t.end();
});

test('HOLD stops the frames with a tail that fades out; a short hole goes on with the very next sample, faded in', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(500);
  const before = rig.sent.length;
  const end = rig.sentEnd;
  const hold = rig.hold();
  rig.run(200);
  t.equal(rig.sent.length, before + 1, 'nothing but a tail is sent while it is held');
  const tail = rig.sent.at(-1)!;
  t.match(tail, { isTail: true, isLast: false, position: end, eventId: 10 });
  t.equal(tail.samples.length, pacing.tailMs * samplesPerMs);
  const [first, last] = [tail.samples[0]!, tail.samples.at(-1)!];
  t.ok(first > 0.99 * voiceSample(end) && first <= voiceSample(end), 'at full level where it goes on');
  t.ok(last > 0 && last < 0.01 * voiceSample(end), 'and silent at its end');
  rig.resume(hold);
  t.match(rig.answer('resume_ready'), { hold, rewoundSamples: 0 });
  const next = rig.sent[before + 1]!;
  t.equal(next.position, end + tail.samples.length);
  t.ok(Math.abs(next.samples[0]!) < 5, 'it fades in');
  t.equal(rig.sourceOf(next), next.position);
  rig.run(4000);
  const total = rig.sent.reduce((sum, frame) => sum + frame.samples.length, 0);
  t.equal(total, 10 * wordMs * samplesPerMs, 'no sample lost, none doubled');
  t.match(rig.answer('drained'), { speech: 1 });
  t.end();
});

test('after a long hole the word before it is said again, at most 600 ms of it', (t) => {
  for (const heldAtMs of [350, 480, 890, 1500]) {
    const rig = new Rig();
    rig.say(ten);
    rig.run(heldAtMs);
    const hold = rig.hold();
    rig.run(900);
    const sentSamples = rig.sentEnd;
    const before = rig.sent.length;
    rig.resume(hold);
    const rewound = rig.answer('resume_ready')!.rewoundSamples;
    const from = rig.sourceOf(rig.sent[before]!);
    t.equal(from % (wordMs * samplesPerMs), 0, 'it goes on at the start of a word');
    t.equal(sentSamples - from, rewound);
    t.ok(rewound >= 0 && rewound <= pacing.rewindMaxMs * samplesPerMs);
    rig.run(4000);
    const total = rig.sent.reduce((sum, frame) => sum + frame.samples.length, 0);
    t.equal(total, 10 * wordMs * samplesPerMs + rewound, 'no sample lost');
    t.ok(Math.abs(rig.sent[before]!.samples[0]!) < 20, 'it fades in');
  }
  t.end();
});

test('frames that were in the ring when HOLD came are neither lost nor repeated', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(300);
  // The VAD thread raises HOLD between two looks of main: frames pile up in the ring.
  rig.slot.store(Cell.holdsRaised, 1);
  rig.run(100);
  rig.resume(1);
  rig.run(4000);
  const samples = rig.sent.flatMap((frame) => [...frame.samples]);
  t.equal(samples.length, 10 * wordMs * samplesPerMs);
  t.end();
});

test('a tail goes on where main stopped: what was framed behind that is superseded, and comes again', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(300);
  rig.isMainBusy = true;
  rig.run(30);
  const end = rig.sentEnd;
  t.ok(rig.session.isBusy && rig.slot.load(Cell.outputWritten) > rig.slot.load(Cell.outputRead), 'frames wait in the ring');
  rig.isMainBusy = false;
  const hold = rig.hold();
  rig.run(10);
  t.match(rig.sent.at(-1), { isTail: true, position: end });
  rig.run(200);
  rig.resume(hold);
  rig.run(4000);
  t.equal(rig.sent.filter((frame) => frame.isTail).length, 1);
  t.equal(
    rig.sent.reduce((sum, frame) => sum + frame.samples.length, 0),
    10 * wordMs * samplesPerMs,
  );
  t.end();
});

test('no tail: before main obeys, when the client has nothing left, when nothing was sent, where the speech ends anyway', (t) => {
  const late = new Rig();
  late.say(ten);
  late.run(500);
  late.isMainBusy = true;
  late.slot.store(Cell.holdsRaised, 1);
  const take = late.slot.load(Cell.take);
  late.run(150);
  t.equal(late.slot.load(Cell.take), take, 'main may still be sending');
  late.isMainBusy = false;
  late.run(100);
  t.notOk(
    late.sent.some((frame) => frame.isTail),
    'the client has had silence for a while',
  );

  const early = new Rig();
  early.isMainBusy = true;
  early.say(ten);
  early.isMainBusy = false;
  const hold = early.hold();
  early.run(100);
  t.equal(early.sent.length, 0, 'nothing of it was heard');
  early.resume(hold);
  early.run(4000);
  t.equal(early.sentEnd, 10 * wordMs * samplesPerMs);

  const over = new Rig();
  over.say('one.');
  over.run(wordMs - 40);
  t.ok(over.sent.at(-1)!.isLast, 'all of it was sent');
  const lastHold = over.hold();
  over.run(500);
  t.notOk(over.sent.some((frame) => frame.isTail));
  t.match(over.answer('drained'), { speech: 1 });
  over.resume(lastHold);
  t.match(over.answer('resume_ready'), { rewoundSamples: 0 });
  t.end();
});

test('a resume waits for a tail that main has not looked at; one that main drops is said again', (t) => {
  for (const isSent of [true, false]) {
    const rig = new Rig();
    rig.say(ten);
    rig.run(500);
    const end = rig.sentEnd;
    const hold = rig.hold();
    rig.isMainBusy = true;
    rig.run(10);
    t.equal(rig.slot.load(Cell.outputWritten) - rig.slot.load(Cell.outputRead), 1, 'the tail is in the ring');
    rig.resume(hold);
    rig.run(30);
    t.equal(rig.answer('resume_ready'), undefined, 'what was sent is not known');
    // A HOLD that main finds released: it drops the tail.
    if (!isSent) rig.slot.store(Cell.holdsReleased, hold);
    rig.isMainBusy = false;
    rig.run(20);
    t.match(rig.answer('resume_ready'), { hold, rewoundSamples: 0 });
    t.equal(rig.sent.filter((frame) => frame.isTail).length, isSent ? 1 : 0);
    const next = rig.sent.find((frame) => frame.position >= end && !frame.isTail)!;
    t.equal(next.position, end + (isSent ? pacing.tailMs * samplesPerMs : 0));
    t.equal(Math.abs(next.samples[0]!) < 5, isSent, 'behind a tail it fades in, though the client never fell silent');
    rig.run(4000);
    t.equal(
      rig.sent.reduce((sum, frame) => sum + frame.samples.length, 0),
      10 * wordMs * samplesPerMs,
    );
  }
  t.end();
});

test('a HOLD that is released without a resume: the speech goes on behind what was sent', (t) => {
  for (const isSent of [true, false]) {
    const rig = new Rig();
    rig.say(ten);
    rig.run(500);
    const hold = rig.hold();
    rig.isMainBusy = true;
    rig.run(10);
    if (isSent) {
      rig.isMainBusy = false;
      rig.run(10);
    }
    rig.slot.store(Cell.holdsReleased, hold);
    rig.run(20);
    rig.isMainBusy = false;
    rig.run(4000);
    t.equal(rig.sent.filter((frame) => frame.isTail).length, isSent ? 1 : 0);
    let end = 0;
    for (const { position, samples } of rig.sent) {
      t.equal(position, end);
      end += samples.length;
    }
    t.equal(end, 10 * wordMs * samplesPerMs);
    t.match(rig.answer('drained'), { speech: 1 });
  }
  t.end();
});

test('a CUT while the tail is in the ring: it is not sent, and what was heard does not count it', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(500);
  const before = rig.sent.length;
  rig.hold();
  rig.isMainBusy = true;
  rig.run(10);
  rig.cut(1, 1, false);
  rig.isMainBusy = false;
  rig.run(100);
  t.equal(rig.sent.length, before);
  t.ok(rig.answer('heard')!.heardMs <= rig.sentEnd / samplesPerMs);
  rig.say('again', 2, 1);
  rig.run(1000);
  const next = rig.sent.slice(before);
  t.ok(next.every((frame) => frame.eventId === 20 && !frame.isTail));
  t.equal(next[0]!.samples[0], voiceSample(0), 'the next speech does not fade in');
  t.end();
});

test('a second HOLD under which nothing was sent since the first: no second tail', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(500);
  const first = rig.hold();
  rig.run(20);
  rig.isMainBusy = true;
  rig.resume(first);
  rig.slot.store(Cell.holdsRaised, 2);
  rig.isMainBusy = false;
  rig.run(200);
  t.equal(rig.sent.filter((frame) => frame.isTail).length, 1);
  rig.resume(2);
  rig.run(4000);
  t.equal(
    rig.sent.reduce((sum, frame) => sum + frame.samples.length, 0),
    10 * wordMs * samplesPerMs,
  );
  t.end();
});

test('a CUT tells what was heard, at a word boundary, and nothing older is sent after it', (t) => {
  for (const [cutAtMs, words] of [
    [0, 0],
    [290, 1],
    [700, 2],
    [1490, 5],
  ] as const) {
    const rig = new Rig();
    rig.say(ten);
    if (cutAtMs > 0) rig.run(cutAtMs);
    const before = rig.sent.length;
    rig.cut(1, 1, false);
    rig.run(500);
    t.equal(rig.sent.length, before);
    const heard = rig.answer('heard')!;
    t.equal(
      ten
        .slice(0, heard.heardChars)
        .split(' ')
        .filter((word) => word !== '').length,
      words,
      `${words} words after ${cutAtMs} ms`,
    );
    t.equal(rig.provider.streams[0]!.isAborted || rig.provider.streams[0]!.isFinished, true);
    rig.say('again', 2, 1);
    rig.run(1000);
    t.equal(rig.sent.at(-1)!.eventId, 20, 'the next speech is heard');
  }
  t.end();
});

test('an undone CUT goes on from the last word heard, under the new epoch', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(1000);
  rig.cut(1, 1, true);
  rig.run(300);
  const before = rig.sent.length;
  rig.session.receive({ slot: 0, generation: 1, type: 'undo', speech: 1, newSpeech: 2, epoch: 1, eventId: 20, afterControl: 0 });
  rig.run(4000);
  const next = rig.sent[before]!;
  t.equal(next.eventId, 20);
  t.equal(rig.sourceOf(next) % (wordMs * samplesPerMs), 0);
  t.ok(rig.sourceOf(next) <= 1000 * samplesPerMs && rig.sourceOf(next) >= 300 * samplesPerMs);
  t.match(rig.answer('drained'), { speech: 2 });
  t.end();
});

test('a draft is not heard before its release, and never after it is discarded', (t) => {
  const rig = new Rig();
  const to = (message: object): void => rig.session.receive({ slot: 0, generation: 1, ...message } as never);
  to({ type: 'speak', speech: 1, isProtected: false });
  to({ type: 'text', speech: 1, delta: 'This is the first sentence of it. And this is the second one, which has to wait. ' });
  rig.run(500);
  t.equal(rig.sent.length, 0);
  t.notMatch(rig.provider.streams[0]!.text, /second/, 'only the first segment is synthesised');
  to({ type: 'discard', speech: 1 });
  rig.run(500);
  t.equal(rig.sent.length, 0);
  t.ok(rig.provider.streams[0]!.isAborted);
  t.notOk(rig.session.isBusy);
  t.end();
});

test('held back before its first frame, then released', (t) => {
  const rig = new Rig();
  rig.provider.isSlow = true;
  rig.say('hello there');
  rig.session.receive({ slot: 0, generation: 1, type: 'hold_back', speech: 1 });
  rig.provider.isSlow = false;
  const stream = rig.provider.streams[0]!;
  rig.provider.speak(stream, 0);
  rig.run(500);
  t.equal(rig.sent.length, 0);
  rig.session.receive({ slot: 0, generation: 1, type: 'release', speech: 1, epoch: 0, eventId: 5, afterControl: 0 });
  rig.run(100);
  t.ok(rig.sent.length > 0);
  t.end();
});

test('a synthesiser that is too slow makes one underrun a hole; one that breaks is asked again for the rest', (t) => {
  const rig = new Rig();
  rig.provider.isSlow = true;
  rig.say('one two three four five.');
  const stream = rig.provider.streams[0]!;
  rig.provider.speak({ ...stream, text: 'one two', samples: 0 }, 0);
  rig.run(1500);
  t.equal(rig.counters.underruns, 1);
  rig.provider.isSlow = false;
  stream.options.onProblem(new EngineError('broken', 'the socket was lost'));
  t.equal(rig.provider.streams[1]!.text.trim(), 'three four five.', 'from the first word without sound on');
  rig.run(3000);
  t.match(rig.answer('drained'), { speech: 1 });
  t.equal(rig.answer('tts_problem'), undefined);
  t.end();
});

const audioFrom = (from: number, durationMs: number): Int16Array =>
  Int16Array.from({ length: durationMs * samplesPerMs }, (_, index) => voiceSample(from + index));

test('a synthesiser lost inside a word: the word comes again, and of its first half nothing that was not framed', (t) => {
  const rig = new Rig();
  rig.provider.isSlow = true;
  rig.say('one twothree four.');
  const { options } = rig.provider.streams[0]!;
  const times = [0, 1, 2].map((charIndex) => ({ charIndex, startMs: ms(charIndex * 100), durationMs: ms(100) }));
  options.onChunk({ audio: audioFrom(0, 300), rateHz: hz(rateHz), alignment: times });
  const half = [4, 5].map((charIndex) => ({ charIndex, startMs: ms((charIndex - 4) * 50), durationMs: ms(50) }));
  options.onChunk({ audio: audioFrom(300 * samplesPerMs, 100), rateHz: hz(rateHz), alignment: half });
  rig.run(20);
  rig.provider.isSlow = false;
  options.onProblem(new EngineError('broken', 'the socket was lost'));
  t.equal(rig.provider.streams[1]!.text.trim(), 'twothree four.');
  rig.run(3000);
  const heard = rig.sent.flatMap((frame) => [...frame.samples]);
  t.same(heard, [...audioFrom(0, 300), ...audioFrom(0, 2 * wordMs)], 'every word once and whole');
  t.match(rig.answer('drained'), { speech: 1, heardChars: undefined });
  t.end();
});

test('a piece without alignment that breaks off begins again, or where its length says when some of it is out', (t) => {
  for (const isOut of [false, true]) {
    const rig = new Rig();
    rig.provider.isSlow = true;
    if (isOut) rig.say('one two three.');
    else {
      rig.session.receive({ slot: 0, generation: 1, type: 'speak', speech: 1, isProtected: false });
      rig.session.receive({ slot: 0, generation: 1, type: 'text', speech: 1, delta: 'one two three.' });
      rig.session.receive({ slot: 0, generation: 1, type: 'text_end', speech: 1 });
    }
    const { options } = rig.provider.streams[0]!;
    options.onChunk({ audio: audioFrom(0, 200), rateHz: hz(rateHz), pieceIndex: 0 });
    options.onProblem(new EngineError('broken', 'the answer ended early'));
    t.equal(rig.provider.streams[1]!.text.trim(), isOut ? 'two three.' : 'one two three.');
  }
  t.end();
});

test('a synthesiser that breaks twice: what there is is heard, and drained says how much', (t) => {
  const rig = new Rig();
  rig.provider.isSlow = true;
  rig.say('one two three four five.');
  for (const last of ['two', 'three']) {
    const stream = rig.provider.streams.at(-1)!;
    const text = stream.text.slice(0, stream.text.indexOf(last) + last.length);
    rig.provider.speak({ ...stream, text, samples: 0 }, 0);
    stream.options.onProblem(new EngineError('broken', 'the socket was lost'));
  }
  t.equal(rig.provider.streams.length, 2);
  t.match(rig.answer('tts_problem'), { speech: 1, isHeard: true });
  rig.run(3000);
  t.match(rig.answer('drained'), { speech: 1, heardChars: 'one two three'.length });
  t.notOk(rig.session.isBusy);
  t.end();
});

test('a connection lost when all was said is no problem; before the rest of the text came, that is spoken by the next', (t) => {
  const rig = new Rig();
  rig.provider.isSlow = true;
  rig.say('one two.');
  const stream = rig.provider.streams[0]!;
  rig.provider.speak(stream, 0);
  stream.options.onProblem(new EngineError('garbage', 'nonsense at the end'));
  t.equal(rig.provider.streams.length, 1, 'nothing is asked for');
  rig.run(2000);
  t.match(rig.answer('drained'), { speech: 1, heardChars: undefined });
  t.equal(rig.answer('tts_problem'), undefined);

  const early = new Rig();
  early.session.receive({ slot: 0, generation: 1, type: 'speak', speech: 1, isProtected: false });
  early.session.receive({ slot: 0, generation: 1, type: 'text', speech: 1, delta: 'One two three four five six seven. ' });
  early.session.receive({ slot: 0, generation: 1, type: 'release', speech: 1, epoch: 0, eventId: 10, afterControl: 0 });
  early.run(1000);
  early.provider.streams[0]!.options.onProblem(new EngineError('broken', 'the socket was lost'));
  early.session.receive({ slot: 0, generation: 1, type: 'text', speech: 1, delta: 'Eight nine.' });
  early.session.receive({ slot: 0, generation: 1, type: 'text_end', speech: 1 });
  early.run(5000);
  t.match(
    early.provider.streams.map((item) => item.text.trim()),
    ['One two three four five six seven.', 'Eight nine.'],
  );
  t.match(early.answer('drained'), { speech: 1, heardChars: undefined });
  t.end();
});

test('a synthesiser that never works is a problem, told once', (t) => {
  const rig = new Rig();
  rig.provider.isSlow = true;
  rig.say('hello');
  rig.provider.streams[0]!.options.onProblem(new EngineError('refused', 'no connection'));
  rig.provider.streams[1]!.options.onProblem(new EngineError('refused', 'no connection'));
  t.equal(rig.answers.filter((answer) => answer.type === 'tts_problem').length, 1);
  rig.run(100);
  t.notOk(rig.session.isBusy);
  t.end();
});

test('a speech is protected from one moment on, and open again from another', (t) => {
  const rig = new Rig();
  rig.say(ten);
  rig.run(500);
  t.equal(rig.slot.load(Cell.floor), 1);
  rig.session.receive({ slot: 0, generation: 1, type: 'protect', speech: 1, isProtected: true });
  t.equal(rig.slot.load(Cell.floor), 2);
  rig.session.receive({ slot: 0, generation: 1, type: 'protect', speech: 1, isProtected: false });
  t.equal(rig.slot.load(Cell.floor), 1);
  rig.session.receive({ slot: 0, generation: 1, type: 'protect', speech: 9, isProtected: true });
  t.equal(rig.slot.load(Cell.floor), 1, 'another speech');

  const early = new Rig();
  early.session.receive({ slot: 0, generation: 1, type: 'speak', speech: 1, isProtected: false });
  early.session.receive({ slot: 0, generation: 1, type: 'protect', speech: 1, isProtected: true });
  t.equal(early.slot.load(Cell.floor), 0, 'nothing is heard yet');
  t.end();
});

test('a pause of the text is told when everything before it was heard, once', (t) => {
  for (const isAligned of [true, false]) {
    const rig = new Rig();
    rig.provider.isAligned = isAligned;
    rig.session.receive({ slot: 0, generation: 1, type: 'speak', speech: 1, isProtected: false });
    rig.session.receive({ slot: 0, generation: 1, type: 'release', speech: 1, epoch: 0, eventId: 10, afterControl: 0 });
    const text = (delta: string) => rig.session.receive({ slot: 0, generation: 1, type: 'text', speech: 1, delta });
    const pause = () => rig.session.receive({ slot: 0, generation: 1, type: 'text_pause', speech: 1 });
    const told = () => rig.answers.filter(({ type }) => type === 'caught_up').length;
    text('one two three.');
    pause();
    rig.run(3 * wordMs - 50);
    t.equal(told(), 0, 'two and a half words were heard');
    rig.run(isAligned ? 100 : 550);
    t.equal(told(), 1);
    rig.run(2000);
    t.equal(told(), 1, 'once a pause');
    text(' four five.');
    rig.run(3000);
    t.equal(told(), 1, 'no pause');
    pause();
    rig.run(600);
    t.equal(told(), 2);
    rig.session.receive({ slot: 0, generation: 1, type: 'text_end', speech: 1 });
    rig.run(600);
    t.match(rig.answer('drained'), { speech: 1 });
  }
  t.end();
});

/** Thirty sentences of ten words of nine letters: with its space a letter takes 30 ms, less than half of what is estimated. */
const quickSentence = `${Array.from({ length: 10 }, () => 'somewhere').join(' ')}.`;
const quickText = Array.from({ length: 30 }, () => quickSentence).join(' ');
const quickMs = 300 * wordMs;

test('a voice that is quicker than estimated is given its text in time, and no more than is needed', (t) => {
  for (const isAligned of [true, false]) {
    const rig = new Rig();
    rig.provider.isAligned = isAligned;
    rig.say(quickText);
    let mostAheadMs = 0;
    for (let doneMs = 0; doneMs < quickMs + 2000; doneMs += 100) {
      rig.run(100);
      mostAheadMs = Math.max(mostAheadMs, (rig.provider.streams[0]!.samples - rig.sentEnd) / samplesPerMs);
    }
    t.match(rig.answer('drained'), { speech: 1 }, 'it comes to its end');
    t.equal(rig.sentEnd, quickMs * samplesPerMs);
    t.equal(rig.counters.underruns, 0);
    t.ok(mostAheadMs < 3000 + 10 * wordMs, `${mostAheadMs} ms`);
  }
  t.end();
});

test('a quick voice that sends no more than is played still comes to the end of a long text', (t) => {
  const rig = new Rig();
  rig.provider.isSlow = true;
  rig.say(quickText);
  const stream = rig.provider.streams[0]!;
  let [spoken, waitedMs] = [0, 0];
  while (spoken < 300 && waitedMs < 3000) {
    rig.run(wordMs);
    if (spoken === stream.text.match(/somewhere/g)!.length) {
      waitedMs += wordMs;
      continue;
    }
    spoken += 1;
    waitedMs = 0;
    stream.options.onChunk({ audio: new Int16Array(wordMs * samplesPerMs).fill(1000), rateHz: hz(rateHz) });
  }
  t.equal(spoken, 300);
  t.ok(stream.isFinished);
  stream.options.onEnd();
  rig.run(2000);
  t.match(rig.answer('drained'), { speech: 1 });
  t.ok(rig.sentEnd >= quickMs * samplesPerMs, 'all of it, and a word twice after each hole');
  t.end();
});

test('text that is given again after a failure does not count twice', (t) => {
  const rig = new Rig();
  const sentences = Array.from({ length: 8 }, (_, index) => `${Array.from({ length: 30 }, () => 'one').join(' ')} ${index}.`);
  rig.say(sentences.join(' '));
  while (rig.provider.streams[0]!.pieces < 2) rig.run(100);
  rig.provider.isSlow = true;
  while (rig.provider.streams[0]!.pieces < 3) rig.run(100);
  rig.provider.isSlow = false;
  rig.provider.streams[0]!.options.onProblem(new EngineError('broken', 'the socket was lost'));
  rig.run(8 * 31 * wordMs);
  t.match(rig.answer('drained'), { speech: 1 });
  t.equal(rig.sentEnd, 8 * 31 * wordMs * samplesPerMs, 'every word, once');
  t.end();
});
