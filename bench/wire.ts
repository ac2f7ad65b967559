/**
 * Price of one audio message in each direction on the main thread: the fast paths beside the plain way (JSON.parse or JSON.stringify, and
 * Buffer). Frames of 20 and 32 ms at 16 kHz, on a warm cache, best of several rounds. Not measured: the socket library, masking, and the
 * garbage collector outside these loops.
 */
import { strict as assert } from 'node:assert';
import { decodeAudioMessage } from '../src/wire/audio-in.js';
import { AudioMessageWriter } from '../src/wire/audio-out.js';
import { decodeBase64 } from '../src/wire/base64.js';
import { decodeClientMessage } from '../src/wire/decode.js';
import { encodeServerEvent } from '../src/wire/encode.js';
import { SampleAligner } from '../src/wire/samples-in.js';

const bytesPerMs = 32; // 16 kHz, 16 bits
const messageCount = 64;
const targetUs = 3;

/** A fixed noise: neither compressible nor different from run to run. */
function payloads(byteCount: number): Buffer[] {
  let state = 1;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24;
  return Array.from({ length: messageCount }, () => Buffer.from(Uint8Array.from({ length: byteCount }, next)));
}

/** Microseconds per call of `body`, which is called with 0, 1, 2 …: the best round of eleven. */
function microsecondsOf(body: (index: number) => number): number {
  const calls = 20_000;
  let best = Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let round = 0; round < 11; round++) {
    const start = process.hrtime.bigint();
    for (let index = 0; index < calls; index++) sum += body(index);
    best = Math.min(best, Number(process.hrtime.bigint() - start) / calls / 1000);
  }
  assert(sum > 0, 'the work was done');
  return best;
}

const into = Buffer.alloc(64 * 1024);
const writer = new AudioMessageWriter();
const aligner = new SampleAligner();
const samples = new Int16Array(32 * 1024);
let isOverTarget = false;

function report(name: string, microseconds: number, isOurs = false): void {
  const isOver = isOurs && microseconds > targetUs;
  isOverTarget ||= isOver;
  console.log(
    `${name.padEnd(46)} ${microseconds.toFixed(2).padStart(7)} µs${isOver ? `  over the target of ${targetUs} µs` : ''}`,
  );
}

console.log(`node ${process.version}, ${process.arch}`);
for (const frameMs of [20, 32]) {
  const audio = payloads(frameMs * bytesPerMs);
  const frames = audio.map((payload) => Buffer.from(JSON.stringify({ user_audio_chunk: payload.toString('base64') })));
  const frame = (index: number): Buffer => frames[index % messageCount]!;
  const payload = (index: number): Buffer => audio[index % messageCount]!;
  const naiveIn = (message: Buffer): Buffer => Buffer.from(JSON.parse(message.toString()).user_audio_chunk, 'base64');
  const naiveOut = (body: Buffer, eventId: number): string =>
    JSON.stringify({ type: 'audio', audio_event: { audio_base_64: body.toString('base64'), event_id: eventId } });
  const slowIn = (message: Uint8Array): number => {
    const decoded = decodeClientMessage(message);
    assert(decoded.ok && decoded.event.type === 'user_audio_chunk', 'the slow path takes audio too');
    return Number(decodeBase64(decoded.event.base64, into));
  };
  for (let index = 0; index < messageCount; index++) {
    const byteCount = decodeAudioMessage(frame(index), into);
    assert(byteCount === payload(index).length && naiveIn(frame(index)).equals(into.subarray(0, byteCount)), 'the same bytes in');
    assert(
      Buffer.from(writer.write(payload(index), index)).equals(Buffer.from(naiveOut(payload(index), index))),
      'the same bytes out',
    );
  }
  const head = `${frameMs} ms`;
  report(
    `${head} in,  fast`,
    microsecondsOf((index) => Number(decodeAudioMessage(frame(index), into))),
    true,
  );
  report(
    `${head} in,  fast and put into samples`,
    microsecondsOf((index) => aligner.push(into.subarray(0, Number(decodeAudioMessage(frame(index), into))), samples)),
    true,
  );
  report(
    `${head} in,  checked slow path`,
    microsecondsOf((index) => slowIn(frame(index))),
  );
  report(
    `${head} in,  JSON.parse and Buffer.from`,
    microsecondsOf((index) => naiveIn(frame(index)).length),
  );
  report(
    `${head} out, fast`,
    microsecondsOf((index) => writer.write(payload(index), index).length),
    true,
  );
  const alignment = Buffer.from('{"chars":["a","b"],"char_start_times_ms":[0,10],"char_durations_ms":[10,10]}');
  report(
    `${head} out, fast with alignment`,
    microsecondsOf((index) => writer.write(payload(index), index, alignment).length),
    true,
  );
  report(
    `${head} out, JSON.stringify, as a string`,
    microsecondsOf((index) => naiveOut(payload(index), index).length),
  );
  report(
    `${head} out, JSON.stringify, as bytes`,
    microsecondsOf((index) => Buffer.from(naiveOut(payload(index), index)).length),
  );
}
const pong = Buffer.from('{"type":"pong","event_id":12}');
report(
  'pong in',
  microsecondsOf(() => Number(decodeClientMessage(pong).ok)),
);
report(
  'ping out',
  microsecondsOf((index) => encodeServerEvent({ type: 'ping', eventId: index, pingMs: 20 }).length),
);
process.exitCode = isOverTarget ? 1 : 0;
