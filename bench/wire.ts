/**
 * Price of one 20 ms audio message in each direction on the main thread, for every format of the protocol: the fast paths beside the plain way
 * (JSON.parse or JSON.stringify, and Buffer). `node dist/bench/wire.js [--json FILE]`, about fifteen seconds. Medians of many rounds, on a warm
 * cache; the bar is 3 µs each way. Not measured: the socket library, masking, resampling (`bench/resample.ts`), and the garbage collector
 * outside these loops.
 */
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { decodeMulaw } from '../src/audio/mulaw.js';
import { ms, samplesIn } from '../src/shared/units.js';
import { decodeAudioMessage } from '../src/wire/audio-in.js';
import { AudioMessageWriter } from '../src/wire/audio-out.js';
import { decodeBase64 } from '../src/wire/base64.js';
import { decodeClientMessage } from '../src/wire/decode.js';
import { encodeServerEvent } from '../src/wire/encode.js';
import { type AudioFormat, audioFormats } from '../src/wire/events.js';
import { describeFormat } from '../src/wire/formats.js';
import { SampleAligner } from '../src/wire/samples-in.js';

const messageMs = ms(20);
const messageCount = 64;
const targetUs = 3;
const callsPerRound = 5000;
const rounds = 25;

/** A fixed noise: neither compressible nor different from run to run. */
function payloads(byteCount: number): Buffer[] {
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24;
  return Array.from({ length: messageCount }, () => Buffer.from(Uint8Array.from({ length: byteCount }, next)));
}

/** Microseconds per call of `body`, which is called with 0, 1, 2 …: the median round, after as many to warm up. */
function microsecondsOf(body: (index: number) => number): number {
  const times: number[] = [];
  let sum = 0;
  for (let round = 0; round < 2 * rounds; round++) {
    const start = process.hrtime.bigint();
    for (let index = 0; index < callsPerRound; index++) sum += body(index);
    times.push(Number(process.hrtime.bigint() - start) / callsPerRound / 1000);
  }
  assert(sum > 0, 'the work was done');
  return times.slice(rounds).sort((a, b) => a - b)[rounds >> 1]!;
}

const into = Buffer.alloc(64 * 1024);
const writer = new AudioMessageWriter();
const samples = new Int16Array(32 * 1024);
const alignment = Buffer.from('{"chars":["a","b"],"char_start_times_ms":[0,10],"char_durations_ms":[10,10]}');

const naiveIn = (message: Buffer): Buffer => Buffer.from(JSON.parse(message.toString()).user_audio_chunk, 'base64');
const naiveOut = (body: Buffer, eventId: number): Buffer =>
  Buffer.from(JSON.stringify({ type: 'audio', audio_event: { audio_base_64: body.toString('base64'), event_id: eventId } }));
function slowIn(message: Uint8Array): number {
  const decoded = decodeClientMessage(message);
  assert(decoded.ok && decoded.event.type === 'user_audio_chunk', 'the slow path takes audio too');
  return Number(decodeBase64(decoded.event.base64, into));
}

/** Microseconds for one message. */
type Row = {
  readonly format: AudioFormat;
  readonly bytes: number;
  /** Frame to bytes of audio. */
  readonly decodeUs: number;
  /** Frame to samples, as a call takes it in. */
  readonly samplesInUs: number;
  readonly slowDecodeUs: number;
  readonly naiveDecodeUs: number;
  /** Bytes of audio to frame. */
  readonly encodeUs: number;
  readonly alignedEncodeUs: number;
  readonly naiveEncodeUs: number;
};

