/** One story of a fleet, told over either socket library: two processes, ten calls, one of them killed, and an end in good order. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { type Providers, startProviders } from '../../load/providers/server.js';
import { readConfig } from '../../src/config.js';
import { Fleet } from '../../src/fleet.js';
import { Client, testAgents } from './engine.js';

const waitMs = 15_000;
const callCount = 10;
const placesMax = 12;

type Hook = { readonly url: string; readonly told: Map<string, string>; close(): void };
type Setting = {
  readonly fleet: Fleet;
  readonly providers: Providers;
  readonly hook: Hook;
  readonly http: string;
  readonly url: string;
};

/** Who is told of conversations: id → status. */
async function startHook(): Promise<Hook> {
  const told = new Map<string, string>();
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      const { data } = JSON.parse(body) as { data: { conversation_id: string; status: string } };
      told.set(data.conversation_id, data.status);
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, told, close: () => server.close() };
}

async function startFleet(t: Test, environment: Readonly<Record<string, string>>): Promise<Setting> {
  const providers = await startProviders({ profile: 'instant', port: 0 });
  const hook = await startHook();
  const folder = mkdtempSync(join(tmpdir(), 'parley-fleet-test-'));
  const agentsPath = join(folder, 'agents.json');
  writeFileSync(agentsPath, JSON.stringify(testAgents));
  const config = readConfig({
    PARLEY_PORT: '0',
    PARLEY_PROCESSES: '2',
    PARLEY_SESSIONS_MAX: `${placesMax}`,
    PARLEY_LOG: 'silent',
    PARLEY_LOOP_DELAY_MAX_MS: '0',
    PARLEY_STORE: 'memory',
    PARLEY_AGENTS: agentsPath,
    PARLEY_WEBHOOK_URL: hook.url,
    PARLEY_WEBHOOK_SECRET: 'secret',
    GROQ_API_KEY: 'test',
    ELEVENLABS_API_KEY: 'test',
    GROQ_BASE_URL: providers.url,
    ELEVENLABS_BASE_URL: providers.url,
    ...environment,
  });
  const fleet = await Fleet.start(config, (error) => t.fail(error.message));
  t.teardown(async () => {
    await fleet.stop(0);
    await providers.close();
    hook.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    ...{ fleet, providers, hook, http: `http://127.0.0.1:${fleet.port}` },
    url: `ws://127.0.0.1:${fleet.port}/v1/convai/conversation`,
  };
}

/** On a connection of its own, so that any process may answer. */
function ask(url: string, init: RequestInit = {}): Promise<Response> {
  return fetch(url, { ...init, headers: { ...init.headers, connection: 'close' } });
}

async function metricsOf(http: string): Promise<Map<string, number>> {
  const lines = (await (await ask(`${http}/metrics`)).text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

/** Conversations that the store says go on. */
async function goingOn(http: string): Promise<number> {
  const answer = await ask(`${http}/v1/convai/conversations?page_size=100`);
  const { conversations } = (await answer.json()) as { conversations: { status: string }[] };
  return conversations.filter(({ status }) => status === 'in-progress').length;
}

/** Looks until `look` gives something. */
async function becomes<Found>(t: Test, what: string, look: () => Promise<Found | undefined>): Promise<Found> {
  const startedAtMs = performance.now();
  for (;;) {
    const found = await look();
    if (found !== undefined) {
      t.pass(what);
      return found;
    }
    if (performance.now() - startedAtMs > waitMs) throw new Error(`not in ${waitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function callTo(url: string, agentId: string): Promise<{ readonly client: Client; readonly id: string }> {
  const client = await Client.open({ url }, agentId);
  const metadata = await client.event('conversation_initiation_metadata');
  return { client, id: String(metadata['conversation_id']) };
}

export async function tellFleetStory(t: Test, sockets: 'uws' | 'ws'): Promise<void> {
  const setting = await startFleet(t, { PARLEY_SOCKETS: sockets });
  const { fleet, http, hook, url } = setting;
  const numbers = [...fleet.pids.keys()];
  const calls = await Promise.all(Array.from({ length: callCount }, () => callTo(url, 'quiet')));

  await t.test('whoever answers, figures and lists are those of all', async (t) => {
    const metrics = await becomes(t, 'all calls are counted', async () => {
      const values = await metricsOf(http);
      return values.get('parley_calls') === callCount ? values : undefined;
    });
    t.equal(metrics.get('parley_calls_total'), callCount);
    t.equal(metrics.get('parley_slots_free'), placesMax - callCount);
    t.equal(metrics.get('parley_processes_up'), 2);
    const spread = numbers.map((number) => metrics.get(`parley_process_calls{process="${number}"}`) ?? Number.NaN);
    t.equal(spread[0]! + spread[1]!, callCount, `spread ${spread.join(' and ')}`);
    if (sockets === 'ws') t.same(spread, [callCount / 2, callCount / 2], 'handed to the one with the fewest');
    const { answers } = (await (await ask(`${http}/metrics`, { headers: { accept: 'application/json' } })).json()) as {
      answers: { thread: string }[];
    };
    t.same(
      numbers.map((number) => answers.filter(({ thread }) => thread === `${number} main`).length),
      [1, 1],
    );
    await becomes(t, 'all calls are in the store', async () => ((await goingOn(http)) === callCount ? true : undefined));
    for (let round = 0; round < 6; round += 1) {
      t.match(await (await ask(`${http}/readyz`)).json(), { status: 'ready', calls: callCount, free: placesMax - callCount });
      t.equal(await goingOn(http), callCount);
      const id = calls[round]!.id;
      t.equal((await ask(`${http}/v1/convai/conversations/${id}`, { method: 'DELETE' })).status, 409, 'it goes on, somewhere');
    }
    await becomes(t, 'the dashboard counts all', async () => {
      const { buckets } = (await (await ask(`${http}/v1/parley/series`)).json()) as {
        buckets: { gauges: Record<string, number>; threads: Record<string, unknown> }[];
      };
      const newest = buckets.at(-1);
      const isWhole =
        newest?.gauges['parley_calls'] === callCount && numbers.every((number) => `${number} main` in newest.threads);
      return isWhole ? newest : undefined;
    });
  });

  await t.test('an agent made at one process is known to all; the limit is that of all', async (t) => {
    const body = JSON.stringify({ name: 'New', conversation_config: {} });
    const made = await ask(`${http}/v1/convai/agents/create`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    const { agent_id: agentId } = (await made.json()) as { agent_id: string };
    for (let count = callCount; count < placesMax; count += 1) calls.push(await callTo(url, agentId));
    await becomes(t, 'all places are taken', async () => {
      const response = await ask(`${http}/readyz`);
      return response.status === 503 ? response : undefined;
    });
    await t.rejects(Client.open({ url }, 'quiet'), /503/);
  });

  await t.test('kill -9: calls of that process end, those of the other go on, and it is started anew', async (t) => {
    await becomes(t, 'every call is in the store', async () => ((await goingOn(http)) === calls.length ? true : undefined));
    await becomes(t, 'and counted', async () =>
      (await metricsOf(http)).get('parley_calls_total') === calls.length ? true : undefined,
    );
    const gone = new Set<string>();
    for (const { client, id } of calls) void client.closed.then(() => gone.add(id));
    const metrics = await metricsOf(http);
    const held = (number: number): number => metrics.get(`parley_process_calls{process="${number}"}`) ?? 0;
    const [victim, other] = [...numbers].sort((left, right) => held(right) - held(left)) as [number, number];
    process.kill(fleet.pids.get(victim)!, 'SIGKILL');
    await becomes(t, 'its calls have ended', async () => (gone.size === held(victim) ? true : undefined));
    const going = calls.filter(({ id }) => !gone.has(id));
    t.equal(going.length, held(other));
    await Promise.all(
      going.map(async ({ client }, index) => {
        client.send({ type: 'user_message', text: `still there ${index}` });
        await client.event('agent_response');
      }),
    );
    await becomes(t, 'another one serves in its place', async () => {
      const values = await metricsOf(http);
      return values.get('parley_processes_up') === 2 && values.get('parley_process_restarts_total') === 1 ? values : undefined;
    });
    t.notOk(fleet.pids.has(victim), 'under a number of its own');
    t.equal((await metricsOf(http)).get('parley_calls_total'), placesMax, 'what it counted stays counted');
    await becomes(t, 'whoever waits for the ends of its conversations is told', async () =>
      [...gone].every((id) => hook.told.get(id) === 'failed') ? true : undefined,
    );
    const next = await callTo(url, 'quiet');
    await next.client.close();
    calls.splice(0, calls.length, ...going);
  });

  await t.test('it ends in good order: unready at once, calls finish, the last figures of all', async (t) => {
    const stopping = fleet.stop(10_000, 0);
    await becomes(t, 'unready', async () => {
      const response = await ask(`${http}/readyz`).catch(() => undefined);
      return response === undefined || response.status === 503 ? true : undefined;
    });
    await t.rejects(Client.open({ url }, 'quiet'), /503|ECONNREFUSED|ECONNRESET/);
    for (const { client } of calls) {
      client.send({ type: 'user_message', text: 'goodbye' });
      await client.event('agent_response', 1);
    }
    await Promise.all(calls.map(({ client }) => client.close()));
    const answers = await stopping;
    t.equal(answers.filter(({ thread }) => thread === 'main').length, 2, 'the last figures of both');
    t.equal(fleet.pids.size, 0);
    const told = calls.map(({ id }) => hook.told.get(id));
    t.same(
      told,
      calls.map(() => 'done'),
      'and every conversation was told of',
    );
  });
}
