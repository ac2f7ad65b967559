/** Several providers for one job: breakers, the order of asking, hedges, and what the callers of each stage see. */
import { test } from 'tap';
import { FailoverLlm } from '../src/llm/failover.js';
import type { LlmDelta, LlmProvider, LlmRequest } from '../src/llm/port.js';
import { EngineError, type FailureKind } from '../src/shared/errors.js';
import { Breaker, breakerDefaults, Candidates, type FailoverReport, HedgeBudget, Lateness } from '../src/shared/failover.js';
import type { Timers } from '../src/shared/timers.js';
import { hz, type Ms, ms } from '../src/shared/units.js';
import { FailoverTranscriber } from '../src/stt/failover.js';
import type { Transcriber } from '../src/stt/port.js';
import { FailoverTts } from '../src/tts/failover.js';
import type { TtsProvider, TtsStream, TtsStreamOptions, TtsVoice } from '../src/tts/port.js';

class Clock {
  atMs = 0;
  readonly #due: { atMs: number; run: () => void }[] = [];
  readonly timers: Timers = {
    nowMs: () => ms(this.atMs),
    after: (delayMs, run) => {
      const entry = { atMs: this.atMs + delayMs, run };
      this.#due.push(entry);
      return () => void this.#due.splice(this.#due.indexOf(entry) >>> 0, 1);
    },
  };

  get pending(): number {
    return this.#due.length;
  }

  advance(durationMs: number): void {
    this.atMs += durationMs;
    for (const entry of this.#due.filter(({ atMs }) => atMs <= this.atMs)) {
      this.#due.splice(this.#due.indexOf(entry), 1);
      entry.run();
    }
  }
}

type Told = { readonly counted: string[]; readonly states: [string, boolean][]; readonly report: FailoverReport };
function ear(): Told {
  const counted: string[] = [];
  const states: [string, boolean][] = [];
  return {
    counted,
    states,
    report: {
      count: (name, labels) => counted.push(`${name} ${labels}`),
      onState: (name, isOpen) => states.push([name, isOpen]),
    },
  };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('the breaker', (t) => {
  const at = (durationMs: number): Ms => ms(durationMs);
  const breaker = new Breaker();
  for (const kind of ['server', 'refused'] as const) breaker.failed(kind, undefined, at(0));
  t.ok(breaker.isUsable(at(0)), 'two failures are not enough');
  breaker.succeeded();
  for (const kind of ['timeout', 'broken'] as const) breaker.failed(kind, undefined, at(0));
  t.ok(breaker.isUsable(at(0)), 'a success begins anew');
  breaker.failed('garbage', undefined, at(0));
  t.equal(breaker.state, 'open');
  t.notOk(breaker.isUsable(at(100_000)), 'time alone does not close it');
  t.notOk(breaker.takeProbe(at(4999)));
  t.ok(breaker.takeProbe(at(5000)));
  t.notOk(breaker.takeProbe(at(9999)), 'one probe in five seconds');
  breaker.probeSucceeded();
  t.ok(breaker.isUsable(at(10_000)), 'the next request decides');
  breaker.failed('server', undefined, at(10_000));
  t.equal(breaker.state, 'open', 'one failure is enough on trial');
  breaker.probeSucceeded();
  breaker.succeeded();
  t.equal(breaker.state, 'closed');

  breaker.failed('rate_limited', 5000, at(20_000));
  t.equal(breaker.state, 'closed', '429 does not count');
  t.notOk(breaker.isUsable(at(24_999)));
  t.ok(breaker.isUsable(at(25_000)));
  breaker.failed('rate_limited', 3_600_000, at(30_000));
  t.ok(breaker.isUsable(at(30_000 + breakerDefaults.holdMaxMs)), 'nobody is spared for an hour');
  breaker.failed('aborted', undefined, at(0));
  const wrongKey = new Breaker();
  wrongKey.failed('rejected', undefined, at(0));
  t.equal(wrongKey.state, 'open', 'what is configured wrong is wrong the next time too');
  t.end();
});

test('the budget of hedges, and when a request is late', (t) => {
  const budget = new HedgeBudget(0.05, 5);
  let hedges = 0;
  for (let request = 0; request < 1000; request++) {
    budget.request();
    if (budget.take()) hedges += 1;
  }
  t.ok(hedges > 40 && hedges <= 50, `${hedges} of 1000`);
  for (let request = 0; request < 10_000; request++) budget.request();
  let burst = 0;
  while (budget.take()) burst += 1;
  t.equal(burst, 5, 'quiet times do not add up without end');

  const lateness = new Lateness(400, 1500);
  for (let count = 0; count < 19; count++) lateness.note(100);
  t.equal(lateness.p95Ms, 1500, 'too few to know');
  for (let count = 0; count < 100; count++) lateness.note(count < 80 ? 100 : 900);
  t.equal(lateness.p95Ms, 900);
  for (let count = 0; count < 200; count++) lateness.note(100);
  t.equal(lateness.p95Ms, 400, 'never hasty');
  t.end();
});

type Script = readonly (LlmDelta | FailureKind | 'wait')[];

class ScriptedLlm implements LlmProvider {
  readonly name: string;
  readonly models: string[] = [];
  aborted = 0;
  closed = 0;
  warmed = 0;
  isWarmable = true;
  script: Script = [];

  constructor(name: string) {
    this.name = name;
  }

  async warm(): Promise<void> {
    this.warmed += 1;
    if (!this.isWarmable) throw new EngineError('refused', 'away');
  }

  async *stream(request: LlmRequest): AsyncGenerator<LlmDelta> {
    this.models.push(request.model);
    for (const step of this.script) {
      if (step === 'wait') {
        await new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve()));
        this.aborted += 1;
        throw new EngineError('aborted', 'stopped');
      }
      if (typeof step === 'string') throw new EngineError(step, `${this.name} failed`);
      yield step;
    }
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}

