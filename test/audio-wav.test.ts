import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { test } from 'tap';
import { readWav, writeWav } from '../src/audio/wav.js';
import { hz } from '../src/shared/units.js';

function chunk(name: string, body: Uint8Array, promised = body.length): Buffer {
  const head = Buffer.alloc(8);
  head.write(name, 'latin1');
  head.writeUInt32LE(promised, 4);
  return Buffer.concat([head, body, Buffer.alloc(body.length % 2)]);
}

function wav(...chunks: Buffer[]): Buffer {
  const body = Buffer.concat([Buffer.from('WAVE'), ...chunks]);
  return chunk('RIFF', body);
}

function format(tag: number, channels: number, rateHz: number, bits: number, frameBytes = (channels * bits) / 8): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt16LE(tag, 0);
  body.writeUInt16LE(channels, 2);
  body.writeUInt32LE(rateHz, 4);
  body.writeUInt32LE(rateHz * frameBytes, 8);
  body.writeUInt16LE(frameBytes, 12);
  body.writeUInt16LE(bits, 14);
  return chunk('fmt ', body);
}

const extensibleTail = '000000001000800000aa00389b71';

function extensible(tag: number, channels: number, rateHz: number, bits: number, tail = extensibleTail): Buffer {
  const plain = format(0xfffe, channels, rateHz, bits).subarray(8);
  const more = Buffer.alloc(24);
  more.writeUInt16LE(22, 0);
  more.writeUInt16LE(bits, 2);
  more.writeUInt16LE(tag, 8);
  more.write(tail, 10, 'hex');
  return chunk('fmt ', Buffer.concat([plain, more]));
}

test('what is written is read back', (t) => {
  fc.assert(
    fc.property(fc.int16Array(), fc.boolean(), fc.integer({ min: 1, max: 192000 }), (left, isStereo, rateHz) => {
      const channels = isStereo ? [left, Int16Array.from(left, (value) => -value - 1)] : [left];
      const file = writeWav({ channels, rateHz: hz(rateHz) });
      t.equal(file.length, 44 + left.length * channels.length * 2);
      t.same(readWav(file), { channels, rateHz });
    }),
    { numRuns: 50 },
  );
  t.throws(() => writeWav({ channels: [], rateHz: hz(8000) }), RangeError);
  t.throws(() => writeWav({ channels: [new Int16Array(1), new Int16Array(2)], rateHz: hz(8000) }), RangeError);
  t.end();
});

test('the header that players expect', (t) => {
  const file = Buffer.from(writeWav({ channels: [Int16Array.of(1, -2)], rateHz: hz(16000) }));
  t.equal(
    file.toString('hex'),
    '524946462800000057415645666d74201000000001000100803e0000007d0000020010006461746104000000' + '0100feff',
  );
  t.end();
});

test('every format', (t) => {
  const read = (head: Buffer, data: Uint8Array) =>
    readWav(wav(head, chunk('data', data))).channels.map((channel) => [...channel]);
  t.same(read(format(1, 1, 8000, 8), Uint8Array.of(0, 127, 128, 255)), [[-32768, -256, 0, 32512]]);
  t.same(read(format(1, 1, 8000, 24), Buffer.from('000080' + 'ffff7f' + '800000' + '7fffff', 'hex')), [[-32768, 32767, 1, -1]]);
  t.same(read(format(1, 1, 8000, 32), Buffer.from('00000080' + 'ffffff7f' + '00000100', 'hex')), [[-32768, 32767, 1]]);
  t.same(read(format(7, 2, 8000, 8), Uint8Array.of(0xff, 0x80, 0x00, 0x7f)), [
    [0, -32124],
    [32124, 0],
  ]);
  const floats = Buffer.from(Float32Array.of(0.5, -1, 1, 3, -3, Number.NaN, 1 / 65536).buffer);
  t.same(read(format(3, 1, 8000, 32), floats), [[16384, -32768, 32767, 32767, -32768, 0, 1]]);
  t.same(read(extensible(1, 3, 48000, 16), Buffer.from('010002000300fffffefffdff', 'hex')), [
    [1, -1],
    [2, -2],
    [3, -3],
  ]);
  t.same(read(extensible(3, 1, 48000, 32), Buffer.from(Float32Array.of(0.25).buffer)), [[8192]]);
  t.end();
});

