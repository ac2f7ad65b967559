/**
 * Every setting in one table: its variable, its default, what it may be, what it does. Read once at start by `main.ts`; nothing below main
 * imports this file. A bad value stops the start with the name, the value and the allowed range.
 */
import { cpus } from 'node:os';
import type { ApiSetup } from './api/setup.js';
import type { LlmSetup } from './llm/create.js';
import type { AddressRule } from './server/address-limits.js';
import { parseProxies } from './server/client-address.js';
import { EngineError } from './shared/errors.js';
import type { WithFallbacks } from './shared/failover.js';
import { parseStoreUrl, storeVariable } from './store/open.js';
import type { SttSetup } from './stt/create.js';
import { type LogLevel, logLevels } from './telemetry/log.js';
import type { TurnModelStart } from './thread-start.js';
import { parseAllowedHosts } from './tools/address-guard.js';
import type { TtsSetup } from './tts/create.js';
import { turnModelKind } from './turn-model/kind.js';

export type Config = {
  readonly host: string;
  readonly port: number;
  /** Calls at once, of all processes together. */
  readonly sessionsMax: number;
  /** Engine processes on the one port. */
  readonly processes: number;
  readonly addresses: AddressRule & { /** As `parseProxies` reads them. */ readonly trustedProxies: string };
  /** Sets of worker threads; sessions are spread over them by slot. */
  readonly lanes: number;
  readonly sockets: 'auto' | 'uws' | 'ws';
  readonly agentsPath: string | undefined;
  readonly vadModelPath: string | undefined;
  /** A learned model of when a turn is over. */
  readonly turnModel: TurnModelStart | undefined;
  readonly logLevel: LogLevel;
  readonly drainSeconds: number;
  /** Unready for so long before calls are refused. */
  readonly drainNoticeSeconds: number;
  /** Lateness of the main loop (p95 of a second, five seconds long) above which new calls are refused; 0: never. */
  readonly loopDelayMaxMs: number;
  readonly stt: WithFallbacks<SttSetup>;
  readonly llm: WithFallbacks<LlmSetup>;
  readonly tts: WithFallbacks<TtsSetup>;
  /** Threads that callers wait for go first on a busy machine, where the system allows it. */
  readonly isPriorityTaken: boolean;
  /** A language model that is late is asked twice, within a budget, when there is a second one. */
  readonly isHedged: boolean;
  readonly api: ApiSetup;
};

/** Settings that no deployment has needed to change so far; their relations are asserted where they are used. */
export const fixed = {
  /** A VAD pass at most this often. */
  vadPassMs: 12,
  /** Timers of all sessions in the conversation thread. */
  conversationTickMs: 10,
  sttPullMs: 40,
  sweepMs: 40,
  initiationGraceMs: 1000,
  pingIntervalMs: 2000,
  heardWaitMs: 100,
  heardAtEndWaitMs: 500,
  agentWaitMs: 1500,
  readyTimeoutMs: 30_000,
  stopTimeoutMs: 5000,
  /** After the API thread died it is started again this much later, … */
  apiRestartDelayMs: 1000,
  /** … at most so often in this time; then the process goes on without it. */
  apiRestartsMax: 5,
  apiRestartWindowMs: 600_000,
  /** After a thread of a lane died the rest of the lane is ended this much later, so that close frames leave and records are written, … */
  laneFarewellMs: 200,
  /** … has this long for it, … */
  laneGraceMs: 1000,
  /** … and a new lane is started, at most so often in this time; then the process takes no more calls, drains and ends. */
  laneRestartsMax: 2,
  laneRestartWindowMs: 60_000,
  /** After an engine process of a fleet died another is started this much later, at most so often in this time; then the fleet drains and ends. */
  processRestartDelayMs: 500,
  processRestartsMax: 5,
  processRestartWindowMs: 60_000,
  /** How often main looks at the heartbeats of the threads, and how long one may stand still. */
  heartbeatEveryMs: 500,
  laneHangsAfterMs: 4000,
  apiHangsAfterMs: 10_000,
} as const;

