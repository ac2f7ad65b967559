/** FLAC files to 16-bit samples. Runs where files are read: tools, tests and the pool, never in a session's path. */
import { createHash } from 'node:crypto';
import { FLACDecoder } from '@wasm-audio-decoders/flac';
import { EngineError } from '../shared/errors.js';
import { hz } from '../shared/units.js';
import type { Recording } from './recording.js';

type StreamInfo = { readonly rateHz: number; readonly bits: number; readonly digest: Uint8Array; readonly framesAt: number };

/**
 * Decodes a whole native FLAC file (not Ogg), 8 to 24 bits, any number of channels. A 16-bit file gives exactly its samples; deeper
 * ones are rounded, 8-bit ones shifted up. The samples are checked against the MD5 that the file carries, so a damaged
 * file is an error and never a gap. Fails with `garbage`.
 */
export async function readFlac(bytes: Uint8Array): Promise<Recording> {
  const info = readStreamInfo(bytes);
  const decoder = new FLACDecoder();
  await decoder.ready;
  try {
    // The decoder can also cut a file into frames itself, but then loses the last one when its bytes happen to look like a header.
    const decoded = await decoder.decodeFrames(splitFrames(bytes.subarray(info.framesAt)));
    const problem = decoded.errors[0];
    if (problem !== undefined) {
      throw new EngineError('garbage', `FLAC frame ${problem.frameNumber} is damaged: ${problem.message}`);
    }
    // It divides by the largest positive value (32767 for 16 bits), so that is what gives the integers back exactly.
    const scale = 2 ** (info.bits - 1) - 1;
    const integers = decoded.channelData.map((channel) => {
      const values = new Int32Array(channel.length);
      for (let i = 0; i < values.length; i++) values[i] = Math.round(channel[i]! * scale);
      return values;
    });
    checkDigest(integers, info);
    return { channels: integers.map((channel) => toSixteenBits(channel, info.bits)), rateHz: hz(info.rateHz) };
  } finally {
    decoder.free();
  }
}

/** The stream description is always the first metadata block; the frames follow the block marked as the last. */
function readStreamInfo(bytes: Uint8Array): StreamInfo {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 42 || view.getUint32(0) !== 0x664c6143 || (bytes[4]! & 0x7f) !== 0) {
    throw new EngineError('garbage', 'not a FLAC file: it does not begin with "fLaC" and a stream description');
  }
  const bits = ((view.getUint16(20) >> 4) & 0x1f) + 1;
  if (bits < 8 || bits > 24) throw new EngineError('garbage', `FLAC file has ${bits} bits a sample; 8 to 24 can be read`);
  let framesAt = 4;
  for (let isLast = false; !isLast && framesAt + 4 <= bytes.length; ) {
    isLast = (bytes[framesAt]! & 0x80) !== 0;
    framesAt += 4 + (view.getUint32(framesAt) & 0xffffff);
  }
  return { rateHz: view.getUint32(18) >>> 12, bits, digest: bytes.subarray(26, 42), framesAt };
}

/** The checksum of whole frames (CRC-16, polynomial 0x8005) and that of their headers (CRC-8, 0x07), one entry for each byte value. */
const frameCrc = Uint16Array.from({ length: 256 }, (_, byte) => shiftedOut(byte << 8, 0x8000, 0x8005));
const headerCrc = Uint8Array.from({ length: 256 }, (_, byte) => shiftedOut(byte, 0x80, 0x07));

function shiftedOut(crc: number, top: number, polynomial: number): number {
  let rest = crc;
  for (let bit = 0; bit < 8; bit++) rest = rest & top ? (rest << 1) ^ polynomial : rest << 1;
  return rest;
}

/**
 * Frames do not say how long they are: one ends where the checksum over all of it, footer included, is 0 and the header of another
 * follows or the file ends. Bytes that fit no frame are left at the end as one, for the decoder to complain about.
 */
function splitFrames(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  let from = 0;
  let crc = 0;
  for (let at = 0; at < bytes.length; at++) {
    crc = ((crc << 8) & 0xffff) ^ frameCrc[(crc >> 8) ^ bytes[at]!]!;
    if (crc === 0 && (at + 1 === bytes.length || isHeaderAt(bytes, at + 1))) {
      frames.push(bytes.subarray(from, at + 1));
      from = at + 1;
    }
  }
  if (from < bytes.length) frames.push(bytes.subarray(from));
  return frames;
}

/** Whether a valid frame header begins here: sync code, no reserved values, its checksum. */
function isHeaderAt(bytes: Uint8Array, at: number): boolean {
  if (at + 6 > bytes.length || bytes[at] !== 0xff || (bytes[at + 1]! & 0xfe) !== 0xf8) return false;
  const blockCode = bytes[at + 2]! >> 4;
  const rateCode = bytes[at + 2]! & 15;
  if (blockCode === 0 || rateCode === 15 || bytes[at + 3]! & 1) return false;
  // The frame's number is coded as in UTF-8: the leading ones of its first byte count its bytes.
  const numberBytes = Math.max(1, Math.clz32(~(bytes[at + 4]! << 24)));
  const blockBytes = blockCode === 6 ? 1 : blockCode === 7 ? 2 : 0;
  const rateBytes = rateCode === 12 ? 1 : rateCode > 12 ? 2 : 0;
  const end = at + 4 + numberBytes + blockBytes + rateBytes;
  let crc = 0;
  for (let i = at; i < end; i++) crc = headerCrc[crc ^ (bytes[i] ?? 0)]!;
  return crc === bytes[end];
}

/** The digest is over the interleaved little-endian samples at the file's own depth; all zeros means that the encoder left it out. */
function checkDigest(channels: readonly Int32Array[], info: StreamInfo): void {
  if (info.digest.every((byte) => byte === 0)) return;
  const sampleBytes = Math.ceil(info.bits / 8);
  const count = channels[0]?.length ?? 0;
  const interleaved = new Uint8Array(count * channels.length * sampleBytes);
  let at = 0;
  for (let i = 0; i < count; i++) {
    for (const channel of channels) {
      for (let shift = 0; shift < 8 * sampleBytes; shift += 8) interleaved[at++] = channel[i]! >> shift;
    }
  }
  if (!createHash('md5').update(interleaved).digest().equals(info.digest)) {
    throw new EngineError('garbage', `FLAC file is damaged or cut short: its ${count} samples do not match its checksum`);
  }
}

function toSixteenBits(channel: Int32Array, bits: number): Int16Array {
  const factor = 2 ** (16 - bits);
  const samples = new Int16Array(channel.length);
  for (let i = 0; i < samples.length; i++) samples[i] = Math.min(32767, Math.round(channel[i]! * factor));
  return samples;
}
