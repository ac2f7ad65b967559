/**
 * The client's audio message, fifty a second and session, without JSON.parse. Two spellings are recognised, those of JSON.stringify and of
 * Python's json.dumps; everything else is left to `decode.ts`, which gives the same answers more slowly. Runs on the main thread.
 */
import { type AudioProblem, decodeBase64 } from './base64.js';

const compactHead = Buffer.from('{"user_audio_chunk":"', 'latin1');
const spacedHead = Buffer.from('{"user_audio_chunk": "', 'latin1');
const tailBytes = 2; // "}

/** No quote, escape, control or non-ASCII letter: JSON.parse would give this text back as it stands. */
const plainJsonText = /^[ !#-[\]-~]*$/;

function startsWith(frame: Uint8Array, head: Uint8Array): boolean {
  for (let i = 0; i < head.length; i++) if (frame[i] !== head[i]) return false;
  return true;
}

/**
 * Decodes the audio of one message into the start of `into`, which the caller owns. Returns how many bytes were written, what is wrong with
 * the audio, or `undefined`: not one of the two spellings, ask `decodeClientMessage`. `frame` is only read, and not kept.
 *
 * A Latin-1 string of the text, decoded by Node, takes 0.4 µs for a kilobyte (`bench/wire.ts`; JSON.parse first: 1.3). A table decoder of our
 * own over the bytes, which needs no string, took 0.9.
 */
export function decodeAudioMessage(frame: Uint8Array, into: Uint8Array): number | AudioProblem | undefined {
  const end = frame.length - tailBytes;
  if (frame[end] !== 0x22 || frame[end + 1] !== 0x7d) return undefined;
  const head = startsWith(frame, compactHead) ? compactHead : startsWith(frame, spacedHead) ? spacedHead : undefined;
  if (head === undefined || end < head.length) return undefined;
  const bytes = Buffer.isBuffer(frame) ? frame : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const text = bytes.toString('latin1', head.length, end);
  const outcome = decodeBase64(text, into);
  // What looks broken may be another shape of the same message: escaped slashes, more fields behind the audio.
  return typeof outcome === 'number' || plainJsonText.test(text) ? outcome : undefined;
}

/** Bytes of audio that a message of `frameBytes` bytes can have carried: how much silence stands for it when it is dropped. */
export function audioBytesLost(frameBytes: number): number {
  return Math.max(0, Math.floor(((frameBytes - compactHead.length - tailBytes) * 3) / 4));
}
