/** What one client sends, and how its call is watched: rates, floods, gaps, broken audio, silence and slowness, with a hand-moved clock. */
import fc from 'fast-check';
import { test } from 'tap';
import type { HandshakeFacts, ToConversation } from '../src/conversation/links.js';
import { Call, callLimits } from '../src/server/call.js';
import { CallInput, inputLimits } from '../src/server/call-input.js';
import { outputLimits } from '../src/server/call-output.js';
import type { Connection } from '../src/server/port.js';
import { RateMeter } from '../src/server/rate-meter.js';
import { copyOut } from '../src/shared/ring.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import { Recorder } from '../src/telemetry/recorder.js';
import type { AudioFormat, ClientEvent } from '../src/wire/events.js';

const facts: HandshakeFacts = {
  conversationId: 'conv_1',
  agentId: 'a',
  source: '',
  version: '',
  environment: 'production',
  branchId: '',
  origin: '',
  access: { kind: 'none' },
  agentCalls: 1,
};

const startMs = 1000;

/** Feeds `ratio` seconds of audio a second in chunks of 20 ms, for `durationMs`; the findings with their instants. */
function stream(
  declaredHz: number,
  sentHz: number,
  durationMs: number,
): { finding: string; atMs: number; suggestedHz: number }[] {
  const meter = new RateMeter(declaredHz);
  const found = [];
  for (let atMs = 0; atMs < durationMs; atMs += 20) {
    const finding = meter.arrived(sentHz / 50, atMs);
    if (finding !== 'fine') found.push({ finding, atMs, suggestedHz: meter.suggestedHz });
  }
  return found;
}

test('a rate that is not the declared one is named once, within five seconds; the right one never', (t) => {
  const ratesHz = [8000, 16_000, 22_050, 24_000, 44_100, 48_000];
  for (const declaredHz of ratesHz) {
    for (const sentHz of ratesHz) {
      const wrong = stream(declaredHz, sentHz, 60_000).filter(({ finding }) => finding === 'wrong_rate');
      if (sentHz === declaredHz) t.same(wrong, []);
      else t.match(wrong, [{ suggestedHz: sentHz }], `${sentHz} sent as ${declaredHz}`);
      t.ok(wrong.length === 0 || wrong[0]!.atMs < 5000);
    }
  }
  t.end();
});

test('jitter, a clock that drifts and a burst after a stall are no wrong rate and no flood', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 800 }), { minLength: 50, maxLength: 400 }),
      fc.integer({ min: 0, max: 9000 }),
      fc.double({ min: 0.9998, max: 1.0002, noNaN: true }),
      (delaysMs, stallMs, drift) => {
        const meter = new RateMeter(16_000);
        let freeAtMs = 0;
        return delaysMs.every((delayMs, index) => {
          const sentAtMs = index * 20 * drift + (index === 25 ? stallMs : 0);
          freeAtMs = Math.max(freeAtMs, sentAtMs + delayMs);
          return meter.arrived(320, freeAtMs) === 'fine';
        });
      },
    ),
  );
  t.end();
});

test('a file sent at once is a flood whenever it comes, and no wrong rate', (t) => {
  for (const talkedMs of [0, 600_000]) {
    const meter = new RateMeter(16_000);
    const talk = Array.from({ length: talkedMs / 20 }, (_, index) => meter.arrived(320, index * 20));
    t.ok(
      talk.every((finding) => finding === 'fine'),
      `${talkedMs} ms of ordinary talk`,
    );
    let accepted = 0;
    const findings = new Set<string>();
    for (let count = 0; count < 3000; count++) {
      const finding = meter.arrived(320, talkedMs + count / 10);
      findings.add(finding);
      if (finding !== 'flood') accepted += 1;
    }
    t.same([...findings], ['fine', 'flood']);
    t.ok(accepted * 20 < 11_000, `${accepted * 20} ms were accepted`);
  }
  t.end();
});

class Line {
  readonly slot = new Slot(createBlock(1), 0);
  readonly events: ClientEvent[] = [];
  readonly faults: string[] = [];
  readonly hopeless: string[] = [];
  readonly gaps: [number, number][] = [];
  earlyTimes = 0;
  readonly input: CallInput;
  atMs = startMs;

