import { getEventListeners } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { test } from 'tap';
import { readWav } from '../src/audio/wav.js';
import { EngineError, type FailureKind, problemOf } from '../src/shared/errors.js';
import { groqClient } from '../src/shared/groq-client.js';
import { engineErrorOf, kindOfStatus, retryAfterMs, streamedError } from '../src/shared/http-errors.js';
import { openAiClient } from '../src/shared/openai-client.js';
import { inputRateHz, ms } from '../src/shared/units.js';
import { GroqTranscriber, type GroqTranscriberOptions } from '../src/stt/groq.js';
import { OpenAiTranscriber } from '../src/stt/openai-compatible.js';
import type { Recognition, SttSettings, Transcriber } from '../src/stt/port.js';
import { recognitionOf } from '../src/stt/whisper-http.js';
import { type Answer, hangUp, json, LocalProvider, silence } from './support/local-provider.js';
import { VirtualTimers } from './support/virtual-timers.js';

const apiKey = 'gsk_canary0123456789';
const settings: SttSettings = { language: 'en', keywords: ['Parley', 'Annabel Lee'] };
const audio = Int16Array.from({ length: 1600 }, (_, i) => (i * 37) % 32_000);
const yes: Answer = json({ text: ' Yes. ', segments: [{ text: ' Yes. ', no_speech_prob: 0.125, avg_logprob: 0 }] });

function transcribe(
  transcriber: Transcriber,
  signal = new AbortController().signal,
  change: Partial<SttSettings> = {},
): Promise<Recognition> {
  return transcriber.transcribe({ audio, rateHz: inputRateHz, settings: { ...settings, ...change }, signal });
}

async function failure(work: Promise<unknown>): Promise<EngineError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof EngineError) return error;
    throw error;
  }
  throw new Error('this should have failed');
}

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('this should have failed');
}

async function withGroq(
  answers: Answer[],
  run: (transcriber: GroqTranscriber, provider: LocalProvider) => Promise<void>,
  options: Partial<GroqTranscriberOptions> = {},
): Promise<void> {
  const provider = await LocalProvider.open(...answers);
  const transcriber = new GroqTranscriber({ apiKey, baseUrl: provider.url, ...options });
  try {
    await run(transcriber, provider);
  } finally {
    await transcriber.close();
    await provider.close();
  }
}

test('Groq: the request and the reading of its answer', async (t) => {
  await withGroq([yes], async (transcriber, provider) => {
    t.same(await transcribe(transcriber), { text: 'Yes.', noSpeechRatio: 0.125, confidence: 1 });
    const request = provider.received[0]!;
    t.match(request, { method: 'POST', path: '/openai/v1/audio/transcriptions' });
    t.match(request.headers, {
      authorization: `Bearer ${apiKey}`,
      'content-type': /^multipart\/form-data; boundary=/,
      'content-length': String(request.body.length),
      connection: 'keep-alive',
      'x-stainless-retry-count': '0',
    });
    t.notOk(request.headers['accept-encoding'], 'no compression, so no answer grows when it is unpacked');
    const form = await new Response(request.body, { headers: { 'content-type': request.headers['content-type']! } }).formData();
    const file = form.get('file') as File;
    t.match(file, { name: 'turn.wav', type: 'audio/wav' });
    const recording = readWav(new Uint8Array(await file.arrayBuffer()));
    t.equal(recording.rateHz, 16_000);
    t.same(recording.channels, [audio]);
    form.delete('file');
    t.same(Object.fromEntries(form), {
      model: 'whisper-large-v3-turbo',
      response_format: 'verbose_json',
      temperature: '0',
      language: 'en',
      prompt: 'Parley, Annabel Lee',
    });
  });
});

test('language and hint are left out when there are none, and the hint has a bound', async (t) => {
  await withGroq([yes], async (transcriber, provider) => {
    await transcribe(transcriber, undefined, { language: '', keywords: [] });
    await transcribe(transcriber, undefined, { keywords: Array.from({ length: 100 }, (_, i) => `keyword number ${i}`) });
    const [without, long] = await Promise.all(
      provider.received.map(({ body, headers }) =>
        new Response(body, { headers: { 'content-type': headers['content-type']! } }).formData(),
      ),
    );
    t.same([...without!.keys()].sort(), ['file', 'model', 'response_format', 'temperature']);
    const prompt = String(long!.get('prompt'));
    t.ok(prompt.length <= 600 && prompt.endsWith('keyword number 31'), prompt.slice(-30));
  });
});