/** What one lane keeps busy before its VAD thread is full (docs/decisions/several-processes.md). */
const coresPerLane = 4;

type Row = { readonly name: string; readonly fallback: string; readonly allowed: string; readonly means: string };

/** What `npm start -- --help` prints. */
export const settingsTable: readonly Row[] = [
  { name: 'PARLEY_HOST', fallback: '127.0.0.1', allowed: 'an address of this machine', means: 'address to listen on' },
  { name: 'PARLEY_PORT', fallback: '8080', allowed: '0..65535 (0: any free one)', means: 'port to listen on' },
  { name: 'PARLEY_SESSIONS_MAX', fallback: '64', allowed: '1..4096', means: 'calls at once, of all processes together' },
  {
    name: 'PARLEY_PROCESSES',
    fallback: '1',
    allowed: '0..64 (0: one for each 4 cores)',
    means: 'engine processes on the one port',
  },
  {
    name: 'PARLEY_LANES',
    fallback: 'cores / (4 × processes), at least 1',
    allowed: '1..64',
    means: 'sets of worker threads in each process',
  },
  {
    name: 'PARLEY_CALLS_PER_ADDRESS',
    fallback: '0',
    allowed: '0..4096 (0: any number)',
    means: 'calls that one client address may have at once',
  },
  {
    name: 'PARLEY_NEW_CALLS_PER_ADDRESS',
    fallback: '0',
    allowed: '0..1000 (0: any number)',
    means: 'calls that one client address may begin in a second',
  },
  {
    name: 'PARLEY_TRUSTED_PROXIES',
    fallback: '(none)',
    allowed: 'addresses or CIDR ranges, separated by commas',
    means: 'proxies whose X-Forwarded-For says which address a client has',
  },
  { name: 'PARLEY_SOCKETS', fallback: 'auto', allowed: 'auto | uws | ws', means: 'socket library' },
  { name: 'PARLEY_AGENTS', fallback: '(built-in demo agent)', allowed: 'a folder or file of agent JSON', means: 'your agents' },
  {
    name: 'PARLEY_VAD_MODEL',
    fallback: '(shipped Silero 6)',
    allowed: 'path of a Silero 5 or 6 ONNX file',
    means: 'speech detector',
  },
  {
    name: 'PARLEY_TURN_MODEL',
    fallback: '(none: pauses and words decide)',
    allowed: 'an ONNX file that hears, or a folder with one that reads and its tokenizer.json',
    means: 'learned model of when a turn is over',
  },
  { name: 'PARLEY_LOG', fallback: 'info', allowed: logLevels.join(' | '), means: 'log lines on standard error' },
  { name: 'PARLEY_DRAIN_SECONDS', fallback: '600', allowed: '0..86400', means: 'how long calls may finish after SIGTERM' },
  {
    name: 'PARLEY_DRAIN_NOTICE_SECONDS',
    fallback: '10',
    allowed: '0..600',
    means: 'how long /readyz says no before calls are refused after SIGTERM',
  },
  {
    name: 'PARLEY_LOOP_DELAY_MAX_MS',
    fallback: '30',
    allowed: '0..10000 (0: never)',
    means: 'new calls are refused while the main loop is later than this',
  },
  {
    name: 'PARLEY_STT',
    fallback: 'by keys, else embedded',
    allowed: 'embedded | groq | openai, or several in order',
    means: 'recognition',
  },
  {
    name: 'PARLEY_LLM',
    fallback: 'by keys, else embedded',
    allowed: 'embedded | groq | openai, or several in order',
    means: 'language model',
  },
  {
    name: 'PARLEY_TTS',
    fallback: 'by keys, else embedded',
    allowed: 'embedded | elevenlabs | openai, or several in order',
    means: 'synthesis',
  },
  {
    name: 'PARLEY_HEDGE',
    fallback: '1',
    allowed: '0 | 1',
    means: 'whether the second language model is asked too when the first is late (at most one request in twenty)',
  },
  {
    name: 'PARLEY_PRIORITY',
    fallback: 'auto',
    allowed: 'auto | off',
    means: 'whether threads that callers wait for go first on a busy machine (Linux; needs root or CAP_SYS_NICE)',
  },
  { name: 'PARLEY_STT_MODEL', fallback: '(the adapter’s)', allowed: 'a model name', means: 'recognition model' },
  {
    name: 'PARLEY_LLM_MODEL',
    fallback: '(the adapter’s)',
    allowed: 'a model name',
    means: 'language model, unless the agent names one',
  },
  {
    name: 'PARLEY_TTS_MODEL',
    fallback: '(the adapter’s)',
    allowed: 'a model name',
    means: 'synthesis model, unless the agent names one',
  },
  { name: 'PARLEY_TTS_VOICE', fallback: '(the adapter’s)', allowed: 'a voice id', means: 'voice, unless the agent names one' },
  { name: 'GROQ_API_KEY', fallback: '', allowed: 'a key', means: 'switches recognition and language model to Groq' },
  { name: 'OPENAI_API_KEY', fallback: '', allowed: 'a key', means: 'switches to OpenAI what has no other key' },
  { name: 'ELEVENLABS_API_KEY', fallback: '', allowed: 'a key', means: 'switches synthesis to ElevenLabs' },
  {
    name: 'GROQ_BASE_URL',
    fallback: 'https://api.groq.com',
    allowed: 'http(s) URL',
    means: 'another server for Groq’s protocol',
  },
  {
    name: 'OPENAI_BASE_URL',
    fallback: 'https://api.openai.com/v1',
    allowed: 'http(s) URL',
    means: 'vLLM, Ollama, faster-whisper, …',
  },
  {
    name: 'ELEVENLABS_BASE_URL',
    fallback: 'https://api.elevenlabs.io',
    allowed: 'http(s) URL',
    means: 'another server for its protocol',
  },
  storeVariable,
  {
    name: 'PARLEY_RECORDINGS',
    fallback: './parley-recordings (with the memory store: off)',
    allowed: 'a folder | off',
    means: 'where the sound of calls is kept',
  },
  {
    name: 'PARLEY_API_KEY',
    fallback: '',
    allowed: 'a key of at least 8 characters',
    means: 'asked for by the REST side (xi-api-key); without one that side answers on loopback addresses only',
  },
  {
    name: 'PARLEY_SIGNING_KEY',
    fallback: '(made from PARLEY_API_KEY, else new at each start)',
    allowed: 'a secret of at least 16 characters',
    means: 'signs conversation URLs',
  },
  {
    name: 'PARLEY_PUBLIC_URL',
    fallback: '(from each request’s Host and X-Forwarded-Proto)',
    allowed: 'http(s) URL',
    means: 'how clients reach this server',
  },
  {
    name: 'PARLEY_WEBHOOK_URL',
    fallback: '',
    allowed: 'http(s) URL',
    means: 'gets the transcript of each call when it is over',
  },
  { name: 'PARLEY_WEBHOOK_SECRET', fallback: '', allowed: 'a secret', means: 'signs what is posted to PARLEY_WEBHOOK_URL' },
  {
    name: 'PARLEY_TOOL_HOSTS_ALLOWED',
    fallback: '(public addresses only)',
    allowed: 'host, host:port, address or CIDR range, separated by commas',
    means: 'private addresses that tools may talk to',
  },
  { name: 'PARLEY_MCP_STDIO', fallback: '0', allowed: '0 | 1', means: 'whether MCP servers may be programs of this machine' },
];

