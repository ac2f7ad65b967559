import fc from 'fast-check';
import { test } from 'tap';
import { EngineError, type FailureKind } from '../src/shared/errors.js';
import { type Ms, ms, type Samples, samples } from '../src/shared/units.js';
import type { Recognition, SttSettings, TranscribeRequest, Transcriber, Transcript } from '../src/stt/port.js';
import { allowanceDefaults, RequestAllowance } from '../src/stt/request-allowance.js';
import { RequestProvider } from '../src/stt/request-provider.js';
import { RequestTurn, type RequestTurnSettings, requestTurnDefaults } from '../src/stt/request-turn.js';
import { TurnAudio } from '../src/stt/turn-audio.js';
import { cleanText, stripRepeats } from '../src/stt/whisper-text.js';
import { growth } from './support/growth.js';
import { settled, VirtualTimers } from './support/virtual-timers.js';

const settings: SttSettings = { language: 'en', keywords: [] };
const chunkSamples = 320;

type Request = {
  readonly audio: Int16Array;
  readonly signal: AbortSignal;
  done: boolean;
  answer(recognition: Recognition): Promise<void>;
  fail(error: unknown): Promise<void>;
};

/** A recogniser whose answers the test gives. It ignores abort signals, as the worst one would. */
class HandTranscriber implements Transcriber {
  readonly name = 'hand';
  readonly requests: Request[] = [];
  closed = false;
  async warm(): Promise<void> {}
  transcribe(request: TranscribeRequest): Promise<Recognition> {
    return new Promise((resolve, reject) => {
      const entry: Request = {
        audio: request.audio.slice(),
        signal: request.signal,
        done: false,
        async answer(recognition) {
          entry.done = true;
          resolve(recognition);
          await settled();
        },
        async fail(error) {
          entry.done = true;
          reject(error);
          await settled();
        },
      };
      this.requests.push(entry);
    });
  }
  async close(): Promise<void> {
    this.closed = true;
  }
  /** Requests that have no answer and were not aborted. */
  get live(): Request[] {
    return this.requests.filter((request) => !request.done && !request.signal.aborted);
  }
}

function scene(
  change: Partial<RequestTurnSettings> = {},
  allowance = new RequestAllowance({ ...allowanceDefaults, hedgeRatioMax: 1 }),
) {
  const timers = new VirtualTimers();
  const transcriber = new HandTranscriber();
  const transcripts: Transcript[] = [];
  const problems: EngineError[] = [];
  const open = () =>
    new RequestTurn(
      { transcriber, timers, allowance, settings: { ...requestTurnDefaults, ...change }, random: () => 0.5 },
      { settings, onTranscript: (transcript) => transcripts.push(transcript), onProblem: (problem) => problems.push(problem) },
    );
  const turn = open();
  let at = 16_000;
  /** Pushes audio in chunks of 20 ms; each sample tells its place on the input clock. */
  const push = (durationMs: number) => {
    for (const end = at + durationMs * 16; at < end; at += chunkSamples) {
      turn.push(
        Int16Array.from({ length: chunkSamples }, (_, i) => (at + i) % 30_000),
        samples(at),
      );
    }
  };
  return { timers, transcriber, transcripts, problems, allowance, turn, open, push, now: () => at };
}

const said = (transcripts: readonly Transcript[]) => transcripts.map(({ text, isFinal }) => `${text}${isFinal ? '!' : ''}`);
const error = (kind: FailureKind, fields: Record<string, number> = {}) => new EngineError(kind, `a ${kind} failure`, { fields });

test('partials come after each 700 ms of new audio, one at a time, the newest audio next', async (t) => {
  const { transcriber, transcripts, push, turn } = scene();
  push(680);
  t.equal(transcriber.requests.length, 0);
  push(20);
  t.equal(transcriber.requests.length, 1);
  push(2100);
  t.equal(transcriber.requests.length, 1, 'one at a time, however long it takes');
  await transcriber.requests[0]!.answer({ text: 'book' });
  t.equal(transcriber.requests.length, 2, 'the next one goes at once');
  t.equal(transcriber.requests[1]!.audio.length, 2800 * 16, 'with all audio there is');
  t.same([...transcriber.requests[1]!.audio.subarray(0, 3)], [16_000, 16_001, 16_002]);
  await transcriber.requests[1]!.answer({ text: 'book a table', noSpeechRatio: 0.1, confidence: 0.9 });
  t.same(transcripts, [
    { text: 'book', isFinal: false, lastSample: 16_000 + 700 * 16 },
    { text: 'book a table', isFinal: false, lastSample: 16_000 + 2800 * 16, noSpeechRatio: 0.1, confidence: 0.9 },
  ]);
  turn.close();
});

