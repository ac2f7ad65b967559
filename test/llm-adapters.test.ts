import { inspect } from 'node:util';
import fc from 'fast-check';
import { test } from 'tap';
import { type ChatLimits, chatDeltas, chatLimitDefaults, streamDone } from '../src/llm/chat-stream.js';
import { GroqLlm } from '../src/llm/groq.js';
import { OpenAiLlm, type OpenAiLlmOptions } from '../src/llm/openai.js';
import type { LlmDelta, LlmProvider, LlmRequest } from '../src/llm/port.js';
import { type SseEvent, sseEvents } from '../src/llm/sse.js';
import { EngineError, type FailureKind, problemOf } from '../src/shared/errors.js';
import { ms } from '../src/shared/units.js';
import { growth } from './support/growth.js';
import { type Answer, hangUp, json, LocalProvider, silence } from './support/local-provider.js';
import { settled, VirtualTimers } from './support/virtual-timers.js';

const apiKey = 'sk-canary-0123456789';

function request(change: Partial<LlmRequest> = {}): LlmRequest {
  return {
    messages: [{ role: 'user', content: 'hello' }],
    tools: [],
    model: '',
    temperature: 0.5,
    maxTokens: 100,
    signal: new AbortController().signal,
    ...change,
  };
}

const word = (content: string) => ({ choices: [{ index: 0, delta: { content } }] });
const finish = (finish_reason: string) => ({ choices: [{ index: 0, delta: {}, finish_reason }] });
const fragment = (...tool_calls: unknown[]) => ({ choices: [{ index: 0, delta: { tool_calls } }] });
const wire = (...chunks: unknown[]) =>
  chunks.map((chunk) => `data: ${typeof chunk === 'string' ? chunk : JSON.stringify(chunk)}\n\n`).join('');

/** A whole answer, or with `open` one that goes on without a word. */
function sse(body: string, open = false): Answer {
  return (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    if (body !== '') response.write(body);
    if (!open) response.end();
  };
}

const hello = sse(
  wire({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] }, word('Hel'), word('lo'), finish('stop'), '[DONE]'),
);
const helloDeltas = [
  { type: 'text', text: 'Hel' },
  { type: 'text', text: 'lo' },
  { type: 'end', finish: 'stop' },
];

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
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

async function withLlm(
  answers: Answer[],
  run: (llm: OpenAiLlm, provider: LocalProvider) => Promise<void>,
  options: Partial<OpenAiLlmOptions> = {},
): Promise<void> {
  const provider = await LocalProvider.open(...answers);
  const llm = new OpenAiLlm({ baseUrl: `${provider.url}/v1`, model: 'm', apiKey, ...options });
  try {
    await run(llm, provider);
  } finally {
    await llm.close();
    await provider.close();
  }
}

async function* inPieces(bytes: Uint8Array, cuts: Iterable<number> = []): AsyncGenerator<Uint8Array> {
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    yield bytes.subarray(from, cut);
    from = cut;
  }
}

async function* listed(...chunks: unknown[]): AsyncGenerator<unknown> {
  yield* chunks;
}

const deltas = (...chunks: unknown[]) => collect(chatDeltas(listed(...chunks), 65_536, 'x', () => undefined));

test('the request that a compatible server gets', async (t) => {
  await withLlm([hello], async (llm, provider) => {
    t.same(await collect(llm.stream(request({ userId: 'u', extraBody: { a: 1 } }))), helloDeltas);
    const received = provider.received[0]!;
    t.match(received, { method: 'POST', path: '/v1/chat/completions' });
    t.match(received.headers, {
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'content-length': String(received.body.length),
      'x-stainless-retry-count': '0',
    });
    t.same(
      JSON.parse(received.body.toString()),
      { model: 'm', messages: [{ role: 'user', content: 'hello' }], temperature: 0.5, max_tokens: 100, stream: true },
      'nothing that a strict server does not know',
    );
  });
});

