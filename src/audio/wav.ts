/** WAV files to 16-bit samples and back. Runs where files are read or written: tools, tests and the pool. */
import { endianness } from 'node:os';
import { EngineError } from '../shared/errors.js';
import { hz } from '../shared/units.js';
import { decodeMulaw } from './mulaw.js';
import type { Recording } from './recording.js';

const formatTag = { pcm: 1, float: 3, mulaw: 7, extensible: 0xfffe } as const;
/** Of the 16 bytes that name an extensible format, the first two are a plain format tag and the others are always these. */
const extensibleTail = '000000001000800000aa00389b71';

type Format = { tag: number; channelCount: number; rateHz: number; bits: number; frameBytes: number };

/**
 * Reads PCM of 8, 16, 24 and 32 bits, 32-bit float and µ-law, plain or as WAVE_FORMAT_EXTENSIBLE, any number of channels, chunks in any
 * order. Depths other than 16 are rounded to it, floats beyond ±1 clipped. A data chunk that promises more than the file holds
 * (cut short, or written as a stream) gives the whole frames that are there. Fails with `garbage`, saying what is wrong.
 */
export function readWav(bytes: Uint8Array): Recording {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || nameAt(bytes, 0) !== 'RIFF' || nameAt(bytes, 8) !== 'WAVE') {
    throw new EngineError('garbage', 'not a WAV file: it does not begin with "RIFF" and "WAVE"');
  }
  let format: Format | undefined;
  let data: Uint8Array | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = nameAt(bytes, at);
    const promised = view.getUint32(at + 4, true);
    const body = bytes.subarray(at + 8, Math.min(bytes.length, at + 8 + promised));
    if (name === 'fmt ') format ??= readFormat(body);
    if (name === 'data') data ??= body;
    at += 8 + promised + (promised % 2);
  }
  if (format === undefined) throw new EngineError('garbage', 'WAV file has no "fmt " chunk');
  if (data === undefined) throw new EngineError('garbage', 'WAV file has no "data" chunk');
  return { channels: split(toSamples(data, format), format.channelCount), rateHz: hz(format.rateHz) };
}

/** A PCM16 file of one or two channels of equal length. */
export function writeWav(recording: Recording): Uint8Array {
  const { channels, rateHz } = recording;
  const [left, right] = channels;
  if (left === undefined || channels.length > 2)
    throw new RangeError(`a WAV file is written with 1 or 2 channels, not ${channels.length}`);
  if (right !== undefined && right.length !== left.length)
    throw new RangeError('both channels of a WAV file have the same length');
  const frameBytes = 2 * channels.length;
  const dataBytes = left.length * frameBytes;
  const file = Buffer.alloc(44 + dataBytes);
  file.write('RIFF', 0, 'latin1');
  file.writeUInt32LE(36 + dataBytes, 4);
  file.write('WAVEfmt ', 8, 'latin1');
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(formatTag.pcm, 20);
  file.writeUInt16LE(channels.length, 22);
  file.writeUInt32LE(rateHz, 24);
  file.writeUInt32LE(rateHz * frameBytes, 28);
  file.writeUInt16LE(frameBytes, 32);
  file.writeUInt16LE(16, 34);
  file.write('data', 36, 'latin1');
  file.writeUInt32LE(dataBytes, 40);
  let at = 44;
  for (let i = 0; i < left.length; i++) {
    at = file.writeInt16LE(left[i]!, at);
    if (right !== undefined) at = file.writeInt16LE(right[i]!, at);
  }
  return file;
}

function nameAt(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

function readFormat(body: Uint8Array): Format {
  if (body.length < 16) throw new EngineError('garbage', `WAV "fmt " chunk has ${body.length} bytes; it needs 16`);
  const chunk = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const [channelCount, rateHz, frameBytes, bits] = [
    chunk.readUInt16LE(2),
    chunk.readUInt32LE(4),
    chunk.readUInt16LE(12),
    chunk.readUInt16LE(14),
  ];
  let tag = chunk.readUInt16LE(0);
  if (tag === formatTag.extensible) {
    if (chunk.length < 40) throw new EngineError('garbage', `WAV extensible "fmt " chunk has ${chunk.length} bytes; it needs 40`);
    if (chunk.toString('hex', 26, 40) !== extensibleTail) {
      throw new EngineError('garbage', `WAV sub-format ${chunk.toString('hex', 24, 40)} is unknown`);
    }
    tag = chunk.readUInt16LE(24);
  }
  if (channelCount < 1) throw new EngineError('garbage', 'WAV file has no channels');
  if (rateHz < 1) throw new EngineError('garbage', 'WAV file has a rate of 0 Hz');
  if (frameBytes !== (channelCount * bits) / 8) {
    throw new EngineError('garbage', `WAV frame of ${frameBytes} bytes does not hold ${channelCount} channels of ${bits} bits`);
  }
  return { tag, channelCount, rateHz, bits, frameBytes };
}

/** All samples of the data chunk, still interleaved; a part of a frame at the end is left out. */
function toSamples(data: Uint8Array, format: Format): Int16Array {
  const whole = data.subarray(0, data.length - (data.length % format.frameBytes));
  const source = Buffer.from(whole.buffer, whole.byteOffset, whole.byteLength);
  const sampleBytes = format.bits / 8;
  const samples = new Int16Array(whole.length / sampleBytes);
  switch (`${format.tag}/${format.bits}`) {
    case `${formatTag.mulaw}/8`:
      return decodeMulaw(whole);
    case `${formatTag.pcm}/8`:
      for (let i = 0; i < samples.length; i++) samples[i] = (source[i]! - 128) << 8;
      return samples;
    case `${formatTag.pcm}/16`: {
      const target = Buffer.from(samples.buffer);
      source.copy(target);
      if (endianness() === 'BE') target.swap16();
      return samples;
    }
    case `${formatTag.pcm}/24`:
    case `${formatTag.pcm}/32`: {
      const divisor = 2 ** (format.bits - 16);
      for (let i = 0; i < samples.length; i++)
        samples[i] = toSixteenBits(source.readIntLE(sampleBytes * i, sampleBytes) / divisor);
      return samples;
    }
    case `${formatTag.float}/32`:
      for (let i = 0; i < samples.length; i++) samples[i] = toSixteenBits(source.readFloatLE(4 * i) * 32768);
      return samples;
    default:
      throw new EngineError(
        'garbage',
        `WAV format ${format.tag} with ${format.bits} bits is not one that can be read (PCM, float32, µ-law)`,
      );
  }
}

/** Rounded and clipped; a NaN in a float file is silence. */
function toSixteenBits(value: number): number {
  return Math.max(-32768, Math.min(32767, Math.round(value))) || 0;
}

function split(interleaved: Int16Array, channelCount: number): Int16Array[] {
  if (channelCount === 1) return [interleaved];
  const count = interleaved.length / channelCount;
  return Array.from({ length: channelCount }, (_, channel) =>
    Int16Array.from({ length: count }, (_, i) => interleaved[i * channelCount + channel]!),
  );
}