test('OpenAI compatible: any base, no key, nothing from the environment', async (t) => {
  const canaries = {
    OPENAI_API_KEY: 'sk-magpie-key',
    OPENAI_ADMIN_KEY: 'sk-magpie-admin',
    OPENAI_ORG_ID: 'org-magpie',
    OPENAI_PROJECT_ID: 'proj-magpie',
    OPENAI_BASE_URL: 'http://127.0.0.1:9/',
    OPENAI_LOG: 'debug',
  };
  Object.assign(process.env, canaries);
  t.teardown(() => {
    for (const name of Object.keys(canaries)) delete process.env[name];
  });
  const printed: unknown[] = [];
  const methods = ['log', 'info', 'warn', 'error', 'debug'] as const;
  const originals = methods.map((method) => console[method]);
  for (const method of methods) console[method] = (...args) => printed.push(args);
  const provider = await LocalProvider.open(yes, json({ text: 'Yes.' }), json({}, 500), json({ text: 'Yes.' }));
  try {
    const keyless = new OpenAiTranscriber({ baseUrl: `${provider.url}/any/v1`, model: 'Systran/faster-whisper-small' });
    t.match(await transcribe(keyless), { text: 'Yes.', noSpeechRatio: 0.125 });
    const keyed = new OpenAiTranscriber({ baseUrl: provider.url, model: 'gpt-4o-transcribe', apiKey, responseFormat: 'json' });
    t.same(await transcribe(keyed), { text: 'Yes.' });
    t.match(await failure(transcribe(keyed)), { kind: 'server' });
    await keyless.close();
    await keyed.close();
  } finally {
    methods.forEach((method, index) => {
      console[method] = originals[index]!;
    });
    await provider.close();
  }
  t.equal(provider.received[0]!.path, '/any/v1/audio/transcriptions');
  t.equal(provider.received[0]!.headers.authorization, undefined);
  t.equal(provider.received[1]!.path, '/audio/transcriptions');
  t.equal(provider.received[1]!.headers.authorization, `Bearer ${apiKey}`);
  for (const { headers, body } of provider.received) t.notMatch(JSON.stringify(headers) + body.toString('latin1'), 'magpie');
  t.same(printed, [], 'the SDK prints nothing');
});

test('answers are read for what they mean', (t) => {
  const segment = (text: string, silent: number, log: number) => ({ text, no_speech_prob: silent, avg_logprob: log });
  const table: readonly [unknown, Recognition][] = [
    [{ text: ' a b ' }, { text: 'a b' }],
    [{ text: '', segments: [] }, { text: '' }],
    [{ text: 'a', segments: null }, { text: 'a' }],
    [{ text: 'a', segments: [{}] }, { text: 'a' }],
    [
      { text: 'Thank you.', segments: [segment(' Thank you.', 0.9, 0)] },
      { text: 'Thank you.', noSpeechRatio: 0.9, confidence: 1 },
    ],
    [
      { text: 'For two. Thank you.', segments: [segment(' For two.', 0.1, 0), segment(' Thank you.', 0.9, -3)] },
      { text: 'For two.', noSpeechRatio: 0.1, confidence: 1 },
    ],
    [
      { text: 'For two. Thank you.', segments: [segment(' For two.', 0.1, 0), segment(' Thank you.', 0.2, 0)] },
      { text: 'For two. Thank you.', noSpeechRatio: 0.1, confidence: 1 },
    ],
    [
      { text: 'a', segments: [segment('a', 7, 3)] },
      { text: 'a', noSpeechRatio: 1, confidence: 1 },
    ],
  ];
  for (const [given, wanted] of table) t.same(recognitionOf(given, 'x'), wanted, JSON.stringify(given));
  for (const given of [{}, { text: 3 }, [], 'text', null, 7]) {
    t.match(
      thrownBy(() => recognitionOf(given, 'x')),
      { kind: 'garbage' },
      JSON.stringify(given),
    );
  }
  t.end();
});