test('messages and tools', async (t) => {
  await withLlm(
    [hello],
    async (llm, provider) => {
      const call = { id: 'c1', name: 'get_weather', argumentsJson: '{"city":"Rome"}' };
      await collect(
        llm.stream(
          request({
            messages: [
              { role: 'system', content: 'be kind' },
              { role: 'user', content: 'weather?' },
              { role: 'assistant', content: '', toolCalls: [call] },
              { role: 'tool', content: 'sunny', toolCallId: 'c1' },
              { role: 'assistant', content: 'One moment.', toolCalls: [call] },
              { role: 'assistant', content: 'It is sunny.' },
            ],
            tools: [{ name: 'get_weather', description: 'tells it', parameters: { type: 'object', properties: {} } }],
            model: 'other',
          }),
        ),
      );
      const tool_calls = [{ id: 'c1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Rome"}' } }];
      t.same(JSON.parse(provider.received[0]!.body.toString()), {
        model: 'other',
        messages: [
          { role: 'system', content: 'be kind' },
          { role: 'user', content: 'weather?' },
          { role: 'assistant', content: null, tool_calls },
          { role: 'tool', content: 'sunny', tool_call_id: 'c1' },
          { role: 'assistant', content: 'One moment.', tool_calls },
          { role: 'assistant', content: 'It is sunny.' },
        ],
        tools: [
          {
            type: 'function',
            function: { name: 'get_weather', description: 'tells it', parameters: { type: 'object', properties: {} } },
          },
        ],
        max_completion_tokens: 100,
        stream: true,
      });
    },
    { tokenLimitField: 'max_completion_tokens', sendsTemperature: false },
  );
});

test('a custom model gets its own fields and headers, and no key when there is none', async (t) => {
  process.env['OPENAI_API_KEY'] = 'sk-canary-env';
  t.teardown(() => delete process.env['OPENAI_API_KEY']);
  await withLlm(
    [hello],
    async (llm, provider) => {
      t.equal(llm.name, 'custom');
      await collect(llm.stream(request({ userId: 'u7', extraBody: { plan: { level: 2 } } })));
      await collect(llm.stream(request()));
      const [first, second] = provider.received.map(({ body }) => JSON.parse(body.toString()));
      t.match(first, { user_id: 'u7', elevenlabs_extra_body: { plan: { level: 2 } } });
      t.notOk('user_id' in second || 'elevenlabs_extra_body' in second);
      t.equal(provider.received[0]!.headers['x-tenant'], 'acme');
      t.notOk(provider.received[0]!.headers.authorization);
    },
    { custom: true, headers: { 'X-Tenant': 'acme' }, apiKey: '' },
  );
});

test('the field that limits the answer follows the host', async (t) => {
  const sent: string[] = [];
  for (const baseUrl of [
    'https://api.openai.com/v1',
    'https://eu.api.openai.com/v1',
    'https://x.openai.azure.com/openai',
    'https://notopenai.com/v1',
    'http://127.0.0.1:11434/v1',
  ]) {
    const llm = new OpenAiLlm({ baseUrl, model: 'm', apiKey });
    sent.push(llm.tokenLimitField);
    await llm.close();
  }
  t.same(sent, ['max_completion_tokens', 'max_completion_tokens', 'max_completion_tokens', 'max_tokens', 'max_tokens']);
});

test('Groq: few thoughts, with room for them', async (t) => {
  const provider = await LocalProvider.open(hello);
  const llm = new GroqLlm({ apiKey, baseUrl: provider.url });
  t.equal(llm.name, 'groq');
  t.same(await collect(llm.stream(request())), helloDeltas);
  await collect(llm.stream(request({ model: 'qwen/qwen3.6-27b' })));
  await collect(llm.stream(request({ model: 'llama-3.3-70b-versatile', userId: 'u' })));
  t.match(provider.received[0], { path: '/openai/v1/chat/completions', headers: { authorization: `Bearer ${apiKey}` } });
  const common = { messages: [{ role: 'user', content: 'hello' }], temperature: 0.5, stream: true };
  t.same(
    provider.received.map(({ body }) => JSON.parse(body.toString())),
    [
      { model: 'openai/gpt-oss-120b', max_completion_tokens: 612, reasoning_effort: 'low', include_reasoning: false, ...common },
      { model: 'qwen/qwen3.6-27b', max_completion_tokens: 100, reasoning_effort: 'none', ...common },
      { model: 'llama-3.3-70b-versatile', max_completion_tokens: 100, ...common },
    ],
  );
  await llm.close();
  await provider.close();
  t.equal((await failure(Promise.resolve().then(() => new GroqLlm({ apiKey: '' })))).kind, 'config');
});

