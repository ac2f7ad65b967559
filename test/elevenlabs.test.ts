import fc from 'fast-check';
import type { Test } from 'tap';
import { test } from 'tap';
import type { EngineError } from '../src/shared/errors.js';
import { hz } from '../src/shared/units.js';
import { type ElevenLabsOptions, ElevenLabsTts } from '../src/tts/elevenlabs.js';
import { parseServerMessage, SentText } from '../src/tts/elevenlabs-messages.js';
import type { CharTime, TtsChunk, TtsStream, TtsVoice } from '../src/tts/port.js';
import { SampleJoiner } from '../src/tts/sample-joiner.js';
import { promised } from './support/promised.js';
import { type Behaviour, charMs, SynthesisServer } from './support/synthesis-server.js';

const key = 'xi-secret-canary';
const voice: TtsVoice = { voiceId: 'anna', modelId: '', language: 'en', speed: 1.1, stability: 0.4, similarityBoost: 0.8 };
const rateHz = hz(16000);

type Listener = {
  readonly stream: TtsStream;
  readonly chunks: TtsChunk[];
  /** Resolves with the problem, or `undefined` at the end. */
  readonly over: Promise<EngineError | undefined>;
  readonly first: Promise<TtsChunk>;
  calls: number;
};

function listen(provider: ElevenLabsTts, onChunk: () => void = () => {}): Listener {
  const over = promised<EngineError | undefined>();
  const first = promised<TtsChunk>();
  const chunks: TtsChunk[] = [];
  const stream = provider.openStream({
    voice,
    preferredRateHz: rateHz,
    onChunk: (chunk) => {
      listener.calls += 1;
      chunks.push(chunk);
      first.resolve(chunk);
      onChunk();
    },
    onEnd: () => {
      listener.calls += 1;
      over.resolve(undefined);
    },
    onProblem: (error) => {
      listener.calls += 1;
      over.resolve(error);
    },
  });
  const listener: Listener = { stream, chunks, over: over.promise, first: first.promise, calls: 0 };
  return listener;
}

/** What was spoken, read back from the samples. */
function spoken(chunks: readonly TtsChunk[]): string {
  const samples = chunks.flatMap((chunk) => [...chunk.audio]);
  const perChar = (rateHz * charMs) / 1000;
  return samples
    .filter((_, index) => index % perChar === 0)
    .map((unit) => String.fromCharCode(unit & 0xffff))
    .join('');
}

/** Where each character of the written text sounds, in milliseconds from the start of the audio. */
function timesOf(chunks: readonly TtsChunk[]): CharTime[] {
  let atMs = 0;
  return chunks.flatMap((chunk) => {
    const startMs = atMs;
    atMs += (chunk.audio.length * 1000) / chunk.rateHz;
    return (chunk.alignment ?? []).map((time) => ({ ...time, startMs: (time.startMs + startMs) as CharTime['startMs'] }));
  });
}

const withServer =
  (
    behaviour: Partial<Behaviour>,
    body: (t: Test, server: SynthesisServer, provider: ElevenLabsTts) => Promise<void>,
    options: Partial<ElevenLabsOptions> = {},
  ) =>
  async (t: Test) => {
    const server = await SynthesisServer.open(behaviour);
    const provider = new ElevenLabsTts({ apiKey: key, baseUrl: server.url, backOffMinMs: 10, ...options });
    try {
      await body(t, server, provider);
      t.same(server.violations, [], 'the service has nothing to complain of');
    } finally {
      await provider.close();
      await server.close();
    }
  };

const write = (listener: Listener, ...texts: string[]): void => {
  for (const text of texts) listener.stream.write(text);
  listener.stream.finish();
};