const text = (words: string): LlmDelta => ({ type: 'text', text: words });
const over: LlmDelta = { type: 'end', finish: 'stop' };
const requestOf = (signal = new AbortController().signal): LlmRequest => ({
  messages: [],
  tools: [],
  model: 'chosen',
  temperature: 0,
  maxTokens: 100,
  signal,
});

async function wordsOf(llm: LlmProvider, request = requestOf()): Promise<string> {
  let words = '';
  for await (const delta of llm.stream(request)) if (delta.type === 'text') words += delta.text;
  return words;
}

function twoModels(clock: Clock, isHedged = false) {
  const first = new ScriptedLlm('first');
  const second = new ScriptedLlm('second');
  first.script = [text('first'), over];
  second.script = [text('second'), over];
  const told = ear();
  const list = [first, second].map((provider) => ({ name: provider.name, provider: provider as LlmProvider }));
  const candidates = new Candidates<LlmProvider>('llm', list, (provider) => provider.warm(), told.report, clock.timers.nowMs);
  return { first, second, told, llm: new FailoverLlm(candidates, { isHedged, timers: clock.timers }) };
}

test('a language model that fails before its first word is replaced', async (t) => {
  const clock = new Clock();
  const { first, second, told, llm } = twoModels(clock);
  t.equal(await wordsOf(llm), 'first');
  first.script = ['server'];
  for (let turn = 0; turn < 4; turn++) t.equal(await wordsOf(llm), 'second');
  t.equal(first.models.length, 4, 'after three failures it is not asked any more');
  t.same(second.models, ['', '', '', ''], 'the name of a model is the first choice’s');
  t.same(told.states, [['first', true]]);
  clock.advance(5000);
  first.isWarmable = false;
  t.equal(await wordsOf(llm), 'second');
  t.equal(first.warmed, 1, 'probed beside, nobody waits for it');
  clock.advance(5000);
  first.isWarmable = true;
  first.script = [text('back'), over];
  t.equal(await wordsOf(llm), 'second');
  await settle();
  t.equal(await wordsOf(llm), 'back');
  t.same(told.states.at(-1), ['first', false]);

  first.script = [text('half'), 'broken'];
  await t.rejects(wordsOf(llm), /first failed/, 'no answer is put together from two');
  first.script = ['rejected'];
  second.script = ['refused'];
  await t.rejects(wordsOf(llm), { message: 'second failed' });
  await t.rejects(wordsOf(llm), { message: 'second failed' }, 'when none is well all are asked');
  await llm.close();
  t.same([first.closed, second.closed], [1, 1]);
  t.equal(clock.pending, 0);
});

test('a language model that is late is asked beside the second, within the budget', async (t) => {
  const clock = new Clock();
  const { first, second, told, llm } = twoModels(clock, true);
  for (let turn = 0; turn < 20; turn++) await wordsOf(llm);
  first.script = ['wait'];
  const late = wordsOf(llm);
  await settle();
  clock.advance(1500);
  t.equal(await late, 'second');
  t.equal(first.aborted, 1, 'the one that lost is ended');
  t.equal(told.counted.filter((line) => line.startsWith('parley_provider_hedges_total')).length, 1);
  const stopper = new AbortController();
  const again = wordsOf(llm, requestOf(stopper.signal));
  await settle();
  clock.advance(1500);
  await settle();
  t.equal(second.models.length, 1, 'the budget is spent');
  stopper.abort();
  await t.rejects(again, /stopped/);
  t.equal(first.aborted, 2);
  t.equal(clock.pending, 0, 'no timer is left');
});