  constructor() {
    claim(this.slot);
    this.input = new CallInput(this.slot, this.atMs, {
      onEvent: (event) => this.events.push(event),
      onEarlyAudio: () => (this.earlyTimes += 1),
      onFault: (kind, _errorType, message) => this.faults.push(`${kind}: ${message}`),
      onHopeless: (reason) => this.hopeless.push(reason),
      onAudio: () => undefined,
      onGap: (start, end) => this.gaps.push([start, end]),
    });
  }

  begin(format: AudioFormat = 'pcm_16000', isTextOnly = false): void {
    this.input.begin(format, isTextOnly, this.atMs);
  }

  text(text: string): void {
    this.input.message(Buffer.from(text), false, this.atMs);
  }

  audio(bytes: Uint8Array): void {
    this.text(JSON.stringify({ user_audio_chunk: Buffer.from(bytes).toString('base64') }));
  }

  get written(): number {
    return this.slot.load(Cell.inputWritten);
  }

  /** The newest `count` samples of the ring. */
  newest(count: number): Int16Array {
    const into = new Int16Array(count);
    if (!copyOut(this.slot, this.written - count, into)) throw new Error('not in the ring');
    return into;
  }
}

const ramp = (count: number, from = 1): Int16Array => Int16Array.from({ length: count }, (_, index) => from + index);
const bytesOf = (samples: Int16Array): Uint8Array => new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);

test('samples cut at any byte arrive as they were', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 }), (sizes) => {
      const line = new Line();
      line.begin();
      const total = sizes.reduce((sum, size) => sum + size, 0);
      const samples = ramp(Math.ceil(total / 2));
      let from = 0;
      for (const size of sizes) {
        line.audio(bytesOf(samples).subarray(from, from + size));
        from += size;
      }
      const whole = total >> 1;
      return (
        line.written === whole && line.faults.length === 0 && line.newest(whole).every((sample, at) => sample === samples[at])
      );
    }),
  );
  t.end();
});

test('µ-law chunks of any size up to the limit arrive whole', (t) => {
  for (const byteCount of [1, 160, 65_536, 65_538, 79_000]) {
    const line = new Line();
    line.begin('ulaw_8000');
    line.audio(new Uint8Array(byteCount).fill(0x80));
    line.atMs += 60_000;
    t.ok(Math.abs(line.written - 2 * byteCount) < 200, `${byteCount} bytes are ${line.written} samples at twice the rate`);
    t.same(line.faults, []);
  }
  t.end();
});

test('audio before the call has begun is kept, in order and up to a limit', (t) => {
  const line = new Line();
  line.audio(bytesOf(ramp(100)));
  line.audio(bytesOf(ramp(100, 101)));
  t.equal(line.earlyTimes, 1, 'told once');
  t.equal(line.written, 0);
  line.begin();
  t.same(line.newest(200), ramp(200));
  const other = new Line();
  for (let count = 0; count < 20; count++) other.audio(new Uint8Array(64 * 1024));
  other.begin();
  t.equal(other.written, Math.min(inputLimits.earlyBytesMax / 2, other.written));
  t.ok(other.written > 0);
  t.end();
});

test('broken audio leaves its time as silence, is named once and ends the call at the twentieth', (t) => {
  for (const broken of [
    '{"user_audio_chunk":"####"}',
    '{"user_audio_chunk":"AAAAA"}',
    '{"user_audio_chunk":""}',
    '{"user_audio_chunk": 7}',
  ]) {
    const line = new Line();
    line.begin();
    line.audio(bytesOf(ramp(10)));
    line.text(broken);
    t.equal(line.faults.length, 1, broken);
    line.audio(bytesOf(ramp(10, 50)));
    t.same(line.newest(10), ramp(10, 50), 'the next chunk is whole');
  }
  const line = new Line();
  line.begin();
  const chunk = Buffer.alloc(640).toString('base64').replace('A', '#');
  for (let count = 1; count <= inputLimits.badChunksMax; count++) {
    t.equal(line.hopeless.length, 0);
    line.text(JSON.stringify({ user_audio_chunk: chunk }));
  }
  t.match(line.hopeless, [/Too many audio chunks/]);
  t.ok(Math.abs(line.written - (inputLimits.badChunksMax - 1) * 320) <= inputLimits.badChunksMax, 'their time is silence');
  t.ok(line.newest(320).every((sample) => sample === 0));
  t.end();
});