test('events are the same wherever the bytes are cut', async (t) => {
  const text =
    ': hello\r\ndata: 1\r\ndata: 2\r\n\r\ndata: {"a":"ä€😀"}\r\n\r\nevent: error\ndata:two\ndata: lines\nid: 7\nretry: 10\n\n\n\rdata\r\rdata: x\ndata\n\ndata: [DONE]\n\n';
  const bytes = new TextEncoder().encode(text);
  const wanted: SseEvent[] = [
    { name: '', data: '1\n2', complete: true },
    { name: '', data: '{"a":"ä€😀"}', complete: true },
    { name: 'error', data: 'two\nlines', complete: true },
    { name: '', data: '', complete: true },
    { name: '', data: 'x\n', complete: true },
    { name: '', data: '[DONE]', complete: true },
  ];
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    t.same(await collect(sseEvents(inPieces(bytes, [cut]), 1000, 'x')), wanted, `cut at ${cut}`);
  }
  const everywhere = Array.from({ length: bytes.length }, (_, i) => i);
  t.same(await collect(sseEvents(inPieces(bytes, everywhere), 1000, 'x')), wanted, 'byte by byte');
});

test('an event cut off at the end is told from a complete one', async (t) => {
  const events = (text: string) => collect(sseEvents(inPieces(new TextEncoder().encode(text)), 1000, 'x'));
  t.same(await events('data: a\n\ndata: b\n'), [
    { name: '', data: 'a', complete: true },
    { name: '', data: 'b', complete: false },
  ]);
  t.same(await events('data: b'), [{ name: '', data: 'b', complete: false }]);
  t.same(await events('event: x\n'), []);
  t.same(await events(''), []);
});

test('an event has a bound, and its cost grows with its length only', async (t) => {
  const byteByByte = (length: number) => {
    const bytes = new TextEncoder().encode(`data: ${'x'.repeat(length)}`);
    return inPieces(bytes, bytes.keys());
  };
  t.match(await failure(collect(sseEvents(inPieces(new TextEncoder().encode(`data: ${'x'.repeat(200)}`)), 100, 'x'))), {
    kind: 'garbage',
  });
  const ratio = await growth((size) => collect(sseEvents(byteByByte(size), 1_000_000, 'x')), 20_000);
  t.ok(ratio < 9, `four times the bytes, one by one, cost ${ratio.toFixed(1)} times the time`);
  const many = new TextEncoder().encode('data: 0123456789\n'.repeat(1000));
  t.match(await failure(collect(sseEvents(inPieces(many), 10_000, 'x'))), { kind: 'garbage' }, 'many lines without an end');
  const events = new TextEncoder().encode('data: 0123456789\n\n'.repeat(1000));
  t.equal(
    (
      await collect(
        sseEvents(
          inPieces(
            events,
            Array.from({ length: 1000 }, (_, i) => i * 18),
          ),
          100,
          'x',
        ),
      )
    ).length,
    1000,
  );
});