test('a caller who leaves the loop ends the request', async (t) => {
  const { first, llm } = twoModels(new Clock());
  let ended = false;
  first.stream = async function* () {
    try {
      yield text('one');
      yield text('two');
    } finally {
      ended = true;
    }
  };
  for await (const delta of llm.stream(requestOf())) {
    t.match(delta, { text: 'one' });
    break;
  }
  t.ok(ended);
});

test('a recogniser that fails or is late is replaced', async (t) => {
  const clock = new Clock();
  const scripted = (name: string, run: Transcriber['transcribe']): { name: string; provider: Transcriber } => ({
    name,
    provider: { name, warm: async () => undefined, transcribe: run, close: async () => undefined },
  });
  let answer: 'fails' | 'hangs' = 'fails';
  const told = ear();
  const list = [
    scripted('first', async ({ signal }) => {
      if (answer === 'fails') throw new EngineError('server', 'no');
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      throw new EngineError('aborted', 'stopped');
    }),
    scripted('second', async () => ({ text: 'heard' })),
  ];
  const stt = new FailoverTranscriber(
    new Candidates('stt', list, async () => undefined, told.report, clock.timers.nowMs),
    clock.timers,
    ms(1000),
  );
  const ask = (signal = new AbortController().signal) =>
    stt.transcribe({ audio: new Int16Array(1), rateHz: hz(16_000), settings: { language: 'en', keywords: [] }, signal });
  t.same(await ask(), { text: 'heard' });
  answer = 'hangs';
  const slow = ask();
  await settle();
  clock.advance(1000);
  t.same(await slow, { text: 'heard' });
  t.match(told.counted, [/kind="server"/, /fallbacks/, /kind="timeout"/, /fallbacks/]);
  const stopper = new AbortController();
  const stopped = ask(stopper.signal);
  await settle();
  stopper.abort();
  await t.rejects(stopped, /stopped/, 'whoever stops it gets no second recogniser');
  t.equal(clock.pending, 0);
});

const voice: TtsVoice = { voiceId: 'v', modelId: 'm', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.8 };

class ScriptedTts implements TtsProvider {
  readonly name: string;
  readonly streams: { options: TtsStreamOptions; written: string[]; isFinished: boolean; isAborted: boolean }[] = [];
  failsOnWrite = false;

  constructor(name: string) {
    this.name = name;
  }

  warm = async (): Promise<void> => undefined;
  close = async (): Promise<void> => undefined;

  openStream(options: TtsStreamOptions): TtsStream {
    const stream = { options, written: [] as string[], isFinished: false, isAborted: false };
    this.streams.push(stream);
    return {
      write: (words) => {
        stream.written.push(words);
        if (this.failsOnWrite) options.onProblem(new EngineError('refused', 'no'));
      },
      finish: () => (stream.isFinished = true),
      abort: () => (stream.isAborted = true),
      setPaused: () => undefined,
    };
  }
}

test('a synthesiser that fails before its first audio is replaced, with all that was written', (t) => {
  const [first, second] = [new ScriptedTts('first'), new ScriptedTts('second')];
  const told = ear();
  const list = [first, second].map((provider) => ({ name: provider.name, provider: provider as TtsProvider }));
  const tts = new FailoverTts(
    new Candidates(
      'tts',
      list,
      async () => undefined,
      told.report,
      () => ms(0),
    ),
  );
  const heard: string[] = [];
  const open = () =>
    tts.openStream({
      voice,
      preferredRateHz: hz(16_000),
      onChunk: () => heard.push('audio'),
      onEnd: () => heard.push('end'),
      onProblem: ({ kind }) => heard.push(kind),
    });
  const chunk = { audio: new Int16Array(1), rateHz: hz(16_000) };

  const stream = open();
  stream.write('One. ');
  stream.write('Two. ');
  stream.finish();
  first.streams[0]!.options.onProblem(new EngineError('server', 'no'));
  t.same(second.streams[0]!.written, ['One. ', 'Two. ']);
  t.ok(second.streams[0]!.isFinished);
  t.match(second.streams[0]!.options.voice, { voiceId: '', modelId: '', language: 'en' });
  first.streams[0]!.options.onChunk(chunk);
  t.same(heard, [], 'the one that failed is not heard any more');
  second.streams[0]!.options.onChunk(chunk);
  second.streams[0]!.options.onProblem(new EngineError('broken', 'no'));
  t.same(heard.splice(0), ['audio', 'broken'], 'after its first audio it is reported');

  first.failsOnWrite = true;
  const inside = open();
  inside.write('Three. ');
  t.same(second.streams[1]!.written, ['Three. '], 'also when it fails inside write');
  inside.write('Four. ');
  t.same(second.streams[1]!.written, ['Three. ', 'Four. '], 'each piece once');
  inside.abort();
  t.ok(second.streams[1]!.isAborted);
  second.streams[1]!.options.onChunk(chunk);
  t.same(heard, []);
  t.end();
});