test('an initiation that cannot be read ends the call that it should begin, and no other', (t) => {
  const wrong = JSON.stringify({ type: 'conversation_initiation_client_data', dynamic_variables: { who: [1] } });
  const line = new Line();
  line.text('{"type":"pong"}');
  t.same(line.hopeless, [], 'only an initiation counts');
  line.text(wrong);
  t.match(line.hopeless, [/dynamic_variables\.who/]);
  const begun = new Line();
  begun.begin();
  begun.text(wrong);
  t.same(begun.hopeless, []);
  t.match(begun.faults, [/dynamic_variables\.who/]);
  t.end();
});

test('a tool at the client that answers too much has failed; the call goes on', (t) => {
  const line = new Line();
  line.begin();
  const answer = (id: string, spaces = 0) =>
    JSON.stringify({ type: 'client_tool_result', tool_call_id: id, result: 'x'.repeat(200_000), is_error: false }, null, spaces);
  line.text('{"type":"user_activity"}');
  line.text(answer('call_1'));
  line.text(answer('call_2', 2));
  t.match(line.events.slice(1), [
    { type: 'client_tool_result', toolCallId: 'call_1', isError: true, result: /more than 128 KiB/ },
    { type: 'client_tool_result', toolCallId: 'call_2', isError: true },
  ]);
  t.match(line.faults[0], /128 KiB; the tool counts as failed/);
  t.same(line.hopeless, []);
  line.text(answer('"quoted"'));
  t.match(line.hopeless, [/too large/], 'an id that is none of ours');
  t.end();
});

test('sizes: one byte below the limits fits, one above does not', (t) => {
  const limit = 128 * 1024;
  const audioOf = (frameBytes: number): string => `{"user_audio_chunk":"${'A'.repeat(frameBytes - 23)}"}`;
  const line = new Line();
  line.begin();
  t.equal(audioOf(limit).length, limit);
  line.text(audioOf(limit - 1));
  t.same(line.faults, []);
  line.text(audioOf(limit + 1));
  t.match(line.faults, [/larger than 128 KiB/]);
  t.same(line.hopeless, [], 'the call goes on');
  const control = (frameBytes: number): string => {
    const head = '{"type":"user_message","text":"';
    return `${head}${'x'.repeat(frameBytes - head.length - 2)}"}`;
  };
  line.text('{"type":"user_activity"}');
  line.text(control(limit));
  t.same(line.hopeless, []);
  line.text(control(limit + 1));
  t.match(line.hopeless, [/too large/]);
  line.input.message(new Uint8Array(3), true, line.atMs);
  t.match(line.hopeless[1], /Binary/);
  t.end();
});

test('any bytes are an event, a fault or the end of the call, never an exception', (t) => {
  const piece = fc.oneof(
    fc.constantFrom(
      '{',
      '}',
      '[',
      '"user_audio_chunk"',
      ':',
      '"',
      '\\u',
      'null',
      '1e999',
      '"__proto__"',
      '"type"',
      '"pong"',
      ',',
      '\ud800',
      'AAAA',
    ),
    fc.string(),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(piece).map((parts) => Buffer.from(parts.join(''))),
        fc.uint8Array(),
      ),
      (bytes) => {
        const line = new Line();
        line.begin();
        line.input.message(bytes, false, line.atMs);
        return line.events.length + line.faults.length + line.hopeless.length + line.written > 0 || bytes.length <= 23;
      },
    ),
    { numRuns: 500 },
  );
  t.end();
});

