/** Audio both ways: the fast paths give what the slow ones give, and refuse what they refuse. */
import fc from 'fast-check';
import { test } from 'tap';
import { audioBytesLost, decodeAudioMessage } from '../src/wire/audio-in.js';
import { AudioMessageWriter, alignmentJson } from '../src/wire/audio-out.js';
import { decodeBase64 } from '../src/wire/base64.js';
import { decodeClientMessage } from '../src/wire/decode.js';
import { judgeSize, wireLimits } from '../src/wire/limits.js';
import { SampleAligner } from '../src/wire/samples-in.js';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const compact = (base64: string): Uint8Array => bytesOf(JSON.stringify({ user_audio_chunk: base64 }));
const spaced = (base64: string): Uint8Array => bytesOf(`{"user_audio_chunk": "${base64}"}`);

/** The plain way to the same answer. */
function slowly(frame: Uint8Array, into: Uint8Array): ReturnType<typeof decodeAudioMessage> {
  const decoded = decodeClientMessage(frame);
  return decoded.ok && decoded.event.type === 'user_audio_chunk' ? decodeBase64(decoded.event.base64, into) : undefined;
}

test('audio comes through the fast path byte for byte', (t) => {
  const into = new Uint8Array(4096);
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 3000 }),
      fc.constantFrom(compact, spaced),
      fc.boolean(),
      (audio, spell, pad) => {
        const base64 = Buffer.from(audio).toString('base64');
        const written = decodeAudioMessage(spell(pad ? base64 : base64.replace(/=+$/, '')), into);
        return written === audio.length && Buffer.compare(audio, into.subarray(0, written)) === 0;
      },
    ),
  );
  t.end();
});

test('a view into a larger buffer is respected on both sides', (t) => {
  const frame = compact('AQIDBA==');
  const around = new Uint8Array(frame.length + 20).fill(0x41);
  around.set(frame, 10);
  const target = new Uint8Array(20).fill(0xee);
  t.equal(decodeAudioMessage(around.subarray(10, 10 + frame.length), target.subarray(4, 8)), 4);
  t.same([...target], [...Array(4).fill(0xee), 1, 2, 3, 4, ...Array(12).fill(0xee)]);
  t.end();
});

test('what the fast path answers, the slow one answers too', (t) => {
  const [fast, slow] = [new Uint8Array(48), new Uint8Array(48)];
  const same = (frame: Uint8Array): boolean => {
    const answer = decodeAudioMessage(frame, fast);
    if (answer === undefined) return true;
    return (
      answer === slowly(frame, slow) &&
      (typeof answer !== 'number' || Buffer.compare(fast.subarray(0, answer), slow.subarray(0, answer)) === 0)
    );
  };
  const letters = fc.constantFrom(...'AZaz09+/=-_"\\ \n\u00e9\u2028,:{}u');
  const nearlyBase64 = fc.string({ unit: letters, maxLength: 40 });
  const base64 = fc.uint8Array({ maxLength: 60 }).map((audio) => Buffer.from(audio).toString('base64'));
  fc.assert(
    fc.property(fc.oneof(nearlyBase64, base64), (text) => same(compact(text)) && same(spaced(text))),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(base64, fc.nat(), fc.integer({ min: 0, max: 255 }), (text, at, byte) => {
      const frame = compact(text);
      frame[at % frame.length] = byte;
      return same(frame);
    }),
    { numRuns: 2000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), same));
  t.end();
});

test('what is wrong with audio has a name', (t) => {
  const into = new Uint8Array(64);
  const cases: [string, ReturnType<typeof decodeAudioMessage>][] = [
    ['', 'empty'],
    ['AA==', 1],
    ['AAA=', 2],
    ['AAAA', 3],
    ['AA', 1],
    ['AAA', 2],
    ['AB==', 1], // bits left over are not looked at
    ['A', 'bad_base64'],
    ['AAAAA', 'bad_base64'],
    ['=', 'bad_base64'],
    ['====', 'bad_base64'],
    ['A===', 'bad_base64'],
    ['AA=', 'bad_base64'],
    ['AA=A', 'bad_base64'],
    ['AA==AAAA', 'bad_base64'],
    ['AAAA=', 'bad_base64'],
    ['AAAA====', 'bad_base64'],
    ['AA A', 'bad_base64'],
    ['AA-A', 'bad_base64'],
    ['AA_A', 'bad_base64'],
    ['AA!A', 'bad_base64'],
    [' AAAA', 'bad_base64'],
    ['AAAA ', 'bad_base64'],
    ['A'.repeat(84), 63],
    ['A'.repeat(88), 'too_large'],
  ];
  for (const [base64, outcome] of cases) {
    t.equal(decodeAudioMessage(compact(base64), into), outcome, `"${base64}"`);
    t.equal(decodeAudioMessage(spaced(base64), into), outcome);
    t.equal(slowly(compact(base64), into), outcome);
    t.equal(slowly(bytesOf(`{ "user_audio_chunk" : "${base64}" }`), into), outcome);
  }
  t.end();
});