test('a pause sends everything at once and its answer is the final', async (t) => {
  const { transcriber, transcripts, push, turn, now } = scene();
  push(300);
  turn.pause();
  t.equal(transcriber.requests.length, 1);
  t.equal(transcriber.requests[0]!.audio.length, 300 * 16);
  push(200);
  turn.pause();
  t.equal(transcriber.requests.length, 1, 'silence that goes on asks for nothing more');
  await transcriber.requests[0]!.answer({ text: 'Yes.' });
  turn.pause();
  t.equal(transcriber.requests.length, 1);
  t.same(transcripts, [{ text: 'Yes.', isFinal: true, lastSample: now() - 200 * 16 }]);
  turn.close();
});

test('a partial under way at a pause goes on, gives its text while the final is slow, and is dropped when it comes late', async (t) => {
  for (const partialFirst of [true, false]) {
    const { transcriber, transcripts, push, turn } = scene();
    push(900);
    turn.pause();
    const [partial, final] = transcriber.requests;
    t.equal(partial!.signal.aborted, false);
    if (partialFirst) await partial!.answer({ text: 'two tickets' });
    await final!.answer({ text: 'Two tickets please.' });
    if (!partialFirst) {
      t.equal(partial!.signal.aborted, true, 'nobody waits for it any more');
      await partial!.answer({ text: 'two tickets' });
    }
    t.same(said(transcripts), partialFirst ? ['two tickets', 'Two tickets please.!'] : ['Two tickets please.!']);
    turn.close();
  }
});

test('a recogniser that works one request after the other has its partial aborted at a pause', (t) => {
  const { transcriber, push, turn } = scene({ abortPartialAtPause: true });
  push(900);
  turn.pause();
  t.same(
    transcriber.requests.map((request) => request.signal.aborted),
    [true, false],
  );
  turn.close();
  t.end();
});

test('a partial that covers all the audio becomes the final, without a second request', async (t) => {
  const under = scene();
  under.push(700);
  under.turn.pause();
  t.equal(under.transcriber.requests.length, 1);
  await under.transcriber.requests[0]!.answer({ text: 'hello' });
  t.same(said(under.transcripts), ['hello!']);

  const hedged = scene();
  hedged.push(700);
  await hedged.timers.advance(400);
  hedged.turn.pause();
  await hedged.timers.advance(199);
  t.equal(hedged.transcriber.requests.length, 1);
  await hedged.timers.advance(1);
  t.equal(hedged.transcriber.requests.length, 2, 'hedged 600 ms after it was sent');
  hedged.turn.close();

  const answered = scene();
  answered.push(700);
  await answered.transcriber.requests[0]!.answer({ text: 'hello' });
  answered.turn.pause();
  t.equal(answered.transcriber.requests.length, 1);
  t.same(said(answered.transcripts), ['hello', 'hello!']);
});

test('speech after a pause makes its answer a partial', async (t) => {
  const { transcriber, transcripts, push, turn, timers } = scene();
  push(900);
  turn.pause();
  turn.resume();
  t.same(
    transcriber.requests.map((request) => request.signal.aborted),
    [true, false],
    'the older partial makes place',
  );
  push(1000);
  t.equal(transcriber.live.length, 1, 'it counts as the one partial under way');
  await timers.advance(700);
  t.equal(transcriber.live.length, 1, 'and is not hedged');
  await transcriber.requests[1]!.answer({ text: 'I would like' });
  t.equal(transcriber.live.length, 1, 'the next partial follows');
  turn.pause();
  await transcriber.requests[2]!.answer({ text: 'I would like tea.' });
  t.same(said(transcripts), ['I would like', 'I would like tea.!']);
  turn.close();
});

test('silence of a pause is not counted as new speech', async (t) => {
  const { transcriber, push, turn } = scene();
  push(300);
  turn.pause();
  await transcriber.requests[0]!.answer({ text: 'well' });
  push(1000);
  turn.resume();
  push(680);
  t.equal(transcriber.requests.length, 1);
  push(20);
  t.equal(transcriber.requests.length, 2);
  t.equal(transcriber.requests[1]!.audio.length, 2000 * 16, 'but it is in the audio: the speech may have begun in it');
  turn.close();
});

