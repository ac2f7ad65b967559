/**
 * CPU of one recognition request on the STT thread, up to the bytes on the connection: the SDK's own upload of a file beside our multipart body
 * through the SDK's `post`. `node dist/bench/recognition-upload.js [--json FILE]`. The answer is given at once; no socket is involved.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import Groq from 'groq-sdk';
import { inputRateHz } from '../src/shared/units.js';
import { whisperUpload } from '../src/stt/whisper-http.js';

const seconds = 3;
const rounds = 1500;
const warmUps = 300;

const audio = new Int16Array(seconds * inputRateHz);
const answer = async (_input: string | URL | Request, init?: RequestInit): Promise<Response> => {
  const { body } = init ?? {};
  if (!(body instanceof Uint8Array)) await new Response(body).arrayBuffer();
  return new Response('{"text":"ok"}');
};
const client = new Groq({ apiKey: 'any', maxRetries: 0, timeout: 5000, fetch: Object.assign(answer, { Response }) });
const settings = { language: 'en', keywords: [], grammar: undefined };
const { signal } = new AbortController();

const ways = {
  'the SDK’s file upload': () => {
    const file = new File([new Uint8Array(44), new Uint8Array(audio.buffer)], 'turn.wav', { type: 'audio/wav' });
    return client.audio.transcriptions
      .create({ file, model: 'm', response_format: 'verbose_json', temperature: 0, language: 'en' })
      .asResponse();
  },
  'one body, the SDK’s post': () => {
    const upload = whisperUpload({ audio, rateHz: inputRateHz, settings, signal }, 'm', 'verbose_json');
    return client.post('/openai/v1/audio/transcriptions', upload).asResponse();
  },
} as const;

async function cpuUs(run: () => Promise<Response>): Promise<number> {
  for (let round = 0; round < warmUps; round += 1) await run();
  const before = process.cpuUsage();
  for (let round = 0; round < rounds; round += 1) await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / rounds;
}

const figures: Record<string, number> = {};
for (const [name, run] of Object.entries(ways)) {
  figures[name] = await cpuUs(run);
  console.log(`${name.padEnd(28)} ${figures[name].toFixed(0)} us of CPU for ${seconds} s of audio`);
}
const { values } = parseArgs({ options: { json: { type: 'string' } } });
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(figures));