const statuses: readonly [number, FailureKind][] = [
  [307, 'rejected'],
  [400, 'rejected'],
  [401, 'rejected'],
  [403, 'rejected'],
  [404, 'rejected'],
  [408, 'timeout'],
  [413, 'rejected'],
  [422, 'rejected'],
  [429, 'rate_limited'],
  [498, 'server'],
  [500, 'server'],
  [503, 'server'],
  [999, 'garbage'],
];
test('each status gives its kind, is asked for once, and tells no secret', async (t) => {
  for (const [status, kind] of statuses) {
    const body = { error: { message: `bad key ${apiKey}, caller said apple pie`, type: 'some_type', code: `code_${status}` } };
    await withGroq(
      [json(body, status, { 'x-request-id': 'req_7', location: 'http://127.0.0.1:9/' })],
      async (transcriber, provider) => {
        const error = await failure(transcribe(transcriber));
        t.equal(error.kind, kind, String(status));
        if (status !== 999) t.match(error.fields, { status, code: `code_${status}`, requestId: 'req_7' });
        t.notMatch(inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(problemOf(error)), /canary|apple|Bearer/);
        t.equal(provider.received.length, 1, 'the SDK does not retry');
      },
    );
  }
});

test('Retry-After in all its forms', async (t) => {
  const soon = new Date(Date.now() + 60_000).toUTCString();
  const table: readonly [Record<string, string>, number | undefined, number | undefined][] = [
    [{ 'retry-after': '2' }, 2000, 2000],
    [{ 'retry-after': '0.25' }, 250, 250],
    [{ 'retry-after-ms': '150', 'retry-after': '9' }, 150, 150],
    [{ 'retry-after': '99999999' }, 3_600_000, 3_600_000],
    [{ 'retry-after': soon }, 50_000, 60_000],
    [{ 'retry-after': 'Thu, 01 Jan 1970 00:00:00 GMT' }, 0, 0],
    [{ 'retry-after': 'soon' }, undefined, undefined],
    [{ 'retry-after-ms': 'NaN' }, undefined, undefined],
    [{}, undefined, undefined],
  ];
  for (const [headers, from, to] of table) {
    const wait = retryAfterMs(headers);
    t.ok(
      from === undefined ? wait === undefined : wait !== undefined && wait >= from && wait <= to!,
      `${JSON.stringify(headers)}: ${wait}`,
    );
  }
  await withGroq([json({}, 429, { 'retry-after': '2' }), json({}, 503, { 'retry-after': '1' })], async (transcriber) => {
    t.same(problemOf(await failure(transcribe(transcriber))), {
      kind: 'rate_limited',
      message: 'groq answered 429',
      retryAfterMs: 2000,
    });
    t.match(await failure(transcribe(transcriber)), { kind: 'server', fields: { retryAfterMs: 1000 } });
  });
});

test('errors that are not answers', (t) => {
  const coded = (code: string) => Object.assign(new Error('x'), { code });
  const table: readonly [unknown, FailureKind][] = [
    [coded('ECONNREFUSED'), 'refused'],
    [new Error('Connection error.', { cause: new TypeError('fetch failed', { cause: coded('ENOTFOUND') }) }), 'refused'],
    [coded('CERT_HAS_EXPIRED'), 'refused'],
    [coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'refused'],
    [coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'refused'],
    [coded('ECONNRESET'), 'broken'],
    [new TypeError('terminated'), 'broken'],
    [new DOMException('gone', 'AbortError'), 'aborted'],
    [new SyntaxError('Unexpected token'), 'garbage'],
    [new Error('outer', { cause: new EngineError('missing', 'ours') }), 'missing'],
    ['a string', 'broken'],
    [undefined, 'broken'],
  ];
  for (const [given, kind] of table) t.equal(engineErrorOf(given, 'x').kind, kind, inspect(given));
  t.equal(streamedError({ message: 'm', type: 'server_error' }, 'x').kind, 'server');
  t.equal(streamedError({ code: 'rate_limit_exceeded' }, 'x').kind, 'rate_limited');
  t.equal(streamedError({ code: 400 }, 'x').kind, 'rejected');
  t.equal(streamedError({ status_code: 429 }, 'x').kind, 'rate_limited');
  t.equal(streamedError('text with sk-canary', 'x').message, 'x reported an error in its answer');
  t.equal(kindOfStatus(200), 'garbage');
  t.end();
});

