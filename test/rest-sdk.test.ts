/**
 * The official Node SDK, unmodified, against the real engine. It validates every answer: a missing key or a wrong type makes the call throw.
 * Conversations are held by a plain WebSocket client over the URLs that the engine signs.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ElevenLabsClient, ElevenLabsError } from '@elevenlabs/elevenlabs-js';
import { type Test, test } from 'tap';
import WebSocket from 'ws';
import { type Stack, startStack } from './support/engine.js';

const apiKey = 'a-key-for-tests';

const agents = [
  {
    agent_id: 'closed',
    conversation_config: { conversation: { text_only: true } },
    platform_settings: { auth: { enable_auth: true } },
  },
  {
    agent_id: 'files',
    conversation_config: { conversation: { text_only: true, file_input: { enabled: true } } },
  },
];

async function start(t: Test): Promise<{ stack: Stack; sdk: ElevenLabsClient }> {
  const folder = mkdtempSync(join(tmpdir(), 'parley-sdk-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const stack = await startStack({ PARLEY_API_KEY: apiKey, PARLEY_RECORDINGS: folder }, agents);
  t.teardown(() => stack.stop());
  const sdk = new ElevenLabsClient({ apiKey, baseUrl: stack.http, maxRetries: 0 });
  return { stack, sdk };
}

type Opened = { readonly socket: WebSocket; readonly closed: Promise<{ code: number; reason: string }>; id: string };

/** Opens a conversation; resolves when the metadata came, or when it was closed before. */
async function open(url: string): Promise<Opened> {
  const socket = new WebSocket(url, ['convai']);
  socket.on('error', () => undefined);
  const opened: Opened = {
    socket,
    id: '',
    closed: new Promise((resolve) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    }),
  };
  const metadata = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      const event = JSON.parse(data.toString()) as {
        type: string;
        conversation_initiation_metadata_event?: { conversation_id: string };
      };
      if (event.type !== 'conversation_initiation_metadata') return;
      opened.id = event.conversation_initiation_metadata_event?.conversation_id ?? '';
      resolve();
    });
  });
  socket.on('open', () => socket.send(JSON.stringify({ type: 'conversation_initiation_client_data', user_id: 'u-17' })));
  await Promise.race([metadata, opened.closed]);
  return opened;
}

/** The SDK's own error, with what the server said. */
async function failure(call: PromiseLike<unknown>): Promise<ElevenLabsError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ElevenLabsError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

async function becomes<Value>(read: () => Promise<Value>, isSo: (value: Value) => boolean): Promise<Value> {
  const endAtMs = performance.now() + 10_000;
  for (;;) {
    const value = await read();
    if (isSo(value)) return value;
    if (performance.now() > endAtMs) throw new Error(`it stayed ${JSON.stringify(value)}`);
  }
}

