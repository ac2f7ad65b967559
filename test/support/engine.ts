/** Starts the real engine in this process against the simulated providers, and plain WebSocket clients to talk to it. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';
import { type Providers, startProviders } from '../../load/providers/server.js';
import { readConfig } from '../../src/config.js';
import { Engine } from '../../src/engine.js';

export type Stack = {
  readonly engine: Engine;
  readonly providers: Providers;
  readonly url: string;
  readonly http: string;
  stop(): Promise<void>;
};

/** Agents of the tests; `default` greets, `quiet` does not. */
export const testAgents = [
  {
    agent_id: 'default',
    conversation_config: {
      agent: {
        first_message: 'Hello {{name}}, how can I help you today?',
        dynamic_variables: { dynamic_variable_placeholders: { name: 'there' } },
      },
    },
  },
  {
    agent_id: 'quiet',
    conversation_config: {
      turn: { turn_timeout: -1 },
      conversation: {
        client_events: [
          'audio',
          'interruption',
          'user_transcript',
          'tentative_user_transcript',
          'agent_response',
          'agent_response_correction',
          'agent_response_complete',
          'agent_tool_response',
          'vad_score',
        ],
      },
    },
  },
  { agent_id: 'short', conversation_config: { conversation: { max_duration_seconds: 1 } } },
  { agent_id: 'needy', conversation_config: { agent: { first_message: 'Hello {{who}}.' } } },
  {
    agent_id: 'mulaw',
    conversation_config: {
      agent: { first_message: 'Hello.' },
      asr: { user_input_audio_format: 'ulaw_8000' },
      tts: { agent_output_audio_format: 'ulaw_8000' },
    },
  },
];

/** `environment`: settings beyond the usual ones of tests. `agents`: beyond those of all tests. */
export async function startStack(
  environment: Readonly<Record<string, string>> = {},
  agents: readonly object[] = [],
): Promise<Stack> {
  const providers = await startProviders({ profile: 'instant', port: 0 });
  const folder = mkdtempSync(join(tmpdir(), 'parley-test-'));
  const agentsPath = join(folder, 'agents.json');
  writeFileSync(agentsPath, JSON.stringify([...testAgents, ...agents]));
  const config = readConfig({
    PARLEY_PORT: '0',
    PARLEY_SESSIONS_MAX: '4',
    PARLEY_LOG: 'silent',
    // The tests and the engine share a thread, so its lateness says nothing.
    PARLEY_LOOP_DELAY_MAX_MS: '0',
    PARLEY_STORE: 'memory',
    PARLEY_AGENTS: agentsPath,
    GROQ_API_KEY: 'test',
    ELEVENLABS_API_KEY: 'test',
    GROQ_BASE_URL: providers.url,
    ELEVENLABS_BASE_URL: providers.url,
    ...environment,
  });
  const engine = await Engine.start(config, (error) => {
    throw error;
  });
  return {
    engine,
    providers,
    url: `ws://127.0.0.1:${engine.port}/v1/convai/conversation`,
    http: `http://127.0.0.1:${engine.port}`,
    stop: async () => {
      await engine.stop(0);
      await providers.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export type Received = { readonly type: string; readonly atMs: number; readonly body: Record<string, Record<string, unknown>> };

/** A client that writes down what it receives. */
export class Client {
  readonly socket: WebSocket;
  readonly received: Received[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly #waiters = new Set<() => void>();

  private constructor(url: string, protocols: string[]) {
    this.socket = new WebSocket(url, protocols, { perMessageDeflate: false });
    this.socket.on('message', (data) => {
      const body = JSON.parse(data.toString()) as Record<string, Record<string, unknown>>;
      this.received.push({ type: String(body['type']), atMs: performance.now(), body });
      if (String(body['type']) === 'ping') this.send({ type: 'pong', event_id: body['ping_event']!['event_id'] });
      for (const waiter of this.#waiters) waiter();
    });
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        for (const waiter of this.#waiters) waiter();
      });
    });
    this.socket.on('error', () => undefined);
  }

  /** Opens the socket; with `starts`, sends the initiation at once, as the official clients do. */
  static async open(
    stack: Pick<Stack, 'url'>,
    agentId: string,
    starts: false | Record<string, unknown> = {},
    protocols: string[] = ['convai'],
  ): Promise<Client> {
    const client = new Client(`${stack.url}?agent_id=${agentId}`, protocols);
    await once(client.socket, 'open');
    if (starts !== false) client.send({ type: 'conversation_initiation_client_data', ...starts });
    return client;
  }

  send(message: unknown): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** The first event of `type` after `skip` others; fails when the connection ends or ten seconds pass without it. */
  async event(type: string, skip = 0): Promise<Record<string, unknown>> {
    const find = (): Received | undefined => this.received.filter((item) => item.type === type)[skip];
    const found = await this.until(() => find());
    const payload = Object.entries(found.body).find(([key]) => key !== 'type')?.[1];
    return payload ?? {};
  }

  /** Resolves with the first answer of `look` that is not undefined. */
  until<Answer>(look: () => Answer | undefined): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const waiter = (): void => {
        const answer = look();
        if (answer === undefined && this.socket.readyState !== WebSocket.CLOSED) return;
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        if (answer === undefined) reject(new Error(`the connection ended; received ${[...new Set(this.types())].join(' ')}`));
        else resolve(answer);
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(new Error(`waited ten seconds; received ${[...new Set(this.types())].join(' ')}`));
      }, 10_000);
      this.#waiters.add(waiter);
      waiter();
    });
  }

  types(): string[] {
    return this.received.map((item) => item.type);
  }

  async close(): Promise<void> {
    this.socket.close(1000);
    await this.closed;
  }
}
