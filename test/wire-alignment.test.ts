/** Alignment on its whole way: a synthesiser's times, the timeline, the pacer's frames, the output ring, the bytes of `audio` events. */
import fc from 'fast-check';
import { test } from 'tap';
import { FrameReader } from '../src/shared/frames.js';
import { Cell, claim, createBlock, Slot } from '../src/shared/slots.js';
import { hz, ms } from '../src/shared/units.js';
import type { CharTime, TtsChunk, TtsProvider } from '../src/tts/port.js';
import { pacing, TtsSession } from '../src/tts/session.js';
import { AudioMessageWriter, alignmentJson } from '../src/wire/audio-out.js';
import type { AudioFormat } from '../src/wire/events.js';
import { describeFormat } from '../src/wire/formats.js';

type Alignment = {
  readonly chars: readonly string[];
  readonly char_start_times_ms: readonly number[];
  readonly char_durations_ms: readonly number[];
};
type AudioEvent = { readonly audio_base_64: string; readonly event_id: number; readonly alignment?: Alignment };

/** Says what was written, all at once, as `speak` has it. */
function scripted(speak: (text: string) => TtsChunk[]): TtsProvider {
  return {
    name: 'scripted',
    warm: async () => undefined,
    close: async () => undefined,
    openStream: ({ onChunk, onEnd }) => {
      let written = '';
      return {
        write: (text) => {
          written += text;
        },
        finish: () => {
          for (const chunk of speak(written)) onChunk(chunk);
          onEnd();
        },
        abort: () => undefined,
        setPaused: () => undefined,
      };
    },
  };
}

/** Plays `text` to its end and returns the `audio` events as a client parses them, with the instant in ms at which each begins. */
function spoken(
  text: string,
  format: AudioFormat,
  speak: (text: string) => TtsChunk[],
): { startMs: number; event: AudioEvent }[] {
  const { rateHz, encoding } = describeFormat(format);
  const slot = new Slot(createBlock(1), 0);
  claim(slot);
  const reader = new FrameReader(slot);
  const writer = new AudioMessageWriter();
  const events: { startMs: number; event: AudioEvent }[] = [];
  let atMs = 1000;
  const take = (): void => {
    for (let frame = reader.peek(); frame !== undefined; frame = reader.peek()) {
      const bytes = writer.write(frame.payload, frame.eventId, frame.alignment, frame.isLast === 1);
      const { audio_event: event } = JSON.parse(Buffer.from(bytes).toString()) as { audio_event: AudioEvent };
      events.push({ startMs: (frame.position * 1000) / rateHz, event });
      slot.store(Cell.sentPosition, frame.position + frame.sampleCount);
      reader.advance();
    }
  };
  const voice = { voiceId: '', modelId: '', language: 'en', speed: 1, stability: 0.5, similarityBoost: 0.8 };
  const session = new TtsSession(
    slot,
    1,
    { provider: scripted(speak), voice, rateHz, encoding, alignmentJson },
    { underruns: 0, frames: 0, rewinds: 0, framesWaited: 0 },
    () => undefined,
    () => atMs,
    () => undefined,
    take,
  );
  const address = { slot: 0, generation: 1, speech: 1 } as const;
  session.receive({ ...address, type: 'speak', isProtected: false });
  session.receive({ ...address, type: 'text', delta: text });
  session.receive({ ...address, type: 'text_end' });
  session.receive({ ...address, type: 'release', epoch: 0, eventId: 4, afterControl: 0 });
  for (let ticks = 0; ticks < 2000 && slot.load(Cell.floor) !== 0; ticks++) {
    atMs += pacing.gridMs;
    session.gridTick(atMs, atMs);
    take();
  }
  session.close();
  return events;
}

/** Every character of a written text for 60 ms, cut into chunks of `chunkMs`. */
function evenly(text: string, rate: number, chunkMs: number): TtsChunk[] {
  const charMs = 60;
  const chunks: TtsChunk[] = [];
  for (let startMs = 0; startMs < text.length * charMs; startMs += chunkMs) {
    const endMs = Math.min(text.length * charMs, startMs + chunkMs);
    const audio = new Int16Array(Math.round((endMs * rate) / 1000) - Math.round((startMs * rate) / 1000)).fill(3000);
    const alignment: CharTime[] = [];
    for (let charIndex = 0; charIndex < text.length; charIndex++) {
      const atMs = charIndex * charMs;
      if (atMs >= startMs && atMs < endMs) alignment.push({ charIndex, startMs: ms(atMs - startMs), durationMs: ms(charMs) });
    }
    chunks.push({ audio, rateHz: hz(rate), alignment });
  }
  return chunks;
}

