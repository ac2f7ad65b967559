/** A short spoken call with the engine on the virtual clock, and everything that came of it, as lines of text. */
import { createHash } from 'node:crypto';
import { VirtualEngine, type VirtualEngineOptions } from '../../bench/eval/virtual/virtual-engine.js';
import { loadVoice } from '../../load/providers/voice.js';
import { parseAgent } from '../../src/store/agents.js';

const frameMs = 20;
const frameSamples = frameMs * 16;

/** What the caller says, and how long after the start. `isNoise`: the recogniser knows no words in it. */
export type Spoken = { readonly atMs: number; readonly text: string; readonly isNoise?: boolean };

export type VirtualCallOptions = Partial<VirtualEngineOptions> & {
  readonly spoken: readonly Spoken[];
  readonly durationMs: number;
  readonly turn?: Readonly<Record<string, unknown>>;
};

export type VirtualCall = {
  /** Every message with its instant; audio as a hash. */
  readonly lines: readonly string[];
  /** Types of the messages, `ping` left out. */
  readonly types: readonly string[];
  readonly messages: readonly { readonly atMs: number; readonly event: Record<string, unknown> }[];
  /** Bodies that the language model was sent. */
  readonly requests: readonly unknown[];
  readonly closed: { readonly code: number } | undefined;
  readonly timersLeft: number;
  /** Virtual seconds in a real one, of the call alone. */
  readonly speedRatio: number;
};

export const eventNames = [
  'audio',
  'interruption',
  'user_transcript',
  'agent_response',
  'agent_response_correction',
  'parley_turn_event',
  'ping',
];

export async function virtualCall(options: VirtualCallOptions): Promise<VirtualCall> {
  const { spoken, durationMs, turn, ...given } = options;
  const voice = await loadVoice();
  const realMs = process.hrtime.bigint.bind(process.hrtime);
  const microphone = new Int16Array(durationMs * 16);
  const clips = spoken.map(({ atMs, text, isNoise }, index) => {
    const speech = voice.speak(text, { voice: 'awb', speed: 1 });
    microphone.set(speech.audio.subarray(0, Math.max(0, microphone.length - atMs * 16)), atMs * 16);
    const heard = isNoise === true ? [] : speech.words;
    const words = heard.map(({ word, startMs, endMs }): [number, number, string] => [startMs, endMs, word]);
    const pcmBase64 = Buffer.from(speech.audio.buffer, speech.audio.byteOffset, speech.audio.byteLength).toString('base64');
    return { id: `part ${index}`, rateHz: 16000, pcmBase64, words };
  });
  const agent = parseAgent(
    {
      agent_id: 'tested',
      name: 'Tested',
      conversation_config: {
        agent: { first_message: 'Hello, how can I help?', language: 'en', prompt: { prompt: 'Help.' } },
        conversation: { client_events: eventNames },
      },
      ...(turn === undefined ? {} : { parley: { turn } }),
    },
    'the tested agent',
  );
  const engine = await VirtualEngine.open({ profile: 'reference', seed: 1, agents: [agent], clips, ...given });
  const startedAtMs = engine.nowMs();
  const messages: { atMs: number; event: Record<string, unknown> }[] = [];
  const lines: string[] = [];
  let closed: { code: number } | undefined;
  const line = engine.connect('/v1/convai/conversation?agent_id=tested');
  line.onMessage = (text) => {
    const event = JSON.parse(text) as Record<string, unknown>;
    const atMs = engine.nowMs() - startedAtMs;
    messages.push({ atMs, event });
    lines.push(`${atMs} ${event['type'] === 'audio' ? `audio ${createHash('sha256').update(text).digest('hex')}` : text}`);
    if (event['type'] !== 'ping') return;
    const { event_id: eventId } = event['ping_event'] as { event_id: number };
    line.send(JSON.stringify({ type: 'pong', event_id: eventId }));
  };
  line.onClose = (code) => {
    closed = { code };
    lines.push(`${engine.nowMs() - startedAtMs} closed ${code}`);
  };
  line.send(JSON.stringify({ type: 'conversation_initiation_client_data' }));
  const before = realMs();
  for (let from = 0; from + frameSamples <= microphone.length; from += frameSamples) {
    await engine.advanceTo(startedAtMs + (from + frameSamples) / 16);
    const bytes = Buffer.from(microphone.buffer, from * 2, frameSamples * 2);
    line.send(`{"user_audio_chunk":"${bytes.toString('base64')}"}`);
  }
  const speedRatio = durationMs / (Number(realMs() - before) / 1e6);
  line.close(1000, '');
  await engine.advanceTo(engine.nowMs() + 500);
  const requests = engine.providers.journal.llmRequests().map(({ body }) => body);
  await engine.close();
  const types = messages.map(({ event }) => String(event['type'])).filter((type) => type !== 'ping');
  return { lines, types, messages, requests, closed, speedRatio, timersLeft: engine.timersLeft };
}