test('a resume takes away the hedge that is under way', async (t) => {
  const { transcriber, push, turn, timers } = scene();
  push(300);
  turn.pause();
  await timers.advance(600);
  t.equal(transcriber.live.length, 2);
  turn.resume();
  t.same(
    transcriber.requests.map((request) => request.signal.aborted),
    [false, true],
  );
  turn.close();
});

test('a final without an answer at 600 ms is asked for again; the first answer wins, the other request is aborted', async (t) => {
  for (const winner of [0, 1]) {
    const { transcriber, transcripts, push, turn, timers, allowance } = scene();
    push(300);
    turn.pause();
    await timers.advance(599);
    t.equal(transcriber.requests.length, 1);
    await timers.advance(1);
    t.equal(transcriber.requests.length, 2);
    t.same(transcriber.requests[0]!.audio, transcriber.requests[1]!.audio);
    t.not(transcriber.requests[0]!.audio, transcriber.requests[1]!.audio, 'the first may have been given away by the recogniser');
    await transcriber.requests[winner]!.answer({ text: `answer ${winner}` });
    t.equal(transcriber.requests[winner]!.signal.aborted, false, 'an answered request is not aborted: it keeps its connection');
    t.equal(transcriber.requests[1 - winner]!.signal.aborted, true);
    await transcriber.requests[1 - winner]!.answer({ text: 'the other' });
    t.same(said(transcripts), [`answer ${winner}!`]);
    t.match(allowance.counts, { requests: 1, hedges: 1, retries: 0 });
    t.equal(timers.pending, 0);
    turn.close();
  }
});

test('of two hedged requests one may fail', async (t) => {
  const { transcriber, transcripts, problems, push, turn, timers } = scene();
  push(300);
  turn.pause();
  await timers.advance(600);
  await transcriber.requests[0]!.fail(error('rejected'));
  t.same(problems, [], 'the other may still answer');
  await transcriber.requests[1]!.answer({ text: 'yes' });
  t.same(said(transcripts), ['yes!']);
  t.same(problems, []);
  turn.close();
});

test('partials are not hedged', async (t) => {
  const { transcriber, push, timers, turn } = scene();
  push(700);
  await timers.advance(2999);
  t.equal(transcriber.requests.length, 1);
  turn.close();
});

test('hedges stay within their share of the requests, over every window', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { maxLength: 600 }),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 30 }),
      (steps, windowRequests, percent) => {
        const allowance = new RequestAllowance({ ...allowanceDefaults, windowRequests, hedgeRatioMax: percent / 100 });
        const log: number[] = [];
        for (const isRequest of steps) {
          if (isRequest) {
            allowance.noteRequest();
            log.push(0);
          } else if (allowance.takeHedge()) log[log.length - 1]! += 1;
          const hedges = log.slice(-windowRequests).reduce((sum, count) => sum + count, 0);
          if (hedges > (percent / 100) * Math.min(log.length, windowRequests)) return false;
        }
        return true;
      },
    ),
  );
  const allowance = new RequestAllowance({ ...allowanceDefaults, windowRequests: 20 });
  for (let i = 0; i < 19; i += 1) allowance.noteRequest();
  t.equal(allowance.takeHedge(), false);
  allowance.noteRequest();
  t.equal(allowance.takeHedge(), true);
  for (let i = 0; i < 19; i += 1) {
    t.equal(allowance.takeHedge(), false);
    allowance.noteRequest();
  }
  t.equal(allowance.takeHedge(), false);
  allowance.noteRequest();
  t.equal(allowance.takeHedge(), true, 'what left the window is forgotten');
  t.match(allowance.counts, { hedges: 2, hedgesRefused: 21, requests: 40 });
  t.end();
});

test('without allowance no second request goes', async (t) => {
  const { transcriber, push, turn, timers, allowance } = scene({}, new RequestAllowance());
  push(300);
  turn.pause();
  await timers.advance(600);
  t.equal(transcriber.requests.length, 1);
  t.match(allowance.counts, { hedges: 0, hedgesRefused: 1 });
  turn.close();
});