test('one wrong byte anywhere in good audio is found', (t) => {
  const audio = Buffer.from(Uint8Array.from({ length: 640 }, (_, i) => (i * 37) & 255)).toString('base64');
  const into = new Uint8Array(640);
  for (const byte of [0x00, 0x0a, 0x20, 0x2a, 0x2d, 0x3d, 0x5f, 0x7f, 0x80, 0xc3, 0xff]) {
    for (let at = 0; at < audio.length - 2; at++) {
      const frame = compact(audio);
      frame[21 + at] = byte;
      const answer = decodeAudioMessage(frame, into);
      if (typeof answer === 'number') t.fail(`byte ${byte} at ${at} was not noticed`);
    }
  }
  t.pass('none was taken for audio');
  t.end();
});

test('other shapes are left to the slow path', (t) => {
  const into = new Uint8Array(64);
  for (const json of [
    '{ "user_audio_chunk": "AAAA" }',
    '{"user_audio_chunk":  "AAAA"}',
    '{"user_audio_chunk" :"AAAA"}',
    '{"user_audio_chunk":"AA\\/A"}',
    '{"user_audio_chunk":"AAAA","type":"user_audio_chunk"}',
    '{"type":"user_audio_chunk","user_audio_chunk":"AAAA"}',
    '{"user_audio_chunk":"AAAA"}\n',
    '{"user_audio_chunk":"}',
    '{"user_audio_chunk":}',
    '{"user_audio_chunk":null}',
    '{"type":"user_activity"}',
    '"}',
    '',
  ]) {
    t.equal(decodeAudioMessage(bytesOf(json), into), undefined, json);
  }
  t.equal(slowly(bytesOf('{"user_audio_chunk":"AAAA","type":"user_audio_chunk"}'), into), 3);
  t.end();
});

test('a lost message stands for the audio it could have held', (t) => {
  for (const byteCount of [1, 160, 640, 1024, 8000]) {
    const lost = audioBytesLost(compact(Buffer.alloc(byteCount).toString('base64')).length);
    t.ok(lost >= byteCount && lost <= byteCount + 2, `${byteCount}`);
  }
  t.equal(audioBytesLost(3), 0);
  t.end();
});

test('samples are the same wherever the bytes are cut', (t) => {
  fc.assert(
    fc.property(fc.int16Array({ maxLength: 400 }), fc.array(fc.nat({ max: 97 }), { maxLength: 60 }), (samples, cuts) => {
      const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
      const aligner = new SampleAligner();
      const into = new Int16Array(800);
      const out: number[] = [];
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        const chunk = bytes.subarray(at, at + cut);
        at = Math.min(bytes.length, at + cut);
        out.push(...into.subarray(0, aligner.push(chunk, into)));
      }
      return out.length === samples.length && out.every((sample, i) => sample === samples[i]);
    }),
  );
  t.end();
});

test('a lost chunk leaves the timeline and the alignment as they were', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 9 })), { maxLength: 30 }), (chunks) => {
      const aligner = new SampleAligner();
      const into = new Int16Array(16);
      let [byteCount, sampleCount] = [0, 0];
      for (const [isLost, length] of chunks) {
        byteCount += length;
        sampleCount += isLost ? aligner.skip(length) : aligner.push(new Uint8Array(length), into);
      }
      return sampleCount === byteCount >> 1;
    }),
  );
  const aligner = new SampleAligner();
  t.equal(aligner.push(Uint8Array.of(1), new Int16Array(1)), 0);
  t.equal(aligner.skip(2), 1);
  const into = new Int16Array(4);
  t.equal(aligner.push(Uint8Array.of(0x12, 0x34, 0x56), into), 2);
  t.same([...into.subarray(0, 2)], [0x1200, 0x5634]);
  t.throws(() => new SampleAligner().push(new Uint8Array(3), new Int16Array(1)), {
    message: 'the caller gives room for every byte and the one kept',
  });
  t.end();
});

