import type { Test } from 'tap';
import { test } from 'tap';
import type { EngineError } from '../src/shared/errors.js';
import { hz, ms } from '../src/shared/units.js';
import type { FliteVoice } from '../src/tts/embedded/flite.js';
import { loadFlite } from '../src/tts/embedded/flite.js';
import type { EmbeddedTtsOptions } from '../src/tts/embedded/provider.js';
import { EmbeddedTts } from '../src/tts/embedded/provider.js';
import type { TtsChunk, TtsStream, TtsVoice } from '../src/tts/port.js';

const voice: TtsVoice = { voiceId: 'kal16', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.75 };
const pieces = ['Hello there, ', 'my name is Anna. ', 'How can I help you today?'];

type Listener = {
  readonly stream: TtsStream;
  readonly chunks: TtsChunk[];
  /** Resolves with the problem, or `undefined` at the end. */
  readonly over: Promise<EngineError | undefined>;
  /** Resolves when that many chunks have come. */
  arrived(count: number): Promise<void>;
};

function listen(provider: EmbeddedTts, options: { voice?: TtsVoice; onChunk?: (chunk: TtsChunk) => void } = {}): Listener {
  const chunks: TtsChunk[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  let settle: (error: EngineError | undefined) => void = () => {};
  const over = new Promise<EngineError | undefined>((resolve) => {
    settle = resolve;
  });
  const stream = provider.openStream({
    voice: options.voice ?? voice,
    preferredRateHz: hz(16000),
    onChunk: (chunk) => {
      chunks.push(chunk);
      options.onChunk?.(chunk);
      for (const wait of waiting) if (chunks.length >= wait.count) wait.resolve();
    },
    onEnd: () => settle(undefined),
    onProblem: (error) => settle(error),
  });
  const arrived = (count: number): Promise<void> =>
    new Promise((resolve) => {
      if (chunks.length >= count) resolve();
      else waiting.push({ count, resolve });
    });
  return { stream, chunks, over, arrived };
}

const withProvider =
  (body: (t: Test, provider: EmbeddedTts) => Promise<void>, options: EmbeddedTtsOptions = {}) =>
  async (t: Test) => {
    const provider = new EmbeddedTts({ defaultVoice: 'kal16', ...options });
    try {
      await body(t, provider);
    } finally {
      await provider.close();
    }
  };

const audioOf = (chunks: readonly TtsChunk[]): Int16Array => {
  const audio = new Int16Array(chunks.reduce((sum, chunk) => sum + chunk.audio.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    audio.set(chunk.audio, at);
    at += chunk.audio.length;
  }
  return audio;
};

const spokenDirectly = async (texts: readonly string[], name: FliteVoice = 'kal16'): Promise<Int16Array> => {
  const flite = await loadFlite();
  const chunks = texts.map((text) => ({ audio: flite.synthesise(text, { voice: name }).audio, rateHz: hz(16000) }));
  return audioOf(chunks);
};

test(
  'a reply: every sample in order, then the end; alignment covers the words',
  withProvider(async (t, provider) => {
    await provider.warm();
    const { stream, chunks, over } = listen(provider);
    for (const piece of pieces) stream.write(piece);
    stream.finish();
    t.equal(await over, undefined);
    t.ok(Buffer.from(audioOf(chunks).buffer).equals(Buffer.from((await spokenDirectly(pieces)).buffer)), 'the very samples');
    t.same(
      chunks.map((chunk) => chunk.pieceIndex),
      chunks.map((chunk) => chunk.pieceIndex).sort(),
    );

    const written = pieces.join('');
    const times = chunks.flatMap((chunk) => chunk.alignment ?? []);
    t.same(
      times.map((time) => time.charIndex),
      [...new Set(times.map((time) => time.charIndex))].sort((one, other) => one - other),
      'each character once, in order',
    );
    const letters = [...written.matchAll(/[a-z]/gi)].map((match) => match.index);
    const timed = new Set(times.map((time) => time.charIndex));
    t.same(
      letters.filter((index) => !timed.has(index)),
      [],
      'every letter has a time',
    );
    for (const chunk of chunks) {
      const chunkMs = (chunk.audio.length * 1000) / chunk.rateHz;
      t.ok(chunkMs <= 400);
      for (const time of chunk.alignment ?? []) t.ok(time.startMs >= -1e-6 && time.startMs <= chunkMs + 1e-6);
    }
  }),
);

test(
  'chunks own their samples',
  withProvider(async (t, provider) => {
    const { stream, chunks, over } = listen(provider, { onChunk: (chunk) => void structuredClone(chunk.audio.slice(0)) });
    stream.write('This sentence is long enough for more than one chunk.');
    stream.finish();
    await over;
    t.ok(chunks.length > 3);
    t.ok(chunks.every((chunk) => chunk.audio.byteLength === chunk.audio.buffer.byteLength));
  }),
);

test(
  'a stream that ends without text, or with nothing to say, ends',
  withProvider(async (t, provider) => {
    for (const texts of [[], ['😀'], ['', ' ', '...']]) {
      const { stream, chunks, over } = listen(provider);
      for (const text of texts) stream.write(text);
      stream.finish();
      t.equal(await over, undefined);
      t.equal(chunks.length, 0);
    }
  }),
);

test(
  'nothing comes after abort, not even what was in the pool, and others go on',
  withProvider(async (t, provider) => {
    const victim = listen(provider);
    victim.stream.write('This will never be heard. ');
    victim.stream.abort();
    victim.stream.write('Nor this.');
    victim.stream.finish();
    const cutMidway = listen(provider, { onChunk: () => cutMidway.stream.abort() });
    cutMidway.stream.write('Only the first four hundred milliseconds of this are heard.');
    const survivor = listen(provider);
    survivor.stream.write(pieces[0] ?? '');
    survivor.stream.finish();
    t.equal(await survivor.over, undefined);
    t.ok(survivor.chunks.length > 0);
    t.equal(victim.chunks.length, 0);
    t.equal(cutMidway.chunks.length, 1);
  }),
);

test(
  'a paused stream delivers nothing and does not end; afterwards everything is there',
  withProvider(async (t, provider) => {
    const paused = listen(provider, {
      onChunk: () => {
        if (paused.chunks.length === 2) paused.stream.setPaused(true);
      },
    });
    for (const piece of pieces) paused.stream.write(piece);
    paused.stream.finish();
    await paused.arrived(2);
    // Another reply goes through the whole pool meanwhile, so the paused one had every chance to go on.
    const other = listen(provider);
    for (const piece of pieces) other.stream.write(piece);
    other.stream.finish();
    await other.over;
    t.equal(paused.chunks.length, 2);
    paused.stream.setPaused(false);
    t.equal(await paused.over, undefined);
    t.ok(Buffer.from(audioOf(paused.chunks).buffer).equals(Buffer.from(audioOf(other.chunks).buffer)));
  }),
);

test(
  'the first piece of a reply goes before later pieces of others',
  withProvider(async (t, provider) => {
    const order: string[] = [];
    const long = listen(provider, { onChunk: (chunk) => order.push(`long ${chunk.pieceIndex}`) });
    for (let index = 0; index < 6; index += 1) long.stream.write(`Sentence number ${index} of a long story. `);
    long.stream.finish();
    const short = listen(provider, { onChunk: () => order.push('short') });
    short.stream.write('Yes.');
    short.stream.finish();
    await Promise.all([long.over, short.over]);
    t.ok(order.indexOf('short') < order.indexOf('long 1'), order.join(', '));
  }),
);

test(
  'a voice of another provider is spoken by the default one, a known one by itself',
  withProvider(async (t, provider) => {
    for (const [voiceId, expected] of [
      ['21m00Tcm4TlvDq8ikWAM', 'kal16'],
      ['', 'kal16'],
      ['slt', 'slt'],
    ] as const) {
      const { stream, chunks, over } = listen(provider, { voice: { ...voice, voiceId } });
      stream.write('Yes.');
      stream.finish();
      await over;
      t.ok(Buffer.from(audioOf(chunks).buffer).equals(Buffer.from((await spokenDirectly(['Yes.'], expected)).buffer)), voiceId);
    }
  }),
);

test(
  'too many waiting replies are refused one by one',
  withProvider(
    async (t, provider) => {
      const listeners = Array.from({ length: 5 }, () => listen(provider));
      for (const { stream } of listeners) {
        stream.write('Yes.');
        stream.finish();
      }
      const outcomes = await Promise.all(listeners.map((listener) => listener.over));
      // One in the pool, two waiting.
      t.same(
        outcomes.map((error) => error?.kind),
        [undefined, undefined, undefined, 'rate_limited', 'rate_limited'],
      );
    },
    { streamsWaitingMax: 2 },
  ),
);

test(
  'a piece that takes too long fails its stream, and the next reply is spoken by a new thread',
  withProvider(
    async (t, provider) => {
      const slow = listen(provider, { voice: { ...voice, voiceId: 'rms' } });
      slow.stream.write('word '.repeat(10_000));
      slow.stream.finish();
      t.equal((await slow.over)?.kind, 'timeout');
      const next = listen(provider);
      next.stream.write('Yes.');
      next.stream.finish();
      t.equal(await next.over, undefined);
      t.ok(next.chunks.length > 0);
    },
    // The new thread has to start and speak within it, on a slow machine too.
    { pieceDeadlineMs: ms(6000) },
  ),
);

test(
  'a reply beyond the bound is refused',
  withProvider(async (t, provider) => {
    const { stream, over } = listen(provider);
    stream.write('a'.repeat(70_000));
    t.equal((await over)?.kind, 'garbage');
  }),
);

test('close in the middle: no callback any more', async (t) => {
  const provider = new EmbeddedTts({ defaultVoice: 'kal16' });
  let calls = 0;
  const stream = provider.openStream({
    voice,
    preferredRateHz: hz(16000),
    onChunk: () => (calls += 1),
    onEnd: () => (calls += 1),
    onProblem: () => (calls += 1),
  });
  stream.write('This is in the pool. ');
  stream.write('This waits.');
  await provider.close();
  stream.write('This comes too late.');
  stream.finish();
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(calls, 0);
});