test('tool calls are put together, also as other servers cut them', async (t) => {
  const call = (index: number | undefined, id: string | undefined, name: string | undefined, args: unknown) => ({
    ...(index === undefined ? {} : { index }),
    ...(id === undefined ? {} : { id }),
    type: 'function',
    function: { ...(name === undefined ? {} : { name }), ...(args === undefined ? {} : { arguments: args }) },
  });
  const a = { id: 'a', name: 'look_up', argumentsJson: '{"x":1}' };
  const b = { id: 'b', name: 'end_call', argumentsJson: '{}' };
  const table: readonly [string, unknown[], unknown[]][] = [
    [
      'OpenAI',
      [
        fragment(call(0, 'a', 'look_up', '')),
        fragment(call(0, undefined, undefined, '{"x"')),
        fragment(call(0, undefined, undefined, ':1}')),
      ],
      [a],
    ],
    [
      'two, interleaved',
      [
        fragment(call(0, 'a', 'look_up', '{"x"'), call(1, 'b', 'end_call', '')),
        fragment(call(1, undefined, undefined, '{}'), call(0, undefined, undefined, ':1}')),
      ],
      [a, b],
    ],
    [
      'no index, whole calls',
      [fragment(call(undefined, 'a', 'look_up', '{"x":1}')), fragment(call(undefined, 'b', 'end_call', '{}'))],
      [a, b],
    ],
    [
      'no index, in pieces',
      [
        fragment(call(undefined, 'a', 'look_up', '{"x"')),
        fragment(call(undefined, undefined, undefined, ':1}')),
        fragment(call(undefined, 'b', 'end_call', undefined)),
      ],
      [a, b],
    ],
    ['index always 0', [fragment(call(0, 'a', 'look_up', '{"x":1}')), fragment(call(0, 'b', 'end_call', '{}'))], [a, b]],
    ['one id for all', [fragment(call(0, 'a', 'look_up', '{"x":1}'), call(1, 'a', 'end_call', '{}'))], [a, { ...b, id: 'a' }]],
    ['id and name repeated', [fragment(call(0, 'a', 'look_up', '{"x"')), fragment(call(0, 'a', 'look_up', ':1}'))], [a]],
    ['name in pieces', [fragment(call(0, 'a', 'look', '')), fragment(call(0, '', '_up', '{"x":1}'))], [a]],
    ['id later', [fragment(call(0, '', 'look_up', '')), fragment(call(0, 'a', '', '{"x":1}'))], [a]],
    ['arguments as an object', [fragment(call(0, 'a', 'look_up', { x: 1 }))], [a]],
    ['no arguments', [fragment(call(0, 'b', 'end_call', ' '))], [b]],
    ['no name', [fragment(call(0, 'b', '', '{}'))], []],
    ['nonsense', [fragment(null, 7, 'x', {})], []],
  ];
  for (const [name, chunks, wanted] of table) {
    const got = await deltas(...chunks, finish('tool_calls'));
    t.same(
      got,
      [
        ...wanted.map((each) => ({ type: 'tool_call', call: each })),
        { type: 'end', finish: wanted.length > 0 ? 'tool_calls' : 'stop' },
      ],
      name,
    );
  }
  const [nameless] = await deltas(fragment(call(0, undefined, 'end_call', '{}')), finish('stop'));
  t.match(nameless, { type: 'tool_call', call: { id: /^call_[0-9a-f-]{36}$/ } }, 'an id of ours');
  const many = Array.from({ length: 33 }, (_, i) => call(i, `id${i}`, 'f', '{}'));
  t.match(await failure(deltas(fragment(...many), finish('stop'))), { kind: 'garbage' });
  t.equal((await deltas(fragment(...many.slice(1)), finish('stop'))).length, 33);
});