test('the official Node SDK', async (t) => {
  const { stack, sdk } = await start(t);
  const { conversationalAi } = sdk;

  await t.test('R1: agents: create, get, list, update, duplicate, link, widget, delete', async (t) => {
    const { agentId } = await conversationalAi.agents.create({
      name: 'Support',
      tags: ['sdk'],
      conversationConfig: {
        agent: {
          firstMessage: 'Hello',
          language: 'en',
          prompt: {
            prompt: 'Be kind.',
            builtInTools: { endCall: { name: 'end_call', params: { systemToolType: 'end_call' } } },
            tools: [
              { type: 'client', name: 'show', description: 'Shows.', expectsResponse: true },
              {
                type: 'webhook',
                name: 'find',
                description: 'Finds.',
                apiSchema: {
                  url: 'https://example.org/{id}',
                  pathParamsSchema: { id: { type: 'string', description: 'Which.' } },
                },
              },
            ],
          },
        },
        turn: { turnTimeout: 9, softTimeoutConfig: { timeoutSeconds: 3, message: 'Hm.' } },
        conversation: { maxDurationSeconds: 60 },
      },
      platformSettings: { auth: { enableAuth: false }, widget: { variant: 'compact' } },
    });
    const agent = await conversationalAi.agents.get(agentId);
    t.match(agent, {
      agentId,
      name: 'Support',
      tags: ['sdk'],
      conversationConfig: {
        agent: { firstMessage: 'Hello', prompt: { prompt: 'Be kind.' } },
        turn: { turnTimeout: 9, softTimeoutConfig: { timeoutSeconds: 3 } },
      },
    });
    t.equal(agent.conversationConfig.agent?.prompt?.tools?.length, 2);
    const listed = await conversationalAi.agents.list({ pageSize: 10, search: 'supp' });
    t.match(listed, { agents: [{ agentId, name: 'Support', accessInfo: { role: 'admin' } }], hasMore: false });
    const updated = await conversationalAi.agents.update(agentId, {
      name: 'Help',
      conversationConfig: { agent: { firstMessage: 'Good day' } },
    });
    t.match(updated, {
      name: 'Help',
      conversationConfig: { agent: { firstMessage: 'Good day', prompt: { prompt: 'Be kind.' } } },
    });
    const copy = await conversationalAi.agents.duplicate(agentId, { name: 'Copy' });
    t.not(copy.agentId, agentId);
    t.match(await conversationalAi.agents.link.get(agentId), { agentId });
    t.match(await conversationalAi.agents.widget.get(agentId), {
      agentId,
      widgetConfig: { language: 'en', variant: 'compact', useRtc: false },
    });
    await conversationalAi.agents.delete(copy.agentId);
    const missing = await failure(conversationalAi.agents.get(copy.agentId));
    t.equal(missing.statusCode, 404);
    t.match(missing.body, { detail: { status: 'document_not_found' } });
  });

  await t.test('R1: an agent with nothing in it, and those of files', async (t) => {
    const { agentId } = await conversationalAi.agents.create({ conversationConfig: {} });
    t.equal((await conversationalAi.agents.get(agentId)).name, '');
    t.match(await conversationalAi.agents.get('default'), { conversationConfig: { agent: { firstMessage: /^Hello/ } } });
    const { agents: all } = await conversationalAi.agents.list();
    t.ok(all.some((agent) => agent.agentId === 'default') && all.some((agent) => agent.agentId === agentId));
  });

  await t.test('R1: tools, MCP servers, secrets', async (t) => {
    const tool = await conversationalAi.tools.create({
      toolConfig: { type: 'client', name: 'show', description: 'Shows.', expectsResponse: false },
    });
    t.match(await conversationalAi.tools.get(tool.id), {
      id: tool.id,
      toolConfig: { name: 'show' },
      usageStats: { avgLatencySecs: 0 },
    });
    t.equal((await conversationalAi.tools.list()).tools.length, 1);
    t.match(
      await conversationalAi.tools.update(tool.id, { toolConfig: { type: 'client', name: 'display', description: 'Shows.' } }),
      { toolConfig: { name: 'display' } },
    );
    await conversationalAi.tools.delete(tool.id);
    const server = await conversationalAi.mcpServers.create({ config: { url: 'https://example.org/mcp', name: 'Shop' } });
    t.match(await conversationalAi.mcpServers.get(server.id), { config: { name: 'Shop' } });
    t.equal((await conversationalAi.mcpServers.list()).mcpServers.length, 1);
    await conversationalAi.mcpServers.delete(server.id);
    const secret = await conversationalAi.secrets.create({ name: 'key', value: 's3cret' });
    t.match(await conversationalAi.secrets.list(), { secrets: [{ secretId: secret.secretId, name: 'key' }] });
    await conversationalAi.secrets.delete(secret.secretId);
    t.same((await conversationalAi.secrets.list()).secrets, []);
  });

  await t.test('R2: a signed URL opens the agent that demands one, once', async (t) => {
    const { signedUrl } = await conversationalAi.conversations.getSignedUrl({ agentId: 'closed' });
    t.ok(signedUrl.startsWith(`ws://127.0.0.1:${stack.engine.port}/v1/convai/conversation?agent_id=closed&`));
    const conversation = await open(signedUrl);
    t.match(conversation.id, /^conv_/);
    conversation.socket.close(1000);
    t.match(await (await open(signedUrl)).closed, { code: 3000, reason: /used before/ });
    t.match(await (await open(`${stack.url}?agent_id=closed`)).closed, { code: 3000, reason: /authorization/ });
    const forged = signedUrl.replace(/.(?=.{8}$)/, (letter) => (letter === 'A' ? 'B' : 'A'));
    t.match(await (await open(forged)).closed, { code: 3000, reason: /not valid/ });
    const named = await conversationalAi.conversations.getSignedUrl({ agentId: 'closed', includeConversationId: true });
    const known = new URL(named.signedUrl).searchParams.get('conversation_id');
    const third = await open(named.signedUrl);
    t.equal(third.id, known, 'the conversation has the id that was promised');
    third.socket.close(1000);
  });

  await t.test('R1, R7, R8: a conversation in the list, its files and feedback, and its end', async (t) => {
    const conversation = await open(`${stack.url}?agent_id=files`);
    const { id } = conversation;
    const live = await becomes(
      () => conversationalAi.conversations.list({ agentId: 'files' }),
      ({ conversations }) => conversations.length === 1,
    );
    t.match(live, { conversations: [{ conversationId: id, status: 'in-progress', callSuccessful: 'unknown' }], hasMore: false });

    const png = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0]);
    const { fileId } = await conversationalAi.conversations.files.create(id, {
      file: { data: png, filename: 'a.png', contentType: 'image/png' },
    });
    t.match(fileId, /^file_/);
    const larger = Buffer.alloc(11 * 1024 * 1024);
    png.copy(larger);
    const tooLarge = await failure(
      conversationalAi.conversations.files.create(id, { file: { data: larger, filename: 'b.png', contentType: 'image/png' } }),
    );
    t.equal(tooLarge.statusCode, 413);
    t.match(tooLarge.body, { detail: { message: /10 MB/ } });
    await conversationalAi.conversations.files.delete(id, fileId);

    conversation.socket.close(1000);
    await conversation.closed;
    const done = await becomes(
      () => conversationalAi.conversations.get(id),
      ({ status }) => status === 'done',
    );
    t.match(done, { agentId: 'files', userId: 'u-17', metadata: { textOnly: true }, transcript: [] });
    t.equal(done.hasAudio, false);
    await conversationalAi.conversations.feedback.create(id, { feedback: 'like' });
    t.match(await conversationalAi.conversations.get(id), { metadata: { feedback: { overallScore: 'like' } } });
    const late = await failure(
      conversationalAi.conversations.files.create(id, { file: { data: png, filename: 'a.png', contentType: 'image/png' } }),
    );
    t.equal(late.statusCode, 404);
    const silent = await failure(conversationalAi.conversations.audio.get(id));
    t.equal(silent.statusCode, 404);
    await conversationalAi.conversations.delete(id);
    t.equal((await failure(conversationalAi.conversations.get(id))).statusCode, 404);
  });

  await t.test('R1: the sound of a conversation', async (t) => {
    const conversation = await open(`${stack.url}?agent_id=default`);
    conversation.socket.send(JSON.stringify({ user_audio_chunk: Buffer.alloc(16_000).toString('base64') }));
    for (let frames = 0; frames < 10; ) {
      const [data] = (await once(conversation.socket, 'message')) as [Buffer];
      if ((JSON.parse(data.toString()) as { type: string }).type === 'audio') frames += 1;
    }
    conversation.socket.close(1000);
    await becomes(
      () => conversationalAi.conversations.get(conversation.id),
      ({ status, hasAudio }) => status === 'done' && hasAudio,
    );
    const parts: Buffer[] = [];
    const reader = (await conversationalAi.conversations.audio.get(conversation.id)).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) parts.push(Buffer.from(read.value));
    const sound = Buffer.concat(parts);
    t.equal(sound.toString('latin1', 0, 4), 'RIFF');
    t.equal(sound.readUInt32LE(40), sound.length - 44, 'all of it');
    t.ok(sound.length > 44, 'and there is some');
  });

  await t.test('R1: what is not built says so, and what there is instead', async (t) => {
    const { agents, twilio } = conversationalAi;
    const toUser = { firstMessage: 'Hi', language: 'en' };
    for (const [call, instead] of [
      [() => twilio.outboundCall({ agentId: 'default', agentPhoneNumberId: 'p', toNumber: '+1' }), /ulaw_8000/],
      [() => twilio.registerCall({ agentId: 'default', fromNumber: '+1', toNumber: '+2' }), /ulaw_8000/],
      [() => agents.simulateConversation('default', { simulationSpecification: { simulatedUserConfig: toUser } }), /text_only/],
      [() => sdk.tokens.singleUse.create('realtime_scribe'), /recognition/],
    ] as const) {
      const refused = await failure(call());
      t.equal(refused.statusCode, 501);
      t.match(refused.body, { detail: { status: 'not_implemented', message: instead } });
    }
  });

  await t.test('R5: a wrong key, and none', async (t) => {
    const wrong = new ElevenLabsClient({ apiKey: 'another-key', baseUrl: stack.http, maxRetries: 0 });
    const refused = await failure(wrong.conversationalAi.agents.list());
    t.equal(refused.statusCode, 401);
    t.match(refused.body, { detail: { status: 'invalid_api_key' } });
    t.equal((await fetch(`${stack.http}/v1/convai/agents`)).status, 401);
    t.equal((await fetch(`${stack.http}/v1/convai/agents/default/widget`)).status, 200);
  });

  await t.test('R6: what does not validate', async (t) => {
    const invalid = await failure(conversationalAi.agents.create({ conversationConfig: { turn: { turnTimeout: 1000 } } }));
    t.equal(invalid.statusCode, 422);
    t.match(JSON.stringify(invalid.body), /"loc":\["body","conversation_config","turn","turn_timeout"\]/);
  });

  await t.test('R9: behind a proxy that ends TLS', async (t) => {
    const response = await fetch(`${stack.http}/v1/convai/conversation/get_signed_url?agent_id=default`, {
      headers: { 'xi-api-key': apiKey, 'x-forwarded-proto': 'https', 'x-forwarded-host': 'voice.example.org' },
    });
    t.match(((await response.json()) as { signed_url: string }).signed_url, /^wss:\/\/voice\.example\.org\//);
  });

  await t.test('R4: preflight and answer for a page of another origin', async (t) => {
    const origin = 'https://shop.example';
    for (const path of ['/v1/convai/conversations/conv_x/feedback', '/v1/convai/conversations/conv_x/files']) {
      const preflight = await fetch(`${stack.http}${path}`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
      });
      t.equal(preflight.status, 204);
      t.equal(preflight.headers.get('access-control-allow-origin'), '*');
      t.match(preflight.headers.get('access-control-allow-headers'), /content-type/);
      const real = await fetch(`${stack.http}${path}`, {
        method: 'POST',
        headers: { origin, 'content-type': 'application/json' },
        body: '{}',
      });
      t.equal(real.status, 404);
      t.equal(real.headers.get('access-control-allow-origin'), '*', 'errors can be read too');
    }
  });

  await t.test('an agent that was made over REST takes calls at once', async (t) => {
    const { agentId } = await conversationalAi.agents.create({ conversationConfig: { conversation: { textOnly: true } } });
    const conversation = await open(`${stack.url}?agent_id=${agentId}`);
    t.match(conversation.id, /^conv_/);
    conversation.socket.close(1000);
    await conversation.closed;
    const page = new WebSocket(`${stack.url}?agent_id=${agentId}`, { origin: 'https://evil.example' });
    await once(page, 'open');
    page.terminate();
    await conversationalAi.agents.update(agentId, { platformSettings: { auth: { allowlist: [{ hostname: 'shop.example' }] } } });
    const closed = await becomes(
      async () => {
        const foreign = new WebSocket(`${stack.url}?agent_id=${agentId}`, { origin: 'https://evil.example' });
        const [code] = (await Promise.race([once(foreign, 'close'), once(foreign, 'message').then(() => [0])])) as [number];
        foreign.terminate();
        return code;
      },
      (code) => code === 3000,
    );
    t.equal(closed, 3000, 'and its rules hold for the next');
  });
});
