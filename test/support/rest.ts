/** The REST side without sockets and threads: the real router on a store in memory. */
import { AgentDirectory } from '../../src/api/agent-directory.js';
import type { ApiContext } from '../../src/api/context.js';
import { ConversationBook } from '../../src/api/conversation-book.js';
import type { ApiAnswer } from '../../src/api/http.js';
import type { AgentChanged } from '../../src/api/links.js';
import { createRest } from '../../src/api/rest.js';
import { Retention } from '../../src/api/retention.js';
import type { Router } from '../../src/api/router.js';
import { SeriesHistory } from '../../src/api/series-history.js';
import { ToolUsage } from '../../src/api/tool-usage.js';
import { type AgentConfig, parseAgent } from '../../src/store/agents.js';
import { MemoryStore } from '../../src/store/memory.js';
import type { Store } from '../../src/store/port.js';
import { Recorder } from '../../src/telemetry/recorder.js';

export const signingKey = new Uint8Array(32).fill(7);

export type Asked = {
  readonly body?: unknown;
  readonly bytes?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
};
export type Answered = Pick<ApiAnswer, 'status' | 'headers' | 'parts' | 'bytes'> & { readonly json: Record<string, unknown> };

export type Rest = {
  readonly context: ApiContext;
  readonly router: Router;
  readonly store: Store;
  readonly announced: AgentChanged[];
  readonly bugs: unknown[];
  /** `target`: path and query. */
  ask(method: string, target: string, asked?: Asked): Promise<Answered>;
};

export function fileAgent(agentId: string, config: object = {}): AgentConfig {
  return parseAgent({ agent_id: agentId, name: agentId, conversation_config: config }, 'test');
}

export function createTestRest(
  options: {
    readonly store?: Store;
    readonly agents?: readonly AgentConfig[];
    readonly apiKey?: string;
    readonly isLoopback?: boolean;
    readonly publicUrl?: string;
    readonly nowMs?: () => number;
    readonly history?: SeriesHistory;
  } = {},
): Rest {
  const store = options.store ?? new MemoryStore();
  const announced: AgentChanged[] = [];
  const bugs: unknown[] = [];
  const nowMs = options.nowMs ?? (() => 1_700_000_000_000);
  const note = (message: AgentChanged): number => announced.push(message);
  const directory = new AgentDirectory(store, options.agents ?? [fileAgent('default')], 1_600_000_000_000, note, () => undefined);
  const history = options.history ?? new SeriesHistory('test');
  const context: ApiContext = {
    store,
    directory,
    recordings: undefined,
    retention: new Retention(store, directory, undefined, nowMs),
    conversations: new ConversationBook(store, directory, new Recorder('test'), () => undefined),
    toolUsage: new ToolUsage(),
    setup: {
      store: { kind: 'memory' },
      recordingsPath: undefined,
      apiKey: options.apiKey ?? '',
      signingKey: '',
      publicUrl: options.publicUrl ?? '',
      webhookUrl: '',
      webhookSecret: '',
      toolHostsAllowed: '',
      isMcpStdioAllowed: false,
    },
    version: '0.0.0',
    signingKey,
    isLoopback: options.isLoopback ?? true,
    series: async (query) =>
      history.answer(query, { sessions_max: 4, providers: { stt: 'embedded', llm: 'embedded', tts: 'embedded' } }),
    nowMs,
  };
  const router = createRest(context, (_ask, error) => bugs.push(error));
  return {
    context,
    router,
    store,
    announced,
    bugs,
    async ask(method, target, { body, bytes, headers = {} } = {}) {
      const [path = '', query = ''] = target.split('?');
      const answer = await router.answer({
        type: 'http',
        id: 1,
        method,
        path,
        query,
        headers: { host: '127.0.0.1:8080', ...headers },
        body: bytes ?? (body === undefined ? new Uint8Array(0) : new TextEncoder().encode(JSON.stringify(body))),
      });
      const { status, parts, json } = answer;
      return {
        status,
        headers: answer.headers,
        json: (json ?? {}) as Record<string, unknown>,
        ...(parts === undefined ? {} : { parts }),
        ...(answer.bytes === undefined ? {} : { bytes: answer.bytes }),
      };
    },
  };
}