test('how an answer finishes', async (t) => {
  const whole = { index: 0, id: 'a', function: { name: 'f', arguments: '{}' } };
  const half = { index: 1, id: 'b', function: { name: 'g', arguments: '{"x' } };
  const ends = async (...chunks: unknown[]) =>
    (await deltas(...chunks)).map((delta) => (delta.type === 'end' ? delta.finish : delta.type));
  t.same(await ends(word('a'), finish('stop')), ['text', 'stop']);
  t.same(await ends(word('a'), finish('eos')), ['text', 'stop']);
  t.same(await ends(word('a'), finish('length')), ['text', 'length']);
  t.same(await ends(word('a'), finish('content_filter')), ['text', 'stop']);
  t.same(await ends(finish('stop')), ['stop'], 'an empty answer is an answer');
  t.same(await ends(fragment(whole), finish('stop')), ['tool_call', 'tool_calls']);
  t.same(await ends(word('a'), fragment(whole, half), finish('length')), ['text', 'tool_call', 'length'], 'half a call is none');
  t.same(
    await ends(fragment(half), finish('tool_calls')),
    ['tool_call', 'tool_calls'],
    'whoever runs the tool refuses its arguments',
  );
  t.same(await ends(word('a'), streamDone), ['text', 'stop'], 'no reason given');
  t.same(await ends(fragment(whole), streamDone), ['tool_call', 'tool_calls']);
  t.same(
    await ends({ choices: [{ index: 0, delta: { content: 'a' }, finish_reason: 'stop' }] }),
    ['text', 'stop'],
    'in one chunk',
  );
  t.same(await ends(word('a'), finish(''), { choices: [{ delta: null, finish_reason: null }] }, finish('stop')), [
    'text',
    'stop',
  ]);
  t.same(
    await ends(
      { choices: [] },
      { usage: {} },
      {},
      { choices: null },
      { choices: [{ index: 1, delta: { content: 'no' } }] },
      word('a'),
      finish('stop'),
    ),
    ['text', 'stop'],
  );
  const kinds: readonly [FailureKind, unknown[]][] = [
    ['broken', []],
    ['broken', [word('a')]],
    ['broken', [streamDone]],
    ['rejected', [finish('content_filter')]],
    ['server', [word('a'), finish('error')]],
    ['server', [word('a'), { error: { message: 'boom' } }]],
    ['server', [{ error: 'boom' }]],
    ['rate_limited', [{ error: { code: 'rate_limit_exceeded' } }]],
    ['garbage', [{ choices: [{ delta: { content: 7 } }] }]],
    ['garbage', [word('a'.repeat(65_537))]],
    ['garbage', [word('ä'.repeat(32_768)), word('b')]],
    ['garbage', [fragment({ index: 0, id: 'a', function: { name: 'f', arguments: 'x'.repeat(70_000) } })]],
  ];
  for (const [kind, chunks] of kinds) t.equal((await failure(deltas(...chunks))).kind, kind, inspect(chunks).slice(0, 80));
});

test('any text in any pieces comes out as it went in', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 8 }), { maxLength: 12 }),
      fc.array(fc.nat(2000), { maxLength: 12 }),
      async (words, cuts) => {
        const bytes = new TextEncoder().encode(wire(...words.map(word), finish('stop'), '[DONE]'));
        const sorted = cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b);
        async function* chunks(): AsyncGenerator<unknown> {
          for await (const event of sseEvents(inPieces(bytes, sorted), 10_000, 'x'))
            yield event.data === '[DONE]' ? streamDone : JSON.parse(event.data);
        }
        const got = await collect(chatDeltas(chunks(), 65_536, 'x', () => undefined));
        const text = got.map((delta) => (delta.type === 'text' ? delta.text : '')).join('');
        return text === words.join('') && got.filter((delta) => delta.type === 'end').length === 1 && got.at(-1)!.type === 'end';
      },
    ),
  );
  t.pass();
});

test('over the wire, byte by byte', async (t) => {
  const body = wire(
    word('Grüße '),
    word('😀'),
    fragment({ index: 0, id: 'a', function: { name: 'f', arguments: '{"x":1}' } }),
    finish('tool_calls'),
    '[DONE]',
  );
  const bytewise: Answer = (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const byte of Buffer.from(body)) response.write(Buffer.from([byte]));
    response.end();
  };
  await withLlm([bytewise], async (llm) => {
    t.same(await collect(llm.stream(request())), [
      { type: 'text', text: 'Grüße ' },
      { type: 'text', text: '😀' },
      { type: 'tool_call', call: { id: 'a', name: 'f', argumentsJson: '{"x":1}' } },
      { type: 'end', finish: 'tool_calls' },
    ]);
  });
});

