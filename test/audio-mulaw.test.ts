import fc from 'fast-check';
import { test } from 'tap';
import { decodeMulaw, encodeMulaw } from '../src/audio/mulaw.js';

/**
 * Table 2 of G.711, built from its own description: eight segments whose steps double from 2 to 256, the first output value 0, then outputs in
 * the middle between decision values. Values are 14-bit; the index is the code's number (0 softest .. 127 loudest).
 */
function standardTable(): { decisions: number[]; outputs: number[] } {
  const outputs = [0];
  const decisions = [0, 1];
  for (let segment = 0; segment < 8; segment++) {
    const step = 2 ** (segment + 1);
    for (let i = segment === 0 ? 1 : 0; i < 16; i++) {
      const decision = decisions.at(-1)!;
      outputs.push(decision + step / 2);
      decisions.push(decision + step);
    }
  }
  return { decisions, outputs };
}

test('the table of the standard', (t) => {
  const problems: string[] = [];
  const { decisions, outputs } = standardTable();
  t.same(
    [outputs.length, outputs[1], outputs[15], outputs[16], outputs[127]],
    [128, 2, 30, 33, 8031],
    'outputs printed in G.711',
  );
  t.same(
    [decisions[16], decisions[32], decisions[112], decisions[128]],
    [31, 95, 4063, 8159],
    'decision values printed in G.711',
  );
  for (let number = 0; number < 128; number++) {
    const [positive, negative] = decodeMulaw(Uint8Array.of(0xff - number, 0x7f - number));
    if (positive !== outputs[number]! * 4 || -negative! !== outputs[number]! * 4)
      problems.push(`code ${number}: ${positive} and ${negative}`);
  }
  t.same([...encodeMulaw(Int16Array.of(0, 32767, -32768, 8, -8, 32124))], [0xff, 0x80, 0x00, 0xfe, 0x7e, 0x80], 'known codes');
  t.same(problems, []);
  t.end();
});

test('every sample falls between the decision values of its code, alike for both signs', (t) => {
  const problems: string[] = [];
  const { decisions } = standardTable();
  for (let magnitude = 0; magnitude <= 32768; magnitude++) {
    const [positive, negative] = encodeMulaw(Int16Array.of(Math.min(magnitude, 32767), -magnitude));
    const number = 0xff - positive!;
    const isInside = magnitude >= decisions[number]! * 4 && (number === 127 || magnitude < decisions[number + 1]! * 4);
    if (!isInside) problems.push(`${magnitude} has code number ${number}`);
    if (magnitude >= 4 && negative !== 0x7f - number) problems.push(`${magnitude} and its negative differ`);
  }
  t.same([...encodeMulaw(Int16Array.of(-1, -3, 3))], [0x7f, 0x7f, 0xff], 'zero keeps its sign');
  t.same(problems, []);
  t.end();
});

test('coding what was decoded changes nothing more', (t) => {
  fc.assert(
    fc.property(fc.int16Array(), (samples) => {
      const once = decodeMulaw(encodeMulaw(samples));
      const twice = decodeMulaw(encodeMulaw(once));
      return once.every((value, i) => value === twice[i]);
    }),
  );
  // 0x7F is a second zero, with a sign; it comes back as the plain one.
  const codes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const expected = Uint8Array.from(codes, (code) => (code === 0x7f ? 0xff : code));
  t.same(encodeMulaw(decodeMulaw(codes)), expected);
  t.end();
});

test('the caller may bring the buffer', (t) => {
  const out = new Int16Array(4).fill(7);
  t.equal(decodeMulaw(Uint8Array.of(0xff, 0x80), out), out);
  t.same([...out], [0, 32124, 7, 7]);
  const bytes = new Uint8Array(3);
  t.equal(encodeMulaw(Int16Array.of(0, 8), bytes), bytes);
  t.same([...bytes], [0xff, 0xfe, 0]);
  t.end();
});