test(
  'a reply: settings first, whole segments at once, every character in its place, then the end (P1, P5)',
  withServer({}, async (t, server, provider) => {
    await provider.warm(voice, rateHz);
    const listener = listen(provider);
    const context = await server.context(1);
    t.same(context.texts, [], 'the context is opened before there is text');
    t.same(context.settings, { stability: 0.4, similarity_boost: 0.8, speed: 1.1 });
    write(listener, 'Sure, ', 'let me check.', ' One moment 👍 please.');
    t.equal(await listener.over, undefined);
    t.same(context.texts, ['Sure, ', 'let me check. ', ' One moment 👍 please. ']);
    t.equal(spoken(listener.chunks), 'Sure, let me check.  One moment 👍 please. ');
    t.same(context.log.at(-1), 'final');
    t.ok(context.log.indexOf('close') > context.log.indexOf('audio'));
    t.equal(server.sockets.length, 1);

    const written = 'Sure, let me check. One moment 👍 please.';
    const times = timesOf(listener.chunks);
    // One space was added behind "check." and one at the end; what follows the first sounds 10 ms later than it stands in the text.
    const added = 'Sure, let me check.'.length;
    t.same(
      times.map((time) => [time.charIndex, time.startMs]),
      [...written.matchAll(/./gsu)].map(({ index }) => [index, charMs * (index < added ? index : index + 1)]),
    );
    for (const chunk of listener.chunks) {
      const last = chunk.alignment?.at(-1)?.charIndex ?? 0;
      t.equal(chunk.pieceIndex, last < 6 ? 0 : last < 19 ? 1 : 2);
    }
  }),
);

test(
  'the request: voice in the path, format, model, language and auto mode in the query, the key in a header only (P12)',
  withServer({}, async (t, server, provider) => {
    await provider.warm({ ...voice, voiceId: 'a/b?', modelId: '', speed: 5 }, hz(12000));
    const { url, request } = server.sockets[0]!;
    t.equal(url.pathname, '/v1/text-to-speech/a%2Fb%3F/multi-stream-input');
    t.same(Object.fromEntries(url.searchParams), {
      model_id: 'eleven_flash_v2_5',
      output_format: 'pcm_16000',
      auto_mode: 'true',
      sync_alignment: 'true',
      inactivity_timeout: '60',
      language_code: 'en',
    });
    t.equal(request.headers['xi-api-key'], key);
    t.notMatch(request.url, key);
    await provider.warm({ ...voice, modelId: 'eleven_multilingual_v2' }, hz(48000));
    t.equal(server.sockets[1]?.url.searchParams.get('language_code'), null);
    t.equal(server.sockets[1]?.url.searchParams.get('output_format'), 'pcm_48000');
  }),
);

for (const alignment of ['own', 'other_spelling', 'normalized_only', 'null', 'none'] as const) {
  for (const messageBytes of [1600, 101, 333]) {
    test(
      `samples split into ${messageBytes} bytes, alignment ${alignment} (P6, P7)`,
      withServer(
        { alignment, messageBytes },
        async (t, server, provider) => {
          const listener = listen(provider);
          write(listener, 'Hello there. ', 'All is well.');
          t.equal(await listener.over, undefined);
          t.equal(spoken(listener.chunks), 'Hello there. All is well. ');
          const indices = timesOf(listener.chunks).map((time) => time.charIndex);
          const isTimed = alignment !== 'null' && alignment !== 'none';
          t.same(indices, isTimed ? [...'Hello there. All is well.'].map((_, index) => index) : []);
          t.equal(server.contexts.length, 1);
        },
        { endSilenceMs: 200 },
      ),
    );
  }
}

test(
  'close_context waits for audio that answers the last text (P5)',
  withServer({ speaksAtOnce: false }, async (t, server, provider) => {
    const listener = listen(provider);
    const context = await server.context(1);
    listener.stream.write('First. ');
    await server.until(() => context.texts.length === 1);
    context.speak();
    await listener.first;
    listener.stream.write('Second.');
    listener.stream.finish();
    await server.until(() => context.log.includes('flush'));
    t.same(
      context.log.filter((entry) => entry !== 'audio'),
      ['text', 'text', 'flush'],
      'not closed',
    );
    context.speak();
    t.equal(await listener.over, undefined);
    t.same(context.log.slice(-2), ['close', 'final']);
    t.equal(spoken(listener.chunks), 'First. Second. ');
  }),
);

test(
  'close_context is sent after a deadline when the last text makes no sound',
  withServer(
    { speaksAtOnce: false, alignment: 'none' },
    async (t, server, provider) => {
      const listener = listen(provider);
      listener.stream.write('First. ');
      const context = await server.context(1);
      await server.until(() => context.texts.length === 1);
      context.speak();
      await listener.first;
      write(listener, 'Hm.');
      t.equal(await listener.over, undefined);
      t.ok(context.isClosed);
    },
    { closeDeadlineMs: 40 },
  ),
);

