/**
 * Price of pacing: a tick of the 10 ms grid that finds nothing due, and a frame from the speech into the output ring and out of it again, for one call
 * and for many in turn. `node dist/bench/pacer.js [--json FILE]`, a few seconds. Time is moved by hand, so nothing waits. Not measured: the timer, waking
 * main, resampling, the message on the wire (`bench/wire.ts`).
 */
import { strict as assert } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { FrameReader } from '../src/shared/frames.js';
import { claim, createBlock, Slot } from '../src/shared/slots.js';
import { hz, inputRateHz, ms, samplesIn } from '../src/shared/units.js';
import { type OnFloor, type OutputFormat, Pacer } from '../src/tts/pacer.js';
import { pacing } from '../src/tts/pacing.js';
import type { TtsProvider, TtsVoice } from '../src/tts/port.js';
import { Speech } from '../src/tts/speech.js';
import { alignmentJson } from '../src/wire/audio-out.js';

const callCounts = [1, 100, 400];
const seconds = 20;
const text = 'The train to the coast leaves at ten past nine from platform four, and the journey takes two hours. ';
const msPerChar = 65;
const voice: TtsVoice = { voiceId: '', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.75 };

const tone = Int16Array.from({ length: 10 * inputRateHz }, (_, index) => Math.round(6000 * Math.sin(index * 0.1)));

/** Has a tone ready for each piece of text. */
const provider: TtsProvider = {
  name: 'tone',
  warm: async () => undefined,
  close: async () => undefined,
  openStream: ({ preferredRateHz, onChunk, onEnd }) => ({
    write: (piece) =>
      onChunk({
        audio: tone.slice(0, samplesIn(ms(piece.length * msPerChar), preferredRateHz)),
        rateHz: preferredRateHz,
      }),
    finish: onEnd,
    abort: () => undefined,
    setPaused: () => undefined,
  }),
};

const formats: Readonly<Record<string, OutputFormat>> = {
  pcm_16000: { rateHz: hz(16000), encoding: 'pcm', alignmentJson },
  ulaw_8000: { rateHz: hz(8000), encoding: 'ulaw', alignmentJson },
};

class PacedCall {
  frames = 0;
  readonly #pacer: Pacer;
  readonly #reader: FrameReader;
  readonly #floor: OnFloor;

  constructor(slot: Slot, format: OutputFormat, nowMs: () => number) {
    const generation = claim(slot);
    const counters = { underruns: 0, frames: 0, rewinds: 0, framesWaited: 0 };
    this.#pacer = new Pacer(slot, generation, format, counters, () => undefined, undefined);
    this.#reader = new FrameReader(slot);
    const speech = new Speech(1, false, provider, voice, format.rateHz, nowMs, {
      onAudio: () => undefined,
      onProblem: () => undefined,
    });
    speech.addText(text.repeat(40));
    speech.endText();
    speech.release();
    const progress = { hasStarted: false, framedMs: 0, isFramed: false, fadesIn: false };
    this.#floor = { speech, epoch: 0, eventId: 1, afterControl: 0, base: 0, ...progress };
  }

  tick(atMs: number): void {
    if (!this.#pacer.isHeld(atMs)) this.#pacer.frame(this.#floor, atMs);
    for (let frame = this.#reader.peek(); frame !== undefined; frame = this.#reader.peek()) {
      this.frames += 1;
      this.#reader.advance();
    }
  }
}

type Row = {
  readonly format: string;
  readonly calls: number;
  /** A tick of one call, with its share of frames. */
  readonly tickUs: number;
  readonly idleTickUs: number;
  /** What a frame costs more than a tick without one. */
  readonly frameUs: number;
};

function measure(format: string, calls: number): Row {
  const block = createBlock(calls);
  let atMs = 1000;
  const paced = Array.from({ length: calls }, (_, index) => new PacedCall(new Slot(block, index), formats[format]!, () => atMs));
  const tickNs: number[] = [];
  const idleNs: number[] = [];
  const ticks = (seconds * 1000) / pacing.gridMs;
  for (let tick = 0; tick < ticks; tick += 1) {
    atMs += pacing.gridMs;
    const before = paced.reduce((sum, { frames }) => sum + frames, 0);
    const startedAt = process.hrtime.bigint();
    for (const call of paced) call.tick(atMs);
    const ns = Number(process.hrtime.bigint() - startedAt) / calls;
    const frames = paced.reduce((sum, call) => sum + call.frames, 0) - before;
    // The first second is for the compiler and for the lead that every speech begins with.
    if (tick < 1000 / pacing.gridMs) continue;
    tickNs.push(ns);
    if (frames === 0) idleNs.push(ns);
  }
  const framesEach = paced[0]!.frames;
  assert(Math.abs(framesEach - (seconds * 1000) / pacing.frameMs) <= 5, `${framesEach} frames are real time`);
  const mean = tickNs.reduce((sum, ns) => sum + ns, 0) / tickNs.length;
  const idle = idleNs.sort((a, b) => a - b)[idleNs.length >> 1] ?? Number.NaN;
  const ticksPerFrame = pacing.frameMs / pacing.gridMs;
  return { format, calls, tickUs: mean / 1000, idleTickUs: idle / 1000, frameUs: ((mean - idle) * ticksPerFrame) / 1000 };
}

const { values } = parseArgs({ options: { json: { type: 'string' } } });
console.log(`${pacing.gridMs} ms grid, frames of ${pacing.frameMs} ms; µs\n`);
console.log('  format        calls       tick  tick without a frame   a frame   % of a core for a call');
const rows: Row[] = [];
for (const format of Object.keys(formats)) {
  for (const calls of callCounts) {
    const row = measure(format, calls);
    rows.push(row);
    const share = (row.tickUs / (pacing.gridMs * 1000)) * 100;
    console.log(
      `  ${format.padEnd(12)}${String(calls).padStart(7)}${row.tickUs.toFixed(3).padStart(11)}${row.idleTickUs.toFixed(3).padStart(22)}${row.frameUs.toFixed(2).padStart(10)}${share.toFixed(4).padStart(25)}`,
    );
  }
}
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ rows }, null, 2));
