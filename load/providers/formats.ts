/** Output formats of the simulated synthesisers: which can be made, and speech encoded in them. Pure, apart from a memory. */
import { encodeMulaw } from '../../src/audio/mulaw.js';
import { resample } from '../../src/audio/resample.js';
import { hz } from '../../src/shared/units.js';
import { Cache } from './cache.js';
import { type Speech, soundKey, type VoiceStyle, voiceRateHz } from './voice.js';

export type OutputFormat = { readonly name: string; readonly encoding: 'pcm' | 'ulaw' | 'alaw'; readonly rateHz: number };

const pcmRates = [8000, 16000, 22050, 24000, 32000, 44100, 48000];

/** The format of that name; undefined for what the simulator cannot make (MP3, Opus) and for what nobody knows. */
export function outputFormatOf(name: string): OutputFormat | undefined {
  const [, encoding, rate] = /^(pcm|ulaw|alaw)_(\d+)$/.exec(name) ?? [];
  const rateHz = Number(rate);
  if (encoding === 'pcm' && pcmRates.includes(rateHz)) return { name, encoding, rateHz };
  if ((encoding === 'ulaw' || encoding === 'alaw') && rateHz === 8000) return { name, encoding, rateHz };
  return undefined;
}

/** G.711 A-law. */
function alawOf(sample: number): number {
  const sign = sample < 0 ? 0 : 0x80;
  const magnitude = Math.min(32635, sample < 0 ? -sample - 1 : sample);
  const exponent = magnitude < 256 ? 0 : 31 - Math.clz32(magnitude) - 7;
  const mantissa = exponent === 0 ? magnitude >> 4 : (magnitude >> (exponent + 3)) & 15;
  return (sign | (exponent << 4) | mantissa) ^ 0x55;
}

export class EncodedSpeech {
  readonly bytes: Buffer;
  readonly #bytesPerMs: number;
  readonly #sampleBytes: number;

  constructor(speech: Speech, format: OutputFormat) {
    const audio = resample(speech.audio, voiceRateHz, hz(format.rateHz));
    this.#sampleBytes = format.encoding === 'pcm' ? 2 : 1;
    this.#bytesPerMs = (format.rateHz * this.#sampleBytes) / 1000;
    if (format.encoding === 'pcm') this.bytes = Buffer.from(audio.buffer, audio.byteOffset, audio.byteLength);
    else if (format.encoding === 'ulaw') this.bytes = Buffer.from(encodeMulaw(audio));
    else this.bytes = Buffer.from(Uint8Array.from(audio, alawOf));
  }

  /** Bytes of whole samples; slices that meet at an instant join without gap or overlap. */
  between(fromMs: number, toMs: number): Buffer {
    const at = (atMs: number): number => Math.round((atMs * this.#bytesPerMs) / this.#sampleBytes) * this.#sampleBytes;
    return this.bytes.subarray(at(fromMs), at(toMs));
  }
}

/** Encoded speech that is kept for the next time the same text is spoken. */
const encodedBytesMax = 96 * 1024 * 1024;

/** Encodes each speech once for each format. */
export class SpeechEncoder {
  readonly #encoded = new Cache<EncodedSpeech>(encodedBytesMax);

  encode(speech: Speech, style: VoiceStyle, format: OutputFormat): EncodedSpeech {
    const key = `${format.name} ${soundKey(speech.text, style)}`;
    const known = this.#encoded.get(key);
    if (known !== undefined) return known;
    const encoded = new EncodedSpeech(speech, format);
    this.#encoded.set(key, encoded, encoded.bytes.length);
    return encoded;
  }
}

/** First piece short, so that it can be early; the others of a size that keeps messages few. */
const firstPieceMs = 100;
const pieceMs = 200;

/** Ends of the pieces that `speech` is sent in: always between two characters, so that each character sounds within one piece. */
export function pieceEndsMs(speech: Speech): number[] {
  const ends: number[] = [];
  let pieceFromMs = 0;
  for (const [index, startMs] of speech.chars.startMs.entries()) {
    const endMs = startMs + speech.chars.durationMs[index]!;
    const length = ends.length === 0 ? firstPieceMs : pieceMs;
    if (endMs - pieceFromMs < length || endMs >= speech.durationMs) continue;
    ends.push(endMs);
    pieceFromMs = endMs;
  }
  if (speech.durationMs > 0) ends.push(speech.durationMs);
  return ends;
}