test(
  'no audio in time is an error of its own, and the context is closed',
  withServer(
    { speaksAtOnce: false },
    async (t, server, provider) => {
      const listener = listen(provider);
      write(listener, 'Hello.');
      t.equal((await listener.over)?.kind, 'timeout');
      await server.until(() => server.contexts[0]?.isClosed === true);
      t.equal(listener.calls, 1);
    },
    { firstAudioDeadlineMs: 60 },
  ),
);

test(
  'audio that stops in the middle is an error',
  withServer(
    { speaksAtOnce: false },
    async (t, server, provider) => {
      const listener = listen(provider);
      listener.stream.write('Hello there, this is long.');
      const context = await server.context(1);
      await server.until(() => context.texts.length === 1);
      context.speak(8);
      t.equal((await listener.over)?.kind, 'timeout');
      t.equal(spoken(listener.chunks), 'Hello th');
    },
    { gapDeadlineMs: 60 },
  ),
);

for (const alignment of ['own', 'null'] as const) {
  test(
    `the end is found without isFinal, alignment ${alignment} (P4)`,
    withServer(
      { finishesAtOnce: false, alignment },
      async (t, server, provider) => {
        const listener = listen(provider);
        write(listener, 'Hello.');
        t.equal(await listener.over, undefined);
        const context = await server.context(1);
        await server.until(() => context.isClosed);
        // Late audio of it goes nowhere.
        const { calls } = listener;
        context.say('late');
        context.final();
        const next = listen(provider);
        write(next, 'Next.');
        server.behaviour.finishesAtOnce = true;
        t.equal(await next.over, undefined);
        t.equal(listener.calls, calls);
      },
      { endSilenceMs: 50, endCoveredMs: 30 },
    ),
  );
}

test(
  'isFinal without audio: begun anew twice, then an error',
  withServer({ speaksAtOnce: false }, async (t, server, provider) => {
    const listener = listen(provider);
    write(listener, 'Hello there.', ' Again.');
    const first = await server.context(1);
    await server.until(() => first.log.includes('flush'));
    first.final();
    const second = await server.context(2);
    await server.until(() => second.log.includes('flush'));
    t.equal(second.texts.join(''), 'Hello there. Again. ');
    t.not(second.id, first.id);
    second.speak();
    t.equal(await listener.over, undefined);
    t.equal(spoken(listener.chunks), 'Hello there. Again. ');

    const other = listen(provider);
    write(other, 'Lost.');
    for (const count of [3, 4, 5]) {
      const context = await server.context(count);
      await server.until(() => context.log.includes('flush'));
      context.final();
    }
    t.equal((await other.over)?.kind, 'broken');
    t.equal(server.contexts.length, 5);
  }),
);

test(
  'a context that ends before its last piece is an error',
  withServer({ speaksAtOnce: false, finishesAtOnce: false }, async (t, server, provider) => {
    const listener = listen(provider);
    write(listener, 'First. ', 'Second.');
    const context = await server.context(1);
    await server.until(() => context.texts.length === 2);
    context.speak('First. '.length);
    await listener.first;
    context.final();
    t.equal((await listener.over)?.kind, 'broken');
  }),
);

test(
  'a context that the service ends between two texts is replaced',
  withServer({}, async (t, server, provider) => {
    const listener = listen(provider);
    listener.stream.write('First. ');
    const first = await server.context(1);
    await listener.first;
    first.final();
    // The client has seen it as soon as it answers on the next one.
    const other = listen(provider);
    write(other, 'x');
    await other.over;
    write(listener, 'Second.');
    t.equal(await listener.over, undefined);
    t.equal(spoken(listener.chunks), 'First. Second. ');
    t.same(
      timesOf(listener.chunks).map((time) => time.charIndex),
      [...'First. Second.'].map((_, index) => index),
      'indices go on over all that was written',
    );
  }),
);

test(
  'a cut: the id is ignored first, then closed; nothing late is heard; the next reply is a new id (P3)',
  withServer({ finishesAtOnce: false }, async (t, server, provider) => {
    const listener = listen(provider);
    listener.stream.write('This will be cut. ');
    const context = await server.context(1);
    await listener.first;
    listener.stream.abort();
    const { calls } = listener;
    context.say('already on its way');
    listener.stream.write('never');
    listener.stream.finish();
    await server.until(() => context.isClosed);
    context.say('later still');
    const next = listen(provider);
    write(next, 'Next.');
    const second = await server.context(2);
    t.equal(second.socket, context.socket, 'no new connection');
    t.not(second.id, context.id);
    await server.until(() => second.isClosed);
    context.say('and later');
    context.final();
    second.final();
    t.equal(await next.over, undefined);
    t.equal(spoken(next.chunks), 'Next. ');
    t.equal(listener.calls, calls);
    t.same(context.texts, ['This will be cut. ']);
  }),
);

