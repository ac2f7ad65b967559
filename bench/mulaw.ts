/**
 * Price of µ-law for one 20 ms message of a telephone call, each way. `node dist/bench/mulaw.js [--json FILE]`, about a second. The tables (66 KB) are
 * warm; a machine that does much else in between pays more for memory than is shown here.
 */
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { decodeMulaw, encodeMulaw } from '../src/audio/mulaw.js';
import { hz, ms, samplesIn } from '../src/shared/units.js';
import { nanosecondsPer } from './timing.js';

const messageSamples = samplesIn(ms(20), hz(8000));
const messageCount = 64;
const callsPerRound = 20_000;

/** Loudness changes as in speech: every part of the tables is used. */
const messages = Array.from({ length: messageCount }, (_, message) =>
  Int16Array.from({ length: messageSamples }, (_, index) =>
    Math.round(32_000 * Math.sin(index * 0.21 + message) * Math.sin((message / messageCount) * Math.PI) ** 2),
  ),
);
const encoded = messages.map((samples) => encodeMulaw(samples));
const bytes = new Uint8Array(messageSamples);
const samples = new Int16Array(messageSamples);
// Zero has two codes, so it is samples that must survive.
for (const codes of encoded) assert.deepEqual(decodeMulaw(encodeMulaw(decodeMulaw(codes))), decodeMulaw(codes), 'there and back');

const report = {
  messageSamples,
  encodeUs: nanosecondsPer(callsPerRound, (index) => void encodeMulaw(messages[index % messageCount]!, bytes)) / 1000,
  decodeUs: nanosecondsPer(callsPerRound, (index) => void decodeMulaw(encoded[index % messageCount]!, samples)) / 1000,
};
const { values } = parseArgs({ options: { json: { type: 'string' } } });
console.log(`${messageSamples} samples: to µ-law ${report.encodeUs.toFixed(3)} µs, from µ-law ${report.decodeUs.toFixed(3)} µs`);
console.log(`both ways, fifty a second: ${((report.encodeUs + report.decodeUs) / 200).toFixed(4)} % of a core for a call`);
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(report, null, 2));
