/** The engine as a process of its own, on its embedded database: killed in the middle of a call, and what its successor makes of that. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { plainAgent, Stack, type StackOptions } from '../../load/rig/stack.js';
import { Client } from '../support/engine.js';

type Told = { readonly conversation_id: string; readonly status: string; readonly transcript: readonly { message: string }[] };

test('kill -9 in the middle of a call: the next process tells the webhook of it, with what was finished', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'parley-kill-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const told: Told[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      told.push((JSON.parse(body) as { data: Told }).data);
      response.end();
      server.emit('told');
    });
  }).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const options: StackOptions = {
    profile: 'instant',
    seed: 1,
    sessionsMax: 4,
    agents: [plainAgent()],
    providers: 'simulated',
    environment: {
      PARLEY_STORE: `pglite:${join(folder, 'data')}`,
      PARLEY_RECORDINGS: 'off',
      PARLEY_WEBHOOK_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      PARLEY_WEBHOOK_SECRET: 'secret',
    },
  };
  const first = await Stack.start(options);
  t.teardown(() => first.stop());
  const client = await Client.open({ url: `${first.url}/v1/convai/conversation` }, 'default');
  const { conversation_id: conversationId } = await client.event('conversation_initiation_metadata');
  client.send({ type: 'user_message', text: 'what was said before the end' });
  await client.event('agent_response');
  // Written means: another reader finds it.
  const url = `${first.url.replace(/^ws/, 'http')}/v1/convai/conversations/${String(conversationId)}`;
  let count = 0;
  for (let look = 0; look < 100 && count === 0; look += 1) {
    const { transcript = [] } = (await (await fetch(url)).json()) as { transcript?: unknown[] };
    count = transcript.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  t.ok(count > 0, 'the turn is in the store');
  first.signalEngine('SIGKILL');
  t.equal(await first.engineExit, 'SIGKILL');
  t.same(told, [], 'nobody has been told');
  const second = await Stack.start(options);
  t.teardown(() => second.stop());
  while (told.length === 0) await once(server, 'told');
  t.match(told, [{ conversation_id: conversationId, status: 'failed' }]);
  t.match(told[0]!.transcript[0], { message: 'what was said before the end' });
  t.equal(told.length, 1);
});