test(
  'abort from within a callback is the last callback',
  withServer({ messageBytes: 320 }, async (t, server, provider) => {
    const listener = listen(provider, () => listener.stream.abort());
    listener.stream.write('Hello there.');
    await listener.first;
    await server.until(() => server.contexts[0]?.isClosed === true);
    t.equal(listener.calls, 1);
  }),
);

for (const finishesAtOnce of [true, false]) {
  test(
    `a storm of 50 cuts: never a sixth context, ${finishesAtOnce ? 'quick' : 'slow'} ends (P2, P3)`,
    withServer({ finishesAtOnce, speaksAtOnce: false }, async (t, server, provider) => {
      await provider.warm(voice, rateHz);
      const cut: Listener[] = [];
      for (let round = 0; round < 50; round += 1) {
        const listener = listen(provider);
        listener.stream.write(`Reply ${round}. `);
        cut.push(listener);
        if (round % 3 === 0) {
          const isIts = (context: { texts: string[] }): boolean => context.texts[0] === `Reply ${round}. `;
          await server.until(() => server.contexts.some(isIts));
          server.contexts.find(isIts)?.speak(4);
          await listener.first;
        }
        const { calls } = listener;
        listener.stream.abort();
        t.equal(listener.calls, calls);
      }
      const heard = cut.map((listener) => listener.calls);
      // Contexts end in any order, long after, with audio in between.
      await server.until(() => server.contexts.every((context) => context.isClosed || context.isOver));
      for (const context of [...server.contexts].reverse()) {
        if (context.isOver) continue;
        context.say('late');
        context.final();
      }
      server.behaviour.speaksAtOnce = true;
      server.behaviour.finishesAtOnce = true;
      const last = listen(provider);
      write(last, 'Last.');
      t.equal(await last.over, undefined);
      t.equal(spoken(last.chunks), 'Last. ');
      t.same(
        cut.map((listener) => listener.calls),
        heard,
      );
      t.ok(server.sockets.every((socket) => socket.contextsMost <= 5));
      if (finishesAtOnce) t.ok(server.sockets.length <= 3, `${server.sockets.length} sockets`);
    }),
  );
}

test(
  'conversations share sockets, five to one; the next socket is opened before it is needed',
  withServer({ finishesAtOnce: false }, async (t, server, provider) => {
    await provider.warm(voice, rateHz);
    const listeners = Array.from({ length: 12 }, () => listen(provider));
    await server.context(12);
    t.same(
      server.sockets.map((socket) => socket.contextsMost),
      [5, 5, 2],
    );
    await server.until(() => server.sockets.length === 3);
    const places = new Set(server.contexts.map((context) => context.socket));
    t.equal(places.size, 3);
    for (const listener of listeners) listener.stream.abort();
  }),
);

test(
  'when all places are taken a reply is refused, and a place that is given back is used',
  withServer(
    { finishesAtOnce: false },
    async (t, server, provider) => {
      const listeners = Array.from({ length: 6 }, () => listen(provider));
      const sixth = listeners[5]!;
      sixth.stream.write('No room.');
      t.equal((await sixth.over)?.kind, 'rate_limited');
      const first = await server.context(1);
      listeners[0]?.stream.abort();
      await server.until(() => first.isClosed);
      const tooEarly = listen(provider);
      t.equal((await tooEarly.over)?.kind, 'rate_limited', 'a closed context keeps its place until its last audio');
      first.final();
      write(listeners[1]!, 'Second.');
      const second = await server.context(2);
      await server.until(() => second.isClosed);
      second.final();
      t.equal(await listeners[1]?.over, undefined);
      const late = listen(provider);
      write(late, 'Room.');
      const context = await server.context(6);
      await server.until(() => context.isClosed);
      context.final();
      t.equal(await late.over, undefined);
    },
    { socketsMax: 1 },
  ),
);