const wireTable: readonly [string, Answer, string[]][] = [
  ['no [DONE]', sse(wire(word('a'), finish('stop'))), ['text', 'stop']],
  ['no [DONE], connection left open', sse(wire(word('a'), finish('stop')), true), ['text', 'stop']],
  ['no reason, only [DONE]', sse(wire(word('a'), '[DONE]')), ['text', 'stop']],
  ['[DONE] without an empty line', sse(`${wire(word('a'))}data: [DONE]`), ['text', 'stop']],
  ['last chunk without an empty line', sse(`${wire(word('a'))}data: ${JSON.stringify(finish('stop'))}`), ['text', 'stop']],
  ['comments and other events', sse(`: ping\n\nevent: ping\ndata: {}\n\n${wire(word('a'), finish('stop'))}`), ['text', 'stop']],
  ['ended early', sse(wire(word('a'))), ['text', 'broken']],
  ['ended in the middle of an event', sse(`${wire(word('a'))}data: {"choices":[{"del`), ['text', 'broken']],
  ['half JSON in a whole event', sse(wire(word('a'), '{"choices":[')), ['text', 'garbage']],
  ['not an object', sse(wire(word('a'), '7')), ['text', 'garbage']],
  ['an error event', sse(`${wire(word('a'))}event: error\ndata: {"message":"boom"}\n\n`), ['text', 'server']],
  ['an error object', sse(wire(word('a'), { error: { message: `boom ${apiKey}`, code: 'overloaded' } })), ['text', 'server']],
  ['no events', (response) => response.writeHead(200).end('{"choices":[]}'), ['broken']],
  ['an empty body', (response) => response.writeHead(200).end(), ['broken']],
  ['no content', (response) => response.writeHead(204).end(), ['broken']],
  ['hang up', hangUp, ['broken']],
  ['a line without end', sse(`data: ${'x'.repeat(1_200_000)}`), ['garbage']],
  [
    'closed in the middle',
    (response, { socket }) => {
      response.writeHead(200).write(wire(word('a')));
      setImmediate(() => socket.destroy());
    },
    ['text', 'broken'],
  ],
  ['500', json({ error: { message: apiKey } }, 500), ['server']],
  ['401', json({ error: { message: `bad key ${apiKey}` } }, 401), ['rejected']],
  ['404', json({}, 404), ['rejected']],
  ['redirect', json({}, 302, { location: 'http://127.0.0.1:9/' }), ['rejected']],
  ['429', json({}, 429, { 'retry-after': '3' }), ['rate_limited 3000']],
];
test('answers on the wire, good and bad', async (t) => {
  for (const [name, answer, wanted] of wireTable) {
    await withLlm([answer, hello], async (llm, provider) => {
      const got: string[] = [];
      try {
        for await (const delta of llm.stream(request())) got.push(delta.type === 'end' ? delta.finish : delta.type);
      } catch (error) {
        const problem = problemOf(error);
        got.push(problem.retryAfterMs === undefined ? problem.kind : `${problem.kind} ${problem.retryAfterMs}`);
        t.ok(error instanceof EngineError, name);
        t.notMatch(inspect(error, { depth: 9, showHidden: true }), /canary/, name);
      }
      t.same(got, wanted, name);
      t.equal(provider.received.length, 1, `${name}: asked once`);
      t.same(await collect(llm.stream(request())), helloDeltas, `${name}: the next one is none the worse`);
    });
  }
});

const limits: ChatLimits = { ...chatLimitDefaults, firstTokenMs: ms(4000), stallMs: ms(3000), totalMs: ms(10_000) };
const role = { choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] };
const thought = { choices: [{ index: 0, delta: { reasoning: 'hmm' } }] };
const stalls: readonly [string, Answer, string[], number][] = [
  ['no headers', silence, [], 4000],
  ['headers only', sse('', true), [], 4000],
  ['role, comments and thoughts are no token', sse(`${wire(role, thought)}: ping\n\n`, true), [], 4000],
  ['stall after text', sse(wire(word('a')), true), ['text'], 3000],
  ['thoughts after text are no token', sse(wire(word('a'), thought, role), true), ['text'], 3000],
  ['stall in a tool call', sse(wire(fragment({ index: 0, id: 'a', function: { name: 'f', arguments: '{' } })), true), [], 3000],
];
test('stalls run into their deadline, and the connection is closed', async (t) => {
  for (const [name, answer, before, deadlineMs] of stalls) {
    const timers = new VirtualTimers();
    await withLlm(
      [answer],
      async (llm, provider) => {
        const stream = llm.stream(request())[Symbol.asyncIterator]();
        for (const type of before) t.equal((await stream.next()).value!.type, type, name);
        const end = failure(stream.next().then());
        const received = await provider.request(1);
        // Everything that was written has arrived when the clock is moved: the loopback delivers it while the loop turns.
        for (let turn = 0; turn < 20; turn += 1) await settled();
        await timers.advance(deadlineMs - 1);
        t.equal(received.socket.destroyed, false, name);
        await timers.advance(1);
        t.match(await end, { kind: 'timeout' }, name);
        await received.closed;
        t.equal(timers.pending, 0, name);
      },
      { timers, limits },
    );
  }
});