test('a flood loses its excess, and ends the call after half a minute; a pause ends the flood', (t) => {
  const flood = (line: Line, durationMs: number): void => {
    for (const endMs = line.atMs + durationMs; line.atMs < endMs && line.hopeless.length === 0; line.atMs += 20) {
      line.audio(new Uint8Array(3 * 640));
    }
  };
  const line = new Line();
  line.begin();
  flood(line, 60_000);
  t.match(line.hopeless, [/faster than real time/]);
  const lastedMs = line.atMs - startMs;
  t.ok(lastedMs > 10_000 + inputLimits.floodMaxMs && lastedMs < 12_000 + inputLimits.floodMaxMs, `after ${lastedMs} ms`);
  t.ok(line.faults.some((fault) => /excess is dropped/.test(fault)));
  t.ok(line.written / 16 <= 2 * lastedMs + 10_100, 'not more than twice real time and the credit');
  const patient = new Line();
  patient.begin();
  for (let round = 0; round < 5; round++) {
    flood(patient, 20_000);
    patient.atMs += 10_000;
  }
  t.same(patient.hopeless, []);
  t.end();
});

test('missing audio is silence on the input clock, from 200 ms on, each millisecond once', (t) => {
  const line = new Line();
  line.begin();
  for (const step of [40, 40, 40, 40, 40, 40, 1000, 3]) {
    line.atMs += step;
    line.input.fillGap(line.atMs);
  }
  t.equal(line.written, (line.atMs - startMs) * 16);
  t.match(line.gaps[0], [0, 200 * 16]);
  t.ok(line.gaps.every(([start], index) => index === 0 || start === line.gaps[index - 1]![1]));
  line.audio(bytesOf(ramp(320)));
  line.atMs += 199;
  const before = line.written;
  line.input.fillGap(line.atMs);
  t.equal(line.written, before);
  const texting = new Line();
  texting.begin('pcm_16000', true);
  texting.atMs += 5000;
  texting.input.fillGap(texting.atMs);
  t.equal(texting.written, 0, 'no clock of samples without a voice');
  t.end();
});

/** The other end of a call that takes what it is sent, or does not. */
class Peer implements Connection {
  readonly remoteAddress = '127.0.0.1';
  readonly texts: string[] = [];
  closed: { code: number; reason: string } | undefined;
  queuedBytes = 0;
  isFull = false;

  sendText(text: string | Uint8Array): boolean {
    if (!this.isFull) this.texts.push(Buffer.from(text).toString());
    return !this.isFull;
  }
  bufferedBytes(): number {
    return this.queuedBytes;
  }
  ping(): void {
    this.texts.push('ping');
  }
  close(code: number, reason: string): void {
    this.closed ??= { code, reason };
  }
  terminate(): void {
    this.closed ??= { code: 1006, reason: '' };
  }
  cork(body: () => void): void {
    body();
  }
}

class OneCall {
  readonly peer = new Peer();
  readonly told: ToConversation[] = [];
  readonly call: Call;
  atMs = startMs;

  constructor(isTextOnly = false) {
    const slot = new Slot(createBlock(1), 0);
    const counters = { staleFrames: 0, supersededFrames: 0, sentFrames: 0, heldTimes: 0 };
    const links = {
      toConversation: (message: ToConversation) => this.told.push(message),
      toTts: () => undefined,
      audio: () => undefined,
      gap: () => undefined,
      early: () => undefined,
    };
    this.call = new Call(slot, claim(slot), facts, links, new Recorder(), counters, () => this.atMs);
    this.call.opened(this.peer);
    const address = { slot: 0, generation: this.call.generation };
    const formats = { inputFormat: 'pcm_16000', outputFormat: 'pcm_16000' } as const;
    this.call.fromConversation({ ...address, ...formats, type: 'begin', isTextOnly, sendsAudio: true, sendsScores: false });
  }

  control(event: Extract<Parameters<Call['fromConversation']>[0], { type: 'control' }>['event']): void {
    this.call.fromConversation({ slot: 0, generation: this.call.generation, type: 'control', event });
  }

  metadata(): void {
    this.control({ type: 'metadata', conversationId: 'conv_1', inputFormat: 'pcm_16000', outputFormat: 'pcm_16000' });
  }

