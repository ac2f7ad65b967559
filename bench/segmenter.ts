/**
 * Price of cutting a reply into segments: a text of several sentences with some markdown, in tokens of about four letters as a model streams
 * them, asking for the deadline after each token as the TTS thread does. Best of several rounds on a warm cache. `node dist/bench/segmenter.js
 * [--json FILE]`. Not measured: what the segments cost afterwards.
 */
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Segmenter } from '../src/tts/segmenter.js';

const paragraph =
  'Sure, I can help you with that. **Your order** was shipped on Jan. 3 from the U.S. warehouse, so it should arrive at 10 a.m. on ' +
  'Thursday, i.e. in two days. The total was $1,249.50, including taxes, fees, etc. Here is what is in the parcel:\n\n' +
  '1. A pair of *blue* shoes 👟\n2. Two shirts, see [the list](https://example.com/list?order=1)\n3. A gift card.\n\n' +
  'Is there anything else that I can do for you today? If not, Dr. Brown will call you back at 5:30 p.m. to talk about version 2.0.1. ';
const reply = paragraph.repeat(4);
const tokens = reply.match(/.{1,4}/gsu)!;
const tokenEveryMs = 10;

function segmentsOf(): number {
  const segmenter = new Segmenter();
  let segments = 0;
  let atMs = 0;
  for (const token of tokens) {
    segments += segmenter.push(token, atMs).length;
    const deadlineMs = segmenter.nextDeadlineMs();
    atMs += tokenEveryMs;
    assert(deadlineMs === undefined || deadlineMs > atMs - tokenEveryMs, 'a deadline lies ahead');
  }
  return segments + segmenter.end().length;
}

const rounds = 40;
let best = Number.POSITIVE_INFINITY;
let segments = 0;
for (let round = 0; round < rounds; round++) {
  const start = performance.now();
  segments = segmentsOf();
  best = Math.min(best, performance.now() - start);
}
console.log(`node ${process.version}, ${process.arch}`);
console.log(`${reply.length} letters, ${tokens.length} tokens, ${segments} segments: ${best.toFixed(2)} ms`);
console.log(`${((best * 1000) / tokens.length).toFixed(2)} µs a token, ${((best * 1e6) / reply.length).toFixed(0)} ns a letter`);
const { values } = parseArgs({ options: { json: { type: 'string' } } });
if (values.json !== undefined) {
  const report = {
    letterCount: reply.length,
    tokenCount: tokens.length,
    segmentCount: segments,
    tokenUs: (best * 1000) / tokens.length,
  };
  writeFileSync(values.json, JSON.stringify(report, null, 2));
}
