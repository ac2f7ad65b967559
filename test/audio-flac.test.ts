import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { test } from 'tap';
import { readFlac } from '../src/audio/flac.js';
import { monoOf } from '../src/audio/recording.js';

/** A FLAC writer without compression ("verbatim" subframes, 4096 samples a block), so that round trips need no other program. */
function writeFlac(channels: readonly Int32Array[], rateHz: number, bits: number, withDigest = true): Uint8Array {
  const count = channels[0]!.length;
  const blockSamples = 4096;
  const rateCode = { 8000: 4, 16000: 5, 48000: 10 }[rateHz]!;
  const depthCode = { 8: 2, 16: 8, 24: 12 }[bits]!;
  const interleaved = Buffer.alloc(count * channels.length * (bits / 8));
  for (let i = 0, at = 0; i < count; i++) for (const channel of channels) at = interleaved.writeIntLE(channel[i]!, at, bits / 8);
  const info = Buffer.alloc(42);
  info.write('fLaC', 'latin1');
  info.writeUInt32BE(0x80000022, 4);
  info.writeUInt16BE(blockSamples, 8);
  info.writeUInt16BE(blockSamples, 10);
  const packed = (BigInt(rateHz) << 44n) | (BigInt(channels.length - 1) << 41n) | (BigInt(bits - 1) << 36n) | BigInt(count);
  info.writeBigUInt64BE(packed, 18);
  if (withDigest) createHash('md5').update(interleaved).digest().copy(info, 26);
  const parts: Buffer[] = [info];
  for (let from = 0, frame = 0; from < count; from += blockSamples, frame++) {
    const length = Math.min(blockSamples, count - from);
    // Rate and depth are said in each frame, as usual encoders do.
    const header = [
      0xff,
      0xf8,
      0x70 | rateCode,
      ((channels.length - 1) << 4) | depthCode,
      frame,
      (length - 1) >> 8,
      (length - 1) & 255,
    ];
    header.push(checksum(header, 0x07, 8));
    const body = Buffer.alloc(channels.length * (1 + (length * bits) / 8));
    let at = 0;
    for (const channel of channels) {
      at = body.writeUInt8(0x02, at);
      for (let i = from; i < from + length; i++) at = body.writeIntBE(channel[i]!, at, bits / 8);
    }
    const whole = Buffer.concat([Buffer.from(header), body]);
    const crc = checksum(whole, 0x8005, 16);
    parts.push(whole, Buffer.from([crc >> 8, crc & 255]));
  }
  return Buffer.concat(parts);
}

function checksum(bytes: Iterable<number>, polynomial: number, width: number): number {
  const top = 1 << (width - 1);
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << (width - 8);
    for (let bit = 0; bit < 8; bit++) crc = ((crc & top ? (crc << 1) ^ polynomial : crc << 1) & ((1 << width) - 1)) >>> 0;
  }
  return crc;
}

test('16-bit samples come back exactly, whatever they are', async (t) => {
  const every = Int32Array.from({ length: 65536 }, (_, i) => ((i * 40503) & 0xffff) - 32768);
  const read = await readFlac(writeFlac([every], 16000, 16));
  t.equal(read.rateHz, 16000);
  t.same(read.channels[0], Int16Array.from(every));
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9000 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer(),
      async (count, channelCount, seed) => {
        const channels = Array.from({ length: channelCount }, (_, channel) => noise(count, seed + channel));
        const wide = channels.map((channel) => Int32Array.from(channel));
        const { channels: back } = await readFlac(writeFlac(wide, 8000, 16));
        return (
          back.length === channels.length &&
          back.every((channel, i) => Buffer.compare(bytesOf(channel), bytesOf(channels[i]!)) === 0)
        );
      },
    ),
    { numRuns: 30 },
  );
});

test('other depths become 16 bits', async (t) => {
  const deep = await readFlac(writeFlac([Int32Array.of(-8388608, -256, -129, -127, 0, 128, 8388607)], 48000, 24));
  t.same([...deep.channels[0]!], [-32768, -1, -1, 0, 0, 1, 32767]);
  const shallow = await readFlac(writeFlac([Int32Array.of(-128, -1, 0, 1, 127)], 8000, 8));
  t.same([...shallow.channels[0]!], [-32768, -256, 0, 256, 32512]);
});

test('a file without a checksum is read, a damaged one is refused', async (t) => {
  const samples = Int32Array.from({ length: 9000 }, (_, i) => (i * 31) % 2000);
  const plain = await readFlac(writeFlac([samples], 16000, 16, false));
  t.same(plain.channels[0], Int16Array.from(samples));
  const file = writeFlac([samples], 16000, 16);
  await t.rejects(readFlac(file.subarray(0, 12000)), { name: 'EngineError', kind: 'garbage' }, 'cut short');
  const flipped = Uint8Array.from(file);
  flipped[9000]! ^= 1;
  await t.rejects(readFlac(flipped), { name: 'EngineError', kind: 'garbage' }, 'one bit flipped');
  await t.rejects(readFlac(new Uint8Array(0)), { kind: 'garbage', message: /not a FLAC file/ });
  await t.rejects(readFlac(Buffer.from('RIFF0000WAVEfmt this is something else entirely.')), { message: /not a FLAC file/ });
  const wide = Uint8Array.from(file);
  wide[20]! |= 1;
  wide[21]! |= 0xf0;
  await t.rejects(readFlac(wide), { message: /32 bits a sample/ });
});

test('channels become one by their mean', (t) => {
  const rateHz = 16000 as never;
  const one = Int16Array.of(1, 2);
  t.equal(monoOf({ channels: [one], rateHz }), one);
  t.same(monoOf({ channels: [Int16Array.of(32767, -5, 0), Int16Array.of(32767, -10, 3)], rateHz }), Int16Array.of(32767, -7, 2));
  t.equal(monoOf({ channels: [], rateHz }).length, 0);
  t.end();
});

test('recordings made by other encoders', async (t) => {
  const folder = new URL('../../../shared/audio/', import.meta.url);
  if (!existsSync(folder)) {
    t.comment('left out: the folder ../shared/audio with recorded speech is absent');
    return;
  }
  // The checksum in each file, made by its encoder, is what proves the samples right.
  const speech = await readFlac(await readFile(new URL('speech/jfk.flac', folder)));
  t.same([speech.channels.length, speech.channels[0]!.length, speech.rateHz], [1, 176000, 16000]);
  const dialogue = await readFlac(await readFile(new URL('dialogue/auto_repairs_40.flac', folder)));
  t.same([dialogue.channels.length, dialogue.rateHz], [2, 8000]);
});

/** A third of the samples are 0xFFF8, so that the bytes often look like the beginning of a frame. */
function noise(count: number, seed: number): Int16Array {
  let state = seed;
  return Int16Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state % 3 === 0 ? -8 : state >> 16;
  });
}

function bytesOf(samples: Int16Array): Buffer {
  return Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
}