function measure(format: AudioFormat): Row {
  const { rateHz, bytesPerSample, encoding } = describeFormat(format);
  const audio = payloads(samplesIn(messageMs, rateHz) * bytesPerSample);
  const frames = audio.map((payload) => Buffer.from(JSON.stringify({ user_audio_chunk: payload.toString('base64') })));
  const frame = (index: number): Buffer => frames[index % messageCount]!;
  const payload = (index: number): Buffer => audio[index % messageCount]!;
  for (let index = 0; index < messageCount; index++) {
    const byteCount = decodeAudioMessage(frame(index), into);
    assert(byteCount === payload(index).length && naiveIn(frame(index)).equals(into.subarray(0, byteCount)), 'the same bytes in');
    assert(naiveOut(payload(index), index).equals(Buffer.from(writer.write(payload(index), index))), 'the same bytes out');
  }
  const aligner = new SampleAligner();
  const toSamples = (index: number): number => {
    const bytes = into.subarray(0, Number(decodeAudioMessage(frame(index), into)));
    return encoding === 'ulaw' ? decodeMulaw(bytes, samples).length : aligner.push(bytes, samples);
  };
  return {
    format,
    bytes: audio[0]!.length,
    decodeUs: microsecondsOf((index) => Number(decodeAudioMessage(frame(index), into))),
    samplesInUs: microsecondsOf(toSamples),
    slowDecodeUs: microsecondsOf((index) => slowIn(frame(index))),
    naiveDecodeUs: microsecondsOf((index) => naiveIn(frame(index)).length),
    encodeUs: microsecondsOf((index) => writer.write(payload(index), index).length),
    alignedEncodeUs: microsecondsOf((index) => writer.write(payload(index), index, alignment).length),
    naiveEncodeUs: microsecondsOf((index) => naiveOut(payload(index), index).length),
  };
}

const { values } = parseArgs({ options: { json: { type: 'string' } } });
const columns = [
  ['format', (row: Row) => row.format],
  ['bytes', (row: Row) => String(row.bytes)],
  ['in', (row: Row) => row.decodeUs.toFixed(2)],
  ['in, samples', (row: Row) => row.samplesInUs.toFixed(2)],
  ['in, checked', (row: Row) => row.slowDecodeUs.toFixed(2)],
  ['in, plain', (row: Row) => row.naiveDecodeUs.toFixed(2)],
  ['out', (row: Row) => row.encodeUs.toFixed(2)],
  ['out, aligned', (row: Row) => row.alignedEncodeUs.toFixed(2)],
  ['out, plain', (row: Row) => row.naiveEncodeUs.toFixed(2)],
] as const;
const line = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(13)).join('');

console.log(
  `Median µs for one message of ${messageMs} ms. in: frame to bytes; samples: and on to 16-bit samples; checked: the slow path for odd`,
);
console.log('spellings; plain: JSON.parse and Buffer.from, JSON.stringify and Buffer.from.\n');
console.log(line(columns.map(([name]) => name)));
const rows: Row[] = [];
for (const format of audioFormats) {
  const row = measure(format);
  rows.push(row);
  console.log(line(columns.map(([, cell]) => cell(row))));
}
const pong = Buffer.from('{"type":"pong","event_id":12}');
const pongInUs = microsecondsOf(() => Number(decodeClientMessage(pong).ok));
const pingOutUs = microsecondsOf((index) => encodeServerEvent({ type: 'ping', eventId: index, pingMs: 20 }).length);
console.log(`\npong in ${pongInUs.toFixed(2)} µs, ping out ${pingOutUs.toFixed(2)} µs`);
const worstUs = Math.max(...rows.flatMap(({ samplesInUs, alignedEncodeUs }) => [samplesInUs, alignedEncodeUs]));
const holds = worstUs <= targetUs;
console.log(
  `${holds ? 'holds' : 'FAILS'}: dearest way in to samples or out with alignment ${worstUs.toFixed(2)} µs, at most ${targetUs} µs`,
);
if (values.json !== undefined) {
  writeFileSync(values.json, JSON.stringify({ messageMs, targetUs, rows, pongInUs, pingOutUs, worstUs, holds }, null, 2));
}
process.exitCode = holds ? 0 : 1;
