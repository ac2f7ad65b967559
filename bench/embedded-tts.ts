/**
 * How fast the embedded voice speaks: synthesis alone on this thread, then the first piece of a reply through the pool, alone and while
 * seven other replies are being spoken. Not measured: resampling to the caller's rate, pacing, the socket.
 */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { hz } from '../src/shared/units.js';
import { fliteVoices, loadFlite } from '../src/tts/embedded/flite.js';
import { EmbeddedTts } from '../src/tts/embedded/provider.js';
import type { TtsVoice } from '../src/tts/port.js';

const sentences = [
  'Hello there, ',
  'Sure, let me check that for you right now. ',
  'Your appointment is on March 3rd at 10:30, and Dr. Smith will see you in room 12. ',
  'If you would rather come on another day, I can offer you Thursday at noon or Friday at a quarter past three. ',
];
const voice: TtsVoice = { voiceId: 'rms', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.75 };

const quantile = (values: readonly number[], ratio: number): number =>
  [...values].sort((one, other) => one - other)[Math.min(values.length - 1, Math.floor(values.length * ratio))] ?? 0;
const row = (name: string, values: readonly number[]): string =>
  `${name.padEnd(44)} p50 ${quantile(values, 0.5).toFixed(1)} ms, p95 ${quantile(values, 0.95).toFixed(1)} ms, max ${quantile(values, 1).toFixed(1)} ms`;

type Row = { readonly name: string; readonly p50Us: number; readonly p95Us: number };
const rows: Row[] = [];
/** Prints a row and keeps it for the report. */
function tell(name: string, timesMs: readonly number[], after = ''): void {
  console.log(`${row(name, timesMs)}${after}`);
  rows.push({ name, p50Us: quantile(timesMs, 0.5) * 1000, p95Us: quantile(timesMs, 0.95) * 1000 });
}

async function directly(): Promise<void> {
  const loadedAtMs = performance.now();
  const flite = await loadFlite();
  console.log(`load ${(performance.now() - loadedAtMs).toFixed(1)} ms`);
  const firstAtMs = performance.now();
  flite.synthesise('Ready.');
  console.log(`first sentence ever ${(performance.now() - firstAtMs).toFixed(1)} ms\n`);

  for (const name of fliteVoices) {
    for (const text of sentences) {
      const times: number[] = [];
      let audioMs = 0;
      for (let round = 0; round < 30; round += 1) {
        const startMs = performance.now();
        const speech = flite.synthesise(text, { voice: name });
        times.push(performance.now() - startMs);
        audioMs = (speech.audio.length * 1000) / speech.rateHz;
      }
      const ratio = quantile(times, 0.5) / audioMs;
      tell(`${name}, ${text.length} characters`, times, `, ${(audioMs / 1000).toFixed(2)} s of audio, ratio ${ratio.toFixed(4)}`);
    }
  }
  const withoutWords: number[] = [];
  for (let round = 0; round < 30; round += 1) {
    const startMs = performance.now();
    flite.synthesise(sentences[2] ?? '', { wantWords: false });
    withoutWords.push(performance.now() - startMs);
  }
  tell('rms, third sentence without word times', withoutWords);
  console.log(`resident memory ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB\n`);
}

/** Milliseconds from the first `write` to the first chunk, and to the end. */
function speak(provider: EmbeddedTts): Promise<{ firstMs: number; allMs: number }> {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    let firstMs = 0;
    const stream = provider.openStream({
      voice,
      preferredRateHz: hz(16000),
      onChunk: () => {
        if (firstMs === 0) firstMs = performance.now() - startMs;
      },
      onEnd: () => resolve({ firstMs, allMs: performance.now() - startMs }),
      onProblem: reject,
    });
    for (const text of sentences) stream.write(text);
    stream.finish();
  });
}

async function throughThePool(): Promise<void> {
  const provider = new EmbeddedTts();
  const warmAtMs = performance.now();
  await provider.warm();
  console.log(`pool warm after ${(performance.now() - warmAtMs).toFixed(1)} ms`);
  for (const together of [1, 8]) {
    const first: number[] = [];
    const all: number[] = [];
    for (let round = 0; round < 24 / together; round += 1) {
      for (const { firstMs, allMs } of await Promise.all(Array.from({ length: together }, () => speak(provider)))) {
        first.push(firstMs);
        all.push(allMs);
      }
    }
    tell(`first chunk, ${together} replies at once`, first);
    tell(`whole reply (${sentences.length} pieces), ${together} at once`, all);
  }
  await provider.close();
}

console.log(`${process.version}, ${cpus().length} × ${cpus()[0]?.model}`);
await directly();
await throughThePool();
const { values } = parseArgs({ options: { json: { type: 'string' } } });
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ rows }, null, 2));
