/** C1–C13: the way into a conversation, up to the metadata and the quiet behind it. */
import { t as file, type Test, test } from 'tap';
import { derivedKey } from '../../src/shared/secret.js';
import { audioFormats } from '../../src/wire/events.js';
import { signTicket } from '../../src/wire/signed-url.js';
import { sendSpeech, speechOf } from './speech.js';
import { agentOf, apiKey, isFull, Stage, signingKey } from './stage.js';
import { whileSteady } from './steady.js';
import { type OpenOptions, WireClient } from './wire-client.js';

const stage = await Stage.start({
  agents: [
    agentOf('quiet'),
    agentOf('greets', { agent: { first_message: 'Hello there.' } }),
    agentOf('guarded', { platform: { auth: { enable_auth: true } } }),
    agentOf('text', { agent: { first_message: 'Hello.' }, conversation: { text_only: true } }),
    ...audioFormats.map((format) =>
      agentOf(format, { asr: { user_input_audio_format: format }, tts: { agent_output_audio_format: format } }),
    ),
  ],
});
file.jobs = 6;
file.teardown(() => stage.stop());
const open = (options: Omit<OpenOptions, 'url'> & { readonly url?: string } = {}): Promise<WireClient> =>
  WireClient.open({ url: stage.origin, agentId: 'quiet', ...options });

/** Closed without any event, with a reason that fits into a close frame. */
async function refused(t: Test, client: WireClient, reason: RegExp): Promise<void> {
  const ending = await client.ending;
  t.ok((ending.code >= 3000 && ending.code < 4000) || ending.code === 1008, `code ${ending.code}`);
  t.match(ending.reason, reason);
  t.ok(Buffer.byteLength(ending.reason) <= 123);
  t.same(client.types, []);
}

test('C1 an upgrade with the known query parameters in any order, and with unknown ones', { buffered: true }, async (t) => {
  const parameters = [
    'agent_id=quiet',
    'source=js_sdk',
    'version=1.25.0',
    'environment=production',
    'branch_id=b',
    'tomorrow=1%20x',
  ];
  const orders = [parameters, parameters.toReversed(), [...parameters.slice(3), ...parameters.slice(0, 3)], ['agent_id=quiet']];
  for (const order of orders) {
    const client = await open({ url: `${stage.origin}/v1/convai/conversation?${order.join('&')}` });
    await client.event('conversation_initiation_metadata');
    t.equal((await client.hangUp()).code, 1000, order.join('&'));
  }
});

test('C2 convai is offered: the answer is exactly convai', { buffered: true }, async (t) => {
  const client = await open({ protocols: ['convai'] });
  t.equal(client.headers['sec-websocket-protocol'], 'convai');
  await client.hangUp();
});

test('C3 convai and bearer.x are offered: the answer is convai, and x counts as a credential', { buffered: true }, async (t) => {
  const client = await open({ agentId: 'guarded', protocols: ['convai', `bearer.${apiKey}`] });
  t.equal(client.headers['sec-websocket-protocol'], 'convai');
  await client.event('conversation_initiation_metadata');
  await client.hangUp();
  const stranger = await open({ agentId: 'guarded', protocols: ['convai', 'bearer.something-else'] });
  t.equal(stranger.headers['sec-websocket-protocol'], 'convai');
  await refused(t, stranger, /key/);
});

test('C4 nothing is offered: no such header, and the conversation works', { buffered: true }, async (t) => {
  const client = await open({ protocols: [] });
  t.equal(client.headers['sec-websocket-protocol'], undefined);
  t.match((await client.ask('Hello')).details['agent_response'], /\w/);
  await client.hangUp();
});

test('C5 unknown agent, missing credential, forged signature: the upgrade succeeds, then a close with a code and a reason', {
  buffered: true,
}, async (t) => {
  await refused(t, await open({ agentId: 'nobody' }), /Unknown agent/);
  await refused(t, await open({ agentId: 'guarded' }), /authorization/);
  const forged = `${stage.origin}/v1/convai/conversation?agent_id=guarded&conversation_signature=v1.YWJj.ZGVm`;
  await refused(t, await open({ url: forged }), /not valid/);
});

test('C6 a signed URL: made by REST, works once, is refused when it has expired; a conversation outlives it', {
  buffered: true,
}, async (t) => {
  const { signed_url: signed } = await stage.rest('GET', '/v1/convai/conversation/get-signed-url?agent_id=guarded');
  t.match(signed, new RegExp(`^${stage.origin}/v1/convai/conversation\\?`), 'its host is that of the request');
  const client = await open({ url: `${signed}&source=js_sdk&version=1.25.0` });
  await client.event('conversation_initiation_metadata');
  await client.hangUp();
  await refused(t, await open({ url: String(signed) }), /used before/);

  const key = derivedKey(signingKey, 'parley conversation url');
  const mint = (nonce: string, expiresAtMs: number): string => {
    const ticket = {
      agentId: 'guarded',
      expiresAtMs,
      nonce,
      conversationId: undefined,
      environment: undefined,
      branchId: undefined,
    };
    return `${stage.origin}/v1/convai/conversation?agent_id=guarded&conversation_signature=${signTicket(ticket, key)}`;
  };
  await refused(t, await open({ url: mint('late', Date.now() - 1) }), /expired/);
  const expiresAtMs = Date.now() + 1500;
  const lasting = await open({ url: mint('lasting', expiresAtMs) });
  await lasting.conversationId();
  await lasting.until(() => (Date.now() > expiresAtMs && lasting.of('ping').length >= 2 ? true : undefined));
  t.match((await lasting.ask('Are you still there?')).details['agent_response'], /\w/, 'goes on after the URL has expired');
  await lasting.hangUp();
});

