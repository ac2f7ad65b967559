/**
 * Every format of the protocol, on the whole way in (message, bytes, samples, 16 kHz in the input ring) and the whole way out (what a
 * synthesiser made at its own rate, pacer, frame, message, samples at the client): a tone must come out as the same tone.
 */
import { test } from 'tap';
import { decodeAudio, frameEncoder } from '../load/client-messages.js';
import { frameSamples } from '../load/microphone.js';
import { CallInput } from '../src/server/call-input.js';
import { FrameReader } from '../src/shared/frames.js';
import { copyOut } from '../src/shared/ring.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import { type Hz, hz, inputRateHz } from '../src/shared/units.js';
import type { TtsProvider } from '../src/tts/port.js';
import { pacing, TtsSession } from '../src/tts/session.js';
import { AudioMessageWriter, alignmentJson } from '../src/wire/audio-out.js';
import { type AudioFormat, audioFormats } from '../src/wire/events.js';
import { describeFormat } from '../src/wire/formats.js';

const toneHz = 1100;
const peak = 9000;
const seconds = 2;

function tone(rateHz: number, count: number): Int16Array {
  return Int16Array.from({ length: count }, (_, index) => Math.round(peak * Math.sin((2 * Math.PI * toneHz * index) / rateHz)));
}

/** Energy of everything but the tone, in dB below it, in the middle of `samples`; and the tone's level in dB relative to what was sent. */
function judge(samples: Int16Array, rateHz: number): { noiseDb: number; levelDb: number } {
  // A whole number of periods, so that the two halves of the tone are orthogonal.
  const count = rateHz / 2;
  const from = (samples.length - count) >> 1;
  let [inPhase, quadrature, energy] = [0, 0, 0];
  for (let index = 0; index < count; index++) {
    const value = samples[from + index]!;
    const angle = (2 * Math.PI * toneHz * index) / rateHz;
    inPhase += (2 / count) * value * Math.cos(angle);
    quadrature += (2 / count) * value * Math.sin(angle);
    energy += value ** 2 / count;
  }
  const toneEnergy = (inPhase ** 2 + quadrature ** 2) / 2;
  return {
    noiseDb: 10 * Math.log10(Math.max(energy - toneEnergy, 1e-6) / toneEnergy),
    levelDb: 10 * Math.log10(toneEnergy / (peak ** 2 / 2)),
  };
}

/** Noise of the format itself, with a margin: 8 bits logarithmic, or 16 bits. */
const noiseMaxDb = (format: AudioFormat): number => (describeFormat(format).encoding === 'ulaw' ? -33 : -70);

test('what a client sends arrives at 16 kHz, in every format', (t) => {
  for (const format of audioFormats) {
    const slot = new Slot(createBlock(1), 0);
    claim(slot);
    const faults: string[] = [];
    let atMs = 1000;
    const input = new CallInput(slot, atMs, {
      onEvent: () => undefined,
      onEarlyAudio: () => undefined,
      onFault: (kind) => faults.push(kind),
      onHopeless: (reason) => faults.push(reason),
      onAudio: () => undefined,
      onGap: () => faults.push('gap'),
    });
    input.begin(format, false, atMs);
    const encode = frameEncoder(format);
    const spoken = tone(inputRateHz, seconds * inputRateHz);
    for (let from = 0; from + frameSamples <= spoken.length; from += frameSamples) {
      atMs += (frameSamples * 1000) / inputRateHz;
      input.message(Buffer.from(encode(spoken.subarray(from, from + frameSamples))), false, atMs);
    }
    t.same(faults, [], format);
    const written = slot.load(Cell.inputWritten);
    t.ok(seconds * inputRateHz - written < 200, `${format}: ${written} samples`);
    const heard = new Int16Array(written);
    t.ok(copyOut(slot, 0, heard));
    const { noiseDb, levelDb } = judge(heard, inputRateHz);
    t.ok(noiseDb < noiseMaxDb(format), `${format}: noise ${noiseDb.toFixed(1)} dB`);
    t.ok(Math.abs(levelDb) < 0.1, `${format}: level ${levelDb.toFixed(3)} dB`);
  }
  t.end();
});

/** Says every text as `seconds` of the tone, in pieces of odd sizes. */
function toneVoice(rateHz: Hz): TtsProvider {
  return {
    name: 'tone',
    warm: async () => undefined,
    close: async () => undefined,
    openStream: ({ onChunk, onEnd }) => ({
      write: () => undefined,
      finish: () => {
        const audio = tone(rateHz, seconds * rateHz);
        for (let from = 0; from < audio.length; from += 2777) onChunk({ audio: audio.slice(from, from + 2777), rateHz });
        onEnd();
      },
      abort: () => undefined,
      setPaused: () => undefined,
    }),
  };
}

/** What a client of `format` hears when a synthesiser of `voiceRateHz` speaks. */
function heardBy(format: AudioFormat, voiceRateHz: Hz): Int16Array {
  const { rateHz, encoding } = describeFormat(format);
  const slot = new Slot(createBlock(1), 0);
  claim(slot);
  const reader = new FrameReader(slot);
  const writer = new AudioMessageWriter();
  const parts: Int16Array[] = [];
  let atMs = 1000;
  const take = (): void => {
    for (let frame = reader.peek(); frame !== undefined; frame = reader.peek()) {
      const text = Buffer.from(writer.write(frame.payload, frame.eventId, frame.alignment, frame.isLast === 1)).toString();
      const samples = decodeAudio(JSON.parse(text).audio_event.audio_base_64, format);
      if (samples === undefined) throw new Error('half a sample was sent');
      parts.push(samples);
      slot.store(Cell.sentPosition, frame.position + frame.sampleCount);
      reader.advance();
    }
  };
  const voice = { voiceId: '', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.8 };
  const session = new TtsSession(
    slot,
    1,
    { provider: toneVoice(voiceRateHz), voice, rateHz, encoding, alignmentJson },
    { underruns: 0, frames: 0, rewinds: 0, framesWaited: 0 },
    () => undefined,
    () => atMs,
    () => undefined,
    take,
  );
  const address = { slot: 0, generation: 1, speech: 1 } as const;
  session.receive({ ...address, type: 'speak', isProtected: false });
  session.receive({ ...address, type: 'text', delta: 'A tone.' });
  session.receive({ ...address, type: 'text_end' });
  session.receive({ ...address, type: 'release', epoch: 0, eventId: 4, afterControl: 0 });
  for (let ticks = 0; ticks < 1000 && slot.load(Cell.floor) !== 0; ticks++) {
    atMs += pacing.gridMs;
    session.gridTick(atMs, atMs);
    take();
  }
  session.close();
  return Int16Array.from(parts.flatMap((part) => [...part]));
}

test('what a synthesiser says reaches the client, in every format and from every rate', (t) => {
  for (const format of audioFormats) {
    const { rateHz } = describeFormat(format);
    for (const voiceRateHz of [16000, 22050, 24000, 44100].map(hz)) {
      const heard = heardBy(format, voiceRateHz);
      const name = `${voiceRateHz} to ${format}`;
      t.ok(Math.abs(heard.length - seconds * rateHz) <= 1, `${name}: ${heard.length} samples`);
      const { noiseDb, levelDb } = judge(heard, rateHz);
      t.ok(noiseDb < noiseMaxDb(format), `${name}: noise ${noiseDb.toFixed(1)} dB`);
      t.ok(Math.abs(levelDb) < 0.1, `${name}: level ${levelDb.toFixed(3)} dB`);
    }
  }
  t.end();
});
