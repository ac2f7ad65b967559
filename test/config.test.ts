import { cpus } from 'node:os';
import { test } from 'tap';
import { readConfig, settingsTable } from '../src/config.js';
import { EngineError } from '../src/shared/errors.js';

/** The message of the refusal, or what was read. */
function refusalOf(environment: Record<string, string>): unknown {
  try {
    return readConfig(environment);
  } catch (error) {
    return error instanceof EngineError && error.kind === 'config' ? error.message : error;
  }
}

test('without any variable the engine is embedded and local', (t) => {
  t.match(readConfig({}), {
    host: '127.0.0.1',
    port: 8080,
    sessionsMax: 64,
    sockets: 'auto',
    agentsPath: undefined,
    stt: { provider: 'embedded' },
    llm: { provider: 'embedded' },
    tts: { provider: 'embedded' },
  });
  t.end();
});

test('keys choose providers, and names overrule keys', (t) => {
  const cloud = readConfig({
    GROQ_API_KEY: 'g',
    ELEVENLABS_API_KEY: 'e',
    OPENAI_API_KEY: 'o',
    GROQ_BASE_URL: 'http://127.0.0.1:9100/',
  });
  t.match(cloud, { stt: { provider: 'groq', apiKey: 'g', baseUrl: 'http://127.0.0.1:9100' }, llm: { provider: 'groq' } });
  t.match(cloud.tts, { provider: 'elevenlabs', apiKey: 'e' });
  t.match(readConfig({ OPENAI_API_KEY: 'o' }), {
    stt: { provider: 'openai' },
    llm: { provider: 'openai' },
    tts: { provider: 'openai' },
  });
  const local = readConfig({ PARLEY_LLM: 'openai', OPENAI_BASE_URL: 'http://localhost:11434/v1', PARLEY_LLM_MODEL: 'qwen3' });
  t.match(local, {
    llm: { provider: 'openai', apiKey: '', baseUrl: 'http://localhost:11434/v1', model: 'qwen3' },
    stt: { provider: 'embedded' },
  });
  t.end();
});