const reactions: readonly [FailureKind, Record<string, number>, number | undefined][] = [
  ['refused', {}, 100],
  ['server', {}, 100],
  ['broken', {}, 100],
  ['server', { retryAfterMs: 400 }, 500],
  ['rate_limited', { retryAfterMs: 500 }, 600],
  ['rate_limited', {}, 1100],
  ['rate_limited', { retryAfterMs: 1001 }, undefined],
  ['rejected', {}, undefined],
  ['garbage', {}, undefined],
  ['timeout', {}, undefined],
  ['config', {}, undefined],
  ['missing', {}, undefined],
];
for (const [kind, fields, retryAfterMs] of reactions) {
  const name = `${kind} ${JSON.stringify(fields)}: ${retryAfterMs === undefined ? 'no retry' : `one retry after ${retryAfterMs} ms`}`;
  test(name, async (t) => {
    const { transcriber, problems, push, turn, timers } = scene();
    push(300);
    turn.pause();
    await transcriber.requests[0]!.fail(error(kind, fields));
    if (retryAfterMs !== undefined) {
      t.same(problems, []);
      await timers.advance(retryAfterMs - 1);
      t.equal(transcriber.requests.length, 1);
      await timers.advance(1);
      t.equal(transcriber.requests.length, 2);
      await transcriber.requests[1]!.fail(error(kind, fields));
    }
    t.same(
      problems.map((problem) => problem.kind),
      [kind],
    );
    t.equal(timers.pending, 0);
    t.equal(transcriber.live.length, 0);
    turn.close();
  });
}

test('the retry may succeed, and after a problem the turn goes on', async (t) => {
  const { transcriber, transcripts, problems, push, turn, timers } = scene();
  push(300);
  turn.pause();
  await transcriber.requests[0]!.fail(error('refused'));
  await timers.advance(100);
  await transcriber.requests[1]!.answer({ text: 'one' });
  turn.resume();
  push(300);
  turn.pause();
  await transcriber.requests[2]!.fail(error('rejected'));
  t.equal(problems.length, 1);
  turn.pause();
  await transcriber.requests[3]!.answer({ text: 'one two' });
  t.same(said(transcripts), ['one!', 'one two!']);
  turn.close();
});

test('anything else that a recogniser throws is a failure too, even before its call returns', (t) => {
  const { problems, push, turn, transcriber, timers } = scene();
  transcriber.transcribe = () => {
    throw new EngineError('missing', 'no such model');
  };
  push(300);
  turn.pause();
  setImmediate(() => {
    t.same(
      problems.map((problem) => problem.kind),
      ['missing'],
    );
    t.equal(timers.pending, 0);
    turn.close();
    t.end();
  });
});

test('429 keeps the requests of all turns with that key back', async (t) => {
  const { transcriber, problems, push, turn, open, timers } = scene();
  push(300);
  turn.pause();
  await transcriber.requests[0]!.fail(error('rate_limited', { retryAfterMs: 5000 }));
  t.equal(problems.length, 1);
  const other = open();
  other.push(new Int16Array(16_000), samples(0));
  t.equal(transcriber.requests.length, 1, 'no partial');
  t.equal(problems.length, 1, 'and no problem either');
  other.pause();
  t.equal(transcriber.requests.length, 1, 'no final: the wait is too long to be worth it');
  t.match(problems[1], { kind: 'rate_limited', fields: { retryAfterMs: 5000 } });
  await timers.advance(4500);
  other.pause();
  t.equal(transcriber.requests.length, 1);
  await timers.advance(599);
  t.equal(transcriber.requests.length, 1);
  await timers.advance(1);
  t.equal(transcriber.requests.length, 2, 'a short wait is waited for');
  await transcriber.requests[1]!.answer({ text: 'yes' });
  turn.close();
  other.close();
  t.equal(timers.pending, 0);
});

test('no answer in time is a problem, and the place is free again', async (t) => {
  const { transcriber, problems, push, turn, timers } = scene();
  push(700);
  await timers.advance(3000);
  t.match(problems, [{ kind: 'timeout' }]);
  t.equal(transcriber.requests[0]!.signal.aborted, true);
  push(700);
  t.equal(transcriber.live.length, 1);
  turn.close();
  t.equal(timers.pending, 0);
});

test('after close nothing is under way and nothing is called', async (t) => {
  const { transcriber, transcripts, problems, push, turn, timers } = scene();
  push(900);
  turn.pause();
  await timers.advance(600);
  t.equal(transcriber.live.length, 3);
  turn.close();
  t.equal(transcriber.live.length, 0);
  t.equal(timers.pending, 0);
  push(2000);
  turn.pause();
  turn.resume();
  turn.close();
  await transcriber.requests[0]!.answer({ text: 'late' });
  await transcriber.requests[1]!.fail(error('server'));
  t.equal(transcriber.requests.length, 3);
  t.same([transcripts, problems], [[], []]);
});