test('C7 the first frame is the metadata, within 1 s of the initiation', { buffered: true }, async (t) => {
  for (const agentId of ['quiet', 'greets', 'text', 'pcm_48000']) {
    const client = await open({ agentId });
    const first = await client.until(() => client.messages[0]);
    t.equal(first.type, 'conversation_initiation_metadata', agentId);
    t.ok(first.atMs - client.openedAtMs < 1000, `after ${(first.atMs - client.openedAtMs).toFixed(1)} ms`);
    await client.hangUp();
  }
});

const quietRuns = isFull ? 100 : 20;
const patience = { lateMaxMs: 4, attemptsMax: 30 };
test(`C8 at least 20 ms between the metadata and the next frame, ${quietRuns} times`, async (t) => {
  const gapsMs: number[] = [];
  for (let run = 0; run < quietRuns; run++) {
    const gapMs = await whileSteady(patience, async () => {
      const client = await open({ agentId: run % 2 === 0 ? 'greets' : 'text' });
      const [first, second] = await client.until(() => (client.messages.length > 1 ? client.messages : undefined));
      await client.hangUp();
      return second!.atMs - first!.atMs;
    });
    gapsMs.push(gapMs);
  }
  const shortestMs = Math.min(...gapsMs);
  t.ok(shortestMs >= 20, `the shortest of ${gapsMs.length} was ${shortestMs.toFixed(1)} ms`);
});

test('C9 without an initiation the conversation starts after the grace time; with audio first, at once', {
  buffered: true,
}, async (t) => {
  const silent = await open({ agentId: 'greets', initiation: false });
  const late = await silent.event('conversation_initiation_metadata');
  t.ok(late.atMs - silent.openedAtMs > 900, `after ${Math.round(late.atMs - silent.openedAtMs)} ms`);
  t.match((await silent.event('agent_response')).details, { agent_response: 'Hello there.' });
  const eager = await open({ agentId: 'greets', initiation: false });
  eager.send({ user_audio_chunk: Buffer.alloc(640).toString('base64') });
  const soon = await eager.event('conversation_initiation_metadata');
  t.ok(soon.atMs - eager.openedAtMs < 500, `after ${Math.round(soon.atMs - eager.openedAtMs)} ms`);
  t.match((await eager.event('agent_response')).details, { agent_response: 'Hello there.' });
  await Promise.all([silent.hangUp(), eager.hangUp()]);
});

test('C10 audio before the metadata is not lost', { buffered: true }, async (t) => {
  const speech = await speechOf(stage, 'Seven boats came home.');
  for (const initiation of [{}, false] as const) {
    const client = await open({ initiation });
    sendSpeech(client, speech, 1024);
    t.equal(client.messages.length, 0, 'all of it was sent before anything came');
    t.equal((await client.event('user_transcript')).details['user_transcript'], 'Seven boats came home.');
    await client.hangUp();
  }
});

test('C11 enclave_setup_config before the initiation is tolerated and not taken for the first message', {
  buffered: true,
}, async (t) => {
  const client = await open({ agentId: 'greets', initiation: false, protocols: [] });
  client.send({
    type: 'enclave_setup_config',
    agent_config_dict: { any: [1] },
    override_agent_config_list: [],
    tools_config_list: [],
  });
  client.send({
    type: 'conversation_initiation_client_data',
    conversation_config_override: { conversation: { text_only: true } },
  });
  await client.event('agent_response');
  t.notOk(client.types.includes('audio'), 'the initiation behind it counts');
  t.notOk(client.types.includes('error'));
  await client.hangUp();
});

test('C12 the metadata comes exactly once, however often a client introduces itself', { buffered: true }, async (t) => {
  const client = await open({ agentId: 'greets' });
  await client.event('agent_response');
  client.send({ type: 'conversation_initiation_client_data' });
  client.send({ type: 'conversation_initiation_client_data', conversation_config_override: { agent: { language: 'de' } } });
  await client.ask('Hello');
  t.equal(client.of('conversation_initiation_metadata').length, 1);
  await client.hangUp();
});

test('C13 the metadata names both formats, each of the list, in text mode too', { buffered: true }, async (t) => {
  for (const agentId of [...audioFormats, 'text']) {
    const client = await open({ agentId });
    const { details } = await client.event('conversation_initiation_metadata');
    const expected = agentId === 'text' ? 'pcm_16000' : agentId;
    t.match(details, { agent_output_audio_format: expected, user_input_audio_format: expected });
    await client.hangUp();
  }
});