test('audio events are what JSON.stringify would have written', (t) => {
  const writer = new AudioMessageWriter();
  const chars = fc.string({ unit: 'binary', minLength: 1, maxLength: 2 });
  const times = fc.double({ min: -50, max: 5000, noNaN: true });
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 4000 }),
      fc.nat(),
      fc.option(fc.array(fc.tuple(chars, times, times), { maxLength: 20 }), { nil: undefined }),
      fc.boolean(),
      fc.boolean(),
      (payload, eventId, rows, isShared, isFinal) => {
        const alignment = rows && {
          chars: rows.map((r) => r[0]),
          startMs: rows.map((r) => r[1]),
          durationMs: rows.map((r) => r[2]),
        };
        const source = isShared ? new Uint8Array(new SharedArrayBuffer(payload.length)) : payload;
        source.set(payload);
        const whole = (values: number[]): number[] => values.map((value) => Math.max(0, Math.round(value)));
        const expected = JSON.stringify({
          type: 'audio',
          audio_event: {
            audio_base_64: Buffer.from(payload).toString('base64'),
            event_id: eventId,
            ...(alignment && {
              alignment: {
                chars: alignment.chars,
                char_start_times_ms: whole(alignment.startMs),
                char_durations_ms: whole(alignment.durationMs),
              },
            }),
            ...(isFinal && { is_final: true }),
          },
        });
        const asArrays = Buffer.from(writer.write(source, eventId, alignment, isFinal)).toString();
        const asBytes = Buffer.from(
          writer.write(source, eventId, alignment ? bytesOf(alignmentJson(alignment)) : new Uint8Array(0), isFinal),
        ).toString();
        return asArrays === expected && asBytes === expected;
      },
    ),
  );
  t.end();
});

test('what the writer must never be given', (t) => {
  const writer = new AudioMessageWriter();
  t.throws(() => writer.write(new Uint8Array(0), 1), { message: 'an empty audio event would leave browsers in mode speaking' });
  t.throws(() => writer.write(new Uint8Array(2), 0.5), { message: 'event ids are integers' });
  t.throws(() => writer.write(new Uint8Array(64 * 1024), 1), { message: 'an audio message stays below 64 KiB' });
  t.throws(() => writer.write(new Uint8Array(2), 1, { chars: ['a'], startMs: [], durationMs: [0] }), {
    message: 'alignment arrays have one length',
  });
  t.equal(
    Buffer.from(writer.write(Uint8Array.of(1, 2), 1)).toString(),
    '{"type":"audio","audio_event":{"audio_base_64":"AQI=","event_id":1}}',
    'and it still works',
  );
  t.end();
});

test('sizes are judged one byte above and below each limit', (t) => {
  const control = (length: number): Uint8Array => bytesOf(`{"type":"user_message","text":"${'a'.repeat(length - 33)}"}`);
  const audio = (length: number): Uint8Array => bytesOf(`{"user_audio_chunk":"${'A'.repeat(length - 23)}"}`);
  const odd = (length: number): Uint8Array => bytesOf(` {  "user_audio_chunk" : "${'A'.repeat(length - 29)}" }`);
  const { firstMessageBytesMax, controlBytesMax, audioBytesMax } = wireLimits;
  t.equal(control(500).length, 500);
  t.equal(audio(500).length, 500);
  t.equal(odd(500).length, 500);
  const cases: [Uint8Array, boolean, string][] = [
    [control(controlBytesMax), false, 'fits'],
    [control(controlBytesMax + 1), false, 'too_large'],
    [control(firstMessageBytesMax), true, 'fits'],
    [control(firstMessageBytesMax + 1), true, 'too_large'],
    [audio(audioBytesMax), false, 'fits'],
    [audio(audioBytesMax + 1), false, 'audio_too_large'],
    [audio(audioBytesMax + 1), true, 'audio_too_large'],
    [odd(audioBytesMax + 1), false, 'audio_too_large'],
  ];
  for (const [frame, isFirst, verdict] of cases) t.equal(judgeSize(frame, isFirst), verdict, `${frame.length} ${isFirst}`);
  t.end();
});