test(
  'a closed context that is never final gives its place back after a while',
  withServer(
    { finishesAtOnce: false },
    async (t, server, provider) => {
      const listeners = Array.from({ length: 5 }, () => listen(provider));
      await server.context(5);
      for (const listener of listeners) listener.stream.abort();
      await server.until(() => server.contexts.every((context) => context.isClosed));
      const full = listen(provider);
      t.equal((await full.over)?.kind, 'rate_limited');
      // The service forgets them too, without a word. Keep-alives tell that the time is up.
      const socket = server.sockets[0]!;
      socket.contexts.clear();
      const count = socket.keepAlives;
      await server.until(() => socket.keepAlives >= count + 4);
      server.behaviour.finishesAtOnce = true;
      const listener = listen(provider);
      write(listener, 'Room.');
      t.equal(await listener.over, undefined);
      t.equal(server.sockets.length, 1);
    },
    { socketsMax: 1, drainMs: 30, keepAliveMs: 20 },
  ),
);

test(
  'a socket lost before the first audio: begun anew elsewhere, nothing is lost or said twice (P8)',
  withServer({ speaksAtOnce: false }, async (t, server, provider) => {
    const listener = listen(provider);
    write(listener, 'Hello there. ', 'How are you?');
    const first = await server.context(1);
    await server.until(() => first.log.includes('flush'));
    server.behaviour.speaksAtOnce = true;
    first.socket.drop();
    t.equal(await listener.over, undefined);
    t.equal(spoken(listener.chunks), 'Hello there. How are you? ');
    t.equal(server.sockets.length, 2);
  }),
);

test(
  'a socket lost in the middle: told at once, and the next stream finds another connection (P8)',
  withServer({ speaksAtOnce: false }, async (t, server, provider) => {
    const listener = listen(provider);
    listener.stream.write('Hello there, how are you?');
    const context = await server.context(1);
    await server.until(() => context.texts.length === 1);
    context.speak(12);
    await listener.first;
    context.socket.drop();
    t.equal((await listener.over)?.kind, 'broken');
    t.equal(spoken(listener.chunks), 'Hello there,');
    server.behaviour.speaksAtOnce = true;
    const next = listen(provider);
    write(next, 'how are you?');
    t.equal(await next.over, undefined);
    t.equal(spoken(next.chunks), 'how are you? ');
  }),
);

test(
  'a socket lost while all text has sounded: the reply just ends, or goes on',
  withServer({ finishesAtOnce: false }, async (t, server, provider) => {
    const ending = listen(provider);
    write(ending, 'All said.');
    const first = await server.context(1);
    await server.until(() => first.isClosed);
    const open = listen(provider);
    open.stream.write('So far. ');
    await open.first;
    server.behaviour.finishesAtOnce = true;
    first.socket.drop();
    t.equal(await ending.over, undefined);
    write(open, 'And on.');
    t.equal(await open.over, undefined);
    t.equal(spoken(open.chunks), 'So far. And on. ');
  }),
);

test(
  'an idle socket that the service closes is open again before the next reply (P9)',
  withServer({}, async (t, server, provider) => {
    await provider.warm(voice, rateHz);
    for (const lose of [
      () => server.sockets[0]?.close(1000),
      () => server.sockets[1]?.drop(),
      () => server.sockets[2]?.close(1008),
    ]) {
      const before = server.sockets.length;
      lose();
      if (before < 3) await server.until(() => server.sockets.length === before + 1);
    }
    // The third was closed for a fault of ours, so nobody insists; the reply itself opens the next.
    await server.sockets[2]?.closed;
    const listener = listen(provider);
    write(listener, 'Hello.');
    t.equal(await listener.over, undefined);
    t.equal(server.sockets.length, 4);
  }),
);

test(
  'attempts are spaced out further and further',
  withServer(
    { refusals: Array.from({ length: 5 }, () => ({ status: 503 })) },
    async (t, server, provider) => {
      await provider.warm(voice, rateHz).catch((error: EngineError) => t.equal(error.kind, 'server'));
      await provider.warm(voice, rateHz).catch(() => undefined);
      await server.until(() => server.sockets.length === 1);
      const gaps = server.attemptsAtMs.slice(1).map((atMs, index) => atMs - server.attemptsAtMs[index]!);
      t.equal(gaps.length, 5);
      for (const [index, gapMs] of gaps.entries()) {
        // Shortened at random by up to a half; timers may be a millisecond early.
        const leastMs = 0.5 * Math.min(80, 10 * 2 ** index) - 2;
        t.ok(gapMs >= leastMs, `${gapMs.toFixed(1)} ms after attempt ${index + 1}, at least ${leastMs} wanted`);
      }
    },
    { backOffMinMs: 10, backOffMaxMs: 80 },
  ),
);