  say(text: string): void {
    this.call.message(Buffer.from(text), false);
  }

  /** Lets `durationMs` pass as the engine does: a look every 40 ms. */
  wait(durationMs: number): void {
    for (const endMs = this.atMs + durationMs; this.atMs < endMs; ) {
      this.atMs += 40;
      this.call.sweep(this.atMs);
    }
  }
}

test('a voice call from which nothing comes for half a minute ends; any message, or text only, keeps it', (t) => {
  const silent = new OneCall();
  silent.wait(callLimits.silentMaxMs - 40);
  t.equal(silent.peer.closed, undefined);
  silent.wait(120);
  t.match(silent.peer.closed, { code: 1002, reason: /Nothing was received/ });
  silent.call.closed();
  const answering = new OneCall();
  for (let round = 0; round < 4; round++) {
    answering.wait(callLimits.silentMaxMs - 100);
    answering.say('{"type":"pong","event_id":1}');
  }
  t.equal(answering.peer.closed, undefined);
  answering.call.closed();
  const texting = new OneCall(true);
  texting.wait(callLimits.silentMaxMs * 3);
  t.equal(texting.peer.closed, undefined);
  texting.call.closed();
  t.end();
});

test('a client that does not take its data is given up after five seconds, one that catches up is not', (t) => {
  const slow = new OneCall();
  slow.metadata();
  for (let round = 0; round < 3; round++) {
    slow.peer.queuedBytes = outputLimits.slowBytes + 1;
    slow.wait(outputLimits.slowMaxMs - 80);
    slow.peer.queuedBytes = outputLimits.slowBytes;
    slow.wait(40);
  }
  t.equal(slow.peer.closed, undefined);
  slow.peer.queuedBytes = outputLimits.slowBytes + 1;
  slow.wait(outputLimits.slowMaxMs + 120);
  t.match(slow.peer.closed, { code: 1002, reason: /too slow/ });
  slow.call.closed();
  const full = new OneCall();
  full.peer.isFull = true;
  full.metadata();
  full.wait(40);
  t.match(full.peer.closed, { code: 1002 }, 'at once when an event was lost');
  full.call.closed();
  t.end();
});

test('a fault in the quiet after the metadata is said when the quiet is over, and so is the close', async (t) => {
  const call = new OneCall();
  call.metadata();
  call.say('{"user_audio_chunk":"####"}');
  t.equal(call.peer.texts.length, 1, 'only the metadata');
  call.atMs += outputLimits.quietMs;
  await new Promise((resolve) => setTimeout(resolve, outputLimits.quietMs + 5));
  t.match(call.peer.texts[1], /value_error/);
  call.call.closed();
  const hopeless = new OneCall();
  hopeless.metadata();
  hopeless.call.message(new Uint8Array(2), true);
  t.equal(hopeless.peer.closed, undefined, 'a client that attaches its listeners late would miss it');
  hopeless.wait(outputLimits.quietMs);
  t.match(hopeless.peer.texts[1], /Binary frames/);
  t.match(hopeless.peer.closed, { code: 1008, reason: /Binary frames/ });
  hopeless.call.closed();
});

test('before the metadata there is no event: bad JSON closes, what can be overlooked is overlooked', (t) => {
  const slot = new Slot(createBlock(1), 0);
  const counters = { staleFrames: 0, supersededFrames: 0, sentFrames: 0, heldTimes: 0 };
  const links = {
    toConversation: () => undefined,
    toTts: () => undefined,
    audio: () => undefined,
    gap: () => undefined,
    early: () => undefined,
  };
  const peer = new Peer();
  const call = new Call(slot, claim(slot), facts, links, new Recorder(), counters, () => startMs);
  call.opened(peer);
  call.message(Buffer.from('{"type":"user_message","text":7}'), false);
  t.equal(peer.closed, undefined);
  call.message(Buffer.from('{nonsense'), false);
  t.match(peer.closed, { code: 1008 });
  t.same(peer.texts, []);
  call.closed();
  t.end();
});