test('a turn that was never given audio asks for nothing', (t) => {
  const { transcriber, turn, timers } = scene();
  turn.pause();
  turn.resume();
  turn.close();
  t.equal(transcriber.requests.length, 0);
  t.equal(timers.pending, 0);
  t.end();
});

test('a long turn freezes its text at a pause and goes on with the audio after it', async (t) => {
  const { transcriber, transcripts, push, turn, now } = scene({ partialEveryMs: ms(100_000) });
  push(26_000);
  turn.pause();
  const frozenAt = now();
  await transcriber.requests[0]!.answer({ text: 'The first part.' });
  push(400);
  turn.resume();
  push(600);
  turn.pause();
  t.equal(transcriber.requests[1]!.audio.length, 1000 * 16, 'only what came since, the silence included');
  t.equal(transcriber.requests[1]!.audio[0], frozenAt % 30_000);
  await transcriber.requests[1]!.answer({ text: 'And more.' });
  turn.resume();
  push(200);
  turn.pause();
  t.equal(transcriber.requests[2]!.audio.length, 1200 * 16, 'short pieces are not frozen');
  await transcriber.requests[2]!.answer({ text: '' });
  t.same(said(transcripts), ['The first part.!', 'The first part. And more.!', 'The first part.!']);
  t.equal(transcripts.at(-1)!.lastSample, now());
  turn.close();
});

test('a turn without a pause keeps at most its bound of audio: its newest text is frozen, and without any the oldest audio is lost', async (t) => {
  const withText = scene({ audioMaxMs: ms(10_000), partialEveryMs: ms(4000) });
  withText.push(4000);
  await withText.transcriber.requests[0]!.answer({ text: 'first' });
  withText.push(8000);
  t.equal(withText.transcriber.requests[1]!.audio.length, 8000 * 16);
  await withText.transcriber.requests[1]!.answer({ text: 'first second' });
  t.equal(withText.transcriber.requests[2]!.audio.length, 8000 * 16, 'begins after the frozen text');
  await withText.transcriber.requests[2]!.answer({ text: 'second third' });
  t.same(said(withText.transcripts), ['first', 'first second', 'first second third']);
  t.match(withText.allowance.counts, { audioOverruns: 1, droppedSamples: 0 });
  withText.turn.close();

  const without = scene({ audioMaxMs: ms(10_000), partialEveryMs: ms(100_000) });
  without.push(30_000);
  without.turn.pause();
  const { length } = without.transcriber.requests[0]!.audio;
  t.ok(length <= 160_000 && length > 160_000 - 16_000 - chunkSamples, `${length} samples`);
  t.equal(without.transcriber.requests[0]!.audio.at(-1), (without.now() - 1) % 30_000, 'the newest are kept');
  t.equal(without.allowance.counts.droppedSamples, 30_000 * 16 - length);
  without.turn.close();
});

test('transcripts have a bound', async (t) => {
  const { transcriber, transcripts, push, turn } = scene({ textMax: 10 });
  push(300);
  turn.pause();
  await transcriber.requests[0]!.answer({ text: 'abcdefghijklmnop' });
  t.equal(transcripts[0]!.text, 'ghijklmnop');
  turn.close();
});

test('turn audio: any cutting, replays and holes give the samples of the clock', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 50 }),
      fc.array(fc.record({ skip: fc.integer({ min: -30, max: 30 }), length: fc.integer({ min: 0, max: 40 }) }), {
        maxLength: 30,
      }),
      fc.integer({ min: 20, max: 200 }),
      fc.array(fc.nat(400), { maxLength: 5 }),
      (start, pieces, samplesMax, drops) => {
        const audio = new TurnAudio(samplesMax);
        const expected: number[] = [];
        let end = start;
        let added = 0;
        for (const { skip, length } of pieces) {
          const first = expected.length === 0 && added === 0 ? start : Math.max(start, end + skip);
          added += audio.append(
            Int16Array.from({ length }, (_, i) => first + i + 1),
            samples(first),
          );
          for (let i = end; i < first + length; i += 1) expected.push(i < first ? 0 : i + 1);
          end = Math.max(end, first + length);
        }
        const kept = () => expected.slice(Math.max(0, audio.firstSample - start), end - start);
        const same = () => JSON.stringify([...audio.copyUntil(samples(end))]) === JSON.stringify(kept());
        if (added !== expected.length || audio.length > samplesMax || !same()) return false;
        if (expected.length > 0 && (audio.endSample as number) !== end) return false;
        for (const drop of drops) {
          audio.dropBefore(Math.min(end, start + drop) as Samples);
          if (!same()) return false;
        }
        return true;
      },
    ),
  );
  t.end();
});