const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** What the protocol asks of each event: never null, three lists of one length, whole numbers from 0. */
function isProper({ alignment, audio_base_64 }: AudioEvent): boolean {
  if (audio_base_64 === '') return false;
  if (alignment === undefined) return true;
  const { chars, char_start_times_ms: starts, char_durations_ms: durations } = alignment;
  return (
    chars.length > 0 &&
    chars.length === starts.length &&
    chars.length === durations.length &&
    chars.every((char) => /^\P{Surrogate}$/su.test(char)) &&
    starts.every(isWhole) &&
    durations.every(isWhole)
  );
}

test('each character stands in the event in which it begins to sound, at the right place', (t) => {
  const text = 'We open at nine, and **close** at \u{1d7d3}.';
  const shown = 'We open at nine, and close at \u{1d7d3}.';
  for (const [format, rate] of [
    ['pcm_16000', 16000],
    ['pcm_48000', 22050],
    ['pcm_8000', 24000],
    ['ulaw_8000', 44100],
  ] as const) {
    const events = spoken(text, format, (piece) => evenly(piece, rate, 250));
    const times = events.flatMap(({ startMs, event: { alignment } }) =>
      (alignment?.chars ?? []).map((char, index) => ({ char, atMs: startMs + alignment!.char_start_times_ms[index]! })),
    );
    t.equal(times.map(({ char }) => char).join(''), shown, `${format}: the words as they are said`);
    // A resampler holds some milliseconds back at the end of a chunk; a rounded time is half of one off.
    t.ok(
      times.every(({ atMs }, index) => Math.abs(atMs - [...shown].slice(0, index).join('').length * 60) <= 6),
      `${format}: to 6 ms`,
    );
    const inside = events.every(({ event: { alignment } }) => (alignment?.char_start_times_ms ?? []).every((at) => at <= 40));
    t.ok(inside && events.every(({ event }) => isProper(event)), `${format}: relative to the chunk of 40 ms`);
  }
  t.end();
});

test('spaces and marks without a time stand before the next character, the last ones at the end', (t) => {
  const letters = (piece: string): TtsChunk[] =>
    evenly(piece, 16000, 10_000).map((chunk) => ({
      ...chunk,
      alignment: (chunk.alignment ?? []).filter(({ charIndex }) => /\p{L}/u.test(piece[charIndex]!)),
    }));
  const events = spoken('Yes, two.', 'pcm_16000', letters);
  const chars = events.flatMap(({ event }) => event.alignment?.chars ?? []);
  t.equal(chars.join(''), 'Yes, two.');
  const silent = events.flatMap(({ event: { alignment } }) =>
    (alignment?.chars ?? []).flatMap((char, index) => (/\p{L}/u.test(char) ? [] : [alignment!.char_durations_ms[index]])),
  );
  t.same(silent, [0, 0, 0]);
  t.end();
});

test('a synthesiser without times gives events without alignment', (t) => {
  const mute = (piece: string): TtsChunk[] => evenly(piece, 16000, 250).map(({ audio, rateHz }) => ({ audio, rateHz }));
  const events = spoken('We open at nine.', 'pcm_16000', mute);
  t.ok(events.length > 10);
  t.ok(events.every(({ event }) => !('alignment' in event)));
  t.end();
});

test('whatever a synthesiser says of times, events are proper', (t) => {
  const time = fc.double({ min: -500, max: 3000, noNaN: true });
  const alignment = fc.array(fc.record({ charIndex: fc.integer({ min: -2, max: 80 }), startMs: time, durationMs: time }), {
    maxLength: 30,
  });
  const chunk = fc.record({ samples: fc.integer({ min: 1, max: 9000 }), rate: fc.constantFrom(16000, 22050, 24000), alignment });
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc
      .array(fc.constantFrom('one', 'two.', '\u{1f600}', '**bold**', '"', '\n'), { maxLength: 12 })
      .map((words) => words.join(' ')),
  );
  const format = fc.constantFrom<AudioFormat>('pcm_16000', 'pcm_44100', 'ulaw_8000');
  let aligned = 0;
  fc.assert(
    fc.property(
      text,
      format,
      fc.constantFrom(16000, 22050, 24000),
      fc.array(chunk, { maxLength: 4 }),
      (said, wanted, rate, chunks) => {
        const events = spoken(said, wanted, () =>
          chunks.map((part) => ({
            audio: new Int16Array(part.samples).fill(2000),
            rateHz: hz(rate),
            alignment: part.alignment as unknown as CharTime[],
          })),
        );
        aligned += events.filter(({ event }) => event.alignment !== undefined).length;
        return events.every(({ event }) => isProper(event));
      },
    ),
    { numRuns: 200 },
  );
  t.ok(aligned > 100, 'of which many have an alignment');
  t.end();
});
