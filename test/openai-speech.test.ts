import type { ServerResponse } from 'node:http';
import type { Test } from 'tap';
import { test } from 'tap';
import type { EngineError } from '../src/shared/errors.js';
import { hz } from '../src/shared/units.js';
import { OpenAiSpeech, type OpenAiSpeechOptions } from '../src/tts/openai-speech.js';
import type { TtsChunk, TtsStream, TtsVoice } from '../src/tts/port.js';
import { type Answer, hangUp, json, LocalProvider, type Received, silence } from './support/local-provider.js';
import { promised } from './support/promised.js';

const key = 'sk-secret-canary';
const voice: TtsVoice = { voiceId: '', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.75 };

/** Samples that say which piece they are of and where in it: piece × 1000 + index. */
const samplesOf = (piece: number, count = 300): Buffer =>
  Buffer.from(Int16Array.from({ length: count }, (_, index) => piece * 1000 + index).buffer);
const speak =
  (piece: number, count?: number): Answer =>
  (response) =>
    response.writeHead(200, { 'content-type': 'audio/pcm' }).end(samplesOf(piece, count));

type Listener = {
  readonly stream: TtsStream;
  readonly chunks: TtsChunk[];
  readonly over: Promise<EngineError | undefined>;
  readonly first: Promise<TtsChunk>;
};

function listen(provider: OpenAiSpeech, onChunk: (chunk: TtsChunk) => void = () => {}, wanted: Partial<TtsVoice> = {}): Listener {
  const chunks: TtsChunk[] = [];
  const over = promised<EngineError | undefined>();
  const first = promised<TtsChunk>();
  const stream = provider.openStream({
    voice: { ...voice, ...wanted },
    preferredRateHz: hz(16000),
    onChunk: (chunk) => {
      chunks.push(chunk);
      first.resolve(chunk);
      onChunk(chunk);
    },
    onEnd: () => over.resolve(undefined),
    onProblem: (error) => over.resolve(error),
  });
  return { stream, chunks, over: over.promise, first: first.promise };
}

const failureOf = (promise: Promise<void>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: EngineError) => error.kind,
  );
const soundOf = (chunks: readonly TtsChunk[]): number[] => chunks.flatMap((chunk) => [...chunk.audio]);
const expected = (...pieces: number[]): number[] =>
  pieces.flatMap((piece) => [...new Int16Array(samplesOf(piece).buffer.slice(0, 600))]);

const withServer =
  (
    answers: Answer[],
    body: (t: Test, server: LocalProvider, provider: OpenAiSpeech) => Promise<void>,
    options: Partial<OpenAiSpeechOptions> = {},
  ) =>
  async (t: Test) => {
    const server = await LocalProvider.open(...answers);
    const provider = new OpenAiSpeech({ apiKey: key, baseUrl: `${server.url}/v1`, ...options });
    try {
      await body(t, server, provider);
    } finally {
      await provider.close();
      await server.close();
    }
  };

test(
  'one request for each piece, in order, with our settings',
  withServer([speak(1), speak(2), speak(3)], async (t, server, provider) => {
    const { stream, chunks, over } = listen(provider, undefined, { voiceId: 'nova', modelId: 'tts-1', speed: 1.1 });
    for (const text of ['One. ', 'Two. ', '😀', 'Three.']) stream.write(text);
    stream.finish();
    t.equal(await over, undefined);
    t.same(soundOf(chunks), expected(1, 2, 3));
    t.ok(chunks.every((chunk) => chunk.rateHz === 24000 && chunk.alignment === undefined));
    t.same(
      [...new Set(chunks.map((chunk) => chunk.pieceIndex))],
      [0, 1, 3],
      'a piece without words has no request but its number',
    );
    t.same(
      server.received.map((request) => JSON.parse(request.body.toString())),
      ['One. ', 'Two. ', 'Three.'].map((input) => ({ model: 'tts-1', voice: 'nova', input, response_format: 'pcm', speed: 1.1 })),
    );
    t.ok(server.received.every((request) => request.path === '/v1/audio/speech' && request.method === 'POST'));
    t.ok(server.received.every((request) => request.headers.authorization === `Bearer ${key}`));
  }),
);

