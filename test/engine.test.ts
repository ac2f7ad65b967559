/** The engine end to end at its socket, on both socket libraries: handshake, text, speech out, bad input, limits. */
import { once } from 'node:events';
import tap, { type Test, test } from 'tap';
import WebSocket from 'ws';
import { Client, type Received, type Stack, startStack } from './support/engine.js';

async function metricsOf(stack: Stack): Promise<string> {
  return await (await fetch(`${stack.http}/metrics`)).text();
}

// They wait for timers of the engine most of the time.
tap.jobs = 2;

/** Long beyond what it may take, on any machine. */
const patienceMs = 10_000;

/** All slots are free again: the next test has four. */
async function becomesEmpty(t: Test, stack: Stack): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (performance.now() < endMs) {
    const ready = (await (await fetch(`${stack.http}/readyz`)).json()) as { calls: number; free: number };
    if (ready.calls === 0 && ready.free === 4) {
      t.pass('every slot was given back');
      return;
    }
    await new Promise(setImmediate);
  }
  t.fail('a slot was not given back');
}

for (const sockets of ['uws', 'ws'] as const) {
  const hasBinary = Number(process.versions.node.split('.')[0]) < 24;
  const skip = sockets === 'uws' && !hasBinary ? 'uWebSockets.js has no binary for this Node' : false;
  test(`on ${sockets}`, { skip, buffered: true }, async (t) => {
    const stack = await startStack({ PARLEY_SOCKETS: sockets });
    t.teardown(() => stack.stop());

    await t.test('health, readiness and figures', async (t) => {
      t.equal((await fetch(`${stack.http}/healthz`)).status, 200);
      t.match(await (await fetch(`${stack.http}/readyz`)).json(), { status: 'ready', calls: 0, free: 4 });
      t.match(await metricsOf(stack), /^parley_slots_free 4$/m);
      const missing = await fetch(`${stack.http}/no/such/thing`);
      t.equal(missing.status, 404);
      t.match(await missing.json(), { detail: { status: 'not_found' } });
      t.equal((await fetch(`${stack.http}/healthz`, { method: 'DELETE' })).status, 405);
    });

    await t.test('metadata first, then quiet for 20 ms and more, then the first message with its audio', async (t) => {
      const client = await Client.open(stack, 'default', { dynamic_variables: { name: 'Ada' } });
      const metadata = await client.event('conversation_initiation_metadata');
      t.match(metadata, {
        agent_output_audio_format: 'pcm_16000',
        user_input_audio_format: 'pcm_16000',
        conversation_id: /^conv_/,
      });
      t.match(await client.event('agent_response'), { agent_response: 'Hello Ada, how can I help you today?' });
      const audio = await client.event('audio');
      const samples = Buffer.from(String(audio['audio_base_64']), 'base64');
      t.ok(samples.length > 0 && samples.length % 2 === 0, 'whole samples');
      t.equal(client.received[0]?.type, 'conversation_initiation_metadata');
      t.ok(client.received[1]!.atMs - client.received[0]!.atMs >= 20, 'quiet after the metadata');
      t.equal(client.types().filter((type) => type === 'conversation_initiation_metadata').length, 1);
      const ping = await client.event('ping');
      t.equal(ping['event_id'], 1);
      t.equal(ping['ping_ms'], null);
      client.send({ type: 'conversation_initiation_client_data' });
      t.match(await client.event('error'), { error_type: 'invalid_message' });
      await client.close();
      await becomesEmpty(t, stack);
    });

    await t.test('without an initiation it starts by itself; with early audio at once', async (t) => {
      const silent = await Client.open(stack, 'quiet', false);
      await silent.event('conversation_initiation_metadata');
      const early = await Client.open(stack, 'quiet', false);
      early.send({ user_audio_chunk: Buffer.alloc(640).toString('base64') });
      await early.event('conversation_initiation_metadata');
      await Promise.all([silent.close(), early.close()]);
      await becomesEmpty(t, stack);
    });

    await t.test('subprotocols', async (t) => {
      const bearer = await Client.open(stack, 'quiet', {}, ['convai', 'bearer.secret']);
      t.equal(bearer.socket.protocol, 'convai');
      const none = await Client.open(stack, 'quiet', {}, []);
      t.equal(none.socket.protocol, '');
      await Promise.all([bearer.close(), none.close()]);
      const other = new WebSocket(`${stack.url}?agent_id=quiet`, ['chat']);
      other.on('error', () => undefined);
      const [, response] = (await once(other, 'unexpected-response')) as [unknown, { statusCode: number }];
      t.equal(response.statusCode, 400);
      other.terminate();
      await becomesEmpty(t, stack);
    });

    await t.test('an unknown agent, a forbidden override, a missing variable: closed with a reason', async (t) => {
      const unknown = await Client.open(stack, 'nobody');
      t.match(await unknown.closed, { code: 3000, reason: /^Unknown agent/ });
      t.same(unknown.types(), []);
      const forbidden = await Client.open(stack, 'quiet', {
        conversation_config_override: { agent: { prompt: { prompt: 'Be rude.' } } },
      });
      t.match(await forbidden.closed, { code: 1008, reason: "Override for field 'prompt' is not allowed by config." });
      t.same(forbidden.types(), ['conversation_initiation_metadata']);
      const missing = await Client.open(stack, 'needy');
      t.match(await missing.closed, { code: 1008, reason: /dynamic variables: who/ });
      await becomesEmpty(t, stack);
    });

    await t.test('a typed turn is answered aloud and not echoed; a second one interrupts it', async (t) => {
      const client = await Client.open(stack, 'quiet');
      client.send({ type: 'user_message', text: 'Tell me a long story please' });
      const first = await client.event('audio');
      client.send({ type: 'user_message', text: 'Something else then' });
      const interruption = await client.event('interruption');
      const correction = await client.event('agent_response_correction');
      t.ok(
        String(correction['original_agent_response']).startsWith(String(correction['corrected_agent_response'])),
        'what was heard is a prefix',
      );
      t.ok(Number(interruption['event_id']) > Number(first['event_id']));
      const newer = (): Received[] =>
        client.received.filter(
          (item) => item.type === 'audio' && Number(item.body['audio_event']!['event_id']) > Number(interruption['event_id']) + 1,
        );
      await client.until(() => (newer().length >= 5 ? true : undefined));
      const cutAt = client.types().indexOf('interruption');
      const late = client.received
        .slice(cutAt)
        .filter(
          (item) => item.type === 'audio' && Number(item.body['audio_event']!['event_id']) <= Number(interruption['event_id']),
        );
      t.equal(late.length, 0, 'nothing older follows the interruption');
      t.notOk(client.types().includes('user_transcript'), 'typed words come back as no transcript');
      const requests = stack.providers.services.journal
        .llmRequests(0)
        .map((request) => request.body as { messages: { role: string; content: string }[] });
      const last = requests.at(-1)!.messages;
      const heard = String(correction['corrected_agent_response']);
      t.same(
        last.slice(1).map(({ role, content }) => [role, content]),
        [
          ['user', 'Tell me a long story please'],
          ...(heard === '' ? [] : [['assistant', heard]]),
          ['user', 'Something else then'],
        ],
        'the model is told what was truly heard',
      );
      await client.close();
      await becomesEmpty(t, stack);
    });

    await t.test('text only: parts, one response, never audio', async (t) => {
      const client = await Client.open(stack, 'default', { conversation_config_override: { conversation: { text_only: true } } });
      t.match(await client.event('agent_response'), { agent_response: /^Hello there/ });
      client.send({ type: 'contextual_update', text: 'The cart is empty.', context_id: 'cart' });
      client.send({ type: 'contextual_update', text: 'The cart holds a lamp.', context_id: 'cart' });
      client.send({ type: 'user_message', text: 'What is in my cart?' });
      const response = await client.event('agent_response', 1);
      const parts = client.received
        .filter((item) => item.type === 'agent_chat_response_part')
        .map((item) => item.body['text_response_part']!)
        .filter((part) => part['event_id'] === response['event_id']);
      t.equal(parts[0]?.['type'], 'start');
      t.equal(parts.at(-1)?.['type'], 'stop');
      t.equal(parts.map((part) => part['text']).join(''), response['agent_response']);
      t.notOk(client.types().includes('audio'));
      const last = stack.providers.services.journal.llmRequests(0).at(-1)!.body as { messages: { content: string }[] };
      t.match(last.messages[0]!.content, /cart holds a lamp/);
      t.notMatch(last.messages[0]!.content, /cart is empty/);
      await client.close();
      await becomesEmpty(t, stack);
    });

    await t.test('bad input is answered once and does not end the call, until there is too much of it', async (t) => {
      const client = await Client.open(stack, 'quiet');
      await client.event('conversation_initiation_metadata');
      await client.until(() => client.received.find((item) => item.type === 'ping'));
      client.send('{"type": "user_message", "text": 7}');
      t.match(await client.event('error'), { error_type: 'value_error', message: /text/ });
      client.send({ type: 'tomorrow', x: 1 });
      client.send('{"user_audio_chunk": "not base64!"}');
      t.match(await client.event('error', 1), { error_type: 'value_error', message: /base64/ });
      client.send('{"user_audio_chunk": "still not base64!"}');
      for (let count = 0; count < 9; count++) client.send('{broken');
      t.match(await client.event('error', 2), { error_type: 'invalid_message' });
      t.equal(client.types().filter((type) => type === 'error').length, 3, 'one of a kind');
      client.send('{broken');
      t.match(await client.closed, { code: 1008 });
      await becomesEmpty(t, stack);
    });

    await t.test('binary frames, oversized messages and broken JSON before the start end the call with a reason', async (t) => {
      const binary = await Client.open(stack, 'quiet');
      await binary.event('conversation_initiation_metadata');
      binary.socket.send(Buffer.from([1, 2, 3]));
      t.match(await binary.closed, { code: 1008, reason: /Binary/ });
      const large = await Client.open(stack, 'quiet');
      await large.event('conversation_initiation_metadata');
      large.send({ type: 'contextual_update', text: 'x'.repeat(200_000) });
      t.match(await large.closed, { code: 1008, reason: /too large/ });
      const early = await Client.open(stack, 'quiet', false);
      early.send('{broken');
      t.match(await early.closed, { code: 1008 });
      t.same(early.types(), [], 'no event before the metadata');
      await becomesEmpty(t, stack);
    });

    await t.test('audio in pieces of odd size is put together; scores come when asked for', async (t) => {
      const client = await Client.open(stack, 'quiet');
      await client.event('conversation_initiation_metadata');
      const chunk = Buffer.alloc(1023);
      for (let count = 0; count < 8; count++) client.send({ user_audio_chunk: chunk.toString('base64') });
      const score = await client.event('vad_score');
      t.type(score['vad_score'], 'number');
      t.notOk(client.types().includes('error'));
      await client.close();
      await becomesEmpty(t, stack);
    });

    await t.test('µ-law both ways', async (t) => {
      const client = await Client.open(stack, 'mulaw');
      t.match(await client.event('conversation_initiation_metadata'), { agent_output_audio_format: 'ulaw_8000' });
      const audio = await client.event('audio');
      const bytes = Buffer.from(String(audio['audio_base_64']), 'base64');
      t.equal(bytes.length, 160, '20 ms at one byte a sample');
      client.send({ user_audio_chunk: Buffer.alloc(160, 0xff).toString('base64') });
      await client.close();
      await becomesEmpty(t, stack);
    });

    await t.test('maximum duration: the event, then a normal close', async (t) => {
      const client = await Client.open(stack, 'short');
      t.match(await client.event('error'), { error_type: 'max_duration_exceeded', code: 1000 });
      t.match(await client.closed, { code: 1000 });
      await becomesEmpty(t, stack);
    });

    await t.test('the fifth caller of four is refused before the upgrade, and let in when a place is free', async (t) => {
      await becomesEmpty(t, stack);
      const clients = await Promise.all([1, 2, 3, 4].map(() => Client.open(stack, 'quiet')));
      const fifth = new WebSocket(`${stack.url}?agent_id=quiet`, ['convai']);
      fifth.on('error', () => undefined);
      const [, response] = (await once(fifth, 'unexpected-response')) as [
        unknown,
        { statusCode: number; headers: Record<string, string> },
      ];
      t.equal(response.statusCode, 503);
      t.equal(response.headers['retry-after'], '5');
      fifth.terminate();
      await Promise.all(clients.map((client) => client.close()));
      await becomesEmpty(t, stack);
      const again = await Client.open(stack, 'quiet');
      await again.event('conversation_initiation_metadata');
      await again.close();
      await becomesEmpty(t, stack);
    });
  });
}

test('a provider that refuses: an apology, and the third time the call ends with 1002', async (t) => {
  const stack = await startStack();
  t.teardown(() => stack.stop());
  await fetch(`${stack.providers.url}/_simulator/faults`, {
    method: 'POST',
    body: JSON.stringify({ faults: [{ endpoint: 'llm', kind: 'status', status: 401, times: 10 }] }),
  }).then(async (response) => t.equal(response.status, 200, await response.text()));
  const client = await Client.open(stack, 'quiet');
  for (const round of [1, 2, 3]) {
    client.send({ type: 'user_message', text: `try ${round}` });
    if (round < 3) t.match(await client.event('agent_response', round - 1), { agent_response: /went wrong/ });
  }
  t.match(await client.event('error'), { error_type: 'llm_error', code: 1002 });
  t.match(await client.closed, { code: 1002 });
});
