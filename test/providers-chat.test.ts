/** The simulated language model, asked by the official SDKs. */
import * as fc from 'fast-check';
import type Groq from 'groq-sdk';
import type OpenAI from 'openai';
import { test } from 'tap';
import { replyTo } from '../load/providers/answers.js';
import { loadVoice } from '../load/providers/voice.js';
import { nowMs } from '../src/shared/clock.js';
import { control, failureOf, groqAt, openaiAt, started } from './support/provider-clients.js';

test('groq-sdk and openai: chat, streamed and whole, and what was asked is on record', async (t) => {
  const { url } = await started(t);
  const messages = [
    { role: 'system' as const, content: 'You are brief.' },
    { role: 'user' as const, content: 'I want to fly to Boston on Friday.' },
  ];
  const beforeMs = nowMs();
  const stream = await groqAt(url).chat.completions.create({
    model: 'llama-3.1-8b-instant',
    messages,
    stream: true,
    temperature: 0.2,
  });
  const pieces: string[] = [];
  let finish: string | null = null;
  let usage: unknown;
  for await (const chunk of stream) {
    const [choice] = chunk.choices;
    if (choice?.delta.content) pieces.push(choice.delta.content);
    finish = choice?.finish_reason ?? finish;
    usage = chunk.x_groq?.usage ?? usage;
  }
  const whole = await openaiAt(url).chat.completions.create({ model: 'gpt-4o-mini', messages });
  t.ok(pieces.length > 20, 'word by word');
  t.equal(pieces.join(''), whole.choices[0]!.message.content);
  t.equal(pieces.join(''), replyTo(messages[1]!.content, 1));
  t.equal(finish, 'stop');
  t.match(usage, { prompt_tokens: Number, completion_tokens: Number });
  t.match(pieces.join(''), /boston and friday/, 'takes up what the user said');

  const { requests } = (await control(url, 'GET', 'requests')) as unknown as {
    requests: { atMonotonicMs: number; body: { messages: unknown } }[];
  };
  t.equal(requests.length, 2);
  t.same(requests[0]!.body.messages, messages);
  t.ok(requests[0]!.atMonotonicMs > beforeMs && requests[0]!.atMonotonicMs < nowMs(), 'on the clock that processes share');
  t.same((await control(url, 'GET', 'requests?after=2'))['requests'], []);

  const usageStream = await openaiAt(url).chat.completions.create({
    model: 'gpt-4o-mini',
    messages,
    stream: true,
    stream_options: { include_usage: true },
    max_completion_tokens: 3,
  });
  const chunks = [];
  for await (const chunk of usageStream) chunks.push(chunk);
  t.equal(chunks.at(-1)!.usage!.completion_tokens, 3);
  t.equal(chunks.at(-2)!.choices[0]!.finish_reason, 'length');

  const tools = [{ type: 'function' as const, function: { name: 'find', parameters: { type: 'object', properties: {} } } }];
  const call = { id: 'c1', type: 'function' as const, function: { name: 'find', arguments: '{}' } };
  const refused: [string, Parameters<Groq['chat']['completions']['create']>[0]['messages'], object][] = [
    ['no messages', [], {}],
    ['a result nobody asked for', [...messages, { role: 'tool', tool_call_id: 'c1', content: 'x' }], { tools }],
    [
      'a call without a result',
      [...messages, { role: 'assistant', tool_calls: [call] }, { role: 'user', content: 'hm' }],
      { tools },
    ],
    ['an unknown field', messages, { elevenlabs_extra_body: {} }],
    ['a temperature out of range', messages, { temperature: 3 }],
    ['a model that cannot talk', messages, { model: 'whisper-large-v3' }],
  ];
  for (const [name, list, extra] of refused) {
    const refusal = groqAt(url).chat.completions.create({ model: 'llama-3.1-8b-instant', messages: list, ...extra });
    t.match(await failureOf(refusal.then()), { status: 400 }, name);
  }
  await t.resolves(
    openaiAt(url).chat.completions.create({ model: 'custom', messages, user_id: 'u', elevenlabs_extra_body: { a: 1 } } as never),
    'custom models are told more',
  );
});

test('answers: by script, with tool calls in pieces and the sentence after their result', async (t) => {
  const { url } = await started(t);
  await control(url, 'POST', 'answers', {
    answers: [
      { match: '*', text: 'Could you say that again?' },
      {
        match: 'weather',
        toolCall: { name: 'get_weather', arguments: { city: 'Paris', days: [1, 2, 3] } },
        afterTool: 'It will be sunny.',
      },
      { match: '/^book (\\w+)/i', text: 'Booked.', times: 1 },
      { match: 'book', system: 'agent two', text: 'Two.' },
    ],
  });
  const ask = async (...list: Parameters<OpenAI['chat']['completions']['create']>[0]['messages']): Promise<string | null> =>
    (await openaiAt(url).chat.completions.create({ model: 'gpt-4o-mini', messages: list })).choices[0]!.message.content;
  t.equal(await ask({ role: 'user', content: 'mumble' }), 'Could you say that again?');
  t.equal(await ask({ role: 'user', content: 'Book a table' }), 'Booked.');
  t.equal(await ask({ role: 'user', content: 'Book a table' }), 'Could you say that again?', 'used up');
  t.equal(await ask({ role: 'system', content: 'You are agent two.' }, { role: 'user', content: 'book it' }), 'Two.');

  const user = { role: 'user' as const, content: 'What is the weather?' };
  const stream = await groqAt(url).chat.completions.create({ model: 'llama-3.1-8b-instant', messages: [user], stream: true });
  let id = '';
  let name = '';
  const parts: string[] = [];
  let finish = '';
  for await (const chunk of stream) {
    const call = chunk.choices[0]?.delta.tool_calls?.[0];
    id += call?.id ?? '';
    name += call?.function?.name ?? '';
    if (call?.function?.arguments) parts.push(call.function.arguments);
    finish = chunk.choices[0]?.finish_reason ?? finish;
  }
  t.equal(name, 'get_weather');
  t.equal(finish, 'tool_calls');
  t.ok(parts.length >= 3, 'split over several chunks');
  t.same(JSON.parse(parts.join('')), { city: 'Paris', days: [1, 2, 3] });
  const after = await ask(
    user,
    { role: 'assistant', tool_calls: [{ id, type: 'function', function: { name, arguments: parts.join('') } }] },
    { role: 'tool', tool_call_id: id, content: 'sunny' },
  );
  t.equal(after, 'It will be sunny.');
});

test('answers without a script: deterministic, 25 to 60 words, and long on request', async (t) => {
  fc.assert(
    fc.property(fc.string(), fc.nat(), (text, seed) => {
      const reply = replyTo(text, seed);
      if (reply !== replyTo(text, seed)) return false;
      const count = reply.split(' ').length;
      return /\b(?:story|long)\b/i.test(text) || (count >= 25 && count <= 60);
    }),
  );
  const replies = new Set(Array.from({ length: 40 }, (_, index) => replyTo(`question ${index}`, 1)));
  t.ok(replies.size > 20, 'varied');
  const story = (await loadVoice()).speak(replyTo('Tell me a story about my garden', 1));
  t.ok(story.durationMs >= 20_000, `a story of ${story.durationMs} ms`);
  t.match(story.text, /garden/);
});