const broken: readonly [string, Answer, FailureKind][] = [
  ['closed instead of an answer', hangUp, 'broken'],
  [
    'closed in the middle of the answer',
    (response, request) => {
      response.writeHead(200, { 'content-length': 100 }).write('{"text":');
      setImmediate(() => request.socket.destroy());
    },
    'broken',
  ],
  [
    'closed in the middle of a chunked answer',
    (response, request) => {
      response.writeHead(200).write('{"text":"a"}');
      setImmediate(() => request.socket.destroy());
    },
    'broken',
  ],
  ['an empty answer', (response) => response.writeHead(200).end(), 'broken'],
  ['no content', (response) => response.writeHead(204).end(), 'broken'],
  ['half of a JSON', (response) => response.writeHead(200).end('{"text":"a'), 'garbage'],
  ['HTML', (response) => response.writeHead(200).end('<html>it works</html>'), 'garbage'],
  ['no text', json({ words: [] }), 'garbage'],
  ['2 MiB', (response) => response.writeHead(200).end(JSON.stringify({ text: 'a'.repeat(2_097_152) })), 'garbage'],
  ['not HTTP', (_response, request) => request.socket.end('SSH-2.0-OpenSSH_9.6\r\n\r\n'), 'broken'],
];
test('broken answers, and the next request is none the worse', async (t) => {
  for (const [name, answer, kind] of broken) {
    await withGroq([answer, yes], async (transcriber, provider) => {
      t.equal((await failure(transcribe(transcriber))).kind, kind, name);
      t.equal(provider.received.length, 1, name);
      t.equal((await transcribe(transcriber)).text, 'Yes.', name);
    });
  }
});

test('nobody listens', async (t) => {
  const provider = await LocalProvider.open(yes);
  const { url } = provider;
  await provider.close();
  const transcriber = new GroqTranscriber({ apiKey, baseUrl: url });
  t.match(await failure(transcribe(transcriber)), { kind: 'refused', fields: { code: 'ECONNREFUSED' } });
  await transcriber.close();
});

test('a silent provider runs into the deadline, before and in the middle of its answer; the connection is closed', async (t) => {
  const stalls: Answer[] = [
    silence,
    (response) => response.writeHead(200).write('{"text":"Ye'),
    (response) => response.writeHead(500).write('{'),
  ];
  for (const stall of stalls) {
    const timers = new VirtualTimers();
    await withGroq(
      [stall],
      async (transcriber, provider) => {
        const work = failure(transcribe(transcriber));
        const request = await provider.request(1);
        await timers.advance(3999);
        t.equal(request.socket.destroyed, false);
        await timers.advance(1);
        t.match(await work, { kind: 'timeout' });
        await request.closed;
        t.equal(timers.pending, 0);
      },
      { timers, timeoutMs: ms(4000) },
    );
  }
});

test('an abort closes the connection; a request aborted before is never sent', async (t) => {
  const timers = new VirtualTimers();
  await withGroq(
    [silence],
    async (transcriber, provider) => {
      const controller = new AbortController();
      const work = failure(transcribe(transcriber, controller.signal));
      const request = await provider.request(1);
      controller.abort();
      t.match(await work, { kind: 'aborted' });
      await request.closed;
      t.match(await failure(transcribe(transcriber, controller.signal)), { kind: 'aborted' });
      t.equal(provider.received.length, 1);
      t.equal(timers.pending, 0);
    },
    { timers },
  );
});

test('a signal that lives long keeps nothing of the requests that it was for', async (t) => {
  await withGroq([yes, json({}, 500)], async (transcriber) => {
    const { signal } = new AbortController();
    await transcribe(transcriber, signal);
    await failure(transcribe(transcriber, signal));
    t.equal(getEventListeners(signal, 'abort').length, 0);
  });
});

test('connections are used again, also after errors', async (t) => {
  await withGroq(
    [json({ error: { code: 'x' } }, 429), json({}, 500), (response) => response.writeHead(400).end('x'.repeat(10_000)), yes],
    async (transcriber, provider) => {
      for (let i = 0; i < 3; i += 1) await failure(transcribe(transcriber));
      for (let i = 0; i < 17; i += 1) await transcribe(transcriber);
      t.equal(provider.connections, 1);
      t.same(transcriber.http.counts, { requests: 20, reused: 19, resent: 0 });
      await Promise.all([transcribe(transcriber), transcribe(transcriber), transcribe(transcriber)]);
      t.equal(provider.connections, 3);
      await Promise.all([transcribe(transcriber), transcribe(transcriber), transcribe(transcriber)]);
      t.equal(provider.connections, 3);
      t.same(transcriber.http.counts, { requests: 26, reused: 23, resent: 0 });
    },
  );
});

test('an error with a body without end costs its connection, not our memory', async (t) => {
  const endless: Answer = (response) => {
    response.writeHead(500);
    const more = () => {
      while (!response.destroyed && response.write('x'.repeat(16_384)));
    };
    response.on('drain', more);
    more();
  };
  await withGroq([endless, yes], async (transcriber, provider) => {
    t.match(await failure(transcribe(transcriber)), { kind: 'server' });
    await provider.received[0]!.closed;
    await transcribe(transcriber);
    t.equal(provider.connections, 2);
  });
});

