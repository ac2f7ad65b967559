/** What callers say in the conformance tests: spoken by the embedded voice, known to the simulated recogniser. */
import { type Clip, clipOf } from '../../load/clip.js';
import { loadVoice } from '../../load/providers/voice.js';
import type { Stage } from './stage.js';
import type { WireClient } from './wire-client.js';

/** Silence before a phrase, in samples of 16 kHz: the detector wants to know the room. */
const leadSamples = 3200;
/** 16 kHz, 16 bits. */
const bytesPerMs = 32;

/** `text` as a clip that the recogniser of `stage` understands. */
export async function speechOf(stage: Stage, text: string): Promise<Clip> {
  const { audio, words } = (await loadVoice()).speak(text, { voice: 'awb', speed: 1 });
  const samples = new Int16Array(leadSamples + audio.length);
  samples.set(audio, leadSamples);
  const leadMs = leadSamples / 16;
  await stage.simulator.registerClips([
    {
      id: text,
      rateHz: 16_000,
      pcmBase64: bytesOf(samples).toString('base64'),
      words: words.map(({ word, startMs, endMs }): [number, number, string] => [leadMs + startMs, leadMs + endMs, word]),
    },
  ]);
  return clipOf(text, samples);
}

export function bytesOf(samples: Int16Array): Buffer {
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
}

/** Sends all of it at once, `chunkBytes` to a message. */
export function sendSpeech(client: WireClient, clip: Clip, chunkBytes: number): void {
  const bytes = bytesOf(clip.samples);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    client.send(`{"user_audio_chunk":"${bytes.subarray(at, at + chunkBytes).toString('base64')}"}`);
  }
}

/** Sends it as a microphone does, `chunkMs` at a time; resolves when the last chunk is sent. */
export async function speakInTime(client: WireClient, clip: Clip, chunkMs: number): Promise<void> {
  const bytes = bytesOf(clip.samples);
  const startedAtMs = performance.now();
  for (let at = 0; at < bytes.length; at += chunkMs * bytesPerMs) {
    const waitMs = startedAtMs + at / bytesPerMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    client.send({ user_audio_chunk: bytes.subarray(at, at + chunkMs * bytesPerMs).toString('base64') });
  }
}
