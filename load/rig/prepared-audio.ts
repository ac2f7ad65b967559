/**
 * Microphone messages made beforehand: each 20 ms of a clip as the bytes of a whole WebSocket frame, once per clip and format, so that sending one
 * is nothing but a write. The mask is zero, which the protocol allows a client (masking protects proxies, and costs the server the same).
 */
import type { AudioFormat } from '../../src/wire/events.js';
import { frameEncoder } from '../client-messages.js';
import type { Clip } from '../clip.js';
import { frameSamples } from '../microphone.js';

export class PreparedAudio {
  /** 20 ms of silence. */
  readonly silence: Uint8Array;
  readonly #format: AudioFormat;
  readonly #clips = new Map<Clip, readonly Uint8Array[]>();

  constructor(format: AudioFormat) {
    this.#format = format;
    const encode = primed(format);
    this.silence = textFrame(encode(undefined));
  }

  /** The clip from its first sample on; the last frame is filled with silence. */
  framesOf(clip: Clip): readonly Uint8Array[] {
    const known = this.#clips.get(clip);
    if (known !== undefined) return known;
    const encode = primed(this.#format);
    const frames: Uint8Array[] = [];
    for (let from = 0; from < clip.samples.length; from += frameSamples) {
      const frame = new Int16Array(frameSamples);
      frame.set(clip.samples.subarray(from, from + frameSamples));
      frames.push(textFrame(encode(frame)));
    }
    this.#clips.set(clip, frames);
    return frames;
  }
}

/** An encoder whose resampler, if it has one, has been through its latency: every frame it makes is whole. */
function primed(format: AudioFormat): (frame: Int16Array | undefined) => string {
  const encode = frameEncoder(format);
  encode(undefined);
  return encode;
}

/** One unfragmented text frame from a client, masked with zeros. Text up to 64 KiB. */
export function textFrame(text: string): Uint8Array {
  const payload = Buffer.from(text);
  const isShort = payload.length < 126;
  const head = Buffer.alloc(isShort ? 6 : 8);
  head[0] = 0x81;
  head[1] = 0x80 | (isShort ? payload.length : 126);
  if (!isShort) head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}
