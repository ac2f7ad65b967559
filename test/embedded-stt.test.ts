/** Real recognition through the pool: sentences of the embedded voice, and recordings of speakers where they are at hand. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { readFlac } from '../src/audio/flac.js';
import { monoOf } from '../src/audio/recording.js';
import { resample } from '../src/audio/resample.js';
import { inputRateHz, ms } from '../src/shared/units.js';
import { EmbeddedTranscriber } from '../src/stt/embedded/transcriber.js';
import { type Recognition, type SttSettings, unintelligible } from '../src/stt/port.js';
import { loadFlite } from '../src/tts/embedded/flite.js';

const settings: SttSettings = { language: 'en', keywords: [] };
const recordings = '../shared/audio';
const flite = await loadFlite();
const say = (text: string): Int16Array => flite.synthesise(text).audio;

function hear(
  transcriber: EmbeddedTranscriber,
  audio: Int16Array,
  options: { settings?: SttSettings; signal?: AbortSignal } = {},
): Promise<Recognition> {
  const signal = options.signal ?? new AbortController().signal;
  return transcriber.transcribe({ audio, rateHz: inputRateHz, settings: options.settings ?? settings, signal });
}

test('hears sentences, rejects others, and knows silence', async (t) => {
  const transcriber = new EmbeddedTranscriber();
  t.teardown(() => transcriber.close());
  await transcriber.warm(settings);
  for (const text of ['what is seven plus five', 'tell me a story', 'goodbye', 'one two three four five six', 'forty two']) {
    const heard = await hear(transcriber, say(text));
    t.equal(heard.text, text);
    t.ok(heard.confidence! > 0.5 && heard.confidence! <= 1, 'confidence');
  }
  for (const text of ['my dog is sleeping on the sofa', 'where is the train station']) {
    t.equal((await hear(transcriber, say(text))).text, unintelligible, text);
  }
  t.same(await hear(transcriber, new Int16Array(16_000)), { text: '', confidence: 1, noSpeechRatio: 1 });
  t.equal((await hear(transcriber, new Int16Array(0))).text, '');
  const loud = Int16Array.from({ length: 30 * 16_000 }, (_, index) => ((index * 7919) % 9001) - 4500);
  t.equal((await hear(transcriber, loud)).text, unintelligible, 'half a minute is no sentence');
});

test('grammars of several agents do not disturb each other', async (t) => {
  const transcriber = new EmbeddedTranscriber();
  t.teardown(() => transcriber.close());
  const own: SttSettings = {
    ...settings,
    grammar: {
      intents: [{ name: 'call', phrases: ['call parley', 'open the window'], replies: ['Yes.'] }],
      pronunciations: { parley: ['P AA R L IY'] },
    },
  };
  const window = say('open the window');
  t.equal((await hear(transcriber, window, { settings: own })).text, 'open the window');
  t.equal((await hear(transcriber, window)).text, unintelligible);
  t.equal((await hear(transcriber, say('call parley'), { settings: own })).text, 'call parley');
  const bad = { ...settings, grammar: { intents: [{ name: 'x', phrases: ['say zxqvy'], replies: ['x'] }] } };
  await t.rejects(transcriber.warm(bad), { kind: 'config', message: /intents\.0\.phrases\.0: "zxqvy": not in the dictionary/ });
  t.equal((await hear(transcriber, say('goodbye'))).text, 'goodbye', 'and a wrong grammar does no harm');
});

test('aborts, bounds and close', async (t) => {
  const transcriber = new EmbeddedTranscriber({ waitingMax: 2 });
  const audio = say('goodbye');
  const controller = new AbortController();
  const running = hear(transcriber, audio);
  const aborted = hear(transcriber, audio, { signal: controller.signal });
  const waiting = hear(transcriber, audio);
  await t.rejects(hear(transcriber, audio), { name: 'EngineError', kind: 'rate_limited' });
  controller.abort();
  await t.rejects(aborted, { name: 'EngineError', kind: 'aborted' });
  await t.rejects(hear(transcriber, audio, { signal: controller.signal }), { name: 'EngineError', kind: 'aborted' });
  t.equal((await running).text, 'goodbye');
  t.equal((await waiting).text, 'goodbye');
  const cutOff = hear(transcriber, audio);
  const closing = transcriber.close();
  await t.rejects(cutOff, { name: 'EngineError', kind: 'aborted' });
  await closing;
  await t.rejects(hear(transcriber, audio), { name: 'EngineError', kind: 'aborted' });
});

test('hears speakers', { skip: existsSync(recordings) ? false : `no recordings in ${recordings}` }, async (t) => {
  // What it hears is asked here, and not how long ten seconds of speech take beside other tests.
  const transcriber = new EmbeddedTranscriber({ deadlineMs: ms(60_000) });
  t.teardown(() => transcriber.close());
  const file = async (name: string): Promise<Int16Array> => {
    const recording = await readFlac(readFileSync(join(recordings, name)));
    return resample(monoOf(recording), recording.rateHz, inputRateHz);
  };
  t.equal((await hear(transcriber, await file('alphanumeric/seven.flac'))).text, 'seven');
  t.equal((await hear(transcriber, await file('digits/9_jackson_5.flac'))).text, 'nine');
  t.equal((await hear(transcriber, await file('turns/yes.flac'))).text, 'yes');
  t.equal(
    (await hear(transcriber, await file('speech/vosk_digits.flac'))).text,
    'one zero zero zero one nine oh two one oh zero one eight zero three',
  );
  t.equal((await hear(transcriber, await file('speech/jfk.flac'))).text, unintelligible);
  t.equal((await hear(transcriber, await file('speech/leopard_test_de.flac'))).text, unintelligible);
});