test(
  'audio is handed over while it comes, and split samples are put together',
  withServer([], async (t, server, provider) => {
    const answered = promised<ServerResponse>();
    server.answers = [(response) => answered.resolve(response.writeHead(200, { 'content-type': 'application/octet-stream' }))];
    const audio = samplesOf(7);
    const { stream, chunks, over, first } = listen(provider);
    stream.write('Seven.');
    stream.finish();
    const response = await answered.promise;
    response.write(audio.subarray(0, 101));
    t.equal((await first).audio.length, 50, 'before the rest exists');
    for (let at = 101; at < audio.length; at += 7) response.write(audio.subarray(at, at + 7));
    response.end();
    t.equal(await over, undefined);
    t.same(soundOf(chunks), expected(7));
  }),
);

test(
  'the next piece is asked for while one is being received, and no further one',
  withServer([], async (t, server, provider) => {
    const responses: ServerResponse[] = [];
    server.answers = [(response) => responses.push(response)];
    const { stream, chunks, over } = listen(provider);
    for (const text of ['One. ', 'Two. ', 'Three.']) stream.write(text);
    stream.finish();
    await server.request(2);
    // The second is answered first; it has to wait for its turn.
    responses[1]?.writeHead(200, { 'content-type': 'audio/pcm' }).end(samplesOf(2));
    // A whole reply of somebody else later there is still no request for the third.
    server.answers = [speak(9)];
    const other = listen(provider);
    other.stream.write('Other.');
    other.stream.finish();
    await other.over;
    server.answers = [(response) => responses.push(response)];
    t.same(
      server.received.map((request) => JSON.parse(request.body.toString()).input),
      ['One. ', 'Two. ', 'Other.'],
    );
    responses[0]?.writeHead(200, { 'content-type': 'audio/pcm' }).end(samplesOf(1));
    await server.request(4);
    responses[2]?.writeHead(200, { 'content-type': 'audio/pcm' }).end(samplesOf(3));
    t.equal(await over, undefined);
    t.same(soundOf(chunks), expected(1, 2, 3));
  }),
);

test(
  'abort ends the requests at the server; nothing is delivered any more',
  withServer([], async (t, server, provider) => {
    let delivered = 0;
    server.answers = [(response) => response.writeHead(200, { 'content-type': 'audio/pcm' }).write(samplesOf(1))];
    const { stream, first } = listen(provider, () => (delivered += 1));
    stream.write('One. ');
    stream.write('Two.');
    await first;
    const requests: Received[] = [await server.request(1), await server.request(2)];
    stream.abort();
    const atAbort = delivered;
    await Promise.all(requests.map((request) => request.closed));
    stream.write('Three.');
    stream.finish();
    t.equal(delivered, atAbort);
    t.equal(server.received.length, 2);
  }),
);

test(
  'paused: nothing is delivered, the server is slowed down; afterwards all of it comes',
  withServer([], async (t, server, provider) => {
    // This does not fit into the buffers on the way, so the server must notice that nobody reads.
    const big = Buffer.alloc(14_000_000, 1);
    const isBlocked = promised<boolean>();
    const answer = promised<ServerResponse>();
    server.answers = [
      (response) => {
        isBlocked.resolve(response.writeHead(200, { 'content-type': 'audio/pcm' }).write(big) === false);
        answer.resolve(response);
      },
    ];
    const listener: Listener = listen(provider, () => {
      if (listener.chunks.length === 1) listener.stream.setPaused(true);
    });
    listener.stream.write('One.');
    listener.stream.finish();
    await listener.first;
    t.ok(await isBlocked.promise);
    const response = await answer.promise;
    server.answers = [speak(9)];
    const other = listen(provider);
    other.stream.write('Other.');
    other.stream.finish();
    await other.over;
    t.ok(response.writableLength > 0, 'part of it is still at the server');
    t.equal(listener.chunks.length, 1);
    response.end();
    listener.stream.setPaused(false);
    t.equal(await listener.over, undefined);
    t.equal(
      listener.chunks.reduce((sum, chunk) => sum + chunk.audio.length, 0),
      7_000_000,
    );
  }),
);