test('a connection that closes just as it is used again costs one more sending, on a new connection, not an error', async (t) => {
  await withGroq([yes, hangUp, yes], async (transcriber, provider) => {
    await transcribe(transcriber);
    t.equal((await transcribe(transcriber)).text, 'Yes.');
    t.same(
      provider.received.map((request) => request.connection),
      [1, 1, 2],
    );
    t.same(provider.received[1]!.body, provider.received[2]!.body);
    t.same(transcriber.http.counts, { requests: 3, reused: 1, resent: 1 });
  });
  await withGroq([yes, yes, hangUp, yes], async (transcriber, provider) => {
    await Promise.all([transcribe(transcriber), transcribe(transcriber)]);
    await transcribe(transcriber);
    t.equal(provider.received[3]!.connection, 3, 'not on the other idle one, which may be as old');
  });
  await withGroq([yes, hangUp, hangUp, yes], async (transcriber, provider) => {
    await transcribe(transcriber);
    t.match(await failure(transcribe(transcriber)), { kind: 'broken' });
    t.equal(provider.received.length, 3, 'once more, and no more');
  });
});

test('idle connections are closed after their time', async (t) => {
  await withGroq(
    [yes],
    async (transcriber, provider) => {
      await transcribe(transcriber);
      await provider.received[0]!.closed;
      await transcribe(transcriber);
      t.equal(provider.connections, 2);
    },
    { connections: { idleMs: 30 } },
  );
});

test('no more connections than allowed', async (t) => {
  await withGroq(
    [yes],
    async (transcriber, provider) => {
      await Promise.all(Array.from({ length: 9 }, () => transcribe(transcriber)));
      t.equal(provider.connections, 2);
      t.equal(provider.received.length, 9);
    },
    { connections: { socketsMax: 2 } },
  );
});

test('close ends what is under way and refuses what comes later', async (t) => {
  await withGroq([silence], async (transcriber, provider) => {
    const work = failure(transcribe(transcriber));
    await provider.request(1);
    await transcriber.close();
    t.match(await work, { kind: 'aborted' });
    t.match(await failure(transcribe(transcriber)), { kind: 'aborted' });
    t.equal(provider.received.length, 1);
  });
});

test('warming opens the connection that the first turn uses, and proves the key', async (t) => {
  await withGroq([json({ object: 'list', data: [] }), yes, json({}, 401)], async (transcriber, provider) => {
    await transcriber.warm(settings);
    t.match(provider.received[0], { method: 'GET', path: '/openai/v1/models' });
    await transcribe(transcriber);
    t.equal(provider.connections, 1);
    t.match(await failure(transcriber.warm(settings)), { kind: 'rejected', fields: { status: 401 } });
  });
  const provider = await LocalProvider.open(json({ detail: 'Not Found' }, 404), json({}, 403));
  const transcriber = new OpenAiTranscriber({ baseUrl: provider.url, model: 'm' });
  await transcriber.warm(settings);
  t.match(await failure(transcriber.warm(settings)), { kind: 'rejected' });
  await transcriber.close();
  await provider.close();
});

test('a missing key is a setting of ours', (t) => {
  t.match(
    thrownBy(() => new GroqTranscriber({ apiKey: '' })),
    { kind: 'config' },
  );
  t.end();
});

test('SDK clients have no retries of their own and a time limit, wherever one is made', (t) => {
  const options = { apiKey, baseUrl: 'http://127.0.0.1:9/', timeoutMs: 1234, fetch };
  for (const client of [groqClient(options), openAiClient(options)]) {
    t.match(client, { maxRetries: 0, timeout: 1234, logLevel: 'off' });
  }
  const root = join(import.meta.dirname, '..', '..', 'src');
  const made = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => {
      const source = readFileSync(join(root, path), 'utf8');
      return [...source.matchAll(/new (Groq|OpenAI|AzureOpenAI)\(\{.*?\n {2,4}\}\)/gs)].map(([call]) => ({ path, call }));
    });
  t.ok(made.length >= 2);
  for (const { path, call } of made) {
    for (const setting of [/maxRetries: 0,/, /timeout: \w/, /logLevel: 'off'/]) t.match(call, setting, path);
  }
  t.end();
});