test(
  'a reply during an outage: waits for the next attempt, fails when that fails again',
  withServer({}, async (t, server, provider) => {
    await provider.warm(voice, rateHz);
    server.behaviour.refusals = [{ status: 503 }];
    server.sockets[0]?.drop();
    const healed = listen(provider);
    write(healed, 'Hello.');
    t.equal(await healed.over, undefined);
    server.behaviour.refusals = Array.from({ length: 10 }, () => ({ status: 503 }));
    server.sockets[1]?.drop();
    const failed = listen(provider);
    write(failed, 'Hello.');
    t.equal((await failed.over)?.kind, 'server');
  }),
);

const refusals: { status: number; kind: string; headers?: Record<string, string>; retryAfterMs?: number }[] = [
  { status: 401, kind: 'rejected' },
  { status: 403, kind: 'rejected' },
  { status: 404, kind: 'rejected' },
  { status: 429, kind: 'rate_limited', headers: { 'retry-after': '3' }, retryAfterMs: 3000 },
  { status: 500, kind: 'server' },
];
for (const { status, kind, headers, retryAfterMs } of refusals) {
  test(
    `refused with ${status}`,
    withServer({}, async (t, server, provider) => {
      const refusal = headers === undefined ? { status } : { status, headers };
      server.behaviour.refusals = Array.from({ length: 20 }, () => refusal);
      const listener = listen(provider);
      write(listener, 'Hello.');
      const error = await listener.over;
      t.equal(error?.kind, kind);
      t.equal(error?.fields['retryAfterMs'], retryAfterMs);
      t.notMatch(reportOf(error), key);
      if (kind === 'rejected') t.equal(server.attemptsAtMs.length, 1, 'a wrong setting is not tried again');
    }),
  );
}