test('bad values stop the start with the name, the value and what is allowed', (t) => {
  const rows: [Record<string, string>, RegExp][] = [
    [{ PARLEY_PORT: '70000' }, /^PARLEY_PORT="70000" is not allowed. Allowed: 0\.\.65535/],
    [{ PARLEY_PORT: '-1' }, /PARLEY_PORT="-1"/],
    [{ PARLEY_PORT: '80.5' }, /PARLEY_PORT="80.5"/],
    [{ PARLEY_PORT: '0x50' }, /PARLEY_PORT="0x50"/],
    [{ PARLEY_SESSIONS_MAX: '0' }, /PARLEY_SESSIONS_MAX="0" is not allowed. Allowed: 1\.\.4096/],
    [{ PARLEY_SESSIONS_MAX: '4097' }, /1\.\.4096/],
    [{ PARLEY_LANES: '65' }, /1\.\.64/],
    [{ PARLEY_PROCESSES: '65' }, /PARLEY_PROCESSES="65" is not allowed. Allowed: 0\.\.64/],
    [{ PARLEY_CALLS_PER_ADDRESS: '4097' }, /0\.\.4096/],
    [{ PARLEY_NEW_CALLS_PER_ADDRESS: '-1' }, /0\.\.1000/],
    [{ PARLEY_TRUSTED_PROXIES: '10.0.0.0/8,proxy' }, /PARLEY_TRUSTED_PROXIES="10.0.0.0\/8,proxy" is not allowed/],
    [{ PARLEY_SOCKETS: 'tcp' }, /auto \| uws \| ws/],
    [{ PARLEY_LOG: 'loud' }, /silent \| error \| info \| debug/],
    [{ PARLEY_DRAIN_SECONDS: '86401' }, /0\.\.86400/],
    [{ PARLEY_STT: 'elevenlabs' }, /embedded \| groq \| openai/],
    [{ PARLEY_TTS: 'groq' }, /embedded \| elevenlabs \| openai/],
    [{ PARLEY_STT: 'groq' }, /PARLEY_STT="groq" needs GROQ_API_KEY/],
    [{ PARLEY_TTS: 'elevenlabs' }, /needs ELEVENLABS_API_KEY/],
    [{ PARLEY_LLM: 'openai' }, /OPENAI_BASE_URL for a server without keys/],
    [{ GROQ_BASE_URL: 'localhost:9100' }, /GROQ_BASE_URL="localhost:9100" is not allowed. Allowed: http\(s\) URL/],
    [{ OPENAI_BASE_URL: 'http://' }, /OPENAI_BASE_URL/],
    [{ PARLEY_STORE: 'sqlite:x' }, /PARLEY_STORE="sqlite:x" is not allowed/],
    [{ PARLEY_API_KEY: 'short' }, /PARLEY_API_KEY="…" is not allowed. Allowed: a key of at least 8 characters/],
    [{ PARLEY_SIGNING_KEY: 'short' }, /PARLEY_SIGNING_KEY="…"/],
    [{ PARLEY_PUBLIC_URL: 'voice.example.org' }, /PARLEY_PUBLIC_URL="voice.example.org"/],
    [{ PARLEY_WEBHOOK_URL: 'https://a.example' }, /needs PARLEY_WEBHOOK_SECRET/],
    [{ PARLEY_TOOL_HOSTS_ALLOWED: 'http://x' }, /PARLEY_TOOL_HOSTS_ALLOWED/],
    [{ PARLEY_MCP_STDIO: 'yes' }, /0 \| 1/],
  ];
  for (const [environment, message] of rows) t.match(refusalOf(environment), message, JSON.stringify(environment));
  for (const edge of [
    { PARLEY_PORT: '0' },
    { PARLEY_PORT: '65535' },
    { PARLEY_SESSIONS_MAX: '1' },
    { PARLEY_SESSIONS_MAX: '4096' },
  ]) {
    t.type(refusalOf(edge as Record<string, string>), 'object', JSON.stringify(edge));
  }
  t.end();
});

test('processes and lanes follow from the cores, and from each other', (t) => {
  const cores = cpus().length;
  t.match(readConfig({}), { processes: 1, lanes: Math.max(1, Math.floor(cores / 4)) });
  t.match(readConfig({ PARLEY_PROCESSES: '0' }), { processes: Math.max(1, Math.floor(cores / 4)), lanes: 1 });
  t.match(readConfig({ PARLEY_PROCESSES: '3', PARLEY_LANES: '2' }), { processes: 3, lanes: 2 });
  t.end();
});

test('what the API thread works with', (t) => {
  t.match(readConfig({}).api, {
    store: { kind: 'pglite' },
    recordingsPath: './parley-recordings',
    apiKey: '',
    publicUrl: '',
    isMcpStdioAllowed: false,
  });
  t.equal(readConfig({ PARLEY_STORE: 'memory' }).api.recordingsPath, undefined, 'what keeps nothing records nothing');
  t.equal(readConfig({ PARLEY_RECORDINGS: 'off' }).api.recordingsPath, undefined);
  t.equal(readConfig({ PARLEY_STORE: 'memory', PARLEY_RECORDINGS: 'sound' }).api.recordingsPath, 'sound');
  t.equal(readConfig({ PARLEY_PUBLIC_URL: 'https://a.example/x/' }).api.publicUrl, 'https://a.example/x');
  t.end();
});

test('a key never appears in a refusal', (t) => {
  t.notMatch(refusalOf({ PARLEY_API_KEY: 'secret' }), /secret"/);
  t.notMatch(refusalOf({ PARLEY_STORE: 'mysql://me:secret@db/x' }), /secret/);
  t.notMatch(refusalOf({ GROQ_API_KEY: 'secret-1', PARLEY_PORT: 'x' }), /secret/);
  t.equal(new Set(settingsTable.map((row) => row.name)).size, settingsTable.length);
  t.end();
});