function withFallbacks<Setup>(setups: readonly Setup[]): WithFallbacks<Setup> {
  const [first, ...fallbacks] = setups;
  if (first === undefined) throw new EngineError('config', 'no provider is configured');
  return { ...first, fallbacks };
}

type Environment = Readonly<Record<string, string | undefined>>;

export function readConfig(environment: Environment): Config {
  const read = (name: string): string => environment[name]?.trim() ?? '';
  const bad = (name: string, value: string): EngineError => {
    const row = settingsTable.find((candidate) => candidate.name === name);
    return new EngineError('config', `${name}="${value}" is not allowed. Allowed: ${row?.allowed ?? 'see the README'}.`);
  };
  const integer = (name: string, fallback: number, min: number, max: number): number => {
    const text = read(name);
    if (text === '') return fallback;
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) throw bad(name, text);
    return value;
  };
  const choice = <const Value extends string>(name: string, values: readonly Value[], fallback: Value): Value => {
    const text = read(name);
    if (text === '') return fallback;
    const found = values.find((value) => value === text);
    if (found === undefined) throw bad(name, text);
    return found;
  };
  const url = (name: string): string => {
    const text = read(name);
    if (text === '') return '';
    if (!/^https?:\/\//.test(text) || !URL.canParse(text)) throw bad(name, text);
    return text.replace(/\/+$/, '');
  };

  const secret = (name: string, charsMin: number): string => {
    const text = read(name);
    // The value stays out of the message.
    if (text !== '' && text.length < charsMin) throw bad(name, '…');
    return text;
  };

  const groqKey = read('GROQ_API_KEY');
  const openAiKey = read('OPENAI_API_KEY');
  const elevenLabsKey = read('ELEVENLABS_API_KEY');
  const urls = {
    groq: url('GROQ_BASE_URL'),
    openai: url('OPENAI_BASE_URL'),
    elevenlabs: url('ELEVENLABS_BASE_URL'),
    embedded: '',
  };
  const keys = { groq: groqKey, openai: openAiKey, elevenlabs: elevenLabsKey, embedded: '' };
  const hasOpenAi = openAiKey !== '';
  const byKey = groqKey !== '' ? 'groq' : hasOpenAi ? 'openai' : 'embedded';
  /** An ordered list: the first one serves, the others take its place while it fails. */
  const choices = <const Value extends string>(
    name: string,
    values: readonly Value[],
    fallback: Value,
  ): readonly [Value, ...Value[]] => {
    const text = read(name);
    if (text === '') return [fallback];
    const found = text.split(',').map((part) => values.find((value) => value === part.trim()));
    const [first, ...others] = found.filter((value) => value !== undefined);
    if (first === undefined || others.length + 1 < found.length || new Set(found).size < found.length) throw bad(name, text);
    return [first, ...others];
  };
  const stt = choices('PARLEY_STT', ['embedded', 'groq', 'openai'], byKey);
  const llm = choices('PARLEY_LLM', ['embedded', 'groq', 'openai'], byKey);
  const tts = choices(
    'PARLEY_TTS',
    ['embedded', 'elevenlabs', 'openai'],
    elevenLabsKey !== '' ? 'elevenlabs' : hasOpenAi ? 'openai' : 'embedded',
  );
  for (const [name, provider, keyName] of [
    ...stt.map((provider) => ['PARLEY_STT', provider, 'GROQ_API_KEY'] as const),
    ...llm.map((provider) => ['PARLEY_LLM', provider, 'GROQ_API_KEY'] as const),
    ...tts.map((provider) => ['PARLEY_TTS', provider, 'ELEVENLABS_API_KEY'] as const),
  ]) {
    if ((provider === 'groq' || provider === 'elevenlabs') && keys[provider] === '') {
      throw new EngineError('config', `${name}="${provider}" needs ${keyName}, which is not set.`);
    }
    if (provider === 'openai' && openAiKey === '' && urls.openai === '') {
      throw new EngineError('config', `${name}="openai" needs OPENAI_API_KEY, or OPENAI_BASE_URL for a server without keys.`);
    }
  }
  const setupOf = <Provider extends keyof typeof keys>(provider: Provider, model: string) => ({
    provider,
    apiKey: keys[provider],
    baseUrl: urls[provider],
    model,
  });
  /** Models and voices are lists too, in the order of the providers. */
  const nth = (name: string, index: number): string => read(name).split(',')[index]?.trim() ?? '';
  const store = parseStoreUrl(read('PARLEY_STORE') || storeVariable.fallback);
  const recordings = read('PARLEY_RECORDINGS') || (store.kind === 'memory' ? 'off' : './parley-recordings');
  if (read('PARLEY_WEBHOOK_URL') !== '' && read('PARLEY_WEBHOOK_SECRET') === '') {
    throw new EngineError('config', 'PARLEY_WEBHOOK_URL needs PARLEY_WEBHOOK_SECRET, which is not set.');
  }
  const trustedProxies = read('PARLEY_TRUSTED_PROXIES');
  try {
    parseProxies(trustedProxies);
  } catch {
    throw bad('PARLEY_TRUSTED_PROXIES', trustedProxies);
  }
  const processesAsked = integer('PARLEY_PROCESSES', 1, 0, 64);
  const processes = processesAsked === 0 ? Math.max(1, Math.floor(cpus().length / coresPerLane)) : processesAsked;
  const turnModelPath = read('PARLEY_TURN_MODEL');
  const toolHostsAllowed = read('PARLEY_TOOL_HOSTS_ALLOWED');
  parseAllowedHosts(toolHostsAllowed); // fails here, where a bad value stops the start
  return {
    host: read('PARLEY_HOST') || '127.0.0.1',
    port: integer('PARLEY_PORT', 8080, 0, 65535),
    sessionsMax: integer('PARLEY_SESSIONS_MAX', 64, 1, 4096),
    processes,
    addresses: {
      callsMax: integer('PARLEY_CALLS_PER_ADDRESS', 0, 0, 4096),
      newPerSecond: integer('PARLEY_NEW_CALLS_PER_ADDRESS', 0, 0, 1000),
      trustedProxies,
    },
    lanes: integer('PARLEY_LANES', Math.max(1, Math.floor(cpus().length / (coresPerLane * processes))), 1, 64),
    sockets: choice('PARLEY_SOCKETS', ['auto', 'uws', 'ws'], 'auto'),
    agentsPath: read('PARLEY_AGENTS') || undefined,
    vadModelPath: read('PARLEY_VAD_MODEL') || undefined,
    turnModel: turnModelPath === '' ? undefined : { kind: turnModelKind(turnModelPath), path: turnModelPath },
    logLevel: choice('PARLEY_LOG', logLevels, 'info'),
    drainSeconds: integer('PARLEY_DRAIN_SECONDS', 600, 0, 86_400),
    drainNoticeSeconds: integer('PARLEY_DRAIN_NOTICE_SECONDS', 10, 0, 600),
    loopDelayMaxMs: integer('PARLEY_LOOP_DELAY_MAX_MS', 30, 0, 10_000),
    stt: withFallbacks(stt.map((provider, index) => setupOf(provider, nth('PARLEY_STT_MODEL', index)))),
    llm: withFallbacks(llm.map((provider, index) => setupOf(provider, nth('PARLEY_LLM_MODEL', index)))),
    tts: withFallbacks(
      tts.map((provider, index) => ({
        ...setupOf(provider, nth('PARLEY_TTS_MODEL', index)),
        voice: nth('PARLEY_TTS_VOICE', index),
      })),
    ),
    isPriorityTaken: choice('PARLEY_PRIORITY', ['auto', 'off'], 'auto') === 'auto',
    isHedged: choice('PARLEY_HEDGE', ['0', '1'], '1') === '1',
    api: {
      store,
      recordingsPath: recordings === 'off' ? undefined : recordings,
      apiKey: secret('PARLEY_API_KEY', 8),
      signingKey: secret('PARLEY_SIGNING_KEY', 16),
      publicUrl: url('PARLEY_PUBLIC_URL'),
      webhookUrl: url('PARLEY_WEBHOOK_URL'),
      webhookSecret: read('PARLEY_WEBHOOK_SECRET'),
      toolHostsAllowed,
      isMcpStdioAllowed: choice('PARLEY_MCP_STDIO', ['0', '1'], '0') === '1',
    },
  };
}

/** Names that look like settings and are none: most often a slip of the keys. */
export function unknownSettings(environment: Environment): string[] {
  const known = new Set(settingsTable.map(({ name }) => name));
  return Object.keys(environment).filter((name) => /^PARLEY_(?!TEST_)/.test(name) && !known.has(name));
}