test('repeats without end are cut to one, numbers and emphasis stay', async (t) => {
  const table: readonly [string, string][] = [
    ['thank you thank you thank you thank you', 'thank you'],
    ['Thank you. Thank you. Thank you. Thank', 'Thank you.'],
    ['Okay so the the the the the the the train', 'Okay so the train'],
    ['I said no no no', 'I said no no no'],
    ['no, no, no, no, no', 'no, no, no, no, no'],
    ['very very nice', 'very very nice'],
    ['five five five five five five five', 'five five five five five five five'],
    ['0 0 0 0 0 0 0 0 0', '0 0 0 0 0 0 0 0 0'],
    ['one two one two one two', 'one two one two one two'],
    ['A A A A A A B', 'A A A A A A B'],
    ['see you later see you later see you later alligator', 'see you later alligator'],
    ['go on go on go on go away', 'go on go away'],
    [
      'ありがとうございました。ありがとうございました。ありがとうございました。ありがとうございました。ありがとうございました。ありがとうございました。',
      'ありがとうございました。',
    ],
    ['', ''],
    ['  two  spaces ', 'two  spaces'],
  ];
  for (const [given, wanted] of table) t.equal(stripRepeats(given), wanted, given);
  const words = ['we', 'go', 'by', 'train', 'today', 'again', 'with', 'Anna', 'and', 'Ben'];
  fc.assert(
    fc.property(
      fc.shuffledSubarray(words),
      fc.nat(10),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 6, max: 12 }),
      (line, at, length, times) => {
        const phrase = line.slice(at, at + length).join(' ');
        const repeated = [...line.slice(0, at), ...Array(times).fill(phrase), ...line.slice(at + length)].join(' ').trim();
        return stripRepeats(line.join(' ')) === line.join(' ') && stripRepeats(repeated) === line.join(' ');
      },
    ),
  );
  const long = (size: number) => Array.from({ length: size }, (_, i) => (i % 7 === 0 ? 'word' : '7')).join(' ');
  const ratio = await growth((size) => stripRepeats(long(size)), 5000);
  t.ok(ratio < 9, `four times the words cost ${ratio.toFixed(1)} times the time`);
});

test('phantoms are dropped where there was hardly speech', (t) => {
  const bounds = { phantomSpeechMs: ms(200), phantomNoSpeechRatio: 0.6 };
  const table: readonly [string, number | undefined, Ms | undefined, string][] = [
    ['Thank you.', undefined, undefined, 'Thank you.'],
    ['Thank you.', 0.61, undefined, ''],
    ['Thank you.', 0.6, ms(200), 'Thank you.'],
    ['Thank you.', 0, ms(199), ''],
    ['you', 0.9, ms(900), ''],
    ['Thanks for watching!', 0.1, ms(100), ''],
    ['Thank you. Thank you. Thank you.', 0.9, undefined, ''],
    ['Parley, Anna', 0.9, undefined, ''],
    ['Anna', 0.9, undefined, 'Anna'],
    ['Thank you, Anna.', 0.9, ms(100), 'Thank you, Anna.'],
    ['No.', 0.9, ms(100), 'No.'],
    ['[BLANK_AUDIO]', 0, ms(900), ''],
    ['(coughing)', 0, ms(900), ''],
    ['(555) 123-4567', 0, ms(900), '(555) 123-4567'],
    ['[unintelligible]', 0.9, ms(100), '[unintelligible]'],
    ['♪ la la ♪', 0, undefined, ''],
  ];
  for (const [given, noSpeechRatio, speechMs, wanted] of table) {
    t.equal(
      cleanText(given, { noSpeechRatio, speechMs, keywords: ['Parley', 'Anna'] }, bounds),
      wanted,
      `${given} ${noSpeechRatio} ${speechMs}`,
    );
  }
  t.end();
});