test('an answer that drips has an end too, and the time that the consumer takes does not count', async (t) => {
  const timers = new VirtualTimers();
  let write: (text: string) => void = () => undefined;
  const drip: Answer = (response) => {
    response.writeHead(200);
    write = (text) => response.write(wire(word(text)));
    write('0');
  };
  await withLlm(
    [drip],
    async (llm) => {
      const stream = llm.stream(request())[Symbol.asyncIterator]();
      t.same((await stream.next()).value, { type: 'text', text: '0' });
      await timers.advance(7000);
      write('1');
      t.same((await stream.next()).value, { type: 'text', text: '1' }, 'seven seconds of the consumer');
      const late = failure(stream.next().then());
      await settled();
      await timers.advance(2999);
      t.equal(timers.pending, 1);
      await timers.advance(1);
      t.match(await late, { kind: 'timeout' }, 'ten seconds in all');
    },
    { timers, limits: { ...limits, stallMs: ms(5000) } },
  );
});

test('an abort ends the stream and closes the connection, at every point', async (t) => {
  for (const [answer, before, isComplete] of [
    [silence, 0, false],
    [sse('', true), 0, false],
    [sse(wire(word('a')), true), 1, false],
    [sse(wire(word('a'), word('b'), finish('stop'), '[DONE]')), 1, true],
  ] as const) {
    const timers = new VirtualTimers();
    await withLlm(
      [answer],
      async (llm, provider) => {
        const controller = new AbortController();
        const stream = llm.stream(request({ signal: controller.signal }))[Symbol.asyncIterator]();
        for (let i = 0; i < before; i += 1) await stream.next();
        const next = before === 0 ? failure(stream.next().then()) : undefined;
        const received = await provider.request(1);
        controller.abort();
        t.match(await (next ?? failure(stream.next().then())), { kind: 'aborted' });
        // Where everything has been sent already there is nothing to stop.
        if (!isComplete) await received.closed;
        t.equal(timers.pending, 0);
        t.match(await failure(collect(llm.stream(request({ signal: controller.signal })))), { kind: 'aborted' });
        t.equal(provider.received.length, 1, 'nothing is sent with a signal that was aborted before');
      },
      { timers },
    );
  }
});

test('leaving the loop closes the connection', async (t) => {
  const timers = new VirtualTimers();
  await withLlm(
    [sse(wire(word('a'), word('b')), true)],
    async (llm, provider) => {
      for await (const delta of llm.stream(request())) {
        t.same(delta, { type: 'text', text: 'a' });
        break;
      }
      await provider.received[0]!.closed;
      t.equal(timers.pending, 0);
    },
    { timers },
  );
});

test('close ends every stream, and nothing starts after it', async (t) => {
  const timers = new VirtualTimers();
  await withLlm(
    [sse(wire(word('a')), true), silence],
    async (llm, provider) => {
      const first = llm.stream(request())[Symbol.asyncIterator]();
      await first.next();
      const rest = [first, llm.stream(request())[Symbol.asyncIterator]()].map((stream) => failure(stream.next().then()));
      await provider.request(2);
      await llm.close();
      for (const error of await Promise.all(rest)) t.match(error, { kind: 'aborted' });
      await Promise.all(provider.received.map((received) => received.closed));
      t.match(await failure(collect(llm.stream(request()))), { kind: 'aborted' });
      t.equal(provider.received.length, 2);
      t.equal(timers.pending, 0);
    },
    { timers },
  );
});