test('chunks in any order, odd sizes, more data promised than there is', (t) => {
  const [head, data] = [format(1, 1, 16000, 16), chunk('data', Uint8Array.of(1, 0, 2, 0))];
  const expected = { channels: [Int16Array.of(1, 2)], rateHz: 16000 };
  t.same(readWav(wav(chunk('LIST', Buffer.from('odd')), head, chunk('junk', Buffer.from('x')), data)), expected);
  t.same(readWav(wav(data, head)), expected, 'data first');
  const streamed = wav(head, chunk('data', Uint8Array.of(1, 0, 2, 0, 9), 0xffffffff));
  t.same(readWav(streamed.subarray(0, streamed.length - 1)), expected, 'unknown length, half a sample at the end');
  t.same(readWav(wav(head, chunk('data', new Uint8Array(0)))).channels[0]!.length, 0);
  const shifted = new Uint8Array(wav(head, data).length + 1);
  shifted.set(wav(head, data), 1);
  t.same(readWav(shifted.subarray(1)), expected, 'at an odd address');
  t.end();
});

test('errors say what is wrong', (t) => {
  const data = chunk('data', Uint8Array.of(1, 0));
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(0), /not a WAV file/],
    [Buffer.from('RIFF\0\0\0\0AVI LIST'), /not a WAV file/],
    [wav(data), /no "fmt " chunk/],
    [wav(format(1, 1, 8000, 16)), /no "data" chunk/],
    [wav(chunk('fmt ', new Uint8Array(14)), data), /14 bytes; it needs 16/],
    [wav(chunk('fmt ', format(0xfffe, 1, 8000, 16).subarray(8)), data), /extensible "fmt " chunk has 16 bytes/],
    [wav(extensible(1, 1, 8000, 16, 'ff'.repeat(14)), data), /sub-format 0100ffff/],
    [wav(format(1, 0, 8000, 16), data), /no channels/],
    [wav(format(1, 1, 0, 16), data), /0 Hz/],
    [wav(format(1, 2, 8000, 16, 2), data), /frame of 2 bytes does not hold 2 channels of 16 bits/],
    [wav(format(6, 1, 8000, 8), data), /format 6 with 8 bits/],
    [wav(format(1, 1, 8000, 0, 0), data), /format 1 with 0 bits/],
  ];
  for (const [file, message] of cases) t.throws(() => readWav(file), { name: 'EngineError', kind: 'garbage', message });
  t.end();
});

test('arbitrary bytes give a recording or a plain error', (t) => {
  const seedFile = wav(extensible(1, 2, 16000, 16), chunk('data', new Uint8Array(40)));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(seedFile.length - 1), fc.nat(255)), { maxLength: 6 }),
      fc.nat(seedFile.length),
      (edits, length) => {
        const bytes = Uint8Array.from(seedFile);
        for (const [at, value] of edits) bytes[at] = value;
        try {
          const { channels } = readWav(bytes.subarray(0, length));
          return channels.length >= 1 && channels.every((channel) => channel.length === channels[0]!.length);
        } catch (error) {
          return error instanceof Error && error.name === 'EngineError';
        }
      },
    ),
    { numRuns: 2000 },
  );
  t.end();
});

test('a µ-law file from elsewhere', async (t) => {
  const file = new URL('../../../shared/audio/codec/whatstheweatherlike-mulaw.wav', import.meta.url);
  if (!existsSync(file)) {
    t.comment('left out: ../shared/audio with recorded speech is absent');
    return;
  }
  const { channels, rateHz } = readWav(await readFile(file));
  t.equal(rateHz, 16000);
  t.equal(channels.length, 1);
  t.ok(Math.max(...channels[0]!) > 1000);
});