/** Everything of an error that could end in a log. */
function reportOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.stack} ${JSON.stringify(error)} ${reportOf(error.cause)}`;
}

test('nobody there', async (t) => {
  const server = await SynthesisServer.open();
  const provider = new ElevenLabsTts({ apiKey: key, baseUrl: server.url, backOffMinMs: 5 });
  await server.close();
  const listener = listen(provider);
  write(listener, 'Hello.');
  const error = await listener.over;
  t.equal(error?.kind, 'refused');
  t.notMatch(reportOf(error), key);
  await provider.close();
});

test(
  'an error event fails its own reply; others on the socket begin anew',
  withServer({ speaksAtOnce: false }, async (t, server, provider) => {
    const guilty = listen(provider);
    write(guilty, 'Guilty.');
    const innocent = listen(provider);
    write(innocent, 'Innocent.');
    const [first, second] = [await server.context(1), await server.context(2)];
    await server.until(() => first.log.includes('flush') && second.log.includes('flush'));
    server.behaviour.speaksAtOnce = true;
    first.socket.send({ error: 'invalid_input_message', message: key, code: 1008, contextId: first.id });
    first.socket.close(1008);
    const error = await guilty.over;
    t.equal(error?.kind, 'rejected');
    t.same(error?.fields, { providerError: 'invalid_input_message' });
    t.notMatch(reportOf(error), key, 'the words of the service stay out');
    t.equal(await innocent.over, undefined);
    t.equal(spoken(innocent.chunks), 'Innocent. ');
  }),
);

for (const [name, kind] of [
  ['max_active_conversations', 'rate_limited'],
  ['detected_unusual_activity', 'rejected'],
  ['quota_exceeded', 'rejected'],
  ['something_new', 'server'],
] as const) {
  test(
    `an error without a context, ${name}, is the reason of the close`,
    withServer({ messageBytes: 320 }, async (t, server, provider) => {
      const listener = listen(provider);
      listener.stream.write('Hello.');
      await listener.first;
      listener.stream.write('More of it.');
      server.behaviour.speaksAtOnce = false;
      const context = await server.context(1);
      context.socket.send({ error: name, message: 'no', code: 1008 });
      context.socket.close(1008);
      // Either all has sounded by then, or the reason is told.
      listener.stream.write('And more.');
      t.equal((await listener.over)?.kind, kind);
    }),
  );
}

test(
  'what is not the protocol ends the socket, and the reply with it',
  withServer(
    { speaksAtOnce: false },
    async (t, server, provider) => {
      for (const [index, text] of ['{"audio":"AAA', '[]', '"hello"', '{"audio":5}'].entries()) {
        const listener = listen(provider);
        listener.stream.write('Hello.');
        // Nothing has sounded, so it is tried twice more.
        for (const attempt of [1, 2, 3]) {
          const context = await server.context(3 * index + attempt);
          await server.until(() => context.texts.length === 1);
          context.socket.sendRaw(text);
        }
        t.equal((await listener.over)?.kind, 'garbage', text);
      }
    },
    { backOffMaxMs: 20 },
  ),
);

test(
  'paused: chunks wait, the end too; afterwards all is there in order',
  withServer({ messageBytes: 320 }, async (t, server, provider) => {
    const listener = listen(provider, () => {
      if (listener.chunks.length === 2) listener.stream.setPaused(true);
    });
    write(listener, 'Hello there, how are you?');
    const context = await server.context(1);
    await server.until(() => context.isOver);
    // Another reply goes all the way on the same socket, so everything of the first has arrived.
    const other = listen(provider);
    write(other, 'Other.');
    await other.over;
    t.equal(listener.calls, 2);
    listener.stream.setPaused(false);
    t.equal(await listener.over, undefined);
    t.equal(spoken(listener.chunks), 'Hello there, how are you? ');
  }),
);

test(
  'keep-alives go to the socket and to open contexts, and open nothing (P1, P9)',
  withServer(
    {},
    async (t, server, provider) => {
      await provider.warm(voice, rateHz);
      const socket = server.sockets[0]!;
      await server.until(() => socket.keepAlives >= 2);
      t.equal(server.contexts.length, 0);
      const listener = listen(provider);
      const context = await server.context(1);
      await server.until(() => context.log.filter((entry) => entry === 'keep-alive').length >= 2);
      write(listener, 'Hello.');
      t.equal(await listener.over, undefined);
      t.equal(spoken(listener.chunks), 'Hello. ');
      const count = socket.keepAlives;
      await server.until(() => socket.keepAlives > count);
      t.equal(server.contexts.length, 1);
    },
    { keepAliveMs: 15 },
  ),
);

test(
  'a line that is dead without a close is noticed and replaced',
  withServer(
    { answersPings: false },
    async (t, server, provider) => {
      await provider.warm(voice, rateHz);
      server.behaviour.answersPings = true;
      await server.until(() => server.sockets.length === 2);
      t.equal(await server.sockets[0]?.closed, 1006);
    },
    { keepAliveMs: 20 },
  ),
);

test(
  'a spare socket is closed when it is not needed, the last one stays until nobody speaks any more',
  withServer(
    {},
    async (t, server, provider) => {
      const listeners = Array.from({ length: 6 }, () => listen(provider));
      await server.context(6);
      for (const listener of listeners) write(listener, 'Hello.');
      await Promise.all(listeners.map((listener) => listener.over));
      const first = await Promise.race(server.sockets.map((socket) => socket.closed.then(() => socket)));
      const other = server.sockets.find((socket) => socket !== first);
      await other?.closed;
      const again = listen(provider);
      write(again, 'Hello again.');
      t.equal(await again.over, undefined);
    },
    { keepAliveMs: 15, spareIdleMs: 30, poolIdleMs: 120 },
  ),
);

test(
  'a reply without text, or with nothing to say, ends and leaves no context behind',
  withServer({}, async (t, server, provider) => {
    for (const [index, texts] of [[], [' ', '...', '👍']].entries()) {
      const listener = listen(provider);
      write(listener, ...texts);
      t.equal(await listener.over, undefined);
      const context = await Promise.race([server.context(index + 1), listener.over]);
      if (context !== undefined) await server.until(() => server.contexts.every((one) => one.isClosed));
      t.equal(listener.chunks.length, 0);
    }
  }),
);

test(
  'a reply beyond the bound is refused',
  withServer({}, async (t, _server, provider) => {
    const listener = listen(provider);
    for (let index = 0; index < 10; index += 1) listener.stream.write('a'.repeat(7000));
    t.equal((await listener.over)?.kind, 'garbage');
  }),
);

test(
  'close: no callback any more, and the service sees an ordinary end',
  withServer({}, async (t, server, provider) => {
    const listener = listen(provider);
    listener.stream.write('Hello.');
    await listener.first;
    const { calls } = listener;
    await provider.close();
    t.equal(await server.sockets[0]?.closed, 1000);
    listener.stream.write('more');
    t.equal(listener.calls, calls);
    const late = listen(provider);
    late.stream.write('Too late.');
    t.equal((await late.over)?.kind, 'aborted');
    const kind = await provider.warm(voice, rateHz).catch((error: EngineError) => error.kind);
    t.equal(kind, 'aborted');
    t.equal(server.attemptsAtMs.length, 1);
  }),
);

test('a base URL that is none is a wrong setting', async (t) => {
  for (const baseUrl of ['', 'elevenlabs', 'ftp://host']) {
    let kind = 'none';
    try {
      new ElevenLabsTts({ apiKey: key, baseUrl });
    } catch (error) {
      kind = (error as EngineError).kind;
    }
    t.equal(kind, 'config', baseUrl);
  }
});

test('samples are put together however they are split', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -32768, max: 32767 })), fc.array(fc.nat(9)), (samples, cuts) => {
      const bytes = new Uint8Array(Int16Array.from(samples).buffer);
      const joiner = new SampleJoiner();
      const joined: number[] = [];
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        joined.push(...joiner.push(bytes.subarray(at, at + cut)));
        at = Math.min(bytes.length, at + cut);
      }
      return joined.length === samples.length && joined.every((sample, index) => sample === samples[index]);
    }),
  );
  t.pass('no counterexample');
});

test('characters are found again in the text, however the messages are cut', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      fc.boolean(),
      (pieces, cuts, hasSpaceBefore) => {
        const text = new SentText();
        let written = '';
        let sent = '';
        for (const piece of pieces) {
          sent += text.add(piece, written.length);
          written += piece;
        }
        const chars = [...(hasSpaceBefore ? ' ' : ''), ...sent];
        const found: number[] = [];
        for (let at = 0, round = 0; at < chars.length; round += 1) {
          const part = chars.slice(at, at + cuts[round % cuts.length]!);
          const times = text.place({ chars: part, startsMs: part.map(() => 0), durationsMs: part.map(() => 1) });
          found.push(...times.map((time) => time.charIndex));
          at += part.length;
        }
        // White space at a place where it is doubled may be told apart wrongly; everything that sounds may not.
        const soundOf = (index: number): boolean => (written[index] ?? ' ').trim() !== '';
        const expected = [...written.matchAll(/./gsu)].map((match) => match.index).filter(soundOf);
        return JSON.stringify(found.filter(soundOf)) === JSON.stringify(expected) && text.isCovered();
      },
    ),
  );
  t.pass('no counterexample');
});

test('an alignment of another text than was sent is not trusted', async (t) => {
  const text = new SentText();
  text.add('It costs $5, or more.', 0);
  const place = (spokenText: string): number[] => {
    const chars = [...spokenText];
    return text.place({ chars, startsMs: chars.map(() => 0), durationsMs: chars.map(() => 1) }).map((time) => time.charIndex);
  };
  t.same(place(' It costs '), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  place('five dollars, ');
  t.equal(text.rest(), undefined, 'where we are is not known');
  t.same(place('or more.'), [13, 14, 15, 16, 17, 18, 19, 20], 'found again');
  t.ok(text.isCovered());
});

test('messages of the service', async (t) => {
  t.same(parseServerMessage('{"context_id":"r1","is_final":true}'), {
    kind: 'audio',
    contextId: 'r1',
    audio: Buffer.alloc(0),
    alignment: undefined,
    isFinal: true,
  });
  t.match(parseServerMessage('{"contextId":"r1","audio":null,"isFinal":null,"alignment":null}'), { isFinal: false });
  t.match(parseServerMessage('{"audio":"AAEC","alignment":{"chars":["a"],"charStartTimesMs":[0],"charDurationsMs":[1,2]}}'), {
    contextId: undefined,
    audio: Buffer.from([0, 1, 2]),
    alignment: undefined,
  });
  const error = parseServerMessage('{"error":"Your key xi-1 is bad","code":1008}');
  t.ok(error.kind === 'error' && error.error.kind === 'server');
  t.notMatch(reportOf(error.kind === 'error' ? error.error : undefined), 'xi-1');
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) =>
      ['audio', 'error', 'garbage'].includes(parseServerMessage(text).kind),
    ),
  );
});