test('connections are used again', async (t) => {
  const provider = await LocalProvider.open(json({}, 429), hello);
  for (const llm of [
    new OpenAiLlm({ baseUrl: provider.url, model: 'm', apiKey }),
    new GroqLlm({ baseUrl: provider.url, apiKey }),
  ] as (LlmProvider & Pick<OpenAiLlm, 'http'>)[]) {
    const before = provider.connections;
    for (let i = 0; i < 10; i += 1) {
      await collect(llm.stream(request())).catch(() => undefined);
      // The end of the answer is read in the background.
      for (let turn = 0; turn < 5; turn += 1) await settled();
    }
    t.equal(provider.connections - before, 1, llm.name);
    t.same(llm.http.counts, { requests: 10, reused: 9, resent: 0 });
    await llm.close();
  }
  await provider.close();
});

test('a server that does not end after the end loses its connection, without keeping anyone waiting', async (t) => {
  const timers = new VirtualTimers();
  await withLlm(
    [
      sse(wire(word('a'), finish('stop')), true),
      sse(wire(word('a'), finish('stop')) + `: ${'x'.repeat(90)}\n\n`.repeat(2000), true),
    ],
    async (llm, provider) => {
      t.equal((await collect(llm.stream(request()))).length, 2);
      t.equal(timers.pending, 1);
      await timers.advance(1000);
      await provider.received[0]!.closed;
      t.equal((await collect(llm.stream(request()))).length, 2);
      await provider.received[1]!.closed;
      t.equal(timers.pending, 0);
    },
    { timers },
  );
});

test('the stream promised by the port: deltas in order, then one end, for any consumer', async (t) => {
  await withLlm([hello], async (llm) => {
    const stream = llm.stream(request());
    const first: LlmDelta[] = [];
    for await (const delta of stream) {
      await settled();
      first.push(delta);
    }
    t.same(first, helloDeltas);
    t.same(await collect(stream), [], 'a stream is read once');
  });
});

test('the provider’s own count comes after the end, from a chunk of its own or from the last one', async (t) => {
  const usage = { prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 };
  const counted: unknown[] = [];
  const onUsage = (value: unknown): void => {
    counted.push(value);
  };
  await withLlm(
    [
      sse(wire(word('a'), finish('stop'), { choices: [], usage }, '[DONE]')),
      sse(wire(word('a'), { ...finish('stop'), x_groq: { usage } }, '[DONE]')),
      sse(wire(word('a'), finish('stop'), '[DONE]')),
    ],
    async (llm, provider) => {
      for (const expected of [1, 2, 2]) {
        t.equal((await collect(llm.stream(request({ onUsage })))).length, 2);
        // The third model never says; it is given as many turns as a count takes, and more.
        for (let turn = 0; turn < 500 && (expected > counted.length || provider.received.length === 3); turn++) await settled();
        t.equal(counted.length, expected);
      }
      t.match(JSON.parse(provider.received[0]!.body.toString()), { stream_options: { include_usage: true } });
    },
  );
  t.same(counted, [
    { inputTokens: 7, outputTokens: 2 },
    { inputTokens: 7, outputTokens: 2 },
  ]);
});

test('uploaded files: pictures for both, other files for servers that read them', async (t) => {
  const files = [
    { name: 'cat.png', mimeType: 'image/png', base64: 'AAAA' },
    { name: 'bill.pdf', mimeType: 'application/pdf', base64: 'BBBB' },
  ];
  const messages = [{ role: 'user' as const, content: 'What is this?', files }];
  await withLlm([hello], async (llm, provider) => {
    await collect(llm.stream(request({ messages })));
    t.same(JSON.parse(provider.received[0]!.body.toString()).messages[0].content, [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
      { type: 'file', file: { filename: 'bill.pdf', file_data: 'data:application/pdf;base64,BBBB' } },
    ]);
  });
  const provider = await LocalProvider.open(hello);
  const groq = new GroqLlm({ apiKey, baseUrl: provider.url });
  await collect(groq.stream(request({ messages })));
  t.match(JSON.parse(provider.received[0]!.body.toString()).messages[0].content, [
    { type: 'text' },
    { type: 'image_url' },
    { type: 'text', text: /bill\.pdf cannot be read/ },
  ]);
  await groq.close();
  await provider.close();
});