test('what the gate saw is told at the pause', async (t) => {
  for (const [speechMs, text] of [
    [150, ''],
    [450, 'Thank you.'],
  ] as const) {
    const { transcriber, transcripts, push, turn } = scene();
    push(400);
    turn.pause(ms(speechMs));
    await transcriber.requests[0]!.answer({ text: 'Thank you.', noSpeechRatio: 0.2 });
    t.same(said(transcripts), [`${text}!`]);
    turn.close();
  }
});

type Step =
  | { readonly do: 'push' | 'wait'; readonly ms: number }
  | { readonly do: 'pause' | 'resume' | 'close' }
  | { readonly do: 'answer' | 'fail'; readonly which: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('push' as const), ms: fc.integer({ min: 1, max: 60 }).map((n) => n * 20) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(10, 100, 599, 600, 3000) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pause' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('resume' as const) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('answer' as const, 'fail' as const), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const) }) },
);

test('for any order of events: one partial at a time, never back in time, finals only while the pause lasts, silence after close', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.boolean(), async (steps, shortTurns) => {
      const { timers, transcriber, transcripts, problems, turn, push, now } = scene(
        shortTurns ? { freezeAfterMs: ms(1500), audioMaxMs: ms(4000) } : {},
      );
      let paused = false;
      let closed = false;
      let pausedAt = 0;
      let seen = 0;
      for (const one of steps) {
        const before = transcripts.length + problems.length;
        const wasPaused = paused;
        if (one.do === 'push') push(one.ms);
        else if (one.do === 'wait') await timers.advance(one.ms);
        else if (one.do === 'pause') {
          if (!paused) pausedAt = now();
          paused = true;
          turn.pause();
        } else if (one.do === 'resume') {
          paused = false;
          turn.resume();
        } else if (one.do === 'close') {
          closed = true;
          turn.close();
        } else if (one.do === 'answer' || one.do === 'fail') {
          const waiting = transcriber.requests.filter((request) => !request.done);
          const request = waiting[one.which % Math.max(1, waiting.length)];
          if (one.do === 'answer') await request?.answer({ text: `heard ${request.audio.length}` });
          else await request?.fail(error((['server', 'rejected', 'rate_limited'] as const)[one.which % 3]!));
        }
        const after = transcripts.length + problems.length;
        const { live } = transcriber;
        if (closed && (after !== before || live.length > 0 || timers.pending > 0))
          throw new Error('something was left after close');
        if (!paused && live.length > 1) throw new Error(`${live.length} requests while the caller speaks`);
        if (live.length > 3) throw new Error(`${live.length} requests in a pause`);
        for (; seen < transcripts.length; seen += 1) {
          const transcript = transcripts[seen]!;
          if (seen > 0 && transcript.lastSample < transcripts[seen - 1]!.lastSample) throw new Error('back in time');
          if (transcript.lastSample > now()) throw new Error('from the future');
          if (!transcript.isFinal) continue;
          if (!paused || (!wasPaused && one.do !== 'pause')) throw new Error('a final although speech went on');
          if (transcript.lastSample < pausedAt) throw new Error('a final that is not of all the audio');
        }
      }
      turn.close();
      if (transcriber.live.length > 0 || timers.pending > 0) throw new Error('close left something behind');
    }),
    { numRuns: 400 },
  );
  t.pass();
});

test('the provider shares one allowance among its turns and closes them with itself', async (t) => {
  const transcriber = new HandTranscriber();
  const timers = new VirtualTimers();
  const provider = new RequestProvider(transcriber, { timers, allowance: { hedgeRatioMax: 1 } });
  t.equal(provider.name, 'hand');
  await provider.warm(settings);
  const transcripts: Transcript[] = [];
  const options = { settings, onTranscript: (transcript: Transcript) => transcripts.push(transcript), onProblem: t.fail };
  const first = provider.openTurn(options);
  const second = provider.openTurn(options);
  for (const turn of [first, second]) {
    turn.push(new Int16Array(8000), samples(0));
    turn.pause(ms(300));
  }
  t.equal(provider.counts.requests, 2);
  await transcriber.requests[0]!.answer({ text: 'first' });
  first.resume();
  first.close();
  await provider.close();
  t.equal(transcriber.live.length, 0);
  t.equal(timers.pending, 0);
  t.equal(transcriber.closed, true);
  t.same(said(transcripts), ['first!']);
});