const failures: { name: string; answer: Answer; kind: string; retryAfterMs?: number; options?: Partial<OpenAiSpeechOptions> }[] =
  [
    { name: 'rate limited', answer: json({}, 429, { 'retry-after': '7' }), kind: 'rate_limited', retryAfterMs: 7000 },
    ...[400, 401, 403, 404].map((status) => ({
      name: `status ${status}`,
      answer: json({ error: { message: key } }, status),
      kind: 'rejected',
    })),
    { name: 'status 500', answer: json({}, 500), kind: 'server' },
    { name: 'hung up', answer: hangUp, kind: 'broken' },
    { name: 'no answer', answer: silence, kind: 'timeout', options: { firstAudioDeadlineMs: 60 } },
    {
      name: 'an answer without audio in time',
      answer: (response) => response.writeHead(200, { 'content-type': 'audio/pcm' }).flushHeaders(),
      kind: 'timeout',
      options: { firstAudioDeadlineMs: 200 },
    },
    {
      name: 'audio that stops',
      answer: (response) => response.writeHead(200, { 'content-type': 'audio/pcm' }).write(samplesOf(1)),
      kind: 'timeout',
      options: { gapDeadlineMs: 60 },
    },
    {
      name: 'audio that breaks off',
      answer: (response, request) =>
        response.writeHead(200, { 'content-type': 'audio/pcm' }).write(samplesOf(1), () => request.socket.destroy()),
      kind: 'broken',
    },
    { name: 'no audio at all', answer: speak(1, 0), kind: 'broken' },
    { name: 'JSON instead of audio', answer: json({ error: 'no' }), kind: 'garbage' },
  ];
for (const { name, answer, kind, retryAfterMs, options } of failures) {
  test(
    `failure: ${name}`,
    withServer(
      [answer],
      async (t, server, provider) => {
        const { stream, over } = listen(provider);
        stream.write('One.');
        stream.finish();
        const error = await over;
        t.equal(error?.kind, kind);
        t.equal(error?.fields['retryAfterMs'], retryAfterMs);
        t.equal(server.received.length, 1, 'asked once');
        t.notMatch(`${error?.message} ${JSON.stringify(error?.fields)}`, key);
      },
      options,
    ),
  );
}

test('failure: nobody there', async (t) => {
  const server = await LocalProvider.open(silence);
  const provider = new OpenAiSpeech({ apiKey: key, baseUrl: server.url });
  await server.close();
  const { stream, over } = listen(provider);
  stream.write('One.');
  t.equal((await over)?.kind, 'refused');
  t.equal(await failureOf(provider.warm()), 'refused');
  await provider.close();
});

test(
  'warm opens the connection that the first reply uses',
  withServer([json({ data: [] }), speak(1)], async (t, server, provider) => {
    await provider.warm();
    const { stream, over } = listen(provider);
    stream.write('One.');
    stream.finish();
    t.equal(await over, undefined);
    t.same(
      server.received.map((request) => [request.method, request.path, request.connection]),
      [
        ['GET', '/v1/models', 1],
        ['POST', '/v1/audio/speech', 1],
      ],
    );
    server.answers = [json({}, 404)];
    await provider.warm();
    server.answers = [json({}, 401)];
    t.equal(await failureOf(provider.warm()), 'rejected');
  }),
);

test(
  'a stream that ends normally leaves its connection for the next',
  withServer([speak(1)], async (t, server, provider) => {
    for (let round = 0; round < 3; round += 1) {
      const { stream, over } = listen(provider);
      stream.write('One.');
      stream.finish();
      t.equal(await over, undefined);
    }
    t.equal(server.connections, 1);
  }),
);

test(
  'nothing to say: an end without a request',
  withServer([silence], async (t, server, provider) => {
    const { stream, over } = listen(provider);
    stream.write(' ...');
    stream.finish();
    t.equal(await over, undefined);
    t.equal(server.received.length, 0);
  }),
);

test(
  'close in the middle: no callback any more',
  withServer([], async (t, server, provider) => {
    let calls = 0;
    server.answers = [silence];
    const stream = provider.openStream({
      voice,
      preferredRateHz: hz(16000),
      onChunk: () => (calls += 1),
      onEnd: () => (calls += 1),
      onProblem: () => (calls += 1),
    });
    stream.write('One.');
    const request = await server.request(1);
    await provider.close();
    await request.closed;
    t.equal(calls, 0);
  }),
);
